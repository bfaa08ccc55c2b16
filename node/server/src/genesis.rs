//! The genesis file: what the founding node writes into a new registry, once.

use eport_model::{NodeId, RegionCode, SiteId};
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
