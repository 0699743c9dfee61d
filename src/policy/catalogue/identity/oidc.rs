//! `type = "oidc"`: a platform's own token, whose issuer, audience and claims a file names.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use toml::Spanned;

use super::claims::{ClaimRule, Claims, Says, text_of_claim};
use super::keys::KeysDigest;
use super::tenants::{self, Unpinned};
use super::{Identity, Place, Proof, RawClaims, RawIdentity, TaskNaming, TaskTemplate, keys};
use crate::jose::JwkSet;
use crate::policy::diagnostic::Diagnostic;

/// The most claims that are kept, and the longest name of one.
const MAX_KEEP: usize = 16;
const MAX_NAME: usize = 128;

/// What tells of a token and of nobody: its issuer, for whom it is, its times, its own name. Each token of the issuer has them,
/// and for the broker's audience says the same.
const OF_THE_TOKEN: [&str; 6] = ["iss", "aud", "exp", "iat", "nbf", "jti"];

/// A platform's tokens, and which of them are this client's.
#[derive(Debug, Clone)]
pub struct Oidc {
    /// The `iss` of its tokens, letter by letter.
    pub issuer: Arc<str>,
    /// The `aud` of its tokens; the broker's issuer where there is none.
    pub audience: Option<Arc<str>>,
    /// What its claims must say, all of it.
    pub claims: Vec<ClaimRule>,
    /// The claims kept for policies and the audit log.
    pub keep: Vec<Arc<str>>,
    /// Where its keys come from.
    pub keys: KeySource,
}

/// Where an issuer's keys come from.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum KeySource {
    /// Its discovery document.
    Discovery,
    /// A JWK Set at this address.
    Uri(Arc<str>),
    /// These, and no others.
    Pinned(Arc<JwkSet>, [u8; 32]),
}

impl PartialEq for KeySource {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Discovery, Self::Discovery) => true,
            (Self::Uri(one), Self::Uri(two)) => one == two,
            (Self::Pinned(_, one), Self::Pinned(_, two)) => one == two,
            _ => false,
        }
    }
}

impl Oidc {
    /// Whether a token with these claims is this client's; its signature and times are judged elsewhere.
    pub fn is_shown_by(&self, claims: &Claims<'_>) -> bool {
        self.claims.iter().all(|rule| rule.holds(claims))
    }

    /// The rules that these claims do not meet.
    pub fn missed<'a>(&'a self, claims: &'a Claims<'_>) -> impl Iterator<Item = &'a ClaimRule> {
        self.claims.iter().filter(|rule| !rule.holds(claims))
    }

    /// The claims to keep, those that are there.
    pub fn kept(&self, claims: &Claims<'_>) -> impl Iterator<Item = (String, String)> {
        self.keep.iter().filter_map(|name| Some((name.to_string(), text_of_claim(claims, name)?.into_owned())))
    }
}

/// Reads an identity of this kind.
pub(super) fn read(place: &mut Place<'_, '_>, raw: RawIdentity) -> Option<Identity> {
    let Some(issuer) = raw.issuer else {
        let mend = "write issuer = \"https://…\", exactly as the `iss` of the platform's tokens";
        place.wrong(place.span.clone(), "`oidc` needs its `issuer`", mend);
        return None;
    };
    let before = place.reading.findings.len();
    address(place, "issuer", &issuer);
    let audience = raw.audience.and_then(|audience| read_audience(place, audience));
    let claims_at = raw.claims.as_ref().map(Spanned::span);
    let claims = raw.claims.map(|claims| read_claims(place, claims.into_inner())).unwrap_or_default();
    let keep = read_keep(place, raw.keep.unwrap_or_default());
    let task = read_task(place, raw.task);
    let keys = read_keys(place, raw.jwks_file, raw.jwks, raw.jwks_uri)?;
    if place.reading.findings.len() > before {
        return None;
    }
    pinned(place, &issuer, claims_at, &claims)?;
    let oidc = Oidc { issuer: issuer.into_inner().into(), audience, claims, keep, keys };
    Some(Identity { proof: Proof::Oidc(Arc::new(oidc)), task })
}

/// An issuer that others use too must be pinned to a tenant; any other must be asked for something.
fn pinned(
    place: &mut Place<'_, '_>,
    issuer: &Spanned<String>,
    claims_at: Option<Range<usize>>,
    claims: &[ClaimRule],
) -> Option<()> {
    match tenants::check(issuer.get_ref(), claims) {
        Ok(()) if !claims.iter().any(tells_whose) => {
            let mend = "write claims = { sub = \"…\" }: what this workload's tokens say and no other's do";
            let what = match claims.is_empty() {
                true => "without `claims`, every token of this issuer would be this workload's".to_owned(),
                false => format!(
                    "every token of this issuer would be this workload's: {}, or a glob of `*` alone, tell nobody from another",
                    OF_THE_TOKEN.map(|name| format!("`{name}`")).join(", ")
                ),
            };
            place.wrong(claims_at.unwrap_or_else(|| issuer.span()), what, mend);
            None
        }
        Ok(()) => Some(()),
        Err(Unpinned::Issuer { what, mend }) => {
            place.wrong(issuer.span(), what, mend);
            None
        }
        Err(Unpinned::Claims { what, mend }) => {
            place.wrong(claims_at.unwrap_or_else(|| issuer.span()), what, mend);
            None
        }
    }
}

/// Whether a rule tells some tokens of an issuer from its others.
fn tells_whose(rule: &ClaimRule) -> bool {
    !OF_THE_TOKEN.contains(&&*rule.name) && rule.glob().is_none_or(|glob| glob.bytes().any(|byte| byte != b'*'))
}

