//! Reads a whole log and says whether it is as it was written, or which line is the first that is not.
//!
//! Finds lines changed, dropped, inserted and reordered, and half a last line. What it cannot find by itself: whole
//! lines cut off the end, and a last line that was rewritten with its sum. Both show against a head known elsewhere:
//! [`Summary::head`] kept from before ([`verify_holding`] looks for it), a line that a subscriber has seen, or the leases
//! in the store.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use serde::Serialize;

use super::chain::{Hex, Link, MAX_LINE};
use super::error::{Broken, Fault};
use super::record::Event;

/// A log that is as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// How many lines it has.
    pub lines: u64,
    /// The first, if there is one.
    pub first: Option<LineInfo>,
    /// The last, if there is one.
    pub last: Option<LineInfo>,
    /// The last line's hash, 64 hex digits (of zero where there is none): the next line's `prev`.
    pub head: String,
    /// Where the log began in another file: the hash of the last line there.
    pub continues: Option<String>,
    /// The brokers that wrote it, in the order of their names.
    pub brokers: Vec<String>,
}

/// One line's place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LineInfo {
    /// Its number in the chain.
    pub seq: u64,
    /// When it was written, RFC 3339.
    pub time: String,
}

/// Reads the log at `path` from its first line to its last. Half a last line that a running broker is just writing is
/// left out.
///
/// # Errors
/// [`Broken`] with the first line that is wrong.
pub fn verify(path: &Path) -> Result<Summary, Broken> {
    walk(path, None)
}

/// The same, and `head`, a [`Summary::head`] from before, must still be the hash of one of its lines, or of the last
/// line of the file that it continues: else lines were cut off its end, or it was written anew.
///
/// # Errors
/// As [`verify`]; [`Fault::HeadMissing`].
pub fn verify_holding(path: &Path, head: &str) -> Result<Summary, Broken> {
    walk(path, Some(head))
}

fn walk(path: &Path, head: Option<&str>) -> Result<Summary, Broken> {
    let unreadable = |error: std::io::Error| broken(1, Fault::Unreadable, format!("{}: {error}", path.display()));
    let file = File::open(path).map_err(unreadable)?;
    if !file.metadata().map_err(unreadable)?.is_file() {
        return Err(broken(1, Fault::Unreadable, format!("{} is no regular file", path.display())));
    }
    verify_text(&file, head, || is_being_written(&file))
}

/// The same of text from anywhere; `is_being_written` is asked where it ends in half a line.
///
/// # Errors
/// As [`verify_holding`].
pub(crate) fn verify_text(
    text: impl Read,
    head: Option<&str>,
    is_being_written: impl Fn() -> bool,
) -> Result<Summary, Broken> {
    let mut lines = Lines::new(text);
    let mut walk = Walk::default();
    let mut is_held = head.is_none_or(|head| head == Hex::ZERO.as_str());
    while let Some(line) = lines.next()? {
        let Some(line) = line.strip_suffix(b"\n") else {
            if is_being_written() {
                break;
            }
            return Err(broken(walk.lines + 1, Fault::Truncated, "the file ends in half a line".into()));
        };
        if let Err(misfit) = walk.step(line) {
            return Err(misfit.explain(&mut lines));
        }
        is_held = is_held || head == Some(walk.head.as_str()) || head == walk.continues.as_deref();
    }
    if !is_held {
        let why = "no line has the hash that is asked for: lines were cut off the end, or the log was written anew";
        return Err(broken(walk.lines, Fault::HeadMissing, why.into()));
    }
    Ok(walk.finish())
}

fn broken(line: u64, fault: Fault, why: String) -> Broken {
    Broken { line, fault, why }
}

/// Whether a broker holds the file's lock.
fn is_being_written(file: &File) -> bool {
    let is_free = file.try_lock_shared().is_ok();
    if is_free {
        // Closing the file would free it too; a broker that starts just now should not have to wait for that.
        let _ = file.unlock();
    }
    !is_free
}

/// Lines with their newlines, one buffer for all.
struct Lines<R> {
    reader: BufReader<R>,
    line: Vec<u8>,
    number: u64,
}

impl<R: Read> Lines<R> {
    fn new(text: R) -> Self {
        Self { reader: BufReader::with_capacity(1 << 18, text), line: Vec::with_capacity(1024), number: 0 }
    }

