//! What must never be possible, which no offer may make possible: the invariants beside a set.
//!
//! Owns how they are read and how an offer is held against them: by the asked request, as the set would decide it with the offer.

use std::fs;
use std::io;
use std::path::Path;

use crate::model::ScopeSet;
use crate::policy::{Change, Invariant, PolicySet, Question, SourceFile};

/// The invariants beside a set.
#[derive(Debug, Default)]
pub(super) struct Held {
    invariants: Vec<Invariant>,
    /// Why not all of them are known.
    unread: Option<String>,
}

impl Held {
    /// Those in `dir/invariants`, read among the names of `set`.
    pub(super) fn beside(dir: &Path, set: &PolicySet) -> Self {
        let files = match read(dir) {
            Ok(files) if files.is_empty() => return Self::default(),
            Ok(files) => files,
            Err(error) => return Self { unread: Some(error.to_string()), ..Self::default() },
        };
        let (invariants, wrong) = set.invariants(&files);
        Self { invariants, unread: wrong.first().map(|wrong| wrong.message.clone()) }
    }

    /// Takes out of what is offered all that would have the policies permit what an invariant forbids, and names that.
    pub(super) fn weigh(&self, set: &PolicySet, question: &Question, changes: &mut Vec<Change>) {
        let mut told: Vec<String> = Vec::new();
        changes.retain_mut(|change| {
            if !change.is_of_policies {
                return true;
            }
            let broken = self.met_by(set, change.with.as_ref().unwrap_or(question));
            for invariant in &broken {
                let text = format!("the invariant {invariant} forbids this: no policy may permit it");
                if !told.contains(&text) {
                    told.push(text);
                }
            }
            if let Some(why) = self.unread.as_ref().filter(|_| broken.is_empty() && change.paste.is_some()) {
                change.text.push_str(&format!(" (invariants were not looked at: {why})"));
            }
            broken.is_empty()
        });
        changes.extend(told.into_iter().map(Change::told));
    }

    /// Those that speak of the request, each with its place.
    fn met_by(&self, set: &PolicySet, question: &Question) -> Vec<String> {
        // An invariant is about one scope, and sees the ttl that policies see.
        let ttl = Some(set.wanted_ttl(question));
        let alone = question.scopes.iter().filter_map(|scope| {
            Some(Question { ttl, scopes: ScopeSet::parse(scope.as_str()).ok()?, ..question.clone() })
        });
        let alone: Vec<Question> = alone.collect();
        let met = self.invariants.iter().filter(|each| alone.iter().any(|one| set.is_met(each, &one.ask())));
        met.map(|each| format!("{} ({})", each.id, each.place())).collect()
    }
}

/// `invariants/*.cedar`; none where there is no such folder in one that can be read.
fn read(dir: &Path) -> io::Result<Vec<SourceFile>> {
    fs::read_dir(dir).map_err(|error| named(dir, &error))?;
    let folder = dir.join("invariants");
    let entries = match fs::read_dir(&folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(|error| named(&folder, &error))?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if !name.ends_with(".cedar") || name.starts_with('.') {
            continue;
        }
        let path = folder.join(&name);
        let text = fs::read_to_string(&path).map_err(|error| named(&path, &error))?;
        files.push(SourceFile { path: path.to_string_lossy().into(), text: text.into() });
    }
    files.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(files)
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{} cannot be read: {error}", path.display()))
}
