//! The authority by what it promises, part by part. One binary: each one links everything again.
// Tests: an unwrap is an assertion, and they read the real clock.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod authority;
mod ceremony;
mod kit;
mod outside;
mod rules;
mod status;
mod succession;
mod threats;
