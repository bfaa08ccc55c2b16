//! `GET /v1/diagnosis`: what one node knows of itself and sees of the others, for `eport doctor`.

use eport_identity::{NodeId, RegionCode, SiteId};
use serde::{Deserialize, Serialize};

/// Facts of one node, as it measured them when it was asked. It judges nothing.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct NodeFacts {
    /// The node.
    pub node: NodeId,
    /// Its site.
    pub site: Option<SiteId>,
    /// Its home platform.
    pub region: RegionCode,
    /// Software version.
    pub version: String,
    /// Revision of the sources; empty when the build does not say.
    pub revision: String,
    /// Oldest and newest wire version it speaks.
    pub wire: (u16, u16),
    /// Newest record format it writes.
    pub schema: u16,
    /// Its wall clock at the end of its measurements, just before it answered.
    pub wall: String,
    /// How long these took.
    pub busy_ms: u64,
    /// Seconds since its start.
    pub uptime_s: f64,
    /// True while it takes requests.
    pub ready: bool,
    /// Why it does not.
    pub reasons: Vec<String>,
    /// What it knows of the registry.
    pub registry: RegistryFacts,
    /// How it reaches every other member.
    pub peers: Vec<PeerFacts>,
    /// Its disk.
    pub disk: DiskFacts,
    /// From when to when its certificate is valid; absent while that is not known.
    pub certificate: Option<ValidityFacts>,
    /// Files that the process may have open at once; absent where there is no limit.
    pub files_max: Option<u64>,
    /// Milliseconds that its clock lies behind the time it has seen before; 0 when it does not.
    pub clock_back_ms: u64,
    /// The configuration in force, without secrets.
    #[serde(default)]
    pub config: String,
    /// The newest lines of its log without secrets, oldest first; empty unless asked for.
    #[serde(default)]
    pub log: Vec<String>,
}

/// What a node knows of the registry.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct RegistryFacts {
    /// Index of the last command applied.
    pub index: u64,
    /// Raft term.
    pub term: u64,
    /// The leader it follows.
    pub leader: Option<NodeId>,
    /// Who votes.
    pub voters: Vec<NodeId>,
    /// Age of its newest news from a leader that a majority followed.
    pub news_s: Option<f64>,
}

/// How one node reaches another.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct PeerFacts {
    /// The other node.
    pub node: NodeId,
    /// Each traffic class: `control`, `bulk`.
    pub classes: Vec<ClassFacts>,
}

/// One question over one class of connections.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ClassFacts {
    /// `control` or `bulk`.
    pub class: String,
    /// Milliseconds until the answer; absent when none came.
    pub took_ms: Option<f64>,
    /// Why none came, with the code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<CodedText>,
}

/// A code and what happened.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CodedText {
    /// Stable code.
    pub code: String,
    /// What happened.
    pub text: String,
}

/// The disk that holds the data directory.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct DiskFacts {
    /// Bytes free for this node.
    pub free_bytes: Option<u64>,
    /// Bytes of the whole file system.
    pub total_bytes: Option<u64>,
    /// The shortest of a few small durable writes, in milliseconds: what the disk can do, not what it was busy with.
    pub fsync_ms: Option<f64>,
    /// Why nothing could be written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

/// From when to when something is valid.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ValidityFacts {
    /// Begin.
    pub from: String,
    /// End.
    pub to: String,
}
