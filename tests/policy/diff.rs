//! What `jitney policy diff` says of a change, and with which code it ends.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::common::clean;
use crate::tree::{Edit, Tree, jitney_in, jwk};

/// A document and the exit code.
pub struct Said {
    pub code: Option<i32>,
    pub document: Value,
    pub error: String,
}

/// Compares two trees, each a folder. No solver is asked: what is told here is told without one.
pub fn diff(base: &Tree, head: &Tree) -> Said {
    let dir = tempfile::tempdir().unwrap();
    base.write(&dir.path().join("base"));
    head.write(&dir.path().join("head"));
    said(dir.path(), &["base", "head"])
}

fn said(dir: &Path, words: &[&str]) -> Said {
    let (code, told, error) = run(dir, &[words, &["--format", "json"]].concat());
    let document = serde_json::from_str(&told).unwrap_or_else(|_| panic!("{told}{error}"));
    Said { code, document, error }
}

fn run(dir: &Path, words: &[&str]) -> (Option<i32>, String, String) {
    let nowhere = [("JITNEY_CVC5", "/nonexistent/cvc5")];
    jitney_in(dir, &[&["policy", "diff"], words].concat(), &nowhere)
}

impl Said {
    fn rows(&self) -> Vec<(String, String, String)> {
        let text = |row: &Value, name: &str| row[name].as_str().unwrap().to_owned();
        let rows = self.document["rows"].as_array().unwrap();
        rows.iter().map(|row| (text(row, "access"), text(row, "turn"), text(row, "width"))).collect()
    }
}

fn row(access: &str, turn: &str, width: &str) -> (String, String, String) {
    (access.into(), turn.into(), width.into())
}

const REPORT: &str = "when { context.task like \"nightly-*\" };";
const WRITES: &str = "when { context.task like \"mail-*\" && context.ttl <= 120 };";

/// A change's name, its edits, and the rows of the difference that it makes.
type Row<'a> = (&'a str, Vec<Edit<'a>>, Vec<(String, String, String)>);

#[test]
fn each_change_is_told_for_what_it_is() {
    let clean = Tree::clean();
    let other_key = format!("\n[[identity]]\ntype = \"private_key_jwt\"\njwks = {{ keys = [{}] }}\n", jwk("other"));
    let own_key = other_key.replace(&jwk("other"), &jwk("report"));
    let new_permit = "\n@id(\"new\")\npermit (principal == Jitney::Workload::\"report\", action, resource == Jitney::Scope::\"https://orders.example.com orders:write\");\n";
    let forbid = "\n@id(\"rest\")\nforbid (principal, action, resource) when { context.ttl > 60 };\n";
    let rows: Vec<Row<'_>> = vec![
        ("nothing", vec![], vec![]),
        ("a comment", vec![("orders.cedar", "// Who may do", "// Who may, or may not, do")], vec![]),
        ("a policy's name", vec![("orders.cedar", "report-reads", "report-reads-orders")], vec![]),
        (
            "the same in another order",
            vec![("orders.cedar", WRITES, "when { context.ttl <= 120 && context.task like \"mail-*\" };")],
            vec![],
        ),
        ("a new permit", vec![("orders.cedar", "", new_permit)], vec![row("grant", "gains", "widens")]),
        (
            "a wider pattern",
            vec![("orders.cedar", REPORT, "when { context.task like \"n*\" };")],
            vec![row("grant", "changes", "widens")],
        ),
        (
            "a narrower pattern",
            vec![("orders.cedar", REPORT, "when { context.task like \"nightly-1*\" };")],
            vec![row("grant", "changes", "not wider")],
        ),
        (
            "a condition more",
            vec![(
                "orders.cedar",
                REPORT,
                "when { context.task like \"nightly-*\" && context.identity.type == \"oidc\" };",
            )],
            vec![row("grant", "changes", "not wider")],
        ),
        ("no condition", vec![("orders.cedar", REPORT, ";")], vec![row("grant", "changes", "widens")]),
        (
            "a longer ttl in a condition",
            vec![("orders.cedar", "context.ttl <= 120", "context.ttl <= 121")],
            vec![row("grant", "changes", "widens")],
        ),
        (
            "a shorter ttl in a condition",
            vec![("orders.cedar", "context.ttl <= 120", "context.ttl < 120")],
            vec![row("grant", "changes", "not wider")],
        ),
        (
            "a longer chain",
            vec![("orders.cedar", "@max_lifetime(\"30m\")", "@max_lifetime(\"31m\")")],
            vec![row("grant", "changes", "widens")],
        ),
        (
            "a shorter token",
            vec![("orders.cedar", "@max_ttl(\"10m\")", "@max_ttl(\"9m\")")],
            vec![row("grant", "changes", "not wider")],
        ),
        (
            "a limit that the audience cuts anyhow",
            vec![("orders.cedar", "@max_ttl(\"10m\")", "@max_ttl(\"20m\")")],
            vec![],
        ),
        (
            "an audience that allows longer tokens",
            vec![("audiences/orders.toml", "max_ttl = \"10m\"", "max_ttl = \"15m\"")],
            vec![row("grant", "changes", "widens")],
        ),
        ("a forbid", vec![("orders.cedar", "", forbid)], vec![row("grant", "changes", "not wider"); 3]),
        (
            "a workload that goes",
            vec![("workloads/report.toml", "expires = 2027-06-30\n", "")],
            vec![row("grant", "loses", "not wider")],
        ),
        (
            "a workload that stays longer",
            vec![("workloads/report.toml", "2027-06-30", "2027-07-01")],
            vec![row("expiry", "changes", "widens")],
        ),
        (
            "a workload that goes earlier",
            vec![("workloads/report.toml", "2027-06-30", "2027-06-29")],
            vec![row("expiry", "changes", "not wider")],
        ),
        ("no key any more", vec![("workloads/report.toml", &own_key, "")], vec![row("identity", "loses", "not wider")]),
        (
            "a swapped key",
            vec![("workloads/report.toml", &own_key, &other_key)],
            vec![row("identity", "changes", "widens")],
        ),
        ("another key", vec![("workloads/report.toml", "", &other_key)], vec![row("identity", "changes", "widens")]),
        (
            "another key of the audience",
            vec![("audiences/orders.toml", "", &other_key)],
            vec![row("introspection", "changes", "widens")],
        ),
        ("a scope that nobody is granted", vec![("audiences/orders.toml", "", "\"orders:list\" = \"List\"\n")], vec![]),
    ];
    for (name, edits, expected) in rows {
        let said = diff(&clean, &clean.with(&edits));
        assert_eq!(said.rows(), expected, "{name}: {:#}", said.document);
        let widens = expected.iter().any(|(_, _, width)| width != "not wider");
        assert_eq!(said.code, Some(if widens { 3 } else { 0 }), "{name}: {}", said.error);
        assert_eq!(said.document["passed"], json!(!widens), "{name}");
    }
}

