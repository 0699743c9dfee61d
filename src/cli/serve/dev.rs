//! `serve --dev`: a folder with keys, example policies and everything else, made once and kept.

use std::fmt;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::super::shell::quoted;
use super::super::{Failure, output};
use crate::config::Config;
use crate::jose::AssertionKey;
use crate::jose::es256::SigningKey;
use crate::model::Secret;
use crate::policy::dev;

/// The workload's private key, beside its policies.
const WORKLOAD_KEY: &str = "demo.pem";
/// The resource server's.
const AUDIENCE_KEY: &str = "audience.pem";

/// What helps where a file cannot be written.
const WRITABLE: &str = "let this user write there, and see that the disk is not full";

/// The folder, absolute, so that what is written into `workload.env` holds from anywhere.
pub(super) fn folder(given: Option<&Path>) -> Result<PathBuf, Failure> {
    let dir = given.unwrap_or_else(|| Path::new(".jitney"));
    let failed = |error| {
        let next = "name a folder that this user can write: --data DIR";
        Failure::new(format!("the folder {} cannot be made: {error}", dir.display()), next)
    };
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)?;
    let (named, folder) =
        fs::symlink_metadata(dir).and_then(|named| Ok((named, fs::metadata(dir)?))).map_err(failed)?;
    closed(dir, &[named.uid(), folder.uid()], folder.mode())?;
    fs::canonicalize(dir).map_err(failed)
}

/// Keys and policies that another user put there, or may change, would be believed: the folder, and a link that names it, is this
/// user's or root's, and nobody else writes in it.
fn closed(dir: &Path, owners: &[u32], mode: u32) -> Result<(), Failure> {
    let (me, dir) = (rustix::process::geteuid().as_raw(), dir.display().to_string());
    if let Some(owner) = owners.iter().find(|owner| ![me, 0].contains(owner)) {
        let what = format!(
            "the folder {dir} is of the user {}, who is neither you nor root",
            super::super::admin::user(*owner)
        );
        return Err(Failure::new(what, "name a folder of your own: --data DIR"));
    }
    if mode & 0o022 != 0 {
        let what = format!("others may write in the folder {dir} (mode {:04o})", mode & 0o7777);
        let next = format!(
            "close it, once you know what lies in it: chmod go-w {}; or name another: --data DIR",
            quoted(&dir)
        );
        return Err(Failure::new(what, next));
    }
    Ok(())
}

/// Writes what is missing: keys, then policies that name them. What is there stays.
pub(super) fn prepare(dir: &Path, config: &Config) -> Result<(), Failure> {
    let (workload, workload_is_new) = key(&dir.join(WORKLOAD_KEY))?;
    let (audience, audience_is_new) = key(&dir.join(AUDIENCE_KEY))?;
    let policies = &config.policies.dir;
    if policies.exists() {
        let made =
            [(workload_is_new, WORKLOAD_KEY, &workload, "demo"), (audience_is_new, AUDIENCE_KEY, &audience, "api")];
        for (_, name, jwks, known) in made.into_iter().filter(|(is_new, ..)| *is_new) {
            make_known(&dir.join(name), jwks, &policies.join(format!("keys/{known}.jwks.json")));
        }
        return Ok(());
    }
    // Written beside and renamed: a start that was cut off leaves no half a set behind.
    let fresh = policies.with_extension("new");
    let _ = fs::remove_dir_all(&fresh);
    for (path, content) in dev::files(&workload, &audience) {
        let path = fresh.join(path);
        let parent = path.parent().unwrap_or(&fresh).to_owned();
        fs::create_dir_all(&parent)
            .and_then(|()| fs::write(&path, content))
            .map_err(|error| Failure::new(format!("{} cannot be written: {error}", path.display()), WRITABLE))?;
    }
    fs::rename(&fresh, policies)
        .map_err(|error| Failure::new(format!("{} cannot be made: {error}", policies.display()), WRITABLE))
}

