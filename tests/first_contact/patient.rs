//! A workload's settings, good until a test breaks one, and what `doctor` finds there.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Output, Stdio};

use serde_json::Value;

use crate::common::{API, Broker, ISSUER, clean, from_base64url, key_of};

/// Every check, in the order in which they are told.
pub const CHECKS: [&str; 14] = [
    "settings",
    "dns",
    "tcp",
    "tls",
    "http",
    "clock",
    "issuer",
    "identity",
    "key_file",
    "authentication",
    "workload",
    "audience",
    "scope",
    "policy",
];

/// What asks for a token that the tests' policies grant.
pub const ASK: [&str; 4] = ["--audience", API, "--scope", "orders:read"];

/// A workload's environment.
pub struct Patient {
    dir: tempfile::TempDir,
    settings: Vec<(String, String)>,
}

impl Patient {
    /// The workload `id` of this broker, with its own key.
    pub fn of(broker: &Broker, id: &str) -> Self {
        Self::at(&broker.url(), id)
    }

    /// The same at any address.
    pub fn at(url: &str, id: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let patient = Self { dir, settings: Vec::new() };
        let key = patient.write("key.pem", &key_of(id).pem());
        patient
            .set("JITNEY_URL", url)
            .set("JITNEY_ISSUER", ISSUER)
            .set("JITNEY_WORKLOAD", id)
            .set("JITNEY_KEY_FILE", key.to_str().unwrap())
    }

    /// With this setting in place of another.
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.settings.retain(|(other, _)| other != name);
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Without this setting.
    pub fn without(mut self, name: &str) -> Self {
        self.settings.retain(|(other, _)| other != name);
        self
    }

    /// A file of its own that nobody else may read.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    /// The settings.
    pub fn settings(&self) -> &[(String, String)] {
        &self.settings
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn doctor(&self, words: &[&str]) -> Output {
        let mut command = clean(env!("CARGO_BIN_EXE_jitney"));
        // What this machine trusts besides is no part of a patient.
        command.env_remove("SSL_CERT_FILE").env_remove("SSL_CERT_DIR");
        command.envs(self.settings.iter().cloned()).arg("doctor").args(words);
        let output = command.current_dir(self.dir.path()).stdin(Stdio::null()).output().unwrap();
        let told = format!("{}{}", text(&output.stdout), text(&output.stderr));
        self.assert_no_secret(&told);
        output
    }

    /// What it finds, for programs; its shape is that of the contract.
    #[track_caller]
    pub fn finds(&self, words: &[&str]) -> Findings {
        let output = self.doctor(&[words, &["--output", "json"]].concat());
        let document: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}{}", text(&output.stdout), text(&output.stderr)));
        let checks = document["checks"].as_array().unwrap().clone();
        assert_eq!(checks.iter().map(|check| check["name"].as_str().unwrap()).collect::<Vec<_>>(), CHECKS);
        let failed = checks.iter().filter(|check| check["status"] == "fail").count();
        assert_eq!((document["ok"].as_bool(), output.status.code()), (Some(failed == 0), Some(i32::from(failed > 0))));
        for check in &checks {
            let members: Vec<_> = check.as_object().unwrap().keys().map(String::as_str).collect();
            assert_eq!(members.len(), 4, "{check}");
            assert!(check["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{check}");
            assert_eq!(
                check["status"] == "fail",
                check["mend"].as_str().is_some_and(|mend| !mend.is_empty()),
                "{check}"
            );
        }
        Findings(checks)
    }

    /// What it tells people.
    pub fn hears(&self, words: &[&str]) -> (Option<i32>, String) {
        let output = self.doctor(words);
        assert_eq!(text(&output.stderr), "");
        (output.status.code(), text(&output.stdout))
    }

    /// No line of a key and no token may be told.
    #[track_caller]
    fn assert_no_secret(&self, told: &str) {
        assert!(!tells_of_a_token(told), "{told}");
        for entry in fs::read_dir(self.dir.path()).unwrap() {
            let content = fs::read_to_string(entry.unwrap().path()).unwrap();
            for line in content.lines().filter(|line| line.len() > 20 && !line.starts_with('-')) {
                assert!(!told.contains(line), "{told}");
            }
        }
    }
}

/// The checks, as they came out.
#[derive(Debug)]
pub struct Findings(Vec<Value>);

impl Findings {
    #[track_caller]
    fn of(&self, name: &str) -> &Value {
        self.0.iter().find(|check| check["name"] == name).unwrap()
    }

    #[track_caller]
    pub fn detail(&self, name: &str) -> &str {
        self.of(name)["detail"].as_str().unwrap()
    }

    #[track_caller]
    pub fn mend(&self, name: &str) -> &str {
        self.of(name)["mend"].as_str().unwrap()
    }

    /// Exactly this one failed, with these words in what was seen and in the mend; what needs it was not looked at.
    #[track_caller]
    pub fn only(&self, name: &str, detail: &[&str], mend: &[&str]) -> &Self {
        let failed: Vec<_> = self.0.iter().filter(|check| check["status"] == "fail").collect();
        assert_eq!(failed.iter().map(|check| check["name"].as_str().unwrap()).collect::<Vec<_>>(), [name], "{self:#?}");
        for (member, words) in [("detail", detail), ("mend", mend)] {
            let told = failed[0][member].as_str().unwrap();
            for word in words {
                assert!(told.contains(word), "no `{word}` in the {member}: {told}");
            }
        }
        let why = format!("{name} failed");
        for check in self.0.iter().filter(|check| check["status"] == "skipped") {
            assert_eq!(check["detail"], why, "{check}");
        }
        self
    }

    /// These have this status, and no others.
    #[track_caller]
    pub fn are(&self, status: &str, names: &[&str]) -> &Self {
        let found: Vec<_> = self
            .0
            .iter()
            .filter(|check| check["status"] == status)
            .map(|check| check["name"].as_str().unwrap())
            .collect();
        assert_eq!(found, names, "{self:#?}");
        self
    }
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Whether a JSON object in base64url stands in it: each begins with `eyJ`, as one key's thumbprint in some thousands has it
/// somewhere by chance. What follows is text in the one and noise in the other.
fn tells_of_a_token(told: &str) -> bool {
    told.match_indices("eyJ").any(|(at, _)| {
        let word: String = told[at..].chars().take_while(|c| c.is_ascii_alphanumeric() || "-_".contains(*c)).collect();
        let head = &word[..word.len().min(24) / 4 * 4];
        head.len() >= 12 && from_base64url(head).iter().all(|byte| (b' '..=b'~').contains(byte))
    })
}

#[test]
fn a_token_is_told_from_a_thumbprint() {
    assert!(tells_of_a_token("it sent eyJhbGciOiJFUzI1NiJ9.e30.AAAA"));
    assert!(tells_of_a_token("xeyJ0eXAiOiJhdCtqd3QifQ"));
    assert!(!tells_of_a_token("kid lkTcyG_aZIacKxeyJXzch6uovpTQvpQKs7VZPjIxpEM in key.pem"));
}
