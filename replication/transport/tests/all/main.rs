//! The transport by what it promises, part by part. One binary: each one links everything again.
// Tests: an unwrap is an assertion, and they read the real clock.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod faults;
mod hostile;
mod kit;
mod messages;
