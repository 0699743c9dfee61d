//! What a process used of a core, what a turn of requests took, and medians of turns.

use std::process::Command;
use std::time::Duration;

use rustix::process::Pid;

/// Where what is measured runs.
pub const MEASURED_CORE: &str = "0";
/// Where all else runs.
const LOAD_CORE: &str = "1";

/// Puts this process, and what it starts, onto the core of the load. On a machine that has one core only, it stays there.
pub fn off_the_measured_core() {
    let own = std::process::id().to_string();
    let _ = Command::new("taskset").args(["-a", "-p", "-c", LOAD_CORE, &own]).output();
}

/// CPU time of a process so far, in microseconds, user and system, all its threads (`/proc/PID/task/*/schedstat`).
pub fn cpu_us(pid: Pid) -> f64 {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", pid.as_raw_nonzero())).unwrap();
    let of = |task: std::io::Result<std::fs::DirEntry>| {
        let text = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<f64>().ok()
    };
    tasks.filter_map(of).sum::<f64>() / 1000.0
}

/// What a turn of requests took.
#[derive(Debug, Clone)]
pub struct Turn {
    cpu_us: f64,
    load_us: f64,
    took: Duration,
    /// Of each answer, in order of size.
    times: Vec<Duration>,
}

impl Turn {
    pub fn new(cpu_us: f64, load_us: f64, took: Duration, mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self { cpu_us, load_us, took, times }
    }

    /// Several as one.
    pub fn together(turns: &[Self]) -> Self {
        let times = turns.iter().flat_map(|turn| turn.times.iter().copied()).collect();
        let sum = |of: fn(&Self) -> f64| turns.iter().map(of).sum();
        Self::new(sum(|turn| turn.cpu_us), sum(|turn| turn.load_us), turns.iter().map(|turn| turn.took).sum(), times)
    }

    /// How many requests there were.
    pub const fn requests(&self) -> usize {
        self.times.len()
    }

    /// CPU of the server a request, in microseconds.
    pub fn cpu_us(&self) -> f64 {
        self.cpu_us / self.count()
    }

    /// The same of what drives it.
    pub fn load_us(&self) -> f64 {
        self.load_us / self.count()
    }

    pub fn p50_us(&self) -> f64 {
        self.percentile(50)
    }

    pub fn p99_us(&self) -> f64 {
        self.percentile(99)
    }

    /// Requests a second.
    pub fn rate(&self) -> f64 {
        self.count() / self.took.as_secs_f64()
    }

    /// How much of its core the server used, in percent. Well below 100 something else set the rate: the load, Redis, or
    /// another program on that core.
    pub fn busy(&self) -> f64 {
        self.cpu_us / self.took.as_secs_f64() / 1e4
    }

    #[allow(clippy::cast_precision_loss, reason = "some thousands")]
    fn count(&self) -> f64 {
        self.requests() as f64
    }

    fn percentile(&self, percent: usize) -> f64 {
        self.times[(self.times.len() * percent / 100).min(self.times.len() - 1)].as_secs_f64() * 1e6
    }
}

/// A median, and between what it lies.
#[derive(Debug, Clone, Copy, serde::Serialize)]
pub struct Spread {
    pub least: f64,
    pub median: f64,
    pub most: f64,
}

impl Spread {
    pub fn of(figures: impl Iterator<Item = f64>) -> Self {
        let mut figures: Vec<f64> = figures.collect();
        figures.sort_unstable_by(f64::total_cmp);
        let at = |n: usize| figures.get(n).copied().unwrap_or(f64::NAN);
        let last = figures.len().saturating_sub(1);
        Self { least: at(0), median: at(figures.len() / 2), most: at(last) }
    }
}
