//! Catalogs by what they promise, part by part. One binary: each one links everything again.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod content;
mod engine;
