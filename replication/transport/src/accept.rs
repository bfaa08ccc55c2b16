//! Accepting: handshakes of peers that dial us, bounded in number.

use crate::error::GreetError;
use crate::link::install;
use crate::transport::Shared;
use crate::{Failure, greet};
use eport_wire::Class;
use quinn::{Endpoint, Incoming, VarInt};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// How long an inbound connection waits for our own dial to the same peer to end, when ours would win.
const CROSSING_WAIT: Duration = Duration::from_millis(500);

/// Accepts until the transport stops.
pub(crate) async fn accept(shared: Arc<Shared>, endpoint: Endpoint) {
    let handshakes = Arc::new(Semaphore::new((shared.config.connections_max / 10).max(1)));
    loop {
        let incoming = tokio::select! {
            () = shared.stop.cancelled() => return,
            incoming = endpoint.accept() => incoming,
        };
        let Some(incoming) = incoming else { return };
        if endpoint.open_connections() >= shared.config.connections_max {
            incoming.refuse();
            continue;
        }
        match handshakes.clone().try_acquire_owned() {
            Ok(permit) => {
                let shared = shared.clone();
                shared.clone().tasks.spawn(async move {
                    greet_limited(&shared, incoming).await;
                    drop(permit);
                });
            }
            Err(_) => incoming.refuse(),
        }
    }
}

async fn greet_limited(shared: &Arc<Shared>, incoming: Incoming) {
    let from = incoming.remote_address();
    let limit = shared.config.greeting_timeout;
    let greeting = async {
        tokio::select! {
            () = shared.stop.cancelled() => Ok(()),
            result = timeout(limit, greet_inbound(shared, incoming)) => match result {
                Ok(result) => result,
                Err(_) => Err(GreetError::Timeout(limit)),
            },
        }
    };
    match greeting.await {
        Ok(()) | Err(GreetError::NotKept(_)) => {}
        Err(e) => tracing::warn!(%from, error = %e, code = %e.failure().code, "inbound connection refused"),
    }
}

async fn greet_inbound(shared: &Arc<Shared>, incoming: Incoming) -> Result<(), GreetError> {
    let conn = incoming.accept()?.await?;
    let result = greet_accepted(shared, conn.clone()).await;
    if let Err(e) = &result {
        conn.close(VarInt::from_u32(e.close_code().number()), e.to_string().as_bytes());
    }
    result
}

async fn greet_accepted(shared: &Arc<Shared>, conn: quinn::Connection) -> Result<(), GreetError> {
    let (greeted, mut answer) = match greet::heard(shared, conn.clone()).await {
        Ok(heard) => heard,
        Err(e) => {
            note_failure(shared, &conn, e.failure());
            return Err(e);
        }
    };
    let number = greeted.theirs.connection;
    if shared.config.me < greeted.node {
        let mut dialing = shared.peers.get_or_insert(greeted.node).slot(greeted.class).dialing.subscribe();
        // Either outcome is fine: `install` decides between the two connections.
        let _ = timeout(CROSSING_WAIT, dialing.wait_for(|d| !d)).await;
    }
    install(shared, greeted, number).await.map_err(GreetError::NotKept)?;
    greet::answer(shared, &conn, &mut answer, number).await
}

/// Lets `failure(node)` show why a peer with a good certificate was sent away, on this side too.
fn note_failure(shared: &Shared, conn: &quinn::Connection, failure: Failure) {
    let chain = conn
        .peer_identity()
        .and_then(|any| any.downcast::<Vec<rustls::pki_types::CertificateDer<'static>>>().ok());
    let Some(node) = chain.and_then(|c| shared.tls.peer(&c).ok()).and_then(|p| p.subject.node()) else {
        return;
    };
    if node == shared.config.me {
        return;
    }
    let peer = shared.peers.get_or_insert(node);
    if peer.slot(Class::Control).current().is_none() {
        tracing::warn!(peer = %node, detail = %failure.detail, "peer sent away");
        peer.set_failure(Some(failure));
    }
}
