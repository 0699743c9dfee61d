//! Any sequence of mints, rotations, restarts, crashes, revocations, epochs and hours, on two brokers of one store: I1 to
//! I5 hold, and a verifier that caches a JWKS no longer than it may meets no unknown key but where an exception of I2 is
//! stated.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;

use crate::keys::{JwksDocument, KeyError, Keyring, KeyringOptions, Rotation};
use crate::model::{Epoch, KeyId, UnixTime};

use super::fake::{MAX_AGE, MAX_TTL, Machine, SKEW, World, lease, mint, options, witnessed};

const START: u64 = 1_790_000_000;

/// How long a next key waits where no exception is made: a JWKS may be built from what was read a little earlier.
const AHEAD: u64 = MAX_AGE + MAX_AGE / 20 + 5;

/// What a broker is made to do.
#[derive(Debug, Clone)]
enum Do {
    Tick,
    Refresh,
    Rotate {
        now: bool,
    },
    Restart,
    /// An operator revokes this broker's signing key, or its next one.
    Revoke {
        next: bool,
    },
    /// The disk loses the file of the signing key, or of the next one; then a restart.
    Lose {
        next: bool,
    },
    NewEpoch,
}

#[derive(Debug, Clone)]
enum Step {
    Pass(u64),
    Mint {
        broker: usize,
        ttl: u64,
    },
    Fetch {
        broker: usize,
    },
    Do {
        broker: usize,
        what: Do,
    },
    /// The same, cut off at a step of store or shelf; the process then starts again.
    Crash {
        broker: usize,
        what: Do,
        at: u32,
        happens: bool,
    },
    /// The same while the store and the shelf fail, without a restart.
    Fail {
        broker: usize,
        what: Do,
        at: u32,
    },
}

/// A token as the outside sees it.
struct Token {
    kid: KeyId,
    exp: UnixTime,
    epoch: Epoch,
}

/// A JWKS in a verifier's cache.
struct Cached {
    document: Arc<JwksDocument>,
    until: UnixTime,
    epoch: Epoch,
}

struct Stage {
    world: Arc<World>,
    machines: [Machine; 2],
    running: [Option<Keyring>; 2],
    tokens: Vec<Token>,
    caches: Vec<Cached>,
    revoked: BTreeSet<KeyId>,
    /// Keys that signed before they were published for long, by a stated exception.
    excepted: BTreeSet<KeyId>,
    /// Keys of epochs gone by.
    buried: BTreeSet<KeyId>,
    signers: [Option<KeyId>; 2],
    /// An exception is stated, and a crash may have put off its effect.
    excused: [bool; 2],
}

impl Stage {
    fn new() -> Self {
        let world = World::new(START);
        Self {
            machines: [Machine::new("a", &world), Machine::new("b", &world)],
            running: [None, None],
            tokens: Vec::new(),
            caches: Vec::new(),
            revoked: BTreeSet::new(),
            excepted: BTreeSet::new(),
            buried: BTreeSet::new(),
            signers: [None, None],
            excused: [false, false],
            world,
        }
    }

    async fn play(&mut self, step: &Step) -> Result<(), TestCaseError> {
        match step {
            Step::Pass(secs) => self.world.pass(*secs),
            Step::Mint { broker, ttl } => self.mint(*broker, *ttl)?,
            Step::Fetch { broker } => self.fetch(*broker),
            Step::Do { broker, what } => self.act(*broker, what).await?,
            Step::Crash { broker, what, at, happens } => {
                self.machines[*broker].fuse.set(*at, *happens);
                self.act(*broker, what).await?;
                self.running[*broker] = None;
                self.machines[*broker].fuse.clear();
                self.act(*broker, &Do::Restart).await?;
            }
            Step::Fail { broker, what, at } => {
                self.machines[*broker].fuse.set(*at, false);
                self.act(*broker, what).await?;
                self.machines[*broker].fuse.clear();
            }
        }
        self.look().await
    }

    fn options(&self, broker: usize) -> KeyringOptions {
        // One broker rotates by age as well.
        let rotation = (broker == 1).then(|| std::time::Duration::from_secs(5000));
        KeyringOptions { rotation, ..options(self.machines[broker].name) }
    }

