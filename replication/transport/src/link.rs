//! One living connection, and the decision which of two stays.

use crate::error::connection_code;
use crate::greet::Greeted;
use crate::outbound::Queues;
use crate::peers::{PeerState, Slot, lock};
use crate::transport::Shared;
use crate::{Failure, inbound, outbound};
use eport_model::NodeId;
use eport_tls::PeerIdentity;
use eport_wire::{Agreed, Class, CloseCode, Hello};
use quinn::{Connection, VarInt};
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How often a link looks whether packets arrived: fine enough for `last_seen`, cheap with a thousand peers.
const SEEN_INTERVAL: Duration = Duration::from_millis(500);

/// A connection with its queues. Stands in a slot from installation to the end of its last reader.
pub(crate) struct Link {
    pub conn: Connection,
    pub class: Class,
    pub node: NodeId,
    pub dialer: NodeId,
    pub number: u64,
    pub theirs: Hello,
    pub agreed: Agreed,
    pub identity: PeerIdentity,
    pub since: Instant,
    pub queues: Queues,
    seen: Mutex<Instant>,
    /// Set once the slot is free and `disconnected` was called.
    done: CancellationToken,
}

/// What is known of a connected peer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Connected {
    /// The node.
    pub node: NodeId,
    /// The address its packets come from.
    pub addr: SocketAddr,
    /// Its software version.
    pub software: String,
    /// Its incarnation.
    pub incarnation: u64,
    /// The agreed wire version.
    pub wire_version: u8,
    /// Whether this node dialled.
    pub dialled: bool,
    /// Number of the connection, the same on both sides.
    pub connection: u64,
    /// Since when.
    pub since: Instant,
    /// Round-trip time of packets.
    pub rtt: Duration,
    /// End of its certificate, in seconds since 1970.
    pub certificate_not_after: i64,
}

impl Link {
    pub fn close(&self, code: CloseCode, reason: &str) {
        self.conn.close(VarInt::from_u32(code.number()), reason.as_bytes());
    }

    pub fn touch(&self) {
        *lock(&self.seen) = Instant::now();
    }

    pub fn seen(&self) -> Duration {
        lock(&self.seen).elapsed()
    }

    pub fn facts(&self) -> Connected {
        Connected {
            node: self.node,
            addr: self.conn.remote_address(),
            software: self.theirs.software.clone(),
            incarnation: self.theirs.incarnation,
            wire_version: self.agreed.version,
            dialled: self.dialer != self.node,
            connection: self.number,
            since: self.since,
            rtt: self.conn.rtt(),
            certificate_not_after: self.identity.not_after,
        }
    }

    /// Whether a new connection takes this one's place. Both sides come to the same verdict:
    /// a restarted peer wins, a peer that saw this one end wins, the dialler may replace its own, and of two dials that
    /// crossed the one of the smaller node id wins.
    fn yields_to(&self, new: &Greeted) -> bool {
        if self.conn.close_reason().is_some() || new.theirs.ended == self.number {
            return true;
        }
        match new.theirs.incarnation.cmp(&self.theirs.incarnation) {
            std::cmp::Ordering::Greater => true,
            std::cmp::Ordering::Less => false,
            std::cmp::Ordering::Equal => new.dialer <= self.dialer,
        }
    }
}

