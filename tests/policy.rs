//! `jitney policy check` and `policy test` from outside: each rule by a tree that breaks it alone and a twin that does not,
//! secrets by a labelled corpus, documents by their schemas, what passes for now by its reason and its end; cases by what
//! they are answered.
//!
//! The clock of every run is set by faketime: what is due tomorrow must not fail these tests tomorrow.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod common;

#[path = "policy/cases.rs"]
mod cases;
#[path = "policy/corpus.rs"]
mod corpus;
#[path = "policy/mutations.rs"]
mod mutations;
#[path = "policy/tree.rs"]
mod tree;

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tree::{Said, Tree};

const PURPOSE: &str = "Mails each customer the invoice of a paid order";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn every_rule_is_found_alone_and_its_twin_is_clean() {
    let clean = Tree::clean();
    assert_eq!(clean.check(&["--deny", "note"]).codes(), [""; 0]);
    // By tests of their own, below and in `proofs.rs`.
    let mut tried = std::collections::BTreeSet::from(["set-empty", "link", "condition-fails", "proof-missing"]);
    for row in mutations::rows() {
        let (name, code) = (row.name, row.code);
        let said = clean.with(&row.breaks).check(&["--deny", "note"]);
        assert_eq!(said.codes(), [code], "{name}: {}", said.text);
        assert_eq!(said.code, Some(1), "{name}: a finding that is denied fails the command");
        let finding = &said.findings()[0];
        assert!(finding["mend"].as_str().is_some_and(|mend| mend.len() > 10), "{name}: {finding}");
        assert!(
            finding["line"].as_u64().unwrap() >= 1 && finding["docs"].as_str().unwrap().ends_with(code),
            "{finding}"
        );
        for twin in &row.twins {
            let said = clean.with(twin).check(&["--deny", "note"]);
            assert_eq!(
                (said.codes(), said.code),
                (vec![], Some(0)),
                "{name}: the twin {twin:?} breaks nothing: {}",
                said.text
            );
        }
        tried.insert(code);
    }
    let rules: Vec<_> = jitney::governance::check::rules::RULES.iter().map(|rule| rule.code).collect();
    let untried: Vec<_> = rules.iter().filter(|code| !tried.contains(*code)).collect();
    assert!(untried.is_empty(), "no tree breaks {untried:?}");
}

#[test]
fn the_example_organisation_passes_without_a_warning() {
    let said = tree::check(&root().join("policies"), &["--deny", "warning"]);
    assert_eq!(said.code, Some(0), "{}", said.text);
}

#[test]
fn a_folder_that_is_not_there_is_told_so_whoever_named_it() {
    let (code, told, error) = tree::run(Path::new("nosuch"), &[]);
    assert_eq!(code, Some(1), "{told}{error}");
    assert!(format!("{told}{error}").contains("name the folder of the set; that of a broker is"), "{told}{error}");
}

/// Whoever looks at the end of a long run sees what it failed for.
#[test]
fn what_is_denied_is_printed_last() {
    let many = Tree::clean().with(&[
        ("audiences/orders.toml", "Orders, read and written by other teams' jobs", "tbd"),
        ("orders.cedar", "when { context.task like \"nightly-*\" }", ""),
        ("workloads/mailer.toml", PURPOSE, "Calls https://orders.example.com"),
    ]);
    let heads = |told: &str| -> Vec<String> {
        let heads = told.lines().filter_map(|line| line.split_once("]: ").map(|(head, _)| head.to_owned()));
        heads.filter(|head| head.contains('[')).collect()
    };
    let (code, told, _) = many.text(&["--deny", "warning"]);
    assert_eq!(code, Some(1), "{told}");
    assert_eq!(heads(&told), ["note[condition-missing", "note[placeholder-left", "warning[purpose-vague"]);
    let (code, told, _) = many.text(&[]);
    assert_eq!(
        (code, heads(&told)[0].as_str()),
        (Some(0), "warning[purpose-vague"),
        "by file where none is denied: {told}"
    );
}

