//! A verifier of its own: tokens, keys and rules read by the contract's text, sharing no code with the broker.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use serde_json::Value;

use super::{Answer, Broker};

/// A token as its holder has it.
#[derive(Debug, Clone)]
pub struct Token {
    pub text: String,
    pub header: Value,
    pub claims: Value,
}

impl Token {
    /// Reads a compact JWS; nothing is checked.
    pub fn read(text: &str) -> Self {
        let part = |at: usize| {
            let bytes = B64.decode(text.split('.').nth(at).expect("three parts")).unwrap();
            serde_json::from_slice(&bytes).unwrap()
        };
        Self { text: text.to_owned(), header: part(0), claims: part(1) }
    }

    /// The token in a token endpoint's answer.
    pub fn of(answer: &Answer) -> Self {
        Self::read(&answer.field("access_token"))
    }

    /// A claim that is a string.
    pub fn claim(&self, name: &str) -> String {
        self.claims[name].as_str().unwrap_or_else(|| panic!("no {name} in {}", self.claims)).to_owned()
    }

    /// A claim that is a number.
    pub fn number(&self, name: &str) -> u64 {
        self.claims[name].as_u64().unwrap_or_else(|| panic!("no {name} in {}", self.claims))
    }

    pub fn lease(&self) -> String {
        self.claim("jti")
    }

    pub fn kid(&self) -> String {
        self.header["kid"].as_str().unwrap().to_owned()
    }

    /// Every kind of rule and its digest that would end this token.
    fn selectors(&self) -> Vec<(&'static str, String)> {
        let (sub, txn) = (self.claim("sub"), self.claim("txn"));
        let ancestors = txn.match_indices('/').map(|(end, _)| &txn[..end]).chain([txn.as_str()]);
        let mut all: Vec<_> = ancestors.map(|task| ("task", digest("task", &[&sub, task]))).collect();
        all.push(("lease", digest("lease", &[&self.lease()])));
        all.push(("workload", digest("workload", &[&sub])));
        all.push(("audience", digest("audience", &[&self.claim("aud")])));
        all.push(("key", digest("key", &[&self.kid()])));
        all.push(("all", digest("all", &[])));
        all
    }
}

/// The digest of a rule: base64url of the first 16 bytes of SHA-256 over the kind and its parts, joined by NUL.
pub fn digest(kind: &str, parts: &[&str]) -> String {
    let text = [&[kind], parts].concat().join("\0");
    B64.encode(&ring::digest::digest(&ring::digest::SHA256, text.as_bytes()).as_ref()[..16])
}

/// A broker's published keys.
#[derive(Debug, Clone)]
pub struct Jwks(HashMap<String, Vec<u8>>);

impl Jwks {
    /// Fetches them.
    #[track_caller]
    pub fn fetch(broker: &Broker) -> Self {
        Self::read(&broker.get("/oauth2/jwks").expect(200).json())
    }

    /// Reads a JWKS.
    #[track_caller]
    pub fn read(document: &Value) -> Self {
        let keys = document["keys"].as_array().unwrap().iter().map(|key| {
            let member = |name: &str| key[name].as_str().unwrap_or_else(|| panic!("no {name} in {key}")).to_owned();
            assert_eq!([member("kty"), member("crv"), member("alg"), member("use")], ["EC", "P-256", "ES256", "sig"]);
            assert!(key.get("d").is_none(), "a private key in the JWKS");
            let coordinate = |name: &str| B64.decode(member(name)).unwrap();
            (member("kid"), [vec![4], coordinate("x"), coordinate("y")].concat())
        });
        Self(keys.collect())
    }

    /// The keys' names, sorted.
    pub fn kids(&self) -> Vec<String> {
        let mut kids: Vec<_> = self.0.keys().cloned().collect();
        kids.sort();
        kids
    }

    /// Checks a JWS of this type by the published key it names.
    pub fn check(&self, text: &str, typ: &str) -> Result<Token, String> {
        let token = Token::read(text);
        if token.header["alg"] != "ES256" || token.header["typ"] != typ {
            return Err(format!("header {}", token.header));
        }
        let key = self.0.get(&token.kid()).ok_or("an unknown kid")?;
        let (message, signature) = text.rsplit_once('.').ok_or("no signature")?;
        let signature = B64.decode(signature).map_err(|error| error.to_string())?;
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key)
            .verify(message.as_bytes(), &signature)
            .map_err(|_| "a wrong signature")?;
        Ok(token)
    }
}

