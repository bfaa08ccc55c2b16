//! Tasks of one node that drive journals, moves and catalog fetch.
#![forbid(unsafe_code)]
