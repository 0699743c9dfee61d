//! The JSON of a line, member by member into one buffer. What members a line has is settled, so each costs its bytes alone: a
//! serializer would look through the names too, and be called for each quote and comma.
//!
//! Never knows what a line says: that is the record's and the chain's.

/// The name of a member, with the comma before it and the colon behind.
macro_rules! member {
    ($name:literal) => {
        concat!(",\"", $name, "\":")
    };
}
pub(super) use member;

/// What writes a line.
pub(super) struct Pen<'a>(&'a mut Vec<u8>);

impl<'a> Pen<'a> {
    /// Room for a usual line, so that few of its members look for some.
    const USUAL: usize = 1024;

    /// Writes behind what `out` holds.
    pub(super) fn new(out: &'a mut Vec<u8>) -> Self {
        out.reserve(Self::USUAL);
        Self(out)
    }

    /// JSON as it stands.
    pub(super) fn raw(&mut self, json: &str) {
        self.0.extend_from_slice(json.as_bytes());
    }

    /// A member, by [`member!`], that is a text.
    pub(super) fn text(&mut self, member: &str, text: &str) {
        self.raw(member);
        self.quoted(text);
    }

    /// A member that is a number.
    pub(super) fn number(&mut self, member: &str, number: u64) {
        self.raw(member);
        self.raw(itoa::Buffer::new().format(number));
    }

    /// A text in its quotes. What JSON wants escaped, serde escapes.
    pub(super) fn quoted(&mut self, text: &str) {
        // Without a branch for each byte: nearly no text holds any such.
        let is_plain = text.bytes().fold(true, |all, byte| all & (byte >= 0x20) & (byte != b'"') & (byte != b'\\'));
        if is_plain {
            self.0.push(b'"');
            self.raw(text);
            self.0.push(b'"');
        } else {
            // Into memory, no text fails.
            let _ = serde_json::to_writer(&mut *self.0, text);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_text_is_written_as_serde_writes_it(text in "[ -~]{0,40}|\\PC{0,20}|[\u{0}-\u{ff}]{0,20}", number in any::<u64>()) {
            let mut out = b"{\"v\":1".to_vec();
            let mut pen = Pen::new(&mut out);
            pen.text(member!("t"), &text);
            pen.number(member!("n"), number);
            pen.raw("}");
            let written = String::from_utf8(out).unwrap();
            prop_assert_eq!(&written, &format!(r#"{{"v":1,"t":{},"n":{number}}}"#, serde_json::to_string(&text).unwrap()));
        }
    }
}
