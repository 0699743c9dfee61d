//! One file, read whole: within a bound, without waiting, and with a word on where it lies.
//!
//! Owns how a file is opened and whether a link led out of the folder it was looked for in. Never looks inside one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// No file of a set is larger.
const MAX_FILE: u64 = 64 * 1024 * 1024;

/// Opens a regular file, and nothing else. Opening a pipe would wait for its writer, and what stands at a path may be another
/// thing a moment later: so it is opened without waiting, and what was opened is looked at.
///
/// # Errors
/// What the system said, or that it is no regular file.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let nonblock = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(nonblock).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(invalid("not a regular file")) }
}

/// The text of a file of `dir`, which no link out of that folder leads to.
///
/// # Errors
/// What the system said; what is no regular file, no text, or not of the folder.
pub(crate) fn text_in(dir: &Path, path: &Path) -> io::Result<String> {
    let file = open(path)?;
    if !lies_in(&fs::canonicalize(dir)?, &file, path) {
        return Err(leads_out());
    }
    text_of(file)
}

/// What is said of a file that is not read for lying elsewhere.
pub(super) fn leads_out() -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, "a link leads out of the folder")
}

/// The whole text of an opened file.
pub(super) fn text_of(file: File) -> io::Result<String> {
    let mut bytes = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(invalid("larger than 64 MiB"));
    }
    String::from_utf8(bytes).map_err(|_| invalid("not UTF-8"))
}

/// Whether what was opened at `path` lies under `home`, a folder named without links. The kernel's word for the open file goes
/// first: between a look at the path and the opening somebody could have turned a link.
pub(super) fn lies_in(home: &Path, file: &File, path: &Path) -> bool {
    let place = fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).or_else(|_| fs::canonicalize(path));
    place.is_ok_and(|place| place.starts_with(home))
}

fn invalid(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_file_is_of_the_folder_by_any_link_within_and_by_none_that_leads_out() {
        let (dir, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let at = |name: &str| dir.path().join(name);
        fs::create_dir(at("..2026_1")).unwrap();
        fs::write(at("..2026_1/a.cedar"), "a").unwrap();
        fs::write(outside.path().join("b.cedar"), "b").unwrap();
        symlink("..2026_1", at("..data")).unwrap();
        symlink("..data/a.cedar", at("a.cedar")).unwrap();
        symlink(outside.path(), at("out")).unwrap();
        assert_eq!(text_in(dir.path(), &at("a.cedar")).unwrap(), "a");
        let error = text_in(dir.path(), &at("out/b.cedar")).unwrap_err();
        assert!(error.to_string().contains("leads out"), "{error}");
        // The folder itself may be named by a link.
        let named = outside.path().join("named");
        symlink(dir.path(), &named).unwrap();
        assert_eq!(text_in(&named, &named.join("a.cedar")).unwrap(), "a");
    }

    #[test]
    fn a_link_that_is_turned_after_the_file_was_opened_changes_nothing() {
        let (dir, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (home, link) = (fs::canonicalize(dir.path()).unwrap(), dir.path().join("a.cedar"));
        fs::write(outside.path().join("secret"), "s").unwrap();
        symlink(outside.path().join("secret"), &link).unwrap();
        let file = open(&link).unwrap();
        fs::remove_file(&link).unwrap();
        fs::write(&link, "plain").unwrap();
        if Path::new("/proc/self/fd").is_dir() {
            assert!(!lies_in(&home, &file, &link));
        }
        assert!(lies_in(&home, &open(&link).unwrap(), &link));
    }
}
