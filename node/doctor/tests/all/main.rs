//! One planted fault a test: the finding that names it, and nothing else.
// Tests: an unwrap is an assertion.
#![allow(clippy::unwrap_used)]

mod bundle;
mod incident;
mod platforms;
mod quiet;
mod support;
mod surroundings;
