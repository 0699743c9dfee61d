//! What a platform's claims must say: exactly this text, or a glob where the file says so. All rules must hold.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use crate::jose::{Json, Object};

/// A platform token's claims, as they were signed.
pub type Claims<'a> = Object<'a>;

/// One claim, and what it must say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimRule {
    /// The claim's name; see [`text_of_claim`] for one within another.
    pub name: Arc<str>,
    pub(super) says: Says,
}

/// What a claim must say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Says {
    /// This, letter by letter.
    Exactly(Box<str>),
    /// What this matches; `*` stands for any run of characters, of none too, and for nothing else.
    Glob(Box<str>),
}

impl ClaimRule {
    /// The text it must say exactly, where it must.
    pub fn exact(&self) -> Option<&str> {
        match &self.says {
            Says::Exactly(text) => Some(text),
            Says::Glob(_) => None,
        }
    }

    /// The pattern it must be like, where it may vary; `*` stands for any run of characters.
    pub fn glob(&self) -> Option<&str> {
        match &self.says {
            Says::Exactly(_) => None,
            Says::Glob(glob) => Some(glob),
        }
    }

    /// Whether a claim that is there and has this text says what it must.
    pub fn takes(&self, text: &str) -> bool {
        match &self.says {
            Says::Exactly(expected) => *text == **expected,
            Says::Glob(glob) => matches(glob, text),
        }
    }

    /// Whether whatever fulfils this rule fulfils `other`, of the same claim. A `*` of this one is only taken by one of the other.
    pub fn says_no_more(&self, other: &Self) -> bool {
        match (&self.says, &other.says) {
            (_, Says::Exactly(_)) => self.says == other.says,
            (Says::Exactly(text) | Says::Glob(text), Says::Glob(glob)) => matches(glob, text),
        }
    }

    /// Whether the claim is there and says what it must.
    pub fn holds(&self, claims: &Claims<'_>) -> bool {
        self.shown(claims).is_some_and(|text| self.takes(&text))
    }

    /// What the claim says, where it is there and has a text.
    pub fn shown<'a>(&self, claims: &'a Claims<'_>) -> Option<Cow<'a, str>> {
        text_of_claim(claims, &self.name)
    }
}

impl fmt::Display for ClaimRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.says {
            Says::Exactly(text) => write!(f, "{} is {text}", self.name),
            Says::Glob(glob) => write!(f, "{} is like {glob}", self.name),
        }
    }
}

/// The text of the claim called `name`, where it has one: a string, a number as its digits, a boolean as its word. Lists and
/// objects have none, nor has a number with a fraction or beyond 64 bits. A claim within another is named with a slash:
/// `kubernetes.io/pod/uid`; one that is called so as a whole goes first.
pub fn text_of_claim<'a>(claims: &'a Claims<'_>, name: &str) -> Option<Cow<'a, str>> {
    match find(claims, name)? {
        Json::Text(text) => Some(Cow::Borrowed(text)),
        Json::Bool(flag) => Some(if *flag { "true" } else { "false" }.into()),
        Json::Number(number) if !number.is_f64() => Some(number.to_string().into()),
        _ => None,
    }
}

fn find<'a>(claims: &'a Claims<'a>, name: &str) -> Option<&'a Json<'a>> {
    if let Some(value) = claims.get(name) {
        return Some(value);
    }
    name.match_indices('/').find_map(|(at, _)| match claims.get(&name[..at]) {
        Some(Json::Object(inner)) => find(inner, &name[at + 1..]),
        _ => None,
    })
}

/// Whether `text` is what `glob` says. In one pass: each literal part is taken where it is first found.
fn matches(glob: &str, text: &str) -> bool {
    let mut parts = glob.split('*');
    let Some(mut rest) = parts.next().and_then(|head| text.strip_prefix(head)) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claims() -> Claims<'static> {
        let claims = json!({
            "ref": "refs/heads/main", "repository_id": "123", "project_id": 22, "protected": true, "ratio": 1.5,
            "groups": ["a"], "kubernetes.io": {"namespace": "ci", "pod": {"uid": "u-1"}}, "a/b": "whole", "a": {"b": "part"},
        });
        Claims::of(claims)
    }

    fn rule(name: &str, says: Says) -> ClaimRule {
        ClaimRule { name: name.into(), says }
    }

    #[test]
    fn a_claim_says_exactly_what_it_must() {
        for (name, text) in [
            ("ref", "refs/heads/main"),
            ("repository_id", "123"),
            ("project_id", "22"),
            ("protected", "true"),
            ("kubernetes.io/namespace", "ci"),
            ("kubernetes.io/pod/uid", "u-1"),
            ("a/b", "whole"),
        ] {
            assert!(rule(name, Says::Exactly(text.into())).holds(&claims()), "{name}");
            for other in [format!("{text} "), text.to_uppercase() + "x", String::new(), "*".into()] {
                assert!(!rule(name, Says::Exactly(other.as_str().into())).holds(&claims()), "{name} {other}");
            }
        }
    }

    #[test]
    fn a_rule_says_no_more_than_another_where_all_it_takes_is_taken_there() {
        let of = |text: &str| {
            rule("ref", if text.contains('*') { Says::Glob(text.into()) } else { Says::Exactly(text.into()) })
        };
        for (narrow, wide) in
            [("a", "a"), ("a", "a*"), ("ab*", "a*"), ("a*b*c", "a*c"), ("a*", "*"), ("a*", "a*"), ("*a*", "**")]
        {
            assert!(of(narrow).says_no_more(&of(wide)), "{narrow} within {wide}");
        }
        for (other, wide) in [("a*", "a"), ("b", "a*"), ("a*", "ab*"), ("*", "a*"), ("a*", "*a"), ("a*c", "a*b*c")] {
            assert!(!of(other).says_no_more(&of(wide)), "{other} within {wide}");
        }
    }

    #[test]
    fn what_has_no_text_or_is_not_there_says_nothing() {
        for name in ["groups", "ratio", "kubernetes.io", "kubernetes.io/pod", "absent", "ref/x", "", "/", "a/c"] {
            assert!(text_of_claim(&claims(), name).is_none(), "{name}");
            assert!(!rule(name, Says::Glob("*".into())).holds(&claims()), "{name}");
        }
    }

    #[test]
    fn a_star_stands_for_any_run_and_the_rest_for_itself() {
        let rows = [
            ("refs/tags/v*", "refs/tags/v1.0", true),
            ("refs/tags/v*", "refs/tags/v", true),
            ("refs/tags/v*", "refs/heads/refs/tags/v1", false),
            ("*-prod", "eu-prod", true),
            ("*-prod", "eu-prod-not", false),
            ("a*b*c", "aXbYc", true),
            ("a*b*c", "abc", true),
            ("a*b*c", "acb", false),
            ("ab*ba", "aba", false),
            ("a**b", "a-b", true),
            ("a?c", "abc", false),
            ("a.c", "abc", false),
            ("[ab]", "a", false),
            ("*", "", true),
        ];
        for (glob, text, expected) in rows {
            assert_eq!(matches(glob, text), expected, "{glob} {text}");
        }
    }
}
