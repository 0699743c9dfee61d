//! The check of one token: pure memory, no I/O, no lock that another thread holds for long.
//!
//! A fixed order of checks. A token seen before skips parsing and cryptography, and nothing else.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::own::Own;
use super::{Invalid, VerifiedToken, claims};
use crate::jose::es256::VerifyingKey;
use crate::jose::{Alg, Compact, EncodedHeader, JoseError, Segments, Signed};
use crate::model::{AccessClaims, Clock, KeyId, RuleDigest, Selector, UnixTime};
use crate::revocation::{TokenDigests, View};

/// What one seen token may weigh on average, in bytes: the cache holds `seen` times as much, and at most `seen` tokens.
const SEEN_BYTES: u64 = 2304;
/// What a seen token takes besides its text: parsed claims, digests, what is made of them, and the cache's own.
const SEEN_OVERHEAD: u64 = 1200;
/// The media type of an access token (RFC 9068 §2.1), short and whole (RFC 7515 §4.1.9).
const TYPES: [&str; 2] = ["at+jwt", "application/at+jwt"];

/// How a checker is set up.
#[derive(Debug, Clone)]
pub struct CheckerOptions {
    /// The one `iss` that is accepted, letter by letter.
    pub issuer: String,
    /// The clock; one that never runs back, as rules are dropped by it too.
    pub clock: Clock,
    /// How far `nbf` and `iat` may lie in the future: at most [`Checker::MAX_SKEW`]. `exp` has no such grace.
    pub skew: Duration,
    /// How many tokens are remembered, in at most 2.25 KiB each on average. 0 remembers none.
    pub seen: usize,
}

impl CheckerOptions {
    /// The usual options: 5 s of skew, 10 000 seen tokens, a clock that never runs back.
    pub fn new(issuer: impl Into<String>) -> Self {
        Self { issuer: issuer.into(), clock: Clock::never_back(), skew: Duration::from_secs(5), seen: 10_000 }
    }
}

/// What the caller wants of a token besides its being good; what is absent is not looked at.
#[derive(Debug, Clone, Copy, Default)]
pub struct Expect<'a> {
    /// It is for this resource server (a path of `/` equals none).
    pub audience: Option<&'a str>,
    /// It has all of these scopes.
    pub scopes: &'a [&'a str],
    /// It is for this very task.
    pub task: Option<&'a str>,
}

/// Checks tokens of one issuer against a table of keys and a view of revocations, both fed from beside.
#[derive(Debug)]
pub struct Checker {
    issuer: String,
    clock: Clock,
    skew: Duration,
    keys: ArcSwap<KeyTable>,
    keys_generation: AtomicU64,
    view: Arc<View>,
    seen: Option<Cache<Box<str>, Arc<VerifiedToken>, Weigh>>,
    own: Own,
}

#[derive(Debug, Default)]
struct KeyTable {
    generation: u64,
    keys: HashMap<KeyId, Accepted>,
    /// The header that jitney writes under each key, encoded: a token that begins with it needs no reading of its header.
    headers: HashMap<Box<str>, KeyId>,
}

#[derive(Debug, Clone)]
struct Accepted {
    key: Arc<VerifyingKey>,
    /// What a rule on the key would name.
    digest: RuleDigest,
}

impl KeyTable {
    fn new(generation: u64, keys: &[(KeyId, VerifyingKey)]) -> Self {
        let header = |kid: &KeyId| (EncodedHeader::es256(TYPES[0], kid).as_str().into(), kid.clone());
        let accepted = |key: &VerifyingKey, kid: &KeyId| Accepted {
            key: Arc::new(key.clone()),
            digest: Selector::Key(kid.clone()).digest(),
        };
        Self {
            generation,
            headers: keys.iter().map(|(kid, _)| header(kid)).collect(),
            keys: keys.iter().map(|(kid, key)| (kid.clone(), accepted(key, kid))).collect(),
        }
    }

