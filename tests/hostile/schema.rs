//! Schemathesis.
