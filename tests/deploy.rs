//! The files of `deploy/` against the program: what they name exists, what they set can be set, and what they run runs.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod common;

#[path = "deploy/ci.rs"]
mod ci;
#[path = "deploy/cluster.rs"]
mod cluster;
#[path = "deploy/files.rs"]
mod files;
#[path = "deploy/jobs.rs"]
mod jobs;
#[path = "deploy/monitoring.rs"]
mod monitoring;

use std::path::PathBuf;

use files::{read, root};
use jitney::config::Config;

#[test]
fn the_example_configuration_is_accepted() {
    let config = Config::load(Some(&root().join("deploy/jitney.toml")), []).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(config.server.issuer.as_deref(), Some("https://jitney.example.com"));
    assert!(config.server.tls.is_some());
}

/// By systemd's own word, where it is: as in `docs/verify.md`, with the program that was built in the place of the installed one.
#[test]
fn systemd_finds_no_fault_with_the_units() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["jitney.service", "jitney-guard.service"] {
        let unit = read(name).replace("/usr/local/bin/jitney", env!("CARGO_BIN_EXE_jitney"));
        let path = folder.path().join(name);
        std::fs::write(&path, unit).unwrap();
        let told = std::process::Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&path).output();
        let Ok(told) = told else { continue };
        let said = String::from_utf8_lossy(&told.stderr);
        let of_it = said.lines().filter(|line| line.contains(name)).collect::<Vec<_>>();
        assert!(told.status.success() && of_it.is_empty(), "{name}: {said}");
    }
}

#[test]
fn the_settings_of_compose_are_accepted() {
    let text = read("compose.yaml");
    let settings: Vec<(String, String)> = text
        .lines()
        .filter_map(|line| line.trim().split_once(": "))
        .filter(|(name, _)| name.starts_with("JITNEY_"))
        .map(|(name, value)| (name.to_owned(), value.trim_matches('"').to_owned()))
        .collect();
    assert!(settings.len() >= 4, "{settings:?}");
    Config::load(None, settings).unwrap_or_else(|error| panic!("{error}"));
}

/// No container engine runs in the tests: what can be held is that the paths they name exist, and that YAML's one trap, a
/// tab, is not in it.
#[test]
fn what_the_container_files_name_exists() {
    let dockerfile = read("Dockerfile");
    let copied = dockerfile.lines().filter(|line| line.starts_with("COPY ") && !line.contains("--from"));
    let mut checked = 0;
    for path in copied.flat_map(|line| {
        let mut words: Vec<&str> = line.split_whitespace().skip(1).collect();
        words.pop();
        words
    }) {
        assert!(root().join(path).exists(), "Dockerfile copies {path}");
        checked += 1;
    }
    assert!(checked >= 1);
    let compose = read("compose.yaml");
    assert!(!compose.contains('\t'));
    for line in compose.lines().map(str::trim) {
        let Some(path) = line.strip_prefix("- ").and_then(|mount| mount.split(':').next()) else { continue };
        if path.starts_with('.') {
            assert!(root().join("deploy").join(path).exists(), "compose mounts {path}");
        }
    }
}

#[test]
fn the_unit_starts_what_there_is_and_lets_go_of_everything_else() {
    let unit = read("jitney.service");
    let values = |name: &str| -> Vec<String> {
        unit.lines().filter_map(|line| line.strip_prefix(&format!("{name}="))).map(str::to_owned).collect()
    };
    assert_eq!(values("ExecStart"), ["/usr/local/bin/jitney serve --config /etc/jitney/jitney.toml"]);
    for (name, value) in [
        ("NoNewPrivileges", "yes"),
        ("CapabilityBoundingSet", ""),
        ("ProtectSystem", "strict"),
        ("MemoryDenyWriteExecute", "yes"),
        ("LimitCORE", "0"),
        ("UMask", "0077"),
    ] {
        assert_eq!(values(name), [value], "{name}");
    }
    // The folders that the example configuration writes to are the unit's own.
    let toml = read("jitney.toml");
    for (folder, key) in
        [("/var/lib/", "StateDirectory"), ("/run/", "RuntimeDirectory"), ("/etc/", "ConfigurationDirectory")]
    {
        let own = PathBuf::from(folder).join(&values(key)[0]);
        assert!(toml.contains(&format!("\"{}/", own.display())), "{}", own.display());
    }
}