#[test]
fn from_the_level_denied_on_a_finding_fails_the_command() {
    let clean = Tree::clean();
    let levels = [("note", "expires = 2027-06-30", "expires = 2026-12-15"), ("warning", PURPOSE, "TODO")];
    for (level, from, to) in levels {
        let broken = clean.with(&[("workloads/mailer.toml", from, to)]);
        let codes: Vec<_> =
            ["error", "warning", "note"].iter().map(|deny| broken.check(&["--deny", deny]).code.unwrap()).collect();
        let expected = if level == "note" { [0, 0, 1] } else { [0, 1, 1] };
        assert_eq!(codes, expected, "{level}: {}", broken.check(&[]).text);
    }
    let broken = clean.with(&[("workloads/mailer.toml", "owner =", "ownr =")]);
    let said = broken.check(&["--deny", "error"]);
    assert_eq!((said.code, said.document["loads"].clone()), (Some(1), json!(false)));
    assert_eq!(said.findings()[0]["mend"], "did you mean `owner`?");
}

#[test]
fn a_folder_with_strays_alone_is_not_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("orders.CEDAR"), "permit(principal, action, resource);").unwrap();
    let said = tree::check(dir.path(), &[]);
    assert_eq!((said.codes(), said.code), (vec!["set-empty", "stray-file"], Some(1)), "{}", said.text);
}

