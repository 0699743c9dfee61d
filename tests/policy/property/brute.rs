//! What plain Cedar decides of one request: its own authorizer, over all policies at once, with entities made here. What a broker
//! adds is added in the plainest way: a forbid that fails forbids, and the shortest limit of all permits that hold counts.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use cedar_policy::{
    AuthorizationError, Authorizer, Context, Decision, Effect, Entities, Entity, EntityUid, PolicyId, PolicySet,
    Request as CedarRequest, Response, RestrictedExpression,
};
use jitney::governance::logic::request;
use jitney::model::{ScopeSet, TaskId, UnixTime, WorkloadId};
use jitney::policy::{Ask, IdentityKind, IdentityUsed, Limits};

use super::NOW;
use super::identity::Who;
use super::random::{AUDIENCES, ENDS, INSTANCES, OWNERS, Policy, SCOPES, TASKS, TTLS, WORKLOADS, World};
use crate::common::Chance;

/// What is asked for, by somebody who is yet to be proven.
#[derive(Debug, Clone)]
pub struct Request {
    pub workload: String,
    pub audience: String,
    pub scope: String,
    pub task: String,
    pub ttl: u64,
    pub now: u64,
}

/// How the one who asks is proven.
pub type Used = (IdentityKind, BTreeMap<String, String>);

/// What one request gets. Larger goes further.
#[derive(Debug, Clone, Copy, Default)]
pub struct Gets {
    pub allowed: bool,
    lifetime: u64,
    uses: u64,
}

impl Gets {
    /// Whether a token of this request is none there, or goes further than one there.
    pub fn is_more_than(&self, other: &Self) -> bool {
        self.allowed && (!other.allowed || self.lifetime > other.lifetime || self.uses > other.uses)
    }
}

impl Request {
    pub fn random(chance: &mut Chance) -> Self {
        let audience = chance.below(2) as usize;
        let scopes: Vec<&str> = SCOPES[..2].iter().copied().chain(INSTANCES).chain(["items:read:9"]).collect();
        // Where conditions are about to change, on both sides.
        let nows = [NOW.secs(), NOW.secs(), ENDS[1].1 - 1, ENDS[1].1];
        Self {
            workload: (*chance.pick(&WORKLOADS)).to_owned(),
            audience: AUDIENCES[audience].to_owned(),
            scope: (*chance.pick(&scopes)).to_owned(),
            task: (*chance.pick(&TASKS)).to_owned(),
            ttl: *chance.pick(&TTLS),
            now: *chance.pick(&nows),
        }
    }

    pub fn of(shown: &request::Request) -> (Self, Used) {
        let request = Self {
            workload: shown.workload.clone(),
            audience: shown.audience.clone(),
            scope: shown.scope.clone(),
            task: shown.task.clone(),
            ttl: shown.ttl,
            now: shown.now,
        };
        (request, (shown.kind, shown.claims.clone()))
    }

    pub fn decided_by(&self, set: &jitney::policy::PolicySet, (kind, claims): &Used) -> bool {
        let long = Duration::from_secs(1 << 30);
        let identity = IdentityUsed { kind: *kind, claims: Arc::new(claims.clone()) };
        let ask = Ask {
            workload: &WorkloadId::parse(&self.workload).unwrap(),
            audience: &self.audience,
            scopes: &ScopeSet::parse(&self.scope).unwrap(),
            task: &TaskId::parse(&self.task).unwrap(),
            ttl: Some(Duration::from_secs(self.ttl)),
            identity: &identity,
            now: UnixTime::from_secs(self.now),
            limits: Limits { max_ttl: long, max_lifetime: long, ..Limits::default() },
            renews: None,
        };
        set.decide(&ask).is_ok()
    }

    fn context(&self, (kind, claims): &Used) -> Context {
        let text = |text: &str| RestrictedExpression::new_string(text.to_owned());
        let long = |number: u64| RestrictedExpression::new_long(number.cast_signed());
        let record = |fields: Vec<(String, RestrictedExpression)>| RestrictedExpression::new_record(fields).unwrap();
        let claims = record(claims.iter().map(|(name, value)| (name.clone(), text(value))).collect());
        let identity = record(vec![("type".into(), text(kind.as_str())), ("claims".into(), claims)]);
        let fields = [
            ("task".to_owned(), text(&self.task)),
            ("ttl".to_owned(), long(self.ttl)),
            ("now".to_owned(), long(self.now)),
            ("identity".to_owned(), identity),
        ];
        Context::from_pairs(fields).unwrap()
    }
}

pub struct Brute<'a> {
    pub world: &'a World,
    policies: PolicySet,
    invariants: Vec<PolicySet>,
    /// By audience and scope asked for.
    entities: RefCell<HashMap<(String, String), Entities>>,
}

impl<'a> Brute<'a> {
    pub fn of(world: &'a World) -> Self {
        let read =
            |policy: &Policy, id: &str| cedar_policy::Policy::parse(Some(PolicyId::new(id)), policy.text(id)).unwrap();
        let all = world.policies.iter().enumerate().map(|(at, policy)| read(policy, &format!("p{at}")));
        let alone = world.invariants.iter().map(|policy| PolicySet::from_policies([read(policy, "i")]).unwrap());
        Self {
            world,
            policies: PolicySet::from_policies(all).unwrap(),
            invariants: alone.collect(),
            entities: RefCell::default(),
        }
    }

    /// Whether its file lets the workload have anything ever; and, at a moment, still.
    pub fn is_governed(&self, workload: &str, now: Option<u64>) -> bool {
        let at = WORKLOADS.iter().position(|name| *name == workload).unwrap();
        let of = self.world.workloads[at].as_ref();
        of.is_some_and(|of| of.owner.is_some() && now.is_none_or(|now| now < ENDS[of.end].1))
    }

