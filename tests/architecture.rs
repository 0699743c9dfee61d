//! The house as a test: who imports whom, where features stand, how files begin and how long they are.
//!
//! Reads the sources as text, comments and strings blanked. Never builds anything.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// The rooms of the house and their floors. A room imports only from floors below its own.
const FLOORS: &[(u8, &[&str])] = &[
    (0, &["model"]),
    (1, &["audit", "fetch", "jose", "net", "prove", "revocation", "telemetry"]),
    (2, &["client", "policy", "verifier"]),
    (3, &["governance", "guard", "store"]),
    (4, &["attest", "keys"]),
    (5, &["broker"]),
    (6, &["http"]),
    (7, &["config"]),
    (8, &["cli"]),
    (9, &["fuzz"]),
];

/// The longest a file may be.
const MAX_LINES: usize = 400;

/// A file of the library: its room, its path below `src/`, its text as it is and with comments and strings blanked.
struct Source {
    room: String,
    path: String,
    text: String,
    code: String,
}

fn floor_of(room: &str) -> Option<u8> {
    FLOORS.iter().find(|(_, rooms)| rooms.contains(&room)).map(|(floor, _)| *floor)
}

fn sources() -> Vec<Source> {
    fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).expect("src is readable") {
            let path = entry.expect("entry").path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    walk(&root, &mut found);
    found.sort();
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).expect("source");
        let path = path.strip_prefix(&root).expect("below src").to_str().expect("utf-8").to_owned();
        let room = path.split('/').next().unwrap_or_default().trim_end_matches(".rs").to_owned();
        Source { room, code: blanked(&text), path, text }
    };
    found.into_iter().map(read).collect()
}

/// `text` with every character of comments, strings and character literals replaced by a space; line ends stay.
fn blanked(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out: Vec<char> = chars.clone();
    let mut at = 0;
    while at < chars.len() {
        let end = end_of_words(&chars, at).unwrap_or(at);
        for blank in &mut out[at..end] {
            if *blank != '\n' {
                *blank = ' ';
            }
        }
        at = end.max(at + 1);
    }
    out.into_iter().collect()
}

/// Where the comment or literal that begins at `at` ends; none where none begins there.
fn end_of_words(chars: &[char], at: usize) -> Option<usize> {
    let starts = |at: usize, what: &str| what.chars().enumerate().all(|(i, c)| chars.get(at + i) == Some(&c));
    let find = |from: usize, what: &str| (from..chars.len()).find(|i| starts(*i, what)).unwrap_or(chars.len());
    let follows_word = at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_');
    if starts(at, "//") {
        return Some(find(at, "\n"));
    }
    if starts(at, "/*") {
        return Some((find(at, "*/") + 2).min(chars.len()));
    }
    let raw = if starts(at, "br") { at + 2 } else { at + 1 };
    if !follows_word && (starts(at, "r") || starts(at, "br")) {
        let hashes = chars[raw..].iter().take_while(|c| **c == '#').count();
        if chars.get(raw + hashes) == Some(&'"') {
            let close = format!("\"{}", "#".repeat(hashes));
            return Some((find(raw + hashes + 1, &close) + close.len()).min(chars.len()));
        }
    }
    if starts(at, "\"") {
        let mut i = at + 1;
        while i < chars.len() && chars[i] != '"' {
            i += if chars[i] == '\\' { 2 } else { 1 };
        }
        return Some((i + 1).min(chars.len()));
    }
    if starts(at, "'\\") {
        return Some((find(at + 3, "'") + 1).min(chars.len()));
    }
    // A character, not a lifetime.
    (starts(at, "'") && chars.get(at + 2) == Some(&'\'')).then_some(at + 3)
}

/// The rooms that a text names by `crate::room` or within `use crate::{room…, room…}`.
fn named_rooms(code: &str) -> Vec<String> {
    let mut rooms = Vec::new();
    for (at, path) in code.match_indices("crate::") {
        // Not the end of a longer word, such as `other_crate::`, and not a visibility such as `pub(in crate::store)`.
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_') || code[..at].ends_with("(in ") {
            continue;
        }
        let rest = &code[at + path.len()..];
        match rest.strip_prefix('{') {
            Some(group) => rooms.extend(heads_of_group(group)),
            None => rooms.push(first_word(rest)),
        }
    }
    rooms.retain(|room| !room.is_empty());
    rooms
}

/// The first word of each member of a `{…}` list, nested lists passed over.
fn heads_of_group(group: &str) -> Vec<String> {
    let (mut depth, mut heads, mut is_start) = (0, Vec::new(), true);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => is_start = true,
            _ if is_start && depth == 0 && !c.is_whitespace() => {
                heads.push(first_word(&group[at..]));
                is_start = false;
            }
            _ => {}
        }
    }
    heads
}

