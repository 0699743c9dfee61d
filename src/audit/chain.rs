//! The chain: a line's envelope, its place, and the hash that binds it to the line before.
//!
//! A line is `{"v":1,"time":…,"seq":n,"broker":…, …record…,"prev":"<hex>","sum":"<hex>"}`. `prev` is the SHA-256 of the
//! whole line before, without its newline; `sum` is the first 8 bytes of the SHA-256 of this line's own text before
//! `,"sum"`, so that damage to the last line shows too.

use std::fmt;

use ring::digest::{Context, Digest, SHA256};
use serde::{Deserialize, Serialize, Serializer};

use super::pen::{Pen, member};
use super::record::AuditRecord;

/// The longest line that is ever written or read, its newline included. Every field is bounded well below it.
pub(crate) const MAX_LINE: usize = 64 * 1024;

/// `"sum":"` and what stands around it: a comma before, 16 digits, a quote and the brace.
const SUM_OPEN: &[u8] = b",\"sum\":\"";
const SUM_LEN: usize = SUM_OPEN.len() + 16 + 2;

/// A moment in milliseconds since the Unix epoch, written as RFC 3339 in UTC with three digits of a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp(pub(super) u64);

impl Stamp {
    /// Writes it digit by digit: each line has one, and a formatter would be called for each of its seven numbers.
    pub(super) fn write_into(self, text: &mut [u8; 24]) -> &str {
        // The last millisecond of year 9999: what lies beyond has no RFC 3339 form.
        let ms = self.0.min(253_402_300_799_999);
        let secs = i64::try_from(ms / 1000).unwrap_or(0);
        let at = time::OffsetDateTime::from_unix_timestamp(secs).unwrap_or(time::OffsetDateTime::UNIX_EPOCH);
        let (year, month, day) = at.to_calendar_date();
        let (hour, minute, second) = at.to_hms();
        *text = *b"0000-00-00T00:00:00.000Z";
        digits(&mut text[0..4], u64::from(year.unsigned_abs()));
        digits(&mut text[5..7], u8::from(month).into());
        digits(&mut text[8..10], day.into());
        digits(&mut text[11..13], hour.into());
        digits(&mut text[14..16], minute.into());
        digits(&mut text[17..19], second.into());
        digits(&mut text[20..23], ms % 1000);
        std::str::from_utf8(text).unwrap_or_default()
    }
}

impl Stamp {
    /// Reads what was written, and any other RFC 3339 moment.
    pub(super) fn parse(text: &str) -> Option<u64> {
        let at = time::OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339).ok()?;
        u64::try_from(at.unix_timestamp_nanos() / 1_000_000).ok()
    }
}

/// Writes a number over all of `into`, with zeros in front.
fn digits(into: &mut [u8], mut number: u64) {
    for digit in into.iter_mut().rev() {
        *digit = b"0123456789"[usize::try_from(number % 10).unwrap_or_default()];
        number /= 10;
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.write_into(&mut [0; 24]))
    }
}

impl Serialize for Stamp {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.write_into(&mut [0; 24]))
    }
}

/// SHA-256 as 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hex([u8; 64]);

impl Hex {
    /// What the first line of all carries as `prev`.
    pub(super) const ZERO: Self = Self([b'0'; 64]);

    #[cfg(test)]
    pub(crate) fn of(line: &[u8]) -> Self {
        Self::from(ring::digest::digest(&SHA256, line))
    }

    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Debug for Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Default for Hex {
    fn default() -> Self {
        Self::ZERO
    }
}

impl From<Digest> for Hex {
    fn from(digest: Digest) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; 64];
        for (pair, byte) in text.chunks_exact_mut(2).zip(digest.as_ref()) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        Self(text)
    }
}

/// The end of the chain as its writer knows it.
#[derive(Clone, Copy)]
pub(crate) struct Chain {
    /// The last line's number; 0 before the first.
    pub(crate) seq: u64,
    /// The last line's hash.
    pub(crate) head: Hex,
}

impl Chain {
    pub(crate) const START: Self = Self { seq: 0, head: Hex::ZERO };

    /// Writes `record` behind what `out` holds, as the next line, newline included.
    pub(crate) fn push(&mut self, out: &mut Vec<u8>, broker: &str, at_ms: u64, record: &AuditRecord) {
        let start = out.len();
        let seq = self.seq + 1;
        let mut pen = Pen::new(out);
        pen.raw("{\"v\":1");
        pen.text(member!("time"), Stamp(at_ms).write_into(&mut [0; 24]));
        pen.number(member!("seq"), seq);
        pen.text(member!("broker"), broker);
        record.write(&mut pen);
        pen.text(member!("prev"), self.head.as_str());
        let mut context = Context::new(&SHA256);
        context.update(&out[start..]);
        let sum = Hex::from(context.clone().finish());
        let open = out.len();
        out.extend_from_slice(SUM_OPEN);
        out.extend_from_slice(&sum.0[..16]);
        out.extend_from_slice(b"\"}");
        context.update(&out[open..]);
        *self = Self { seq, head: Hex::from(context.finish()) };
        out.push(b'\n');
    }
}

