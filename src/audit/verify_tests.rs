//! What is done to a log, and what is said of it.

use proptest::prelude::*;

use super::super::chain::{Chain, Hex, MAX_LINE};
use super::super::files::Names;
use super::super::record::{AuditRecord, Event, Outcome};
use super::*;

fn sample(lines: usize) -> Vec<Vec<u8>> {
    let mut chain = Chain::START;
    (0..lines)
        .map(|n| {
            let mut line = Vec::new();
            let record = AuditRecord::new(Event::Mint, Outcome::Granted).detail(&format!("ä {n}"));
            chain.push(&mut line, "b1", 1_790_000_000_000 + n as u64, &record);
            line
        })
        .collect()
}

fn check(lines: &[Vec<u8>]) -> Result<Summary, Broken> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), lines.concat()).unwrap();
    verify(file.path())
}

fn fault(lines: &[Vec<u8>]) -> (u64, Fault) {
    let broken = check(lines).unwrap_err();
    (broken.line, broken.fault)
}

/// The same line with other words in it and a sum that fits.
fn forged(line: &[u8], from: &str, to: &str) -> Vec<u8> {
    let text = String::from_utf8(line.to_vec()).unwrap();
    assert!(text.contains(from));
    let (body, _) = text.trim_end().rsplit_once(",\"sum\"").unwrap();
    let body = body.replace(from, to);
    format!("{body},\"sum\":\"{}\"}}\n", &Hex::of(body.as_bytes()).as_str()[..16]).into_bytes()
}

#[test]
fn an_intact_log_is_summed_up() {
    let lines = sample(5);
    let summary = check(&lines).unwrap();
    assert_eq!((summary.lines, summary.brokers), (5, vec!["b1".to_owned()]));
    assert_eq!(summary.first.unwrap(), LineInfo { seq: 1, time: "2026-09-21T14:13:20.000Z".into() });
    assert_eq!(summary.last.unwrap(), LineInfo { seq: 5, time: "2026-09-21T14:13:20.004Z".into() });
    assert_eq!(summary.head, Hex::of(lines[4].strip_suffix(b"\n").unwrap()).as_str());
    assert_eq!(check(&[]).unwrap().lines, 0);
}

#[test]
fn each_kind_of_damage_is_called_by_its_name_at_its_line() {
    let intact = sample(6);
    let with = |change: &dyn Fn(&mut Vec<Vec<u8>>)| {
        let mut lines = intact.clone();
        change(&mut lines);
        fault(&lines)
    };
    assert_eq!(with(&|l| l[2][30] ^= 1), (3, Fault::Changed));
    assert_eq!(with(&|l| l[2] = forged(&l[2], "granted", "refused")), (3, Fault::Changed));
    assert_eq!(with(&|l| drop(l.remove(2))), (3, Fault::Dropped));
    assert_eq!(with(&|l| drop(l.remove(0))), (1, Fault::Dropped));
    assert_eq!(with(&|l| l.insert(3, l[2].clone())), (4, Fault::Inserted));
    assert_eq!(with(&|l| l.swap(1, 4)), (2, Fault::Reordered));
    assert_eq!(with(&|l| assert!(l[5].pop().is_some())), (6, Fault::Truncated));
    assert_eq!(with(&|l| l[5].truncate(20)), (6, Fault::Truncated));
    assert_eq!(with(&|l| l.insert(2, b"\n".to_vec())), (3, Fault::Changed));
    assert_eq!(with(&|l| l[3] = vec![b'x'; MAX_LINE * 2]), (4, Fault::Changed));
}

