//! What jitney is made of: licences, sources, banned and doubled crates, one provider of cryptography, no unsafe code.
//!
//! The rules stand in `deny.toml`, which cargo-deny reads too (`tests/deny`). Reads what cargo says; builds nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on ends")]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::LazyLock;

use serde_json::Value;

/// What has to do with cryptography in what is shipped, and why it is there. ring signs, verifies, hashes and draws.
const CRYPTOGRAPHY: [(&str, &str); 13] = [
    ("ring", "the one provider"),
    ("rustls", "TLS over ring"),
    ("rustls-pki-types", "names of certificates and keys, no algorithm"),
    ("rustls-webpki", "certificates, over ring"),
    ("rustls-native-certs", "finds the system's certificates"),
    ("tokio-rustls", "rustls on sockets"),
    ("hyper-rustls", "rustls under HTTP"),
    ("jsonwebtoken", "checks assertions; its algorithms are taken from ring by `jose::provider`"),
    ("signature", "the trait by which jsonwebtoken is given ring's signatures"),
    ("subtle", "comparisons in constant time, for rustls"),
    ("zeroize", "overwrites memory"),
    ("zeroize_derive", "the same for types of others, when they are built"),
    ("sha1_smol", "redis names its scripts by SHA-1, as the server does: no secret and no signature"),
];

/// What is compiled in with each feature alone.
const FEATURES: [&str; 3] = ["verifier", "client", "server"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).expect(path)
}

fn toml_of(path: &str) -> Value {
    toml::from_str(&read(path)).expect(path)
}

/// `deny.toml`.
static RULES: LazyLock<Value> = LazyLock::new(|| toml_of("deny.toml"));

/// A list of `deny.toml`: names, or tables with a `crate`.
fn listed(section: &str, name: &str) -> Vec<&'static str> {
    let list = RULES[section][name].as_array().unwrap_or_else(|| panic!("[{section}] {name}"));
    list.iter().map(|each| each.as_str().or(each["crate"].as_str()).unwrap()).collect()
}

/// What cargo says, by a command that reads the lock file and changes nothing. A lock file that does not fit, or is not
/// there, ends the test.
fn cargo(words: &[&str]) -> String {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let told = Command::new(cargo).args(words).arg("--locked").current_dir(root()).output().unwrap();
    assert!(told.status.success(), "{words:?}: {}", String::from_utf8_lossy(&told.stderr));
    String::from_utf8(told.stdout).unwrap()
}

/// Every package of the graph for this machine, tests and benches included, by `name version`.
static PACKAGES: LazyLock<HashMap<String, Value>> = LazyLock::new(|| {
    let about = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".into())).arg("-vV").output().unwrap();
    let about = String::from_utf8(about.stdout).unwrap();
    let host = about.lines().find_map(|line| line.strip_prefix("host: ")).expect("cargo names its host");
    let told = cargo(&["metadata", "--format-version", "1", "--all-features", "--filter-platform", host]);
    let told: Value = serde_json::from_str(&told).unwrap();
    let key = |package: &Value| format!("{} {}", name(package), package["version"].as_str().unwrap());
    told["packages"].as_array().unwrap().iter().map(|package| (key(package), package.clone())).collect()
});

/// What is compiled into jitney by dependencies of these kinds. `cargo metadata` names optional ones too that nothing
/// turns on; `cargo tree` does not.
fn built(features: &[&str], kinds: &str) -> Vec<&'static Value> {
    let told = cargo(&[&["tree", "--prefix", "none", "--format", "{p}", "--edges", kinds], features].concat());
    let keys: BTreeSet<String> = told
        .lines()
        .filter_map(|line| line.split_once(" v"))
        .map(|(name, rest)| format!("{name} {}", rest.split(' ').next().unwrap()))
        .collect();
    assert!(keys.len() > 40, "{told}");
    keys.iter().map(|key| &PACKAGES[key]).collect()
}

fn name(package: &Value) -> &str {
    package["name"].as_str().unwrap()
}

