//! Who a workload is and how it proves it, from its settings.
//!
//! Owns the private key for as long as the program runs. Never writes it, nor an assertion, anywhere.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::Serialize;

use super::ClientError;
use crate::jose::{self, AssertionKey};
use crate::model::{Secret, UnixTime, WorkloadId};

/// How long an assertion of ours may be used: long enough for a slow request, too short to be worth stealing.
const ASSERTION_LIFE: Duration = Duration::from_secs(60);
/// No key and no assertion is larger.
const MAX_FILE: u64 = 64 * 1024;

/// Where a broker is reached, and the name by which it must call itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerAddress {
    url: String,
    issuer: String,
}

/// A workload's settings: where its broker is, who it is, how it proves it.
#[derive(Debug)]
pub struct Identity {
    broker: BrokerAddress,
    workload: WorkloadId,
    proof: Proof,
}

#[derive(Debug)]
enum Proof {
    /// Signs its own assertions (`private_key_jwt`, RFC 7523 §2.2).
    Key(AssertionKey),
    /// A file in which a platform keeps an assertion fresh; read for each request.
    File(PathBuf),
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

impl Identity {
    /// Reads the settings from the environment of this process.
    ///
    /// # Errors
    /// [`ClientError::Setting`] or [`ClientError::File`], with the variable's name.
    pub fn from_env() -> Result<Self, ClientError> {
        Self::from_settings(|name| std::env::var(name).ok())
    }

    /// Reads the settings from `get`: `JITNEY_URL`, `JITNEY_ISSUER` (that URL where absent), `JITNEY_WORKLOAD`, and one of
    /// `JITNEY_KEY_FILE` (PKCS#8 PEM) and `JITNEY_ASSERTION_FILE`. An empty setting counts as none.
    ///
    /// # Errors
    /// [`ClientError::Setting`] or [`ClientError::File`], with the variable's name.
    pub fn from_settings(get: impl Fn(&str) -> Option<String>) -> Result<Self, ClientError> {
        let get = |name: &str| get(name).filter(|value| !value.is_empty());
        let broker = BrokerAddress::from_settings(get)?;
        let missing = || ClientError::Setting { name: "JITNEY_WORKLOAD", rule: "is not set".into() };
        let workload = get("JITNEY_WORKLOAD").ok_or_else(missing)?;
        let workload = WorkloadId::parse(&workload)
            .map_err(|error| ClientError::Setting { name: "JITNEY_WORKLOAD", rule: format!("names no {error}") })?;
        let proof = match (get("JITNEY_KEY_FILE"), get("JITNEY_ASSERTION_FILE")) {
            (Some(path), None) => Proof::Key(read_key(Path::new(&path))?),
            (None, Some(path)) => Proof::File(path.into()),
            (None, None) => {
                return Err(ClientError::Setting {
                    name: "JITNEY_KEY_FILE",
                    rule: "is not set, and JITNEY_ASSERTION_FILE is not either".into(),
                });
            }
            (Some(_), Some(_)) => {
                let rule = "and JITNEY_ASSERTION_FILE are both set: one of them can be used".into();
                return Err(ClientError::Setting { name: "JITNEY_KEY_FILE", rule });
            }
        };
        Ok(Self { broker, workload, proof })
    }

    /// Where the broker is.
    pub const fn broker(&self) -> &BrokerAddress {
        &self.broker
    }

    /// Who the workload is.
    pub const fn workload(&self) -> &WorkloadId {
        &self.workload
    }

    /// An assertion for one request: a fresh one from the key, or what stands in the file now.
    pub(super) fn assertion(&self, now: UnixTime) -> Result<Secret<String>, ClientError> {
        let key = match &self.proof {
            Proof::Key(key) => key,
            Proof::File(path) => {
                let text = read_secret("JITNEY_ASSERTION_FILE", path)?;
                return Ok(Secret::new(text.expose().trim().to_owned()));
            }
        };
        let mut random = [0; 16];
        SystemRandom::new()
            .fill(&mut random)
            .map_err(|_| ClientError::Assertion("the system has no randomness to give".into()))?;
        let claims = Claims {
            iss: self.workload.as_str(),
            sub: self.workload.as_str(),
            aud: &self.broker.issuer,
            jti: B64.encode(random),
            iat: now,
            exp: now.plus(ASSERTION_LIFE),
        };
        jose::sign_assertion(key, &claims).map_err(|error| ClientError::Assertion(error.to_string()))
    }
}

impl BrokerAddress {
    /// Reads `JITNEY_URL` and, where the broker is reached under another name than its issuer's, `JITNEY_ISSUER`.
    ///
    /// # Errors
    /// [`ClientError::Setting`] where the URL is not set, or neither https nor of this machine.
    pub fn from_settings(get: impl Fn(&str) -> Option<String>) -> Result<Self, ClientError> {
        let get = |name: &str| get(name).filter(|value| !value.is_empty());
        let wrong = |rule: &str| ClientError::Setting { name: "JITNEY_URL", rule: rule.to_owned() };
        let raw = get("JITNEY_URL").ok_or_else(|| wrong("is not set"))?;
        let url = raw.strip_suffix('/').unwrap_or(&raw).to_owned();
        let parsed: http::Uri = url.parse().map_err(|_| wrong("is no URL"))?;
        let host = parsed.host().unwrap_or_default();
        match parsed.scheme_str() {
            Some("https") if !host.is_empty() => {}
            Some("http") if is_loopback(host) => {}
            Some("http") => return Err(wrong("is plain http and not of this machine: an https URL is needed")),
            _ => return Err(wrong("is no https URL")),
        }
        let issuer = get("JITNEY_ISSUER").unwrap_or_else(|| url.clone());
        Ok(Self { url, issuer })
    }

