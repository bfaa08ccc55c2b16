//! Frames between nodes: lengths, versions, classes, message envelopes, hello.
#![forbid(unsafe_code)]
