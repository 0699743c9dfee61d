//! The GitHub workflow, the GitLab job and the pod, run: their own commands in their own surroundings, in front of a real
//! broker, with a platform of the tests' own that signs what they ask it for. Only `make` is made up here.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use super::files::{document, list, named, path, python, text, yaml};
use crate::common::{Backing, Broker, Key, Platform, Reply, Setup, Token, workload_path};

/// The broker's name in every one of these files.
const ISSUER: &str = "https://jitney.example.com";
const ORDERS: &str = "https://orders.example.com";

/// A platform, a broker that trusts it as its pages say, and a machine to run things on.
struct Stage {
    platform: Platform,
    key: Key,
    broker: Broker,
    dir: tempfile::TempDir,
}

impl Stage {
    /// The workload's file has these claims and this task.
    fn set(rules: &str) -> Self {
        let (platform, key) = (Platform::http(), Key::rsa());
        platform.publish(&[(&key, "p1")]);
        let workload = format!(
            "owner = \"o@example.com\"\npurpose = \"Tests\"\nexpires = 2099-12-31\n[[identity]]\ntype = \"oidc\"\nissuer = \
             \"{}\"\n{rules}\n",
            platform.url()
        );
        let audience = format!(
            "id = \"{ORDERS}\"\nowner = \"o@example.com\"\npurpose = \"Tests\"\nmax_ttl = \"10m\"\n[scopes]\n\"orders:read\" = \
             \"Read\"\n"
        );
        let permit = format!(
            "@id(\"report\") permit (principal == Jitney::Workload::\"report\", action, resource in \
             Jitney::Audience::\"{ORDERS}\");"
        );
        let broker = Setup::default()
            .set("JITNEY_SERVER_ISSUER", ISSUER)
            .set("JITNEY_FEDERATION_ALLOW_PRIVATE", platform.url())
            .policy(&workload_path("report"), workload)
            .policy("audiences/orders.toml", audience)
            .policy("report.cedar", permit)
            .start(&Backing::Embedded);
        let dir = tempfile::tempdir().unwrap();
        for folder in ["bin", "home", "temp", "work", "tokens"] {
            fs::create_dir(dir.path().join(folder)).unwrap();
        }
        let stage = Self { platform, key, broker, dir };
        // Shows what it was given; a goal that is called `fails` does.
        let make = format!(
            "#!/bin/sh\ncp \"$JITNEY_TOKEN_FILE\" \"{0}/$1\"\nenv > \"{0}/$1.env\"\ntest ! -e \"{0}/$1.fails\"\n",
            stage.at("tokens").display()
        );
        fs::write(stage.at("bin/make"), make).unwrap();
        fs::set_permissions(stage.at("bin/make"), fs::Permissions::from_mode(0o755)).unwrap();
        stage
    }

