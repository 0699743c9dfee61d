//! Tokens that a command reads: from a file or standard input, never from an argument, which others on this machine see.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use super::Failure;
use crate::model::Secret;

/// No token is longer.
const MAX_TOKEN: u64 = 64 * 1024;

/// The token in `file`, or on standard input. `example`: the next step where there is none.
///
/// # Errors
/// [`Failure`] where it cannot be read, or is empty.
pub fn token(file: Option<&Path>, example: &str) -> Result<Secret<String>, Failure> {
    let name = file.map_or_else(|| "standard input".to_owned(), |path| path.display().to_string());
    let unreadable = |error: io::Error| {
        let next = "name another with --token-file FILE, or correct its mode";
        Failure::new(format!("{name} cannot be read: {error}"), next)
    };
    let mut bytes = Vec::new();
    match file {
        None => io::stdin().lock().take(MAX_TOKEN).read_to_end(&mut bytes),
        Some(path) => File::open(path).and_then(|file| file.take(MAX_TOKEN).read_to_end(&mut bytes)),
    }
    .map_err(unreadable)?;
    // What is no text is no token either: whoever looks at it says so.
    let text = String::from_utf8_lossy(&bytes);
    if text.trim().is_empty() {
        return Err(Failure::usage(format!("there is no token in {name}"), example));
    }
    Ok(Secret::new(text.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_from_a_file_without_what_stands_around_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let read = |path: &Path| token(Some(path), "example");
        std::fs::write(&path, " a.b.c\n").unwrap();
        assert_eq!(read(&path).unwrap().expose(), "a.b.c");
        std::fs::write(&path, "\n").unwrap();
        let empty = read(&path).unwrap_err();
        assert!(empty.message.contains("there is no token in") && empty.next == "example");
        assert!(read(&dir.path().join("none")).unwrap_err().message.contains("cannot be read"));
    }
}