/// What the chain needs to know of a line that was read.
#[derive(Debug, Deserialize)]
pub(super) struct Link<'a> {
    v: u8,
    pub(super) time: &'a str,
    pub(super) seq: u64,
    pub(super) broker: &'a str,
    pub(super) event: &'a str,
    pub(super) prev: &'a str,
    /// The whole line's hash.
    #[serde(skip)]
    pub(super) hash: Hex,
}

impl<'a> Link<'a> {
    /// Reads a line without its newline; nothing where it is none of ours, or not as it was written.
    pub(super) fn read(line: &'a [u8]) -> Result<Self, &'static str> {
        let (body, sum) = line.split_at_checked(line.len().saturating_sub(SUM_LEN)).unwrap_or((line, b""));
        let Some(sum) = sum.strip_prefix(SUM_OPEN).and_then(|rest| rest.strip_suffix(b"\"}")) else {
            return Err("it is no line of this log's form");
        };
        let mut context = Context::new(&SHA256);
        context.update(body);
        if Hex::from(context.clone().finish()).0[..16] != *sum {
            return Err("its text does not match its own sum");
        }
        let link: Self = serde_json::from_slice(line).map_err(|_| "it is no line of this log's form")?;
        if link.v != 1 {
            return Err("it is of a later version");
        }
        context.update(&line[body.len()..]);
        Ok(Self { hash: Hex::from(context.finish()), ..link })
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::{Event, Outcome};
    use super::*;

    #[test]
    fn a_line_s_prev_is_the_hash_of_the_whole_line_before() {
        let (mut chain, mut out) = (Chain::START, Vec::new());
        for n in 0..3 {
            let record = AuditRecord::new(Event::Mint, Outcome::Granted).detail(&format!("n {n}"));
            chain.push(&mut out, "b1", 1_790_000_000_123, &record);
        }
        let mut before = Hex::ZERO;
        for (n, line) in out.split(|b| *b == b'\n').filter(|line| !line.is_empty()).enumerate() {
            let link = Link::read(line).unwrap();
            assert_eq!((link.prev, link.seq, link.time), (before.as_str(), n as u64 + 1, "2026-09-21T14:13:20.123Z"));
            before = Hex::of(line);
            assert_eq!(link.hash.as_str(), before.as_str());
        }
        assert_eq!(chain.head.as_str(), before.as_str());
    }

    #[test]
    fn the_longest_record_fits_into_the_longest_line() {
        let worst = "\u{e000f}\u{2028}\u{1}".repeat(400);
        let names: Vec<std::sync::Arc<str>> = (0..2000).map(|n| format!("\u{1}\u{2}{n}").into()).collect();
        let scopes: Vec<_> = (0..32).map(|n| format!("{n:<128}").replace(' ', "x")).collect();
        let record = AuditRecord::new(Event::Mint, Outcome::Granted)
            .detail(&worst)
            .reason(&worst)
            .actor(&worst)
            .identity(&worst)
            .scopes(crate::model::ScopeSet::parse(&scopes.join(" ")).unwrap())
            .policies(names);
        let mut line = Vec::new();
        let mut chain = Chain::START;
        chain.push(&mut line, &"b".repeat(64), u64::MAX, &record);
        // What is left is for the names, none of which is longer than 255 bytes.
        assert!(line.len() < MAX_LINE - 4096, "{}", line.len());
        assert!(std::str::from_utf8(&line).unwrap().contains("\"+"));
    }

    #[test]
    fn a_moment_without_an_rfc_3339_form_is_held_at_the_last_that_has_one() {
        assert_eq!(Stamp(u64::MAX).to_string(), "9999-12-31T23:59:59.999Z");
        assert_eq!(Stamp(0).to_string(), "1970-01-01T00:00:00.000Z");
    }

    proptest::proptest! {
        #[test]
        fn a_moment_is_written_as_another_hand_writes_it(ms in 0..253_402_300_799_999_u64) {
            let format = time::macros::format_description!(
                "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z"
            );
            let at = time::OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000).unwrap();
            proptest::prop_assert_eq!(Stamp(ms).to_string(), at.format(&format).unwrap());
            proptest::prop_assert_eq!(serde_json::to_string(&Stamp(ms)).unwrap(), format!("\"{}\"", Stamp(ms)));
            proptest::prop_assert_eq!(Stamp::parse(&Stamp(ms).to_string()), Some(ms));
        }
    }
}
