//! Checkpoints instead of records, and copies that lost what they had acknowledged.
//!
//! Always holds: only an open primary gives checkpoints, and only to a follower whose whole journal it shares, so nothing is
//! removed here; between the answer and the installed checkpoint the follower acknowledges nothing; a node that holds less than
//! it has acknowledged answers no failover until it holds that again, and is refused unless it comes with nothing at all; a
//! primary whose backups hold more of its own epoch than it does stops. Epochs other than the present one prove nothing here: a
//! failover may have taken acknowledged but uncommitted records away by right.

use crate::follower::Phase;
use crate::log::Log;
use crate::opening::Fence;
use crate::replica::Replica;
use crate::{Alarm, BootstrapReason, Bug, HelloAnswer, Message, Output, Recovered, RegistryStep};
use eport_model::{JournalIndex, NodeId, Position};

/// As the source.
impl Replica {
    /// A peer holds a record of this primary's own epoch that is not here: this node was set back. True when it stops.
    pub(crate) fn knows_more(&mut self, peer: NodeId, last: &Position) -> bool {
        let Some(epoch) = self.primary.as_ref().map(|p| p.epoch) else { return false };
        let own = self.log.durable;
        if last.epoch != epoch || last.index <= own.index {
            return false;
        }
        self.lose_primary();
        self.fence = Some(Fence { epoch: self.floor(), permanent: true });
        self.out.push(Output::Alarm(Alarm::RolledBack { acked: last.index, last: own, peer }));
        true
    }

    /// A follower shares the journal up to `after`; its own ends at `last`. What it is known to have acknowledged when it may be
    /// streamed to; `None` when it was answered otherwise.
    pub(crate) fn admit(&mut self, peer: NodeId, after: Position, last: Position) -> Option<JournalIndex> {
        if self.primary.is_none() {
            // Who is copied from in a failover gives what it has; only a primary knows of acknowledgements.
            return Some(JournalIndex::ZERO);
        }
        let acked = self.acked_of(peer).index;
        let reseeding = self.is_reseeding(peer);
        let epoch = self.ship.as_ref()?.epoch;
        let slot = self.slot_at(after.index);
        let state = self.ship.as_mut()?.peers.entry(peer).or_default();
        if after.index < acked {
            if last.index > JournalIndex::ZERO && !reseeding {
                state.stream = None;
                let answer = HelloAnswer::RolledBack { of: last, acked };
                self.send(peer, Message::HelloAnswer { epoch, answer });
                return None;
            }
            state.set_back(after);
        }
        let newly = after.index < acked && !reseeding;
        state.slot.reseeding = reseeding || after.index < acked;
        state.slot.lost = slot.lost;
        if newly {
            // A step that is under way speaks of the backup as it was.
            let adds = |s: &RegistryStep| matches!(s, RegistryStep::InSyncAdd { node, .. } if *node == peer);
            if let Some(primary) = &mut self.primary {
                primary.step.take_if(|(step, _)| adds(step));
            }
            self.note_acked();
        }
        let Some(reason) = self.bootstrap_due(peer, after, last) else { return Some(acked) };
        let counts = self.has(Bug::CountsWhileBootstrapping);
        let durable = self.log.durable;
        let state = self.ship.as_mut()?.peers.entry(peer).or_default();
        state.stream = None;
        state.slot.gone = false;
        state.heard_ms = self.now.mono_ms;
        if counts {
            state.durable = durable;
        }
        let answer = HelloAnswer::Bootstrap { of: last, acked, reason };
        self.send(peer, Message::HelloAnswer { epoch, answer });
        None
    }

