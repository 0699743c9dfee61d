//! How a request to a broker fails, and what to do next.

use std::path::PathBuf;
use std::time::Duration;

use http::header::RETRY_AFTER;
use serde::Deserialize;

use crate::fetch::{Answer, FetchError};
use crate::model::is_hidden;

/// Why there is no answer to use.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// A setting is missing, or there are two where one may be.
    #[error("{name} {rule}")]
    Setting {
        /// The environment variable.
        name: &'static str,
        /// The rule it breaks, such as `is not set`.
        rule: String,
        /// What to do, where that is another thing than to set it.
        mend: Option<&'static str>,
    },
    /// A file named by a setting cannot be used.
    #[error("{path}, named by {name}, {why}", path = path.display())]
    File {
        /// The environment variable.
        name: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Nothing here proves who this workload is.
    #[error("nothing here proves who this workload is; looked for {}", looked.join("; "))]
    NoIdentity {
        /// Everything that was looked for, in order.
        looked: Vec<String>,
        /// How it would be found, on the platform that this looks like.
        mend: String,
    },
    /// The platform did not say who this workload is.
    #[error("{platform}: {why}")]
    Platform {
        /// Its name.
        platform: &'static str,
        /// What went wrong there.
        why: String,
        /// Whether it may say so a moment later.
        is_temporary: bool,
    },
    /// No whole answer came.
    #[error(transparent)]
    NoAnswer(#[from] FetchError),
    /// The broker calls itself by another name than the one it was asked under (RFC 8414 §3.3).
    #[error("the broker at {url} calls itself `{found}`, which is not the issuer `{expected}` that was expected")]
    Issuer {
        /// Where it was asked.
        url: String,
        /// What it says.
        found: String,
        /// `JITNEY_ISSUER`, or `JITNEY_URL`.
        expected: String,
    },
    /// An answer that no broker gives.
    #[error("{at} gave an answer that no jitney broker gives: {why}")]
    Answer {
        /// Where.
        at: String,
        /// What is wrong with it.
        why: String,
    },
    /// No assertion could be made.
    #[error("no assertion can be signed: {0}")]
    Assertion(String),
    /// The broker refused.
    #[error("{0}")]
    Refused(Box<Refused>),
}

/// A refusal as the broker words it (RFC 6749 §5.2).
#[derive(Debug, Clone, thiserror::Error)]
#[error("{error}: {description}{}", decision_id.as_ref().map(|id| format!(" (decision {id})")).unwrap_or_default())]
pub struct Refused {
    /// The HTTP status.
    pub status: u16,
    /// The RFC's error code.
    pub error: String,
    /// What was refused and by which rule.
    pub description: String,
    /// Finds the whole explanation in the broker's audit log.
    pub decision_id: Option<String>,
    /// When to ask again, where the broker said so.
    pub retry_after: Option<Duration>,
    /// The workloads that run a task of the name, where it was ambiguous (admin API).
    pub workloads: Vec<String>,
}

impl Refused {
    /// Reads what an answer that is no success says; `None` where its body is no JSON object with an `error`.
    fn read(answer: &Answer) -> Option<Self> {
        #[derive(Deserialize)]
        struct Body {
            error: String,
            #[serde(default)]
            error_description: String,
            decision_id: Option<String>,
            #[serde(default)]
            workloads: Vec<String>,
        }
        let body: Body = serde_json::from_slice(&answer.body).ok()?;
        Some(Self {
            status: answer.status.as_u16(),
            error: printable(&body.error),
            description: printable(&body.error_description),
            decision_id: body.decision_id.as_deref().map(printable),
            retry_after: retry_after(answer),
            workloads: body.workloads.iter().map(|name| printable(name)).collect(),
        })
    }
}

/// When to ask again (RFC 9110 §10.2.3, in seconds; a date is passed over).
pub(super) fn retry_after(answer: &Answer) -> Option<Duration> {
    answer.headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok().map(Duration::from_secs)
}

impl ClientError {
    /// What an answer from `at` that is no success says.
    pub(super) fn refusal(at: &str, answer: &Answer) -> Self {
        match Refused::read(answer) {
            Some(refused) => Self::Refused(Box::new(refused)),
            None => Self::Answer {
                at: at.to_owned(),
                why: format!("HTTP status {} without a reason", answer.status.as_u16()),
            },
        }
    }

    /// Whether the same request may succeed a moment later.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::NoAnswer(error) => matches!(
                error,
                FetchError::Refused { .. }
                    | FetchError::Unreachable { .. }
                    | FetchError::Timeout { .. }
                    | FetchError::Broken { .. }
            ),
            Self::Refused(refused) => matches!(refused.status, 429 | 503),
            Self::Platform { is_temporary, .. } => *is_temporary,
            _ => false,
        }
    }

    /// When to ask again, where the broker said so.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused(refused) => refused.retry_after,
            _ => None,
        }
    }

    /// What to do about it.
    pub fn next_step(&self) -> String {
        match self {
            Self::Setting { mend: Some(mend), .. } => (*mend).into(),
            Self::Setting { name, .. } => format!(
                "set {name}; `jitney serve --dev` writes all of a workload's settings to .jitney/workload.env, ready to source"
            ),
            Self::File { name, why, .. } if why.contains("openssl pkcs8") => {
                format!("convert the key with the command that is named, then set {name} to the new file")
            }
            Self::File { name, .. } => format!("correct {name}, or the file"),
            Self::NoIdentity { mend, .. } => mend.clone(),
            Self::Platform { platform, .. } => {
                format!(
                    "see what {platform} says about this job or pod, or set JITNEY_KEY_FILE or JITNEY_ASSERTION_FILE"
                )
            }
            Self::NoAnswer(
                FetchError::Refused { .. } | FetchError::Unreachable { .. } | FetchError::Timeout { .. },
            ) => "correct JITNEY_URL, or start a broker there; one to work with: jitney serve --dev".into(),
            Self::NoAnswer(FetchError::Broken { .. } | FetchError::Tls { .. }) => {
                "is it a jitney broker that JITNEY_URL names, and is it http or https?".into()
            }
            Self::NoAnswer(FetchError::PlainHttp { .. } | FetchError::Url { .. }) => {
                "write an https URL in JITNEY_URL, without user, password or query".into()
            }
            Self::NoAnswer(FetchError::Untrusted { .. }) => {
                "trust the authority that signed it: SSL_CERT_FILE=ca.pem, or the system's store; \
                 `jitney doctor` looks closer"
                    .into()
            }
            Self::NoAnswer(FetchError::NoRoots { .. }) => {
                "see that SSL_CERT_FILE, where it is set, names certificates that can be read; else install ca-certificates; \
                 `jitney doctor` looks closer"
                    .into()
            },
            Self::NoAnswer(_) => "is it a jitney broker that listens there? Its own log says what it did".into(),
            Self::Issuer { found, .. } => {
                format!(
                    "set JITNEY_URL to the issuer, or, where it is reached under another name, JITNEY_ISSUER={found}"
                )
            }
            Self::Answer { .. } => "is it a jitney broker that listens there?".into(),
            Self::Assertion(_) => {
                "see that JITNEY_KEY_FILE holds a private key, and that getrandom(2) works here".into()
            }
            Self::Refused(refused) => refused.next_step(),
        }
    }
}

