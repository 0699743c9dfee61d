//! Which key an assertion must be by; and the keys that stand in for those that do not exist.

use std::hint::black_box;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;

use crate::jose::{self, Alg, Compact, Header, JoseError, Jwk, JwkSet};
use crate::policy::{Identity, PolicySet, Proof, TaskNaming};

use super::caller::{Fault, Who};

/// A client with the one key that its assertion must be by, and the identity that the key belongs to.
pub(super) struct Found<'a> {
    pub(super) who: Who,
    pub(super) identity: &'a Identity,
    pub(super) key: &'a Jwk,
}

/// Looks the client and its key up: by `kid` where the header names one, else the only key of its `alg`.
///
/// Who is unknown, or has no key because a platform's token proves it, has a decoy's keys looked through; and both lists of clients are looked up whatever comes of the first.
pub(super) fn find<'a>(set: &'a PolicySet, decoys: &Decoys, client: &str, header: &Header) -> Result<Found<'a>, Fault> {
    let (who, identities) = match (set.workload(client), black_box(set.audience(client))) {
        (Some(workload), _) => (Who::Workload(Arc::clone(workload)), &workload.identities),
        (None, Some(audience)) => (Who::Audience(Arc::clone(audience)), &audience.identities),
        (None, None) => {
            let _ = black_box(only_key(std::slice::from_ref(&decoys.identity), header));
            return Err(Fault::UnknownClient);
        }
    };
    if !identities.iter().any(|identity| matches!(identity.proof, Proof::PrivateKeyJwt(_))) {
        let _ = black_box(only_key(std::slice::from_ref(&decoys.identity), header));
        return Err(Fault::UnknownKey);
    }
    let (identity, key) = only_key(identities, header)?;
    Ok(Found { who, identity, key })
}

fn only_key<'a>(identities: &'a [Identity], header: &Header) -> Result<(&'a Identity, &'a Jwk), Fault> {
    let mut fitting = identities
        .iter()
        .filter_map(|identity| match &identity.proof {
            Proof::PrivateKeyJwt(jwks) => Some((identity, jwks)),
            _ => None,
        })
        .flat_map(|(identity, jwks)| jwks.keys().iter().map(move |key| (identity, key)))
        .filter(|(_, key)| key.serves(header.alg))
        .filter(|(_, key)| header.kid.is_none() || key.kid() == header.kid.as_deref());
    let first = fitting.next().ok_or(Fault::UnknownKey)?;
    if fitting.next().is_some() { Err(Fault::AmbiguousKey) } else { Ok(first) }
}

/// Keys that stand in for those that do not exist, or that cannot have made a signature of this length: so that a refusal
/// takes as long whatever there is. Nobody holds the other half of the three that are written here; the RSA keys of other
/// lengths are made up, and may be ones that can be broken. So **what fits a decoy proves nothing**.
#[derive(Debug)]
pub(super) struct Decoys {
    jwks: Arc<JwkSet>,
    /// With the same keys: what is looked through where there is nobody's.
    identity: Identity,
    /// By the bytes of their modulus, from [`SHORTEST`] on.
    rsa: Vec<Jwk>,
}

/// The bytes of the shortest and the longest RSA modulus that a JWK may have.
const SHORTEST: usize = 256;
const LONGEST: usize = 512;

impl Decoys {
    pub(super) fn new() -> Result<Self, JoseError> {
        let set = JwkSet::parse(DECOYS.as_bytes())?;
        let modulus = set.keys().iter().find(|key| key.serves(Alg::Rs256)).map_or(&[][..], Jwk::public_bytes);
        let rsa = (SHORTEST..=LONGEST).map(|bytes| made_up(modulus, bytes)).collect::<Result<_, _>>()?;
        let jwks = Arc::new(set);
        let identity = Identity { proof: Proof::PrivateKeyJwt(jwks.clone()), task: TaskNaming::Caller };
        Ok(Self { jwks, identity, rsa })
    }

