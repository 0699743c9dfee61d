//! Tokens, client assertions and key sets. Signed ones are made here from what a fuzzer says, so that it reaches behind
//! the signature.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use serde_json::Value;

use super::shared::{ISSUER, NOW, cut, encoded, key, signed};
use crate::attest::{Attestor, Bounds, Caller, ClientAuth, Endpoint, Issuers, Unproven};
use crate::fetch::foreign::{ForeignFetch, ForeignOptions};
use crate::jose::es256::VerifyingKey;
use crate::jose::{Alg, Compact, JwkSet};
use crate::model::{AccessClaims, Clock, Epoch, KeyId, Position, Rule, Selector, TaskId, UnixTime, WorkloadId};
use crate::policy::{PolicySet, SingleUse};
use crate::revocation::View;
use crate::telemetry::Metrics;
use crate::verifier::{Checker, CheckerOptions, Expect, Invalid};

/// The tokens that were signed: their claims. No other token is ever accepted as it comes.
const SIGNED: [&str; 2] = [
    r#"{"iss":"https://broker.example","sub":"nightly","client_id":"nightly","aud":"https://orders","iat":1790000000,"nbf":1790000000,"exp":1790000300,"jti":"0190163d-8694-839b-aea5-966c26f8ad91","scope":"orders:read","txn":"run-1/a","rev":9}"#,
    r#"{"iss":"https://broker.example","sub":"gone","client_id":"gone","aud":"https://orders","iat":1790000000,"nbf":1790000000,"exp":1790000300,"jti":"0190163d-8694-839b-aea5-966c26f8ad92","scope":"orders:read orders:write","txn":"run-1/a","rev":60,"act":{"sub":"agent"}}"#,
];

/// The place of the rule that ended the workload `gone`.
const GONE_AT: u64 = 50;

/// An access token: as it comes, or, behind an `S`, a header, a line feed and claims, which are signed here.
pub fn jwt(data: &[u8]) {
    match data {
        [b'S', rest @ ..] => signed_token(rest),
        _ => {
            if let Ok(raw) = std::str::from_utf8(data) {
                token_as_it_comes(raw);
            }
        }
    }
}

fn token_as_it_comes(raw: &str) {
    let parsed = Compact::parse(raw);
    if let Ok(compact) = &parsed {
        reads_back(compact, raw);
    }
    if let Ok(token) = verdict(raw) {
        let input = parsed.expect("what is accepted parses").signing_input.to_owned();
        let header = format!(r#"{{"alg":"ES256","typ":"at+jwt","kid":"{}"}}"#, key().kid());
        let known = |claims: &&str| format!("{}.{}", encoded(header.as_bytes()), encoded(claims.as_bytes())) == input;
        assert!(SIGNED.iter().any(known), "a token that nobody signed is accepted: {token:?}");
    }
}

fn signed_token(data: &[u8]) {
    let (header, payload) = cut(data, b'\n');
    let raw = signed(header, payload);
    let outcome = verdict(&raw);
    if let Ok(compact) = Compact::parse(&raw) {
        reads_back(&compact, &raw);
        assert_eq!(compact.payload, payload);
    } else {
        assert!(outcome.is_err(), "what does not parse is accepted");
    }
    let Ok(claims) = outcome else { return };
    let header: Value = serde_json::from_slice(header).expect("an accepted header is JSON");
    assert_eq!((&header["alg"], &header["kid"]), (&"ES256".into(), &key().kid().as_str().into()));
    // A claim that nobody reads may be what no reader of ours takes, such as 1e999.
    if let Ok(told) = serde_json::from_slice::<Value>(payload) {
        assert_eq!((&told["iss"], &told["exp"]), (&ISSUER.into(), &claims.exp.secs().into()));
    }
    assert_eq!(claims.iss, ISSUER);
    assert!(claims.exp.secs() > NOW && claims.nbf.secs() <= NOW + 5 && claims.iat.secs() <= NOW + 5);
    let is_gone = |id: &WorkloadId| id.as_str() == "gone";
    let ended = is_gone(&claims.sub) || claims.actors().any(is_gone);
    assert!(!ended || claims.rev.get() >= GONE_AT, "a revoked token is accepted");
    let text = serde_json::to_string(&claims).expect("claims serialize");
    assert_eq!(serde_json::from_str::<AccessClaims>(&text).expect("and read back"), claims);
}

/// A compact JWS is its segments, each of which has one spelling.
fn reads_back(compact: &Compact<'_>, raw: &str) {
    assert_eq!(format!("{}.{}", compact.signing_input, compact.signature), raw);
    let (_, payload) = compact.signing_input.split_once('.').expect("two segments");
    assert_eq!(encoded(&compact.payload), payload);
    let signature = compact.signature_bytes().expect("its form was checked");
    assert_eq!((encoded(&signature).as_str(), signature.len()), (compact.signature, compact.signature_len()));
    if let Ok(claims) = compact.claims() {
        let claims = Value::Object(claims);
        let again = serde_json::from_str::<Value>(&claims.to_string()).expect("what is written is JSON");
        // A fraction may come back as its neighbour; no claim of ours is one.
        assert!(has_fraction(&claims) || again == claims);
    }
}

fn has_fraction(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.is_f64(),
        Value::Array(items) => items.iter().any(has_fraction),
        Value::Object(members) => members.values().any(has_fraction),
        _ => false,
    }
}

