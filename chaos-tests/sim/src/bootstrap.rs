//! Checkpoints between nodes, disks that are lost, and old copies that are put back.
//!
//! A checkpoint is taken in parts, each of which may be lost, delayed, or cut off by the death of either side; what was taken
//! stays on the disk. Installing is one operation of the disk: the store's own tests show that it is all or nothing.

use crate::disk::{Disk, Op, Staged};
use crate::world::{Event, World};
use eport_journal::{Input, Role, ViewState};
use eport_model::{Epoch, JournalIndex, NodeId, Position};
use rand::Rng;
use std::collections::BTreeMap;

/// Parts of a checkpoint.
const PARTS: u32 = 4;
/// A copy that is put back is at least so old: what a primary knows of acknowledgements is noted, and told to others, a second
/// later.
const COPY_AGE_MS: u64 = 2_500;

/// A checkpoint on its way.
#[derive(Clone, Debug)]
pub(crate) struct Taking {
    number: u64,
    source: NodeId,
    epoch: Epoch,
    from: Position,
}

/// What a node's disk was at an earlier time.
#[derive(Clone, Debug)]
pub(crate) struct Copy {
    at: u64,
    disk: Disk,
}

impl World {
    pub(crate) fn begin_bootstrap(&mut self, node: usize, source: NodeId, epoch: Epoch, from: Position) {
        self.cover.hit("bootstrap.begun");
        let number = self.number();
        self.hosts[node].taking = Some(Taking { number, source, epoch, from });
        let incarnation = self.hosts[node].incarnation;
        let ms = self.rng.random_range(2..60);
        self.after(ms, Event::Bootstrap { node, incarnation, number });
    }

    /// One part is asked for, or is not, and comes, or does not.
    pub(crate) fn bootstrap(&mut self, node: usize, incarnation: u64, number: u64) {
        let host = &self.hosts[node];
        let Some(taking) = host.taking.clone().filter(|t| t.number == number) else { return };
        if host.incarnation != incarnation {
            return;
        }
        let ms = self.rng.random_range(2..60);
        let again = Event::Bootstrap { node, incarnation, number };
        if host.paused {
            return self.after(ms, again);
        }
        let over = host
            .known
            .as_ref()
            .is_none_or(|v| v.epoch != taking.epoch || matches!(v.state, ViewState::Recovering { .. }));
        if over {
            self.cover.hit("bootstrap.given_up");
            self.hosts[node].taking = None;
            return self.input(node, Input::CheckpointHere { last: None });
        }
        if self.hosts[node].disk.staged.as_ref().is_some_and(|s| s.from != taking.from) {
            self.hosts[node].disk.staged = None;
        }
        if !self.net.is_lost(&mut self.rng) {
            self.take_part(node, &taking);
        }
        match &self.hosts[node].disk.staged {
            Some(staged) if staged.left == 0 => {
                let last = staged.last();
                self.hosts[node].taking = None;
                self.cover.hit("bootstrap.taken");
                self.input(node, Input::CheckpointHere { last: Some(last) });
            }
            _ => self.after(ms, again),
        }
    }

    fn take_part(&mut self, node: usize, taking: &Taking) {
        let Some(source) = self.index_of(taking.source) else { return };
        let reached = self.hosts[source].is_up() && self.net.connected(node, source);
        let open =
            matches!(self.hosts[source].role(), Some(Role::Primary { epoch }) if *epoch == taking.epoch);
        if !reached || !open {
            return;
        }
        let disk = &self.hosts[source].disk;
        if self.hosts[node].disk.staged.is_none() {
            if disk.marker.is_none() && disk.applied >= taking.from.index {
                let staged = Staged {
                    from: taking.from,
                    records: disk.records.clone(),
                    rows: disk.rows(),
                    applied: disk.applied,
                    left: PARTS,
                };
                self.hosts[node].disk.staged = Some(staged);
            }
            return;
        }
        // Another source has other files: what was taken of the former one is of no use.
        let last = self.hosts[node].disk.staged.as_ref().map_or(Position::ZERO, Staged::last);
        let same = disk.position(last.index) == Some(last);
        let staged = &mut self.hosts[node].disk.staged;
        if !same {
            *staged = None;
        } else if let Some(staged) = staged {
            staged.left = staged.left.saturating_sub(1);
        }
    }

    pub(crate) fn install_checkpoint(&mut self, node: usize) {
        self.disk_op(node, Op::Install);
    }

    /// Checks and coverage of an installation that reached the disk.
    pub(crate) fn check_install(&mut self, node: usize) {
        let Some(staged) = self.hosts[node].disk.staged.clone() else {
            return self.fail("a checkpoint is whole", format!("n{node} installs what is not here"));
        };
        self.cover.hit("bootstrap.installed");
        self.note(|| format!("n{node} installs a checkpoint up to {}", staged.last()));
        let own = self.hosts[node].disk.records.len();
        let kept = staged.records.get(..own).is_some_and(|front| front == self.hosts[node].disk.records);
        if staged.left > 0 || !kept {
            return self.fail(
                "a checkpoint is whole",
                format!("n{node}: {} parts left, prefix kept {kept}", staged.left),
            );
        }
        for record in &staged.records[own..] {
            self.record_durable(node, record);
        }
    }

