//! What this node knows of a platform when a move is planned.

use crate::state::Api;
use bytes::Bytes;
use eport_model::{NodeId, RegionCode};
use eport_moves::Observed;
use eport_registry::State;
use eport_wire::Purpose;
use std::time::Duration;

/// A primary that does not answer a question within this time counts as not answering.
const QUESTION_TIMEOUT: Duration = Duration::from_millis(300);

/// Soft facts of one platform on top of the registry's state.
pub fn observe<'a>(api: &Api, state: &'a State, region: RegionCode) -> Observed<'a> {
    api.agent.observe(state, region)
}

/// Asks a node whether it is there, now.
pub async fn answers(api: &Api, node: NodeId) -> bool {
    if node == api.agent.me() {
        return true;
    }
    api.transport.request(node, Purpose::Control, Bytes::from_static(b"?"), QUESTION_TIMEOUT).await.is_ok()
}
