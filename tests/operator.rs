//! The operator's commands against an admin API that answers from a table: what is asked, what is printed, how it ends.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::chown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};

const LEASE: &str = "0190163d-8694-839b-aea5-966c26f8ad91";

/// An admin API; it lives as long as the test's process.
struct Admin {
    dir: tempfile::TempDir,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Admin {
    /// Answers each request with the status and body that stand beside its `METHOD path`.
    fn start(table: Vec<(&'static str, u16, String)>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("admin.sock")).unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (table, into) = (Arc::new(table), Arc::clone(&heard));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (table, heard) = (Arc::clone(&table), Arc::clone(&into));
                std::thread::spawn(move || while answer(&stream, &table, &heard).is_some() {});
            }
        });
        Self { dir, heard }
    }

    fn jitney(&self, line: &str) -> Output {
        let admin = format!("unix:{}", self.dir.path().join("admin.sock").display());
        command().env("JITNEY_ADMIN", admin).args(line.split(' ')).output().unwrap()
    }

    fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }
}

fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_jitney"));
    command.env_remove("JITNEY_ADMIN");
    command
}

fn answer(stream: &UnixStream, table: &[(&str, u16, String)], heard: &Mutex<Vec<String>>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let asked = line.rsplit_once(' ')?.0.to_owned();
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim().split_once(':') else { break };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    heard.lock().unwrap().push(format!("{asked} {}", String::from_utf8_lossy(&body)).trim_end().to_owned());
    let nothing =
        (asked.as_str(), 404, r#"{"error":"not_found","error_description":"nothing of that name"}"#.to_owned());
    let (_, status, body) = table.iter().find(|row| row.0 == asked).unwrap_or(&nothing);
    let head =
        format!("HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
    (&mut &*stream).write_all(format!("{head}{body}").as_bytes()).ok()
}

fn said(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn lease() -> String {
    format!(
        r#"{{"id":"{LEASE}","workload":"w","audience":"https://a","scope":"x y","task":"t","issued_at":1,"expires_at":2,
        "chain_limit":3,"kid":"k","epoch":"00","position":4,"state":"ended","ended_by":"task"}}"#
    )
}

#[test]
fn leases_are_listed_for_people_and_for_programs() {
    let page = |lease: &str, next: &str| format!(r#"{{"leases":[{lease}],"next":{next}}}"#);
    let admin = Admin::start(vec![
        ("GET /admin/v1/leases?limit=500&workload=w&task=a%2Fb", 200, page(&lease(), r#""c1""#)),
        ("GET /admin/v1/leases?limit=500&workload=w&task=a%2Fb&cursor=c1", 200, page(&lease(), "null")),
    ]);
    let (code, table, _) = said(&admin.jitney("lease list --workload w --task a/b"));
    assert_eq!((code, table.lines().count()), (Some(0), 3), "{table}");
    assert!(table.starts_with("LEASE ") && table.contains("ended (task)"), "{table}");
    let (_, json, _) = said(&admin.jitney("lease list --workload w --task a/b --output json"));
    let document: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(document["leases"].as_array().unwrap().len(), 2);
    assert_eq!(document["leases"][0]["id"], LEASE);
}

#[test]
fn one_lease_is_shown_and_an_unknown_one_is_an_error() {
    let admin = Admin::start(vec![("GET /admin/v1/leases/0190163d-8694-839b-aea5-966c26f8ad91", 200, lease())]);
    let (code, story, _) = said(&admin.jitney(&format!("lease show {LEASE}")));
    assert_eq!(code, Some(0));
    assert!(story.contains("at position 4 of the log"), "{story}");
    let (code, _, error) = said(&admin.jitney(&format!("lease show {}", LEASE.replace("ad91", "ad92"))));
    assert_eq!(code, Some(1));
    assert!(error.starts_with("error: not_found: nothing of that name\n  next: `jitney lease list`"), "{error}");
}

#[test]
fn a_revocation_carries_its_selector_and_reason() {
    let outcome = r#"{"selected":2,"rules":[["task","d",7,9]],"leases":[],"decision_id":"b.1","dry_run":false}"#;
    let admin = Admin::start(vec![("POST /admin/v1/revocations", 200, outcome.into())]);
    let (code, told, _) = said(&admin.jitney("lease revoke --task t --workload w --reason why"));
    assert_eq!(
        (code, told.as_str()),
        (Some(0), "revoked by rule 7 of the log: 2 live leases selected (decision b.1)\n")
    );
    let (code, told, _) = said(&admin.jitney("lease revoke --all --reason why --dry-run"));
    assert_eq!((code, told.as_str()), (Some(0), "2 live leases selected; nothing was revoked\n"));
    let asked: Vec<serde_json::Value> = admin
        .heard()
        .iter()
        .map(|request| serde_json::from_str(request.strip_prefix("POST /admin/v1/revocations ").unwrap()).unwrap())
        .collect();
    let expected = [
        serde_json::json!({"task": "t", "workload": "w", "reason": "why", "dry_run": false}),
        serde_json::json!({"all": true, "reason": "why", "dry_run": true}),
    ];
    assert_eq!(asked, expected);
}

#[test]
fn a_task_with_nothing_left_to_revoke_says_until_when_its_name_is_closed() {
    let outcome =
        r#"{"selected":0,"rules":[],"leases":[],"closed_until":1790000000,"decision_id":"b.1","dry_run":false}"#;
    let admin = Admin::start(vec![("POST /admin/v1/revocations", 200, outcome.into())]);
    let (code, told, _) = said(&admin.jitney("lease revoke --task t --workload w --reason why"));
    let (first, second) = told.split_once('\n').unwrap();
    assert_eq!((code, first), (Some(0), "nothing was left to revoke (decision b.1)"));
    assert!(second.starts_with("the task t, and all below it, takes no lease until 2026-09-21T14:13:20Z ("), "{told}");
}

#[test]
fn a_task_of_several_workloads_revokes_nothing_and_names_them() {
    let refusal = r#"{"error":"ambiguous_task","error_description":"several workloads run one","workloads":["v","w"]}"#;
    let admin = Admin::start(vec![("POST /admin/v1/revocations", 409, refusal.into())]);
    let (code, _, error) = said(&admin.jitney("lease revoke --task t --reason why"));
    assert_eq!(code, Some(1));
    assert!(error.contains("error: ambiguous_task") && error.contains("--workload, one of: v, w"), "{error}");
}

#[test]
fn two_selectors_or_no_reason_are_wrong_usage_and_ask_nothing() {
    let admin = Admin::start(vec![]);
    for line in ["lease revoke --all --workload w --reason why", "lease revoke --all", "lease revoke --reason why"] {
        assert_eq!(admin.jitney(line).status.code(), Some(2), "{line}");
    }
    assert!(admin.heard().is_empty());
}

const STATUS: &str = r#"{"store":{"position":4,"epoch":"e"}}"#;

#[test]
fn events_are_followed_and_gone_on_with_behind_the_last_end() {
    let first = "{\"time\":\"T\",\"event\":\"mint\",\"outcome\":\"granted\",\"task\":\"t\",\"position\":9}\n\n\
                 {\"event\":\"end\",\"position\":7,\"epoch\":\"e\"}\n";
    let table = vec![
        ("GET /admin/v1/status", 200, STATUS.into()),
        ("GET /admin/v1/watch?after=4&epoch=e", 200, first.into()),
        ("GET /admin/v1/watch?after=7&epoch=e", 400, r#"{"error":"invalid_request","error_description":"no"}"#.into()),
    ];
    let admin = Admin::start(table);
    let (code, lines, error) = said(&admin.jitney("lease watch --output json"));
    assert_eq!((code, lines), (Some(1), first.replace("\n\n", "\n")), "{error}");
    assert!(error.contains("warning: the broker is away"), "{error}");
    let (_, lines, _) = said(&admin.jitney("lease watch"));
    assert!(lines.starts_with("T  mint        granted  task=t\n"), "{lines}");
}

#[test]
fn who_reads_too_slowly_is_told_so() {
    let cut = "{\"event\":\"watch.cut\",\"outcome\":\"failed\",\"count\":12,\"detail\":\"d\"}\n";
    let table =
        vec![("GET /admin/v1/status", 200, STATUS.into()), ("GET /admin/v1/watch?after=4&epoch=e", 200, cut.into())];
    let (code, lines, error) = said(&Admin::start(table).jitney("lease watch --output json"));
    assert_eq!((code, lines.as_str()), (Some(1), cut));
    assert!(error.contains("it read too slowly, and missed 12 lines"), "{error}");
}

#[test]
fn an_audience_is_one_part_of_the_path() {
    let audience = r#"{"id":"https://a/b","owner":"o","max_ttl":600,"max_lifetime":28800,"scopes":{"x":"means x"}}"#;
    let admin = Admin::start(vec![("GET /admin/v1/audiences/https%3A%2F%2Fa%2Fb", 200, audience.into())]);
    let (code, story, _) = said(&admin.jitney("audience show https://a/b"));
    assert_eq!(code, Some(0));
    assert!(story.contains("10m") && story.contains("8h") && story.contains("means x"), "{story}");
}

#[test]
fn a_rotation_that_waits_says_until_when() {
    let outcome = r#"{"rotated":false,"not_before":1790000000}"#;
    let admin = Admin::start(vec![("POST /admin/v1/keys/rotate", 202, outcome.into())]);
    let (code, told, _) = said(&admin.jitney("key rotate"));
    assert_eq!(code, Some(0));
    assert!(told.contains("2026-09-21T14:13:20Z") && told.contains("--now"), "{told}");
}

#[test]
fn without_a_broker_the_next_step_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let (code, _, error) =
        said(&command().args(["status", "--admin", "unix:/nonexistent/s"]).current_dir(&dir).output().unwrap());
    assert_eq!(code, Some(1));
    assert!(
        error.starts_with("error: unix:/nonexistent/s: cannot be reached") && error.contains("--admin unix:PATH"),
        "{error}"
    );
    if !std::path::Path::new("/run/jitney/admin.sock").exists() {
        let (code, _, error) = said(&command().arg("status").current_dir(&dir).output().unwrap());
        assert_eq!(code, Some(1));
        let both =
            "there is neither ./.jitney/admin.sock nor /run/jitney/admin.sock\n  next: name another with --admin";
        assert!(error.contains(both), "{error}");
    }
    let output = command().args(["status", "--admin", "https://broker"]).current_dir(&dir).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}

/// A broker of the user `nobody`, as root can start one; it ends with the value.
struct Nobody(Child);

impl Nobody {
    const UID: u32 = 65_534;

    fn start(dir: &std::path::Path) -> Self {
        chown(dir, Some(Self::UID), Some(Self::UID)).unwrap();
        let mut serve = command();
        serve.args(["serve", "--dev", "--listen", "127.0.0.1:0"]).current_dir(dir).uid(Self::UID).gid(Self::UID);
        let mut child = serve.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        // The pipe stays open: whoever writes into a closed one ends.
        let lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
        let up = lines.map_while(Result::ok).any(|line| line.contains("listening on "));
        assert!(up, "it does not start");
        Self(child)
    }
}

impl Drop for Nobody {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The folder an operator happens to be in may be anybody's, and what listens there could say that all is done.
#[test]
fn a_broker_of_another_user_is_asked_only_where_it_is_named() {
    if !rustix::process::geteuid().is_root() {
        // Only root can be two users.
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let _broker = Nobody::start(dir.path());
    let revoke = ["lease", "revoke", "--all", "--reason", "stolen"];
    for words in [&["status"][..], &revoke, &["lease", "watch"]] {
        let (code, told, error) = said(&command().args(words).current_dir(&dir).output().unwrap());
        assert_eq!((code, told.as_str()), (Some(1), ""), "{error}");
        assert!(
            error.contains("./.jitney/admin.sock is of the user ") && error.contains("nothing was asked"),
            "{error}"
        );
        assert!(error.contains("--admin unix:./.jitney/admin.sock or JITNEY_ADMIN="), "{error}");
    }
    // Nor where the folder is one's own, and another listens in it; nor where another's link leads to one's own.
    let (mine, linked) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::create_dir(mine.path().join(".jitney")).unwrap();
    let socket = dir.path().join(".jitney/admin.sock");
    std::os::unix::fs::symlink(&socket, mine.path().join(".jitney/admin.sock")).unwrap();
    std::os::unix::fs::symlink(mine.path().join(".jitney"), linked.path().join(".jitney")).unwrap();
    std::os::unix::fs::lchown(linked.path().join(".jitney"), Some(Nobody::UID), None).unwrap();
    for at in [&mine, &linked] {
        let (code, _, error) = said(&command().arg("status").current_dir(at).output().unwrap());
        assert!(code == Some(1) && error.contains("nothing was asked there"), "{error}");
    }
    let named = ["--admin", "unix:./.jitney/admin.sock", "status"];
    assert_eq!(command().args(named).current_dir(&dir).output().unwrap().status.code(), Some(0));
    // Its own user needs no name.
    let mut own = command();
    own.arg("status").current_dir(&dir).uid(Nobody::UID).gid(Nobody::UID);
    assert_eq!(own.output().unwrap().status.code(), Some(0));
}
