//! The registry by what it promises, part by part. One binary: each one links everything again.
// Tests: an unwrap is an assertion, and they read the real clock.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod common;
mod drills;
mod erasures;
mod federation;
mod keys;
mod model;
mod moves;
mod operators;
mod outside;
mod placements;
mod quotas;
mod recover;
mod rotation;
mod trust;
mod users;