/// Whoever proposes a change must not have a pipeline print what lies elsewhere on its machine.
#[test]
fn a_link_is_an_error_and_what_lies_outside_is_neither_read_nor_shown() {
    use std::os::unix::fs::symlink;

    let outside = tempfile::tempdir().unwrap();
    for (name, kept) in [
        ("x.cedar", "x.txt"),
        ("workloads/x.toml", "x.txt"),
        ("tests/x.toml", "x.txt"),
        ("widenings/x.toml", "x.txt"),
        ("invariants/x.cedar", "x.txt"),
        ("check.toml", "x.txt"),
        ("keys/x.pem", "x.txt"),
        ("more", "."),
        ("gone.cedar", "nowhere"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        Tree::clean().write(dir.path());
        std::fs::write(outside.path().join("x.txt"), "root:x:0:0 kept-elsewhere\n").unwrap();
        std::fs::write(outside.path().join("x.cedar"), "kept-elsewhere").unwrap();
        let at = dir.path().join(name);
        std::fs::create_dir_all(at.parent().unwrap()).unwrap();
        symlink(outside.path().join(kept), &at).unwrap();
        let said = tree::check(dir.path(), &[]);
        assert_eq!((said.codes(), said.code), (vec!["link"], Some(1)), "{name}: {}", said.text);
        assert_eq!(said.findings()[0]["file"], at.to_str().unwrap());
        for words in [&["policy", "check"][..], &["policy", "test"]] {
            let (code, out, err) = tree::jitney(&[words, &[dir.path().to_str().unwrap()]].concat());
            assert_eq!(code, Some(1), "{name}: {out}{err}");
            assert!(!format!("{out}{err}").contains("elsewhere"), "{name}: {out}{err}");
            assert!(format!("{out}{err}").contains("put the file itself there"), "{name}: {out}{err}");
        }
    }
}

/// What lies within is read all the same; how Kubernetes mounts a ConfigMap is one warning, for a broker loads it.
#[test]
fn a_link_within_is_an_error_and_a_mount_of_kubernetes_a_warning() {
    use std::os::unix::fs::symlink;

    let dir = tempfile::tempdir().unwrap();
    Tree::clean().write(dir.path());
    std::fs::rename(dir.path().join("workloads"), dir.path().join("staff")).unwrap();
    symlink("staff", dir.path().join("workloads")).unwrap();
    let said = tree::check(dir.path(), &[]);
    assert!(said.codes().contains(&"link") && said.code == Some(1), "{}", said.text);
    assert_eq!(said.document["checked"]["workloads"], 2, "{}", said.text);

    let mount = tempfile::tempdir().unwrap();
    Tree::clean().write(&mount.path().join("..2026_11_28"));
    symlink("..2026_11_28", mount.path().join("..data")).unwrap();
    for top in ["workloads", "audiences", "orders.cedar"] {
        symlink(format!("..data/{top}"), mount.path().join(top)).unwrap();
    }
    let said = tree::check(mount.path(), &[]);
    assert_eq!((said.codes(), said.code), (vec!["link"], Some(0)), "{}", said.text);
    assert_eq!(
        (&said.findings()[0]["severity"], &said.document["checked"]["workloads"]),
        (&json!("warning"), &json!(2))
    );
}

#[test]
fn people_see_the_line_and_the_mend() {
    let broken = Tree::clean().with(&[("workloads/mailer.toml", PURPOSE, "todo")]);
    let (code, told, error) = broken.text(&["--deny", "warning"]);
    assert_eq!(code, Some(1));
    for part in ["warning[purpose-vague]", "workloads/mailer.toml:2:11", "purpose = \"todo\"", "help: say what it does"]
    {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(error.contains("1 warning in") && error.contains("next: mend"), "{error}");
    let (code, told, error) = broken.text(&[]);
    assert_eq!((code, error.as_str()), (Some(0), ""));
    assert!(told.contains("2 workloads, 1 audience, 3 policies, 1 warning"), "{told}");
}

#[test]
fn what_code_hosts_read_fits_their_schema() {
    let clean = Tree::clean();
    let passing = clean.with(&[
        ("workloads/mailer.toml", "owner = \"team-finance@example.com\"\n", ""),
        ("check.toml", "", what_passes_for_now::WHOLE),
    ]);
    let broken = passing.with(&[("workloads/ä b.toml", "", "x")]);
    let with_secret = clean.with(&[("notes/key.txt", "", &common::Key::ec().pem())]);
    // One pattern of the official file is none in ECMAScript: so patterns are read as Python does.
    for tree in [&clean, &broken, &passing, &with_secret] {
        let said = tree.sarif();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), said.to_string()).unwrap();
        let venv = root().join("target/deploy/venv/bin/check-jsonschema");
        assert!(venv.exists(), "`bash tests/run` installs {}", venv.display());
        let schema = root().join("tests/policy/sarif-schema-2.1.0.json");
        let output = Command::new(venv)
            .args(["--regex-variant", "python", "--schemafile"])
            .arg(schema)
            .arg(file.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}\n{said:#}");
    }
    let result = &passing.sarif()["runs"][0]["results"][0];
    assert_eq!(result["suppressions"][0]["kind"], "external", "{result}");
    let uri = &broken.sarif()["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"];
    assert!(uri.as_str().unwrap().starts_with("file:///"), "{uri}");
}

#[test]
fn the_document_for_programs_has_the_fields_of_the_page() {
    let page = std::fs::read_to_string(root().join("docs/policy-check.md")).unwrap();
    let said = Tree::clean().with(&[("workloads/mailer.toml", PURPOSE, "TODO")]).check(&[]);
    let named = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    for field in named(&said.document).iter().chain(&named(said.findings()[0])) {
        assert!(page.contains(&format!("`{field}`")), "docs/policy-check.md leaves out `{field}`");
    }
}

/// The rules of what secrets look like are those that were published, letter by letter.
#[test]
fn the_patterns_of_gitleaks_are_unchanged() {
    let rules = std::fs::read(root().join("src/governance/check/secrets/gitleaks.toml")).unwrap();
    let digest = ring::digest::digest(&ring::digest::SHA256, &rules);
    let hex: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, "e163e53b9e7e8a8511e77271e2b323ed057759542a6d988258afe3a1fa329caf");
}

mod what_passes_for_now {
    use super::*;

    fn with(entry: &str) -> Said {
        let broken = Tree::clean().with(&[("workloads/mailer.toml", "owner = \"team-finance@example.com\"\n", "")]);
        broken.with(&[("check.toml", "", entry)]).check(&["--deny", "note"])
    }

    pub const WHOLE: &str = "[[allow]]\ncode = \"owner-missing\"\nfile = \"workloads/mailer.toml\"\nuntil = 2027-01-31\n\
        reason = \"The team is being named, see the minutes of Monday\"\n";

