//! Why an answer did not come, in words for people. Never holds a body, a header or the query of an address.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use super::foreign::LeadsInside;

/// Why there is no answer. `to` is scheme, host and path: never a query, never credentials.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The address is none that can be asked.
    #[error("`{to}` is no address that can be asked: {why}")]
    Url {
        /// The address.
        to: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Plain HTTP to another machine.
    #[error("{to}: plain http is spoken to this machine only; use https, or allow plain http by name")]
    PlainHttp {
        /// The address.
        to: String,
    },
    /// An address inside that was not named as an exception.
    #[error(
        "{to}: a {kind} address, and others than public ones are not asked: if this is yours, name its scheme, host and port in [federation] allow_private"
    )]
    Inside {
        /// The address.
        to: String,
        /// What kind of address it is.
        kind: &'static str,
    },
    /// Nobody listens there.
    #[error("{to}: connection refused: is it running?")]
    Refused {
        /// The address.
        to: String,
    },
    /// No way there: the name does not resolve, there is no route, no such socket, no permission.
    #[error("{to}: cannot be reached: {why}")]
    Unreachable {
        /// The address.
        to: String,
        /// What the system said.
        why: String,
    },
    /// Another user listens on a socket that nobody named.
    #[error("{to}: user {uid} listens there, who is neither this user nor root")]
    Foreign {
        /// The socket.
        to: String,
        /// Whose it is.
        uid: u32,
    },
    /// The whole answer did not come in time.
    #[error("{to}: no whole answer within {} ms", .after.as_millis())]
    Timeout {
        /// The address.
        to: String,
        /// The time that was allowed.
        after: Duration,
    },
    /// More bytes than are read.
    #[error("{to}: the answer is longer than the {limit} bytes that are read")]
    TooLarge {
        /// The address.
        to: String,
        /// The most that is read, in bytes.
        limit: usize,
    },
    /// The other end could not prove who it is, or speaks no TLS.
    #[error("{to}: TLS failed: {why}")]
    Tls {
        /// The address.
        to: String,
        /// What rustls said.
        why: String,
    },
    /// The certificate is by an authority that this machine does not trust.
    #[error("{to}: TLS failed: no authority that this machine trusts signed the certificate (UnknownIssuer)")]
    Untrusted {
        /// The address.
        to: String,
    },
    /// This machine knows no certificate authority to trust.
    #[error("{to}: no trusted certificate authorities here ({why}): install ca-certificates or set SSL_CERT_FILE")]
    NoRoots {
        /// The address.
        to: String,
        /// What the system said.
        why: String,
    },
    /// A stream was asked for and refused.
    #[error("{to}: answered {status}: {body}")]
    Status {
        /// The address.
        to: String,
        /// The status of the answer.
        status: u16,
        /// The answer, as text, cut to a few lines.
        body: String,
    },
    /// The connection broke, or what came is no HTTP.
    #[error("{to}: the connection broke: {why}")]
    Broken {
        /// The address.
        to: String,
        /// What was seen.
        why: String,
    },
}

impl FetchError {
    /// Sorts what the layers below said: the innermost cause that says something decides.
    pub(super) fn of(to: &str, limit: usize, error: &(dyn StdError + 'static)) -> Self {
        let to = to.to_owned();
        let mut last = error.to_string();
        let mut cause = Some(error);
        let mut found = None;
        while let Some(at) = cause {
            if at.is::<http_body_util::LengthLimitError>() {
                return Self::TooLarge { to, limit };
            }
            if let Some(LeadsInside(kind)) = at.downcast_ref() {
                return Self::Inside { to, kind };
            }
            match at.downcast_ref::<rustls::Error>() {
                Some(rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer)) => {
                    return Self::Untrusted { to };
                }
                Some(tls) => return Self::Tls { to, why: tls.to_string() },
                None => {}
            }
            last = at.to_string();
            cause = at.source();
            if let Some(io) = at.downcast_ref::<io::Error>() {
                found = Some(io.kind());
                // What an io::Error wraps is not its source but its inner value.
                cause = io.get_ref().map(|inner| inner as &(dyn StdError + 'static)).or(cause);
            }
        }
        match found {
            Some(io::ErrorKind::ConnectionRefused) => Self::Refused { to },
            Some(
                io::ErrorKind::NotFound
                | io::ErrorKind::PermissionDenied
                | io::ErrorKind::HostUnreachable
                | io::ErrorKind::NetworkUnreachable,
            ) => Self::Unreachable { to, why: last },
            _ => Self::Broken { to, why: last },
        }
    }
}
