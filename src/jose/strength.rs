//! Which public keys are too weak to be anybody's. Owns no format: it is given the bytes.

use super::jws;

/// The points of Ed25519 whose order divides 8, without the sign of the other coordinate.
pub(super) const SMALL_ORDER: [&str; 5] = [
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    "JuiVj8KyJ7BFw_SJ8u-Y8NXfrAXTxjM5sTgCiG1T_AU",
    "xxdqcD1N2E-6PAt2DRBnDyogU_osOczGTsf9d5KsA3o",
    "7P_______________________________________38",
];

/// Refuses points that anybody can sign for: those of small order, and spellings that RFC 8032 §5.1.3 does not know. A point
/// has 32 bytes.
pub(super) fn ed25519(x: &[u8]) -> Result<(), &'static str> {
    let mut y = x.to_vec();
    // The sign of the other coordinate says nothing about the order.
    y[31] &= 0x7f;
    // 2^255 - 19 and more is a second spelling of a number below 19.
    let is_spelled_anew = y[0] >= 0xed && y[1..31].iter().all(|byte| *byte == 0xff) && y[31] == 0x7f;
    if is_spelled_anew || SMALL_ORDER.contains(&jws::encode(&y).as_str()) {
        return Err("`x` is no public key: anybody could sign for it");
    }
    Ok(())
}

/// One exponent, for two reasons: a small one has made forging easy wherever padding was not checked whole (FIPS 186-5
/// A.1.1 wants more than 2^16), and any other takes another time to check, which would tell that such a key exists.
pub(super) fn rsa(n: &[u8], e: &[u8]) -> Result<(), &'static str> {
    let bits = n.first().map_or(0, |first| n.len() * 8 - first.leading_zeros() as usize);
    if n.first() == Some(&0) || !(2048..=4096).contains(&bits) || n.last().is_none_or(|last| last % 2 == 0) {
        return Err("an RSA modulus is odd, and has 2048 to 4096 bits and no leading zero");
    }
    if e == [1, 0, 1] { Ok(()) } else { Err("an RSA exponent is 65537 (`AQAB`)") }
}

#[cfg(test)]
mod tests {
    use super::super::JwkSet;
    use super::*;

    #[test]
    fn points_that_anybody_can_sign_for_are_no_keys() {
        let of = |x: &[u8]| {
            let key = format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{}"}}"#, jws::encode(x));
            JwkSet::parse(format!(r#"{{"keys":[{key}]}}"#).as_bytes())
        };
        for point in SMALL_ORDER {
            let mut x = jws::decode(point).unwrap();
            assert!(of(&x).unwrap_err().to_string().contains("anybody"), "{point}");
            x[31] |= 0x80;
            assert!(of(&x).is_err(), "{point} with the other sign");
        }
        for low in 0xed..=0xff {
            let mut x = [0xff; 32];
            (x[0], x[31]) = (low, 0x7f);
            assert!(of(&x).is_err(), "{low} is zero to eighteen in another spelling");
        }
    }
}
