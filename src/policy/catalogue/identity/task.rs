//! The task that a platform attests: a template of text and claims, such as `{run_id}.{run_attempt}`.

use std::collections::BTreeMap;
use std::fmt;

use super::claims::{Claims, text_of_claim};
use crate::model::TaskId;

/// A task's name with claims to be filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskTemplate {
    text: Box<str>,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(Box<str>),
    Claim(Box<str>),
}

impl TaskTemplate {
    /// Reads a template; a sentence where it is none.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let mut parts = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let (before, after) = rest.split_once('{').unwrap_or((rest, ""));
            if before.contains('}') {
                return Err("a `}` has no `{` before it");
            }
            if !before.is_empty() {
                parts.push(Part::Text(before.into()));
            }
            if before.len() == rest.len() {
                break;
            }
            let (claim, more) = after.split_once('}').ok_or("a `{` is not closed")?;
            if claim.is_empty() || claim.contains('{') {
                return Err("between `{` and `}` stands the name of a claim");
            }
            parts.push(Part::Claim(claim.into()));
            rest = more;
        }
        if !parts.iter().any(|part| matches!(part, Part::Claim(_))) {
            return Err("it holds no claim, so every run would have the same task");
        }
        let template = Self { text: text.into(), parts };
        // What stands between the claims must be fit for a task's name, whatever they say.
        match template.filled(|_| Some("x".into())) {
            Ok(_) => Ok(template),
            Err(_) => Err("a task's name is made of A-Z a-z 0-9 . _ ~ : - and / before a child"),
        }
    }

    /// The task that these claims attest; a sentence, naming the claim, where they attest none.
    ///
    /// # Errors
    /// A claim is missing or has no text, holds a `/`, which would make the task another's child, or makes no name of it.
    pub fn fill(&self, claims: &Claims<'_>) -> Result<TaskId, String> {
        self.filled(|name| text_of_claim(claims, name).map(|text| text.into_owned()))
    }

    /// The task that is attested where a token says this, by the claims' names; none where a claim of it is not among them.
    pub fn fill_said(&self, said: &BTreeMap<String, String>) -> Option<TaskId> {
        self.filled(|name| said.get(name).cloned()).ok()
    }

    /// What such a task may be called, as far as nothing is said of it: such a claim stands by the last part of its own name.
    pub fn example(&self, said: &BTreeMap<String, String>) -> Option<TaskId> {
        let by_name = |name: &str| name.rsplit('/').next().unwrap_or(name).to_owned();
        self.filled(|name| Some(said.get(name).cloned().unwrap_or_else(|| by_name(name)))).ok()
    }

    /// The claims that it is made of.
    pub fn claims(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Claim(name) => Some(&**name),
            Part::Text(_) => None,
        })
    }

    /// Whether a token that says this, and anything else besides, can attest the task, or one that it is a child of.
    pub fn may_attest(&self, task: &TaskId, said: &BTreeMap<String, String>) -> bool {
        task.lineage().any(|name| may_be(&self.parts, name, said))
    }

    /// Two claims between which nothing tells where one ends and the other begins, so that two runs can have one task. `said`
    /// has what a claim says in every token.
    ///
    /// From the left a claim ends where something stands that it cannot hold, from the right it begins there; what lies between
    /// both may hold anything.
    pub fn runs_together(&self, said: impl Fn(&str) -> Option<String>) -> Option<(&str, &str)> {
        let mut claims: Vec<(&str, String)> = Vec::new();
        for part in &self.parts {
            let known = match part {
                Part::Text(text) => Some(text.to_string()),
                Part::Claim(name) => said(name),
            };
            match (part, known, claims.last_mut()) {
                (_, Some(text), Some((_, behind))) => behind.push_str(&text),
                (Part::Claim(name), None, _) => claims.push((name, String::new())),
                _ => {}
            }
        }
        let pairs: Vec<_> = claims.windows(2).map(|pair| (pair[0].0, &*pair[0].1, pair[1].0)).collect();
        let tells = |claim: &str, between: &str| between.chars().any(|c| !may_hold(claim, c));
        let from_left = pairs.iter().take_while(|(claim, between, _)| tells(claim, between)).count();
        let rest = &pairs[from_left..];
        let all_tell = rest.iter().all(|(_, between, claim)| tells(claim, between));
        rest.first().filter(|_| !all_tell).map(|(one, _, two)| (*one, *two))
    }

    fn filled(&self, claim: impl Fn(&str) -> Option<String>) -> Result<TaskId, String> {
        let mut task = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => task.push_str(text),
                Part::Claim(name) => match claim(name) {
                    Some(text) if text.contains('/') => {
                        return Err(format!("the claim {name} holds a slash, so it names no task of its own"));
                    }
                    Some(text) if !text.is_empty() => task.push_str(&text),
                    _ => return Err(format!("the token has no claim {name}, which its task is made of")),
                },
            }
        }
        TaskId::parse(&task).map_err(|error| format!("the token's claims make no task of {self}: {}", error.rule))
    }
}

