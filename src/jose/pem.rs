//! Private keys in PEM: the bytes of a PKCS#8 block, or what to do where it is another kind of block.

use zeroize::Zeroizing;

use super::{JoseError, der};

/// The bytes of a PKCS#8 PEM block, with the mend where it is another kind of block.
pub(super) fn pkcs8(text: &str) -> Result<Zeroizing<Vec<u8>>, JoseError> {
    let wrong = |what: &str| Err(JoseError::PrivateKey(what.to_owned()));
    match der::from_pem(text) {
        Some(("PRIVATE KEY", bytes)) => Ok(bytes),
        // `openssl ecparam -genkey` puts the curve's block before the key's.
        Some(("EC PRIVATE KEY" | "EC PARAMETERS" | "RSA PRIVATE KEY", _)) => {
            wrong("not PKCS#8: convert it with `openssl pkcs8 -topk8 -nocrypt -in OLD.pem -out NEW.pem`")
        }
        Some(("ENCRYPTED PRIVATE KEY", _)) => {
            wrong("it is encrypted: write it in the clear, mode 0600, with `openssl pkcs8 -in OLD.pem -out NEW.pem`")
        }
        Some(("PUBLIC KEY" | "CERTIFICATE", _)) => wrong("this is a public half: the private key is needed"),
        _ => wrong("no PEM block `BEGIN PRIVATE KEY` (PKCS#8) in it"),
    }
}
