//! Public keys that others hand over: JWK and JWK sets (RFC 7517), EC P-256, Ed25519 and RSA, and nothing private.

use std::fmt;

use serde_json::{Map, Value};

use super::{Alg, ForeignKey, JoseError, json, jws, strength};

/// The most keys one set may hold.
pub const MAX_KEYS: usize = 64;

/// Members that only a private or a shared key has (RFC 7518 §6).
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// One public key of another party's.
#[derive(Clone)]
pub struct Jwk {
    kid: Option<String>,
    algs: &'static [Alg],
    only: Option<Alg>,
    key: ForeignKey,
    public: Vec<u8>,
}

impl Jwk {
    /// Reads one JWK.
    ///
    /// # Errors
    /// [`JoseError::Jwk`] with what is wrong, [`JoseError::Form`] for bad base64url.
    pub fn from_json(members: &Map<String, Value>) -> Result<Self, JoseError> {
        if let Some(name) = PRIVATE.iter().find(|name| members.contains_key(**name)) {
            return wrong(format!("`{name}` belongs to a private or shared key: publish the public half alone"));
        }
        if text(members, "use")?.is_some_and(|usage| usage != "sig") {
            return wrong("`use` is not `sig`");
        }
        let (algs, key, public) = material(members)?;
        let only = match text(members, "alg")? {
            None => None,
            Some(name) => match Alg::parse(name).filter(|alg| algs.contains(alg)) {
                Some(alg) => Some(alg),
                None => return wrong(format!("`alg` {name:?} does not go with this key")),
            },
        };
        check_operations(members)?;
        let kid = text(members, "kid")?.map(str::to_owned);
        if kid.as_ref().is_some_and(|kid| kid.is_empty() || kid.len() > 256) {
            return wrong("`kid` is 1 to 256 bytes");
        }
        Ok(Self { kid, algs, only, key, public })
    }

    /// Its name, where it has one.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// Whether it may check signatures of this algorithm.
    pub fn serves(&self, alg: Alg) -> bool {
        match self.only {
            Some(only) => only == alg,
            None => self.algs.contains(&alg),
        }
    }

    /// The public bytes: point, `x`, or modulus. Two entries with the same are one key.
    pub fn public_bytes(&self) -> &[u8] {
        &self.public
    }

    /// How many bytes each of its signatures has: 64, or as many as an RSA modulus.
    pub fn signature_len(&self) -> usize {
        if self.algs.contains(&Alg::Rs256) { self.public.len() } else { 64 }
    }

    pub(super) const fn foreign(&self) -> &ForeignKey {
        &self.key
    }
}

impl fmt::Debug for Jwk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jwk").field("kid", &self.kid).field("algs", &self.algs).finish_non_exhaustive()
    }
}

/// A set of public keys.
#[derive(Debug, Clone, Default)]
pub struct JwkSet {
    keys: Vec<Jwk>,
}

impl JwkSet {
    /// Parses a JWK set that somebody wrote for jitney: each key must be one that can be used.
    ///
    /// # Errors
    /// [`JoseError::Json`], [`JoseError::Jwk`] with the number of the key that is wrong.
    pub fn parse(bytes: &[u8]) -> Result<Self, JoseError> {
        Self::from_json(&json::strict(bytes)?)
    }

    /// The same from an object that was parsed before.
    ///
    /// # Errors
    /// As [`JwkSet::parse`].
    pub fn from_json(members: &Map<String, Value>) -> Result<Self, JoseError> {
        let Some(Value::Array(entries)) = members.get("keys") else {
            return wrong("a JWK set is an object with the array `keys`");
        };
        if entries.is_empty() || entries.len() > MAX_KEYS {
            return wrong(format!("a set holds 1 to {MAX_KEYS} keys"));
        }
        let mut keys: Vec<Jwk> = Vec::with_capacity(entries.len());
        for (at, entry) in entries.iter().enumerate() {
            let Value::Object(members) = entry else { return wrong(format!("key {} is no object", at + 1)) };
            let key = Jwk::from_json(members).map_err(|error| match error {
                JoseError::Jwk(wrong) => JoseError::Jwk(format!("key {}: {wrong}", at + 1)),
                other => JoseError::Jwk(format!("key {}: {other}", at + 1)),
            })?;
            if key.kid.is_some() && keys.iter().any(|other| other.kid == key.kid) {
                return wrong(format!("key {}: another key of the set has this `kid`", at + 1));
            }
            keys.push(key);
        }
        Ok(Self { keys })
    }