/// Claims that platforms number, or make of letters and digits in a fixed form: no separator of a task's name comes from them.
const PLAIN: [&str; 14] = [
    "run_id",
    "run_number",
    "run_attempt",
    "repository_id",
    "repository_owner_id",
    "actor_id",
    "project_id",
    "namespace_id",
    "pipeline_id",
    "job_id",
    "user_id",
    "build_number",
    "uid",
    "sha",
];

/// Whether a claim of a task may hold this; none may hold a slash.
fn may_hold(claim: &str, c: char) -> bool {
    let is_plain = PLAIN.contains(&claim.rsplit('/').next().unwrap_or(claim));
    c != '/' && (!is_plain || c.is_ascii_alphanumeric())
}

fn may_be(parts: &[Part], name: &str, said: &BTreeMap<String, String>) -> bool {
    let Some((first, parts)) = parts.split_first() else { return name.is_empty() };
    let known = match first {
        Part::Text(text) => Some(&**text),
        Part::Claim(claim) => said.get(&**claim).map(String::as_str),
    };
    match known {
        Some(text) => name.strip_prefix(text).is_some_and(|rest| may_be(parts, rest, said)),
        None => {
            // A name is ASCII, and no claim in it holds a slash.
            let most = name.find('/').unwrap_or(name.len());
            (1..=most).any(|at| name.get(at..).is_some_and(|rest| may_be(parts, rest, said)))
        }
    }
}

