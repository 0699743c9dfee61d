//! Files that lie beside a set and that no broker loads: invariants, statements of what widens.
//!
//! Owns which files of a folder they are. What cannot be read is an error: a folder that is there and shows nothing would pass for
//! one in which nothing stands.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

use crate::policy::{SourceFile, text_in};

/// Something there that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{path} cannot be read: {error}")]
pub struct Unreadable {
    /// What.
    pub path: String,
    /// Why.
    pub error: io::Error,
}

impl Unreadable {
    fn of(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |error| Self { path: path.to_string_lossy().into_owned(), error }
    }
}

/// The files of `dir/folder` with this ending, by name, in the order of their names; none where there is no such folder.
///
/// # Errors
/// [`Unreadable`].
pub fn files(dir: &Path, folder: &str, ending: &str) -> Result<Vec<(String, SourceFile)>, Unreadable> {
    let folder = dir.join(folder);
    let entries = match fs::read_dir(&folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(Unreadable::of(&folder))?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let name = entry.map_err(Unreadable::of(&folder))?.file_name().to_string_lossy().into_owned();
        if !name.ends_with(ending) || name.starts_with('.') {
            continue;
        }
        let path = folder.join(&name);
        let text = text_in(dir, &path).map_err(Unreadable::of(&path))?;
        files.push((name, SourceFile { path: path.to_string_lossy().into(), text: text.into() }));
    }
    files.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_and_cannot_be_read_is_an_error_and_what_is_not_there_is_none() {
        let dir = tempfile::tempdir().unwrap();
        assert!(files(dir.path(), "invariants", ".cedar").unwrap().is_empty());
        fs::write(dir.path().join("invariants"), "no folder").unwrap();
        assert!(files(dir.path(), "invariants", ".cedar").unwrap_err().path.ends_with("invariants"));
        fs::remove_file(dir.path().join("invariants")).unwrap();
        fs::create_dir(dir.path().join("invariants")).unwrap();
        for name in ["b.cedar", "a.cedar", ".c.cedar", "d.txt"] {
            fs::write(dir.path().join("invariants").join(name), name).unwrap();
        }
        let found = files(dir.path(), "invariants", ".cedar").unwrap();
        assert_eq!(found.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["a.cedar", "b.cedar"]);
        fs::write(dir.path().join("invariants/e.cedar"), [0xff]).unwrap();
        assert!(files(dir.path(), "invariants", ".cedar").unwrap_err().path.ends_with("e.cedar"));
    }

    #[test]
    fn a_pipe_is_not_waited_for_and_nothing_is_read_through_a_link_that_leads_out() {
        let (dir, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::create_dir(dir.path().join("invariants")).unwrap();
        let file = dir.path().join("invariants/a.cedar");
        fs::write(outside.path().join("secret"), "s3cret").unwrap();
        std::os::unix::fs::symlink(outside.path().join("secret"), &file).unwrap();
        let told = files(dir.path(), "invariants", ".cedar").unwrap_err().to_string();
        assert!(told.contains("a link leads out of the folder") && !told.contains("s3cret"), "{told}");
        fs::remove_file(&file).unwrap();
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, &file, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        let (tell, told) = std::sync::mpsc::channel();
        let folder = dir.path().to_owned();
        std::thread::spawn(move || tell.send(files(&folder, "invariants", ".cedar")));
        let told = told.recv_timeout(std::time::Duration::from_secs(20)).expect("it is not waited for");
        assert!(told.unwrap_err().to_string().contains("not a regular file"));
    }
}
