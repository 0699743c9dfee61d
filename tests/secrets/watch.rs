//! What every user of the machine sees of jitney's processes: their command lines, sampled while they run.

use std::collections::BTreeSet;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use super::hoard::Hoard;

/// Looks at all processes again and again, and keeps the command lines of jitney's.
pub struct Watch {
    lines: Arc<Mutex<BTreeSet<Vec<u8>>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    pub fn start() -> Self {
        let (lines, stop) = (Arc::<Mutex<BTreeSet<_>>>::default(), Arc::<AtomicBool>::default());
        let thread = std::thread::spawn({
            let (lines, stop) = (lines.clone(), stop.clone());
            move || {
                while !stop.load(Ordering::Relaxed) {
                    for line in command_lines() {
                        lines.lock().unwrap().insert(line);
                    }
                    std::thread::sleep(Duration::from_millis(5));
                }
            }
        });
        Self { lines, stop, thread: Some(thread) }
    }

    /// A command line that was read by another.
    pub fn note(&self, line: Vec<u8>) {
        self.lines.lock().unwrap().insert(line);
    }

    /// Nothing secret stood in any; and these words each stood in one, so that it has looked.
    #[track_caller]
    pub fn end(mut self, hoard: &Hoard, words: &[&str]) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
        let lines = self.lines.lock().unwrap();
        for word in words {
            let is_seen = |line: &Vec<u8>| line.split(|byte| *byte == 0).any(|each| each == word.as_bytes());
            assert!(lines.iter().any(is_seen), "`{word}` was not seen");
        }
        for line in lines.iter() {
            hoard.not_in("a command line", line);
        }
    }
}

/// The arguments of every process of this binary.
fn command_lines() -> Vec<Vec<u8>> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let processes = processes.filter(|entry| entry.file_name().to_string_lossy().parse::<u32>().is_ok());
    let lines = processes.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines.filter(|line| line.starts_with(env!("CARGO_BIN_EXE_jitney").as_bytes())).collect()
}

/// The arguments of a process.
pub fn command_line(pid: u32) -> Vec<u8> {
    fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default()
}
