//! Where the first broker will be reached, and where it listens for that.

use super::super::Failure;
use super::super::args::{InitArgs, Platform};
use crate::client::BrokerAddress;

/// Of whoever tries it on one machine.
const HERE: &str = "http://127.0.0.1:8180";
/// A stand-in: a platform's jobs and pods run on other machines, and must name the broker in their tokens.
const ELSEWHERE: &str = "https://jitney.example.com";

/// A broker's name and its listener.
pub(super) struct Broker {
    url: String,
    /// What it listens on, for `[server] listen`.
    pub listen: String,
    /// Whether the name is a stand-in.
    pub is_example: bool,
    /// Whether other machines are to reach it.
    pub is_remote: bool,
}

/// The broker that the options name, or a usual one.
pub(super) fn of(args: &InitArgs) -> Result<Broker, Failure> {
    let usual = if args.platform == Platform::Key { HERE } else { ELSEWHERE };
    let given = args.broker.as_deref().unwrap_or(usual);
    let wrong =
        |rule: &str| Failure::usage(format!("--broker {rule}"), format!("--broker {HERE}, or an https URL of yours"));
    let address = BrokerAddress::from_settings(|name| (name == "JITNEY_URL").then(|| given.to_owned()))
        .map_err(|error| wrong(error.to_string().trim_start_matches("JITNEY_URL ")))?;
    let uri: http::Uri = address.url().parse().map_err(|_| wrong("is no URL"))?;
    if uri.path().len() > 1 || uri.query().is_some() {
        return Err(wrong("is scheme, host and port, nothing behind them"));
    }
    let is_remote = uri.scheme_str() == Some("https");
    let listen = match (is_remote, uri.authority()) {
        (false, Some(authority)) => match authority.host() {
            "localhost" => format!("127.0.0.1:{}", authority.port_u16().unwrap_or(80)),
            host => format!("{host}:{}", authority.port_u16().unwrap_or(80)),
        },
        _ => "127.0.0.1:8180".to_owned(),
    };
    Ok(Broker { url: address.url().to_owned(), listen, is_example: given == ELSEWHERE, is_remote })
}

impl Broker {
    /// Its issuer.
    pub(super) fn url(&self) -> &str {
        &self.url
    }
}