    #[test]
    fn has_a_reason_and_an_end() {
        let said = with(WHOLE);
        assert_eq!((said.codes(), said.code), (vec![], Some(0)), "{}", said.text);
        let passed = &said.document["findings"][0];
        assert_eq!(
            (passed["code"].clone(), passed["suppressed"]["until"].clone()),
            (json!("owner-missing"), json!("2027-01-31"))
        );
        assert_eq!(said.document["counts"]["suppressed"], 1);
        let by_subject = WHOLE.replace("file = \"workloads/mailer.toml\"", "subject = \"mailer\"");
        assert_eq!(with(&by_subject).codes(), [""; 0]);
    }

    #[test]
    fn else_is_a_finding_and_lets_nothing_pass() {
        for (from, to) in [
            ("until = 2027-01-31\n", ""),
            ("2027-01-31", "2026-11-27"),
            ("2027-01-31", "2029-01-31"),
            ("reason = \"The team is being named, see the minutes of Monday\"\n", ""),
            ("The team is being named, see the minutes of Monday", "todo"),
            ("file = \"workloads/mailer.toml\"\n", ""),
            ("owner-missing", "owner-mising"),
            ("reason =", "why ="),
        ] {
            let said = with(&WHOLE.replace(from, to));
            assert_eq!(said.codes(), ["suppression", "owner-missing"], "{from} → {to}: {}", said.text);
        }
        let of_another = with(&WHOLE.replace("mailer.toml", "report.toml"));
        assert_eq!(of_another.codes(), ["suppression", "owner-missing"], "an entry of no use is told");
    }

    #[test]
    fn a_last_day_counts_to_its_end() {
        assert_eq!(with(&WHOLE.replace("2027-01-31", "2026-11-28")).codes(), [""; 0]);
    }

    /// What is shown is what an entry takes: the rule, and the policy that it is about.
    #[test]
    fn is_named_as_the_finding_is_shown() {
        let gone = "\n@id(\"left-behind\")\npermit (principal == Jitney::Workload::\"gone\", action, resource == \
            Jitney::Scope::\"https://orders.example.com orders:read\") when { context.task like \"x-*\" };\n";
        let broken = Tree::clean().with(&[("orders.cedar", "", gone)]);
        let (_, told, _) = broken.text(&[]);
        assert!(told.contains("warning[permit-never/unknown-name]: policy `left-behind`"), "{told}");
        let said = |code: &str, whom: &str| {
            let whole = WHOLE.replace("owner-missing", code).replace("file = \"workloads/mailer.toml\"", whom);
            broken.with(&[("check.toml", "", &whole)]).check(&["--deny", "note"])
        };
        let subject = "subject = \"left-behind\"";
        for code in ["permit-never", "permit-never/unknown-name"] {
            assert_eq!(said(code, subject).codes(), [""; 0], "{code}");
        }
        assert_eq!(said("permit-never/open-scope", subject).codes(), ["suppression", "permit-never"]);
        let said = said("unknown-name", subject);
        assert_eq!(said.codes(), ["suppression", "permit-never"]);
        assert!(said.text.contains("of the rule `permit-never`"), "{}", said.text);
        assert_eq!(said.findings()[1]["subject"], "left-behind");
    }

    #[test]
    fn what_a_broker_refuses_never_does() {
        let said = Tree::clean()
            .with(&[
                ("workloads/mailer.toml", "owner =", "ownr ="),
                ("check.toml", "", &WHOLE.replace("owner-missing", "load-error")),
            ])
            .check(&[]);
        assert_eq!(said.code, Some(1));
        assert_eq!(said.codes(), ["suppression", "load-error"], "{}", said.text);
        // A name of nothing is a warning in the head of a permit alone; anywhere else it is an error of the load.
        let policies = "\n@id(\"left-behind\")\nforbid (principal == Jitney::Workload::\"gone\", action, resource);\n";
        let refused = Tree::clean().with(&[("orders.cedar", "", policies)]);
        for code in ["permit-never", "permit-never/unknown-name", "load-error/unknown-name"] {
            let entry = WHOLE
                .replace("owner-missing", code)
                .replace("file = \"workloads/mailer.toml\"", "subject = \"left-behind\"");
            for words in [&[][..], &["--deny", "error"]] {
                let said = refused.with(&[("check.toml", "", &entry)]).check(words);
                assert_eq!(
                    (said.code, said.codes()),
                    (Some(1), vec!["suppression", "load-error"]),
                    "{code}: {}",
                    said.text
                );
                assert_eq!((&said.document["loads"], &said.document["passed"]), (&json!(false), &json!(false)));
            }
        }
        let open = "\n@id(\"all-of-them\")\npermit (principal == Jitney::Workload::\"report\", action, resource == \
            Jitney::Scope::\"https://orders.example.com orders:read:*\") when { context.task like \"x-*\" };\n";
        let said = Tree::clean().with(&[("orders.cedar", "", open)]).check(&[]);
        assert_eq!((said.code, said.codes()), (Some(1), vec!["load-error"]), "{}", said.text);
        assert_eq!(said.findings()[0]["code"], "open-scope");
    }
}

