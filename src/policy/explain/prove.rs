//! How a workload can prove itself, as far as its file tells: what explanations may tell it to show.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::ask::IdentityUsed;
use super::super::catalogue::{Identity, IdentityKind, Oidc, Proof, TaskNaming, TaskTemplate};
use super::super::diagnostic::closest;
use super::super::set::PolicySet;
use super::bend::Bend;
use super::change::ways;
use super::{Question, spelling};
use crate::model::{TaskId, WorkloadId};

/// All that is kept of an assertion.
const KID: &str = "kid";

impl PolicySet {
    /// Whether the workload of the question has an identity that can show what the question says was shown, and have such a task.
    pub fn can_prove(&self, question: &Question) -> bool {
        self.showing(question.workload.as_str(), &question.identity).any(|identity| match &identity.task {
            TaskNaming::Attested(template) => template.may_attest(&question.task, &question.identity.claims),
            _ => true,
        })
    }

    /// The templates of the tasks of those that can show it, where all of them are named by the platform.
    pub fn attested_tasks(&self, question: &Question) -> Option<Vec<Arc<TaskTemplate>>> {
        let templates =
            self.showing(question.workload.as_str(), &question.identity).map(|identity| match &identity.task {
                TaskNaming::Attested(template) => Some(Arc::clone(template)),
                _ => None,
            });
        templates.collect::<Option<Vec<_>>>().filter(|templates| !templates.is_empty())
    }

    /// How a workload is seen that proves itself by `kind`, where one is said, with these claims: by the identity that speaks of all
    /// of them, else of those that none of them rules out the one that speaks of most, else the first of that kind.
    pub fn used(&self, workload: &str, kind: Option<&str>, said: &BTreeMap<String, String>) -> IdentityUsed {
        let identities = self.workload(workload).map_or(&[][..], |workload| &workload.identities);
        let of_kind = || identities.iter().filter(|identity| kind.is_none_or(|kind| kind == identity.kind().as_str()));
        let unspoken = |identity: &&Identity| said.keys().filter(|name| !speaks_of(identity, name)).count();
        let is_any_spoken = of_kind().any(|identity| unspoken(&identity) < said.len());
        let shows = |identity: &&Identity| match &identity.proof {
            Proof::Oidc(oidc) => can_show(oidc, &seen_of(oidc, said)),
            _ => !is_any_spoken || said.keys().all(|name| name == KID),
        };
        // The first of several that leave as few out.
        let nearest = of_kind().filter(shows).min_by_key(unspoken);
        match (nearest.or_else(|| of_kind().min_by_key(unspoken)).map(|identity| &identity.proof), kind) {
            (Some(Proof::Oidc(oidc)), _) => {
                // What its file says that a token must say, every token that counts says.
                let mut claims = (*IdentityUsed::expected(oidc).claims).clone();
                claims.extend(seen_of(oidc, said));
                IdentityUsed { kind: IdentityKind::Oidc, claims: Arc::new(claims) }
            }
            (None, Some(kind)) if kind == IdentityKind::Oidc.as_str() => {
                IdentityUsed { kind: IdentityKind::Oidc, claims: Arc::new(said.clone()) }
            }
            _ => IdentityUsed::private_key_jwt(said.get(KID).map(String::as_str)),
        }
    }

    /// By what the platform names the tasks of whoever proves itself so; none where it does not.
    pub fn task_by_platform(&self, workload: &str, used: &IdentityUsed) -> Option<Arc<TaskTemplate>> {
        match self.showing(workload, used).next().map(|identity| &identity.task) {
            Some(TaskNaming::Attested(template)) => Some(Arc::clone(template)),
            _ => None,
        }
    }

    /// The question with its task left to the platform, where that names it.
    pub fn leave_the_task(&self, question: &Question) -> Question {
        let Some(template) = self.task_by_platform(question.workload.as_str(), &question.identity) else {
            return question.clone();
        };
        if let Some(task) = question.attested.clone() {
            return Question { task, ..question.clone() };
        }
        let task = template.example(&question.identity.claims).unwrap_or_else(|| question.task.clone());
        Question { task, is_task_said: false, open_task: Some(template), ..question.clone() }
    }

