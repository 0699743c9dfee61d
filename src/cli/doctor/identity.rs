//! Who this workload is, and what its proof says. A key and a token are read, never shown.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::super::shell::quoted;
use super::super::who;
use super::finding::Outcome;
use super::platform::Said;
use super::scene::Scene;
use crate::client::Identity;
use crate::jose::AssertionKey;
use crate::jose::es256::SigningKey;
use crate::model::{Clock, Secret};

/// Where the proof comes from.
#[derive(Debug, Clone)]
pub(super) enum Source {
    /// A private key in a file.
    Key(PathBuf),
    /// A token that a platform gives; what it says, once it was read.
    Platform(Option<Said>),
}

/// Whether there is an identity, as the client finds it, and what it says.
pub(super) async fn identity(scene: &mut Scene) -> Outcome {
    let found = match Identity::from_settings(|name| scene.setting(name)) {
        Ok(found) => found,
        Err(error) => return Outcome::fail(error.to_string(), error.next_step()),
    };
    if let Some(path) = scene.setting("JITNEY_KEY_FILE") {
        scene.source = Some(Source::Key(path.clone().into()));
        return of_key(scene, Path::new(&path));
    }
    scene.source = Some(Source::Platform(None));
    match found.platform_token().await {
        Some(Ok(token)) => of_token(scene, &found.proof(), &token),
        Some(Err(error)) => Outcome::fail(error.to_string(), error.next_step()),
        None => Outcome::pass(found.proof()),
    }
}

fn of_key(scene: &Scene, path: &Path) -> Outcome {
    let read = fs::read_to_string(path).map(Secret::new).map_err(|error| error.to_string());
    let alg = read.as_ref().map_err(Clone::clone).and_then(|pem| {
        AssertionKey::from_pem(pem.expose()).map(|key| key.alg().as_str()).map_err(|error| error.to_string())
    });
    match alg {
        Ok(alg) => {
            // Its name in a JWK set, where jitney made that.
            let kid = read.ok().and_then(|pem| SigningKey::from_pkcs8_pem(pem.expose()).ok());
            let kid = kid.map(|key| format!(", kid {}", key.kid())).unwrap_or_default();
            Outcome::pass(format!("{}, by a key of its own ({alg}{kid}) in {}", scene.workload(), path.display()))
        }
        Err(why) => {
            let mend = match why.contains("openssl pkcs8") {
                true => "convert the key with the command that is named, then set JITNEY_KEY_FILE to the new file",
                false => "correct JITNEY_KEY_FILE, or the file",
            };
            Outcome::fail(format!("{}: {why}", path.display()), mend)
        }
    }
}

fn of_token(scene: &mut Scene, proof: &str, token: &Secret<String>) -> Outcome {
    let said = match Said::read(token.expose()) {
        Ok(said) => said,
        Err(why) => {
            let mend = "set JITNEY_ASSERTION_FILE to the file in which the platform keeps a JWT";
            return Outcome::fail(format!("{proof} holds no token: {why}"), mend);
        }
    };
    scene.source = Some(Source::Platform(Some(said.clone())));
    let now = Clock::system().now();
    if said.exp.is_some_and(|exp| exp <= now) {
        let mend =
            "have the platform write a fresh token there: a projected file is replaced by itself, a copy of it is not";
        return Outcome::fail(format!("{proof} has expired: {said}"), mend);
    }
    let issuer = scene.broker.as_ref().map(|broker| broker.issuer().to_owned()).unwrap_or_default();
    let note = match said.aud == issuer {
        true => String::new(),
        false if said.is_for_several => {
            "; it names several audiences, and a broker takes a token for itself alone".to_owned()
        }
        false => format!("; its aud is not {issuer}, so the workload's [[identity]] must name it as `audience`"),
    };
    Outcome::pass(format!("by {proof}: {said}{note}"))
}

/// Whether the private key is its owner's alone.
pub(super) async fn key_file(scene: &mut Scene) -> Outcome {
    let Some(Source::Key(path)) = &scene.source else {
        return Outcome::pass("not needed: the platform keeps the token");
    };
    match (fs::metadata(path), who::shared_mode(path)) {
        (Ok(_), Some(mode)) => Outcome::fail(
            format!("mode {mode:04o}: others on this machine can read or replace the key"),
            format!("chmod 600 {}", quoted(&path.display().to_string())),
        ),
        (Ok(found), None) => Outcome::pass(format!("mode {:04o}", found.permissions().mode() & 0o7777)),
        (Err(error), _) => {
            Outcome::fail(format!("{}: {error}", path.display()), "correct JITNEY_KEY_FILE, or the file")
        }
    }
}
