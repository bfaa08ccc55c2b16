//! What the owner of a transport implements.

use bytes::Bytes;
use eport_model::NodeId;
use eport_wire::Purpose;
use std::future::Future;
use std::pin::Pin;

/// A boxed future, the same type as `futures::future::BoxFuture`.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Receives what peers send. `node` and `from` are always the node of the verified certificate.
///
/// Calls for one connection are ordered: `connected`, then messages, then `disconnected`. No method may block: they run
/// on the tasks that read the network.
pub trait Handler: Send + Sync + 'static {
    /// A message of an ordered stream.
    fn message(&self, from: NodeId, purpose: Purpose, payload: Bytes);
    /// A request; the future gives the answer. It runs to its end even if the peer goes away.
    fn request(&self, from: NodeId, purpose: Purpose, payload: Bytes) -> BoxFuture<'static, Bytes>;
    /// A peer's control connection is up.
    fn connected(&self, node: NodeId);
    /// A peer's control connection is down, or about to be replaced.
    fn disconnected(&self, node: NodeId);
}
