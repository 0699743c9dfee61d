//! What is a broker's own on its disk: its name, and its folders.

use std::fs;
use std::path::Path;

use ring::rand::{SecureRandom as _, SystemRandom};

use super::super::Failure;
use crate::config::{Config, KeyStorage};

/// The broker's name, drawn once and kept beside its keys; with keys in memory, one for this process.
pub(super) fn broker_name(config: &Config) -> Result<String, Failure> {
    let draw = || {
        let mut random = [0u8; 4];
        let drawn = SystemRandom::new().fill(&mut random);
        drawn.map_err(|_| {
            Failure::new("the system has no randomness to give", "see that getrandom(2) works here, then start again")
        })?;
        Ok::<_, Failure>(format!("b{:08x}", u32::from_be_bytes(random)))
    };
    if matches!(config.keys.storage, KeyStorage::Memory) {
        return draw();
    }
    make_folder(Some(&config.keys.dir))?;
    let path = config.keys.dir.join("broker");
    let failed = |error| {
        let next = "let the broker's user read and write [keys] dir, and see that the disk is not full";
        Failure::new(format!("{}: {error}", path.display()), next)
    };
    match fs::read_to_string(&path) {
        Ok(name) if crate::model::WorkloadId::parse(name.trim()).is_ok() => Ok(name.trim().to_owned()),
        Ok(_) => Err(Failure::new(
            format!("{}: not a broker's name", path.display()),
            "remove the file: the broker then draws a name of its own",
        )),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let name = draw()?;
            fs::write(&path, format!("{name}\n")).map_err(failed)?;
            Ok(name)
        }
        Err(error) => Err(failed(error)),
    }
}

/// A folder of the broker's own, mode 0700, where it is missing.
pub(super) fn make_folder(dir: Option<&Path>) -> Result<(), Failure> {
    use std::os::unix::fs::DirBuilderExt as _;
    let Some(dir) = dir.filter(|dir| !dir.as_os_str().is_empty()) else { return Ok(()) };
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    let next = "make it for the broker's user, mode 0700, or name another in the configuration";
    made.map_err(|error| Failure::new(format!("the folder {} cannot be made: {error}", dir.display()), next))
}
