//! The claims of a token, read in one go: strictly, and straight into their types.
//!
//! A member that is there twice is refused wherever it stands, also where nothing reads it. Never says whether a claim is
//! good.

use std::borrow::Cow;
use std::fmt;

use serde::Deserializer as _;
use serde::de::{Deserialize, Error as _, MapAccess, Visitor};
use serde_json::Value;

use crate::jose::json::{Name, member, passed_over};
use crate::model::{AccessClaims, ActClaim};

/// Reads a token's payload; nothing where it is no object with the claims of an access token.
pub(super) fn read(payload: &[u8]) -> Option<AccessClaims> {
    let mut reader = serde_json::Deserializer::from_slice(payload);
    let claims = reader.deserialize_map(Claims).ok()?;
    reader.end().ok()?;
    Some(claims)
}

struct Claims;

impl<'de> Visitor<'de> for Claims {
    type Value = AccessClaims;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("claims")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<AccessClaims, A::Error> {
        let (mut iss, mut sub, mut client_id, mut aud) = (None, None, None, None);
        let (mut iat, mut nbf, mut exp) = (None, None, None);
        let (mut jti, mut scope, mut txn, mut rev, mut act) = (None, None, None, None, None);
        let mut others: Vec<Cow<'de, str>> = Vec::new();
        while let Some(Name(name)) = members.next_key()? {
            match &*name {
                "iss" => once(&mut iss, &mut members)?,
                "sub" => once(&mut sub, &mut members)?,
                "client_id" => once(&mut client_id, &mut members)?,
                "aud" => once(&mut aud, &mut members)?,
                "iat" => once(&mut iat, &mut members)?,
                "nbf" => once(&mut nbf, &mut members)?,
                "exp" => once(&mut exp, &mut members)?,
                "jti" => once(&mut jti, &mut members)?,
                "scope" => once(&mut scope, &mut members)?,
                "txn" => once(&mut txn, &mut members)?,
                "rev" => once(&mut rev, &mut members)?,
                "act" if act.is_none() => act = Some(actor(members.next_value_seed(member())?)?),
                "act" => return Err(A::Error::custom(TWICE)),
                _ => {
                    members.next_value_seed(passed_over())?;
                    // In order, so that each is found among thousands too.
                    match others.binary_search(&name) {
                        Ok(_) => return Err(A::Error::custom(TWICE)),
                        Err(at) => others.insert(at, name),
                    }
                }
            }
        }
        Ok(AccessClaims {
            iss: there(iss)?,
            sub: there(sub)?,
            client_id: there(client_id)?,
            aud: there(aud)?,
            iat: there(iat)?,
            nbf: there(nbf)?,
            exp: there(exp)?,
            jti: there(jti)?,
            scope: there(scope)?,
            txn: there(txn)?,
            rev: there(rev)?,
            act: act.flatten(),
        })
    }
}

const TWICE: &str = "a member stands in it twice";

fn once<'de, A: MapAccess<'de>, T: Deserialize<'de>>(claim: &mut Option<T>, members: &mut A) -> Result<(), A::Error> {
    match claim.replace(members.next_value()?) {
        None => Ok(()),
        Some(_) => Err(A::Error::custom(TWICE)),
    }
}

fn there<T, E: serde::de::Error>(claim: Option<T>) -> Result<T, E> {
    claim.ok_or_else(|| E::custom("a claim is missing"))
}

/// A derived reader takes a list for a struct's fields in their order; an actor is an object and nothing else.
fn actor<E: serde::de::Error>(value: Value) -> Result<Option<ActClaim>, E> {
    match value {
        Value::Null => Ok(None),
        Value::Object(_) => ActClaim::deserialize(value).map(Some).map_err(E::custom),
        _ => Err(E::custom("an actor is an object")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::jose::json::strict;

    /// In two steps: everything is built first, and then read by the derived reader.
    fn read_in_two(payload: &[u8]) -> Option<AccessClaims> {
        serde_json::from_value(Value::Object(strict(payload).ok()?)).ok()
    }

    const MEMBERS: [&str; 11] = [
        r#""iss":"https://broker""#,
        r#""sub":"nightly""#,
        r#""client_id":"nightly""#,
        r#""aud":"https://orders""#,
        r#""iat":1790000000"#,
        r#""nbf":1790000000"#,
        r#""exp":1790000300"#,
        r#""jti":"0190163d-8694-839b-aea5-966c26f8ad91""#,
        r#""scope":"orders:read orders:write""#,
        r#""txn":"run-1/a""#,
        r#""rev":7"#,
    ];

    /// What may stand beside or in place of them.
    const MORE: [&str; 24] = [
        r#""act":{"sub":"a","act":{"sub":"b"}}"#,
        r#""act":null"#,
        r#""act":["a"]"#,
        r#""act":{"sub":"a","sub":"b"}"#,
        r#""act":{"sub":"a","act":["b"]}"#,
        r#""act":{"sub":"a","other":[{}]}"#,
        r#""later":{"claim":[1,1.5,-1,null,true,"\u00e9"]}"#,
        r#""later":{"a":1,"a":2}"#,
        r#""later":[{"x":1,"\u0078":2}]"#,
        r#""l\u0061ter":1"#,
        r#""later":1"#,
        r#""\u0069ss":"https://broker""#,
        r#""iss":"https:\/\/broker""#,
        r#""iat":1.0"#,
        r#""exp":1e3"#,
        r#""exp":-1"#,
        r#""nbf":18446744073709551616"#,
        r#""deep":[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]"#,
        r#""deep":[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]"#,
        r#""huge":1e999"#,
        r#""scope":["orders:read"]"#,
        r#""txn":null"#,
        r#""rev":"7""#,
        r#""lone":"\ud800""#,
    ];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn one_go_reads_what_two_would(
            left_out in prop::option::weighted(0.1, 0..MEMBERS.len()),
            more in prop::collection::vec((0..MORE.len(), 0..12_usize), 0..3),
            around in prop_oneof![8 => Just(("{", "}")), 1 => Just(("[{", "}]")), 1 => Just((" {", "} ")), 1 => Just(("{", "}x"))],
        ) {
            let mut members = MEMBERS.to_vec();
            if let Some(at) = left_out {
                members.remove(at);
            }
            for (which, at) in more {
                members.insert(at.min(members.len()), MORE[which]);
            }
            let payload = format!("{}{}{}", around.0, members.join(","), around.1);
            prop_assert_eq!(read(payload.as_bytes()), read_in_two(payload.as_bytes()), "{}", payload);
        }
    }
}
