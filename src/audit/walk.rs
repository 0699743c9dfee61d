//! The walk along the chain, line by line: what each line has to be, given the ones before.
//!
//! Owns which fault is called by which name. Never opens a file.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read};

use super::chain::{Hex, Link, MAX_LINE};
use super::error::Fault;
use super::record::Event;
use super::verify::{LineInfo, Summary, Wanted};

/// A line's place: which file of the log, and which line of it, from 1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) file: usize,
    pub(super) line: u64,
}

/// What is wrong, and where.
#[derive(Debug)]
pub(super) struct Wrong {
    pub(super) at: Place,
    pub(super) fault: Fault,
    pub(super) why: String,
}

impl Wrong {
    pub(super) fn new(at: Place, fault: Fault, why: impl Into<String>) -> Self {
        Self { at, fault, why: why.into() }
    }
}

/// A line that does not fit.
pub(super) enum Misfit {
    Certain(Wrong),
    /// It has number `seq`, and `expected` was to come: dropped, or moved further down?
    Ahead {
        at: Place,
        expected: u64,
        seq: u64,
    },
}

impl Misfit {
    /// Says whether the missing line was moved or dropped; `is_below`: whether a line of that number comes later.
    pub(super) fn explain(self, is_below: impl FnOnce(u64) -> bool) -> Wrong {
        let (at, expected, seq) = match self {
            Self::Certain(wrong) => return wrong,
            Self::Ahead { at, expected, seq } => (at, expected, seq),
        };
        if is_below(expected) {
            let why = format!("it is number {seq}; number {expected} stands below it");
            return Wrong::new(at, Fault::Reordered, why);
        }
        let why = format!("it is number {seq}; number {expected} should stand there and is missing");
        Wrong::new(at, Fault::Dropped, why)
    }
}

/// Where the walk along the chain stands.
#[derive(Clone)]
pub(super) struct Walk {
    pub(super) lines: u64,
    /// The last line's place; of the file that is walked now, line 0 where none of it was.
    pub(super) at: Place,
    before: Place,
    pub(super) seq: u64,
    pub(super) head: Hex,
    first: Option<LineInfo>,
    last_time: String,
    continues: Option<String>,
    brokers: BTreeSet<String>,
    last_broker: String,
    /// Whether the head that was asked for has been seen.
    is_held: bool,
    /// How many of the points that were asked for fit.
    fitting: u64,
}

impl Walk {
    pub(super) fn new(wanted: Wanted<'_>) -> Self {
        Self {
            lines: 0,
            at: Place::default(),
            before: Place::default(),
            seq: 0,
            head: Hex::ZERO,
            first: None,
            last_time: String::new(),
            continues: None,
            brokers: BTreeSet::new(),
            last_broker: String::new(),
            is_held: wanted.head.is_none_or(|head| head == Hex::ZERO.as_str()),
            fitting: 0,
        }
    }

    /// Goes on at the top of this file.
    pub(super) const fn enter(&mut self, file: usize) {
        if self.at.line > 0 {
            self.before = self.at;
        }
        self.at = Place { file, line: 0 };
    }

    /// Looks at the next line, and takes it as the last where it fits.
    pub(super) fn step(&mut self, text: &[u8], wanted: Wanted<'_>) -> Result<(), Misfit> {
        let at = Place { line: self.at.line + 1, ..self.at };
        let certain = |at, fault, why: &str| Err(Misfit::Certain(Wrong::new(at, fault, why)));
        let link = match Link::read(text) {
            Ok(link) => link,
            Err(why) => return certain(at, Fault::Changed, why),
        };
        let (seq, is_continuing) = (link.seq, link.event == Event::ChainContinue.as_str());
        let follows = link.prev == self.head.as_str();
        let last = if self.at.line > 0 { self.at } else { self.before };
        if self.lines == 0 && is_continuing {
            self.continues = Some(link.prev.to_owned());
            self.is_held |= wanted.head == Some(link.prev);
            self.fitting += u64::from(wanted.point(seq.saturating_sub(1)).is_some_and(|head| head == link.prev));
        } else if is_continuing && !follows && (self.at.line > 0 || seq != self.seq + 1) {
            let why = "the broker went on from a line that is not the one before: the file was changed under it, or one \
                       before it is missing";
            return certain(at, Fault::Dropped, why);
        } else if seq > self.seq + 1 {
            return Err(Misfit::Ahead { at, expected: self.seq + 1, seq });
        } else if seq <= self.seq {
            let why = format!("it is number {seq}, which stands above already");
            return certain(at, Fault::Inserted, &why);
        } else if !follows && self.lines == 0 {
            return certain(at, Fault::Dropped, "it is not the beginning of a log: lines before it are missing");
        } else if !follows {
            return certain(last, Fault::Changed, "the line behind it names another hash for it");
        }
        self.check_point(&link, at, wanted).map_err(Misfit::Certain)?;
        self.take(&link, at, wanted);
        Ok(())
    }

