//! `auto_sync`: backups that fell silent are dropped, the registry first; without the registry, and where the policy says
//! `degrade`, the primary's own journal first.
//!
//! Always: an answer `local` leaves only after the shrink, or a Degrade record, is durable. A backup that is proposed for a
//! shrink, or may have been by an earlier life of this process, does not count before the placement has moved on. A Degrade
//! record is written only `degrade_ms` after the last acknowledgement that a backup was told to have been heard, so a backup
//! that seals earlier proves that nothing was answered without it.

use crate::replica::Replica;
use crate::{Alarm, Bug, Output, RegistryStep, ViewState};
use eport_model::{Draft, JournalIndex, NodeId, RecordKind};

/// What a primary remembers to judge its backups.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    /// When this primary began.
    began_ms: u64,
    /// A record that some counted backup lacks, and since when.
    stall: Option<(JournalIndex, u64)>,
    /// When the registry was first asked to record a shrink of this placement version, while it has not answered.
    asked: Option<(u64, u64)>,
    /// The Degrade record under which this primary goes on alone.
    degraded: Option<JournalIndex>,
    /// Up to here it was answered alone: nothing is vouched for before the backups hold that.
    alone_to: JournalIndex,
    /// Up to here something may have been answered `replicated`, or the registry may take everything for proven.
    pub(crate) replicated: JournalIndex,
}

impl Watch {
    /// After a restart anything found may have been answered `replicated` and anything may have been answered alone.
    pub(crate) fn new(began_ms: u64, inherited: JournalIndex, restarted_at: Option<JournalIndex>) -> Self {
        let replicated = restarted_at.unwrap_or(inherited);
        let alone_to = restarted_at.unwrap_or(JournalIndex::ZERO);
        Self { began_ms, replicated, alone_to, ..Self::default() }
    }
}

impl Replica {
    /// Counted in-sync backups that the policy keeps.
    fn staying(&self) -> Vec<NodeId> {
        let backups = self.view.iter().flat_map(|v| &v.backups);
        backups.filter(|b| b.in_sync && b.counted && !b.leaving).map(|b| b.node).collect()
    }

    /// Once a beat: is there a record that some backup has lacked for long?
    pub(crate) fn watch_backups(&mut self) {
        let (now, durable) = (self.now.mono_ms, self.log.durable.index);
        let staying = self.staying();
        let (Some(ship), Some(primary)) = (&self.ship, &mut self.primary) else { return };
        let lowest = staying.iter().map(|n| ship.durable_of(*n)).min();
        let stall = &mut primary.watch.stall;
        if stall.is_some_and(|(index, _)| lowest.is_none_or(|l| l >= index)) {
            *stall = None;
        }
        if stall.is_none() && lowest.is_some_and(|l| l < durable) {
            *stall = Some((durable, now));
        }
    }

    /// Backups that have been silent, or have lacked a record, for too long.
    fn late(&self) -> Vec<NodeId> {
        let (Some(ship), Some(primary)) = (&self.ship, &self.primary) else { return Vec::new() };
        let Some(wait) = self.view.as_ref().and_then(|v| v.shrink_ms) else { return Vec::new() };
        let now = self.now.mono_ms;
        let stalled = primary.watch.stall.filter(|(_, since)| now.saturating_sub(*since) >= wait);
        let late = |node: &NodeId| {
            let heard = ship.heard_of(*node).max(primary.watch.began_ms);
            let lacks = stalled.is_some_and(|(index, _)| ship.durable_of(*node) < index);
            lacks || now.saturating_sub(heard) >= wait
        };
        self.staying().into_iter().filter(late).collect()
    }

    /// The shrink that is due, if one is: the remaining backups must hold whatever was answered `replicated`.
    pub(crate) fn due_shrink(&self) -> Option<RegistryStep> {
        let (view, primary, ship) = (self.view.as_ref()?, self.primary.as_ref()?, self.ship.as_ref()?);
        let version = view.version;
        let late = self.late();
        if !late.is_empty() {
            let rest = self.staying().into_iter().filter(|n| !late.contains(n));
            let mut held: Vec<JournalIndex> = rest.map(|n| ship.durable_of(n)).collect();
            held.sort_unstable_by(|a, b| b.cmp(a));
            let k = view.k.min(held.len());
            let enough = k == 0 || held.get(k - 1).is_some_and(|h| *h >= primary.watch.replicated);
            if enough {
                return Some(RegistryStep::Shrink { version, nodes: late, whole: false });
            }
        }
        // Nobody is dropped, but a step of an earlier life may still arrive, or the policy is to be acknowledged.
        let doubtful =
            view.shrink_ms.is_some() && self.staying().iter().any(|n| primary.uncounted.contains_key(n));
        let whole = self.is_whole();
        let due = doubtful || (view.unseen && whole);
        due.then_some(RegistryStep::Shrink { version, nodes: Vec::new(), whole })
    }

