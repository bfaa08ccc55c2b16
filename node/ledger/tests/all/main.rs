//! Tests of the account book: the domain's rules and worked examples, and a seeded world in which everything goes wrong.
#![allow(clippy::unwrap_used)]

mod audit;
mod race;
mod rules;
mod shares;
mod store;
mod world;
