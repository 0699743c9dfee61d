//! Which key an assertion must be by; and the keys that stand in for those that do not exist.

use std::sync::Arc;

use crate::jose::{Alg, Header, JoseError, Jwk, JwkSet};
use crate::policy::{Identity, IdentityKind, PolicySet};

use super::caller::{Fault, Who};

/// A client with the one key that its assertion must be by, and the identity that the key belongs to.
pub(super) struct Found<'a> {
    pub(super) who: Who,
    pub(super) identity: &'a Identity,
    pub(super) key: &'a Jwk,
}

/// Looks the client and its key up: by `kid` where the header names one, else the only key of its `alg`.
pub(super) fn find<'a>(set: &'a PolicySet, client: &str, header: &Header) -> Result<Found<'a>, Fault> {
    let (who, identities) = if let Some(workload) = set.workload(client) {
        (Who::Workload(Arc::clone(workload)), &workload.identities)
    } else if let Some(audience) = set.audience(client) {
        (Who::Audience(Arc::clone(audience)), &audience.identities)
    } else {
        return Err(Fault::UnknownClient);
    };
    let (identity, key) = only_key(identities, header)?;
    Ok(Found { who, identity, key })
}

fn only_key<'a>(identities: &'a [Identity], header: &Header) -> Result<(&'a Identity, &'a Jwk), Fault> {
    let mut fitting = identities
        .iter()
        .filter(|identity| identity.kind == IdentityKind::PrivateKeyJwt)
        .flat_map(|identity| identity.jwks.keys().iter().map(move |key| (identity, key)))
        .filter(|(_, key)| key.serves(header.alg))
        .filter(|(_, key)| header.kid.is_none() || key.kid() == header.kid.as_deref());
    let first = fitting.next().ok_or(Fault::UnknownKey)?;
    if fitting.next().is_some() { Err(Fault::AmbiguousKey) } else { Ok(first) }
}

/// One key of each family, of which nobody holds the other half: what is not found is verified against these, so that
/// it takes as long as what is. A signature that fits one proves nothing all the same.
#[derive(Debug)]
pub(super) struct Decoys(JwkSet);

impl Decoys {
    pub(super) fn new() -> Result<Self, JoseError> {
        JwkSet::parse(DECOYS.as_bytes()).map(Self)
    }

    /// The decoy for `alg`.
    pub(super) fn of(&self, alg: Alg) -> Option<&Jwk> {
        self.0.keys().iter().find(|key| key.serves(alg))
    }
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
    fn there_is_a_decoy_for_every_algorithm() {
        let decoys = Decoys::new().unwrap();
        for alg in Alg::ALL {
            assert!(decoys.of(alg).is_some(), "{alg:?}");
        }
    }
}
