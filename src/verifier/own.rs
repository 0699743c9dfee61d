//! The tokens that this process signed itself: whose signature they bear is known, so none of them is checked for it.
//!
//! Holds digests, never a token, of as many as there is room for: a later one takes the place of an earlier one, which is then
//! checked as any other. Where nobody asks about tokens, none is remembered: that costs each mint a hash. Never says whether a
//! token stands: key, times and rules are asked of all alike.

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use ring::digest::{Context, SHA256};

use crate::jose::es256::VerifyingKey;

/// So many are remembered at most, in a mebibyte; of it, what was never needed is never taken.
const PAGES: usize = 256;
const PAGE: usize = 128;

/// SHA-256 over key and token. All zeros where there is none: no token is known that has such a digest. What two threads wrote at
/// once may be some words of both; nobody can make a token of that digest either, so it is as good as none.
type Slot = [AtomicU64; 4];

/// The memory.
pub(super) struct Own {
    pages: Box<[OnceLock<Box<[Slot]>>]>,
    /// So many tokens are still remembered without another question; two threads may count one as two, or two as one.
    wanted: AtomicUsize,
}

impl Default for Own {
    fn default() -> Self {
        Self { pages: (0..PAGES).map(|_| OnceLock::new()).collect(), wanted: AtomicUsize::new(0) }
    }
}

impl Own {
    /// Remembers a token that was signed with the private half of `key`; where nobody has asked about any while as many
    /// came as there is room for, it does not.
    pub(super) fn put(&self, token: &str, key: &VerifyingKey) {
        let Some(still) = self.wanted.load(Relaxed).checked_sub(1) else { return };
        self.wanted.store(still, Relaxed);
        let (page, at) = place(token);
        let page = self.pages[page].get_or_init(|| (0..PAGE).map(|_| Slot::default()).collect());
        for (word, value) in page[at].iter().zip(words(token, key)) {
            word.store(value, Relaxed);
        }
    }

    /// Whether this very token, under this very key, was remembered and is still. Where nothing was, it costs nothing; those
    /// that come from now on are remembered.
    pub(super) fn has(&self, token: &str, key: &VerifyingKey) -> bool {
        self.wanted.store(PAGES * PAGE, Relaxed);
        let (page, at) = place(token);
        let Some(slot) = self.pages[page].get().map(|page| &page[at]) else { return false };
        let held = slot.each_ref().map(|word| word.load(Relaxed));
        held != [0; 4] && held == words(token, key)
    }
}

impl fmt::Debug for Own {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Own").finish_non_exhaustive()
    }
}

/// Where a token's digest stands: by the end of its signature, which is as good as drawn by chance.
fn place(token: &str) -> (usize, usize) {
    let end = token.as_bytes().last_chunk::<8>().copied().unwrap_or_default();
    // An odd number of no other meaning (2^64 by the golden ratio): the upper bits of the product depend on all of `end`.
    let mixed = u64::from_le_bytes(end).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    let place = usize::try_from(mixed).unwrap_or_default() % (PAGES * PAGE);
    (place / PAGE, place % PAGE)
}

