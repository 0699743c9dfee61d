//! What is compared with what, and how far apart it may be. Those of a bout take turns, so that what else the machine does
//! falls on all alike: what a round sends is made before its first turn, so that its turns are moments apart, and they come
//! in one order and then in the other. A ratio is the median of the ratios round by round; what shows in some turns only, as a
//! slow answer in a hundred or a collection of garbage, is asked of several rounds together.

use std::path::PathBuf;

use super::asks::Kind;
use super::floor::Authentication;
use super::load::Void;
use super::measure::{Spread, Turn};
use super::parties::{Parties, Party};
use super::peer::Format;

/// Who is asked, and for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Side(pub Party, pub Kind);

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Figure {
    Cpu,
    P50,
    P99,
    Rate,
}

impl Figure {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cpu => "CPU",
            Self::P50 => "p50",
            Self::P99 => "p99",
            Self::Rate => "rate",
        }
    }

    /// Of so many short rounds together.
    const fn rounds(self) -> usize {
        match self {
            Self::Cpu | Self::P50 => 1,
            Self::P99 | Self::Rate => TOGETHER,
        }
    }

    fn of(self, turns: &[Turn]) -> f64 {
        let turn = &Turn::together(turns);
        match self {
            Self::Cpu => turn.cpu_us(),
            Self::P50 => turn.p50_us(),
            Self::P99 => turn.p99_us(),
            Self::Rate => turn.rate(),
        }
    }
}

/// So many short rounds make a thousand requests of each side.
const TOGETHER: usize = 5;

/// How far one side may be from another.
#[derive(Debug, Clone, Copy)]
pub enum Goal {
    AtMost(f64),
    AtLeast(f64),
}

impl Goal {
    pub fn is_met(self, ratio: f64) -> bool {
        match self {
            Self::AtMost(most) => ratio <= most,
            Self::AtLeast(least) => ratio >= least,
        }
    }
}

/// One side beside another.
pub type Comparison = (Figure, Side, Side, Goal);

/// A comparison of several sides.
pub struct Bout {
    pub name: &'static str,
    pub connections: usize,
    /// Redis writes to the disk before it answers, as jitney asks of it. Elsewhere it does not, or the disk would set the
    /// rate and the waiting of all: what is measured there is a core.
    pub synced: bool,
    /// Its turns are as long as [`TOGETHER`] of the others': rates are compared, and until all ask, and once the first have no more
    /// to ask, a server has less to do than it could.
    pub long: bool,
    pub sides: &'static [Side],
    pub comparisons: &'static [Comparison],
}

const MINT: Side = Side(Party::OnRedis, Kind::PrivateKeyJwt);
const MINT_EMBEDDED: Side = Side(Party::Embedded, Kind::PrivateKeyJwt);
const MINT_FLOOR: Side = Side(Party::Floor(Authentication::Es256), Kind::PrivateKeyJwt);
const MINT_PEER: Side = Side(Party::Peer(Format::Jwt), Kind::PrivateKeyJwt);
const FIRST: Side = Side(Party::OnRedis, Kind::FirstSeen);
const FIRST_FLOOR: Side = Side(Party::Floor(Authentication::Rs256), Kind::FirstSeen);
const SEEN: Side = Side(Party::OnRedis, Kind::SeenBefore);
const SEEN_FLOOR: Side = Side(Party::Floor(Authentication::None), Kind::SeenBefore);
const INTROSPECT: Side = Side(Party::OnRedis, Kind::Introspect);
const INTROSPECT_PEER: Side = Side(Party::Peer(Format::Opaque), Kind::Introspect);
const REVOKE: Side = Side(Party::OnRedis, Kind::Revoke);
const REVOKE_PEER: Side = Side(Party::Peer(Format::Opaque), Kind::Revoke);
const BAD_SIGNATURE: Side = Side(Party::OnRedis, Kind::BadSignature);
const UNKNOWN: Side = Side(Party::OnRedis, Kind::UnknownWorkload);
const REPLAY: Side = Side(Party::OnRedis, Kind::Replay);