#[test]
fn what_policies_look_at_counts_as_much_as_policies() {
    let guarded = Tree::clean().with(&[(
        "orders.cedar",
        "",
        "\n@id(\"own\")\nforbid (principal, action, resource) unless { principal.owner == resource.audience.owner };\n",
    )]);
    let said = diff(&guarded, &guarded.with(&[("workloads/report.toml", "team-data@", "team-orders@")]));
    assert_eq!((said.rows(), said.code), (vec![row("grant", "gains", "widens")], Some(3)), "{:#}", said.document);
    let request = &said.document["rows"][0]["request"];
    assert_eq!((&request["workload"], &request["scope"]), (&json!("report"), &json!("orders:read")));
    assert!(request["task"].as_str().unwrap().starts_with("nightly-"), "{request}");
}

#[test]
fn a_claim_that_may_say_more_lets_more_in() {
    let of = |claims: &str, task: &str| {
        let identity = format!(
            "\n[[identity]]\ntype = \"oidc\"\nissuer = \"https://ci.example.com\"\nclaims = {{ {claims} }}\n{task}"
        );
        Tree::clean().with(&[("workloads/report.toml", "", &identity)])
    };
    let tags = "sub = \"a\", ref = { glob = \"refs/tags/v*\" }";
    let base = of(tags, "task = \"{run}\"\n");
    for (claims, task, code) in [
        (tags, "task = \"{run}\"\n", 0),
        ("sub = \"a\", ref = \"refs/tags/v1\"", "task = \"{run}\"\n", 0),
        ("sub = \"a\", ref = { glob = \"refs/tags/v1*\" }", "task = \"{run}\"\n", 0),
        ("sub = \"a\", ref = { glob = \"refs/tags/*\" }", "task = \"{run}\"\n", 3),
        ("sub = \"b\", ref = { glob = \"refs/tags/v*\" }", "task = \"{run}\"\n", 3),
        ("ref = { glob = \"refs/tags/v*\" }", "task = \"{run}\"\n", 3),
        // Who names the task may name any.
        (tags, "", 3),
        (tags, "task = \"{other}\"\n", 3),
    ] {
        let said = diff(&base, &of(claims, task));
        assert_eq!(said.code, Some(code), "{claims} {task}: {:#}", said.document);
    }
}

#[test]
fn one_instance_is_told_from_the_others() {
    let permit = |resource: &str| {
        let text = format!(
            "\n@id(\"one\")\npermit (principal == Jitney::Workload::\"report\", action, resource {resource});\n"
        );
        Tree::clean().with(&[("orders.cedar", "", &text)])
    };
    let open = "Jitney::Scope::\"https://orders.example.com orders:read:*\"";
    let (all, one) =
        (permit(&format!("in {open}")), permit("== Jitney::Scope::\"https://orders.example.com orders:read:7\""));
    let said = diff(&one, &all);
    assert_eq!(said.code, Some(3));
    assert_eq!(said.document["rows"][0]["scope"], "orders:read:*", "{:#}", said.document);
    let said = diff(&all, &one);
    assert_eq!((said.code, said.rows()), (Some(0), vec![row("grant", "loses", "not wider")]), "{:#}", said.document);
}

