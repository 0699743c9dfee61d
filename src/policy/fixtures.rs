//! Small sets for tests, in memory.

use std::time::Duration;

use super::{Ask, Denial, Diagnostics, Grant, IdentityUsed, Limits, PolicySet, Renewed};
use crate::model::{ScopeSet, TaskId, UnixTime, WorkloadId};

/// A public key that nobody holds the other half of.
const X: &str = "7-bZFTwgo-iJEuWGgoFqBWWdzH4VFJ3DeeBTrI-ngjs";
const Y: &str = "xZAx5jfINb0tQ0DQXGSXPeXT0stxBcRrVOKi_gQgeLI";

/// It as a JWK Set.
pub(crate) fn jwks() -> String {
    format!(r#"{{"keys":[{{"kty":"EC","crv":"P-256","x":"{X}","y":"{Y}"}}]}}"#)
}

/// 2026-11-25T00:00:00Z.
pub(crate) const NOW: UnixTime = UnixTime::from_secs(1_795_564_800);

/// A workload's file with nothing missing.
pub(crate) fn workload_file() -> String {
    format!(
        "owner = \"team@example.com\"\npurpose = \"Tests\"\nexpires = 2027-06-30\n\
         [[identity]]\ntype = \"private_key_jwt\"\n\
         jwks = {{ keys = [{{ kty = \"EC\", crv = \"P-256\", x = \"{X}\", y = \"{Y}\" }}] }}\n"
    )
}

/// An audience's file with `orders:read`, `orders:write` and the open `items:read:*`.
pub(crate) fn audience_file(id: &str) -> String {
    format!(
        "id = \"{id}\"\nowner = \"team@example.com\"\npurpose = \"Tests\"\nmax_ttl = \"10m\"\nmax_lifetime = \"1h\"\n\
         [scopes]\n\"orders:read\" = \"Read\"\n\"orders:write\" = \"Write\"\n\"items:read:*\" = \"Read one\"\n"
    )
}

/// The audience `https://api.example.com`, the workloads `alpha` and `beta`, and these policies.
pub(crate) fn files(policies: &str) -> Vec<(String, String)> {
    vec![
        ("workloads/alpha.toml".into(), workload_file()),
        ("workloads/beta.toml".into(), workload_file()),
        ("audiences/api.toml".into(), audience_file("https://api.example.com")),
        ("policies.cedar".into(), policies.into()),
    ]
}

/// The set of [`files`], which must load.
pub(crate) fn set(policies: &str) -> PolicySet {
    match PolicySet::from_sources(files(policies), NOW) {
        Ok((set, _)) => set,
        Err(findings) => panic!("{findings}"),
    }
}

/// What is wrong with a set of files, which must not load.
pub(crate) fn refused(files: Vec<(String, String)>) -> Diagnostics {
    PolicySet::from_sources(files, NOW).expect_err("a set that does not load")
}

/// A question by `alpha`, to be bent by the test.
#[derive(Clone)]
pub(crate) struct Question {
    pub workload: &'static str,
    pub audience: String,
    pub scopes: String,
    pub task: &'static str,
    /// The key that the workload proved itself with.
    pub kid: &'static str,
    pub ttl: Option<u64>,
    pub now: UnixTime,
    pub limits: Limits,
    pub renews: Option<Renewed>,
}

impl Question {
    pub fn of(scopes: &str) -> Self {
        Self {
            workload: "alpha",
            audience: "https://api.example.com".into(),
            scopes: scopes.into(),
            task: "t1",
            kid: "k1",
            ttl: None,
            now: NOW,
            limits: Limits::default(),
            renews: None,
        }
    }

    pub fn ttl(self, secs: u64) -> Self {
        Self { ttl: Some(secs), ..self }
    }

    /// Gives the question as the decision takes it.
    pub fn ask<T>(&self, then: impl FnOnce(&Ask<'_>) -> T) -> T {
        then(&Ask {
            workload: &WorkloadId::parse(self.workload).unwrap(),
            audience: &self.audience,
            scopes: &ScopeSet::parse(&self.scopes).unwrap(),
            task: &TaskId::parse(self.task).unwrap(),
            ttl: self.ttl.map(Duration::from_secs),
            identity: &IdentityUsed::private_key_jwt(Some(self.kid)),
            now: self.now,
            limits: self.limits,
            renews: self.renews,
        })
    }

    pub fn decided(&self, set: &PolicySet) -> Result<Grant, Denial> {
        self.ask(|ask| set.decide(ask))
    }
}
