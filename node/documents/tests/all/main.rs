//! The judge and its packs by what they promise, part by part. One binary: each one links everything again.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod examples;
mod judge;
mod judged;
mod packs;
