//! A random organisation, small enough to meet itself again, and a random change of it.

use std::fmt::Write as _;

use super::Files;
use crate::common::Chance;
use crate::tree::jwk;

pub const WORKLOADS: [&str; 3] = ["alpha", "beta", "gamma"];
pub const AUDIENCES: [&str; 2] = ["https://one.example.com", "https://two.example.com"];
/// Declared by each audience; the last leaves its instance open.
pub const SCOPES: [&str; 3] = ["items:read", "items:write", "items:read:*"];
pub const INSTANCES: [&str; 3] = ["items:read:1", "items:read:2", "items:read:x-y"];
pub const OWNERS: [&str; 2] = ["team-a@example.com", "team-b@example.com"];
pub const TASKS: [&str; 6] = ["a", "b", "ab", "abc", "b-1", "a-b"];
pub const TTLS: [u64; 7] = [1, 59, 60, 61, 120, 300, 301];

#[derive(Debug, Clone)]
pub struct World {
    /// Owner of each workload; none of one that is not there.
    pub workloads: Vec<Option<usize>>,
    pub audiences: Vec<Audience>,
    pub policies: Vec<Policy>,
}

#[derive(Debug, Clone)]
pub struct Audience {
    pub owner: usize,
    /// Minutes.
    pub max_ttl: Option<u64>,
    pub max_lifetime: Option<u64>,
    /// Whether it has the open scope.
    pub is_open: bool,
}

#[derive(Debug, Clone)]
pub struct Policy {
    pub permits: bool,
    pub principal: String,
    pub resource: String,
    pub condition: String,
    /// Minutes.
    pub max_ttl: Option<u64>,
    pub max_lifetime: Option<u64>,
    pub single_use: Option<&'static str>,
}

impl World {
    pub fn random(chance: &mut Chance) -> Self {
        let policies = (0..1 + chance.below(4)).map(|_| Policy::random(chance)).collect();
        let workloads = WORKLOADS.iter().map(|_| (chance.below(8) > 0).then(|| chance.below(2) as usize)).collect();
        Self { workloads, audiences: AUDIENCES.iter().map(|_| Audience::random(chance)).collect(), policies }
    }

    /// One or two things of it are not as they were.
    pub fn changed(&self, chance: &mut Chance) -> Self {
        let mut changed = self.clone();
        for _ in 0..1 + chance.below(2) {
            changed.change(chance);
        }
        changed
    }

    fn change(&mut self, chance: &mut Chance) {
        let at = chance.below(self.policies.len().max(1) as u64) as usize;
        match chance.below(12) {
            0 => self.policies.push(Policy::random(chance)),
            1 if !self.policies.is_empty() => drop(self.policies.remove(at)),
            2 => {
                let who = chance.below(3) as usize;
                self.workloads[who] = (chance.below(6) > 0).then(|| chance.below(2) as usize);
            }
            3 => self.audiences[chance.below(2) as usize] = Audience::random(chance),
            4 if !self.policies.is_empty() => {
                // Two policies in the place of one, or one with a further condition.
                let mut twin = self.policies[at].clone();
                twin.condition = condition(chance, 1);
                self.policies.push(twin);
            }
            _ if !self.policies.is_empty() => self.policies[at].change(chance),
            _ => self.policies.push(Policy::random(chance)),
        }
    }

    pub fn files(&self) -> Files {
        let mut files = Files::new();
        for (name, owner) in WORKLOADS.iter().zip(&self.workloads) {
            let Some(owner) = owner else { continue };
            let text = format!(
                "owner = \"{}\"\npurpose = \"Tries {name}\"\nexpires = 2030-01-01\n\n[[identity]]\ntype = \
                 \"private_key_jwt\"\njwks = {{ keys = [{}] }}\n\n[[identity]]\ntype = \"oidc\"\nissuer = \
                 \"https://ci.example.com\"\nclaims = {{ sub = \"{name}\" }}\nkeep = [\"env\"]\n",
                OWNERS[*owner],
                jwk(name)
            );
            files.insert(format!("workloads/{name}.toml"), text);
        }
        for (id, audience) in AUDIENCES.iter().zip(&self.audiences) {
            let mut text = format!("id = \"{id}\"\nowner = \"{}\"\npurpose = \"Is tried\"\n", OWNERS[audience.owner]);
            for (name, span) in [("max_ttl", audience.max_ttl), ("max_lifetime", audience.max_lifetime)] {
                if let Some(minutes) = span {
                    let _ = writeln!(text, "{name} = \"{minutes}m\"");
                }
            }
            text.push_str("[scopes]\n");
            for scope in audience.scopes() {
                let _ = writeln!(text, "\"{scope}\" = \"Something\"");
            }
            files.insert(format!("audiences/{}.toml", &id[8..11]), text);
        }
        files.insert("all.cedar".into(), self.told());
        files
    }

    /// The policies.
    pub fn told(&self) -> String {
        let tell = |(at, policy): (usize, &Policy)| policy.text(&format!("p{at}"));
        self.policies.iter().enumerate().map(tell).collect::<Vec<_>>().join("\n")
    }
}

impl Audience {
    fn random(chance: &mut Chance) -> Self {
        let span = |chance: &mut Chance| (chance.below(2) > 0).then(|| 1 + chance.below(5));
        Self {
            owner: chance.below(2) as usize,
            max_ttl: span(chance),
            max_lifetime: span(chance).map(|minutes| minutes * 10),
            is_open: chance.below(4) > 0,
        }
    }

