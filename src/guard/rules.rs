//! What each path asks for: read from a file of TOML, looked up by method and path.
//!
//! The most specific path decides alone: an exact one before a prefix, a longer prefix before a shorter. Of the rules for
//! that path one that names the method comes before one that names none. What no rule covers is refused.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;

use super::path;
use crate::model::{AudienceUri, ScopeSet};

/// What is wrong with a file of rules, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{}: {message}", .file.display(), place(*.line))]
pub struct RulesError {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1; none for the file as a whole.
    pub line: Option<usize>,
    /// What is wrong, and the mend.
    pub message: String,
}

fn place(line: Option<usize>) -> String {
    line.map_or_else(String::new, |line| format!(":{line}"))
}

/// What a request must bring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Demand {
    /// Nothing: no token is looked at.
    Nothing,
    /// A good token for this resource server (none: any that is guarded), with all of these scopes.
    Token {
        /// The resource server.
        audience: Option<AudienceUri>,
        /// The scopes; none: any.
        scopes: Option<ScopeSet>,
    },
}

/// The rules of a guard.
#[derive(Debug, Default)]
pub struct Rules {
    exact: HashMap<String, Methods>,
    prefixes: HashMap<String, Methods>,
}

/// The rules for one path, those that name methods first.
#[derive(Debug, Default)]
struct Methods(Vec<(Option<String>, Demand)>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    rule: Vec<Spanned<Entry>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    path: Option<Spanned<String>>,
    prefix: Option<Spanned<String>>,
    methods: Option<Spanned<Vec<String>>>,
    audience: Option<Spanned<String>>,
    scopes: Option<Spanned<Vec<String>>>,
    #[serde(default)]
    public: bool,
}

/// What is wrong, and at which byte.
type Wrong = (usize, String);

impl Rules {
    /// Reads a file of rules.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn load(file: &Path) -> Result<Self, RulesError> {
        let error = |line, message| RulesError { file: file.to_owned(), line, message };
        let text = std::fs::read_to_string(file).map_err(|why| error(None, format!("cannot be read: {why}")))?;
        Self::parse(&text).map_err(|(at, message)| {
            let line = text.get(..at).unwrap_or(&text).matches('\n').count() + 1;
            error(Some(line), message)
        })
    }

    fn parse(text: &str) -> Result<Self, Wrong> {
        let document: Document = toml::from_str(text)
            .map_err(|error| (error.span().map_or(0, |span| span.start), error.message().trim().to_owned()))?;
        if document.rule.is_empty() {
            return Err((0, "there is no [[rule]]: everything would be refused".into()));
        }
        let mut rules = Self::default();
        for entry in document.rule {
            rules.add(entry.span().start, entry.into_inner())?;
        }
        Ok(rules)
    }

    fn add(&mut self, at: usize, entry: Entry) -> Result<(), Wrong> {
        let demand = demand(&entry)?;
        let (table, own) = match (entry.path, entry.prefix) {
            (Some(own), None) => (&mut self.exact, own),
            (None, Some(own)) => (&mut self.prefixes, own),
            (Some(_), Some(_)) => return Err((at, "a rule has a `path` or a `prefix`, not both".into())),
            (None, None) => return Err((at, "a rule needs a `path` (that one alone) or a `prefix`".into())),
        };
        let start = own.span().start;
        let key = plain(own.get_ref()).map_err(|why| (start, why))?;
        let methods = table.entry(key).or_default();
        let twice =
            |method: &str| (start, format!("a rule above holds for {method} of this path already: join the two"));
        match entry.methods {
            None if methods.get(None).is_some() => return Err(twice("every other method")),
            None => methods.0.push((None, demand)),
            Some(named) => {
                let at = named.span().start;
                let named = named.into_inner();
                if named.is_empty() {
                    return Err((at, "`methods` is empty: name some, or leave it out for all".into()));
                }
                for method in named {
                    if method.is_empty() || !method.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-') {
                        return Err((at, format!("`{method}` is no method: write it in capitals, like \"GET\"")));
                    }
                    if methods.get(Some(&method)).is_some() {
                        return Err(twice(&method));
                    }
                    methods.0.push((Some(method), demand.clone()));
                }
            }
        }
        Ok(())
    }

    /// The resource servers that rules name.
    pub fn audiences(&self) -> impl Iterator<Item = &AudienceUri> {
        self.demands().filter_map(|demand| match demand {
            Demand::Token { audience, .. } => audience.as_ref(),
            Demand::Nothing => None,
        })
    }

    /// Whether some rule asks for a token and leaves open for which resource server.
    pub fn leaves_audience_open(&self) -> bool {
        self.demands().any(|demand| matches!(demand, Demand::Token { audience: None, .. }))
    }

    fn demands(&self) -> impl Iterator<Item = &Demand> {
        self.exact.values().chain(self.prefixes.values()).flat_map(|methods| methods.0.iter().map(|(_, demand)| demand))
    }

    /// What this method of this path asks for; none where no rule lets it through. The path is [`path::plain`].
    pub(super) fn find(&self, method: &str, path: &str) -> Option<&Demand> {
        if let Some(methods) = self.exact.get(path) {
            return methods.of(method);
        }
        let mut prefix = path;
        loop {
            if let Some(methods) = self.prefixes.get(prefix) {
                return methods.of(method);
            }
            prefix = match prefix.rfind('/')? {
                0 if prefix.len() == 1 => return None,
                0 => "/",
                end => &prefix[..end],
            };
        }
    }
}

