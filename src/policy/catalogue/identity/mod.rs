//! The ways to prove who one is: `[[identity]]` in the files of workloads and audiences.
//!
//! Owns the fields and which kind may have which. What a platform's claims must say is in `claims`, who a public issuer's
//! tenant is in `tenants`, the task drawn from claims in `task`.

mod claims;
mod keys;
mod oidc;
mod task;
mod tenants;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use serde::Deserialize;
use toml::Spanned;

use super::field::Reading;
use crate::jose::JwkSet;
use crate::policy::diagnostic::{Diagnostic, closest};
use crate::policy::sources::Sources;

pub use claims::{ClaimRule, Claims, text_of_claim};
pub use oidc::{KeySource, Oidc};
pub use task::TaskTemplate;

/// One way to prove itself.
#[derive(Debug, Clone)]
pub struct Identity {
    /// By what.
    pub proof: Proof,
    /// Who names the task.
    pub task: TaskNaming,
}

impl Identity {
    /// By which means.
    pub const fn kind(&self) -> IdentityKind {
        match self.proof {
            Proof::PrivateKeyJwt(_) => IdentityKind::PrivateKeyJwt,
            Proof::Oidc(_) => IdentityKind::Oidc,
        }
    }
}

/// What proves it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Proof {
    /// An assertion signed with one of these keys, its own.
    PrivateKeyJwt(Arc<JwkSet>),
    /// A platform's token.
    Oidc(Arc<Oidc>),
}

/// By which means a caller proves itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum IdentityKind {
    /// An assertion signed with its own key (RFC 7523, OpenID Connect Core §9).
    PrivateKeyJwt,
    /// A token that a platform signed (RFC 7523 §3, with keys as OpenID Connect Discovery publishes them).
    Oidc,
}

impl IdentityKind {
    /// All that there are.
    pub const ALL: [Self; 2] = [Self::PrivateKeyJwt, Self::Oidc];

    /// The kind of this name.
    ///
    /// # Errors
    /// That there is none of it, with the name that was probably meant, and those that there are.
    pub fn parse(name: &str) -> Result<Self, String> {
        let names = || Self::ALL.into_iter().map(Self::as_str);
        Self::ALL.into_iter().find(|kind| kind.as_str() == name).ok_or_else(|| {
            let meant = closest(name, names()).map_or_else(String::new, |near| format!(": did you mean `{near}`?"));
            let end = if meant.is_empty() { "." } else { "" };
            let all: Vec<&str> = names().collect();
            format!("there is no identity type `{name}`{meant}{end} There are {}", all.join(", "))
        })
    }

    /// As files and policies write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PrivateKeyJwt => "private_key_jwt",
            Self::Oidc => "oidc",
        }
    }
}

/// Who names the task of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TaskNaming {
    /// The caller does; a request without `task` is refused.
    Caller,
    /// The caller may; the broker names one otherwise (`task = "auto"`).
    Auto,
    /// The platform does: this template, filled from its claims, and nothing else but children of it.
    Attested(Arc<TaskTemplate>),
}

/// Named in the contract, built later: refused by name, so that nobody believes them to work.
const LATER: &[&str] = &["spiffe", "mtls"];

/// A claim's name and what it must say, each with its place.
type RawClaims = BTreeMap<Spanned<String>, Spanned<toml::Value>>;

/// Flat, because a tagged enum would lose the places of its fields.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawIdentity {
    r#type: Option<Spanned<String>>,
    jwks_file: Option<Spanned<String>>,
    jwks: Option<Spanned<toml::Table>>,
    jwks_uri: Option<Spanned<String>>,
    task: Option<Spanned<String>>,
    issuer: Option<Spanned<String>>,
    audience: Option<Spanned<String>>,
    claims: Option<Spanned<RawClaims>>,
    keep: Option<Vec<Spanned<String>>>,
}

/// An identity being read: the file, its folder, and where the identity stands in it.
struct Place<'a, 'b> {
    reading: &'a mut Reading<'b>,
    sources: &'a mut Sources,
    folder: &'a str,
    span: Range<usize>,
}

impl Place<'_, '_> {
    /// An error at `span`, with its mend.
    fn wrong(&mut self, span: Range<usize>, what: impl Into<String>, mend: impl Into<String>) {
        self.reading.found(Diagnostic::error("identity", what).help(mend), span);
    }
}

/// Checks the identities of a file in `folder`; those with a finding are left out.
pub(super) fn read_all(
    reading: &mut Reading<'_>,
    sources: &mut Sources,
    folder: &str,
    raw: Vec<Spanned<RawIdentity>>,
) -> Vec<Identity> {
    let mut read = Vec::with_capacity(raw.len());
    for raw in raw {
        let mut place = Place { reading, sources, folder, span: raw.span() };
        read.extend(read_one(&mut place, raw.into_inner()));
    }
    read
}

fn read_one(place: &mut Place<'_, '_>, raw: RawIdentity) -> Option<Identity> {
    let Some(kind) = &raw.r#type else {
        place.wrong(
            place.span.clone(),
            "an identity needs its `type`",
            "write type = \"private_key_jwt\", or \"oidc\"",
        );
        return None;
    };
    match known_kind(place, kind)? {
        IdentityKind::PrivateKeyJwt => private_key_jwt(place, raw),
        IdentityKind::Oidc => oidc::read(place, raw),
    }
}

fn known_kind(place: &mut Place<'_, '_>, kind: &Spanned<String>) -> Option<IdentityKind> {
    let name = kind.get_ref().as_str();
    let known = IdentityKind::ALL.into_iter().find(|kind| kind.as_str() == name);
    if known.is_none() {
        let what = match LATER.contains(&name) {
            true => format!("identity type `{name}` is not built yet"),
            false => format!("unknown identity type `{name}`"),
        };
        place.wrong(kind.span(), what, "write type = \"private_key_jwt\", or \"oidc\" for a platform's own token");
    }
    known
}

fn private_key_jwt(place: &mut Place<'_, '_>, raw: RawIdentity) -> Option<Identity> {
    let strangers = [
        ("issuer", raw.issuer.as_ref().map(Spanned::span)),
        ("audience", raw.audience.as_ref().map(Spanned::span)),
        ("claims", raw.claims.as_ref().map(Spanned::span)),
        ("jwks_uri", raw.jwks_uri.as_ref().map(Spanned::span)),
        ("keep", raw.keep.as_ref().map(|keep| keep.first().map_or_else(|| place.span.clone(), Spanned::span))),
    ];
    for (name, span) in strangers {
        if let Some(span) = span {
            let finding = Diagnostic::error("identity", format!("`{name}` does not belong to `private_key_jwt`"));
            place.reading.found(finding, span);
        }
    }
    let task = match raw.task {
        None => TaskNaming::Caller,
        Some(task) if task.get_ref() == "auto" => TaskNaming::Auto,
        Some(task) => {
            let mend = "write task = \"auto\", or leave it out: the caller names its task";
            place.wrong(task.span(), "a task is drawn from the claims of a platform's token, `type = \"oidc\"`", mend);
            TaskNaming::Caller
        }
    };
    match keys::pinned(place, raw.jwks_file, raw.jwks)? {
        Some((jwks, _)) => Some(Identity { proof: Proof::PrivateKeyJwt(jwks), task }),
        None => {
            let mend = "write jwks_file = \"../keys/NAME.jwks.json\", or jwks = { keys = [ … ] }";
            place.wrong(place.span.clone(), "`private_key_jwt` needs its public keys", mend);
            None
        }
    }
}
