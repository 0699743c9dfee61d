//! A random condition that is right by its types, whatever it means.

use super::random::{AUDIENCES, INSTANCES, OWNERS, SCOPES, TASKS, TTLS, WORKLOADS};
use crate::common::Chance;

/// 2027-01-01T00:00:00Z.
const YEAR: u64 = 1_798_761_600;

pub fn random(chance: &mut Chance, depth: u64) -> String {
    if depth > 0 && chance.below(3) > 0 {
        let (one, other) = (random(chance, depth - 1), random(chance, depth - 1));
        return match chance.below(6) {
            0 | 1 => format!("({one}) && ({other})"),
            2 => format!("({one}) || ({other})"),
            3 | 4 => format!("!({one})"),
            _ => format!("if {one} then {other} else {}", random(chance, depth - 1)),
        };
    }
    match chance.below(20) {
        0 => "true".into(),
        1..=4 => of_numbers(chance),
        5..=9 => of_the_task(chance),
        10..=13 => of_the_proof(chance),
        14..=16 => of_who_asks(chance),
        _ => of_what_is_asked_for(chance),
    }
}

fn of_numbers(chance: &mut Chance) -> String {
    let ttl = *chance.pick(&TTLS);
    let sign = *chance.pick(&["<", "<=", ">", ">=", "==", "!="]);
    match chance.below(10) {
        0..=2 => format!("context.ttl {sign} {ttl}"),
        3 => format!("{ttl} {sign} context.ttl"),
        4 => format!("context.now {sign} {}", YEAR - chance.below(2)),
        // The last overflows for the largest numbers.
        5 => format!("context.now + context.ttl {sign} {}", 1_795_867_200 + ttl),
        6 => format!("context.now * 9223372036 {sign} {ttl}"),
        7 => format!("context.ttl * 2 {sign} {}", ttl * 2),
        8 => format!("context.ttl - 60 {sign} {ttl}"),
        _ => format!("-context.ttl {sign} -{ttl}"),
    }
}

fn of_the_task(chance: &mut Chance) -> String {
    let (task, other) = (*chance.pick(&TASKS), *chance.pick(&TASKS));
    match chance.below(11) {
        0 | 1 => format!("context.task == \"{task}\""),
        2 => format!("context.task != \"{task}\""),
        3 => format!("context.task like \"{task}*\""),
        4 => format!("context.task like \"*{task}\""),
        5 => format!("context.task like \"{task}*{other}\""),
        6 => format!("[\"{task}\", \"{other}\"].contains(context.task)"),
        7 => format!("[context.task].containsAny([\"{task}\", \"{other}\"])"),
        8 => format!("[context.task, \"{other}\"].containsAll([\"{task}\"])"),
        9 => format!("[context.task] == [\"{task}\"]"),
        _ => format!("\"{task}\" == context.task"),
    }
}

fn of_the_proof(chance: &mut Chance) -> String {
    let claim = |name: &str, is: String| {
        format!("context.identity.claims has {name} && {}", is.replace('_', &format!("context.identity.claims.{name}")))
    };
    match chance.below(10) {
        0 => format!("context.identity.type == \"{}\"", chance.pick(&["oidc", "private_key_jwt"])),
        1 => "context.identity.claims has env".into(),
        2 => "!(context.identity.claims has env)".into(),
        3 => "context.identity.claims has kid".into(),
        4 => claim("kid", format!("_ == \"{}\"", chance.pick(&["k1", "k2"]))),
        5 => claim("env", format!("_ == \"{}\"", chance.pick(&["p", "q"]))),
        6 => claim("env", "[\"p\", \"q\"].contains(_)".into()),
        7 => claim("ref", format!("_ like \"{}\"", chance.pick(&["refs/tags/*", "refs/*", "*1"]))),
        8 => claim("ref", "_ != \"refs/heads/main\"".into()),
        _ => claim("iss", "_ == \"https://ci.example.com\"".into()),
    }
}

fn of_who_asks(chance: &mut Chance) -> String {
    let (one, other) = (*chance.pick(&WORKLOADS), *chance.pick(&WORKLOADS));
    match chance.below(9) {
        0 | 1 => "principal.owner == resource.audience.owner".into(),
        2 => format!("principal.owner == \"{}\"", chance.pick(&OWNERS)),
        3 => format!("principal.owner like \"{}*\"", chance.pick(&["team", "team-a"])),
        4 => format!("Jitney::Workload::\"{one}\".owner == principal.owner"),
        5 => format!("principal == Jitney::Workload::\"{one}\""),
        6 => format!("principal in [Jitney::Workload::\"{one}\", Jitney::Workload::\"{other}\"]"),
        7 => "principal is Jitney::Workload".into(),
        _ => format!("principal.id == \"{one}\""),
    }
}

fn of_what_is_asked_for(chance: &mut Chance) -> String {
    let (audience, instance) = (*chance.pick(&AUDIENCES), *chance.pick(&INSTANCES));
    let scope = |name: &str| format!("Jitney::Scope::\"{audience} {name}\"");
    match chance.below(11) {
        0 | 1 => format!("resource.name like \"items:read:{}*\"", chance.pick(&["1", "x", ""])),
        2 => format!("resource == {}", scope(instance)),
        3 => format!("resource != {}", scope(instance)),
        4 => format!("resource in {}", scope("items:read:*")),
        5 => format!("resource in Jitney::Audience::\"{audience}\""),
        6 => format!("[{}, {}].contains(resource)", scope(instance), scope(SCOPES[0])),
        7 => format!("resource in [{}, {}]", scope(instance), scope(SCOPES[1])),
        8 => format!("resource.name == \"{}\"", chance.pick(&[SCOPES[0], instance])),
        9 => format!("resource.audience == Jitney::Audience::\"{audience}\""),
        _ => format!("resource.audience.owner == \"{}\"", chance.pick(&OWNERS)),
    }
}
