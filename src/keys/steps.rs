//! The steps that change keys, one at a time: make, publish, switch, revoke, begin anew.
//!
//! Each writes the shelf before it changes what signs, so that a crash between any two leaves a state to go on from.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use crate::jose::es256::SigningKey;
use crate::model::{Epoch, KeyId, UnixTime};
use crate::store::{PublishedKey, RecordError};

use super::ledger::{self, Ledger, Publication};
use super::shelf::{file_of, wrong};
use super::state::{HeldKey, State};
use super::{KeyError, Keyring, Rotation};

/// How often one step starts over because the store knew better (a key revoked, another epoch).
const ATTEMPTS: usize = 4;

/// What stands on the shelf, and the private keys at hand.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) ledger: Ledger,
    pub(super) held: HashMap<KeyId, Arc<HeldKey>>,
    /// When the last reading of the published keys that came through had begun.
    read_began: Option<Instant>,
}

impl Desk {
    /// An empty one.
    pub(super) fn empty(epoch: Epoch) -> Self {
        Self { ledger: Ledger::empty(epoch), held: HashMap::new(), read_began: None }
    }
}

impl Keyring {
    /// Reads from the store which keys are published; those who ask while a reading is under way share the next one. Its
    /// failure leaves what is known; a JWKS then promises less and less time in caches.
    ///
    /// # Errors
    /// [`KeyError::Store`].
    pub async fn refresh(&self) -> Result<(), KeyError> {
        let asked = Instant::now();
        let mut desk = self.desk.lock().await;
        if desk.read_began.is_some_and(|began| began >= asked) {
            return Ok(());
        }
        let began = Instant::now();
        self.read_published().await?;
        desk.read_began = Some(began);
        Ok(())
    }

    /// What has to be done now and then, every few seconds: reads the published keys, extends publications, publishes and
    /// makes what is missing, rotates a key that is due, takes back what is past. Gives the key that signs, where this
    /// step switched to it.
    ///
    /// # Errors
    /// [`KeyError`]; the next tick tries again.
    pub async fn tick(&self) -> Result<Option<KeyId>, KeyError> {
        let mut desk = self.desk.lock().await;
        self.reconcile(&mut desk).await?;
        let now = self.now();
        let aged = self.times.rotation.is_some_and(|span| now >= desk.ledger.active_since.plus(span));
        if (aged || desk.ledger.rotate_when_ready) && self.ready_at(&desk).is_some_and(|ready| now >= ready) {
            return self.switch(&mut desk).await.map(Some);
        }
        Ok(None)
    }

    /// Switches to the next key: once it has been published for long enough (I2), or with `now` at once, as for a stolen
    /// key.
    ///
    /// # Errors
    /// [`KeyError`] where the shelf or the store failed; the old key then signs on.
    pub async fn rotate(&self, now: bool) -> Result<Rotation, KeyError> {
        let mut desk = self.desk.lock().await;
        self.reconcile(&mut desk).await?;
        let ready = self.ready_at(&desk).ok_or(KeyError::NoKey)?;
        if now || self.now() >= ready {
            return self.switch(&mut desk).await.map(Rotation::Done);
        }
        let after = Ledger { rotate_when_ready: true, ..desk.ledger.clone() };
        self.write(&mut desk, after).await?;
        Ok(Rotation::Waits(ready))
    }

    /// Takes note that a key was revoked (I4): it leaves the JWKS and signs no more before this returns or awaits. Where
    /// it was this broker's own, the next key, published ahead of this moment, signs in its place, and a new one is made.
    ///
    /// # Errors
    /// [`KeyError`] where the making of new keys failed; the next tick goes on with it. The key is gone all the same.
    pub async fn revoked(&self, kid: KeyId) -> Result<(), KeyError> {
        self.drop_now(&kid);
        let mut desk = self.desk.lock().await;
        self.forget(&mut desk, &kid).await?;
        self.reconcile(&mut desk).await
    }

    /// Takes note that the store's log is in another epoch (I5): no key of the old one signs from this moment on; new
    /// active and next keys are made and published, and sign at once.
    ///
    /// # Errors
    /// [`KeyError`] where that failed; the next tick goes on with it.
    pub async fn new_epoch(&self, epoch: Epoch) -> Result<(), KeyError> {
        if self.state().epoch != epoch {
            self.clear(epoch);
        }
        let mut desk = self.desk.lock().await;
        self.begin(&mut desk, epoch).await;
        self.reconcile(&mut desk).await
    }

    /// Brings shelf, store and memory to one state: makes missing keys, publishes what the store lacks, takes back what
    /// is past.
    pub(super) async fn reconcile(&self, desk: &mut Desk) -> Result<(), KeyError> {
        for _ in 0..ATTEMPTS {
            self.make_missing(desk).await?;
            self.read_published().await?;
            self.retire_lost(desk).await?;
            match self.publish_wanted(desk).await {
                Ok(()) => return self.take_back(desk).await,
                // Revoked by another broker, and the log has not told us yet.
                Err(RecordError::KeyRefused(kid)) => {
                    self.drop_now(&kid);
                    self.forget(desk, &kid).await?;
                }
                Err(RecordError::Epoch(epoch)) => {
                    self.clear(epoch);
                    self.begin(desk, epoch).await;
                }
                Err(RecordError::Store(error)) => return Err(error.into()),
                Err(other) => return Err(KeyError::Publish(other)),
            }
        }
        Err(KeyError::NoKey)
    }

