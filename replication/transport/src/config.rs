//! What a transport must know, and its limits.

use eport_model::{Lineage, NodeId};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

/// A node to keep a connection with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Peer {
    /// The node; its certificate must say so.
    pub node: NodeId,
    /// Where it listens.
    pub addr: SocketAddr,
}

/// Settings of a transport. Identity fields have no defaults; limits follow the design (§8).
#[derive(Clone, Debug)]
pub struct Config {
    /// This node. Must be the node of the own certificate.
    pub me: NodeId,
    /// The history this node belongs to.
    pub lineage: Lineage,
    /// The histories it descends from, the parent first. Default: none.
    pub ancestors: Vec<Lineage>,
    /// UDP address to listen on and dial from. Port 0 picks a free one.
    pub listen: SocketAddr,
    /// Peers that are dialled at another address than the one they are listed with: behind NAT, a bastion or a relay.
    /// Who answers there must still prove to be the peer. Default: none.
    pub via: BTreeMap<NodeId, SocketAddr>,
    /// Rises with every start of the process; a peer lets go of connections of a lower one at once.
    pub incarnation: u64,
    /// Software version told to peers. Default: the version of this crate.
    pub software: String,
    /// Streams of each kind that a peer may have open. Default 4 096.
    pub streams_max: u32,
    /// Receive window of one stream in bytes. Default 1 MiB.
    pub stream_window: u32,
    /// Receive window of one connection in bytes. Default 64 MiB.
    pub connection_window: u32,
    /// How often an idle connection is probed. Default 3 s.
    pub keep_alive: Duration,
    /// After how much silence a connection is given up. Default 15 s.
    pub idle_timeout: Duration,
    /// Oldest and newest wire version that this node says it speaks. Default: those of this software.
    pub versions: (u8, u8),
    /// Limit for dialling, TLS and hellos together. Default 5 s.
    pub greeting_timeout: Duration,
    /// First pause after a failed dial; doubles with each failure, with jitter of ±50 %. Default 100 ms.
    pub backoff_min: Duration,
    /// Longest pause between dials before jitter. Default 3 s.
    pub backoff_max: Duration,
    /// Age at which the dialler replaces a connection, so that keys and certificates are checked anew. Default 24 h.
    pub age_max: Duration,
    /// Messages waiting for one (peer, purpose). Default 4 096.
    pub queue_count_max: usize,
    /// Bytes waiting for one (peer, purpose); a single larger message is accepted by an empty queue. Default 32 MiB.
    pub queue_bytes_max: usize,
    /// Requests of one purpose that a peer may have running here; further ones wait. Default 256.
    pub requests_max: usize,
    /// Connections open at once, and handshakes a tenth of it. Default 4 096 (two classes with 1 000 nodes, and slack).
    pub connections_max: usize,
}

impl Config {
    /// Settings with the default limits.
    pub fn new(me: NodeId, lineage: Lineage, listen: SocketAddr, incarnation: u64) -> Self {
        Self {
            me,
            lineage,
            ancestors: Vec::new(),
            listen,
            via: BTreeMap::new(),
            incarnation,
            software: env!("CARGO_PKG_VERSION").to_owned(),
            versions: (eport_wire::WIRE_VERSION_MIN, eport_wire::WIRE_VERSION_MAX),
            streams_max: 4096,
            stream_window: 1 << 20,
            connection_window: 64 << 20,
            keep_alive: Duration::from_secs(3),
            idle_timeout: Duration::from_secs(15),
            greeting_timeout: Duration::from_secs(5),
            backoff_min: Duration::from_millis(100),
            backoff_max: Duration::from_secs(3),
            age_max: Duration::from_secs(24 * 3600),
            queue_count_max: 4096,
            queue_bytes_max: 32 << 20,
            requests_max: 256,
            connections_max: 4096,
        }
    }
}
