//! The rows' form, and the one loop that runs them all.

use std::collections::HashSet;
use std::panic::AssertUnwindSafe;
use std::process::Stdio;
use std::sync::Arc;

use jitney::jose::es256::VerifyingKey;
use jitney::jose::{Alg, JwkSet};
use jitney::model::KeyId;
use jitney::revocation::View;
use jitney::verifier::{Checker, CheckerOptions, Expect, Invalid};
use serde_json::Value;

use crate::common::{API, Answer, Ask, Assertion, Backing, Broker, ISSUER, Key, Token, key_of};
use crate::good::{Good, Scene};

/// A crafted input, and what it gets.
pub struct Row {
    name: &'static str,
    /// The rule that asks for the refusal, or where the attack has worked.
    source: &'static str,
    craft: fn(&Good<'_>) -> String,
    /// What the token endpoint says to it as an assertion; none where it makes no sense there.
    told: Option<Told>,
    /// What the verifier says to it as an access token.
    check: Option<Result<(), Invalid>>,
    client: &'static str,
    kid: Option<&'static str>,
}

/// An answer of the token endpoint.
#[derive(Debug, Clone, Copy)]
pub enum Told {
    /// 200 and a token.
    Taken,
    /// 401 `invalid_client`, with these words in its description.
    Refused(&'static str),
    /// 400 `invalid_request`: not even the form is read.
    Unread(&'static str),
}

/// One answer for whatever depends on clients and keys.
pub const NOT_PROVEN: Told = Told::Refused("the assertion is not signed by a key of this client");
pub const ALGORITHM: Told = Told::Refused("use one of ES256, EdDSA, RS256, PS256, and the key's own");
pub const SEGMENTS: Told = Told::Refused("three segments of base64url");
pub const BASE64: Told = Told::Refused("not canonical base64url");
pub const JSON: Told = Told::Refused("not the JSON object it should be");

/// A row for both sides.
pub const fn row(
    name: &'static str,
    source: &'static str,
    craft: fn(&Good<'_>) -> String,
    told: Told,
    check: Result<(), Invalid>,
) -> Row {
    Row { name, source, craft, told: Some(told), check: Some(check), client: "demo", kid: None }
}

/// A row for the token endpoint alone.
pub const fn assertion(name: &'static str, source: &'static str, craft: fn(&Good<'_>) -> String, told: Told) -> Row {
    Row { name, source, craft, told: Some(told), check: None, client: "demo", kid: None }
}

/// A row for the verifier alone.
pub const fn token(
    name: &'static str,
    source: &'static str,
    craft: fn(&Good<'_>) -> String,
    check: Result<(), Invalid>,
) -> Row {
    Row { name, source, craft, told: None, check: Some(check), client: "demo", kid: None }
}

impl Row {
    /// As an assertion by the key of this name of the client that has one of each kind.
    pub const fn by(mut self, kid: &'static str) -> Self {
        self.client = "algs";
        self.kid = Some(kid);
        self
    }
}

/// Runs all rows against a broker of their own.
pub fn run(backing: &Backing, rows: &[Row]) {
    let stand = Stand::new(backing);
    let (mut names, mut seen) = (HashSet::new(), HashSet::new());
    let mut wrong = Vec::new();
    for row in rows {
        assert!(names.insert(row.name) && !row.source.is_empty(), "{}: a name of its own and a source", row.name);
        let is_new = row.check.is_some_and(|check| seen.insert(check));
        // All rows are told of, not the first that is wrong alone: each shows its own panic.
        if std::panic::catch_unwind(AssertUnwindSafe(|| stand.at_all(row, is_new))).is_err() {
            wrong.push(row.name);
        }
    }
    assert!(wrong.is_empty(), "{} of {} rows get something else: {wrong:#?}", wrong.len(), rows.len());
}

/// A broker, its signing key, one good token, and a verifier that holds its keys.
struct Stand {
    broker: Broker,
    broker_key: Key,
    token: Token,
    assertion: String,
    snapshot: String,
    /// With a memory of good tokens, and without.
    checkers: [Checker; 2],
}

impl Stand {
    fn new(backing: &Backing) -> Self {
        let broker = Broker::start(backing);
        let token = broker.mint("demo", "forged");
        let pem = broker.data().join("keys").join(format!("{}.pem", token.kid()));
        let broker_key = Key::from_pem(&std::fs::read_to_string(pem).unwrap());
        let snapshot = broker.get("/v1/revocations?once=1").text();
        let snapshot = snapshot.lines().find_map(|line| line.strip_prefix("data: ")).unwrap().to_owned();
        let checkers = [10_000, 0].map(|seen| {
            let options = CheckerOptions { seen, ..CheckerOptions::new(ISSUER) };
            let checker = Checker::new(options, Arc::new(View::new()));
            checker.set_keys(published(&broker));
            checker
        });
        Self { broker, broker_key, token, assertion: Assertion::of("demo").text(), snapshot, checkers }
    }

    fn scene(&self) -> Scene<'_> {
        Scene {
            broker_key: &self.broker_key,
            client_key: key_of("demo"),
            token: &self.token,
            assertion: &self.assertion,
            snapshot: &self.snapshot,
        }
    }

    /// The row wherever it goes; to the command line if its outcome is new there.
    fn at_all(&self, row: &Row, is_new: bool) {
        if let Some(told) = row.told {
            self.at_the_token_endpoint(row, told);
        }
        if let Some(check) = row.check {
            let crafted = (row.craft)(&Good::token(&self.scene()));
            self.at_the_verifier(row, &crafted, check);
            self.at_the_broker(row, &crafted, check);
            // It is told no scope and no task.
            if is_new && !matches!(check, Err(Invalid::Scope | Invalid::Task)) {
                self.at_the_command_line(row, &crafted, check);
            }
        }
    }

    fn at_the_token_endpoint(&self, row: &Row, told: Told) {
        let Row { name, client, .. } = row;
        let good = Good::assertion(client, row.kid, &self.scene());
        let crafted = (row.craft)(&good);
        let answer = self.broker.ask(&Ask::of(client).assertion(&crafted));
        let description = answer.field("error_description");
        match told {
            Told::Taken => assert_eq!(answer.status, 200, "{name}: {}", answer.text()),
            Told::Refused(words) => {
                assert_eq!(answer.outcome(), (401, "invalid_client".into()), "{name}: {}", answer.text());
                assert!(description.contains(words), "{name}: {description}");
            }
            Told::Unread(words) => {
                assert_eq!(answer.outcome(), (400, "invalid_request".into()), "{name}: {}", answer.text());
                assert!(description.contains(words), "{name}: {description}");
            }
        }
        assert!(answer.status == 200 || !answer.field("decision_id").is_empty(), "{name}: no decision");
        // What it was crafted from is good, and nothing of it was used up unless the crafted one was taken by its jti.
        let control = self.broker.ask(&Ask::of(client).assertion(&good.text));
        let is_used_up = matches!(told, Told::Taken) && Token::read(&crafted).claims["jti"] == good.claims["jti"];
        let expected = if is_used_up { 401 } else { 200 };
        assert_eq!(control.status, expected, "{name}: the good one, afterwards: {}", control.text());
    }

    fn at_the_verifier(&self, row: &Row, crafted: &str, check: Result<(), Invalid>) {
        let expect = Expect { audience: Some(API), scopes: &["orders:read"], task: Some("forged") };
        for checker in &self.checkers {
            assert_eq!(
                checker.check(&self.token.text, &expect).map(drop),
                Ok(()),
                "{}: the good one, before",
                row.name
            );
            assert_eq!(checker.check(crafted, &expect).map(drop), check, "{} ({})", row.name, row.source);
            assert_eq!(checker.check(&self.token.text, &expect).map(drop), Ok(()), "{}: the good one, after", row.name);
        }
    }

    fn at_the_broker(&self, row: &Row, crafted: &str, check: Result<(), Invalid>) {
        let name = row.name;
        // Good tokens, though not for what was expected above. One of another task completes nothing but that.
        match check {
            Err(Invalid::Audience | Invalid::Scope) => return,
            Err(Invalid::Task) => {
                let answer = self.broker.complete_by(crafted, "forged");
                return assert_eq!(answer.outcome(), (403, "insufficient_scope".into()), "{name}: {}", answer.text());
            }
            _ => {}
        }
        let introspect = |token: &str| self.broker.send(&Ask::bare(API).with("token", token).at("/oauth2/introspect"));
        let answer = introspect(crafted);
        match answer.status {
            200 => assert_eq!(answer.json()["active"], check.is_ok(), "{name}: {}", answer.text()),
            // Control characters and the like are in no form that is read.
            _ => assert!(check.is_err() && answer.outcome() == (400, "invalid_request".into()), "{name}"),
        }
        assert_eq!(introspect(&self.token.text).json()["active"], true, "{name}: the good one");
        // White space around a token belongs to the header, not to the token.
        let is_header = !crafted.is_empty() && crafted.bytes().all(|byte| byte.is_ascii_graphic());
        if let (Err(invalid), true) = (check, is_header) {
            let answer = self.broker.complete_by(crafted, "forged");
            assert_bearer_refused(name, &answer, invalid);
        }
    }

    fn at_the_command_line(&self, row: &Row, crafted: &str, check: Result<(), Invalid>) {
        let path = self.broker.data().join("crafted");
        std::fs::write(&path, crafted).unwrap();
        let stdin = Stdio::from(std::fs::File::open(&path).unwrap());
        let words = ["verify", "--audience", API, "--output", "json"];
        let output = self.broker.cli_with("demo", &words, stdin);
        let said: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        assert_eq!(output.status.code(), Some(i32::from(check.is_err())), "{}: {output:?}", row.name);
        assert_eq!(said["reason"].as_str(), check.err().map(Invalid::as_str), "{}", row.name);
    }
}

fn assert_bearer_refused(name: &str, answer: &Answer, invalid: Invalid) {
    if answer.status == 431 {
        return;
    }
    assert_eq!(answer.outcome(), (401, "invalid_token".into()), "{name}: {}", answer.text());
    assert!(answer.field("error_description").contains(&invalid.to_string()), "{name}: {}", answer.text());
    assert!(answer.header("www-authenticate").is_some_and(|it| it.contains("invalid_token")), "{name}");
    assert!(!answer.field("decision_id").is_empty(), "{name}");
}

/// A broker's keys, as the verifier reads them.
fn published(broker: &Broker) -> Vec<(KeyId, VerifyingKey)> {
    let set = JwkSet::parse(&broker.get("/oauth2/jwks").expect(200).body).unwrap();
    let keys = set.keys().iter().filter(|key| key.serves(Alg::Es256));
    keys.map(|key| (KeyId::parse(key.kid().unwrap()).unwrap(), VerifyingKey::from_point(key.public_bytes()).unwrap()))
        .collect()
}