#[test]
fn a_pull_request_is_told_in_one_table() {
    let dir = tempfile::tempdir().unwrap();
    let clean = Tree::clean();
    clean.write(&dir.path().join("base"));
    let odd = "when { context.task like \"n|`*\" };";
    clean.with(&[("orders.cedar", REPORT, odd)]).write(&dir.path().join("odd"));
    clean.with(&[("orders.cedar", "context.ttl <= 120", "context.ttl <= 600")]).write(&dir.path().join("head"));
    let (code, told, error) = run(dir.path(), &["base", "head"]);
    assert_eq!(code, Some(3), "{told}{error}");
    for part in [
        "| who | gains what |",
        "`mailer`",
        "`orders:write` at `https://orders.example.com`",
        "context.ttl <= 120",
        "context.ttl <= 600",
        "121s",
        "**no**",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(error.contains("access widens") && error.contains("next: "), "{error}");
    // Whatever a file holds stays in its cell.
    let (_, told, _) = run(dir.path(), &["base", "odd"]);
    let rows: Vec<&str> = told.lines().filter(|line| line.starts_with("| `")).collect();
    assert_eq!(rows.len(), 1, "{told}");
    assert_eq!(rows[0].replace("\\|", "").matches('|').count(), 7, "{told}");
    let (code, told, error) = run(dir.path(), &["base", "base"]);
    assert_eq!((code, error.as_str()), (Some(0), ""));
    assert!(told.contains("No access changes"), "{told}");
}

/// A comment is all that most reviewers see.
#[test]
fn every_workload_that_gains_is_named_in_the_table() {
    let names: Vec<String> = (0..9).map(|at| format!("job-{at}")).collect();
    let files: Vec<(String, String)> = names
        .iter()
        .map(|name| {
            let head = format!("owner = \"team-{name}@example.com\"\npurpose = \"Runs the part called {name}\"\n");
            let identity = "[[identity]]\ntype = \"private_key_jwt\"\njwks = { keys = [KEY] }\n";
            let text = format!("{head}expires = 2027-06-30\n{}", identity.replace("KEY", &jwk(name)));
            (format!("workloads/{name}.toml"), text)
        })
        .collect();
    let edits: Vec<Edit<'_>> = files.iter().map(|(path, text)| (path.as_str(), "", text.as_str())).collect();
    let base = Tree::clean().with(&edits);
    let all = "\n@id(\"all\")\npermit (principal, action, resource == Jitney::Scope::\"https://orders.example.com orders:write\");\n";
    let dir = tempfile::tempdir().unwrap();
    base.write(&dir.path().join("base"));
    base.with(&[("orders.cedar", "", all)]).write(&dir.path().join("head"));
    let (code, told, error) = run(dir.path(), &["base", "head"]);
    assert_eq!(code, Some(3), "{error}");
    let row = told.lines().find(|line| line.contains("`job-0`")).unwrap();
    assert!(names.iter().all(|name| row.contains(&format!("`{name}`"))), "{row}");
    assert!(row.contains("<details><summary>and ") && row.contains("</details>"), "the table stays short: {row}");
}

#[test]
fn whoever_can_be_a_workload_now_is_shown_by_a_token_or_an_assertion() {
    let of = |identities: &[&str]| {
        let texts = identities
            .iter()
            .map(|each| format!("\n[[identity]]\ntype = \"oidc\"\nissuer = \"https://ci.example.com\"\n{each}\n"));
        Tree::clean().with(&[("workloads/report.toml", "", &texts.collect::<String>())])
    };
    let proof = |said: &Said| {
        let rows = said.document["rows"].as_array().unwrap();
        let row = rows.iter().find(|row| row["access"] == "identity").unwrap_or_else(|| panic!("{rows:#?}"));
        row["proof"].clone()
    };
    let tags = "claims = { sub = \"a\", ref = { glob = \"refs/tags/v*\" } }";
    let said = diff(&of(&[tags]), &of(&["claims = { sub = \"a\", ref = { glob = \"refs/*\" } }"]));
    let shown = proof(&said);
    assert_eq!((&shown["iss"], &shown["claims"]["sub"]), (&json!("https://ci.example.com"), &json!("a")), "{shown}");
    let reference = shown["claims"]["ref"].as_str().unwrap();
    assert!(reference.starts_with("refs/") && !reference.starts_with("refs/tags/v"), "{shown}");
    assert_eq!(said.rows(), [row("identity", "changes", "widens")], "a token that shows it makes it sure");
    let other = format!(
        "\n[[identity]]\ntype = \"private_key_jwt\"\njwks = {{ keys = [{}] }}\n",
        jwk("other").replacen("{ ", "{ kid = \"new\", ", 1)
    );
    let shown = proof(&diff(&Tree::clean(), &Tree::clean().with(&[("workloads/report.toml", "", &other)])));
    assert_eq!(
        (&shown["type"], &shown["client"], &shown["kid"]),
        (&json!("private_key_jwt"), &json!("report"), &json!("new"))
    );
    // The first that fits counts: what attested the task is gone, so the caller names it.
    let attested = format!("{tags}\ntask = \"{{run}}\"");
    let any = "claims = { sub = \"a\" }";
    assert_eq!(diff(&of(&[&attested, any]), &of(&[&attested, any])).rows(), []);
    for head in [&[any][..], &[any, &attested]] {
        let said = diff(&of(&[&attested, any]), &of(head));
        assert_eq!(said.code, Some(3), "{head:?}: {:#}", said.document);
        let shown = proof(&said);
        assert_eq!(shown["names_any_task"], true, "{shown}");
        assert!(shown["claims"]["ref"].as_str().unwrap().starts_with("refs/tags/v"), "{shown}");
    }
    let dir = tempfile::tempdir().unwrap();
    of(&[&attested]).write(&dir.path().join("base"));
    of(&[any]).write(&dir.path().join("head"));
    let (_, told, _) = run(dir.path(), &["base", "head"]);
    assert!(told.contains("`token of https://ci.example.com for the broker, ") && told.contains("sub a"), "{told}");
}

/// What a reviewer has to see of a platform's identity that is another than before: both cells say what differs.
#[test]
fn where_an_identity_changes_its_old_and_its_new_words_are_told() {
    let of = |rest: &str| {
        let identity = format!("\n[[identity]]\ntype = \"oidc\"\nissuer = \"https://ci.example.com\"\n{rest}");
        Tree::clean().with(&[("workloads/report.toml", "", &identity)])
    };
    let tags = "claims = { sub = \"a\", ref = { glob = \"refs/tags/v*\" } }\n";
    let pinned = |party: &str| format!("{tags}jwks = {{ keys = [{}] }}\n", jwk(party));
    let with = |more: &str| format!("{tags}{more}\n");
    for (before, after, old, new) in [
        (
            with(""),
            with("jwks_uri = \"https://evil.example.net/k\""),
            "its discovery document",
            "https://evil.example.net/k",
        ),
        (with(""), with("audience = \"https://b.example.com\""), "for the broker,", "for https://b.example.com,"),
        (with("task = \"{run}\""), with(""), "the platform, {run}", "named by the caller"),
        (with("task = \"{run}\""), with("task = \"{job}\""), "the platform, {run}", "the platform, {job}"),
        (with(""), pinned("other"), "its discovery document", "(pinned)"),
        (pinned("report"), pinned("other"), "(pinned)", "(pinned)"),
        (with(""), with("").replace("v*", "*"), "ref is like refs/tags/v*", "ref is like refs/tags/*"),
    ] {
        let said = diff(&of(&before), &of(&after));
        assert_eq!(said.code, Some(3), "{after}: {:#}", said.document);
        let row = &said.document["rows"][0];
        let [told, now] = ["before", "after"].map(|name| {
            let [line] = row[name].as_array().unwrap().as_slice() else { panic!("{row:#}") };
            line.as_str().unwrap().to_owned()
        });
        assert!(told.contains(old) && now.contains(new) && told != now, "{told}\n{now}");
    }
    // One that comes beside another takes nothing's place.
    let second = with("").replace("sub = \"a\"", "sub = \"b\"");
    let two = format!("{}\n[[identity]]\ntype = \"oidc\"\nissuer = \"https://ci.example.com\"\n{second}", with(""));
    let said = diff(&of(&with("")), &of(&two));
    assert_eq!(said.document["rows"][0]["before"], json!([]), "{:#}", said.document);
}

/// Two keys without a name fit every assertion, so neither can be used; the one that stays when the other goes can.
/// A rotation, a second key and a lost one are three things to whoever reviews them.
#[test]
fn a_key_that_goes_is_told_apart_from_one_that_comes() {
    let key = |party| {
        let named = jwk(party).replace(" }", &format!(", kid = \"{party}\" }}"));
        format!("\n[[identity]]\ntype = \"private_key_jwt\"\njwks = {{ keys = [{named}] }}\n")
    };
    let (own, other) = (key("report"), key("other"));
    let without_name = own.replace(", kid = \"report\"", "");
    let one = Tree::clean().with(&[("workloads/report.toml", &without_name, &own)]);
    let two = one.with(&[("workloads/report.toml", "", &other)]);
    let rotated = one.with(&[("workloads/report.toml", &own, &other)]);
    let cells = |base: &Tree, head: &Tree| {
        let said = diff(base, head);
        let row = &said.document["rows"][0];
        let lines =
            |name: &str| row[name].as_array().unwrap().iter().map(|line| line.as_str().unwrap().to_owned()).collect();
        let (before, after): (Vec<String>, Vec<String>) = (lines("before"), lines("after"));
        (said.code, before, after)
    };
    let id = |told: &str| told.split(['(', ')']).nth(1).unwrap().to_owned();
    let (code, before, after) = cells(&one, &two);
    assert_eq!((code, before.len(), after.len()), (Some(3), 0, 1), "an added key: {after:?}");
    let new = id(&after[0]);
    let (code, before, after) = cells(&one, &rotated);
    assert_eq!((code, before.len(), id(&after[0])), (Some(3), 1, new.clone()), "a rotation: {before:?}");
    let old = id(&before[0]);
    assert_ne!(old, new);
    let (code, before, after) = cells(&two, &one);
    assert_eq!((code, id(&before[0]), id(&after[0])), (Some(0), new, old), "one of two goes: {before:?} {after:?}");

    let dir = tempfile::tempdir().unwrap();
    two.write(&dir.path().join("base"));
    for (name, edit, told) in [
        ("fewer", ("workloads/report.toml", other.as_str(), ""), "| `report` | may be proven in fewer ways | `the key"),
        (
            "sooner",
            ("workloads/report.toml", "2027-06-30", "2027-01-31"),
            "| `report` | ends sooner | `to the end of 2027-06-30`",
        ),
    ] {
        two.with(&[edit]).write(&dir.path().join(name));
        let (code, out, error) = run(dir.path(), &["base", name]);
        assert!(code == Some(0) && out.contains("Nothing widens") && out.contains(told), "{out}{error}");
    }
}

#[test]
fn an_invariant_that_goes_alone_is_told() {
    let forbid = "@id(\"own\")\nforbid (principal, action, resource) when { context.task == \"x\" };\n";
    let dir = tempfile::tempdir().unwrap();
    let with = Tree::clean().with(&[("invariants/own.cedar", "", forbid)]);
    with.write(&dir.path().join("base"));
    with.with(&[("invariants/own.cedar", "\"x\"", "\"y\"")]).write(&dir.path().join("other"));
    Tree::clean().write(&dir.path().join("gone"));
    for (head, told) in [("gone", "is no longer declared"), ("other", "says something else now")] {
        let (code, out, error) = run(dir.path(), &["base", head]);
        assert_eq!(code, Some(0), "{error}");
        assert!(
            out.contains(&format!("**The invariant `own` {told}.**")) && !out.contains("No access changes.*"),
            "{out}"
        );
        assert!(error.contains(&format!("warning: invariant own {told}")), "{error}");
        assert_eq!(said(dir.path(), &["base", head]).document["dropped"], json!(["own"]));
    }
}

#[test]
fn a_key_that_could_not_be_used_is_a_new_one() {
    let twin = format!("\n[[identity]]\ntype = \"private_key_jwt\"\njwks = {{ keys = [{}] }}\n", jwk("twin"));
    let base = Tree::clean().with(&[("workloads/report.toml", "", &twin)]);
    let said = diff(&base, &Tree::clean());
    assert_eq!((said.code, said.rows()), (Some(3), vec![row("identity", "changes", "widens")]), "{:#}", said.document);
}

#[test]
fn an_invariant_that_cannot_be_read_is_told_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    Tree::clean().write(&dir.path().join("base"));
    let broken = "// One line.\n@id(\"x\")\nforbid (principal, action, resource) wen { true };\n";
    Tree::clean().with(&[("invariants/broken.cedar", "", broken)]).write(&dir.path().join("head"));
    let (code, told, error) = run(dir.path(), &["base", "head"]);
    assert_eq!(code, Some(1), "{told}{error}");
    assert!(
        error.contains("head/invariants/broken.cedar:3:") && error.contains("an invariant cannot be read"),
        "{error}"
    );
    assert!(!error.contains("widenings/"), "it is no statement: {error}");
    assert!(
        told.contains("`head/invariants/broken.cedar:3:") && told.contains("An invariant cannot be read"),
        "{told}"
    );
    let said = said(dir.path(), &["base", "head"]);
    assert_eq!((&said.document["passed"], &said.document["findings"][0]["line"]), (&json!(false), &json!(3)));
}

