//! The guardrails of `deploy/ci`, run: a repository, a change of its policies, and what the pipelines and the hook make of it.
//! Only `gh` and `gitleaks` are made up here: they write down what they are asked.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use super::files::{list, path, read, root, text, yaml};

/// A permit for every workload: found by the check, and access that widens.
const WIDE: &str = "@id(\"all\")\npermit (principal, action == Jitney::Action::\"mint\", resource in \
                    Jitney::Audience::\"https://orders.example.com\");\n";

/// A repository with the example policies, and a machine to run things on.
struct Stage {
    dir: tempfile::TempDir,
}

impl Stage {
    fn set() -> Self {
        let stage = Self { dir: tempfile::tempdir().unwrap() };
        for folder in ["bin", "home", "temp", "repo"] {
            fs::create_dir(stage.at(folder)).unwrap();
        }
        for name in ["gh", "gitleaks"] {
            // Beside where it is made, wherever it is installed.
            let at = stage.at("bin").join(name).display().to_string();
            let program =
                format!("#!/bin/sh\nprintf '%s\\n' \"$@\" > \"{at}.asked\"\ncat \"{at}.known\" 2> /dev/null || true\n");
            stage.program(name, &program);
        }
        stage.shell("git init -q . && cp -rL \"$SOURCE\" policies", &[("SOURCE", root().join("policies").display())]);
        stage.commit("the policies");
        stage
    }

