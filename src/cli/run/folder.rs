//! The private folder in which the command finds its token.
//!
//! Readable by this user alone; a reader sees the old token or the new one, never half of one. Gone when dropped.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use ring::rand::{SecureRandom as _, SystemRandom};

use crate::model::Secret;

/// A folder of mode 0700 with the file `token`, mode 0600.
#[derive(Debug)]
pub(super) struct TokenFolder {
    path: PathBuf,
    file: PathBuf,
}

impl TokenFolder {
    /// Makes the folder, under the system's folder for temporary files, and writes the first token.
    pub(super) fn create(token: &Secret<String>) -> io::Result<Self> {
        let mut random = [0; 8];
        SystemRandom::new().fill(&mut random).map_err(|_| io::Error::other("the system has no randomness to give"))?;
        // The command may work in another directory.
        let path =
            std::path::absolute(std::env::temp_dir())?.join(format!("jitney-{:016x}", u64::from_be_bytes(random)));
        // Fails where anything of the name exists, so nobody can have laid it out beforehand.
        DirBuilder::new().mode(0o700).create(&path)?;
        let folder = Self { file: path.join("token"), path };
        folder.replace(token)?;
        Ok(folder)
    }

    /// Where the token stands.
    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    /// Puts another token in the place of the one there, in one step.
    pub(super) fn replace(&self, token: &Secret<String>) -> io::Result<()> {
        let next = self.path.join("token.next");
        match fs::remove_file(&next) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&next)?;
        file.write_all(token.expose().as_bytes())?;
        fs::rename(next, &self.file)
    }
}

impl Drop for TokenFolder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            crate::cli::output::warning(format_args!("{} was not removed: {error}", self.path.display()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_token_is_this_user_s_alone_is_replaced_and_goes() {
        let folder = TokenFolder::create(&Secret::new("first".into())).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&folder.path), mode(folder.file())), (0o700, 0o600));
        assert_eq!(fs::read_to_string(folder.file()).unwrap(), "first");
        folder.replace(&Secret::new("second".into())).unwrap();
        assert_eq!(fs::read_to_string(folder.file()).unwrap(), "second");
        assert_eq!(mode(folder.file()), 0o600);
        assert_eq!(fs::read_dir(&folder.path).unwrap().count(), 1);
        let path = folder.path.clone();
        drop(folder);
        assert!(!path.exists());
    }
}
