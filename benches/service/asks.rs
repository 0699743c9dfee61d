//! What they are asked: requests of each kind, signed beforehand, and what must be answered.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::common::{Ask, Assertion, key_of, key_of_kind, platform_token};
use super::load::{Expect, Load, Void};
use super::parties::PLATFORM;

/// A kind of request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A token, by a fresh assertion of the workload's own, each used once.
    PrivateKeyJwt,
    /// A token, by a platform's token, another one each time.
    FirstSeen,
    /// A token, by a platform's token, the same each time.
    SeenBefore,
    /// What stands behind a token, each asked about once, by a fresh assertion.
    Introspect,
    /// The end of a token, by a fresh assertion.
    Revoke,
    /// A token, by an assertion that another key has signed.
    BadSignature,
    /// A token, for somebody who is not known.
    UnknownWorkload,
    /// A token, by an assertion that has been used.
    Replay,
}

const GRANTED: Expect = Expect { status: 200, text: "\"access_token\"" };
const REFUSED: Expect = Expect { status: 401, text: "\"invalid_client\"" };

impl Kind {
    pub const fn name(self) -> &'static str {
        match self {
            Self::PrivateKeyJwt => "mint, private_key_jwt",
            Self::FirstSeen => "mint, platform's token first seen",
            Self::SeenBefore => "mint, platform's token seen before",
            Self::Introspect => "introspect",
            Self::Revoke => "revoke",
            Self::BadSignature => "refused: bad signature",
            Self::UnknownWorkload => "refused: unknown workload",
            Self::Replay => "refused: replay",
        }
    }

    const fn expect(self) -> Expect {
        match self {
            Self::PrivateKeyJwt | Self::FirstSeen | Self::SeenBefore => GRANTED,
            Self::Introspect => Expect { status: 200, text: "\"active\":true" },
            Self::Revoke => Expect { status: 200, text: "" },
            Self::BadSignature | Self::UnknownWorkload | Self::Replay => REFUSED,
        }
    }

    /// So many requests to be sent there, and what must be answered. Tokens that they are about are minted there now, and
    /// what shall be seen before is shown.
    pub fn load(self, count: usize, address: SocketAddr, connections: usize) -> Result<Load, Void> {
        let load = |requests, expect| Load { address, requests, expect, connections };
        let requests = match self {
            Self::Introspect | Self::Revoke => {
                let path = if self == Self::Revoke { "/oauth2/revoke" } else { "/oauth2/introspect" };
                let about = |token: &String| Ask::bare("measured").with("token", token).at(path).bytes();
                tokens(&load(Self::PrivateKeyJwt.asks(count), GRANTED))?.iter().map(about).collect()
            }
            Self::Replay => {
                let used = Self::PrivateKeyJwt.asks(count);
                load(used.clone(), GRANTED).answers()?;
                used
            }
            _ => self.asks(count),
        };
        Ok(load(requests, self.expect()))
    }

    fn asks(self, count: usize) -> Vec<Vec<u8>> {
        let by = |token: &str| Ask::of("platform").assertion(token);
        let same = platform(0);
        let ask = |n: usize| match self {
            Self::FirstSeen => by(&platform(n)),
            Self::SeenBefore => by(&same),
            Self::BadSignature => {
                Ask::of("measured").assertion(Assertion::of("measured").signed(key_of("somebody else")))
            }
            Self::UnknownWorkload => Ask::of("nobody"),
            _ => Ask::of("measured"),
        };
        (0..count).map(|n| ask(n).request().bytes()).collect()
    }
}

/// A token of the platform, another one for each `n` and at each call.
fn platform(n: usize) -> String {
    let claims = json!({"run_id": n.to_string(), "repository": "octo-org/octo-repo", "repository_id": "74"});
    platform_token(PLATFORM, claims).header("kid", "rsa").signed(key_of_kind("rsa"))
}

/// The tokens that these requests are granted.
fn tokens(load: &Load) -> Result<Vec<String>, Void> {
    let token = |body: String| {
        let answer: Value = serde_json::from_str(&body).map_err(|error| Void::Other(error.to_string()))?;
        answer["access_token"].as_str().map(str::to_owned).ok_or_else(|| Void::Other(format!("no token: {body}")))
    };
    load.answers()?.into_iter().map(token).collect()
}
