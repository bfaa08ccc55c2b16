//! Bodies that must go by law: what operators have ordered. The journal's Erase records carry it out.
//!
//! Always holds: an order names a body by place and digest, so it never means another; an order stands for ever; there are at most
//! [`ERASURES_KEPT`].

use eport_model::{Digest, JournalIndex, RegionCode, Timestamp};
use serde::{Deserialize, Serialize};

/// Orders that are kept, all platforms together; more are refused. An order stays, so that a primary whose Erase record a
/// failover left behind writes it again.
pub const ERASURES_KEPT: usize = 100_000;
/// Bodies in one command: every version of a document, as lodged and as shown.
pub const ERASED_AT_ONCE: usize = 64;

/// One body by its place and digest: never another one is erased.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct EraseTarget {
    /// The record.
    pub record: JournalIndex,
    /// Which of its bodies.
    pub body: u16,
    /// Digest of the body.
    pub digest: Digest,
}

/// An order to erase one body.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Erasure {
    /// The platform.
    pub region: RegionCode,
    /// What goes.
    pub target: EraseTarget,
    /// Why, for people.
    pub reason: String,
    /// By what authority.
    pub authority: String,
    /// Who ordered it.
    pub by: String,
    /// When.
    pub at: Timestamp,
}
