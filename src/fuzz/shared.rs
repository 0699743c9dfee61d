//! What targets share: a moment, a key that everybody knows, and JWS made with it.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;

use crate::jose::es256::SigningKey;

/// The moment at which everything is judged.
pub(super) const NOW: u64 = 1_790_000_000;
/// Who issues, and to whom assertions are made.
pub(super) const ISSUER: &str = "https://broker.example";

/// The key of RFC 7515, appendix A.3, as PKCS#8. Its private half is printed there, so it guards nothing.
const RFC_7515_A_3: &str = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgjpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LKhRANCAA\
                            R_zc4ncPbEXUGDy-5v20t7WAczNXvp7xO6z248e9FURcfxRM0bvZt-hyzf7bnuufSzaV1uqQskrYpGIyiFiOWt";

/// The one key that signs here.
pub(super) fn key() -> &'static SigningKey {
    static KEY: LazyLock<SigningKey> = LazyLock::new(|| {
        let der = B64.decode(RFC_7515_A_3).expect("base64url");
        SigningKey::from_pkcs8_der(&der).expect("the key of the RFC")
    });
    &KEY
}

/// A compact JWS of two segments as they are, signed with [`key`].
pub(super) fn signed(header: &[u8], payload: &[u8]) -> String {
    let input = format!("{}.{}", B64.encode(header), B64.encode(payload));
    let signature = key().sign(input.as_bytes()).expect("a signature");
    format!("{input}.{}", B64.encode(signature))
}

/// Bytes in base64url.
pub(super) fn encoded(bytes: &[u8]) -> String {
    B64.encode(bytes)
}

/// `data` as two parts, cut at the first `at`; the second is empty where there is none.
pub(super) fn cut(data: &[u8], at: u8) -> (&[u8], &[u8]) {
    match data.iter().position(|byte| *byte == at) {
        Some(here) => (&data[..here], &data[here + 1..]),
        None => (data, &[]),
    }
}
