//! `eport dev up|status --json` and `eport version --json`.

use eport_identity::{Digest, NodeId, RegionCode, SiteId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A local federation of real processes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DevUp {
    /// Its folder.
    pub dir: String,
    /// Addresses of the APIs, in the order of `nodes`.
    pub api: Vec<String>,
    /// Its processes.
    pub nodes: Vec<DevNode>,
    /// Certificate of the operator.
    pub operator: OperatorFiles,
    /// The process between the sites; none on one site, or when nodes reach each other directly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relay: Option<DevRelay>,
}

/// The relay of a local federation.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DevRelay {
    /// Its process id.
    pub pid: u32,
    /// Only in `dev status`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<ProcessState>,
    /// How a node of one site, and a caller there, reaches a node of another.
    pub paths: Vec<DevPath>,
}

/// One path of the relay.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DevPath {
    /// Who dials.
    pub from: NodeId,
    /// Who is reached.
    pub to: NodeId,
    /// UDP address that `from` dials.
    pub quic: String,
    /// Address of the API of `to` as seen from the site of `from`.
    pub api: String,
}

/// One process.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DevNode {
    /// The node.
    pub node: NodeId,
    /// Its site.
    pub site: SiteId,
    /// Its home platform.
    pub region: RegionCode,
    /// Its process id.
    pub pid: u32,
    /// Address of its API.
    pub api: String,
    /// Its QUIC address.
    pub quic: String,
    /// Only in `dev status`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<ProcessState>,
}

/// What a process does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProcessState {
    /// It runs.
    Running,
    /// It was stopped by a signal and can go on.
    Paused,
    /// It is gone.
    Exited,
}

/// Paths of an operator's files.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct OperatorFiles {
    /// Certificate chain, PEM.
    pub cert: String,
    /// Private key, PEM.
    pub key: String,
    /// Root and issuing CAs, PEM.
    pub ca: String,
}

/// `GET /v1/version` and `eport version --json`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct VersionInfo {
    /// Software version.
    pub version: String,
    /// Source revision, if the build knew it.
    pub revision: String,
    /// Oldest and newest protocol version between nodes.
    pub wire: (u16, u16),
    /// Version of records and state rows.
    pub schema: u16,
    /// SHA-256 of the program's own file; absent in the first moments of a start, while it is computed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub build: Option<Digest>,
    /// The node's clock: who wants to join compares the own with it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub time: String,
    /// Oldest and newest form read of everything that has a form of its own, by its word.
    pub formats: BTreeMap<String, (u32, u32)>,
}
