//! What a log in many files promises: one chain, whatever happens between two of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use super::files::Names;
use super::*;
use crate::model::{Clock, UnixTime, WorkloadId};

fn options(folder: &TempDir, rotation: Rotation) -> AuditOptions {
    let clock = Clock::manual(UnixTime::from_secs(1_790_000_000));
    AuditOptions { clock, rotation, ..AuditOptions::new(folder.path().join("audit.jsonl"), "b1") }
}

fn small() -> Rotation {
    Rotation { size: Some(1000), ..Rotation::default() }
}

fn granted() -> AuditRecord {
    AuditRecord::new(Event::Mint, Outcome::Granted).workload(WorkloadId::parse("nightly-report").unwrap())
}

fn path(folder: &TempDir) -> PathBuf {
    folder.path().join("audit.jsonl")
}

fn closed(folder: &TempDir) -> Vec<PathBuf> {
    Names::of(&path(folder)).list().unwrap().into_iter().map(|closed| closed.path).collect()
}

fn events(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    let event = |line: &str| Line::parse(line.as_bytes()).unwrap().event.to_string();
    text.lines().map(event).collect()
}

#[tokio::test]
async fn a_file_that_is_long_enough_is_closed_and_the_chain_goes_on_in_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let log = AuditLog::open(options(&folder, small())).unwrap();
    let mut closings = log.closed();
    for _ in 0..20 {
        log.note(granted()).await.unwrap();
    }
    let files = closed(&folder);
    assert!(files.len() >= 4, "{files:?}");
    assert!(files[0].file_name().unwrap().to_str().unwrap().starts_with("audit-2026-09-21-0000000000"));
    for (file, before) in files[1..].iter().chain([&path(&folder)]).zip(&files) {
        assert_eq!(events(file)[0], "chain.continue");
        let told = fs::read_to_string(file).unwrap();
        let name = before.file_name().unwrap().to_str().unwrap();
        assert!(told.lines().next().unwrap().contains(&format!("goes on from {name}")));
        let first: serde_json::Value = serde_json::from_str(told.lines().next().unwrap()).unwrap();
        assert_eq!(first["prev"], verify(before).unwrap().head);
    }
    let whole = verify(log.path()).unwrap();
    assert_eq!((whole.first.unwrap().seq, whole.continues, whole.head.as_str()), (1, None, log.head().hash()));
    assert!(whole.lines > 20);
    let last = closings.borrow_and_update().unwrap();
    assert_eq!(verify(files.last().unwrap()).unwrap().head, last.hash());
}

#[tokio::test]
async fn another_day_closes_the_file_also_of_a_broker_that_slept_over_it() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::manual(UnixTime::from_secs(1_790_000_000));
    let rotation = Rotation { daily: true, ..Rotation::default() };
    let open = || AuditLog::open(AuditOptions { clock: clock.clone(), ..options(&folder, rotation) }).unwrap();
    let log = open();
    log.note(granted()).await.unwrap();
    log.note(granted()).await.unwrap();
    clock.set(clock.now().plus(Duration::from_secs(86_400)));
    log.note(granted()).await.unwrap();
    assert_eq!(closed(&folder).len(), 1);
    drop(log);
    clock.set(clock.now().plus(Duration::from_secs(86_400)));
    open().note(granted()).await.unwrap();
    let files = closed(&folder);
    let names: Vec<_> = files.iter().map(|file| file.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(names, ["audit-2026-09-21-000000000002.jsonl", "audit-2026-09-22-000000000004.jsonl"]);
    assert_eq!(verify(&path(&folder)).unwrap().lines, 6);
}

#[tokio::test]
async fn a_broker_that_died_between_two_files_goes_on_wherever_it_was() {
    // What is in the new file's place after each step: nothing, an empty file, half a line, one line.
    for left in [None, Some(0), Some(30), Some(usize::MAX)] {
        let folder = tempfile::tempdir().unwrap();
        let log = AuditLog::open(options(&folder, small())).unwrap();
        while closed(&folder).is_empty() {
            log.note(granted()).await.unwrap();
        }
        drop(log);
        let first = fs::read(path(&folder)).unwrap();
        fs::remove_file(path(&folder)).unwrap();
        if let Some(len) = left {
            let end = first.iter().position(|b| *b == b'\n').unwrap() + 1;
            fs::write(path(&folder), &first[..len.min(end)]).unwrap();
        }
        let log = AuditLog::open(options(&folder, Rotation::default())).unwrap();
        log.note(granted()).await.unwrap();
        let summary = verify(log.path()).unwrap();
        assert_eq!((summary.first.unwrap().seq, summary.continues), (1, None), "{left:?}");
        let told = events(log.path());
        assert_eq!(told[0], "chain.continue", "{left:?}: {told:?}");
        assert_eq!(told.iter().any(|event| event == "chain.torn"), left == Some(30), "{left:?}: {told:?}");
    }
}

