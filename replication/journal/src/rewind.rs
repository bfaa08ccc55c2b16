//! Return of a node that has applied its diverged tail: rows are put back before records are removed.
//!
//! Always holds, from the moment storage is asked until the rewind is over: rows that no tail of this rewind has written are
//! those of the applied record; the others are those of positions of one epoch of the source, none before the applied record
//! as it was then, none beyond `at`. Effects are whole values, so once exactly the record `at` is applied every row is that of
//! the applied record, and only then is the rewind over. Until then this node is not taken into the in-sync set, is no
//! candidate and does not open as primary. Rows taken in an epoch that has ended are taken again in the new one.

use crate::opening::Fence;
use crate::replica::{Replica, Wanted};
use crate::{Alarm, Bug, Output, Rewind};
use eport_model::{Epoch, JournalIndex, NodeId, Position};

impl Replica {
    /// True when the rows are those of the applied record.
    pub fn rows_whole(&self) -> bool {
        self.rewind.is_none() || self.has(Bug::WholeBeforeRewound)
    }

    /// True when rows have to be taken from the primary of `epoch` before records after `after` are removed.
    pub(crate) fn rewind_due(&self, after: JournalIndex, epoch: Epoch) -> bool {
        self.log.applying > after || self.rewind_stale(epoch)
    }

    /// True when rows of a rewind are missing, or were taken in another epoch than this.
    pub(crate) fn rewind_stale(&self, epoch: Epoch) -> bool {
        let stale = |r: Rewind| r.at.is_none_or(|at| at.epoch != epoch);
        self.rewind.is_some_and(stale)
    }

    pub(crate) fn begin_rewind(&mut self, after: Position, source: NodeId, epoch: Epoch) {
        self.rewind = Some(Rewind { at: None });
        self.rewinding = Some(after);
        self.truncating = true;
        self.out.push(Output::Rewind { after, source, epoch });
    }

    pub(crate) fn on_rewound(&mut self, at: Option<Position>) {
        let Some(after) = self.rewinding.take() else { return };
        self.truncating = false;
        self.log.rewind(after);
        self.rewind = Some(Rewind { at });
        self.rewind_ended(after, at);
        self.copy_reached();
        self.flush_reports();
        self.reconsider(false);
    }

    /// Ends the rewind when the record that makes the rows whole is applied.
    pub(crate) fn rewind_work(&mut self) {
        let Some(Rewind { at: Some(at) }) = self.rewind else { return };
        if self.truncating
            || self.log.applied_index < at.index
            || self.wanted.contains(&(at.index, Wanted::Rewound))
        {
            return;
        }
        match self.log.position_at(at.index) {
            Some(own) => self.rewind_reached(at.index, Some(own)),
            None => self.look_up(at.index, Wanted::Rewound),
        }
    }

    /// The own record at the place of the rows is known.
    pub(crate) fn rewind_reached(&mut self, index: JournalIndex, own: Option<Position>) {
        let Some(Rewind { at: Some(at) }) = self.rewind else { return };
        if self.truncating || at.index != index || self.log.applied_index < index {
            return;
        }
        if own == Some(at) {
            self.rewind = None;
            self.ack_due = self.follower.is_some();
            self.out.push(Output::EndRewind { at });
        } else {
            // A failover left that record behind.
            self.rewind = Some(Rewind { at: None });
            self.settle_again();
        }
    }

    /// The registry names this node primary while rows are missing: it serves nobody.
    pub(crate) fn not_whole(&mut self) {
        let Some(view) = &self.view else { return };
        self.fence = Some(Fence { epoch: view.epoch, permanent: false });
        let at = self.rewind.and_then(|r| r.at);
        self.out.push(Output::Alarm(Alarm::NotWhole { at }));
    }
}