    /// Whoever copies disks does so now where no copy is kept. What an operating system holds back is not in a copy.
    pub(crate) fn copy_disks(&mut self) {
        let now = self.now;
        for host in self.hosts.iter_mut().filter(|h| h.copy.is_none() && h.disk.pending.is_empty()) {
            host.copy = Some(Copy { at: now, disk: host.disk.clone() });
        }
    }

    /// A disk is lost, or an older copy of it is put back. Only where the primary has everything that lies there, so that nothing
    /// is lost for good by one fault, and only by one whose promises are those of the disk: a copy that differs in nothing but a
    /// forgotten promise cannot be told from the disk.
    pub(crate) fn lose_disk(&mut self, lasts: u64) {
        let replaceable: Vec<usize> = (0..self.hosts.len()).filter(|n| self.is_replaceable(*n)).collect();
        if replaceable.is_empty() {
            return;
        }
        let node = replaceable[self.rng.random_range(0..replaceable.len())];
        let now = self.now;
        let copy = self.hosts[node].copy.take_if(|c| now - c.at >= COPY_AGE_MS);
        let sealed = self.hosts[node].disk.sealed;
        let older = copy.filter(|c| c.disk.sealed == sealed && !c.disk.records.is_empty());
        self.hosts[node].disk.pending.clear();
        self.crash(node, lasts);
        match older {
            Some(copy) if self.chance(60) => {
                self.cover.hit("fault.old_copy");
                self.note(|| format!("n{node}: an old copy up to {} is put back", copy.disk.last()));
                self.hosts[node].disk = copy.disk;
                self.hosts[node].replaced = true;
            }
            _ => {
                self.cover.hit("fault.wipe");
                self.note(|| format!("n{node} loses its disk"));
                self.hosts[node].disk = Disk::default();
            }
        }
        self.hosts[node].checked = 0;
        if self.chance(50) {
            self.ask_only(node, lasts);
        }
    }

    /// The hard case lies here: the primary is gone and others are out of reach, so that a failover asks those who are left, and
    /// among them the one that has forgotten what it promised.
    fn ask_only(&mut self, node: usize, lasts: u64) {
        let primary = self.index_of(self.registry.placement().primary);
        let others: Vec<usize> =
            (0..self.hosts.len()).filter(|n| *n != node && Some(*n) != primary).collect();
        if let Some(primary) = primary {
            self.cover.hit("fault.lost_disk_and_primary");
            self.crash(primary, lasts + 2_000);
        }
        for other in others {
            if self.chance(40) {
                self.isolate(other, lasts + 1_000);
            }
        }
    }

    fn is_replaceable(&self, node: usize) -> bool {
        let placement = self.registry.placement();
        let active = matches!(placement.state, eport_registry::PlacementState::Active);
        let Some(primary) = self.index_of(placement.primary) else { return false };
        let held = &self.hosts[primary].disk.records;
        let own = &self.hosts[node].disk.records;
        let follows =
            matches!(self.hosts[node].role(), Some(Role::Backup { epoch, .. }) if *epoch == placement.epoch);
        let serves =
            matches!(self.hosts[primary].role(), Some(Role::Primary { epoch }) if *epoch == placement.epoch);
        active
            && follows
            && serves
            && self.net.connected(node, primary)
            && held.get(..own.len()).is_some_and(|h| h == own)
    }

    /// What an operator does who reads the alarm: the old copy is moved away.
    pub(crate) fn move_old_copy_away(&mut self, node: usize) {
        self.cover.hit("operator.old_copy_moved");
        self.crash(node, 50);
        self.hosts[node].disk = Disk::default();
        self.hosts[node].rolled_back = false;
        self.hosts[node].checked = 0;
    }

    /// The primary tells everybody what its backups have acknowledged.
    pub(crate) fn tell_acked(&mut self, primary: usize, backup: NodeId, epoch: Epoch, durable: JournalIndex) {
        let serves = self.hosts[primary].role().is_some_and(
            |r| matches!(r, Role::Primary { epoch: e } | Role::Handover { epoch: e, .. } | Role::Opening { epoch: e } if *e == epoch),
        );
        if serves {
            let known: &mut BTreeMap<_, _> = &mut self.board;
            let acked = known.entry((epoch, backup)).or_insert(durable);
            *acked = (*acked).max(durable);
        }
    }

    /// A report that its sender's old primary knows to be too short counts for nothing.
    pub(crate) fn is_forgetful(&self, from: NodeId, last: &Position) -> bool {
        if self.options.bug.as_deref() == Some("lost_stays_candidate") {
            // Two lines of defence: what a node knows of itself, and what others know of it. Only without both is a promise broken.
            return false;
        }
        let (epoch, start) = (self.registry.placement().epoch, self.registry.placement().start.index);
        let older = |acked: &JournalIndex| last.epoch < epoch && *acked > start;
        self.board.get(&(epoch, from)).is_some_and(|acked| *acked > last.index || older(acked))
    }
}
