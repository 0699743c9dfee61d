//! `jitney status`: a broker's store, log position, feed, keys, policy set and audit log.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::Value;

use super::admin::{self, explain, list, moment, text};
use super::args::{Format, OutputArgs};
use super::{Failure, output};

/// Asks and prints.
///
/// # Errors
/// [`Failure`] where the broker did not answer. A store that is away is an answer.
pub async fn run(args: OutputArgs, at: Option<&str>) -> Result<ExitCode, Failure> {
    let status = admin::connect(at)?.status().await.map_err(explain)?;
    if args.output == Format::Json {
        output::json(&status)?;
        return Ok(ExitCode::SUCCESS);
    }
    output::fields(&story(&status))?;
    let away = &status["store"]["away"];
    if !away.is_null() {
        output::warning(format_args!(
            "the store is away, last heard of {}: no token is granted and no end acknowledged until it is back: {}",
            moment(away, "heard_at"),
            output::plain(&text(away, "why")),
        ));
    }
    if !status["store"]["refuses_writes"].is_null() {
        output::warning(format_args!(
            "the store answers, but takes no writes: no token is granted and no end acknowledged until it does: {}",
            output::plain(&text(&status["store"], "refuses_writes")),
        ));
    }
    let refused = &status["policies"]["refused"];
    if !refused.is_null() {
        output::warning(format_args!(
            "the changed policies are refused since {}, the set of before stays in use: {}; mend it: jitney policy check {}",
            moment(refused, "since"),
            output::plain(&text(refused, "finding")),
            output::plain(&text(&status["policies"], "dir")),
        ));
    }
    if !status["tls"]["amiss"].is_null() {
        let (cert, amiss) = (text(&status["tls"], "cert"), text(&status["tls"], "amiss"));
        output::warning(format_args!(
            "the TLS certificate {} will not do: {}",
            output::plain(&cert),
            output::plain(&amiss)
        ));
    }
    for issuer in list(&status, "issuers").iter().filter(|issuer| !issuer["away"].is_null()) {
        output::warning(output::plain(&issuer_away(issuer)));
    }
    for warning in list(&status["policies"], "warnings") {
        output::warning(format_args!("in the policies: {}", output::plain(warning.as_str().unwrap_or_default())));
    }
    for setting in list(&status["store"], "safety").iter().filter(|setting| is_to_be_mended(setting)) {
        output::warning(format_args!(
            "the store's {} is {}: {}",
            output::plain(&text(setting, "setting")),
            output::plain(&text(setting, "value")),
            output::plain(&text(setting, "mend")),
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// One that is unsafe, or safe and yet better set otherwise.
fn is_to_be_mended(setting: &Value) -> bool {
    setting["safe"] == false || setting["mend"].as_str().is_some_and(|mend| !mend.is_empty())
}

fn story(status: &Value) -> Vec<(&'static str, String)> {
    let (store, policies, audit) = (&status["store"], &status["policies"], &status["audit"]);
    let up = status["uptime_seconds"].as_u64().map_or("-".into(), |secs| admin::rough(Duration::from_secs(secs)));
    let health = match (audit["healthy"] == true, audit["failure"].as_str()) {
        (true, _) => "written".into(),
        (false, None) => "CANNOT BE WRITTEN: no token is granted".into(),
        (false, Some(why)) => format!("CANNOT BE WRITTEN: no token is granted ({why})"),
    };
    let figures = ["workloads", "audiences", "policies"].map(|name| format!("{name} {}", text(policies, name)));
    let mut story = vec![
        ("broker", format!("{}, version {}, up {up}", text(status, "broker"), text(status, "version"))),
        ("issuer", text(status, "issuer")),
        ("store", in_store(store)),
        ("log", log(store)),
        (
            "policies",
            format!("{}: {}, loaded {}", text(policies, "dir"), figures.join(", "), moment(policies, "loaded_at")),
        ),
        ("policy set", text(policies, "digest")),
        ("issuers", issuers(list(status, "issuers"))),
        ("audit", format!("{}, {health}{}", text(audit, "path"), checkpoint(audit))),
        ("keys", keys(status)),
        ("feed", feed(&status["feed"])),
        ("watchers", watchers(&status["watchers"])),
    ];
    let tls = &status["tls"];
    if !tls.is_null() {
        story.insert(2, ("tls", format!("{}, good until {}", text(tls, "cert"), moment(tls, "not_after"))));
    }
    story
}

/// How many platforms sign for workloads here with keys that are fetched, and of how many there are none.
fn issuers(all: &[Value]) -> String {
    let none = all.iter().filter(|issuer| issuer["available"] != true).count();
    match (all.len(), none) {
        (0, _) => "no keys of a platform are fetched".into(),
        (count, 0) => format!("keys of {} at hand", output::counted(count, "platform")),
        (count, none) => format!("keys of {}, NONE AT HAND of {none}", output::counted(count, "platform")),
    }
}

/// What it means that an issuer's keys cannot be fetched.
fn issuer_away(issuer: &Value) -> String {
    let away = &issuer["away"];
    let meanwhile = match issuer["available"] == true {
        true => format!("those of {} are used until they are a day old", moment(issuer, "fetched_at")),
        false => "its tokens are refused as temporarily_unavailable until they can".into(),
    };
    format!(
        "the keys of the issuer {} cannot be fetched since {}; {meanwhile}: {}",
        text(issuer, "issuer"),
        moment(away, "since"),
        text(away, "why")
    )
}

/// Up to which line the broker has signed for its log.
fn checkpoint(audit: &Value) -> String {
    let last = &audit["checkpoint"];
    if last.is_null() {
        return String::new();
    }
    format!(
        ", {}, signed for up to {}, {}",
        output::counted(text(audit, "line"), "line"),
        text(last, "seq"),
        moment(last, "at")
    )
}

/// The published keys, and which of them signs.
fn keys(status: &Value) -> String {
    let shown = |key: &Value| match key.as_str().unwrap_or_default() {
        kid if status["signs"] == *key => format!("{kid} (signs)"),
        kid => kid.to_owned(),
    };
    let all: Vec<String> = list(status, "keys").iter().map(shown).collect();
    // An older broker does not say.
    let none = status.get("signs").is_some_and(Value::is_null);
    if none { format!("{}: NONE SIGNS, no token is granted", all.join(", ")) } else { all.join(", ") }
}

/// How many follow `jitney lease watch`.
fn watchers(count: &Value) -> String {
    match count.as_u64() {
        None | Some(0) => "nobody".into(),
        Some(1) => "1 by `jitney lease watch`".into(),
        Some(count) => format!("{count} by `jitney lease watch`"),
    }
}

/// Who follows the revocations, by filter, and how far behind the slowest of them is.
fn feed(feed: &Value) -> String {
    let each = list(feed, "each");
    if each.is_empty() {
        return "no subscriber".into();
    }
    let mut filters: BTreeMap<String, (usize, u64)> = BTreeMap::new();
    for subscriber in each {
        let filter = subscriber["audience"].as_str().unwrap_or("everything").to_owned();
        let (count, lag) = filters.entry(filter).or_default();
        *count += 1;
        *lag = (*lag).max(subscriber["lag"].as_u64().unwrap_or(0));
    }
    let behind = |lag: u64| {
        if lag == 0 { "up to date".into() } else { format!("up to {} behind", output::counted(lag, "rule")) }
    };
    let told: Vec<String> =
        filters.iter().map(|(filter, (count, lag))| format!("{count} of {filter}, {}", behind(*lag))).collect();
    format!("{}: {}", output::counted(each.len(), "subscriber"), told.join("; "))
}

fn in_store(store: &Value) -> String {
    if !store["away"].is_null() {
        return format!("AWAY since {}", moment(&store["away"], "heard_at"));
    }
    let [kind, leases, rules] = ["kind", "live_leases", "live_rules"].map(|name| text(store, name));
    format!("{kind}, leases not expired: {leases}, rules in force: {rules}")
}

/// Where the log stands, or stood when it was last read.
fn log(store: &Value) -> String {
    let (from, when) = if store["away"].is_null() { (store, "") } else { (&store["away"], ", as last read") };
    format!("position {}, epoch {}{when}", text(from, "position"), text(from, "epoch"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_store_that_is_away_says_since_when_and_what_was_known() {
        let status = json!({"store": {"available": false, "away": {
            "why": "w", "heard_at": 1_790_000_000, "position": 7, "epoch": "e"}}});
        let told: String = story(&status).iter().map(|(name, value)| format!("{name}={value}\n")).collect();
        assert!(told.contains("store=AWAY since 2026-09-21T14:13:20Z ("), "{told}");
        assert!(told.contains("log=position 7, epoch e, as last read"), "{told}");
    }

    #[test]
    fn issuers_whose_keys_cannot_be_had_say_since_when_and_what_that_means() {
        let away = json!({"since": 1_790_000_000, "why": "no answer within 3 s"});
        let of = |available: bool| json!({"issuer": "https://i", "available": available, "fetched_at": 1_790_000_000, "away": away});
        let well = json!({"issuer": "https://j", "available": true});
        assert_eq!(issuers(&[]), "no keys of a platform are fetched");
        assert_eq!(issuers(std::slice::from_ref(&well)), "keys of 1 platform at hand");
        assert_eq!(issuers(&[well, of(false)]), "keys of 2 platforms, NONE AT HAND of 1");
        let told = issuer_away(&of(false));
        assert!(
            told.starts_with("the keys of the issuer https://i cannot be fetched since 2026-09-21T14:13:20Z"),
            "{told}"
        );
        assert!(
            told.ends_with("its tokens are refused as temporarily_unavailable until they can: no answer within 3 s")
        );
        assert!(issuer_away(&of(true)).contains("are used until they are a day old"));
    }

    #[test]
    fn who_follows_the_feed_and_how_far_behind_is_told_by_filter() {
        assert_eq!(feed(&json!({"subscribers": 0, "max_lag": 0, "each": []})), "no subscriber");
        assert_eq!(feed(&Value::Null), "no subscriber", "of an older broker");
        let of = |audience: Value, lag: u64| json!({"audience": audience, "lag": lag});
        let each = [of(json!("https://a"), 0), of(Value::Null, 7), of(json!("https://a"), 0), of(Value::Null, 3)];
        let told = feed(&json!({"each": each}));
        assert_eq!(told, "4 subscribers: 2 of everything, up to 7 rules behind; 2 of https://a, up to date");
    }

    #[test]
    fn which_key_signs_and_who_watches_is_told() {
        let told = |signs: Value| keys(&json!({"keys": ["k", "l"], "signs": signs}));
        assert_eq!(told(json!("l")), "k, l (signs)");
        assert_eq!(told(Value::Null), "k, l: NONE SIGNS, no token is granted");
        assert_eq!(keys(&json!({"keys": ["k"]})), "k", "of an older broker");
        assert_eq!(
            [json!(0), json!(1), json!(3)].map(|count| watchers(&count)),
            ["nobody", "1 by `jitney lease watch`", "3 by `jitney lease watch`"]
        );
    }

    #[test]
    fn an_audit_log_that_cannot_be_written_is_not_overlooked() {
        let told = |healthy: bool| {
            let story = story(&json!({"audit": {"path": "a", "healthy": healthy}, "keys": ["k", "l"]}));
            story.iter().map(|(name, value)| format!("{name}={value}\n")).collect::<String>()
        };
        assert!(told(true).contains("audit=a, written\nkeys=k, l"), "{}", told(true));
        assert!(told(false).contains("no token is granted"));
        let full = json!({"audit": {"path": "a", "healthy": false, "failure": "No space left on device"}});
        assert!(story(&full).iter().any(|(_, value)| value.contains("granted (No space left on device)")));
    }
}