#[test]
fn many_workloads_that_gain_the_same_are_one_row() {
    let said = diff(
        &Tree::clean(),
        &Tree::clean().with(&[("orders.cedar", "", "\n@id(\"all\")\npermit (principal, action, resource == Jitney::Scope::\"https://orders.example.com orders:read\") when { context.task == \"x\" };\n")]),
    );
    let rows = said.document["rows"].as_array().unwrap();
    assert_eq!(said.code, Some(3));
    assert!(rows.iter().any(|row| row["workloads"] == json!(["mailer"])), "{rows:#?}");
    assert_eq!(said.document["counts"]["unstated"], rows.len());
}

mod stated {
    use super::*;

    const WIDER: Edit<'_> = ("orders.cedar", "context.ttl <= 120", "context.ttl <= 600");
    const STATEMENT: &str = "[[widens]]\nworkload = \"mailer\"\naudience = \"https://orders.example.com\"\nscope = \"orders:write\"\n\
        why = \"Mails of large orders take longer than two minutes to write\"\n";

    fn with(statement: &str) -> Said {
        diff(&Tree::clean(), &Tree::clean().with(&[WIDER, ("widenings/2026.toml", "", statement)]))
    }

    #[test]
    fn it_passes_and_the_reason_stands_in_the_row() {
        let said = with(STATEMENT);
        assert_eq!((said.code, said.error.as_str()), (Some(0), ""), "{:#}", said.document);
        assert_eq!(said.document["rows"][0]["stated"], "Mails of large orders take longer than two minutes to write");
        for same in [
            STATEMENT.replace("workload = \"mailer\"", "workload = [\"mailer\"]"),
            STATEMENT.replace("scope = \"orders:write\"", "scope = [\"orders:write\"]"),
            STATEMENT.replace("\"mailer\"", "\"*\""),
        ] {
            assert_eq!(with(&same).code, Some(0), "{same}");
        }
    }