    fn at(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    fn program(&self, name: &str, text: &str) {
        let at = self.at("bin").join(name);
        fs::write(&at, text).unwrap();
        fs::set_permissions(at, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn write(&self, file: &str, text: &str) {
        fs::write(self.at("repo").join(file), text).unwrap();
    }

    /// Commits all there is; the commit's hash.
    fn commit(&self, what: &str) -> String {
        let script = "git add -A && git commit -q --no-verify -m \"$WHAT\" && git rev-parse HEAD";
        said(&self.shell(script, &[("WHAT", what)])).trim().to_owned()
    }

    /// A shell as a runner starts it, in the repository: nothing but these variables.
    fn run<N: AsRef<str>, V: ToString>(&self, script: &str, variables: &[(N, V)]) -> Output {
        let mut command = Command::new("bash");
        command.args(["--noprofile", "--norc", "-eo", "pipefail", "-c", script]).env_clear().stdin(Stdio::null());
        let path = format!("{}:/usr/local/bin:/usr/bin:/bin", self.at("bin").display());
        command.env("PATH", path).env("HOME", self.at("home")).env("RUNNER_TEMP", self.at("temp"));
        for role in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{role}_NAME"), "Ada").env(format!("GIT_{role}_EMAIL"), "ada@example.com");
        }
        command.envs(variables.iter().map(|(name, value)| (name.as_ref(), value.to_string())));
        command.current_dir(self.at("repo")).output().unwrap()
    }

    #[track_caller]
    fn shell<V: ToString>(&self, script: &str, variables: &[(&str, V)]) -> Output {
        let output = self.run(script, variables);
        assert!(output.status.success(), "{script}\n{}{}", said(&output), told(&output));
        output
    }

    /// What a program of this test's was asked.
    fn asked(&self, name: &str) -> Vec<String> {
        let asked = fs::read_to_string(self.at("bin").join(format!("{name}.asked"))).unwrap_or_default();
        asked.lines().map(str::to_owned).collect()
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Where the program is to be had, and which one it must be.
fn program(path: &std::path::Path) -> [String; 2] {
    let sum = Command::new("sha256sum").arg(path).output().unwrap();
    [format!("file://{}", path.display()), said(&sum).split(' ').next().unwrap().to_owned()]
}

fn variables(stage: &Stage) -> BTreeMap<&'static str, String> {
    let [jitney, jitney_sum] = program(env!("CARGO_BIN_EXE_jitney").as_ref());
    let [gitleaks, gitleaks_sum] = program(&stage.at("bin/gitleaks"));
    BTreeMap::from([
        ("JITNEY_BINARY", jitney),
        ("JITNEY_SHA256", jitney_sum),
        ("GITLEAKS_BINARY", gitleaks),
        ("GITLEAKS_SHA256", gitleaks_sum),
    ])
}

/// As much of GitHub's runner as a job of the workflow needs. Gives each step's output, by name, and the job's outputs.
fn github(stage: &Stage, job: &str, base: &str, head: &str) -> (BTreeMap<String, Output>, BTreeMap<String, String>) {
    let workflow = &yaml("ci/github.yml")[0];
    let variables = variables(stage);
    let known = |name: &str| match name {
        "github.event.pull_request.base.sha" => base.to_owned(),
        "github.event.pull_request.head.sha" => head.to_owned(),
        "github.event.pull_request.number" => "7".to_owned(),
        "github.repository" => "example/shop".to_owned(),
        "github.token" => "a-token".to_owned(),
        "needs.policies.outputs.body" => "## Who gains what\n`$(touch pwned)`".to_owned(),
        name => variables[name.strip_prefix("vars.").unwrap_or_else(|| panic!("{name}"))].clone(),
    };
    let filled = |text: &str| match text.strip_prefix("${{ ").and_then(|rest| rest.strip_suffix(" }}")) {
        Some(name) => known(name),
        None => text.to_owned(),
    };
    let job = &workflow["jobs"][job];
    let env_of = |of: &Value| -> Vec<(String, String)> {
        of.as_object().into_iter().flatten().map(|(name, value)| (name.clone(), filled(text(value)))).collect()
    };
    let (mut outputs, mut has_failed, mut told) = (BTreeMap::new(), false, BTreeMap::new());
    for step in list(&job["steps"]).iter().filter(|step| step["run"].is_string()) {
        let runs = match step["if"].as_str() {
            None => !has_failed,
            Some("${{ !cancelled() }}") => true,
            Some(other) => panic!("{other}"),
        };
        if !runs {
            continue;
        }
        let mut own = [env_of(&job["env"]), env_of(&step["env"])].concat();
        for (name, file) in [("GITHUB_PATH", "path"), ("GITHUB_OUTPUT", "output"), ("GITHUB_STEP_SUMMARY", "summary")] {
            own.push((name.to_owned(), stage.at("temp").join(file).display().to_string()));
        }
        let added = fs::read_to_string(stage.at("temp/path")).unwrap_or_default();
        let path = added.lines().map(|line| format!("export PATH='{line}':\"$PATH\"\n")).collect::<String>();
        let output = stage.run(&format!("{path}{}", text(&step["run"])), &own);
        has_failed |= !output.status.success();
        outputs.insert(text(&step["name"]).to_owned(), output);
    }
    let lines = fs::read_to_string(stage.at("temp/output")).unwrap_or_default();
    if let Some((name, rest)) = lines.split_once("<<") {
        let (mark, rest) = rest.split_once('\n').unwrap();
        let (value, behind) = rest.split_once(&format!("\n{mark}\n")).expect("the text ends at its mark");
        assert_eq!(behind, "", "and nothing stands behind it");
        told.insert(name.to_owned(), value.to_owned());
    }
    (outputs, told)
}

/// Fork-safe, and no more rights than each job needs.
#[test]
fn the_workflow_hands_nothing_to_what_it_checks() {
    let file = read("ci/github.yml");
    assert!(file.lines().all(|line| line.trim_start().starts_with('#') || !line.contains("pull_request_target")));
    let workflow = &yaml("ci/github.yml")[0];
    // YAML 1.1 reads `on` as true.
    assert_eq!(workflow["true"].as_object().unwrap().keys().collect::<Vec<_>>(), ["pull_request"]);
    assert_eq!(workflow["permissions"], json!({}), "what a job does not ask for it has not");
    for (name, job) in workflow["jobs"].as_object().unwrap() {
        let uses: Vec<&str> = list(&job["steps"]).iter().filter_map(|step| step["uses"].as_str()).collect();
        let wanted = if name == "comment" { json!({"pull-requests": "write"}) } else { json!({"contents": "read"}) };
        assert_eq!(job["permissions"], wanted, "{name}");
        assert_eq!(uses.is_empty(), name == "comment", "{name}: who may write checks nothing out");
        for action in uses {
            let (_, commit) = action.split_once('@').unwrap();
            assert!(commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit()), "{action}");
        }
        for step in list(&job["steps"]) {
            // What is filled in by the runner would be read as commands.
            assert!(!step["run"].as_str().unwrap_or_default().contains("${{"), "{step}");
            if step["uses"].is_string() {
                assert_eq!(step["with"]["persist-credentials"], false, "{name}");
            }
        }
    }
    let comment = text(&workflow["jobs"]["comment"]["if"]);
    assert!(comment.contains("github.event.pull_request.head.repo.full_name == github.repository"), "{comment}");
}

#[test]
fn a_change_that_is_well_passes_on_github_and_is_told() {
    let stage = Stage::set();
    let base = said(&stage.shell("git rev-parse HEAD", &[("A", "")])).trim().to_owned();
    stage.write("policies/README.md", "Ours.\n");
    let head = stage.commit("says whose they are");
    let (steps, outputs) = github(&stage, "policies", &base, &head);
    for (name, output) in &steps {
        assert!(output.status.success(), "{name}: {}{}", said(output), told(output));
    }
    assert_eq!(steps.keys().collect::<Vec<_>>(), ["Check", "Diff", "Install jitney", "Show", "Test"]);
    let summary = fs::read_to_string(stage.at("temp/summary")).unwrap();
    assert!(!summary.trim().is_empty() && summary.starts_with(outputs["body"].trim_end()), "{summary}");
    let (steps, _) = github(&stage, "secrets", &base, &head);
    assert!(steps["Scan"].status.success());
    assert_eq!(stage.asked("gitleaks"), ["git", "--no-banner", "--redact", &format!("--log-opts={base}..{head}")]);
}

#[test]
fn a_change_that_widens_is_shown_at_its_line_and_stopped_on_github() {
    let stage = Stage::set();
    let base = said(&stage.shell("git rev-parse HEAD", &[("A", "")])).trim().to_owned();
    stage.write("policies/all.cedar", WIDE);
    let head = stage.commit("everybody may do everything");
    let (steps, outputs) = github(&stage, "policies", &base, &head);
    let check = &steps["Check"];
    assert_eq!(check.status.code(), Some(1), "{}", told(check));
    let found = said(check);
    assert!(found.contains("::warning file=policies/all.cedar,line=2,title=principal-any::"), "{found}");
    assert_eq!(steps["Diff"].status.code(), Some(3), "{}", told(&steps["Diff"]));
    // A case of the example organisation says that somebody may not do this; the steps behind it run all the same.
    assert_eq!(steps["Test"].status.code(), Some(1), "{}", told(&steps["Test"]));
    assert!(steps["Show"].status.success());
    assert!(outputs["body"].contains("all"), "{outputs:?}");
    // There is no comment yet; then there is.
    for (known, method, path) in [("", "POST", "issues/7/comments"), ("42\n43\n", "PATCH", "issues/comments/42")] {
        fs::write(stage.at("bin/gh.known"), known).unwrap();
        let (steps, _) = github(&stage, "comment", &base, &head);
        assert!(steps["Comment"].status.success(), "{}", told(&steps["Comment"]));
        let asked = stage.asked("gh").join(" ");
        let body = stage.at("temp/body.md");
        let wanted =
            format!("api --silent --method {method} repos/example/shop/{path} --field body=@{}", body.display());
        assert_eq!(asked, wanted);
        let body = fs::read_to_string(body).unwrap();
        assert_eq!(body, "<!-- jitney policies -->\n## Who gains what\n`$(touch pwned)`\n");
    }
    assert!(!stage.at("repo/pwned").exists(), "a text is no command");
}

#[test]
fn what_a_file_of_a_change_says_is_no_command_to_the_runner() {
    let stage = Stage::set();
    let base = said(&stage.shell("git rev-parse HEAD", &[("A", "")])).trim().to_owned();
    stage.write("policies/workloads/evil.toml", "\"x\\n::stop-commands::y\\n::error file=a,line=1::z\" = 1\n");
    stage.write("policies/workloads/a,b%0A::error::.toml", "owner = 1\n");
    let head = stage.commit("a trap");
    let (steps, outputs) = github(&stage, "policies", &base, &head);
    let found = said(&steps["Check"]);
    assert!(!found.is_empty());
    for line in found.lines() {
        let rest = ["::error file=policies/", "::warning file=policies/", "::notice file=policies/"]
            .iter()
            .find_map(|head| line.strip_prefix(head))
            .unwrap_or_else(|| panic!("{line}"));
        let (file, _) = rest.split_once(",line=").unwrap();
        assert!(!file.contains([':', ',']), "{line}");
    }
    assert_eq!(outputs["body"].trim(), "The policies could not be compared: the job's log says why.");
}

/// As much of GitLab's runner as a job needs: all lines in one shell.
fn gitlab(stage: &Stage, job: &str, base: &str, head: &str) -> Output {
    let job = &yaml("ci/gitlab.yml")[0][job];
    let mut variables: Vec<(String, String)> =
        variables(stage).into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let own = job["variables"].as_object().unwrap();
    variables.extend(own.iter().map(|(name, value)| (name.clone(), text(value).to_owned())));
    variables.push(("CI_MERGE_REQUEST_DIFF_BASE_SHA".into(), base.into()));
    variables.push(("CI_COMMIT_SHA".into(), head.into()));
    let lines = [&job["before_script"], &job["script"]].into_iter().flat_map(list).map(text);
    // What a fresh image lacks is there.
    let lines: Vec<&str> = lines.filter(|line| !line.starts_with("apt-get ")).collect();
    let script = lines.join("\n").replace("/tmp/", &format!("{}/", stage.at("temp").display()));
    stage.run(&script, &variables)
}

#[test]
fn the_gitlab_jobs_run_and_their_report_is_one_on_code_quality() {
    let stage = Stage::set();
    let base = said(&stage.shell("git rev-parse HEAD", &[("A", "")])).trim().to_owned();
    stage.write("policies/README.md", "Ours.\n");
    let head = stage.commit("says whose they are");
    let output = gitlab(&stage, "policies", &base, &head);
    assert!(output.status.success(), "{}{}", said(&output), told(&output));
    stage.write("policies/all.cedar", WIDE);
    let head = stage.commit("everybody may do everything");
    let output = gitlab(&stage, "policies", &base, &head);
    assert_eq!(output.status.code(), Some(1), "{}{}", said(&output), told(&output));
    let job = &yaml("ci/gitlab.yml")[0]["policies"];
    let file = |name: &Value| fs::read_to_string(stage.at("repo").join(text(name))).unwrap();
    let report: Value = serde_json::from_str(&file(&job["artifacts"]["reports"]["codequality"])).unwrap();
    let found = list(&report);
    assert!(found.iter().any(|each| each["check_name"] == "principal-any"
        && each["location"] == json!({"path": "policies/all.cedar", "lines": {"begin": 2}})
        && each["severity"] == "major"));
    let mut prints: Vec<&str> = found.iter().map(|each| text(&each["fingerprint"])).collect();
    prints.dedup();
    assert_eq!(prints.len(), found.len(), "each finding is told apart");
    assert!(file(&job["artifacts"]["paths"][0]).contains("all"));
    let output = gitlab(&stage, "secrets", &base, &head);
    assert!(output.status.success(), "{}", told(&output));
    assert_eq!(stage.asked("gitleaks")[3], format!("--log-opts={base}..{head}"));
}

#[test]
fn the_hook_looks_at_what_is_staged_and_at_nothing_else() {
    let stage = Stage::set();
    stage.shell("ln -s \"$JITNEY\" ../bin/jitney", &[("JITNEY", env!("CARGO_BIN_EXE_jitney"))]);
    stage.shell("install -m 755 \"$HOOK\" .git/hooks/pre-commit", &[("HOOK", path("ci/pre-commit").display())]);
    let commit = || stage.run("git commit -m change", &[("A", "")]);
    // Nothing of the policies.
    stage.shell("echo x > else && git add else", &[("A", "")]);
    assert!(commit().status.success());
    assert_eq!(stage.asked("gitleaks"), ["git", "--pre-commit", "--staged", "--redact", "--no-banner"]);
    // What is staged is wrong, and what lies in the folder is not.
    stage.write("policies/all.cedar", WIDE);
    stage.shell("git add -A && rm policies/all.cedar", &[("A", "")]);
    let output = commit();
    assert!(!output.status.success() && told(&output).contains("principal-any"), "{}", told(&output));
    // Where somebody can open it, not where the hook has put it aside.
    let is_plain = |output: &Output| {
        let all = said(output) + &told(output);
        assert!(!all.contains("/after/") && !all.contains(std::env::temp_dir().to_str().unwrap()), "{all}");
    };
    assert!(told(&output).contains("--> policies/all.cedar:2:"), "{}", told(&output));
    is_plain(&output);
    // And the other way round.
    stage.shell("git reset -q", &[("A", "")]);
    stage.write("policies/README.md", "Ours.\n");
    stage.shell("git add policies/README.md", &[("A", "")]);
    stage.write("policies/all.cedar", WIDE);
    let output = commit();
    assert!(output.status.success(), "{}{}", said(&output), told(&output));
    assert!((said(&output) + &told(&output)).contains("No access changes"), "{}{}", said(&output), told(&output));
    is_plain(&output);
    // The framework runs the same file.
    let hook = &yaml("ci/pre-commit-config.yaml")[0]["repos"][0]["hooks"][0];
    assert_eq!((text(&hook["entry"]), text(&hook["language"])), (".ci/pre-commit", "script"));
}