    /// Parses a JWK set that somebody publishes for all the world: a key that [`Jwk::from_json`] refuses is passed over, and
    /// so is one whose name and algorithm an earlier key has. Tells why of each, but of those that are not for signatures.
    ///
    /// # Errors
    /// [`JoseError::Json`], [`JoseError::Jwk`] where it is no set, or none of its keys can be used.
    pub fn parse_published(bytes: &[u8]) -> Result<(Self, Vec<String>), JoseError> {
        let members = json::strict(bytes)?;
        let Some(Value::Array(entries)) = members.get("keys") else {
            return wrong("a JWK set is an object with the array `keys`");
        };
        let (mut keys, mut passed_over): (Vec<Jwk>, Vec<String>) = (Vec::new(), Vec::new());
        for (at, entry) in (1..).zip(entries.iter().take(MAX_KEYS)) {
            let read = entry.as_object().map(Jwk::from_json);
            let is_known = |key: &Jwk| keys.iter().any(|other| other.kid == key.kid && other.algs == key.algs);
            match read {
                Some(Ok(key)) if key.kid.is_some() && is_known(&key) => {
                    passed_over.push(format!("key {at}: an earlier key has this `kid`"));
                }
                Some(Ok(key)) => keys.push(key),
                Some(Err(_)) if entry["use"] == "enc" => {}
                Some(Err(error)) => passed_over.push(format!("key {at}: {error}")),
                None => passed_over.push(format!("key {at} is no object")),
            }
        }
        if entries.len() > MAX_KEYS {
            passed_over.push(format!("all behind key {MAX_KEYS}"));
        }
        if !keys.is_empty() {
            return Ok((Self { keys }, passed_over));
        }
        match passed_over.first() {
            Some(first) => wrong(format!("it holds no key that can be used: {first}")),
            None => wrong("it holds no key that can be used"),
        }
    }

    /// The key for a header: the one that `kid` names, or without `kid` the only one that serves `alg`.
    pub fn find(&self, kid: Option<&str>, alg: Alg) -> Option<&Jwk> {
        let mut fitting = self.keys.iter().filter(|key| key.serves(alg));
        match kid {
            Some(kid) => fitting.find(|key| key.kid() == Some(kid)),
            None => match (fitting.next(), fitting.next()) {
                (Some(key), None) => Some(key),
                _ => None,
            },
        }
    }

    /// All keys.
    pub fn keys(&self) -> &[Jwk] {
        &self.keys
    }
}

fn material(members: &Map<String, Value>) -> Result<(&'static [Alg], ForeignKey, Vec<u8>), JoseError> {
    match (text(members, "kty")?, text(members, "crv")?) {
        (Some("EC"), Some("P-256")) => {
            let mut point = vec![4];
            point.extend(fixed(members, "x", 32)?);
            point.extend(fixed(members, "y", 32)?);
            Ok((&[Alg::Es256], ForeignKey::p256(&point), point))
        }
        (Some("OKP"), Some("Ed25519")) => {
            let x = fixed(members, "x", 32)?;
            strength::ed25519(&x).or_else(wrong)?;
            Ok((&[Alg::EdDsa], ForeignKey::ed25519(&x), x))
        }
        (Some("RSA"), _) => {
            let (n, e) = (bytes(members, "n")?, bytes(members, "e")?);
            strength::rsa(&n, &e).or_else(wrong)?;
            Ok((&[Alg::Rs256, Alg::Ps256], ForeignKey::rsa(&n, &e), n))
        }
        (kty, crv) => {
            let (kty, crv) = (kty.unwrap_or("(none)"), crv.unwrap_or("(none)"));
            wrong(format!("kty {kty:?} with crv {crv:?} is not served: use EC P-256, OKP Ed25519 or RSA"))
        }
    }
}