    /// The question with a task that the platform may name and that is allowed, where nobody told which it names; itself where
    /// there is none such, or nothing is open.
    pub fn fitting(&self, question: &Question) -> Question {
        if question.open_task.is_none() || self.decide(&question.ask()).is_ok() {
            return question.clone();
        }
        let scopes = self.scopes_explained(&question.ask());
        let policies = scopes.iter().flat_map(|scope| &scope.policies);
        let tasks =
            policies.flat_map(|policy| ways(self, policy, policy.permits)).flatten().filter_map(|bend| match bend {
                Bend::Task(task, _) => TaskId::parse(&task).ok(),
                _ => None,
            });
        let mut then = tasks.map(|task| Question { task, ..question.clone() });
        then.find(|then| self.can_prove(then) && self.decide(&then.ask()).is_ok()).unwrap_or_else(|| question.clone())
    }

    /// The claims that are said and that nothing in the workload's file speaks of, as it proves itself here: a broker passes over
    /// them. Each with the one that was probably meant.
    pub fn passed_over(
        &self,
        workload: &str,
        used: &IdentityUsed,
        said: &BTreeMap<String, String>,
    ) -> Vec<(String, Option<String>)> {
        let identities = self.workload(workload).map_or(&[][..], |workload| &workload.identities);
        let of_kind = identities.iter().find(|identity| identity.kind() == used.kind);
        let Some(identity) = self.showing(workload, used).next().or(of_kind) else { return Vec::new() };
        let others = said.keys().filter(|name| !speaks_of(identity, name));
        others.map(|name| (name.clone(), closest(name, spoken_of(identity)).map(str::to_owned))).collect()
    }

    /// What is wrong with the claims that the question says, by the first identity of that kind, and how they would be right. None
    /// where the workload has none of that kind, or nothing is wrong with them.
    pub(crate) fn mended(&self, question: &Question) -> Option<Mended> {
        let workload = self.workload(question.workload.as_str())?;
        let used = &question.identity;
        let identity = workload.identities.iter().find(|identity| identity.kind() == used.kind)?;
        let mut mended = Mended { why: Vec::new(), mends: Vec::new(), identity: used.clone() };
        let mut right = BTreeMap::new();
        for (name, value) in used.claims.iter() {
            match wrong_with(identity, name, value) {
                None => drop(right.insert(name.clone(), value.clone())),
                Some(Wrong::Says(must)) => {
                    mended.why.push(format!("its file wants the claim {name} {must}, not `{value}`"));
                    mended.mends.push(format!("with {name} {must}"));
                }
                Some(Wrong::Unknown(near)) => {
                    let by = match &identity.proof {
                        Proof::Oidc(_) => "no rule and no `keep` in its file names",
                        _ => "an assertion gives policies no claim but `kid`, and so not",
                    };
                    let meant = spelling::meant(near.as_deref());
                    mended.why.push(format!("{by} the claim {name}{meant}"));
                    mended.mends.push(match near {
                        Some(near) => {
                            let told = format!("with the claim {near} in place of {name}");
                            right.entry(near).or_insert_with(|| value.clone());
                            told
                        }
                        None => format!("without the claim {name}"),
                    });
                }
            }
        }
        let Proof::Oidc(oidc) = &identity.proof else {
            mended.identity.claims = Arc::new(right);
            return (!mended.why.is_empty()).then_some(mended);
        };
        let mut claims = (*IdentityUsed::expected(oidc).claims).clone();
        claims.extend(seen_of(oidc, &right));
        mended.identity.claims = Arc::new(claims);
        (!mended.why.is_empty()).then_some(mended)
    }

    /// The identities of a workload that can show this.
    fn showing(&self, workload: &str, used: &IdentityUsed) -> impl Iterator<Item = &Identity> {
        let (kind, claims) = (used.kind, Arc::clone(&used.claims));
        let identities = self.workload(workload).map_or(&[][..], |workload| &workload.identities);
        identities.iter().filter(move |identity| match (&identity.proof, kind) {
            (Proof::Oidc(oidc), IdentityKind::Oidc) => can_show(oidc, &claims),
            (Proof::Oidc(_), _) | (_, IdentityKind::Oidc) => false,
            _ => claims.keys().all(|name| name == KID),
        })
    }

