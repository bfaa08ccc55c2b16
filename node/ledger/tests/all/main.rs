//! Tests of the account book: the domain's rules and worked examples, and a seeded world in which everything goes wrong.
// Tests: an unwrap is an assertion, and they read the real clock and environment.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod audit;
mod race;
mod rules;
mod shares;
mod store;
mod world;
