//! QUIC connections between nodes: one per pair and class, streams by purpose, reconnect.
#![forbid(unsafe_code)]
