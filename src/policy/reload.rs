//! The set in use, and how another takes its place: all or nothing, without a restart.
//!
//! Owns the look at the directory every two seconds and the reload on demand. A set that does not load changes
//! nothing: the one before stays.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};

use super::diagnostic::{Diagnostic, Diagnostics};
use super::set::PolicySet;
use super::sources::{Stamps, changed};
use crate::model::{Clock, UnixTime};

/// How often the directory is looked at.
pub const LOOK_EVERY: Duration = Duration::from_secs(2);

/// What a reload came to, for logs, metrics and the audit log.
#[derive(Debug)]
pub enum Reloaded<'a> {
    /// A set was loaded and is in use; it may be the same one again.
    Loaded(&'a Arc<PolicySet>, &'a [Diagnostic]),
    /// The directory's set does not load; the one before stays.
    Refused(&'a Diagnostics),
}

/// A directory whose set did not load, while the one before is in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedSet {
    /// Since when: the first refusal after the last set that loaded.
    pub since: UnixTime,
    /// The first error of the last refusal: its place, and what is wrong there.
    pub finding: String,
}

/// Told of every reload, on the thread that did it; it must not reload in turn.
pub type OnReload = Box<dyn Fn(Reloaded<'_>) + Send + Sync>;

/// The policy set in use. Read without a lock; replaced whole.
pub struct Policies {
    current: ArcSwap<PolicySet>,
    loaded_at: AtomicU64,
    refused: ArcSwapOption<RefusedSet>,
    warnings: ArcSwap<Vec<String>>,
    clock: Clock,
    /// `None` for a set that was made in memory.
    source: Option<Source>,
    on_reload: OnReload,
}

struct Source {
    dir: PathBuf,
    /// Held through a reload, so that two never cross; what was looked at last time.
    seen: Mutex<Stamps>,
}

impl Policies {
    /// Loads the set under `dir`, with its warnings.
    ///
    /// # Errors
    /// Everything that is wrong in it.
    pub fn open(dir: PathBuf, clock: Clock, on_reload: OnReload) -> Result<(Self, Vec<Diagnostic>), Diagnostics> {
        let now = clock.now();
        let (loaded, stamps) = PolicySet::load_stamped(&dir, now);
        let (set, warnings) = loaded?;
        let source = Some(Source { dir, seen: Mutex::new(stamps) });
        let policies = Self::with(set, clock, source, on_reload);
        policies.warnings.store(Arc::new(lines(&warnings)));
        Ok((policies, warnings))
    }

    /// A set that never changes, for tests and benches.
    pub fn fixed(set: PolicySet, clock: Clock) -> Self {
        Self::with(set, clock, None, Box::new(|_| ()))
    }

    fn with(set: PolicySet, clock: Clock, source: Option<Source>, on_reload: OnReload) -> Self {
        let loaded_at = AtomicU64::new(clock.now().secs());
        Self {
            current: ArcSwap::from_pointee(set),
            loaded_at,
            refused: ArcSwapOption::empty(),
            warnings: ArcSwap::default(),
            clock,
            source,
            on_reload,
        }
    }

    /// The set in use. Take it once for one request, so that one set decides it whole.
    pub fn current(&self) -> Arc<PolicySet> {
        self.current.load_full()
    }

    /// The directory it comes from; none for a set that was made in memory.
    pub fn dir(&self) -> Option<&Path> {
        self.source.as_ref().map(|source| source.dir.as_path())
    }

    /// When the set in use was loaded.
    pub fn loaded_at(&self) -> UnixTime {
        UnixTime::from_secs(self.loaded_at.load(Ordering::Relaxed))
    }

    /// What is wrong with the directory, where its set was refused and the one in use is older.
    pub fn refused(&self) -> Option<Arc<RefusedSet>> {
        self.refused.load_full()
    }

    /// What was found in the set in use when it was loaded, a line each: it loads, and something in it is probably not meant.
    pub fn warnings(&self) -> Arc<Vec<String>> {
        self.warnings.load_full()
    }

    /// Loads the directory again, whether or not it changed. Reads files: for a blocking thread.
    ///
    /// # Errors
    /// Everything that is wrong in the set; the one in use stays.
    pub fn reload(&self) -> Result<Arc<PolicySet>, Diagnostics> {
        let Some(source) = &self.source else { return Ok(self.current()) };
        let mut seen = source.seen.lock().unwrap_or_else(PoisonError::into_inner);
        self.replace(source, &mut seen)
    }

    /// Loads the directory again if anything in it changed since it was last looked at; a set that was refused is not
    /// tried again until then. Reads files: for a blocking thread.
    pub fn look(&self) {
        let Some(source) = &self.source else { return };
        let mut seen = source.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if changed(&source.dir, &seen) {
            // Whoever listens was told; there is nobody else to tell.
            drop(self.replace(source, &mut seen));
        }
    }

    /// Looks at the directory every `every`, for ever: the work of a supervised task.
    pub async fn watch(self: Arc<Self>, every: Duration) {
        let mut ticks = tokio::time::interval(every);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let policies = self.clone();
            if let Err(error) = tokio::task::spawn_blocking(move || policies.look()).await {
                tracing::error!(%error, "looking at the policies failed");
            }
        }
    }

    fn replace(&self, source: &Source, seen: &mut Stamps) -> Result<Arc<PolicySet>, Diagnostics> {
        let now = self.clock.now();
        let (loaded, stamps) = PolicySet::load_stamped(&source.dir, now);
        *seen = stamps;
        match loaded {
            Ok((set, warnings)) => {
                let set = Arc::new(set);
                // First, so that whoever sees the new set does not see the refusal of before it.
                self.refused.store(None);
                self.current.store(set.clone());
                self.warnings.store(Arc::new(lines(&warnings)));
                self.loaded_at.store(now.secs(), Ordering::Relaxed);
                (self.on_reload)(Reloaded::Loaded(&set, &warnings));
                Ok(set)
            }
            Err(findings) => {
                let since = self.refused.load().as_ref().map_or(now, |before| before.since);
                self.refused.store(Some(Arc::new(RefusedSet { since, finding: findings.first_error() })));
                (self.on_reload)(Reloaded::Refused(&findings));
                Err(findings)
            }
        }
    }
}

