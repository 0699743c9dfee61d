//! gitleaks' rules, read and applied as gitleaks does: keywords first, then the pattern, its entropy, and what it lets pass.
//!
//! Owns no pattern. One thing is left out on purpose: a comment `gitleaks:allow` lets nothing pass here, for it gives no
//! reason and no end.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::sync::{LazyLock, OnceLock};

use aho_corasick::AhoCorasick;
use regex::bytes::{Captures, Regex, RegexBuilder};
use serde::Deserialize;

/// As it was published: `tests/policy.rs` holds its digest.
const CONFIG: &str = include_str!("gitleaks.toml");

/// What was found.
pub(super) struct Hit<'e> {
    /// gitleaks' name of the rule, and what it says of it.
    pub rule: &'e str,
    pub about: &'e str,
    /// Where the secret itself stands.
    pub place: Range<usize>,
}

#[derive(Deserialize)]
struct Config {
    allowlist: RawAllow,
    rules: Vec<RawRule>,
}

#[derive(Deserialize)]
struct RawRule {
    id: String,
    description: String,
    regex: Option<String>,
    path: Option<String>,
    entropy: Option<f64>,
    #[serde(default)]
    keywords: Vec<String>,
    #[serde(rename = "secretGroup")]
    secret_group: Option<usize>,
    #[serde(default)]
    allowlists: Vec<RawAllow>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct RawAllow {
    condition: String,
    #[serde(rename = "regexTarget")]
    target: String,
    regexes: Vec<String>,
    paths: Vec<String>,
    stopwords: Vec<String>,
}

/// A pattern, made ready when it is first needed: most never are.
struct Pattern {
    text: String,
    ready: OnceLock<Option<Regex>>,
}

struct Rule {
    id: String,
    about: String,
    pattern: Option<Pattern>,
    path: Option<Pattern>,
    entropy: Option<f64>,
    group: Option<usize>,
    allowed: Vec<Allow>,
}

struct Allow {
    all: bool,
    target: String,
    patterns: Vec<Pattern>,
    paths: Vec<Pattern>,
    stopwords: Vec<String>,
}

/// All rules.
pub(super) struct Engine {
    rules: Vec<Rule>,
    allowed: Allow,
    keywords: Option<AhoCorasick>,
    /// By the keyword's number, the rules it wakes.
    woken: Vec<Vec<usize>>,
    /// Rules without keywords.
    awake: Vec<usize>,
}

impl Engine {
    pub fn shared() -> &'static Self {
        static ENGINE: LazyLock<Engine> = LazyLock::new(Engine::new);
        &ENGINE
    }

    fn new() -> Self {
        let config: Config =
            toml::from_str(CONFIG).unwrap_or_else(|_| Config { allowlist: RawAllow::default(), rules: Vec::new() });
        let mut by_keyword: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        let mut awake = Vec::new();
        let mut rules = Vec::with_capacity(config.rules.len());
        for (at, raw) in config.rules.into_iter().enumerate() {
            if raw.keywords.is_empty() {
                awake.push(at);
            }
            for keyword in &raw.keywords {
                by_keyword.entry(keyword.to_lowercase()).or_default().push(at);
            }
            rules.push(Rule {
                id: raw.id,
                about: raw.description,
                pattern: raw.regex.map(Pattern::new),
                path: raw.path.map(Pattern::new),
                entropy: raw.entropy,
                group: raw.secret_group,
                allowed: raw.allowlists.into_iter().map(Allow::new).collect(),
            });
        }
        let keywords = AhoCorasick::builder().ascii_case_insensitive(true).build(by_keyword.keys()).ok();
        Self {
            rules,
            allowed: Allow::new(config.allowlist),
            keywords,
            woken: by_keyword.into_values().collect(),
            awake,
        }
    }

