//! Each way to damage a log is named, with the first line that is wrong: by the program itself, on a real broker's log.

use std::fs;

use ring::digest::{SHA256, digest};

use super::{closed, lines, restless, verified};
use crate::common::{Backing, Broker};

/// The same line with other words and a sum that fits.
fn forged(line: &str, from: &str, to: &str) -> String {
    let (body, _) = line.rsplit_once(",\"sum\"").unwrap();
    assert!(body.contains(from), "{line}");
    let body = body.replace(from, to);
    format!("{body},\"sum\":\"{}\"}}", &hex(&body)[..16])
}

fn hex(text: &str) -> String {
    digest(&SHA256, text.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A log of some lines, copied away from its checkpoints.
fn copy() -> (Broker, std::path::PathBuf, Vec<String>) {
    let broker = Broker::start(&Backing::Embedded);
    for n in 0..6 {
        broker.mint("demo", &format!("t{n}"));
    }
    let file = broker.data().join("copy.jsonl");
    let lines = lines(&broker.audit_path());
    (broker, file, lines)
}

#[test]
fn each_kind_of_damage_is_called_by_its_name_at_its_line() {
    let (broker, file, intact) = copy();
    let count = intact.len() as u64;
    type Change = fn(&mut Vec<String>);
    let rows: [(&str, u64, Change); 8] = [
        ("changed", 3, |lines| lines[2] = lines[2].replacen("granted", "refused", 1)),
        ("changed", 3, |lines| lines[2] = forged(&lines[2], "granted", "refused")),
        ("lines dropped", 3, |lines| drop(lines.remove(2))),
        ("lines dropped", 1, |lines| drop(lines.drain(..2))),
        ("inserted", 4, |lines| lines.insert(3, lines[1].clone())),
        ("inserted", 4, |lines| lines.insert(3, forged(&lines[2], "granted", "refused"))),
        ("reordered", 3, |lines| lines.swap(2, 5)),
        ("changed", 4, |lines| lines.insert(3, "{}".into())),
    ];
    for (fault, line, change) in rows {
        let mut bent = intact.clone();
        change(&mut bent);
        fs::write(&file, bent.join("\n") + "\n").unwrap();
        let (is_intact, told) = verified(&broker, &file, &[]);
        assert_eq!((is_intact, &told["fault"], &told["line"]), (false, &fault.into(), &line.into()), "{told}");
        assert_eq!(told["in"], file.to_str().unwrap());
    }
    let half = intact.join("\n");
    fs::write(&file, &half[..half.len() - 20]).unwrap();
    let (_, told) = verified(&broker, &file, &[]);
    assert_eq!((&told["fault"], &told["line"]), (&"truncated".into(), &count.into()), "{told}");
    fs::write(&file, intact.join("\n") + "\n").unwrap();
    assert!(verified(&broker, &file, &[]).0);
}

#[test]
fn damage_in_one_of_many_files_is_named_with_its_file() {
    let broker = restless().start(&Backing::Embedded);
    for n in 0..40 {
        broker.mint("demo", &format!("t{n}"));
    }
    let log = broker.audit_path();
    let files = closed(&log);
    assert!(files.len() > 3, "{files:?}");
    let (is_intact, told) = verified(&broker, &log, &[]);
    assert!(is_intact && told["first"]["seq"] == 1, "{told}");
    let second = fs::read_to_string(&files[1]).unwrap();
    let check = |text: Option<&str>| {
        match text {
            Some(text) => fs::write(&files[1], text).unwrap(),
            None => fs::remove_file(&files[1]).unwrap(),
        }
        let (_, told) = verified(&broker, &log, &[]);
        let name = |path: &str| path.rsplit('/').next().unwrap().to_owned();
        (name(told["in"].as_str().unwrap()), told["line"].as_u64().unwrap(), told["fault"].as_str().unwrap().to_owned())
    };
    let name = |at: usize| files[at].file_name().unwrap().to_str().unwrap().to_owned();
    let second_lines: Vec<&str> = second.lines().collect();
    let last = second_lines.len();
    let changed = second.replacen("granted", "refused", 1);
    let line = 1 + second_lines.iter().position(|line| line.contains("granted")).unwrap() as u64;
    assert_eq!(check(Some(&changed)), (name(1), line, "changed".into()));
    let forged_line = forged(second_lines[last - 1], "granted", "refused");
    let forged_last = [&second_lines[..last - 1], &[&forged_line]].concat();
    assert_eq!(check(Some(&(forged_last.join("\n") + "\n"))), (name(1), last as u64, "changed".into()));
    let shorter = second_lines[..last - 1].join("\n") + "\n";
    assert_eq!(check(Some(&shorter)), (name(2), 1, "lines dropped".into()));
    assert_eq!(check(Some(second.trim_end())), (name(1), last as u64, "truncated".into()));
    assert_eq!(check(None), (name(2), 1, "lines dropped".into()));
    fs::write(&files[1], &second).unwrap();
    assert!(verified(&broker, &log, &[]).0);
    // The oldest may be put away: what is left is whole, and says what it continues.
    fs::remove_file(&files[0]).unwrap();
    let (is_intact, told) = verified(&broker, &log, &[]);
    assert!(is_intact && told["continues"].is_string(), "{told}");
}
