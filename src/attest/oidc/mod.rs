//! Platform tokens (RFC 7523 §3): whose they are, by issuer, signature, audience and claims.
//!
//! Owns what was proven so far ([`seen`]) and the issuers' keys ([`issuers`]). What the token says of itself is judged in
//! [`token`], before anything is looked up; what depends on who exists has one answer.

mod discover;
mod issuers;
mod seen;
mod token;

#[cfg(test)]
mod issuers_tests;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::jose::Jwk;
use crate::model::UnixTime;
use crate::policy::{Issuer, IssuerKeys, KeySource, Member, PolicySet, TaskNaming};

use super::caller::{Caller, Fault, PlatformToken, TaskBy, Who};
use super::keys::Decoys;

pub use issuers::{Bounds, IssuerView, Issuers};
pub(super) use issuers::{Platform, Wish};
pub(super) use seen::{Proof, Seen};
pub(super) use token::{Expect, Token, is_platform_token};

/// What came of a token.
pub(super) enum Judged {
    /// Proven; where its issuer's keys are fetched, by these.
    Proven(Arc<Caller>, Option<Trust>),
    /// Not proven, with words for the audit log.
    Not(Fault, String),
    /// Not proven with the keys at hand, and others may prove it: where they are being fetched, that is to be waited for.
    Unsure(Option<Wish>, Fault, String),
}

/// The keys that a proof rests on: they must still be the issuer's when it is used again.
#[derive(Debug, Clone)]
pub(super) struct Trust {
    platform: Arc<Platform>,
    generation: u64,
}

impl Trust {
    fn still_holds(&self) -> bool {
        self.platform.keys().is_some_and(|keys| keys.generation == self.generation)
    }
}

/// Judges a token whose form, times and audience are good in themselves.
pub(super) fn judge(
    issuers: &Issuers,
    decoys: &Decoys,
    set: &PolicySet,
    token: &Token<'_>,
    client_id: Option<&str>,
) -> Judged {
    let found = match set.issuer(token.iss) {
        Some(issuer) => by_signature(issuers, decoys, issuer, token),
        None => Found { fault: Some(Fault::UnknownIssuer), ..Found::default() },
    };
    if !found.was_checked {
        // As long as it takes to find a signature wrong: who is known here cannot be told by the clock.
        decoys.verify(token.compact, None);
    }
    let judged = match found.trusted.is_empty() {
        true => Judged::Not(found.fault.unwrap_or(Fault::UnknownKey), String::new()),
        false => by_claims(token, &found.trusted, client_id),
    };
    match (judged, found.away, found.wish) {
        // Whatever else was wrong: what is told while keys are away depends on the issuer alone.
        (Judged::Not(fault, _), Some(why), wish) if fault != Fault::AmbiguousClient => {
            Judged::Unsure(wish, Fault::IssuerAway, why)
        }
        (Judged::Not(fault, why), None, wish @ Some(_)) if found.trusted.is_empty() => Judged::Unsure(wish, fault, why),
        (judged, ..) => judged,
    }
}

/// What the signature says: which of the issuer's keys it is by.
#[derive(Default)]
struct Found<'a> {
    trusted: Vec<(&'a IssuerKeys, Option<Trust>)>,
    was_checked: bool,
    fault: Option<Fault>,
    wish: Option<Wish>,
    /// Why keys that may be the right ones cannot be had, for the audit log.
    away: Option<String>,
}

/// Whether this client is meant: the one that was named, or any.
fn is_meant(member: &Member, client_id: Option<&str>) -> bool {
    client_id.is_none_or(|id| member.client.is(id))
}

/// All keys of the issuer are looked through, whoever is meant: before a signature was verified, neither an answer nor the time
/// that it takes may depend on which clients exist.
fn by_signature<'a>(issuers: &Issuers, decoys: &Decoys, issuer: &'a Issuer, token: &Token<'_>) -> Found<'a> {
    let mut found = Found::default();
    for keys in &issuer.keys {
        let verified = match &keys.source {
            KeySource::Pinned(jwks, _) => {
                found.check(decoys, jwks.find(token.kid(), token.compact.header.alg), token, None)
            }
            _ => found.check_fetched(decoys, &issuers.platform(issuer, keys), token),
        };
        found.trusted.extend(verified.map(|trust| (keys, trust)));
    }
    found
}

impl Found<'_> {
    /// Checks the signature by `key`; gives what the proof rests on where it fits.
    fn check(
        &mut self,
        decoys: &Decoys,
        key: Option<&Jwk>,
        token: &Token<'_>,
        trust: Option<Trust>,
    ) -> Option<Option<Trust>> {
        let Some(key) = key else {
            self.fault.get_or_insert(Fault::UnknownKey);
            return None;
        };
        self.was_checked = true;
        if decoys.verify(token.compact, Some(key)) {
            return Some(trust);
        }
        self.fault = Some(Fault::BadSignature);
        None
    }

    fn check_fetched(&mut self, decoys: &Decoys, platform: &Arc<Platform>, token: &Token<'_>) -> Option<Option<Trust>> {
        let Some(keys) = platform.keys() else {
            self.away = Some(platform.trouble());
            self.wish = self.wish.take().or_else(|| platform.wish());
            return None;
        };
        let key = keys.set.find(token.kid(), token.compact.header.alg);
        // A key that is not known may be new; a token that names none is not worth a question.
        if key.is_none() && token.kid().is_some() {
            self.wish = self.wish.take().or_else(|| platform.wish());
        }
        let trust = Trust { platform: platform.clone(), generation: keys.generation };
        self.check(decoys, key, token, Some(trust))
    }
}