/// RFC 7517 §4.3: where `key_ops` stands, it must allow `verify`.
fn check_operations(members: &Map<String, Value>) -> Result<(), JoseError> {
    match members.get("key_ops") {
        None => Ok(()),
        Some(Value::Array(operations)) if operations.iter().any(|each| each == "verify") => Ok(()),
        Some(_) => wrong("`key_ops` does not hold `verify`"),
    }
}

fn text<'a>(members: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, JoseError> {
    match members.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => wrong(format!("`{name}` must be a string")),
    }
}

fn bytes(members: &Map<String, Value>, name: &str) -> Result<Vec<u8>, JoseError> {
    match text(members, name)? {
        // 4096 bits in base64url are 683 characters: more is refused before it is decoded.
        Some(text) if text.len() <= 700 => jws::decode(text),
        Some(_) => wrong(format!("`{name}` is too long")),
        None => wrong(format!("`{name}` is missing")),
    }
}

fn fixed(members: &Map<String, Value>, name: &str, len: usize) -> Result<Vec<u8>, JoseError> {
    let bytes = bytes(members, name)?;
    if bytes.len() == len { Ok(bytes) } else { wrong(format!("`{name}` must be {len} bytes")) }
}

fn wrong<T>(what: impl Into<String>) -> Result<T, JoseError> {
    Err(JoseError::Jwk(what.into()))
}

#[cfg(test)]
mod tests {
    use super::super::es256::SigningKey;
    use super::super::{Compact, verify};
    use super::*;

