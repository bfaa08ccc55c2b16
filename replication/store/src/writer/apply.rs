//! The thread that writes state rows, in journal order, beside the fsyncs of the journal thread.

use super::handoff::Handoff;
use super::{Done, Mark, Marks};
use crate::{Error, PlatformStore, StateDigest};
use eport_model::{JournalIndex, Position, Record, RecordKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender};
use std::time::Duration;

/// Pause before damaged rows or records are tried again.
const RETRY: Duration = Duration::from_millis(100);
/// In so many attempts it is told once that they are waited for.
const TELL_EVERY: u32 = 50;

/// What the journal thread passes on.
pub(super) enum ApplyOp {
    Apply(JournalIndex, Done<Position>),
    Digest(Done<StateDigest>),
    Barrier(SyncSender<()>),
}

impl ApplyOp {
    pub(super) fn fail(self, error: &Error) {
        match self {
            ApplyOp::Apply(_, done) => done(Err(error.clone())),
            ApplyOp::Digest(done) => done(Err(error.clone())),
            ApplyOp::Barrier(_) => {}
        }
    }
}

pub(super) struct ApplyThread {
    store: PlatformStore,
    handoff: Arc<Handoff>,
    batch_bytes: usize,
    marks: Option<Marks>,
    stopping: Arc<AtomicBool>,
}

/// Waits between two attempts, and tells why.
#[derive(Default)]
struct Waiting {
    attempts: u32,
}

impl Waiting {
    fn wait(&mut self, marks: &Marks, error: &Error) {
        if self.attempts.is_multiple_of(TELL_EVERY) {
            marks(Mark::Waiting(error.to_string()));
        }
        self.attempts = self.attempts.wrapping_add(1);
        std::thread::sleep(RETRY);
    }
}

impl ApplyThread {
    pub(super) fn new(
        store: PlatformStore,
        handoff: Arc<Handoff>,
        batch_bytes: usize,
        marks: Option<Marks>,
        stopping: Arc<AtomicBool>,
    ) -> Self {
        Self { store, handoff, batch_bytes, marks, stopping }
    }

    pub(super) fn run(self, ops: &Receiver<ApplyOp>) {
        let mut ahead: Option<ApplyOp> = None;
        while let Some(op) = ahead.take().or_else(|| ops.recv().ok()) {
            match op {
                ApplyOp::Apply(through, done) => ahead = self.group(ops, through, done),
                ApplyOp::Digest(done) => self.digest(done),
                ApplyOp::Barrier(reached) => {
                    let _ = reached.send(());
                }
            }
        }
    }

    /// Applies up to the furthest of the applies that wait, then answers those reached, and the rest with the error.
    fn group(&self, ops: &Receiver<ApplyOp>, through: JournalIndex, done: Done<Position>) -> Option<ApplyOp> {
        let mut group = vec![(through, done)];
        let mut ahead = None;
        while group.len() < 1_024 {
            match ops.try_recv() {
                Ok(ApplyOp::Apply(through, done)) => group.push((through, done)),
                Ok(other) => {
                    ahead = Some(other);
                    break;
                }
                Err(_) => break,
            }
        }
        let furthest = group.iter().map(|(through, _)| *through).max().unwrap_or(through);
        let result = self.apply_through(furthest);
        let applied = self.store.applied();
        for (through, done) in group {
            done(if through <= applied.index { Ok(applied) } else { result.clone() });
        }
        ahead
    }

    /// Damage of rows or of the journal ends nothing: whoever is told of marks is told of it too and has it mended, and nothing is
    /// lost meanwhile, because what is applied is in the journal already.
    fn apply_through(&self, through: JournalIndex) -> Result<Position, Error> {
        let mut waiting = Waiting::default();
        loop {
            let applied = self.store.applied();
            if applied.index >= through {
                if let (Some(marks), true) = (&self.marks, waiting.attempts > 0) {
                    marks(Mark::GoesOn);
                }
                return Ok(applied);
            }
            let step = self.next_records(applied.index.next(), through);
            match (step.and_then(|records| self.apply_batch(&records)), &self.marks) {
                (Ok(()), _) => {}
                (Err(error @ Error::Damaged { .. }), Some(marks))
                    if !self.store.is_poisoned() && !self.stopping.load(Ordering::Relaxed) =>
                {
                    waiting.wait(marks, &error);
                }
                (Err(error), _) => return Err(error),
            }
        }
    }

    fn next_records(&self, from: JournalIndex, through: JournalIndex) -> Result<Vec<Arc<Record>>, Error> {
        let mut records = self.handoff.take(from, through, self.batch_bytes);
        if records.is_empty() {
            records = self.store.read(from, self.batch_bytes)?;
            records.retain(|r| r.index() <= through);
        }
        if records.is_empty() {
            return Err(Error::NoRecord { index: from });
        }
        Ok(records)
    }

    /// Stops at every ChecksumMark, so that the rows are hashed at exactly that record on every replica.
    fn apply_batch(&self, records: &[Arc<Record>]) -> Result<(), Error> {
        let is_mark = |r: &Arc<Record>| {
            matches!(r.header.kind, RecordKind::ChecksumMark) && r.header.told_state().is_none()
        };
        for run in records.split_inclusive(is_mark) {
            self.store.apply(run)?;
            if let (Some(marks), true) = (&self.marks, run.last().is_some_and(is_mark)) {
                let marks = marks.clone();
                self.store.digest_in_background(move |digest| marks(Mark::Own(digest)))?;
            }
            if let Some(marks) = &self.marks {
                for (index, digest) in run.iter().filter_map(|r| r.header.told_state()) {
                    marks(Mark::Told { index, digest });
                }
            }
        }
        Ok(())
    }

    fn digest(&self, done: Done<StateDigest>) {
        // The callback is needed on both ways out; whoever takes it first calls it.
        let done = Arc::new(std::sync::Mutex::new(Some(done)));
        let answer = move |done: &std::sync::Mutex<Option<Done<StateDigest>>>, result| {
            let taken = done.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
            if let Some(done) = taken {
                done(result);
            }
        };
        let later = done.clone();
        if let Err(error) = self.store.digest_in_background(move |result| answer(&later, result)) {
            answer(&done, Err(error));
        }
    }
}
