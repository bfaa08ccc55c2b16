//! The files that `eportd` reads: configuration of a node (TOML) and the genesis of a federation (JSON).
//!
//! The daemon owns the format; it refuses unknown keys, so a drift shows at the first start.

use crate::dev::topology::Topology;
use crate::error::Error;
use eport_model::{Lineage, NodeId, RegionCode, SiteId, TrustDomain};
use serde::Serialize;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Configuration of one node.
#[derive(Serialize, Clone, Debug)]
pub struct NodeFile {
    /// `[node]`
    pub node: NodeSection,
    /// `[listen]`
    pub listen: ListenSection,
    /// `[tls]`
    pub tls: TlsSection,
    /// `[federation]`
    pub federation: FederationSection,
    /// `[transport]`, only where a node is reached at another address than its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transport: Option<TransportSection>,
    /// `[registry]`
    pub registry: RegistrySection,
    /// `[ca]`, where the node issues.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<CaSection>,
    /// `[limits]`, only where a value differs from the daemon's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<LimitsSection>,
}

/// Who the node is.
#[derive(Serialize, Clone, Debug)]
pub struct NodeSection {
    /// Node id.
    pub id: NodeId,
    /// Site.
    pub site: SiteId,
    /// Home platform.
    pub region: RegionCode,
    /// Data folder.
    pub data_dir: PathBuf,
}

/// Where it listens.
#[derive(Serialize, Clone, Copy, Debug)]
pub struct ListenSection {
    /// UDP.
    pub quic: SocketAddr,
    /// TCP, HTTPS.
    pub api: SocketAddr,
    /// TCP, loopback only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics: Option<SocketAddr>,
}

/// Certificate, key, trust.
#[derive(Serialize, Clone, Debug)]
pub struct TlsSection {
    /// Certificate chain.
    pub cert: PathBuf,
    /// Key.
    pub key: PathBuf,
    /// Bundle of CAs.
    pub trust: PathBuf,
}

/// The federation.
#[derive(Serialize, Clone, Debug)]
pub struct FederationSection {
    /// Trust domain.
    pub trust_domain: TrustDomain,
    /// Lineage.
    pub lineage: Lineage,
    /// Genesis file, on the founding node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub genesis: Option<PathBuf>,
    /// Nodes to dial first.
    pub seeds: Vec<Seed>,
}

/// A node to dial.
#[derive(Serialize, Clone, Copy, Debug)]
pub struct Seed {
    /// Its id.
    pub node: NodeId,
    /// Its QUIC address.
    pub quic: SocketAddr,
}

/// How other nodes are reached.
#[derive(Serialize, Clone, Debug)]
pub struct TransportSection {
    /// Where a node is dialled instead of where it listens.
    pub via: BTreeMap<NodeId, SocketAddr>,
}

/// Timing of the registry.
#[derive(Serialize, Clone, Copy, Debug)]
pub struct RegistrySection {
    /// `lan`, `default` or `wan`.
    pub profile: &'static str,
}

/// The issuing CAs of a node.
#[derive(Serialize, Clone, Debug)]
pub struct CaSection {
    /// Folder of certificates and keys.
    pub dir: PathBuf,
    /// Passphrase of the keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passphrase_file: Option<PathBuf>,
}

/// Bounds.
#[derive(Serialize, Clone, Copy, Debug)]
pub struct LimitsSection {
    /// Block cache and write buffers, MiB.
    pub memory_mib: usize,
}

/// The genesis file.
#[derive(Serialize, Clone, Debug)]
pub struct Genesis {
    /// Name for people.
    pub name: String,
    /// `production`, `demo` or `dev`.
    pub mode: String,
    /// Nodes that may join at once.
    pub nodes: Vec<GenesisNode>,
    /// Platforms.
    pub platforms: Vec<GenesisPlatform>,
    /// Operators.
    pub operators: Vec<GenesisOperator>,
}

