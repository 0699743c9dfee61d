//! What policies see as `context`: the facts of one request, as Cedar's values.
//!
//! Owns their names. Only what a condition looks at is made, and for all scopes of a request once.

use cedar_policy_core::ast::{Context, Value, ValueKind};
use std::time::Duration;

use super::ask::Ask;
use super::condition::Reads;

/// The facts of one request.
pub(super) struct Facts<'a> {
    ask: &'a Ask<'a>,
    ttl: Duration,
    made: Option<(Reads, Context)>,
}

impl<'a> Facts<'a> {
    /// Those of `ask`, for a token of `ttl`.
    pub fn new(ask: &'a Ask<'a>, ttl: Duration) -> Self {
        Self { ask, ttl, made: None }
    }

    /// At least the attributes of the context that are in `reads`.
    pub fn context(&mut self, reads: Reads) -> Context {
        let reads = match &self.made {
            Some((made, context)) if made.contains(reads) => return context.clone(),
            Some((made, _)) => *made | reads,
            None => reads,
        };
        let context = self.make(reads);
        self.made = Some((reads, context.clone()));
        context
    }

    fn make(&self, reads: Reads) -> Context {
        let ask = self.ask;
        let long = |secs: u64| Value::from(i64::try_from(secs).unwrap_or(i64::MAX));
        let when = |part: Reads, value: &dyn Fn() -> Value| reads.contains(part).then(value);
        let attributes = [
            ("identity", when(Reads::IDENTITY, &|| identity(ask))),
            ("now", when(Reads::NOW, &|| long(ask.now.secs()))),
            ("task", when(Reads::TASK, &|| Value::from(ask.task.as_str()))),
            ("ttl", when(Reads::TTL, &|| long(self.ttl.as_secs()))),
        ];
        let attributes = attributes.into_iter().filter_map(|(name, value)| value.map(|value| (name, value)));
        match Value::record(attributes, None).value {
            ValueKind::Record(attributes) => Context::Value(attributes),
            // A record is one.
            _ => Context::empty(),
        }
    }
}

fn identity(ask: &Ask<'_>) -> Value {
    let claims = ask.identity.claims.iter().map(|(name, value)| (name.as_str(), Value::from(value.as_str())));
    let claims = Value::record(claims, None);
    Value::record([("claims", claims), ("type", Value::from(ask.identity.kind.as_str()))], None)
}
