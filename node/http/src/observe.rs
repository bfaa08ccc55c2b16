//! What this node knows of a platform when a move is planned: the registry plus what nodes said of themselves.

use crate::state::Api;
use bytes::Bytes;
use eport_model::{NodeId, RegionCode};
use eport_moves::{Observed, ReplicaFact};
use eport_registry::{State, TableId};
use eport_wire::Purpose;
use std::collections::BTreeMap;
use std::time::Duration;

/// A primary that does not answer a question within this time counts as not answering.
const QUESTION_TIMEOUT: Duration = Duration::from_millis(300);

/// Soft facts of one platform on top of the registry's state.
pub fn observe<'a>(api: &Api, state: &'a State, region: RegionCode) -> Observed<'a> {
    let mut observed = Observed::new(state, api.now());
    observed.reachable = api.transport.connected().borrow().clone();
    observed.reachable.insert(api.agent.me());
    for (node, (age, soft)) in api.agent.board().all() {
        if let Some(p) = soft.platforms.iter().find(|p| p.region == region) {
            let age_ms = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
            let fact = ReplicaFact {
                durable: p.last,
                applied: p.applied,
                lineage: api.agent.lineage(),
                at: observed.now.plus_millis(-age_ms),
            };
            observed.replicas.insert(node, fact);
            if let Some((epoch, quiet)) = p.heard {
                let age_ms = u64::try_from(age_ms).unwrap_or(u64::MAX);
                observed.heard.insert(node, (epoch, quiet.saturating_add(age_ms)));
            }
        }
        let tables: BTreeMap<TableId, u64> =
            soft.tables.iter().filter_map(|t| Some((t.name.parse().ok()?, t.version))).collect();
        observed.installed.insert(node, tables);
    }
    observed
}

/// Asks a node whether it is there, now.
pub async fn answers(api: &Api, node: NodeId) -> bool {
    if node == api.agent.me() {
        return true;
    }
    api.transport.request(node, Purpose::Control, Bytes::from_static(b"?"), QUESTION_TIMEOUT).await.is_ok()
}
