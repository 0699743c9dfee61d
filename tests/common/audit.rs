//! The audit log as anybody can read it: a JSON object a line, chained by the hex SHA-256 of the line before.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;

/// The lines of a log, its chain checked.
pub struct Audit(Vec<Value>);

impl Audit {
    /// Reads the log, leaving out a line that is only half written.
    pub fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let lines: Vec<&str> = whole.lines().collect();
        let parsed: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).expect(line)).collect();
        for (line, next) in lines.iter().zip(&parsed[parsed.len().min(1)..]) {
            assert_eq!(next["prev"], hex_sha256(line), "the chain is broken behind {line}");
        }
        Self(parsed)
    }

    /// The lines.
    pub fn lines(&self) -> &[Value] {
        &self.0
    }

    /// The line of this decision.
    pub fn decision(&self, id: &str) -> Option<&Value> {
        self.0.iter().find(|line| line["decision_id"] == id)
    }

    /// The first line that says all this.
    pub fn find(&self, members: &[(&str, &str)]) -> Option<&Value> {
        self.0.iter().find(|line| members.iter().all(|(name, value)| line[*name] == *value))
    }
}

fn hex_sha256(line: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, line.as_bytes());
    digest.as_ref().iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
