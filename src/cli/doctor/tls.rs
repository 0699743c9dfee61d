//! Whether the broker proves its name: the certificate, who signed it, whom it is for, until when.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime as At};
use rustls::{CertificateError, ClientConfig, Error as TlsError, RootCertStore};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::super::admin::relative;
use super::super::output::counted;
use super::broker::{PATIENCE, host_and_port};
use super::finding::Outcome;
use super::scene::Scene;
use crate::model::{Clock, UnixTime};

/// The last second of year 9999: no certificate is valid longer.
const END_OF_TIME: Duration = Duration::from_secs(253_402_300_799);

/// Whether the broker proves its name; nothing is needed within this machine.
pub(super) async fn tls(scene: &mut Scene) -> Outcome {
    let Some((host, port, is_https)) = scene.broker.as_ref().and_then(host_and_port) else {
        return Outcome::skipped("nothing is known of the broker");
    };
    if !is_https {
        return Outcome::pass("not needed: plain http within this machine");
    }
    let Trusted { roots, told, amiss } = Trusted::here(scene);
    if roots.is_empty() {
        let mend = amiss
            .unwrap_or_else(|| "install ca-certificates, or set SSL_CERT_FILE to the certificates to trust".into());
        return Outcome::fail(format!("this machine trusts no certificate authority: {told}"), mend);
    }
    let roots = Arc::new(roots);
    match shake_hands(scene, &host, &roots).await {
        Ok(chain) => Outcome::pass(match expiry(&chain, &host, roots) {
            Some(until) => format!("the certificate is good for {host} until {}, by {told}", far(until)),
            None => format!("the certificate is good for {host}, by {told}"),
        }),
        Err(Failed::Tls(error)) if is_untrusted(&error) => {
            Outcome::fail(format!("{error}; trusted is {told}"), amiss.unwrap_or_else(|| mend(&error, &host, port)))
        }
        Err(Failed::Tls(error)) => Outcome::fail(in_words(&error), mend(&error, &host, port)),
        Err(Failed::Otherwise(why)) => Outcome::fail(
            format!("no TLS handshake with {host}: {why}"),
            "does the broker, or the proxy before it, speak TLS on this port? Else correct JITNEY_URL",
        ),
    }
}

enum Failed {
    Tls(TlsError),
    Otherwise(String),
}

/// Whom this machine trusts, as every other request of jitney's does: by the settings that name certificates, or by the system.
struct Trusted {
    roots: RootCertStore,
    /// Where they are from, and how many.
    told: String,
    /// What to do about a setting that names none.
    amiss: Option<String>,
}

impl Trusted {
    fn here(scene: &Scene) -> Self {
        let found = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        let (added, _) = roots.add_parsable_certificates(found.certs);
        let (file, dir) = (scene.setting("SSL_CERT_FILE"), scene.setting("SSL_CERT_DIR"));
        let of_dir = dir.map(|dir| format!("SSL_CERT_DIR={dir}"));
        let of_file = file.map(|file| (certificates(Path::new(&file)), format!("SSL_CERT_FILE={file}")));
        let (of_file, is_amiss) = match of_file {
            Some((Ok(count @ 1..), name)) => (Some(format!("{name} ({})", counted(count, "certificate"))), false),
            Some((Ok(0), name)) => (Some(format!("{name}, which holds no certificate")), true),
            Some((Err(why), name)) => (Some(format!("{name}, which cannot be read: {why}")), true),
            None => (None, false),
        };
        let amiss = is_amiss.then(|| {
            "correct SSL_CERT_FILE: it names a file of certificates in PEM, each from -----BEGIN CERTIFICATE----- on, that this \
             user can read; or unset it, and the system's store counts"
                .to_owned()
        });
        let named: Vec<String> = of_file.into_iter().chain(of_dir).collect();
        let told = match (named.is_empty(), found.errors.first()) {
            (false, _) => named.join(" and "),
            (true, Some(why)) if added == 0 => why.to_string(),
            (true, _) => format!("the system's store ({})", counted(added, "certificate")),
        };
        Self { roots, told, amiss }
    }
}

/// How many certificates a file holds.
fn certificates(file: &Path) -> Result<usize, String> {
    use rustls::pki_types::pem::Error;
    match CertificateDer::pem_file_iter(file) {
        Ok(all) => Ok(all.filter(Result::is_ok).count()),
        Err(Error::Io(error)) => Err(error.to_string()),
        Err(_) => Ok(0),
    }
}