fn first_word(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// Whether `room` may name `other`, and if not, why.
fn may_import(room: &str, other: &str) -> Result<(), String> {
    let of = |room: &str| floor_of(room).ok_or_else(|| format!("`{room}` has no floor in tests/architecture.rs"));
    let (own, theirs) = (of(room)?, of(other)?);
    if room == other || theirs < own {
        return Ok(());
    }
    Err(format!("`{room}` (floor {own}) imports `{other}` (floor {theirs})"))
}

#[test]
fn a_room_imports_only_from_floors_below_its_own() {
    let mut wrong = String::new();
    for source in sources().iter().filter(|source| source.room != "lib" && source.room != "main") {
        for other in named_rooms(&source.code) {
            if let Err(why) = may_import(&source.room, &other) {
                let _ = writeln!(wrong, "src/{}: {why}", source.path);
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn the_map_in_lib_rs_is_this_table() {
    let map = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).expect("lib.rs");
    let mut floor = None;
    let mut seen = BTreeMap::new();
    for line in map.lines().map(str::trim) {
        if let Some(told) = line.strip_prefix("// Floor ") {
            floor = told.split(':').next().and_then(|number| number.parse().ok());
        }
        if let Some(room) = line.trim_start_matches("pub ").strip_prefix("mod ").map(first_word) {
            assert_eq!(floor_of(&room), floor, "the floor of `{room}` here, and in lib.rs");
            assert_eq!(seen.insert(room.clone(), floor), None, "`{room}` is declared twice");
        }
    }
    assert!(seen.len() > 10, "lib.rs is a map of rooms under `// Floor N: …` lines");
}

#[test]
fn features_are_named_on_the_map_alone() {
    for source in sources().iter().filter(|source| source.path != "lib.rs") {
        // Strings are blanked: `cfg(feature` is what remains of it.
        let line = source.code.lines().position(|line| {
            let line: String = line.split_whitespace().collect();
            ["cfg(", "cfg_attr(", "cfg!("].iter().any(|cfg| line.contains(cfg)) && line.contains("feature=")
        });
        assert_eq!(line.map(|line| line + 1), None, "src/{}: cfg(feature) stands outside lib.rs", source.path);
    }
}

#[test]
fn every_file_opens_with_what_it_is() {
    for source in sources() {
        let first = source.text.lines().next().unwrap_or_default();
        assert!(first.starts_with("//! ") || first.starts_with("#!["), "src/{} opens with `{first}`", source.path);
    }
}

#[test]
fn no_file_is_longer_than_can_be_read_at_once() {
    for source in sources() {
        let lines = source.text.lines().count();
        assert!(lines <= MAX_LINES, "src/{} has {lines} lines, {MAX_LINES} is the limit", source.path);
    }
}

#[test]
fn nothing_is_allowed_without_a_reason() {
    for source in sources() {
        for word in ["[allow(", "[expect("] {
            for (at, _) in source.code.match_indices(word) {
                let attribute = source.code[at..].split(']').next().unwrap_or_default();
                assert!(attribute.contains("reason"), "src/{}: `#{attribute}]` gives no reason", source.path);
            }
        }
    }
}

mod the_reader_itself {
    use super::*;

    #[test]
    fn finds_every_way_to_name_a_room() {
        let code = "use crate::model::{A, B};\nuse crate::{jose::x, store::{y, z}, policy};\nfn f() -> crate::keys::K {}\n\
                    pub(in crate::audit) fn g() {} let x = my_crate::net::y;";
        assert_eq!(named_rooms(code), ["model", "jose", "store", "policy", "keys"]);
    }

    #[test]
    fn passes_over_comments_and_strings() {
        let code = blanked(
            "// crate::a\n/// crate::b\n/* crate::c */ \"crate::d \\\" crate::e\" r#\"crate::\"f\"# 'x' '\\'' br\"crate::h\" crate::g",
        );
        assert_eq!(named_rooms(&code), ["g"]);
        assert_eq!(named_rooms(&blanked("fn f<'a>(x: &'a str) -> crate::g::G<'a> { '\"' }")), ["g"]);
    }

    #[test]
    fn refuses_upward_and_sideways() {
        assert!(may_import("store", "policy").is_ok());
        assert!(may_import("store", "store").is_ok());
        assert!(may_import("policy", "store").is_err());
        assert!(may_import("jose", "revocation").is_err());
        assert!(may_import("attic", "model").is_err());
    }
}
