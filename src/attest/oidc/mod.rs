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

use ring::digest::{SHA256, digest};

use crate::jose::Jwk;
use crate::model::UnixTime;
use crate::policy::{IdentityUsed, Issuer, IssuerKeys, KeySource, Member, PolicySet, TaskNaming};

use super::caller::{Caller, Fault, PlatformToken, TaskBy, Who};
use super::keys::Decoys;

pub use issuers::{Bounds, Issuers};
pub(super) use issuers::{Platform, Wish};
pub(super) use seen::{Key as SeenKey, Proof, Seen};
pub(super) use token::{Expect, Token, is_platform_token};

/// What came of a token.
pub(super) enum Judged {
    /// Proven; where its issuer's keys are fetched, by these.
    Proven(Box<Caller>, Option<Trust>),
    /// Not proven, with words for the audit log.
    Not(Fault, String),
    /// Not proven with the keys at hand; newer ones are being fetched.
    Unsure(Wish, Fault, String),
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
        Some(issuer) => by_signature(issuers, decoys, issuer, token, client_id),
        None => Found { fault: Some(Fault::UnknownIssuer), ..Found::default() },
    };
    if !found.was_checked {
        // As long as it takes to find a signature wrong: who is known here cannot be told by the clock.
        decoys.verify(token.compact, None);
    }
    if found.members.is_empty() {
        let fault = found.fault.unwrap_or(Fault::UnknownClient);
        let why = found.why.unwrap_or_default();
        return match found.wish {
            Some(wish) => Judged::Unsure(wish, fault, why),
            None => Judged::Not(fault, why),
        };
    }
    by_claims(token, &found.members)
}

/// Who may show this token, as far as its signature says.
#[derive(Default)]
struct Found<'a> {
    members: Vec<(&'a Member, Option<Trust>)>,
    was_checked: bool,
    fault: Option<Fault>,
    wish: Option<Wish>,
    why: Option<String>,
}

fn by_signature<'a>(
    issuers: &Issuers,
    decoys: &Decoys,
    issuer: &'a Issuer,
    token: &Token<'_>,
    client_id: Option<&str>,
) -> Found<'a> {
    let is_meant = |member: &&Member| client_id.is_none_or(|id| member.client.is(id));
    let mut found = Found::default();
    for keys in issuer.keys.iter().filter(|keys| keys.members.iter().any(|member| is_meant(&member))) {
        let verified = match &keys.source {
            KeySource::Pinned(jwks, _) => {
                found.check(decoys, jwks.find(token.kid(), token.compact.header.alg), token, None)
            }
            _ => found.check_fetched(decoys, &issuers.platform(issuer, keys), token),
        };
        if let Some(trust) = verified {
            let IssuerKeys { members, .. } = keys;
            found.members.extend(members.iter().filter(is_meant).map(|member| (member, trust.clone())));
        }
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
            self.fault.get_or_insert(Fault::IssuerAway);
            self.why = Some(platform.trouble());
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
fn by_claims(token: &Token<'_>, members: &[(&Member, Option<Trust>)]) -> Judged {
    let addressed = |member: &Member| member.oidc.audience.as_deref().unwrap_or(token.broker) == token.aud;
    let mut fitting = members.iter().filter(|(member, _)| addressed(member) && member.oidc.is_shown_by(token.claims));
    let Some((member, trust)) = fitting.next() else {
        let mut whys: Vec<String> =
            members.iter().take(4).map(|(member, _)| why_not(token, member, &addressed)).collect();
        if members.len() > whys.len() {
            whys.push(format!("and {} more", members.len() - whys.len()));
        }
        return Judged::Not(Fault::Claims, whys.join(", "));
    };
    let who = Who::of(&member.client);
    if let Some((other, _)) = fitting.find(|(other, _)| !other.client.is(who.id())) {
        let why = format!("both {} and {} fit: send client_id", who.id(), Who::of(&other.client).id());
        return Judged::Not(Fault::AmbiguousClient, why);
    }
    let caller = Caller {
        identity: IdentityUsed::oidc(token.iss, member.oidc.kept(token.claims)),
        task: match &member.task {
            TaskNaming::Auto => TaskBy::Auto,
            TaskNaming::Attested(template) => TaskBy::Platform(template.fill(token.claims)),
            _ => TaskBy::Caller,
        },
        spent: None,
        token: Some(PlatformToken::new(&digest_of(token.compact.signing_input), token.from, token.until)),
        who,
    };
    Judged::Proven(Box::new(caller), trust.clone())
}

fn why_not(token: &Token<'_>, member: &Member, addressed: &impl Fn(&Member) -> bool) -> String {
    let who = Who::of(&member.client);
    match member.oidc.misses(token.claims) {
        _ if !addressed(member) => format!("{}: aud", who.id()),
        Some(claim) => format!("{}: {claim}", who.id()),
        None => who.id().to_owned(),
    }
}

/// Of what was signed, without the signature: of an ECDSA signature there is always a second one that fits.
fn digest_of(signed: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, signed.as_bytes()).as_ref());
    hash
}

impl Seen {
    /// What was proven by this very token before, if all it rests on still holds.
    pub(super) fn again(&self, key: &SeenKey, set: &PolicySet, now: UnixTime) -> Option<Caller> {
        let proof = self.get(key)?;
        let holds =
            *proof.set == *set.digest() && now < proof.until && proof.trust.as_ref().is_none_or(Trust::still_holds);
        holds.then(|| proof.caller.clone())
    }
}
