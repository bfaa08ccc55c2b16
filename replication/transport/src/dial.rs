//! Dialling: the loop that keeps a listed peer connected, and single dials for bulk connections.

use crate::error::GreetError;
use crate::link::{Link, install};
use crate::peers::{Dialing, PeerState, Slot};
use crate::transport::Shared;
use crate::{Failure, greet};
use eport_wire::{Class, CloseCode, Hello};
use quinn::VarInt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// Head start of the smaller node id, so that two nodes that find each other at once seldom dial twice.
const HEAD_START: Duration = Duration::from_millis(40);
/// A connection that lived this long shows that the peer is well: the next pause starts small again.
const STABLE: Duration = Duration::from_secs(5);

/// Keeps the control connection to a listed peer until cancelled.
pub(crate) async fn keep(shared: Arc<Shared>, peer: Arc<PeerState>, stop: CancellationToken) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = keep_dialling(&shared, &peer) => {}
    }
}

async fn keep_dialling(shared: &Arc<Shared>, peer: &Arc<PeerState>) {
    let slot = peer.slot(Class::Control);
    let mut pause = shared.config.backoff_min;
    if shared.config.me > peer.node {
        sleep(jittered(HEAD_START)).await;
    }
    loop {
        let started = Instant::now();
        let old = until_needed(shared, slot).await;
        if started.elapsed() > STABLE {
            pause = shared.config.backoff_min;
        }
        if dial(shared, peer, Class::Control, old.as_ref()).await.is_ok() {
            continue;
        }
        if old.is_some() {
            sleep(jittered(shared.config.backoff_max)).await;
            continue;
        }
        // An inbound connection of the peer ends the pause: the next turn then waits for that one's end.
        let mut link = slot.link.subscribe();
        let _ = timeout(jittered(pause), link.wait_for(|l| l.is_some())).await;
        pause = (pause * 2).min(shared.config.backoff_max);
    }
}

/// Waits until there is no connection, or ours is old enough to be replaced; gives the one to replace.
async fn until_needed(shared: &Shared, slot: &Slot) -> Option<Arc<Link>> {
    let mut changes = slot.link.subscribe();
    loop {
        let current = changes.borrow_and_update().clone();
        let link = current?;
        let mine = link.dialer == shared.config.me;
        let left = shared.config.age_max.saturating_sub(link.since.elapsed());
        tokio::select! {
            // The sender lives in the peer's state, which the caller holds.
            _ = changes.changed() => {}
            () = sleep(left), if mine => return Some(link),
        }
    }
}

/// Dials once. With `old` the connection is replaced although it lives.
pub(crate) async fn dial(
    shared: &Arc<Shared>,
    peer: &Arc<PeerState>,
    class: Class,
    old: Option<&Arc<Link>>,
) -> Result<(), Failure> {
    let slot = peer.slot(class);
    let Some(addr) = peer.address() else {
        return Err(Failure::new(eport_model::codes::PEER_UNREACHABLE, "no address is known"));
    };
    let dialing = Dialing::start(slot);
    let limit = shared.config.greeting_timeout;
    let result = match timeout(limit, greet_and_install(shared, peer, class, addr)).await {
        Ok(result) => result,
        Err(_) => Err(GreetError::Timeout(limit)),
    };
    drop(dialing);
    let error = match result {
        Ok(()) => return Ok(()),
        Err(error) => error,
    };
    // Losing to a connection that stands is success for whoever wants to reach the peer.
    let stands = slot.current().is_some_and(|now| old.is_none_or(|old| old.number != now.number));
    if stands {
        return Ok(());
    }
    let failure = error.failure();
    tracing::debug!(peer = %peer.node, %class, %addr, error = %error, "dial failed");
    peer.set_failure(Some(failure.clone()));
    Err(failure)
}

async fn greet_and_install(
    shared: &Arc<Shared>,
    peer: &PeerState,
    class: Class,
    addr: SocketAddr,
) -> Result<(), GreetError> {
    let number = shared.draw_number();
    let ours = Hello { connection: number, ended: peer.slot(class).ended(), ..shared.hello() };
    let name = shared.tls.node_server_name(peer.node);
    let conn = shared.connect(class, addr, &name)?.await?;
    let close = |code: CloseCode, why: &str| conn.close(VarInt::from_u32(code.number()), why.as_bytes());
    let greeted = match greet::dialled(shared, conn.clone(), ours, class).await {
        Ok(greeted) => greeted,
        Err(e) => {
            close(e.close_code(), &e.to_string());
            return Err(e);
        }
    };
    match install(shared, greeted, number).await {
        Ok(_) => Ok(()),
        Err(code) => {
            close(code, "another connection stands");
            Err(GreetError::NotKept(code))
        }
    }
}

/// A pause of 50 % to 150 % of the given one, so that nodes do not dial in step.
fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(rand::random_range(0.5..1.5))
}
