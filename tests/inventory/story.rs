//! What an operator is told of a workload and of an audience.

use std::fs;

use serde_json::{Value, json};

use super::{commit, day};
use crate::common::{API, Backing, Broker, Redis, Request, Setup, document, done, eventually, key_of, workload};

const POLICY: &str = r#"
@id("batch-may-write")
@max_ttl("5m")
permit (
  principal == Jitney::Workload::"brief",
  action == Jitney::Action::"mint",
  resource == Jitney::Scope::"https://api.example.com orders:write"
)
when { context.task like "batch-*" };
"#;

fn setup() -> Setup {
    Setup::default().policy("brief.cedar", POLICY)
}

#[test]
fn one_screen_tells_a_workload_s_whole_story() {
    let broker = setup().start(&Backing::Embedded);
    let policies = broker.data().join("policies");
    commit(&policies, "Ada", "brings brief");
    let file = broker.policy("workloads/brief.toml");
    fs::write(&file, fs::read_to_string(&file).unwrap() + "\n# looked at\n").unwrap();
    commit(&policies, "Bob", "looks at brief");
    let ask = ["token", "--task", "batch-7", "--audience", API, "--scope", "orders:write"];
    done(&broker.cli("brief", &ask));
    let shown = done(&broker.cli("demo", &["workload", "show", "brief"]));
    for told in [
        "by Ada <ada@example.com>: brings brief (",
        "by Bob <ada@example.com>: looks at brief (",
        "orders:write at https://api.example.com, task batch-7",
        "the task is like `batch-*`",
        "batch-may-write (brief.cedar:2)",
        "jitney lease revoke --workload brief --task TASK --reason …",
        "jitney lease revoke --workload brief --reason …",
        "jitney workload quarantine brief --reason …",
        "delete workloads/brief.toml",
    ] {
        assert!(shown.contains(told), "{told}\n{shown}");
    }
    let row =
        |name: &str| shown.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name}\n{shown}"));
    assert!(row("live leases").ends_with('1') && row("state").ends_with("ok"), "{shown}");
    assert!(row("expires").contains("2099-12-31 (in "), "{shown}");
    assert!(shown.lines().count() <= 40, "one screen:\n{shown}");
    let document = document(&broker.cli("demo", &["workload", "show", "brief", "--output", "json"]));
    assert_eq!(document["history"]["created"]["author"], "Ada <ada@example.com>");
    assert_eq!(document["last_use"]["task"], "batch-7");
    let grant = document["grants"].as_array().unwrap().iter().find(|each| each["policy"] == "batch-may-write").unwrap();
    assert_eq!(grant["conditions"], json!(["the task is like `batch-*`"]));
    assert_eq!((&grant["max_ttl"], &grant["line"]), (&json!(300), &json!(2)));
}

/// Who owns the two is in the set: what asks for one owner of both is no grant where there are two, and one where they differ.
#[test]
fn a_grant_that_the_set_itself_rules_out_is_not_shown() {
    let permit = |id: &str, how: &str| {
        format!(
            "@id(\"{id}\")\npermit (principal == Jitney::Workload::\"nothing\", action == Jitney::Action::\"mint\", resource)\n\
             when {{ principal.owner {how} resource.audience.owner && context.task like \"x-*\" }};\n"
        )
    };
    let both = permit("by-the-same", "==") + &permit("by-others", "!=");
    let broker = Setup::default().policy("owners.cedar", both).start(&Backing::Embedded);
    let document = document(&broker.cli("demo", &["workload", "show", "nothing", "--output", "json"]));
    let of = |key: &str| -> Vec<String> {
        document[key].as_array().unwrap().iter().map(|each| each["policy"].as_str().unwrap().to_owned()).collect()
    };
    assert!(of("grants").iter().all(|policy| policy == "by-others") && !of("grants").is_empty(), "{document:#}");
    let refused = broker.cli("nothing", &["token", "--task", "x-1", "--audience", API, "--scope", "orders:read"]);
    assert!(refused.status.success(), "the one that is shown is granted");
}

