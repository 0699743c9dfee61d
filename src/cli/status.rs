//! `jitney status`: a broker's store, log position, keys, policy set and audit log.

use std::process::ExitCode;
use std::time::Duration;

use serde_json::Value;

use super::admin::{self, explain, list, moment, text};
use super::args::{Format, OutputArgs};
use super::{Failure, output};

/// Asks and prints.
///
/// # Errors
/// [`Failure`] where the broker did not answer.
pub async fn run(args: OutputArgs, at: Option<&str>) -> Result<ExitCode, Failure> {
    let status = admin::connect(at)?.status().await.map_err(explain)?;
    if args.output == Format::Json {
        output::json(&status)?;
        return Ok(ExitCode::SUCCESS);
    }
    output::fields(&story(&status))?;
    for setting in list(&status["store"], "safety").iter().filter(|setting| setting["safe"] == false) {
        output::warning(format_args!(
            "the store's {} is {}: {}",
            output::plain(&text(setting, "setting")),
            output::plain(&text(setting, "value")),
            output::plain(&text(setting, "mend")),
        ));
    }
    Ok(ExitCode::SUCCESS)
}

fn story(status: &Value) -> Vec<(&'static str, String)> {
    let (store, policies, audit) = (&status["store"], &status["policies"], &status["audit"]);
    let up = status["uptime_seconds"].as_u64().map_or("-".into(), |secs| admin::rough(Duration::from_secs(secs)));
    let health = if audit["healthy"] == true { "written" } else { "CANNOT BE WRITTEN: no token is granted" };
    let figures = ["workloads", "audiences", "policies"].map(|name| format!("{name} {}", text(policies, name)));
    vec![
        ("broker", format!("{}, version {}, up {up}", text(status, "broker"), text(status, "version"))),
        ("issuer", text(status, "issuer")),
        (
            "store",
            format!(
                "{}, leases not expired: {}, rules in force: {}",
                text(store, "kind"),
                text(store, "live_leases"),
                text(store, "live_rules")
            ),
        ),
        ("log", format!("position {}, epoch {}", text(store, "position"), text(store, "epoch"))),
        (
            "policies",
            format!("{}: {}, loaded {}", text(policies, "dir"), figures.join(", "), moment(policies, "loaded_at")),
        ),
        ("policy set", text(policies, "digest")),
        ("audit", format!("{}, {health}", text(audit, "path"))),
        ("keys", text(status, "keys")),
    ]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_audit_log_that_cannot_be_written_is_not_overlooked() {
        let told = |healthy: bool| {
            let story = story(&json!({"audit": {"path": "a", "healthy": healthy}, "keys": ["k", "l"]}));
            story.iter().map(|(name, value)| format!("{name}={value}\n")).collect::<String>()
        };
        assert!(told(true).contains("audit=a, written\nkeys=k, l"), "{}", told(true));
        assert!(told(false).contains("no token is granted"));
    }
}