fn is_untrusted(error: &TlsError) -> bool {
    matches!(error, TlsError::InvalidCertificate(CertificateError::UnknownIssuer))
}

/// What failed, with moments as people read them.
fn in_words(error: &TlsError) -> String {
    use CertificateError as Cert;
    let at = |at: &At| far(UnixTime::from_secs(at.as_secs()));
    match error {
        TlsError::InvalidCertificate(Cert::ExpiredContext { not_after, .. }) => {
            format!("the certificate expired at {}", at(not_after))
        }
        TlsError::InvalidCertificate(Cert::NotValidYetContext { not_before, .. }) => {
            format!("the certificate is valid from {} on", at(not_before))
        }
        TlsError::InvalidMessage(rustls::InvalidMessage::InvalidContentType) => {
            "what answers there speaks no TLS: it may be plain http".into()
        }
        other => other.to_string(),
    }
}

/// A moment, and how far it is from now.
fn far(at: UnixTime) -> String {
    format!("{} ({})", at.rfc3339(), relative(at, Clock::system().now()))
}

/// A handshake and nothing more; the certificates shown, the broker's own first.
async fn shake_hands(
    scene: &Scene,
    host: &str,
    roots: &Arc<RootCertStore>,
) -> Result<Vec<CertificateDer<'static>>, Failed> {
    let otherwise = |error: &dyn std::fmt::Display| Failed::Otherwise(error.to_string());
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(Failed::Tls)?
        .with_root_certificates(Arc::clone(roots))
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned()).map_err(|error| otherwise(&error))?;
    let shake = async {
        let stream = TcpStream::connect(scene.addresses.as_slice()).await?;
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    };
    let stream = match timeout(PATIENCE, shake).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>());
            return Err(inner.map_or_else(|| otherwise(&error), |inner| Failed::Tls(inner.clone())));
        }
        Err(_) => return Err(Failed::Otherwise(format!("no answer within {} s", PATIENCE.as_secs()))),
    };
    let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
    Ok(chain.iter().map(|each| each.clone().into_owned()).collect())
}

/// Until when the broker's own certificate is valid. Judged as of the end of time, the library names its end.
fn expiry(chain: &[CertificateDer<'_>], host: &str, roots: Arc<RootCertStore>) -> Option<UnixTime> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider).build().ok()?;
    let (own, others) = chain.split_first()?;
    let name = ServerName::try_from(host).ok()?;
    match verifier.verify_server_cert(own, others, &name, &[], At::since_unix_epoch(END_OF_TIME)) {
        Err(TlsError::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. })) => {
            Some(UnixTime::from_secs(not_after.as_secs()))
        }
        _ => None,
    }
}

fn mend(error: &TlsError, host: &str, port: u16) -> String {
    use CertificateError as Cert;
    match error {
        TlsError::InvalidCertificate(Cert::NotValidForName | Cert::NotValidForNameContext { .. }) => format!(
            "set JITNEY_URL to a name that the certificate is for, or give the broker one for {host}: [server] tls_cert"
        ),
        TlsError::InvalidCertificate(Cert::Expired | Cert::ExpiredContext { .. }) => {
            "renew the certificate that [server] tls_cert names, which the broker reads again by itself; or set this \
             machine's clock"
                .into()
        }
        TlsError::InvalidCertificate(Cert::NotValidYet | Cert::NotValidYetContext { .. }) => {
            "set this machine's clock: timedatectl set-ntp true".into()
        }
        TlsError::InvalidCertificate(Cert::UnknownIssuer) => {
            "trust the authority that signed it: SSL_CERT_FILE=ca.pem, or the system's store; and does [server] tls_cert \
             hold the whole chain?"
                .into()
        }
        TlsError::InvalidCertificate(_) => {
            "give the broker a server's certificate, with its chain, in [server] tls_cert".into()
        }
        TlsError::InvalidMessage(rustls::InvalidMessage::InvalidContentType) => format!(
            "does the broker, or the proxy before it, speak TLS on this port? If it is on this machine and does not: \
             JITNEY_URL=http://{host}:{port}; else correct JITNEY_URL"
        ),
        _ => "does the broker, or the proxy before it, speak TLS on this port? Else correct JITNEY_URL".into(),
    }
}
