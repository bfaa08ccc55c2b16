//! What a replica is, given the placement and everything it has heard.
//!
//! Rules: nobody is primary of an epoch below one that is known; a stop needs only the word of a member, a start needs the
//! registry; a journal that ends in an unresolved Barrier or SwitchProposed opens only on a linearizable placement.

use crate::primary::Primary;
use crate::replica::{Replica, Wanted};
use crate::shipping::Shipping;
use crate::{Alarm, Bug, Output, PlacementView, Role, ViewState};
use eport_model::{Draft, Epoch, JournalIndex, LINEAGE_READ, MoveId, Position, ReadVersion, RecordKind};

/// Why a replica follows nobody.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Fence {
    /// The epoch that fenced it.
    pub(crate) epoch: Epoch,
    /// Corruption or storage failure: only a restart clears it. Otherwise a higher epoch does.
    pub(crate) permanent: bool,
}

impl Replica {
    pub(crate) fn on_placement(&mut self, view: PlacementView, linearizable: bool) {
        if self.view.as_ref().is_some_and(|old| old.version > view.version) {
            // A delayed local read; a linearizable one cannot be older than what was applied here.
            return;
        }
        match &view.state {
            ViewState::Switching { move_id, .. } => self.last_move = (view.epoch.next(), *move_id),
            ViewState::Recovering { move_id, epoch } => self.last_move = (*epoch, *move_id),
            _ => {}
        }
        self.view = Some(view);
        if linearizable {
            self.settle_rumour();
        }
        self.reconsider(linearizable);
    }

    /// A linearizable view is the truth: an epoch that was only heard of before the read, and is not in it, never existed.
    fn settle_rumour(&mut self) {
        let Some(asked) = self.reading.take() else { return };
        let heard = std::mem::replace(&mut self.heard, Epoch::NONE);
        if heard > asked && heard > self.floor() {
            self.heard = heard;
            self.ask_placement();
        }
    }

    /// Another member knows a higher epoch: stop at once, then ask the registry.
    pub(crate) fn hear(&mut self, epoch: Epoch) {
        if epoch <= self.heard {
            return;
        }
        self.heard = epoch;
        self.ask_placement();
        self.reconsider(false);
    }

    pub(crate) fn ask_placement(&mut self) {
        if self.reading.is_none() {
            self.reading = Some(self.heard);
            self.out.push(Output::ReadPlacement);
        }
    }

    /// Takes the role that view, promises and rumours leave.
    pub(crate) fn reconsider(&mut self, linearizable: bool) {
        let floor = self.floor();
        if self.fence.is_some_and(|f| !f.permanent && floor > f.epoch) {
            self.fence = None;
        }
        if self.fence.is_some() {
            self.lose_primary();
            self.follower = None;
            self.ship = None;
            return;
        }
        self.drop_below(floor);
        let Some(view) = &self.view else { return };
        let opening = view.primary == self.me && view.epoch == floor;
        self.trimming = self.trimming.filter(|start| opening && *start == view.start);
        let recovering = matches!(view.state, ViewState::Recovering { .. });
        if floor > view.epoch || recovering {
            self.lose_primary();
            return;
        }
        if view.primary == self.me {
            self.follower = None;
            self.open_primary(linearizable);
        } else if view.backups.iter().any(|b| b.node == self.me) {
            let (epoch, primary) = (view.epoch, view.primary);
            self.lose_primary();
            self.follow(epoch, primary, None);
        } else {
            self.lose_primary();
            self.follower = None;
            self.ship = None;
        }
    }

    /// Ends everything that belongs to an epoch below `floor`.
    fn drop_below(&mut self, floor: Epoch) {
        if self.primary.as_ref().is_some_and(|p| p.epoch < floor) {
            self.lose_primary();
        }
        if self.follower.as_ref().is_some_and(|f| f.epoch < floor) {
            self.follower = None;
        }
        if self.ship.as_ref().is_some_and(|s| s.epoch < floor) {
            self.ship = None;
        }
    }