    /// Makes the keys that are missing. Their files are durable before the ledger names them, and the ledger is before
    /// anything is published: what is published can be found again after a crash.
    async fn make_missing(&self, desk: &mut Desk) -> Result<(), KeyError> {
        let mut after = desk.ledger.clone();
        if after.active.is_none() {
            after.active = Some(match after.next.take() {
                Some(next) => next,
                None => self.make(desk).await?,
            });
            after.active_since = self.now();
        }
        if after.next.is_none() {
            after.next = Some(self.make(desk).await?);
        }
        if after != desk.ledger {
            self.write(desk, after).await?;
            self.arrange(desk);
        }
        Ok(())
    }

    /// Retires keys of this broker's that are published and have no private half here any more: memory that ended with
    /// the process before, a file that was lost. What they signed stays good (I3).
    async fn retire_lost(&self, desk: &mut Desk) -> Result<(), KeyError> {
        let (state, now) = (self.state.load_full(), self.now());
        let named = |kid: &KeyId| {
            let ledger = &desk.ledger;
            ledger.active.as_ref() == Some(kid)
                || ledger.next.as_ref() == Some(kid)
                || ledger.retired.iter().any(|key| key.kid == *kid)
        };
        let ours = |key: &&PublishedKey| key.broker == self.broker && key.retired_at.is_none() && !named(&key.kid);
        let lost: Vec<PublishedKey> = state.published.values().filter(ours).cloned().collect();
        if lost.is_empty() {
            return Ok(());
        }
        let mut after = desk.ledger.clone();
        after.retired.extend(lost.into_iter().map(|key| PublishedKey { retired_at: Some(now), ..key }));
        self.write(desk, after).await
    }

    async fn make(&self, desk: &mut Desk) -> Result<KeyId, KeyError> {
        let (key, pem) = SigningKey::generate()?;
        self.shelf.write(&file_of(key.kid()), pem).await?;
        let kid = key.kid().clone();
        desk.held.insert(kid.clone(), HeldKey::new(key));
        Ok(kid)
    }

    /// The moment from which the next key may sign (I2), as the store has recorded it; none where it is not published.
    fn ready_at(&self, desk: &Desk) -> Option<UnixTime> {
        let state = self.state();
        desk.ledger.next.as_ref().and_then(|kid| state.published.get(kid)).map(|key| key.signs_from)
    }

    /// The switch itself. The ledger's rename is the moment it happens; before it the old key signs, after it the new
    /// one. What is left (a new next key, the store's news of the retired one) a later step can do as well.
    async fn switch(&self, desk: &mut Desk) -> Result<KeyId, KeyError> {
        let now = self.now();
        let old = desk.ledger.active.clone();
        // I3: with the publication it has, or where the store lost that, the longest that any token of it can need.
        let retired = old.as_ref().and_then(|kid| {
            let known = self.state().published.get(kid).cloned();
            known.or_else(|| Some(self.publication(desk, kid, None)?.active(kid, now, &self.times)))
        });
        let kid = desk.ledger.next.clone().ok_or(KeyError::NoKey)?;
        let after = desk.ledger.switched(retired, now);
        self.write(desk, after).await?;
        self.arrange(desk);
        if let Some(old) = old {
            desk.held.remove(&old);
            self.remove(&old).await;
        }
        if let Err(error) = self.reconcile(desk).await {
            tracing::warn!(%error, "the rotation is done; what comes after it is tried again");
        }
        Ok(kid)
    }

    async fn read_published(&self) -> Result<(), KeyError> {
        // Before the reading, so that a JWKS is never younger than what it was built from.
        let (read_at, epoch) = (self.now(), self.state().epoch);
        let listed = self.store.keys().await?;
        let published: std::collections::BTreeMap<_, _> =
            listed.into_iter().map(|key| (key.kid.clone(), key)).collect();
        self.change_within(epoch, |state| State { published: published.clone(), read_at, ..state });
        Ok(())
    }

    /// Publishes what the store lacks or has otherwise. Only what it has taken counts (I1): a failure leaves the old.
    async fn publish_wanted(&self, desk: &Desk) -> Result<(), RecordError> {
        for wanted in self.wanted(desk) {
            self.store.publish(wanted.clone(), desk.ledger.epoch).await?;
            self.change_within(desk.ledger.epoch, |mut state| {
                state.published.insert(wanted.kid.clone(), wanted.clone());
                state
            });
        }
        Ok(())
    }