impl Refused {
    /// What to do about it, by the RFC's error code; what it does not tell, the decision's line in the audit log does.
    fn next_step(&self) -> String {
        let step = self.step();
        match &self.decision_id {
            Some(id) if self.error != "temporarily_unavailable" => {
                format!("{step}; on the broker, `jitney policy explain {id}` says more")
            }
            _ => step,
        }
    }

    fn step(&self) -> String {
        let refused = self;
        match refused.error.as_str() {
            "invalid_request" if refused.description.contains("parameter task is missing") => {
                "add --task NAME; or have the broker name it: task = \"auto\" in the identity of the workload's file".into()
            }
            "invalid_request" => "change what is named, within the bound that is named, and ask again".into(),
            "invalid_client" if refused.description.contains("proves no client") => {
                "whether such a token is meant to get in is for the workload's owner to decide: `jitney doctor` shows what it says, \
                 to be compared with the workload's file in the broker's policies; JITNEY_WORKLOAD names one where several fit"
                    .into()
            }
            "invalid_client" if refused.description.contains("not signed by a key") => {
                "compare JITNEY_WORKLOAD and JITNEY_KEY_FILE with the workload's file in the broker's policies".into()
            }
            "invalid_client" if refused.description.contains("used before") => "ask again: each assertion counts once".into(),
            "invalid_client" => "compare what this workload shows (JITNEY_WORKLOAD and JITNEY_KEY_FILE, or its platform's \
                                 token) with its file in the broker's policies, and this machine's clock with the broker's"
                .into(),
            "temporarily_unavailable" => "ask again in a moment".into(),
            "invalid_scope" if refused.description.contains(": name one instance in place of the `*`") => {
                "ask for the one that is meant: its scope is open, and is granted instance by instance".into()
            }
            "invalid_scope" if refused.description.starts_with("unknown scope: ") => {
                let named = refused.description.strip_prefix("unknown scope: ").and_then(|said| said.split_once(' '));
                let uri = named.map_or("URI", |(uri, _)| uri);
                format!("the audience declares no such scope: `jitney audience show {uri}` on the broker lists those it has")
            }
            "invalid_scope" => "ask for less, or have a policy grant it; `jitney workload show` on the broker \
                                    lists what is granted, and where there are conditions"
                .into(),
            "not_found" => {
                "`jitney lease list`, `workload list`, `audience list` and `key list` say what there is; a file that was \
                 written a moment ago is read within two seconds"
                    .into()
            }
            "invalid_target" => "`jitney audience list` on the broker names the audiences".into(),
            "unauthorized_client" => "`jitney workload show` on the broker says in what state the workload is".into(),
            "invalid_grant" => "an ended task, and all below it, takes no new lease for a while: use another name, and within \
                                a run that its platform attests one a step: --task RUN/STEP"
                .into(),
            "ambiguous_task" => format!("add --workload, one of: {}", refused.workloads.join(", ")),
            "server_error" => "look into the broker's log; where it says nothing, please report it".into(),
            _ => match &refused.decision_id {
                Some(_) => "the broker's audit log has the reason".into(),
                None => "look into the broker's log for the reason".into(),
            },
        }
    }
}

