//! A broker that is its own issuer, at its own address, as clients find it; and the parties with their keys in files.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::common::{API, Answer, Ask, Assertion, Backing, Broker, Key, Setup, Token, key_of, key_of_kind};

/// The broker and the parties' keys.
pub struct World {
    pub broker: Broker,
    keys: tempfile::TempDir,
}

impl World {
    /// With the tests' policies, the API's key under the `kid` that some clients insist on.
    pub fn start(backing: &Backing) -> Self {
        Self::with(backing, |setup| setup)
    }

    /// The same, with more settings.
    pub fn with(backing: &Backing, more: impl FnOnce(Setup) -> Setup) -> Self {
        let setup = Setup::plain().policy("audiences/api.toml", audience(API, key_of(API), "api"));
        Self { broker: more(setup).start(backing), keys: tempfile::tempdir().unwrap() }
    }

    /// A party's private key in a file.
    pub fn key_file(&self, party: &str, key: &Key) -> String {
        let name: String = party.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        let path: PathBuf = self.keys.path().join(format!("{name}.pem"));
        std::fs::write(&path, plain(&key.pem())).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// The settings that a program of the workload `algs` and the API gets, for an algorithm.
    pub fn settings(&self, alg: &str) -> Vec<(&'static str, String)> {
        let kid = match alg {
            "ES256" => "ec",
            "EdDSA" => "ed",
            _ => "rsa",
        };
        vec![
            ("JITNEY_URL", self.broker.url()),
            ("JITNEY_WORKLOAD", "algs".to_owned()),
            ("JITNEY_KEY_FILE", self.key_file(kid, key_of_kind(kid))),
            ("JITNEY_KEY_ID", kid.to_owned()),
            ("JITNEY_ALG", alg.to_owned()),
            ("JITNEY_AUDIENCE", API.to_owned()),
            ("JITNEY_AUDIENCE_KEY_FILE", self.key_file(API, key_of(API))),
        ]
    }

    /// A token that this workload must be granted, for an audience and some seconds.
    #[track_caller]
    pub fn mint(&self, workload: &str, ask: &Ask) -> Token {
        Token::of(&self.send(workload, "/oauth2/token", ask).expect(200))
    }

    /// Whether a token stands, as the API is told.
    #[track_caller]
    pub fn stands(&self, token: &Token) -> bool {
        let answer = self.send(API, "/oauth2/introspect", &Ask::nobody().with("token", &token.text));
        answer.expect(200).json()["active"].as_bool().unwrap()
    }

    /// A form of this party's, with an assertion for this broker.
    #[track_caller]
    pub fn send(&self, party: &str, path: &str, ask: &Ask) -> Answer {
        let assertion = Assertion::of(party).claim("aud", self.broker.url()).text();
        self.broker.send(&ask.clone().assertion(assertion).at(path))
    }
}

/// A PKCS#8 key as `openssl genpkey` writes it: ring adds the public half to an Ed25519 key, which OpenSSL will not read.
fn plain(pem: &str) -> String {
    const ED25519: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    let text: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let der = STANDARD.decode(text).unwrap();
    if der.get(7..12) != Some(&ED25519[7..12]) {
        return pem.to_owned();
    }
    let der = [&ED25519, &der[16..48]].concat();
    format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(der))
}

/// Settings as a program takes them.
pub fn lend<'a>(settings: &'a [(&'static str, String)]) -> Vec<(&'a str, &'a str)> {
    settings.iter().map(|(name, value)| (*name, value.as_str())).collect()
}

/// An audience's file, its key under this `kid`.
pub fn audience(id: &str, key: &Key, kid: &str) -> String {
    let jwk = key.jwk(Some(kid));
    let members = ["kty", "crv", "x", "y", "kid"].map(|name| format!("{name} = {}", jwk[name]));
    format!(
        "id = {}\nowner = \"team-api@example.com\"\npurpose = \"Tests\"\nmax_ttl = \"10m\"\n\n[scopes]\n\"orders:read\" = \
         \"Read\"\n\"orders:write\" = \"Write\"\n\"orders:purge\" = \"Purge\"\n\n[[identity]]\ntype = \
         \"private_key_jwt\"\njwks = {{ keys = [{{ {} }}] }}\n",
        json!(id),
        members.join(", ")
    )
}
