//! The genesis file: what the founding node writes into a new registry, once.

use eport_model::{NodeId, RegionCode, SiteId};
use eport_registry::OperatorRole;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// The whole file (JSON).
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Genesis {
    /// Name of the federation, for people.
    pub name: String,
    /// `production`, `demo` or `dev`.
    pub mode: String,
    /// Every node that may join at once; the founding node among them.
    pub nodes: Vec<GenesisNode>,
    /// The platforms.
    pub platforms: Vec<GenesisPlatform>,
    /// The operators and their roles.
    #[serde(default)]
    pub operators: Vec<GenesisOperator>,
    /// `required` or `optional`; absent: required in production, optional in `dev` and `demo`.
    #[serde(default)]
    pub operator_signatures: Option<String>,
}

/// An operator of the new federation.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenesisOperator {
    /// Id, as in the certificate.
    pub id: String,
    /// Name for people.
    #[serde(default)]
    pub name: String,
    /// `administrator`, `approver`, `publisher`.
    pub roles: Vec<OperatorRole>,
}

/// A node of the new federation.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenesisNode {
    /// Its id.
    pub node: NodeId,
    /// Its site.
    pub site: SiteId,
    /// Its home platform.
    pub region: RegionCode,
    /// Its QUIC address.
    pub quic: SocketAddr,
    /// Its API address.
    pub api: SocketAddr,
}

/// A platform of the new federation.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenesisPlatform {
    /// Its region.
    pub region: RegionCode,
    /// Chinese name.
    pub name_zh: String,
    /// English name.
    pub name_en: String,
    /// Hosted by the province instead of own nodes.
    #[serde(default)]
    pub r#virtual: bool,
    /// First primary.
    pub primary: NodeId,
    /// Backups that should be in sync.
    #[serde(default)]
    pub backups: Vec<NodeId>,
    /// `sync`, `auto_sync` or `async`.
    #[serde(default = "sync")]
    pub durability: String,
    /// Acknowledgements that `sync` needs.
    #[serde(default = "one")]
    pub k: u32,
}

fn sync() -> String {
    "sync".into()
}

fn one() -> u32 {
    1
}
