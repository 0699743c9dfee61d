//! What the checks have seen so far, each for those behind it.

use std::net::SocketAddr;
use std::time::Duration;

use super::super::Failure;
use super::super::args::{DoctorArgs, joined};
use super::ask::Answered;
use super::identity::Source;
use super::told::Told;
use crate::client::BrokerAddress;
use crate::fetch::Answer;
use crate::model::{AudienceUri, ScopeSet, TaskId, UnixTime};

/// Settings by name.
type Settings = Box<dyn Fn(&str) -> Option<String>>;

/// The settings, what is to be asked, and what was seen.
pub(super) struct Scene {
    settings: Settings,
    /// What a token is asked for.
    pub ask: Option<(AudienceUri, ScopeSet)>,
    /// How long that shall live.
    pub ttl: Option<Duration>,
    /// The task it is a child of.
    pub below: Option<TaskId>,
    /// Nothing is to be asked.
    pub no_ask: bool,
    /// Where the broker is.
    pub broker: Option<BrokerAddress>,
    /// The addresses of its name.
    pub addresses: Vec<SocketAddr>,
    /// Its answer to the first request.
    pub first: Option<First>,
    /// What proves who asks.
    pub source: Option<Source>,
    /// What came of asking.
    pub answered: Option<Answered>,
    /// The workload that was probably meant, where there is none of the name.
    pub meant: Option<String>,
    /// What operators may be told of the refusal.
    pub told: Told,
}

/// The first answer, and when it was waited for.
pub(super) struct First {
    pub answer: Answer,
    pub sent: UnixTime,
    pub came: UnixTime,
}

impl Scene {
    pub(super) fn of(args: DoctorArgs, settings: impl Fn(&str) -> Option<String> + 'static) -> Result<Self, Failure> {
        let scopes = match args.scopes.is_empty() {
            true => None,
            false => Some(
                joined(&args.scopes)
                    .map_err(|error| Failure::usage(error.to_string(), "--scope orders:read, once for each"))?,
            ),
        };
        Ok(Self {
            settings: Box::new(settings),
            ask: args.audience.zip(scopes),
            ttl: args.ttl,
            below: args.task,
            no_ask: args.no_ask,
            broker: None,
            addresses: Vec::new(),
            first: None,
            source: None,
            answered: None,
            meant: None,
            told: Told::default(),
        })
    }

    /// A setting; an empty one counts as none.
    pub(super) fn setting(&self, name: &str) -> Option<String> {
        (self.settings)(name).filter(|value| !value.is_empty())
    }

    /// The workload's id, for a path or a command; `ID` where nothing says it.
    pub(super) fn workload(&self) -> String {
        self.setting("JITNEY_WORKLOAD").unwrap_or_else(|| "ID".into())
    }

    /// What asking has left at the broker.
    pub(super) fn left_behind(&self) -> Option<String> {
        self.answered.as_ref().map(Answered::left_behind)
    }
}
