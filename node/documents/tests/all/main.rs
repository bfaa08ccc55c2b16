//! The judge and its packs by what they promise, part by part. One binary: each one links everything again.
// Tests: an unwrap is an assertion, and they read the real clock.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod coverage;
mod examples;
mod judge;
mod judged;
mod packs;