/// Packages of `Cargo.lock`: of every platform and every feature.
fn locked() -> Vec<Value> {
    toml_of("Cargo.lock")["package"].as_array().unwrap().clone()
}

#[test]
fn every_licence_is_one_that_may_be_shipped() {
    let allowed = listed("licenses", "allow");
    assert!(PACKAGES.len() > 150, "cargo has told everything");
    for package in PACKAGES.values() {
        let licence = package["license"].as_str().unwrap_or_default();
        assert!(is_allowed(licence, &allowed), "{} is under `{licence}`", package["id"]);
    }
}

/// Whether a licence expression can be met with these licences alone.
fn is_allowed(licence: &str, allowed: &[&str]) -> bool {
    // Older crates write `MIT/Apache-2.0` for `MIT OR Apache-2.0`.
    let parsed = spdx::Expression::parse_mode(licence, spdx::ParseMode::LAX);
    parsed.is_ok_and(|expression| expression.evaluate(|need| allowed.contains(&&*need.to_string())))
}

#[test]
fn a_licence_expression_is_read_as_it_is_meant() {
    let allowed = ["MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "ISC"];
    for (licence, expected) in [
        ("MIT", true),
        ("MIT/Apache-2.0", true),
        ("GPL-3.0-only OR MIT", true),
        ("GPL-3.0-only AND MIT", false),
        ("(MIT OR GPL-3.0-only) AND ISC", true),
        ("(MIT OR ISC) AND AGPL-3.0-only", false),
        ("Apache-2.0 WITH LLVM-exception", true),
        ("MIT WITH LLVM-exception", false),
        ("", false),
        ("SEE LICENSE", false),
    ] {
        assert_eq!(is_allowed(licence, &allowed), expected, "{licence}");
    }
}

#[test]
fn every_dependency_comes_from_crates_io_by_its_checksum() {
    const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";
    for package in locked() {
        if package["name"] == "jitney" {
            assert!(package.get("source").is_none());
            continue;
        }
        assert_eq!(package["source"], CRATES_IO, "{package}");
        assert_eq!(package["checksum"].as_str().map(str::len), Some(64), "{package}");
    }
    assert_eq!(listed("sources", "allow-registry"), [CRATES_IO.trim_start_matches("registry+")]);
    assert!(listed("sources", "allow-git").is_empty());
    let manifest = toml_of("Cargo.toml");
    assert!(manifest.get("patch").is_none() && manifest.get("replace").is_none(), "nothing is put in another's place");
}

#[test]
fn nothing_banned_is_in_any_build() {
    let locked = locked();
    for banned in listed("bans", "deny") {
        // One that a single other crate may use: it must be that crate's alone.
        let rule = RULES["bans"]["deny"].as_array().unwrap().iter().find(|rule| rule["crate"] == banned);
        let wrappers: Vec<&str> = rule
            .and_then(|rule| rule["wrappers"].as_array())
            .map(|names| names.iter().filter_map(Value::as_str).collect())
            .unwrap_or_default();
        let users: Vec<&str> = locked.iter().filter(|package| uses(package, banned)).map(name).collect();
        assert!(users.iter().all(|user| wrappers.contains(user)), "{banned} is used by {users:?}");
        assert!(!wrappers.is_empty() || locked.iter().all(|package| name(package) != banned), "{banned} is locked");
    }
}

/// Whether a package of the lock file depends on `other`: its list says `name`, or `name version`.
fn uses(package: &Value, other: &str) -> bool {
    let list = package["dependencies"].as_array().into_iter().flatten();
    list.filter_map(Value::as_str).any(|line| line.split(' ').next() == Some(other))
}

#[test]
fn ring_alone_does_the_cryptography_of_each_feature() {
    let known: BTreeMap<&str, &str> = CRYPTOGRAPHY.into_iter().collect();
    let banned = listed("bans", "deny");
    for feature in FEATURES {
        let shipped = built(&["--no-default-features", "--features", feature], "normal");
        let names: BTreeSet<&str> = shipped.iter().map(|package| name(package)).collect();
        assert!(names.contains("ring"), "{feature}: {names:?}");
        assert!(banned.iter().all(|banned| !names.contains(banned)), "{feature}: {names:?}");
        for package in shipped.iter().filter(|package| name(package) != "jitney") {
            let is_listed = known.contains_key(name(package));
            assert!(is_listed || !is_cryptography(package), "{feature}: {} has not been thought about", package["id"]);
        }
    }
    // What is listed is there, so that the list does not outlive its reasons.
    let names: BTreeSet<&str> = built(&["--all-features"], "normal").into_iter().map(name).collect();
    assert!(known.keys().all(|name| names.contains(name)), "{known:?}");
}

/// Whether a crate says of itself that it does cryptography, or is called after an algorithm.
fn is_cryptography(package: &Value) -> bool {
    const WORDS: [&str; 16] = [
        "aes",
        "blake",
        "chacha",
        "cipher",
        "crypto",
        "cryptography",
        "ecdsa",
        "ed25519",
        "hmac",
        "md5",
        "pbkdf",
        "rsa",
        "sha1",
        "sha2",
        "sha256",
        "tls",
    ];
    let words = |member: &str| -> Vec<String> {
        let list = package[member].as_array().into_iter().flatten();
        list.filter_map(Value::as_str).map(str::to_lowercase).collect()
    };
    let named = name(package).split(['-', '_']).any(|part| WORDS.contains(&part));
    named
        || words("keywords").iter().any(|word| WORDS.contains(&&**word))
        || words("categories").iter().any(|category| category.starts_with("cryptography"))
}

#[test]
fn no_crate_is_there_twice_unless_it_is_said_why() {
    // By what the compiler takes for compatible: 1.x, 0.3.x.
    let line = |version: &str| -> String {
        let (major, rest) = version.split_once('.').unwrap();
        let minor = rest.split('.').next().unwrap();
        if major == "0" { format!("0.{minor}") } else { major.to_owned() }
    };
    let mut lines: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for package in built(&["--all-features"], "normal,build") {
        lines.entry(name(package)).or_default().insert(line(package["version"].as_str().unwrap()));
    }
    let mut unused = listed("bans", "skip");
    for (name, mut lines) in lines.into_iter().filter(|(_, lines)| lines.len() > 1) {
        lines.retain(|line| {
            let skipped = format!("{name}@{line}");
            let before = unused.len();
            unused.retain(|skip| *skip != skipped);
            before == unused.len()
        });
        assert!(lines.len() <= 1, "{name} is there as {lines:?}");
    }
    assert!(unused.is_empty(), "deny.toml skips what is not there twice: {unused:?}");
}

#[test]
fn scripts_build_what_is_locked() {
    assert!(!read(".gitignore").contains("Cargo.lock"));
    for script in [".ci/run", "tests/run", "tests/deny", "deploy/Dockerfile"] {
        for line in read(script).lines().map(str::trim).filter(|line| !line.starts_with('#')) {
            let builds = [
                "cargo build",
                "cargo test",
                "cargo clippy",
                "cargo run",
                "cargo install",
                "cargo deny",
                "cargo bench",
            ];
            if builds.iter().any(|command| line.contains(command)) && !line.contains("--version >") {
                assert!(line.contains("--locked"), "{script}: {line}");
            }
        }
    }
}

#[test]
fn unsafe_code_is_forbidden_everywhere() {
    // The lints of the manifest hold for library, binary, tests, benches and examples alike; `forbid` yields to no `allow`.
    assert_eq!(toml_of("Cargo.toml")["lints"]["rust"]["unsafe_code"], "forbid");
    // The library says so itself too, for whoever reads it without the manifest.
    assert!(read("src/lib.rs").contains("#![forbid(unsafe_code)]"));
    assert!(!root().join("build.rs").exists(), "nothing of jitney's runs while it is built");
}
