//! What who runs a guard types.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::guard::Proxy;
use crate::model::AudienceUri;
use crate::model::time::parse_span;

pub(super) const HELP: &str = "\
A proxy asks GET /v1/forward-auth about each request before it lets it through: nginx by auth_request, Traefik by
forwardAuth, Caddy by forward_auth, Envoy by ext_authz. Any program asks POST /v1/verify. Both are answered from memory.
--rules says what each path asks for; without it any good token for one of the audiences is let through everywhere.
Settings: JITNEY_URL, and JITNEY_ISSUER where the broker is reached under another name; each option by the variable that
stands beside it, several audiences separated by spaces; JITNEY_TELEMETRY_LOG and JITNEY_TELEMETRY_FORMAT (text, json).
docs/verify.md has the proxies' configurations, and the form of the rules.

Example:
  jitney guard --audience https://api.example.com --proxy nginx --rules /etc/jitney/rules.toml";

fn listen(raw: &str) -> Result<SocketAddr, String> {
    raw.parse().map_err(|_| match raw.trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(address) => format!("there is no port: write {}, or port 0 for a free one", SocketAddr::new(address, 8181)),
        Err(_) => "no address to listen on: write an IP address and a port, like 127.0.0.1:8181 or [::1]:8181".into(),
    })
}

/// `jitney guard`.
#[derive(Debug, Args)]
pub struct GuardArgs {
    /// Where to listen; port 0 picks a free one and prints it
    #[arg(
        long,
        value_name = "ADDR",
        env = "JITNEY_GUARD_LISTEN",
        hide_env_values = true,
        default_value = "127.0.0.1:8181",
        value_parser = listen
    )]
    pub listen: SocketAddr,
    /// The resource server that is guarded; repeats [default: those that the rules name]
    #[arg(long = "audience", value_name = "URI", env = "JITNEY_AUDIENCE", hide_env_values = true)]
    #[arg(value_delimiter = ' ', value_parser = AudienceUri::parse)]
    pub audiences: Vec<AudienceUri>,
    /// How old the view of revocations may be; an older one lets nobody through
    #[arg(long, value_name = "SPAN", env = "JITNEY_GUARD_MAX_STALENESS", hide_env_values = true)]
    #[arg(default_value = "10s", value_parser = parse_span)]
    pub max_staleness: Duration,
    /// How many rules of the broker's log the view may hold, of 32 bytes each; with more it lets nobody through
    #[arg(long, value_name = "N", env = "JITNEY_GUARD_MAX_RULES", hide_env_values = true, default_value = "8000000")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    pub max_rules: u64,
    /// The kind of proxy that asks: nginx, traefik, caddy, envoy, haproxy or none
    #[arg(long, value_name = "KIND", env = "JITNEY_GUARD_PROXY", hide_env_values = true, default_value = "none")]
    pub proxy: Proxy,
    /// What each path asks for, a TOML file; needs to know the proxy
    #[arg(long, value_name = "FILE", env = "JITNEY_GUARD_RULES", hide_env_values = true)]
    pub rules: Option<PathBuf>,
}