    fn at(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    /// A token of the platform's for the broker that these files name.
    fn token(&self, audience: &str, mut claims: Value) -> String {
        claims["aud"] = audience.into();
        self.platform.token(&self.key, "p1", claims)
    }

    /// Where the program is to be had, and which one it must be.
    fn program() -> (String, String) {
        let program = env!("CARGO_BIN_EXE_jitney");
        let sum = Command::new("sha256sum").arg(program).output().unwrap();
        let sum = String::from_utf8(sum.stdout).unwrap();
        (format!("file://{program}"), sum.split(' ').next().unwrap().to_owned())
    }

    /// A shell as a runner starts it: nothing but these variables.
    fn shell(&self, script: &str, variables: &BTreeMap<String, String>) -> Output {
        let path = format!("{}:/usr/local/bin:/usr/bin:/bin", self.at("bin").display());
        let mut command = Command::new("bash");
        command.args(["--noprofile", "--norc", "-eo", "pipefail", "-c", script]).env_clear().stdin(Stdio::null());
        command.env("PATH", path).env("HOME", self.at("home")).current_dir(self.at("work"));
        // The broker is not where its name says.
        command.envs(variables).env("JITNEY_URL", self.broker.url()).env("JITNEY_ISSUER", ISSUER);
        command.output().unwrap()
    }

    /// The token that this goal was made with: of this task, which is over.
    fn made(&self, goal: &str, task: &str) -> Token {
        let token = Token::read(fs::read_to_string(self.at("tokens").join(goal)).unwrap().trim());
        assert_eq!(
            (token.claim("sub"), token.claim("txn"), token.claim("aud")),
            ("report".into(), task.into(), ORDERS.into())
        );
        token
    }

    /// A platform's secret that no goal may see.
    fn never_seen(&self, goal: &str, secret: &str) {
        let seen = fs::read_to_string(self.at("tokens").join(format!("{goal}.env"))).unwrap();
        assert!(!seen.contains(secret) && seen.contains("JITNEY_TOKEN="), "{seen}");
    }

    /// The run's own task takes nothing more.
    fn is_over(&self, shown: &str, task: &str) {
        let ask = crate::common::Ask::of("report").assertion(shown).task(task);
        let answer = self.broker.ask(&ask.with("resource", ORDERS));
        assert_eq!(answer.outcome(), (400, "invalid_grant".into()), "{}", answer.text());
    }
}

#[track_caller]
fn went_well(name: &str, output: &Output) -> String {
    let [said, told] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
    assert!(output.status.success(), "{name}: {}\n{said}{told}", output.status);
    said
}

/// As much of GitHub's runner as the workflow needs: steps in order, `if`, `env`, `vars`, `github`, `$GITHUB_PATH`.
fn github(stage: &Stage, id_token: &str) -> Vec<(String, Output)> {
    let workflow = &yaml("github/workflow.yml")[0];
    assert_eq!(
        (&workflow["permissions"]["id-token"], &workflow["permissions"]["contents"]),
        (&json!("write"), &json!("read"))
    );
    let query = "/idtoken?api-version=2.0&audience=https%3A%2F%2Fjitney.example.com";
    stage.platform.answer(query, Reply::Json(json!({"count": 1, "value": id_token})));
    let (url, sum) = Stage::program();
    let known = [
        ("vars.JITNEY_URL", ISSUER.to_owned()),
        ("vars.JITNEY_BINARY", url),
        ("vars.JITNEY_SHA256", sum),
        ("github.run_id", "987".into()),
        ("github.run_attempt", "2".into()),
    ];
    let filled = |text: &str| {
        let text = known
            .iter()
            .fold(text.to_owned(), |text, (name, value)| text.replace(&format!("${{{{ {name} }}}}"), value));
        assert!(!text.contains("${{"), "{text}");
        text
    };
    let job = &workflow["jobs"]["report"];
    assert_eq!(job["environment"], "production", "which the page pins");
    let mut variables: BTreeMap<String, String> = BTreeMap::from(
        [
            ("GITHUB_ACTIONS", "true".to_owned()),
            ("GITHUB_PATH", stage.at("path").display().to_string()),
            ("RUNNER_TEMP", stage.at("temp").display().to_string()),
            ("ACTIONS_ID_TOKEN_REQUEST_URL", format!("{}/idtoken?api-version=2.0", stage.platform.url())),
            ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "the-request-token".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    );
    let env_of = |of: &Value| -> Vec<(String, String)> {
        let entries = of.as_object().into_iter().flatten();
        entries.map(|(name, value)| (name.clone(), filled(text(value)))).collect()
    };
    variables.extend(env_of(&job["env"]));
    assert_eq!(variables["JITNEY_URL"], ISSUER);
    let (mut outputs, mut has_failed) = (Vec::new(), false);
    for step in list(&job["steps"]) {
        let Some(run) = step["run"].as_str() else {
            assert!(text(&step["uses"]).starts_with("actions/checkout@"), "{step}");
            continue;
        };
        let runs = match step["if"].as_str() {
            None => !has_failed,
            Some("failure()") => has_failed,
            Some("always()") => true,
            Some(other) => panic!("{other}"),
        };
        if !runs {
            continue;
        }
        let mut own = variables.clone();
        own.extend(env_of(&step["env"]));
        let added = fs::read_to_string(stage.at("path")).unwrap_or_default();
        let path = added.lines().map(|line| format!("export PATH='{line}':\"$PATH\"\n")).collect::<String>();
        let output = stage.shell(&format!("{path}{}", filled(run)), &own);
        has_failed |= !output.status.success();
        outputs.push((text(&step["name"]).to_owned(), output));
    }
    outputs
}

const ON_GITHUB: &str =
    "claims = { repository_id = \"74\", environment = \"production\" }\ntask = \"{run_id}.{run_attempt}\"";

fn run_of(stage: &Stage, repository: &str) -> String {
    let claims = json!({"repository_id": repository, "environment": "production", "run_id": "987", "run_attempt": "2"});
    stage.token(ISSUER, claims)
}

#[test]
fn the_github_workflow_runs() {
    let stage = Stage::set(ON_GITHUB);
    let id_token = run_of(&stage, "74");
    let outputs = github(&stage, &id_token);
    let names: Vec<_> = outputs.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["Install jitney", "Test", "Report", "End the run's task"]);
    outputs.iter().for_each(|(name, output)| drop(went_well(name, output)));
    for goal in ["test", "report"] {
        stage.made(goal, &format!("987.2/{goal}"));
        stage.never_seen(goal, &id_token);
        stage.never_seen(goal, "the-request-token");
    }
    stage.is_over(&id_token, "987.2");
    // What is installed is the program of this sum, or nothing.
    assert!(stage.at("home/.local/bin/jitney").exists());
}

#[test]
fn where_the_workflow_gets_no_token_it_says_why() {
    let stage = Stage::set(ON_GITHUB);
    let outputs = github(&stage, &run_of(&stage, "75"));
    let names: Vec<_> = outputs.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["Install jitney", "Test", "Why there is no token", "End the run's task"]);
    let told = String::from_utf8_lossy(&outputs[2].1.stdout);
    assert!(told.contains("repository_id 75") && told.contains("policies/workloads/"), "{told}");
    assert!(!stage.at("tokens/test").exists(), "nothing ran");
}