/// A line for each, of the first hundred: who has more looks into the log.
fn lines(findings: &[Diagnostic]) -> Vec<String> {
    findings.iter().take(100).map(Diagnostic::in_one_line).collect()
}

impl std::fmt::Debug for Policies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Policies").field("current", &self.current.load()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::mpsc;

    use super::super::fixtures::{NOW, Question, files, workload_file};
    use super::*;

    const ALL: &str = r#"@id("all") permit(principal, action, resource);"#;

    fn write(dir: &Path, policies: &str) {
        for (path, text) in files(policies) {
            let path = dir.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    }

    fn open(dir: &Path) -> (Arc<Policies>, mpsc::Receiver<bool>) {
        let (tell, told) = mpsc::channel();
        let tell = move |what: Reloaded<'_>| tell.send(matches!(what, Reloaded::Loaded(..))).unwrap();
        let (policies, _) = Policies::open(dir.to_owned(), Clock::manual(NOW), Box::new(tell)).unwrap();
        (Arc::new(policies), told)
    }

    #[test]
    fn a_changed_set_takes_the_place_of_the_one_before() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "");
        let (policies, told) = open(dir.path());
        let before = policies.current();
        policies.look();
        assert!(told.try_recv().is_err() && Arc::ptr_eq(&before, &policies.current()));
        write(dir.path(), ALL);
        policies.look();
        assert_eq!(told.try_recv(), Ok(true));
        assert_ne!(before.digest(), policies.current().digest());
        assert!(Question::of("orders:read").decided(&policies.current()).is_ok());
        assert!(Question::of("orders:read").decided(&before).is_err());
    }

    #[test]
    fn a_set_that_does_not_load_changes_nothing_and_is_tried_once() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), ALL);
        let (policies, told) = open(dir.path());
        let before = policies.current();
        write(dir.path(), "permit(");
        fs::write(dir.path().join("workloads/gamma.toml"), workload_file()).unwrap();
        policies.look();
        assert_eq!(told.try_recv(), Ok(false));
        assert!(Arc::ptr_eq(&before, &policies.current()));
        policies.look();
        assert!(told.try_recv().is_err());
        let refused = policies.refused().unwrap();
        assert_eq!(refused.since, NOW);
        assert!(refused.finding.contains(".cedar:1:"), "{}", refused.finding);
        policies.clock.set(NOW.plus(Duration::from_secs(60)));
        assert!(policies.reload().is_err());
        assert_eq!(policies.refused().unwrap().since, NOW, "since the first of them");
        write(dir.path(), ALL);
        policies.look();
        assert!(policies.current().workload("gamma").is_some());
        assert_eq!(policies.refused(), None);
    }

    #[test]
    fn a_key_file_outside_the_usual_folders_is_watched_too() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), ALL);
        let key = super::super::fixtures::jwks();
        fs::write(dir.path().join("k.json"), &key).unwrap();
        let text = workload_file();
        let (head, _) = text.split_once("jwks").unwrap();
        fs::write(dir.path().join("workloads/alpha.toml"), format!("{head}jwks_file = \"../k.json\"\n")).unwrap();
        let (policies, told) = open(dir.path());
        policies.look();
        assert!(told.try_recv().is_err());
        fs::write(dir.path().join("k.json"), format!("{key}\n")).unwrap();
        policies.look();
        assert_eq!(told.try_recv(), Ok(true));
        fs::remove_file(dir.path().join("k.json")).unwrap();
        policies.look();
        assert_eq!(told.try_recv(), Ok(false));
    }

    #[tokio::test]
    async fn the_watch_sees_a_change_by_itself() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "");
        let (policies, told) = open(dir.path());
        let watch = tokio::spawn(policies.watch(Duration::from_millis(5)));
        write(dir.path(), ALL);
        let told = tokio::task::spawn_blocking(move || told.recv_timeout(Duration::from_secs(10))).await.unwrap();
        watch.abort();
        assert!(told.is_ok());
    }
}
