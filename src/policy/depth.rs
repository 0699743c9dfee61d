//! How deep and how long a policy's expressions may be: held against the text, before Cedar's own code, which recurses,
//! sees it.
//!
//! Owns the two bounds and the stack that a load runs on. Never knows what an expression means.

use std::io;
use std::ops::Range;
use std::thread;

use super::diagnostic::{Diagnostic, SourceFile};

/// How many brackets may be open at once.
const DEEPEST: usize = 32;

/// How many characters of operators and opening brackets one policy may have: each can put another expression around the ones before.
const LONGEST: usize = 1000;

/// What Cedar needs for the deepest and longest that is let through, many times over, in a build without optimisation.
const STACK: usize = 256 << 20;

/// Runs `work` where it has room: on a thread of its own, and drops there what it drops.
///
/// # Errors
/// The system gives no thread.
pub(crate) fn with_room<T: Send>(work: impl FnOnce() -> T + Send) -> io::Result<T> {
    thread::scope(|scope| {
        let worker = thread::Builder::new().name("policies".into()).stack_size(STACK).spawn_scoped(scope, work)?;
        worker.join().map_err(|_| io::Error::other("the load of the policies has panicked"))
    })
}

/// The first place where `file` goes beyond a bound.
pub(super) fn check(file: &SourceFile) -> Option<Diagnostic> {
    let (why, span) = first_excess(file.text.as_bytes())?;
    let finding = Diagnostic::error("cedar-depth", why).at(file, span);
    Some(finding.help("write several policies, or a set: `[\"a\", \"b\"].contains(context.task)`"))
}

fn first_excess(text: &[u8]) -> Option<(String, Range<usize>)> {
    let (mut depth, mut operators, mut at) = (0_usize, 0_usize, 0_usize);
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => at = behind_string(text, at),
            b'/' if text.get(at + 1) == Some(&b'/') => at = behind_line(text, at),
            // An index and a further `when` put an expression around the ones before, as operators do.
            b'(' | b'[' | b'{' => {
                depth += 1;
                operators += 1;
            }
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            b';' if depth == 0 => operators = 0,
            b'&' | b'|' | b'+' | b'-' | b'*' | b'!' | b'.' | b'<' | b'>' | b'=' => operators += 1,
            b'i' if is_if(text, at) => operators += 1,
            _ => {}
        }
        if depth > DEEPEST {
            return Some((format!("more than {DEEPEST} brackets are open here"), at..at + 1));
        }
        if operators > LONGEST {
            return Some((format!("this policy has more than {LONGEST} operators and brackets"), at..at + 1));
        }
        at += 1;
    }
    None
}

/// The last byte of the string that begins at `at`.
fn behind_string(text: &[u8], at: usize) -> usize {
    let mut end = at + 1;
    while let Some(byte) = text.get(end) {
        match byte {
            b'\\' => end += 1,
            b'"' => break,
            _ => {}
        }
        end += 1;
    }
    end
}

/// The last byte of the line.
fn behind_line(text: &[u8], at: usize) -> usize {
    text[at..].iter().position(|byte| *byte == b'\n').map_or(text.len(), |end| at + end)
}

/// Whether the word `if` stands here.
fn is_if(text: &[u8], at: usize) -> bool {
    let is_word = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    text.get(at + 1) == Some(&b'f')
        && !is_word(text.get(at + 2))
        && !is_word(at.checked_sub(1).and_then(|before| text.get(before)))
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::Question;
    use super::*;
    use crate::model::UnixTime;
    use crate::policy::PolicySet;

    const WORKLOAD: &str = "owner = \"a@example.com\"\npurpose = \"Tests\"\nexpires = 2099-01-01\n";
    const AUDIENCE: &str = "id = \"https://api.example.com\"\nowner = \"a@example.com\"\npurpose = \"Tests\"\n[scopes]\n\"orders:read\" = \"Read\"\n";

    fn load(condition: &str) -> Result<PolicySet, String> {
        let policy = format!("@id(\"d\")\npermit(principal, action, resource) when {{ {condition} }};");
        let files = [("workloads/w.toml", WORKLOAD), ("audiences/api.toml", AUDIENCE), ("d.cedar", &policy)];
        let loaded = PolicySet::from_sources(files, UnixTime::from_secs(1_800_000_000));
        loaded.map(|(set, _)| set).map_err(|findings| findings.0.iter().map(ToString::to_string).collect())
    }

    fn nested(depth: usize) -> String {
        format!("{}true{}", "(".repeat(depth), ")".repeat(depth))
    }

    /// On a stack as small as a request's.
    fn on_a_small_stack(work: impl FnOnce() + Send + 'static) {
        thread::Builder::new().stack_size(2 << 20).spawn(work).unwrap().join().unwrap();
    }

    #[test]
    fn what_is_at_the_bounds_loads_decides_and_goes_on_a_small_stack() {
        on_a_small_stack(|| {
            let lists = format!("{}1{} == [1]", "[".repeat(DEEPEST - 1), "]".repeat(DEEPEST - 1));
            let records = format!("{}1{} == {{a: 1}}", "{a: ".repeat(DEEPEST - 1), "}".repeat(DEEPEST - 1));
            let conditions = [
                nested(DEEPEST - 1),
                lists,
                records,
                format!("true{}", " || true".repeat(LONGEST / 2 - 2)),
                format!("1{} == 1", " + 1".repeat(LONGEST - 6)),
                format!("{}true", "!".repeat(LONGEST - 4)),
                format!("context{}", "[\"task\"]".repeat(LONGEST - 4)),
                format!("true }}{} when {{ true", " when { true }".repeat(LONGEST - 4)),
                format!("{}true", "if true then true else ".repeat(LONGEST - 4)),
            ];
            for condition in conditions {
                // Cedar itself may refuse some; none may bring the process down.
                if let Ok(set) = load(&condition) {
                    let workload = Question { workload: "w", ..Question::of("orders:read") };
                    let _ = workload.decided(&set);
                }
            }
            for loads in [nested(DEEPEST - 1), format!("true{}", " || true".repeat(LONGEST / 2 - 2))] {
                assert!(load(&loads).is_ok());
            }
        });
    }

    #[test]
    fn what_is_beyond_is_refused_by_its_place() {
        on_a_small_stack(|| {
            for (condition, why) in [
                (nested(DEEPEST), "more than 32 brackets"),
                (nested(100_000), "more than 32 brackets"),
                ("[".repeat(5_000), "more than 32 brackets"),
                (format!("true{}", " || true".repeat(50_000)), "more than 1000"),
                (format!("context{}", ".id".repeat(50_000)), "more than 1000"),
                (format!("{}true", "if true then true else ".repeat(2_000)), "more than 1000"),
                (format!("{}true", "!".repeat(9_000)), "more than 1000"),
                (format!("context{}", "[\"id\"]".repeat(50_000)), "more than 1000"),
                (format!("true }}{} when {{ true", " when { true }".repeat(50_000)), "more than 1000"),
            ] {
                let told = load(&condition).err().unwrap_or_default();
                assert!(told.contains(why) && told.contains("d.cedar:2"), "{why}: {told:.900}");
            }
        });
    }

    #[test]
    fn strings_and_comments_do_not_count_and_each_policy_counts_for_itself() {
        let many = "(".repeat(99) + &".".repeat(2000);
        assert_eq!(first_excess(format!("@id(\"{many}\\\"{many}\") // {many}\npermit(x);").as_bytes()), None);
        assert_eq!(first_excess("permit(a == b);\n".repeat(5_000).as_bytes()), None);
        assert_eq!(first_excess(b"\"\\"), None);
    }
}