#[test]
fn a_head_from_before_shows_a_tail_that_was_cut_off() {
    let lines = sample(6);
    let hold = |lines: &[Vec<u8>], head: &str| {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), lines.concat()).unwrap();
        verify_holding(file.path(), head)
    };
    let head = check(&lines[..4]).unwrap().head;
    assert_eq!((hold(&lines, &head).unwrap().lines, hold(&lines[..4], &head).unwrap().lines), (6, 4));
    let cut = hold(&lines[..3], &head).unwrap_err();
    assert_eq!((cut.line, cut.fault), (3, Fault::HeadMissing));
    assert_eq!(hold(&[], &head).unwrap_err().fault, Fault::HeadMissing);
    let empty = check(&[]).unwrap().head;
    assert!(hold(&lines, &empty).is_ok() && hold(&[], &empty).is_ok(), "an empty log is the beginning of any");
}

#[test]
fn a_forged_line_that_claims_to_continue_another_file_fits_nowhere_but_at_the_top() {
    let mut lines = sample(4);
    lines[2] = forged(&lines[2], "\"mint\"", "\"chain.continue\"");
    let before = Hex::of(lines[1].strip_suffix(b"\n").unwrap());
    lines[2] = forged(&lines[2], before.as_str(), &"1".repeat(64));
    assert_eq!(fault(&lines), (3, Fault::Dropped));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn any_single_byte_that_differs_is_found(n in 1usize..6, at in any::<prop::sample::Index>(), flip in 1u8..) {
        let mut text = sample(n).concat();
        let at = at.index(text.len());
        text[at] ^= flip;
        prop_assert!(check(&[text]).is_err());
    }

    #[test]
    fn any_line_removed_doubled_or_moved_is_found(a in 0usize..8, b in 0usize..8) {
        let intact = sample(8);
        let mut removed = intact.clone();
        removed.remove(a);
        // But for the last: the rest is then a log as it once was.
        prop_assert_eq!(check(&removed).is_ok(), a == 7);
        let mut doubled = intact.clone();
        doubled.insert(b, intact[a].clone());
        prop_assert!(check(&doubled).is_err());
        let mut swapped = intact.clone();
        swapped.swap(a, b);
        prop_assert_eq!(check(&swapped).is_ok(), a == b);
    }
}

/// The same lines in three files, as a rotation leaves them.
fn in_files(dir: &Path, files: [&[Vec<u8>]; 3]) -> PathBuf {
    let path = dir.join("audit.jsonl");
    let names = Names::of(&path);
    let [first, second] = [3, 6].map(|last| names.closed("2026-09-21", last));
    for (path, lines) in [&first, &second, &path].into_iter().zip(files) {
        std::fs::write(path, lines.concat()).unwrap();
    }
    path
}

#[test]
fn a_log_in_many_files_is_one() {
    let dir = tempfile::tempdir().unwrap();
    let lines = sample(9);
    let whole = check(&lines).unwrap();
    let path = in_files(dir.path(), [&lines[..3], &lines[3..6], &lines[6..]]);
    assert_eq!(verify(&path).unwrap(), whole);
    let fault = |files: [&[Vec<u8>]; 3]| {
        let dir = tempfile::tempdir().unwrap();
        let broken = verify(&in_files(dir.path(), files)).unwrap_err();
        let name = broken.file.unwrap().file_name().unwrap().to_str().unwrap().to_owned();
        (name, broken.line, broken.fault)
    };
    let (one, two, last) =
        ("audit-2026-09-21-000000000003.jsonl", "audit-2026-09-21-000000000006.jsonl", "audit.jsonl");
    assert_eq!(fault([&lines[..3], &[], &lines[6..]]), (last.into(), 1, Fault::Dropped), "a file is missing");
    assert_eq!(fault([&lines[..2], &lines[3..6], &lines[6..]]), (two.into(), 1, Fault::Dropped));
    assert_eq!(fault([&lines[..3], &lines[6..], &lines[3..6]]), (two.into(), 1, Fault::Reordered));
    assert_eq!(fault([&lines[..3], &lines[..3], &lines[3..]]), (two.into(), 1, Fault::Inserted));
    let mut changed = lines.clone();
    changed[2] = forged(&changed[2], "granted", "refused");
    assert_eq!(fault([&changed[..3], &changed[3..6], &changed[6..]]), (one.into(), 3, Fault::Changed));
    let mut half = lines.clone();
    half[5].truncate(40);
    assert_eq!(fault([&half[..3], &half[3..6], &half[6..]]), (two.into(), 3, Fault::Truncated));
}

