//! The folder of keys: modes, contents, and what is refused at start-up.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use crate::jose::es256::SigningKey;
use crate::keys::{KeyError, Keyring, KeyringOptions, Storage};

use super::fake::{FakeStore, Fuse, World, options};

const START: u64 = 1_790_000_000;

async fn open(dir: &Path, world: &Arc<World>) -> Result<Keyring, KeyError> {
    let options = KeyringOptions { storage: Storage::File(dir.to_owned()), ..options("a") };
    let store = FakeStore { world: world.clone(), fuse: Fuse::default() };
    Keyring::open(options, Arc::new(store), world.clock.clone()).await
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn keys_lie_in_files_that_nobody_else_may_read() {
    let (home, world) = (tempfile::tempdir().unwrap(), World::new(START));
    let dir = home.path().join("keys");
    let keyring = open(&dir, &world).await.unwrap();
    assert_eq!(mode(&dir), 0o700);
    assert_eq!(names(&dir).len(), 3);
    assert!(names(&dir).iter().all(|name| mode(&dir.join(name)) == 0o600));
    let pem = fs::read_to_string(dir.join(format!("{}.pem", keyring.signer().unwrap().kid))).unwrap();
    let signer = keyring.signer().unwrap();
    assert_eq!(SigningKey::from_pkcs8_pem(&pem).unwrap().kid(), &signer.kid);
    drop(keyring);
    let again = open(&dir, &world).await.unwrap();
    assert_eq!(again.signer().unwrap(), signer);
}

#[tokio::test]
async fn a_folder_is_one_brokers_alone() {
    let (home, world) = (tempfile::tempdir().unwrap(), World::new(START));
    let dir = home.path().join("keys");
    let keyring = open(&dir, &world).await.unwrap();
    let error = open(&dir, &world).await.expect_err("it is in use").to_string();
    assert!(error.contains("another broker") && error.contains("[keys] dir"), "{error}");
    drop(keyring);
    open(&dir, &world).await.unwrap();
}

#[tokio::test]
async fn a_rotation_leaves_the_new_keys_files_alone() {
    let (home, world) = (tempfile::tempdir().unwrap(), World::new(START));
    let dir = home.path().join("keys");
    let keyring = open(&dir, &world).await.unwrap();
    let old = format!("{}.pem", keyring.signer().unwrap().kid);
    keyring.rotate(true).await.unwrap();
    assert!(!names(&dir).contains(&old));
    assert_eq!(names(&dir).len(), 3);
    let signer = keyring.signer().unwrap();
    drop(keyring);
    let again = open(&dir, &world).await.unwrap();
    assert_eq!(again.signer().unwrap(), signer);
}

#[tokio::test]
async fn files_that_are_not_as_they_must_be_are_refused_with_their_name_and_the_mend() {
    type Harm = fn(&Path, &str);
    let cases: [(Harm, &str); 6] = [
        (|dir, key| fs::set_permissions(dir.join(key), fs::Permissions::from_mode(0o640)).unwrap(), "chmod 600"),
        (|dir, _| fs::set_permissions(dir, fs::Permissions::from_mode(0o750)).unwrap(), "chmod 700"),
        (|dir, key| fs::write(dir.join(key), "no key").unwrap(), "restore the file"),
        (|dir, key| fs::write(dir.join(key), SigningKey::generate().unwrap().1.expose()).unwrap(), "restore the file"),
        (|dir, _| fs::write(dir.join("keyring.json"), "{").unwrap(), "empty the folder"),
        (
            |dir, key| {
                fs::remove_file(dir.join(key)).unwrap();
                std::os::unix::fs::symlink("keyring.json", dir.join(key)).unwrap();
            },
            "no file",
        ),
    ];
    for (place, (harm, mend)) in cases.into_iter().enumerate() {
        let (home, world) = (tempfile::tempdir().unwrap(), World::new(START));
        let dir = home.path().join("keys");
        let key = format!("{}.pem", open(&dir, &world).await.unwrap().signer().unwrap().kid);
        harm(&dir, &key);
        let error = open(&dir, &world).await.expect_err("it must be refused").to_string();
        assert!(error.contains(mend) && error.contains(&*dir.to_string_lossy()), "{place}: {error}");
    }
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("keys"), "").unwrap();
    let error = open(&home.path().join("keys"), &World::new(START)).await.unwrap_err().to_string();
    assert!(error.contains("no folder"), "{error}");
}

#[tokio::test]
async fn what_a_crash_left_behind_is_swept_and_what_is_not_ours_stays() {
    let (home, world) = (tempfile::tempdir().unwrap(), World::new(START));
    let dir = home.path().join("keys");
    open(&dir, &world).await.unwrap();
    let stray = format!("{}.pem", SigningKey::generate().unwrap().0.kid());
    for name in [stray.as_str(), &format!("{stray}.tmp"), "README", "other.pem"] {
        fs::write(dir.join(name), "x").unwrap();
    }
    open(&dir, &world).await.unwrap();
    let names = names(&dir);
    assert_eq!(names.len(), 5, "{names:?}");
    assert!(names.contains(&"README".into()) && names.contains(&"other.pem".into()));
}

#[tokio::test]
async fn a_lost_file_costs_its_key_and_nothing_else() {
    let (home, world) = (tempfile::tempdir().unwrap(), World::new(START));
    let dir = home.path().join("keys");
    let lost = open(&dir, &world).await.unwrap().signer().unwrap().kid;
    fs::remove_file(dir.join(format!("{lost}.pem"))).unwrap();
    let keyring = open(&dir, &world).await.unwrap();
    assert_ne!(keyring.signer().unwrap().kid, lost);
    assert!(keyring.jwks().kids.contains(&lost), "what it signed stays good (I3)");
    assert!(keyring.list().iter().any(|view| view.kid == lost && view.retired_at.is_some()));
}
