//! The catalogue of attacks on JSON Web Signatures and Tokens (RFC 8725, RFC 7515 §10, what went wrong in libraries), as
//! tables: each row is a crafted input and what it gets, as a client assertion at the token endpoint of a real broker, and
//! as an access token at the verifier, at the broker's own endpoints and at `jitney verify`. Beside each row the good one
//! that it was crafted from is taken at both sides, so that no row passes for a wrong reason.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on ends")]

mod common;

#[path = "forged/algorithms.rs"]
mod algorithms;
#[path = "forged/claims.rs"]
mod claims;
#[path = "forged/encodings.rs"]
mod encodings;
#[path = "forged/form.rs"]
mod form;
#[path = "forged/good.rs"]
mod good;
#[path = "forged/headers.rs"]
mod headers;
#[path = "forged/json.rs"]
mod json;
#[path = "forged/keys.rs"]
mod keys;
#[path = "forged/replay.rs"]
mod replay;
#[path = "forged/signatures.rs"]
mod signatures;
#[path = "forged/silence.rs"]
mod silence;
#[path = "forged/table.rs"]
mod table;
#[path = "forged/times.rs"]
mod times;
