//! What the log promises, as its users see it.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use serde_json::Value;
use tempfile::TempDir;

use super::chain::Hex;
use super::*;
use crate::model::{Clock, Reason, UnixTime, WorkloadId};

fn options(folder: &TempDir) -> AuditOptions {
    let clock = Clock::manual(UnixTime::from_secs(1_790_000_000));
    AuditOptions { clock, ..AuditOptions::new(folder.path().join("audit.jsonl"), "b1") }
}

fn granted() -> AuditRecord {
    AuditRecord::new(Event::Mint, Outcome::Granted).workload(WorkloadId::parse("nightly-report").unwrap())
}

fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'), "only whole lines");
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn events(path: &Path) -> Vec<String> {
    lines(path).iter().map(|line| line["event"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_record_is_in_the_file_before_its_proof_is_given_back() {
    let folder = tempfile::tempdir().unwrap();
    let log = AuditLog::open(options(&folder)).unwrap();
    let proof = log.witness(granted(), "lease").await.unwrap();
    assert_eq!(*proof.get(), "lease");
    let lines = lines(log.path());
    assert_eq!(lines[0]["v"], 1);
    assert_eq!(lines[0]["time"], "2026-09-21T14:13:20.000Z");
    assert_eq!(lines[0]["seq"], 1);
    assert_eq!(lines[0]["broker"], "b1");
    assert_eq!(lines[0]["event"], "mint");
    assert_eq!(lines[0]["outcome"], "granted");
    assert_eq!(lines[0]["workload"], "nightly-report");
    assert_eq!(lines[0]["prev"], "0".repeat(64));
}

#[tokio::test]
async fn a_file_is_its_owner_s_alone_and_written_by_one_broker() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let log = AuditLog::open(options(&folder)).unwrap();
    assert_eq!(fs::metadata(log.path()).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(matches!(AuditLog::open(options(&folder)), Err(AuditError::Locked(_))));
    drop(log);
    assert!(AuditLog::open(options(&folder)).is_ok());
}

#[tokio::test]
async fn a_restart_takes_up_number_and_hash() {
    let folder = tempfile::tempdir().unwrap();
    for _ in 0..3 {
        let log = AuditLog::open(options(&folder)).unwrap();
        let _ = log.witness(granted(), ()).await.unwrap();
        log.post(AuditRecord::new(Event::Stop, Outcome::Done));
    }
    let path = folder.path().join("audit.jsonl");
    let text = fs::read_to_string(&path).unwrap();
    let mut before = Hex::ZERO;
    for (n, line) in text.lines().enumerate() {
        let value: Value = serde_json::from_str(line).unwrap();
        assert_eq!(value["seq"], n as u64 + 1);
        assert_eq!(value["prev"], before.as_str());
        before = Hex::of(line.as_bytes());
    }
    assert_eq!(events(&path), ["mint", "stop"].repeat(3));
}

#[tokio::test]
async fn many_records_at_once_share_writes() {
    let folder = tempfile::tempdir().unwrap();
    let log = Arc::new(AuditLog::open(AuditOptions { durability: Durability::Sync, ..options(&folder) }).unwrap());
    let all: Vec<_> = (0..500)
        .map(|_| {
            let log = log.clone();
            tokio::spawn(async move { log.witness(granted(), ()).await.map(|_| ()) })
        })
        .collect();
    for one in all {
        one.await.unwrap().unwrap();
    }
    assert_eq!(log.counters().lines.load(Relaxed), 500);
    assert!(log.counters().writes.load(Relaxed) < 500);
    assert_eq!(lines(log.path()).len(), 500);
}

fn prevs_and_hashes(path: &Path) -> Vec<(String, String)> {
    let text = fs::read_to_string(path).unwrap();
    text.lines()
        .map(|line| {
            let value: Value = serde_json::from_str(line).unwrap();
            (value["prev"].as_str().unwrap().to_owned(), Hex::of(line.as_bytes()).as_str().to_owned())
        })
        .collect()
}

#[test]
fn half_a_last_line_is_set_aside_and_the_chain_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    let write_one = || AuditLog::open(options(&folder)).unwrap().post(granted());
    write_one();
    let whole = fs::read(&path).unwrap();
    fs::write(&path, [&whole[..], &whole[..40]].concat()).unwrap();
    write_one();
    assert_eq!(events(&path), ["mint", "chain.torn", "mint"]);
    let aside = folder.path().join("audit.jsonl.torn-2026-09-21T14:13:20.000Z");
    assert_eq!(fs::read(&aside).unwrap(), &whole[..40]);
    assert!(lines(&path)[1]["detail"].as_str().unwrap().contains("40 bytes"));
    assert_eq!(verify(&path).unwrap().lines, 3);
}

#[test]
fn half_a_first_line_is_set_aside_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    fs::write(&path, "{\"v\":1,\"time\":\"2026").unwrap();
    drop(AuditLog::open(options(&folder)).unwrap());
    assert_eq!(events(&path), ["chain.torn"]);
    assert_eq!(verify(&path).unwrap().lines, 1);
}

#[test]
fn what_is_no_log_of_ours_is_refused_by_name_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    for foreign in ["root:x:0:0\n", "hello", "{\"v\":1}\n", "\n", "{\"v\":1,\"time\":\"x\"}\nhalf"] {
        fs::write(&path, foreign).unwrap();
        let error = AuditLog::open(options(&folder)).unwrap_err();
        assert!(matches!(error, AuditError::Foreign { .. }), "{foreign:?}: {error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), foreign);
    }
    fs::write(&path, "").unwrap();
    assert!(AuditLog::open(options(&folder)).is_ok());
}

#[test]
fn a_last_line_that_was_changed_is_not_built_upon() {
    let folder = tempfile::tempdir().unwrap();
    AuditLog::open(options(&folder)).unwrap().post(granted());
    let path = folder.path().join("audit.jsonl");
    let changed = fs::read_to_string(&path).unwrap().replace("nightly", "monthly");
    fs::write(&path, changed).unwrap();
    let error = AuditLog::open(options(&folder)).unwrap_err().to_string();
    assert!(error.contains("its own sum") && error.contains("move the file away"), "{error}");
}

#[test]
fn what_is_no_regular_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for path in [folder.path(), Path::new("/dev/full")] {
        let error = AuditLog::open(AuditOptions::new(path, "b1")).unwrap_err();
        assert!(matches!(error, AuditError::NotRegular(_)), "{error}");
    }
    let missing = AuditLog::open(AuditOptions::new(folder.path().join("no/audit.jsonl"), "b1")).unwrap_err();
    assert!(matches!(missing, AuditError::Io { .. }), "{missing}");
    let unnamed = AuditLog::open(AuditOptions::new(folder.path().join("audit.jsonl"), "a.b")).unwrap_err();
    assert!(matches!(unnamed, AuditError::BrokerName));
}

