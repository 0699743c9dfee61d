//! What a set must not say, and where the finding points: one row a rule.

use std::path::Path;

use super::fixtures::{NOW, Question, audience_file, files, refused, set, workload_file};
use super::{Diagnostic, PolicySet, Severity};

const PERMIT: &str = r#"permit(principal, action, resource);"#;

/// A file that is put in the place of another, and the one error it must give: code, `line:column`, words.
struct Row(&'static str, String, &'static str, &'static str, &'static [&'static str]);

fn row(file: &'static str, text: String, code: &'static str, at: &'static str, words: &'static [&'static str]) -> Row {
    Row(file, text, code, at, words)
}

fn found(row: &Row) -> Vec<Diagnostic> {
    let mut files = files("");
    files.retain(|(path, _)| path != row.0);
    files.push((row.0.to_owned(), row.1.clone()));
    refused(files).0.into_iter().filter(|finding| finding.severity == Severity::Error).collect()
}

fn check(rows: &[Row]) {
    for row in rows {
        let findings = found(row);
        let finding = findings.first().unwrap_or_else(|| panic!("nothing found: {}", row.1));
        let text = finding.to_string();
        assert_eq!(finding.code, row.2, "{text}");
        assert_eq!(format!("{}:{}", finding.line, finding.column), row.3, "{text}");
        assert_eq!(finding.file, row.0, "{text}");
        for word in row.4 {
            assert!(text.contains(word), "{word}: {text}");
        }
    }
}

#[test]
fn a_workload_s_file_is_read_strictly() {
    const FILE: &str = "workloads/alpha.toml";
    let with = |from: &str, to: &str| {
        let text = workload_file();
        assert!(text.contains(from));
        text.replace(from, to)
    };
    check(&[
        row(FILE, with("owner", "ownr"), "toml", "1:1", &["unknown field `ownr`", "did you mean `owner`?"]),
        row(FILE, with("owner = ", "owner = = "), "toml", "1:9", &[]),
        row(FILE, with("2027-06-30", "\"2027-06-30\""), "toml", "3:11", &[]),
        row(FILE, with("2027-06-30", "2027-06-30T00:00:00Z"), "toml", "3:11", &["write expires = 2027-06-30"]),
        row(FILE, with("private_key_jwt", "oidc"), "identity", "4:1", &["`oidc` needs its `issuer`"]),
        row(FILE, with("private_key_jwt", "spiffe"), "identity", "5:8", &["`spiffe` is not built yet"]),
        row(FILE, with("private_key_jwt", "mtls"), "identity", "5:8", &["`mtls` is not built yet"]),
        row(FILE, with("private_key_jwt", "secret"), "identity", "5:8", &["unknown identity type `secret`"]),
        row(FILE, with("type =", "#"), "identity", "4:1", &["needs its `type`"]),
        row(FILE, with("jwks =", "#"), "identity", "4:1", &["needs its public keys"]),
        row(FILE, with("jwks =", "issuer = \"x\"\njwks ="), "identity", "6:10", &["does not belong"]),
        row(FILE, with("jwks =", "task = \"{run}\"\njwks ="), "identity", "6:8", &["task = \"auto\""]),
        row(FILE, with("jwks =", "jwks_file = \"../k.json\"\njwks ="), "identity", "7:8", &["exclude each other"]),
        row(FILE, with("jwks = ", "jwks_file = \"../k.json\" #"), "jwks", "6:13", &["cannot read `../k.json`"]),
        row(FILE, with("kty = \"EC\"", "kty = \"oct\""), "jwks", "6:8", &["cannot be used"]),
        row(FILE, with("kty =", "d = \"AAAA\", kty ="), "jwks", "6:8", &["cannot be used"]),
        row(FILE, with("jwks =", "jwks = { keys = [] } #"), "jwks", "6:8", &["cannot be used"]),
        row("workloads/-a.toml", workload_file(), "workload", "1:1", &["the file's name is the id"]),
    ]);
}

#[test]
fn keys_that_may_be_private_are_pointed_at_and_never_shown() {
    for (from, to) in [("kty =", "d = \"c2VjcmV0\", kty ="), ("jwks = ", "jwks_file = \"k\"\njwks = ")] {
        let text =
            workload_file().replacen("kty = \"EC\"", "kty = \"EC\", hint = \"c2VjcmV0\"", 1).replacen(from, to, 1);
        let finding = found(&Row("workloads/alpha.toml", text, "", "", &[])).remove(0);
        let shown = finding.to_string();
        assert!(shown.contains(&format!("workloads/alpha.toml:{}:8", finding.line)), "{shown}");
        assert!(!shown.contains("c2VjcmV0") && !shown.contains("kty = "), "{shown}");
    }
}

#[test]
fn an_audience_s_file_is_read_strictly() {
    const FILE: &str = "audiences/api.toml";
    let with = |from: &str, to: &str| audience_file("https://api.example.com").replace(from, to);
    check(&[
        row(FILE, with("id = ", "#"), "audience", "1:1", &["needs its `id`"]),
        row(FILE, with("https://api", "ht tps://api"), "audience", "1:6", &["absolute URI"]),
        row(FILE, with("10m", "10 minutes"), "span", "4:11", &["like `5m`"]),
        row(FILE, with("max_ttl", "max_tll"), "toml", "4:1", &["did you mean `max_ttl`?"]),
        row(FILE, with("items:read:*", "items:*:read"), "scope", "9:1", &["as the last part"]),
        row(FILE, with("items:read:*", "a b"), "scope", "9:1", &["visible ASCII"]),
        row(
            "audiences/b.toml",
            audience_file("https://api.example.com/"),
            "audience",
            "1:1",
            &["declared twice", "api.toml"],
        ),
    ]);
}

#[test]
fn a_policy_is_read_strictly() {
    const FILE: &str = "policies.cedar";
    let head = |who: &str, what: &str| format!("@id(\"p\")\npermit({who}, action, {what});");
    let when = |condition: &str| format!("@id(\"p\")\npermit(principal, action, resource)\nwhen {{ {condition} }};");
    let before = |annotation: &str| format!("@id(\"p\")\n{annotation}\n{PERMIT}");
    let orders =
        |scope: &str| head("principal", &format!("resource == Jitney::Scope::\"https://api.example.com {scope}\""));
    check(&[
        row(FILE, "permit(principal".into(), "cedar-syntax", "1:17", &["expected"]),
        row(FILE, PERMIT.into(), "policy-id", "1:1", &["needs its @id"]),
        row(FILE, format!("@id(\"a b\") {PERMIT}"), "policy-id", "1:1", &["cannot name a policy"]),
        row(
            FILE,
            format!("@id(\"p\") {PERMIT}\n@id(\"p\") {PERMIT}"),
            "policy-id",
            "2:1",
            &["is taken", "policies.cedar:1"],
        ),
        row(FILE, before("@max_ttl(\"5\u{20}min\")"), "annotation", "2:1", &["@max_ttl", "like `5m`"]),
        row(FILE, before("@approval(\"2\")"), "annotation", "2:1", &["@approval is not built yet"]),
        row(FILE, before("@single_use"), "annotation", "2:1", &["@single_use(\"lease\")"]),
        row(FILE, before("@single_use(\"once\")"), "annotation", "2:1", &["@single_use(\"lease\")"]),
        row(
            FILE,
            "@id(\"p\") @single_use(\"lease\")\nforbid(principal, action, resource);".into(),
            "annotation",
            "1:10",
            &["only where a policy permits"],
        ),
        row(FILE, before("@max_tll(\"5m\")"), "annotation", "2:1", &["did you mean `max_ttl`?"]),
        row(
            FILE,
            "@id(\"p\") @max_ttl(\"5m\")\nforbid(principal, action, resource);".into(),
            "annotation",
            "1:10",
            &["only where a policy permits"],
        ),
        row(FILE, head("principal == ?principal", "resource"), "cedar-syntax", "1:1", &["templates"]),
        row(FILE, when("context.tll > 5"), "cedar-schema", "3:8", &["did you mean `ttl`?"]),
        row(FILE, when("context.ttl == \"5\""), "cedar-schema", "3:8", &["policy `p`"]),
        row(FILE, when("context.identity.claims.kid == \"k\""), "cedar-schema", "3:8", &["kid"]),
        row(FILE, head("principal == Jitney::Worklod::\"alpha\"", "resource"), "cedar-schema", "2:21", &["Workload"]),
        row(FILE, orders("items:read:*"), "open-scope", "2:54", &["resource in"]),
        row(FILE, when("principal == Jitney::Workload::\"alhpa\""), "unknown-name", "3:39", &["did you mean `alpha`?"]),
        row(
            FILE,
            orders("orders:reed").replace("permit", "forbid"),
            "unknown-name",
            "2:54",
            &["did you mean `https://api.example.com orders:read`?"],
        ),
        row(
            FILE,
            head("principal", "resource in Jitney::Audience::\"https://api.example.org\"").replace("permit", "forbid"),
            "unknown-name",
            "2:57",
            &["did you mean `https://api.example.com`?"],
        ),
    ]);
}

#[test]
fn a_permit_left_behind_by_its_workload_is_a_warning_and_deleting_the_workload_takes_effect() {
    let mut files = files(r#"@id("p") permit(principal == Jitney::Workload::"alpha", action, resource);"#);
    files.remove(0);
    let (set, warnings) = PolicySet::from_sources(files, NOW).expect("loads");
    assert_eq!(warnings.iter().map(|each| each.code).collect::<Vec<_>>(), ["unknown-name"]);
    assert!(set.workload("alpha").is_none());
}

#[test]
fn gaps_of_governance_load_and_warn() {
    let warned = |text: String| -> Vec<String> {
        let mut files = files("");
        files[0].1 = text;
        PolicySet::from_sources(files, NOW).expect("loads").1.into_iter().map(|each| each.message).collect()
    };
    assert!(warned(workload_file()).is_empty());
    for (from, to, words) in [
        ("owner = ", "#", "workload `alpha` has no owner"),
        ("2027", "2025", "expired at the end of 2025-06-30"),
        ("[[identity]]", "review = 2026-11-25\n[[identity]]", "to be reviewed from 2026-11-25"),
    ] {
        let found = warned(workload_file().replace(from, to));
        assert!(found.len() == 1 && found[0].contains(words), "{found:?}");
    }
    assert!(warned(workload_file().replace("[[identity]]", "review = 2026-11-26\n[[identity]]")).is_empty());
    let bare = warned(String::new());
    assert_eq!(
        bare,
        ["workload `alpha` has no owner, no purpose, no expires", "workload `alpha` has no way to prove itself"]
    );
}

#[test]
fn all_errors_of_a_set_are_told_at_once() {
    let mut files = files("permit(");
    files[0].1 = "ownr = 1".into();
    files[2].1 = "id = 5".into();
    let findings = refused(files);
    let codes: Vec<_> = findings.0.iter().map(|each| each.code).collect();
    assert_eq!(codes, ["toml", "toml", "cedar-syntax"]);
    assert!(findings.to_string().contains("policies.cedar:1:8"), "{findings}");
}

#[test]
fn audiences_are_found_in_both_spellings() {
    let set = set("");
    for spelling in ["https://api.example.com", "https://api.example.com/"] {
        assert_eq!(set.audience(spelling).unwrap().id.as_str(), "https://api.example.com");
    }
    for other in ["https://api.example.com//", "https://api.example.com/v1", "https://api.example.co", ""] {
        assert!(set.audience(other).is_none(), "{other}");
    }
}

#[test]
fn the_example_organisation_loads_without_a_word() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
    let (set, warnings) = PolicySet::load_at(&dir, NOW).unwrap_or_else(|findings| panic!("{findings}"));
    assert!(warnings.is_empty(), "{}", warnings[0]);
    assert_eq!((set.workloads().len(), set.audiences().len()), (10, 5));
    for workload in set.workloads() {
        assert!(!set.grants_of(workload.id.as_str()).is_empty(), "{} is granted nothing", workload.id);
    }
    let ask = |workload, audience: &str, scopes: &str, task| {
        let question = Question { workload, audience: audience.into(), task, ..Question::of(scopes) };
        question.decided(&set)
    };
    let orders = "https://orders.example.com";
    assert!(ask("nightly-report", orders, "orders:read", "nightly-2026-11-25").is_ok());
    assert!(ask("nightly-report", orders, "orders:read", "ad-hoc").is_err());
    assert!(ask("support-agent", orders, "orders:read:4711", "ticket-9").is_ok());
    assert!(ask("support-agent", orders, "orders:read", "ticket-9").is_err());
    let denial = ask("invoice-mailer", "https://payments.example.com", "refunds:create", "t").expect_err("forbidden");
    assert_eq!(denial.policies, [std::sync::Arc::<str>::from("refunds-only-by-payments-team")]);
}

/// The fenced blocks of `language` in `docs/policies.md`.
fn documented(language: &str) -> Vec<String> {
    let docs = include_str!("../../docs/policies.md");
    let fence = format!("```{language}\n");
    let blocks = docs.split(&fence).skip(1);
    blocks.filter_map(|rest| rest.split_once("```")).map(|(block, _)| block.to_owned()).collect()
}

#[test]
fn what_the_page_on_policies_shows_loads_and_fails_as_it_says() {
    let mut files: Vec<(String, String)> = vec![("docs.cedar".into(), documented("cedar").concat())];
    for block in documented("toml") {
        let path = block.lines().next().and_then(|line| line.strip_prefix("# policies/")).unwrap().to_owned();
        files.push((path, block));
    }
    for key in ["nightly-report", "orders"] {
        files.push((format!("keys/{key}.jwks.json"), super::fixtures::jwks()));
    }
    let (set, warnings) = PolicySet::from_sources(files.clone(), NOW).unwrap_or_else(|findings| panic!("{findings}"));
    assert!(warnings.is_empty() && set.grants_of("nightly-report").len() == 1);
    let freeze =
        "@id(\"freeze-report\")\nforbid (\n  principal == Jitney::Workload::\"nighly-report\",\n  action, resource);";
    files.push(("freeze.cedar".into(), freeze.into()));
    let shown = refused(files).to_string().replace("freeze.cedar", "policies/freeze.cedar");
    assert!(documented("text").iter().any(|block| block.trim_end() == shown), "{shown}");
}

/// Who may put a link into the folder has the broker read what its user may read; it is not shown to whoever reads its log.
#[test]
fn nothing_is_quoted_of_what_a_link_out_of_the_folder_leads_to() {
    use std::fs;
    use std::os::unix::fs::symlink;

    let (dir, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for (path, text) in files("") {
        fs::create_dir_all(dir.path().join(&path).parent().unwrap()).unwrap();
        fs::write(dir.path().join(path), text).unwrap();
    }
    let wrong = [
        ("z.cedar", "JITNEY_STORE_URL=redis://:hush@127.0.0.1/", "cedar-syntax"),
        ("z.cedar", "@id(\"z\") permit (principal, action, resource) when { context.hush };", "cedar-schema"),
        ("z.cedar", "permit (principal, action, resource) when { \"hush\" };", "policy-id"),
        ("z.cedar", "@id(\"z\") permit (principal == Jitney::Workload::\"hush\", action, resource);", "unknown-name"),
        ("workloads/z.toml", "hush = 1", "toml"),
        ("workloads/z.toml", "owner = \"x\"\npurpose = [\"hush\"]", "toml"),
        ("workloads/z.toml", "[[identity]]\ntype = \"hush\"", "identity"),
        ("audiences/z.toml", "id = \"hush hush\"", "audience"),
        ("jitney.cedarschema", "hush", "schema"),
    ];
    for (at, text, code) in wrong {
        let (link, secret) = (dir.path().join(at), outside.path().join("secret"));
        fs::write(&secret, text).unwrap();
        let _ = fs::remove_file(&link);
        symlink(&secret, &link).unwrap();
        let told = match PolicySet::load_at(dir.path(), NOW) {
            Ok((_, warnings)) => warnings,
            Err(findings) => findings.0,
        };
        let ours: Vec<&Diagnostic> = told.iter().filter(|each| each.file.ends_with(at)).collect();
        assert!(ours.iter().any(|each| each.code == code), "{code}: {told:?}");
        for each in ours {
            let shown = format!("{each}\n{}\n{}", each.in_one_line(), each.help.as_deref().unwrap_or_default());
            assert!(!shown.contains("hush"), "{shown}");
            assert!(shown.contains(&format!("{at}:{}:{}", each.line, each.column)), "{shown}");
        }
        fs::remove_file(&link).unwrap();
        // Within the folder, as Kubernetes mounts files, a link takes nothing away.
        fs::create_dir_all(dir.path().join("..2026_1")).unwrap();
        fs::write(dir.path().join("..2026_1/z"), text).unwrap();
        symlink(dir.path().join("..2026_1/z"), &link).unwrap();
        let told = match PolicySet::load_at(dir.path(), NOW) {
            Ok((_, warnings)) => warnings,
            Err(findings) => findings.0,
        };
        let shown: String = told.iter().map(|each| each.to_string()).collect();
        assert!(shown.contains("hush") || code == "schema" || code == "audience", "{shown}");
        fs::remove_file(&link).unwrap();
    }
}