    /// Takes a line as the first, whatever it names as the one before. Its own text must be as it was written.
    pub(super) fn seed(&mut self, text: &[u8], at: Place, wanted: Wanted<'_>) -> Result<(), Wrong> {
        let link = Link::read(text).map_err(|why| Wrong::new(at, Fault::Changed, why))?;
        self.check_point(&link, at, wanted)?;
        self.take(&link, at, wanted);
        Ok(())
    }

    fn check_point(&mut self, link: &Link<'_>, at: Place, wanted: Wanted<'_>) -> Result<(), Wrong> {
        let Some(head) = wanted.point(link.seq) else { return Ok(()) };
        if head == link.hash.as_str() {
            self.fitting += 1;
            return Ok(());
        }
        let why = "a checkpoint tells of another line of this number: it, or one between the checkpoint before and it, was \
                   written anew";
        Err(Wrong::new(at, Fault::Changed, why))
    }

    fn take(&mut self, link: &Link<'_>, at: Place, wanted: Wanted<'_>) {
        self.lines += 1;
        self.at = at;
        self.seq = link.seq;
        self.head = link.hash;
        self.is_held |= wanted.head == Some(link.hash.as_str());
        if self.first.is_none() {
            self.first = Some(LineInfo { seq: link.seq, time: link.time.to_owned() });
        }
        if self.last_broker != link.broker {
            link.broker.clone_into(&mut self.last_broker);
            self.brokers.insert(link.broker.to_owned());
        }
        link.time.clone_into(&mut self.last_time);
    }

    /// Goes to where another walk has come, which began with this one's last line.
    pub(super) fn join(&mut self, further: Self) {
        let more = further.lines - 1;
        self.lines += more;
        self.at.line += more;
        self.seq = further.seq;
        self.head = further.head;
        self.last_time = further.last_time;
        self.brokers.extend(further.brokers);
        self.last_broker = further.last_broker;
        self.is_held |= further.is_held;
        // The line that both have seen is counted by one of them.
        self.fitting += further.fitting;
    }

    /// The walk behind its first line, as one that another may join: what that line said is the other's to count.
    pub(super) const fn uncounted(mut self) -> Self {
        self.fitting = 0;
        self
    }

    /// What came of it, at the end of the log.
    pub(super) fn finish(self, wanted: Wanted<'_>) -> Result<Summary, Wrong> {
        let at = if self.at.line > 0 { self.at } else { self.before };
        if let Some(seq) = wanted.last().filter(|seq| *seq > self.seq) {
            let why = format!(
                "a checkpoint tells of a line {seq}, and the log ends in line {}: what stood between was cut off",
                self.seq
            );
            return Err(Wrong::new(at, Fault::Truncated, why));
        }
        if !self.is_held {
            let why = "no line has the hash that is asked for: lines were cut off the end, or the log was written anew";
            return Err(Wrong::new(at, Fault::HeadMissing, why));
        }
        Ok(Summary {
            lines: self.lines,
            last: self.first.is_some().then_some(LineInfo { seq: self.seq, time: self.last_time }),
            first: self.first,
            head: self.head.as_str().to_owned(),
            continues: self.continues,
            brokers: self.brokers.into_iter().collect(),
            points: self.fitting,
        })
    }
}

/// Lines with their newlines, one buffer for all.
pub(super) struct Lines<R> {
    reader: BufReader<R>,
    line: Vec<u8>,
}

/// Why there is no next line.
pub(super) enum NoLine {
    TooLong,
    Unreadable(std::io::Error),
}

impl<R: Read> Lines<R> {
    pub(super) fn new(text: R) -> Self {
        Self { reader: BufReader::with_capacity(1 << 18, text), line: Vec::with_capacity(1024) }
    }

    pub(super) fn next(&mut self) -> Result<Option<&[u8]>, NoLine> {
        self.line.clear();
        let most = MAX_LINE as u64 + 1;
        match (&mut self.reader).take(most).read_until(b'\n', &mut self.line) {
            Ok(0) => Ok(None),
            Ok(read) if read as u64 == most => Err(NoLine::TooLong),
            Ok(_) => Ok(Some(&self.line)),
            Err(error) => Err(NoLine::Unreadable(error)),
        }
    }

    /// Whether a line of this number is among those that are left.
    pub(super) fn has(&mut self, seq: u64) -> bool {
        while let Ok(Some(text)) = self.next() {
            if Link::read(text.strip_suffix(b"\n").unwrap_or(text)).is_ok_and(|link| link.seq == seq) {
                return true;
            }
        }
        false
    }
}

impl NoLine {
    pub(super) fn at(self, at: Place) -> Wrong {
        match self {
            Self::TooLong => Wrong::new(at, Fault::Changed, "it is longer than any line of this log"),
            Self::Unreadable(error) => Wrong::new(at, Fault::Unreadable, error.to_string()),
        }
    }
}
