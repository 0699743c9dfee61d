//! What a process used of a core, and medians of turns.

use std::process::Command;

use rustix::process::Pid;

use super::load::Turn;

/// Where what is measured runs.
pub const MEASURED_CORE: &str = "0";
/// Where all else runs.
pub const LOAD_CORE: &str = "1";

/// Puts this process, and what it starts, onto a core. On a machine that has one core only, it stays there.
pub fn onto(core: &str) {
    let own = std::process::id().to_string();
    let _ = Command::new("taskset").args(["-a", "-p", "-c", core, &own]).output();
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

/// Turns of one side.
#[derive(Default)]
pub struct Figures(Vec<Turn>);

impl Figures {
    pub fn add(&mut self, turn: &Turn) {
        self.0.push(turn.clone());
    }
}

/// A figure of both sides: the median of each, and the median of the ratios turn by turn.
pub struct Figure {
    pub ours: f64,
    pub floor: f64,
    pub ratio: f64,
}

impl Figure {
    pub fn of(ours: &Figures, floors: &Figures, of: fn(&Turn) -> f64) -> Self {
        let ratios = ours.0.iter().zip(&floors.0).map(|(ours, floor)| of(ours) / of(floor)).collect();
        let each = |figures: &Figures| median(figures.0.iter().map(of).collect());
        Self { ours: each(ours), floor: each(floors), ratio: median(ratios) }
    }
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_unstable_by(f64::total_cmp);
    figures[figures.len() / 2]
}
