//! Two threads in front of one platform's database, so that many appends share one fsync and applying delays none.
//!
//! Operations are taken in order from a bounded queue. The journal thread performs appends, seals, truncations and tail
//! exports; appends that wait behind each other share one fsync. The apply thread writes state rows, in order, beside it.
//! Truncate, ExportTail and Install wait until everything before them is done on both threads.
//!
//! Always holds: callbacks of one thread are called in the order of their operations; each operation's callback is called
//! exactly once; after a failure later operations fail with the same code. Callbacks run on these threads: they must not
//! block and must not wait for this writer. On shutdown the queue is drained first.

mod apply;
mod handoff;
mod journal;

use crate::{Error, PlatformStore, Recovered, StateDigest, TailManifest};
use eport_model::{Digest, Epoch, JournalIndex, Position, Record, Timestamp};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};

/// Told the result of an operation, on a thread of the writer.
pub type Done<T> = Box<dyn FnOnce(Result<T, Error>) + Send>;

/// Told of checksum marks.
pub type Marks = Arc<dyn Fn(Mark) + Send + Sync>;

/// What a checksum mark gave.
#[derive(Clone, Debug)]
pub enum Mark {
    /// Digest of the rows here at exactly a mark; told on a thread of its own.
    Own(Result<StateDigest, Error>),
    /// What the primary had at an earlier mark, as a record that was applied just now says.
    Told {
        /// The mark.
        index: JournalIndex,
        /// Its digest of the rows.
        digest: Digest,
    },
    /// Nothing can be applied because of damage, as these words say. It is tried again until somebody has mended it, and told
    /// again meanwhile.
    Waiting(String),
    /// What could not be applied is applied.
    GoesOn,
}

/// Something to do for the platform.
pub enum Op {
    /// Append and fsync; answers with the last record.
    Append(Vec<Arc<Record>>, Done<Position>),
    /// Fsync the promise not to follow epochs below this one.
    Seal(Epoch, Done<()>),
    /// Apply every stored record up to this one; answers with the applied position.
    Apply(JournalIndex, Done<Position>),
    /// Remove every record after this one; answers with the new end.
    Truncate(JournalIndex, Done<(Position, Timestamp)>),
    /// Export every record after this one into the folder.
    ExportTail(JournalIndex, PathBuf, Done<TailManifest>),
    /// Install the checkpoint that lies here, verified; answers with what a start would find.
    Install(Done<Recovered>),
    /// Hash all state rows as they are behind the applies before; answers later, from a thread of its own.
    Digest(Done<StateDigest>),
}

/// Bounds of one writer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WriterLimits {
    /// Operations that wait; `submit` blocks and `try_submit` refuses beyond it. Default 4 096.
    pub queue: usize,
    /// Bytes that share one fsync at most (one operation may exceed it). Default 8 MiB: 4 000 documents of 2 KiB.
    pub group_bytes: usize,
    /// Bytes of appended records kept in memory for applying; beyond it they are read back. Default 16 MiB.
    pub handoff_bytes: usize,
    /// Bytes applied in one batch. Default 4 MiB.
    pub apply_bytes: usize,
}

impl Default for WriterLimits {
    fn default() -> Self {
        Self { queue: 4_096, group_bytes: 8 << 20, handoff_bytes: 16 << 20, apply_bytes: 4 << 20 }
    }
}

/// What a writer has done since it started.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct WriterStats {
    /// Append operations committed.
    pub appends: u64,
    /// Records in them.
    pub records: u64,
    /// Fsyncs they took.
    pub groups: u64,
}

#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) appends: AtomicU64,
    pub(crate) records: AtomicU64,
    pub(crate) groups: AtomicU64,
}

/// The writer of one platform. Clones share its threads.
#[derive(Clone)]
pub struct JournalWriter(Arc<Shell>);

struct Shell {
    counters: Arc<Counters>,
    /// Set before the threads are waited for.
    stopping: Arc<AtomicBool>,
    ops: Mutex<Option<SyncSender<Op>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl JournalWriter {
    /// Starts the threads.
    pub fn start(store: PlatformStore, limits: WriterLimits, marks: Option<Marks>) -> Result<Self, Error> {
        let handoff = Arc::new(handoff::Handoff::new(limits.handoff_bytes));
        let (apply_in, apply_out) = sync_channel(limits.queue.max(1));
        let (ops_in, ops_out) = sync_channel(limits.queue.max(1));
        let region = store.region();
        let counters = Arc::new(Counters::default());
        let stopping = Arc::new(AtomicBool::new(false));
        let apply = apply::ApplyThread::new(
            store.clone(),
            handoff.clone(),
            limits.apply_bytes,
            marks,
            stopping.clone(),
        );
        let journal = journal::JournalThread::new(
            store.clone(),
            handoff,
            limits.group_bytes,
            apply_in,
            counters.clone(),
        );
        let spawn = |name: String, work: Box<dyn FnOnce() + Send>| {
            Builder::new()
                .name(name)
                .spawn(work)
                .map_err(|e| Error::io("start writer thread", store.path(), e))
        };
        // Linux shows 15 characters of a thread's name.
        let threads = vec![
            spawn(format!("apply-{region}"), Box::new(move || apply.run(&apply_out)))?,
            spawn(format!("log-{region}"), Box::new(move || journal.run(&ops_out)))?,
        ];
        let (ops, threads) = (Mutex::new(Some(ops_in)), Mutex::new(threads));
        Ok(Self(Arc::new(Shell { counters, stopping, ops, threads })))
    }

    /// What was done so far.
    pub fn stats(&self) -> WriterStats {
        let c = &self.0.counters;
        let [appends, records, groups] =
            [&c.appends, &c.records, &c.groups].map(|n| n.load(Ordering::Relaxed));
        WriterStats { appends, records, groups }
    }

    fn sender(&self) -> Option<SyncSender<Op>> {
        self.0.ops.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Queues an operation; blocks while the queue is full. After a stop the operation fails with `Error::Stopped`.
    pub fn submit(&self, op: Op) {
        let refused = match self.sender() {
            Some(ops) => ops.send(op).err().map(|e| e.0),
            None => Some(op),
        };
        if let Some(op) = refused {
            op.fail(&Error::Stopped);
        }
    }

    /// Queues an operation, or gives it back when the queue is full or the writer has stopped.
    pub fn try_submit(&self, op: Op) -> Result<(), Op> {
        match self.sender() {
            Some(ops) => ops.try_send(op).map_err(|e| match e {
                TrySendError::Full(op) | TrySendError::Disconnected(op) => op,
            }),
            None => Err(op),
        }
    }

    /// Takes no more operations, finishes those that wait, and ends the threads. Not from a callback.
    pub fn shutdown(&self) {
        self.0.stop();
    }
}

impl Shell {
    fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        drop(self.ops.lock().unwrap_or_else(PoisonError::into_inner).take());
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            // The last handle may go away inside a callback; a thread does not wait for itself.
            if thread.thread().id() != std::thread::current().id() && thread.join().is_err() {
                tracing::error!("a writer thread panicked");
            }
        }
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Op {
    /// Answers the operation with an error.
    pub fn fail(self, error: &Error) {
        let error = error.clone();
        match self {
            Op::Append(_, done) | Op::Apply(_, done) => done(Err(error)),
            Op::Seal(_, done) => done(Err(error)),
            Op::Truncate(_, done) => done(Err(error)),
            Op::ExportTail(_, _, done) => done(Err(error)),
            Op::Install(done) => done(Err(error)),
            Op::Digest(done) => done(Err(error)),
        }
    }
}