pub const BOUTS: [Bout; 7] = [
    Bout {
        name: "private_key_jwt, ES256",
        connections: 16,
        synced: false,
        long: true,
        sides: &[MINT, MINT_EMBEDDED, MINT_FLOOR, MINT_PEER],
        comparisons: &[
            (Figure::Cpu, MINT, MINT_FLOOR, Goal::AtMost(1.25)),
            (Figure::P50, MINT, MINT_FLOOR, Goal::AtMost(1.4)),
            (Figure::P99, MINT, MINT_FLOOR, Goal::AtMost(2.0)),
            (Figure::Rate, MINT, MINT_PEER, Goal::AtLeast(3.5)),
        ],
    },
    Bout {
        name: "a platform's token first seen, RS256",
        connections: 16,
        synced: false,
        long: false,
        sides: &[FIRST, Side(Party::Embedded, Kind::FirstSeen), FIRST_FLOOR],
        comparisons: &[(Figure::Cpu, FIRST, FIRST_FLOOR, Goal::AtMost(1.25))],
    },
    Bout {
        name: "a platform's token seen before",
        connections: 16,
        synced: false,
        long: true,
        sides: &[SEEN, Side(Party::Embedded, Kind::SeenBefore), SEEN_FLOOR, MINT_PEER],
        comparisons: &[
            (Figure::Cpu, SEEN, SEEN_FLOOR, Goal::AtMost(1.4)),
            (Figure::Rate, SEEN, MINT_PEER, Goal::AtLeast(7.0)),
        ],
    },
    Bout {
        name: "introspect",
        connections: 16,
        synced: false,
        long: true,
        sides: &[INTROSPECT, Side(Party::Embedded, Kind::Introspect), INTROSPECT_PEER],
        comparisons: &[(Figure::Rate, INTROSPECT, INTROSPECT_PEER, Goal::AtLeast(2.5))],
    },
    Bout {
        name: "revoke",
        connections: 16,
        synced: false,
        long: true,
        sides: &[REVOKE, Side(Party::Embedded, Kind::Revoke), REVOKE_PEER],
        comparisons: &[(Figure::Rate, REVOKE, REVOKE_PEER, Goal::AtLeast(2.0))],
    },
    Bout {
        name: "refusals beside a mint",
        connections: 16,
        synced: false,
        long: false,
        sides: &[MINT, BAD_SIGNATURE, UNKNOWN, REPLAY],
        comparisons: &[
            (Figure::Cpu, BAD_SIGNATURE, MINT, Goal::AtMost(1.0)),
            (Figure::Cpu, UNKNOWN, MINT, Goal::AtMost(1.0)),
            (Figure::Cpu, REPLAY, MINT, Goal::AtMost(1.0)),
        ],
    },
    Bout {
        name: "synced before the answer",
        connections: 64,
        synced: true,
        long: true,
        sides: &[MINT_EMBEDDED, MINT],
        comparisons: &[(Figure::Rate, MINT_EMBEDDED, MINT, Goal::AtLeast(0.6))],
    },
];

/// Turns of the sides that could be had here.
pub struct Outcome {
    pub bout: &'static Bout,
    turns: Vec<(Side, Vec<Turn>)>,
}

impl Bout {
    /// So many rounds of so many requests to each side, or to those of one party, after one round that only fills caches
    /// where `warm`.
    pub fn run(
        &'static self,
        rounds: usize,
        requests: usize,
        warm: bool,
        (peer, only): (Option<PathBuf>, Option<&str>),
    ) -> Result<Outcome, Void> {
        let (rounds, requests) =
            if self.long && warm { (rounds.div_ceil(TOGETHER), requests * TOGETHER) } else { (rounds, requests) };
        let mut parties = Parties::new(peer, self.synced);
        let (mut turns, mut clients) = (Vec::new(), Vec::new());
        for side in self.sides.iter().filter(|side| only.is_none_or(|only| side.0.name() == only)) {
            if parties.start(side.0)? {
                turns.push((*side, Vec::new()));
                clients.push(None);
            }
        }
        for round in 0..rounds + usize::from(warm) {
            let load = |(Side(party, kind), _): &(Side, _)| kind.load(requests, parties.at(*party).0, self.connections);
            let loads: Vec<_> = turns.iter().map(load).collect::<Result<_, _>>()?;
            let mut order: Vec<_> = (0..turns.len()).collect();
            // Whoever comes first finds its core's caches cold.
            if round % 2 == 1 {
                order.reverse();
            }
            for at in order {
                let (Side(party, _), turns) = &mut turns[at];
                let clients = match &mut clients[at] {
                    Some(clients) => clients,
                    none => none.insert(loads[at].clients()?),
                };
                let turn = loads[at].turn(clients, parties.at(*party).1)?;
                if !warm || round > 0 {
                    turns.push(turn);
                }
            }
        }
        Ok(Outcome { bout: self, turns })
    }
}

impl Outcome {
    /// The sides, in order.
    pub fn sides(&self) -> impl Iterator<Item = Side> {
        self.turns.iter().map(|(side, _)| *side)
    }

    /// How many rounds there were, of how many requests of each side.
    pub fn size(&self) -> (usize, usize) {
        let turns = self.turns.first().map_or(&[][..], |(_, turns)| turns);
        (turns.len(), turns.first().map_or(0, Turn::requests))
    }

    /// A figure of a side, of rounds together.
    pub fn figure(&self, side: Side, of: impl Fn(&Turn) -> f64) -> Option<Spread> {
        let rounds = if self.bout.long { 1 } else { TOGETHER };
        Some(Spread::of(self.turns_of(side)?.chunks(rounds).map(|turns| of(&Turn::together(turns)))))
    }

    /// A ratio, where both sides are there.
    pub fn ratio(&self, (figure, one, other, _): &Comparison) -> Option<Spread> {
        let rounds = if self.bout.long { 1 } else { figure.rounds() };
        let of = |side: &Side| Some(self.turns_of(*side)?.chunks(rounds));
        Some(Spread::of(of(one)?.zip(of(other)?).map(|(one, other)| figure.of(one) / figure.of(other))))
    }

    fn turns_of(&self, side: Side) -> Option<&[Turn]> {
        self.turns.iter().find(|(each, _)| *each == side).map(|(_, turns)| turns.as_slice())
    }
}