/// A rule of the feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    pub kind: String,
    pub digest: String,
    pub position: u64,
    pub until: u64,
}

impl Rule {
    /// From `[kind, digest, position, until]`; a rule on a key has no `until`.
    pub fn read(value: &Value) -> Self {
        let text = |at: usize| value[at].as_str().unwrap_or_else(|| panic!("{value} is no rule")).to_owned();
        let position = value[2].as_u64().unwrap_or_else(|| panic!("{value} is no rule"));
        Self { kind: text(0), digest: text(1), position, until: value[3].as_u64().unwrap_or_default() }
    }
}

/// A snapshot of the feed, its signature, hashes and counts checked.
#[derive(Debug, Clone)]
pub struct Feed {
    pub claims: Value,
    pub rules: Vec<Rule>,
}

impl Feed {
    /// Fetches everything.
    #[track_caller]
    pub fn fetch(broker: &Broker) -> Self {
        Self::at(broker, "/v1/revocations?once=1")
    }

    /// Fetches what concerns tokens for this audience.
    #[track_caller]
    pub fn of(broker: &Broker, audience: &str) -> Self {
        let feed = Self::at(broker, &format!("/v1/revocations?audience={audience}&once=1"));
        assert_eq!(feed.claims["audience"], audience);
        feed
    }

    #[track_caller]
    fn at(broker: &Broker, path: &str) -> Self {
        let keys = Jwks::fetch(broker);
        Self::read(&keys, &broker.get(path).expect(200)).unwrap()
    }

    /// Reads a snapshot.
    ///
    /// # Errors
    /// Where its signature is none of these keys'.
    #[track_caller]
    pub fn read(keys: &Jwks, answer: &Answer) -> Result<Self, String> {
        assert_eq!(answer.header("content-type"), Some("text/event-stream"));
        Self::check(keys, &answer.text())
    }

    /// Reads a snapshot and its parts, as they came.
    ///
    /// # Errors
    /// Where its signature is none of these keys'.
    #[track_caller]
    pub fn check(keys: &Jwks, text: &str) -> Result<Self, String> {
        let mut events = text.split("\n\n").filter(|event| !event.is_empty()).map(event);
        let first = events.next().expect("a snapshot comes first");
        assert_eq!(first["event"], "snapshot");
        let claims = keys.check(&first["data"], "revocations+jwt")?.claims;
        let mut rules = Vec::new();
        let mut hashes = Vec::new();
        for event in events {
            assert_eq!(event["event"], "part");
            assert!(!event["id"].is_empty());
            let data = &event["data"];
            hashes.push(Value::from(B64.encode(ring::digest::digest(&ring::digest::SHA256, data.as_bytes()))));
            let part: Value = serde_json::from_str(data).unwrap();
            rules.extend(part["rules"].as_array().unwrap().iter().map(Rule::read));
        }
        assert_eq!(claims["parts"], Value::from(hashes));
        assert_eq!(claims["count"], rules.len());
        Ok(Self { claims, rules })
    }

    /// Every key whose tokens count.
    pub fn kids(&self) -> Vec<String> {
        let kids = self.claims["kids"].as_array().unwrap();
        kids.iter().map(|kid| kid.as_str().unwrap().to_owned()).collect()
    }

    /// The kind of the first rule that ends this token.
    pub fn ends(&self, token: &Token) -> Option<&str> {
        let selectors = token.selectors();
        let rev = token.number("rev");
        let ends = |rule: &&Rule| {
            let is_selected = selectors.iter().any(|(kind, digest)| rule.kind == *kind && rule.digest == *digest);
            is_selected && (rule.kind == "key" || rev < rule.position)
        };
        self.rules.iter().find(ends).map(|rule| rule.kind.as_str())
    }
}

/// The fields of a server-sent event.
fn event(text: &str) -> HashMap<&str, String> {
    let fields = text.lines().map(|line| line.split_once(':').unwrap_or_else(|| panic!("{line:?} is no field")));
    fields.map(|(name, value)| (name, value.strip_prefix(' ').unwrap_or(value).to_owned())).collect()
}
