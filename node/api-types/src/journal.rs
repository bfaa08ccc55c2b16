//! `eport journal verify|head --json` and `eport platform verify --json`.

use eport_identity::{Digest, Epoch, NodeId, RegionCode};
use serde::{Deserialize, Serialize};

/// What a verification of a journal found.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct JournalVerify {
    /// The platform.
    pub region: RegionCode,
    /// Records read.
    pub records: u64,
    /// First index.
    pub first: u64,
    /// Last index.
    pub last: u64,
    /// Its epochs.
    pub epochs: Vec<EpochSpan>,
    /// True when nothing up to `last` is missing or altered.
    pub ok: bool,
    /// True when an outside anchor proves that nothing after `last` was cut off.
    pub end_proven: bool,
    /// What is wrong.
    pub problems: Vec<String>,
}

/// The records of one epoch.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct EpochSpan {
    /// The epoch.
    pub epoch: Epoch,
    /// Its first index.
    pub first: u64,
    /// Its last index.
    pub last: u64,
    /// Who wrote it.
    pub primary: NodeId,
}

/// `GET /v1/platforms/{region}/journal/head`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct JournalHead {
    /// The platform.
    pub region: RegionCode,
    /// Epoch of the last record.
    pub epoch: Epoch,
    /// Its index.
    pub index: u64,
    /// Its digest.
    pub digest: Digest,
}

/// `POST /v1/platforms/{region}/journal/signatures`: a signed checkpoint was written.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct JournalSigned {
    /// The platform.
    pub region: RegionCode,
    /// Epoch of the record that is vouched for.
    pub epoch: Epoch,
    /// Its index.
    pub index: u64,
    /// Its digest.
    pub digest: Digest,
    /// Index of the record that says so.
    pub record: u64,
}

/// Digests of the state rows of all holders at one applied index.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct PlatformVerify {
    /// The platform.
    pub region: RegionCode,
    /// The index all were compared at.
    pub index: u64,
    /// True when all are equal.
    pub ok: bool,
    /// Every holder.
    pub replicas: Vec<ReplicaDigest>,
    /// Holders that look through their copies because they were asked to; `platform show` tells how far they are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scrubbing: Vec<NodeId>,
    /// What verification in the background has shown of each copy.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub copies: Vec<crate::CopyStatus>,
}

/// One holder's digest.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ReplicaDigest {
    /// The holder.
    pub node: NodeId,
    /// Its digest; `null` when it could not be asked.
    pub digest: Option<Digest>,
    /// True when it equals the primary's.
    pub equal: bool,
}
