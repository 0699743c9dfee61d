//! `GET /v1/forward-auth` on the broker's own listener, where `[server] forward_auth` says so: a guard that asks this broker.
//!
//! Owns nothing but that link. What a proxy sends and is answered, the guard knows; what a token is worth, the broker.

use std::sync::Arc;
use std::time::Duration;

use crate::broker::Broker;
use crate::guard::{Guard, Judge, LaterVerdict, Proxy, Verdict};
use crate::model::{AudienceUri, Position};

/// A guard of these resource servers, without rules by path: any good token for one of them is let through.
pub(super) fn guard(broker: Arc<Broker>, audiences: Vec<AudienceUri>, proxy: Proxy) -> Arc<Guard> {
    Arc::new(Guard::new(Arc::new(Own(broker)), audiences, None, proxy))
}

/// A broker judges tokens by the store's log, which it reads up to its head each time: nothing is known from memory alone, and
/// no view grows old.
struct Own(Arc<Broker>);

impl Judge for Own {
    fn at_once(&self, _token: &str) -> Option<Verdict> {
        None
    }

    fn verify<'a>(&'a self, token: &'a str) -> LaterVerdict<'a> {
        Box::pin(self.0.judge(token))
    }

    fn is_ready(&self) -> bool {
        true
    }

    fn view_age(&self) -> Option<Duration> {
        None
    }

    fn view(&self) -> Option<(usize, Position)> {
        None
    }
}
