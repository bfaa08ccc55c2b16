//! Whom a node asks for a content, and in which order: its own site first, and over the lines between sites a tree.
//!
//! Per content the nodes have another fixed order (by digest of root and name), so that no node serves everybody. The first node of
//! each site in this order is its *leader*; leaders form a binary tree with the node where the content came in at its top.
//! Always: every member but the asker is in the answer once; the uplink of the node where the content came in carries it for
//! at most two other sites as long as everybody is reached, however many sites there are.

use eport_identity::{Digest, NodeId, SiteId};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

/// A member and where it stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Member {
    /// The node.
    pub node: NodeId,
    /// Its site.
    pub site: SiteId,
}

/// The order in which `me` asks for the content with this root, which came in at `origin` as far as is known. The first is the one
/// that gets it in time for `me`: it is worth waiting for.
pub fn route(me: NodeId, members: &[Member], origin: Option<NodeId>, root: &Digest) -> Vec<NodeId> {
    let mut ranked: Vec<(Digest, Member)> = members.iter().map(|m| (rank(root, m.node), *m)).collect();
    ranked.sort_by_key(|(rank, m)| (*rank, m.node));
    let site_of = |n: NodeId| members.iter().find(|m| m.node == n).map(|m| m.site);
    let (mine, home) = (site_of(me), origin.and_then(site_of));
    // Leaders in order; the site where the content came in is led by the node that has it.
    let mut leaders: Vec<Member> = Vec::new();
    let mut led: BTreeMap<SiteId, NodeId> = BTreeMap::new();
    if let (Some(node), Some(site)) = (origin, home) {
        leaders.push(Member { node, site });
        led.insert(site, node);
    }
    for (_, m) in &ranked {
        if let Entry::Vacant(free) = led.entry(m.site) {
            free.insert(m.node);
            leaders.push(*m);
        }
    }
    let mut order: Vec<NodeId> = Vec::new();
    let my_leader = mine.and_then(|s| led.get(&s).copied());
    order.extend(my_leader);
    order.extend(ranked.iter().filter(|(_, m)| Some(m.site) == mine).map(|(_, m)| m.node));
    // Up the tree from the leader of this site, then whoever else there is.
    let mut place = leaders.iter().position(|m| Some(m.site) == mine).unwrap_or(0);
    let lead_myself = my_leader == Some(me);
    let mut up = Vec::new();
    while place > 0 {
        place = (place - 1) / 2;
        up.push(leaders[place].node);
    }
    if lead_myself {
        // A leader's own site waits for it: asking there first would be waiting for itself.
        order.splice(0..0, up);
    } else {
        order.extend(up);
    }
    order.extend(ranked.iter().map(|(_, m)| m.node));
    let mut seen = BTreeSet::new();
    order.retain(|n| *n != me && seen.insert(*n));
    order
}

fn rank(root: &Digest, node: NodeId) -> Digest {
    let mut bytes = root.as_bytes().to_vec();
    bytes.extend_from_slice(node.as_str().as_bytes());
    Digest::of(&bytes)
}
