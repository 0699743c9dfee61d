//! TLS by rustls over ring, from a certificate and a key in PEM files that may change while the process runs.
//!
//! Owns the pair in use. A new pair that does not load is never used: the old one stays.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::{ArcSwap, ArcSwapOption};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::Shutdown;
use super::certificate::{Amiss, Certificate};
use crate::model::{Clock, UnixTime};

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Why a pair cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The certificate's file.
    #[error("{}: no usable certificate: {why}: give the chain in PEM, the server's certificate first", .file.display())]
    Certificate {
        /// The file.
        file: PathBuf,
        /// What was wrong.
        why: String,
    },
    /// The key's file.
    #[error("{}: no usable private key: {why}: give it in PEM, PKCS#8 if in doubt", .file.display())]
    Key {
        /// The file.
        file: PathBuf,
        /// What was wrong; nothing of the key.
        why: String,
    },
    /// The two are no pair.
    #[error("{} and {}: {why}", .cert.display(), .key.display())]
    Pair {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What rustls said.
        why: String,
    },
}

/// What tells one version of a file from another: time of change, size, inode; none where it cannot be read.
type Stamp = Option<(SystemTime, u64, u64)>;

/// The certificate and key in use. Clones share them.
#[derive(Debug, Clone)]
pub struct Tls(Arc<Pair>);

#[derive(Debug)]
struct Pair {
    cert: PathBuf,
    key: PathBuf,
    config: ArcSwap<ServerConfig>,
    seen: Mutex<[Stamp; 2]>,
    /// What the certificate in use says of itself.
    own: ArcSwapOption<Certificate>,
    /// The host by which clients call this server.
    host: OnceLock<String>,
    /// What was last found amiss, and told.
    told: Mutex<Option<Amiss>>,
}

