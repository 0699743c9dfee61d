//! Where each kind of proxy says what was asked of it: method and target of the request that it holds back.
//!
//! A guard believes one place alone. Whatever a caller sends in another kind's headers would pass through a proxy that does
//! not know them, so a request that carries them is refused rather than read by half.

use std::fmt;
use std::str::FromStr;

use http::request::Parts;
use http::{HeaderMap, HeaderName, Method};

/// The kind of proxy that asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Proxy {
    /// `auth_request`: `X-Original-Method`, `X-Original-URI`.
    Nginx,
    /// `forwardAuth`: `X-Forwarded-Method`, `X-Forwarded-Uri`.
    Traefik,
    /// `forward_auth`: the same two.
    Caddy,
    /// HTTP `ext_authz`: the request's own method, and its path behind the endpoint's.
    Envoy,
    /// A call by Lua: `X-Original-Method`, `X-Original-URI`.
    Haproxy,
    /// Any: what was asked is not read, so no rule can depend on it.
    #[default]
    None,
}

/// What the caller asked of the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Asked<'a> {
    pub method: &'a str,
    /// Path and query, as they came.
    pub target: &'a str,
}

/// Why what a proxy sent is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Misfit {
    /// Another kind's header stands in it.
    #[error("the header {0} stands in it, which is another kind of proxy's")]
    Foreign(&'static str),
    /// The kind's own header is missing.
    #[error("the proxy does not say what was asked of it")]
    Missing,
    /// It is there twice, or no text.
    #[error("what was asked is there twice, or not readable")]
    Unclear,
    /// A proxy of this kind asks by GET.
    #[error("a proxy of this kind asks by GET")]
    Method,
}

const METHOD_OF_NGINX: &str = "x-original-method";
const TARGET_OF_NGINX: &str = "x-original-uri";
const METHOD_OF_TRAEFIK: &str = "x-forwarded-method";
const TARGET_OF_TRAEFIK: &str = "x-forwarded-uri";

/// Every header that some proxy, or some server behind one, takes for method or target.
const ALL: [&str; 6] =
    [METHOD_OF_NGINX, TARGET_OF_NGINX, METHOD_OF_TRAEFIK, TARGET_OF_TRAEFIK, "x-original-url", "x-rewrite-url"];

impl Proxy {
    /// The words for `--proxy`.
    pub const NAMES: [&'static str; 6] = ["nginx", "traefik", "caddy", "envoy", "haproxy", "none"];

    /// Its word.
    pub const fn as_str(self) -> &'static str {
        Self::NAMES[self as usize]
    }

    /// The kind's own two headers; none where it has none.
    const fn own(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Nginx | Self::Haproxy => Some((METHOD_OF_NGINX, TARGET_OF_NGINX)),
            Self::Traefik | Self::Caddy => Some((METHOD_OF_TRAEFIK, TARGET_OF_TRAEFIK)),
            Self::Envoy | Self::None => None,
        }
    }

    /// Refuses what no proxy of this kind sends.
    pub(super) fn check(self, head: &Parts) -> Result<(), Misfit> {
        if self != Self::Envoy && !matches!(head.method, Method::GET | Method::HEAD) {
            return Err(Misfit::Method);
        }
        if self == Self::None {
            return Ok(());
        }
        let own = self.own();
        let is_own = |name: &str| own.is_some_and(|(method, target)| name == method || name == target);
        // To go through the few that there are is less work than to look six up.
        let foreign = |name: &HeaderName| ALL.into_iter().find(|known| *known == name.as_str() && !is_own(known));
        head.headers.keys().find_map(foreign).map_or(Ok(()), |name| Err(Misfit::Foreign(name)))
    }

    /// What was asked of the proxy. `tail` follows the endpoint's path.
    pub(super) fn asked<'a>(self, head: &'a Parts, tail: &'a str) -> Result<Asked<'a>, Misfit> {
        if self == Self::Envoy {
            // An empty tail is no path: Envoy sends at least `/`.
            let asked = Asked { method: head.method.as_str(), target: tail };
            return if tail.is_empty() { Err(Misfit::Missing) } else { Ok(asked) };
        }
        let (method, target) = self.own().ok_or(Misfit::Missing)?;
        Ok(Asked { method: only(&head.headers, method)?, target: only(&head.headers, target)? })
    }
}

