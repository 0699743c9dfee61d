//! Whether the broker proves its name: the certificate, who signed it, whom it is for, until when.

use std::sync::Arc;
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime as At};
use rustls::{CertificateError, ClientConfig, Error as TlsError, RootCertStore};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::super::admin::relative;
use super::broker::{PATIENCE, host_and_port};
use super::finding::Outcome;
use super::scene::Scene;
use crate::model::{Clock, UnixTime};

/// The last second of year 9999: no certificate is valid longer.
const END_OF_TIME: Duration = Duration::from_secs(253_402_300_799);

/// Whether the broker proves its name; nothing is needed within this machine.
pub(super) async fn tls(scene: &mut Scene) -> Outcome {
    let Some((host, _, is_https)) = scene.broker.as_ref().and_then(host_and_port) else {
        return Outcome::skipped("nothing is known of the broker");
    };
    if !is_https {
        return Outcome::pass("not needed: plain http within this machine");
    }
    let roots = match roots() {
        Ok(roots) => Arc::new(roots),
        Err(why) => {
            let mend = "install ca-certificates, or set SSL_CERT_FILE to the certificates to trust";
            return Outcome::fail(format!("this machine trusts no certificate authority: {why}"), mend);
        }
    };
    match shake_hands(scene, &host, &roots).await {
        Ok(chain) => Outcome::pass(match expiry(&chain, &host, roots) {
            Some(until) => format!(
                "the certificate is good for {host} until {} ({})",
                until.rfc3339(),
                relative(until, Clock::system().now())
            ),
            None => format!("the certificate is good for {host}"),
        }),
        Err(Failed::Tls(error)) => Outcome::fail(error.to_string(), mend(&error, &host)),
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

/// What this machine trusts, by the system or `SSL_CERT_FILE`, as every other request of jitney's does.
fn roots() -> Result<RootCertStore, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        let why = found.errors.first().map_or_else(|| "none found".to_owned(), ToString::to_string);
        return Err(why);
    }
    Ok(roots)
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

fn mend(error: &TlsError, host: &str) -> String {
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
        _ => "does the broker, or the proxy before it, speak TLS on this port? Else correct JITNEY_URL".into(),
    }
}
