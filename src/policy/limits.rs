//! How long a token may live: every limit that holds, and the one that decided.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::ask::Ask;
use super::catalogue::Audience;
use super::denial::Denial;
use super::rule::Rule;
use crate::model::time::format_span;
use crate::model::{Reason, UnixTime};

/// The least of the limits so far, and whose it is.
#[derive(Debug, Clone)]
struct Longest {
    span: Duration,
    set_by: SetBy,
}

#[derive(Debug, Clone)]
enum SetBy {
    Configuration(&'static str),
    Audience(&'static str),
    Policy(&'static str, Arc<str>),
    Chain,
}

impl fmt::Display for SetBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Configuration(key) => write!(f, "{key} of the broker's [tokens]"),
            Self::Audience(key) => write!(f, "{key} of the audience"),
            Self::Policy(annotation, id) => write!(f, "@{annotation} of policy {id}"),
            Self::Chain => f.write_str("what is left of the lease's chain of renewals"),
        }
    }
}

/// The times of one decision, narrowed step by step: configuration and audience, then the policies.
#[derive(Debug)]
pub(super) struct Times {
    now: UnixTime,
    asked: Option<Duration>,
    /// What was asked, or the default already cut; what policies see.
    wanted: Duration,
    longest: Longest,
    /// The chain's limit: recorded, for a renewal; else a span from now that policies may shorten.
    chain: Chain,
}

#[derive(Debug)]
enum Chain {
    New(Duration),
    Recorded(UnixTime),
}

impl Times {
    /// Applies what configuration, audience and the renewed chain say.
    pub fn new(ask: &Ask<'_>, audience: &Audience) -> Result<Self, Denial> {
        let mut longest = Longest { span: whole_seconds(ask.limits.max_ttl), set_by: SetBy::Configuration("max_ttl") };
        longest.narrow(audience.max_ttl, || SetBy::Audience("max_ttl"));
        let chain = match ask.renews {
            Some(renewed) => {
                let left = renewed.chain_limit.since(ask.now);
                if left.is_zero() {
                    return Err(Denial::new(
                        Reason::InvalidGrant,
                        "the lease's chain of renewals is at its limit: ask for a new token",
                    ));
                }
                longest.narrow(Some(left), || SetBy::Chain);
                Chain::Recorded(renewed.chain_limit)
            }
            None => {
                let lifetime = whole_seconds(ask.limits.max_lifetime);
                longest.narrow(Some(lifetime), || SetBy::Configuration("max_lifetime"));
                longest.narrow(audience.max_lifetime, || SetBy::Audience("max_lifetime"));
                Chain::New(audience.max_lifetime.map_or(lifetime, |span| span.min(lifetime)))
            }
        };
        let asked = ask.ttl.map(whole_seconds);
        let unasked = match chain {
            Chain::New(_) => whole_seconds(ask.limits.default_ttl).min(longest.span),
            Chain::Recorded(_) => longest.span,
        };
        let times = Self { now: ask.now, asked, wanted: asked.unwrap_or(unasked), longest, chain };
        times.check()?;
        Ok(times)
    }

    /// What policies see as `context.ttl`.
    pub fn wanted(&self) -> Duration {
        self.wanted
    }

    /// Applies what a permit obliges.
    pub fn oblige(&mut self, rule: &Rule) {
        self.longest.narrow(rule.max_ttl, || SetBy::Policy("max_ttl", rule.id.clone()));
        if let Chain::New(lifetime) = &mut self.chain
            && let Some(span) = rule.max_lifetime
        {
            *lifetime = span.min(*lifetime);
            self.longest.narrow(Some(span), || SetBy::Policy("max_lifetime", rule.id.clone()));
        }
    }

    /// The token's life, and the latest `exp` of its chain.
    pub fn settle(&self) -> Result<(Duration, UnixTime), Denial> {
        self.check()?;
        let limit = match self.chain {
            Chain::New(lifetime) => self.now.plus(lifetime),
            Chain::Recorded(limit) => limit,
        };
        Ok((self.wanted.min(self.longest.span), limit))
    }

    /// Refuses a `ttl` of nothing, or one above the longest, by name.
    fn check(&self) -> Result<(), Denial> {
        match self.asked {
            Some(asked) if asked.is_zero() => {
                Err(Denial::new(Reason::InvalidRequest, "ttl is a whole number of seconds, at least 1"))
            }
            Some(asked) if asked > self.longest.span => {
                let Longest { span, set_by } = &self.longest;
                let text = format!(
                    "ttl of {} s is above the longest allowed here, {} s ({}): {set_by}",
                    asked.as_secs(),
                    span.as_secs(),
                    format_span(*span)
                );
                let mut denial = Denial::new(Reason::InvalidRequest, text);
                if let SetBy::Policy(_, id) = set_by {
                    denial.policies.push(id.clone());
                }
                Err(denial)
            }
            _ if self.longest.span.is_zero() => {
                Err(Denial::new(Reason::InvalidRequest, format!("no token may live here: {}", self.longest.set_by)))
            }
            _ => Ok(()),
        }
    }
}

impl Longest {
    fn narrow(&mut self, span: Option<Duration>, set_by: impl FnOnce() -> SetBy) {
        if let Some(span) = span.filter(|span| *span < self.span) {
            *self = Self { span, set_by: set_by() };
        }
    }
}

/// Times are whole seconds in every claim; a fraction is dropped, never rounded up.
const fn whole_seconds(span: Duration) -> Duration {
    Duration::from_secs(span.as_secs())
}