impl Methods {
    fn get(&self, method: Option<&str>) -> Option<&Demand> {
        self.0.iter().find(|(own, _)| own.as_deref() == method).map(|(_, demand)| demand)
    }

    fn of(&self, method: &str) -> Option<&Demand> {
        self.get(Some(method)).or_else(|| self.get(None))
    }
}

fn demand(entry: &Entry) -> Result<Demand, Wrong> {
    if entry.public {
        let other = entry.audience.as_ref().map(|audience| audience.span().start);
        return match other.or(entry.scopes.as_ref().map(|scopes| scopes.span().start)) {
            Some(at) => Err((at, "a public path looks at no token: leave `audience` and `scopes` out".into())),
            None => Ok(Demand::Nothing),
        };
    }
    let audience = entry
        .audience
        .as_ref()
        .map(|raw| AudienceUri::parse(raw.get_ref()).map_err(|why| (raw.span().start, format!("`audience`: {why}"))));
    let scopes = entry.scopes.as_ref().filter(|scopes| !scopes.get_ref().is_empty()).map(|scopes| {
        let parsed = ScopeSet::parse(&scopes.get_ref().join(" "));
        parsed.map_err(|why| (scopes.span().start, format!("`scopes`: {why}")))
    });
    Ok(Demand::Token { audience: audience.transpose()?, scopes: scopes.transpose()? })
}

/// A rule's path as requests' paths are read.
fn plain(own: &str) -> Result<String, String> {
    if own.contains(['?', '%']) {
        return Err(format!("`{own}`: write the path as it reads decoded, without a query"));
    }
    // Written out, other letters than ASCII stand in it too.
    let encoded: String =
        own.chars().map(|c| if c.is_ascii() && c != ' ' { String::from(c) } else { escaped(c) }).collect();
    path::plain(&encoded).map(std::borrow::Cow::into_owned).map_err(|why| format!("`{own}` would match nothing: {why}"))
}

