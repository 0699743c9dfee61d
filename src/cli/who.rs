//! Who this workload is, for the commands that ask as it. Says on standard error where its key is not its alone.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::shell::quoted;
use super::{Failure, output};
use crate::client::Identity;

/// The identity that the environment or the platform gives.
///
/// # Errors
/// [`Failure`] where there is none.
pub fn here() -> Result<Identity, Failure> {
    let identity = Identity::from_env()?;
    if let Some(path) = identity.key_file()
        && let Some(mode) = shared_mode(path)
    {
        let shown = path.display().to_string();
        output::warning(format_args!(
            "others on this machine can read or replace the key in {} (mode {mode:04o}): chmod 600 {}",
            output::plain(&shown),
            quoted(&shown)
        ));
    }
    Ok(identity)
}

/// The mode of a file that is not its owner's alone.
pub fn shared_mode(path: &Path) -> Option<u32> {
    let mode = fs::metadata(path).ok()?.permissions().mode() & 0o7777;
    (mode & 0o077 != 0).then_some(mode)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_its_owner_s_alone_is_passed_over() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for (mode, shared) in [(0o600, false), (0o400, false), (0o640, true), (0o604, true), (0o620, true)] {
            fs::set_permissions(file.path(), fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(shared_mode(file.path()), shared.then_some(mode), "{mode:o}");
        }
        assert_eq!(shared_mode(Path::new("/nonexistent")), None);
    }
}
