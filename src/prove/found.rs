//! A request that a solver has found, read back from its model.

use std::collections::BTreeMap;

use cedar_policy::{EvalResult, Record};
use cedar_policy_symcc::Env;

use super::Found;

impl Found {
    pub(super) fn of(shown: &Env) -> Self {
        let context = shown.request.context();
        let of = |name: &str| context.and_then(|context| context.get(name));
        let identity = match of("identity") {
            Some(EvalResult::Record(record)) => Some(record),
            _ => None,
        };
        let claims = match identity.as_ref().and_then(|identity| identity.get("claims").cloned()) {
            Some(EvalResult::Record(record)) => texts(&record),
            _ => BTreeMap::new(),
        };
        let resource = shown.request.resource().and_then(|uid| shown.entities.get(uid));
        Self {
            task: of("task").map(text).unwrap_or_default(),
            ttl: of("ttl").map_or(0, number),
            now: of("now").map_or(0, number),
            kind: identity.and_then(|identity| identity.get("type").cloned()).map(text).unwrap_or_default(),
            claims,
            scope: resource.and_then(|entity| entity.attr("name")).and_then(Result::ok).map(text),
        }
    }
}

fn texts(record: &Record) -> BTreeMap<String, String> {
    record.iter().map(|(name, value)| (name.clone(), text(value.clone()))).collect()
}

fn text(value: EvalResult) -> String {
    match value {
        EvalResult::String(text) => text,
        _ => String::new(),
    }
}

fn number(value: EvalResult) -> i64 {
    match value {
        EvalResult::Long(number) => number,
        _ => 0,
    }
}
