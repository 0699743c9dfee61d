//! What plain Cedar decides of one request: its own authorizer, over all policies at once, with entities made here. What a broker
//! adds is added in the plainest way: a forbid that fails forbids, and the shortest limit of all permits that hold counts.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use cedar_policy::{
    AuthorizationError, Authorizer, Context, Decision, Effect, Entities, Entity, EntityUid, PolicyId, PolicySet,
    Request as CedarRequest, RestrictedExpression,
};
use jitney::governance::logic::request;
use jitney::model::{ScopeSet, TaskId, WorkloadId};
use jitney::policy::{Ask, IdentityKind, IdentityUsed, Limits};

use super::NOW;
use super::random::{AUDIENCES, INSTANCES, OWNERS, SCOPES, TASKS, TTLS, WORKLOADS, World};
use crate::common::Chance;

#[derive(Debug, Clone)]
pub struct Request {
    pub workload: String,
    pub audience: String,
    pub scope: String,
    pub task: String,
    pub ttl: u64,
    pub now: u64,
    pub kind: IdentityKind,
    pub claims: BTreeMap<String, String>,
}

/// What one request gets. Larger goes further.
#[derive(Debug, Clone, Copy)]
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
        let mut claims = BTreeMap::new();
        let kind = match chance.below(3) {
            0 => IdentityKind::PrivateKeyJwt,
            _ => {
                claims.insert("iss".into(), "https://ci.example.com".to_owned());
                if chance.below(3) > 0 {
                    claims.insert("env".into(), (*chance.pick(&["p", "q", "r"])).to_owned());
                }
                IdentityKind::Oidc
            }
        };
        Self {
            workload: (*chance.pick(&WORKLOADS)).to_owned(),
            audience: AUDIENCES[audience].to_owned(),
            scope: (*chance.pick(&scopes)).to_owned(),
            task: (*chance.pick(&TASKS)).to_owned(),
            ttl: *chance.pick(&TTLS),
            now: NOW.secs(),
            kind,
            claims,
        }
    }

    pub fn of(shown: &request::Request) -> Self {
        Self {
            workload: shown.workload.clone(),
            audience: shown.audience.clone(),
            scope: shown.scope.clone(),
            task: shown.task.clone(),
            ttl: shown.ttl,
            now: shown.now,
            kind: shown.kind,
            claims: shown.claims.clone(),
        }
    }

    pub fn decided_by(&self, set: &jitney::policy::PolicySet) -> bool {
        let long = Duration::from_secs(1 << 30);
        let identity = IdentityUsed { kind: self.kind, claims: Arc::new(self.claims.clone()) };
        let ask = Ask {
            workload: &WorkloadId::parse(&self.workload).unwrap(),
            audience: &self.audience,
            scopes: &ScopeSet::parse(&self.scope).unwrap(),
            task: &TaskId::parse(&self.task).unwrap(),
            ttl: Some(Duration::from_secs(self.ttl)),
            identity: &identity,
            now: jitney::model::UnixTime::from_secs(self.now),
            limits: Limits { max_ttl: long, max_lifetime: long, ..Limits::default() },
            renews: None,
        };
        set.decide(&ask).is_ok()
    }

    fn context(&self) -> Context {
        let text = |text: &str| RestrictedExpression::new_string(text.to_owned());
        let long = |number: u64| RestrictedExpression::new_long(number.cast_signed());
        let record = |fields: Vec<(String, RestrictedExpression)>| RestrictedExpression::new_record(fields).unwrap();
        let claims = record(self.claims.iter().map(|(name, value)| (name.clone(), text(value))).collect());
        let identity = record(vec![("type".into(), text(self.kind.as_str())), ("claims".into(), claims)]);
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
    world: &'a World,
    policies: PolicySet,
}

impl<'a> Brute<'a> {
    pub fn of(world: &'a World) -> Self {
        let policies = world.policies.iter().enumerate().map(|(at, policy)| {
            let id = format!("p{at}");
            cedar_policy::Policy::parse(Some(PolicyId::new(&id)), policy.text(&id)).unwrap()
        });
        Self { world, policies: PolicySet::from_policies(policies).unwrap() }
    }

    pub fn decide(&self, request: &Request) -> Gets {
        let none = Gets { allowed: false, lifetime: 0, uses: 0 };
        let audience = AUDIENCES.iter().position(|audience| *audience == request.audience).unwrap();
        let is_there = WORKLOADS
            .iter()
            .zip(&self.world.workloads)
            .any(|(name, owner)| *name == request.workload && owner.is_some());
        let scopes: Vec<&str> = self.world.audiences[audience].scopes().collect();
        let is_instance = request.scope.starts_with("items:read:") && scopes.len() == 3;
        if !is_there || !(scopes.contains(&request.scope.as_str()) || is_instance) {
            return none;
        }
        let asked = CedarRequest::new(
            uid("Workload", &request.workload),
            uid("Action", "mint"),
            scope_uid(&request.audience, &request.scope),
            request.context(),
            None,
        );
        let response = Authorizer::new().is_authorized(&asked.unwrap(), &self.policies, &self.entities(request));
        let failed_forbid = response.diagnostics().errors().any(|error| {
            let AuthorizationError::PolicyEvaluationError(error) = error;
            self.policies.policy(error.policy_id()).unwrap().effect() == Effect::Forbid
        });
        if response.decision() == Decision::Deny || failed_forbid {
            return none;
        }
        self.limits(request.ttl, audience, response.diagnostics().reason())
    }

    fn limits<'i>(&self, asked: u64, audience: usize, permits: impl Iterator<Item = &'i PolicyId>) -> Gets {
        let audience = &self.world.audiences[audience];
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
        for (name, owner) in WORKLOADS.iter().zip(&self.world.workloads) {
            if let Some(owner) = owner {
                let purpose = format!("Tries {name}");
                let attributes = vec![("id", text(name)), ("owner", text(OWNERS[*owner])), ("purpose", text(&purpose))];
                add(uid("Workload", name), attributes, HashSet::new());
            }
        }
        for (id, audience) in AUDIENCES.iter().zip(&self.world.audiences) {
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