fn only<'a>(headers: &'a HeaderMap, name: &str) -> Result<&'a str, Misfit> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Err(Misfit::Missing),
        (Some(value), None) if !value.is_empty() => value.to_str().map_err(|_| Misfit::Unclear),
        _ => Err(Misfit::Unclear),
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Proxy {
    type Err = String;

    fn from_str(raw: &str) -> Result<Self, String> {
        Ok(match raw {
            "nginx" => Self::Nginx,
            "traefik" => Self::Traefik,
            "caddy" => Self::Caddy,
            "envoy" => Self::Envoy,
            "haproxy" => Self::Haproxy,
            "none" => Self::None,
            _ => return Err(format!("`{raw}` is no kind of proxy: write one of {}", Self::NAMES.join(", "))),
        })
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn head(method: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().method(method).uri("/v1/forward-auth");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    const NGINX: [(&str, &str); 2] = [("X-Original-Method", "POST"), ("X-Original-URI", "/a?b")];
    const TRAEFIK: [(&str, &str); 2] = [("X-Forwarded-Method", "POST"), ("X-Forwarded-Uri", "/a?b")];

    #[test]
    fn every_word_is_a_kind() {
        let told = |name: &str| name.parse::<Proxy>().map(|kind| kind.to_string());
        assert!(Proxy::NAMES.iter().all(|name| told(name).as_deref() == Ok(*name)));
        assert!("apache".parse::<Proxy>().unwrap_err().contains("nginx, traefik"));
    }

    #[test]
    fn each_kind_reads_its_own_pair_and_refuses_the_other() {
        for (kind, own, other) in [
            (Proxy::Nginx, NGINX, TRAEFIK),
            (Proxy::Haproxy, NGINX, TRAEFIK),
            (Proxy::Traefik, TRAEFIK, NGINX),
            (Proxy::Caddy, TRAEFIK, NGINX),
        ] {
            let good = head("GET", &own);
            assert_eq!(kind.check(&good), Ok(()));
            assert_eq!(kind.asked(&good, ""), Ok(Asked { method: "POST", target: "/a?b" }));
            for foreign in other {
                let told = kind.check(&head("GET", &[own[0], own[1], foreign]));
                assert!(matches!(told, Err(Misfit::Foreign(name)) if foreign.0.eq_ignore_ascii_case(name)), "{kind}");
            }
            for foreign in [("X-Original-URL", "/"), ("X-Rewrite-URL", "/")] {
                let told = kind.check(&head("GET", &[own[0], own[1], foreign]));
                assert!(matches!(told, Err(Misfit::Foreign(name)) if foreign.0.eq_ignore_ascii_case(name)), "{kind}");
            }
            for one in own {
                assert_eq!(kind.asked(&head("GET", &[one]), "/x"), Err(Misfit::Missing), "{kind:?}");
                assert_eq!(kind.asked(&head("GET", &[own[0], own[1], one]), ""), Err(Misfit::Unclear), "{kind:?}");
            }
            assert_eq!(kind.asked(&head("GET", &[own[0], (own[1].0, "")]), ""), Err(Misfit::Unclear));
            assert_eq!(kind.check(&head("POST", &own)), Err(Misfit::Method), "{kind:?}");
        }
    }

    #[test]
    fn envoy_asks_with_the_request_itself() {
        let asked = head("DELETE", &[]);
        assert_eq!(Proxy::Envoy.asked(&asked, "/orders/7"), Ok(Asked { method: "DELETE", target: "/orders/7" }));
        assert_eq!(Proxy::Envoy.asked(&head("GET", &[]), ""), Err(Misfit::Missing));
        for foreign in [NGINX[1], TRAEFIK[0]] {
            assert!(matches!(Proxy::Envoy.check(&head("GET", &[foreign])), Err(Misfit::Foreign(_))));
        }
    }

    #[test]
    fn without_a_kind_nothing_is_read() {
        assert_eq!(Proxy::None.check(&head("GET", &NGINX)), Ok(()));
        assert_eq!(Proxy::None.asked(&head("GET", &NGINX), ""), Err(Misfit::Missing));
    }
}
