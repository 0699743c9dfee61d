//! `jitney verify`: says whether a token is valid now at the broker, revocation included, and which check failed if not.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::admin::{moment, text};
use super::args::{Format, VerifyArgs};
use super::{Failure, input, output};
use crate::client::BrokerAddress;
use crate::model::AccessClaims;
use crate::verifier::{Expect, Invalid, Verifier, VerifierOptions};

/// Reads, checks, prints. Exit code 1 where the token is not valid.
///
/// # Errors
/// [`Failure`] where the token cannot be read or the broker does not tell its keys and revocations.
pub async fn run(args: VerifyArgs) -> Result<ExitCode, Failure> {
    let broker = BrokerAddress::from_settings(|name| std::env::var(name).ok())?;
    // Not left to the parser of the command line, which would print the value: it may be a token.
    if args.stdin.as_ref().is_some_and(|name| name != "-") {
        return Err(Failure::usage(
            "a token is never an argument: others on this machine see those",
            "jitney verify --token-file FILE, or the token on standard input",
        ));
    }
    let example = "jitney token --task T --audience A --scope S | jitney verify";
    let token = input::token(args.token_file.as_deref(), example)?;
    broker.confirm().await?;
    let verifier = connect(&broker).await?;
    let expect = Expect { audience: args.audience.as_ref().map(|uri| uri.as_str()), ..Expect::default() };
    match verifier.verify(token.expose(), &expect).await {
        Ok(verified) => valid(verified.claims(), args.output.output),
        Err(invalid) => not_valid(invalid, args.output.output),
    }
}

/// A verifier of all tokens of a broker, whose view of revocations is as of now.
async fn connect(broker: &BrokerAddress) -> Result<Verifier, Failure> {
    let options = VerifierOptions { issuer: broker.issuer().to_owned(), ..VerifierOptions::new(broker.url()) };
    let unknown = |error: crate::verifier::ConnectError| {
        let next = "see that the broker of JITNEY_URL is up: its `/readyz` says what it lacks; then verify again";
        Failure::new(format!("whether it is valid is not known: {error}"), next)
    };
    Verifier::connect(options).await.map_err(unknown)
}

fn valid(claims: &AccessClaims, format: Format) -> Result<ExitCode, Failure> {
    let document = serde_json::to_value(claims).map_err(|error| Failure::unexpected(error.to_string()))?;
    if format == Format::Json {
        output::json(&json!({"active": true, "reason": null, "claims": document}))?;
        return Ok(ExitCode::SUCCESS);
    }
    output::line(output::paint(output::style::GOOD, "valid"))?;
    output::fields(&told(&document))?;
    Ok(ExitCode::SUCCESS)
}

/// The claims by their names, times as people read them.
fn told(claims: &Value) -> Vec<(&str, String)> {
    let members = claims.as_object().into_iter().flatten();
    members
        .map(|(name, _)| match name.as_str() {
            "iat" | "nbf" | "exp" => (name.as_str(), moment(claims, name)),
            _ => (name.as_str(), text(claims, name)),
        })
        .collect()
}

fn not_valid(invalid: Invalid, format: Format) -> Result<ExitCode, Failure> {
    if format == Format::Json {
        let revoked_by = match invalid {
            Invalid::Revoked(kind) => Some(kind.as_str()),
            _ => None,
        };
        let (reason, detail) = (invalid.as_str(), invalid.to_string());
        output::json(&json!({
            "active": false, "reason": reason, "detail": detail, "revoked_by": revoked_by, "claims": null,
        }))?;
    } else {
        output::line(format_args!("{}: {invalid}", output::paint(output::style::BAD, "not valid")))?;
    }
    Err(Failure::answered())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_in_claims_are_told_as_people_read_them() {
        let claims = json!({"sub": "demo", "exp": 1_790_000_000, "scope": "a b"});
        let told = told(&claims);
        assert_eq!((told[0].0, told[0].1.as_str()), ("sub", "demo"));
        assert!(told[1].1.starts_with("2026-09-21T14:13:20Z ("), "{}", told[1].1);
    }
}
