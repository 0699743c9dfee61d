//! How a workload can prove itself, as far as its file tells: what explanations may tell it to show.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::ask::IdentityUsed;
use super::super::catalogue::{Identity, IdentityKind, Oidc, Proof, TaskNaming, TaskTemplate};
use super::super::diagnostic::closest;
use super::super::set::PolicySet;
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

    /// How a workload is seen that proves itself by `kind`, where one is said, with these claims: by the identity that can show
    /// them, else the first of that kind.
    pub fn used(&self, workload: &str, kind: Option<&str>, said: &BTreeMap<String, String>) -> IdentityUsed {
        let identities = self.workload(workload).map_or(&[][..], |workload| &workload.identities);
        let of_kind = || identities.iter().filter(|identity| kind.is_none_or(|kind| kind == identity.kind().as_str()));
        let shows = |identity: &&Identity| match &identity.proof {
            Proof::Oidc(oidc) => can_show(oidc, &seen_of(oidc, said)),
            _ => said.keys().all(|name| name == KID),
        };
        match (of_kind().find(shows).or_else(|| of_kind().next()).map(|identity| &identity.proof), kind) {
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

    /// A task that the workload may have where nobody says one: `otherwise`, or one like those that its platform names.
    pub fn usual_task(&self, workload: &str, used: &IdentityUsed, otherwise: TaskId) -> TaskId {
        match self.showing(workload, used).next().map(|identity| &identity.task) {
            Some(TaskNaming::Attested(template)) => template.example().unwrap_or(otherwise),
            _ => otherwise,
        }
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

/// What policies see of a token whose claims are said: those that are kept. One that is not kept, and says what the file wants, is
/// not seen; any other stays, so that it is found that no token is like that.
fn seen_of(oidc: &Oidc, said: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let is_kept = |name: &str| name == "iss" || oidc.keep.iter().any(|kept| **kept == *name);
    let mut seen = said.clone();
    seen.retain(|name, value| {
        let mut rules = oidc.claims.iter().filter(|rule| *rule.name == **name).peekable();
        is_kept(name) || rules.peek().is_none() || !rules.all(|rule| rule.takes(value))
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
