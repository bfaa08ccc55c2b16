//! What the store promises, shown on real files: nothing acknowledged is lost, nothing damaged is served.
// Tests: an unwrap is an assertion.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod archive;
mod crash;
mod damage;
mod datadir;
mod disk;
mod erase;
mod export;
mod journal;
mod lineage;
mod log;
mod objects;
mod scrub;
mod support;
mod tails;
mod waiting;
mod writer;
