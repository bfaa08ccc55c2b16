//! The types that openraft is instantiated with.

use eport_identity::NodeId;
use eport_model::codec::DecodeError;
use eport_registry::{Command, Outcome, Refusal};
use eport_store::registry::SnapshotFile;
use openraft::EmptyNode;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A member of the Raft group: a node id under a type of our own, on which openraft's traits may be implemented.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Peer(pub NodeId);

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// Commands of one log entry. An entry costs an fsync on every voter, so one entry carries many commands.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Batch(pub Vec<Command>);

/// What became of an entry's commands, in their order; empty for entries without commands.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Outcomes(pub Vec<Result<Outcome, Refusal>>);

openraft::declare_raft_types!(
    /// The registry's Raft group. Addresses are the registry's business, so a member carries none.
    pub(crate) Group:
        D = Batch,
        R = Outcomes,
        NodeId = Peer,
        Node = EmptyNode,
        SnapshotData = SnapshotFile,
);

pub(crate) type Raft = openraft::Raft<Group>;
pub(crate) type Metrics = openraft::RaftMetrics<Peer, EmptyNode>;
pub(crate) type Entry = openraft::Entry<Group>;
pub(crate) type LogId = openraft::LogId<Peer>;
pub(crate) type Vote = openraft::Vote<Peer>;
pub(crate) type Membership = openraft::StoredMembership<Peer, EmptyNode>;
pub(crate) type SnapshotMeta = openraft::SnapshotMeta<Peer, EmptyNode>;
pub(crate) type Snapshot = openraft::Snapshot<Group>;
pub(crate) type StorageError = openraft::StorageError<Peer>;
pub(crate) type IoError = openraft::StorageIOError<Peer>;

/// Decodes a stored value, naming it in the error.
pub(crate) fn decode<T: serde::de::DeserializeOwned>(
    what: &'static str,
    bytes: &[u8],
) -> Result<T, crate::Error> {
    let wrap = |source: DecodeError| crate::Error::Decode { what, source };
    eport_model::codec::decode(bytes).map_err(wrap)
}

/// Index of a log id; 0 before the first entry.
pub(crate) fn index_of(id: &Option<LogId>) -> u64 {
    id.map_or(0, |id| id.index)
}
