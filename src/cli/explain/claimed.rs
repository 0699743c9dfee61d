//! Who was claimed to ask, where nobody proved it: whether there is such a workload, which a broker tells its operators alone.

use super::super::admin;
use crate::audit::Line;
use crate::client::ClientError;
use crate::model::{Reason, WorkloadId};
use crate::policy::meant_by;

/// What is known by now of the workload that was claimed, and what to do about it; none where none was, or nobody can be asked.
pub(super) async fn by_now(line: &Line<'_>, at: Option<&str>) -> Option<String> {
    if line.refusal.as_deref() != Some(Reason::InvalidClient.as_str()) {
        return None;
    }
    let (fault, claimed) = of(line.detail.as_deref()?)?;
    let id = WorkloadId::parse(claimed).ok()?;
    let client = admin::connect(at).ok()?;
    match client.workload(&id).await {
        Ok(_) => Some(there_is(fault, &id)),
        Err(ClientError::Refused(refused)) if refused.status == 404 => {
            let meant = meant_by(&refused.description).map(|near| format!(": did you mean {near}?"));
            let write = || format!("; where it is to be, write workloads/{id}.toml (all: jitney workload list)");
            Some(format!("there is no workload {id}{}", meant.unwrap_or_else(write)))
        }
        Err(_) => None,
    }
}

/// The fault, and who was claimed.
fn of(detail: &str) -> Option<(&str, &str)> {
    let (fault, claimed) = detail.split_once(", claimed ")?;
    // No id has a colon: behind it the detail says more.
    Some((fault, claimed.split_once(": ").map_or(claimed, |(claimed, _)| claimed)))
}

fn there_is(fault: &str, id: &WorkloadId) -> String {
    match fault {
        "bad_signature" | "unknown_key" | "ambiguous_key" => format!(
            "{id} exists, but the assertion is by none of its keys: jitney workload show {id} tells what it has; where it runs: \
             jitney doctor"
        ),
        "unknown_client" => format!("{id} exists by now: ask again"),
        _ => format!("{id} exists; the line's detail says what was wrong with its proof; where it runs: jitney doctor"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_detail_says_the_fault_and_who_was_claimed() {
        assert_eq!(of("unknown_client, claimed payment-batch"), Some(("unknown_client", "payment-batch")));
        assert_eq!(of("claims, claimed w: more, and: more"), Some(("claims", "w")));
        assert_eq!(of("form"), None);
    }
}
