//! What holds secrets is closed to others: memory, core files, files on disk, and what a command of `jitney run` is given.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use crate::common::{API, Assertion, Backing, Broker, ISSUER, Setup, clean, eventually, key_of, wait_for_exit};
use crate::hoard::Hoard;
use crate::scene::files;

/// What starts a program as one of many users: root's rights over others are taken away where root runs this.
fn as_anybody() -> &'static [&'static str] {
    let is_root = rustix::process::getuid().is_root();
    if is_root { &["setpriv", "--bounding-set=-all", "--inh-caps=-all"] } else { &["env"] }
}

/// A command of the binary, started so.
fn jitney() -> Command {
    let mut command = clean(as_anybody()[0]);
    command.args(&as_anybody()[1..]).arg(env!("CARGO_BIN_EXE_jitney"));
    command
}

/// Whether another process of this user's can read this one's environment. That is the kernel's `ptrace` rule: the same
/// that decides on its memory and on whom a debugger may hold.
fn is_open(pid: u32) -> bool {
    let mut command = Command::new(as_anybody()[0]);
    let output = command.args(&as_anybody()[1..]).arg("cat").arg(format!("/proc/{pid}/environ")).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() || said.contains("ermission denied") || said.contains("not permitted"), "{said}");
    output.status.success()
}

fn limit_of_core_files(pid: u32) -> String {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    line.split_whitespace().skip(4).collect::<Vec<_>>().join(" ")
}

fn pid_of(broker: &Broker) -> u32 {
    u32::try_from(broker.pid().as_raw_nonzero().get()).unwrap()
}

#[test]
fn a_broker_cannot_be_read_by_others_of_its_user_nor_leave_a_core_file() {
    let mut control = Command::new(as_anybody()[0]).args(&as_anybody()[1..]).args(["sleep", "60"]).spawn().unwrap();
    let is_seen = eventually("the program runs", || {
        let line = fs::read(format!("/proc/{}/cmdline", control.id())).unwrap();
        line.starts_with(b"sleep").then(|| is_open(control.id()))
    });
    control.kill().unwrap();
    control.wait().unwrap();
    assert!(is_seen, "where nobody is seen, this test proves nothing");
    let broker = Setup::default().under(as_anybody()).start(&Backing::Embedded);
    assert!(!is_open(pid_of(&broker)));
    assert_eq!(limit_of_core_files(pid_of(&broker)), "0 0 bytes");
}

/// A listener that takes connections and never answers holds each command in the middle of its work.
#[test]
fn commands_with_a_key_or_a_token_cannot_be_read_either() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("key.pem"), key_of("demo").pem()).unwrap();
    fs::write(dir.path().join("token"), "a.b.c").unwrap();
    let ask = ["--task", "t", "--audience", API, "--scope", "orders:read"];
    for words in [
        &[&["token"], &ask[..]].concat()[..],
        &[&["run"], &ask[..], &["--", "true"]].concat(),
        &["complete", "--task", "t"],
        &["verify", "--token-file", "token"],
    ] {
        let mut child = jitney()
            .args(words)
            .env("JITNEY_URL", format!("http://{}", listener.local_addr().unwrap()))
            .env("JITNEY_WORKLOAD", "demo")
            .env("JITNEY_KEY_FILE", "key.pem")
            .current_dir(dir.path())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let held = listener.accept().unwrap();
        let is_open = is_open(child.id());
        child.kill().unwrap();
        child.wait().unwrap();
        drop(held);
        assert!(!is_open, "{words:?}");
    }
}

