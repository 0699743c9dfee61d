//! From a broker's refusal to what mends it: which file to change, which command to run, by whom.

use super::ask::Stage;
use super::identity::Source;
use super::platform;
use super::scene::Scene;
use crate::client::Refused;
use crate::governance::explain::words;
use crate::policy::{instance_by, meant_by};

/// What to do about a refusal at this question.
pub(super) fn of(scene: &Scene, stage: Stage, refused: &Refused) -> String {
    match stage {
        Stage::Authentication => authentication(scene, refused),
        Stage::Workload => workload(&scene.workload(), refused),
        Stage::Audience => near("--audience ", meant_by(&refused.description)) + &audience(scene),
        Stage::Scope if instance_by(&refused.description).is_some() => {
            instance_by(&refused.description).unwrap_or_default().to_owned()
        }
        Stage::Scope => near("--scope ", meant_by(&refused.description)) + &scope(scene),
        Stage::Policy => policy(scene, refused),
    }
}

/// Where the broker tells more than it tells the caller.
fn audit(refused: &Refused) -> String {
    match &refused.decision_id {
        Some(id) => format!("on the broker: jitney policy explain {id}"),
        None => "on the broker: jitney audit tail".into(),
    }
}

fn authentication(scene: &Scene, refused: &Refused) -> String {
    let id = scene.workload();
    if refused.error != "invalid_client" {
        return format!("on the broker's machine: jitney status, and its log; {}", audit(refused));
    }
    if refused.description.contains("used before") {
        return "run jitney doctor again; does something else send this very assertion?".into();
    }
    // What is wrong in the assertion itself is named by the broker; who is trusted is not.
    let said = refused.description.as_str();
    if let (Some(Source::Platform(Some(token))), true) = (&scene.source, said.contains("aud must")) {
        return platform::audience(scene, token, &id);
    }
    if !said.contains("not signed by a key") && !said.contains("proves no client") {
        return format!("{}; {}", in_itself(said), audit(refused));
    }
    match &scene.source {
        Some(Source::Platform(_)) => stranger(scene, &id, refused),
        Some(Source::Key(path)) => format!(
            "{}on the broker: jitney workload show {id}; there must be policies/workloads/{id}.toml, and in the file of its \
             jwks_file the public half of {}; why exactly, {}",
            slip("JITNEY_WORKLOAD=", scene.meant.as_deref()),
            path.display(),
            audit(refused)
        ),
        None => format!("why exactly, {}", audit(refused)),
    }
}

/// What is wrong in the assertion or the platform's token itself.
fn in_itself(said: &str) -> &'static str {
    match ["in the future", "not valid yet"].iter().any(|word| said.contains(word)) {
        true => {
            "this machine's clock and the broker's are alike (clock, above): look at the clock of who makes the token, or at a \
             `nbf` that it sets ahead"
        }
        false => "have whoever makes the token or the assertion mend that: the broker names what it takes",
    }
}

/// A platform's token that is no client's. Whether it is to be let in is for somebody else to say than who holds it.
fn stranger(scene: &Scene, id: &str, refused: &Refused) -> String {
    let slip = slip("JITNEY_WORKLOAD=", scene.meant.as_deref());
    match scene.told.reason.as_deref().and_then(words::of_platform_token) {
        Some((why, next)) => format!("{slip}the broker's log says: {why}; {next}; all of it, {}", audit(refused)),
        None => format!(
            "{slip}compare what the token says, above, with the [[identity]] in policies/workloads/{id}.toml: whether such a \
             token is meant to get in is for that workload's owner to decide; why exactly, {}",
            audit(refused)
        ),
    }
}

/// What was probably meant, in front of everything else.
fn slip(option: &str, near: Option<&str>) -> String {
    near.map_or_else(String::new, |near| format!("did you mean {option}{near}? otherwise, "))
}

/// The same, where the broker has asked that already.
fn near(option: &str, near: Option<&str>) -> String {
    near.map_or_else(String::new, |near| format!("ask with {option}{near}; if that is not what was meant, "))
}

fn workload(id: &str, refused: &Refused) -> String {
    let file = format!("policies/workloads/{id}.toml");
    let said = &refused.description;
    if said.contains("quarantine") {
        format!("ask an operator why: jitney workload show {id}; then: jitney workload release {id} --reason '…'")
    } else if said.contains("expired") {
        format!("set a later day in {file}: expires = …, once its owner agrees")
    } else {
        format!("add to {file} what it has not: owner, purpose, expires")
    }
}

fn audience(scene: &Scene) -> String {
    let uri = scene.ask.as_ref().map(|(audience, _)| audience.as_str()).unwrap_or_default();
    format!(
        "on the broker: jitney audience list; ask for one of those, or write policies/audiences/NAME.toml with id = \"{uri}\", \
         owner, purpose and [scopes]"
    )
}

fn scope(scene: &Scene) -> String {
    let uri = scene.ask.as_ref().map(|(audience, _)| audience.as_str()).unwrap_or_default();
    format!(
        "on the broker: jitney audience show {uri}; ask for one of its scopes, or declare it under [scopes] in that audience's \
         file in policies/audiences/"
    )
}

fn policy(scene: &Scene, refused: &Refused) -> String {
    let id = scene.workload();
    let said = &refused.description;
    if let Some(task) = attested(said) {
        return format!("the platform names the task: jitney doctor --task {task}, with the other options as they are");
    }
    if let Some(told) = &scene.told.policies {
        return format!("{told} (all of it, {})", audit(refused));
    }
    match refused.error.as_str() {
        "invalid_grant" if scene.below.is_none() => format!(
            "an earlier `jitney run` or `jitney complete` ended the run's task: have each step name a child of it, --task \
             RUN/STEP, and nothing end the run's own before its last step; {}",
            audit(refused)
        ),
        "invalid_grant" => "the task given by --task has ended: name one that runs".into(),
        "invalid_request" if said.contains("no task is attested") => format!(
            "have the platform put that claim into its tokens, or correct `task` in policies/workloads/{id}.toml, which is made \
             of it; {}",
            audit(refused)
        ),
        "invalid_request" => format!("ask within the bound that the broker names; {}", audit(refused)),
        _ if said.contains("is forbidden by policy") => {
            format!(
                "the policy that is named forbids it: change it in policies/*.cedar, or ask for less; {}",
                audit(refused)
            )
        }
        // A permit may be there already, and its condition fail.
        _ => format!(
            "conditions on the task's name may hinder: name it by --task as the policies want it; which policy speaks of it, and \
             which condition fails, {}; else ask for less, or have policies/{id}.cedar permit it",
            audit(refused)
        ),
    }
}

/// The task that the platform attests, where the refusal names it.
pub(super) fn attested(said: &str) -> Option<&str> {
    said.strip_prefix("the platform attests the task ")?.split_once(", not ").map(|(task, _)| task)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_task_of_a_platform_is_read_from_its_refusal() {
        let said = "the platform attests the task 77.1, not doctor-1: leave task out, or ask for 77.1 or 77.1/STEP";
        assert_eq!(attested(said), Some("77.1"));
        assert_eq!(attested("no policy grants orders:read"), None);
    }
}