    /// The key that the token is under, where its form and all of its header are as they must be.
    fn key_of(&self, token: &str, segments: &Segments<'_>) -> Result<(&KeyId, &Accepted), Invalid> {
        if let Some(kid) = self.headers.get(segments.header) {
            return self.keys.get_key_value(kid).ok_or(Invalid::Key);
        }
        let header = Compact::parse(token).map_err(|error| unreadable(&error))?.header;
        if header.alg != Alg::Es256 {
            return Err(Invalid::Algorithm);
        }
        let typ = header.typ.unwrap_or_default();
        if !TYPES.iter().any(|known| typ.eq_ignore_ascii_case(known)) {
            return Err(Invalid::Type);
        }
        let kid = header.kid.ok_or(Invalid::Key)?;
        self.keys.get_key_value(kid.as_str()).ok_or(Invalid::Key)
    }
}

const fn unreadable(error: &JoseError) -> Invalid {
    match error {
        JoseError::Header(_) => Invalid::Header,
        JoseError::Algorithm => Invalid::Algorithm,
        _ => Invalid::Format,
    }
}

impl Checker {
    /// The largest skew.
    pub const MAX_SKEW: Duration = View::MARGIN;

    /// A checker without keys: it refuses everything until [`Checker::set_keys`]. A skew beyond the largest is cut to it.
    pub fn new(options: CheckerOptions, view: Arc<View>) -> Self {
        let CheckerOptions { issuer, clock, skew, seen } = options;
        let seen = (seen > 0).then(|| {
            let least = SEEN_BYTES;
            Cache::with_weighter(seen, least.saturating_mul(seen as u64), Weigh)
        });
        let skew = skew.min(Self::MAX_SKEW);
        let (keys, keys_generation) = (ArcSwap::default(), AtomicU64::new(0));
        Self { issuer, clock, skew, keys, keys_generation, view, seen, own: Own::default() }
    }

    /// Replaces the keys that are accepted. Tokens under any other are refused from now on, seen before or not.
    pub fn set_keys(&self, keys: Vec<(KeyId, VerifyingKey)>) {
        let table = self.keys.rcu(|old| KeyTable::new(old.generation + 1, &keys));
        self.keys_generation.fetch_max(table.generation + 1, Ordering::AcqRel);
    }

    /// Remembers a token that this process has signed just now, so that its signature need not be checked here; where nobody asks
    /// about tokens, it does not. Of such a token all else is checked as of any other: that its key is accepted, its claims, its
    /// times, the rules.
    pub fn vouch(&self, token: &Signed) {
        self.own.put(token.text().expose(), token.by());
    }

    /// The view it judges by.
    pub const fn view(&self) -> &Arc<View> {
        &self.view
    }

    /// The clock it judges by.
    pub const fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Checks a token, first sight or not.
    ///
    /// # Errors
    /// The first check that failed, in the order of [`Invalid`].
    pub fn check(&self, token: &str, expect: &Expect<'_>) -> Result<Arc<VerifiedToken>, Invalid> {
        self.check_at(token, expect, self.clock.now())
    }

    /// The same, at this moment.
    pub(super) fn check_at(
        &self,
        token: &str,
        expect: &Expect<'_>,
        now: UnixTime,
    ) -> Result<Arc<VerifiedToken>, Invalid> {
        let verified = match self.recall(token) {
            Some(seen) => seen,
            None => self.first_sight(token, now)?,
        };
        let claims = &verified.claims;
        if expect.audience.is_some_and(|audience| !claims.aud.matches(audience)) {
            return Err(Invalid::Audience);
        }
        self.times(claims, now)?;
        if !expect.scopes.iter().all(|scope| claims.scope.contains(scope)) {
            return Err(Invalid::Scope);
        }
        if expect.task.is_some_and(|task| task != claims.txn.as_str()) {
            return Err(Invalid::Task);
        }
        self.rules(&verified)?;
        Ok(verified)
    }

    /// Checks all that is the token's own and expects nothing of it: for introspection.
    ///
    /// # Errors
    /// As [`Checker::check`].
    pub fn inspect(&self, token: &str) -> Result<Arc<VerifiedToken>, Invalid> {
        self.check(token, &Expect::default())
    }

