//! What must never be possible, which no offer may make possible: the invariants beside a set.
//!
//! Owns how they are read and how an offer is held against them: by the asked request, as the set would decide it with the offer.

use std::fs;
use std::path::Path;

use crate::governance::beside::{self, Unreadable};
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
        let files = fs::metadata(dir).map_err(|error| format!("{} cannot be read: {error}", dir.display()));
        let files = files.and_then(|_| files_of(dir).map_err(|error| error.to_string()));
        let files = match files {
            Ok(files) => files,
            Err(why) => return Self { unread: Some(why), ..Self::default() },
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

fn files_of(dir: &Path) -> Result<Vec<SourceFile>, Unreadable> {
    Ok(beside::files(dir, "invariants", ".cedar")?.into_iter().map(|(_, file)| file).collect())
}
