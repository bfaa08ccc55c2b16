//! What nodes say to each other about the registry: bodies of `Purpose::Raft` and `Purpose::Registry` requests.

use crate::types::{Group, Peer, SnapshotMeta, Vote};
use bytes::Bytes;
use eport_identity::NodeId;
use eport_model::codec;
use eport_registry::{Command, Outcome, Refusal};
use eport_wire::Purpose;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// A request inside the Raft group.
#[derive(Serialize, Deserialize)]
pub(crate) enum RaftRequest {
    Append(AppendEntriesRequest<Group>),
    Vote(VoteRequest<Peer>),
    Piece(Piece),
    /// Whether the sender may stand in this term with a log that ends here; asked before it stands.
    Canvass(VoteRequest<Peer>),
}

impl RaftRequest {
    /// The node in whose name the request speaks; it must be the sender.
    pub(crate) fn speaker(&self) -> NodeId {
        let vote = match self {
            Self::Append(r) => &r.vote,
            Self::Vote(r) | Self::Canvass(r) => &r.vote,
            Self::Piece(p) => &p.vote,
        };
        vote.leader_id().voted_for().unwrap_or_default().0
    }
}

/// A piece of a snapshot file. Pieces of one snapshot follow each other without gap; the last installs it.
#[derive(Serialize, Deserialize)]
pub(crate) struct Piece {
    pub vote: Vote,
    pub meta: SnapshotMeta,
    /// Length of the whole file.
    pub len: u64,
    /// Where the piece starts.
    pub offset: u64,
    pub bytes: Bytes,
}

/// The answer to a [`RaftRequest`].
#[derive(Serialize, Deserialize)]
pub(crate) enum RaftReply {
    Append(AppendEntriesResponse<Peer>),
    Vote(VoteResponse<Peer>),
    /// The piece was stored; the next one starts here.
    Next(u64),
    Installed(SnapshotResponse<Peer>),
    /// The receiver could not serve the request.
    Failed(String),
    /// Whether the receiver would not mind an election.
    Consent(bool),
}

/// A request of any member to the leader.
// Made once a request and encoded at once: boxing the command would save nothing.
#[allow(clippy::large_enum_variant)]
#[derive(Serialize, Deserialize)]
pub(crate) enum RegistryRequest {
    /// Apply a command; the caller waits at most so long.
    Propose { command: Command, wait_ms: u32 },
    /// Confirm leadership and name the index a linearizable read must have applied.
    ReadIndex { wait_ms: u32 },
}

/// The answer to a [`RegistryRequest`].
#[derive(Serialize, Deserialize, Debug)]
pub(crate) enum RegistryReply {
    Applied(Result<Outcome, Refusal>),
    ReadIndex(u64),
    /// Not the leader, or a leader that has lost its majority; nothing was done.
    NotLeader(Option<NodeId>),
    /// It was taken, but its fate is not known.
    Unknown,
    /// The sender may not ask this.
    Denied(String),
}

/// Encodes a message body.
pub(crate) fn encode<T: Serialize>(message: &T) -> Bytes {
    codec::encode(message).into()
}

/// Decodes a message body, which may be no longer than its purpose allows.
pub(crate) fn decode<T: DeserializeOwned>(purpose: Purpose, bytes: &[u8]) -> Result<T, codec::DecodeError> {
    codec::decode_with_limit(bytes, purpose.payload_len_max())
}
