//! `doctor` inside a job and inside a pod: what their tokens say, and for each way to set one up wrongly the line that mends it.

use serde_json::{Value, json};

use super::patient::{ASK, Findings, Patient};
use crate::common::{API, Ask, Backing, Broker, ISSUER, Key, Platform, Reply, Setup, jitney, now, workload_path};

const ON_GITHUB: &str =
    "claims = { repository_id = \"74\", environment = \"production\" }\ntask = \"{run_id}.{run_attempt}\"";
const IN_A_POD: &str = "claims = { sub = \"system:serviceaccount:shop:report\" }\ntask = \"{kubernetes.io/pod/uid}\"";

/// A platform, its key, and a broker that trusts it in these words of the workload's file.
struct Scene {
    platform: Platform,
    key: Key,
    broker: Broker,
}

fn file(issuer: &str, rules: &str) -> String {
    format!(
        "owner = \"o@example.com\"\npurpose = \"Tests\"\nexpires = 2099-12-31\n\n[[identity]]\ntype = \"oidc\"\nissuer = \
         \"{issuer}\"\n{rules}\n"
    )
}

impl Scene {
    fn of(rules: &str) -> Self {
        let (platform, key) = (Platform::http(), Key::rsa());
        platform.publish(&[(&key, "p1")]);
        let setup = Setup::default().set("JITNEY_FEDERATION_ALLOW_PRIVATE", platform.url());
        let broker = setup.policy(&workload_path("job"), file(platform.url(), rules)).start(&Backing::Embedded);
        Self { platform, key, broker }
    }

    /// Nobody but for what a platform gives.
    fn patient(&self) -> Patient {
        Patient::at(&self.broker.url(), "job").without("JITNEY_KEY_FILE").without("JITNEY_WORKLOAD")
    }

    /// A job of GitHub's whose token says this over what a good one says.
    fn job(&self, over: Value) -> Patient {
        let mut claims = json!({
            "sub": "repo:octo-org/octo-repo:environment:production", "repository_id": "74", "environment": "production",
            "ref": "refs/heads/main", "event_name": "push", "run_id": "987", "run_attempt": "2",
        });
        over.as_object().unwrap().iter().for_each(|(name, value)| claims[name] = value.clone());
        let path = "/idtoken?api-version=2.0&audience=https%3A%2F%2Fbroker.example.com";
        let token = self.platform.token(&self.key, "p1", claims);
        self.platform.answer(path, Reply::Json(json!({"value": token})));
        self.patient()
            .set("GITHUB_ACTIONS", "true")
            .set("ACTIONS_ID_TOKEN_REQUEST_URL", &format!("{}/idtoken?api-version=2.0", self.platform.url()))
            .set("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "the-request-token-of-this-very-job")
    }

    /// A pod whose projected token says this over what a good one says.
    fn pod(&self, over: Value) -> Patient {
        let mut claims = json!({
            "sub": "system:serviceaccount:shop:report", "aud": [ISSUER],
            "kubernetes.io": {"namespace": "shop", "pod": {"name": "report-7", "uid": "5e0bd49b-f040"}},
        });
        over.as_object().unwrap().iter().for_each(|(name, value)| claims[name] = value.clone());
        let patient = self.patient().set("KUBERNETES_SERVICE_HOST", "10.0.0.1");
        let token = patient.write("jitney", &self.platform.token(&self.key, "p1", claims));
        patient.set("JITNEY_ASSERTION_FILE", token.to_str().unwrap())
    }

    /// Whether the task of the run takes leases: asked as the very job would.
    fn takes(&self, task: &str, over: Value) -> bool {
        let token = self.platform.token(&self.key, "p1", over);
        self.broker.ask(&Ask::of("job").task(task).assertion(token)).status == 200
    }
}

/// What the token says is told, of the run's own task nothing is touched.
#[track_caller]
fn well(findings: &Findings, told: &[&str], task: &str) {
    findings.are("fail", &[]).are("skipped", &[]);
    for part in told {
        assert!(findings.detail("identity").contains(part), "{part}: {findings:#?}");
    }
    assert!(findings.detail("policy").contains(&format!("as {task}/doctor-")), "{findings:#?}");
}

#[test]
fn in_a_github_job_that_works_the_token_is_told_and_the_run_goes_on() {
    let scene = Scene::of(ON_GITHUB);
    let iss =
        format!("iss {}, sub repo:octo-org/octo-repo:environment:production, aud {ISSUER}, exp ", scene.platform.url());
    let told = ["GitHub Actions", &iss, "repository_id 74", "environment production"];
    well(&scene.job(json!({})).finds(&ASK), &told, "987.2");
    let run = json!({"repository_id": "74", "environment": "production", "run_id": "987", "run_attempt": "2"});
    assert!(scene.takes("987.2", run), "the run's own task was not completed");
    let (code, told) = scene.job(json!({})).hears(&[]);
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains(&iss), "{told}");
}

#[test]
fn in_a_pod_that_works_the_token_is_told_and_the_pod_s_task_goes_on() {
    let scene = Scene::of(IN_A_POD);
    let iss = format!("iss {}, sub system:serviceaccount:shop:report, aud {ISSUER}, exp ", scene.platform.url());
    well(&scene.pod(json!({})).finds(&ASK), &["JITNEY_ASSERTION_FILE", &iss], "5e0bd49b-f040");
    let pod = json!({"sub": "system:serviceaccount:shop:report", "kubernetes.io": {"pod": {"uid": "5e0bd49b-f040"}}});
    assert!(scene.takes("5e0bd49b-f040", pod));
}

