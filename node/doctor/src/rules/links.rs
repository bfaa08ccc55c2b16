//! Every pair of nodes and both classes of traffic, each direction as its asker saw it.

use crate::kinds::{LINK_CUT, LINK_SLOW};
use crate::{Finding, Gathered, Words};
use eport_model::NodeId;
use std::collections::BTreeSet;

/// An empty question that takes longer than this has met more than distance: round trips between provinces are a tenth of it.
const SLOW_MS: f64 = 1_000.0;

pub(super) fn findings(g: &Gathered) -> Vec<Finding> {
    // A node that is silent everywhere is one finding, not one for each of its neighbours.
    let answering: BTreeSet<NodeId> = g.facts().map(|f| f.node).collect();
    let mut out = Vec::new();
    for f in g.facts() {
        for peer in f.peers.iter().filter(|p| answering.contains(&p.node)) {
            for c in &peer.classes {
                let subject = format!("{} → {} {}", f.node, peer.node, c.class);
                match (&c.fault, c.took_ms) {
                    (Some(fault), _) => {
                        let cause = Words::same(format!("{} {}", fault.code, fault.text));
                        let next = format!("eport node show {}", peer.node);
                        out.push(Finding::of(LINK_CUT, subject, cause, next));
                    }
                    (None, Some(ms)) if ms > SLOW_MS => {
                        let cause = Words::new(
                            format!("an empty question took {ms:.0} ms"),
                            format!("空询问耗时 {ms:.0} 毫秒"),
                        );
                        out.push(Finding::of(LINK_SLOW, subject, cause, "eport plan backups"));
                    }
                    (None, _) => {}
                }
            }
        }
    }
    out
}
