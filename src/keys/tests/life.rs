//! The life of keys, rule by rule.

use std::time::Duration;

use crate::keys::{KeyError, KeyState, Rotation};
use crate::model::{KeyId, UnixTime};

use super::fake::{MAX_AGE, MAX_TTL, Machine, SKEW, World, checked, lease, mint, options, witnessed};

const START: u64 = 1_790_000_000;

fn states(keyring: &crate::keys::Keyring) -> Vec<KeyState> {
    keyring.list().into_iter().map(|view| view.state).collect()
}

#[tokio::test]
async fn a_first_key_signs_at_once_and_the_next_is_published_beside_it() {
    let world = World::new(START);
    let keyring = Machine::new("a", &world).start().await.unwrap();
    let token = mint(&keyring, &world, 300).unwrap();
    let jwks = keyring.jwks();
    assert_eq!(checked(&token, &jwks.body).unwrap(), keyring.signer().unwrap().kid.as_str());
    assert_eq!(states(&keyring), [KeyState::Active, KeyState::Next]);
    assert_eq!(jwks.kids.len(), 2);
    assert_eq!(jwks.cache_control(world.now()), "public, max-age=600");
    assert!(jwks.etag.starts_with('"') && jwks.etag.ends_with('"'));
    assert!(!format!("{token:?} {keyring:?}").contains(token.text().expose()));
}

#[tokio::test]
async fn a_rotation_waits_until_every_cache_has_the_next_key() {
    let world = World::new(START);
    let keyring = Machine::new("a", &world).start().await.unwrap();
    let old = keyring.signer().unwrap().kid;
    let next = keyring.list().into_iter().find(|view| view.state == KeyState::Next).unwrap().kid;
    let Rotation::Waits(until) = keyring.rotate(false).await.unwrap() else { panic!("it did not wait") };
    assert!(until >= UnixTime::from_secs(START + MAX_AGE));
    world.pass(until.since(world.now()).as_secs() - 1);
    assert_eq!(keyring.tick().await.unwrap(), None);
    assert_eq!(keyring.signer().unwrap().kid, old);
    world.pass(1);
    assert_eq!(keyring.tick().await.unwrap(), Some(next.clone()), "it is done without being asked again");
    assert_eq!(keyring.signer().unwrap().kid, next);
    assert_eq!(states(&keyring), [KeyState::Retired, KeyState::Active, KeyState::Next]);
    assert_eq!(keyring.tick().await.unwrap(), None, "and once only");
}

#[tokio::test]
async fn a_rotation_that_waits_survives_a_restart() {
    let world = World::new(START);
    let machine = Machine::new("a", &world);
    let Rotation::Waits(until) = machine.start().await.unwrap().rotate(false).await.unwrap() else { panic!() };
    let keyring = machine.start().await.unwrap();
    world.pass(until.since(world.now()).as_secs());
    assert!(keyring.tick().await.unwrap().is_some());
}

#[tokio::test]
async fn for_a_stolen_key_nothing_waits() {
    let world = World::new(START);
    let keyring = Machine::new("a", &world).start().await.unwrap();
    let old = keyring.signer().unwrap().kid;
    let Rotation::Done(kid) = keyring.rotate(true).await.unwrap() else { panic!("it waited") };
    assert_ne!(kid, old);
    assert_eq!(keyring.signer().unwrap().kid, kid);
    assert!(keyring.jwks().kids.contains(&old), "its tokens are still good (I3)");
    assert_eq!(states(&keyring), [KeyState::Retired, KeyState::Active, KeyState::Next]);
}

#[tokio::test]
async fn keys_rotate_by_age() {
    let world = World::new(START);
    let options = crate::keys::KeyringOptions { rotation: Some(Duration::from_secs(7200)), ..options("a") };
    let keyring = Machine::new("a", &world).start_with(options).await.unwrap();
    world.pass(7199);
    assert_eq!(keyring.tick().await.unwrap(), None);
    world.pass(1);
    assert!(keyring.tick().await.unwrap().is_some());
    assert_eq!(keyring.tick().await.unwrap(), None);
}

#[tokio::test]
async fn keys_outlive_a_restart() {
    let world = World::new(START);
    let machine = Machine::new("a", &world);
    let before = machine.start().await.unwrap();
    let keyring = machine.start().await.unwrap();
    assert_eq!(keyring.signer().unwrap(), before.signer().unwrap());
    assert_eq!(keyring.jwks().etag, before.jwks().etag);
}

#[tokio::test]
async fn every_broker_serves_the_keys_of_all() {
    let world = World::new(START);
    let (a, b) = (Machine::new("a", &world).start().await.unwrap(), Machine::new("b", &world).start().await.unwrap());
    let heard = a.changes();
    assert!(!a.jwks().kids.contains(&b.signer().unwrap().kid));
    a.refresh().await.unwrap();
    assert!(heard.has_changed().unwrap());
    assert_eq!((a.jwks().kids.len(), &a.jwks().body), (4, &b.jwks().body));
    assert!(checked(&mint(&b, &world, 300).unwrap(), &a.jwks().body).is_some());
    assert_eq!(states(&a), [KeyState::Active, KeyState::Next, KeyState::Active, KeyState::Next]);
}

