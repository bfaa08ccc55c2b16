//! What this node knows of a platform when a move is planned: the registry plus what nodes said of themselves.

use crate::node::Agent;
use eport_model::RegionCode;
use eport_moves::{Observed, ReplicaFact};
use eport_registry::{State, TableId};
use std::collections::BTreeMap;

impl Agent {
    /// Soft facts of one platform on top of the registry's state.
    pub fn observe<'a>(&self, state: &'a State, region: RegionCode) -> Observed<'a> {
        let mut observed = Observed::new(state, self.clock().wall());
        observed.reachable = self.transport().connected().borrow().clone();
        observed.reachable.insert(self.me());
        for (node, (age, soft)) in self.board().all() {
            if let Some(p) = soft.platforms.iter().find(|p| p.region == region) {
                let age_ms = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
                let fact = ReplicaFact {
                    durable: p.last,
                    applied: p.applied,
                    lineage: self.lineage(),
                    at: observed.now.plus_millis(-age_ms),
                };
                observed.replicas.insert(node, fact);
                if let Some((epoch, quiet)) = p.heard {
                    let age_ms = u64::try_from(age_ms).unwrap_or(u64::MAX);
                    observed.heard.insert(node, (epoch, quiet.saturating_add(age_ms)));
                }
            }
            if let Some(free) = soft.free_bytes {
                observed.free.insert(node, free);
            }
            let tables: BTreeMap<TableId, u64> =
                soft.tables.iter().filter_map(|t| Some((t.name.parse().ok()?, t.version))).collect();
            observed.installed.insert(node, tables);
        }
        observed
    }
}