/// Makes a key known that was made in place of a lost one: its public half takes the lost one's place beside the policies,
/// where nothing but that stands there. Says what was done, or what is left to do.
fn make_known(key: &Path, jwks: &Value, known: &Path) {
    let is_alone = |text: &str| {
        serde_json::from_str::<Value>(text).is_ok_and(|set| set["keys"].as_array().is_some_and(|keys| keys.len() == 1))
    };
    let is_written =
        fs::read_to_string(known).is_ok_and(|text| is_alone(&text)) && fs::write(known, format!("{jwks}\n")).is_ok();
    let (key, known) = (key.display(), known.display());
    match is_written {
        true => output::warning(format_args!("{key} was missing and is made anew, its public half in {known}")),
        false => output::warning(format_args!(
            "{key} was missing and is made anew, and the policies do not know it: write its public half where its workload \
             or audience names its keys: {jwks}"
        )),
    }
}

/// The public half, as a JWK set, of the private key in `path`, which is made (mode 0600) where it is missing; and whether
/// it was.
fn key(path: &Path) -> Result<(Value, bool), Failure> {
    let failed = |error: &dyn fmt::Display| {
        let next = "mend the file, or remove it together with the policies beside it: both are made anew";
        Failure::new(format!("the key {}: {error}", path.display()), next)
    };
    let (pem, is_new) = match fs::read_to_string(path) {
        Ok(text) => (Secret::new(text), false),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let (_, pem) = SigningKey::generate().map_err(|error| failed(&error))?;
            let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
            file.and_then(|mut file| file.write_all(pem.expose().as_bytes())).map_err(|error| failed(&error))?;
            (pem, true)
        }
        Err(error) => return Err(failed(&error)),
    };
    AssertionKey::from_pem(pem.expose()).map_err(|error| failed(&error))?;
    let key = SigningKey::from_pkcs8_pem(pem.expose()).map_err(|error| failed(&error))?;
    Ok((json!({ "keys": [key.public().to_jwk()] }), is_new))
}

/// What to paste into another terminal.
pub(super) struct Pasted {
    env: PathBuf,
    audience: &'static str,
}

impl fmt::Display for Pasted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let audience = self.audience;
        writeln!(f, "\nIn another terminal:\n")?;
        writeln!(f, "  source {}", quoted(&self.env.display().to_string()))?;
        writeln!(f, "  jitney token --task demo-1 --audience {audience} --scope orders:read > token")?;
        writeln!(f, "  jitney verify < token             # valid, and what it says")?;
        writeln!(f, "  jitney complete --task demo-1")?;
        writeln!(f, "  jitney verify < token             # not valid any more, and why")?;
        writeln!(f, "  jitney lease list                 # what an operator sees")?;
        writeln!(f, "  jitney lease watch                # and as it happens")?;
        writeln!(f, "  jitney guard                      # checks tokens for a proxy, or a service in any language")?;
        write!(f, "\nNo jitney on the PATH? Take {}", std::env::current_exe().unwrap_or_default().display())
    }
}

/// Writes `workload.env`, once it is known where the broker listens.
pub(super) fn write_env(dir: &Path, config: &Config, url: &str) -> Result<Pasted, Failure> {
    let at = |name: &str| dir.join(name).display().to_string();
    let settings = [
        ("JITNEY_URL", url.to_owned()),
        ("JITNEY_WORKLOAD", dev::WORKLOAD.to_owned()),
        ("JITNEY_KEY_FILE", at(WORKLOAD_KEY)),
        ("JITNEY_ADMIN", format!("unix:{}", config.admin.socket.display())),
        ("JITNEY_AUDIENCE", dev::AUDIENCE.to_owned()),
        ("JITNEY_AUDIENCE_KEY_FILE", at(AUDIENCE_KEY)),
    ];
    let mut text = String::from("# For `source`: a workload, a resource server and an operator of this broker.\n");
    for (name, value) in &settings {
        text.push_str(&format!("export {name}={}\n", quoted(value)));
    }
    let issuer = config.server.issuer.as_deref().filter(|issuer| *issuer != url);
    if let Some(issuer) = issuer {
        text.push_str(&format!("export JITNEY_ISSUER={}\n", quoted(issuer)));
    }
    let path = dir.join("workload.env");
    let fresh = path.with_extension("env.new");
    let _ = fs::remove_file(&fresh);
    let made = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh);
    made.and_then(|mut file| file.write_all(text.as_bytes()))
        .and_then(|()| fs::rename(&fresh, &path))
        .map_err(|error| Failure::new(format!("{} cannot be written: {error}", path.display()), WRITABLE))?;
    Ok(Pasted { env: path, audience: dev::AUDIENCE })
}
