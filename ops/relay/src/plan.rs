//! Which paths a relay carries: a file written by whoever made the federation.

use eport_identity::{NodeId, SiteId};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

/// Most paths of one relay: 32 nodes on sites of their own have 992.
pub const PATHS_MAX: usize = 2_048;

/// The whole file (JSON).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Start of every draw.
    pub seed: u64,
    /// The paths, both directions of each pair of nodes.
    pub paths: Vec<Path>,
}

/// An end of a path.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct End {
    /// The node.
    pub node: NodeId,
    /// Its site.
    pub site: SiteId,
    /// Where it listens for nodes (UDP); it dials from there too.
    pub quic: SocketAddr,
    /// Where it listens for callers (TCP).
    pub api: SocketAddr,
}

/// How `from` reaches `to`: one address, UDP and TCP.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Path {
    /// Who dials.
    pub from: End,
    /// Who is reached.
    pub to: End,
    /// The address that `from` dials instead of the address of `to`.
    pub listen: SocketAddr,
}

/// A plan that no relay can carry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Too many paths.
    #[error("{found} paths; {PATHS_MAX} are allowed")]
    TooMany {
        /// How many there are.
        found: usize,
    },
    /// A path stands twice, or two share an address.
    #[error("the path {from} to {to} stands twice, or its address {listen} does")]
    Twice {
        /// Who dials.
        from: NodeId,
        /// Who is reached.
        to: NodeId,
        /// Its address.
        listen: SocketAddr,
    },
    /// One direction without the other: answers would have no way back.
    #[error("the path {from} to {to} has no way back")]
    OneWay {
        /// Who dials.
        from: NodeId,
        /// Who is reached.
        to: NodeId,
    },
}

impl Plan {
    /// Refuses a plan that no relay can carry.
    pub fn check(&self) -> Result<(), PlanError> {
        if self.paths.len() > PATHS_MAX {
            return Err(PlanError::TooMany { found: self.paths.len() });
        }
        let mut known: BTreeMap<(NodeId, NodeId), &Path> = BTreeMap::new();
        let mut taken = BTreeSet::new();
        for p in &self.paths {
            if known.insert((p.from.node, p.to.node), p).is_some() || !taken.insert(p.listen) {
                return Err(PlanError::Twice { from: p.from.node, to: p.to.node, listen: p.listen });
            }
        }
        for p in &self.paths {
            let back = known.get(&(p.to.node, p.from.node));
            if !back.is_some_and(|b| b.from == p.to && b.to == p.from) {
                return Err(PlanError::OneWay { from: p.from.node, to: p.to.node });
            }
        }
        Ok(())
    }

    /// The links: pairs of sites, each direction of its own.
    pub fn links(&self) -> BTreeSet<(SiteId, SiteId)> {
        self.paths.iter().map(|p| (p.from.site, p.to.site)).collect()
    }
}