#[tokio::test]
async fn a_file_that_was_moved_away_goes_on_in_a_new_one_that_names_the_old_one_s_last_line() {
    let folder = tempfile::tempdir().unwrap();
    let log = AuditLog::open(options(&folder)).unwrap();
    log.note(granted()).await.unwrap();
    let old = folder.path().join("audit.jsonl.1");
    fs::rename(log.path(), &old).unwrap();
    log.note(granted()).await.unwrap();
    log.note(granted()).await.unwrap();
    assert_eq!(events(log.path()), ["chain.continue", "mint", "mint"]);
    let (before, after) = (verify(&old).unwrap(), verify(log.path()).unwrap());
    assert_eq!(after.continues.as_deref(), Some(before.head.as_str()));
    assert_eq!(after.first.unwrap().seq, before.last.unwrap().seq + 1);
    fs::remove_file(log.path()).unwrap();
    log.note(granted()).await.unwrap();
    assert_eq!(events(log.path()), ["chain.continue", "mint"]);
    assert_eq!(verify(log.path()).unwrap().continues, Some(after.head));
}

#[tokio::test]
async fn a_copy_of_the_same_lines_in_its_place_is_the_same_log() {
    let folder = tempfile::tempdir().unwrap();
    let log = AuditLog::open(options(&folder)).unwrap();
    log.note(granted()).await.unwrap();
    let copy = folder.path().join("copy");
    fs::copy(log.path(), &copy).unwrap();
    fs::rename(&copy, log.path()).unwrap();
    log.note(granted()).await.unwrap();
    assert_eq!(events(log.path()), ["mint", "mint"]);
    assert_eq!(verify(log.path()).unwrap().lines, 2);
}

#[tokio::test]
async fn lines_cut_off_under_a_running_broker_show_in_the_chain() {
    let folder = tempfile::tempdir().unwrap();
    let log = AuditLog::open(options(&folder)).unwrap();
    log.note(granted()).await.unwrap();
    let one = fs::read(log.path()).unwrap();
    log.note(granted()).await.unwrap();
    let cut = fs::OpenOptions::new().write(true).open(log.path()).unwrap();
    cut.set_len(one.len() as u64).unwrap();
    log.note(granted()).await.unwrap();
    let broken = verify(log.path()).unwrap_err();
    assert_eq!((broken.line, broken.fault), (2, Fault::Dropped));
    // Emptied as a whole, as `copytruncate` does, it goes on like a new file.
    cut.set_len(0).unwrap();
    log.note(granted()).await.unwrap();
    assert!(verify(log.path()).unwrap().continues.is_some());
}