    #[test]
    fn only_by_the_change_itself() {
        let before = Tree::clean().with(&[("widenings/2026.toml", "", STATEMENT)]);
        let said = diff(&before, &before.with(&[WIDER]));
        assert_eq!(said.code, Some(3), "{:#}", said.document);
        let dir = tempfile::tempdir().unwrap();
        before.write(&dir.path().join("base"));
        // Written again, word for word.
        before.with(&[WIDER, ("widenings/again.toml", "", STATEMENT)]).write(&dir.path().join("head"));
        let (code, told, error) = run(dir.path(), &["base", "head"]);
        assert_eq!(code, Some(3), "{told}{error}");
        for text in [&told, &error] {
            assert!(
                text.contains("head/widenings/again.toml:1:1") && text.contains("this statement does not count"),
                "{text}"
            );
        }
        assert_eq!(diff(&before, &before).document["notes"], json!([]), "what nobody needs is passed over");
    }

    #[test]
    fn what_is_wrong_with_one_stands_in_the_comment() {
        let dir = tempfile::tempdir().unwrap();
        Tree::clean().write(&dir.path().join("base"));
        let nothing = STATEMENT.replace("mailer", "report");
        let saying = |why| STATEMENT.replace("Mails of large orders take longer than two minutes to write", why);
        for (statement, part, at) in [
            (nothing.as_str(), "names what does not widen", "2:12"),
            (&saying("todo"), "is too vague", "5:7"),
            (&saying("fix"), "12 letters and digits or more", "5:7"),
            (&saying(" "), "does not say why", "1:1"),
            (&STATEMENT.replace("mailer", "mialer"), "did you mean `mailer`?", "2:12"),
            (&STATEMENT.replace("orders.ex", "order.ex"), "did you mean `https://orders.example.com`?", "3:12"),
            (&STATEMENT.replace("orders:write", "orders:wirte"), "did you mean `orders:write`?", "4:9"),
            ("[[widens]\n", "What this change states", "1:"),
        ] {
            Tree::clean().with(&[WIDER, ("widenings/2026.toml", "", statement)]).write(&dir.path().join("head"));
            let (code, told, error) = run(dir.path(), &["base", "head"]);
            assert_eq!(code, Some(1), "{error}");
            assert!(
                told.contains("What this change states is not what widens") && format!("{told}{error}").contains(part),
                "{part}: {told}{error}"
            );
            assert!(told.contains(&format!("`head/widenings/2026.toml:{at}")), "{at}: {told}");
        }
    }

