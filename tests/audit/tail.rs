//! Lines as they come, those that are asked for alone, also where the file changes under the reader.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::Value;

use super::{audit, closed, restless, said};
use crate::common::{Ask, Backing, Broker, eventually};

/// `jitney audit tail --follow`, line by line. Its process ends with the value.
struct Tail {
    child: Child,
    lines: Receiver<Value>,
}

impl Tail {
    fn start(broker: &Broker, more: &[&str]) -> Self {
        let words = [&["audit", "tail", "--follow", "--output", "json"], more].concat();
        let mut child = broker.cli_command("demo", &words).stdout(Stdio::piped()).stdin(Stdio::null()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (said, lines) = channel();
        std::thread::spawn(move || {
            let read = stdout.lines().map_while(Result::ok).map(|line| serde_json::from_str(&line).unwrap());
            let _ = read.into_iter().try_for_each(|line| said.send(line));
        });
        Self { child, lines }
    }

    #[track_caller]
    fn next(&self) -> Value {
        self.lines.recv_timeout(Duration::from_secs(20)).expect("a line")
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_reader_that_follows_misses_no_line_however_often_the_file_is_closed() {
    let broker = restless().start(&Backing::Embedded);
    broker.mint("demo", "first");
    let tail = Tail::start(&broker, &["-n", "1000"]);
    while tail.next()["task"] != "first" {}
    for n in 0..60 {
        broker.mint("demo", &format!("t{n}"));
    }
    let mut seqs = Vec::new();
    loop {
        let line = tail.next();
        seqs.push(line["seq"].as_u64().unwrap());
        if line["task"] == "t59" {
            break;
        }
    }
    assert!(closed(&broker.audit_path()).len() > 3);
    let first = seqs[0];
    assert_eq!(seqs, (first..first + seqs.len() as u64).collect::<Vec<_>>());
}

#[test]
fn only_what_is_asked_for_is_told() {
    let broker = restless().start(&Backing::Embedded);
    let tail = Tail::start(&broker, &["-n", "0", "--workload", "other", "--outcome", "granted"]);
    // It follows as soon as it tells one of these.
    let mut warm = 0;
    let first = eventually("it follows", || {
        warm += 1;
        broker.mint("other", &format!("warm-{warm}"));
        tail.lines.recv_timeout(Duration::from_millis(500)).ok()
    });
    assert_eq!(first["workload"], "other");
    let refused = broker.ask(&Ask::of("nothing").task("none"));
    assert_eq!(refused.status, 400);
    for n in 0..20 {
        broker.mint("demo", &format!("d{n}"));
        broker.mint("other", &format!("o{n}"));
    }
    let mut last = first;
    let all = 20 + warm;
    loop {
        let line = tail.next();
        assert_eq!((&line["workload"], &line["outcome"]), (&"other".into(), &"granted".into()), "{line}");
        if line["task"] == "o19" {
            break;
        }
        last = line;
    }
    let told = |more: &[&str]| audit(&broker, &[&["tail", "-n", "1000", "--output", "json"], more].concat());
    assert_eq!(told(&["--workload", "other", "--event", "mint"]).lines().count(), all);
    let decision = refused.field("decision_id");
    let of_decision: Value = serde_json::from_str(&told(&["--decision", &decision])).unwrap();
    assert_eq!((&of_decision["outcome"], &of_decision["workload"]), (&"refused".into(), &"nothing".into()));
    assert_eq!(told(&["--outcome", "refused", "--event", "mint"]).lines().count(), 1);
    assert_eq!(told(&["--audience", "https://nobody.example.com"]), "");
    let since = last["time"].as_str().unwrap().to_owned();
    let then = told(&["--since", &since, "--workload", "other"]);
    assert!(then.lines().count() < all && then.contains("\"o19\""), "{then}");
    let before = told(&["--until", &since, "--workload", "other"]);
    assert_eq!(before.lines().count() + then.lines().count(), all);
    assert!(told(&["--since", "1h"]).lines().count() > 40);
    // Without a number, --since is all of then, and else ten lines are told.
    assert!(audit(&broker, &["tail", "--since", "1h"]).lines().count() > 40);
    assert_eq!(audit(&broker, &["tail"]).lines().count(), 10);
    for wrong in [&["--since", "soon"][..], &["--event", "dance"], &["--outcome", "so-so"], &["--decision", "x"]] {
        let (code, _, stderr) = said(&broker.cli("demo", &[&["audit", "tail"], wrong].concat()));
        assert!(code == Some(2) && stderr.contains("error"), "{stderr}");
    }
}
