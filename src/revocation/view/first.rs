//! Which rule ended a token first, for people who ask why it ended. Whether it ended at all is judged elsewhere.

use super::View;
use crate::model::{Position, RuleKind};
use crate::revocation::TokenDigests;

impl View {
    /// The kind and the place of the first rule that ends the token, if any does. Of several rules on one digest the view
    /// knows the last alone.
    pub fn first_end(&self, token: &TokenDigests, rev: Position) -> Option<(RuleKind, Position)> {
        let state = self.state.load();
        let segments = state.segments.iter().filter(|each| each.greatest() > rev);
        let named = segments.flat_map(|segment| {
            token.names().iter().filter_map(|(kind, digest)| Some((*kind, segment.position_of(*digest)?)))
        });
        let all = state.all.map(|rule| (RuleKind::All, rule.position));
        let behind = named.chain(all).filter(|(_, position)| *position > rev);
        let key = state.key_position(token.key()).map(|position| (RuleKind::Key, position));
        behind.chain(key).min_by_key(|(_, position)| *position)
    }
}
