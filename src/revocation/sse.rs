//! Server-sent events as bytes become events (WHATWG HTML §9.2), with a bound on every line and every event.

use super::event::Kind;

/// The longest line, and the most data of one event, that is held: a part of 4096 rules three times over, and the
/// snapshot of some ten million rules.
pub const MAX_LINE: usize = 1 << 20;

/// The longest name and id of an event that are kept: each event of a chunk has its own copy of the id.
const MAX_NAME: usize = 256;

/// One event as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Which; none for one that is not known, which is passed over.
    pub kind: Option<Kind>,
    /// The last `id:` heard, of this event or one before it; empty before the first.
    pub id: String,
    /// The `data:` fields, joined by line feeds.
    pub data: String,
}

/// Why a stream is no feed; nothing more can be read from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EventError {
    /// A line or an event is longer than the reader holds.
    #[error("an event of more than {0} bytes")]
    TooLong(usize),
    /// A line is not UTF-8.
    #[error("the feed is not UTF-8")]
    NotUtf8,
}

/// Reads an event stream chunk by chunk and holds at most one unfinished event.
#[derive(Debug)]
pub struct Reader {
    limit: usize,
    line: Vec<u8>,
    /// The last chunk ended with a carriage return: a line feed at the head of the next belongs to it.
    after_cr: bool,
    begun: bool,
    name: String,
    id: String,
    data: String,
}

impl Default for Reader {
    fn default() -> Self {
        Self::new(MAX_LINE)
    }
}

impl Reader {
    /// A reader that holds at most `limit` bytes of a line, and of an event's data.
    pub const fn new(limit: usize) -> Self {
        let line = Vec::new();
        Self { limit, line, after_cr: false, begun: false, name: String::new(), id: String::new(), data: String::new() }
    }

    /// Takes the next bytes of the stream and gives the events they complete.
    ///
    /// # Errors
    /// [`EventError`]; the stream is to be closed then.
    pub fn push(&mut self, chunk: &[u8]) -> Result<Vec<Event>, EventError> {
        let mut events = Vec::new();
        let mut rest = chunk;
        if self.after_cr && !rest.is_empty() {
            self.after_cr = false;
            rest = rest.strip_prefix(b"\n").unwrap_or(rest);
        }
        while let Some(at) = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            let (head, tail) = rest.split_at(at);
            self.hold(head)?;
            let line = std::mem::take(&mut self.line);
            let line = String::from_utf8(line).map_err(|_| EventError::NotUtf8)?;
            events.extend(self.take_line(&line)?);
            rest = match tail {
                [b'\r', b'\n', more @ ..] => more,
                [b'\r'] => {
                    self.after_cr = true;
                    &[]
                }
                [_, more @ ..] => more,
                [] => &[],
            };
        }
        self.hold(rest)?;
        Ok(events)
    }

    fn hold(&mut self, bytes: &[u8]) -> Result<(), EventError> {
        if self.line.len() + bytes.len() > self.limit {
            return Err(EventError::TooLong(self.limit));
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    /// One whole line; the blank one ends an event.
    fn take_line(&mut self, line: &str) -> Result<Option<Event>, EventError> {
        let line = if self.begun { line } else { line.strip_prefix('\u{feff}').unwrap_or(line) };
        self.begun = true;
        if line.is_empty() {
            return Ok(self.end_event());
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" | "id" if value.len() > MAX_NAME => return Err(EventError::TooLong(MAX_NAME)),
            "event" => value.clone_into(&mut self.name),
            "data" => {
                if self.data.len() + value.len() >= self.limit {
                    return Err(EventError::TooLong(self.limit));
                }
                self.data.push_str(value);
                self.data.push('\n');
            }
            "id" if !value.contains('\0') => value.clone_into(&mut self.id),
            // Comments (an empty field), `retry` and fields to come.
            _ => {}
        }
        Ok(None)
    }

    fn end_event(&mut self) -> Option<Event> {
        let name = std::mem::take(&mut self.name);
        let mut data = std::mem::take(&mut self.data);
        // An event without data is none.
        data.pop()?;
        Some(Event { kind: Kind::parse(&name), id: self.id.clone(), data })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(stream: &[u8]) -> Vec<Event> {
        Reader::default().push(stream).unwrap()
    }

    fn event(kind: Option<Kind>, id: &str, data: &str) -> Event {
        Event { kind, id: id.into(), data: data.into() }
    }

    #[test]
    fn fields_lines_and_comments_are_read_as_the_standard_says() {
        let stream = "\u{feff}: hello\nevent: part\nid: c1\ndata: a\ndata:  b\nretry: 5\n\ndata\n\nevent: lost\n\ndata:x\r\rid: a\0b\ndata: y\r\n\r\ndata: cut";
        let expected = [
            event(Some(Kind::Part), "c1", "a\n b"),
            event(None, "c1", ""),
            event(None, "c1", "x"),
            event(None, "c1", "y"),
        ];
        assert_eq!(all(stream.as_bytes()), expected);
    }

    #[test]
    fn a_line_or_an_event_beyond_the_bound_is_refused() {
        let mut reader = Reader::new(16);
        assert!(reader.push(b"data: 0123456789").is_ok());
        assert_eq!(reader.push(b"0"), Err(EventError::TooLong(16)));
        let mut reader = Reader::new(16);
        assert_eq!(reader.push(b"data: 012345678\ndata: 012345678\n"), Err(EventError::TooLong(16)));
        assert_eq!(Reader::new(16).push(b"data: \xff\n"), Err(EventError::NotUtf8));
        for field in ["id", "event"] {
            let line = |length| format!("{field}: {}\n", "x".repeat(length));
            assert!(Reader::default().push(line(MAX_NAME).as_bytes()).is_ok());
            let told = Reader::default().push(line(MAX_NAME + 1).as_bytes());
            assert_eq!(told, Err(EventError::TooLong(MAX_NAME)), "{field}");
        }
    }

    proptest! {
        #[test]
        fn it_does_not_matter_where_the_stream_is_cut(
            lines in prop::collection::vec("(data|event|id|:)?(: ?[a-z]{0,3})?(\n|\r|\r\n)", 0..30),
            cuts in prop::collection::vec(0..200usize, 0..20),
        ) {
            let stream = lines.concat();
            let mut cuts: Vec<usize> = cuts.into_iter().filter(|cut| *cut < stream.len()).collect();
            cuts.sort_unstable();
            let mut reader = Reader::default();
            let (mut events, mut from) = (Vec::new(), 0);
            for cut in cuts.into_iter().chain([stream.len()]) {
                events.extend(reader.push(&stream.as_bytes()[from..cut]).unwrap());
                from = cut;
            }
            prop_assert_eq!(events, all(stream.as_bytes()));
        }

        #[test]
        fn no_stream_makes_it_hold_more_than_the_bound(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..40)) {
            let mut reader = Reader::new(64);
            for chunk in chunks {
                if reader.push(&chunk).is_err() {
                    break;
                }
                prop_assert!(reader.line.len() <= 64 && reader.data.len() <= 64);
            }
        }
    }
}
