//! What a revocation means to a token, and how verifiers hear of it.
//!
//! Owns the view of live rules (`view`), a token's digests (`digests`), and the feed's words: signed snapshots and their
//! parts (`snapshot`), server-sent events (`event`), cursors (`cursor`). Never says who may end what, never signs.

mod cursor;
mod digests;
pub mod event;
mod segment;
pub mod snapshot;
mod sse;
mod view;

pub use cursor::Cursor;
pub use digests::TokenDigests;
pub use view::{Refill, ReplaceError, View};
