//! The transport as its users see it.

use crate::endpoint::{self, Endpoints};
use crate::inbound::{Broken, next_frame};
use crate::link::Link;
use crate::peers::{PeerState, Peers, lock};
use crate::{Config, Connected, Error, Failure, Handler, Peer, RequestError, SendError, accept, dial};
use bytes::Bytes;
use eport_model::NodeId;
use eport_tls::{PeerIdentity, Tls};
use eport_wire::{Class, CloseCode, FrameDecoder, FrameError, Hello, Purpose, header};
use futures::future::BoxFuture;
use quinn::{Connecting, VarInt};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Longest wait of `shutdown` for own tasks, and for the port to become free.
const SHUTDOWN_WAIT: Duration = Duration::from_secs(2);
/// Longest wait of `shutdown` for peers to hear the close. Dials of dead peers would drain for seconds.
const CLOSE_WAIT: Duration = Duration::from_millis(200);

/// The connections of this node. Clones share them.
#[derive(Clone)]
pub struct Transport(Arc<Shared>);

/// What all tasks share.
pub(crate) struct Shared {
    pub config: Config,
    pub tls: Tls,
    pub handler: Arc<dyn Handler>,
    pub peers: Peers,
    pub connected: watch::Sender<BTreeSet<NodeId>>,
    pub stop: CancellationToken,
    pub tasks: TaskTracker,
    /// Taken at shutdown, so that the socket closes.
    endpoints: Mutex<Option<Endpoints>>,
    local_addr: SocketAddr,
}

impl Shared {
    pub fn hello(&self) -> Hello {
        let c = &self.config;
        let (version_min, version_max) = c.versions;
        let hello = Hello::new(c.lineage, c.me, c.incarnation, &c.software).descending(&c.ancestors);
        Hello { version_min, version_max, ..hello }
    }

    /// A connection number; 0 means "none".
    pub fn draw_number(&self) -> u64 {
        rand::random_range(1..=u64::MAX)
    }

    pub fn connect(
        &self,
        class: Class,
        addr: SocketAddr,
        name: &str,
    ) -> Result<Connecting, quinn::ConnectError> {
        match &*lock(&self.endpoints) {
            Some(e) => e.endpoint.connect_with(e.client(class), addr, name),
            None => Err(quinn::ConnectError::EndpointStopping),
        }
    }
}

impl Transport {
    /// Binds the UDP address and accepts peers. Nothing is dialled before `set_peers`.
    pub async fn start(config: Config, tls: Tls, handler: Arc<dyn Handler>) -> Result<Transport, Error> {
        let me = tls.me().subject;
        if me.node() != Some(config.me) {
            return Err(Error::NotMe { me: config.me, found: me.to_string() });
        }
        let endpoints = endpoint::open(&config, &tls)?;
        let endpoint = endpoints.endpoint.clone();
        let local_addr =
            endpoint.local_addr().map_err(|source| Error::Socket { addr: config.listen, source })?;
        let shared = Arc::new(Shared {
            config,
            tls,
            handler,
            peers: Peers::default(),
            connected: watch::Sender::new(BTreeSet::new()),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            endpoints: Mutex::new(Some(endpoints)),
            local_addr,
        });
        shared.tasks.spawn(accept::accept(shared.clone(), endpoint));
        Ok(Transport(shared))
    }

    /// The bound address.
    pub fn local_addr(&self) -> SocketAddr {
        self.0.local_addr
    }

    /// Takes the list of nodes to stay connected with: dials new ones, closes removed ones. This node itself is skipped; a
    /// node that the configuration reaches by another address is dialled there.
    pub fn set_peers(&self, mut peers: Vec<Peer>) {
        if self.0.stop.is_cancelled() {
            return;
        }
        peers.retain(|p| p.node != self.0.config.me);
        for peer in &mut peers {
            peer.addr = self.0.config.via.get(&peer.node).copied().unwrap_or(peer.addr);
        }
        let changes = self.0.peers.list(&peers, &self.0.stop);
        for peer in changes.removed {
            close_links(&peer, CloseCode::Removed, "no longer listed");
        }
        for (peer, stop) in changes.start {
            self.0.tasks.spawn(dial::keep(self.0.clone(), peer, stop));
        }
    }