    #[test]
    fn neither_more_nor_less_than_there_is() {
        let twice = format!("{STATEMENT}\n{}", STATEMENT.replace("orders:write", "orders:read"));
        for (statement, code) in [
            (twice.as_str(), 1),
            (&STATEMENT.replace("mailer", "report"), 1),
            (
                &STATEMENT
                    .replace("[\"orders:write\"]", "[\"orders:write\", \"orders:read\"]")
                    .replace("\"orders:write\"", "[\"orders:write\", \"orders:read\"]"),
                1,
            ),
            (
                &STATEMENT
                    .replace("why = \"Mails of large orders take longer than two minutes to write\"", "why = \"todo\""),
                1,
            ),
            (&STATEMENT.replace("scope = \"orders:write\"\n", ""), 1),
            (&STATEMENT.replace("[[widens]]", "[[widens]]\naccess = \"identity\""), 1),
            (&STATEMENT.replace("[[widens]]", "[[widen]]"), 1),
            ("", 3),
        ] {
            let said = with(statement);
            assert_eq!(said.code, Some(code), "{statement}: {:#}{}", said.document, said.error);
            assert_eq!(said.document["passed"], false, "{statement}");
        }
    }

    #[test]
    fn other_kinds_of_access_are_named() {
        let later: Edit<'_> = ("workloads/report.toml", "2027-06-30", "2027-07-30");
        let state = |access: &str| {
            let text = format!(
                "[[widens]]\naccess = \"{access}\"\nworkload = \"report\"\nwhy = \"The report is needed a month longer\"\n"
            );
            diff(&Tree::clean(), &Tree::clean().with(&[later, ("widenings/a.toml", "", &text)]))
        };
        assert_eq!(state("expiry").code, Some(0));
        assert_eq!(state("identity").code, Some(1));
    }
}

