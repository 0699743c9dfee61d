//! A file in which something else keeps a token fresh: a kubelet, a SPIFFE helper, a script. Read for each request.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::super::{ClientError, said};
use crate::model::Secret;

/// No key and no token is larger, in bytes.
const MAX_FILE: u64 = said::MAX_TOKEN as u64;

/// The file.
#[derive(Debug, Clone)]
pub(super) struct TokenFile {
    path: PathBuf,
    /// The setting that names it; none where the platform puts it there.
    setting: Option<&'static str>,
    /// It is for others too, so it is shown only while it says that it is for the broker of this name, and nobody else.
    only_for: Option<String>,
}

impl TokenFile {
    /// The file that a setting names.
    pub(super) fn named(setting: &'static str, path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), setting: Some(setting), only_for: None }
    }

    /// A file that is where Kubernetes is told to put it.
    pub(super) fn projected(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), setting: None, only_for: None }
    }

    /// A file of Kubernetes' that is not there for jitney's sake.
    pub(super) fn shared(path: impl Into<PathBuf>, issuer: &str) -> Self {
        Self { path: path.into(), setting: None, only_for: Some(issuer.to_owned()) }
    }

    /// Where it lies.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What stands in it now.
    pub(super) fn token(&self) -> Result<Secret<String>, ClientError> {
        let text = read(&self.path).map_err(|why| self.wrong(why))?;
        let token = Secret::new(text.expose().trim().to_owned());
        if token.expose().is_empty() {
            return Err(self.wrong("is empty".into()));
        }
        match &self.only_for {
            Some(issuer) => self.is_for(&token, issuer).map(|()| token),
            None => Ok(token),
        }
    }

    fn is_for(&self, token: &Secret<String>, issuer: &str) -> Result<(), ClientError> {
        let Some(claims) = said::claims(token.expose()) else { return Err(self.wrong("holds no JWT".into())) };
        let all: Vec<&str> = said::audiences(&claims).collect();
        if all == [issuer] {
            return Ok(());
        }
        let named = if all.is_empty() { "nobody".to_owned() } else { format!("`{}`", all.join("`, `")) };
        let named = super::super::error::printable(&named);
        Err(self.wrong(format!("is for {named} and not for this broker, `{issuer}`, alone: it is not shown there")))
    }

    fn wrong(&self, why: String) -> ClientError {
        match self.setting {
            Some(name) => ClientError::File { name, path: self.path.clone(), why },
            None => ClientError::Platform {
                platform: "Kubernetes",
                why: format!("{} {why}", self.path.display()),
                is_temporary: false,
            },
        }
    }
}

impl fmt::Display for TokenFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the token in {}", self.path.display())?;
        self.setting.map_or(Ok(()), |name| write!(f, " ({name})"))
    }
}

/// A secret from a file; a clause that says what is wrong where there is none to use.
pub(super) fn read(path: &Path) -> Result<Secret<String>, String> {
    let cannot = |error: std::io::Error| format!("cannot be read: {error}");
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(MAX_FILE + 1).read_to_string(&mut text));
    let text = Secret::new(text);
    match read.map_err(cannot)? {
        size if size as u64 > MAX_FILE => Err(format!("is larger than {MAX_FILE} bytes")),
        _ => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::json;

    use super::*;

    #[test]
    fn a_token_is_read_anew_each_time_also_as_a_kubelet_rotates_it() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let turn = |folder: &str, token: &str| {
            fs::create_dir(at(folder)).unwrap();
            fs::write(at(folder).join("jitney"), token).unwrap();
            std::os::unix::fs::symlink(folder, at("..data.next")).unwrap();
            fs::rename(at("..data.next"), at("..data")).unwrap();
        };
        turn("one", "first\n");
        std::os::unix::fs::symlink("..data/jitney", at("jitney")).unwrap();
        let file = TokenFile::named("JITNEY_ASSERTION_FILE", at("jitney"));
        assert_eq!(file.token().unwrap().expose(), "first");
        turn("two", "second");
        assert_eq!(file.token().unwrap().expose(), "second");
        fs::write(at("jitney"), " \n").unwrap();
        let error = file.token().unwrap_err().to_string();
        assert!(error.ends_with("named by JITNEY_ASSERTION_FILE, is empty"), "{error}");
        fs::write(at("jitney"), "x".repeat(70_000)).unwrap();
        assert!(file.token().unwrap_err().to_string().contains("larger"));
        fs::remove_file(at("jitney")).unwrap();
        assert!(file.token().unwrap_err().to_string().contains("cannot be read"));
    }

    #[test]
    fn a_token_for_others_too_is_not_shown() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let file = TokenFile::shared(&path, "https://b.example.com");
        let with = |aud: serde_json::Value| {
            fs::write(&path, said::tests::token(&json!({"aud": aud, "secret": "x"}))).unwrap();
            file.token()
        };
        assert!(with(json!("https://b.example.com")).is_ok());
        assert!(with(json!(["https://b.example.com"])).is_ok());
        for aud in [json!("https://kubernetes.default.svc"), json!(["https://b.example.com", "x"]), json!([])] {
            let error = with(aud).unwrap_err().to_string();
            assert!(error.contains("not for this broker"), "{error}");
        }
        fs::write(&path, "no token").unwrap();
        let error = file.token().unwrap_err().to_string();
        assert!(error.ends_with("holds no JWT") && !error.contains("no token"), "{error}");
    }
}
