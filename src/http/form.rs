//! A form body (`application/x-www-form-urlencoded`), read strictly: one meaning or none.

use std::borrow::Cow;
use std::fmt;

use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use memchr::{memchr, memchr_iter, memchr2_iter};

use crate::attest::ClientAuth;
use crate::model::{Reason, Refusal};

use super::answer;

/// The most parameters one form may have.
const MAX_PARAMETERS: usize = 64;

/// Parameters that may come more than once (RFC 8707 §2).
const REPEATABLE: [&str; 2] = ["resource", "audience"];

/// What forms here may hold, and what clients of other servers send in them.
const PARAMETERS: [&str; 14] = [
    "audience",
    "client_assertion",
    "client_assertion_type",
    "client_id",
    "client_secret",
    "grant_type",
    "probe",
    "resource",
    "scope",
    "task",
    "token",
    "token_type_hint",
    "ttl",
    "access_token",
];

/// What stands in nearly every form, as encoders write it, and what it means (RFC 7523 §2.2).
const JWT_BEARER: (&str, (&str, &str)) = (
    "client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer",
    ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
);

/// The parameters of a form; those without a value count as left out (RFC 6749 §3.1).
pub(crate) struct Form<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl fmt::Debug for Form<'_> {
    // Values may be tokens and assertions.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

impl<'a> Form<'a> {
    /// Reads a form.
    pub(crate) fn parse(body: &'a [u8]) -> Result<Self, Refusal> {
        let wrong = |why: &'static str| Refusal::new(Reason::InvalidRequest, why);
        let Some(text) = form_text(body) else {
            return Err(wrong("the body is not form-encoded: visible ASCII with % and two hex digits for all else"));
        };
        let mut parameters: Vec<(Cow<'a, str>, Cow<'a, str>)> = Vec::with_capacity(8);
        for (name, value) in pairs(text) {
            if is_spoilt(&name) || is_spoilt(&value) {
                return Err(wrong("a parameter holds a control character, or bytes that are no UTF-8"));
            }
            if value.is_empty() {
                continue;
            }
            if !REPEATABLE.contains(&&*name) && parameters.iter().any(|(other, _)| *other == name) {
                return Err(Refusal::new(
                    Reason::InvalidRequest,
                    format!("the parameter {} is repeated: send it once", short(&name)),
                ));
            }
            if parameters.len() == MAX_PARAMETERS {
                return Err(wrong("there are more than 64 parameters"));
            }
            parameters.push((name, value));
        }
        let form = Self(parameters);
        if form.has_client_auth() && form.get("client_secret").is_some() {
            return Err(wrong("a client_secret and a client assertion: one way to authenticate may be used, not two"));
        }
        Ok(form)
    }

    /// The value of a parameter.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(each, _)| each == name).map(|(_, value)| value.as_ref())
    }

    /// Every value of a parameter.
    pub(crate) fn all<'b>(&'b self, name: &'b str) -> impl Iterator<Item = &'b str> {
        self.0.iter().filter(move |(each, _)| each == name).map(|(_, value)| value.as_ref())
    }

    /// The client authentication in it (RFC 7521 §4.2).
    pub(crate) fn client_auth(&self) -> ClientAuth<'_> {
        ClientAuth {
            assertion_type: self.get("client_assertion_type"),
            assertion: self.get("client_assertion"),
            client_id: self.get("client_id"),
        }
    }

    /// Whether there is any client authentication in it.
    pub(crate) fn has_client_auth(&self) -> bool {
        self.get("client_assertion").is_some() || self.get("client_assertion_type").is_some()
    }
}

/// Refuses a body of another type. An empty body needs none.
pub(super) fn check_type(headers: &HeaderMap, body: &[u8]) -> Result<(), Box<Response>> {
    if body.is_empty() {
        return Ok(());
    }
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    match (types.next().and_then(|value| value.to_str().ok()), types.next()) {
        (Some(kind), None) if is_form_type(kind) => Ok(()),
        _ => Err(Box::new(answer::unserved(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            "send Content-Type: application/x-www-form-urlencoded, in UTF-8",
        ))),
    }
}

/// A form's type has no parameters; clients send a charset all the same, and one other than UTF-8 gives the bytes
/// another meaning.
fn is_form_type(text: &str) -> bool {
    let mut parts = text.split(';').map(str::trim);
    let is_form = parts.next().is_some_and(|media| media.eq_ignore_ascii_case("application/x-www-form-urlencoded"));
    is_form
        && parts.all(|parameter| match parameter.split_once('=') {
            Some((name, value)) if name.eq_ignore_ascii_case("charset") => {
                value.trim_matches('"').eq_ignore_ascii_case("utf-8")
            }
            _ => true,
        })
}

/// Refuses a query that holds what belongs into the form (RFC 6749 §2.3.1): addresses are kept in logs, and a parameter
/// in both places has two meanings. Names that no form has are nobody's matter.
pub(super) fn check_query(query: Option<&str>) -> Result<(), Refusal> {
    let Some(query) = query else { return Ok(()) };
    match form_urlencoded::parse(query.as_bytes()).find(|(name, _)| PARAMETERS.contains(&&**name)) {
        None => Ok(()),
        Some((name, _)) => Err(Refusal::new(
            Reason::InvalidRequest,
            format!("the parameter {name} belongs into the form, not into the address"),
        )),
    }
}

