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
fn a_token_that_is_refused_is_told_with_its_reason_and_with_no_line_that_lets_it_in() {
    let scene = Scene::of(ON_GITHUB);
    let (stranger, forged) = (Scene::of(ON_GITHUB), scene.platform.token(&Key::ec(), "p1", json!({"sub": "x"})));
    let socket = format!("unix:{}", scene.broker.data().join("admin.sock").display());
    let file = || {
        let patient = scene.patient();
        let path = patient.write("forged", &forged);
        patient.set("JITNEY_ASSERTION_FILE", path.to_str().unwrap())
    };
    let rows: [(&dyn Fn() -> Patient, &str, &str, &str); 4] = [
        (
            &|| scene.job(json!({"repository_id": "75"})).set("JITNEY_WORKLOAD", "job"),
            "job: repository_id wanted `74`, shown `75`",
            "its workload's owner decides",
            "repository_id = \"75\"",
        ),
        (
            &|| scene.job(json!({"environment": "staging"})),
            "job: environment wanted `production`, shown `staging`",
            "its workload's owner decides",
            "environment = \"staging\"",
        ),
        (
            &|| stranger.job(json!({})).set("JITNEY_URL", &scene.broker.url()),
            "no client proves itself by tokens of the issuer of repo:octo-org/octo-repo:environment:production of http://",
            "its workload's owner decides",
            "issuer = ",
        ),
        (&file, "is signed by none of that issuer's keys", "no claim in the policies mends that", "claims = "),
    ];
    for (patient, why_not, step, never) in rows {
        // Without the operators' socket what the token says is told, and whose decision it is.
        let alone = patient().finds(&ASK);
        alone.only(
            "authentication",
            &["proves no client"],
            &["is for that workload's owner to decide", "policies/workloads/"],
        );
        let known = patient().set("JITNEY_ADMIN", &socket).finds(&ASK);
        known.only("authentication", &["proves no client"], &["the broker's log says: ", why_not, step]);
        for mend in [alone.mend("authentication"), known.mend("authentication")] {
            assert!(!mend.contains(never) && !mend.contains("[[identity]] type"), "{mend}");
        }
        let told = why(&scene.broker, known.mend("authentication"));
        assert!(told.contains(why_not) && told.contains(step), "policy explain tells as much: {told}");
    }
}

#[test]
fn a_slip_in_the_name_of_the_workload_is_told_to_a_job_too() {
    let scene = Scene::of(ON_GITHUB);
    let socket = format!("unix:{}", scene.broker.data().join("admin.sock").display());
    let job = scene.job(json!({})).set("JITNEY_WORKLOAD", "jbo").set("JITNEY_ADMIN", &socket);
    job.finds(&ASK).only("authentication", &["proves no client"], &["did you mean JITNEY_WORKLOAD=job? otherwise, "]);
}

#[test]
fn a_token_that_begins_later_is_told_with_whose_clock_to_look_at() {
    let scene = Scene::of(ON_GITHUB);
    let mend = ["this machine's clock and the broker's are alike", "`nbf`"];
    scene.job(json!({"nbf": now() + 300})).finds(&ASK).only("authentication", &["is not valid yet"], &mend);
}

#[test]
fn a_token_that_names_no_task_is_told_with_whose_word_is_missing() {
    let scene = Scene::of(ON_GITHUB);
    let job = scene.job(json!({"run_id": null}));
    let mend = ["have the platform put that claim into its tokens", "`task`"];
    job.finds(&ASK).only("policy", &["the token has no claim run_id"], &mend);
}

#[test]
fn a_task_that_the_platform_does_not_attest_is_told_to_operators_as_to_the_caller() {
    let scene = Scene::of(ON_GITHUB);
    let run = json!({"repository_id": "74", "environment": "production", "run_id": "987", "run_attempt": "2"});
    let token = scene.platform.token(&scene.key, "p1", run);
    let answer = scene.broker.ask(&Ask::of("job").task("foo").assertion(token));
    let said = answer.field("error_description");
    assert!(said.starts_with("the platform attests the task 987.2, not foo"), "{said}");
    let line = scene.broker.decision(&answer.field("decision_id"));
    assert_eq!(
        (&line["detail"], &line["task"], &line["audience"]),
        (&json!(said), &json!("foo"), &json!(API)),
        "{line}"
    );
    let explain = format!("on the broker: jitney policy explain {}", answer.field("decision_id"));
    assert!(why(&scene.broker, &explain).contains(&format!("was refused: {said}")));
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
