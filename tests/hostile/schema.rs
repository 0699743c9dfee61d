//! schemathesis against `/openapi.json`: thousands of requests that nobody here wrote; none gets a 500, and none an answer
//! that the document does not describe. `tests/hostile/hooks.py` gets them behind the authentication.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::common::{API, Chance, ISSUER, key_of};
use crate::siege::Siege;

/// Examples of each operation, besides those that cover the schema's edges; `JITNEY_TEST_EXAMPLES` asks for more.
const EXAMPLES: &str = "40";

/// How long an example of each operation may take on a machine that is busy with other things, all included.
const DEADLINE: Duration = Duration::from_secs(8);

/// What every operation must have answered at least once.
const REACHED: [&str; 26] = [
    "metadata 200",
    "openid_configuration 200",
    "authorize 400",
    "authorize_by_post 400",
    "jwks 200",
    "token 200",
    "token 400",
    "token 401",
    "token 415",
    "introspect 200",
    "introspect 400",
    "introspect 401",
    "introspect 415",
    "revoke 200",
    "revoke 400",
    "revoke 401",
    "complete 204",
    "complete 400",
    "complete 401",
    "renew 200",
    "renew 400",
    "renew 401",
    "revocations 200",
    "revocations 400",
    "livez 200",
    "readyz 200",
];

#[test]
#[allow(clippy::disallowed_macros, reason = "a test tells how much it tried")]
fn no_answer_is_outside_of_the_document() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let program = root.join("target/hostile/venv/bin/schemathesis");
    assert!(
        program.exists(),
        "schemathesis is not installed in target/hostile/venv: run the tests by `bash tests/run`"
    );
    let siege = Siege::begin();
    let dir = tempfile::tempdir().unwrap();
    for (name, party) in [("demo", "demo"), ("api", API)] {
        std::fs::write(dir.path().join(format!("{name}.pem")), key_of(party).pem()).unwrap();
    }
    let seed = Chance::new().below(1 << 32).to_string();
    println!("the seed of schemathesis: {seed}");
    let examples = std::env::var("JITNEY_TEST_EXAMPLES").unwrap_or_else(|_| EXAMPLES.to_owned());
    let (output, counts) = (dir.path().join("output"), dir.path().join("counts.json"));
    let mut child = Command::new(program)
        .args(["run", &format!("{}/openapi.json", siege.broker().url()), "--seed", &seed, "--max-examples", &examples])
        .args(["--phases", "examples,coverage,fuzzing", "--continue-on-failure", "--generation-database", "none"])
        // What a policy grants is not in a schema: the hooks know what must succeed, and check it.
        .args([
            "--checks",
            "all",
            "--exclude-checks",
            "positive_data_acceptance",
            "--request-timeout",
            "5",
            "--no-color",
        ])
        .env("SCHEMATHESIS_HOOKS", "hooks")
        .env("PYTHONPATH", root.join("tests/hostile"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("JITNEY_TRY_URL", siege.broker().url())
        .env("JITNEY_TRY_ISSUER", ISSUER)
        .env("JITNEY_TRY_KEYS", dir.path())
        .env("JITNEY_TRY_COUNTS", &counts)
        .env("JITNEY_TRY_SEED", &seed)
        .current_dir(dir.path())
        .stdin(Stdio::null())
        .stdout(File::create(&output).unwrap())
        .stderr(File::options().append(true).open(&output).unwrap())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + DEADLINE * examples.parse().unwrap();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if Instant::now() > deadline {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("schemathesis does not end:\n{}", std::fs::read_to_string(&output).unwrap());
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    assert!(status.success(), "{}", std::fs::read_to_string(&output).unwrap());
    let counts: BTreeMap<String, u64> = serde_json::from_slice(&std::fs::read(&counts).unwrap()).unwrap();
    println!("{} requests: {counts:?}", counts.values().sum::<u64>());
    let missed: Vec<_> = REACHED.iter().filter(|each| !counts.contains_key(**each)).collect();
    assert!(missed.is_empty(), "never seen: {missed:?} in {counts:?}");
    siege.survived("schemathesis");
    siege.end();
}
