//! `policies/audiences/*.toml`.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use super::field::Reading;
use super::identity::{self, RawIdentity};
use super::{Audience, ScopeDeclaration};
use crate::model::{AudienceUri, Scope};
use crate::policy::diagnostic::{Diagnostic, SourceFile};
use crate::policy::sources::Sources;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAudience {
    id: Option<Spanned<String>>,
    owner: Option<Spanned<String>>,
    purpose: Option<Spanned<String>>,
    max_ttl: Option<Spanned<String>>,
    max_lifetime: Option<Spanned<String>>,
    #[serde(default)]
    scopes: BTreeMap<Spanned<String>, Spanned<String>>,
    #[serde(default)]
    identity: Vec<Spanned<RawIdentity>>,
}

/// Reads one file. Errors go to `findings`, and so do gaps of governance, as warnings.
pub(in crate::policy) fn read(
    file: &SourceFile,
    sources: &mut Sources,
    findings: &mut Vec<Diagnostic>,
) -> Option<Audience> {
    let mut reading = Reading { file, findings };
    let raw: RawAudience = reading.toml()?;
    let id = read_id(&mut reading, raw.id)?;
    let audience = Audience {
        file: file.path.rsplit('/').next().unwrap_or_default().to_owned(),
        owner: reading.text("owner", raw.owner),
        purpose: reading.text("purpose", raw.purpose),
        max_ttl: reading.span(raw.max_ttl),
        max_lifetime: reading.span(raw.max_lifetime),
        scopes: raw.scopes.into_iter().filter_map(|(name, about)| declaration(&mut reading, name, about)).collect(),
        identities: identity::read_all(&mut reading, sources, "audiences", raw.identity),
        id,
    };
    for (name, missing) in [("owner", audience.owner.is_none()), ("purpose", audience.purpose.is_none())] {
        if missing {
            reading.found(Diagnostic::warning("governance", format!("audience `{}` has no {name}", audience.id)), 0..0);
        }
    }
    if audience.scopes.is_empty() {
        let finding = Diagnostic::warning("governance", format!("audience `{}` declares no scope", audience.id));
        reading.found(finding.help("add [scopes]; nothing can be asked of it until then"), 0..0);
    }
    Some(audience)
}

fn read_id(reading: &mut Reading<'_>, id: Option<Spanned<String>>) -> Option<AudienceUri> {
    let Some(id) = id else {
        let finding = Diagnostic::error("audience", "an audience needs its `id`");
        reading.found(finding.help("write id = \"https://…\": the `aud` that the resource server expects"), 0..0);
        return None;
    };
    match AudienceUri::parse(id.get_ref()) {
        Ok(uri) => Some(uri),
        Err(error) => {
            let finding = Diagnostic::error("audience", format!("`{}` cannot name an audience", id.get_ref()));
            reading.found(finding.help(format!("it is {}", error.rule)), id.span());
            None
        }
    }
}

fn declaration(reading: &mut Reading<'_>, name: Spanned<String>, about: Spanned<String>) -> Option<ScopeDeclaration> {
    let text = name.get_ref().as_str();
    let closed = text.strip_suffix(":*").unwrap_or(text);
    let wrong = match Scope::parse(text) {
        Err(error) => Some(error.rule),
        Ok(_) if closed.is_empty() || closed.contains('*') => {
            Some("`*` stands for an instance, as the last part: `orders:read:*`")
        }
        Ok(_) => None,
    };
    if let Some(rule) = wrong {
        let finding = Diagnostic::error("scope", format!("`{text}` cannot name a scope"));
        reading.found(finding.help(rule), name.span());
        return None;
    }
    Some(ScopeDeclaration { name: text.into(), about: about.into_inner() })
}
