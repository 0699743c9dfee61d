//! A broker that cannot start says why, where and what to do, ends with 1, and leaves nothing half-started.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Output;

use crate::common::{Backing, Broker, Redis, Setup, jitney};

/// Checks that it failed for this reason, in one `error:` that names all of these, and with nothing on standard output.
#[track_caller]
fn fails(output: &Output, code: i32, named: &[&str]) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(!said.contains("panicked"), "{said}");
    let errors = said.lines().filter(|line| line.starts_with("error: ")).count();
    assert_eq!(errors, 1, "{said}");
    for name in named {
        assert!(said.contains(name), "no {name:?} in: {said}");
    }
    said
}

#[track_caller]
fn cannot_start(broker: &Broker, named: &[&str]) {
    fails(&broker.fails_to_start(), 1, named);
    assert!(!broker.data().join("admin.sock").exists() && !broker.data().join("workload.env").exists(), "half-started");
}

#[test]
fn a_busy_port_is_named() {
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = held.local_addr().unwrap().port().to_string();
    let dir = tempfile::tempdir().unwrap();
    let output = jitney(dir.path(), &[], &["serve", "--dev", "--listen", &format!("127.0.0.1:{port}")]);
    fails(&output, 1, &[&port, "--listen"]);
    assert!(!dir.path().join(".jitney/admin.sock").exists());
    drop(held);
}

#[test]
fn an_unreachable_redis_is_named_without_its_password() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("redis://:hunter2@127.0.0.1:{port}");
    let broker = Setup::default().set("JITNEY_STORE_URL", &url).stopped(None);
    let output = broker.fails_to_start();
    let said = fails(&output, 1, &["[store] url"]);
    assert!(!said.contains("hunter2"), "{said}");
    let broker = Setup::default().stopped(Some("http://127.0.0.1".into()));
    fails(&broker.fails_to_start(), 2, &["redis://"]);
}

