//! Mappings that are committed, and what comes of the tables that they are for.
// Tests: an unwrap is an assertion.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::disallowed_methods)]

mod declarations;