/// I1.
#[tokio::test]
async fn with_the_store_away_it_signs_until_the_publication_would_be_outlived() {
    let world = World::new(START);
    let machine = Machine::new("a", &world);
    let keyring = machine.start().await.unwrap();
    let until = keyring.signer().unwrap().published_until;
    machine.fuse.set(0, false);
    world.pass(12 * 3600);
    assert!(keyring.tick().await.is_err());
    mint(&keyring, &world, MAX_TTL).unwrap();
    world.pass(until.since(world.now()).as_secs() - 300 - SKEW);
    mint(&keyring, &world, 300).unwrap();
    assert!(matches!(mint(&keyring, &world, 301), Err(KeyError::Unpublished { .. })));
    assert_eq!(keyring.jwks().max_age(world.now()), Duration::ZERO, "what was read a day ago is cached by nobody");
    machine.fuse.clear();
    keyring.tick().await.unwrap();
    mint(&keyring, &world, MAX_TTL).unwrap();
}

#[tokio::test]
async fn a_publication_is_extended_long_before_it_ends() {
    let world = World::new(START);
    let keyring = Machine::new("a", &world).start().await.unwrap();
    let first = keyring.signer().unwrap();
    for _ in 0..100 {
        world.pass(3600);
        keyring.tick().await.unwrap();
        mint(&keyring, &world, MAX_TTL).unwrap();
    }
    let last = keyring.signer().unwrap();
    assert_eq!(last.kid, first.kid);
    assert!(last.published_until > first.published_until);
}

/// I3.
#[tokio::test]
async fn a_retired_key_is_published_to_the_end_and_then_taken_back() {
    let world = World::new(START);
    let machine = Machine::new("a", &world);
    let keyring = machine.start().await.unwrap();
    let token = mint(&keyring, &world, MAX_TTL).unwrap();
    let old = keyring.signer().unwrap();
    keyring.rotate(true).await.unwrap();
    assert!(machine.disk_files().iter().all(|name| !name.contains(old.kid.as_str())), "its private half is gone");
    world.pass(MAX_TTL + SKEW);
    keyring.tick().await.unwrap();
    assert!(checked(&token, &keyring.jwks().body).is_some());
    world.pass(old.published_until.since(world.now()).as_secs());
    keyring.tick().await.unwrap();
    assert!(!keyring.jwks().kids.contains(&old.kid));
    assert!(!world.published().contains_key(&old.kid));
}

#[tokio::test]
async fn a_retired_key_that_the_store_lost_is_published_again() {
    let world = World::new(START);
    let machine = Machine::new("a", &world);
    let keyring = machine.start().await.unwrap();
    let old = keyring.signer().unwrap();
    // The store is read, the ledger written, and then both are away.
    machine.fuse.set(2, false);
    assert!(matches!(keyring.rotate(true).await, Ok(Rotation::Done(_))));
    machine.fuse.clear();
    world.lose(&old.kid);
    keyring.tick().await.unwrap();
    assert_eq!(world.published()[&old.kid].published_until, old.published_until);
    assert!(keyring.jwks().kids.contains(&old.kid));
}

#[tokio::test]
async fn a_mint_in_flight_over_a_rotation_gets_its_token() {
    let world = World::new(START);
    let keyring = Machine::new("a", &world).start().await.unwrap();
    let old = keyring.signer().unwrap();
    let recorded = || witnessed(lease(old.kid.as_str(), old.epoch.bits(), START, 300));
    keyring.rotate(true).await.unwrap();
    assert!(keyring.sign(recorded()).is_ok());
    world.pass(61);
    assert!(matches!(keyring.sign(recorded()), Err(KeyError::NotHeld(_))));
}

/// I4.
#[tokio::test]
async fn a_revoked_key_is_gone_at_once_and_the_next_one_signs() {
    let world = World::new(START);
    let machine = Machine::new("a", &world);
    let keyring = machine.start().await.unwrap();
    world.pass(MAX_AGE * 2);
    let (stolen, held) = (keyring.signer().unwrap(), keyring.jwks());
    world.revoke(&stolen.kid);
    keyring.revoked(stolen.kid.clone()).await.unwrap();
    assert!(!keyring.jwks().kids.contains(&stolen.kid));
    let in_flight = witnessed(lease(stolen.kid.as_str(), stolen.epoch.bits(), world.now().secs(), 300));
    assert!(matches!(keyring.sign(in_flight), Err(KeyError::Revoked(_))));
    assert!(held.kids.contains(&keyring.signer().unwrap().kid), "verifiers have it since long");
    mint(&keyring, &world, 300).unwrap();
    assert_eq!(states(&keyring), [KeyState::Active, KeyState::Next]);
    let again = machine.start().await.unwrap();
    assert_eq!(again.signer().unwrap().kid, keyring.signer().unwrap().kid);
}

