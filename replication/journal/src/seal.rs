//! Failover, seen from a candidate: promise first, report after, copy when told.
//!
//! The safety of a failover rests on this file: once a report has left, no record of an older epoch is accepted or
//! acknowledged here, also after a restart. So a record that is acknowledged by `k` backups is held by one of any
//! n − k + 1 that have sealed. Leases only shorten the time in which an old primary still answers reads.

use crate::follower::Until;
use crate::replica::Replica;
use crate::{Bug, Message, Output, SealReport};
use eport_model::{Epoch, MoveId, NodeId, Position};

impl Replica {
    /// A coordinator asks for the promise. The epoch is at least as high as everything known here, and an older primary or
    /// source has been left already.
    pub(crate) fn on_seal(&mut self, from: NodeId, epoch: Epoch, move_id: MoveId) {
        if self.has(Bug::NoSeal) {
            self.report(from, epoch, move_id);
            return;
        }
        if self.view.as_ref().is_some_and(|v| v.epoch >= epoch) {
            return; // A late copy of a request whose failover has ended.
        }
        if self.keeps_another() {
            return; // Asked again until the grace is over.
        }
        self.last_move = (epoch, move_id);
        self.owe_report(from, epoch, move_id);
        if self.sealed >= epoch {
            self.flush_reports();
        } else if self.sealing < epoch {
            self.sealing = epoch;
            self.out.push(Output::PersistSeal { epoch });
        }
    }

    pub(crate) fn on_seal_persisted(&mut self, epoch: Epoch) {
        self.sealed = self.sealed.max(epoch);
        let now = self.now.mono_ms;
        self.heard_before_seal = self.confirmed.map(|(followed, sent)| (followed, now.saturating_sub(sent)));
        self.reconsider(false);
        self.flush_reports();
    }

    pub(crate) fn on_copy(
        &mut self,
        from: NodeId,
        epoch: Epoch,
        move_id: MoveId,
        source: NodeId,
        to: Position,
    ) {
        let over = self.view.as_ref().is_some_and(|v| v.epoch >= epoch);
        let unsealed = self.sealed != epoch && !self.has(Bug::NoSeal);
        if over || unsealed || source == self.me || self.fence.is_some() {
            return;
        }
        if self.log.durable == to && self.log.settled() && !self.truncating {
            self.owe_report(from, epoch, move_id);
            self.flush_reports();
        } else {
            self.follow(epoch, source, Some(Until { to, coordinator: from, move_id }));
        }
    }

    /// Remembers who waits for a report: the newest request of each coordinator.
    pub(crate) fn owe_report(&mut self, to: NodeId, epoch: Epoch, move_id: MoveId) {
        self.reports.retain(|(node, ..)| *node != to);
        self.reports.push((to, epoch, move_id));
    }

    /// Sends the reports that are owed, once the promise and every record are fsynced.
    pub(crate) fn flush_reports(&mut self) {
        if !self.log.settled() || self.truncating {
            return;
        }
        let sealed = self.sealed;
        if self.has_lost_records() {
            return; // An answer would count as one of somebody who holds what it has acknowledged.
        }
        let (due, later) = std::mem::take(&mut self.reports).into_iter().partition(|(_, e, _)| *e <= sealed);
        self.reports = later;
        let due: Vec<(NodeId, Epoch, MoveId)> = due;
        for (to, epoch, move_id) in due {
            if epoch == sealed {
                self.report(to, epoch, move_id);
            }
        }
    }

    fn report(&mut self, to: NodeId, epoch: Epoch, move_id: MoveId) {
        let history = self.log.durable_history();
        let applied = self.log.applied_index;
        let heard = self.heard_before_seal;
        let (last, whole) = (self.log.durable, self.rows_whole());
        let report = SealReport { epoch, move_id, history, last, applied, heard, whole };
        self.send(to, Message::Sealed(report));
    }
}