mod revisions {
    use super::*;

    fn git(dir: &Path, words: &[&str]) {
        let identity = [
            "-c",
            "user.name=t",
            "-c",
            "user.email=t@example.com",
            "-c",
            "init.defaultBranch=main",
            "-c",
            "commit.gpgsign=false",
        ];
        let mut command: Command = clean("git");
        let output =
            command.args(identity).args(words).current_dir(dir).env("GIT_CONFIG_GLOBAL", "/dev/null").output().unwrap();
        assert!(output.status.success(), "git {words:?}: {output:?}");
    }

    /// Two commits: the second widens.
    fn repository() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        git(dir.path(), &["init", "-q"]);
        fs::write(dir.path().join("README"), "first\n").unwrap();
        git(dir.path(), &["add", "."]);
        git(dir.path(), &["commit", "-qm", "none yet"]);
        let clean = Tree::clean();
        clean.write(&dir.path().join("policies"));
        git(dir.path(), &["add", "."]);
        git(dir.path(), &["commit", "-qm", "base"]);
        clean.with(&[("orders.cedar", "context.ttl <= 120", "context.ttl <= 600")]).write(&dir.path().join("policies"));
        git(dir.path(), &["commit", "-qam", "head"]);
        dir
    }

    #[test]
    fn are_read_from_git() {
        let repository = repository();
        let dir = repository.path();
        for words in [["HEAD~1", "HEAD"], ["HEAD~1", "policies"], ["HEAD~1:policies", "main"]] {
            let said = said(dir, &words);
            assert_eq!((said.code, said.rows()), (Some(3), vec![row("grant", "changes", "widens")]), "{words:?}");
        }
        assert_eq!(said(dir, &["HEAD", "policies"]).code, Some(0));
        assert_eq!(said(dir, &["HEAD", "HEAD~1"]).rows(), [row("grant", "changes", "not wider")]);
        // From a folder within, paths are of that folder.
        fs::create_dir(dir.join("sub")).unwrap();
        let said = said(&dir.join("sub"), &["HEAD~1", "HEAD", "--dir", "../policies"]);
        assert_eq!(said.code, Some(3));
    }

    #[test]
    fn a_folder_that_the_change_makes_is_all_new() {
        let repository = repository();
        let said = said(repository.path(), &["HEAD~2", "HEAD"]);
        assert_eq!(said.code, Some(3));
        assert!(said.rows().iter().all(|found| *found == row("grant", "gains", "widens")), "{:?}", said.rows());
        let (_, told, _) = run(repository.path(), &["HEAD~2", "HEAD"]);
        assert!(told.contains("There was no such folder before"), "{told}");
    }

    #[test]
    fn what_cannot_be_read_is_said_precisely() {
        let repository = repository();
        let dir = repository.path();
        let elsewhere = tempfile::tempdir().unwrap();
        for (at, words, told) in [
            (dir, &["nowhere", "HEAD"][..], "neither a folder nor a revision"),
            (dir, &["HEAD", "polices"], "did you mean policies?"),
            (dir, &["HEAD", "./polices/"], "did you mean ./policies?"),
            (dir, &["HEAD", "../nowhere/policies"], "../nowhere/policies is neither a folder nor a revision"),
            (dir, &["HEAD", "policies/orders.cedar"], "policies/orders.cedar is a file"),
            (dir, &["--", "-x", "HEAD"], "no revision begins with a dash"),
            (dir, &["HEAD", "HEAD", "--dir", "nowhere"], "HEAD has no folder nowhere"),
            (elsewhere.path(), &["HEAD~1", "HEAD"], "no such folder, and no such revision: not a git repository"),
        ] {
            let (code, _, error) = run(at, words);
            assert_eq!(code, Some(1), "{words:?}: {error}");
            assert!(error.contains(told), "{words:?}: {error}");
        }
        let (code, _, error) = run(dir, &["HEAD"]);
        assert_eq!(code, Some(2), "{error}");
    }

    /// Whoever proposes a change could bring a folder that is called like what the change is held against.
    #[test]
    fn a_folder_that_may_be_a_revision_as_well_is_no_base() {
        let repository = repository();
        let dir = repository.path();
        git(dir, &["branch", "origin/main", "HEAD~1"]);
        let widened = Tree::clean().with(&[("orders.cedar", "context.ttl <= 120", "context.ttl <= 600")]);
        let unknown = "0123456789abcdef0123456789abcdef01234567";
        for name in ["origin/main", "HEAD", "refs/heads/gone", unknown, "origin/main:policies"] {
            widened.write(&dir.join(name));
            let (code, out, error) = run(dir, &[name, "policies"]);
            assert_eq!((code, out.as_str()), (Some(1), ""), "{name}: {error}");
            assert!(error.contains("may be a revision as well") && error.contains(&format!("./{name}")), "{error}");
            assert_eq!(
                said(dir, &[&format!("./{name}"), "policies"]).code,
                Some(0),
                "{name}: the folder, named as one"
            );
            fs::remove_dir_all(dir.join(name)).unwrap();
        }
        assert_eq!(said(dir, &["origin/main", "policies"]).code, Some(3));
    }

    /// A broker reads what a link leads to; what was committed is the link alone.
    #[test]
    fn what_a_broker_would_read_and_a_revision_does_not_have_is_refused() {
        let repository = repository();
        let dir = repository.path();
        let commit = || {
            git(dir, &["add", "-A"]);
            git(dir, &["commit", "-qm", "more"]);
        };
        fs::create_dir(dir.join("shared")).unwrap();
        fs::write(dir.join("shared/more.cedar"), "permit (principal, action, resource);").unwrap();
        std::os::unix::fs::symlink("../shared/more.cedar", dir.join("policies/more.cedar")).unwrap();
        commit();
        let (code, _, error) = run(dir, &["HEAD~1", "HEAD"]);
        assert!(code == Some(1) && error.contains("policies/more.cedar is a link"), "{error}");
        assert!(
            error.contains("next: put the file itself in its place") && error.contains("git worktree add"),
            "{error}"
        );
        // So is a folder: what is compared today must not be refused tomorrow.
        let (code, _, error) = run(dir, &["HEAD~1", "policies"]);
        assert!(code == Some(1) && error.contains("policies/more.cedar is a link"), "{error}");
        assert!(error.contains("put the file itself there") && !error.contains("permit (principal"), "{error}");
        fs::remove_file(dir.join("policies/more.cedar")).unwrap();
        fs::write(dir.join("policies/more.cedar"), b"// \xff").unwrap();
        commit();
        let (code, _, error) = run(dir, &["HEAD~2", "HEAD"]);
        assert!(code == Some(1) && error.contains("more.cedar at HEAD is not UTF-8"), "{error}");
        fs::remove_file(dir.join("policies/more.cedar")).unwrap();
        fs::write(dir.join("policies/logo.png"), b"\xff").unwrap();
        commit();
        assert_eq!(said(dir, &["HEAD~3", "HEAD"]).code, Some(0), "no broker reads that");
    }

    #[test]
    fn a_set_that_does_not_load_is_no_answer() {
        let repository = repository();
        let broken = repository.path().join("broken");
        Tree::clean().with(&[("workloads/report.toml", "owner =", "ownr =")]).write(&broken);
        let (code, _, error) = run(repository.path(), &["HEAD", "broken"]);
        assert_eq!(code, Some(1), "{error}");
        assert!(error.contains("did you mean `owner`?") && error.contains("broken does not load"), "{error}");
    }
}