    /// Whether `key` made the signature of `compact`. Without a key, or with one that makes signatures of another length, it
    /// takes as long and the answer is no.
    ///
    /// An RSA signature of another length than the key's is refused at once, and checking a long one takes longer: so that
    /// only what was sent decides how long this takes, a decoy of the right length is checked instead.
    pub(super) fn verify(&self, compact: &Compact<'_>, key: Option<&Jwk>) -> bool {
        let len = compact.signature_len();
        if let Some(key) = key.filter(|key| key.signature_len() == len) {
            return jose::verify(compact, key).is_ok();
        }
        let decoy = self.of(compact.header.alg, len);
        // Whatever came of it.
        let _ = black_box(decoy.map(|decoy| jose::verify(compact, decoy)));
        false
    }

    /// The decoy for signatures by `alg` of so many bytes. None where no key that could be read makes such.
    fn of(&self, alg: Alg, signature_len: usize) -> Option<&Jwk> {
        match alg {
            Alg::Rs256 | Alg::Ps256 => self.rsa.get(signature_len.checked_sub(SHORTEST)?),
            Alg::Es256 | Alg::EdDsa => self.jwks.keys().iter().find(|key| key.serves(alg)),
        }
    }
}

/// A key with a modulus of so many bytes: `seed` as often as it takes, odd.
fn made_up(seed: &[u8], bytes: usize) -> Result<Jwk, JoseError> {
    let mut modulus: Vec<u8> = seed.iter().copied().cycle().take(bytes).collect();
    if let Some(last) = modulus.last_mut() {
        *last |= 1;
    }
    let members = [("kty", "RSA".to_owned()), ("e", "AQAB".to_owned()), ("n", B64.encode(modulus))];
    Jwk::from_json(&members.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect())
}

const DECOYS: &str = r#"{"keys":[
{"kty":"EC","crv":"P-256","kid":"p","x":"nRUags5jLYJWXDBLvtawbEml_8m_mn84AcpCG8y6wFs","y":"89fRBGCesW1m6cRvzA2da9klQ25S9Mz56w3TZ6EIgdE"},
{"kty":"OKP","crv":"Ed25519","kid":"e","x":"vGDyCDtOVFG4VOmrPg81Rm1kp3yA9K2FlEWIGznMGxs"},
{"kty":"RSA","kid":"r","e":"AQAB","n":"wgn9WAqxccuI8cjiH6I_7S3QG_BdDa8GXJIkqk17VZDigFnIETUMZ64m1isOGe-c4C0EwtO3tqC6l8JNvEHb2pwkmcoVTmzklm2JgnaQ6w0lwO31sXVIxcHtXnVoONMZdfugQiYa9CUP22qql9U7WHyt475BAdlqBGK2mfrcmjq58l_InvEwFK0onBAHI_bogsI2rlcfMogxHHVqrJ399Mar56cOsdF-5vLj7m86tBnnxBrbotVCKYUF9ZHfM3io2KVVx76qep4Ac5dg7eBn-7zwQyokEfGQlMySjmtEN7Y-F9tVuYhdwOSQpXMwLEG8ousQ9cB0JyuPRKGUZ4pT3Q"}
]}"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_decoy_for_every_signature_that_a_key_could_have_made() {
        let decoys = Decoys::new().unwrap();
        for alg in [Alg::Rs256, Alg::Ps256] {
            for bytes in SHORTEST..=LONGEST {
                let decoy = decoys.of(alg, bytes).unwrap();
                assert!(decoy.serves(alg) && decoy.signature_len() == bytes);
            }
            for bytes in [0, 1, 64, 255, 513, 8192] {
                assert!(decoys.of(alg, bytes).is_none());
            }
        }
        for alg in [Alg::Es256, Alg::EdDsa] {
            assert!(
                [0, 63, 64, 65, 256].into_iter().all(|bytes| decoys.of(alg, bytes).is_some_and(|it| it.serves(alg)))
            );
        }
    }
}