    /// Where it is reached, without a `/` at the end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The name by which it must call itself (RFC 8414 §3.3).
    pub fn issuer(&self) -> &str {
        &self.issuer
    }
}

/// Whether `host`, as it stands in a URL, is this machine.
fn is_loopback(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    bare == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn read_key(path: &Path) -> Result<AssertionKey, ClientError> {
    let pem = read_secret("JITNEY_KEY_FILE", path)?;
    AssertionKey::from_pem(pem.expose()).map_err(|error| ClientError::File {
        name: "JITNEY_KEY_FILE",
        path: path.to_owned(),
        why: format!("holds no key that can be used: {error}"),
    })
}

fn read_secret(name: &'static str, path: &Path) -> Result<Secret<String>, ClientError> {
    let wrong = |why: String| ClientError::File { name, path: path.to_owned(), why };
    let size = fs::metadata(path).map_err(|error| wrong(format!("cannot be read: {error}")))?.len();
    if size > MAX_FILE {
        return Err(wrong(format!("is larger than {MAX_FILE} bytes")));
    }
    fs::read_to_string(path).map(Secret::new).map_err(|error| wrong(format!("cannot be read: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings<'a>(pairs: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<String> + 'a {
        move |name| pairs.iter().find(|pair| pair.0 == name).map(|pair| pair.1.to_owned())
    }

    #[test]
    fn a_missing_or_doubled_setting_is_named() {
        let cases: &[(&[(&str, &str)], &str)] = &[
            (&[], "JITNEY_URL is not set"),
            (&[("JITNEY_URL", "")], "JITNEY_URL is not set"),
            (&[("JITNEY_URL", "http://127.0.0.1:1")], "JITNEY_WORKLOAD is not set"),
            (&[("JITNEY_URL", "http://127.0.0.1:1"), ("JITNEY_WORKLOAD", "a b")], "JITNEY_WORKLOAD names no workload"),
            (&[("JITNEY_URL", "http://127.0.0.1:1"), ("JITNEY_WORKLOAD", "w")], "JITNEY_KEY_FILE is not set"),
            (
                &[
                    ("JITNEY_URL", "http://127.0.0.1:1"),
                    ("JITNEY_WORKLOAD", "w"),
                    ("JITNEY_KEY_FILE", "k"),
                    ("JITNEY_ASSERTION_FILE", "a"),
                ],
                "both set",
            ),
            (
                &[("JITNEY_URL", "http://127.0.0.1:1"), ("JITNEY_WORKLOAD", "w"), ("JITNEY_KEY_FILE", "/nonexistent")],
                "/nonexistent, named by JITNEY_KEY_FILE, cannot be read",
            ),
        ];
        for (pairs, expected) in cases {
            let error = Identity::from_settings(settings(pairs)).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
            assert!(!error.next_step().is_empty());
        }
    }

    #[test]
    fn plain_http_is_for_this_machine_alone() {
        let good = ["http://127.0.0.1:8180", "http://localhost:1/", "http://[::1]:8180", "https://broker.example.com"];
        for url in good {
            let broker = BrokerAddress::from_settings(settings(&[("JITNEY_URL", url)])).unwrap();
            assert_eq!((broker.url(), broker.issuer()), (url.trim_end_matches('/'), url.trim_end_matches('/')));
        }
        for url in ["http://10.0.0.1", "http://localhost.example.com", "ftp://127.0.0.1", "127.0.0.1:8180", "https://"]
        {
            assert!(BrokerAddress::from_settings(settings(&[("JITNEY_URL", url)])).is_err(), "{url}");
        }
    }

    #[test]
    fn each_assertion_is_a_fresh_one_and_lives_a_minute() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key.pem");
        fs::write(&path, rcgen::KeyPair::generate().unwrap().serialize_pem()).unwrap();
        let identity = Identity::from_settings(settings(&[
            ("JITNEY_URL", "http://127.0.0.1:8180/"),
            ("JITNEY_WORKLOAD", "demo"),
            ("JITNEY_KEY_FILE", path.to_str().unwrap()),
        ]))
        .unwrap();
        let now = UnixTime::from_secs(1_790_000_000);
        let read = |assertion: Secret<String>| -> serde_json::Value {
            let payload = assertion.expose().split('.').nth(1).unwrap().to_owned();
            serde_json::from_slice(&B64.decode(payload).unwrap()).unwrap()
        };
        let (one, two) = (read(identity.assertion(now).unwrap()), read(identity.assertion(now).unwrap()));
        assert_ne!(one["jti"], two["jti"]);
        assert_eq!((&one["iss"], &one["sub"]), (&"demo".into(), &"demo".into()));
        assert_eq!(one["aud"], "http://127.0.0.1:8180");
        assert_eq!(one["exp"].as_u64().unwrap() - one["iat"].as_u64().unwrap(), 60);
        assert!(!format!("{identity:?}").contains("PRIVATE"));
    }

    #[test]
    fn an_assertion_from_a_file_is_read_anew_each_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("assertion");
        fs::write(&path, "first\n").unwrap();
        let identity = Identity::from_settings(settings(&[
            ("JITNEY_URL", "http://127.0.0.1:8180"),
            ("JITNEY_WORKLOAD", "demo"),
            ("JITNEY_ASSERTION_FILE", path.to_str().unwrap()),
        ]))
        .unwrap();
        assert_eq!(identity.assertion(UnixTime::default()).unwrap().expose(), "first");
        fs::write(&path, "second").unwrap();
        assert_eq!(identity.assertion(UnixTime::default()).unwrap().expose(), "second");
    }
}