    async fn act(&mut self, broker: usize, what: &Do) -> Result<(), TestCaseError> {
        let before = self.world.published();
        let mut may_be_young = false;
        let result: Result<(), KeyError> = match (what, &self.running[broker]) {
            (Do::Restart | Do::Lose { .. }, _) | (_, None) => {
                if let (Do::Lose { next }, Some(keyring)) = (what, &self.running[broker]) {
                    let state = keyring.state();
                    let held = if *next { &state.next } else { &state.active };
                    let name = held.as_ref().map(|held| format!("{}.pem", held.kid())).unwrap_or_default();
                    self.machines[broker].lose(&name);
                    may_be_young = !*next;
                }
                // A first key may be published by a start that is cut off, and sign after the next one.
                may_be_young |= self.machines[broker].ledger_epoch() != Some(self.world.epoch());
                self.running[broker] = None;
                let started = self.machines[broker].start_with(self.options(broker)).await;
                started.map(|keyring| self.running[broker] = Some(keyring))
            }
            (Do::Tick, Some(keyring)) => keyring.tick().await.map(|_| ()),
            (Do::Refresh, Some(keyring)) => keyring.refresh().await,
            (Do::Rotate { now }, Some(keyring)) => {
                may_be_young = *now;
                match keyring.rotate(*now).await {
                    Ok(Rotation::Waits(until)) => {
                        prop_assert!(!now && until > self.world.now());
                        Ok(())
                    }
                    other => other.map(|_| ()),
                }
            }
            (Do::Revoke { next }, Some(keyring)) => {
                let state = keyring.state();
                let held = if *next { state.next.clone() } else { state.active.clone() };
                drop(state);
                may_be_young = true;
                match held {
                    None => Ok(()),
                    Some(held) => {
                        self.world.revoke(held.kid());
                        self.revoked.insert(held.kid().clone());
                        for running in self.running.iter().flatten() {
                            // The broker at hand may fail at it; what must hold at once is looked at below.
                            let _ = running.revoked(held.kid().clone()).await;
                        }
                        Ok(())
                    }
                }
            }
            (Do::NewEpoch, Some(_)) => {
                self.buried.extend(before.keys().cloned());
                for running in self.running.iter().flatten() {
                    self.buried.extend(running.jwks().kids.iter().cloned());
                }
                let epoch = self.world.next_epoch();
                for running in self.running.iter().flatten() {
                    let _ = running.new_epoch(epoch).await;
                }
                Ok(())
            }
        };
        // A failure is the fuse's doing, and nothing else's.
        if let Err(error) = result {
            prop_assert!(self.machines[broker].fuse.burnt(), "{what:?}: {error}");
        }
        self.excused[broker] |= may_be_young;
        // A key whose publication ran out and began again.
        let again = self.world.published().into_keys().filter(|kid| !before.contains_key(kid));
        self.excepted.extend(again.filter(|kid| self.signers.iter().flatten().any(|signer| signer == kid)));
        for each in 0..2 {
            self.note_signer(each, &before)?;
        }
        if !self.machines[broker].fuse.burnt() {
            self.excused[broker] = false;
        }
        Ok(())
    }

    /// I2, from the broker's side: a key that begins to sign has been published for long, or an exception is stated.
    fn note_signer(
        &mut self,
        broker: usize,
        before: &std::collections::BTreeMap<KeyId, crate::store::PublishedKey>,
    ) -> Result<(), TestCaseError> {
        let Some(signer) = self.running[broker].as_ref().and_then(|keyring| keyring.signer().ok()) else {
            return Ok(());
        };
        if self.signers[broker].as_ref() == Some(&signer.kid) {
            return Ok(());
        }
        let (now, known) = (self.world.now().secs(), before.get(&signer.kid));
        // First keys and those of a new epoch were not published before this step.
        let stated = self.excused[broker] || known.is_none();
        let old_enough = known.is_some_and(|key| now >= key.published_at.secs() + MAX_AGE);
        prop_assert!(old_enough || stated, "I2: {} signs too early", signer.kid);
        if stated && known.is_none_or(|key| now < key.published_at.secs() + AHEAD) {
            self.excepted.insert(signer.kid.clone());
        }
        self.signers[broker] = Some(signer.kid);
        Ok(())
    }

    fn mint(&mut self, broker: usize, ttl: u64) -> Result<(), TestCaseError> {
        let Some(keyring) = &self.running[broker] else { return Ok(()) };
        let Ok(signer) = keyring.signer() else { return Ok(()) };
        prop_assert!(!self.revoked.contains(&signer.kid), "I4: a revoked key is offered");
        prop_assert!(!self.buried.contains(&signer.kid), "I5: a key of an old epoch is offered");
        let published = self.world.published();
        let Some(key) = published.get(&signer.kid).filter(|_| signer.epoch == self.world.epoch()) else {
            // The store records no lease for it.
            return Ok(());
        };
        let exp = UnixTime::from_secs(self.world.now().secs() + ttl);
        let fits = UnixTime::from_secs(exp.secs() + SKEW) <= key.published_until;
        match mint(keyring, &self.world, ttl) {
            Ok(_) => {
                prop_assert!(fits, "I1: the token outlives its key's publication");
                self.tokens.push(Token { kid: signer.kid, exp, epoch: signer.epoch });
            }
            // What the broker has not read yet, it does not count on.
            Err(KeyError::Unpublished { until, .. }) => prop_assert!(until.secs() < exp.secs() + SKEW),
            Err(other) => prop_assert!(false, "{other}"),
        }
        Ok(())
    }

