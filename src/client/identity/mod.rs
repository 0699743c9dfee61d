//! Who a workload is and how it proves it: by its settings, or as its platform says.
//!
//! Owns the private key, or what the platform gave, for as long as the program runs. Never writes them, nor an assertion,
//! anywhere. What is looked for, and in which order: [`find`]. One file a source.

mod broker;
mod file;
mod find;
mod github;
mod key;
mod kubernetes;
mod variable;

#[cfg(test)]
mod github_tests;

use std::fmt;
use std::path::Path;

pub use broker::BrokerAddress;

use super::ClientError;
use crate::model::{Clock, Secret, WorkloadId};
use file::TokenFile;
use github::GitHub;
use key::Key;

/// A workload: where its broker is, who it is, how it proves it.
#[derive(Debug)]
pub struct Identity {
    broker: BrokerAddress,
    workload: Option<WorkloadId>,
    source: Source,
}

/// What proves who asks. A platform to come is one more of these, and a place in [`find`].
#[derive(Debug)]
enum Source {
    /// Signs its own assertions.
    Key(Box<Key>),
    /// A file that something else keeps fresh.
    File(TokenFile),
    /// A variable that was set once.
    Variable(Secret<String>),
    /// Asked for at the platform.
    GitHub(Box<GitHub>),
}

/// Settings by name; an empty one counts as none.
trait Settings {
    fn get(&self, name: &str) -> Option<String>;
}

impl<F: Fn(&str) -> Option<String>> Settings for F {
    fn get(&self, name: &str) -> Option<String> {
        self(name).filter(|value| !value.is_empty())
    }
}

impl Identity {
    /// Finds the identity by the environment of this process, and by the files a platform lays out.
    ///
    /// # Errors
    /// As [`Identity::from_settings`].
    pub fn from_env() -> Result<Self, ClientError> {
        Self::from_settings(|name| std::env::var(name).ok())
    }

    /// Finds the identity. `JITNEY_URL` says where the broker is, `JITNEY_ISSUER` its name where that is another.
    /// `JITNEY_KEY_FILE` (PKCS#8 PEM, with `JITNEY_WORKLOAD`) or `JITNEY_ASSERTION_FILE` (a JWT) says how this workload
    /// proves itself; without them GitHub Actions, `JITNEY_ID_TOKEN` (GitLab) and a projected Kubernetes token are looked
    /// for, in this order. With a platform's token `JITNEY_WORKLOAD` is optional: the broker finds whose it is.
    ///
    /// # Errors
    /// [`ClientError::Setting`] or [`ClientError::File`], with the variable's name; [`ClientError::NoIdentity`] with all that
    /// was looked for; [`ClientError::Platform`] where a platform's file cannot be looked at.
    pub fn from_settings(get: impl Fn(&str) -> Option<String>) -> Result<Self, ClientError> {
        Self::from_settings_below(Path::new("/"), get)
    }

    fn from_settings_below(root: &Path, get: impl Fn(&str) -> Option<String>) -> Result<Self, ClientError> {
        let broker = BrokerAddress::from_settings(&get)?;
        let wrong =
            |error| ClientError::Setting { name: "JITNEY_WORKLOAD", rule: format!("names no {error}"), mend: None };
        let workload =
            Settings::get(&get, "JITNEY_WORKLOAD").map(|id| WorkloadId::parse(&id)).transpose().map_err(wrong)?;
        let source = find::find(&get, root, broker.issuer(), workload.as_ref())?;
        Ok(Self { broker, workload, source })
    }

    /// Where the broker is.
    pub const fn broker(&self) -> &BrokerAddress {
        &self.broker
    }

    /// Who the workload is, as far as it was said.
    pub const fn workload(&self) -> Option<&WorkloadId> {
        self.workload.as_ref()
    }

    /// What proves it, in words: `GitHub Actions (ACTIONS_ID_TOKEN_REQUEST_URL)`.
    pub fn proof(&self) -> String {
        self.source.to_string()
    }

    /// The file of the key that proves it; none where a platform does.
    pub fn key_file(&self) -> Option<&Path> {
        match &self.source {
            Source::Key(key) => Some(key.path()),
            _ => None,
        }
    }

