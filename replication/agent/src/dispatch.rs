//! Where frames from other nodes go: registry, platform tasks, coordinator, soft state, forwarded requests, exchange.
//!
//! The transport starts before the engines it feeds, so each door opens when its engine is there; before that, messages are
//! dropped (their protocols repeat them) and requests are answered with nothing, which their callers treat as "ask again".

use crate::node::Agent;
use crate::soft::{SoftBoard, SoftState};
use bytes::Bytes;
use eport_consensus::Registry;
use eport_model::{NodeId, codec};
use eport_transport::Handler;
use eport_wire::Purpose;
use futures::future::BoxFuture;
use std::sync::{Arc, OnceLock};
use tracing::{debug, info};

/// Carries out client requests that another node forwarded.
pub trait ForwardHandler: Send + Sync + 'static {
    /// Runs the request and returns the encoded answer.
    fn forward(&self, from: NodeId, payload: Bytes) -> BoxFuture<'static, Bytes>;
}

/// Takes what other platforms send to one of this node's.
pub trait ExchangeHandler: Send + Sync + 'static {
    /// Takes an offer of messages and returns the encoded answer.
    fn exchange(&self, from: NodeId, payload: Bytes) -> BoxFuture<'static, Bytes>;
}

/// Routes inbound frames by purpose.
#[derive(Default)]
pub struct Dispatcher {
    registry: OnceLock<Registry>,
    agent: OnceLock<Agent>,
    forward: OnceLock<Arc<dyn ForwardHandler>>,
    exchange: OnceLock<Arc<dyn ExchangeHandler>>,
    board: Arc<SoftBoard>,
}

impl Dispatcher {
    /// A dispatcher with all doors closed.
    pub fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// Opens the door to the registry. Later calls change nothing.
    pub fn open_registry(&self, registry: Registry) {
        let _ = self.registry.set(registry);
    }

    /// Opens the door to the platform tasks. Later calls change nothing.
    pub fn open_agent(&self, agent: Agent) {
        let _ = self.agent.set(agent);
    }

    /// Opens the door to the API. Later calls change nothing.
    pub fn open_forward(&self, handler: Arc<dyn ForwardHandler>) {
        let _ = self.forward.set(handler);
    }

    /// Opens the door to the exchange between platforms. Later calls change nothing.
    pub fn open_exchange(&self, handler: Arc<dyn ExchangeHandler>) {
        let _ = self.exchange.set(handler);
    }

    /// What other nodes said of themselves.
    pub fn board(&self) -> Arc<SoftBoard> {
        self.board.clone()
    }
}

impl Handler for Dispatcher {
    fn message(&self, from: NodeId, purpose: Purpose, payload: Bytes) {
        match purpose {
            Purpose::Journal | Purpose::Move => {
                if let Some(agent) = self.agent.get() {
                    agent.receive(from, payload);
                }
            }
            Purpose::Control => {
                match codec::decode_with_limit::<SoftState>(&payload, Purpose::Control.payload_len_max()) {
                    Ok(state) => self.board.put(from, state),
                    Err(error) => debug!(%from, %error, "soft state not readable"),
                }
            }
            Purpose::Raft
            | Purpose::Registry
            | Purpose::Forward
            | Purpose::Catalog
            | Purpose::Tail
            | Purpose::Checkpoint
            | Purpose::Exchange => {
                debug!(%from, %purpose, "a message where only requests are known");
            }
        }
    }

    fn request(&self, from: NodeId, purpose: Purpose, payload: Bytes) -> BoxFuture<'static, Bytes> {
        match purpose {
            Purpose::Raft | Purpose::Registry => match self.registry.get().cloned() {
                Some(registry) => Box::pin(async move { registry.handle(from, purpose, payload).await }),
                None => empty(),
            },
            Purpose::Forward => match self.forward.get() {
                Some(handler) => handler.forward(from, payload),
                None => empty(),
            },
            Purpose::Exchange => match self.exchange.get() {
                Some(handler) => handler.exchange(from, payload),
                None => empty(),
            },
            Purpose::Catalog => match self.agent.get().cloned() {
                Some(agent) => Box::pin(async move { agent.serve_catalog(payload).await }),
                None => empty(),
            },
            Purpose::Tail => match self.agent.get().cloned() {
                Some(agent) => Box::pin(agent.serve_tail(from, payload)),
                None => empty(),
            },
            Purpose::Checkpoint => match self.agent.get().cloned() {
                Some(agent) => Box::pin(agent.serve_checkpoint(from, payload)),
                None => empty(),
            },
            Purpose::Control => match self.agent.get() {
                Some(agent) => {
                    let answer = agent.serve_lease(from, &payload);
                    Box::pin(async move { answer })
                }
                None => empty(),
            },
            Purpose::Journal | Purpose::Move => empty(),
        }
    }

    fn connected(&self, node: NodeId) {
        info!(%node, "peer connected");
        if let Some(agent) = self.agent.get() {
            agent.greet(node);
        }
    }

    fn disconnected(&self, node: NodeId) {
        info!(%node, "peer disconnected");
    }
}

fn empty() -> BoxFuture<'static, Bytes> {
    Box::pin(async { Bytes::new() })
}