/// What the checker says: the same the first time and when it has seen the token before.
fn verdict(raw: &str) -> Result<AccessClaims, Invalid> {
    static CHECKER: LazyLock<Checker> = LazyLock::new(|| {
        let gone = Selector::Workload(WorkloadId::parse("gone").expect("a name"));
        let until = Some(UnixTime::from_secs(NOW + 3600));
        let rule = Rule { kind: gone.kind(), digest: gone.digest(), position: Position::new(GONE_AT), until };
        let (view, now) = (View::new(), UnixTime::from_secs(NOW));
        view.replace(Epoch::from_bits(7), Position::new(60), &[rule], now).expect("a first view");
        let options = CheckerOptions { clock: Clock::manual(now), seen: 8, ..CheckerOptions::new(ISSUER) };
        let checker = Checker::new(options, Arc::new(view));
        checker.set_keys(vec![(key().kid().clone(), key().public().clone())]);
        checker
    });
    let first = CHECKER.inspect(raw).map(|token| token.claims().clone());
    let again = CHECKER.inspect(raw).map(|token| token.claims().clone());
    assert_eq!(first, again);
    let elsewhere = Expect { audience: Some("https://elsewhere"), ..Expect::default() };
    let here = first.as_ref().is_ok_and(|claims| claims.aud.matches("https://elsewhere"));
    assert_eq!(CHECKER.check(raw, &elsewhere).is_ok(), here);
    if first.is_ok() {
        assert!(CHECKER.open(raw).is_ok(), "what is good can be opened");
    }
    first
}

/// A client assertion: as it comes, or, behind an `S`, a header, a line feed and claims, which are signed here with the
/// key of the workload `alpha`, and of the platform that proves `gamma`.
pub fn assertion(data: &[u8]) {
    match data {
        [b'S', rest @ ..] => {
            let (header, payload) = cut(rest, b'\n');
            if let Ok(caller) = attest(&signed(header, payload)) {
                let claims: Value = serde_json::from_slice(payload).expect("accepted claims are JSON");
                if caller.who.id() == "gamma" {
                    return of_the_platform(&caller, &claims);
                }
                assert_eq!(caller.who.id(), "alpha", "a signature proves another client than its own");
                assert_eq!((&claims["iss"], &claims["sub"]), (&"alpha".into(), &"alpha".into()));
                let spent = caller.spent.clone().expect("an assertion is used up");
                // Within 300 s of its `iat`, or of now; and twice the skew.
                assert!((NOW..=NOW + 300 + 3 * 30).contains(&spent.until.secs()), "kept until {}", spent.until);
            }
        }
        _ => {
            let Ok(raw) = std::str::from_utf8(data) else { return };
            if let Ok(caller) = attest(raw) {
                // The one that is in the corpus was signed by `alpha`.
                assert_eq!(caller.who.id(), "alpha");
                let payload = Compact::parse(raw).expect("what is accepted parses").payload;
                assert_eq!(payload, SIGNED_ASSERTION.as_bytes(), "an assertion that nobody signed is accepted");
            }
        }
    }
}

/// A platform's token says all that `gamma` asks for, to this broker, and is bound by a policy alone.
fn of_the_platform(caller: &Caller, claims: &Value) {
    assert_eq!(claims["iss"], "https://platform.example");
    assert!(claims["aud"] == ISSUER || claims["aud"] == serde_json::json!([ISSUER]));
    assert!(claims["repository_id"] == "1" || claims["repository_id"] == 1);
    assert!(claims["ref"].as_str().is_some_and(|name| name.starts_with("refs/tags/v")));
    assert!(caller.spent.is_none());
    let task = TaskId::parse("t").expect("a task");
    let spent = caller.spent_for(Some(SingleUse::Lease), &task).expect("what a policy binds is used up");
    assert!((NOW..=NOW + 24 * 3600 + 3 * 30).contains(&spent.until.secs()), "kept until {}", spent.until);
    // Without `iat`, a day and a skew before `exp`.
    assert!(spent.from.secs() <= NOW + 30, "made at {}", spent.from);
}

/// The claims of the one assertion that was signed.
const SIGNED_ASSERTION: &str =
    r#"{"iss":"alpha","sub":"alpha","aud":"https://broker.example","iat":1790000000,"exp":1790000060,"jti":"1"}"#;

