//! The Lua scripts, and how one is called and its answer read.
//!
//! Each begins with `lua/head.lua`, a mint with `lua/plain.lua` before it; each is told what the caller last saw of the log and answers with the log's head, so
//! that a lost tail is noticed by whatever call comes first.

use std::io::Write as _;
use std::sync::LazyLock;

use redis::{Cmd, ToRedisArgs, Value};

use super::layout;
use crate::model::{Epoch, Position};
use crate::store::{Head, StoreError};

macro_rules! script {
    ($(#[$doc:meta])* $name:ident, $file:literal) => {
        $(#[$doc])*
        pub(crate) static $name: LazyLock<Script> =
            LazyLock::new(|| Script::new($file, concat!(include_str!("lua/head.lua"), include_str!(concat!("lua/", $file, ".lua")))));
    };
}

script!(
    /// The head, and whether late writes are still there.
    CHECK, "check");
script!(
    /// A new epoch, by compare and set.
    EPOCH, "epoch");
/// A lease. What nearly every mint is comes before the text that begins each script.
pub(crate) static MINT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "mint",
        concat!(include_str!("lua/plain.lua"), include_str!("lua/head.lua"), include_str!("lua/mint.lua")),
    )
});
script!(
    /// An assertion used up.
    SPEND, "spend");
script!(
    /// An end.
    END, "end");
script!(
    /// Nothing new, on the line of ends.
    SETTLE, "settle");
script!(
    /// The rules behind a place.
    LOG, "log");
script!(
    /// A key published.
    PUBLISH, "publish");
script!(
    /// The published keys.
    KEYS, "keys");
script!(
    /// A quarantine lifted.
    RELEASE, "release");
script!(
    /// All quarantines.
    QUARANTINES, "quarantines");
script!(
    /// Figures.
    FIGURES, "figures");

/// A script's text and the name Redis knows it by.
pub(crate) struct Script {
    pub(super) name: &'static str,
    pub(super) text: &'static str,
    hash: String,
}

impl Script {
    fn new(name: &'static str, text: &'static str) -> Self {
        Self { name, text, hash: redis::Script::new(text).get_hash().to_owned() }
    }
}

/// What a broker last saw of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(super) epoch: Epoch,
    /// Which epoch it is, counted: a smaller one than seen before means that the store went back.
    pub(super) generation: u64,
    pub(super) position: Position,
    /// The tag of the last rule, chained from the one before.
    pub(super) tag: [u8; 12],
}

impl Seen {
    /// A broker that has seen nothing yet believes any log.
    pub(super) const NOTHING: Self =
        Self { epoch: Epoch::from_bits(0), generation: 0, position: Position::START, tag: [b'0'; 12] };

    pub(crate) const fn head(&self) -> Head {
        Head { epoch: self.epoch, position: self.position }
    }

    /// As scripts are told it: epoch 16, generation 4, tag 12, then the position.
    fn tell(&self, told: &mut Vec<u8>) {
        told.extend_from_slice(&self.epoch.digits());
        // A log that has begun anew four thousand million times counts as the last of them.
        told.extend_from_slice(&u32::try_from(self.generation).unwrap_or(u32::MAX).to_be_bytes());
        told.extend_from_slice(&self.tag);
        // Into memory, nothing fails.
        let _ = write!(told, "{}", self.position);
    }

    /// Whether this is further on than `other`.
    pub(super) fn is_behind(&self, other: &Self) -> bool {
        (self.generation, self.position) < (other.generation, other.position)
    }
}

/// What a call has besides its keys, as a rule at most.
const MOST_ARGUMENTS: usize = 20;

/// A call being put together: keys first, then what was seen, then arguments.
pub(super) struct Call {
    pub(super) script: &'static Script,
    pub(super) command: Cmd,
    /// What the script is told that was seen.
    told: Seen,
    /// Where an argument is packed before it is added.
    room: Vec<u8>,
}

/// Room for what is packed into one argument, as a rule: a lease's record is the longest.
const LONGEST_ARGUMENT: usize = 256;

impl Call {
    /// A call with `keys` keys besides the head.
    pub(super) fn new(script: &'static Script, keys: usize) -> Self {
        // So much for each key, each of the arguments that follow, and a lease's record among them.
        let mut command = Cmd::with_capacity(keys + MOST_ARGUMENTS, 64 * keys + 512);
        command.arg("EVALSHA").arg(&script.hash).arg(keys + 1).arg(layout::HEAD);
        Self { script, command, told: Seen::NOTHING, room: Vec::with_capacity(LONGEST_ARGUMENT) }
    }

    /// The next key, or the next argument.
    pub(super) fn with(mut self, value: impl ToRedisArgs) -> Self {
        self.add(value);
        self
    }

