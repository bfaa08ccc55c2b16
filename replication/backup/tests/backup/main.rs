//! Backups of real databases: incremental, chained, encrypted, restored to any point, pruned without breaking what stays.
// Tests: an unwrap is an assertion, and they read the real clock.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod kept;
mod made;
#[cfg(feature = "s3")]
mod s3;
mod world;