    fn fetch(&mut self, broker: usize) {
        let Some(keyring) = &self.running[broker] else { return };
        let (document, now) = (keyring.jwks(), self.world.now());
        let until = UnixTime::from_secs(now.secs() + document.max_age(now).as_secs());
        self.caches.push(Cached { document, until, epoch: keyring.state().epoch });
    }

    /// What must hold after each step, seen from outside.
    async fn look(&mut self) -> Result<(), TestCaseError> {
        let (now, epoch, published) = (self.world.now(), self.world.epoch(), self.world.published());
        let revoked = self.revoked.clone();
        self.tokens.retain(|token| {
            now.secs() < token.exp.secs() + SKEW && token.epoch == epoch && !revoked.contains(&token.kid)
        });
        self.caches.retain(|cached| now < cached.until && cached.epoch == epoch);
        for token in &self.tokens {
            prop_assert!(published.contains_key(&token.kid), "I3: {} left the store too early", token.kid);
            for cached in &self.caches {
                let known = cached.document.kids.contains(&token.kid);
                prop_assert!(known || self.excepted.contains(&token.kid), "a verifier meets the unknown {}", token.kid);
            }
            for keyring in self.running.iter().flatten().filter(|keyring| keyring.state().epoch == epoch) {
                // One that has just heard of the key, or has had the time to, serves it.
                let heard = keyring.jwks().max_age(now).as_secs() > 0 && !self.excepted.contains(&token.kid);
                prop_assert!(!heard || keyring.jwks().kids.contains(&token.kid), "I3: {} is not served", token.kid);
            }
        }
        for keyring in self.running.iter().flatten() {
            let kids = keyring.jwks().kids.clone();
            prop_assert!(kids.iter().all(|kid| !self.revoked.contains(kid)), "I4: a revoked key is served");
            if keyring.state().epoch == epoch {
                prop_assert!(kids.iter().all(|kid| !self.buried.contains(kid)), "I5: an old key is served");
            }
            for kid in self.revoked.iter().chain(&self.buried) {
                let lease = lease(kid.as_str(), keyring.state().epoch.bits(), now.secs(), 60);
                prop_assert!(keyring.sign(witnessed(lease)).is_err(), "I4, I5: {kid} signs");
            }
        }
        Ok(())
    }

    /// With everything at hand again, both brokers mint and serve each other's keys.
    async fn recovers(&mut self) -> Result<(), TestCaseError> {
        for broker in [0, 1, 0] {
            if self.running[broker].is_none() {
                self.act(broker, &Do::Restart).await?;
            }
            self.act(broker, &Do::Tick).await?;
        }
        for broker in [0, 1] {
            let keyring = self.running[broker].as_ref().unwrap();
            keyring.refresh().await.unwrap();
            prop_assert!(mint(keyring, &self.world, MAX_TTL).is_ok());
            prop_assert_eq!(keyring.signer().unwrap().epoch, self.world.epoch());
            let all: BTreeSet<KeyId> = self.world.published().into_keys().collect();
            prop_assert_eq!(keyring.jwks().kids.iter().cloned().collect::<BTreeSet<_>>(), all);
        }
        self.look().await
    }
}

fn doing() -> impl Strategy<Value = Do> {
    prop_oneof![
        6 => Just(Do::Tick),
        2 => Just(Do::Refresh),
        3 => any::<bool>().prop_map(|now| Do::Rotate { now }),
        3 => Just(Do::Restart),
        2 => any::<bool>().prop_map(|next| Do::Revoke { next }),
        1 => any::<bool>().prop_map(|next| Do::Lose { next }),
        1 => Just(Do::NewEpoch),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let broker = || 0..2usize;
    prop_oneof![
        4 => prop_oneof![Just(1), 2..=60u64, 300..=1300u64, Just(40_000), Just(100_000)].prop_map(Step::Pass),
        6 => (broker(), prop_oneof![Just(60), Just(MAX_TTL)]).prop_map(|(broker, ttl)| Step::Mint { broker, ttl }),
        4 => broker().prop_map(|broker| Step::Fetch { broker }),
        8 => (broker(), doing()).prop_map(|(broker, what)| Step::Do { broker, what }),
        3 => (broker(), doing(), 0..12u32, any::<bool>())
            .prop_map(|(broker, what, at, happens)| Step::Crash { broker, what, at, happens }),
        2 => (broker(), doing(), 0..12u32).prop_map(|(broker, what, at)| Step::Fail { broker, what, at }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn whatever_happens_the_five_invariants_hold(steps in prop::collection::vec(step(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut stage = Stage::new();
            for broker in [0, 1] {
                stage.act(broker, &Do::Restart).await?;
            }
            for step in &steps {
                stage.play(step).await?;
            }
            stage.recovers().await
        })?;
    }
}
