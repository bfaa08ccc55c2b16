//! Tests of the crate as a whole: openraft's own suite over the real store, and nodes in one process over an in-memory hub.

mod cluster;
mod faults;
mod hub;
mod recover;
mod storage;
mod world;
