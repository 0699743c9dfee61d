//! Public keys that a file pins: a JWK Set beside it, or one written in it.

use std::ops::Range;
use std::sync::Arc;

use ring::digest::{SHA256, digest};
use toml::Spanned;

use super::Place;
use crate::jose::JwkSet;
use crate::policy::diagnostic::Diagnostic;
use crate::policy::sources::resolve;

/// What tells two sets of keys apart: a hash of their text.
pub(super) type KeysDigest = [u8; 32];

/// The pinned keys; inner `None` where none are named, outer where what is named cannot be used.
pub(super) fn pinned(
    place: &mut Place<'_, '_>,
    file: Option<Spanned<String>>,
    inline: Option<Spanned<toml::Table>>,
) -> Option<Option<(Arc<JwkSet>, KeysDigest)>> {
    let is_inline = inline.is_some();
    let (text, span) = match (file, inline) {
        (None, None) => return Some(None),
        (Some(file), None) => fetch(place, &file)?,
        (None, Some(inline)) => (serde_json::to_string(inline.get_ref()).unwrap_or_default(), inline.span()),
        (Some(_), Some(inline)) => {
            let finding = Diagnostic::error("identity", "`jwks_file` and `jwks` exclude each other");
            place.reading.found(finding.withheld(), inline.span());
            return None;
        }
    };
    let wrong = match JwkSet::parse(text.as_bytes()) {
        Ok(jwks) => {
            let mut hash = KeysDigest::default();
            hash.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
            return Some(Some((Arc::new(jwks), hash)));
        }
        Err(error) => error,
    };
    let mut finding = Diagnostic::error("jwks", format!("these keys cannot be used: {wrong}"));
    if is_inline {
        // It may be a private key.
        finding = finding.withheld();
    }
    place.reading.found(finding.help("they are a JWK Set of public keys (RFC 7517): {\"keys\":[{\"kty\":…}]}"), span);
    None
}

/// The text of a `jwks_file`, and the place that names it.
fn fetch(place: &mut Place<'_, '_>, file: &Spanned<String>) -> Option<(String, Range<usize>)> {
    match place.sources.fetch(&resolve(place.folder, file.get_ref())) {
        Ok(text) => Some((text.text.to_string(), file.span())),
        Err(error) => {
            let finding = Diagnostic::error("jwks", format!("cannot read `{}`: {error}", file.get_ref()));
            place.reading.found(finding.help("the path starts from the folder of this file"), file.span());
            None
        }
    }
}