#[test]
fn a_program_that_is_not_the_one_that_was_named_is_not_installed() {
    let stage = Stage::set(ON_GITHUB);
    let workflow = &yaml("github/workflow.yml")[0];
    let install = named(&workflow["jobs"]["report"]["steps"], "Install jitney");
    let variables = [
        ("BINARY", Stage::program().0),
        ("SHA256", "0".repeat(64)),
        ("RUNNER_TEMP", stage.at("temp").display().to_string()),
        ("GITHUB_PATH", stage.at("path").display().to_string()),
    ];
    let variables = variables.map(|(name, value)| (name.to_owned(), value)).into();
    assert!(!stage.shell(text(&install["run"]), &variables).status.success());
    assert!(!stage.at("home/.local/bin/jitney").exists());
}

/// As much of GitLab's runner as the job needs: `before_script` and `script` in one shell, `after_script` in another.
fn gitlab(stage: &Stage, claims: Value) -> (Output, Output, String) {
    let job = &yaml("gitlab/gitlab-ci.yml")[0]["report"];
    let id_tokens = job["id_tokens"].as_object().unwrap();
    let (url, sum) = Stage::program();
    let mut variables: BTreeMap<String, String> = BTreeMap::from(
        [
            ("GITLAB_CI", "true"),
            ("CI_PIPELINE_ID", "574"),
            ("CI_JOB_ID", "302"),
            ("CI_JOB_TOKEN", "the-job-token"),
            ("JITNEY_BINARY", &url),
            ("JITNEY_SHA256", &sum),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned())),
    );
    for (name, asked) in id_tokens {
        variables.insert(name.clone(), stage.token(text(&asked["aud"]), claims.clone()));
    }
    for (name, value) in job["variables"].as_object().unwrap() {
        variables.insert(name.clone(), text(value).to_owned());
    }
    assert_eq!(variables["JITNEY_URL"], ISSUER);
    let lines = |names: &[&str]| -> String {
        // A job's own folder for what lies under /tmp.
        let lines = names.iter().flat_map(|name| list(&job[*name])).map(|line| format!("{}\n", text(line)));
        lines.collect::<String>().replace("/tmp/", &format!("{}/", stage.at("temp").display()))
    };
    let main = stage.shell(&lines(&["before_script", "script"]), &variables);
    let status = if main.status.success() { "success" } else { "failed" };
    let id_token = variables["JITNEY_ID_TOKEN"].clone();
    variables.insert("CI_JOB_STATUS".into(), status.into());
    (main, stage.shell(&lines(&["after_script"]), &variables), id_token)
}

const ON_GITLAB: &str = "claims = { project_id = \"20\", ref_protected = \"true\" }\ntask = \"{pipeline_id}.{job_id}\"";

#[test]
fn the_gitlab_job_runs() {
    let stage = Stage::set(ON_GITLAB);
    let claims = json!({"project_id": "20", "ref_protected": "true", "pipeline_id": "574", "job_id": "302"});
    let (main, after, id_token) = gitlab(&stage, claims);
    went_well("script", &main);
    assert_eq!(went_well("after_script", &after), "", "nothing to explain");
    for goal in ["test", "report"] {
        stage.made(goal, &format!("574.302/{goal}"));
        stage.never_seen(goal, &id_token);
        stage.never_seen(goal, "the-job-token");
    }
    stage.is_over(&id_token, "574.302");
}

#[test]
fn where_the_gitlab_job_gets_no_token_it_says_why() {
    let stage = Stage::set(ON_GITLAB);
    let claims =
        json!({"project_id": "20", "ref_protected": "false", "pipeline_id": "574", "job_id": "302", "ref": "topic"});
    let (main, after, _) = gitlab(&stage, claims);
    assert!(!main.status.success() && !stage.at("tokens/test").exists());
    let told = String::from_utf8_lossy(&after.stdout);
    assert!(told.contains("project_id 20") && told.contains("ref_protected false"), "{told}");
}

