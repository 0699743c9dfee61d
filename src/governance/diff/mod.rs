//! `jitney policy diff`: what access a change adds, takes and alters, and whether it says so itself.
//!
//! Owns the order: who can be whom, how long, then what each may get. Sound on one side: what is called "not wider" is so for
//! every request that the schema allows. `docs/policy-diff.md`.

mod concern;
mod held;
mod identity;
mod markdown;
mod proof;
mod revision;
mod row;
mod spoken;
mod statements;
mod trees;
mod weigh;

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::governance::invariants::Breach;
use crate::governance::logic::solve::Solving;
use crate::model::UnixTime;
use crate::policy::{Diagnostic, PolicySet, Workload, with_room};
use concern::Index;
use identity::Known;
use weigh::Scale;

pub use crate::governance::logic::solve::Effort;
pub use proof::Shown;
pub use row::{Access, Row, Turn, Width};
pub(super) use statements::wrong_in as wrong_statements;
pub use trees::{Tree, TreeError};

/// What a change does.
#[derive(Debug)]
pub struct Report {
    /// The trees, as they were named.
    pub base: String,
    /// The later one.
    pub head: String,
    /// Whether there was nothing before.
    pub is_first: bool,
    /// What changes, what widens first.
    pub rows: Vec<Row>,
    /// What is wrong with what the change states.
    pub findings: Vec<Diagnostic>,
    /// What is wrong in the files of invariants, or names what is gone: nothing is held against those.
    pub unread: Vec<Diagnostic>,
    /// Statements that BASE has already: they do not count.
    pub notes: Vec<Diagnostic>,
    /// Where an invariant of the later tree is broken, or not shown to hold.
    pub breaches: Vec<Breach>,
    /// Invariants of the earlier tree that the later one has not any more, or not as they were.
    pub dropped: Vec<Dropped>,
    /// Why no solver was of use, where one was needed.
    pub unproven: Option<String>,
}

/// An invariant that a change takes out of force as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dropped {
    /// Its `@id`.
    pub id: String,
    /// Whether none of that id is declared any more; else it says something else.
    pub is_gone: bool,
}

impl std::fmt::Display for Dropped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.is_gone { "is no longer declared" } else { "says something else now" })
    }
}

/// Compares two trees. `now` is the moment of the requests that are tried, where no condition asks for another.
///
/// # Errors
/// The system gives no thread with room for it.
pub fn diff(base: &Tree, head: &Tree, now: UnixTime, effort: Effort<'_>) -> std::io::Result<Report> {
    with_room(|| {
        let (before, after) = (Index::of(&base.set), Index::of(&head.set));
        let schema = PolicySet::schema_of([&base.set, &head.set].into_iter());
        let mut solving = Solving::within(schema, effort);
        let mut rows = introspection(&base.set, &head.set);
        for workload in head.set.workloads() {
            rows.extend(of_workload(&before, &after, workload));
        }
        let mut scale = Scale::new(&before, &after, now.secs(), &mut solving);
        for (workload, asked) in concern::concerned(&before, &after) {
            rows.extend(scale.rows(&workload, &asked));
        }
        let mut rows = together(rows);
        let statements::Told { findings, notes } = statements::apply(&mut rows, base, head);
        let held::Held { breaches, unread, dropped } = held::against(base, head, now.secs(), &mut solving);
        rows.sort_by_cached_key(|row| {
            (row.width, row.access, row.audience.clone(), row.scope.clone(), row.workloads.first().cloned(), row.turn)
        });
        let is_in_doubt = rows.iter().any(|row| row.width == Width::MayBeWider)
            || breaches.iter().any(|breach| breach.request.is_none());
        let unproven = solving.trouble().filter(|_| is_in_doubt).map(ToString::to_string);
        let (base_name, head_name) = (base.name.clone(), head.name.clone());
        Report {
            base: base_name,
            head: head_name,
            is_first: base.is_missing,
            rows,
            findings,
            unread,
            notes,
            breaches,
            dropped,
            unproven,
        }
    })
}

/// Who can ask about tokens as an audience that was there before.
fn introspection<'a>(base: &'a PolicySet, head: &'a PolicySet) -> Vec<Row> {
    let of = |audience: &'a std::sync::Arc<crate::policy::Audience>| {
        let uri = audience.id.as_str();
        let before = base.audience(uri)?;
        let known = |audience: &'a crate::policy::Audience, set| Known::of(uri, &audience.identities, set);
        let row = proofs(Access::Introspection, &known(audience, head), &known(before, base), false)?;
        Some(Row { audience: Some(uri.to_owned()), ..row })
    };
    head.audiences().filter_map(of).collect()
}

