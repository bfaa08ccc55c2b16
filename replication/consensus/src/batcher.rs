//! Many commands, one log entry.
//!
//! An entry costs an fsync on each voter, whatever it carries. While nothing is in flight a command is written at once;
//! under load those that wait are written together after a short linger.

use crate::types::{Batch, Raft};
use eport_registry::{Command, Outcome, Refusal};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

/// Commands waiting to be written. A full queue lets the proposer wait within its own timeout.
const QUEUE_LEN: usize = 1_024;
/// Commands in one entry.
const BATCH_LEN_MAX: usize = 256;
/// Bytes after which a batch takes no further command; with one last command it stays below two of these.
const BATCH_BYTES_MAX: usize = 512 << 10;
/// Longest encoded command.
pub(crate) const COMMAND_BYTES_MAX: usize = 512 << 10;
/// Entries in flight: enough that a slow line to the voters does not limit throughput.
const IN_FLIGHT_MAX: usize = 4;
/// How long a batch waits for more commands while another is in flight.
const LINGER: Duration = Duration::from_millis(3);

/// A command and who waits for it.
pub(crate) struct Waiting {
    pub command: Command,
    pub bytes: usize,
    pub deadline: Instant,
    pub answer: oneshot::Sender<Verdict>,
}

/// What became of a command handed to this node's Raft engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    Applied(Result<Outcome, Refusal>),
    /// No answer, or a leader deposed meanwhile: the entry may be in its log and on its way to others.
    Unknown,
}

/// Starts the batcher. It ends when the last sender is dropped.
pub(crate) fn start(raft: Raft) -> mpsc::Sender<Waiting> {
    let (queue, waiting) = mpsc::channel(QUEUE_LEN);
    tokio::spawn(run(raft, waiting));
    queue
}

async fn run(raft: Raft, mut queue: mpsc::Receiver<Waiting>) {
    let slots = Arc::new(Semaphore::new(IN_FLIGHT_MAX));
    while let Some(first) = queue.recv().await {
        let idle = slots.available_permits() == IN_FLIGHT_MAX;
        let Ok(slot) = slots.clone().acquire_owned().await else { return };
        let linger = if idle { Instant::now() } else { Instant::now() + LINGER };
        let batch = collect(first, &mut queue, linger).await;
        tokio::spawn(write(raft.clone(), batch, slot));
    }
}

/// What is queued, and what arrives until `linger`.
async fn collect(first: Waiting, queue: &mut mpsc::Receiver<Waiting>, linger: Instant) -> Vec<Waiting> {
    let mut bytes = first.bytes;
    let mut batch = vec![first];
    while batch.len() < BATCH_LEN_MAX && bytes < BATCH_BYTES_MAX {
        let next = match queue.try_recv() {
            Ok(next) => next,
            Err(_) => match timeout_at(linger, queue.recv()).await {
                Ok(Some(next)) => next,
                Ok(None) | Err(_) => break,
            },
        };
        bytes += next.bytes;
        batch.push(next);
    }
    batch
}

/// Writes one entry and answers everybody. Bounded: a deposed leader may never answer (openraft 0.9).
async fn write(raft: Raft, batch: Vec<Waiting>, _slot: OwnedSemaphorePermit) {
    let batch: Vec<Waiting> = batch.into_iter().filter(|w| !w.answer.is_closed()).collect();
    let Some(deadline) = batch.iter().map(|w| w.deadline).max() else { return };
    let commands = Batch(batch.iter().map(|w| w.command.clone()).collect());
    passed(&batch, "before");
    let verdicts: Vec<Verdict> = match timeout_at(deadline, raft.client_write(commands)).await {
        Ok(Ok(written)) => written.data.0.into_iter().map(Verdict::Applied).collect(),
        Ok(Err(_)) | Err(_) => Vec::new(),
    };
    passed(&batch, "after");
    let mut verdicts = verdicts.into_iter();
    for waiting in batch {
        // A missing verdict is an unknown one; who does not wait any more needs none.
        let _ = waiting.answer.send(verdicts.next().unwrap_or(Verdict::Unknown));
    }
}

/// A place before or after the commit of each command of a batch.
#[allow(unused_variables, reason = "a build without failpoints has no such places")]
fn passed(batch: &[Waiting], when: &str) {
    for waiting in batch {
        eport_failpoint::point!(format!("raft.{}.{when}", eport_failpoint::label(&waiting.command.op)));
    }
}
