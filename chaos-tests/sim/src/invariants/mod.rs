//! One invariant a file; each header says where the promise comes from. Numbers are those of `replication.md` §4.10.

pub(crate) mod acks;
pub(crate) mod bound;
pub(crate) mod carried;
pub(crate) mod i01;
pub(crate) mod i02;
pub(crate) mod i03;
pub(crate) mod i06;
pub(crate) mod i07;
pub(crate) mod i08;
pub(crate) mod i10;
pub(crate) mod i11;
pub(crate) mod i12;
pub(crate) mod last;
pub(crate) mod lease;
pub(crate) mod local;
pub(crate) mod rows;
pub(crate) mod step_down;