    pub fn scopes(&self) -> impl Iterator<Item = &'static str> {
        SCOPES.into_iter().take(if self.is_open { 3 } else { 2 })
    }
}

impl Policy {
    fn random(chance: &mut Chance) -> Self {
        let span = |chance: &mut Chance| (chance.below(3) == 0).then(|| 1 + chance.below(5));
        let permits = chance.below(4) > 0;
        Self {
            permits,
            principal: principal(chance),
            resource: resource(chance),
            condition: condition(chance, 2),
            max_ttl: span(chance).filter(|_| permits),
            max_lifetime: span(chance).filter(|_| permits).map(|minutes| minutes * 10),
            single_use: Some(*chance.pick(&["lease", "task"])).filter(|_| permits && chance.below(6) == 0),
        }
    }

    fn change(&mut self, chance: &mut Chance) {
        match chance.below(8) {
            0 => self.principal = principal(chance),
            1 => self.resource = resource(chance),
            2 if self.permits => self.max_ttl = (chance.below(3) > 0).then(|| 1 + chance.below(5)),
            3 if self.permits => self.max_lifetime = (chance.below(3) > 0).then(|| 10 + chance.below(5) * 10),
            4 => self.condition = format!("({}) && ({})", self.condition, condition(chance, 1)),
            5 => self.condition = format!("({}) || ({})", self.condition, condition(chance, 1)),
            _ => self.condition = condition(chance, 2),
        }
    }

    pub fn text(&self, id: &str) -> String {
        let mut text = format!("@id(\"{id}\")\n");
        for (name, span) in [("max_ttl", self.max_ttl), ("max_lifetime", self.max_lifetime)] {
            if let Some(minutes) = span {
                let _ = writeln!(text, "@{name}(\"{minutes}m\")");
            }
        }
        if let Some(uses) = self.single_use {
            let _ = writeln!(text, "@single_use(\"{uses}\")");
        }
        let effect = if self.permits { "permit" } else { "forbid" };
        let (principal, resource, condition) = (&self.principal, &self.resource, &self.condition);
        let _ = writeln!(text, "{effect} ({principal}, action, {resource}) when {{ {condition} }};");
        text
    }
}

fn principal(chance: &mut Chance) -> String {
    match chance.below(4) {
        0 => "principal".into(),
        _ => format!("principal == Jitney::Workload::\"{}\"", chance.pick(&WORKLOADS)),
    }
}

fn resource(chance: &mut Chance) -> String {
    let audience = chance.pick(&AUDIENCES);
    match chance.below(8) {
        0 => "resource".into(),
        1 => format!("resource in Jitney::Audience::\"{audience}\""),
        2 | 3 => format!("resource in Jitney::Scope::\"{audience} items:read:*\""),
        4 => format!("resource == Jitney::Scope::\"{audience} {}\"", chance.pick(&INSTANCES)),
        _ => format!("resource == Jitney::Scope::\"{audience} {}\"", chance.pick(&SCOPES[..2])),
    }
}

/// A condition that is right by its types, whatever it means.
fn condition(chance: &mut Chance, depth: u64) -> String {
    if depth > 0 && chance.below(3) > 0 {
        let (one, other) = (condition(chance, depth - 1), condition(chance, depth - 1));
        return match chance.below(5) {
            0 | 1 => format!("({one}) && ({other})"),
            2 => format!("({one}) || ({other})"),
            3 => format!("!({one})"),
            _ => format!("if {one} then {other} else {}", condition(chance, depth - 1)),
        };
    }
    let task = *chance.pick(&TASKS);
    let ttl = *chance.pick(&TTLS);
    let comparison = *chance.pick(&["<", "<=", ">", ">=", "==", "!="]);
    match chance.below(17) {
        0 => "true".into(),
        1 | 2 => format!("context.ttl {comparison} {ttl}"),
        3 => format!("context.task == \"{task}\""),
        4 => format!("context.task like \"{task}*\""),
        5 => format!("context.task like \"*{task}\""),
        6 => format!("[\"{task}\", \"{}\"].contains(context.task)", chance.pick(&TASKS)),
        7 => "principal.owner == resource.audience.owner".into(),
        8 => format!("principal.owner == \"{}\"", chance.pick(&OWNERS)),
        9 => format!("context.identity.type == \"{}\"", chance.pick(&["oidc", "private_key_jwt"])),
        10 => format!(
            "context.identity.claims has env && context.identity.claims.env == \"{}\"",
            chance.pick(&["p", "q"])
        ),
        11 => "context.identity.claims has env".into(),
        12 => format!("resource.name like \"items:read:{}*\"", chance.pick(&["1", "x", ""])),
        13 => format!("resource == Jitney::Scope::\"{} {}\"", chance.pick(&AUDIENCES), chance.pick(&INSTANCES)),
        // It overflows for the largest numbers.
        14 => format!("context.now + context.ttl {comparison} {}", 1_795_867_200 + ttl),
        15 => format!("context.now * 9223372036 {comparison} {ttl}"),
        _ => format!("Jitney::Workload::\"{}\".owner == principal.owner", chance.pick(&WORKLOADS)),
    }
}