/// A command of `jitney run` for `demo`, with the credentials of a platform and of an operator in the environment.
fn run(broker: &Broker, dir: &Path, proof: (&str, &Path), task: &str, script: &str) -> Command {
    let mut command = jitney();
    for name in HIDDEN {
        command.env(name, format!("planted-in-{name}"));
    }
    command
        .env_remove("JITNEY_KEY_FILE")
        .env_remove("JITNEY_ASSERTION_FILE")
        .env("JITNEY_URL", broker.url())
        .env("JITNEY_ISSUER", ISSUER)
        .env("JITNEY_WORKLOAD", "demo")
        .env(proof.0, proof.1)
        .env("TMPDIR", dir)
        .args(["run", "--task", task, "--audience", API, "--scope", "orders:read", "--", "sh", "-c", script])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// What a command must not see, or it could ask for more than the one token.
const HIDDEN: [&str; 13] = [
    "JITNEY_KEY_FILE",
    "JITNEY_ASSERTION_FILE",
    "JITNEY_ADMIN",
    "JITNEY_AUDIENCE_KEY_FILE",
    "JITNEY_STORE_URL",
    "JITNEY_SERVER_TLS_KEY",
    "ACTIONS_ID_TOKEN_REQUEST_URL",
    "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
    "ACTIONS_RUNTIME_TOKEN",
    "CI_JOB_TOKEN",
    "CI_JOB_JWT",
    "CI_JOB_JWT_V2",
    "SPIFFE_ENDPOINT_SOCKET",
];

/// What of jitney's a command sees: its token, and names that prove nothing.
const SEEN: [&str; 5] = ["JITNEY_ISSUER", "JITNEY_TOKEN", "JITNEY_TOKEN_FILE", "JITNEY_URL", "JITNEY_WORKLOAD"];

#[test]
fn a_command_is_given_its_token_and_no_other_credential() {
    let broker = Broker::start(&Backing::Embedded);
    let dir = tempfile::tempdir().unwrap();
    let (key, assertion) = (dir.path().join("key.pem"), dir.path().join("assertion"));
    let text = Assertion::of("demo").text();
    fs::write(&key, key_of("demo").pem()).unwrap();
    fs::write(&assertion, &text).unwrap();
    let mut hoard = Hoard::default();
    hoard.pem(&key_of("demo").pem());
    hoard.jws(&text);
    // `env -0`: values may hold line ends. Then what is open, the limit of core files, and the modes of file and folder.
    let script = "env -0; printf 'fds '; ls /proc/self/fd | tr '\\n' ' '; echo; echo core $(ulimit -c); \
                  stat -c 'mode %a' \"$JITNEY_TOKEN_FILE\" \"${JITNEY_TOKEN_FILE%/*}\"";
    // What is open to any command that is started here: its streams, and what cargo or a shell has left.
    let fds = &script[script.find("printf 'fds").unwrap()..script.find(" echo core").unwrap()];
    let mut plain = Command::new("sh");
    let plain = plain.args(["-c", fds]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let inherited = String::from_utf8(plain.output().unwrap().stdout).unwrap();
    assert!(inherited.starts_with("fds 0 1 "), "{inherited}");
    for (name, path, task) in
        [("JITNEY_KEY_FILE", &key, "by-key"), ("JITNEY_ASSERTION_FILE", &assertion, "by-assertion")]
    {
        let output = run(&broker, dir.path(), (name, path), task, script).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(!said.contains("planted") && !said.contains("key.pem"), "{name}: {said}");
        hoard.not_in("what a command sees", said.as_bytes());
        let names: BTreeSet<&str> =
            said.split('\0').filter_map(|pair| pair.split_once('=')).map(|pair| pair.0).collect();
        let ours: Vec<&str> = names.into_iter().filter(|name| name.starts_with("JITNEY_")).collect();
        assert_eq!(ours, SEEN);
        assert!(said.contains(&inherited), "jitney leaves nothing open to it: {inherited}{said}");
        assert!(said.contains("mode 600\nmode 700\n"), "{said}");
        let limit = Command::new("sh").args(["-c", "ulimit -c"]).output().unwrap();
        let limit = format!("core {}", String::from_utf8(limit.stdout).unwrap());
        assert!(said.contains(&limit), "a command's core files are its own matter: {said}");
        let left = fs::read_dir(dir.path()).unwrap().flatten().filter(|entry| entry.path().is_dir()).count();
        assert_eq!(left, 0, "the token's folder goes");
    }
    broker.audited(&[("event", "complete"), ("task", "by-key")]);
}

/// The command can be read by its user, as any command: its parent, which has the key, cannot.
#[test]
fn the_one_who_runs_a_command_stays_closed_and_the_command_is_no_more_closed_than_others() {
    let broker = Broker::start(&Backing::Embedded);
    let dir = tempfile::tempdir().unwrap();
    let key = dir.path().join("key.pem");
    fs::write(&key, key_of("demo").pem()).unwrap();
    let script = "echo $$; exec sleep 60";
    let mut jitney = run(&broker, dir.path(), ("JITNEY_KEY_FILE", &key), "t", script).spawn().unwrap();
    let child: u32 = first_line(&mut jitney).parse().unwrap();
    let open = eventually("the command runs", || {
        let line = fs::read(format!("/proc/{child}/cmdline")).unwrap();
        line.starts_with(b"sleep").then(|| (is_open(jitney.id()), is_open(child)))
    });
    let jitney_s = rustix::process::Pid::from_child(&jitney);
    rustix::process::kill_process(jitney_s, rustix::process::Signal::TERM).unwrap();
    wait_for_exit(&mut jitney);
    assert_eq!(open, (false, true));
}

fn first_line(child: &mut Child) -> String {
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    line.trim().to_owned()
}

#[test]
fn files_are_their_owner_s_alone_whatever_the_umask() {
    let setup = Setup::plain().under(&["sh", "-c", "umask 0; exec \"$0\" \"$@\""]);
    let mut broker = setup.start(&Backing::Embedded);
    let output = open_wide(&broker, &["token", "--task", "t", "--audience", API, "--scope", "orders:read"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    broker.operator("/admin/v1/keys/rotate", serde_json::json!({"now": true})).expect(200);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let data = broker.data();
    for folder in [&data, &data.join("keys"), &data.join("store")] {
        assert_eq!(mode(folder), 0o700, "{}", folder.display());
    }
    for name in ["demo.pem", "audience.pem", "audit.jsonl", "admin.sock", "workload.env"] {
        assert_eq!(mode(&data.join(name)), 0o600, "{name}");
    }
    assert!(broker.stop().success());
    let keys: Vec<_> = files(&data).into_iter().filter(|(_, text)| text.starts_with(b"-----BEGIN PRIVATE")).collect();
    assert!(keys.len() >= 4, "two of the broker's, and those of its workload and its resource server");
    let stored = files(&data.join("store"));
    assert!(!stored.is_empty());
    for (path, _) in keys.iter().chain(&stored) {
        assert_eq!(mode(Path::new(path)), 0o600, "{path}");
    }
}

/// A command as `workload.env` has it, under no umask.
fn open_wide(broker: &Broker, words: &[&str]) -> Output {
    let script = "umask 0; . ./workload.env; exec \"$0\" \"$@\"";
    let mut command = clean("sh");
    command.args(["-c", script, env!("CARGO_BIN_EXE_jitney")]).args(words).current_dir(broker.data());
    command.output().unwrap()
}