fn escaped(letter: char) -> String {
    let mut bytes = [0; 4];
    letter.encode_utf8(&mut bytes).bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: &str = r#"
[[rule]]
path = "/healthz"
public = true

[[rule]]
prefix = "/orders"
methods = ["GET", "HEAD"]
scopes = ["orders:read"]

[[rule]]
prefix = "/orders/"
methods = ["POST"]
scopes = ["orders:read", "orders:write"]

[[rule]]
prefix = "/orders/internal"
audience = "https://internal.example.com"

[[rule]]
path = "/orders/internal"
methods = ["GET"]
scopes = []

[[rule]]
prefix = "/"
methods = ["GET"]

[[rule]]
prefix = "/café au lait"
"#;

    fn found(rules: &Rules, method: &str, path: &str) -> String {
        match rules.find(method, path) {
            None => "refused".into(),
            Some(Demand::Nothing) => "public".into(),
            Some(Demand::Token { audience, scopes }) => {
                let audience = audience.as_ref().map_or("any", AudienceUri::as_str);
                format!("{audience} {}", scopes.as_ref().map_or_else(|| "-".into(), ToString::to_string))
            }
        }
    }

    #[test]
    fn the_most_specific_path_decides_alone() {
        let rules = Rules::parse(RULES).unwrap();
        for (method, path, told) in [
            ("GET", "/healthz", "public"),
            ("POST", "/healthz", "public"),
            ("GET", "/healthz/x", "any -"),
            ("GET", "/orders", "any orders:read"),
            ("GET", "/orders/7/lines", "any orders:read"),
            ("POST", "/orders/7", "any orders:read orders:write"),
            ("DELETE", "/orders/7", "refused"),
            ("get", "/orders/7", "refused"),
            ("GET", "/ordersandmore", "any -"),
            ("PUT", "/orders/internal/x", "https://internal.example.com -"),
            ("GET", "/orders/internal", "any -"),
            // An exact path decides alone: its rules do not take POST, and no prefix is asked.
            ("POST", "/orders/internal", "refused"),
            ("GET", "/", "any -"),
            ("POST", "/", "refused"),
            ("POST", "/café au lait/x", "any -"),
            ("POST", "/caf", "refused"),
        ] {
            assert_eq!(found(&rules, method, path), told, "{method} {path}");
        }
        let named: Vec<_> = rules.audiences().map(AudienceUri::as_str).collect();
        assert_eq!((named, rules.leaves_audience_open()), (vec!["https://internal.example.com"], true));
    }

    #[test]
    fn what_is_written_wrongly_is_refused_with_its_line_and_a_mend() {
        for (text, line, says) in [
            ("", 1, "there is no [[rule]]"),
            ("\n[[rules]]\npath = \"/\"", 2, "expected `rule`"),
            ("[[rule]]\npath = \"/\"\nscope = [\"a\"]", 3, "`scopes`"),
            ("[[rule]]\npublic = true", 1, "needs a `path`"),
            ("[[rule]]\npath = \"/\"\nprefix = \"/\"", 1, "not both"),
            ("[[rule]]\npath = \"orders\"", 2, "does not begin with /"),
            ("[[rule]]\npath = \"/a/../b\"", 2, "would match nothing"),
            ("[[rule]]\npath = \"/a%20b\"", 2, "decoded"),
            ("[[rule]]\npath = \"/a?b\"", 2, "without a query"),
            ("[[rule]]\npath = \"/a\"\nmethods = []", 3, "name some"),
            ("[[rule]]\npath = \"/a\"\nmethods = [\"get\"]", 3, "capitals"),
            ("[[rule]]\npath = \"/a\"\npublic = true\n\nscopes = [\"a\"]", 5, "leave `audience` and `scopes` out"),
            ("[[rule]]\npath = \"/a\"\naudience = \"api\"", 3, "`audience`"),
            ("[[rule]]\npath = \"/a\"\nscopes = [\"\\\"\"]", 3, "`scopes`"),
            ("[[rule]]\npath = \"/a\"\nscopes = \"a\"", 3, "expected a sequence"),
            ("[[rule]]\npath = \"/a\"\n[[rule]]\npath = \"/a/\"", 4, "join the two"),
            (
                "[[rule]]\npath = \"/a\"\nmethods = [\"GET\"]\n[[rule]]\npath = \"/a\"\nmethods = [\"PUT\", \"GET\"]",
                5,
                "GET",
            ),
            ("[[rule]]\npath = ", 2, ""),
        ] {
            let (at, message) = Rules::parse(text).unwrap_err();
            let found = text[..at].matches('\n').count() + 1;
            assert!(found == line && message.contains(says) && !message.contains('\n'), "{text}\n{found}: {message}");
        }
    }

    #[test]
    fn a_file_is_named_in_what_is_wrong_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("rules.toml");
        std::fs::write(&file, "[[rule]]\nprefix = \"/\"\nscop = 1\n").unwrap();
        let told = Rules::load(&file).unwrap_err().to_string();
        assert!(told.starts_with(&format!("{}:3: unknown field `scop`", file.display())), "{told}");
        let told = Rules::load(&dir.path().join("none")).unwrap_err().to_string();
        assert!(told.contains("none: cannot be read"), "{told}");
    }
}
