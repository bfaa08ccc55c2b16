//! Planned switchover, seen from the old primary: hold, drain, barrier, propose, wait.
//!
//! Only this node proposes the commit. Until the proposal is sent it may resume by itself; before sending it, a
//! SwitchProposed record is fsynced here and on the target; once sent, writing resumes only on a linearizable placement that
//! shows the switchover gone in the same epoch. After a restart that finds an unresolved Barrier or SwitchProposed, a commit
//! may still be under way: this node then asks for the abort at the same version, so that one of the two is refused.

use crate::replica::Replica;
use crate::{Alarm, Bug, Output, PlacementView, RegistryStep};
use eport_model::{Draft, MoveId, NodeId, Position, RecordKind};

/// A switchover under way.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Handover {
    move_id: MoveId,
    to: NodeId,
    /// When it is given up, on the clock that never jumps.
    until_ms: u64,
    phase: Phase,
    /// When the phase began.
    since_ms: u64,
    /// The newest step asked of the registry: at which version, and when.
    asked: Option<(u64, u64)>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// Still writing; the target catches up.
    CatchUp,
    /// Holding new requests until everything in flight is applied.
    Drain,
    /// Barrier appended; the target applies up to it.
    Barrier(Position),
    /// SwitchProposed appended; fsynced here and on the target before anything is sent.
    Proposing(Position),
    /// The commit was sent.
    Proposed(Position),
    /// A restart found an unresolved switchover; its end is asked for.
    Resolving,
    /// Given up before anything was sent: writing again, the registry is told to abort.
    Abandoned,
}

impl crate::primary::Primary {
    /// The target for which new requests are held, if they are.
    pub(crate) fn holding(&self) -> Option<NodeId> {
        let handover = self.handover.as_ref()?;
        (!matches!(handover.phase, Phase::CatchUp | Phase::Abandoned)).then_some(handover.to)
    }
}

impl Replica {
    fn handover(&self) -> Option<&Handover> {
        self.primary.as_ref()?.handover.as_ref()
    }

    fn set_phase(&mut self, phase: Phase) {
        let now = self.now.mono_ms;
        if let Some(handover) = self.primary.as_mut().and_then(|p| p.handover.as_mut()) {
            handover.phase = phase;
            handover.since_ms = now;
        }
    }

    fn begin(&mut self, move_id: MoveId, to: NodeId, within_ms: u32, phase: Phase) {
        let since_ms = self.now.mono_ms;
        let until_ms = since_ms.saturating_add(u64::from(within_ms));
        if let Some(primary) = &mut self.primary {
            primary.handover = Some(Handover { move_id, to, until_ms, phase, since_ms, asked: None });
        }
    }

    /// When the handover needs a tick that the beat does not give.
    pub(crate) fn handover_deadline(&self) -> Option<u64> {
        let handover = self.handover()?;
        let at = handover.since_ms + self.limits.beat_ms / 2;
        (matches!(handover.phase, Phase::Proposing(_)) && at > self.now.mono_ms).then_some(at)
    }

    /// A restarted primary found its journal ending in an unresolved move, and a linearizable placement has arrived. True
    /// when the move is still pending.
    pub(crate) fn resolve_after_restart(&mut self, move_id: MoveId) -> bool {
        let pending = self.view.as_ref().and_then(PlacementView::switching);
        match pending {
            Some((pending, to, within_ms)) if pending == move_id => {
                self.begin(move_id, to, within_ms, Phase::Resolving);
                self.ask_abort("the primary restarted during the switchover");
                true
            }
            _ => {
                self.resume();
                false
            }
        }
    }

    /// The placement changed, or was confirmed, while this node is primary of its epoch.
    pub(crate) fn handover_placement(&mut self, view: &PlacementView, linearizable: bool) {
        let pending = view.switching();
        if let Some(handover) = self.handover().cloned() {
            if pending.is_some_and(|(move_id, ..)| move_id == handover.move_id) {
                self.still_pending(&handover, view, linearizable);
                return;
            }
            let bound = !self.has(Bug::ResumeOnLocalView);
            if matches!(handover.phase, Phase::Proposed(_) | Phase::Resolving) && !linearizable && bound {
                self.ask_placement();
                return;
            }
            self.resume();
        }
        if let Some((move_id, to, within_ms)) = pending {
            self.begin(move_id, to, within_ms, Phase::CatchUp);
        }
    }

    fn still_pending(&mut self, handover: &Handover, view: &PlacementView, linearizable: bool) {
        let newer = handover.asked.is_none_or(|(version, _)| view.version > version);
        match handover.phase {
            Phase::Proposed(_) if !linearizable && !newer => {}
            // The same command again at this version, or its end: whichever arrives first refuses the others.
            Phase::Proposed(_) if self.now.mono_ms > handover.until_ms => {
                self.ask_abort("the deadline passed")
            }
            Phase::Proposed(start) => self.ask_commit(start),
            Phase::Resolving if linearizable || newer => {
                self.ask_abort("the primary restarted during the switchover");
            }
            Phase::Abandoned if newer => self.ask_abort("the deadline passed"),
            _ => {}
        }
    }

    /// Ends the handover here and goes on writing in the same epoch.
    fn resume(&mut self) {
        if let Some(primary) = &mut self.primary {
            primary.handover = None;
        }
        self.move_head_on();
    }

    /// A journal must not go on to end in a Barrier or SwitchProposed that is resolved.
    fn move_head_on(&mut self) {
        if self.unresolved.is_some() {
            let now = self.now.wall;
            self.append_own(Draft::bare(RecordKind::Noop, now));
        }
    }