/// The text of bytes that a form encoder writes: no raw controls or bytes beyond ASCII, and no half percent-encoding.
fn form_text(body: &[u8]) -> Option<&str> {
    let is_encoded = |part: &[u8]| matches!(part, [a, b, ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit());
    // Without a branch for each byte: an assertion has many.
    let is_form_text = body.iter().fold(true, |all, byte| all & matches!(byte, 0x20..=0x7e))
        && memchr_iter(b'%', body).all(|at| is_encoded(&body[at + 1..]));
    std::str::from_utf8(body).ok().filter(|_| is_form_text)
}

/// The pairs of a form's text. What stands as it means, as an assertion does, and the one pair that all send are not decoded byte
/// by byte.
fn pairs(text: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    let body = text.as_bytes();
    let ends = memchr_iter(b'&', body).chain(std::iter::once(body.len()));
    let mut escapes = memchr2_iter(b'%', b'+', body).peekable();
    let mut start = 0;
    ends.filter_map(move |end| {
        let pair = &text[std::mem::replace(&mut start, end + 1)..end];
        let is_plain = escapes.peek().is_none_or(|at| *at > end);
        while escapes.next_if(|at| *at < end).is_some() {}
        match memchr(b'=', pair.as_bytes()) {
            _ if pair.is_empty() => None,
            Some(at) if is_plain => Some((pair[..at].into(), pair[at + 1..].into())),
            None if is_plain => Some((pair.into(), "".into())),
            _ if pair == JWT_BEARER.0 => Some((JWT_BEARER.1.0.into(), JWT_BEARER.1.1.into())),
            _ => form_urlencoded::parse(pair.as_bytes()).next(),
        }
    })
}

/// Whether a text has control characters, or was no UTF-8: that has become U+FFFD. What stands as it came is neither.
#[allow(clippy::ptr_arg, reason = "whether it stands as it came is asked")]
fn is_spoilt(text: &Cow<'_, str>) -> bool {
    matches!(text, Cow::Owned(text) if text.contains(|c: char| c.is_control() || c == '\u{fffd}'))
}

fn short(name: &str) -> &str {
    name.char_indices().nth(40).map_or(name, |(at, _)| &name[..at])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn debug_shows_names_and_no_values() {
        let form = Form::parse(b"client_assertion=hunter2&token=hunter2").unwrap();
        assert_eq!(format!("{form:?}"), r#"["client_assertion", "token"]"#);
    }

    #[test]
    fn a_form_is_read_and_empty_values_count_as_left_out() {
        let form = Form::parse(b"scope=a+b%20c&task=&resource=x&resource=y&ttl=5").unwrap();
        assert_eq!(form.get("scope"), Some("a b c"));
        assert_eq!(form.get("task"), None);
        assert_eq!(form.all("resource").collect::<Vec<_>>(), ["x", "y"]);
    }

    #[test]
    fn what_has_two_meanings_is_refused() {
        for bad in [
            &b"scope=a&scope=b"[..],
            b"scope=a&%73cope=b",
            b"a=%",
            b"a=%2",
            b"a=%zz",
            b"a=%00",
            b"a=\0",
            b"a=%ff",
            b"a=\xff",
            b"a=\n",
            b"a=%0a",
        ] {
            assert!(Form::parse(bad).is_err(), "{bad:?}");
        }
        let many = (0..65).map(|n| format!("p{n}=1")).collect::<Vec<_>>().join("&");
        assert!(Form::parse(many.as_bytes()).is_err());
    }

    #[test]
    fn a_charset_other_than_utf_8_is_another_type() {
        let form = "application/x-www-form-urlencoded";
        for good in ["", ";charset=UTF-8", "; charset=\"utf-8\"", "; x=y", ";"] {
            assert!(is_form_type(&format!("{form}{good}")), "{good}");
        }
        for bad in ["; charset=utf-16", ";charset=utf-8;charset=latin1", "x", ", text/plain"] {
            assert!(!is_form_type(&format!("{form}{bad}")), "{bad}");
        }
    }

    #[test]
    fn what_belongs_into_the_form_is_not_taken_from_the_address() {
        for bad in ["scope=a", "x=1&%73cope=a", "client_secret", "a&access_token=b"] {
            assert!(check_query(Some(bad)).is_err(), "{bad}");
        }
        for good in [None, Some(""), Some("colour=red"), Some("x=scope"), Some("%zz=%ff")] {
            assert!(check_query(good).is_ok(), "{good:?}");
        }
    }

    #[test]
    fn the_pair_that_all_send_is_as_an_encoder_writes_it() {
        let (encoded, (name, value)) = JWT_BEARER;
        assert_eq!(form_urlencoded::Serializer::new(String::new()).append_pair(name, value).finish(), encoded);
        let body = format!("scope=a&{encoded}&ttl=5");
        let standard: Vec<_> = form_urlencoded::parse(body.as_bytes()).collect();
        assert_eq!(pairs(&body).collect::<Vec<_>>(), standard);
    }

    proptest! {
        #[test]
        fn what_an_encoder_writes_is_read_back(value in "[ -~äöü€]{1,40}", name in "[a-z]{1,10}") {
            let body = form_urlencoded::Serializer::new(String::new()).append_pair(&name, &value).finish();
            let form = Form::parse(body.as_bytes()).unwrap();
            prop_assert_eq!(form.get(&name), Some(value.as_str()));
        }

        #[test]
        fn a_form_means_what_the_standard_says(body in "[ab=&+% 2c~]{0,60}") {
            let ours: Vec<_> = pairs(&body).collect();
            let standard: Vec<_> = form_urlencoded::parse(body.as_bytes()).collect();
            prop_assert_eq!(ours, standard);
        }

        #[test]
        fn no_bytes_upset_it(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Form::parse(&body);
        }
    }
}