    /// Queues a message. Messages of one (peer, purpose) arrive in order; those in flight are lost when the connection
    /// ends. Never waits: without a connection, or with a full queue, it fails at once.
    pub fn send(&self, to: NodeId, purpose: Purpose, payload: Bytes) -> Result<(), SendError> {
        check_length(purpose, &payload).map_err(SendError::TooLong)?;
        let peer = self.0.peers.get(to).ok_or(SendError::NotConnected(to))?;
        match peer.slot(purpose.class()).current() {
            Some(link) => link.queues.push(to, purpose, payload),
            None => {
                if purpose.class() == Class::Bulk {
                    self.dial_bulk(&peer);
                }
                Err(SendError::NotConnected(to))
            }
        }
    }

    /// Asks a peer and waits for the answer. A bulk connection is dialled when first needed.
    pub fn request(
        &self,
        to: NodeId,
        purpose: Purpose,
        payload: Bytes,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<Bytes, RequestError>> {
        Box::pin(async move {
            let head = header(purpose, 0, &payload).map_err(RequestError::TooLong)?;
            let deadline = Instant::now() + timeout;
            let link =
                self.link(to, purpose.class(), deadline).await.ok_or(RequestError::NotConnected(to))?;
            let chunks = [Bytes::copy_from_slice(&head), payload];
            match timeout_at(deadline, exchange(&link, purpose, chunks)).await {
                Ok(result) => result,
                Err(_) => Err(RequestError::Timeout { to, purpose, timeout }),
            }
        })
    }

    /// The nodes with a control connection.
    pub fn connected(&self) -> watch::Receiver<BTreeSet<NodeId>> {
        self.0.connected.subscribe()
    }

    /// What is known of a connected node: software version, incarnation, round-trip time.
    pub fn peer(&self, node: NodeId) -> Option<Connected> {
        Some(self.control(node)?.facts())
    }

    /// `peer` for every connected node.
    pub fn peers(&self) -> BTreeMap<NodeId, Connected> {
        let control = self.0.peers.links().into_iter().filter(|l| l.class == Class::Control);
        control.map(|l| (l.node, l.facts())).collect()
    }

    /// Time since the last frame or keep-alive of a connected node (500 ms coarse), `None` without a connection.
    pub fn last_seen(&self, node: NodeId) -> Option<Duration> {
        Some(self.control(node)?.seen())
    }

    /// Why the last dial or connection of a node failed; `None` while connected or never tried.
    pub fn failure(&self, node: NodeId) -> Option<Failure> {
        self.0.peers.get(node)?.failure()
    }

    /// Every node whose last dial or connection failed, and why.
    pub fn failures(&self) -> Vec<(NodeId, Failure)> {
        self.0.peers.all().iter().filter_map(|p| Some((p.node, p.failure()?))).collect()
    }

    /// Connections the endpoint holds, of both classes, greeted or not: a number for metrics.
    pub fn connections_open(&self) -> usize {
        lock(&self.0.endpoints).as_ref().map_or(0, |e| e.endpoint.open_connections())
    }

    /// Closes a node's connections. A listed node is dialled again after a pause.
    pub fn close_peer(&self, node: NodeId, reason: &str) {
        if let Some(peer) = self.0.peers.get(node) {
            close_links(&peer, CloseCode::Removed, reason);
        }
    }

    /// Closes every connection whose peer fits, and says how many.
    pub fn close_where(&self, code: CloseCode, fits: impl Fn(&PeerIdentity) -> bool) -> usize {
        let links: Vec<Arc<Link>> = self.0.peers.links().into_iter().filter(|l| fits(&l.identity)).collect();
        for link in &links {
            link.close(code, &code.to_string());
        }
        links.len()
    }

    /// Closes every connection whose certificate, or issuing CA, is in the revocation set (R6). Call it after each
    /// change of `Tls::revocations`.
    pub fn close_revoked(&self) -> usize {
        let revocations = self.0.tls.revocations();
        self.close_where(CloseCode::Revoked, |peer| peer.revoked(revocations).is_some())
    }

    /// Closes all connections and the socket. Returns when the port is free, or after a short while.
    pub async fn shutdown(&self) {
        self.0.stop.cancel();
        let endpoints = lock(&self.0.endpoints).take();
        let Some(Endpoints { endpoint, .. }) = endpoints else { return };
        endpoint.close(VarInt::from_u32(CloseCode::Shutdown.number()), b"node stops");
        let drained = timeout(CLOSE_WAIT, endpoint.wait_idle()).await.is_ok();
        self.0.tasks.close();
        let _ = timeout(SHUTDOWN_WAIT, self.0.tasks.wait()).await;
        if !drained {
            abandon_socket(&endpoint, self.0.local_addr);
        }
        drop(endpoint);
        let _ = timeout(SHUTDOWN_WAIT, until_free(self.0.local_addr)).await;
    }

    fn control(&self, node: NodeId) -> Option<Arc<Link>> {
        self.0.peers.get(node)?.slot(Class::Control).current()
    }

    /// The link of a class; a missing bulk link is dialled and waited for.
    async fn link(&self, to: NodeId, class: Class, deadline: Instant) -> Option<Arc<Link>> {
        let peer = self.0.peers.get(to)?;
        let slot = peer.slot(class);
        if class == Class::Control || slot.current().is_some() {
            return slot.current();
        }
        let mut links = slot.link.subscribe();
        loop {
            let mut dialing = slot.dialing.subscribe();
            if !self.dial_bulk(&peer) {
                return None;
            }
            let dialled = async {
                let _ = dialing.wait_for(|d| !d).await;
            };
            let found = async { links.wait_for(|l| l.is_some()).await.ok().and_then(|l| l.clone()) };
            tokio::select! {
                () = sleep_until(deadline) => return None,
                link = found => return link,
                () = dialled => { slot.current()?; }
            }
        }
    }

    /// Starts one dial of a bulk connection unless one runs; false when no address is known.
    fn dial_bulk(&self, peer: &Arc<PeerState>) -> bool {
        if peer.address().is_none() || self.0.stop.is_cancelled() {
            return false;
        }
        let slot = peer.slot(Class::Bulk);
        if slot.current().is_some() || slot.dialing.send_replace(true) {
            return true;
        }
        let (shared, peer) = (self.0.clone(), peer.clone());
        self.0.tasks.spawn(async move {
            // The failure stands in the peer's state.
            let _ = dial::dial(&shared, &peer, Class::Bulk, None).await;
            peer.slot(Class::Bulk).dialing.send_replace(false);
        });
        true
    }
}

async fn sleep_until(deadline: Instant) {
    tokio::time::sleep_until(deadline).await;
}

fn check_length(purpose: Purpose, payload: &Bytes) -> Result<(), FrameError> {
    let (len, limit) = (payload.len(), purpose.payload_len_max());
    if len > limit { Err(FrameError::TooLong { purpose, len, limit }) } else { Ok(()) }
}

fn close_links(peer: &PeerState, code: CloseCode, reason: &str) {
    for link in Class::ALL.into_iter().filter_map(|c| peer.slot(c).current()) {
        link.close(code, reason);
    }
}

/// One request on one stream.
async fn exchange(link: &Link, purpose: Purpose, mut chunks: [Bytes; 2]) -> Result<Bytes, RequestError> {
    let lost = |detail: String| RequestError::Lost { to: link.node, purpose, detail };
    let (mut send, mut recv) = link.conn.open_bi().await.map_err(|e| lost(e.to_string()))?;
    // Fails only on a closed stream; then writing fails too.
    let _ = send.set_priority(purpose.priority());
    send.write_all_chunks(&mut chunks).await.map_err(|e| lost(e.to_string()))?;
    send.finish().map_err(|e| lost(e.to_string()))?;
    let mut decoder = FrameDecoder::expecting(purpose);
    match next_frame(&mut recv, &mut decoder).await {
        Ok(Some(frame)) => {
            link.touch();
            Ok(frame.payload)
        }
        Ok(None) => Err(lost("the peer gave no answer".into())),
        Err(Broken::Read(e)) => Err(lost(e.to_string())),
        Err(Broken::Frame(source)) => Err(RequestError::BadAnswer { to: link.node, source }),
    }
}

/// Gives the port back although connections still drain. quinn keeps the last socket but one for late packets, so it
/// takes two replacements to let go of ours. A failure only means that the port stays taken a little longer.
fn abandon_socket(endpoint: &quinn::Endpoint, addr: SocketAddr) {
    for _ in 0..2 {
        let replacement = UdpSocket::bind((addr.ip(), 0)).and_then(|socket| endpoint.rebind(socket));
        if let Err(e) = replacement {
            tracing::debug!(error = %e, "socket kept until connections have drained");
        }
    }
}

/// The socket closes with the last of quinn's own tasks, which nobody can join; a restart on the same port must not
/// race with that.
async fn until_free(addr: SocketAddr) {
    while UdpSocket::bind(addr).is_err() {
        sleep(Duration::from_millis(5)).await;
    }
}

impl std::fmt::Debug for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transport").field("me", &self.0.config.me).field("addr", &self.0.local_addr).finish()
    }
}
