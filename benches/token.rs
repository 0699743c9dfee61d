//! A token, and a checker at the moment when it is good.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use jitney::jose::es256::SigningKey;
use jitney::model::{Clock, UnixTime};
use jitney::revocation::View;
use jitney::verifier::{Checker, CheckerOptions, Expect};

pub type Failed = Box<dyn std::error::Error>;

pub const NOW: UnixTime = UnixTime::from_secs(1_790_000_000);
pub const EXPECT: Expect<'static> =
    Expect { audience: Some("https://api.example.com"), scopes: &["orders:read"], task: None };

pub struct Scene {
    pub key: SigningKey,
    pub token: String,
}

impl Scene {
    pub fn new() -> Result<Self, Failed> {
        let (key, _) = SigningKey::generate()?;
        let (now, exp) = (NOW.secs(), NOW.secs() + 300);
        let header = format!(r#"{{"alg":"ES256","typ":"at+jwt","kid":"{}"}}"#, key.kid());
        let claims = format!(
            r#"{{"iss":"https://broker.example.com","sub":"nightly-report","client_id":"nightly-report","aud":"https://api.example.com","iat":{now},"nbf":{now},"exp":{exp},"jti":"0190163d-8694-839b-aea5-966c26f8ad91","scope":"orders:read","txn":"run-2026-09-21/load","rev":0}}"#
        );
        let input = format!("{}.{}", B64.encode(header), B64.encode(claims));
        let token = format!("{input}.{}", B64.encode(key.sign(input.as_bytes())?));
        Ok(Self { key, token })
    }

    /// A checker that remembers so many tokens.
    pub fn checker(&self, seen: usize, view: &Arc<View>) -> Checker {
        let options =
            CheckerOptions { clock: Clock::manual(NOW), seen, ..CheckerOptions::new("https://broker.example.com") };
        let checker = Checker::new(options, Arc::clone(view));
        checker.set_keys(vec![(self.key.kid().clone(), self.key.public().clone())]);
        checker
    }
}
