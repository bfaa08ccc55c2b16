//! The journal by what it promises, part by part. One binary: each one links everything again.
// Tests: an unwrap is an assertion, and they read the real clock.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod bootstrap;
mod moves;
mod policies;
mod primary;
mod rewind;
mod slow_link;
mod support;
mod worked_example;