    fn next(&mut self) -> Result<Option<&[u8]>, Broken> {
        self.line.clear();
        self.number += 1;
        let most = MAX_LINE as u64 + 1;
        match (&mut self.reader).take(most).read_until(b'\n', &mut self.line) {
            Ok(0) => Ok(None),
            Ok(read) if read as u64 == most => {
                Err(broken(self.number, Fault::Changed, "it is longer than any line of this log".into()))
            }
            Ok(_) => Ok(Some(&self.line)),
            Err(error) => Err(broken(self.number, Fault::Unreadable, error.to_string())),
        }
    }
}

/// Where the walk along the chain stands.
struct Walk {
    lines: u64,
    seq: u64,
    head: Hex,
    first: Option<LineInfo>,
    last_time: String,
    continues: Option<String>,
    brokers: BTreeSet<String>,
    last_broker: String,
}

impl Default for Walk {
    fn default() -> Self {
        Self {
            lines: 0,
            seq: 0,
            head: Hex::ZERO,
            first: None,
            last_time: String::new(),
            continues: None,
            brokers: BTreeSet::new(),
            last_broker: String::new(),
        }
    }
}

/// A line that does not fit.
enum Misfit {
    Certain(Broken),
    /// Line `line` has number `seq`, and `expected` was to come: dropped, or moved further down?
    Ahead {
        line: u64,
        expected: u64,
        seq: u64,
    },
}

impl Misfit {
    /// Looks for the missing line in the rest of the file, to tell whether it was moved or dropped.
    fn explain(self, rest: &mut Lines<impl Read>) -> Broken {
        let (line, expected, seq) = match self {
            Self::Certain(broken) => return broken,
            Self::Ahead { line, expected, seq } => (line, expected, seq),
        };
        while let Ok(Some(text)) = rest.next() {
            if Link::read(text.strip_suffix(b"\n").unwrap_or(text)).is_ok_and(|link| link.seq == expected) {
                return broken(
                    line,
                    Fault::Reordered,
                    format!("it is number {seq}; number {expected} stands below it"),
                );
            }
        }
        broken(line, Fault::Dropped, format!("it is number {seq}; number {expected} should stand there and is missing"))
    }
}

impl Walk {
    fn step(&mut self, text: &[u8]) -> Result<(), Misfit> {
        let line = self.lines + 1;
        let certain = |line, fault, why: String| Err(Misfit::Certain(broken(line, fault, why)));
        let link = match Link::read(text) {
            Ok(link) => link,
            Err(why) => return certain(line, Fault::Changed, why.into()),
        };
        let (seq, is_continuing) = (link.seq, link.event == Event::ChainContinue.as_str());
        if self.lines == 0 && is_continuing {
            self.continues = Some(link.prev.to_owned());
        } else if is_continuing && link.prev != self.head.as_str() {
            let why = "the broker went on from a line that is not the one before: the file was changed under it";
            return certain(line, Fault::Dropped, why.into());
        } else if seq > self.seq + 1 {
            return Err(Misfit::Ahead { line, expected: self.seq + 1, seq });
        } else if seq <= self.seq {
            return certain(line, Fault::Inserted, format!("it is number {seq}, which stands above already"));
        } else if link.prev != self.head.as_str() {
            return match self.lines {
                0 => certain(
                    line,
                    Fault::Dropped,
                    "it is not the beginning of a log: lines before it are missing".into(),
                ),
                before => certain(before, Fault::Changed, "the line behind it names another hash for it".into()),
            };
        }
        self.lines = line;
        self.seq = seq;
        self.head = Hex::of(text);
        if self.first.is_none() {
            self.first = Some(LineInfo { seq, time: link.time.to_owned() });
        }
        if self.last_broker != link.broker {
            link.broker.clone_into(&mut self.last_broker);
            self.brokers.insert(link.broker.to_owned());
        }
        link.time.clone_into(&mut self.last_time);
        Ok(())
    }

    fn finish(self) -> Summary {
        Summary {
            lines: self.lines,
            last: self.first.is_some().then_some(LineInfo { seq: self.seq, time: self.last_time }),
            first: self.first,
            head: self.head.as_str().to_owned(),
            continues: self.continues,
            brokers: self.brokers.into_iter().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::chain::Chain;
    use super::super::record::{AuditRecord, Outcome};
    use super::*;

    fn sample(lines: usize) -> Vec<Vec<u8>> {
        let mut chain = Chain::START;
        (0..lines)
            .map(|n| {
                let mut line = Vec::new();
                let record = AuditRecord::new(Event::Mint, Outcome::Granted).detail(&format!("ä {n}"));
                chain.push(&mut line, "b1", 1_790_000_000_000 + n as u64, &record).unwrap();
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
}
