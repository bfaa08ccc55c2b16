//! The platform by what it promises, part by part. One binary: each one links everything again.
// Tests: an unwrap is an assertion, and they read the real clock.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod accounts;
mod certificates;
mod custody;
mod encryption;
mod enrolments;
mod evidence;
mod exchange;
mod exchange_faults;
mod hold;
mod hosting;
mod packs;
mod query;
mod schedule;
mod sharing;
mod split_brain;
mod submit;
mod support;
mod tails;
