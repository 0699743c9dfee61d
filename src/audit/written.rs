//! A record as it stands in its line: which member holds what, in which order, and that none makes a line too long.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::{AudienceUri, DecisionId, Position, ScopeSet, TaskId, WorkloadId};

use super::pen::{Pen, member};
use super::record::AuditRecord;
use super::text::told;

impl AuditRecord {
    /// Writes its members, each behind a comma; those that it does not have are left out.
    pub(super) fn write(&self, pen: &mut Pen<'_>) {
        let fields = &*self.0;
        pen.text(member!("event"), fields.event.as_str());
        pen.text(member!("outcome"), fields.outcome.as_str());
        let mut text = |member, value: Option<&str>| value.into_iter().for_each(|text| pen.text(member, text));
        text(member!("decision_id"), fields.decision_id.as_ref().map(DecisionId::as_str));
        text(member!("workload"), fields.workload.as_ref().map(WorkloadId::as_str));
        text(member!("audience"), fields.audience.as_ref().map(AudienceUri::as_str));
        text(member!("task"), fields.task.as_ref().map(TaskId::as_str));
        if let Some(asked) = &fields.scope {
            scopes(pen, asked);
        }
        for (member, lease) in [(member!("lease"), fields.lease), (member!("predecessor"), fields.predecessor)] {
            if let Some(lease) = lease {
                pen.text(member, lease.write_into(&mut [0; 36]));
            }
        }
        let number = |pen: &mut Pen<'_>, member, value: Option<u64>| {
            value.into_iter().for_each(|number| pen.number(member, number));
        };
        number(pen, member!("ttl"), fields.ttl);
        if let Some(kid) = &fields.kid {
            pen.text(member!("kid"), kid.as_str());
        }
        if let Some(epoch) = fields.epoch {
            pen.text(member!("epoch"), &epoch.to_string());
        }
        number(pen, member!("position"), fields.position.map(Position::get));
        if !fields.policies.is_empty() {
            bounded_names(pen, &fields.policies);
        }
        if let Some(reason) = fields.refusal {
            pen.text(member!("refusal"), reason.as_str());
        }
        number(pen, member!("count"), fields.count);
        if fields.more {
            pen.raw(concat!(member!("more"), "true"));
        }
        if let Some(since) = fields.since {
            pen.text(member!("since"), since.write_into(&mut [0; 24]));
        }
        number(pen, member!("took_us"), fields.took_us);
        if fields.no_effect {
            pen.raw(concat!(member!("no_effect"), "true"));
        }
        if fields.probe {
            pen.raw(concat!(member!("probe"), "true"));
        }
        for (member, words) in [(member!("actor"), &fields.actor), (member!("identity"), &fields.identity)] {
            if let Some(words) = words {
                pen.text(member, words.as_str());
            }
        }
        if let Some(claims) = &fields.claims {
            bounded_claims(pen, claims);
        }
        if let Some(peer) = fields.peer {
            pen.text(member!("peer"), &peer.to_string());
        }
        for (member, words) in [(member!("reason"), &fields.reason), (member!("detail"), &fields.detail)] {
            if let Some(words) = words {
                pen.text(member, words.as_str());
            }
        }
    }
}

/// Writes scopes with a space between them.
fn scopes(pen: &mut Pen<'_>, scopes: &ScopeSet) {
    let mut all = scopes.iter();
    match (all.next(), all.next()) {
        (Some(one), None) => pen.text(member!("scope"), one.as_str()),
        _ => pen.text(member!("scope"), &scopes.to_string()),
    }
}

/// Claims are a platform's words: told like any others, bounded and without control characters.
fn bounded_claims(pen: &mut Pen<'_>, claims: &BTreeMap<String, String>) {
    const ROOM: usize = 4 * 1024;
    let (mut used, mut before) = (0, "{");
    pen.raw(member!("claims"));
    for (name, text) in claims {
        let (name, text) = (told(name, AuditRecord::MAX_NAME), told(text, AuditRecord::MAX_NAME));
        used += name.len() + text.len();
        if used > ROOM {
            break;
        }
        pen.raw(std::mem::replace(&mut before, ","));
        pen.quoted(&name);
        pen.raw(":");
        pen.quoted(&text);
    }
    pen.raw(if before == "{" { "{}" } else { "}" });
}

/// Keeps a line shorter than what the log reads back at open, however many policies there are and whatever they are
/// called: JSON writes a byte as six at the most.
fn bounded_names(pen: &mut Pen<'_>, names: &[Arc<str>]) {
    const ROOM: usize = 4 * 1024;
    let (mut used, mut before) = (0, "[");
    pen.raw(member!("policies"));
    for (at, name) in names.iter().enumerate() {
        pen.raw(std::mem::replace(&mut before, ","));
        used += name.len() + 3;
        if used > ROOM {
            pen.quoted(&format!("+{}", names.len() - at));
            break;
        }
        pen.quoted(name);
    }
    pen.raw("]");
}