    /// Why this follower takes a checkpoint, if it does.
    fn bootstrap_due(&self, peer: NodeId, after: Position, last: Position) -> Option<BootstrapReason> {
        // A primary that is not open may need this follower's acknowledgement to open, and has no rows to give.
        let open = self.primary.as_ref().is_some_and(|p| p.opened);
        if !open || after != last || self.log.applied_index < after.index {
            return None;
        }
        let (head, missing) = (self.log.durable.index.as_u64(), self.log.durable.index.since(after.index));
        let gone = self.ship.as_ref()?.peers.get(&peer).is_some_and(|p| p.slot.gone);
        if gone && missing > 0 {
            return Some(BootstrapReason::NotKept);
        }
        if self.slot_at(after.index).lost {
            return Some(BootstrapReason::SlotLost);
        }
        let cheaper = missing >= self.limits.bootstrap_records && missing.saturating_mul(2) >= head;
        cheaper.then_some(BootstrapReason::Cheaper)
    }
}

/// As the follower.
impl Replica {
    /// True while others know of records that this node has acknowledged and does not have: it says nothing in a failover.
    pub fn has_lost_records(&self) -> bool {
        let durable = self.log.durable.index;
        let named = self.view.as_ref().is_some_and(|v| {
            let in_sync = v.backups.iter().any(|b| b.node == self.me && b.in_sync);
            // Nobody is recorded in sync without the first record of its epoch.
            in_sync && (durable == JournalIndex::ZERO || durable < v.start.index)
        });
        (named || self.owed > durable) && !self.has(Bug::LostStaysCandidate)
    }

    /// True while a checkpoint is taken or installed.
    pub fn is_bootstrapping(&self) -> bool {
        let phase = self.follower.as_ref().map(|f| f.phase);
        matches!(phase, Some(Phase::Bootstrapping | Phase::Installing { .. }))
    }

    pub(crate) fn begin_bootstrap(&mut self, acked: JournalIndex) {
        self.owed = acked;
        let from = self.log.durable;
        let Some(follower) = &mut self.follower else { return };
        follower.phase = Phase::Bootstrapping;
        let (source, epoch) = (follower.source, follower.epoch);
        self.out.push(Output::Bootstrap { source, epoch, from });
    }

    pub(crate) fn on_checkpoint_here(&mut self, last: Option<Position>) {
        let durable = self.log.durable;
        let Some(follower) = &mut self.follower else { return };
        if follower.phase != Phase::Bootstrapping {
            return;
        }
        follower.phase = match last.filter(|last| last.index > durable.index) {
            Some(last) => Phase::Installing { last },
            None => Phase::Settling,
        };
    }

    pub(crate) fn install_checkpoint(&mut self, last: Position) {
        self.truncating = true;
        self.out.push(Output::InstallCheckpoint { last });
    }

    pub(crate) fn on_installed(&mut self, recovered: &Recovered) {
        self.truncating = false;
        self.log = Log::new(recovered, &self.limits);
        self.sealed = self.sealed.max(recovered.sealed);
        self.unresolved = recovered.unresolved;
        self.rewind = None;
        self.wanted.clear();
        if let Some(follower) = &mut self.follower
            && matches!(follower.phase, Phase::Installing { .. })
        {
            follower.phase = Phase::Settling;
        }
        self.copy_reached();
        self.flush_reports();
        self.reconsider(false);
    }

    /// The source knows that this node had more: it is an old copy and stays out until it is taken away.
    pub(crate) fn rolled_back(&mut self, peer: NodeId, acked: JournalIndex) {
        self.owed = acked;
        let last = self.log.durable;
        self.fence = Some(Fence { epoch: self.floor(), permanent: true });
        self.follower = None;
        self.out.push(Output::Alarm(Alarm::RolledBack { acked, last, peer }));
    }

    /// The source of this epoch lacks records of this epoch that are here, though it alone wrote them.
    pub(crate) fn source_forgot(&mut self) -> bool {
        let own = self.log.durable;
        let Some(follower) = &self.follower else { return false };
        if follower.epoch != own.epoch || follower.copies() {
            return false;
        }
        let peer = follower.source;
        self.out.push(Output::Alarm(Alarm::RolledBack { acked: own.index, last: own, peer }));
        true
    }
}