#[test]
fn the_last_use_outlives_the_lease_and_the_process_and_a_folder_without_git_lacks_only_its_history() {
    let mut broker = setup().start(&Backing::Embedded);
    let show = |broker: &Broker, id: &str| document(&broker.cli("demo", &["workload", "show", id, "--output", "json"]));
    let never = show(&broker, "other");
    assert_eq!((&never["last_use"], never["unused_since"].is_string()), (&Value::Null, true), "{never}");
    assert_eq!(never["history"], Value::Null);
    broker.mint("demo", "t-1");
    done(&broker.cli("demo", &["complete", "--task", "t-1"]));
    let before = show(&broker, "demo");
    assert_eq!((&before["last_use"]["task"], &before["live_leases"]), (&json!("t-1"), &json!(0)));
    broker.stop();
    broker.start_again();
    assert_eq!(show(&broker, "demo")["last_use"]["task"], "t-1");
    let list = done(&broker.cli("demo", &["workload", "list"]));
    let row = list.lines().find(|line| line.starts_with("other ")).unwrap();
    assert!(row.contains("not since "), "{list}");
}

#[test]
fn another_broker_s_grant_is_known_by_its_lease() {
    let backing = Backing::Redis(Redis::start());
    let (here, there) = (setup().start(&backing), setup().start(&backing));
    there.mint("demo", "over-there");
    let shown = document(&here.cli("demo", &["workload", "show", "demo", "--output", "json"]));
    assert_eq!(shown["last_use"]["task"], "over-there");
    let list = document(&here.cli("demo", &["workload", "list", "--output", "json"]));
    let of = |id: &str| list["workloads"].as_array().unwrap().iter().find(|each| each["id"] == id).unwrap().clone();
    assert_eq!(of("demo")["last_use"]["task"], "over-there", "as `show` has it");
    // Of what that one's log holds besides, nothing is said for certain.
    let name = there.operator_sees("/admin/v1/status")["broker"].as_str().unwrap().to_owned();
    for document in [&shown, &list] {
        assert_eq!(document["unread"], json!([name]), "{document}");
        let warning = document["warnings"][0].as_str().unwrap();
        assert!(warning.starts_with(&format!("the log of broker {name} was not read: ")), "{warning}");
    }
    let rows = done(&here.cli("demo", &["workload", "list"]));
    let row = rows.lines().find(|line| line.starts_with("other ")).unwrap();
    assert!(row.contains(" not here since "), "{rows}");
}

/// As `lease show` has it: the store notes the moment only of a lease that was ended alone.
#[test]
fn the_list_of_leases_tells_when_each_ended_by_whatever_rule() {
    let broker = Broker::start(&Backing::Embedded);
    let (by_task, alone) = (broker.mint("demo", "t-1"), broker.mint("demo", "t-2"));
    broker.complete("demo", "t-1").expect(204);
    broker.operator_revokes(json!({"lease": alone.lease()}));
    let list = document(&broker.cli("demo", &["lease", "list", "--output", "json"]));
    for token in [by_task, alone] {
        let all = list["leases"].as_array().unwrap();
        let at = all.iter().find(|each| each["id"] == token.lease()).unwrap()["ended"]["at"].clone();
        let shown = document(&broker.cli("demo", &["lease", "show", &token.lease(), "--output", "json"]));
        assert!(at.is_u64() && at == shown["ended"]["at"], "{list:#}");
    }
}

#[test]
fn a_key_s_name_and_a_platform_s_claims_are_shown() {
    let identity = "[[identity]]\ntype = \"oidc\"\nissuer = \"https://ci.example.com\"\nclaims = { repo = \"9\", ref = { glob = \
                    \"refs/tags/v*\" } }\ntask = \"{run}\"\n";
    let broker = setup().start(&Backing::Embedded);
    let file = broker.policy("workloads/brief.toml");
    fs::write(&file, fs::read_to_string(&file).unwrap() + "\n" + identity).unwrap();
    let show = || document(&broker.cli("demo", &["workload", "show", "brief", "--output", "json"]));
    let identities = eventually("the file is read", || {
        let identities = show()["identities"].clone();
        (identities.as_array().unwrap().len() == 2).then_some(identities)
    });
    assert!(identities[0]["kids"].is_array() && identities[0]["task"] == "caller", "{identities}");
    assert_eq!(identities[1]["claims"], json!(["ref is like refs/tags/v*", "repo is 9"]));
    let told = done(&broker.cli("demo", &["workload", "show", "brief"]));
    assert!(
        told.contains("oidc of https://ci.example.com, whose ref is like refs/tags/v*, repo is 9, task {run}"),
        "{told}"
    );
}