#[test]
fn a_wrong_audience_is_told_with_the_line_of_the_pod_or_the_job() {
    let scene = Scene::of(IN_A_POD);
    let pod = scene.pod(json!({"aud": ["https://kubernetes.default.svc"]}));
    let findings = pod.finds(&ASK);
    findings.only(
        "authentication",
        &["aud must be this broker's issuer"],
        &["serviceAccountToken: { audience: https://broker.example.com, path: jitney }"],
    );
    // To take tokens for the cluster's own API is no mend.
    assert!(!findings.mend("authentication").contains("kubernetes.default.svc"), "{findings:#?}");
    let token =
        scene.platform.token(&scene.key, "p1", json!({"aud": "https://gitlab.example.com", "project_id": "20"}));
    let job = scene.patient().set("GITLAB_CI", "true").set("JITNEY_ID_TOKEN", &token);
    let mend = ["id_tokens: { JITNEY_ID_TOKEN: { aud: https://broker.example.com } }"];
    job.finds(&ASK).only("authentication", &["aud must be this broker's issuer"], &mend);
    let svid = scene.patient();
    let file = svid.write("svid", &scene.platform.token(&scene.key, "p1", json!({"aud": "spiffe://example.org"})));
    let svid = svid.set("JITNEY_ASSERTION_FILE", file.to_str().unwrap());
    let mend = ["whose aud is https://broker.example.com", "audience = \"spiffe://example.org\""];
    svid.finds(&ASK).only("authentication", &["aud must be this broker's issuer"], &mend);
}

#[test]
fn a_job_that_may_not_ask_for_a_token_is_told_its_permission() {
    let scene = Scene::of(ON_GITHUB);
    let job = scene.patient().set("GITHUB_ACTIONS", "true");
    job.finds(&ASK).only(
        "identity",
        &["ACTIONS_ID_TOKEN_REQUEST_URL is not set"],
        &["permissions: { id-token: write }"],
    );
}

#[test]
fn an_issuer_that_is_not_trusted_is_told_with_the_identity_that_is_missing() {
    let scene = Scene::of(ON_GITHUB);
    let stranger = Scene::of(ON_GITHUB);
    let job = stranger.job(json!({})).set("JITNEY_URL", &scene.broker.url());
    let issuer = format!("issuer = \"{}\"", stranger.platform.url());
    let findings = job.finds(&ASK);
    findings.only("authentication", &["proves no client"], &["policies/workloads/ID.toml", &issuer]);
    assert!(why(&scene.broker, findings.mend("authentication")).contains("unknown_issuer"));
}

#[test]
fn another_repository_is_told_with_the_lines_under_which_it_would_be_known() {
    let scene = Scene::of(ON_GITHUB);
    let job = || scene.job(json!({"repository_id": "75"})).set("JITNEY_WORKLOAD", "job");
    let findings = job().finds(&ASK);
    let claims = "claims = { repository_id = \"75\", environment = \"production\" }";
    findings.only("authentication", &["proves no client"], &["policies/workloads/job.toml", claims]);
    let mend = findings.mend("authentication");
    assert!(why(&scene.broker, mend).contains("job: repository_id"), "{mend}");
    // What is told is what mends it.
    let (_, lines) = mend.split_once("it would be: ").unwrap();
    let lines = lines.split_once("; why").unwrap().0.replace(", issuer", "\nissuer").replace(", claims", "\nclaims");
    let text =
        format!("owner = \"o\"\npurpose = \"p\"\nexpires = 2099-12-31\n[[identity]]\n{lines}\ntask = \"{{run_id}}\"\n");
    std::fs::write(scene.broker.policy(&workload_path("job")), text).unwrap();
    scene.broker.operator("/admin/v1/policies/reload", json!({})).expect(200);
    job().finds(&ASK).are("fail", &[]);
}

#[test]
fn a_projected_token_that_has_expired_is_told() {
    let scene = Scene::of(IN_A_POD);
    let pod = scene.pod(json!({"exp": now() - 60, "iat": now() - 3660}));
    pod.finds(&ASK).only("identity", &["has expired", "sub system:serviceaccount:shop:report"], &["fresh token"]);
}

#[test]
fn a_run_whose_task_an_earlier_step_ended_is_told_to_name_children() {
    let scene = Scene::of(ON_GITHUB);
    let job = scene.job(json!({}));
    let surroundings = job.settings();
    let words = [&["run"][..], &ASK, &["--", "true"]].concat();
    let surroundings: Vec<_> = surroundings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(jitney(&scene.broker.data(), &surroundings, &words).status.code(), Some(0));
    job.finds(&["--audience", API, "--scope", "orders:read"]).only(
        "policy",
        &["has ended"],
        &["have each step name a child of it", "--task RUN/STEP"],
    );
}

/// Runs the command that a mend names for the broker's operator, and gives the line of the audit log that it finds.
fn why(broker: &Broker, mend: &str) -> String {
    let (_, command) = mend.rsplit_once("on the broker: ").unwrap();
    let path =
        format!("{}:{}", env!("CARGO_BIN_EXE_jitney").rsplit_once('/').unwrap().0, std::env::var("PATH").unwrap());
    let socket = format!("unix:{}", broker.data().join("admin.sock").display());
    let mut shell = crate::common::clean("sh");
    let output = shell.args(["-c", command]).env("PATH", path).env("JITNEY_ADMIN", socket).output().unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
