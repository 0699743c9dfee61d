//! What the black-box tests are made of: brokers and Redis servers as real processes, a client that may say anything,
//! parties with keys, forged assertions, and a reader of tokens, keys and rules that shares no code with the broker.

#![allow(dead_code, unused_macros, unused_imports, reason = "each test takes what it needs")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on ends")]

mod ask;
mod assertion;
mod audit;
mod broker;
mod catalogue;
mod chance;
mod flows;
mod http;
mod issuer;
mod keys;
mod offline;
mod program;
mod redis;
mod stream;

use std::time::{Duration, Instant};

pub use ask::Ask;
pub use assertion::{Assertion, JWT_BEARER};
pub use audit::Audit;
pub use broker::{Broker, Setup, clean, document, done, jitney, wait_for_exit};
pub use catalogue::{API, Catalogue, SECOND, key_of_kind, workload, workload_path};
pub use chance::Chance;
pub use flows::complete_path;
pub use http::{Answer, Http, Request};
pub use issuer::{DISCOVERY, Platform, Reply, platform_token};
pub use keys::{Key, key_of};
pub use offline::{Feed, Jwks, Rule, Token, digest};
pub use program::{Program, Shelf, sources};
pub use redis::{Redis, SAFE};
pub use stream::{Event, Stream};

/// The issuer of all brokers here, unless a test says otherwise: it outlives restarts and is shared by brokers of a store.
pub const ISSUER: &str = "https://broker.example.com";

/// What a broker keeps its leases in.
pub enum Backing {
    /// The store in its own folder.
    Embedded,
    /// A Redis server of the test's own.
    Redis(Redis),
}

impl Backing {
    /// For `--store`.
    pub fn url(&self) -> Option<String> {
        match self {
            Self::Embedded => None,
            Self::Redis(redis) => Some(redis.url()),
        }
    }
}

/// Makes each of these functions a test on each store.
macro_rules! on_both_stores {
    ($($name:ident),+ $(,)?) => {
        mod embedded {
            $(#[test]
            fn $name() {
                super::$name(&crate::common::Backing::Embedded);
            })+
        }
        mod redis {
            $(#[test]
            fn $name() {
                super::$name(&crate::common::Backing::Redis(crate::common::Redis::start()));
            })+
        }
    };
}
pub(crate) use on_both_stores;

/// Asks again until there is something, for at most twenty seconds.
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    within(Duration::from_secs(20), what, &mut look)
}

/// Asks again until there is something, or the time is over.
pub fn within<T>(time: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + time;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {time:?} in vain until {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// base64url without padding, as JOSE writes bytes.
pub fn base64url(bytes: impl AsRef<[u8]>) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

/// The bytes of such a text.
pub fn from_base64url(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text).unwrap()
}

/// Now, in Unix seconds.
pub fn now() -> u64 {
    jitney::model::Clock::system().now().secs()
}