/// Puts a greeted connection into its slot, ending the one that stood there, and starts its tasks.
/// `Err` means that the other one stays.
pub(crate) async fn install(shared: &Arc<Shared>, new: Greeted, number: u64) -> Result<Arc<Link>, CloseCode> {
    let peer = shared.peers.get_or_insert(new.node);
    let slot = peer.slot(new.class);
    let _deciding = slot.deciding.lock().await;
    if let Some(old) = slot.current() {
        if !old.yields_to(&new) {
            return Err(CloseCode::Duplicate);
        }
        let restarted = new.theirs.incarnation != old.theirs.incarnation || new.dialer == old.dialer;
        let code = if restarted { CloseCode::Superseded } else { CloseCode::Duplicate };
        old.close(code, "a newer connection stands");
        // Its readers end first: no message of it may follow the new connection's `connected`.
        old.done.cancelled().await;
    }
    if shared.stop.is_cancelled() {
        return Err(CloseCode::Shutdown);
    }
    let (queues, outlets) = outbound::queues(new.class, &shared.config);
    let link = Arc::new(Link {
        conn: new.conn,
        class: new.class,
        node: new.node,
        dialer: new.dialer,
        number,
        theirs: new.theirs,
        agreed: new.agreed,
        identity: new.identity,
        since: Instant::now(),
        queues,
        seen: Mutex::new(Instant::now()),
        done: CancellationToken::new(),
    });
    slot.link.send_replace(Some(link.clone()));
    bury_former_life(&peer, &link).await;
    peer.set_failure(None);
    if link.class == Class::Control {
        shared.connected.send_modify(|set| {
            set.insert(link.node);
        });
        shared.handler.connected(link.node);
    }
    let tasks = TaskTracker::new();
    for outlet in outlets {
        tasks.spawn(outbound::write(link.clone(), outlet));
    }
    tasks.spawn(inbound::streams(shared.clone(), link.clone()));
    tasks.spawn(inbound::requests(shared.clone(), link.clone()));
    tasks.close();
    shared.tasks.spawn(supervise(shared.clone(), peer.clone(), link.clone(), tasks));
    Ok(link)
}

/// Ends the connection of the other class when it is one to a former life of the peer's process. A killed process says no
/// good-bye: what is sent there would wait for the idle timeout, and the peer dials the bulk class only when it needs it.
async fn bury_former_life(peer: &PeerState, link: &Link) {
    let others = Class::ALL.into_iter().filter(|c| *c != link.class);
    let stale = others.filter_map(|c| peer.slot(c).current());
    for old in stale.filter(|old| old.theirs.incarnation < link.theirs.incarnation) {
        old.close(CloseCode::Superseded, "its process has ended");
        old.done.cancelled().await;
    }
}

/// Watches a link to its end, then frees the slot and tells the handler.
async fn supervise(shared: Arc<Shared>, peer: Arc<PeerState>, link: Arc<Link>, tasks: TaskTracker) {
    let reason = watch(&shared, &link).await;
    tasks.wait().await;
    free(&shared, peer.slot(link.class), &link);
    if link.class == Class::Control {
        peer.set_failure(Some(Failure::new(connection_code(&reason), reason.to_string())));
    }
    tracing::info!(peer = %link.node, class = %link.class, reason = %reason, "connection ended");
    link.done.cancel();
}

/// Waits for the end, noting arrivals and closing at the certificate's end (R6).
async fn watch(shared: &Shared, link: &Link) -> quinn::ConnectionError {
    let mut ticks = tokio::time::interval(SEEN_INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut packets = 0;
    loop {
        tokio::select! {
            reason = link.conn.closed() => return reason,
            () = shared.stop.cancelled() => {
                link.close(CloseCode::Shutdown, "node stops");
                return link.conn.closed().await;
            }
            _ = ticks.tick() => {
                let now_packets = link.conn.stats().udp_rx.datagrams;
                if now_packets != packets {
                    packets = now_packets;
                    link.touch();
                }
                if seconds_now() > link.identity.not_after {
                    link.close(CloseCode::Expired, "certificate expired");
                }
            }
        }
    }
}

fn seconds_now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| i64::try_from(d.as_secs()).unwrap_or(i64::MAX))
}

fn free(shared: &Shared, slot: &Slot, link: &Link) {
    slot.ended.store(link.number, Ordering::Release);
    slot.link.send_replace(None);
    if link.class == Class::Control {
        shared.connected.send_modify(|set| {
            set.remove(&link.node);
        });
        shared.handler.disconnected(link.node);
    }
}
