//! A tail that comes on a disk instead of a link: its node is removed, or cut off for good.

use eport_identity::{Digest, Epoch, NodeId};
use serde::{Deserialize, Serialize};

/// A place in a journal.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// Epoch of the record.
    pub epoch: Epoch,
    /// Its index.
    pub index: u64,
    /// Its digest.
    pub digest: Digest,
}

/// Announces a tail: what its manifest says.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TailImport {
    /// Node whose journal it was; it need not be a member any more.
    pub node: NodeId,
    /// Last record that both histories share.
    pub fork: Place,
    /// Last record of the tail.
    pub last: Place,
    /// SHA-256 of the record file.
    pub digest: Digest,
    /// Requests with a body in it: without any there is nothing to decide.
    pub documents: u64,
}

/// How much of a tail's record file is at the primary.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TailProgress {
    /// The tail.
    pub id: String,
    /// Bytes of the record file that are there.
    pub bytes: u64,
    /// All of it is there, verified and fsynced.
    pub held: bool,
}
