//! The expression language by what it promises, part by part. One binary: each one links everything again.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod bounds;
mod language;
mod support;
