//! The way to the broker, its clock and its name.

use std::net::IpAddr;
use std::time::Duration;

use http::Uri;
use time::PrimitiveDateTime;
use time::macros::format_description;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use super::super::admin::rough;
use super::finding::Outcome;
use super::scene::{First, Scene};
use crate::attest::Attestor;
use crate::client::BrokerAddress;
use crate::fetch::{Fetch, FetchError, FetchOptions};
use crate::model::{Clock, UnixTime};

/// How long a name, a connection or an answer may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// How far clocks may differ.
const SKEW: Duration = Attestor::SKEW;
const METADATA: &str = "/.well-known/oauth-authorization-server";

/// Where the broker is, by the settings.
pub(super) async fn settings(scene: &mut Scene) -> Outcome {
    match BrokerAddress::from_settings(|name| scene.setting(name)) {
        // What stands there may be a password, and is never sent.
        Ok(broker) if broker.url().contains('@') => Outcome::fail(
            "JITNEY_URL holds a user name or password, which have no place in it",
            "export JITNEY_URL=https://HOST: scheme, host and port, nothing else",
        ),
        Ok(broker) => {
            let mut told = format!("JITNEY_URL={}", broker.url());
            for name in ["JITNEY_ISSUER", "JITNEY_WORKLOAD", "JITNEY_KEY_FILE", "JITNEY_ASSERTION_FILE"] {
                told.extend(scene.setting(name).map(|value| format!(" {name}={value}")));
            }
            scene.broker = Some(broker);
            Outcome::pass(told)
        }
        Err(error) => {
            let mend = "export JITNEY_URL=https://…, the broker's issuer; `jitney init` and `jitney serve --dev` write a \
                        workload.env to source: . ./workload.env";
            Outcome::fail(error.to_string(), mend)
        }
    }
}

/// Host and port of the broker's address.
pub(super) fn host_and_port(broker: &BrokerAddress) -> Option<(String, u16, bool)> {
    let uri: Uri = broker.url().parse().ok()?;
    let is_https = uri.scheme_str() == Some("https");
    let host = uri.host()?.trim_matches(['[', ']']).to_owned();
    Some((host, uri.port_u16().unwrap_or(if is_https { 443 } else { 80 }), is_https))
}

