//! Checkpoints of the audit log, signed and checked with the same keys as tokens, under a type of their own.
//!
//! Never says what a checkpoint is worth: whose key it is, is the caller's to know.

use serde_json::Value;

use crate::audit::Checkpoint;
use crate::jose::{Alg, Compact, JoseError, JwkSet, sign_es256, verify};

use super::{KeyError, Keyring};

/// What the header says, so that no verifier takes it for a token, nor this room a token for one.
pub(super) const TYPE: &str = "audit-checkpoint+jwt";

impl Keyring {
    /// Signs a checkpoint; beside it the public key that checks it, as a JWK.
    ///
    /// # Errors
    /// [`KeyError::NoKey`] where no published key signs now, [`KeyError::Jose`].
    pub fn sign_checkpoint(&self, checkpoint: &Checkpoint) -> Result<(String, Value), KeyError> {
        let held = self.signing()?;
        let signed = sign_es256(&held.key, &held.checkpoint, checkpoint)?;
        Ok((signed.text().expose().clone(), held.key.public().to_jwk()))
    }
}

/// Checks a signed checkpoint against keys; nothing where none of them is the one that it names.
///
/// # Errors
/// [`JoseError`]: it is no checkpoint, or its signature does not fit.
pub fn check_checkpoint(signed: &str, keys: &JwkSet) -> Result<Option<Checkpoint>, JoseError> {
    let compact = Compact::parse(signed)?;
    if compact.header.alg != Alg::Es256 || compact.header.typ.as_deref() != Some(TYPE) {
        return Err(JoseError::Header(format!("it is no ES256 signature of type `{TYPE}`")));
    }
    let Some(kid) = compact.header.kid.as_deref() else { return Err(JoseError::Header("`kid` is missing".into())) };
    let Some(key) = keys.find(Some(kid), Alg::Es256).filter(|key| key.kid() == Some(kid)) else { return Ok(None) };
    verify(&compact, key)?;
    let claims = Value::Object(compact.claims()?);
    serde_json::from_value(claims).map(Some).map_err(|_| JoseError::Form("its claims are none of a checkpoint"))
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::json;

    use super::*;
    use crate::jose::EncodedHeader;
    use crate::jose::es256::SigningKey;

    #[test]
    fn a_checkpoint_is_taken_from_its_own_key_and_type_alone() {
        let [(key, _), (other, _)] = [(); 2].map(|()| SigningKey::generate().unwrap());
        let checkpoint = Checkpoint {
            iss: "https://i.example".into(),
            broker: "b1".into(),
            iat: 7,
            seq: 9,
            head: "a".repeat(64),
            after: 4,
            count: 5,
        };
        let set =
            |key: &SigningKey| JwkSet::parse(json!({"keys": [key.public().to_jwk()]}).to_string().as_bytes()).unwrap();
        let sign = |typ: &str, named: &SigningKey| {
            let header = EncodedHeader::es256(typ, named.kid());
            sign_es256(&key, &header, &checkpoint).unwrap().text().expose().clone()
        };
        let good = sign(TYPE, &key);
        assert_eq!(check_checkpoint(&good, &set(&key)).unwrap(), Some(checkpoint.clone()));
        assert_eq!(check_checkpoint(&good, &set(&other)).unwrap(), None, "another key than those at hand");
        assert_eq!(check_checkpoint(&sign(TYPE, &other), &set(&other)), Err(JoseError::Signature));
        for typ in ["at+jwt", "revocations+jwt"] {
            assert!(check_checkpoint(&sign(typ, &key), &set(&key)).is_err(), "{typ}");
        }
        let (header, rest) = good.split_once('.').unwrap();
        let (_, signature) = rest.split_once('.').unwrap();
        let claims = URL_SAFE_NO_PAD.encode(json!({"seq": 10}).to_string());
        assert!(check_checkpoint(&format!("{header}.{claims}.{signature}"), &set(&key)).is_err());
    }
}