/// The one client whose rules the claims meet.
fn by_claims(token: &Token<'_>, trusted: &[(&IssuerKeys, Option<Trust>)], client_id: Option<&str>) -> Judged {
    let addressed = |member: &Member| member.oidc.audience.as_deref().unwrap_or(token.broker) == token.aud;
    let fits =
        |member: &Member| is_meant(member, client_id) && addressed(member) && member.oidc.is_shown_by(token.claims);
    let all = trusted.iter().flat_map(|(keys, trust)| keys.candidates(token.claims).map(move |member| (member, trust)));
    let mut fitting = all.filter(|(member, _)| fits(member));
    let Some((member, trust)) = fitting.next() else {
        let members = trusted.iter().flat_map(|(keys, _)| &keys.members).filter(|member| is_meant(member, client_id));
        let members: Vec<_> = members.collect();
        let fault = if members.is_empty() { Fault::UnknownClient } else { Fault::Claims };
        return Judged::Not(fault, whys(token, members.into_iter(), addressed));
    };
    let who = Who::of(&member.client);
    if let Some((other, _)) = fitting.find(|(other, _)| !other.client.is(who.id())) {
        let why = format!("both {} and {} fit: send client_id", who.id(), Who::of(&other.client).id());
        return Judged::Not(Fault::AmbiguousClient, why);
    }
    Judged::Proven(Arc::new(caller(token, member, who)), trust.clone())
}

fn caller(token: &Token<'_>, member: &Member, who: Who) -> Caller {
    Caller {
        identity: member.used(token.claims),
        task: match &member.task {
            TaskNaming::Auto => TaskBy::Auto,
            TaskNaming::Attested(template) => TaskBy::Platform(template.fill(token.claims)),
            _ => TaskBy::Caller,
        },
        spent: None,
        token: Some(PlatformToken::new(&member.oidc.issuer, token.digest, (token.from, token.until))),
        who,
    }
}

/// For the audit log: what clients ask for and the token does not say, the nearest first.
fn whys<'a>(
    token: &Token<'_>,
    members: impl Iterator<Item = &'a Member>,
    addressed: impl Fn(&Member) -> bool,
) -> String {
    /// So many are looked at, and so many told.
    const FEW: (usize, usize) = (64, 4);
    let mut whys: Vec<_> = members.take(FEW.0).map(|member| why_not(token, member, addressed(member))).collect();
    whys.sort_by_key(|(_, missed)| missed.len());
    let told = whys.iter().take(FEW.1).map(|(id, missed)| format!("{id}: {}", missed.join(" and ")));
    told.collect::<Vec<_>>().join(", ")
}

/// Each thing that this client asks for, and what the token shows in its place.
fn why_not(token: &Token<'_>, member: &Member, is_addressed: bool) -> (String, Vec<String>) {
    let mut missed = Vec::new();
    if !is_addressed {
        let wanted = member.oidc.audience.as_deref().unwrap_or(token.broker);
        missed.push(format!("aud wanted {}, shown {}", brief(wanted), brief(token.aud)));
    }
    missed.extend(member.oidc.missed(token.claims).map(|rule| {
        let shown = rule.shown(token.claims);
        let shown = shown.as_deref().map_or_else(|| "nothing".to_owned(), brief);
        let like = if rule.glob().is_some() { "like " } else { "" };
        let wanted = rule.exact().or(rule.glob()).unwrap_or_default();
        format!("{} wanted {like}{}, shown {shown}", rule.name, brief(wanted))
    }));
    (Who::of(&member.client).id().to_owned(), missed)
}

/// A value in quotes, cut where it is long: a line of the log holds those of several clients.
fn brief(value: &str) -> String {
    const LONGEST: usize = 100;
    let cut = if value.chars().count() > LONGEST { "…" } else { "" };
    format!("`{}{cut}`", value.chars().take(LONGEST).collect::<String>())
}

impl Seen {
    /// What was proven by this very token before, if all it rests on still holds.
    pub(super) fn again(
        &self,
        token: &str,
        client_id: Option<&str>,
        set: &PolicySet,
        now: UnixTime,
    ) -> Option<Arc<Caller>> {
        let proof = self.get(token, client_id)?;
        let holds = proof.set == *set.shared_digest()
            && now < proof.until
            && proof.trust.as_ref().is_none_or(Trust::still_holds);
        holds.then(|| proof.caller.clone())
    }
}
