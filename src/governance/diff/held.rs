//! Which invariants a change is held against: those of the tree after it, and those of the tree before that it takes away.
//!
//! Owns that none is got rid of by the change that breaks it, be it by another spelling of an audience, by another name, or by
//! taking away what it names. Whether one holds is asked elsewhere.

use std::collections::HashSet;
use std::sync::Arc;

use super::Dropped;
use super::spoken::silenced;
use super::trees::Tree;
use crate::governance::invariants::{Breach, breaches};
use crate::governance::logic::named::{Naming, namings};
use crate::governance::logic::solve::Solving;
use crate::policy::{Diagnostic, Invariant, PolicySet, Severity, SourceFile};

/// What came of it.
pub(super) struct Held {
    /// Where one is broken, or not shown to hold.
    pub breaches: Vec<Breach>,
    /// Those against which nothing can be held.
    pub unread: Vec<Diagnostic>,
    /// Those of the tree before that are gone, or read otherwise.
    pub dropped: Vec<Dropped>,
}

/// Holds the tree after the change against them all.
pub(super) fn against(base: &Tree, head: &Tree, now: u64, solving: &mut Solving) -> Held {
    let (after, mut unread) = head.set.invariants(&head.invariants());
    // Of the tree before: as they are written there, and as they would be written here.
    let (written, _) = base.set.invariants(&base.invariants());
    let files: Vec<SourceFile> = base.invariants().iter().map(|file| respelled(file, &base.set, &head.set)).collect();
    let (before, _) = base.set.invariants(&files);
    let as_it_was: HashSet<_> = written.iter().map(words).collect();
    let untouched = after.iter().filter(|each| as_it_was.contains(&words(each)));
    unread.extend(untouched.filter_map(|each| {
        let silent = || silenced(&base.set, &head.set, each, each).map(|of| is_silent(each, each, &of));
        names_nothing_now(each, base, head).or_else(silent)
    }));
    let stood: HashSet<_> = before.iter().map(words).collect();
    let declared: HashSet<Arc<str>> = after.iter().map(|each| each.id.clone()).collect();
    let (kept, new): (Vec<Invariant>, Vec<Invariant>) =
        after.into_iter().partition(|each| stood.contains(&words(each)));
    let stands: HashSet<_> = kept.iter().map(words).collect();
    let gone: Vec<Invariant> = before.into_iter().filter(|each| !stands.contains(&words(each))).collect();
    let mut all = breaches(&head.set, &kept, Some(&base.set), now, solving);
    all.extend(breaches(&head.set, &new, None, now, solving));
    let of_base = breaches(&head.set, &gone, Some(&base.set), now, solving);
    all.extend(of_base.into_iter().map(Breach::of_base));
    for each in &gone {
        let as_written = written.iter().find(|other| other.id == each.id);
        unread.extend(as_written.and_then(|as_written| {
            let silent = || silenced(&base.set, &head.set, as_written, each).map(|of| is_silent(each, as_written, &of));
            names_what_is_gone(each, as_written, base, head).or_else(silent)
        }));
    }
    let drops = |each: &Invariant| Dropped { id: each.id.to_string(), is_gone: !declared.contains(&each.id) };
    Held { breaches: all, unread, dropped: gone.iter().map(drops).collect() }
}

/// What makes two of them one.
fn words(invariant: &Invariant) -> (Arc<str>, String) {
    (invariant.id.clone(), invariant.file.text.get(invariant.span.clone()).unwrap_or_default().to_owned())
}

/// An invariant's file with the audiences as `head` spells them: a `/` at the end makes no other audience of one.
fn respelled(file: &SourceFile, base: &PolicySet, head: &PolicySet) -> SourceFile {
    let mut text = file.text.to_string();
    for before in base.audiences().map(|audience| audience.id.as_str()) {
        let Some(after) = head.audience(before).map(|audience| audience.id.as_str()).filter(|after| *after != before)
        else {
            continue;
        };
        // Alone, or with a scope behind it.
        for end in ["\"", " "] {
            text = text.replace(&format!("\"{before}{end}"), &format!("\"{after}{end}"));
        }
    }
    SourceFile { path: file.path.clone(), text: text.into() }
}

/// One that names what was there and is not any more holds over nothing, which shows nothing.
fn names_what_is_gone(gone: &Invariant, as_written: &Invariant, base: &Tree, head: &Tree) -> Option<Diagnostic> {
    let was_unknown = base.set.unknown_to(as_written)?;
    let mut names = head.set.unknown_to(gone)?;
    names.retain(|name| !was_unknown.contains(name));
    // Part by part: the one is the other, but for how audiences are spelled.
    let parts = namings(&gone.policy).into_iter().zip(namings(&as_written.policy));
    let emptied = parts.filter(|(after, before)| after.narrows && before.is_in(&base.set) && !after.is_in(&head.set));
    names.extend(emptied.map(|(after, _)| after.told()));
    names.sort_unstable();
    let names = names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let told = format!(
        "invariant `{}` of the tree before is not shown to hold: it is taken away, or says something else, and names what \
         this change takes away as well: {names}",
        gone.id
    );
    let mend = "take the invariant away, or write it anew, in a change of its own before this one, while what it names is \
                still there";
    let finding = Diagnostic::of(Severity::Error, "invariant", told).at(&as_written.file, as_written.span.clone());
    (!names.is_empty()).then(|| finding.help(mend))
}

/// One that stays as it is and names by text what is gone: it speaks of less than before, and nobody said so.
fn names_nothing_now(invariant: &Invariant, base: &Tree, head: &Tree) -> Option<Diagnostic> {
    let all = namings(&invariant.policy);
    let emptied = |part: &&Naming<'_>| part.narrows && part.is_in(&base.set) && !part.is_in(&head.set);
    let names: Vec<String> = all.iter().filter(emptied).map(|part| format!("`{}`", part.told())).collect();
    let told = format!(
        "invariant `{}` is not shown to hold any more: it names by text what this change takes away: {}",
        invariant.id,
        names.join(", ")
    );
    let mend = "have the invariant name the old and the new in a list, or take it away, in a change of its own before this one: \
                [\"…\", \"…\"].contains(…)";
    let finding = Diagnostic::of(Severity::Error, "invariant", told).at(&invariant.file, invariant.span.clone());
    (!names.is_empty()).then(|| finding.help(mend))
}

/// One whose words fit nothing any more that they fitted before, though each of them still names something.
fn is_silent(invariant: &Invariant, as_written: &Invariant, of: &str) -> Diagnostic {
    let told = format!(
        "invariant `{}` is not shown to hold any more: it was about {of}, and is not after this change",
        invariant.id
    );
    let mend = "have the invariant say what it is about in both trees, or take it away, in a change of its own before this one";
    Diagnostic::of(Severity::Error, "invariant", told).at(&as_written.file, as_written.span.clone()).help(mend)
}
