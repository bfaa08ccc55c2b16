//! The primary's own work: append, commit, answer.
//!
//! Order of a write: append and fsync here → ship → acknowledgements of `k` counted in-sync backups → apply → answer.
//! Commit is a prefix. What was inherited from earlier epochs commits only together with this epoch's EpochStart, never by
//! counting copies of an old record (a higher-epoch journal elsewhere could still replace it).

use crate::degrade::Watch;
use crate::handover::Handover;
use crate::lease::Lease;
use crate::replica::Replica;
use crate::{BackupView, Bug, Outcome, Output, PlacementView, RegistryStep, Ticket, ViewState};
use eport_model::{Draft, Durability, Epoch, JournalIndex, NodeId, Position, Record, RecordKind};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// A caller whose record is in flight, with those whose answers depend on it.
#[derive(Clone, Debug)]
struct Waiter {
    position: Position,
    ticket: Ticket,
    dependants: Vec<Ticket>,
}

/// State of a primary in one epoch.
#[derive(Debug)]
pub(crate) struct Primary {
    pub(crate) epoch: Epoch,
    /// This epoch's EpochStart.
    pub(crate) epoch_start: JournalIndex,
    /// Everything found at the start is applied from here on; before that the platform is closed for requests.
    pub(crate) open_from: JournalIndex,
    pub(crate) opened: bool,
    waiters: VecDeque<Waiter>,
    tickets: BTreeMap<Ticket, JournalIndex>,
    dependants: usize,
    /// Up to which index commits were made with which promise, in rising order.
    promises: VecDeque<(JournalIndex, Durability)>,
    pub(crate) handover: Option<Handover>,
    pub(crate) watch: Watch,
    pub(crate) lease: Lease,
    /// Leaving backups that no longer count, until the placement is above this version.
    pub(crate) uncounted: BTreeMap<NodeId, u64>,
    /// The in-sync step the registry has not answered yet, and since when.
    pub(crate) step: Option<(RegistryStep, u64)>,
    /// No step is asked for again at or below this version.
    pub(crate) step_version: u64,
    /// `committed` one beat ago, and at the last beat.
    pub(crate) marks: (JournalIndex, JournalIndex),
}

impl Primary {
    pub(crate) fn new(
        epoch: Epoch,
        epoch_start: JournalIndex,
        open_from: JournalIndex,
        view: &PlacementView,
        restarted: bool,
        now_ms: u64,
    ) -> Self {
        // A removal that was asked for before the restart may still arrive at the registry: its backup must not be counted
        // until the placement has moved on.
        let dropped = |b: &&BackupView| restarted && b.in_sync && (b.leaving || view.shrink_ms.is_some());
        let leaving = view.backups.iter().filter(dropped);
        Self {
            epoch,
            epoch_start,
            open_from,
            opened: false,
            waiters: VecDeque::new(),
            tickets: BTreeMap::new(),
            dependants: 0,
            promises: VecDeque::new(),
            handover: None,
            watch: Watch::new(now_ms, view.start.index, restarted.then_some(open_from)),
            lease: Lease::default(),
            uncounted: leaving.map(|b| (b.node, view.version)).collect(),
            step: None,
            step_version: 0,
            marks: (JournalIndex::ZERO, JournalIndex::ZERO),
        }
    }

    fn note_promise(&mut self, through: JournalIndex, durability: Durability) {
        match self.promises.back_mut() {
            Some(last) if last.1 == durability => last.0 = through,
            _ => self.promises.push_back((through, durability)),
        }
    }

    fn promise_of(&mut self, index: JournalIndex) -> Durability {
        while self.promises.len() > 1 && self.promises.front().is_some_and(|p| p.0 < index) {
            self.promises.pop_front();
        }
        self.promises.front().filter(|p| p.0 >= index).map_or(Durability::Local, |p| p.1)
    }
}

impl Replica {
    pub(crate) fn on_propose(&mut self, ticket: Ticket, draft: Draft) {
        if let Some(outcome) = self.refusal() {
            self.out.push(Output::Answer { ticket, outcome });
            return;
        }
        let position = self.append_own(draft);
        if let Some(primary) = &mut self.primary {
            primary.waiters.push_back(Waiter { position, ticket, dependants: Vec::new() });
            primary.tickets.insert(ticket, position.index);
        }
    }

