//! One line of the log as it is read: every field that a record may have, borrowed from the line's text.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;

use serde::de::{Deserializer, Error, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// Text of a line: borrowed where it stands there as it is, which is nearly always.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Str<'a>(Cow<'a, str>);

/// One line, as it was written. What it does not say is absent, or empty.
#[derive(Debug, Clone, Deserialize)]
pub struct Line<'a> {
    /// The whole line without its newline.
    #[serde(skip)]
    pub raw: &'a [u8],
    /// When the record was handed over: RFC 3339 in UTC with milliseconds, so that text order is time order.
    #[serde(borrow)]
    pub time: Str<'a>,
    /// Its number in the chain.
    pub seq: u64,
    /// The broker that wrote it.
    #[serde(borrow)]
    pub broker: Str<'a>,
    /// What happened ([`Event::as_str`](super::Event::as_str)).
    #[serde(borrow)]
    pub event: Str<'a>,
    /// How it came out ([`Outcome::as_str`](super::Outcome::as_str)).
    #[serde(borrow)]
    pub outcome: Str<'a>,
    /// The decision that it explains.
    #[serde(borrow)]
    pub decision_id: Option<Str<'a>>,
    /// Whose lease or request it is.
    #[serde(borrow)]
    pub workload: Option<Str<'a>>,
    /// The resource server it is about.
    #[serde(borrow)]
    pub audience: Option<Str<'a>>,
    /// The task it is about.
    #[serde(borrow)]
    pub task: Option<Str<'a>>,
    /// The scopes asked for or granted, a space between two.
    #[serde(borrow)]
    pub scope: Option<Str<'a>>,
    /// The lease it is about.
    #[serde(borrow)]
    pub lease: Option<Str<'a>>,
    /// The lease that was renewed.
    #[serde(borrow)]
    pub predecessor: Option<Str<'a>>,
    /// How long the token lives, or was asked to live, in seconds.
    pub ttl: Option<u64>,
    /// The signing key it is about.
    #[serde(borrow)]
    pub kid: Option<Str<'a>>,
    /// The life of the store's log.
    #[serde(borrow)]
    pub epoch: Option<Str<'a>>,
    /// The place in the revocation log.
    pub position: Option<u64>,
    /// The policies that determined it.
    #[serde(borrow, default)]
    pub policies: Vec<Str<'a>>,
    /// Why it was refused ([`Reason::as_str`](crate::model::Reason::as_str)).
    #[serde(borrow)]
    pub refusal: Option<Str<'a>>,
    /// How many leases, rules or records it stands for.
    pub count: Option<u64>,
    /// There may have been more than `count` says.
    #[serde(default)]
    pub more: bool,
    /// How long an end took, from the request to the store's word; microseconds.
    pub took_us: Option<u64>,
    /// It changed nothing: what it asks for was so before.
    #[serde(default)]
    pub no_effect: bool,
    /// It was asked what would be granted: there is no token of it.
    #[serde(default)]
    pub probe: bool,
    /// Since when `count` counts.
    #[serde(borrow)]
    pub since: Option<Str<'a>>,
    /// Who did it, where no workload did.
    #[serde(borrow)]
    pub actor: Option<Str<'a>>,
    /// How the caller proved itself.
    #[serde(borrow)]
    pub identity: Option<Str<'a>>,
    /// What was kept from a platform's token.
    #[serde(borrow, default)]
    pub claims: BTreeMap<Str<'a>, Str<'a>>,
    /// Where the request came from.
    #[serde(borrow)]
    pub peer: Option<Str<'a>>,
    /// Why, in an operator's words.
    #[serde(borrow)]
    pub reason: Option<Str<'a>>,
    /// What else there is to say.
    #[serde(borrow)]
    pub detail: Option<Str<'a>>,
}

impl<'a> Line<'a> {
    /// Reads a line without its newline; nothing where it is none of this log's form.
    pub fn parse(raw: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(raw).ok().map(|line: Self| Self { raw, ..line })
    }
}

