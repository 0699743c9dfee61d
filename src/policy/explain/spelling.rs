//! Names that are none: what was probably meant. Of an open scope the asked instance is kept, and never made a wildcard.

use super::super::catalogue::Audience;
use super::super::diagnostic::closest;
use super::super::set::PolicySet;
use super::Question;
use super::change::{Change, is_allowed};
use crate::model::{ScopeSet, WorkloadId};

/// So many names are told where none is near.
const FEW: usize = 5;

/// One change with every name that nearly is one, and one for each that is near to nothing.
pub(super) fn spelling(set: &PolicySet, question: &Question) -> Vec<Change> {
    let mut meant = Meant { then: question.clone(), parts: Vec::new(), lost: Vec::new() };
    meant.workload(set);
    meant.audience(set);
    meant.scopes(set);
    let Meant { then, parts, lost } = meant;
    let mut changes = Vec::new();
    if !parts.is_empty() {
        let proven = is_allowed(set, &then);
        let more = if proven { "" } else { ", which is the nearest that there is; more may be amiss" };
        changes.push(Change { proven, ..Change::told(format!("ask {}{more}", parts.join(", and "))) });
    }
    changes.extend(elsewhere(set, question));
    changes.extend(lost.into_iter().map(Change::told));
    changes
}

/// A caller's slip is looked for among so many names at most, and in a name of so many characters: a refusal must stay cheap.
const MANY: usize = 256;
const LONG: usize = 100;
/// An operator's slip among so many: some thousandths of a second.
const MANY_TO_OPERATORS: usize = 4096;

/// As a refusal tells it.
pub(crate) fn meant(near: Option<&str>) -> String {
    near.map_or_else(String::new, |near| format!("{MEANT}{near}?"))
}

const MEANT: &str = ": did you mean ";

/// What a refusal says was probably meant.
pub(crate) fn meant_by(said: &str) -> Option<&str> {
    // A name that was asked may say such a thing too: what the broker adds comes last.
    said.rsplit_once(MEANT)?.1.strip_suffix('?')
}

/// Why nobody may ask for this scope, and which was probably meant, where the audience declares few.
pub(in crate::policy) fn unknown_scope(audience: &Audience, asked: &str) -> String {
    let id = &audience.id;
    let is_cheap = asked.len() <= LONG && audience.scopes.len() <= MANY;
    match is_cheap.then(|| near(audience, asked)) {
        Some(Err(open)) if open == asked => {
            format!("unknown scope: {id} grants no {asked} as it stands: {}", one_instance(&open, false))
        }
        Some(Err(open)) => format!("unknown scope: {id} declares no {asked}: {}", one_instance(&open, true)),
        near => {
            let near = near.and_then(Result::ok).flatten();
            format!("unknown scope: {id} declares no {asked}{}", meant(near.as_deref()))
        }
    }
}

const ONE_INSTANCE: &str = "name one instance in place of the `*`";

fn one_instance(open: &str, is_named: bool) -> String {
    let of = if is_named { format!(" of {open}") } else { String::new() };
    format!("{ONE_INSTANCE}{of}, such as {}42", open.trim_end_matches('*'))
}

/// What a refusal says of an open scope that was asked as it stands.
pub(crate) fn instance_by(said: &str) -> Option<&str> {
    said.rfind(&format!(": {ONE_INSTANCE}")).and_then(|at| said.get(at + 2..))
}

impl PolicySet {
    /// The workload that was probably meant, for operators: they may know of all, and wait for it.
    pub(crate) fn near_workload(&self, asked: &str) -> Option<String> {
        let names = || self.workloads().map(|workload| workload.id.as_str());
        let is_cheap = asked.len() <= LONG && names().nth(MANY_TO_OPERATORS).is_none();
        is_cheap.then(|| closest(asked, names()).map(str::to_owned)).flatten()
    }

    /// The audience that was probably meant, where there are few.
    pub(crate) fn near_audience(&self, asked: &str) -> Option<String> {
        let names = || self.audiences().map(|audience| audience.id.as_str());
        let is_cheap = asked.len() <= LONG && names().nth(MANY).is_none();
        is_cheap.then(|| closest(asked, names()).map(str::to_owned)).flatten()
    }
}

struct Meant {
    then: Question,
    parts: Vec<String>,
    /// What is near to nothing.
    lost: Vec<String>,
}

