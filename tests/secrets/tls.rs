//! The same over TLS: the certificate's key stays where it is too.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Output, Stdio};

use crate::common::{API, Backing, Broker, Setup, clean, key_of};
use crate::hoard::Hoard;
use crate::watch::{Watch, command_line};

#[test]
fn a_certificate_s_key_is_written_nowhere() {
    let dir = tempfile::tempdir().unwrap();
    let pair = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["127.0.0.1".into(), "localhost".into()]).unwrap();
    let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("tls.pem"));
    fs::write(&cert, params.self_signed(&pair).unwrap().pem()).unwrap();
    fs::write(&key, pair.serialize_pem()).unwrap();
    let mut hoard = Hoard::default();
    hoard.pem(&pair.serialize_pem());
    hoard.pem(&key_of("demo").pem());

    let setup = Setup::default().set("JITNEY_TELEMETRY_LOG", "trace");
    let setup = setup.set("JITNEY_SERVER_TLS_CERT", cert.to_str().unwrap());
    let mut broker = setup.set("JITNEY_SERVER_TLS_KEY", key.to_str().unwrap()).start(&Backing::Embedded);
    assert!(broker.url().starts_with("https://"));
    let watch = Watch::start();
    let run = |words: &[&str]| {
        let child = command(&broker, &cert).args(words).spawn().unwrap();
        watch.note(command_line(child.id()));
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        output
    };
    let ask = ["--task", "t", "--audience", API, "--scope", "orders:read"];
    let token = String::from_utf8(run(&[&["token"], &ask[..]].concat()).stdout).unwrap();
    hoard.jws(token.trim());
    fs::write(broker.data().join("../token"), &token).unwrap();
    let mut said: Vec<Output> = vec![run(&["verify", "--token-file", "token"]), run(&["complete", "--task", "t"])];
    // What is no TLS, and what breaks off in the middle of it.
    for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0x16, 3, 1, 0, 200, 1], token.as_bytes()] {
        let mut stream = TcpStream::connect(broker.address()).unwrap();
        stream.write_all(bytes).unwrap();
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let _ = stream.read_to_end(&mut Vec::new());
    }
    // A certificate with another's key is refused, by name.
    fs::write(&key, key_of("other").pem()).unwrap();
    hoard.pem(&key_of("other").pem());
    broker.signal(rustix::process::Signal::HUP);
    crate::common::eventually("the broker has looked at the pair", || {
        broker.stderr().contains("tls.pem").then_some(())
    });
    said.push(run(&["status"]));
    assert!(broker.stop().success());
    hoard.not_in("the log", broker.stderr().as_bytes());
    hoard.not_in("standard output", broker.stdout().as_bytes());
    for output in &said {
        hoard.not_in("a command's output", &[&output.stdout[..], &output.stderr].concat());
    }
    for (path, bytes) in crate::scene::files(&broker.data()) {
        hoard.not_in(&path, &bytes);
    }
    watch.end(&hoard, &["serve"]);
}

fn command(broker: &Broker, cert: &std::path::Path) -> Command {
    let key = broker.data().join("../demo.pem");
    fs::write(&key, key_of("demo").pem()).unwrap();
    let mut command = clean(env!("CARGO_BIN_EXE_jitney"));
    command
        .env("JITNEY_URL", broker.url())
        .env("JITNEY_ISSUER", crate::common::ISSUER)
        .env("JITNEY_WORKLOAD", "demo")
        .env("JITNEY_KEY_FILE", key)
        .env("JITNEY_ADMIN", format!("unix:{}", broker.data().join("admin.sock").display()))
        .env("SSL_CERT_FILE", cert)
        .current_dir(broker.data().join(".."))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}
