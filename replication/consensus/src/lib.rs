//! openraft behind one small door: propose, read, watch, membership, snapshots.
#![forbid(unsafe_code)]