#[test]
fn an_intact_log_is_never_walked_line_by_line() {
    let dir = tempfile::tempdir().unwrap();
    let lines = sample(60);
    let path = in_files(dir.path(), [&lines[..13], &lines[13..47], &lines[47..]]);
    let log = Log::open(&path).unwrap();
    let mut walk = Walk::new(Wanted::default());
    assert!(pieces::walk(&log, Start::default(), &mut walk, Wanted::default()).unwrap().is_none());
    assert_eq!((walk.lines, walk.seq, walk.at.line), (60, 60, 13));
}

fn points(lines: &[Vec<u8>], seqs: &[u64]) -> Vec<Point> {
    let of = |seq: &u64| {
        let line = lines[*seq as usize - 1].strip_suffix(b"\n").unwrap();
        Point { seq: *seq, head: Hex::of(line).as_str().to_owned() }
    };
    seqs.iter().map(of).collect()
}

#[test]
fn points_known_from_elsewhere_show_what_the_chain_alone_cannot() {
    let dir = tempfile::tempdir().unwrap();
    let lines = sample(9);
    let known = points(&lines, &[2, 6, 8]);
    let told = |lines: &[Vec<u8>]| {
        let path = in_files(dir.path(), [&lines[..3], &lines[3..6], &lines[6..]]);
        verify_with(&path, Wanted { points: &known, ..Wanted::default() })
    };
    assert_eq!(told(&lines).unwrap().points, 3);
    let cut = told(&lines[..7]).unwrap_err();
    assert_eq!((cut.line, cut.fault), (1, Fault::Truncated), "line 8 is gone");
    assert!(cut.why.contains("a line 8") && cut.why.contains("ends in line 7"), "{cut}");
    // The whole log from line 4 on is written anew, chain and sums and all.
    let mut chain = Chain::START;
    let other: Vec<Vec<u8>> = (0..9)
        .map(|n| {
            let mut line = Vec::new();
            let detail = if n < 3 { format!("ä {n}") } else { format!("other {n}") };
            let record = AuditRecord::new(Event::Mint, Outcome::Granted).detail(&detail);
            chain.push(&mut line, "b1", 1_790_000_000_000 + n, &record);
            line
        })
        .collect();
    assert_eq!(other[..3], lines[..3]);
    assert!(check(&other).is_ok(), "by itself it is whole");
    let anew = told(&other).unwrap_err();
    assert_eq!((anew.line, anew.fault), (3, Fault::Changed));
    assert!(anew.why.contains("checkpoint") && anew.file.unwrap().ends_with("audit-2026-09-21-000000000006.jsonl"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    /// Pieces find the same as a walk line by line over the same text.
    #[test]
    fn in_pieces_or_not_the_same_is_said(n in 1usize..40, at in any::<prop::sample::Index>(), flip in 0u8.., kind in 0..4) {
        let mut lines = sample(n);
        let here = at.index(lines.len());
        match kind {
            0 => { let byte = at.index(lines[here].len()); lines[here][byte] ^= flip; }
            1 => drop(lines.remove(here)),
            2 => lines.insert(here, lines[at.index(n)].clone()),
            _ => lines.swap(here, usize::from(flip) % n),
        }
        let text = lines.concat();
        let alone = verify_text(&text[..], None, || false).map_err(|broken| (broken.line, broken.fault, broken.why));
        let whole = check(&[text]).map_err(|broken| (broken.line, broken.fault, broken.why));
        prop_assert_eq!(alone, whole);
    }
}
