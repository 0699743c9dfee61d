//! Workloads, scopes and audiences as Cedar's entities, built once at load.
//!
//! Owns their names and attributes. An instance of an open scope alone is built when it is asked for.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use cedar_policy::{Entities, Entity, EntityId, EntityTypeName, EntityUid, RestrictedExpression};
use cedar_policy_core::ast::EntityUIDEntry;

use super::catalogue::scopes::ScopeTable;
use super::catalogue::{Audience, Workload};
use super::diagnostic::Diagnostic;
use super::schema::Words;
use crate::model::Scope;

/// A workload, ready to be judged.
pub(super) struct Principal {
    pub workload: Arc<Workload>,
    pub uid: EntityUid,
    /// The same for Cedar's evaluator.
    pub entry: EntityUIDEntry,
}

/// An audience, ready to be judged.
pub(super) struct Target {
    pub audience: Arc<Audience>,
    pub uid: EntityUid,
    pub table: ScopeTable,
}

/// A declared scope.
pub(super) struct ScopeEntry {
    pub name: Arc<str>,
    pub uid: EntityUid,
    /// The same for Cedar's evaluator.
    pub entry: EntityUIDEntry,
    /// What it lies in besides itself: its audience, and the open declaration it is an instance of.
    pub parents: HashSet<EntityUid>,
    /// The audience's place.
    pub target: usize,
}

/// Every entity of the set.
pub(super) struct World {
    /// All of them.
    pub entities: Entities,
    /// What conditions can reach beside the principal: audiences, declared scopes, and the workloads they name.
    /// Small enough to copy for an instance of an open scope.
    reachable: Entities,
    scope_type: EntityTypeName,
}

impl World {
    /// Builds the entities. `named` are the workloads that conditions name.
    pub fn new(
        words: &Words,
        principals: &[Principal],
        targets: &[Target],
        scopes: &[ScopeEntry],
        named: &HashSet<EntityUid>,
    ) -> Result<Self, Diagnostic> {
        let mut reachable = Vec::new();
        for target in targets {
            let attributes =
                [("id", target.audience.id.as_str()), ("owner", target.audience.owner.as_deref().unwrap_or(""))];
            let attributes = attributes.map(|(name, text)| (name.to_owned(), text_of(text)));
            reachable.push(entity(target.uid.clone(), attributes, HashSet::new())?);
        }
        for scope in scopes {
            let audience = &targets[scope.target].uid;
            reachable.push(scope_entity(scope.uid.clone(), &scope.name, audience, scope.parents.clone())?);
        }
        let mut all = reachable.clone();
        for principal in principals {
            let entity = workload_entity(principal)?;
            if named.contains(&principal.uid) {
                reachable.push(entity.clone());
            }
            all.push(entity);
        }
        let collect = |all| Entities::from_entities(all, None).map_err(|error| broken(&error));
        Ok(Self { entities: collect(all)?, reachable: collect(reachable)?, scope_type: words.scope.clone() })
    }

    /// An instance of the open scope `declared`, and the entities to judge it among.
    pub fn instance(
        &self,
        principal: &Principal,
        target: &Target,
        declared: &ScopeEntry,
        scope: &Scope,
    ) -> Result<(EntityUid, Entities), Diagnostic> {
        let uid = scope_uid(&self.scope_type, target, scope.as_str());
        let parents = HashSet::from([declared.uid.clone(), target.uid.clone()]);
        let instance = scope_entity(uid.clone(), scope.as_str(), &target.uid, parents)?;
        let mut new = vec![instance];
        if self.reachable.get(&principal.uid).is_none() {
            new.push(workload_entity(principal)?);
        }
        let entities = self.reachable.clone().add_entities(new, None).map_err(|error| broken(&error))?;
        Ok((uid, entities))
    }

    /// The same entities, with the workloads that a forbid beside the set writes out: no policy may name them.
    pub fn naming<'a>(
        &self,
        entities: Entities,
        named: impl Iterator<Item = &'a Principal>,
    ) -> Result<Entities, Diagnostic> {
        let missing = named.filter(|each| entities.get(&each.uid).is_none());
        let more = missing.map(workload_entity).collect::<Result<Vec<_>, _>>()?;
        if more.is_empty() { Ok(entities) } else { entities.add_entities(more, None).map_err(|error| broken(&error)) }
    }
}

/// `Jitney::Scope::"<audience> <scope>"`.
pub(super) fn scope_uid(scope_type: &EntityTypeName, target: &Target, scope: &str) -> EntityUid {
    uid(scope_type, &format!("{} {scope}", target.audience.id))
}

/// An entity's name.
pub(super) fn uid(of: &EntityTypeName, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(of.clone(), EntityId::new(id))
}

/// It for Cedar's evaluator.
pub(super) fn entry(uid: &EntityUid) -> EntityUIDEntry {
    EntityUIDEntry::known(uid.clone().into(), None)
}

/// Numbers the declared scopes of all `targets`, in order: a scope's place is its number.
pub(super) fn number_scopes(words: &Words, targets: &[Target]) -> Vec<ScopeEntry> {
    let mut scopes = Vec::new();
    for (at, target) in targets.iter().enumerate() {
        for declaration in &target.audience.scopes {
            let mut parents = HashSet::from([target.uid.clone()]);
            if let Some(open) =
                target.audience.scopes.iter().find(|open| open.is_open() && open.matches(&declaration.name))
            {
                parents.insert(scope_uid(&words.scope, target, &open.name));
            }
            let uid = scope_uid(&words.scope, target, &declaration.name);
            scopes.push(ScopeEntry { name: declaration.name.clone(), entry: entry(&uid), uid, parents, target: at });
        }
    }
    scopes
}

fn workload_entity(principal: &Principal) -> Result<Entity, Diagnostic> {
    let workload = &principal.workload;
    let attributes = [
        ("id", workload.id.as_str()),
        ("owner", workload.owner.as_deref().unwrap_or("")),
        ("purpose", workload.purpose.as_deref().unwrap_or("")),
    ];
    entity(principal.uid.clone(), attributes.map(|(name, text)| (name.to_owned(), text_of(text))), HashSet::new())
}

fn scope_entity(
    uid: EntityUid,
    name: &str,
    audience: &EntityUid,
    parents: HashSet<EntityUid>,
) -> Result<Entity, Diagnostic> {
    let audience = RestrictedExpression::new_entity_uid(audience.clone());
    entity(uid, [("name".to_owned(), text_of(name)), ("audience".to_owned(), audience)], parents)
}

fn entity<const N: usize>(
    uid: EntityUid,
    attributes: [(String, RestrictedExpression); N],
    parents: HashSet<EntityUid>,
) -> Result<Entity, Diagnostic> {
    Entity::new(uid, HashMap::from(attributes), parents).map_err(|error| broken(&error))
}

fn text_of(text: &str) -> RestrictedExpression {
    RestrictedExpression::new_string(text.to_owned())
}

fn broken(error: &dyn std::fmt::Display) -> Diagnostic {
    Diagnostic::error("entities", error.to_string())
}
