//! A broker behind TLS: its certificate is good, nobody's, or another's.

use std::fs;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};

use super::patient::{ASK, CHECKS, Patient, text};
use crate::common::{API, Backing, ISSUER, Setup, jitney};

struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        parameters.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let pem = parameters.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(parameters, key) }
    }

    /// Certificate and key for this machine, valid until the first day of a year.
    fn certify(&self, until: i32) -> (String, String) {
        let mut parameters = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        parameters.not_before = rcgen::date_time_ymd(2020, 1, 1);
        parameters.not_after = rcgen::date_time_ymd(until, 1, 1);
        let key = KeyPair::generate().unwrap();
        (parameters.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }
}

#[test]
fn the_certificate_is_looked_at() {
    let (own, other) = (Authority::new("own"), Authority::new("other"));
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let [own_pem, other_pem] = [("own.pem", &own.pem), ("other.pem", &other.pem)].map(|(name, pem)| file(name, pem));
    let start = |until: i32| {
        let (cert, key) = own.certify(until);
        Setup::default()
            .set("JITNEY_SERVER_TLS_CERT", &file(&format!("{until}.pem"), &cert))
            .set("JITNEY_SERVER_TLS_KEY", &file(&format!("{until}.key"), &key))
            .start(&Backing::Embedded)
    };
    let broker = start(2090);
    let at = |host: &str, port: u16| Patient::at(&format!("https://{host}:{port}"), "demo");
    let port = broker.address().port();

    let findings = at("127.0.0.1", port).set("SSL_CERT_FILE", &own_pem).finds(&ASK);
    findings.are("pass", &CHECKS);
    assert!(findings.detail("tls").contains("good for 127.0.0.1 until 2090-01-01T00:00:00Z"), "{findings:#?}");

    assert!(findings.detail("tls").ends_with(&format!("by SSL_CERT_FILE={own_pem} (1 certificate)")), "{findings:#?}");
    // A setting that names nothing of use is the first thing to mend.
    let [nowhere, no_certificate] = [dir.path().join("none"), file("a.key", &own.certify(2090).1).into()];
    for (path, why) in [(nowhere, "which cannot be read: No such file"), (no_certificate, "which holds no certificate")]
    {
        let patient = at("127.0.0.1", port).set("SSL_CERT_FILE", path.to_str().unwrap());
        let named = format!("SSL_CERT_FILE={}, {why}", path.display());
        patient.finds(&ASK).only("tls", &[&named], &["correct SSL_CERT_FILE: "]);
    }

    let stranger = at("127.0.0.1", port).set("SSL_CERT_FILE", &other_pem);
    stranger.finds(&ASK).only("tls", &["UnknownIssuer; trusted is SSL_CERT_FILE="], &["SSL_CERT_FILE", "tls_cert"]);
    // Whoever does not ask the doctor is told the same, and it helps.
    let token = |authority: &str| {
        let (url, key) = (format!("https://127.0.0.1:{port}"), stranger.path("key.pem").display().to_string());
        let settings = [
            ("JITNEY_URL", &*url),
            ("JITNEY_ISSUER", ISSUER),
            ("JITNEY_WORKLOAD", "demo"),
            ("JITNEY_KEY_FILE", &key),
            ("SSL_CERT_FILE", authority),
        ];
        let words = ["token", "--task", "t", "--audience", API, "--scope", "orders:read"];
        let output = jitney(dir.path(), &settings, &words);
        (output.status.code(), text(&output.stderr))
    };
    let (code, told) = token(&other_pem);
    assert!(
        code == Some(1) && told.contains("next: trust the authority that signed it: SSL_CERT_FILE=ca.pem"),
        "{told}"
    );
    assert_eq!(token(&own_pem), (Some(0), String::new()));
    let misnamed = at("localhost", port).set("SSL_CERT_FILE", &own_pem);
    misnamed.finds(&ASK).only("tls", &["localhost"], &["JITNEY_URL", "[server] tls_cert"]);

    let expired = start(2021);
    let patient = at("127.0.0.1", expired.address().port()).set("SSL_CERT_FILE", &own_pem);
    patient.finds(&ASK).only("tls", &["the certificate expired at 2021-01-01T00:00:00Z ("], &["renew the certificate"]);
}

#[test]
fn plain_http_where_tls_was_meant_is_told() {
    let broker = Setup::default().start(&Backing::Embedded);
    let ca = Authority::new("own");
    let patient = Patient::at(&broker.url().replace("http://", "https://"), "demo");
    let path = patient.write("ca.crt", &ca.pem);
    let patient = patient.set("SSL_CERT_FILE", path.to_str().unwrap());
    let told = ["speak TLS on this port", &format!("JITNEY_URL={}", broker.url())];
    patient.finds(&ASK).only("tls", &["speaks no TLS"], &told);
}
