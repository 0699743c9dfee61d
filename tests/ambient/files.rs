//! A token in a file: a pod's, projected and rotated by the kubelet; a JWT-SVID, kept fresh by a SPIFFE helper.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::fake::broker::{Broker, Manner};
use super::{ASK, TOKEN, fake, jitney, printed, run, shown, text};

fn pod_of(claims: &Value) -> String {
    claims["kubernetes.io"]["pod"]["uid"].as_str().unwrap().to_owned()
}

/// A volume as a kubelet lays it out: a link to a file below a link, and that one is turned.
struct Volume(PathBuf);

impl Volume {
    fn new(below: &Path) -> Self {
        let path = below.join("tokens");
        fs::create_dir(&path).unwrap();
        symlink("..data/jitney", path.join("jitney")).unwrap();
        Self(path)
    }

    fn turn(&self, name: &str, token: &str) {
        fs::create_dir(self.0.join(name)).unwrap();
        fs::write(self.0.join(name).join("jitney"), token).unwrap();
        symlink(name, self.0.join("..data_tmp")).unwrap();
        fs::rename(self.0.join("..data_tmp"), self.0.join("..data")).unwrap();
    }

    fn file(&self) -> PathBuf {
        self.0.join("jitney")
    }
}

/// Shaped like the one in Kubernetes' documentation.
fn pod_token(audience: &str, jti: &str) -> String {
    fake::jwt(&json!({
        "iss": "https://cluster.example.com",
        "sub": "system:serviceaccount:reports:nightly",
        "aud": [audience],
        "jti": jti,
        "kubernetes.io": {
            "namespace": "reports",
            "pod": {"name": "nightly-7", "uid": "5e0bd49b-f040-43b0-99b7-22765a53f7f3"},
            "serviceaccount": {"name": "nightly", "uid": "14ee3fa4-a7e2-420f-9f9a-dbc4507c3798"},
        },
    }))
}

#[test]
fn a_pod_shows_the_token_that_its_file_holds_at_that_moment() {
    let broker = Broker::start(Manner { attests: Some(pod_of), ttl: 2, ..Manner::default() });
    let volume = Volume::new(broker.dir());
    let (first, second) = (pod_token(broker.url(), "1"), pod_token(broker.url(), "2"));
    volume.turn("..one", &first);
    let mut command = run(&broker, "echo ready; exec sleep 60");
    command.env("JITNEY_ASSERTION_FILE", volume.file()).env("KUBERNETES_SERVICE_HOST", "10.0.0.1");
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    volume.turn("..two", &second);
    // The next token is asked for after the turn, however late this test is: at once it is not.
    let turned = broker.count(TOKEN);
    while broker.count(TOKEN) == turned {
        std::thread::yield_now();
    }
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(143));
    assert_eq!(shown(&broker), [first, second]);
    assert_eq!(broker.heard().pop().unwrap(), "/v1/tasks/5e0bd49b-f040-43b0-99b7-22765a53f7f3/complete");
}

#[test]
fn a_jwt_svid_in_a_file_will_do() {
    let broker = Broker::start(Manner { attests: Some(|_| "svid".into()), ..Manner::default() });
    let file = broker.dir().join("jwt_svid.token");
    let svid = fake::jwt(&json!({"sub": "spiffe://example.org/report", "aud": [broker.url()]}));
    fs::write(&file, format!("{svid}\n")).unwrap();
    let mut command = jitney(&broker, &["token"]);
    let output = command.args(ASK).env("JITNEY_ASSERTION_FILE", &file).output().unwrap();
    assert_eq!(printed(&output), "token-1\n");
    assert_eq!(shown(&broker), [svid]);
    fs::write(&file, "").unwrap();
    let output = jitney(&broker, &["token"]).args(ASK).env("JITNEY_ASSERTION_FILE", &file).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(said.contains("named by JITNEY_ASSERTION_FILE, is empty") && said.contains("next:"), "{said}");
}