#[test]
fn the_pod_runs() {
    let documents = yaml("kubernetes/job.yaml");
    let pod = &document(&documents, "Job", "report")["spec"]["template"]["spec"];
    let container = named(&pod["containers"], "report");
    // The token lies where jitney looks for it.
    let volume = named(&pod["volumes"], "jitney");
    let projected = &volume["projected"]["sources"][0]["serviceAccountToken"];
    let mount = named(&container["volumeMounts"], "jitney");
    let place = format!("{}/{}", text(&mount["mountPath"]), text(&projected["path"]));
    assert_eq!(place, "/var/run/secrets/tokens/jitney");
    let account = document(&documents, "ServiceAccount", text(&pod["serviceAccountName"]));
    let sub = format!(
        "system:serviceaccount:{}:{}",
        text(&account["metadata"]["namespace"]),
        text(&account["metadata"]["name"])
    );
    let stage = Stage::set(&format!("claims = {{ sub = \"{sub}\" }}\ntask = \"{{kubernetes.io/pod/uid}}\""));
    let claims = json!({"sub": sub, "kubernetes.io": {"namespace": "shop", "pod": {"uid": "5e0bd49b-f040"}}});
    let shown = stage.token(text(&projected["audience"]), claims);
    fs::write(stage.at("projected"), &shown).unwrap();
    let mut variables: BTreeMap<String, String> = list(&container["env"])
        .iter()
        .map(|each| (text(&each["name"]).to_owned(), text(&each["value"]).to_owned()))
        .collect();
    assert_eq!(variables["JITNEY_URL"], ISSUER);
    // The folder for `jitney run` is one that may be written to.
    assert!(list(&container["volumeMounts"]).iter().any(|each| each["mountPath"] == variables["TMPDIR"].as_str()));
    for (name, value) in [("TMPDIR", stage.at("temp")), ("JITNEY_ASSERTION_FILE", stage.at("projected"))] {
        variables.insert(name.into(), value.display().to_string());
    }
    variables.insert("KUBERNETES_SERVICE_HOST".into(), "10.0.0.1".into());
    let words: Vec<String> = list(&container["command"]).iter().map(|word| quoted(text(word))).collect();
    let bin = Path::new(env!("CARGO_BIN_EXE_jitney")).parent().unwrap().display().to_string();
    let script = format!("export PATH=\"$PATH:{bin}\"\nexec {}", words.join(" "));
    went_well("the pod's command", &stage.shell(&script, &variables));
    stage.made("report", "5e0bd49b-f040");
    stage.never_seen("report", &shown);
    assert_eq!(fs::read_dir(stage.at("temp")).unwrap().count(), 0, "the token's file is gone");
    // Started again in the same pod, it is told that its task is over: the file says why it does not restart.
    assert_eq!(pod["restartPolicy"], "Never");
    let again = stage.shell(&script, &variables);
    assert!(String::from_utf8_lossy(&again.stderr).contains("invalid_grant"), "{again:?}");
}

fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// By the schemas that editors and linters use.
#[test]
fn github_and_gitlab_would_take_the_files() {
    let schema = |schema: &'static str| ["--builtin-schema", schema];
    python("check-jsonschema", &schema("vendor.github-workflows"), "github/workflow.yml");
    let gitlab = [&schema("vendor.gitlab-ci")[..], &["--data-transform", "gitlab-ci"]].concat();
    python("check-jsonschema", &gitlab, "gitlab/gitlab-ci.yml");
}

#[test]
fn files_name_no_other_place_than_each_other() {
    for (file, parts) in [
        ("github/workflow.yml", &["docs/github.md"][..]),
        ("gitlab/gitlab-ci.yml", &["docs/gitlab.md"]),
        ("kubernetes/job.yaml", &["docs/kubernetes.md"]),
        ("kubernetes/broker.yaml", &["docs/kubernetes.md", "docs/configuration.md"]),
        ("monitoring/alerts.yml", &["docs/operations.md", "deploy/kubernetes/broker.yaml"]),
        ("monitoring/servicemonitor.yaml", &["deploy/kubernetes/broker.yaml"]),
    ] {
        let text = fs::read_to_string(path(file)).unwrap();
        for part in parts {
            assert!(text.contains(part), "{file} does not name {part}");
            assert!(super::files::root().join(part).exists(), "{file} names {part}");
        }
    }
}