    /// Who asks, as this world's files tell it; none of one that they do not know.
    pub fn proves(&self, request: &Request, proof: &super::identity::Proof) -> Option<Who> {
        let at = WORKLOADS.iter().position(|name| *name == request.workload)?;
        let workload = self.world.workloads[at].as_ref()?;
        let who = proof.of(&workload.identities, &self.world.sources())?;
        who.may_name(&request.task).then_some(who)
    }

    /// What it gets, then.
    pub fn gives(&self, request: &Request, used: &Used) -> Gets {
        match self.is_governed(&request.workload, Some(request.now)) {
            true => self.decide(request, used),
            false => Gets::default(),
        }
    }

    /// What policies give, whenever the workload ends.
    pub fn decide(&self, request: &Request, used: &Used) -> Gets {
        let audience = AUDIENCES.iter().position(|audience| *audience == request.audience).unwrap();
        if !self.is_governed(&request.workload, None) || !self.is_declared(audience, &request.scope) {
            return Gets::default();
        }
        let response = self.asked(&self.policies, request, used);
        let failed_forbid = response.diagnostics().errors().any(|error| {
            let AuthorizationError::PolicyEvaluationError(error) = error;
            self.policies.policy(error.policy_id()).unwrap().effect() == Effect::Forbid
        });
        if response.decision() == Decision::Deny || failed_forbid {
            return Gets::default();
        }
        self.limits(request.ttl, audience, response.diagnostics().reason())
    }

    /// Whether an invariant speaks of a request, or fails.
    pub fn meets(&self, invariant: usize, request: &Request, used: &Used) -> bool {
        let response = self.asked(&self.invariants[invariant], request, used);
        response.diagnostics().reason().next().is_some() || response.diagnostics().errors().next().is_some()
    }

    fn is_declared(&self, audience: usize, scope: &str) -> bool {
        let Some(audience) = &self.world.audiences[audience] else { return false };
        audience.scopes().any(|own| own == scope) || (scope.starts_with("items:read:") && audience.is_open)
    }

    fn asked(&self, policies: &PolicySet, request: &Request, used: &Used) -> Response {
        let asked = CedarRequest::new(
            uid("Workload", &request.workload),
            uid("Action", "mint"),
            scope_uid(&request.audience, &request.scope),
            request.context(used),
            None,
        );
        let mut entities = self.entities.borrow_mut();
        let key = (request.audience.clone(), request.scope.clone());
        let entities = entities.entry(key).or_insert_with(|| self.entities(request));
        Authorizer::new().is_authorized(&asked.unwrap(), policies, entities)
    }

    fn limits<'i>(&self, asked: u64, audience: usize, permits: impl Iterator<Item = &'i PolicyId>) -> Gets {
        let audience = self.world.audiences[audience].as_ref().unwrap();
        let free = u64::MAX;
        let secs = |minutes: Option<u64>| minutes.map_or(free, |minutes| minutes * 60);
        let (mut ttl, mut lifetime, mut uses) = (secs(audience.max_ttl), secs(audience.max_lifetime), free);
        for id in permits {
            let at: usize = id.to_string()[1..].parse().unwrap();
            let policy = &self.world.policies[at];
            ttl = ttl.min(secs(policy.max_ttl));
            lifetime = lifetime.min(secs(policy.max_lifetime));
            uses = uses.min(policy.single_use.map_or(free, |uses| u64::from(uses == "task")));
        }
        Gets { allowed: asked <= ttl.min(lifetime), lifetime, uses }
    }

    fn entities(&self, request: &Request) -> Entities {
        let text = |text: &str| RestrictedExpression::new_string(text.to_owned());
        let mut all = Vec::new();
        let mut add = |uid: EntityUid, attributes: Vec<(&str, RestrictedExpression)>, parents: HashSet<EntityUid>| {
            let attributes: HashMap<_, _> =
                attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
            all.push(Entity::new(uid, attributes, parents).unwrap());
        };
        for (name, workload) in WORKLOADS.iter().zip(&self.world.workloads) {
            if let Some(workload) = workload {
                let (purpose, owner) = (format!("Tries {name}"), workload.owner.map_or("", |owner| OWNERS[owner]));
                let attributes = vec![("id", text(name)), ("owner", text(owner)), ("purpose", text(&purpose))];
                add(uid("Workload", name), attributes, HashSet::new());
            }
        }
        for (id, audience) in AUDIENCES.iter().zip(&self.world.audiences) {
            let Some(audience) = audience else { continue };
            add(uid("Audience", id), vec![("id", text(id)), ("owner", text(OWNERS[audience.owner]))], HashSet::new());
            let asked = (request.audience == *id).then_some(request.scope.as_str());
            let names: HashSet<String> = audience.scopes().map(str::to_owned).chain(asked.map(str::to_owned)).collect();
            for name in &names {
                let name = name.as_str();
                let mut parents = HashSet::from([uid("Audience", id)]);
                if name.starts_with("items:read:") && name != "items:read:*" {
                    parents.insert(scope_uid(id, "items:read:*"));
                }
                let audience = RestrictedExpression::new_entity_uid(uid("Audience", id));
                add(scope_uid(id, name), vec![("name", text(name)), ("audience", audience)], parents);
            }
        }
        Entities::from_entities(all, None).unwrap()
    }
}

fn uid(of: &str, id: &str) -> EntityUid {
    EntityUid::from_str(&format!("Jitney::{of}::{id:?}")).unwrap()
}

fn scope_uid(audience: &str, scope: &str) -> EntityUid {
    uid("Scope", &format!("{audience} {scope}"))
}
