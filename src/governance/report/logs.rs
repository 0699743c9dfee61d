//! The audit logs of a report: read once, and held against their chain and their checkpoints meanwhile.
//!
//! Owns what is told of each. What its lines say is taken by `evidence`.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::evidence::Evidence;
use crate::audit::{self, AuditError, Point, Wanted};

/// An audit log behind a report.
#[derive(Debug, Serialize)]
pub struct LogView {
    /// The file.
    pub file: String,
    /// Whether it is as it was written.
    pub intact: bool,
    /// What is wrong where it is not.
    pub fault: Option<String>,
    /// How many lines were checked.
    pub lines: u64,
    /// Its first line's moment.
    pub first: Option<String>,
    /// Its last line's moment.
    pub last: Option<String>,
    /// The hash of its last line.
    pub head: Option<String>,
    /// How many signed checkpoints fit its lines.
    pub checkpoints: u64,
    /// Lines that are none of jitney's.
    pub strange: u64,
}

/// Reads the logs, and checks meanwhile whether they are as they were written.
pub(super) fn read(
    paths: &[PathBuf],
    signed: &[Result<Vec<Point>, String>],
    evidence: &mut Evidence<'_>,
    progress: &mut dyn FnMut(u64),
) -> Result<Vec<LogView>, AuditError> {
    let mut strange = Vec::new();
    let verified = std::thread::scope(|scope| {
        let checked = |(at, path): (usize, &PathBuf)| match signed.get(at) {
            Some(Err(why)) => Err(why.clone()),
            Some(Ok(points)) => {
                let wanted = Wanted { points, ..Wanted::default() };
                audit::verify_with(path, wanted).map_err(|broken| broken.to_string())
            }
            None => audit::verify(path).map_err(|broken| broken.to_string()),
        };
        let check = scope.spawn(move || paths.iter().enumerate().map(checked).collect::<Vec<_>>());
        for path in paths {
            strange.push(read_one(path, evidence, progress)?);
        }
        // A thread that panicked has checked nothing: then no log counts as intact.
        Ok(check.join().unwrap_or_default())
    })?;
    let views = paths.iter().zip(strange).enumerate().map(|(at, (path, strange))| {
        let file = path.display().to_string();
        match verified.get(at) {
            Some(Ok(summary)) => LogView {
                file,
                intact: true,
                fault: None,
                lines: summary.lines,
                first: summary.first.as_ref().map(|line| line.time.clone()),
                last: summary.last.as_ref().map(|line| line.time.clone()),
                head: Some(summary.head.clone()),
                checkpoints: summary.points,
                strange,
            },
            Some(Err(broken)) => LogView::broken(file, broken.clone(), strange),
            None => LogView::broken(file, "it could not be checked".into(), strange),
        }
    });
    Ok(views.collect())
}

/// Reads one log, over all its files; gives the number of lines that are none of jitney's.
fn read_one(path: &Path, evidence: &mut Evidence<'_>, progress: &mut dyn FnMut(u64)) -> Result<u64, AuditError> {
    /// Between two words of how far it is.
    const STEP: u64 = 4 << 20;
    let mut records = audit::Records::open(path)?;
    let mut since = 0;
    records.for_each(|line| {
        evidence.take(&line);
        since += line.raw.len() as u64 + 1;
        if since >= STEP {
            progress(since);
            since = 0;
        }
        ControlFlow::Continue(())
    })?;
    progress(since);
    Ok(records.damaged())
}

impl LogView {
    fn broken(file: String, fault: String, strange: u64) -> Self {
        let (first, last, head) = (None, None, None);
        Self { file, intact: false, fault: Some(fault), lines: 0, first, last, head, checkpoints: 0, strange }
    }
}