#[test]
fn a_redis_that_says_nothing_is_not_waited_for() {
    let redis = Redis::start();
    redis.pause();
    let broker = Setup::default().stopped(Some(redis.url()));
    let begun = std::time::Instant::now();
    cannot_start(&broker, &["[store] url"]);
    assert!(begun.elapsed() < std::time::Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[test]
fn a_wrong_key_file_is_named_and_stays() {
    let mut broker = Broker::start(&Backing::Embedded);
    broker.mint("demo", "t");
    assert!(broker.stop().success());
    let keys = private_keys(&broker.data().join("keys"));
    assert!(!keys.is_empty());
    for (path, text) in &keys {
        fs::write(path, "nonsense").unwrap();
        fails(&broker.fails_to_start(), 1, &[path.file_name().unwrap().to_str().unwrap()]);
        assert_eq!(fs::read_to_string(path).unwrap(), "nonsense");
        fs::write(path, text).unwrap();
    }
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(&keys[0].0, fs::Permissions::from_mode(0o644)).unwrap();
    fails(&broker.fails_to_start(), 1, &["0644", "chmod 600"]);
    fs::set_permissions(&keys[0].0, fs::Permissions::from_mode(0o600)).unwrap();
    broker.start_again();
    broker.mint("demo", "t");
}

fn private_keys(dir: &Path) -> Vec<(std::path::PathBuf, String)> {
    let files = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let texts = files.map(|path| (path.clone(), fs::read_to_string(&path).unwrap_or_default()));
    texts.filter(|(_, text)| text.contains("PRIVATE KEY")).collect()
}

#[test]
fn a_workload_s_wrong_key_file_is_named() {
    let broker = Broker::start(&Backing::Embedded);
    let dir = tempfile::tempdir().unwrap();
    let url = broker.url();
    let ask = ["token", "--task", "t", "--audience", crate::common::API, "--scope", "orders:read"];
    let with = |key: &str| {
        jitney(dir.path(), &[("JITNEY_URL", &url), ("JITNEY_WORKLOAD", "demo"), ("JITNEY_KEY_FILE", key)], &ask)
    };
    fails(&with("missing.pem"), 1, &["missing.pem"]);
    fs::write(dir.path().join("wrong.pem"), "nonsense").unwrap();
    fails(&with("wrong.pem"), 1, &["wrong.pem", "PKCS#8"]);
}

#[test]
fn a_second_broker_on_a_folder_is_refused_and_the_first_goes_on() {
    let broker = Broker::start(&Backing::Embedded);
    let data = broker.data();
    let dir = tempfile::tempdir().unwrap();
    let output =
        jitney(dir.path(), &[], &["serve", "--dev", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()]);
    fails(&output, 1, &["admin.sock"]);
    broker.operator_sees("/admin/v1/status");
    broker.mint("demo", "t");
}

/// Keys and policies that others put there would be believed.
#[test]
fn a_folder_that_is_another_s_or_open_to_others_is_refused() {
    use std::os::unix::fs::{PermissionsExt as _, chown};
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join(".jitney");
    fs::create_dir(&data).unwrap();
    let serve = || jitney(dir.path(), &[], &["serve", "--dev", "--listen", "127.0.0.1:0"]);
    for mode in [0o777, 0o770, 0o702, 0o1777] {
        fs::set_permissions(&data, fs::Permissions::from_mode(mode)).unwrap();
        fails(&serve(), 1, &["others may write in the folder .jitney", "chmod go-w", "--data DIR"]);
    }
    fs::set_permissions(&data, fs::Permissions::from_mode(0o755)).unwrap();
    if rustix::process::geteuid().is_root() {
        // Only root may give a folder away.
        chown(&data, Some(65_534), None).unwrap();
        fails(&serve(), 1, &["the folder .jitney is of the user ", "who is neither you nor root", "--data DIR"]);
        chown(&data, Some(0), None).unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&data, &link).unwrap();
        std::os::unix::fs::lchown(&link, Some(65_534), None).unwrap();
        fails(
            &jitney(dir.path(), &[], &["serve", "--dev", "--listen", "127.0.0.1:0", "--data", "link"]),
            1,
            &["the folder link is of the user "],
        );
    }
    assert!(fs::read_dir(&data).unwrap().next().is_none(), "nothing half-started");
}

#[test]
fn a_configuration_is_refused_by_line_with_the_mend() {
    let rows: [(&str, &[&str]); 9] = [
        ("[server]\nlisten = \"127.0.0.1:0\"\nlissen = 1\n", &["jitney.toml:3", "lissen", "listen"]),
        ("[sever]\nlisten = \"127.0.0.1:0\"\n", &["jitney.toml:1", "server"]),
        ("[tokens]\n\ndefault_ttl = \"soon\"\n", &["jitney.toml:3", "default_ttl"]),
        ("[tokens]\ndefault_ttl = \"2h\"\nmax_ttl = \"1h\"\n", &["jitney.toml:2", "max_ttl"]),
        ("[server\nlisten = 1\n", &["jitney.toml:1"]),
        ("[server]\nlisten = \"127.0.0.1:0\"\nlisten = \"127.0.0.1:1\"\n", &["jitney.toml:3"]),
        ("[server]\nlisten = \"0.0.0.0:0\"\n", &["jitney.toml:2", "allow_plain_http"]),
        ("[admin]\nlisten = \"127.0.0.1:0\"\n", &["jitney.toml:2", "socket"]),
        ("[store]\nurl = \"ftp://x\"\n", &["jitney.toml:2", "redis://"]),
    ];
    let dir = tempfile::tempdir().unwrap();
    for (text, named) in rows {
        fs::write(dir.path().join("jitney.toml"), text).unwrap();
        fails(&jitney(dir.path(), &[], &["serve", "--config", "jitney.toml"]), 1, named);
    }
    fails(&jitney(dir.path(), &[], &["serve", "--config", "missing.toml"]), 1, &["missing.toml"]);
    fs::write(dir.path().join("jitney.toml"), "").unwrap();
    for (name, value) in [("JITNEY_TOKENS_MAX_TTL", "soon"), ("JITNEY_TOKENS_MAXTTL", "5m")] {
        fails(&jitney(dir.path(), &[(name, value)], &["serve", "--config", "jitney.toml"]), 1, &[name]);
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing but the file was left");
}

#[test]
fn policies_are_refused_by_line_with_the_mend() {
    let permit = "permit (principal, action == Jitney::Action::\"mint\", resource);\n";
    let rows: [(&str, String, &[&str]); 6] = [
        ("broken.cedar", "@id(\"x\")\npermit (principal, action,\n".into(), &["broken.cedar:"]),
        ("nameless.cedar", permit.into(), &["nameless.cedar:1", "@id"]),
        ("typo.cedar", format!("\n@id(\"x\")\n{}", permit.replace("mint", "mind")), &["typo.cedar:3"]),
        ("twice.cedar", format!("@id(\"most-do-all\")\n{permit}"), &["twice.cedar:", "most-do-all"]),
        ("workloads/broken.toml", "owner = \"x\"\npurpose = \n".into(), &["broken.toml:2"]),
        ("workloads/typo.toml", "owner = \"x\"\npurpos = \"x\"\n".into(), &["typo.toml:2", "purpose"]),
    ];
    for (path, text, named) in rows {
        let mut broker = Setup::default().policy(path, text).stopped(None);
        cannot_start(&broker, named);
        let checked = broker.cli("demo", &["policy", "check", "data/policies"]);
        assert_eq!(checked.status.code(), Some(1), "{path}: policy check says the same");
        fs::remove_file(broker.policy(path)).unwrap();
        broker.start_again();
        broker.mint("demo", "t");
    }
}

#[test]
fn wrong_usage_ends_with_2() {
    let dir = tempfile::tempdir().unwrap();
    for words in [&["serve", "--config", "x", "--dev"][..], &["serve", "--port", "1"], &["swerve"], &[]] {
        let output = jitney(dir.path(), &[], words);
        assert_eq!(output.status.code(), Some(2), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let output = jitney(dir.path(), &[], &["serve", "--dev", "--listen", "here"]);
    fails(&output, 2, &["--listen"]);
    let output = jitney(dir.path(), &[], &["serve", "--dev", "--listen", "0.0.0.0:0"]);
    fails(&output, 2, &["127.0.0.1"]);
}