    fn wanted(&self, desk: &Desk) -> Vec<PublishedKey> {
        let (state, now) = (self.state(), self.now());
        let publication = |kid: &KeyId| self.publication(desk, kid, state.published.get(kid));
        let active = desk.ledger.active.as_ref().and_then(|kid| Some(publication(kid)?.active(kid, now, &self.times)));
        let next = desk.ledger.next.as_ref().and_then(|kid| Some(publication(kid)?.next(kid, now, &self.times)));
        let retired = desk.ledger.retired.iter().map(|key| ledger::retired(key, state.published.get(&key.kid)));
        let retired = retired.filter(|key| key.published_until > now);
        let all = active.into_iter().chain(next).chain(retired);
        all.filter(|wanted| state.published.get(&wanted.kid) != Some(wanted)).collect()
    }

    fn publication<'a>(&'a self, desk: &Desk, kid: &KeyId, known: Option<&'a PublishedKey>) -> Option<Publication<'a>> {
        let point = desk.held.get(kid)?.key.public().to_base64url();
        Some(Publication { broker: &self.broker, point, known })
    }

    /// Takes this broker's keys out of the store whose publication is over (I3: not a second before).
    async fn take_back(&self, desk: &mut Desk) -> Result<(), KeyError> {
        let now = self.now();
        let state = self.state.load_full();
        let ours = |key: &&PublishedKey| key.broker == self.broker && key.published_until <= now;
        for key in state.published.values().filter(ours) {
            self.store.withdraw(key.kid.clone()).await?;
        }
        let standing = |key: &&PublishedKey| ledger::retired(key, state.published.get(&key.kid)).published_until > now;
        let retired: Vec<PublishedKey> = desk.ledger.retired.iter().filter(standing).cloned().collect();
        if retired.len() < desk.ledger.retired.len() {
            let after = Ledger { retired, ..desk.ledger.clone() };
            self.write(desk, after).await?;
        }
        Ok(())
    }

    /// Removes a revoked key from the shelf.
    async fn forget(&self, desk: &mut Desk, kid: &KeyId) -> Result<(), KeyError> {
        let after = desk.ledger.without(kid, self.now());
        if after != desk.ledger {
            self.write(desk, after).await?;
            self.arrange(desk);
        }
        if desk.held.remove(kid).is_some() {
            self.remove(kid).await;
        }
        Ok(())
    }

    /// Leaves every key of an older epoch behind (I5), files and all; a file that stays is swept at the next start.
    async fn begin(&self, desk: &mut Desk, epoch: Epoch) {
        if desk.ledger.epoch == epoch {
            return;
        }
        let old = std::mem::replace(desk, Desk::empty(epoch));
        for kid in old.held.keys() {
            self.remove(kid).await;
        }
    }

    /// Removes a private key that signs no more. One that stays is no danger to a rule, and is swept at the next start.
    async fn remove(&self, kid: &KeyId) {
        if let Err(error) = self.shelf.remove(&file_of(kid)).await {
            tracing::warn!(%kid, %error, "the file of a key that signs no more could not be removed");
        }
    }

    async fn write(&self, desk: &mut Desk, after: Ledger) -> Result<(), KeyError> {
        let path = self.shelf.path(ledger::FILE);
        let text = serde_json::to_string(&after).map_err(|error| wrong(&path, error.to_string(), "report it"))?;
        self.shelf.write(ledger::FILE, text.into()).await?;
        desk.ledger = after;
        Ok(())
    }

    /// Makes what signs follow the ledger.
    pub(super) fn arrange(&self, desk: &Desk) {
        let held = |kid: &Option<KeyId>| kid.as_ref().and_then(|kid| desk.held.get(kid)).cloned();
        let (active, next, now) = (held(&desk.ledger.active), held(&desk.ledger.next), self.now());
        self.change_within(desk.ledger.epoch, |mut state| {
            let old = state.active.take().filter(|old| active.as_ref().is_none_or(|new| new.kid() != old.kid()));
            state.leaving.extend(old.map(|old| (old, now)));
            State { active: active.clone(), next: next.clone(), ..state }
        });
    }

    fn drop_now(&self, kid: &KeyId) {
        self.change(|mut state| {
            state.revoked.insert(kid.clone());
            state
        });
    }

    fn clear(&self, epoch: Epoch) {
        self.change(|_| State::empty(epoch, self.now(), &self.times));
    }

    /// As [`Keyring::change`], unless another epoch has begun meanwhile: nothing of an old one comes back (I5).
    fn change_within(&self, epoch: Epoch, how: impl Fn(State) -> State) {
        self.change(|state| if state.epoch == epoch { how(state) } else { state });
    }

    /// Replaces the picture that requests read, as one of possibly several that do so at once.
    fn change(&self, how: impl Fn(State) -> State) {
        let now = self.now();
        let before = self.state.rcu(|state| Arc::new(how(State::clone(state)).settled(now, &self.times)));
        if before.jwks.kids != self.state().jwks.kids {
            self.changes.send_modify(|count| *count += 1);
        }
    }
}