fn attest(raw: &str) -> Result<Arc<Caller>, Unproven> {
    static CLIENTS: LazyLock<(PolicySet, Attestor)> = LazyLock::new(|| {
        let file = |jwks: &str| {
            format!(
                "owner = \"o\"\npurpose = \"p\"\nexpires = 2027-06-30\n[[identity]]\ntype = \"private_key_jwt\"\njwks_file = \"{jwks}\"\n"
            )
        };
        let files = [
            ("workloads/alpha.toml", file("alpha.json")),
            ("workloads/alpha.json", format!(r#"{{"keys":[{}]}}"#, key().public().to_jwk())),
            ("workloads/beta.toml", file("beta.json")),
            ("workloads/beta.json", RFC_8037_A_2.into()),
            ("workloads/gamma.toml", GAMMA.into()),
            ("audiences/orders.toml", AUDIENCE.into()),
        ];
        let set = PolicySet::from_sources(files, UnixTime::from_secs(NOW)).expect("clients").0;
        // Nobody is asked for keys: those of the one platform are pinned.
        let asked = ForeignOptions { timeout: Duration::ZERO, max_body: 0, allow: Vec::new(), ca_pem: None };
        let issuers = Issuers::new(ForeignFetch::new(asked), Bounds::default(), Arc::new(Metrics::new()));
        (set, Attestor::new(ISSUER, false, Attestor::SKEW, Arc::new(issuers)).expect("decoys"))
    });
    const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    let (set, attestor) = &*CLIENTS;
    let auth = ClientAuth { assertion_type: Some(JWT_BEARER), assertion: Some(raw), client_id: None };
    let outcome = attestor.attest(set, &auth, Endpoint::TOKEN, UnixTime::from_secs(NOW));
    if let Err(unproven) = &outcome {
        assert!(unproven.claimed.as_ref().is_none_or(|claimed| claimed.len() <= 255));
    }
    outcome
}

/// A workload that a platform's token proves; the platform's key is alpha's.
const GAMMA: &str = "owner = \"o\"\npurpose = \"p\"\nexpires = 2027-06-30\n[[identity]]\ntype = \"oidc\"\n\
                     issuer = \"https://platform.example\"\njwks_file = \"alpha.json\"\n\
                     claims = { repository_id = \"1\", ref = { glob = \"refs/tags/v*\" } }\n\
                     keep = [\"ref\"]\ntask = \"{run}\"\n";

/// A public Ed25519 key whose private half is printed in the RFC.
const RFC_8037_A_2: &str =
    r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

const AUDIENCE: &str = "id = \"https://orders\"\nowner = \"o\"\npurpose = \"p\"\n[scopes]\n\"orders:read\" = \"r\"\n";

/// A set of public keys, as a client's file and as a broker's JWKS.
pub fn jwks(data: &[u8]) {
    let parsed = JwkSet::parse(data);
    let ours = crate::verifier::jwks::read(data);
    let published = JwkSet::parse_published(data);
    let Ok(set) = parsed else {
        assert!(ours.is_err());
        // Of what others publish, bad keys are passed over; those that are taken are as good as any.
        let taken = published.map_or_else(|_| Vec::new(), |(set, _)| set.keys().to_vec());
        assert!(taken.len() <= 64 && taken.iter().all(|jwk| Alg::ALL.into_iter().any(|alg| jwk.serves(alg))));
        return;
    };
    let (same, passed_over) = published.expect("a good set may be published");
    assert!(passed_over.is_empty() && same.keys().len() == set.keys().len());
    assert!((1..=64).contains(&set.keys().len()));
    for jwk in set.keys() {
        assert!(Alg::ALL.into_iter().any(|alg| jwk.serves(alg)), "a key that serves nothing");
        assert!(jwk.kid().is_none_or(|kid| (1..=256).contains(&kid.len())));
        for alg in Alg::ALL.into_iter().filter(|alg| jwk.serves(*alg)) {
            if jwk.kid().is_some() {
                let found = set.find(jwk.kid(), alg).expect("a key is found by its kid");
                assert_eq!(found.public_bytes(), jwk.public_bytes(), "two keys of one kid");
            }
        }
        if jwk.serves(Alg::Es256) {
            let key = VerifyingKey::from_point(jwk.public_bytes()).expect("a point");
            let text = format!(r#"{{"keys":[{}]}}"#, key.to_jwk());
            let again = JwkSet::parse(text.as_bytes()).expect("what is written parses");
            assert_eq!(again.keys()[0].public_bytes(), jwk.public_bytes());
            assert_eq!(VerifyingKey::from_base64url(&key.to_base64url()).expect("a key").point(), key.point());
        }
    }
    if let Ok(keys) = ours {
        let mut kids: Vec<&KeyId> = keys.iter().map(|(kid, _)| kid).collect();
        kids.sort();
        kids.dedup();
        assert_eq!(kids.len(), keys.len(), "two keys of one kid");
    }
}
