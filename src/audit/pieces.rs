//! A log looked at in pieces, on all cores: an intact one is read as fast as its lines can be hashed.
//!
//! Never says what is wrong: where a piece does not fit to the one before, or not in itself, the walk goes on from there line
//! by line.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc;
use std::thread;

use super::chain::MAX_LINE;
use super::error::Fault;
use super::verify::{Log, Start, Wanted};
use super::walk::{Place, Walk, Wrong};

/// How much of a file is one piece: enough that what pieces cost is nothing, and a core is not waited for long at the end.
/// (Tests have small ones, to have many.)
const PIECE: u64 = if cfg!(test) { 1500 } else { 4 << 20 };
/// More readers than this wait for the disk.
const MOST: usize = 8;
/// How far readers may be ahead of what was put together.
const AHEAD: usize = 4;

/// The lines that begin within some bytes of a file.
#[derive(Clone, Copy)]
struct Piece {
    file: usize,
    start: u64,
    end: u64,
    /// It reaches to what was the end of its file.
    is_last: bool,
}

/// What is in a piece; nothing where something in it does not fit.
type Told = Option<Lines>;

struct Lines {
    /// The first line; none where no line begins there.
    first: Vec<u8>,
    /// The walk from it on.
    walk: Walk,
}

/// Walks as far as all fits: to the end, or to a place from where it is to be looked at line by line.
///
/// # Errors
/// A file cannot be read.
pub(super) fn walk(log: &Log, start: Start, walk: &mut Walk, wanted: Wanted<'_>) -> Result<Option<Start>, Wrong> {
    let pieces = pieces(log, start)?;
    let cores = thread::available_parallelism().map_or(1, usize::from).min(MOST).min(pieces.len().max(1));
    let (next, is_over) = (AtomicUsize::new(0), AtomicBool::new(false));
    // Bounded, so that fast readers hold no more than a few pieces; which of them comes next is the reader's business.
    let (tell, told) = mpsc::sync_channel::<(usize, io::Result<Told>)>(cores * AHEAD);
    let tell = Mutex::new(Some(tell));
    thread::scope(|scope| {
        for _ in 0..cores {
            let mine = tell.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let (pieces, next, is_over) = (&pieces, &next, &is_over);
            scope.spawn(move || {
                let Some(tell) = mine else { return };
                let mut bytes = Vec::new();
                while !is_over.load(Relaxed)
                    && let at = next.fetch_add(1, Relaxed)
                    && let Some(piece) = pieces.get(at)
                {
                    if tell.send((at, look(log, *piece, &mut bytes, wanted))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(tell.lock().unwrap_or_else(PoisonError::into_inner).take());
        let stopped = put_together(log, &pieces, &told, walk, wanted);
        is_over.store(true, Relaxed);
        drop(told);
        stopped
    })
}

/// Puts pieces together in their order, however they come.
fn put_together(
    log: &Log,
    pieces: &[Piece],
    told: &mpsc::Receiver<(usize, io::Result<Told>)>,
    walk: &mut Walk,
    wanted: Wanted<'_>,
) -> Result<Option<Start>, Wrong> {
    let mut waiting = BTreeMap::new();
    for (at, piece) in pieces.iter().enumerate() {
        while !waiting.contains_key(&at) {
            match told.recv() {
                Ok((at, told)) => drop(waiting.insert(at, told)),
                // A reader that panicked has said so; what it did not read is read line by line.
                Err(_) => return piece.begin(log).map(Some),
            }
        }
        if piece.start == 0 {
            walk.enter(piece.file);
        }
        let next = Place { file: piece.file, line: walk.at.line + 1 };
        let lines = match waiting.remove(&at) {
            Some(Ok(Some(lines))) => lines,
            Some(Err(error)) => return Err(Wrong::new(next, Fault::Unreadable, error.to_string())),
            _ => return piece.begin(log).map(Some),
        };
        if lines.first.is_empty() {
            continue;
        }
        // Tried on a copy: a step that fails has looked already.
        let mut further = walk.clone();
        if further.step(&lines.first, wanted).is_err() {
            return piece.begin(log).map(Some);
        }
        further.join(lines.walk);
        *walk = further;
    }
    Ok(None)
}

impl Piece {
    /// Where its first line begins: from there a walk goes on line by line.
    fn begin(&self, log: &Log) -> Result<Start, Wrong> {
        let Self { file, start, .. } = *self;
        let unreadable = |error: io::Error| Wrong::new(Place { file, line: 1 }, Fault::Unreadable, error.to_string());
        if start == 0 {
            return Ok(Start { file, offset: 0 });
        }
        let mut bytes = Vec::new();
        let opened = log.file(file).map_err(unreadable)?;
        read(&opened, start - 1, start + MAX_LINE as u64, &mut bytes).map_err(unreadable)?;
        let behind = memchr::memchr(b'\n', &bytes).map_or(0, |at| at as u64);
        Ok(Start { file, offset: start + behind })
    }
}

fn pieces(log: &Log, start: Start) -> Result<Vec<Piece>, Wrong> {
    let mut pieces = Vec::new();
    for file in start.file..log.len() {
        let unreadable = |error: io::Error| Wrong::new(Place { file, line: 1 }, Fault::Unreadable, error.to_string());
        let len = log.file(file).and_then(|file| file.metadata()).map_err(unreadable)?.len();
        let mut at = if file == start.file { start.offset } else { 0 };
        loop {
            let end = (at + PIECE).min(len);
            pieces.push(Piece { file, start: at, end, is_last: end >= len });
            at = end;
            if at >= len {
                break;
            }
        }
    }
    Ok(pieces)
}

/// Reads a piece and walks over its lines.
fn look(log: &Log, piece: Piece, bytes: &mut Vec<u8>, wanted: Wanted<'_>) -> io::Result<Told> {
    let file = log.file(piece.file)?;
    // A byte more in front tells whether a line begins right here, and behind the last line may reach over the end.
    let front = u64::from(piece.start > 0);
    read(&file, piece.start - front, piece.end + MAX_LINE as u64, bytes)?;
    let size = usize::try_from(piece.end - piece.start + front).unwrap_or(usize::MAX);
    let begin = match front {
        0 => 0,
        _ => match memchr::memchr(b'\n', bytes).filter(|at| at + 1 < size) {
            Some(at) => at + 1,
            // It is all one line's, which began before: that line is too long to be one.
            None if !piece.is_last => return Ok(None),
            None => size.min(bytes.len()),
        },
    };
    let mut rest = &bytes[begin..];
    let mut left = size.saturating_sub(begin);
    let mut lines: Option<Lines> = None;
    while left > 0 && !rest.is_empty() {
        // Half a line is the business of whoever goes line by line.
        let Some(end) = memchr::memchr(b'\n', rest).filter(|end| *end < MAX_LINE) else { return Ok(None) };
        let line = &rest[..end];
        match &mut lines {
            None => {
                let mut walk = Walk::new(wanted);
                if walk.seed(line, Place { file: piece.file, line: 1 }, wanted).is_err() {
                    return Ok(None);
                }
                lines = Some(Lines { first: line.to_vec(), walk: walk.uncounted() });
            }
            Some(Lines { walk, .. }) => {
                if walk.step(line, wanted).is_err() {
                    return Ok(None);
                }
            }
        }
        rest = &rest[end + 1..];
        left = left.saturating_sub(end + 1);
    }
    Ok(Some(lines.unwrap_or_else(|| Lines { first: Vec::new(), walk: Walk::new(wanted) })))
}

/// Reads from `start` up to `end`, or to the end of the file.
fn read(file: &File, start: u64, end: u64, bytes: &mut Vec<u8>) -> io::Result<()> {
    bytes.resize(usize::try_from(end - start).unwrap_or(usize::MAX), 0);
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], start + filled as u64)? {
            0 => break,
            read => filled += read,
        }
    }
    bytes.truncate(filled);
    Ok(())
}