#[tokio::test]
async fn a_revocation_drops_the_key_even_while_the_store_is_away() {
    let world = World::new(START);
    let machine = Machine::new("a", &world);
    let keyring = machine.start().await.unwrap();
    let stolen = keyring.signer().unwrap().kid;
    world.revoke(&stolen);
    machine.fuse.set(0, false);
    assert!(keyring.revoked(stolen.clone()).await.is_err());
    assert!(!keyring.jwks().kids.contains(&stolen));
    assert_ne!(keyring.signer().unwrap().kid, stolen);
    machine.fuse.clear();
    assert_ne!(machine.start().await.unwrap().signer().unwrap().kid, stolen, "a restart does not bring it back");
}

#[tokio::test]
async fn a_revocation_the_log_has_not_told_yet_shows_when_publishing() {
    let world = World::new(START);
    let keyring = Machine::new("a", &world).start().await.unwrap();
    let stolen = keyring.signer().unwrap().kid;
    world.revoke(&stolen);
    keyring.tick().await.unwrap();
    assert_ne!(keyring.signer().unwrap().kid, stolen);
    assert!(!keyring.jwks().kids.contains(&stolen));
}

#[tokio::test]
async fn another_brokers_revoked_key_leaves_the_jwks_too() {
    let world = World::new(START);
    let (a, b) = (Machine::new("a", &world).start().await.unwrap(), Machine::new("b", &world).start().await.unwrap());
    a.refresh().await.unwrap();
    let (mine, stolen) = (a.signer().unwrap(), b.signer().unwrap().kid);
    a.revoked(stolen.clone()).await.unwrap();
    assert!(!a.jwks().kids.contains(&stolen));
    assert_eq!(a.signer().unwrap(), mine);
}

/// I5.
#[tokio::test]
async fn a_new_epoch_brings_new_keys_that_sign_at_once() {
    let world = World::new(START);
    let machine = Machine::new("a", &world);
    let keyring = machine.start().await.unwrap();
    let old: Vec<KeyId> = keyring.jwks().kids.clone();
    let before = keyring.signer().unwrap();
    let epoch = world.next_epoch();
    keyring.new_epoch(epoch).await.unwrap();
    keyring.new_epoch(epoch).await.expect("told twice");
    let signer = keyring.signer().unwrap();
    assert!(!old.contains(&signer.kid) && signer.epoch == epoch);
    assert!(keyring.jwks().kids.iter().all(|kid| !old.contains(kid)));
    let late = witnessed(lease(before.kid.as_str(), before.epoch.bits(), START, 300));
    assert!(matches!(keyring.sign(late), Err(KeyError::Epoch { .. })));
    let forged = witnessed(lease(before.kid.as_str(), epoch.bits(), START, 300));
    assert!(matches!(keyring.sign(forged), Err(KeyError::NotHeld(_))));
    mint(&keyring, &world, 300).unwrap();
    assert_eq!(machine.disk_files().len(), 3, "the old private keys are gone");
}

#[tokio::test]
async fn a_broker_that_was_off_when_the_epoch_changed_starts_with_new_keys() {
    let world = World::new(START);
    let machine = Machine::new("a", &world);
    let old = machine.start().await.unwrap().jwks().kids.clone();
    world.next_epoch();
    let keyring = machine.start().await.unwrap();
    assert!(!old.contains(&keyring.signer().unwrap().kid));
    assert_eq!(machine.disk_files().len(), 3);
    mint(&keyring, &world, 300).unwrap();
}

#[tokio::test]
async fn a_key_under_a_name_that_is_not_its_own_is_not_served() {
    let world = World::new(START);
    let (a, b) = (Machine::new("a", &world).start().await.unwrap(), Machine::new("b", &world).start().await.unwrap());
    let mut forged = world.published()[&b.signer().unwrap().kid].clone();
    forged.kid = KeyId::parse("someone-elses").unwrap();
    world.write(forged.clone());
    a.refresh().await.unwrap();
    assert!(!a.jwks().kids.contains(&forged.kid));
    assert!(a.verifying_keys().iter().all(|(kid, key)| kid == key.kid()));
}

#[tokio::test]
async fn a_snapshot_is_no_access_token() {
    let world = World::new(START);
    let keyring = Machine::new("a", &world).start().await.unwrap();
    let text = keyring.sign_snapshot(&serde_json::json!({"iss": "x"})).unwrap();
    let compact = crate::jose::Compact::parse(&text).unwrap();
    assert_eq!(compact.header.typ.as_deref(), Some("revocations+jwt"));
    assert_eq!(compact.header.kid.as_deref(), Some(keyring.signer().unwrap().kid.as_str()));
}
