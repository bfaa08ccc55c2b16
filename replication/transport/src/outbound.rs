//! Sending: one bounded queue and one ordered stream a purpose.

use crate::link::Link;
use crate::{Config, SendError};
use bytes::Bytes;
use eport_model::NodeId;
use eport_wire::{Class, CloseCode, Purpose, header};
use quinn::WriteError;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::mpsc;

/// Messages written in one go.
const BATCH: usize = 64;

/// The sending ends of a link's queues.
pub(crate) struct Queues(BTreeMap<Purpose, Queue>);

struct Queue {
    messages: mpsc::Sender<Bytes>,
    bytes: Arc<AtomicUsize>,
    bytes_max: usize,
}

/// The receiving end of one queue.
pub(crate) struct Outlet {
    purpose: Purpose,
    messages: mpsc::Receiver<Bytes>,
    bytes: Arc<AtomicUsize>,
}

/// The queues of a new link. A full queue refuses (`SendError::QueueFull`); it never waits and never drops.
pub(crate) fn queues(class: Class, config: &Config) -> (Queues, Vec<Outlet>) {
    let mut queues = BTreeMap::new();
    let mut outlets = Vec::new();
    for purpose in Purpose::ALL.into_iter().filter(|p| p.class() == class) {
        let (sender, messages) = mpsc::channel(config.queue_count_max.max(1));
        let bytes = Arc::new(AtomicUsize::new(0));
        queues.insert(
            purpose,
            Queue { messages: sender, bytes: bytes.clone(), bytes_max: config.queue_bytes_max },
        );
        outlets.push(Outlet { purpose, messages, bytes });
    }
    (Queues(queues), outlets)
}

impl Queues {
    pub fn push(&self, to: NodeId, purpose: Purpose, payload: Bytes) -> Result<(), SendError> {
        let queue = self.0.get(&purpose).ok_or(SendError::NotConnected(to))?;
        let len = payload.len();
        let before = queue.bytes.fetch_add(len, Ordering::AcqRel);
        let refuse = |error| {
            queue.bytes.fetch_sub(len, Ordering::AcqRel);
            Err(error)
        };
        // An empty queue takes any legal message, so that a small limit never makes a large message impossible.
        if before > 0 && before + len > queue.bytes_max {
            return refuse(SendError::QueueFull { to, purpose });
        }
        match queue.messages.try_send(payload) {
            Ok(()) => Ok(()),
            Err(mpsc::error::TrySendError::Full(_)) => refuse(SendError::QueueFull { to, purpose }),
            Err(mpsc::error::TrySendError::Closed(_)) => refuse(SendError::NotConnected(to)),
        }
    }
}

/// Writes one queue to its stream, opened with the first message, until the connection ends.
pub(crate) async fn write(link: Arc<Link>, mut outlet: Outlet) {
    tokio::select! {
        _ = link.conn.closed() => {}
        result = drain(&link, &mut outlet) => if let Err(e) = result {
            // A peer that stops a single stream no longer understands us; a fresh connection starts in a known state.
            link.close(CloseCode::Malformed, &format!("{} stream: {e}", outlet.purpose));
        },
    }
}

async fn drain(link: &Link, outlet: &mut Outlet) -> Result<(), WriteError> {
    let mut batch = Vec::with_capacity(BATCH);
    let mut chunks = Vec::with_capacity(2 * BATCH);
    let mut sequence = 0;
    let mut stream = None;
    while outlet.messages.recv_many(&mut batch, BATCH).await > 0 {
        let stream = match &mut stream {
            Some(stream) => stream,
            none => {
                let opened = link.conn.open_uni().await?;
                // Fails only on a closed stream, which this one is not.
                let _ = opened.set_priority(outlet.purpose.priority());
                none.insert(opened)
            }
        };
        let len: usize = batch.iter().map(Bytes::len).sum();
        for payload in batch.drain(..) {
            // `send` checked the length before it queued the payload.
            if let Ok(head) = header(outlet.purpose, sequence, &payload) {
                sequence += 1;
                chunks.push(Bytes::copy_from_slice(&head));
                chunks.push(payload);
            }
        }
        stream.write_all_chunks(&mut chunks).await?;
        chunks.clear();
        outlet.bytes.fetch_sub(len, Ordering::AcqRel);
    }
    Ok(())
}
