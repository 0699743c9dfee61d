//! Reads settings from a file and from environment variables: finds each one's key, keeps its place, names strangers.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::Config;
use super::error::{Place, Problem};
use super::keys::{Form, KEYS, Key, LATER, SECTIONS, blank, find};
use super::value::Given;
use crate::policy::closest;

/// Names that clients read, and a broker leaves alone.
const CLIENT_NAMES: [&str; 11] = [
    "JITNEY_URL",
    "JITNEY_WORKLOAD",
    "JITNEY_KEY_FILE",
    "JITNEY_ASSERTION_FILE",
    "JITNEY_ID_TOKEN",
    "JITNEY_ADMIN",
    "JITNEY_TOKEN",
    "JITNEY_TOKEN_FILE",
    "JITNEY_AUDIENCE",
    "JITNEY_AUDIENCE_KEY_FILE",
    "JITNEY_ISSUER",
];

/// Where each setting that was given stands, by section and name.
pub(super) type Places = HashMap<(&'static str, &'static str), Place>;

/// A setting as it was given.
struct Setting {
    key: &'static Key,
    text: String,
    place: Place,
    /// Where a relative path starts.
    base: PathBuf,
}

/// What has been read so far; later settings hold over earlier ones.
#[derive(Default)]
pub(super) struct Read {
    settings: Vec<Setting>,
    problems: Vec<Problem>,
}

impl Read {
    /// Reads the text of a file.
    pub(super) fn file(&mut self, file: &Path, text: std::io::Result<String>) {
        let text = match text {
            Ok(text) => text,
            Err(error) => return self.problem(Place::Whole(file.into()), format!("cannot be read: {error}")),
        };
        let at = |at| Place::within(file, &text, at);
        let table = match DeTable::parse(&text) {
            Ok(table) => table.into_inner(),
            Err(error) => {
                let place = error.span().map_or_else(|| Place::Whole(file.into()), |span| at(span.start));
                return self.problem(place, format!("no TOML: {}", error.message()));
            }
        };
        let base = file.parent().unwrap_or(Path::new("")).to_path_buf();
        for (name, value) in by_line(&table) {
            let place = at(name.span().start);
            let known = SECTIONS.iter().map(|(section, _)| *section);
            match (known.clone().find(|section| *section == name.get_ref()), value.get_ref()) {
                (Some(section), DeValue::Table(table)) => self.table(&base, &at, section, "", table),
                (Some(section), _) => self.problem(place, format!("`{section}` is a section: write `[{section}]`")),
                (None, DeValue::Table(_)) => {
                    let near = closest(name.get_ref(), known.clone());
                    // `policy`, `keys`: one for many, or many for one, is more letters than a slip has.
                    let stem = name.get_ref().trim_end_matches(['y', 's']);
                    let near = near.or_else(|| known.clone().find(|each| stem.len() > 2 && each.starts_with(stem)));
                    let mend = meant(near, "[", "]");
                    self.problem(place, format!("there is no section `[{}]`{mend}", name.get_ref()));
                }
                (None, _) => {
                    let home = KEYS.iter().find(|key| key.name == name.get_ref()).map(|key| key.section);
                    let mend = home.map_or_else(String::new, |home| format!(": it belongs to `[{home}]`"));
                    self.problem(place, format!("`{}` stands outside of a section{mend}", name.get_ref()));
                }
            }
        }
    }

    /// Reads a section; `prefix` is that of a table within it, `tls_` for `[server.tls]`.
    fn table(
        &mut self,
        base: &Path,
        at: &impl Fn(usize) -> Place,
        section: &'static str,
        prefix: &str,
        table: &DeTable<'_>,
    ) {
        for (name, value) in by_line(table) {
            let (place, full) = (at(name.span().start), format!("{prefix}{}", name.get_ref()));
            if let (DeValue::Table(inner), None) = (value.get_ref(), find(section, &full)) {
                let inner_prefix = format!("{full}_");
                if prefix.is_empty() && KEYS.iter().any(|k| k.section == section && k.name.starts_with(&inner_prefix)) {
                    self.table(base, at, section, &inner_prefix, inner);
                    continue;
                }
            }
            let Some(key) = find(section, &full) else {
                self.problem(place, unknown(section, &full, |section, name| format!("`{name}` in `[{section}]`")));
                continue;
            };
            if self.settings.iter().any(|setting| std::ptr::eq(setting.key, key)) {
                self.problem(place, format!("`{full}` of `[{section}]` is given twice"));
                continue;
            }
            match text_of(key.form, value) {
                Some(text) => self.settings.push(Setting { key, text, place, base: base.into() }),
                None => self.problem(
                    at(value.span().start),
                    format!("`{full}` of `[{section}]` is {}, not {}", key.form.told(), value.get_ref().type_str()),
                ),
            }
        }
    }

