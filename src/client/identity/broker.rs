//! Where a broker is reached, and the name by which it must call itself.

use super::super::{ClientError, said};

/// What helps where a host and a port were written, and nothing before them.
const NO_SCHEME: &str =
    "write the scheme before the host: http:// for a broker on this machine, https:// for any other";

/// Where a broker is reached, and the name by which it must call itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerAddress {
    url: String,
    issuer: String,
}

impl BrokerAddress {
    /// Reads `JITNEY_URL` and, where the broker is reached under another name than its issuer's, `JITNEY_ISSUER`.
    ///
    /// # Errors
    /// [`ClientError::Setting`] where the URL is not set, or neither https nor of this machine.
    pub fn from_settings(get: impl Fn(&str) -> Option<String>) -> Result<Self, ClientError> {
        let get = |name: &str| get(name).filter(|value| !value.is_empty());
        let setting = |rule: &str, mend| ClientError::Setting { name: "JITNEY_URL", rule: rule.to_owned(), mend };
        let wrong = |rule| setting(rule, None);
        let raw = get("JITNEY_URL").ok_or_else(|| wrong("is not set"))?;
        let url = raw.strip_suffix('/').unwrap_or(&raw).to_owned();
        if !url.contains("://") {
            return Err(setting("is no URL: it has no scheme", Some(NO_SCHEME)));
        }
        let parsed: http::Uri = url.parse().map_err(|_| wrong("is no URL"))?;
        let host = parsed.host().unwrap_or_default();
        match parsed.scheme_str() {
            Some("https") if !host.is_empty() => {}
            Some("http") if is_loopback(host) => {}
            Some("http") => return Err(wrong("is plain http and not of this machine: an https URL is needed")),
            _ => return Err(wrong("is no https URL")),
        }
        let issuer = get("JITNEY_ISSUER").unwrap_or_else(|| url.clone());
        Ok(Self { url, issuer })
    }

    /// Where it is reached, without a `/` at the end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The name by which it must call itself (RFC 8414 §3.3).
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Whether `text` is a JWT that names this broker in its `aud`: whoever holds such a one might ask here with it.
    pub fn is_named_by(&self, text: &str) -> bool {
        said::claims(text).is_some_and(|claims| said::audiences(&claims).any(|aud| aud == self.issuer))
    }
}

/// Whether `host`, as it stands in a URL, is this machine.
fn is_loopback(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    bare == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::super::tests::settings;
    use super::*;

    #[test]
    fn plain_http_is_for_this_machine_alone() {
        let good = ["http://127.0.0.1:8180", "http://localhost:1/", "http://[::1]:8180", "https://broker.example.com"];
        for url in good {
            let broker = BrokerAddress::from_settings(settings(&[("JITNEY_URL", url)])).unwrap();
            assert_eq!((broker.url(), broker.issuer()), (url.trim_end_matches('/'), url.trim_end_matches('/')));
        }
        for url in ["http://10.0.0.1", "http://localhost.example.com", "ftp://127.0.0.1", "127.0.0.1:8180", "https://"]
        {
            assert!(BrokerAddress::from_settings(settings(&[("JITNEY_URL", url)])).is_err(), "{url}");
        }
    }

    #[test]
    fn a_host_without_a_scheme_is_told_how_to_get_one() {
        for url in ["127.0.0.1:8180", "localhost:8180", "broker.example.com", "broker.example.com/x", "[::1]:8180"] {
            let error = BrokerAddress::from_settings(settings(&[("JITNEY_URL", url)])).unwrap_err();
            assert_eq!(error.to_string(), "JITNEY_URL is no URL: it has no scheme", "{url}");
            assert!(error.next_step().contains("http:// for a broker on this machine"), "{}", error.next_step());
        }
    }

    #[test]
    fn a_token_for_this_broker_is_told_by_its_audience() {
        let broker = BrokerAddress::from_settings(settings(&[("JITNEY_URL", "https://b.example.com")])).unwrap();
        let token = |claims: serde_json::Value| said::tests::token(&claims);
        assert!(broker.is_named_by(&token(serde_json::json!({"aud": "https://b.example.com"}))));
        assert!(broker.is_named_by(&token(serde_json::json!({"aud": ["x", "https://b.example.com"]}))));
        for other in [serde_json::json!({"aud": "https://b.example.com.evil"}), serde_json::json!({})] {
            assert!(!broker.is_named_by(&token(other)));
        }
        assert!(!broker.is_named_by("https://b.example.com"));
    }
}
