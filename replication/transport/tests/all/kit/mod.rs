//! Nodes of one small federation in one process, and a handler that records what it sees.

#![allow(dead_code, clippy::unwrap_used)] // Each test file uses its part; a failing helper is a failing test.

use bytes::Bytes;
use eport_authority::{Authority, CaPurpose, IssuingSpec, Key, LeafNames, Validity, bundle_pem};
use eport_model::{Epoch, Lineage, NodeId};
use eport_tls::{Identity, Revocations, Tls, TrustBundle};
use eport_transport::{BoxFuture, Config, Handler, Peer, Purpose, Transport};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use time::OffsetDateTime;

pub const LINEAGE: Lineage = Lineage::from_bytes([1; 16]);

pub struct Federation {
    root: Authority,
    ca: Authority,
}

impl Federation {
    pub fn new() -> Self {
        let now = OffsetDateTime::now_utc();
        let domain = "gd.eport.example".parse().unwrap();
        let root = Authority::create_root("gd", &domain, Validity::days(now, 3650)).unwrap();
        let spec = IssuingSpec {
            region: "440000".parse().unwrap(),
            purpose: CaPurpose::Any,
            epoch: Epoch::INITIAL,
            loopback: true,
        };
        let ca = root.create_issuing(spec, Validity::days(now, 365)).unwrap();
        Self { root, ca }
    }

    pub fn bundle(&self) -> TrustBundle {
        let pem = bundle_pem([&self.root, &self.ca]);
        TrustBundle::from_pem(pem.as_bytes(), self.root.domain().clone()).unwrap()
    }

    pub fn tls(&self, node: &str) -> Tls {
        self.tls_for(node, Validity::days(OffsetDateTime::now_utc(), 30))
    }

    pub fn tls_for(&self, node: &str, validity: Validity) -> Tls {
        let (names, region) = (LeafNames::default(), "440000".parse().unwrap());
        let issued =
            self.ca.issue_node(region, id(node), &names, Key::Generate, Epoch::INITIAL, validity).unwrap();
        let key = issued.key_pem.unwrap();
        let identity = Identity::from_pem(issued.chain_pem.as_bytes(), key.as_bytes()).unwrap();
        Tls::new(&identity, self.bundle(), Revocations::default()).unwrap()
    }
}

pub fn id(node: &str) -> NodeId {
    node.parse().unwrap()
}

pub fn loopback() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

pub fn config(node: &str) -> Config {
    Config::new(id(node), LINEAGE, loopback(), 1)
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    Connected(NodeId),
    Disconnected(NodeId),
    Message(NodeId, Purpose, Bytes),
}

/// Records events; answers requests with their payload reversed, `slow` ones never.
#[derive(Default)]
pub struct Recorder(Mutex<Vec<Event>>);

impl Recorder {
    pub fn events(&self) -> Vec<Event> {
        self.0.lock().unwrap().clone()
    }

    pub fn count(&self, wanted: &Event) -> usize {
        self.0.lock().unwrap().iter().filter(|e| *e == wanted).count()
    }

    pub fn messages(&self) -> Vec<Bytes> {
        let payload = |e: &Event| match e {
            Event::Message(_, _, payload) => Some(payload.clone()),
            _ => None,
        };
        self.0.lock().unwrap().iter().filter_map(payload).collect()
    }

    fn push(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

impl Handler for Recorder {
    fn message(&self, from: NodeId, purpose: Purpose, payload: Bytes) {
        self.push(Event::Message(from, purpose, payload));
    }

    fn request(&self, _from: NodeId, _purpose: Purpose, payload: Bytes) -> BoxFuture<'static, Bytes> {
        Box::pin(async move {
            if payload == "slow" {
                std::future::pending::<()>().await;
            }
            payload.iter().rev().copied().collect()
        })
    }

    fn connected(&self, node: NodeId) {
        self.push(Event::Connected(node));
    }

    fn disconnected(&self, node: NodeId) {
        self.push(Event::Disconnected(node));
    }
}

/// A running node.
pub struct Node {
    pub transport: Transport,
    pub seen: Arc<Recorder>,
    pub id: NodeId,
}

impl Node {
    pub async fn start(tls: Tls, config: Config) -> Node {
        let (id, seen) = (config.me, Arc::new(Recorder::default()));
        let transport = Transport::start(config, tls, seen.clone()).await.unwrap();
        Node { transport, seen, id }
    }

    pub fn peer(&self) -> Peer {
        Peer { node: self.id, addr: self.transport.local_addr() }
    }

    pub fn knows(&self, others: &[&Node]) {
        self.transport.set_peers(others.iter().map(|n| n.peer()).collect());
    }

    pub fn sees(&self, other: &Node) -> bool {
        self.transport.peer(other.id).is_some()
    }

    pub async fn ask(&self, to: &Node, text: &'static str) -> Result<Bytes, eport_transport::RequestError> {
        let limit = Duration::from_secs(5);
        self.transport.request(to.id, Purpose::Control, Bytes::from_static(text.as_bytes()), limit).await
    }
}

/// Two nodes that know each other.
pub async fn pair(a: Config, b: Config) -> (Node, Node) {
    let f = Federation::new();
    let (name_a, name_b) = (a.me.to_string(), b.me.to_string());
    let (a, b) = (Node::start(f.tls(&name_a), a).await, Node::start(f.tls(&name_b), b).await);
    a.knows(&[&b]);
    b.knows(&[&a]);
    until("both connected", || a.sees(&b) && b.sees(&a)).await;
    (a, b)
}

/// Waits for a condition; fails the test with its name after ten seconds.
pub async fn until(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(10), "not within 10 s: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