mod secrets {
    use super::*;

    /// A secret of each kind in a file of each kind, and texts that look alike: how many are found, and how much else.
    #[test]
    #[allow(clippy::disallowed_macros, reason = "the measure is what a reader of the test's output wants")]
    fn are_found_in_a_labelled_corpus_and_little_else_is() {
        let corpus = corpus::of(&mut common::Chance::seeded(8));
        let dir = tempfile::tempdir().unwrap();
        Tree::clean().write(dir.path());
        for sample in &corpus {
            let path = dir.path().join(&sample.path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, &sample.text).unwrap();
        }
        let said = tree::check(dir.path(), &[]);
        let told: std::collections::BTreeSet<(String, u64)> = said
            .findings()
            .iter()
            .filter(|finding| finding["rule"] == "secret")
            .map(|finding| {
                let file = Path::new(finding["file"].as_str().unwrap()).strip_prefix(dir.path()).unwrap();
                (file.to_str().unwrap().to_owned(), finding["line"].as_u64().unwrap())
            })
            .collect();
        let expected: std::collections::BTreeSet<_> =
            corpus.iter().filter(|sample| sample.is_secret).map(|sample| (sample.path.clone(), sample.line)).collect();
        let hits = told.intersection(&expected).count();
        let (precision, recall) = (hits as f64 / told.len() as f64, hits as f64 / expected.len() as f64);
        println!(
            "{} samples, {} with a secret: precision {precision:.3}, recall {recall:.3}",
            corpus.len(),
            expected.len()
        );
        println!("missed: {:?}", expected.difference(&told).collect::<Vec<_>>());
        println!("not meant: {:?}", told.difference(&expected).collect::<Vec<_>>());
        assert!(precision >= 0.95 && recall >= 0.95, "precision {precision:.3}, recall {recall:.3}");
        assert_eq!(said.code, Some(1));
        for words in [&[][..], &["--format", "json"], &["--format", "sarif"]] {
            let (_, out, err) = tree::run(dir.path(), words);
            for sample in corpus.iter().filter(|sample| sample.is_secret) {
                assert!(
                    !out.contains(&sample.secret) && !err.contains(&sample.secret),
                    "{}: it is shown by {words:?}",
                    sample.path
                );
            }
        }
    }

    /// One that another lint would quote: a field's name, an owner, a policy's id.
    #[test]
    fn are_not_shown_by_other_findings_either() {
        let secret = corpus::github(&mut common::Chance::seeded(9));
        let clean = Tree::clean();
        let field = format!("{secret} = 1\n");
        let policy = format!("\n@id(\"{secret}\")\npermit (principal, action, resource);\n");
        for edits in [
            &[("workloads/mailer.toml", "", field.as_str())][..],
            &[
                ("workloads/mailer.toml", PURPOSE, secret.as_str()),
                ("workloads/mailer.toml", "owner = \"team-finance@example.com\"", "owner = \"x\" # todo"),
            ],
            &[("orders.cedar", "", policy.as_str())],
        ] {
            let broken = clean.with(edits);
            assert!(broken.check(&[]).codes().contains(&"secret"));
            for words in [&[][..], &["--format", "json"], &["--format", "sarif"]] {
                let (_, out, err) = broken.text(words);
                assert!(!out.contains(&secret) && !err.contains(&secret), "{out}{err}");
            }
        }
    }
}