    /// Remembers since when the registry has been asked, and what it takes for proven from now on.
    pub(crate) fn note_asked(&mut self, step: &RegistryStep) {
        let (now, committed) = (self.now.mono_ms, self.log.committed);
        if let (RegistryStep::Proven { .. }, Some(primary)) = (step, &mut self.primary) {
            // Also what was answered `local` before: a failover by this proof says that nothing is lost.
            primary.watch.replicated = primary.watch.replicated.max(committed);
        }
        let RegistryStep::Shrink { version, nodes, .. } = step else { return };
        if let Some(primary) = &mut self.primary {
            primary.uncounted.extend(nodes.iter().map(|n| (*n, *version)));
            if primary.watch.asked.is_none_or(|(at, _)| at != *version) {
                primary.watch.asked = Some((*version, now));
            }
        }
    }

    /// The registry answered: it is not out of reach.
    pub(crate) fn registry_heard(&mut self) {
        if let Some(primary) = &mut self.primary {
            primary.watch.asked = None;
        }
    }

    /// A degraded primary committed up to `through`.
    pub(crate) fn note_alone(&mut self, through: JournalIndex) {
        if let Some(primary) = &mut self.primary {
            primary.watch.alone_to = primary.watch.alone_to.max(through);
        }
    }

    /// True while this primary goes on alone on the word of its own journal.
    pub fn is_degraded(&self) -> bool {
        let index = self.primary.as_ref().and_then(|p| p.watch.degraded);
        index.is_some_and(|index| self.log.durable.index >= index)
    }

    /// Goes on alone when that is allowed and nothing else is left, and ends it when the backups hold everything again.
    pub(crate) fn degrade_work(&mut self) {
        let Some((view, primary)) = self.view.as_ref().zip(self.primary.as_ref()) else { return };
        let (k, version, allowed) = (view.k, view.version, view.degrade_ms.is_some());
        if primary.watch.degraded.is_some() && !allowed {
            return self.set_degraded(None);
        }
        if primary.watch.degraded.is_some() {
            // From here on answers wait for the backups again, which keep up but need not hold everything yet.
            let keeps_up = self.held_by(k, None) >= primary.marks.1;
            if self.is_degraded() && keeps_up {
                self.set_degraded(None);
            }
            return;
        }
        if !self.must_go_on_alone() {
            return;
        }
        if self.has(Bug::SilentDegrade) {
            self.set_degraded(Some(JournalIndex::ZERO));
            return;
        }
        let draft = Draft::bare(RecordKind::Degrade { version }, self.now.wall);
        let index = self.append_own(draft).index;
        self.set_degraded(Some(index));
        self.out.push(Output::Alarm(Alarm::Degraded { index }));
    }

    fn set_degraded(&mut self, index: Option<JournalIndex>) {
        if let Some(primary) = &mut self.primary {
            primary.watch.degraded = index;
        }
    }

    fn must_go_on_alone(&self) -> bool {
        let (Some(view), Some(primary), Some(ship)) = (&self.view, &self.primary, &self.ship) else {
            return false;
        };
        let Some(wait) = view.degrade_ms else { return false };
        let now = self.now.mono_ms;
        let wait = if self.has(Bug::DegradeTooEarly) { wait / 3 } else { wait };
        // Whoever was confirmed counts, also when the policy lets it go since: it can still prove how long this primary waits.
        let vouched = |at: u64| now.saturating_sub(at) < wait;
        let heard = ship.vouched().filter(|at| vouched(*at)).count();
        let heard = if vouched(primary.watch.began_ms) { view.k } else { heard };
        let asked = primary.watch.asked.filter(|(version, _)| *version == view.version);
        let unanswered = asked.is_some_and(|(_, since)| now.saturating_sub(since) >= self.limits.registry_ms);
        let waits = self.log.committed < self.log.durable.index;
        let quiet = view.state == ViewState::Active && primary.handover.is_none();
        view.k > 0 && heard < view.k && unanswered && waits && quiet
    }

    /// True when a beat may confirm a backup's acknowledgements: nothing has been answered that it might lack, and the backup
    /// is one that is waited for. A confirmation binds this primary to wait (`must_go_on_alone`), so that one that becomes in
    /// sync later must not bring one along from a time at which nobody waited for it.
    pub(crate) fn may_vouch(&self, node: NodeId) -> bool {
        let (Some(primary), Some(view)) = (&self.primary, &self.view) else { return false };
        let waited = view.backups.iter().any(|b| b.node == node && b.in_sync && b.counted);
        waited && !primary.uncounted.contains_key(&node) && self.is_whole()
    }

    /// True when enough backups hold whatever this primary has answered alone.
    fn is_whole(&self) -> bool {
        let (Some(primary), Some(view)) = (&self.primary, &self.view) else { return false };
        let held = || self.held_by(view.k, None) >= primary.watch.alone_to;
        primary.opened && primary.watch.degraded.is_none() && held()
    }
}
