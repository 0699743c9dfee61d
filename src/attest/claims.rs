//! What a client assertion says of itself: who, for whom, when. Judged before any key is looked up, and by nothing but
//! its own text, the configuration and the clock: so whatever is wrong here may be named (RFC 7523 §3, RFC 8725 §3).

use std::borrow::Cow;
use std::time::Duration;

use crate::jose::{Json, Object};
use crate::model::UnixTime;

/// How long after `iat` an assertion is honoured, and how far ahead `exp` may lie where there is no `iat`.
pub(super) const HONOURED: Duration = Duration::from_secs(300);

/// How far ahead `exp` may lie.
const LONGEST: Duration = Duration::from_secs(3600);

/// The longest client id: an audience's URI.
const MAX_ID: usize = 255;

/// The longest `jti`, in characters.
const MAX_JTI: usize = 256;

/// What the claims are held against.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expect<'a> {
    pub(super) issuer: &'a str,
    /// The URL of the endpoint called.
    pub(super) endpoint: &'a str,
    pub(super) accept_endpoint_audience: bool,
    pub(super) skew: Duration,
    pub(super) now: UnixTime,
}

/// The claims that count, checked in themselves.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Claims<'a> {
    /// `iss` and `sub`: the client's id, not yet proven.
    pub(super) client: &'a str,
    pub(super) jti: &'a str,
    /// It was not made before this moment, by its maker's clock.
    pub(super) from: UnixTime,
    /// No broker accepts this assertion after this moment, whichever way its clock is off.
    pub(super) until: UnixTime,
}

/// A sentence for the caller.
pub(super) type Wrong = Cow<'static, str>;

impl<'a> Claims<'a> {
    /// Reads and judges the claims, in the order who, for whom, when, which.
    pub(super) fn judge(claims: &'a Object<'_>, expect: &Expect<'_>) -> Result<Self, Wrong> {
        let client = client(claims)?;
        audience(claims, expect)?;
        let (from, until) = times(claims, expect)?;
        let jti = text(claims, "jti")?;
        if jti.is_empty() || jti.chars().count() > MAX_JTI {
            return Err("the assertion's jti must have 1 to 256 characters".into());
        }
        Ok(Self { client, jti, from, until })
    }
}

pub(super) fn text<'a>(claims: &'a Object<'_>, name: &'static str) -> Result<&'a str, Wrong> {
    match claims.get(name) {
        Some(Json::Text(text)) => Ok(text),
        Some(_) => Err(format!("the assertion's {name} must be a string").into()),
        None => Err(format!("the assertion has no {name}").into()),
    }
}

fn client<'a>(claims: &'a Object<'_>) -> Result<&'a str, Wrong> {
    let (iss, sub) = (text(claims, "iss")?, text(claims, "sub")?);
    if iss != sub {
        return Err("the assertion's iss and sub must both be the client's id".into());
    }
    if iss.is_empty() || iss.len() > MAX_ID {
        return Err("the assertion's iss must have 1 to 255 characters".into());
    }
    Ok(iss)
}

/// `aud` is the issuer and nothing besides: whoever else is named could use the assertion here too (rfc7523bis §4).
fn audience(claims: &Object<'_>, expect: &Expect<'_>) -> Result<(), Wrong> {
    let aud = match claims.get("aud") {
        Some(Json::Text(aud)) => aud,
        Some(Json::List(list)) => match list.as_slice() {
            [Json::Text(aud)] => aud,
            _ => return Err("the assertion's aud must name one audience, the issuer".into()),
        },
        Some(_) => return Err("the assertion's aud must be a string".into()),
        None => return Err("the assertion has no aud".into()),
    };
    if aud == expect.issuer {
        return Ok(());
    }
    if aud == expect.endpoint {
        if expect.accept_endpoint_audience {
            return Ok(());
        }
        return Err(format!(
            "the assertion's aud must be the issuer, {}; the URL of the endpoint would be accepted only with [server] \
             accept_endpoint_audience = true",
            expect.issuer
        )
        .into());
    }
    Err(format!("the assertion's aud must be the issuer, {}", expect.issuer).into())
}

