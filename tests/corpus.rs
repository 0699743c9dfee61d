//! Every fuzz target over its corpus, and then for about two seconds over bent pieces of it. What fuzzers found once
//! lies in the corpus, so it stays found.
//!
//! `JITNEY_TEST_SEED=N` plays a failed run again, `JITNEY_FUZZ_SECONDS=S` runs each target for longer.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use jitney::fuzz::TARGETS;

#[path = "common/chance.rs"]
#[allow(dead_code, reason = "each test takes what it needs")]
mod chance;

use chance::Chance;

/// No input is bent to more than this: what is longer teaches nothing new within seconds.
const LONGEST: usize = 16 << 10;

/// What parsers of all kinds stumble over.
const ODD: &[&[u8]] = &[
    b"",
    b"\0",
    b"\n",
    b"\r\n",
    b"%00",
    b"%2F",
    b"..",
    b"\"",
    b"\\u0000",
    b"\xff",
    "\u{202e}".as_bytes(),
    b"\x80\x00",
    b"18446744073709551615",
    b"-1",
    b"1e999",
    b"null",
    b"[[[[[[[[",
    b"{\"a\":",
    b"eyJ",
    b"$-1\r\n",
    b"*1\r\n",
];

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(name);
    let mut files: Vec<_> = fs::read_dir(folder).expect("a corpus").map(|entry| entry.expect("entry").path()).collect();
    files.sort();
    files.into_iter().map(|file| fs::read(file).expect("an input")).collect()
}

/// Runs a target; one that panics is shown with its input.
fn run(name: &str, target: fn(&[u8]), input: &[u8]) {
    let outcome = catch_unwind(AssertUnwindSafe(|| target(input)));
    assert!(outcome.is_ok(), "{name} broke on {:?}", String::from_utf8_lossy(input));
}

/// One input of the corpus, bent in a few places.
fn bent(corpus: &[Vec<u8>], chance: &mut Chance) -> Vec<u8> {
    let mut input = chance.pick(corpus).clone();
    for _ in 0..=chance.below(4) {
        let at = below(chance, input.len() + 1);
        let end = at + below(chance, (input.len() - at).min(32) + 1);
        match chance.below(6) {
            0 if at < input.len() => input[at] ^= 1 << chance.below(8),
            1 => drop(input.splice(at..end, chance.pick(ODD).iter().copied())),
            2 => drop(input.drain(at..end)),
            3 => {
                let piece = input[at..end].to_vec();
                input.splice(at..at, piece);
            }
            4 => {
                let other = chance.pick(corpus);
                let from = below(chance, other.len() + 1);
                let to = from + below(chance, (other.len() - from).min(64) + 1);
                input.splice(at..end, other[from..to].iter().copied());
            }
            _ => input.insert(at, u8::try_from(chance.below(256)).expect("a byte")),
        }
    }
    input.truncate(LONGEST);
    input
}

fn below(chance: &mut Chance, bound: usize) -> usize {
    usize::try_from(chance.below(bound as u64)).expect("an index")
}

#[test]
fn every_target_has_a_corpus_and_keeps_its_laws_on_it() {
    for (name, target) in TARGETS {
        let corpus = corpus(name);
        assert!(corpus.len() >= 8, "{name} has {} inputs", corpus.len());
        for input in &corpus {
            run(name, *target, input);
        }
    }
}

#[test]
#[allow(clippy::disallowed_macros, reason = "says how much was tried")]
fn every_target_keeps_its_laws_on_bent_inputs() {
    let seconds = std::env::var("JITNEY_FUZZ_SECONDS").ok().and_then(|seconds| seconds.parse().ok()).unwrap_or(2);
    let mut seed = Chance::new();
    for (name, target) in TARGETS {
        // Its own, so that how far another target came changes nothing.
        let mut chance = seed.fork();
        let (corpus, begun, mut runs) = (corpus(name), Instant::now(), 0u64);
        while begun.elapsed() < Duration::from_secs(seconds) {
            run(name, *target, &bent(&corpus, &mut chance));
            runs += 1;
        }
        assert!(runs > 0);
        println!("{name}: {runs} runs");
    }
}

#[test]
fn every_target_is_built_for_the_fuzzer_and_every_corpus_has_its_target() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz");
    let names = |folder: &str, ending: &str| {
        let entries =
            fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz").join(folder)).expect("folder");
        let mut names: Vec<String> = entries
            .map(|entry| entry.expect("entry").file_name().into_string().expect("utf-8"))
            .map(|name| name.trim_end_matches(ending).to_owned())
            .collect();
        names.sort();
        names
    };
    let targets: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
    assert_eq!(names("fuzz_targets", ".rs"), targets);
    assert_eq!(names("corpus", ""), targets);
    let manifest = fs::read_to_string(folder.join("Cargo.toml")).expect("manifest");
    for name in targets {
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name} is no binary of tests/fuzz/Cargo.toml");
        let text = fs::read_to_string(folder.join(format!("fuzz_targets/{name}.rs"))).expect("target");
        assert!(text.contains(&format!("jitney::fuzz::{name}(data)")), "{name}.rs calls another target");
    }
}