/// Who can be a workload that was there before and gets something, and for how long.
fn of_workload(base: &Index<'_>, head: &Index<'_>, workload: &Workload) -> Vec<Row> {
    let id = workload.id.as_str();
    let is_governed = |workload: &Workload| workload.gaps().is_empty();
    let Some(before) = base.set.workload(id).filter(|before| is_governed(before) && is_governed(workload)) else {
        return Vec::new();
    };
    let of_it = |row: Row| Row { workloads: vec![id.to_owned()], ..row };
    let mut rows = Vec::new();
    if head.of_workload(id).any(|rule| rule.permits) {
        let rules = || base.of_workload(id).chain(head.of_workload(id));
        let is_looked_at = rules().any(|rule| rule.body.is_some_and(concern::looks_at_proof));
        let (new, old) = (Known::of(id, &workload.identities, head.set), Known::of(id, &before.identities, base.set));
        rows.extend(proofs(Access::Identity, &new, &old, is_looked_at).map(of_it));
        if workload.expires != before.expires {
            let day =
                |workload: &Workload| workload.expires.map(|day| format!("to the end of {day}")).into_iter().collect();
            let row = changed(Access::Expiry, day(workload), true);
            let width = if workload.expires > before.expires { Width::Wider } else { Width::NotWider };
            rows.push(of_it(Row { width, before: day(before), ..row }));
        }
    }
    rows
}

fn proofs(access: Access, head: &Known<'_>, base: &Known<'_>, is_looked_at: bool) -> Option<Row> {
    let new = identity::new_proofs(head, base, is_looked_at);
    let is_sure = new.iter().any(|proof| proof.is_sure);
    // One that is surely new says more.
    let shown = new.iter().filter(|proof| proof.is_sure).chain(&new).find_map(|proof| proof.shown.clone());
    let told: Vec<String> = new.into_iter().map(|proof| proof.told).collect();
    let lost = identity::lost_proofs(head, base, is_looked_at);
    if told.is_empty() && lost.is_empty() {
        return None;
    }
    if !told.is_empty() {
        return Some(Row { proof: shown, before: lost, ..changed(access, told, is_sure) });
    }
    // What is left is told with what goes: a second key that is taken away is no loss of all.
    let left = head.told();
    let turn = if left.is_empty() { Turn::Loses } else { Turn::Changes };
    Some(Row { turn, width: Width::NotWider, before: lost, ..changed(access, left, true) })
}

fn changed(access: Access, after: Vec<String>, is_sure: bool) -> Row {
    Row {
        access,
        turn: Turn::Changes,
        width: if is_sure { Width::Wider } else { Width::MayBeWider },
        workloads: Vec::new(),
        audience: None,
        scope: None,
        before: Vec::new(),
        after,
        policies: Vec::new(),
        request: None,
        proof: None,
        stated: None,
    }
}

/// One row for all workloads that a change concerns alike.
fn together(rows: Vec<Row>) -> Vec<Row> {
    let mut places: HashMap<_, usize> = HashMap::new();
    let mut all: Vec<Row> = Vec::new();
    for row in rows {
        let key = (
            (row.access, row.turn, row.width, row.workloads.is_empty()),
            (row.audience.clone(), row.scope.clone(), row.before.clone(), row.after.clone()),
        );
        match places.get(&key) {
            Some(at) => all[*at].workloads.extend(row.workloads),
            None => {
                places.insert(key, all.len());
                all.push(row);
            }
        }
    }
    all
}

impl Report {
    /// The rows that somebody must still state.
    pub fn open(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| row.is_open())
    }

    /// Whether nothing widens but what the change states.
    pub fn passes(&self) -> bool {
        self.open().next().is_none()
    }

    /// The invariants that are surely broken, each by a request.
    pub fn broken(&self) -> impl Iterator<Item = &Breach> {
        self.breaches.iter().filter(|breach| breach.request.is_some())
    }

    /// Whether an invariant is not shown to hold, and this change has to do with it.
    pub fn is_in_new_doubt(&self) -> bool {
        self.breaches.iter().any(Breach::is_new_doubt)
    }

    /// Whether it may be merged as it is.
    pub fn is_good(&self) -> bool {
        let is_held = self.unread.is_empty() && self.broken().next().is_none() && !self.is_in_new_doubt();
        self.passes() && self.findings.is_empty() && is_held
    }

    /// For a pull request.
    pub fn markdown(&self) -> String {
        markdown::of(self)
    }

    /// For programs; `docs/policy-diff.md` says what its fields mean.
    pub fn json(&self) -> Value {
        let count = |width: Width| self.rows.iter().filter(|row| row.width == width).count();
        let told = |finding: &Diagnostic| {
            json!({"message": finding.message, "mend": finding.help, "file": finding.file, "line": finding.line,
                "column": finding.column})
        };
        let findings = self.findings.iter().chain(&self.unread).map(told);
        json!({
            "version": 1, "base": self.base, "head": self.head, "passed": self.is_good(),
            "counts": {
                "widens": count(Width::Wider), "may_widen": count(Width::MayBeWider), "not_wider": count(Width::NotWider),
                "unstated": self.open().count(),
            },
            "rows": self.rows.iter().map(Row::json).collect::<Vec<_>>(),
            "findings": findings.collect::<Vec<_>>(), "notes": self.notes.iter().map(told).collect::<Vec<_>>(), "unproven": self.unproven,
            "invariants": self.breaches.iter().map(Breach::json).collect::<Vec<_>>(), "dropped": self.dropped.iter().map(|each| &each.id).collect::<Vec<_>>(),
        })
    }
}