    /// Each way in which a workload proves itself, with what is known of its claims before one is seen.
    pub fn ways_to_prove(&self, workload: &WorkloadId) -> Vec<IdentityUsed> {
        let identities = self.workload(workload.as_str()).map_or(&[][..], |workload| &workload.identities);
        let used = identities.iter().map(|identity| match &identity.proof {
            Proof::Oidc(oidc) => IdentityUsed::expected(oidc),
            _ => IdentityUsed::private_key_jwt(None),
        });
        used.collect()
    }
}

/// The claims that an identity's rules, its `keep` and its task speak of.
fn spoken_of(identity: &Identity) -> Vec<&str> {
    let Proof::Oidc(oidc) = &identity.proof else { return vec![KID] };
    let mut names = vec!["iss"];
    names.extend(oidc.claims.iter().map(|rule| &*rule.name).chain(oidc.keep.iter().map(|kept| &**kept)));
    if let TaskNaming::Attested(template) = &identity.task {
        names.extend(template.claims());
    }
    names
}

fn speaks_of(identity: &Identity, name: &str) -> bool {
    spoken_of(identity).contains(&name)
}

/// Claims that no token shows, put right.
pub(crate) struct Mended {
    /// What is wrong with each.
    pub why: Vec<String>,
    /// What to say in its place.
    pub mends: Vec<String>,
    /// What is shown then.
    pub identity: IdentityUsed,
}

enum Wrong {
    /// It must say something else: what, in words.
    Says(String),
    /// Nothing of this name is asked or kept, and what was probably meant.
    Unknown(Option<String>),
}

/// What is wrong with one claim of a proof by this identity.
fn wrong_with(identity: &Identity, name: &str, value: &str) -> Option<Wrong> {
    let Proof::Oidc(oidc) = &identity.proof else {
        return (name != KID).then(|| Wrong::Unknown(closest(name, [KID]).map(str::to_owned)));
    };
    if name == "iss" {
        return (*value != *oidc.issuer).then(|| Wrong::Says(format!("to be `{}`", oidc.issuer)));
    }
    let mut rules = oidc.claims.iter().filter(|rule| *rule.name == *name).peekable();
    if rules.peek().is_none() {
        let is_kept = oidc.keep.iter().any(|kept| **kept == *name);
        let known = oidc.claims.iter().map(|rule| &*rule.name).chain(oidc.keep.iter().map(|kept| &**kept));
        return (!is_kept).then(|| Wrong::Unknown(closest(name, known).map(str::to_owned)));
    }
    let rule = rules.find(|rule| !rule.takes(value))?;
    Some(Wrong::Says(match (rule.exact(), rule.glob()) {
        (Some(exact), _) => format!("to be `{exact}`"),
        (None, glob) => format!("to be like `{}`", glob.unwrap_or_default()),
    }))
}

/// What policies see of a token whose claims are said: those that are kept. One that is not kept, and says what the file wants or
/// what it does not speak of, is not seen; one that says something else than it wants stays, so that it is found that no token of
/// this workload is like that.
fn seen_of(oidc: &Oidc, said: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let is_kept = |name: &str| name == "iss" || oidc.keep.iter().any(|kept| **kept == *name);
    let mut seen = said.clone();
    seen.retain(|name, value| {
        let mut rules = oidc.claims.iter().filter(|rule| *rule.name == **name).peekable();
        is_kept(name) || rules.peek().is_some() && !rules.all(|rule| rule.takes(value))
    });
    seen
}

fn can_show(oidc: &Oidc, claims: &BTreeMap<String, String>) -> bool {
    claims.iter().all(|(name, value)| match name.as_str() {
        "iss" => **value == *oidc.issuer,
        name => {
            let mut rules = oidc.claims.iter().filter(|rule| *rule.name == *name);
            oidc.keep.iter().any(|kept| **kept == *name) && rules.all(|rule| rule.takes(value))
        }
    })
}