    fn give_up(&mut self, reason: &'static str) {
        if let Some(handover) = self.handover() {
            let move_id = handover.move_id;
            self.out.push(Output::Alarm(Alarm::SwitchStalled { move_id, reason }));
        }
        self.set_phase(Phase::Abandoned);
        self.move_head_on();
        self.ask_abort(reason);
    }

    /// Takes every step that has become possible.
    pub(crate) fn advance_handover(&mut self) {
        loop {
            let before = self.handover().map(|h| h.phase);
            self.advance_phase();
            if self.handover().map(|h| h.phase) == before {
                return;
            }
        }
    }

    fn advance_phase(&mut self) {
        let Some(handover) = self.handover().cloned() else { return };
        let late = self.now.mono_ms > handover.until_ms;
        let Handover { move_id, to, .. } = handover;
        match handover.phase {
            Phase::CatchUp if late => self.give_up("the target did not catch up before the deadline"),
            Phase::CatchUp if self.may_hold(to) => self.set_phase(Phase::Drain),
            Phase::Drain if late => self.give_up("records in flight were not confirmed before the deadline"),
            Phase::Drain if self.all_applied() => {
                let barrier = self.append_own(Draft::bare(RecordKind::Barrier { move_id }, self.now.wall));
                self.set_phase(Phase::Barrier(barrier));
            }
            Phase::Barrier(_) if late => {
                self.give_up("the target did not apply the barrier before the deadline")
            }
            Phase::Barrier(barrier) if self.all_applied() && self.target_applied(to, barrier) => {
                let kind = RecordKind::SwitchProposed { move_id, to };
                let start = self.append_own(Draft::bare(kind, self.now.wall));
                self.set_phase(Phase::Proposing(start));
            }
            Phase::Proposing(_) if late => self.give_up("the target did not confirm before the deadline"),
            Phase::Proposing(start) if self.may_propose(&handover, start) => {
                self.set_phase(Phase::Proposed(start));
                self.ask_commit(start);
            }
            Phase::Proposed(_) | Phase::Resolving if self.is_overdue(&handover) => self.ask_placement(),
            Phase::Abandoned if self.is_overdue(&handover) => self.ask_abort("the deadline passed"),
            _ => {}
        }
    }

    /// The registry has not answered for so long that the answer counts as lost.
    fn is_overdue(&self, handover: &Handover) -> bool {
        let silence = self.limits.silence_ms;
        handover.asked.is_some_and(|(_, since)| self.now.mono_ms.saturating_sub(since) >= silence * 2)
    }

    fn may_hold(&self, to: NodeId) -> bool {
        let (Some(primary), Some(ship), Some(view)) = (&self.primary, &self.ship, &self.view) else {
            return false;
        };
        let named = view.backups.iter().any(|b| b.node == to);
        let lag = self.log.last.index.since(ship.durable_of(to));
        // A step under way would change the version that the commit names.
        primary.opened
            && primary.step.is_none()
            && named
            && ship.is_streaming(to)
            && lag <= self.limits.handover_lag
    }

    fn target_applied(&self, to: NodeId, barrier: Position) -> bool {
        self.ship.as_ref().is_some_and(|s| s.applied_at(to, barrier))
    }

    /// Fsynced here and on the target; the other in-sync backups get half a beat to be named too.
    fn may_propose(&self, handover: &Handover, start: Position) -> bool {
        let (Some(ship), Some(view)) = (&self.ship, &self.view) else { return false };
        let here = self.log.durable.index >= start.index;
        let waited = self.now.mono_ms.saturating_sub(handover.since_ms) >= self.limits.beat_ms / 2;
        let all = view.backups.iter().filter(|b| b.in_sync).all(|b| ship.durable_at(b.node, start));
        here && ship.durable_at(handover.to, start) && (all || waited)
    }

    fn ask_commit(&mut self, start: Position) {
        let (Some(view), Some(ship), Some(handover)) = (&self.view, &self.ship, self.handover()) else {
            return;
        };
        let holds = |b: &&crate::BackupView| b.in_sync && !b.leaving && ship.durable_at(b.node, start);
        let in_sync =
            view.backups.iter().filter(holds).map(|b| b.node).filter(|n| *n != handover.to).collect();
        let (version, move_id) = (view.version, handover.move_id);
        self.ask(RegistryStep::CommitSwitch { version, move_id, start, in_sync });
    }

    fn ask_abort(&mut self, reason: &str) {
        let (Some(view), Some(handover)) = (&self.view, self.handover()) else { return };
        let (version, move_id) = (view.version, handover.move_id);
        self.ask(RegistryStep::AbortSwitch { version, move_id, reason: reason.to_owned() });
    }

    fn ask(&mut self, step: RegistryStep) {
        let asked = Some((step.version(), self.now.mono_ms));
        if let Some(handover) = self.primary.as_mut().and_then(|p| p.handover.as_mut()) {
            handover.asked = asked;
        }
        self.out.push(Output::Registry(step));
    }

    /// Whatever the answer, only a linearizable placement says what became of a switchover.
    pub(crate) fn on_switch_answered(&mut self, move_id: MoveId, applied: Option<bool>) {
        let Some(handover) = self.handover().filter(|h| h.move_id == move_id) else { return };
        if handover.phase != Phase::Abandoned || applied.is_none() {
            self.ask_placement();
        }
    }

    /// During a handover every commit is told at once: the target's applied position is what everybody waits for.
    pub(crate) fn commit_advanced(&mut self) {
        let Some(target) = self.primary.as_ref().and_then(|p| p.holding()) else { return };
        self.send_beats(vec![target]);
    }
}
