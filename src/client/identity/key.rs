//! A key of the workload's own, by which it signs its assertions (`private_key_jwt`, RFC 7523 §2.2).

use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::Serialize;

use super::super::ClientError;
use super::file::read;
use crate::jose::{self, AssertionKey};
use crate::model::{Secret, UnixTime, WorkloadId};

/// How long an assertion of ours may be used: long enough for a slow request, too short to be worth stealing.
const ASSERTION_LIFE: Duration = Duration::from_secs(60);

/// The key, and whose it is.
#[derive(Debug)]
pub(super) struct Key {
    path: PathBuf,
    key: AssertionKey,
    workload: WorkloadId,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    jti: String,
    iat: UnixTime,
    exp: UnixTime,
}

impl Key {
    /// Reads the key that `JITNEY_KEY_FILE` names.
    pub(super) fn read(path: &Path, workload: WorkloadId) -> Result<Self, ClientError> {
        let wrong = |why| ClientError::File { name: "JITNEY_KEY_FILE", path: path.to_owned(), why };
        let pem = read(path).map_err(wrong)?;
        let key = AssertionKey::from_pem(pem.expose())
            .map_err(|error| wrong(format!("holds no key that can be used: {error}")))?;
        Ok(Self { path: path.to_owned(), key, workload })
    }

    /// Where it lies.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// An assertion for one request to the broker of this name.
    pub(super) fn sign(&self, issuer: &str, now: UnixTime) -> Result<Secret<String>, ClientError> {
        let mut random = [0; 16];
        SystemRandom::new()
            .fill(&mut random)
            .map_err(|_| ClientError::Assertion("the system has no randomness to give".into()))?;
        let claims = Claims {
            iss: self.workload.as_str(),
            sub: self.workload.as_str(),
            aud: issuer,
            jti: B64.encode(random),
            iat: now,
            exp: now.plus(ASSERTION_LIFE),
        };
        jose::sign_assertion(&self.key, &claims).map_err(|error| ClientError::Assertion(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::said;

    #[test]
    fn each_assertion_is_a_fresh_one_and_lives_a_minute() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key.pem");
        std::fs::write(&path, rcgen::KeyPair::generate().unwrap().serialize_pem()).unwrap();
        let key = Key::read(&path, WorkloadId::parse("demo").unwrap()).unwrap();
        let now = UnixTime::from_secs(1_790_000_000);
        let sign = || said::claims(key.sign("http://127.0.0.1:8180", now).unwrap().expose()).unwrap();
        let (one, two) = (sign(), sign());
        assert_ne!(one["jti"], two["jti"]);
        assert_eq!((&one["iss"], &one["sub"]), (&"demo".into(), &"demo".into()));
        assert_eq!(one["aud"], "http://127.0.0.1:8180");
        assert_eq!(one["exp"].as_u64().unwrap() - one["iat"].as_u64().unwrap(), 60);
        assert!(!format!("{key:?}").contains("PRIVATE"));
    }
}
