//! The thread that owns the journal: group commit, and the barriers.

use super::apply::ApplyOp;
use super::handoff::Handoff;
use super::{Counters, Done, Op};
use crate::{Error, PlatformStore};
use eport_model::{JournalIndex, Position, Record};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

type Waiting = (Vec<Arc<Record>>, Done<Position>);

pub(super) struct JournalThread {
    store: PlatformStore,
    handoff: Arc<Handoff>,
    group_bytes: usize,
    apply: SyncSender<ApplyOp>,
    counters: Arc<Counters>,
}

impl JournalThread {
    pub(super) fn new(
        store: PlatformStore,
        handoff: Arc<Handoff>,
        group_bytes: usize,
        apply: SyncSender<ApplyOp>,
        counters: Arc<Counters>,
    ) -> Self {
        Self { store, handoff, group_bytes, apply, counters }
    }

    /// Works until every handle of the writer is gone and the queue is empty.
    pub(super) fn run(self, ops: &Receiver<Op>) {
        let mut ahead: Option<Op> = None;
        while let Some(op) = ahead.take().or_else(|| ops.recv().ok()) {
            match op {
                Op::Append(records, done) => ahead = self.group(ops, (records, done)),
                other => self.single(other),
            }
        }
    }

    /// Collects the appends that wait behind the first and commits them together. Applies of what is durable already pass
    /// by. Returns the operation that ended the group, if one did.
    fn group(&self, ops: &Receiver<Op>, first: Waiting) -> Option<Op> {
        let durable = self.store.last().index;
        let mut bytes = weight(&first.0);
        let mut group = vec![first];
        let mut ahead = None;
        while bytes < self.group_bytes {
            match ops.try_recv() {
                Ok(Op::Append(records, done)) => {
                    bytes += weight(&records);
                    group.push((records, done));
                }
                Ok(Op::Apply(through, done)) if through <= durable => {
                    self.forward(ApplyOp::Apply(through, done))
                }
                Ok(other) => {
                    ahead = Some(other);
                    break;
                }
                Err(_) => break,
            }
        }
        self.commit(group);
        ahead
    }

    fn commit(&self, group: Vec<Waiting>) {
        let slices: Vec<&[Arc<Record>]> = group.iter().map(|(records, _)| records.as_slice()).collect();
        match self.store.append_groups(&slices) {
            Ok(()) => self.answer(group),
            // One refused request must not take its neighbours down; after a failed write all of them fail.
            Err(_) if group.len() > 1 && !self.store.is_poisoned() => {
                for waiting in group {
                    self.commit(vec![waiting]);
                }
            }
            Err(error) => group.into_iter().for_each(|(_, done)| done(Err(error.clone()))),
        }
    }

    fn answer(&self, group: Vec<Waiting>) {
        self.counters.groups.fetch_add(1, Ordering::Relaxed);
        for (records, done) in group {
            self.counters.appends.fetch_add(1, Ordering::Relaxed);
            self.counters.records.fetch_add(records.len() as u64, Ordering::Relaxed);
            self.handoff.push(&records);
            let last = records.last().map_or_else(|| self.store.last(), |r| r.position());
            done(Ok(last));
        }
    }

    fn single(&self, op: Op) {
        match op {
            Op::Append(records, done) => self.commit(vec![(records, done)]),
            Op::Seal(epoch, done) => {
                eport_failpoint::point!("seal.before", self.store.region());
                let sealed = self.store.seal(epoch);
                eport_failpoint::point!("seal.after", self.store.region());
                done(sealed);
            }
            Op::Apply(through, done) => self.forward(ApplyOp::Apply(through, done)),
            Op::Digest(done) => self.forward(ApplyOp::Digest(done)),
            Op::Truncate(after, done) => done(self.truncate(after)),
            Op::Install(done) => {
                self.barrier();
                self.handoff.clear();
                done(self.store.install_checkpoint());
            }
            Op::ExportTail(after, dir, done) => {
                self.barrier();
                eport_failpoint::point!("tail.export.before", self.store.region());
                let exported = self.store.export_tail(after, &dir);
                eport_failpoint::point!("tail.export.after", self.store.region());
                done(exported);
            }
        }
    }

    fn truncate(&self, after: JournalIndex) -> Result<(Position, eport_model::Timestamp), Error> {
        self.barrier();
        self.handoff.clear();
        eport_failpoint::point!("journal.cut.before", self.store.region());
        let cut = self.store.truncate_after(after);
        eport_failpoint::point!("journal.cut.after", self.store.region());
        cut
    }

    /// Waits until the apply thread has done everything sent to it.
    fn barrier(&self) {
        let (reached, wait) = sync_channel(1);
        self.forward(ApplyOp::Barrier(reached));
        // The other end goes away only with the thread, and then nothing is left to wait for.
        let _ = wait.recv();
    }

    /// Blocks while the apply thread is far behind: the bound of its queue is the bound of this one.
    fn forward(&self, op: ApplyOp) {
        if let Err(refused) = self.apply.send(op) {
            refused.0.fail(&Error::Stopped);
        }
    }
}

fn weight(records: &[Arc<Record>]) -> usize {
    records.iter().map(|r| r.weight()).sum()
}
