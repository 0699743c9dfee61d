//! Whose certificates are trusted: those that are named, or the system's. TLS is rustls over ring, the only provider.

use std::sync::Arc;

use hyper_rustls::ConfigBuilderExt as _;
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use rustls::{ClientConfig, RootCertStore};

/// How TLS is spoken to a server whose certificate one of these vouches for: `ca_pem`, or without any those of the system.
///
/// # Errors
/// A sentence: a certificate cannot be read, or the system has none.
pub fn client(ca_pem: Option<&[u8]>) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| error.to_string())?;
    let builder = match ca_pem {
        Some(pem) => builder.with_root_certificates(named(pem)?),
        None => builder.with_native_roots().map_err(|error| error.to_string())?,
    };
    Ok(builder.with_no_client_auth())
}

fn named(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for cert in CertificateDer::pem_slice_iter(pem) {
        let cert = cert.map_err(|error| format!("the file of certificates is no PEM: {error}"))?;
        roots.add(cert).map_err(|error| error.to_string())?;
    }
    if roots.is_empty() {
        return Err("the file of certificates holds none".to_owned());
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_vouches_for_nothing_is_told_and_no_trust() {
        for pem in ["", "no PEM\n", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            assert!(client(Some(pem.as_bytes())).is_err(), "{pem}");
        }
    }
}