/// An address that keys may be asked of: https, or http on this machine, which the broker's configuration must name then.
fn address(place: &mut Place<'_, '_>, name: &str, address: &Spanned<String>) {
    let text = address.get_ref();
    let why = match text.parse::<http::Uri>() {
        _ if !text.bytes().all(|b| b.is_ascii_graphic()) => Some("it is no URL"),
        _ if text.contains(['?', '#', '@', '\\']) => Some("a URL without user, query or fragment is needed"),
        _ if text.len() > 512 => Some("it is longer than 512 characters"),
        Ok(uri) => {
            let host = uri.host().unwrap_or_default();
            let is_here = matches!(host, "localhost" | "127.0.0.1" | "[::1]");
            match uri.scheme_str() {
                _ if host.is_empty() => Some("it names no host"),
                _ if host.bytes().any(|b| b.is_ascii_uppercase()) => Some("write the host in lower case"),
                Some("https") => None,
                Some("http") if is_here => None,
                Some("http") => Some("plain http reaches this machine only"),
                _ => Some("it does not begin with https://"),
            }
        }
        Err(_) => Some("it is no URL"),
    };
    if let Some(why) = why {
        let mend = "write it like https://issuer.example.com, with the path it has and without a query";
        place.wrong(address.span(), format!("`{name}` cannot be used: {why}"), mend);
    }
}

fn read_audience(place: &mut Place<'_, '_>, audience: Spanned<String>) -> Option<Arc<str>> {
    let text = audience.get_ref();
    if text.is_empty() || text.len() > 512 || text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        let mend =
            "name one `aud`, as the platform writes it; leave it out where that is the broker's issuer, which is best";
        place.wrong(audience.span(), "`audience` is 1 to 512 characters, none of them a space or a control", mend);
        return None;
    }
    Some(audience.into_inner().into())
}

fn read_claims(place: &mut Place<'_, '_>, raw: RawClaims) -> Vec<ClaimRule> {
    const MEND: &str = "a claim says exactly a string, whole number or boolean; or, where it may vary, ref = { glob = \"refs/tags/v*\" }";
    let mut rules = Vec::with_capacity(raw.len());
    for (name, value) in raw {
        let says = match value.get_ref() {
            toml::Value::String(text) => Some(Says::Exactly(text.as_str().into())),
            toml::Value::Integer(number) => Some(Says::Exactly(number.to_string().into())),
            toml::Value::Boolean(flag) => Some(Says::Exactly(flag.to_string().into())),
            toml::Value::Table(table) => match (table.len(), table.get("glob")) {
                (1, Some(toml::Value::String(glob))) if glob.contains('*') => Some(Says::Glob(glob.as_str().into())),
                (1, Some(toml::Value::String(_))) => {
                    place.wrong(value.span(), "this glob has no `*`", "write the text itself: it is compared exactly");
                    continue;
                }
                _ => None,
            },
            _ => None,
        };
        match says {
            Some(says) if is_name(name.get_ref()) => rules.push(ClaimRule { name: name.into_inner().into(), says }),
            Some(_) => {
                place.wrong(name.span(), "this cannot name a claim", "1 to 128 characters, none of them a control")
            }
            None => place.wrong(value.span(), format!("the claim `{}` cannot be compared so", name.get_ref()), MEND),
        }
    }
    rules
}

fn read_keep(place: &mut Place<'_, '_>, raw: Vec<Spanned<String>>) -> Vec<Arc<str>> {
    let mut seen = HashSet::new();
    let mut keep = Vec::with_capacity(raw.len());
    for name in raw {
        let (text, span) = (name.get_ref().clone(), name.span());
        if !is_name(&text) || !seen.insert(text.clone()) || keep.len() == MAX_KEEP {
            let mend = "name each claim once, 16 at most, as the platform writes it";
            place.wrong(span, format!("`{text}` cannot be kept"), mend);
            continue;
        }
        keep.push(text.into());
    }
    keep
}

fn is_name(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.len()) && !name.chars().any(char::is_control)
}

fn read_task(place: &mut Place<'_, '_>, raw: Option<Spanned<String>>) -> TaskNaming {
    let Some(task) = raw else { return TaskNaming::Caller };
    if task.get_ref() == "auto" {
        return TaskNaming::Auto;
    }
    match TaskTemplate::parse(task.get_ref()) {
        Ok(template) => TaskNaming::Attested(Arc::new(template)),
        Err(why) => {
            let mend =
                "write task = \"{run_id}.{run_attempt}\", with claims of the platform's token, or task = \"auto\"";
            place.wrong(task.span(), format!("`task` is no template: {why}"), mend);
            TaskNaming::Caller
        }
    }
}

fn read_keys(
    place: &mut Place<'_, '_>,
    file: Option<Spanned<String>>,
    inline: Option<Spanned<toml::Table>>,
    uri: Option<Spanned<String>>,
) -> Option<KeySource> {
    let pinned: Option<(Arc<JwkSet>, KeysDigest)> = keys::pinned(place, file, inline)?;
    match (pinned, uri) {
        (None, None) => Some(KeySource::Discovery),
        (Some((jwks, digest)), None) => Some(KeySource::Pinned(jwks, digest)),
        (None, Some(uri)) => {
            address(place, "jwks_uri", &uri);
            Some(KeySource::Uri(uri.into_inner().into()))
        }
        (Some(_), Some(uri)) => {
            let finding = Diagnostic::error("identity", "`jwks_uri` and pinned keys exclude each other");
            place.reading.found(finding, uri.span());
            None
        }
    }
}