#[tokio::test]
async fn a_rotation_that_fails_stops_the_log_until_it_can_be_done() {
    let folder = tempfile::tempdir().unwrap();
    let log = AuditLog::open(options(&folder, small())).unwrap();
    while fs::metadata(log.path()).unwrap().len() < 1000 {
        log.note(granted()).await.unwrap();
    }
    // Something has the name that the file is to get.
    let taken = Names::of(log.path()).closed("2026-09-21", log.head().seq);
    fs::write(&taken, "x").unwrap();
    let error = log.witness(granted(), ()).await.unwrap_err().to_string();
    assert!(error.contains("renamed for the next file") && error.contains("already"), "{error}");
    log.post(AuditRecord::new(Event::Complete, Outcome::Done));
    assert!(log.healthy().is_err());
    fs::remove_file(&taken).unwrap();
    let started = std::time::Instant::now();
    while log.healthy().is_err() {
        assert!(started.elapsed() < Duration::from_secs(10), "it goes on by itself");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(log.witness(granted(), ()).await.is_ok());
    assert_eq!(closed(&folder), [taken]);
    assert_eq!(events(log.path())[..3], ["chain.continue", "chain.resume", "complete"]);
    assert!(verify(log.path()).is_ok());
}

#[test]
fn a_folder_that_cannot_be_written_is_refused_at_the_start() {
    use std::os::unix::fs::PermissionsExt as _;
    if rustix::process::geteuid().is_root() {
        // Root is denied nothing.
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    drop(AuditLog::open(options(&folder, Rotation::default())).unwrap());
    let mode = |mode| fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode)).unwrap();
    mode(0o500);
    let (one, many) =
        (AuditLog::open(options(&folder, Rotation::default())), AuditLog::open(options(&folder, small())));
    mode(0o700);
    assert!(one.is_ok() && many.unwrap_err().to_string().contains("its folder cannot be written"));
}

#[tokio::test]
async fn no_more_closed_files_stay_than_are_kept_and_a_line_says_which_went() {
    let folder = tempfile::tempdir().unwrap();
    let log = AuditLog::open(options(&folder, Rotation { keep: Some(2), ..small() })).unwrap();
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..40 {
        log.note(granted()).await.unwrap();
        seen.extend(closed(&folder));
    }
    let stay = closed(&folder);
    assert_eq!(stay.len(), 2);
    let mut told = String::new();
    Records::open(log.path())
        .unwrap()
        .for_each(|line| {
            if &*line.event == "chain.expire" {
                told.push_str(line.detail.as_deref().unwrap_or_default());
            }
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
    let gone: Vec<_> = seen.iter().filter(|file| !stay.contains(file)).collect();
    assert!(told.contains(gone.last().unwrap().file_name().unwrap().to_str().unwrap()), "{told}");
    let summary = verify(log.path()).unwrap();
    assert!(summary.continues.is_some() && summary.first.unwrap().seq > 1, "what is left is whole");
}

#[tokio::test]
async fn many_writers_and_a_reader_over_many_files_miss_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let log = Arc::new(AuditLog::open(options(&folder, small())).unwrap());
    log.note(granted()).await.unwrap();
    let (_, mut follow) = Follow::open(log.path(), 0, Filter::default()).unwrap();
    let writers: Vec<_> = (0..8)
        .map(|_| {
            let log = log.clone();
            tokio::spawn(async move {
                for _ in 0..50 {
                    log.note(granted()).await.unwrap();
                }
            })
        })
        .collect();
    let mut seqs = Vec::new();
    let mut read = |follow: &mut Follow| {
        for line in follow.next_lines().unwrap() {
            seqs.push(Line::parse(line.as_bytes()).unwrap().seq);
        }
    };
    for writer in writers {
        read(&mut follow);
        writer.await.unwrap();
    }
    read(&mut follow);
    let last = verify(log.path()).unwrap().last.unwrap().seq;
    assert_eq!(seqs, (2..=last).collect::<Vec<_>>());
}
