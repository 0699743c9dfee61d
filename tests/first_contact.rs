//! A new user's first minutes: `init`, then the first token as the printed commands ask for it, then `doctor` on set-ups
//! that work and on set-ups that do not.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod common;

#[path = "first_contact/broken.rs"]
mod broken;
#[path = "first_contact/doctor.rs"]
mod doctor;
#[path = "first_contact/init.rs"]
mod init;
#[path = "first_contact/patient.rs"]
mod patient;
#[path = "first_contact/platform.rs"]
mod platform;
#[path = "first_contact/tls.rs"]
mod tls;