fn words(token: &str, key: &VerifyingKey) -> [u64; 4] {
    let mut hash = Context::new(&SHA256);
    hash.update(key.point());
    hash.update(token.as_bytes());
    let mut words = [0; 4];
    for (word, bytes) in words.iter_mut().zip(hash.finish().as_ref().chunks_exact(8)) {
        *word = u64::from_le_bytes(bytes.try_into().unwrap_or_default());
    }
    words
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::jose::es256::SigningKey;
    use crate::jose::{EncodedHeader, Signed, sign_es256};
    use crate::model::{Clock, Position, Rule, Selector, TaskId, UnixTime, WorkloadId};
    use crate::revocation::View;
    use crate::verifier::{Checker, CheckerOptions, Invalid};

    fn key() -> VerifyingKey {
        SigningKey::generate().unwrap().0.public().clone()
    }

    #[test]
    fn what_was_put_is_known_letter_by_letter_and_under_its_key_alone() {
        let (own, key, other) = (Own::default(), key(), key());
        for token in ["", "a", "a.b.c", "header.claims.signature"] {
            assert!(!own.has(token, &key));
            own.put(token, &key);
            assert!(own.has(token, &key) && !own.has(token, &other), "{token}");
        }
        // The same place, for it has the same end.
        assert_eq!(place("other.claims.signature"), place("header.claims.signature"));
        assert!(!own.has("other.claims.signature", &key));
        own.put("other.claims.signature", &key);
        assert!(own.has("other.claims.signature", &key) && !own.has("header.claims.signature", &key));
    }

    #[test]
    fn the_latest_are_known_and_the_room_is_bounded() {
        let (own, key) = (Own::default(), key());
        let token = |n: u32| format!("header.claims.{:016x}", u64::from(n).wrapping_mul(0xd6e8_feb8_6659_fd93));
        for n in 0..40_000 {
            if n % 10_000 == 0 {
                own.has("", &key);
            }
            own.put(&token(n), &key);
        }
        let known = |range: std::ops::Range<u32>| range.filter(|n| own.has(&token(*n), &key)).count();
        // Of the latest thousand some sixteen lost their place to a later one; of all, no more than there is room for.
        assert!(known(39_000..40_000) > 900 && known(0..40_000) <= PAGES * PAGE);
        assert!(own.pages.iter().flat_map(OnceLock::get).map(|page| page.len()).sum::<usize>() <= PAGES * PAGE);
    }

    #[test]
    fn where_nobody_asks_nothing_is_remembered() {
        let (own, key) = (Own::default(), key());
        let pages = |own: &Own| own.pages.iter().flat_map(OnceLock::get).count();
        own.put("a.b.c", &key);
        assert_eq!(pages(&own), 0);
        assert!(!own.has("a.b.c", &key), "it was asked about for the first time");
        (0..PAGES * PAGE).for_each(|_| own.put("a.b.c", &key));
        own.put("another.b.d", &key);
        assert!(own.has("a.b.c", &key) && !own.has("another.b.d", &key), "as many as there is room for, and no more");
        own.put("another.b.d", &key);
        assert!(own.has("another.b.d", &key), "asked about again, the next are remembered again");
    }

    const NOW: u64 = 1_790_000_000;

    struct Broker {
        key: SigningKey,
        clock: Clock,
        checker: Checker,
    }

    impl Broker {
        fn new() -> Self {
            let (key, clock) = (SigningKey::generate().unwrap().0, Clock::manual(UnixTime::from_secs(NOW)));
            // Nothing is remembered of a check, so that each check is one at first sight.
            let options = CheckerOptions { clock: clock.clone(), seen: 0, ..CheckerOptions::new("https://broker") };
            let checker = Checker::new(options, Arc::new(View::new()));
            checker.set_keys(vec![(key.kid().clone(), key.public().clone())]);
            // Somebody has asked about a token.
            let signed = sign_es256(&key, &EncodedHeader::es256("at+jwt", key.kid()), &json!({})).unwrap();
            assert_eq!(checker.inspect(signed.text().expose()).map(drop), Err(Invalid::Claims));
            Self { key, clock, checker }
        }

        /// A token in the name of this broker's key, signed by `key`, and vouched for.
        fn vouched(&self, key: &SigningKey, iss: &str) -> Signed {
            let claims = json!({
                "iss": iss, "sub": "nightly", "client_id": "nightly", "aud": "https://api", "iat": NOW, "nbf": NOW,
                "exp": NOW + 300, "jti": "0190163d-8694-839b-aea5-966c26f8ad91", "scope": "read", "txn": "t", "rev": 7,
            });
            let signed = sign_es256(key, &EncodedHeader::es256("at+jwt", self.key.kid()), &claims).unwrap();
            self.checker.vouch(&signed);
            signed
        }

        fn look(&self, token: &str) -> Result<(), Invalid> {
            self.checker.inspect(token).map(drop)
        }

        fn end(&self, selector: &Selector) {
            let until = Some(UnixTime::from_secs(NOW + 300));
            let rule = Rule { kind: selector.kind(), digest: selector.digest(), position: Position::new(8), until };
            self.checker.view().apply(&[rule], rule.position, self.clock.now());
        }
    }

    #[test]
    fn a_vouched_token_is_held_to_all_but_its_signature() {
        let broker = Broker::new();
        let token = broker.vouched(&broker.key, "https://broker");
        let text = token.text().expose();
        assert_eq!(broker.look(text), Ok(()));
        assert_eq!(broker.look(&format!("{text}A")), Err(Invalid::Signature));
        // Another last letter, of the same bits that count and of others.
        let (head, last) = text.split_at(text.len() - 1);
        let others = ["A", "Q", "g", "w"].iter().filter(|other| **other != last);
        assert!(others.map(|other| broker.look(&format!("{head}{other}"))).all(|told| told == Err(Invalid::Signature)));
        let elsewhere = broker.vouched(&broker.key, "https://another");
        assert_eq!(broker.look(elsewhere.text().expose()), Err(Invalid::Issuer));
        broker.end(&Selector::Task(WorkloadId::parse("nightly").unwrap(), TaskId::parse("t").unwrap()));
        assert!(matches!(broker.look(text), Err(Invalid::Revoked(_))));
        assert!(broker.checker.open(text).is_ok(), "what is to be ended may have ended");
        broker.clock.set(UnixTime::from_secs(NOW + 300));
        assert_eq!(broker.look(text), Err(Invalid::Expired));
    }

    #[test]
    fn a_vouched_token_is_worth_nothing_under_another_key_or_none() {
        let broker = Broker::new();
        let (other, _) = SigningKey::generate().unwrap();
        let in_its_name = broker.vouched(&other, "https://broker");
        assert_eq!(broker.look(in_its_name.text().expose()), Err(Invalid::Signature));
        let token = broker.vouched(&broker.key, "https://broker");
        broker.checker.set_keys(vec![(broker.key.kid().clone(), other.public().clone())]);
        assert_eq!(broker.look(token.text().expose()), Err(Invalid::Signature));
        broker.checker.set_keys(Vec::new());
        assert_eq!(broker.look(token.text().expose()), Err(Invalid::Key));
    }

    #[test]
    fn threads_that_write_and_look_at_once_find_nothing_that_was_not_put() {
        let (own, key) = (Own::default(), key());
        // All in one place.
        let token = |who: usize, n: usize| format!("{who}.{n}.signature");
        std::thread::scope(|scope| {
            for who in 0..4 {
                let (own, key) = (&own, &key);
                scope.spawn(move || {
                    for n in 0..2000 {
                        own.put(&token(who, n), key);
                        assert!(!own.has(&token(who + 4, n), key));
                    }
                });
            }
        });
        assert!((0..4).map(|who| own.has(&token(who, 1999), &key)).filter(|known| *known).count() <= 1);
    }
}