impl Meant {
    fn workload(&mut self, set: &PolicySet) {
        let asked = self.then.workload.as_str();
        if set.workload(asked).is_some() {
            return;
        }
        let names = || set.workloads().map(|workload| workload.id.as_str());
        match closest(asked, names()).and_then(|near| WorkloadId::parse(near).ok()) {
            Some(near) => {
                self.parts.push(format!("as workload {near}"));
                self.then.workload = near;
            }
            None => self.lost.push(format!(
                "ask as a workload that there is: {}; or write workloads/{asked}.toml (all: jitney workload list)",
                few(names())
            )),
        }
    }

    fn audience(&mut self, set: &PolicySet) {
        if set.audience(&self.then.audience).is_some() {
            return;
        }
        let names = || set.audiences().map(|audience| audience.id.as_str());
        match closest(&self.then.audience, names()) {
            Some(near) => {
                self.parts.push(format!("for audience {near}"));
                self.then.audience = near.to_owned();
            }
            None => self
                .lost
                .push(format!("ask for an audience that there is: {} (all: jitney audience list)", few(names()))),
        }
    }

    fn scopes(&mut self, set: &PolicySet) {
        let Some(audience) = set.audience(&self.then.audience) else { return };
        let is_known = |name: &str| audience.scopes.iter().any(|scope| scope.matches(name) && !name.ends_with(":*"));
        let asked: Vec<String> = self.then.scopes.iter().map(ToString::to_string).collect();
        let (mut names, mut is_changed) = (Vec::new(), false);
        for scope in &asked {
            match (is_known(scope), near(audience, scope)) {
                (false, Ok(Some(near))) => {
                    is_changed = true;
                    names.push(near);
                }
                (false, Ok(None)) => {
                    let declared = audience.scopes.iter().map(|scope| &*scope.name);
                    self.lost.push(format!("ask for a scope that {} declares: {}", audience.id, few(declared)));
                    names.push(scope.clone());
                }
                (false, Err(open)) => {
                    self.lost.push(one_instance(&open, true));
                    names.push(scope.clone());
                }
                (true, _) => names.push(scope.clone()),
            }
        }
        if let Some(scopes) = ScopeSet::parse(&names.join(" ")).ok().filter(|_| is_changed) {
            self.parts.push(format!("for scope {scopes}"));
            self.then.scopes = scopes;
        }
    }
}

/// What was meant, of those that are declared; of an open one with the instance that was asked for. Where that has no instance: the
/// open one.
fn near(audience: &Audience, asked: &str) -> Result<Option<String>, String> {
    let instance = asked.rsplit_once(':').map(|(_, instance)| instance);
    let mut candidates: Vec<(String, Option<&str>)> = Vec::new();
    for scope in &audience.scopes {
        match scope.name.strip_suffix('*').filter(|_| scope.is_open()) {
            None => candidates.push((scope.name.to_string(), None)),
            Some(head) => {
                candidates.push((scope.name.to_string(), Some(&scope.name)));
                candidates.push((head.trim_end_matches(':').to_owned(), Some(&scope.name)));
                let with = instance.filter(|instance| !instance.is_empty() && !instance.contains('*'));
                candidates.extend(with.map(|instance| (format!("{head}{instance}"), None)));
            }
        }
    }
    // The bare beginning of an open scope is no slip of another name.
    if let Some((_, Some(open))) = candidates.iter().find(|(name, open)| name == asked && open.is_some()) {
        return Err((*open).to_owned());
    }
    let Some(found) = closest(asked, candidates.iter().map(|(name, _)| name.as_str())) else { return Ok(None) };
    match candidates.iter().find(|(name, _)| name == found) {
        Some((_, Some(open))) => Err((*open).to_owned()),
        _ => Ok(Some(found.to_owned())),
    }
}

/// Another audience that declares what this one does not, where it would be allowed there.
fn elsewhere(set: &PolicySet, question: &Question) -> Option<Change> {
    set.audience(&question.audience)?;
    let target = set.target(&question.audience)?;
    if question.scopes.iter().all(|scope| target.table.find(scope.as_str()).is_some()) {
        return None;
    }
    let then = set
        .audiences()
        .map(|audience| Question { audience: audience.id.to_string(), ..question.clone() })
        .find(|then| is_allowed(set, then))?;
    let text = format!("ask for audience {}, which declares it", then.audience);
    Some(Change { proven: true, ..Change::told(text) })
}

fn few<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut names: Vec<&str> = names.collect();
    names.sort_unstable();
    let more = names.len().saturating_sub(FEW);
    names.truncate(FEW);
    match (names.is_empty(), more) {
        (true, _) => "there is none".into(),
        (_, 0) => names.join(", "),
        (_, more) => format!("{} and {more} more", names.join(", ")),
    }
}
