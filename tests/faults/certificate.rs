//! Certificate and configuration are replaced while the broker runs: what is broken is not used, what was in use stays.

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

use rustix::process::Signal;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::common::{Ask, Backing, Broker, Http, Request, Setup, eventually};

/// A certificate for itself and its key, PEM.
fn pair() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

/// Asks over TLS, trusting this certificate alone.
fn over_tls(broker: &Broker, trusted: &str, request: &Request) -> std::io::Result<u16> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(trusted.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(config.with_root_certificates(roots).with_no_client_auth());
    let client = ClientConnection::new(config, ServerName::try_from("localhost").unwrap()).unwrap();
    let stream = TcpStream::connect(broker.address())?;
    stream.set_read_timeout(Some(std::time::Duration::from_secs(20)))?;
    Ok(Http::over(StreamOwned::new(client, stream)).ask(request)?.status)
}

#[test]
fn a_broken_pair_is_not_used_and_neither_is_a_broken_configuration() {
    let text = "[server]\ntls_cert = \"cert.pem\"\ntls_key = \"key.pem\"\n\n[admin]\nsocket = \"data/admin.sock\"\n\n\
                [policies]\ndir = \"data/policies\"\n\n[keys]\ndir = \"data/keys\"\n\n[audit]\npath = \
                \"data/audit.jsonl\"\n\n[store]\nurl = \"embedded:data/store\"\n";
    let mut broker = Setup::default().config(text).stopped(None);
    let root = broker.data().parent().unwrap().to_owned();
    let write = |name: &str, text: &str| fs::write(root.join(name), text).unwrap();
    let ((cert, key), (other_cert, other_key)) = (pair(), pair());
    write("cert.pem", &cert);
    write("key.pem", &key);
    broker.start_again();
    let serves = |broker: &Broker, trusted: &str| {
        let live = over_tls(broker, trusted, &Request::get("/livez"));
        live.is_ok_and(|status| status == 200) && over_tls(broker, trusted, &Ask::of("demo").request()).unwrap() == 200
    };
    assert!(serves(&broker, &cert) && !serves(&broker, &other_cert));

    let refusals = |broker: &Broker| broker.stderr().matches("the new TLS certificate is not used").count();
    let remove = |name: &str| fs::remove_file(root.join(name)).unwrap();
    let breaks: [&dyn Fn(); 5] = [
        &|| write("cert.pem", "nonsense"),
        &|| write("cert.pem", &cert[..cert.len() / 2]),
        &|| remove("cert.pem"),
        // The first half of a change: the certificate is new, the key is not.
        &|| write("cert.pem", &other_cert),
        &|| remove("key.pem"),
    ];
    for (at, broken) in breaks.iter().enumerate() {
        let before = refusals(&broker);
        broken();
        broker.signal(Signal::HUP);
        eventually("the broker says that it is not used", || (refusals(&broker) > before).then_some(()));
        assert!(serves(&broker, &cert), "after change {at}");
    }
    // The configuration is read at the start, and at no other time.
    write("jitney.toml", "[server\nnonsense");
    broker.signal(Signal::HUP);
    assert!(serves(&broker, &cert));
    write("key.pem", &other_key);
    broker.signal(Signal::HUP);
    eventually("the new pair is in use", || serves(&broker, &other_cert).then_some(()));
    assert!(!serves(&broker, &cert) && Path::new(&root).join("data/admin.sock").exists());
    assert!(broker.stop().success());
    let output = broker.fails_to_start();
    assert!(String::from_utf8_lossy(&output.stderr).contains("jitney.toml:1"));
}

#[test]
fn a_certificate_that_clients_refuse_is_told_before_they_do() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let key = rcgen::KeyPair::generate().unwrap();
    let made = |name: &str, until: i32| {
        let mut parameters = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
        parameters.not_before = rcgen::date_time_ymd(2020, 1, 1);
        parameters.not_after = rcgen::date_time_ymd(until, 1, 1);
        parameters.self_signed(&key).unwrap().pem()
    };
    let good = made("broker.example.com", 2090);
    let setup = Setup::default().set("JITNEY_SERVER_TLS_CERT", &write("cert.pem", &good));
    let broker = setup.set("JITNEY_SERVER_TLS_KEY", &write("key.pem", &key.serialize_pem())).start(&Backing::Embedded);
    let status = || {
        let output = broker.cli("demo", &["status"]);
        assert!(output.status.success());
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (told, warned) = status();
    assert!(told.contains("good until 2090-01-01T00:00:00Z") && !warned.contains("certificate"), "{told}{warned}");
    for (pem, why) in [
        (made("broker.example.com", 2021), "it expired at 2021-01-01T00:00:00Z"),
        (made("other.example.com", 2090), "it is not for the host of [server] issuer"),
    ] {
        write("cert.pem", &pem);
        broker.signal(Signal::HUP);
        eventually("the log warns of it", || broker.stderr().contains(&format!("will not do: {why}")).then_some(()));
        let (_, warned) = status();
        assert!(warned.contains("the TLS certificate") && warned.contains(why), "{warned}");
    }
    write("cert.pem", &good);
    broker.signal(Signal::HUP);
    eventually("nothing is amiss", || (!status().1.contains("certificate")).then_some(()));
    let left = "jitney_tls_certificate_days_left 2";
    eventually("the metric tells", || broker.admin(&Request::get("/metrics")).text().contains(left).then_some(()));
}