    /// Why nothing may be appended now.
    fn refusal(&self) -> Option<Outcome> {
        if self.fence.is_some_and(|f| f.permanent) {
            return Some(Outcome::Failed);
        }
        let Some(primary) = &self.primary else { return Some(self.not_primary()) };
        if !primary.opened || primary.holding().is_some() || self.is_stopped() || !self.holds_lease() {
            return Some(Outcome::Held);
        }
        (self.in_flight() as usize >= self.limits.in_flight_max).then_some(Outcome::Overloaded)
    }

    fn not_primary(&self) -> Outcome {
        let primary = self.view.as_ref().map_or(NodeId::default(), |v| v.primary);
        Outcome::NotPrimary { primary, epoch: self.view.as_ref().map_or(Epoch::NONE, |v| v.epoch) }
    }

    pub(crate) fn on_depend(&mut self, ticket: Ticket, on: Ticket) {
        let (proven, may_answer) = (self.proven_durability(), self.may_answer());
        let applied = self.log.applied_index;
        let Some(primary) = &mut self.primary else {
            let outcome = self.not_primary();
            self.out.push(Output::Answer { ticket, outcome });
            return;
        };
        let waiting = primary.tickets.get(&on).and_then(|index| {
            let at = primary.waiters.partition_point(|w| w.position.index < *index);
            primary.waiters.get_mut(at)
        });
        let outcome = match waiting {
            Some(_) if primary.dependants >= self.limits.in_flight_max => Outcome::Overloaded,
            Some(waiter) => {
                waiter.dependants.push(ticket);
                primary.dependants += 1;
                return;
            }
            None if !may_answer => Outcome::Held,
            None => {
                if proven == Durability::Replicated {
                    primary.watch.replicated = primary.watch.replicated.max(applied);
                }
                Outcome::Done { position: self.log.applied, durability: proven }
            }
        };
        self.out.push(Output::Answer { ticket, outcome });
    }

    /// What can be promised of everything applied so far. Inherited records may have been committed with no backup at all
    /// (`start_k` 0), so the policy alone proves nothing.
    fn proven_durability(&self) -> Durability {
        let k = self.view.as_ref().map_or(0, |v| v.k);
        let held = k > 0 && self.held_by(k, None) >= self.log.applied_index;
        if held { Durability::Replicated } else { Durability::Local }
    }

    /// Seals a draft behind the head and hands it to storage.
    pub(crate) fn append_own(&mut self, draft: Draft) -> Position {
        let epoch = self.primary.as_ref().map_or(self.log.last.epoch, |p| p.epoch);
        let record =
            Record::seal(draft, self.lineage, self.platform, epoch, &self.log.last, self.log.last_time);
        self.unresolved = match record.header.kind {
            RecordKind::Barrier { move_id } | RecordKind::SwitchProposed { move_id, .. } => Some(move_id),
            _ => None,
        };
        let record = Arc::new(record);
        self.log.append(&record, true);
        let position = record.position();
        // Records of one step go to storage as one write.
        match self.out.last_mut() {
            Some(Output::Append(records)) => records.push(record),
            _ => self.out.push(Output::Append(vec![record])),
        }
        position
    }

    /// Everything that may have become possible for a primary.
    pub(crate) fn primary_work(&mut self) {
        if self.primary.is_none() {
            return;
        }
        self.lease_work();
        self.degrade_work();
        self.advance_commit();
        self.open_when_applied();
        self.advance_handover();
        self.propose_steps();
    }

    fn advance_commit(&mut self) {
        let Some(view) = &self.view else { return };
        let (k, start_k) = if self.is_degraded() { (0, 0) } else { (view.k, view.start_k) };
        let by_count = self.has(Bug::InheritedByCount);
        let Some(epoch_start) = self.primary.as_ref().map(|p| p.epoch_start) else { return };
        let own = self.log.durable.index;
        let mut committed = self.log.committed;
        if committed < epoch_start && own.min(self.held_by(start_k, None)) >= epoch_start {
            committed = epoch_start;
            self.promise(committed, if start_k > 0 { Durability::Replicated } else { Durability::Local });
        }
        if committed >= epoch_start || by_count {
            let reached = own.min(self.held_by(k, None));
            if reached > committed {
                committed = reached;
                self.promise(committed, if k > 0 { Durability::Replicated } else { Durability::Local });
            }
        }
        if committed > self.log.committed {
            self.log.committed = committed;
            if self.is_degraded() {
                self.note_alone(committed);
            }
            self.commit_advanced();
        }
    }

