//! What a person does with the first broker of their own: source a file, paste commands.

use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::common::{Backing, Broker, Setup, clean, eventually, on_both_stores};

on_both_stores!(
    the_commands_that_serve_prints_work_as_pasted,
    an_operator_s_commands_work_as_pasted,
    run_wraps_a_command_in_a_task,
    a_folder_keeps_its_keys_and_policies,
);

/// Runs a script as a person's shell would, having sourced the file, with the binary as `jitney`.
fn shell(broker: &Broker, script: &str) -> Output {
    let script = format!("set -e; . {}\n{script}", broker.data().join("workload.env").display());
    let binary = std::path::Path::new(env!("CARGO_BIN_EXE_jitney")).parent().unwrap();
    let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap());
    let mut command: Command = clean("sh");
    command.args(["-c", &script]).env("PATH", path).current_dir(broker.data()).stdin(Stdio::null()).output().unwrap()
}

#[track_caller]
fn works(broker: &Broker, script: &str) -> String {
    let output = shell(broker, script);
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn the_commands_that_serve_prints_work_as_pasted(backing: &Backing) {
    let broker = Setup::plain().start(backing);
    eventually("it says what to paste", || broker.stdout().contains("workload.env").then_some(()));
    let variables = ["JITNEY_URL", "JITNEY_WORKLOAD", "JITNEY_KEY_FILE", "JITNEY_ADMIN", "JITNEY_AUDIENCE"];
    for name in variables.into_iter().chain(["JITNEY_AUDIENCE_KEY_FILE"]) {
        assert_eq!(works(&broker, &format!("printenv {name}")).lines().count(), 1);
    }
    let token =
        works(&broker, "jitney token --task demo-1 --audience $JITNEY_AUDIENCE --scope orders:read | tee token");
    assert_eq!((token.lines().count(), token.matches('.').count()), (1, 2), "the token and nothing else");
    let claims: Value = serde_json::from_str(&works(&broker, "jitney verify --output json < token")).unwrap();
    assert_eq!(claims.to_string().matches("\"demo-1\"").count(), 1, "{claims}");
    works(&broker, "jitney verify --audience $JITNEY_AUDIENCE - < token");
    works(&broker, "jitney complete --task demo-1");
    works(&broker, "jitney complete --task demo-1");
    let refused = shell(&broker, "jitney verify < token");
    let said = [refused.stdout, refused.stderr].concat();
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&said).contains("revoked"), "{}", String::from_utf8_lossy(&said));
    let late = shell(&broker, "jitney token --task demo-1 --audience $JITNEY_AUDIENCE --scope orders:read");
    assert!(late.status.code() == Some(1) && late.stdout.is_empty());
    assert!(String::from_utf8_lossy(&late.stderr).starts_with("error: "), "{}", String::from_utf8_lossy(&late.stderr));
    let much = shell(&broker, "jitney token --task demo-2 --audience $JITNEY_AUDIENCE --scope orders:burn");
    assert!(String::from_utf8_lossy(&much.stderr).contains("invalid_scope"));
}

fn an_operator_s_commands_work_as_pasted(backing: &Backing) {
    let broker = Setup::plain().start(backing);
    works(
        &broker,
        "jitney token --task t-1 --audience $JITNEY_AUDIENCE --scope orders:read --scope orders:write > token",
    );
    let json = |command: &str| -> Value { serde_json::from_str(&works(&broker, command)).expect(command) };
    let leases = json("jitney lease list --output json");
    let lease = leases["leases"][0]["id"].as_str().unwrap();
    assert_eq!(json(&format!("jitney lease show {lease} --output json"))["state"], "live");
    for command in
        ["lease list", "workload list", "workload show demo", "audience list", "status", "key list", "audit tail"]
    {
        assert!(works(&broker, &format!("jitney {command}")).lines().count() > 1, "{command}");
    }
    assert!(works(&broker, "jitney key list --output pem").contains("BEGIN PUBLIC KEY"));
    assert_eq!(json("jitney audience show $JITNEY_AUDIENCE --output json")["id"], "https://api.example.com");
    works(&broker, "jitney policy check policies");
    assert!(works(&broker, "jitney lease revoke --all --reason drill --dry-run").contains('1'));
    works(&broker, "jitney verify < token");
    works(&broker, &format!("jitney lease revoke --lease {lease} --reason drill"));
    assert_eq!(shell(&broker, "jitney verify < token").status.code(), Some(1));
    works(&broker, "jitney workload quarantine demo --reason drill");
    let refused = shell(&broker, "jitney token --task t-2 --audience $JITNEY_AUDIENCE --scope orders:read");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("unauthorized_client"));
    works(&broker, "jitney workload release demo --reason drill");
    works(&broker, "jitney key rotate --now");
    works(&broker, "jitney token --task t-2 --audience $JITNEY_AUDIENCE --scope orders:read | jitney verify");
    works(&broker, "jitney audit verify");
    assert_eq!(shell(&broker, "jitney lease revoke --all").status.code(), Some(2), "a reason is required");
}

fn run_wraps_a_command_in_a_task(backing: &Backing) {
    let broker = Setup::plain().start(backing);
    let run = "jitney run --task job-7 --audience $JITNEY_AUDIENCE --scope orders:read";
    let output =
        shell(&broker, &format!("{run} -- sh -c 'cp $JITNEY_TOKEN_FILE token; jitney verify < token >&2; exit 9'"));
    assert_eq!(output.status.code(), Some(9), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(shell(&broker, "jitney verify < token").status.code(), Some(1), "the task is over");
    broker.audited(&[("event", "complete"), ("task", "job-7")]);
}

fn a_folder_keeps_its_keys_and_policies(backing: &Backing) {
    let mut broker = Setup::plain().start(backing);
    let environment = |broker: &Broker| works(broker, "cat $JITNEY_KEY_FILE $JITNEY_AUDIENCE_KEY_FILE");
    let (before, policies) = (environment(&broker), broker.policy("demo.cedar"));
    let mine = std::fs::read_to_string(&policies).unwrap().replace("\"10m\"", "\"7m\"");
    std::fs::write(&policies, &mine).unwrap();
    assert!(broker.stop().success());
    broker.start_again();
    assert_eq!((environment(&broker), std::fs::read_to_string(&policies).unwrap()), (before, mine));
    let long = shell(&broker, "jitney token --task t --audience $JITNEY_AUDIENCE --scope orders:read --ttl 8m");
    assert!(String::from_utf8_lossy(&long.stderr).contains("invalid_request"));
    use std::os::unix::fs::PermissionsExt as _;
    let mode = |name: &str| std::fs::metadata(broker.data().join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("admin.sock"), 0o600);
    for key in works(&broker, "echo $JITNEY_KEY_FILE $JITNEY_AUDIENCE_KEY_FILE").split_whitespace() {
        assert_eq!(std::fs::metadata(key).unwrap().permissions().mode() & 0o777, 0o600, "{key}");
    }
}
