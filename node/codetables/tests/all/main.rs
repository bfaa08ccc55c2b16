//! Code tables by what they promise, part by part. One binary: each one links everything again.
// Tests: an unwrap is an assertion, and they read the real clock.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod bounded;
mod damage;
mod formats;
mod import;
mod reading;
mod real_data;
mod real_versions;
mod starter;
