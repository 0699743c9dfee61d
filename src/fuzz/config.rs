//! The configuration's file and its twins in the environment.

use std::path::Path;

use super::shared::cut;
use crate::config::{Config, StoreUrl};

/// A file; behind a NUL, lines of `NAME=VALUE` as the environment.
pub fn config(data: &[u8]) {
    let (file, env) = cut(data, 0);
    let (Ok(file), Ok(env)) = (std::str::from_utf8(file), std::str::from_utf8(env)) else { return };
    let load = || {
        let pairs = env.lines().filter_map(|line| line.split_once('='));
        let pairs = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Config::read(Some((Path::new("/etc/jitney/jitney.toml"), Ok(file.to_owned()))), pairs)
    };
    match (load(), load()) {
        (Ok(config), Ok(again)) => {
            assert_eq!(format!("{config:?}"), format!("{again:?}"));
            sound(&config);
        }
        (Err(error), Err(again)) => {
            assert_eq!(error, again);
            assert!(!error.problems.is_empty(), "refused for no reason");
            assert!(error.problems.iter().all(|problem| !problem.message.is_empty()));
            assert!(!error.to_string().is_empty());
        }
        _ => unreachable!("the same file is taken and refused"),
    }
}

/// What is taken keeps every bound, and shows no password.
fn sound(config: &Config) {
    let Config { server, store, tokens, keys, limits, .. } = config;
    assert!(!tokens.default_ttl.is_zero() && tokens.default_ttl <= tokens.max_ttl);
    assert!(tokens.max_ttl <= tokens.max_lifetime);
    assert!(keys.rotation > keys.jwks_max_age);
    assert!((1024..=16 << 20).contains(&limits.body) && (1024..=1 << 20).contains(&limits.header));
    assert!((1..=1_000_000).contains(&limits.connections) && (1..=1_000_000).contains(&limits.requests));
    let spans = [limits.handshake_timeout, limits.header_timeout, limits.body_timeout, limits.request_timeout];
    assert!(spans.iter().all(|span| !span.is_zero() && span.as_secs() <= 366 * 86_400));
    assert!(store.min_replicas <= 16);
    // Nothing is served to other machines in the clear unless that was said.
    let local = server.listen.ip().is_loopback();
    assert!(local || server.tls.is_some() || server.allow_plain_http);
    assert!(local || server.issuer.is_some());
    if let Some(issuer) = &server.issuer {
        assert!(issuer.starts_with("http://") || issuer.starts_with("https://") || issuer.contains("://"));
        assert!(!issuer.ends_with('/') && !issuer.contains(['?', '#', '@', ' ']));
    }
    if let Some(tls) = &server.tls {
        assert!(!tls.cert.as_os_str().is_empty() && !tls.key.as_os_str().is_empty());
    }
    if let StoreUrl::Redis(url) = &store.url {
        assert!(!format!("{:?}", config.store).contains(url.expose()), "a store's URL is shown");
    }
}
