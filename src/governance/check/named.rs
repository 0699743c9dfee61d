//! `name-never`, `guard-unmatched`: texts and patterns that name what can never be called so, or what the set does not have.
//!
//! Cedar takes any text. A permit that names nothing grants nothing, and is seen to; what guards names nothing without a word.

use std::ops::Range;

use cedar_policy::Policy;

use super::finding::Findings;
use super::tree::{Doc, Tree, field_of};
use super::what;
use crate::governance::logic::named::{Naming, Text, namings};
use crate::model::TaskId;
use crate::policy::{Invariant, PolicySet, SourceFile};

/// A policy or an invariant.
struct Spoken<'a> {
    /// `policy`, `invariant`.
    what: &'static str,
    id: &'a str,
    policy: &'a Policy,
    /// Whether it says what must not be.
    guards: bool,
    file: &'a SourceFile,
    span: Range<usize>,
}

pub(super) fn look(tree: &Tree<'_>, findings: &mut Findings) {
    let Some(set) = tree.set else { return };
    for rule in &tree.rules {
        let (policy, file, span) = (rule.policy, rule.file, rule.span.clone());
        Spoken { what: "policy", id: rule.id, policy, guards: !rule.permits, file, span }.look(set, findings);
    }
    for doc in &tree.workloads {
        tasks(doc, findings);
    }
}

/// The same of invariants.
pub(super) fn of_invariants(set: &PolicySet, invariants: &[Invariant], findings: &mut Findings) {
    for Invariant { id, policy, file, span } in invariants {
        Spoken { what: "invariant", id, policy, guards: true, file, span: span.clone() }.look(set, findings);
    }
}

impl Spoken<'_> {
    fn look(&self, set: &PolicySet, findings: &mut Findings) {
        for naming in namings(self.policy) {
            let (names, none): (Vec<_>, Vec<_>) = naming.texts.iter().partition(|text| text.could_name(naming.kind));
            none.into_iter().for_each(|text| self.never(&naming, text, findings));
            // While one of a list is there, the guard guards: before a name becomes another one it names both.
            if self.guards && naming.narrows && !naming.is_in(set) {
                self.unmatched(set, &naming, &names, findings);
            }
        }
    }

    fn never(&self, naming: &Naming<'_>, text: &Text<'_>, findings: &mut Findings) {
        let (kind, written) = (naming.kind, text.written());
        let told = format!("no {} can ever be called `{written}`, as {} `{}` has it", kind.told(), self.what, self.id);
        let mut mend = kind.rule().to_owned();
        if written.contains('?') || matches!(text, Text::Exactly(name) if name.contains('*')) {
            mend += "; in a pattern (`like`) `*` stands for any run of characters, and nothing else does";
        }
        findings.at(what::name_never(), (self.file, self.place(&written)), self.id, (told, mend));
    }

    /// Nothing is called like any of these.
    fn unmatched(&self, set: &PolicySet, naming: &Naming<'_>, names: &[&Text<'_>], findings: &mut Findings) {
        let Some(first) = names.first() else { return };
        let kind = naming.kind.told();
        let all: Vec<String> = names.iter().map(|text| format!("`{}`", text.written())).collect();
        let told = match names {
            [Text::Exactly(_)] => format!("the {kind} {} does not exist", all[0]),
            [Text::Like(_)] => format!("no {kind} is like {}", all[0]),
            _ => format!("no {kind} is called like any of {}", all.join(", ")),
        };
        let told = format!("{told}: there {} `{}` speaks of nothing", self.what, self.id);
        let mend = match names.iter().find_map(|text| naming.near(set, text)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("name a {kind} that the set has, or leave this out: it guards nothing"),
        };
        let at = self.place(&first.written());
        findings.at(what::guard_unmatched(), (self.file, at), self.id, (told, mend));
    }

    /// Where it writes a text; the whole of it where that is written in another way, with escapes.
    fn place(&self, written: &str) -> Range<usize> {
        let own = self.file.text.get(self.span.clone()).unwrap_or_default();
        let start = own.find(&format!("\"{written}\"")).map(|at| self.span.start + at);
        start.map_or_else(|| self.span.clone(), |at| at..at + written.len() + 2)
    }
}

/// Identities whose claims must say what makes no task of their template: every token is refused.
fn tasks(doc: &Doc<'_>, findings: &mut Findings) {
    for (identity, span) in doc.identities() {
        let template = field_of(identity, "task").and_then(|task| task.get_ref().as_str());
        let claims = field_of(identity, "claims").and_then(|claims| claims.get_ref().as_table());
        let (Some(template), Some(claims)) = (template, claims) else { continue };
        for (name, says) in claims.iter().filter(|(name, _)| template.contains(&format!("{{{}}}", name.get_ref()))) {
            let glob = says.get_ref().as_table().and_then(|table| field_of(table, "glob"));
            let Some(text) = glob.unwrap_or(says).get_ref().as_str() else { continue };
            let part = if glob.is_some() { text.replace('*', "") } else { text.to_owned() };
            // What a claim says stands in the task as it is, and holds no slash there.
            if part.is_empty() || (TaskId::parse(&format!("x{part}x")).is_ok() && !part.contains('/')) {
                continue;
            }
            let told = format!(
                "no task can be made of the claim `{}` of workload `{}`, which must say `{text}`: its `task` is `{template}`",
                name.get_ref(),
                doc.id
            );
            let mend = "make the task of other claims: one holds A-Z a-z 0-9 . _ ~ : -, and no slash comes of a claim"
                .to_owned();
            let at = if says.span().is_empty() { span.clone() } else { says.span() };
            findings.at(what::name_never(), (doc.file, at), &doc.id, (told, mend));
        }
    }
}
