//! The little that this crate needs of the network, so that tests can put another one under it.

use bytes::Bytes;
use eport_identity::NodeId;
use eport_transport::RequestError;
use eport_wire::Purpose;
use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

pub(crate) type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Why a request got no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RpcError {
    /// There is no connection; the request did not leave this node.
    #[error("{0} is not connected")]
    Unreachable(NodeId),
    /// The request may have arrived.
    #[error("no answer from {to}: {detail}")]
    Failed { to: NodeId, detail: String },
}

/// Requests to other nodes.
pub(crate) trait Rpc: Send + Sync + 'static {
    fn request(
        &self,
        to: NodeId,
        purpose: Purpose,
        payload: Bytes,
        timeout: Duration,
    ) -> BoxFuture<Result<Bytes, RpcError>>;

    /// Nodes with a living connection.
    fn connected(&self) -> BTreeSet<NodeId>;
}

impl Rpc for eport_transport::Transport {
    fn request(
        &self,
        to: NodeId,
        purpose: Purpose,
        payload: Bytes,
        timeout: Duration,
    ) -> BoxFuture<Result<Bytes, RpcError>> {
        let transport = self.clone();
        Box::pin(async move {
            let answer = eport_transport::Transport::request(&transport, to, purpose, payload, timeout).await;
            answer.map_err(|e| match e {
                RequestError::NotConnected(to) => RpcError::Unreachable(to),
                // Whatever fails on a connection may have arrived.
                e => RpcError::Failed { to, detail: e.to_string() },
            })
        })
    }

    fn connected(&self) -> BTreeSet<NodeId> {
        eport_transport::Transport::connected(self).borrow().clone()
    }
}
