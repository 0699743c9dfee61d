//! What is said on the wire of the model: places, cursors, events.

use std::ops::BitOrAssign;

/// A place in the log; rules are numbered from 1.
pub type Place = u8;

/// Rules by their places.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Positions(u8);

impl Positions {
    pub const NONE: Self = Self(0);

    /// All behind `after` up to `upto`.
    pub fn between(after: Place, upto: Place) -> Self {
        (after + 1..=upto).fold(Self::NONE, |all, place| all.with(place))
    }

    pub fn with(self, place: Place) -> Self {
        Self(self.0 | 1 << place)
    }

    pub fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    pub fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub fn holds(self, other: Self) -> bool {
        other.0 & !self.0 == 0
    }

    pub fn len(self) -> u8 {
        self.0.count_ones() as u8
    }

    pub fn iter(self) -> impl Iterator<Item = Place> {
        (1..8).filter(move |place| self.0 & 1 << place != 0)
    }

    pub fn first(self) -> Place {
        self.iter().next().unwrap_or(0)
    }

    pub fn last(self) -> Place {
        self.iter().last().unwrap_or(0)
    }
}

impl BitOrAssign for Positions {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

/// A moment as far as it matters here: how long the log was then, and in which of its lives.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Moment {
    pub epoch: u8,
    pub head: Place,
}

/// What an `id:` names besides the filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cursor {
    pub epoch: u8,
    pub position: Place,
    pub after: Place,
    pub whole: bool,
}

/// What is on the wire, as the contract has it; `read` stands for `iat` and `now`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Event {
    Snapshot { position: Place, parts: u8, read: Moment },
    Part { number: u8, rules: Positions },
    Revoke { after: Place, rules: Positions },
    Keys,
    Heartbeat { position: Place, count: u8, read: Moment },
}
