//! A folder of policies that breaks no rule, copies of it that are changed, and what `policy check` says of them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::common::{clean, key_of};

/// The moment of every run.
const NOW: &str = "2026-11-28 12:00:00";

/// Files by path.
#[derive(Clone)]
pub struct Tree(BTreeMap<String, String>);

/// `path`, what is replaced in it, and by what; an empty `from` puts the text at its end, or makes the file.
pub type Edit<'a> = (&'a str, &'a str, &'a str);

/// What a check answered.
pub struct Said {
    pub code: Option<i32>,
    pub document: Value,
    pub text: String,
}

/// A key as an inline table of TOML.
pub fn jwk(party: &str) -> String {
    let key = key_of(party).jwk(None);
    let members: Vec<_> = key.as_object().unwrap().iter().map(|(name, value)| format!("{name} = {value}")).collect();
    format!("{{ {} }}", members.join(", "))
}

impl Tree {
    /// Two workloads, an audience, a policy for each scope: nothing to say about any.
    pub fn clean() -> Self {
        let identity =
            |party| format!("\n[[identity]]\ntype = \"private_key_jwt\"\njwks = {{ keys = [{}] }}\n", jwk(party));
        let workload = |owner: &str, purpose: &str, party| {
            let head =
                format!("owner = \"{owner}\"\npurpose = \"{purpose}\"\nexpires = 2027-06-30\nreview = 2027-03-31\n");
            head + &identity(party)
        };
        let files = [
            ("workloads/report.toml", workload("team-data@example.com", "Builds the nightly sales report from orders", "report")),
            ("workloads/mailer.toml", workload("team-finance@example.com", "Mails each customer the invoice of a paid order", "mailer")),
            (
                "audiences/orders.toml",
                "id = \"https://orders.example.com\"\nowner = \"team-orders@example.com\"\npurpose = \"Orders, read and \
                 written by other teams' jobs\"\nmax_ttl = \"10m\"\nmax_lifetime = \"1h\"\n\n[scopes]\n\"orders:read\" = \
                 \"Read any order\"\n\"orders:read:*\" = \"Read one order\"\n\"orders:write\" = \"Change orders\"\n"
                    .to_owned(),
            ),
            ("orders.cedar", POLICIES.to_owned()),
        ];
        Self(files.into_iter().map(|(path, text)| (path.to_owned(), text)).collect())
    }

    /// A changed copy. Every edit must find what it replaces.
    pub fn with(&self, edits: &[Edit<'_>]) -> Self {
        let mut copy = self.clone();
        for (path, from, to) in edits {
            let text = copy.0.entry((*path).to_owned()).or_default();
            if from.is_empty() {
                text.push_str(to);
                continue;
            }
            assert!(text.contains(from), "{path} holds no {from}");
            *text = text.replace(from, to);
        }
        copy
    }

    /// A copy without a file.
    #[allow(dead_code, reason = "not every test that takes this one file takes files away")]
    pub fn without(&self, path: &str) -> Self {
        let mut copy = self.clone();
        assert!(copy.0.remove(path).is_some(), "there is no {path}");
        copy
    }

    pub fn write(&self, dir: &Path) {
        for (path, text) in &self.0 {
            let path = dir.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    }

    /// What a check says, as a document.
    pub fn check(&self, words: &[&str]) -> Said {
        let dir = tempfile::tempdir().unwrap();
        self.write(dir.path());
        check(dir.path(), words)
    }

    pub fn sarif(&self) -> Value {
        let dir = tempfile::tempdir().unwrap();
        self.write(dir.path());
        let (_, told, error) = run(dir.path(), &["--format", "sarif"]);
        serde_json::from_str(&told).unwrap_or_else(|_| panic!("{told}{error}"))
    }

    /// Its exit code, what it prints for people, and to standard error.
    pub fn text(&self, words: &[&str]) -> (Option<i32>, String, String) {
        let dir = tempfile::tempdir().unwrap();
        self.write(dir.path());
        run(dir.path(), words)
    }
}

/// The same of any folder.
pub fn check(dir: &Path, words: &[&str]) -> Said {
    let (code, told, error) = run(dir, &[words, &["--format", "json"]].concat());
    let document = serde_json::from_str(&told).unwrap_or_else(|_| panic!("{told}{error}"));
    Said { code, document, text: told + &error }
}

pub fn run(dir: &Path, words: &[&str]) -> (Option<i32>, String, String) {
    jitney(&[&["policy", "check", dir.to_str().unwrap()], words].concat())
}

/// Runs the binary, at [`NOW`].
pub fn jitney(words: &[&str]) -> (Option<i32>, String, String) {
    jitney_in(Path::new("."), words, &[])
}

/// The same in a folder, with settings.
pub fn jitney_in(dir: &Path, words: &[&str], settings: &[(&str, &str)]) -> (Option<i32>, String, String) {
    loop {
        let mut command: Command = clean("faketime");
        command.args(["-f", NOW, env!("CARGO_BIN_EXE_jitney")]).args(words).env("TZ", "UTC").stdin(Stdio::null());
        command.current_dir(dir).envs(settings.iter().copied());
        let output = command.output().expect("faketime is installed: `tests/run` does that");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let (told, error) = (text(output.stdout), text(output.stderr));
        // Shared memory of a faketime that was killed is in the way of the one that gets its process id: the next has another.
        if !(error.contains("faketime: ") && error.contains("sem_open")) {
            return (output.status.code(), told, error);
        }
    }
}

impl Said {
    /// The findings that do not pass.
    pub fn findings(&self) -> Vec<&Value> {
        let all = self.document["findings"].as_array().unwrap();
        all.iter().filter(|finding| finding["suppressed"].is_null()).collect()
    }

    /// Their rules, in order.
    pub fn codes(&self) -> Vec<&str> {
        self.findings().iter().map(|finding| finding["rule"].as_str().unwrap()).collect()
    }
}

const POLICIES: &str = r#"// Who may do what with orders.
@id("report-reads")
@max_ttl("10m")
@max_lifetime("30m")
permit (
  principal == Jitney::Workload::"report",
  action == Jitney::Action::"mint",
  resource == Jitney::Scope::"https://orders.example.com orders:read"
)
when { context.task like "nightly-*" };

@id("mailer-reads-one")
permit (
  principal == Jitney::Workload::"mailer",
  action == Jitney::Action::"mint",
  resource in Jitney::Scope::"https://orders.example.com orders:read:*"
)
when { context.task like "mail-*" };

@id("mailer-writes")
permit (
  principal == Jitney::Workload::"mailer",
  action == Jitney::Action::"mint",
  resource == Jitney::Scope::"https://orders.example.com orders:write"
)
when { context.task like "mail-*" && context.ttl <= 120 };
"#;