/// What another program wrote, fit for a terminal: what moves a cursor, turns the direction of what follows or takes no room
/// becomes `?`.
pub(super) fn printable(text: &str) -> String {
    text.chars().take(2000).map(|c| if is_hidden(c) { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(body: &'static [u8]) -> Answer {
        let status = http::StatusCode::BAD_REQUEST;
        Answer { status, headers: http::HeaderMap::new(), body: bytes::Bytes::from_static(body) }
    }

    #[test]
    fn a_refusal_is_told_with_its_decision() {
        let body = br#"{"error":"invalid_scope","error_description":"no policy grants a","decision_id":"b.x"}"#;
        let refused = Refused::read(&answer(body)).unwrap();
        assert_eq!(refused.to_string(), "invalid_scope: no policy grants a (decision b.x)");
        assert!(!ClientError::Refused(Box::new(refused)).is_temporary());
    }

    #[test]
    fn who_is_not_known_is_told_what_to_compare_by_what_was_shown() {
        let next = |said: &str| {
            let body = format!(r#"{{"error":"invalid_client","error_description":"{said}","decision_id":"b.x"}}"#);
            Refused::read(&answer(body.leak().as_bytes())).unwrap().next_step()
        };
        let platform = next("the platform token proves no client of this broker: its audit log says why");
        assert!(
            platform.contains("owner") && !platform.contains("KEY_FILE") && platform.contains("explain b.x"),
            "{platform}"
        );
        let key = next("the assertion is not signed by a key of this client: compare id, key and kid");
        assert!(key.starts_with("compare JITNEY_WORKLOAD and JITNEY_KEY_FILE") && !key.contains("platform"), "{key}");
        assert!(next("the assertion has expired").contains("clock"));
    }

    #[test]
    fn when_to_ask_again_is_a_number_of_seconds() {
        let mut answer = answer(b"");
        answer.headers.insert(RETRY_AFTER, http::HeaderValue::from_static("2"));
        assert_eq!(retry_after(&answer), Some(Duration::from_secs(2)));
        answer.headers.insert(RETRY_AFTER, http::HeaderValue::from_static("Fri, 31 Dec 1999 23:59:59 GMT"));
        assert_eq!(retry_after(&answer), None);
    }

    #[test]
    fn what_is_no_refusal_is_none() {
        for body in [&b"<html>"[..], b"{}", b"[]", b"\xff"] {
            assert!(Refused::read(&answer(body)).is_none());
        }
    }

    #[test]
    fn a_refusal_cannot_move_the_cursor() {
        let refused =
            Refused::read(&answer(br#"{"error":"a\u001b[2J","error_description":"b\nc\u202ed\u200b"}"#)).unwrap();
        assert_eq!(refused.to_string(), "a?[2J: b?c?d?");
    }
}
