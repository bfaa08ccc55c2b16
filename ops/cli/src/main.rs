//! The operators' command line eport.
#![forbid(unsafe_code)]

fn main() {}