/// An operator in the genesis file.
#[derive(Serialize, Clone, Debug)]
pub struct GenesisOperator {
    /// Id, as in the certificate.
    pub id: String,
    /// Roles.
    pub roles: Vec<&'static str>,
}

/// A node in the genesis file.
#[derive(Serialize, Clone, Copy, Debug)]
pub struct GenesisNode {
    /// Its id.
    pub node: NodeId,
    /// Its site.
    pub site: SiteId,
    /// Its home platform.
    pub region: RegionCode,
    /// QUIC address.
    pub quic: SocketAddr,
    /// API address.
    pub api: SocketAddr,
}

/// A platform in the genesis file.
#[derive(Serialize, Clone, Debug)]
pub struct GenesisPlatform {
    /// Its region.
    pub region: RegionCode,
    /// Chinese name.
    pub name_zh: String,
    /// English name.
    pub name_en: String,
    /// Hosted by another region's nodes.
    pub r#virtual: bool,
    /// First primary.
    pub primary: NodeId,
    /// In-sync backups.
    pub backups: Vec<NodeId>,
    /// `sync` or `async`.
    pub durability: &'static str,
    /// Acknowledgements that an answer needs.
    pub k: u32,
}

impl NodeFile {
    /// The file's text.
    pub fn text(&self) -> Result<String, Error> {
        toml::to_string(self).map_err(|e| Error::dev(format!("the configuration cannot be written: {e}")))
    }
}

impl Genesis {
    /// The genesis of a planned federation whose nodes listen at `addresses` (QUIC, API), in the plan's order.
    pub fn of(name: &str, mode: &str, plan: &Topology, addresses: &[(SocketAddr, SocketAddr)]) -> Self {
        let nodes = plan.nodes.iter().zip(addresses).map(|(n, (quic, api))| GenesisNode {
            node: n.node,
            site: n.site,
            region: n.region,
            quic: *quic,
            api: *api,
        });
        let platforms = plan.platforms.iter().map(|p| {
            let (name_zh, name_en) = p.names();
            // Without a backup on another site nothing can be `replicated`: the answer then says `local`.
            let (durability, k) = if p.backups.is_empty() { ("async", 0) } else { ("sync", 1) };
            let backups = p.backups.clone();
            GenesisPlatform {
                region: p.region,
                name_zh,
                name_en,
                r#virtual: p.hosted,
                primary: p.primary,
                backups,
                durability,
                k,
            }
        });
        Self {
            name: name.into(),
            mode: mode.into(),
            nodes: nodes.collect(),
            platforms: platforms.collect(),
            operators: Vec::new(),
        }
    }

    /// With these operators, each an administrator.
    pub fn with_operators<'a>(mut self, ids: impl IntoIterator<Item = &'a str>) -> Self {
        let operator = |id: &str| GenesisOperator { id: id.to_owned(), roles: vec!["administrator"] };
        self.operators = ids.into_iter().map(operator).collect();
        self
    }

    /// The file's text.
    pub fn text(&self) -> Result<String, Error> {
        serde_json::to_string_pretty(self)
            .map_err(|e| Error::dev(format!("the genesis cannot be written: {e}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_genesis_says_async_where_no_other_site_can_hold_a_copy() {
        let plan = Topology::plan(&["gz-a=440000".parse().unwrap()], &[]).unwrap();
        let at: SocketAddr = "127.0.0.1:1".parse().unwrap();
        let genesis = Genesis::of("gd", "dev", &plan, &[(at, at)]);
        assert_eq!((genesis.platforms[0].durability, genesis.platforms[0].k), ("async", 0));
        let json: serde_json::Value = serde_json::from_str(&genesis.text().unwrap()).unwrap();
        assert_eq!(json["platforms"][0]["virtual"], false);
        assert_eq!(json["nodes"][0]["quic"], "127.0.0.1:1");
    }
}