    fn open_primary(&mut self, linearizable: bool) {
        let Some(view) = self.view.clone() else { return };
        if self.primary.as_ref().is_some_and(|p| p.epoch == view.epoch) {
            self.placement_changed(linearizable);
            return;
        }
        if !self.log.settled() || self.truncating {
            return; // Asked again when storage has answered.
        }
        if !self.rows_whole() {
            return self.not_whole();
        }
        if view.head.epoch == view.epoch && view.head.index > self.log.last.index {
            return self.behind(); // What this epoch has published is not here any more.
        }
        let restarted = self.log.history().last_epoch() == view.epoch;
        let unresolved = self.unresolved.is_some() && !self.has(Bug::OpensUnresolved);
        if restarted && unresolved && !linearizable {
            self.ask_placement();
            return;
        }
        if !restarted && self.log.last != view.start {
            self.trim();
            return;
        }
        if self.ship.as_ref().is_none_or(|s| s.epoch != view.epoch) {
            self.ship = Some(Shipping::new(view.epoch, self.now.mono_ms));
        }
        self.log.drop_cache();
        if restarted {
            let entries = self.log.history().entries();
            let first = entries.last().map_or(view.start.index.next(), |e| e.first);
            self.primary =
                Some(Primary::new(view.epoch, first, self.log.last.index, &view, true, self.now.mono_ms));
            if let Some(move_id) = self.unresolved
                && self.resolve_after_restart(move_id)
            {
                return;
            }
        } else {
            let first = self.log.last.index.next();
            self.primary = Some(Primary::new(view.epoch, first, first, &view, false, self.now.mono_ms));
            let move_id = if self.last_move.0 == view.epoch { self.last_move.1 } else { MoveId::default() };
            let previous = self.log.history().last_epoch();
            let kind = RecordKind::EpochStart { primary: self.me, previous, move_id };
            let mut draft = Draft::bare(kind, self.now.wall);
            // The first record of a lineage names the one it goes on from, so that the chain itself proves the break.
            let old = self.log.lineage().filter(|old| *old != self.lineage);
            draft.reads.extend(
                old.map(|old| ReadVersion { name: LINEAGE_READ.to_owned(), version: old.to_string() }),
            );
            self.append_own(draft);
        }
        self.placement_changed(linearizable);
    }

    /// The journal of the new primary does not end where its epoch starts. It may go on beyond: two coordinators of one
    /// failover can see different reports, one orders a copy, the other commits the shorter position that it has proven. What
    /// lies beyond was never acknowledged; it is a tail like any other: exported, then truncated.
    fn trim(&mut self) {
        let Some(start) = self.view.as_ref().map(|v| v.start) else { return };
        if self.trimming == Some(start) {
            return;
        }
        let beyond = self.log.last.index > start.index && self.log.applying <= start.index;
        match self.log.position_at(start.index) {
            _ if !beyond => self.behind(),
            Some(own) => self.trim_from(Some(own)),
            None => self.look_up(start.index, Wanted::Start),
        }
    }

    /// The own record at the start of the epoch is known.
    pub(crate) fn trim_from(&mut self, own: Option<Position>) {
        let floor = self.floor();
        let Some(view) = &self.view else { return };
        let due = view.primary == self.me
            && view.epoch == floor
            && self.primary.is_none()
            && self.log.last != view.start;
        if !due {
            return;
        }
        if own != Some(view.start) {
            return self.behind();
        }
        self.trimming = own;
        // Who has greeted this node while it was a candidate may have what goes away now, and holds nothing of what follows.
        self.ship = None;
        self.out.push(Output::ExportTail { after: view.start.index });
    }

    /// True when the export was that of a new primary's tail.
    pub(crate) fn trim_exported(&mut self, exported: JournalIndex) -> bool {
        if self.trimming.is_none_or(|start| start.index != exported) {
            return false;
        }
        self.trimming = None;
        self.truncating = true;
        self.out.push(Output::Truncate { after: exported });
        true
    }

    fn behind(&mut self) {
        let Some(view) = &self.view else { return };
        let (start, last) = (view.start, self.log.last);
        self.fence = Some(Fence { epoch: view.epoch, permanent: false });
        self.out.push(Output::Alarm(Alarm::Behind { start, last }));
    }

    pub(crate) fn current_role(&self) -> Role {
        let floor = self.floor();
        if let Some(fence) = &self.fence {
            return Role::Fenced { epoch: fence.epoch };
        }
        if let Some(primary) = &self.primary {
            return match primary.holding() {
                Some(to) => Role::Handover { epoch: primary.epoch, to },
                None if primary.opened && !self.is_stopped() && self.holds_lease() => {
                    Role::Primary { epoch: primary.epoch }
                }
                None => Role::Opening { epoch: primary.epoch },
            };
        }
        let Some(view) = &self.view else {
            return if self.sealed > self.log.history().last_epoch() {
                Role::Sealed { epoch: self.sealed }
            } else {
                Role::Idle
            };
        };
        if self.sealed > view.epoch {
            return Role::Sealed { epoch: self.sealed };
        }
        match view.primary == self.me {
            true if floor > view.epoch => Role::Fenced { epoch: floor },
            true => Role::Opening { epoch: view.epoch },
            false if view.backups.iter().any(|b| b.node == self.me) => {
                Role::Backup { epoch: view.epoch, primary: view.primary }
            }
            false => Role::Idle,
        }
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.view.as_ref().is_some_and(|v| v.state == ViewState::Stopped)
    }
}