    /// Opens a token: form, key, signature, issuer and claims, but neither its times nor the rules. For ending it, which
    /// is no error when it has ended already.
    ///
    /// # Errors
    /// The first of those checks that failed.
    pub fn open(&self, token: &str) -> Result<Arc<VerifiedToken>, Invalid> {
        match self.recall(token) {
            Some(seen) => Ok(seen),
            None => self.first_sight(token, self.clock.now()),
        }
    }

    /// Judges anew a token that this checker let pass before: key, times, rules.
    ///
    /// # Errors
    /// [`Invalid::Key`], one of the times, or [`Invalid::Revoked`].
    pub fn judge(&self, verified: &VerifiedToken) -> Result<(), Invalid> {
        if !self.still_accepts(verified) {
            return Err(Invalid::Key);
        }
        self.times(&verified.claims, self.clock.now())?;
        self.rules(verified)
    }

    /// The token as it was seen before, if its key is still accepted.
    fn recall(&self, token: &str) -> Option<Arc<VerifiedToken>> {
        self.seen.as_ref()?.get(token).filter(|verified| self.still_accepts(verified))
    }

    fn first_sight(&self, token: &str, now: UnixTime) -> Result<Arc<VerifiedToken>, Invalid> {
        let segments = Segments::of(token).map_err(|error| unreadable(&error))?;
        let table = self.keys.load();
        let (kid, Accepted { key, digest }) = table.key_of(token, &segments)?;
        let (payload, signature) = segments.decode().map_err(|error| unreadable(&error))?;
        if !self.own.has(token, key) {
            key.verify(segments.signing_input.as_bytes(), &signature).map_err(|_| Invalid::Signature)?;
        }
        let claims = claims::read(&payload).ok_or(Invalid::Claims)?;
        if claims.iss != self.issuer {
            return Err(Invalid::Issuer);
        }
        let verified = Arc::new(VerifiedToken {
            digests: TokenDigests::under(&claims, *digest),
            claims,
            kid: kid.clone(),
            key: Arc::clone(key),
            keyed: AtomicU64::new(table.generation),
            passed: AtomicU64::new(0),
            kept: OnceLock::new(),
        });
        if let Some(seen) = self.seen.as_ref().filter(|_| verified.claims.exp > now) {
            seen.insert(token.into(), Arc::clone(&verified));
        }
        Ok(verified)
    }

    fn still_accepts(&self, verified: &VerifiedToken) -> bool {
        if verified.keyed.load(Ordering::Acquire) == self.keys_generation.load(Ordering::Acquire) {
            return true;
        }
        let table = self.keys.load();
        let same = table.keys.get(&verified.kid).is_some_and(|own| own.key.point() == verified.key.point());
        if same {
            verified.keyed.store(table.generation, Ordering::Release);
        }
        same
    }

    fn times(&self, claims: &AccessClaims, now: UnixTime) -> Result<(), Invalid> {
        // What the view dropped by a clock that was ahead may have ended it: it was past then, and is past for good.
        if claims.exp <= now.max(self.view.lost()) {
            return Err(Invalid::Expired);
        }
        let latest = now.plus(self.skew);
        if claims.nbf > latest {
            return Err(Invalid::NotYet);
        }
        if claims.iat > latest {
            return Err(Invalid::IssuedLater);
        }
        Ok(())
    }

    fn rules(&self, verified: &VerifiedToken) -> Result<(), Invalid> {
        let passed = verified.passed.load(Ordering::Acquire);
        if passed == self.view.generation() {
            return Ok(());
        }
        let passed = self.view.judge(&verified.digests, verified.claims.rev, passed).map_err(Invalid::Revoked)?;
        verified.passed.fetch_max(passed, Ordering::AcqRel);
        Ok(())
    }
}

/// Bounds the cache by number and by bytes at once: no token weighs less than its share.
#[derive(Debug, Clone)]
struct Weigh;

impl Weighter<Box<str>, Arc<VerifiedToken>> for Weigh {
    fn weight(&self, token: &Box<str>, _: &Arc<VerifiedToken>) -> u64 {
        // The claims hold much of the text once more, decoded.
        (2 * token.len() as u64 + SEEN_OVERHEAD).max(SEEN_BYTES)
    }
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