    /// The same where it is: what is put together in twenty steps is else moved by each.
    pub(super) fn add(&mut self, value: impl ToRedisArgs) -> &mut Self {
        self.command.arg(value);
        self
    }

    /// What was last seen, behind the keys and before the arguments.
    pub(super) fn seen(mut self, seen: &Seen) -> Self {
        self.add_seen(seen);
        self
    }

    /// The same where it is.
    pub(super) fn add_seen(&mut self, seen: &Seen) -> &mut Self {
        self.told = *seen;
        self.pack(|told| seen.tell(told))
    }

    /// The next argument, as it is packed into memory that all of them share.
    pub(super) fn pack(&mut self, pack: impl FnOnce(&mut Vec<u8>)) -> &mut Self {
        self.room.clear();
        pack(&mut self.room);
        self.command.arg(&self.room[..]);
        self
    }

    /// Reads the answer to it. A script that has nothing to say but that all is well, and found the very head that it was
    /// told, answers with that one word.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] where no script of ours answers so.
    pub(super) fn read(&self, value: Value) -> Result<Answer, StoreError> {
        match bytes_of(&value) {
            Some(b"OK") => Ok(Answer { word: "OK".to_owned(), seen: self.told, rest: Vec::new().into_iter() }),
            _ => Answer::read(self.script, value),
        }
    }
}

/// A script's answer: a word, the head as it was read, and what the script says besides.
pub(crate) struct Answer {
    pub(crate) word: String,
    pub(crate) seen: Seen,
    rest: std::vec::IntoIter<Value>,
}

impl Answer {
    /// Reads an answer.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] where no script of ours answers so.
    pub(crate) fn read(script: &Script, value: Value) -> Result<Self, StoreError> {
        Self::parse(value).ok_or_else(|| odd(script))
    }

    fn parse(value: Value) -> Option<Self> {
        let Value::Array(values) = value else { return None };
        let mut rest = values.into_iter();
        let word = String::from_utf8(bytes(rest.next()?)?).ok()?;
        let epoch = String::from_utf8(bytes(rest.next()?)?).ok()?;
        let generation = int(&rest.next()?)?;
        let position = Position::new(int(&rest.next()?)?);
        let tag = bytes(rest.next()?)?;
        // A store without a log has no epoch and no tag; it is told apart by the word.
        let seen = match (Epoch::parse(&epoch), <[u8; 12]>::try_from(tag)) {
            (Some(epoch), Ok(tag)) => Seen { epoch, generation, position, tag },
            _ if word == "LOST" => Seen { generation, position, ..Seen::NOTHING },
            _ => return None,
        };
        Some(Self { word, seen, rest })
    }

    /// The next value as a number.
    pub(super) fn number(&mut self) -> Option<u64> {
        int(&self.rest.next()?)
    }

    /// The next value as a list.
    pub(super) fn list(&mut self) -> Option<Vec<Value>> {
        match self.rest.next()? {
            Value::Array(values) => Some(values),
            _ => None,
        }
    }
}

/// The error of an answer that no script of ours gives.
pub(super) fn odd(script: &Script) -> StoreError {
    StoreError::Corrupt(format!("the answer to {}.lua", script.name))
}

/// A value as bytes.
pub(crate) fn bytes(value: Value) -> Option<Vec<u8>> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        Value::SimpleString(text) => Some(text.into_bytes()),
        Value::Okay => Some(b"OK".to_vec()),
        _ => None,
    }
}

/// The bytes of a value that is plain text.
fn bytes_of(value: &Value) -> Option<&[u8]> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        _ => None,
    }
}

/// A value as a number that is not negative.
pub(super) fn int(value: &Value) -> Option<u64> {
    match value {
        Value::Int(number) => u64::try_from(*number).ok(),
        Value::BulkString(text) => std::str::from_utf8(text).ok()?.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    #[test]
    fn an_answer_that_no_script_gives_is_corrupt_and_no_panic() {
        let good = || vec![text("OK"), text("00000000000000aa"), Value::Int(1), Value::Int(7), text("abcdefabcdef")];
        let answer = Answer::parse(Value::Array(good())).expect("good");
        assert_eq!((answer.word.as_str(), answer.seen.position.get()), ("OK", 7));
        for at in 0..5 {
            for wrong in [Value::Nil, Value::Int(-1), text("x"), Value::Array(vec![])] {
                let mut values = good();
                if at == 0 && wrong == text("x") {
                    continue;
                }
                values[at] = wrong;
                assert!(Answer::read(&CHECK, Value::Array(values)).is_err(), "{at}");
            }
            assert!(Answer::read(&CHECK, Value::Array(good()[..at].to_vec())).is_err());
        }
        assert!(Answer::read(&CHECK, Value::Nil).is_err());
    }
}
