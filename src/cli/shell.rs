//! What is written for a shell to read.

/// A value as a shell reads it back.
pub fn quoted(value: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-:@%+,=".contains(c);
    match !value.is_empty() && value.chars().all(is_plain) {
        true => value.to_owned(),
        false => format!("'{}'", value.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_back_what_was_written() {
        assert_eq!(quoted("http://127.0.0.1:8180"), "http://127.0.0.1:8180");
        assert_eq!(quoted("/a b/it's"), r"'/a b/it'\''s'");
    }
}