    fn set(keys: &str) -> Result<JwkSet, JoseError> {
        JwkSet::parse(format!(r#"{{"keys":[{keys}]}}"#).as_bytes())
    }

    const ED: &str = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
    const RSA: &str = r#"{"kty":"RSA","kid":"r","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ","e":"AQAB"}"#;

    #[test]
    fn rfc_8037_a_5_checks() {
        let keys = set(ED).unwrap();
        let raw = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
        let compact = Compact::parse(raw).unwrap();
        verify(&compact, keys.find(None, Alg::EdDsa).unwrap()).unwrap();
        let bent = raw.replacen("RXhh", "RXhi", 1);
        let bent = Compact::parse(&bent).unwrap();
        assert_eq!(verify(&bent, keys.find(None, Alg::EdDsa).unwrap()), Err(JoseError::Signature));
    }

    #[test]
    fn rfc_7515_a_2_checks() {
        let raw = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
        let keys = set(RSA).unwrap();
        verify(&Compact::parse(raw).unwrap(), keys.find(None, Alg::Rs256).unwrap()).unwrap();
        let pinned = set(&RSA.replace(r#""kid":"r""#, r#""alg":"PS256""#)).unwrap();
        assert!(pinned.find(None, Alg::Rs256).is_none());
    }

    #[test]
    fn an_es256_signature_in_der_is_refused() {
        let (key, _) = SigningKey::generate().unwrap();
        let keys = set(&key.public().to_jwk().to_string()).unwrap();
        let input = format!("{}.{}", jws::encode(br#"{"alg":"ES256"}"#), jws::encode(b"{}"));
        let raw = format!("{input}.{}", jws::encode(&key.sign(input.as_bytes()).unwrap()));
        let jwk = keys.find(Some(key.kid().as_str()), Alg::Es256).unwrap();
        verify(&Compact::parse(&raw).unwrap(), jwk).unwrap();
        let signature = key.sign(input.as_bytes()).unwrap();
        let mut der = vec![0x30, 0x46, 0x02, 0x21, 0];
        der.extend(&signature[..32]);
        der.extend([0x02, 0x21, 0]);
        der.extend(&signature[32..]);
        let raw = format!("{input}.{}", jws::encode(&der));
        assert_eq!(verify(&Compact::parse(&raw).unwrap(), jwk), Err(JoseError::Signature));
    }

    #[test]
    fn keys_that_are_not_accepted() {
        let weak = RSA.replace(
            "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL",
            "of",
        );
        for bad in [
            r#"{"kty":"oct","k":"c2VjcmV0"}"#,
            r#"{"kty":"EC","crv":"P-384","x":"AA","y":"AA"}"#,
            r#"{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}"#,
            r#"{"kty":"OKP","crv":"X25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#,
            &ED.replace('{', r#"{"d":"AA","#),
            &ED.replace('{', r#"{"use":"enc","#),
            &ED.replace('{', r#"{"alg":"ES256","#),
            &ED.replace('{', r#"{"key_ops":["sign"],"#),
            &ED.replace('{', r#"{"kid":7,"#),
            &format!("{RSA},{RSA}"),
            &weak,
            &RSA.replace("AQAB", "AA"),
            &RSA.replace("AQAB", "Ag"),
            &RSA.replace("AQAB", "AQ"),
            &RSA.replace("AQAB", "Aw"),
            &RSA.replace("AQAB", "AAEAAQ"),
            &RSA.replace("yuXpoQ", "yuXpog"),
            "",
            "1",
        ] {
            assert!(set(bad).is_err(), "{bad}");
        }
        assert!(JwkSet::parse(br#"{"keys":{}}"#).is_err());
    }

    #[test]
    fn of_what_is_published_the_usable_keys_are_taken() {
        let odd = r#"{"kty":"EC","crv":"P-384","x":"AA","y":"AA"},7,{"kty":"oct","k":"c2VjcmV0"}"#;
        let weak = [
            RSA.replace("AQAB", "Aw"),
            format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{}"}}"#, strength::SMALL_ORDER[2]),
            RSA.replace("yuXpoQ", "yuXpog"),
        ];
        let encrypts = RSA.replace('{', r#"{"use":"enc","#);
        let published = |keys: &str| JwkSet::parse_published(format!(r#"{{"keys":[{keys}]}}"#).as_bytes());
        let (set, passed_over) = published(&format!("{odd},{encrypts},{},{RSA},{RSA},{ED}", weak.join(","))).unwrap();
        assert_eq!(set.keys().len(), 2);
        assert!(set.find(Some("r"), Alg::Rs256).is_some());
        let told: Vec<&str> = passed_over.iter().map(|each| each.split([':', ' ']).nth(1).unwrap()).collect();
        assert_eq!(told, ["1", "2", "3", "5", "6", "7", "9"], "{passed_over:?}");
        assert!(!passed_over.concat().contains("c2VjcmV0"), "{passed_over:?}");
        let (set, passed_over) = published(&vec![ED; MAX_KEYS + 1].join(",")).unwrap();
        assert_eq!((set.keys().len(), passed_over.len()), (MAX_KEYS, 1));
        for bad in [odd, "", &encrypts, &weak.join(",")] {
            assert!(published(bad).is_err(), "{bad}");
        }
        assert!(JwkSet::parse_published(br#"{"keys":{}}"#).is_err() && JwkSet::parse_published(b"rubbish").is_err());
    }

    #[test]
    fn a_header_finds_its_key_or_none() {
        let keys = set(&format!("{ED},{RSA}")).unwrap();
        assert!(keys.find(None, Alg::EdDsa).is_some());
        assert!(keys.find(Some("r"), Alg::Ps256).is_some());
        assert!(keys.find(Some("other"), Alg::Rs256).is_none());
        assert!(keys.find(Some("r"), Alg::EdDsa).is_none());
        let two = set(&format!("{ED},{}", ED.replace('{', r#"{"kid":"b","#))).unwrap();
        assert!(two.find(None, Alg::EdDsa).is_none(), "without kid only where one key fits");
    }

    #[test]
    fn an_ed25519_key_may_name_its_algorithm_in_either_way() {
        for name in ["EdDSA", "Ed25519"] {
            let named = ED.replace('{', &format!(r#"{{"alg":"{name}","#));
            assert!(set(&named).unwrap().find(None, Alg::EdDsa).is_some(), "{name}");
        }
        assert!(set(&RSA.replace('{', r#"{"alg":"Ed25519","#)).is_err());
    }
}