/// A `NumericDate` in whole seconds. RFC 7519 §2 allows fractions; no client needs them, and `1e999` is one too.
pub(super) fn time(claims: &Object<'_>, name: &'static str) -> Result<Option<UnixTime>, Wrong> {
    match claims.get(name) {
        None => Ok(None),
        Some(value) => match value.as_u64() {
            Some(secs) => Ok(Some(UnixTime::from_secs(secs))),
            None => Err(format!("the assertion's {name} must be a time in whole seconds since 1970").into()),
        },
    }
}

/// Judges `exp`, `iat` and `nbf`; gives the moments between which the assertion is worth anything anywhere.
fn times(claims: &Object<'_>, expect: &Expect<'_>) -> Result<(UnixTime, UnixTime), Wrong> {
    let &Expect { now, skew, .. } = expect;
    let exp = time(claims, "exp")?.ok_or("the assertion has no exp")?;
    let (iat, nbf) = (time(claims, "iat")?, time(claims, "nbf")?);
    // `from` to `to` is what is acceptable of each, both included.
    let rules = [
        (Some(exp), now.minus(skew).plus(Duration::from_secs(1)), UnixTime::from_secs(u64::MAX), "has expired"),
        (Some(exp), UnixTime::default(), now.plus(LONGEST + skew), "expires more than an hour ahead"),
        (iat, UnixTime::default(), now.plus(skew), "was issued in the future"),
        (iat, now.minus(HONOURED + skew), UnixTime::from_secs(u64::MAX), "was issued more than 300 s ago"),
        (nbf, UnixTime::default(), now.plus(skew), "is not valid yet"),
    ];
    for (moment, from, to, fault) in rules {
        if moment.is_some_and(|moment| moment < from || moment > to) {
            return Err(format!("the assertion {fault}: the broker's clock says {}", now.rfc3339()).into());
        }
    }
    if iat.is_none() && exp > now.plus(HONOURED + skew) {
        return Err("an assertion without iat must expire within 300 s".into());
    }
    // Twice the skew: once for this broker's leniency, once for another broker whose clock lags.
    let until = iat.map_or(exp, |iat| exp.min(iat.plus(HONOURED))).plus(skew * 2);
    // Without `iat`, `exp` tells: no broker whose clock is right has taken it earlier than that.
    let from = iat.unwrap_or_else(|| exp.minus(HONOURED + skew));
    Ok((from, until))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const NOW: u64 = 1_790_000_000;
    const ISSUER: &str = "https://broker.example.com";

    fn expect() -> Expect<'static> {
        Expect {
            issuer: ISSUER,
            endpoint: "https://broker.example.com/oauth2/token",
            accept_endpoint_audience: false,
            skew: Duration::from_secs(30),
            now: UnixTime::from_secs(NOW),
        }
    }

    /// Good claims with `changes` over them; null removes.
    fn claims(changes: Value) -> Object<'static> {
        let mut claims = json!({"iss": "w", "sub": "w", "aud": ISSUER, "exp": NOW + 60, "iat": NOW, "jti": "1"});
        let all = claims.as_object_mut().unwrap();
        for (name, value) in changes.as_object().unwrap() {
            if value.is_null() {
                all.remove(name);
            } else {
                all.insert(name.clone(), value.clone());
            }
        }
        Object::of(claims)
    }

    #[test]
    fn what_the_contract_allows_is_accepted() {
        let longest = "ä".repeat(256);
        let rows = [
            json!({}),
            json!({"aud": [ISSUER]}),
            json!({"iat": null}),
            json!({"iat": null, "exp": NOW + 330}),
            json!({"nbf": NOW + 30, "iat": NOW + 30, "exp": NOW + 90}),
            json!({"exp": NOW + 3630}),
            json!({"exp": NOW - 29}),
            json!({"iat": NOW - 330}),
            json!({"jti": longest}),
            json!({"nbf": 0, "other": {"x": [1.5]}}),
        ];
        for row in rows {
            assert!(Claims::judge(&claims(row.clone()), &expect()).is_ok(), "{row}");
        }
    }

    #[test]
    fn what_breaks_a_rule_is_refused_by_its_name() {
        let too_long = "x".repeat(257);
        let rows = [
            (json!({"iss": null}), "no iss"),
            (json!({"sub": null}), "no sub"),
            (json!({"iss": "v"}), "iss and sub"),
            (json!({"iss": 1}), "iss must be a string"),
            (json!({"iss": "", "sub": ""}), "1 to 255"),
            (json!({"iss": too_long, "sub": too_long}), "1 to 255"),
            (json!({"aud": null}), "no aud"),
            (json!({"aud": 1}), "aud must be a string"),
            (json!({"aud": []}), "name one audience"),
            (json!({"aud": [ISSUER, ISSUER]}), "name one audience"),
            (json!({"aud": [ISSUER, "https://other.example.com"]}), "name one audience"),
            (json!({"aud": [[ISSUER]]}), "name one audience"),
            (json!({"aud": "https://broker.example.com/"}), "aud must be the issuer, https://broker.example.com"),
            (json!({"aud": "https://BROKER.example.com"}), "aud must be the issuer"),
            (json!({"aud": "https://broker.example.com/oauth2/token"}), "accept_endpoint_audience"),
            (json!({"exp": null}), "no exp"),
            (json!({"exp": NOW - 30}), "has expired"),
            (json!({"exp": 0}), "has expired"),
            (json!({"exp": NOW + 3631}), "more than an hour ahead"),
            (json!({"exp": u64::MAX}), "more than an hour ahead"),
            (json!({"exp": (NOW + 60).to_string()}), "exp must be a time"),
            (json!({"exp": NOW as f64 + 60.5}), "exp must be a time"),
            (json!({"exp": NOW as f64 + 60.0}), "exp must be a time"),
            (json!({"exp": -1}), "exp must be a time"),
            (json!({"exp": true}), "exp must be a time"),
            (json!({"exp": [NOW + 60]}), "exp must be a time"),
            (json!({"iat": NOW + 31}), "issued in the future"),
            (json!({"iat": NOW - 331}), "more than 300 s ago"),
            (json!({"iat": NOW as f64}), "iat must be a time"),
            (json!({"iat": null, "exp": NOW + 331}), "without iat"),
            (json!({"nbf": NOW + 31}), "not valid yet"),
            (json!({"nbf": "0"}), "nbf must be a time"),
            (json!({"jti": null}), "no jti"),
            (json!({"jti": ""}), "1 to 256"),
            (json!({"jti": too_long}), "1 to 256"),
            (json!({"jti": 7}), "jti must be a string"),
        ];
        for (row, word) in rows {
            let wrong = Claims::judge(&claims(row.clone()), &expect()).expect_err(&row.to_string());
            assert!(wrong.contains(word), "{row}: {wrong}");
        }
    }

    #[test]
    fn the_endpoint_called_is_an_audience_only_where_that_is_configured_and_no_other_endpoint_is() {
        let expect = Expect { accept_endpoint_audience: true, ..expect() };
        let named = |aud: &str| Claims::judge(&claims(json!({"aud": aud})), &expect).is_ok();
        assert!(named(expect.endpoint) && named(ISSUER));
        assert!(!named("https://broker.example.com/oauth2/introspect"));
    }

    #[test]
    fn an_assertion_tells_when_it_was_made_at_the_earliest() {
        for row in [json!({}), json!({"iat": null}), json!({"iat": null, "exp": NOW + 300}), json!({"iat": NOW - 100})]
        {
            let claims = claims(row.clone());
            let from = Claims::judge(&claims, &expect()).unwrap().from;
            // A broker takes what a clock ahead of its own has made; what tells no `iat` is taken as old as it can be.
            let exact = Expect { skew: Duration::ZERO, ..expect() };
            let tolerance = if claims.get("iat").is_some() { &exact } else { &expect() };
            let first = (NOW - 1000..NOW + 1)
                .find(|now| Claims::judge(&claims, &Expect { now: UnixTime::from_secs(*now), ..*tolerance }).is_ok());
            assert_eq!(first, Some(from.secs()), "{row}");
        }
    }

    #[test]
    fn an_assertion_is_remembered_until_no_broker_accepts_it() {
        for row in [json!({}), json!({"iat": null}), json!({"exp": NOW + 3000}), json!({"exp": NOW + 3})] {
            let claims = claims(row.clone());
            let until = Claims::judge(&claims, &expect()).unwrap().until;
            // A broker whose clock lags by the whole skew still accepts at its own latest moment.
            let latest = (NOW..NOW + 4000)
                .filter(|now| Claims::judge(&claims, &Expect { now: UnixTime::from_secs(*now), ..expect() }).is_ok())
                .max();
            assert!(until.secs() >= latest.unwrap() + 30, "{row}");
            assert!(until.secs() <= latest.unwrap() + 31, "{row}: kept no longer than needed");
        }
    }
}