/// Waits for what the writer does by itself.
async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = std::time::Instant::now();
    while !is_so() {
        assert!(started.elapsed() < std::time::Duration::from_secs(10), "{what}");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn while_it_cannot_be_written_nothing_is_witnessed_ends_are_kept_and_it_goes_on_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("logs");
    fs::create_dir(&inner).unwrap();
    let path = inner.join("audit.jsonl");
    let log = AuditLog::open(AuditOptions { path: path.clone(), ..options(&folder) }).unwrap();
    log.note(granted()).await.unwrap();
    let head = prevs_and_hashes(&path)[0].1.clone();
    fs::rename(&inner, folder.path().join("gone")).unwrap();
    for _ in 0..2 {
        assert!(log.witness(granted(), ()).await.is_err());
    }
    for n in 0..3 {
        log.post(AuditRecord::new(Event::Complete, Outcome::Done).count(n));
    }
    assert!(log.healthy().unwrap_err().contains("audit.jsonl"));
    assert!(log.counters().failures.load(Relaxed) >= 2);
    fs::create_dir(&inner).unwrap();
    until("healthy without anybody asking", || log.healthy().is_ok()).await;
    assert!(log.witness(granted(), ()).await.is_ok());
    let written = lines(&path);
    let told: Vec<_> = written.iter().map(|line| line["event"].as_str().unwrap()).collect();
    assert_eq!(told, ["chain.continue", "chain.resume", "complete", "complete", "complete", "mint"]);
    assert_eq!(written[0]["prev"], head);
    assert_eq!(written[1]["count"], 2);
    assert_eq!(written[2..5].iter().map(|line| line["count"].as_u64().unwrap()).collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(verify(&path).unwrap().lines, 6);
}

#[tokio::test]
async fn something_else_in_the_file_s_place_is_not_written_into() {
    let folder = tempfile::tempdir().unwrap();
    let log = AuditLog::open(options(&folder)).unwrap();
    log.note(granted()).await.unwrap();
    fs::remove_file(log.path()).unwrap();
    fs::write(log.path(), "somebody's notes\n").unwrap();
    assert!(matches!(log.note(granted()).await, Err(AuditError::Foreign { .. })));
    assert_eq!(fs::read_to_string(log.path()).unwrap(), "somebody's notes\n");
    fs::remove_file(log.path()).unwrap();
    log.note(granted()).await.unwrap();
    assert_eq!(events(log.path()), ["chain.continue", "chain.resume", "mint"]);
}

#[tokio::test]
async fn a_flood_of_refusals_to_unknown_callers_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let flood = FloodRate { per_second: 0, burst: 3 };
    let log = AuditLog::open(AuditOptions { flood, ..options(&folder) }).unwrap();
    for _ in 0..1000 {
        log.note_unknown(AuditRecord::refused(Event::Mint, Reason::InvalidClient)).await.unwrap();
    }
    let path = log.path().to_owned();
    until("the summary comes by itself", || events(&path).len() == 4).await;
    let summary = &lines(&path)[3];
    assert_eq!((&summary["event"], &summary["refusal"]), (&"refused.summary".into(), &"invalid_client".into()));
    assert_eq!((&summary["count"], &summary["since"]), (&997.into(), &"2026-09-21T14:13:20.000Z".into()));
    assert_eq!(log.counters().summarised.load(Relaxed), 997);
}

#[tokio::test]
async fn subscribers_hear_each_line_as_it_stands_in_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let log = AuditLog::open(options(&folder)).unwrap();
    log.note(granted()).await.unwrap();
    let mut heard = log.subscribe();
    log.note(granted()).await.unwrap();
    log.post(AuditRecord::new(Event::Complete, Outcome::Done));
    let lines = [heard.recv().await.unwrap(), heard.recv().await.unwrap()];
    let text = fs::read_to_string(log.path()).unwrap();
    assert_eq!(text.lines().skip(1).map(str::as_bytes).collect::<Vec<_>>(), lines);
}

#[tokio::test]
async fn a_record_that_finds_the_queue_full_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let log = AuditLog::open(AuditOptions { queue: 0, ..options(&folder) }).unwrap();
    assert!(matches!(log.witness(granted(), ()).await, Err(AuditError::QueueFull)));
    assert!(log.healthy().is_ok(), "busy is not broken");
    assert_eq!(log.counters().failures.load(Relaxed), 1);
}