    /// Reads environment variables; those of other programs and of clients are left alone.
    pub(super) fn env(&mut self, env: impl IntoIterator<Item = (String, String)>) {
        let ours = |name: &str| name.starts_with("JITNEY_") && !CLIENT_NAMES.contains(&name);
        // By name, for problems in a steady order; the last of a name holds.
        let env: BTreeMap<_, _> = env.into_iter().filter(|(name, _)| ours(name)).collect();
        for (name, text) in env {
            if let Some(key) = KEYS.iter().find(|key| key.env() == name) {
                self.settings.push(Setting { key, text, place: Place::Env(name), base: PathBuf::new() });
                continue;
            }
            let rest = name.trim_start_matches("JITNEY_").to_lowercase();
            let section = SECTIONS.iter().find_map(|(section, _)| {
                rest.strip_prefix(section).and_then(|rest| rest.strip_prefix('_')).map(|rest| (*section, rest))
            });
            if let Some((section, word)) = section {
                let twin = |section: &str, name: &str| format!("`JITNEY_{section}_{name}`").to_uppercase();
                let message = unknown(section, word, twin);
                self.problem(Place::Env(name), message);
            }
        }
    }

    fn problem(&mut self, place: Place, message: String) {
        self.problems.push(Problem { place, message });
    }

    /// The defaults, `under` over them, then what was read; with where each given setting stands, and what is wrong.
    pub(super) fn into_config(self, under: impl FnOnce(&mut Config)) -> (Config, Places, Vec<Problem>) {
        let Self { settings, mut problems } = self;
        let (mut config, mut places) = (blank(), Places::new());
        let mut set = |config: &mut Config, key: &Key, text: &str, base: &Path, place: &Place| {
            if let Err(why) = (key.set)(config, &Given { text, base }) {
                let message = format!("`{}` of `[{}]`: {why}", key.name, key.section);
                problems.push(Problem { place: place.clone(), message });
            }
        };
        for key in KEYS {
            set(&mut config, key, key.default, Path::new(""), &Place::Default);
        }
        under(&mut config);
        for Setting { key, text, place, base } in settings {
            set(&mut config, key, &text, &base, &place);
            places.insert((key.section, key.name), place);
        }
        (config, places, problems)
    }
}

/// A table's entries as people read them: the parser orders by name.
fn by_line<'t, 'i>(table: &'t DeTable<'i>) -> Vec<(&'t Spanned<DeString<'i>>, &'t Spanned<DeValue<'i>>)> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(name, _)| name.span().start);
    entries
}

/// What to say of a key that is not known; `show` writes section and name as they are written there.
fn unknown(section: &str, name: &str, show: impl Fn(&str, &str) -> String) -> String {
    if let Some((_, _, why)) = LATER.iter().find(|later| (later.0, later.1) == (section, name)) {
        return (*why).to_owned();
    }
    let near = closest(name, KEYS.iter().filter(|key| key.section == section).map(|key| key.name));
    let elsewhere = || KEYS.iter().find(|key| key.name == name);
    let mend = match (near, elsewhere()) {
        (Some(near), _) => format!(": did you mean {}?", show(section, near)),
        (None, Some(key)) => format!(": did you mean {}?", show(key.section, name)),
        (None, None) => ": docs/configuration.md lists all settings".into(),
    };
    format!("there is no setting {}{mend}", show(section, name))
}

fn meant(near: Option<&str>, open: &str, close: &str) -> String {
    near.map_or_else(String::new, |near| format!(": did you mean `{open}{near}{close}`?"))
}

/// A TOML value as it would be given in the environment, where it has the right type.
fn text_of(form: Form, value: &Spanned<DeValue<'_>>) -> Option<String> {
    match (form, value.get_ref()) {
        (Form::Text | Form::Path | Form::Span | Form::Size, DeValue::String(text)) => Some(text.to_string()),
        (Form::Flag, DeValue::Boolean(flag)) => Some(flag.to_string()),
        (Form::Number | Form::Span | Form::Size, DeValue::Integer(number)) if number.radix() == 10 => {
            Some(number.as_str().to_owned())
        }
        (Form::Names, DeValue::Array(list)) => {
            let names: Option<Vec<_>> = list.iter().map(|name| name.get_ref().as_str()).collect();
            Some(names?.join(","))
        }
        _ => None,
    }
}
