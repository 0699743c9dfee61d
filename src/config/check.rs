//! Settings that are good each on its own and bad together.

use super::error::{Place, Problem};
use super::source::Places;
use super::{Config, StoreUrl};

/// One rule: the setting to point at, whether it is broken, and what to say.
struct Mix {
    at: (&'static str, &'static str),
    broken: bool,
    message: &'static str,
}

const fn mix(at: (&'static str, &'static str), broken: bool, message: &'static str) -> Mix {
    Mix { at, broken, message }
}

/// Adds what is unsafe or cannot work to `problems`.
pub(super) fn mixes(config: &Config, places: &Places, problems: &mut Vec<Problem>) {
    let Config { server, store, tokens, keys, .. } = config;
    let local = server.listen.ip().is_loopback();
    let half = |of: fn(&super::TlsFiles) -> &std::path::PathBuf| {
        server.tls.as_ref().is_some_and(|files| of(files).as_os_str().is_empty())
    };
    let (no_cert, no_key) = (half(|files| &files.cert), half(|files| &files.key));
    let remote_http = server.issuer.as_deref().is_some_and(is_remote_http);
    let rules = [
        mix(("server", "tls_cert"), no_key, "`tls_cert` without `tls_key`: TLS needs both"),
        mix(("server", "tls_key"), no_cert, "`tls_key` without `tls_cert`: TLS needs both"),
        mix(
            ("server", "listen"),
            !local && server.tls.is_none() && !server.allow_plain_http,
            "plain HTTP for other machines: set `tls_cert` and `tls_key`, or `allow_plain_http = true` behind a proxy that \
             ends TLS, or listen on 127.0.0.1",
        ),
        mix(
            ("server", "listen"),
            !local && server.issuer.is_none(),
            "other machines need to know the broker by name: set `issuer` in `[server]` to the https URL that clients use",
        ),
        mix(
            ("server", "issuer"),
            remote_http && !server.allow_plain_http,
            "an `http` issuer for other machines: write `https://…`, or set `allow_plain_http = true` in a network you \
             trust with every token",
        ),
        mix(
            ("server", "forward_auth"),
            server.forward_auth && server.forward_auth_audiences.is_empty(),
            "`forward_auth` without `forward_auth_audiences`: a token for another resource server may not pass, so name those \
             behind the proxy",
        ),
        mix(
            ("store", "min_replicas"),
            store.min_replicas > 0 && matches!(store.url, StoreUrl::Embedded(_)),
            "the embedded store has no replicas: leave `min_replicas` out, or use Redis",
        ),
        mix(
            ("tokens", "default_ttl"),
            tokens.default_ttl > tokens.max_ttl,
            "`default_ttl` is longer than `max_ttl`: shorten the one or lengthen the other",
        ),
        mix(
            ("tokens", "max_lifetime"),
            tokens.max_ttl > tokens.max_lifetime,
            "`max_lifetime` is shorter than `max_ttl`: a chain lasts at least as long as one token",
        ),
        mix(
            ("keys", "rotation"),
            keys.rotation <= keys.jwks_max_age,
            "`rotation` must be longer than `jwks_max_age`: a key is published that long before it signs",
        ),
    ];
    problems.extend(rules.into_iter().filter(|rule| rule.broken).map(|rule| problem(places, &rule)));
}

/// What `--dev` refuses besides.
pub(super) fn dev(config: &Config, places: &Places, problems: &mut Vec<Problem>) {
    let broken = !config.server.listen.ip().is_loopback();
    let message = "--dev serves this machine only: listen on 127.0.0.1, or write a configuration file";
    problems.extend(broken.then(|| problem(places, &mix(("server", "listen"), broken, message))));
}

fn problem(places: &Places, rule: &Mix) -> Problem {
    Problem { place: places.get(&rule.at).cloned().unwrap_or(Place::Default), message: rule.message.to_owned() }
}

/// Whether an issuer is an `http` URL of another machine.
fn is_remote_http(issuer: &str) -> bool {
    let Ok(uri) = issuer.parse::<http::Uri>() else { return false };
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let local = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    uri.scheme_str() == Some("http") && !local
}