    /// The secrets in a file.
    pub fn scan(&self, path: &str, text: &str) -> Vec<Hit<'_>> {
        if self.allowed.paths.iter().any(|pattern| pattern.is_match(path.as_bytes())) {
            return Vec::new();
        }
        let mut asked: HashSet<usize> = self.awake.iter().copied().collect();
        for found in self.keywords.iter().flat_map(|keywords| keywords.find_overlapping_iter(text)) {
            asked.extend(&self.woken[found.pattern().as_usize()]);
        }
        let mut asked: Vec<usize> = asked.into_iter().collect();
        asked.sort_unstable();
        let mut hits: Vec<Hit<'_>> = Vec::new();
        for rule in asked.into_iter().map(|at| &self.rules[at]) {
            self.apply(rule, path, text, &mut hits);
        }
        // A rule that knows whose secret it is says more than the general one.
        let known: Vec<Range<usize>> =
            hits.iter().filter(|hit| hit.rule != GENERIC).map(|hit| hit.place.clone()).collect();
        hits.retain(|hit| hit.rule != GENERIC || !known.iter().any(|other| overlap(other, &hit.place)));
        hits.sort_by_key(|hit| hit.place.start);
        hits
    }

    fn apply<'e>(&'e self, rule: &'e Rule, path: &str, text: &str, hits: &mut Vec<Hit<'e>>) {
        if rule.path.as_ref().is_some_and(|pattern| !pattern.is_match(path.as_bytes())) {
            return;
        }
        let hit = |place| Hit { rule: &rule.id, about: rule.about.trim_end_matches('.'), place };
        let Some(pattern) = rule.pattern.as_ref() else {
            // What the file is called tells enough.
            return hits.push(hit(0..0));
        };
        let Some(pattern) = pattern.get() else { return };
        for found in pattern.captures_iter(text.as_bytes()) {
            let Some((whole, secret)) = rule.secret(&found) else { continue };
            let said = &text.as_bytes()[secret.clone()];
            if rule.entropy.is_some_and(|least| entropy(said) <= least) {
                continue;
            }
            let about = About { path, secret: said, whole: &text.as_bytes()[whole.clone()], line: line(text, &whole) };
            if !self.allowed.lets_pass(&about) && !rule.allowed.iter().any(|each| each.lets_pass(&about)) {
                hits.push(hit(secret));
            }
        }
    }
}

const GENERIC: &str = "generic-api-key";

fn overlap(a: &Range<usize>, b: &Range<usize>) -> bool {
    a.start < b.end && b.start < a.end
}

impl Rule {
    /// Where the match is, and where within it the secret: the group named, else the first that holds anything.
    fn secret(&self, found: &Captures<'_>) -> Option<(Range<usize>, Range<usize>)> {
        let whole = found.get(0)?.range();
        let group = match self.group {
            Some(group) => found.get(group),
            None => found.iter().skip(1).flatten().find(|group| !group.is_empty()),
        };
        Some((whole.clone(), group.map_or(whole, |group| group.range())))
    }
}

/// What a list of exceptions looks at.
struct About<'a> {
    path: &'a str,
    secret: &'a [u8],
    whole: &'a [u8],
    line: &'a [u8],
}

impl Allow {
    fn new(raw: RawAllow) -> Self {
        let ready = |all: Vec<String>| all.into_iter().map(Pattern::new).collect();
        Self {
            all: raw.condition.eq_ignore_ascii_case("and"),
            target: raw.target,
            patterns: ready(raw.regexes),
            paths: ready(raw.paths),
            stopwords: raw.stopwords.into_iter().map(|word| word.to_lowercase()).collect(),
        }
    }

