//! Issuers that nobody here wrote: `oauth2-mock-server` (npm), over TLS, and `oidc-provider-mock` (PyPI), whose ID tokens come
//! of a login. Both sign what the platforms' own documents show, and the binary shows it as in such a job or pod.

use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::{Value, json};

use super::ambient::{ASK, printed, shell};
use super::claims::{github, gitlab, pod};
use super::common::{
    Backing, Broker, ISSUER, Platform, Program, Reply, Setup, Shelf, Token, base64url, from_base64url, now,
    workload_path,
};
use super::{by, platform_workload};

/// What each platform's workload is called, which rules its file has, and which task its documents are of.
const WORKLOADS: [(&str, &str, &str); 3] = [
    (
        "on-github",
        "claims = { repository_id = \"74\", environment = \"production\" }\ntask = \"{run_id}.{run_attempt}\"",
        "example-run-id.2",
    ),
    ("on-gitlab", "claims = { project_id = \"20\" }\ntask = \"{pipeline_id}.{job_id}\"", "574.302"),
    (
        "in-a-pod",
        "claims = { sub = \"system:serviceaccount:kube-system:coredns\" }\ntask = \"{kubernetes.io/pod/uid}\"",
        "778a530c-b3f4-47c0-9cd5-ab018fb64f33",
    ),
];

/// A broker that trusts this issuer on each platform's terms.
fn trusting(issuer: &str, more: impl FnOnce(Setup) -> Setup) -> Broker {
    let setup = Setup::default().set("JITNEY_FEDERATION_ALLOW_PRIVATE", issuer);
    let setup = WORKLOADS
        .iter()
        .fold(setup, |setup, (id, rules, _)| setup.policy(&workload_path(id), platform_workload(issuer, rules)));
    more(setup).start(&Backing::Embedded)
}

/// A certificate for this machine's name, its key, and the authority that signed it, in files below `dir`.
fn certificate(dir: &Path) -> [String; 3] {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let own = CertificateParams::new(["localhost".to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
    [("own.pem", own.pem()), ("own.key", key.serialize_pem()), ("authority.pem", authority.pem())].map(
        |(name, text)| {
            std::fs::write(dir.join(name), text).unwrap();
            dir.join(name).to_str().unwrap().to_owned()
        },
    )
}

/// `oauth2-mock-server`, and a broker that trusts it and its authority.
fn oauth2_mock_server(dir: &Path) -> (Program, Broker) {
    let [cert, key, authority] = certificate(dir);
    let files = [("TLS_CERT_FILE", cert.as_str()), ("TLS_KEY_FILE", &key)];
    let program = Program::start_of(&Shelf::ISSUERS, "oauth2-mock-server.mjs", &files);
    let issuer = program.step("listening")["issuer"].as_str().unwrap().to_owned();
    assert!(issuer.starts_with("https://localhost:"), "{issuer}");
    let broker = trusting(&issuer, |setup| setup.set("JITNEY_FEDERATION_CA_FILE", &authority));
    (program, broker)
}

/// `oidc-provider-mock` with these people, if claims make people, and a broker that trusts it.
fn oidc_provider_mock(people: &[Value]) -> (Program, Broker) {
    let people = json!(people).to_string();
    let program = Program::start_of(&Shelf::ISSUERS, "oidc-provider-mock.py", &[("USERS", &people)]);
    let broker = trusting(program.step("listening")["issuer"].as_str().unwrap(), |setup| setup);
    (program, broker)
}

/// A token of `oauth2-mock-server` with these claims, for the broker where they say nothing else.
fn signed(issuer: &mut Program, mut claims: Value) -> String {
    claims.as_object_mut().unwrap().entry("aud").or_insert_with(|| ISSUER.into());
    token(issuer, &json!({ "claims": claims }))
}

/// A token of an issuer's.
fn token(issuer: &mut Program, asked: &Value) -> String {
    issuer.tell(&asked.to_string());
    issuer.step("token")["token"].as_str().unwrap().to_owned()
}

/// Runs the binary in each platform's surroundings, where the platform gives these tokens: each gets a token of its own
/// run, its command alone has it, and the run is over afterwards.
fn each_platform_s_job_runs(broker: &Broker, tokens: [&str; 3]) {
    let actions = Platform::http();
    let path = "/idtoken?api-version=2.0&audience=https%3A%2F%2Fbroker.example.com";
    actions.answer(path, Reply::Json(json!({"count": 1, "value": tokens[0]})));
    let url = format!("{}/idtoken?api-version=2.0", actions.url());
    let file = broker.data().join("projected");
    std::fs::write(&file, tokens[2]).unwrap();
    let surroundings: [&[(&str, &str)]; 3] = [
        &[("ACTIONS_ID_TOKEN_REQUEST_URL", &url), ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "of-the-job")],
        &[("GITLAB_CI", "true"), ("JITNEY_ID_TOKEN", tokens[1])],
        &[("KUBERNETES_SERVICE_HOST", "10.0.0.1"), ("JITNEY_ASSERTION_FILE", file.to_str().unwrap())],
    ];
    let command = ["--", "sh", "-c", "cat \"$JITNEY_TOKEN_FILE\""];
    for ((workload, _, task), surroundings) in WORKLOADS.iter().zip(surroundings) {
        let words = [&["run"][..], &ASK, &command].concat();
        let given = Token::read(&printed(&shell(broker, surroundings, &words)));
        assert_eq!((given.claim("sub"), given.claim("txn")), ((*workload).to_owned(), (*task).to_owned()));
        assert!(!broker.stands(&given), "{workload}: its task has ended");
    }
}

/// The same token with another claim in it, under the signature that it had.
fn tampered(token: &str, name: &str, value: &str) -> String {
    let parts: Vec<&str> = token.split('.').collect();
    let mut claims: Value = serde_json::from_slice(&from_base64url(parts[1])).unwrap();
    claims[name] = value.into();
    format!("{}.{}.{}", parts[0], base64url(claims.to_string()), parts[2])
}

/// What is wrong in a token itself is named; who is trusted is not, and the reason is in the audit log.
fn refused(broker: &Broker, token: &str, named: &str, audited: &str) {
    let answer = broker.ask(&by(token));
    assert_eq!(answer.outcome(), (401, "invalid_client".into()), "{named}: {}", answer.text());
    assert!(answer.field("error_description").contains(named), "{named}: {}", answer.text());
    let line = broker.decision(&answer.field("decision_id"));
    assert!(line["detail"].as_str().unwrap_or_default().contains(audited), "{audited}: {line}");
}

/// What the broker says of a token that fits nobody.
const NOBODY: &str = "proves no client of this broker";

#[test]
fn oauth2_mock_server_s_tokens_count_on_each_platform_s_terms() {
    let dir = tempfile::tempdir().unwrap();
    let (mut issuer, broker) = oauth2_mock_server(dir.path());
    // A pod's token names its audience in a list.
    let documents = [github(&json!({})), gitlab(&json!({})), pod(&json!({"aud": [ISSUER]}))];
    let tokens = documents.map(|claims| signed(&mut issuer, claims));
    each_platform_s_job_runs(&broker, [&tokens[0], &tokens[1], &tokens[2]]);
    issuer.ends();
}

#[test]
fn oauth2_mock_server_s_other_tokens_count_for_nothing_and_its_new_keys_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let (mut issuer, broker) = oauth2_mock_server(dir.path());
    let mut of = |claims: Value| signed(&mut issuer, claims);
    let run = |id: &str| json!({"run_id": id});
    broker.granted(&by(&of(github(&run("1")))));
    refused(&broker, &of(github(&json!({"aud": "https://github.com/octo-org"}))), "aud", "");
    refused(&broker, &of(github(&json!({"repository_id": "75"}))), NOBODY, "on-github: repository_id");
    refused(&broker, &of(gitlab(&json!({"project_id": "21"}))), NOBODY, "on-gitlab: project_id");
    refused(&broker, &of(pod(&json!({"sub": "system:serviceaccount:mallory:coredns"}))), NOBODY, "in-a-pod: sub");
    let past = now() - 120;
    refused(&broker, &of(github(&json!({"iat": past - 300, "nbf": past - 300, "exp": past}))), "expired", "");
    refused(&broker, &of(github(&json!({"nbf": now() + 120}))), "not valid yet", "");
    let good = of(github(&run("2")));
    refused(&broker, &tampered(&good, "run_id", "3"), NOBODY, "bad_signature");
    broker.granted(&by(&good));
    // A key that is not known yet is asked for at once.
    issuer.tell(&json!({"rotate": "ES256"}).to_string());
    issuer.step("rotated");
    assert_eq!(broker.granted(&by(&signed(&mut issuer, github(&run("4"))))).claim("txn"), "4.2");
    issuer.ends();
}