#[test]
fn what_is_named_of_a_broken_invariant_can_be_copied() {
    let forbid = "@id(\"i\")\nforbid (principal, action, resource) when { context.task like \"nightly-*\" };\n";
    let dir = tempfile::tempdir().unwrap();
    Tree::clean().write(&dir.path().join("base"));
    Tree::clean().with(&[("invariants/own.cedar", "", forbid)]).write(&dir.path().join("head"));
    let (code, told, error) = run(dir.path(), &["base", "head"]);
    let line = told
        .lines()
        .find(|line| line.starts_with("**The invariant `i` is broken**"))
        .unwrap_or_else(|| panic!("{told}{error}"));
    assert_eq!(code, Some(1), "{error}");
    assert!(line.contains(" can mint `orders:"), "{line}");
    assert!(line.contains("at `https://orders.example.com`") && line.is_ascii(), "{line:?}");
}

#[test]
fn the_document_for_programs_has_the_fields_of_the_page() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/policy-diff.md")).unwrap();
    let said = diff(&Tree::clean(), &Tree::clean().with(&[("orders.cedar", REPORT, ";")]));
    let named = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    for field in named(&said.document).iter().chain(&named(&said.document["rows"][0])) {
        assert!(page.contains(&format!("`{field}`")), "docs/policy-diff.md leaves out `{field}`");
    }
}
