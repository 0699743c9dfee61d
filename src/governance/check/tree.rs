//! What the lints look at: the set, its files with the places of their fields, and all that lies beside them.
//!
//! Owns reading the tree, within bounds. Never says what is wrong with it.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::finding::Findings;
use crate::model::UnixTime;
use crate::policy::{Links, PolicySet, RuleView, SourceFile, open_plain};

/// Files are searched up to this size, and so many of them: more is no folder of policies.
const MAX_FILE: u64 = 4 << 20;
const MAX_FILES: usize = 200_000;
/// Folders within folders are looked into so far.
const DEEPEST: usize = 16;

/// What a check looks at.
pub(super) struct Tree<'a> {
    pub now: UnixTime,
    /// The set, where it loads.
    pub set: Option<&'a PolicySet>,
    /// The set's files, and those they name, by path relative to the directory.
    pub files: &'a BTreeMap<String, SourceFile>,
    pub walk: &'a Walk,
    /// `workloads/*.toml` and `audiences/*.toml` that are TOML, in the order of their paths.
    pub workloads: Vec<Doc<'a>>,
    pub audiences: Vec<Doc<'a>>,
    /// Every policy, where the set loads.
    pub rules: Vec<RuleView<'a>>,
}

/// A file of the catalogue.
pub(super) struct Doc<'a> {
    /// `workload` or `audience`.
    pub what: &'static str,
    /// A workload's id, an audience's URI.
    pub id: String,
    pub file: &'a SourceFile,
    table: DeTable<'a>,
}

/// All files under the directory, whether or not the set knows them.
pub(super) struct Walk {
    pub files: Vec<Text>,
    /// Those that were not looked into, and why.
    pub passed_over: Vec<(String, &'static str)>,
}

/// One of them.
pub(super) struct Text {
    /// By its path relative to the directory.
    pub path: String,
    pub file: SourceFile,
}

impl<'a> Tree<'a> {
    pub fn new(
        now: UnixTime,
        set: Option<&'a PolicySet>,
        files: &'a BTreeMap<String, SourceFile>,
        walk: &'a Walk,
        told: &Findings,
    ) -> Self {
        // Of a file with a field that there is not, only that is told: the field may be a slip of one that seems missing.
        let is_read = |doc: &Doc<'_>| {
            !told.all.iter().any(|each| each.diagnostic.code == "toml" && each.diagnostic.file == *doc.file.path)
        };
        let of = |what, folder| docs(files, what, folder).filter(is_read).collect();
        let rules = set.map_or_else(Vec::new, |set| set.rule_views().collect());
        let (workloads, audiences) = (of("workload", "workloads/"), of("audience", "audiences/"));
        Self { now, set, files, walk, workloads, audiences, rules }
    }

    /// Workloads, then audiences.
    pub fn docs(&self) -> impl Iterator<Item = &Doc<'a>> {
        self.workloads.iter().chain(&self.audiences)
    }
}

fn docs<'a>(
    files: &'a BTreeMap<String, SourceFile>,
    what: &'static str,
    folder: &'static str,
) -> impl Iterator<Item = Doc<'a>> {
    files.iter().filter_map(move |(path, file)| {
        let stem = path.strip_prefix(folder)?.strip_suffix(".toml").filter(|stem| !stem.contains('/'))?;
        let table = DeTable::parse(&file.text).ok()?.into_inner();
        let uri = field_of(&table, "id").and_then(|id| id.get_ref().as_str()).map(str::to_owned);
        let id = uri.filter(|_| what == "audience").unwrap_or_else(|| stem.to_owned());
        Some(Doc { what, id, file, table })
    })
}

impl<'a> Doc<'a> {
    /// All that the file says.
    pub const fn table(&self) -> &DeTable<'a> {
        &self.table
    }

    /// A field of it.
    pub fn field(&self, name: &str) -> Option<&Spanned<DeValue<'a>>> {
        field_of(&self.table, name)
    }

    /// A text of it that is not empty, and its place.
    pub fn text(&self, name: &str) -> Option<(&str, Range<usize>)> {
        let field = self.field(name)?;
        let text = field.get_ref().as_str()?.trim();
        (!text.is_empty()).then(|| (text, field.span()))
    }

    /// Its identities.
    pub fn identities(&self) -> impl Iterator<Item = (&DeTable<'a>, Range<usize>)> {
        let all = self.field("identity").and_then(|field| field.get_ref().as_array());
        all.into_iter().flat_map(|all| all.iter()).filter_map(|one| Some((one.get_ref().as_table()?, one.span())))
    }
}

/// A field of a table.
pub(super) fn field_of<'t, 'a>(table: &'t DeTable<'a>, name: &str) -> Option<&'t Spanned<DeValue<'a>>> {
    table.iter().find(|(key, _)| key.get_ref() == name).map(|(_, value)| value)
}

impl Walk {
    /// Reads all files under `dir`; what cannot be read is told by the load, where the set needs it.
    /// Nothing is read through a link that leaves it: the link itself is a finding.
    pub fn of(dir: &Path, links: &Links) -> Self {
        let mut walk = Self { files: Vec::new(), passed_over: Vec::new() };
        walk.enter((dir, links), Path::new(""), 0);
        walk.files.sort_by(|a, b| a.path.cmp(&b.path));
        walk
    }

    fn enter(&mut self, (dir, links): (&Path, &Links), folder: &Path, depth: usize) {
        for entry in fs::read_dir(dir.join(folder)).into_iter().flatten().flatten() {
            let path: PathBuf = folder.join(entry.file_name());
            let name = path.to_string_lossy().into_owned();
            let Ok(kind) = entry.file_type() else { continue };
            // A link to a folder may lead anywhere, and in circles. Git's own folder holds packed files.
            if kind.is_dir() {
                match depth < DEEPEST {
                    _ if entry.file_name() == ".git" => {}
                    true => self.enter((dir, links), &path, depth + 1),
                    false => self.passed_over.push((name, "it lies too deep")),
                }
            } else if !links.lead_out(&path) && fs::metadata(entry.path()).is_ok_and(|meta| meta.is_file()) {
                match self.files.len() < MAX_FILES {
                    true => self.read(&entry.path(), name),
                    false => return self.passed_over.push((name, "there are too many files")),
                }
            }
        }
    }

    fn read(&mut self, at: &Path, path: String) {
        let mut bytes = Vec::new();
        let read = open_plain(at).and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes));
        if read.is_err() {
            return self.passed_over.push((path, "it cannot be read"));
        }
        if bytes.len() as u64 > MAX_FILE {
            return self.passed_over.push((path, "it is larger than 4 MiB"));
        }
        // What is no text is searched all the same, as far as it reads as text.
        let text = String::from_utf8_lossy(&bytes);
        let file = SourceFile { path: at.to_string_lossy().as_ref().into(), text: text.as_ref().into() };
        self.files.push(Text { path, file });
    }
}