    fn promise(&mut self, through: JournalIndex, durability: Durability) {
        if let Some(primary) = &mut self.primary {
            primary.note_promise(through, durability);
            if durability == Durability::Replicated {
                primary.watch.replicated = primary.watch.replicated.max(through);
            }
        }
    }

    /// The highest index that `k` counted in-sync backups have fsynced, leaving out `without`.
    pub(crate) fn held_by(&self, k: usize, without: Option<NodeId>) -> JournalIndex {
        if k == 0 {
            return JournalIndex::from_u64(u64::MAX);
        }
        let (Some(view), Some(ship), Some(primary)) = (&self.view, &self.ship, &self.primary) else {
            return JournalIndex::ZERO;
        };
        let unrecorded = self.has(Bug::CommitCountsUnrecorded);
        let counts = |node: &NodeId| {
            Some(*node) != without
                && !self.is_reseeding(*node)
                && primary.uncounted.get(node).is_none_or(|version| view.version > *version)
        };
        let mut held: Vec<JournalIndex> = view
            .backups
            .iter()
            .filter(|b| (b.in_sync || unrecorded) && b.counted && counts(&b.node))
            .map(|b| ship.durable_of(b.node))
            .collect();
        held.sort_unstable_by(|a, b| b.cmp(a));
        held.get(k - 1).copied().unwrap_or(JournalIndex::ZERO)
    }

    fn open_when_applied(&mut self) {
        let applied = self.log.applied_index;
        if let Some(primary) = &mut self.primary
            && !primary.opened
            && applied >= primary.open_from
            && applied >= primary.epoch_start
        {
            primary.opened = true;
        }
    }

    /// Answers everybody whose record is applied.
    pub(crate) fn answer_applied(&mut self) {
        let applied = self.log.applied_index;
        // Here, and not before the append: whatever happened in between, also a pause, has taken its time.
        let may_answer = self.may_answer();
        let Some(primary) = &mut self.primary else { return };
        while primary.waiters.front().is_some_and(|w| w.position.index <= applied) {
            let Some(waiter) = primary.waiters.pop_front() else { break };
            primary.tickets.remove(&waiter.ticket);
            primary.dependants -= waiter.dependants.len();
            let durability = primary.promise_of(waiter.position.index);
            let done = Outcome::Done { position: waiter.position, durability };
            let outcome = if may_answer { done } else { Outcome::Unknown };
            for ticket in std::iter::once(waiter.ticket).chain(waiter.dependants) {
                self.out.push(Output::Answer { ticket, outcome: outcome.clone() });
            }
        }
    }

    /// Stops being primary. What is in flight may or may not survive: nobody is told "done" any more.
    pub(crate) fn lose_primary(&mut self) {
        let Some(primary) = self.primary.take() else { return };
        for waiter in primary.waiters {
            for ticket in std::iter::once(waiter.ticket).chain(waiter.dependants) {
                self.out.push(Output::Answer { ticket, outcome: Outcome::Unknown });
            }
        }
        self.ship = None;
        self.log.drop_cache();
    }

    /// The placement changed while this node stays primary of its epoch.
    pub(crate) fn placement_changed(&mut self, linearizable: bool) {
        let Some(view) = self.view.clone() else { return };
        if let Some(ship) = &mut self.ship {
            ship.keep(|node| view.backups.iter().any(|b| b.node == *node));
        }
        if let Some(primary) = &mut self.primary {
            primary.uncounted.retain(|_, version| view.version <= *version);
            if primary.step.as_ref().is_some_and(|(step, _)| step.version() < view.version) {
                primary.step = None;
            }
        }
        self.handover_placement(&view, linearizable);
    }
}

impl PlacementView {
    /// True while a switchover is pending, and which.
    pub(crate) fn switching(&self) -> Option<(eport_model::MoveId, NodeId, u32)> {
        match self.state {
            ViewState::Switching { move_id, to, within_ms } => Some((move_id, to, within_ms)),
            _ => None,
        }
    }
}
