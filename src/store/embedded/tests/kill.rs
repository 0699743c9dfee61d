//! kill -9: what was acknowledged is there.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use super::fixture::InAFile;
use crate::model::LeaseId;
use crate::store::LeaseStore;
use crate::store::embedded::{EmbeddedStore, Options};
use crate::store::suite::{Ask, Fixture as _, KEY, completion, end, published};

/// Names the file to a child of this test; unset in every other run.
const FILE: &str = "JITNEY_TEST_STORE_TO_BE_KILLED";

#[test]
fn nothing_acknowledged_is_lost_by_kill_9() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    if let Some(file) = std::env::var_os(FILE) {
        runtime.block_on(record_until_killed(Path::new(&file)));
        return;
    }
    let fixture = runtime.block_on(InAFile::fresh());
    for after in [3, 40, 200] {
        let acknowledged = acknowledged_before_the_kill(&fixture.path(), after);
        let store = runtime.block_on(fixture.open());
        for line in &acknowledged {
            let (what, id) = line.split_once(' ').unwrap();
            let record = runtime.block_on(store.lease(LeaseId::parse(id).unwrap())).unwrap();
            let record = record.unwrap_or_else(|| panic!("{line} was acknowledged and is gone"));
            if what == "ended" {
                let again = runtime.block_on(end(&store, completion(record.lease.task.as_str())));
                assert_eq!(again.rules, [], "{line} was acknowledged, yet its task is open");
            }
        }
        drop(store);
        runtime.block_on(fixture.restart());
    }
}

/// Runs this very test as a child, kills it once it has acknowledged `after` calls, and gives all that it did.
fn acknowledged_before_the_kill(file: &Path, after: usize) -> Vec<String> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture", "--test-threads=1"])
        .arg(format!("{}::nothing_acknowledged_is_lost_by_kill_9", module_path!().split_once("::").unwrap().1))
        .env(FILE, file)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut said = lines.filter(|line| line.starts_with("recorded ") || line.starts_with("ended "));
    let mut acknowledged: Vec<String> = said.by_ref().take(after).collect();
    child.kill().unwrap();
    // What it said before it died is acknowledged too; a line that was cut short is not.
    acknowledged.extend(said.filter(|line| line.ends_with('.')).map(|line| line.trim_end_matches('.').to_owned()));
    child.wait().unwrap();
    assert!(acknowledged.len() >= after, "the child died by itself after {} calls", acknowledged.len());
    acknowledged.into_iter().map(|line| line.trim_end_matches('.').to_owned()).collect()
}

/// Mints and completes on eight tasks at once and says each acknowledgement, until it is killed.
async fn record_until_killed(file: &Path) {
    let store: Arc<dyn LeaseStore> = Arc::new(EmbeddedStore::open(file, Options::default()).unwrap());
    let epoch = store.head().await.unwrap().epoch;
    store.publish(published(KEY), epoch).await.unwrap();
    let run = std::process::id();
    let mut running = tokio::task::JoinSet::new();
    for worker in 0..8 {
        let store = Arc::clone(&store);
        running.spawn(async move {
            for turn in 0..100_000 {
                let name = format!("t{run}.{worker}.{turn}");
                let lease = Ask::task(&name, epoch).record(&store).await.unwrap();
                say("recorded", lease.id);
                if turn % 3 == 0 {
                    assert_eq!(end(&store, completion(&name)).await.rules.len(), 1);
                    say("ended", lease.id);
                }
            }
        });
    }
    running.join_all().await;
}

/// One line in one write, past the test harness's own buffer.
fn say(what: &str, id: LeaseId) {
    std::io::stdout().lock().write_all(format!("\n{what} {id}.\n").as_bytes()).unwrap();
}
