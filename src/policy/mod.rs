//! What workloads and audiences there are, and what may be granted: TOML files and Cedar policies, read at load.
//!
//! Owns the catalogue, the schema, the decision and its proof ([`Grant`]), and the reload. Never knows who really asks
//! (`attest` does), whether a workload is in quarantine or a task has ended (the store does). `docs/policies.md`.

mod ask;
mod catalogue;
mod condition;
mod decide;
#[cfg(test)]
mod decide_tests;
mod denial;
mod depth;
pub mod dev;
mod diagnostic;
mod explain;
mod facts;
#[cfg(test)]
pub(crate) mod fixtures;
pub mod grant;
mod invariant;
mod inventory;
mod issuers;
mod limits;
mod links;
mod listing;
#[cfg(test)]
mod load_tests;
mod names;
#[cfg(test)]
mod oidc_tests;
mod reading;
mod ready;
mod reload;
mod residual;
mod rule;
mod schema;
mod set;
mod slice;
#[cfg(test)]
mod slice_tests;
mod sources;
mod view;
mod world;

pub use ask::{Ask, IdentityUsed, Limits, Renewed};
pub use catalogue::{
    Audience, ClaimRule, Claims, Day, Identity, IdentityKind, KeySource, Oidc, Proof, ScopeDeclaration, TaskNaming,
    TaskTemplate, Workload,
};
pub use denial::{Considered, Denial, Outcome};
pub(crate) use depth::with_room;
pub use diagnostic::{Diagnostic, Diagnostics, Severity};
pub(crate) use diagnostic::{SourceFile, closest};
pub(crate) use explain::spelling::{instance_by, meant, meant_by};
pub use explain::{Change, Explanation, Part, PolicyExplained, Question, ScopeExplained};
#[cfg(test)]
pub(crate) use grant::grant_for_tests;
pub use grant::{Grant, SingleUse};
pub(crate) use invariant::Invariant;
pub use inventory::PossibleGrant;
pub(crate) use inventory::asks_no_more;
pub use issuers::{Client, Issuer, IssuerKeys, Member};
pub(crate) use links::Links;
pub(crate) use reading::{open as open_plain, text_in};
pub use reload::{LOOK_EVERY, OnReload, Policies, RefusedSet, Reloaded};
pub(crate) use residual::{What, is};
pub use schema::{SCHEMA, SCHEMA_FILE};
pub use set::{Loaded, PolicySet};
pub(crate) use sources::resolve;
pub(crate) use view::{Read, RuleView};