/// Two ways to take a grant away, and one to take a part of it.
const TAKEN: &str = r#"
@id("brief-reads") permit (principal == Jitney::Workload::"brief", action, resource == Jitney::Scope::"https://api.example.com orders:read");
@id("brief-reads-not") forbid (principal == Jitney::Workload::"brief", action, resource == Jitney::Scope::"https://api.example.com orders:read");
@id("no-batches") forbid (principal, action, resource) when { context.task like "batch-*" };
@id("other-late") forbid (principal == Jitney::Workload::"other", action, resource) when { context.ttl > 240 };
"#;

#[test]
fn what_forbids_take_away_is_told_with_their_names_and_so_is_what_keeps_a_file() {
    let broker = setup().policy("taken.cedar", TAKEN).start(&Backing::Embedded);
    let show = |id: &str| document(&broker.cli("demo", &["workload", "show", id, "--output", "json"]));
    let brief = show("brief");
    let withheld = |permit: &str| {
        let all = brief["withheld"].as_array().unwrap().iter();
        let all = all.filter(|each| each["policy"] == permit).map(|each| (&each["scope"], &each["forbids"]));
        all.collect::<Vec<_>>()
    };
    let [(scope, forbids)] = withheld("brief-reads")[..] else { panic!("{brief}") };
    assert_eq!((scope, forbids.as_array().unwrap().len()), (&json!("orders:read"), 1), "{brief}");
    assert_eq!(forbids[0], json!({"policy": "brief-reads-not", "file": "taken.cedar", "line": 3}));
    // It asks for no more than the permit does.
    assert_eq!(withheld("batch-may-write")[0].1[0]["policy"], "no-batches", "{brief}");
    let granted = |view: &Value, policy: &str| {
        view["grants"].as_array().unwrap().iter().find(|each| each["policy"] == policy).cloned()
    };
    assert!(granted(&brief, "batch-may-write").is_none() && granted(&brief, "brief-reads").is_none(), "{brief}");
    assert_eq!(brief["kept_by"], json!([{"policy": "brief-reads-not", "file": "taken.cedar", "line": 3}]));
    let shown = done(&broker.cli("demo", &["workload", "show", "brief"]));
    let row = shown.lines().find(|line| line.contains("brief-reads (")).unwrap();
    assert!(row.starts_with("orders:read ") && row.contains("brief-reads-not (taken.cedar:3)"), "{shown}");
    let last = "delete workloads/brief.toml, and what else names it, or the set does not load: brief-reads-not (taken.cedar:3)";
    assert!(shown.contains("FORBIDDEN BY") && shown.contains(last), "{shown}");
    // A part of a grant.
    let demo = show("demo");
    let part = &granted(&demo, "most-do-all").unwrap()["forbids"];
    assert_eq!(part, &json!([{"policy": "no-batches", "file": "taken.cedar", "line": 4}]), "{demo}");
    assert_eq!(demo["withheld"][0]["forbids"][0]["policy"], "nobody-purges", "{demo}");
    assert_eq!(demo["kept_by"], json!([]));
    // What is told there is so: without the file and what was named, the set loads.
    let file = broker.policy("workloads/brief.toml");
    fs::remove_file(&file).unwrap();
    let dir = broker.data().join("policies");
    let check = || broker.cli("demo", &["policy", "check", dir.to_str().unwrap()]).status.code();
    assert_eq!(check(), Some(1));
    let text = fs::read_to_string(broker.policy("taken.cedar")).unwrap();
    let text: String =
        text.lines().filter(|line| !line.contains("brief-reads-not")).map(|line| line.to_owned() + "\n").collect();
    fs::write(broker.policy("taken.cedar"), text).unwrap();
    assert_eq!(check(), Some(0));
}

#[test]
fn what_is_shown_of_the_set_in_use_says_that_the_folder_does_not_load() {
    let broker = setup().start(&Backing::Embedded);
    let said = |words: &[&str]| {
        let output = broker.cli("demo", words);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "{}", text(&output.stderr));
        (text(&output.stdout), text(&output.stderr))
    };
    let commands: [&[&str]; 4] =
        [&["workload", "show", "brief"], &["workload", "list"], &["audience", "show", API], &["audience", "list"]];
    let json = |words: &[&str]| {
        let (stdout, stderr) = said(&[words, &["--output", "json"]].concat());
        (serde_json::from_str::<Value>(&stdout).unwrap(), stderr)
    };
    for words in commands {
        let (document, stderr) = json(words);
        assert_eq!((&document["warnings"], &*stderr), (&json!([]), ""), "{words:?}");
    }
    fs::write(broker.policy("broken.cedar"), "permit(").unwrap();
    eventually("the folder is refused", || {
        let (status, _) = json(&["status"]);
        (!status["policies"]["refused"].is_null()).then_some(())
    });
    for words in commands {
        let (document, _) = json(words);
        let warning = document["warnings"][0].as_str().unwrap().to_owned();
        for told in ["does not load", "broken.cedar:1:", "which is shown here", "jitney policy check"] {
            assert!(warning.contains(told), "{told}: {warning}");
        }
        let (stdout, stderr) = said(words);
        assert!(stderr.starts_with("warning: ") && stderr.contains("broken.cedar:1:"), "{words:?}: {stderr}");
        assert!(stdout.contains("orders:write") || stdout.contains("brief"), "the set in use is shown: {stdout}");
    }
}

