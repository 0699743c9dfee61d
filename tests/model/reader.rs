//! The reader's half of the model: what a verifier takes in, what it refuses, and the cursor it comes back with.
//!
//! Knows only what the wire tells it. What it should know, the world looks up.

use super::wire::{Cursor, Event, Moment, Place, Positions};

/// Which of the contract's checks a reader makes. All of them, but where a test asks what one is there for.
#[derive(Debug, Clone, Copy)]
pub struct Checks {
    /// `after` is the place of the last rule that it has, and rules come by their places.
    pub after: bool,
    /// `count` is how many rules it was sent on this connection.
    pub count: bool,
    /// A part is the one that the signed snapshot names next, and none is missing.
    pub parts: bool,
    /// It resumes only from an event that it could hold against what came before: not from `keys`, not from a part but
    /// the last, not from one that it refused.
    pub cursor: bool,
}

impl Checks {
    pub const ALL: Self = Self { after: true, count: true, parts: true, cursor: true };
}

/// A verifier.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Reader {
    pub view: Option<View>,
    pub cursor: Option<Cursor>,
    incoming: Option<Incoming>,
    /// Rules on this connection.
    got: u8,
    /// It has refused something.
    pub alarmed: bool,
    /// It was told a rule again that it had, by an event that it believed.
    pub twice: bool,
    /// Its view went back.
    pub back: bool,
}

/// What it judges tokens by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct View {
    pub epoch: u8,
    position: Place,
    after: Place,
    pub rules: Positions,
    /// When that was so at the latest, by the broker's word: the age is counted from here.
    pub told: Moment,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Incoming {
    epoch: u8,
    position: Place,
    read: Moment,
    parts: u8,
    next: u8,
    rules: Positions,
}

/// What was heard is not believed: the reader leaves, keeps its view and lets it age.
#[derive(Debug)]
pub struct Refused;

impl Reader {
    /// A connection begins.
    pub fn connects(&mut self) {
        (self.got, self.incoming) = (0, None);
    }

    /// Takes an event in, or refuses it: then nothing of the view has changed.
    pub fn hear(&mut self, event: &Event, id: Cursor, checks: Checks) -> Result<(), Refused> {
        let heard = self.take(event, id, checks);
        let good = match event {
            _ if !checks.cursor => true,
            Event::Keys => false,
            _ => heard.is_ok() && self.incoming.is_none(),
        };
        if good {
            self.cursor = Some(id);
        }
        if heard.is_err() {
            self.alarmed = true;
        }
        heard
    }

    fn take(&mut self, event: &Event, id: Cursor, checks: Checks) -> Result<(), Refused> {
        match *event {
            Event::Snapshot { parts, position, read } => {
                let incoming = Incoming { epoch: id.epoch, position, read, parts, next: 0, rules: Positions::NONE };
                self.incoming = Some(incoming);
                self.finish()
            }
            Event::Part { number, rules } => {
                let incoming = self.incoming.as_mut().ok_or(Refused)?;
                if checks.parts && number != incoming.next {
                    return Err(Refused);
                }
                incoming.next += 1;
                incoming.rules |= rules;
                self.got += rules.len();
                self.finish()
            }
            Event::Revoke { after, rules } => self.revoke(after, rules, checks),
            Event::Keys => Ok(()),
            Event::Heartbeat { position, count, read } => self.beat(position, count, read, checks),
        }
    }

    /// Puts the snapshot in place that is whole.
    fn finish(&mut self) -> Result<(), Refused> {
        let Some(new) = self.incoming.take_if(|incoming| incoming.next == incoming.parts) else { return Ok(()) };
        let mut rules = new.rules;
        if let Some(view) = &self.view {
            // It does not go back, and the view refuses what would.
            if (new.epoch, new.position) < (view.epoch, view.position) {
                return Err(Refused);
            }
            if new.epoch == view.epoch {
                rules |= view.rules;
            }
        }
        let (epoch, position) = (new.epoch, new.position);
        self.place(View { epoch, position, after: position, rules, told: new.read });
        Ok(())
    }

    fn revoke(&mut self, after: Place, rules: Positions, checks: Checks) -> Result<(), Refused> {
        let view = self.view.as_ref().filter(|_| self.incoming.is_none()).ok_or(Refused)?;
        if checks.after && (after != view.after || rules.first() <= after) {
            return Err(Refused);
        }
        let mut new = view.clone();
        self.twice |= rules.meets(view.rules);
        self.got += rules.len();
        new.rules |= rules;
        new.after = rules.last();
        new.position = view.position.max(rules.last());
        self.place(new);
        Ok(())
    }

    fn beat(&mut self, position: Place, count: u8, read: Moment, checks: Checks) -> Result<(), Refused> {
        let view = self.view.as_ref().filter(|_| self.incoming.is_none()).ok_or(Refused)?;
        if checks.count && count != self.got {
            return Err(Refused);
        }
        if position < view.position {
            return Err(Refused);
        }
        let told = view.told.max(read);
        let new = View { position, told, ..view.clone() };
        self.place(new);
        Ok(())
    }

    /// The one place where the view changes: it is seen here whether it went back.
    fn place(&mut self, new: View) {
        let goes_back = |old: &View| {
            let same = new.epoch == old.epoch;
            new.epoch < old.epoch || same && (new.position < old.position || !new.rules.holds(old.rules))
        };
        self.back |= self.view.as_ref().is_some_and(goes_back);
        self.view = Some(new);
    }
}
