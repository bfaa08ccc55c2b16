//! A network in memory: every node reaches every other unless one of them is cut off.

use crate::Registry;
use crate::message::{RaftRequest, decode};
use crate::rpc::{BoxFuture, Rpc, RpcError};
use bytes::Bytes;
use eport_identity::NodeId;
use eport_wire::Purpose;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[derive(Default)]
pub(super) struct Hub {
    nodes: Mutex<BTreeMap<NodeId, Registry>>,
    cut: Mutex<BTreeSet<NodeId>>,
    /// Questions that a node asked before standing for election, answered or not.
    asked: AtomicU64,
}

impl Hub {
    pub(super) fn attach(&self, node: NodeId, registry: Registry) {
        self.nodes.lock().unwrap().insert(node, registry);
    }

    pub(super) fn detach(&self, node: NodeId) {
        self.nodes.lock().unwrap().remove(&node);
    }

    /// Cuts a node off from all others, in both directions.
    pub(super) fn cut(&self, node: NodeId) {
        self.cut.lock().unwrap().insert(node);
    }

    pub(super) fn heal(&self) {
        self.cut.lock().unwrap().clear();
    }

    pub(super) fn asked(&self) -> u64 {
        self.asked.load(Ordering::SeqCst)
    }

    fn note(&self, purpose: Purpose, payload: &[u8]) {
        let canvass = |r| matches!(r, RaftRequest::Canvass(_));
        if purpose == Purpose::Raft && decode(purpose, payload).is_ok_and(canvass) {
            self.asked.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn reach(&self, from: NodeId, to: NodeId) -> Option<Registry> {
        let cut = self.cut.lock().unwrap();
        if cut.contains(&from) || cut.contains(&to) {
            return None;
        }
        self.nodes.lock().unwrap().get(&to).cloned()
    }
}

/// One node's end of the hub.
pub(super) struct Port {
    pub me: NodeId,
    pub hub: Arc<Hub>,
}

impl Rpc for Port {
    fn request(
        &self,
        to: NodeId,
        purpose: Purpose,
        payload: Bytes,
        timeout: Duration,
    ) -> BoxFuture<Result<Bytes, RpcError>> {
        let (hub, me) = (self.hub.clone(), self.me);
        hub.note(purpose, &payload);
        Box::pin(async move {
            let target = hub.reach(me, to).ok_or(RpcError::Unreachable(to))?;
            assert!(payload.len() <= purpose.payload_len_max());
            let failed = |detail: &str| RpcError::Failed { to, detail: detail.into() };
            let answer = tokio::time::timeout(timeout, target.handle(me, purpose, payload)).await;
            let answer = answer.map_err(|_| failed("timeout"))?;
            // The answer is lost when the line was cut meanwhile.
            hub.reach(me, to).ok_or_else(|| failed("cut"))?;
            Ok(answer)
        })
    }

    fn connected(&self) -> BTreeSet<NodeId> {
        let others: Vec<NodeId> = self.hub.nodes.lock().unwrap().keys().copied().collect();
        others.into_iter().filter(|n| *n != self.me && self.hub.reach(self.me, *n).is_some()).collect()
    }
}
