//! Steps a primary asks of the registry about its in-sync set. One at a time, each naming the placement version.
//!
//! Growing is always safe: a failover then needs one more sealed answer. Shrinking is safe when the remaining counted set
//! holds every acknowledged record, and the leaving backup stops counting *before* the step is asked for.

use crate::replica::Replica;
use crate::{Output, RegistryStep};
use eport_model::{JournalIndex, MoveId};

/// Beats a backup must have kept up before it is proposed for the in-sync set.
const CAUGHT_UP_BEATS: u8 = 2;

impl RegistryStep {
    /// The placement version the step names.
    pub fn version(&self) -> u64 {
        match self {
            RegistryStep::InSyncAdd { version, .. }
            | RegistryStep::InSyncRemove { version, .. }
            | RegistryStep::Shrink { version, .. }
            | RegistryStep::Proven { version, .. }
            | RegistryStep::CommitSwitch { version, .. }
            | RegistryStep::AbortSwitch { version, .. } => *version,
        }
    }
}

impl Replica {
    /// Asks for the next in-sync step, if one is due and none is under way.
    pub(crate) fn propose_steps(&mut self) {
        let Some(step) = self.due_step() else { return };
        let now = self.now.mono_ms;
        self.note_asked(&step);
        if let Some(primary) = &mut self.primary {
            if let RegistryStep::InSyncRemove { version, node } = &step {
                primary.uncounted.insert(*node, *version);
            }
            primary.step = Some((step.clone(), now));
        }
        self.out.push(Output::Registry(step));
    }

    fn due_step(&self) -> Option<RegistryStep> {
        let (view, primary, ship) = (self.view.as_ref()?, self.primary.as_ref()?, self.ship.as_ref()?);
        if primary.holding().is_some() || primary.step.is_some() || view.version <= primary.step_version {
            return None;
        }
        if let Some(shrink) = self.due_shrink() {
            return Some(shrink);
        }
        // `opened` proves that everything found at the start is committed, also what an earlier life of this primary
        // acknowledged and this one no longer remembers as committed.
        if !primary.opened {
            return None;
        }
        // What a degraded primary committed alone is not what the remaining backups must hold.
        let version = view.version;
        let committed = if view.shrink_ms.is_some() { primary.watch.replicated } else { self.log.committed };
        let leaving = view.backups.iter().filter(|b| b.in_sync && b.leaving);
        for backup in leaving {
            if self.held_by(view.k, Some(backup.node)) >= committed {
                return Some(RegistryStep::InSyncRemove { version, node: backup.node });
            }
        }
        let joining = view.backups.iter().filter(|b| !b.in_sync && b.wants_sync && !b.leaving);
        for backup in joining {
            // The registry takes it for granted from now on that it has held the first record of this epoch.
            let holds_epoch = ship.durable_of(backup.node) >= primary.epoch_start;
            if holds_epoch && ship.caught_up(backup.node) >= CAUGHT_UP_BEATS && ship.is_whole(backup.node) {
                return Some(RegistryStep::InSyncAdd { version, node: backup.node });
            }
        }
        let reseeded = view.backups.iter().filter(|b| b.in_sync && !b.leaving && self.is_reseeding(b.node));
        for backup in reseeded {
            let level = ship.caught_up(backup.node) >= CAUGHT_UP_BEATS && ship.is_whole(backup.node);
            if level && ship.durable_of(backup.node) >= self.acked_of(backup.node).index {
                return Some(RegistryStep::InSyncAdd { version, node: backup.node });
            }
        }
        let proves = view.k > view.proven_k && self.held_by(view.k, None) >= self.log.committed;
        proves.then_some(RegistryStep::Proven { version, k: view.k })
    }

    /// Counts, once a beat, which backups hold everything that was committed a beat ago.
    pub(crate) fn mark_beat(&mut self) {
        self.watch_backups();
        let committed = self.log.committed;
        let silence = self.limits.silence_ms;
        let now = self.now.mono_ms;
        if let (Some(primary), Some(ship)) = (&mut self.primary, &mut self.ship) {
            ship.count_beat(primary.marks.1, now, silence);
            primary.marks = (primary.marks.1, committed);
            // An answer that never came is an unknown outcome: the same step at the same version may be asked for again.
            if primary
                .step
                .as_ref()
                .is_some_and(|(_, since)| now.saturating_sub(*since) > silence.saturating_mul(10))
            {
                primary.step = None;
            }
        }
    }

    pub(crate) fn on_registry_answered(&mut self, move_id: MoveId, applied: Option<bool>) {
        if move_id != MoveId::default() {
            self.on_switch_answered(move_id, applied);
            return;
        }
        let now = self.now.mono_ms;
        let Some((step, _)) = self.primary.as_mut().and_then(|p| p.step.take()) else { return };
        let again = match &step {
            // One that was seeded anew was in sync for the registry all the time: its placement stays as it is.
            RegistryStep::InSyncAdd { node, .. } if applied == Some(true) => self.taken_in_sync(*node),
            _ => false,
        };
        let Some(primary) = &mut self.primary else { return };
        match applied {
            Some(true) if again => {}
            // What comes next needs a newer placement.
            Some(true) => primary.step_version = primary.step_version.max(step.version()),
            // Mostly the placement has moved on, and its newer version ends the wait. But a refusal may also be about this moment, for
            // example the leader's wrong clock: the same step is asked for again after the pause of an answer that never came.
            Some(false) => primary.step = Some((step, now)),
            None => return,
        }
        self.registry_heard();
    }

    /// True when every acknowledged record is beyond doubt held here and committed; used by the handover.
    pub(crate) fn all_applied(&self) -> bool {
        let last: JournalIndex = self.log.last.index;
        self.log.settled() && self.log.committed >= last && self.log.applied_index >= last
    }
}