impl fmt::Display for TaskTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fill(template: &str, claims: serde_json::Value) -> Result<String, String> {
        let task = TaskTemplate::parse(template).unwrap().fill(&crate::jose::Object::of(claims));
        task.map(|task| task.as_str().to_owned())
    }

    #[test]
    fn a_template_is_filled_from_the_claims() {
        let claims = json!({"run_id": "77", "run_attempt": 2, "kubernetes.io": {"pod": {"uid": "u"}}});
        assert_eq!(fill("{run_id}.{run_attempt}", claims.clone()).as_deref(), Ok("77.2"));
        assert_eq!(fill("gh/{run_id}", claims.clone()).as_deref(), Ok("gh/77"));
        assert_eq!(fill("pod-{kubernetes.io/pod/uid}", claims).as_deref(), Ok("pod-u"));
    }

    #[test]
    fn a_name_that_no_token_makes_is_told_from_one_that_some_may() {
        let said = BTreeMap::from([("run_id".to_owned(), "77".to_owned())]);
        let rows = [
            ("{run_id}.{run_attempt}", "77.1", true),
            ("{run_id}.{run_attempt}", "77.1/step", true),
            ("{run_id}.{run_attempt}", "77.1/step/2", true),
            ("{run_id}.{run_attempt}", "78.1", false),
            ("{run_id}.{run_attempt}", "77.", false),
            ("{run_id}.{run_attempt}", "job-7", false),
            ("{run_id}.{run_attempt}", "77/1", false),
            ("gh/{run_id}", "gh/77", true),
            ("gh/{run_id}", "77", false),
            ("{a}-{b}-{a}", "x-y-z-x", true),
            ("{a}-{b}", "x", false),
        ];
        for (template, name, may) in rows {
            let task = TaskId::parse(name).unwrap();
            assert_eq!(TaskTemplate::parse(template).unwrap().may_attest(&task, &said), may, "{template} {name}");
        }
        let of = |template| TaskTemplate::parse(template).unwrap();
        let example = |template, said| of(template).example(said).unwrap().as_str().to_owned();
        assert_eq!(example("{run_id}.{run_attempt}", &said), "77.run_attempt");
        assert_eq!(example("pod-{kubernetes.io/pod/uid}", &said), "pod-uid");
        assert_eq!(of("{run_id}.{run_attempt}").fill_said(&said), None);
        assert_eq!(of("gh/{run_id}").fill_said(&said), TaskId::parse("gh/77").ok());
    }

    #[test]
    fn what_cannot_be_filled_says_which_claim() {
        let rows = [
            (json!({"run_id": "77"}), "no claim run_attempt"),
            (json!({"run_id": "", "run_attempt": 1}), "no claim run_id"),
            (json!({"run_id": ["7"], "run_attempt": 1}), "no claim run_id"),
            (json!({"run_id": "7/8", "run_attempt": 1}), "run_id holds a slash"),
            (json!({"run_id": "7 8", "run_attempt": 1}), "make no task of {run_id}.{run_attempt}"),
            (json!({"run_id": "7".repeat(127), "run_attempt": 1}), "1 to 128"),
        ];
        for (claims, word) in rows {
            let wrong = fill("{run_id}.{run_attempt}", claims.clone()).unwrap_err();
            assert!(wrong.contains(word), "{claims}: {wrong}");
        }
    }

    #[test]
    fn claims_run_together_where_what_stands_between_may_be_in_either() {
        let alike = |template: &str| {
            let template = TaskTemplate::parse(template).unwrap();
            let said = |name: &str| (name == "fixed").then(|| "x-y".to_owned());
            template.runs_together(said).map(|(one, two)| format!("{one} {two}"))
        };
        for template in [
            "{a}",
            "pod-{kubernetes.io/pod/uid}",
            "{run_id}.{run_attempt}",
            "{run_id}-{ref}",
            "{ref}-{run_id}",
            "{run_id}-{ref}-{run_attempt}",
            "{ref}/{name}",
            "{ref}-{fixed}",
            "{fixed}-{ref}",
            "{run_id}-{fixed}-{ref}",
        ] {
            assert_eq!(alike(template), None, "{template}");
        }
        for (template, which) in [
            ("{a}-{b}", "a b"),
            ("{a}{b}", "a b"),
            ("{run_id}{run_attempt}", "run_id run_attempt"),
            ("{a}-{run_id}.{b}", "a run_id"),
            ("{run_id}.{a}.{b}", "a b"),
            ("{a}-{fixed}-{b}", "a b"),
        ] {
            assert_eq!(alike(template).as_deref(), Some(which), "{template}");
        }
    }

    #[test]
    fn what_is_no_template_is_refused() {
        for (template, word) in [
            ("", "no claim"),
            ("fixed", "no claim"),
            ("{a", "not closed"),
            ("a}", "no `{`"),
            ("{}", "name of a claim"),
            ("{a{b}}", "name of a claim"),
            ("{a} {b}", "made of"),
            ("/{a}", "made of"),
            ("{a}/", "made of"),
            ("{a}/../{b}", "made of"),
        ] {
            let wrong = TaskTemplate::parse(template).unwrap_err();
            assert!(wrong.contains(word), "{template}: {wrong}");
        }
    }
}
