//! What was found out about a request, for programs.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Quarantine;
use super::words::Told;
use crate::policy::{Change, Explanation, Question, ScopeExplained};

/// The document for programs, with the same members in every case; `docs/policies.md` says what they mean. `explained`: none
/// where the policies did not come into it.
pub fn json(told: &Told, explained: Option<(&Question, &Explanation, &Quarantine)>) -> Value {
    let mut document = json!({
        "version": 1, "sentence": told.sentence, "next": told.next, "allowed": null, "policies": [], "reason": null,
        "why": null, "ttl": null, "request": null, "scopes": [], "changes": [], "quarantine": null, "policies_dir": null,
        "digest": null, "is_in_use": null, "warnings": [], "decision": null, "reloads_since": null,
        "released": null,
    });
    let Some((question, explained, quarantine)) = explained else { return document };
    let (policies, reason, why, ttl) = match &explained.decided {
        Ok(grant) => (grant.policies().to_vec(), None, None, Some(grant.ttl().as_secs())),
        Err(denial) => {
            let refusal = &denial.refusal;
            (denial.policies.clone(), Some(refusal.reason.as_str()), Some(refusal.description.to_string()), None)
        }
    };
    let more = json!({
        "allowed": explained.decided.is_ok(), "policies": policies, "reason": reason, "why": why, "ttl": ttl,
        "request": {
            "workload": question.workload.as_str(), "audience": question.audience, "scope": question.scopes.to_string(),
            "task": question.open_task.is_none().then(|| question.task.as_str()),
            "task_by_platform": question.open_task.as_ref().map(ToString::to_string), "ttl": question.ttl.map(|ttl| ttl.as_secs()), "now": question.now.rfc3339(),
            "identity": {"type": question.identity.kind.as_str(), "claims": *question.identity.claims},
        },
        "scopes": explained.scopes.iter().map(scope_json).collect::<Vec<_>>(),
        "changes": explained.changes.iter().map(change_json).collect::<Vec<_>>(),
        "quarantine": quarantine.json(),
    });
    if let (Some(document), Value::Object(more)) = (document.as_object_mut(), more) {
        document.extend(more);
    }
    document
}

/// What came out for a request that nobody has made yet, as a sentence, and what would have to be different.
pub fn told(explained: &Explanation) -> Told {
    let sentence = match &explained.decided {
        Ok(grant) => format!("it would be allowed by {}, for {} s", grant.policies().join(", "), grant.ttl().as_secs()),
        Err(denial) => format!("it would be refused: {}", denial.refusal.description),
    };
    Told { sentence, next: explained.changes.first().map(|change| change.text.clone()) }
}

fn scope_json(scope: &ScopeExplained) -> Value {
    let policies = scope.policies.iter().map(|policy| {
        let parts = policy.parts.iter().map(|part| {
            let values: BTreeMap<_, _> = part.values.iter().cloned().collect();
            json!({"text": part.text, "holds": part.holds, "open": part.is_open, "values": values})
        });
        json!({
            "id": policy.id, "effect": if policy.permits { "permit" } else { "forbid" }, "applies": policy.applies,
            "file": policy.file, "line": policy.line, "conditions": parts.collect::<Vec<_>>(),
        })
    });
    json!({
        "scope": scope.scope, "outcome": scope.outcome.map(crate::policy::Outcome::as_str),
        "policies": policies.collect::<Vec<_>>(),
    })
}

fn change_json(change: &Change) -> Value {
    let paste = change.paste.as_ref().map(|(file, text)| json!({"file": file, "text": text}));
    json!({"text": change.text, "proven": change.proven, "paste": paste})
}
