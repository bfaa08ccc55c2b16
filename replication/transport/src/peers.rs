//! Every known peer, and of each the two places where a connection can stand.

use crate::link::Link;
use crate::{Failure, Peer};
use eport_model::NodeId;
use eport_wire::Class;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// A lock whose holder panicked is still usable here: every change under these locks is a single assignment.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One peer. Nodes that dialled us without being listed have one too.
pub(crate) struct PeerState {
    pub node: NodeId,
    /// Where it is listed, and what stops its dial loop.
    listed: Mutex<Option<(SocketAddr, CancellationToken)>>,
    slots: [Slot; 2],
    failure: Mutex<Option<Failure>>,
}

/// The place of a peer's connection of one class.
pub(crate) struct Slot {
    pub link: watch::Sender<Option<Arc<Link>>>,
    /// Held while deciding between two connections.
    pub deciding: tokio::sync::Mutex<()>,
    /// True while we dial.
    pub dialing: watch::Sender<bool>,
    /// Number of the last connection that ended here.
    pub ended: AtomicU64,
}

impl Slot {
    fn new() -> Self {
        Self {
            link: watch::Sender::new(None),
            deciding: tokio::sync::Mutex::new(()),
            dialing: watch::Sender::new(false),
            ended: AtomicU64::new(0),
        }
    }

    pub fn current(&self) -> Option<Arc<Link>> {
        self.link.borrow().clone()
    }

    pub fn ended(&self) -> u64 {
        self.ended.load(Ordering::Acquire)
    }
}

impl PeerState {
    fn new(node: NodeId) -> Self {
        Self { node, listed: Mutex::new(None), slots: [Slot::new(), Slot::new()], failure: Mutex::new(None) }
    }

    pub fn slot(&self, class: Class) -> &Slot {
        &self.slots[class as usize - 1]
    }

    /// Where to dial: the listed address, else the one its control connection comes from (every node dials from the
    /// socket it listens on).
    pub fn address(&self) -> Option<SocketAddr> {
        let listed = lock(&self.listed).as_ref().map(|(addr, _)| *addr);
        listed.or_else(|| self.slot(Class::Control).current().map(|link| link.conn.remote_address()))
    }

    pub fn set_failure(&self, failure: Option<Failure>) {
        *lock(&self.failure) = failure;
    }

    pub fn failure(&self) -> Option<Failure> {
        lock(&self.failure).clone()
    }
}

/// The peers of a node.
#[derive(Default)]
pub(crate) struct Peers(Mutex<BTreeMap<NodeId, Arc<PeerState>>>);

/// Says "dialling" until dropped, also when the dial is cancelled.
pub(crate) struct Dialing<'a>(&'a Slot);

impl<'a> Dialing<'a> {
    pub fn start(slot: &'a Slot) -> Self {
        slot.dialing.send_replace(true);
        Self(slot)
    }
}

impl Drop for Dialing<'_> {
    fn drop(&mut self) {
        self.0.dialing.send_replace(false);
    }
}

/// What a new list of peers changes.
pub(crate) struct Changes {
    /// To be dialled until the token is cancelled.
    pub start: Vec<(Arc<PeerState>, CancellationToken)>,
    /// No longer wanted.
    pub removed: Vec<Arc<PeerState>>,
}

impl Peers {
    pub fn get(&self, node: NodeId) -> Option<Arc<PeerState>> {
        lock(&self.0).get(&node).cloned()
    }

    pub fn get_or_insert(&self, node: NodeId) -> Arc<PeerState> {
        lock(&self.0).entry(node).or_insert_with(|| Arc::new(PeerState::new(node))).clone()
    }

    pub fn all(&self) -> Vec<Arc<PeerState>> {
        lock(&self.0).values().cloned().collect()
    }

    pub fn links(&self) -> Vec<Arc<Link>> {
        self.all().iter().flat_map(|p| Class::ALL.map(|c| p.slot(c).current())).flatten().collect()
    }

    /// Takes a new list. A peer whose address changed is dialled anew, but keeps a connection that lives.
    pub fn list(&self, wanted: &[Peer], stop: &CancellationToken) -> Changes {
        let mut changes = Changes { start: Vec::new(), removed: Vec::new() };
        let addresses: BTreeMap<NodeId, SocketAddr> = wanted.iter().map(|p| (p.node, p.addr)).collect();
        let mut peers = lock(&self.0);
        for (node, peer) in peers.iter() {
            // The state stays: a connection that is still closing must find its place to tell its end in order.
            if !addresses.contains_key(node) && lock(&peer.listed).take().is_some_and(cancel) {
                changes.removed.push(peer.clone());
            }
        }
        for (node, addr) in addresses {
            let peer = peers.entry(node).or_insert_with(|| Arc::new(PeerState::new(node))).clone();
            let mut listed = lock(&peer.listed);
            if listed.as_ref().is_some_and(|(old, _)| *old == addr) {
                continue;
            }
            let token = stop.child_token();
            if let Some(old) = listed.replace((addr, token.clone())) {
                cancel(old);
            }
            drop(listed);
            changes.start.push((peer, token));
        }
        changes
    }
}

fn cancel((_, token): (SocketAddr, CancellationToken)) -> bool {
    token.cancel();
    true
}