impl Tls {
    /// Reads a pair.
    ///
    /// # Errors
    /// [`TlsError`]: a file is missing or no PEM, or the two do not belong together.
    pub fn load(cert: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Result<Self, TlsError> {
        let (cert, key) = (cert.into(), key.into());
        // Stamps before contents: what changes in between is seen as a change at the next look.
        let seen = Mutex::new([stamp(&cert), stamp(&key)]);
        let (config, own) = read(&cert, &key)?;
        let (config, own) = (ArcSwap::from_pointee(config), ArcSwapOption::from_pointee(own));
        let (host, told) = (OnceLock::new(), Mutex::default());
        Ok(Self(Arc::new(Pair { cert, key, config, seen, own, host, told })))
    }

    /// Expects the certificate to be for this host from now on, and says what is amiss with it.
    pub fn expect(&self, host: &str) {
        let _ = self.0.host.set(host.to_owned());
        self.tell();
    }

    /// The certificate's file, and what it says of itself.
    pub fn certificate(&self) -> (&Path, Option<Arc<Certificate>>) {
        (&self.0.cert, self.0.own.load_full())
    }

    /// What is amiss with the certificate in use.
    pub fn amiss(&self, now: UnixTime) -> Option<Amiss> {
        self.0.own.load().as_ref()?.amiss(self.0.host.get().map(String::as_str), now)
    }

    /// Warns of what is amiss, once for each thing.
    fn tell(&self) {
        let now = self.amiss(Clock::system().now());
        let before = std::mem::replace(&mut *self.0.told.lock().unwrap_or_else(PoisonError::into_inner), now);
        if let Some(amiss) = now.filter(|_| now != before) {
            let host = self.0.host.get().map_or("", String::as_str);
            tracing::warn!(cert = %self.0.cert.display(), host, "the TLS certificate in use will not do: {amiss}");
        }
    }

    /// The configuration for the next connection.
    pub fn current(&self) -> Arc<ServerConfig> {
        self.0.config.load_full()
    }

    /// Looks at the files every two seconds, until shutdown.
    pub async fn watch(self, shutdown: Shutdown) {
        loop {
            tokio::select! {
                () = shutdown.wait() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            let this = self.clone();
            if tokio::task::spawn_blocking(move || this.look()).await.is_err() {
                tracing::error!("reading the TLS certificate panicked; the old one stays");
            }
        }
    }

    /// Reads the pair again where a file has changed since the last look. Answers whether a new pair is in use now.
    pub fn look(&self) -> bool {
        let is_new = self.take_new();
        self.tell();
        is_new
    }

    fn take_new(&self) -> bool {
        let Pair { cert, key, config, seen, own, .. } = &*self.0;
        let now = [stamp(cert), stamp(key)];
        let before = std::mem::replace(&mut *seen.lock().unwrap_or_else(PoisonError::into_inner), now);
        if before == now {
            return false;
        }
        match read(cert, key) {
            Ok((new, its)) => {
                config.store(Arc::new(new));
                own.store(its.map(Arc::new));
                tracing::info!(cert = %cert.display(), "the TLS certificate was replaced");
                true
            }
            Err(error) => {
                tracing::warn!(%error, "the new TLS certificate is not used; the old one stays");
                false
            }
        }
    }
}

fn read(cert: &Path, key: &Path) -> Result<(ServerConfig, Option<Certificate>), TlsError> {
    let broken = |why: String| TlsError::Certificate { file: cert.into(), why };
    let chain: Vec<_> =
        CertificateDer::pem_file_iter(cert).and_then(Iterator::collect).map_err(|error| broken(plain(&error)))?;
    if chain.is_empty() {
        return Err(broken("it holds none".into()));
    }
    let own = chain.first().and_then(Certificate::read);
    let secret =
        PrivateKeyDer::from_pem_file(key).map_err(|error| TlsError::Key { file: key.into(), why: plain(&error) })?;
    let pair = |error: rustls::Error| TlsError::Pair { cert: cert.into(), key: key.into(), why: error.to_string() };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(pair)?
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .map_err(pair)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok((config, own))
}

/// What went wrong with a PEM file, without a byte of it.
fn plain(error: &rustls::pki_types::pem::Error) -> String {
    use rustls::pki_types::pem::Error;
    match error {
        Error::Io(error) => error.to_string(),
        Error::NoItemsFound => "there is none in it".into(),
        _ => "it is damaged PEM".into(),
    }
}

fn stamp(path: &Path) -> Stamp {
    use std::os::unix::fs::MetadataExt as _;
    let look = || -> io::Result<_> {
        let meta = std::fs::metadata(path)?;
        Ok((meta.modified()?, meta.len(), meta.ino()))
    };
    look().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(dir: &Path) -> (PathBuf, PathBuf) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (cert, key) = (dir.join("cert.pem"), dir.join("key.pem"));
        std::fs::write(&cert, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        (cert, key)
    }

    #[test]
    fn a_new_pair_is_used_and_a_broken_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let (cert, key) = write(dir.path());
        let tls = Tls::load(&cert, &key).unwrap();
        let first = tls.current();
        assert!(!tls.look() && Arc::ptr_eq(&first, &tls.current()), "nothing changed");
        std::fs::write(&key, "no key").unwrap();
        assert!(!tls.look() && Arc::ptr_eq(&first, &tls.current()), "a broken pair is not used");
        write(dir.path());
        assert!(tls.look());
        assert!(!Arc::ptr_eq(&first, &tls.current()), "the new pair is in use");
        std::fs::remove_file(&cert).unwrap();
        let second = tls.current();
        assert!(!tls.look() && Arc::ptr_eq(&second, &tls.current()), "a missing file is no new pair");
    }

    #[test]
    fn what_is_wrong_is_said_by_file_and_without_the_key() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let ((cert, key), (_, other)) = (write(one.path()), write(two.path()));
        assert!(matches!(Tls::load(&cert, &other).unwrap_err(), TlsError::Pair { .. }));
        assert!(matches!(Tls::load(one.path().join("none"), &key).unwrap_err(), TlsError::Certificate { .. }));
        assert!(matches!(Tls::load(&key, &key).unwrap_err(), TlsError::Certificate { .. }));
        let error = Tls::load(&cert, &cert).unwrap_err();
        assert!(matches!(error, TlsError::Key { .. }) && error.to_string().contains("cert.pem"), "{error}");
        std::fs::write(&key, "-----BEGIN PRIVATE KEY-----\nc2VjcmV0!\n-----END PRIVATE KEY-----\n").unwrap();
        let error = Tls::load(&cert, &key).unwrap_err().to_string();
        assert!(!error.contains("c2Vj") && !error.contains("115"), "{error}");
    }
}
