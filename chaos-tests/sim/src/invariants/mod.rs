//! One invariant a file; each header says where the promise comes from. Numbers are those of `replication.md` §4.10.

pub(crate) mod acks;
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
