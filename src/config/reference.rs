//! Writes the table of settings out for people: `docs/configuration.md` is this text.

use super::keys::{Form, KEYS, Key, LATER, SECTIONS};

const HEAD: &str = "# Configuration

`jitney serve --config jitney.toml` reads a TOML file. Every setting has a default and an environment twin,
`JITNEY_SECTION_KEY`, which holds over the file; other `JITNEY_…` names belong to clients. An unknown setting, a bad value
or an unsafe mix is refused at start-up with file, line and the mend.

Spans of time are a whole number with `s`, `m`, `h` or `d`; a bare one counts seconds. Relative paths
start at the file's folder where the file gives them, and at the working directory elsewhere. In the environment, flags are
`true` or `false`, lists are separated by commas, and an empty value of a setting without a default leaves it out.

This page is written from the table in `src/config/keys.rs`: a test compares the two, and
`REWRITE_DOCS=1 cargo test --lib config::` writes it anew.
";

const MIXES: &str = "
## What is refused together
- An address other than loopback without TLS, unless `allow_plain_http = true`; without an `issuer`, always.
- An `http` issuer of another machine, unless `allow_plain_http = true`.
- Half of a TLS pair.
- `forward_auth` without `forward_auth_audiences`.
- `default_ttl` above `max_ttl`, `max_ttl` above `max_lifetime`.
- `rotation` not above `jwks_max_age`.
- `min_replicas` with the embedded store.
- With `--dev`: an address other than loopback; a folder that is neither yours nor root's, or in which others may write.
";

/// The page about every setting, in Markdown.
pub fn reference() -> String {
    let mut page = HEAD.to_owned();
    for (section, about) in SECTIONS {
        page.push_str(&format!(
            "\n## `[{section}]`\n{about}\n\n| key | default | environment | meaning |\n|---|---|---|---|\n"
        ));
        for key in KEYS.iter().filter(|key| key.section == section) {
            let line = format!("| `{}` | {} | `{}` | {} |\n", key.name, default(key), key.env(), key.meaning);
            page.push_str(&line);
        }
        for (_, name, why) in LATER.iter().filter(|later| later.0 == section) {
            page.push_str(&format!("\n`{name}`: {why}.\n"));
        }
    }
    page.push_str(MIXES);
    page
}

/// A default as it is written in TOML.
fn default(key: &Key) -> String {
    match (key.form, key.default) {
        (Form::Names, "") => "`[]`".into(),
        (_, "") => "none".into(),
        (Form::Flag | Form::Number, text) => format!("`{text}`"),
        (_, text) => format!("`\"{text}\"`"),
    }
}