#[test]
fn an_audience_tells_who_may_ask_for_what_there() {
    let broker = setup().start(&Backing::Embedded);
    let shown = done(&broker.cli("demo", &["audience", "show", API]));
    let row = shown.lines().find(|line| line.contains("batch-may-write")).unwrap();
    assert!(row.contains("orders:write") && row.contains("brief") && row.contains("5m"), "{shown}");
    let document = document(&broker.cli("demo", &["audience", "show", API, "--output", "json"]));
    assert_eq!(document["file"], "audiences/api.toml");
    let to: Vec<&str> =
        document["granted_to"].as_array().unwrap().iter().map(|each| each["workload"].as_str().unwrap()).collect();
    assert!(to.contains(&"brief") && to.contains(&"demo"), "{to:?}");
}

#[test]
fn a_name_of_nothing_is_told_with_the_one_that_was_probably_meant() {
    let broker = setup().start(&Backing::Embedded);
    for (words, told) in [
        (&["workload", "show", "dmeo"][..], "there is no workload dmeo: did you mean demo?"),
        (&["workload", "quarantine", "dmeo", "--reason", "drill"], "there is no workload dmeo: did you mean demo?"),
        (
            &["audience", "show", "https://api.exmaple.com"],
            "audience https://api.exmaple.com: did you mean https://api.example.com?",
        ),
        (&["lease", "revoke", "--workload", "dmeo", "--reason", "drill"], "and no lease of one: did you mean demo?"),
    ] {
        let output = broker.cli("demo", words);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(1) && stderr.contains(told), "{words:?}: {stderr}");
    }
    let output = broker.cli("demo", &["lease", "list", "--workload", "dmeo"]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        stderr.contains("the policies know no workload dmeo (did you mean demo?): `jitney workload list`"),
        "{stderr}"
    );
    let output = broker.cli("demo", &["audit", "tail", "--workload", "dmeo"]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && stderr.contains("no workload dmeo (did you mean demo?)"), "{stderr}");
    let output = broker.cli("demo", &["audit", "tail", "--workload", "demo"]);
    assert!(output.status.success() && output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    let output = broker.cli("demo", &["workload", "show", "quite-another"]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("there is no workload quite-another") && !stderr.contains("did you mean"), "{stderr}");
}

#[test]
fn ends_and_reviews_are_told_ahead_in_the_log_the_metrics_and_the_list() {
    let soon = workload("soon", &day(5), &key_of("soon").jwks(), "");
    let later = workload("later", &day(300), &key_of("later").jwks(), "");
    let later = later.replacen("\n\n", &format!("\nreview = {}\n\n", day(-2)), 1);
    let broker = Setup::default()
        .policy("workloads/soon.toml", soon)
        .policy("workloads/later.toml", later)
        .start(&Backing::Embedded);
    let said = eventually("it is said", || Some(broker.stderr()).filter(|said| said.contains("5 days from now")));
    assert_eq!(said.matches("`soon` gets nothing after").count(), 1, "once:\n{said}");
    let metrics = String::from_utf8(broker.admin(&Request::get("/metrics")).body.clone()).unwrap();
    for line in [
        r#"jitney_workload_days_left{workload="soon",what="expires"} 5"#,
        r#"jitney_workload_days_left{workload="later",what="review"} -2"#,
        r#"jitney_workloads_due{what="review"} 1"#,
        r#"jitney_workloads{state="ungoverned"} 3"#,
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line}\n{metrics}");
    }
    let due = done(&broker.cli("demo", &["workload", "list", "--due"]));
    let names: Vec<&str> = due.lines().skip(1).filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(names, ["expired", "later", "soon"], "{due}");
    assert!(due.contains("(in 5 days)") && due.contains("(2 days ago)"), "{due}");
}