    /// What must not be handed on to another program, for it could ask as this workload: the platform's token, and what it
    /// is asked for with. Asks nobody; a key is not among them.
    pub async fn secrets(&self) -> Vec<Secret<String>> {
        match &self.source {
            Source::Key(_) => Vec::new(),
            Source::File(file) => file.token().into_iter().collect(),
            Source::Variable(token) => vec![token.clone()],
            Source::GitHub(platform) => platform.secrets().await,
        }
    }

    /// The platform's token of this moment, to tell what it says; none where a key signs instead.
    ///
    /// # Errors
    /// [`ClientError`] where the platform gives none.
    pub async fn platform_token(&self) -> Option<Result<Secret<String>, ClientError>> {
        match &self.source {
            Source::Key(_) => None,
            _ => Some(self.assertion(&Clock::system()).await),
        }
    }

    /// An assertion for one request: a fresh one from the key, or the platform's token of this moment.
    pub(super) async fn assertion(&self, clock: &Clock) -> Result<Secret<String>, ClientError> {
        let issuer = self.broker.issuer();
        match &self.source {
            Source::Key(key) => key.sign(issuer, clock.now()),
            Source::File(file) => file.token(),
            Source::Variable(token) => Ok(token.clone()),
            Source::GitHub(platform) => platform.token(issuer, clock).await,
        }
    }

    /// The last assertion was refused, or may be used up: the next one is another, where that can be had.
    pub(super) async fn doubt(&self) {
        if let Source::GitHub(platform) = &self.source {
            platform.forget().await;
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(_) => f.write_str("a key of its own (JITNEY_KEY_FILE)"),
            Self::File(file) => file.fmt(f),
            Self::Variable(_) => write!(f, "the token in {}", variable::NAME),
            Self::GitHub(_) => f.write_str("GitHub Actions (ACTIONS_ID_TOKEN_REQUEST_URL)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn settings<'a>(pairs: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<String> + 'a {
        move |name| pairs.iter().find(|pair| pair.0 == name).map(|pair| pair.1.to_owned())
    }

    #[test]
    fn a_missing_or_wrong_setting_is_named() {
        let empty = tempfile::tempdir().unwrap();
        let url = ("JITNEY_URL", "http://127.0.0.1:1");
        let cases: &[(&[(&str, &str)], &str)] = &[
            (&[], "JITNEY_URL is not set"),
            (&[("JITNEY_URL", "")], "JITNEY_URL is not set"),
            (&[url], "nothing here proves who this workload is"),
            (&[url, ("JITNEY_WORKLOAD", "w")], "nothing here proves who this workload is"),
            (&[url, ("JITNEY_WORKLOAD", "a b")], "JITNEY_WORKLOAD names no workload"),
            (
                &[url, ("JITNEY_WORKLOAD", "w"), ("JITNEY_KEY_FILE", "/nonexistent")],
                "/nonexistent, named by JITNEY_KEY_FILE, cannot be read",
            ),
        ];
        for (pairs, expected) in cases {
            let error = Identity::from_settings_below(empty.path(), settings(pairs)).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
            assert!(!error.next_step().is_empty());
        }
        let next = |pairs: &[(&str, &str)]| {
            Identity::from_settings_below(empty.path(), settings(pairs)).unwrap_err().next_step()
        };
        assert!(next(&[url, ("JITNEY_WORKLOAD", "w")]).starts_with("set JITNEY_KEY_FILE to the private key of w"));
        for half in ["ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"] {
            assert!(next(&[url, (half, "https://a.example.com")]).starts_with("pass both on"), "{half}");
        }
    }

    #[tokio::test]
    async fn with_a_platform_s_token_the_workload_need_not_be_named() {
        let of = |pairs: &[(&str, &str)]| Identity::from_settings(settings(pairs)).unwrap();
        let (url, token) = (("JITNEY_URL", "https://b.example.com"), ("JITNEY_ID_TOKEN", " x.y.z\n"));
        let identity = of(&[url, token]);
        assert_eq!(identity.workload(), None);
        assert_eq!(identity.assertion(&Clock::system()).await.unwrap().expose(), "x.y.z");
        assert_eq!(identity.secrets().await[0].expose(), "x.y.z");
        assert_eq!(identity.proof(), "the token in JITNEY_ID_TOKEN");
        assert!(!format!("{identity:?}").contains("x.y.z"));
        assert_eq!(of(&[url, token, ("JITNEY_WORKLOAD", "w")]).workload().unwrap().as_str(), "w");
    }
}