#[test]
fn oauth2_mock_server_signs_by_every_algorithm_that_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let (mut issuer, broker) = oauth2_mock_server(dir.path());
    // Before it is asked for its keys, so that it is asked once.
    let shown = ["PS256", "ES256", "EdDSA"].map(|alg| {
        issuer.tell(&json!({ "rotate": alg }).to_string());
        issuer.step("rotated");
        (alg, signed(&mut issuer, github(&json!({"run_id": alg}))))
    });
    for (alg, shown) in shown {
        assert_eq!(broker.granted(&by(&shown)).claim("txn"), format!("{alg}.2"));
    }
    issuer.ends();
}

#[test]
fn oidc_provider_mock_s_logins_count_on_each_platform_s_terms() {
    let people = [github(&json!({})), gitlab(&json!({})), pod(&json!({}))];
    let (mut issuer, broker) = oidc_provider_mock(&people);
    let tokens = people.map(|claims| token(&mut issuer, &json!({"sub": claims["sub"], "aud": ISSUER})));
    each_platform_s_job_runs(&broker, [&tokens[0], &tokens[1], &tokens[2]]);
    issuer.ends();
}

#[test]
fn oidc_provider_mock_s_other_logins_count_for_nothing() {
    let other = json!({"sub": "other", "repository_id": "75"});
    let ended = json!({"sub": "ended", "exp": now() - 120, "iat": now() - 300});
    let people = [github(&json!({})), github(&other), github(&ended)];
    let (mut issuer, broker) = oidc_provider_mock(&people);
    let mut of = |sub: &Value, aud: &str| token(&mut issuer, &json!({ "sub": sub, "aud": aud }));
    let good = of(&people[0]["sub"], ISSUER);
    broker.granted(&by(&good));
    refused(&broker, &of(&people[0]["sub"], "https://another-broker.example.com"), "aud", "");
    refused(&broker, &of(&json!("other"), ISSUER), NOBODY, "on-github: repository_id");
    refused(&broker, &of(&json!("ended"), ISSUER), "expired", "");
    refused(&broker, &tampered(&good, "run_id", "3"), NOBODY, "bad_signature");
    issuer.ends();
}
