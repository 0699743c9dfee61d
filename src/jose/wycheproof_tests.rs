//! Project Wycheproof's vectors through jitney's own paths: what checks access tokens, and what checks assertions. Every
//! vector that is invalid is refused. Every valid one is accepted, but for those that a rule of jitney's refuses: each such
//! rule is named here with the number of valid vectors it costs.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use wycheproof::{HashFunction, TestResult, ecdsa, eddsa, rsa_pkcs1_verify, rsa_pss_verify};

use super::es256::VerifyingKey;
use super::foreign::verify_bytes;
use super::{Alg, Jwk, jws};

fn jwk(members: Value) -> Result<Jwk, String> {
    let Value::Object(members) = members else { panic!("no object") };
    Jwk::from_json(&members).map_err(|error| error.to_string())
}

fn rsa(n: &[u8], e: &[u8]) -> Result<Jwk, String> {
    // Vectors write integers with the sign's leading zero, JWKs without (RFC 7518 §6.3.1.1).
    let minimal = |bytes: &[u8]| jws::encode(&bytes[bytes.iter().position(|byte| *byte != 0).unwrap_or(0)..]);
    jwk(json!({"kty": "RSA", "n": minimal(n), "e": minimal(e)}))
}

fn is_signed(alg: Alg, key: &Jwk, message: &[u8], signature: &[u8]) -> bool {
    verify_bytes(alg, message, &jws::encode(signature), key).is_ok()
}

/// What came of a set of vectors.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    accepted: usize,
    refused: usize,
    /// Valid, or acceptable to some, and refused all the same: by which rule, and how many.
    by_rule: BTreeMap<String, usize>,
}

impl Tally {
    fn count(&mut self, what: &str, expected: TestResult, is_accepted: bool, rule: Option<&str>) {
        match (expected, is_accepted) {
            (TestResult::Invalid, true) => panic!("{what} is invalid and was accepted"),
            (TestResult::Invalid, false) => self.refused += 1,
            (TestResult::Valid | TestResult::Acceptable, true) => {
                assert!(rule.is_none(), "{what} breaks the rule {rule:?} and was accepted");
                self.accepted += 1;
            }
            (_, false) => {
                let rule = rule.unwrap_or_else(|| panic!("{what} is valid and was refused"));
                *self.by_rule.entry(rule.to_owned()).or_default() += 1;
            }
        }
    }

    #[track_caller]
    fn must_be(&self, accepted: usize, refused: usize, by_rule: &[(&str, usize)]) {
        let by_rule = by_rule.iter().map(|(rule, count)| ((*rule).to_owned(), *count)).collect();
        assert_eq!(*self, Tally { accepted, refused, by_rule });
    }
}

#[test]
fn ecdsa_on_p256_as_access_tokens_and_as_assertions_carry_it() {
    let set = ecdsa::TestSet::load(ecdsa::TestName::EcdsaSecp256r1Sha256P1363).unwrap();
    let (mut own, mut foreign) = (Tally::default(), Tally::default());
    for group in set.test_groups {
        let point = group.key.key.as_ref();
        let key = VerifyingKey::from_point(point).unwrap();
        let (x, y) = (jws::encode(&point[1..33]), jws::encode(&point[33..]));
        let jwk = jwk(json!({"kty": "EC", "crv": "P-256", "x": x, "y": y})).unwrap();
        for test in group.tests {
            let what = format!("{}: {}", test.tc_id, test.comment);
            own.count(&what, test.result, key.verify(&test.msg, &test.sig).is_ok(), None);
            foreign.count(&what, test.result, is_signed(Alg::Es256, &jwk, &test.msg, &test.sig), None);
        }
    }
    own.must_be(173, 89, &[]);
    assert_eq!(own, foreign);
}

#[test]
fn ed25519() {
    let set = eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap();
    let mut tally = Tally::default();
    for group in set.test_groups {
        let jwk = jwk(json!({"kty": "OKP", "crv": "Ed25519", "x": jws::encode(&group.key.pk)})).unwrap();
        for test in group.tests {
            let what = format!("{}: {}", test.tc_id, test.comment);
            tally.count(&what, test.result, is_signed(Alg::EdDsa, &jwk, &test.msg, &test.sig), None);
        }
    }
    tally.must_be(88, 63, &[]);
}

#[test]
fn rsa_pkcs1_with_sha256() {
    use rsa_pkcs1_verify::{TestName, TestSet};
    let mut tally = Tally::default();
    for name in [TestName::Rsa2048Sha256, TestName::Rsa3072Sha256, TestName::Rsa4096Sha256, TestName::Rsa8192Sha256] {
        for group in TestSet::load(name).unwrap().test_groups {
            let key = rsa(&group.key.n, &group.key.e);
            for test in group.tests {
                let what = format!("{name:?} {}: {}", test.tc_id, test.comment);
                let is_accepted = key.as_ref().is_ok_and(|key| is_signed(Alg::Rs256, key, &test.msg, &test.sig));
                // RFC 8017 §9.2 writes the NULL of the digest's parameters; who leaves it out is refused.
                let lax = (test.result == TestResult::Acceptable).then_some("DigestInfo without NULL");
                tally.count(&what, test.result, is_accepted, key.as_ref().err().map(String::as_str).or(lax));
                let as_pss = key.as_ref().is_ok_and(|key| is_signed(Alg::Ps256, key, &test.msg, &test.sig));
                assert!(test.result != TestResult::Valid || !as_pss, "{what}");
            }
        }
    }
    tally.must_be(
        21,
        999,
        &[("DigestInfo without NULL", 3), ("JWK: `n` is too long", 8), ("JWK: an RSA exponent is 65537 (`AQAB`)", 3)],
    );
}

#[test]
fn rsa_pss_with_sha256_and_a_salt_as_long() {
    use rsa_pss_verify::{TestName, TestSet};
    let mut tally = Tally::default();
    for name in TestName::all() {
        for group in TestSet::load(name).unwrap().test_groups {
            let key = rsa(&group.key.n, &group.key.e);
            let is_ps256 = group.hash == HashFunction::Sha2_256
                && group.mgf_hash == Some(HashFunction::Sha2_256)
                && group.salt_size == 32;
            // What is invalid with those parameters may be a good PS256 signature, and there is one.
            let tests = group.tests.into_iter().filter(|test| is_ps256 || test.result != TestResult::Invalid);
            let other = (!is_ps256).then_some("not PS256: another hash, mask or salt (RFC 7518 §3.5)");
            for test in tests {
                let what = format!("{name:?} {}: {}", test.tc_id, test.comment);
                let is_accepted = key.as_ref().is_ok_and(|key| is_signed(Alg::Ps256, key, &test.msg, &test.sig));
                tally.count(&what, test.result, is_accepted, key.as_ref().err().map(String::as_str).or(other));
                let as_pkcs1 = key.as_ref().is_ok_and(|key| is_signed(Alg::Rs256, key, &test.msg, &test.sig));
                assert!(test.result != TestResult::Valid || !as_pkcs1, "{what}");
            }
        }
    }
    tally.must_be(317, 225, &[("not PS256: another hash, mask or salt (RFC 7518 §3.5)", 2091)]);
}
