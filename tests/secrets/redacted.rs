//! `Debug` of every type that holds a secret says nothing of it. Those that only the crate sees have the same test beside
//! them; the last test here finds a type that nobody has thought of.

use std::fmt::Debug;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jitney::attest::ClientAuth;
use jitney::client::{Identity, Token as Granted};
use jitney::config::Config;
use jitney::fetch::Answer;
use jitney::jose::es256::SigningKey;
use jitney::jose::{AssertionKey, Compact};
use jitney::model::{ScopeSet, Secret, TaskId};
use jitney::store::redis::RedisOptions;

use crate::common::{Assertion, Key, key_of};
use crate::hoard::Hoard;

const PASSWORD: &str = "correct-horse-battery-staple";

#[test]
fn debug_of_secrets_is_redacted() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key.pem");
    let (pem, assertion) = (key_of("demo").pem(), Assertion::of("demo").text());
    fs::write(&path, &pem).unwrap();
    let url = format!("redis://jitney:{PASSWORD}@127.0.0.1:6379/0");
    let (made, made_pem) = SigningKey::generate().unwrap();
    let mut hoard = Hoard::default();
    for pem in [&pem, made_pem.expose(), &Key::ed().pem()] {
        hoard.pem(pem);
    }
    hoard.jws(&assertion);
    hoard.password(PASSWORD);

    let settings = |name: &str| match name {
        "JITNEY_URL" => Some("http://127.0.0.1:8180".to_owned()),
        "JITNEY_WORKLOAD" => Some("demo".to_owned()),
        "JITNEY_KEY_FILE" => Some(path.display().to_string()),
        _ => None,
    };
    let in_a_job = |name: &str| match name {
        "JITNEY_URL" => Some("http://127.0.0.1:8180".to_owned()),
        "JITNEY_ID_TOKEN" => Some(assertion.clone()),
        _ => None,
    };
    let config = Config::load(None, [("JITNEY_STORE_URL".to_owned(), url.clone())]).unwrap();
    let granted = Granted {
        text: Secret::new(assertion.clone()),
        task: TaskId::parse("t").unwrap(),
        expires_in: Duration::from_secs(1),
        scopes: ScopeSet::parse("a").unwrap(),
    };
    let auth = ClientAuth { assertion: Some(&assertion), ..ClientAuth::default() };
    let answer = Answer {
        status: http::StatusCode::OK,
        headers: http::HeaderMap::new(),
        body: format!("{{\"access_token\":\"{assertion}\"}}").into(),
    };
    let all: [(&str, &dyn Debug); 13] = [
        ("Secret", &Secret::new(pem.clone())),
        ("Secret of bytes", &Secret::new(pem.clone().into_bytes())),
        ("SigningKey", &made),
        ("its PEM", &made_pem),
        ("AssertionKey", &AssertionKey::from_pem(&pem).unwrap()),
        ("Identity", &Identity::from_settings(settings).unwrap()),
        ("Identity of a job", &Identity::from_settings(in_a_job).unwrap()),
        ("Token", &granted),
        ("ClientAuth", &auth),
        ("Compact", &Compact::parse(&assertion).unwrap()),
        ("Answer", &answer),
        ("RedisOptions", &RedisOptions::new(url)),
        ("Config", &config),
    ];
    for (name, secret) in all {
        for told in [format!("{secret:?}"), format!("{secret:#?}")] {
            assert!(!told.is_empty());
            hoard.not_in(name, told.as_bytes());
            assert!(!told.contains("PRIVATE") && !told.contains("battery"), "{name}: {told}");
        }
    }
}

/// Fields that are called like a secret and are none.
const HARMLESS: [(&str, &str); 4] = [
    ("client/discovery.rs", "token"),
    ("keys/view.rs", "pem"),
    ("telemetry/metrics.rs", "token"),
    ("keys/state.rs", "token"),
];

/// A type that derives `Debug` and has a field called like a secret must have it in a `Secret`, or in a type that was
/// tested above: all those write their `Debug` themselves, so none of them is met here.
#[test]
fn no_type_derives_debug_over_a_bare_secret() {
    const NAMES: [&str; 12] = [
        "access_token",
        "assertion",
        "authorization",
        "bearer",
        "credential",
        "password",
        "pem",
        "private",
        "secret",
        "signature",
        "signing_input",
        "token",
    ];
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut looked_at = 0;
    for path in sources(&root) {
        let text = fs::read_to_string(&path).unwrap();
        let file = path.strip_prefix(&root).unwrap().display().to_string();
        for (name, kind) in derived_fields(&text) {
            looked_at += 1;
            let is_bare =
                !kind.contains("Secret<") && ["str", "String", "u8", "Bytes", "Cow"].iter().any(|b| kind.contains(b));
            let is_harmless = HARMLESS.contains(&(&file, &name));
            assert!(
                !(NAMES.contains(&&*name) && is_bare) || is_harmless,
                "src/{file}: `{name}: {kind}` in a derived Debug"
            );
        }
    }
    assert!(looked_at > 200, "{looked_at}");
}

/// Names and types of the named fields of all types that derive `Debug`.
fn derived_fields(text: &str) -> Vec<(String, String)> {
    let mut fields = Vec::new();
    for part in text.split("#[derive(").skip(1) {
        let (derived, rest) = part.split_once(")]").unwrap_or_default();
        if !derived.split(',').any(|each| each.trim() == "Debug") {
            continue;
        }
        let Some(open) = rest.find(['{', ';']).filter(|at| rest[*at..].starts_with('{')) else { continue };
        let body = rest[open + 1..].split("\n}").next().unwrap_or_default();
        let lines = body.lines().map(str::trim).filter(|line| !line.starts_with(['/', '#']));
        fields.extend(lines.filter_map(|line| {
            let (name, kind) = line.trim_end_matches(',').split_once(": ")?;
            let name = name.rsplit(' ').next()?;
            Some((name.to_owned(), kind.to_owned()))
        }));
    }
    fields
}

#[test]
fn the_reader_finds_fields_of_derived_debug_alone() {
    let text = "#[derive(Debug, Clone)]\npub struct A {\n    /// x: y\n    pub token: String,\n    n: u8,\n}\n\n#[derive(Clone)]\nstruct B \
                {\n    secret: String,\n}\n#[derive(Debug)]\nstruct C(String);\nstruct D { pem: u8 }\n";
    let expected = [("token", "String"), ("n", "u8")].map(|(name, kind)| (name.to_owned(), kind.to_owned()));
    assert_eq!(derived_fields(text), expected);
}

fn sources(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}