/// Whether its name has addresses.
pub(super) async fn dns(scene: &mut Scene) -> Outcome {
    let Some((host, port, _)) = scene.broker.as_ref().and_then(host_and_port) else { return nowhere() };
    let found = match timeout(PATIENCE, lookup_host((host.as_str(), port))).await {
        Ok(Ok(found)) => Ok(found.collect::<Vec<_>>()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
    };
    match found {
        Ok(addresses) if !addresses.is_empty() => {
            let told = match host.parse::<IpAddr>() {
                Ok(_) => format!("{host} is an address"),
                Err(_) => format!("{host} is {}", list(addresses.iter().map(|address| address.ip().to_string()))),
            };
            scene.addresses = addresses;
            Outcome::pass(told)
        }
        other => {
            let why = other.err().unwrap_or_else(|| "it has no address".into());
            let mend =
                format!("correct the host in JITNEY_URL, or the name service of this machine: getent hosts {host}");
            Outcome::fail(format!("{host} cannot be resolved: {why}"), mend)
        }
    }
}

/// Whether something listens there.
pub(super) async fn tcp(scene: &mut Scene) -> Outcome {
    let mut failures = Vec::new();
    for address in &scene.addresses {
        match timeout(PATIENCE, TcpStream::connect(address)).await {
            Ok(Ok(_)) => return Outcome::pass(format!("{address} takes connections")),
            Ok(Err(error)) => failures.push(format!("{address}: {error}")),
            Err(_) => failures.push(format!("{address}: no answer within {} s", PATIENCE.as_secs())),
        }
    }
    let mend = "start the broker (jitney serve --config jitney.toml), correct the port in JITNEY_URL, or let a firewall or \
                NetworkPolicy between here and there pass it";
    Outcome::fail(list(failures.into_iter()), mend)
}

/// Whether a jitney broker answers.
pub(super) async fn http(scene: &mut Scene) -> Outcome {
    let Some(broker) = &scene.broker else { return nowhere() };
    let url = format!("{}{METADATA}", broker.url());
    let fetch = Fetch::new(FetchOptions { timeout: PATIENCE, ..FetchOptions::default() });
    let clock = Clock::system();
    let sent = clock.now();
    match fetch.get(&url).await {
        Ok(answer) if answer.status == 200 => {
            scene.first = Some(First { answer, sent, came: clock.now() });
            Outcome::pass(format!("200 at {METADATA}"))
        }
        Ok(answer) if answer.status.is_server_error() => Outcome::fail(
            format!("{url} answers {}", answer.status),
            "on the broker's machine: jitney status, and its log; or the proxy before it cannot reach it",
        ),
        Ok(answer) => Outcome::fail(
            format!("{url} answers {}: that is no jitney broker", answer.status),
            "set JITNEY_URL to the broker: scheme, host and port, nothing behind them",
        ),
        Err(error @ FetchError::Broken { .. }) => Outcome::fail(
            error.to_string(),
            "is it a jitney broker, and does it speak http or https? Correct JITNEY_URL",
        ),
        Err(error) => {
            Outcome::fail(error.to_string(), "correct JITNEY_URL, or see to what stands between here and there")
        }
    }
}

/// Whether this machine's clock and the broker's agree: assertions carry times.
pub(super) async fn clock(scene: &mut Scene) -> Outcome {
    let Some(first) = &scene.first else { return nowhere() };
    let date = first.answer.headers.get(http::header::DATE).and_then(|value| value.to_str().ok()).and_then(moment);
    let Some(theirs) = date else {
        return Outcome::fail(
            "the broker's answer has no date to compare with",
            "does a proxy before the broker take the Date header away? Let it pass",
        );
    };
    let (apart, word) = apart(first, theirs);
    let told = format!("{} s apart, {} s may be", apart.as_secs(), SKEW.as_secs());
    if apart <= SKEW {
        return Outcome::pass(told);
    }
    Outcome::fail(
        format!("this machine's clock is {} {word} the broker's; {} s may be", rough(apart), SKEW.as_secs()),
        "set the clock that is wrong: timedatectl set-ntp true, here or on the broker's machine",
    )
}

/// How far the clocks are apart at least, and to which side: whole seconds, and the answer took a while.
fn apart(first: &First, theirs: UnixTime) -> (Duration, &'static str) {
    if theirs > first.came { (theirs.since(first.came), "behind") } else { (first.sent.since(theirs), "ahead of") }
}

/// An HTTP date (RFC 9110 §5.6.7), in the form that is written today.
fn moment(text: &str) -> Option<UnixTime> {
    let form =
        format_description!("[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT");
    let at = PrimitiveDateTime::parse(text, form).ok()?.assume_utc();
    u64::try_from(at.unix_timestamp()).ok().map(UnixTime::from_secs)
}

/// Whether the broker calls itself by the name expected (RFC 8414 §3.3).
pub(super) async fn issuer(scene: &mut Scene) -> Outcome {
    let Some(broker) = &scene.broker else { return nowhere() };
    match broker.confirm().await {
        Ok(()) => Outcome::pass(broker.issuer()),
        Err(error) => {
            let mend = error.next_step();
            Outcome::fail(error.to_string(), mend)
        }
    }
}

/// What only a check out of order would meet.
fn nowhere() -> Outcome {
    Outcome::skipped("nothing is known of the broker")
}

fn list(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(sent: u64, came: u64) -> First {
        let answer = crate::fetch::Answer {
            status: http::StatusCode::OK,
            headers: http::HeaderMap::new(),
            body: bytes::Bytes::new(),
        };
        First { answer, sent: UnixTime::from_secs(sent), came: UnixTime::from_secs(came) }
    }

    #[test]
    fn dates_are_read_as_http_writes_them() {
        assert_eq!(moment("Sun, 06 Nov 1994 08:49:37 GMT"), Some(UnixTime::from_secs(784_111_777)));
        assert_eq!(moment("now"), None);
    }

    #[test]
    fn a_slow_answer_is_no_skew() {
        let slow = first(1000, 1100);
        for theirs in [1000, 1050, 1100] {
            assert_eq!(apart(&slow, UnixTime::from_secs(theirs)).0, Duration::ZERO);
        }
        assert_eq!(apart(&slow, UnixTime::from_secs(1200)), (Duration::from_secs(100), "behind"));
        assert_eq!(apart(&slow, UnixTime::from_secs(900)), (Duration::from_secs(100), "ahead of"));
    }
}
