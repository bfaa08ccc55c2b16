//! What advice rests on: sites and what they share, nodes, platforms with their copies, and what nodes said of themselves.

use eport_model::{NodeId, RegionCode, SiteId};
use eport_registry::{NodeState, Policy, State};
use std::collections::{BTreeMap, BTreeSet};

/// A site: what is lost together.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SiteFact {
    /// Region it stands in.
    pub region: RegionCode,
    /// What it shares with other sites, `label=value`: a power grid, a network provider, a river.
    pub groups: BTreeSet<String>,
    /// Copies of platforms, primaries included, that it has room for; `None` is no limit.
    pub copies_max: Option<u32>,
}

/// A node that is not removed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NodeFact {
    /// Where it stands.
    pub site: SiteId,
    /// Its home platform.
    pub region: RegionCode,
    /// May be given new duties: a member that is not draining.
    pub takes: bool,
    /// Heard from lately.
    pub up: bool,
}

/// A copy of a platform beside its primary.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Copy {
    /// Who keeps it.
    pub node: NodeId,
    /// The registry records it as holding what a failover must find.
    pub in_sync: bool,
    /// It is on its way out of the placement.
    pub leaving: bool,
    /// It can become in sync by policy.
    pub sync: bool,
    /// Records of the primary it does not hold yet, where known.
    pub lag: Option<u64>,
}

/// A platform.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PlatformFact {
    /// The platform.
    pub region: RegionCode,
    /// Its primary.
    pub primary: NodeId,
    /// Its copies elsewhere, by node.
    pub copies: Vec<Copy>,
    /// Its rules.
    pub policy: Policy,
    /// So many counted in-sync copies are proven to hold every acknowledged record.
    pub proven_k: usize,
    /// Records in its journal, where known.
    pub records: Option<u64>,
}

/// Everything advice rests on.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Picture {
    /// Sites that have a node or a name.
    pub sites: BTreeMap<SiteId, SiteFact>,
    /// Nodes that are not removed.
    pub nodes: BTreeMap<NodeId, NodeFact>,
    /// Platforms by region.
    pub platforms: BTreeMap<RegionCode, PlatformFact>,
    /// Voters of the registry.
    pub voters: BTreeSet<NodeId>,
}

/// What only live nodes can tell.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Soft {
    /// Heard from lately.
    pub up: BTreeSet<NodeId>,
    /// Length of each copy of each platform, in records.
    pub held: BTreeMap<(RegionCode, NodeId), u64>,
}

impl Picture {
    /// The picture of a registry's state.
    pub fn of(state: &State, voters: &[NodeId], soft: &Soft) -> Self {
        let sites = state.sites().map(|s| {
            let groups = s.labels.iter().map(|(label, value)| format!("{label}={value}")).collect();
            (s.id, SiteFact { region: s.region, groups, copies_max: s.copies_max })
        });
        let nodes = state.nodes().filter(|n| n.state != NodeState::Removed).map(|n| {
            let takes = n.state == NodeState::Up;
            (n.id, NodeFact { site: n.site, region: n.region, takes, up: soft.up.contains(&n.id) })
        });
        let platforms = state.placements().map(|p| {
            let held = |node: NodeId| soft.held.get(&(p.region, node)).copied();
            let named = p.backups.iter().map(|b| b.node).chain([p.primary]);
            let records = named.filter_map(held).max();
            let copies = p.backups.iter().map(|b| Copy {
                node: b.node,
                in_sync: b.in_sync,
                leaving: b.leaving,
                sync: b.role == eport_registry::Role::Sync,
                lag: held(b.node).zip(records).map(|(held, all)| all.saturating_sub(held)),
            });
            let fact = PlatformFact {
                region: p.region,
                primary: p.primary,
                copies: copies.collect(),
                policy: p.policy,
                proven_k: p.proven_k,
                records,
            };
            (p.region, fact)
        });
        Self {
            sites: sites.collect(),
            nodes: nodes.collect(),
            platforms: platforms.collect(),
            voters: voters.iter().copied().collect(),
        }
    }

    /// Where a node stands; `None` for one that is removed or unknown.
    pub fn site_of(&self, node: NodeId) -> Option<SiteId> {
        self.nodes.get(&node).map(|n| n.site)
    }

    /// What two sites share, beside nothing.
    pub fn shared(&self, a: SiteId, b: SiteId) -> Vec<&String> {
        match (self.sites.get(&a), self.sites.get(&b)) {
            (Some(a), Some(b)) => a.groups.intersection(&b.groups).collect(),
            _ => Vec::new(),
        }
    }

    /// True when acknowledgements of a copy count: another site than the primary's, or the policy says same site.
    pub(crate) fn counted(&self, platform: &PlatformFact, node: NodeId) -> bool {
        platform.policy.same_site
            || matches!((self.site_of(platform.primary), self.site_of(node)), (Some(a), Some(b)) if a != b)
    }
}
