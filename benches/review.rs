//! How long a review takes of an organisation with ten thousand workloads: a change of ten lines, told and checked.
//!
//! `cargo bench --bench review` writes the organisation into a temporary folder and runs `jitney policy diff` and `policy check`
//! on it as a pipeline does, each in a process of its own.

#![allow(clippy::unwrap_used, clippy::disallowed_macros, reason = "a bench that cannot go on ends, and it prints")]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// By `cargo bench`; by `cargo test`, which only sees that it works, a few.
const WORKLOADS: usize = 10_000;
const FEW: usize = 500;
const AUDIENCES: usize = 50;
const RUNS: usize = 5;

/// A public key of its own for each: nobody holds the other half.
fn key(of: usize) -> String {
    let x: Vec<u8> = (0..32).map(|at| ((of >> (8 * (at % 3))) as u8) ^ (at as u8)).collect();
    let x: String = base64_of(&x);
    format!("jwks = {{ keys = [{{ kty = \"OKP\", crv = \"Ed25519\", x = \"{x}\" }}] }}")
}

fn base64_of(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let whole = three.iter().fold(0_u32, |whole, byte| whole << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for at in 0..=three.len() {
            text.push(char::from(LETTERS[(whole >> (18 - 6 * at) & 63) as usize]));
        }
    }
    text
}

fn write(dir: &Path, workloads: usize) {
    for folder in ["workloads", "audiences", "invariants"] {
        fs::create_dir_all(dir.join(folder)).unwrap();
    }
    for at in 0..AUDIENCES {
        let scopes: String =
            (0..10).map(|scope| format!("\"items{scope}:read\" = \"Read the items of kind {scope}\"\n")).collect();
        let text = format!(
            "id = \"https://service-{at}.example.com\"\nowner = \"team-{at}@example.com\"\npurpose = \"Keeps the items of the {at}th kind\"\nmax_ttl = \"10m\"\n[scopes]\n{scopes}"
        );
        fs::write(dir.join(format!("audiences/service-{at}.toml")), text).unwrap();
    }
    let mut policies = vec![String::new(); AUDIENCES];
    for at in 0..workloads {
        let text = format!(
            "owner = \"team-{}@example.com\"\npurpose = \"Moves the items of order {at} from here to there\"\nexpires = 2099-06-30\nreview = 2099-01-31\n[[identity]]\ntype = \"private_key_jwt\"\n{}\n",
            at % AUDIENCES,
            key(at)
        );
        fs::write(dir.join(format!("workloads/job-{at}.toml")), text).unwrap();
        let (service, scope) = (at % AUDIENCES, at % 10);
        let _ = writeln!(
            policies[service],
            "@id(\"job-{at}-reads\")\n@max_ttl(\"5m\")\npermit (\n  principal == Jitney::Workload::\"job-{at}\",\n  action == Jitney::Action::\"mint\",\n  resource == Jitney::Scope::\"https://service-{service}.example.com items{scope}:read\"\n)\nwhen {{ context.task like \"job-{at}-*\" }};\n"
        );
    }
    for (at, text) in policies.iter().enumerate() {
        fs::write(dir.join(format!("service-{at}.cedar")), text).unwrap();
    }
    let invariant = "@id(\"own-team\")\nforbid (principal, action, resource in Jitney::Audience::\"https://service-7.example.com\")\nunless { principal.owner == \"team-7@example.com\" };\n";
    fs::write(dir.join("invariants/own.cedar"), invariant).unwrap();
}

/// Ten lines are not as they were: nine conditions, and a limit.
fn change(dir: &Path) {
    let file = dir.join("service-3.cedar");
    let mut text = fs::read_to_string(&file).unwrap();
    for at in 0..9 {
        let job = 3 + at * AUDIENCES;
        text = text.replacen(&format!("\"job-{job}-*\""), &format!("\"job-{job}*\""), 1);
    }
    fs::write(&file, text.replacen("@max_ttl(\"5m\")", "@max_ttl(\"6m\")", 1)).unwrap();
}

fn main() {
    let is_bench = std::env::args().any(|argument| argument == "--bench");
    let (workloads, runs) = if is_bench { (WORKLOADS, RUNS) } else { (FEW, 1) };
    let dir = tempfile::tempdir().unwrap();
    for name in ["base", "head"] {
        write(&dir.path().join(name), workloads);
    }
    change(&dir.path().join("head"));
    let commands: [(&str, &[&str], i32); 2] = [
        ("policy diff", &["policy", "diff", "base", "head", "--format", "json"], 3),
        ("policy check", &["policy", "check", "head", "--deny", "error"], 0),
    ];
    for (name, words, code) in commands {
        let mut times = Vec::new();
        for _ in 0..runs {
            let began = Instant::now();
            let output =
                Command::new(env!("CARGO_BIN_EXE_jitney")).args(words).current_dir(dir.path()).output().unwrap();
            times.push(began.elapsed());
            assert_eq!(output.status.code(), Some(code), "{}", String::from_utf8_lossy(&output.stderr));
        }
        times.sort();
        println!(
            "{name}, {workloads} workloads, {AUDIENCES} audiences: median {:.2?} of {runs} ({:.2?} to {:.2?})",
            times[runs / 2],
            times[0],
            times[runs - 1]
        );
    }
}