/// What each line begins with, and where its moment stands.
const OPENING: &[u8] = br#"{"v":1,"time":""#;
const TIME: std::ops::Range<usize> = OPENING.len()..OPENING.len() + 24;

/// A line's moment as it stands there, for whoever asks nothing else of it.
pub(super) fn moment_of(line: &[u8]) -> Option<&[u8]> {
    line.get(TIME).filter(|_| line.starts_with(OPENING))
}

impl Deref for Str<'_> {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Str<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Str<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.0)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Str<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Cow<'de, str>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Cow::Borrowed(text))
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Cow::Owned(text.to_owned()))
            }
        }
        deserializer.deserialize_str(Text).map(Str)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::chain::Chain;
    use super::super::record::{AuditRecord, Event};
    use super::*;
    use crate::model::{AudienceUri, DecisionId, LeaseId, Position, Reason, ScopeSet, TaskId, WorkloadId};

    #[test]
    fn every_field_that_is_written_is_read_back() {
        let claims = [("iss".to_owned(), "https://p.example \"x\"".to_owned())];
        let record = AuditRecord::refused(Event::Renew, Reason::DeniedScope)
            .decision(DecisionId::of("b1", [7; 16]).unwrap())
            .workload(WorkloadId::parse("w").unwrap())
            .audience(AudienceUri::parse("https://a.example").unwrap())
            .task(TaskId::parse("t/u").unwrap())
            .scopes(ScopeSet::parse("a:b c:d").unwrap())
            .lease(LeaseId::new(1, [2; 4], 3))
            .predecessor(LeaseId::new(1, [2; 4], 4))
            .ttl(std::time::Duration::from_secs(300))
            .position(Position::new(9))
            .policies([Arc::from("p"), Arc::from("q")])
            .count(4)
            .more(true)
            .took(std::time::Duration::from_micros(7))
            .no_effect(true)
            .probe(true)
            .actor("uid:1000")
            .identity("oidc")
            .claims(Arc::new(claims.into()))
            .peer([127, 0, 0, 1].into())
            .reason("why\nnot")
            .detail("more");
        let (mut chain, mut out) = (Chain::START, Vec::new());
        chain.push(&mut out, "b1", 0, &record);
        let raw = out.strip_suffix(b"\n").unwrap();
        let line = Line::parse(raw).unwrap();
        let whole: serde_json::Value = serde_json::from_slice(raw).unwrap();
        let same = |name: &str, told: &Option<Str<'_>>| assert_eq!(told.as_deref(), whole[name].as_str(), "{name}");
        for (name, told) in [
            ("decision_id", &line.decision_id),
            ("workload", &line.workload),
            ("audience", &line.audience),
            ("task", &line.task),
            ("scope", &line.scope),
            ("lease", &line.lease),
            ("predecessor", &line.predecessor),
            ("refusal", &line.refusal),
            ("actor", &line.actor),
            ("identity", &line.identity),
            ("peer", &line.peer),
            ("reason", &line.reason),
            ("detail", &line.detail),
        ] {
            assert!(told.is_some(), "{name}");
            same(name, told);
        }
        assert_eq!((line.ttl, line.count, line.position), (Some(300), Some(4), Some(9)));
        assert_eq!((line.took_us, line.no_effect, line.more, line.probe), (Some(7), true, true, true));
        assert_eq!(serde_json::to_value(&line.policies).unwrap(), whole["policies"]);
        assert_eq!(serde_json::to_value(&line.claims).unwrap(), whole["claims"]);
        assert!(matches!(line.workload.unwrap().0, Cow::Borrowed(_)), "nothing is copied where it need not be");
        // A member that the log has and this reader has not would be lost to all that read by it.
        let known = "v time seq broker event outcome decision_id workload audience task scope lease predecessor ttl kid epoch \
                     position policies refusal count more since took_us no_effect probe actor identity claims peer reason detail prev sum";
        let members = whole.as_object().unwrap().keys();
        assert!(members.into_iter().all(|name| known.split_whitespace().any(|each| each == name)), "{whole}");
    }
}