    fn lets_pass(&self, about: &About<'_>) -> bool {
        let target = match self.target.as_str() {
            "match" => about.whole,
            "line" => about.line,
            _ => about.secret,
        };
        let secret = String::from_utf8_lossy(about.secret).to_lowercase();
        let checks = [
            (!self.patterns.is_empty()).then(|| self.patterns.iter().any(|pattern| pattern.is_match(target))),
            (!self.paths.is_empty()).then(|| self.paths.iter().any(|pattern| pattern.is_match(about.path.as_bytes()))),
            (!self.stopwords.is_empty()).then(|| self.stopwords.iter().any(|word| secret.contains(word))),
        ];
        let mut checks = checks.into_iter().flatten().peekable();
        if self.all { checks.peek().is_some() && checks.all(|passes| passes) } else { checks.any(|passes| passes) }
    }
}

impl Pattern {
    fn new(text: String) -> Self {
        Self { text, ready: OnceLock::new() }
    }

    fn is_match(&self, text: &[u8]) -> bool {
        self.get().is_some_and(|pattern| pattern.is_match(text))
    }

    /// The pattern in this language; the tests hold that there is none which cannot be said in it.
    fn get(&self) -> Option<&Regex> {
        let make = || RegexBuilder::new(&in_rust(&self.text)).unicode(false).size_limit(64 << 20).build().ok();
        self.ready.get_or_init(make).as_ref()
    }
}

/// A brace that begins no repetition stands for itself in Go, and must be written so here.
fn in_rust(pattern: &str) -> String {
    let mut written = String::with_capacity(pattern.len());
    let mut rest = pattern;
    while let Some(at) = rest.find(['\\', '{']) {
        let (before, behind) = rest.split_at(at);
        written.push_str(before);
        let taken = if behind.starts_with('\\') {
            let next = behind.chars().nth(1).map_or(0, char::len_utf8);
            written.push_str(&behind[..1 + next]);
            1 + next
        } else {
            let inner = behind[1..].split('}').next().unwrap_or_default();
            let repeats = behind.contains('}')
                && inner.starts_with(|c: char| c.is_ascii_digit())
                && inner.chars().all(|c| c.is_ascii_digit() || c == ',');
            written.push_str(if repeats || before.ends_with("\\x") || written.ends_with("\\x") { "{" } else { "\\{" });
            1
        };
        rest = &behind[taken..];
    }
    written + rest
}

/// Shannon's, in bits a byte.
fn entropy(bytes: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    bytes.iter().for_each(|byte| counts[usize::from(*byte)] += 1);
    let all = bytes.len() as f64;
    counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| f64::from(*count) / all)
        .map(|share| -share * share.log2())
        .sum()
}

/// The lines that a match lies in.
fn line<'a>(text: &'a str, place: &Range<usize>) -> &'a [u8] {
    let bytes = text.as_bytes();
    let start = bytes[..place.start].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let end = bytes[place.end..].iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| place.end + at);
    &bytes[start..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_of_gitleaks_can_be_said_here() {
        let engine = Engine::new();
        assert!(engine.rules.len() > 200 && engine.keywords.is_some(), "{}", engine.rules.len());
        let of = |allow: &'static str, all: &[Pattern]| {
            for pattern in all {
                assert!(pattern.get().is_some(), "{allow}: {}", pattern.text);
            }
        };
        for rule in &engine.rules {
            for pattern in rule.pattern.iter().chain(&rule.path) {
                let made = RegexBuilder::new(&in_rust(&pattern.text)).unicode(false).size_limit(64 << 20).build();
                assert!(made.is_ok(), "{}: {:?}", rule.id, made.err());
            }
            for allow in &rule.allowed {
                of("a rule's", &allow.patterns);
                of("a rule's", &allow.paths);
            }
        }
        of("the general", &engine.allowed.patterns);
        of("the general", &engine.allowed.paths);
    }

    #[test]
    fn a_brace_of_its_own_is_written_so() {
        assert_eq!(in_rust(r"^\$(?:\d+|{\d+})$"), r"^\$(?:\d+|\{\d+})$");
        assert_eq!(in_rust(r"[a-z]{2,}\{x{3}"), r"[a-z]{2,}\{x{3}");
    }
}
