//! The worked examples of timeliness.md and the tables of newsletter-tables.md, from raw rows.
#![allow(clippy::unwrap_used)]

mod examples;
mod newsletter;
mod store;
mod treatment;
