//! What a server's certificate says of itself: for how long, and for which names. Whether to trust it is for its clients to say.

use std::time::Duration;

use rustls::client::verify_server_name;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::ParsedCertificate;
use webpki::{EndEntityCert, Error, KeyUsage};

use crate::model::UnixTime;

const DAY: Duration = Duration::from_secs(86_400);

/// A certificate is near its end in the last sixth of its life, and in the last three weeks at most.
const LAST_PART: u32 = 6;
const LAST_DAYS: u32 = 21;

/// A server's certificate.
#[derive(Debug, Clone)]
pub struct Certificate {
    der: CertificateDer<'static>,
    not_before: UnixTime,
    /// Its last second.
    pub not_after: UnixTime,
}

/// Why clients refuse a certificate, or will soon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Amiss {
    /// Its end has passed.
    #[error("it expired at {}: every client refuses it; put a new one in its place", .0.rfc3339())]
    Expired(UnixTime),
    /// It begins later.
    #[error("it is valid from {} on: every client refuses it until then", .0.rfc3339())]
    NotYet(UnixTime),
    /// It is for other names than the broker's.
    #[error("it is not for the host of [server] issuer: clients that ask there refuse it")]
    Name,
    /// Its end is near.
    #[error("it expires at {}: put a new one in its place before", .0.rfc3339())]
    Soon(UnixTime),
}

impl Certificate {
    /// Reads one; none where it is not of X.509's form.
    pub fn read(der: &CertificateDer<'_>) -> Option<Self> {
        let (not_before, not_after) = validity(der)?;
        Some(Self { der: der.clone().into_owned(), not_before, not_after })
    }

    /// Whether it is for this host, as a client would judge.
    fn is_for(&self, host: &str) -> bool {
        let name = ServerName::try_from(host);
        let certificate = ParsedCertificate::try_from(&self.der);
        matches!((name, certificate), (Ok(name), Ok(certificate)) if verify_server_name(&certificate, &name).is_ok())
    }

    /// What is amiss with it for a server that clients call `host`, the gravest first.
    pub fn amiss(&self, host: Option<&str>, now: UnixTime) -> Option<Amiss> {
        let last = (self.not_after.since(self.not_before) / LAST_PART).min(DAY * LAST_DAYS);
        if now > self.not_after {
            Some(Amiss::Expired(self.not_after))
        } else if now < self.not_before {
            Some(Amiss::NotYet(self.not_before))
        } else if host.is_some_and(|host| !self.is_for(host)) {
            Some(Amiss::Name)
        } else if self.not_after.since(now) < last {
            Some(Amiss::Soon(self.not_after))
        } else {
            None
        }
    }

    /// Whole days until its end, below 0 where it is past.
    pub fn days_left(&self, now: UnixTime) -> i64 {
        let days = |span: Duration| i64::try_from(span.as_secs() / DAY.as_secs()).unwrap_or(i64::MAX);
        match now <= self.not_after {
            true => days(self.not_after.since(now)),
            false => -1 - days(now.since(self.not_after)),
        }
    }
}

/// The first and the last moment, by webpki, which says them where it refuses a certificate for its time: at the dawn of time
/// and at its end.
fn validity(der: &CertificateDer<'_>) -> Option<(UnixTime, UnixTime)> {
    let certificate = EndEntityCert::try_from(der).ok()?;
    let refused_at = |secs| {
        let at = rustls::pki_types::UnixTime::since_unix_epoch(Duration::from_secs(secs));
        certificate.verify_for_usage(&[], &[], &[], at, KeyUsage::server_auth(), None, None).err()
    };
    let not_before = match refused_at(0) {
        Some(Error::CertNotValidYet { not_before, .. }) => not_before.as_secs(),
        // Valid since the epoch's first second.
        _ => 0,
    };
    match refused_at(u64::MAX) {
        Some(Error::CertExpired { not_after, .. }) => {
            Some((UnixTime::from_secs(not_before), UnixTime::from_secs(not_after.as_secs())))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(from: (i32, u8, u8), until: (i32, u8, u8), names: &[&str]) -> Certificate {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut parameters = rcgen::CertificateParams::new(names).unwrap();
        parameters.not_before = rcgen::date_time_ymd(from.0, from.1, from.2);
        parameters.not_after = rcgen::date_time_ymd(until.0, until.1, until.2);
        let made = parameters.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
        Certificate::read(made.der()).unwrap()
    }

    const NEW_YEAR_2027: u64 = 1_798_761_600;

    #[test]
    fn its_moments_are_read_in_both_forms() {
        let short = certificate((2026, 1, 1), (2027, 1, 1), &["localhost"]);
        assert_eq!(short.not_after.secs(), NEW_YEAR_2027);
        let long = certificate((1999, 12, 31), (2090, 1, 1), &["localhost"]);
        assert_eq!(
            (long.not_before.rfc3339(), long.not_after.rfc3339()),
            ("1999-12-31T00:00:00Z".into(), "2090-01-01T00:00:00Z".into())
        );
    }

    #[test]
    fn what_is_amiss_is_told_the_gravest_first() {
        let year = certificate((2026, 1, 1), (2027, 1, 1), &["jitney.example.com", "127.0.0.1"]);
        let end = year.not_after;
        let at = |days: u64| UnixTime::from_secs(NEW_YEAR_2027 - days * 86_400);
        for (host, now, expected) in [
            (Some("jitney.example.com"), at(100), None),
            (Some("127.0.0.1"), at(100), None),
            (None, at(100), None),
            (Some("jitney.example.com"), at(20), Some(Amiss::Soon(end))),
            (Some("other.example.com"), at(20), Some(Amiss::Name)),
            (Some("other.example.com"), end.plus(Duration::from_secs(1)), Some(Amiss::Expired(end))),
            (Some("jitney.example.com"), at(400), Some(Amiss::NotYet(year.not_before))),
        ] {
            assert_eq!(year.amiss(host, now), expected, "{host:?} {now}");
        }
        // One that lives for days is not near its end for weeks.
        let short = certificate((2026, 12, 26), (2027, 1, 1), &["localhost"]);
        assert_eq!(
            (short.amiss(None, at(2)), short.amiss(None, UnixTime::from_secs(NEW_YEAR_2027 - 3600))),
            (None, Some(Amiss::Soon(end)))
        );
        let days = |at: UnixTime| year.days_left(at);
        assert_eq!((days(at(3)), days(end), days(end.plus(Duration::from_secs(1)))), (3, 0, -1));
    }

    #[test]
    fn what_is_no_certificate_is_none() {
        let whole = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let whole = whole.cert.der().to_vec();
        for cut in (0..whole.len().min(200)).chain([whole.len() - 1]) {
            assert!(Certificate::read(&CertificateDer::from(whole[..cut].to_vec())).is_none(), "{cut}");
        }
    }
}
