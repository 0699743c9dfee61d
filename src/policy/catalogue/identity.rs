//! The ways to prove who one is: `[[identity]]` in the files of workloads and audiences.

use std::ops::Range;
use std::sync::Arc;

use serde::Deserialize;
use toml::Spanned;

use super::field::Reading;
use crate::jose::JwkSet;
use crate::policy::diagnostic::Diagnostic;
use crate::policy::sources::{Sources, resolve};

/// One way to prove itself.
#[derive(Debug, Clone)]
pub struct Identity {
    /// By which means.
    pub kind: IdentityKind,
    /// The public keys its assertions are signed with.
    pub jwks: Arc<JwkSet>,
    /// Who names the task.
    pub task: TaskNaming,
}

/// By which means a caller proves itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum IdentityKind {
    /// An assertion signed with its own key (RFC 7523, OpenID Connect Core §9).
    PrivateKeyJwt,
}

impl IdentityKind {
    /// As files and policies write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PrivateKeyJwt => "private_key_jwt",
        }
    }
}

/// Who names the task of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TaskNaming {
    /// The caller does; a request without `task` is refused.
    Caller,
    /// The caller may; the broker names one otherwise (`task = "auto"`).
    Auto,
}

/// Named in the contract, built later: refused by name, so that nobody believes them to work.
const LATER: &[&str] = &["oidc", "spiffe", "mtls"];

/// Flat, because a tagged enum would lose the places of its fields.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawIdentity {
    r#type: Option<Spanned<String>>,
    jwks_file: Option<Spanned<String>>,
    jwks: Option<Spanned<toml::Table>>,
    task: Option<Spanned<String>>,
    // Fields of later kinds: read, so that the kind is what gets refused.
    issuer: Option<Spanned<toml::Value>>,
    claims: Option<Spanned<toml::Value>>,
    audience: Option<Spanned<toml::Value>>,
}

/// Checks the identities of a file in `folder`; those with a finding are left out.
pub(super) fn read_all(
    reading: &mut Reading<'_>,
    sources: &mut Sources,
    folder: &str,
    raw: Vec<Spanned<RawIdentity>>,
) -> Vec<Identity> {
    raw.into_iter()
        .filter_map(|raw| {
            let span = raw.span();
            read(reading, sources, folder, raw.into_inner(), span)
        })
        .collect()
}

fn read(
    reading: &mut Reading<'_>,
    sources: &mut Sources,
    folder: &str,
    raw: RawIdentity,
    span: Range<usize>,
) -> Option<Identity> {
    let Some(kind) = &raw.r#type else {
        let finding = Diagnostic::error("identity", "an identity needs its `type`");
        reading.found(finding.help("write type = \"private_key_jwt\""), span);
        return None;
    };
    let kind = known_kind(reading, kind)?;
    for (name, field) in [("issuer", &raw.issuer), ("claims", &raw.claims), ("audience", &raw.audience)] {
        if let Some(field) = field {
            let finding = Diagnostic::error("identity", format!("`{name}` does not belong to `{}`", kind.as_str()));
            reading.found(finding, field.span());
        }
    }
    let task = match raw.task {
        None => TaskNaming::Caller,
        Some(task) if task.get_ref() == "auto" => TaskNaming::Auto,
        Some(task) => {
            let finding = Diagnostic::error("identity", "a task drawn from a platform's claims is not built yet");
            reading
                .found(finding.help("write task = \"auto\", or leave it out: the caller names its task"), task.span());
            TaskNaming::Caller
        }
    };
    let is_inline = raw.jwks.is_some();
    let (text, place) = match (raw.jwks_file, raw.jwks) {
        (Some(file), None) => fetch(reading, sources, folder, &file)?,
        (None, Some(inline)) => (serde_json::to_string(inline.get_ref()).unwrap_or_default(), inline.span()),
        (None, None) => {
            let finding = Diagnostic::error("identity", "`private_key_jwt` needs its public keys");
            reading
                .found(finding.help("write jwks_file = \"../keys/NAME.jwks.json\", or jwks = { keys = [ … ] }"), span);
            return None;
        }
        (Some(_), Some(inline)) => {
            let finding = Diagnostic::error("identity", "`jwks_file` and `jwks` exclude each other");
            reading.found(finding.withheld(), inline.span());
            return None;
        }
    };
    let wrong = match JwkSet::parse(text.as_bytes()) {
        Ok(jwks) if jwks.keys().is_empty() => "there is none in the set".to_owned(),
        Ok(jwks) => return Some(Identity { kind, jwks: Arc::new(jwks), task }),
        Err(error) => error.to_string(),
    };
    let mut finding = Diagnostic::error("jwks", format!("these keys cannot be used: {wrong}"));
    if is_inline {
        // It may be a private key.
        finding = finding.withheld();
    }
    reading.found(finding.help("they are a JWK Set of public keys (RFC 7517): {\"keys\":[{\"kty\":…}]}"), place);
    None
}

fn known_kind(reading: &mut Reading<'_>, kind: &Spanned<String>) -> Option<IdentityKind> {
    let name = kind.get_ref().as_str();
    if name == IdentityKind::PrivateKeyJwt.as_str() {
        return Some(IdentityKind::PrivateKeyJwt);
    }
    let finding = if LATER.contains(&name) {
        Diagnostic::error("identity", format!("identity type `{name}` is not built yet"))
            .help("type = \"private_key_jwt\" is what this version knows")
    } else {
        Diagnostic::error("identity", format!("unknown identity type `{name}`"))
            .help("write type = \"private_key_jwt\"")
    };
    reading.found(finding, kind.span());
    None
}

/// The text of a `jwks_file`, and the place that names it.
fn fetch(
    reading: &mut Reading<'_>,
    sources: &mut Sources,
    folder: &str,
    file: &Spanned<String>,
) -> Option<(String, Range<usize>)> {
    match sources.fetch(&resolve(folder, file.get_ref())) {
        Ok(text) => Some((text.text.to_string(), file.span())),
        Err(error) => {
            let finding = Diagnostic::error("jwks", format!("cannot read `{}`: {error}", file.get_ref()));
            reading.found(finding.help("the path starts from the folder of this file"), file.span());
            None
        }
    }
}
