//! Moves by what they promise, part by part. One binary: each one links everything again.
// Tests: an unwrap is an assertion, and they read the real clock.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod auto;
#[path = "../../../registry/tests/all/common/mod.rs"]
mod common;
mod drill;
mod failover;
mod plans;
