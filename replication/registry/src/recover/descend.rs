//! The first state of a new lineage, made from the last state of the old one.
//!
//! Always: what the old lineage could still hand out (an epoch, a number, a vote) lies below what the new one begins with;
//! a platform is served at once only where its primary itself survives, because only there nothing can be missing; every other
//! platform is stopped until a person adopts a surviving journal; a revocation is never forgotten.

use super::{EPOCH_RAISE, LineageRecord, NUMBER_RAISE, Verdict};
use crate::decide::epoch::next_block;
use crate::rows::Row;
use crate::{
    ApprovalState, Audit, AuditEvent, CommandId, EpochRecord, MoveState, NodeState, NumberBlock, Placement,
    PlacementState, SignedBy, State,
};
use eport_model::{Digest, Epoch, Lineage, MoveId, NodeId, Position, RegionCode, Timestamp, codec};

/// A journal on the survivor, as it is at the moment of recovery.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FoundJournal {
    /// The platform.
    pub region: RegionCode,
    /// Its last record.
    pub last: Position,
}

/// What a new lineage is made from.
pub struct Descent<'a> {
    /// The new lineage.
    pub lineage: Lineage,
    /// The survivor it is founded on.
    pub founder: NodeId,
    /// The verdict.
    pub verdict: &'a Verdict,
    /// What became of uncommitted entries, and the plans looked at: for the record.
    pub tail: super::TailChoice,
    /// Digest of the founder's plan.
    pub plan: Digest,
    /// Digests of all plans.
    pub plans: Vec<Digest>,
    /// Journals on the survivor.
    pub journals: &'a [FoundJournal],
    /// The time.
    pub now: Timestamp,
}

/// What became of a platform.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PlatformFate {
    /// The platform.
    pub region: RegionCode,
    /// Its primary in the old lineage.
    pub old_primary: NodeId,
    /// Epoch in the old lineage.
    pub epoch_before: Epoch,
    /// Epoch in the new one; `None` until a journal is adopted.
    pub epoch_after: Option<Epoch>,
    /// Last record of the survivor's journal, where it keeps one.
    pub kept: Option<Position>,
    /// Acknowledgements that the policy asks for and nobody is left to give: new writes wait until the policy is changed or
    /// backups have joined.
    pub blocked: bool,
}

/// The first state of the new lineage, and what became of each platform.
pub fn descend(old: &State, d: &Descent<'_>) -> (State, Vec<PlatformFate>) {
    let mut state = old.clone();
    let record = record(old, d);
    if let Some(federation) = &mut state.federation {
        federation.lineage = d.lineage;
    }
    for revocation in &d.verdict.revocations {
        state.revocations.entry(revocation.serial.clone()).or_insert_with(|| revocation.clone());
    }
    end_memberships(&mut state, d.founder);
    end_moves(&mut state, d.now);
    for approval in state.approvals.values_mut().filter(|a| a.state == ApprovalState::Pending) {
        // The first person signed for the old lineage.
        approval.state = ApprovalState::Rejected;
    }
    let regions: Vec<RegionCode> = state.placements.keys().copied().collect();
    let fates = regions.into_iter().filter_map(|region| descend_platform(&mut state, d, region)).collect();
    let audit = audit(&state, &record);
    state.insert(Row::Audit(audit));
    state.insert(Row::Lineage(record));
    (state, fates)
}

fn record(old: &State, d: &Descent<'_>) -> LineageRecord {
    LineageRecord {
        generation: old.lineages().next_back().map_or(1, |l| l.generation.saturating_add(1)),
        lineage: d.lineage,
        parent: old.federation().map(|f| f.lineage).unwrap_or_default(),
        at: d.now,
        founder: d.founder,
        survivors: d.verdict.survivors.clone(),
        lost: d.verdict.lost.clone(),
        tail: d.tail,
        log_index: d.verdict.log_index,
        plan: d.plan,
        plans: d.plans.clone(),
        persons: d.verdict.persons.clone(),
    }
}

/// Everybody but the founder joins again under a new id: an id that voted in the old lineage must not vote here.
fn end_memberships(state: &mut State, founder: NodeId) {
    for node in state.nodes.values_mut().filter(|n| n.id != founder && n.is_member()) {
        node.state = NodeState::Removed;
    }
    if let Some(node) = state.nodes.get_mut(&founder) {
        node.state = NodeState::Up;
    }
}

fn end_moves(state: &mut State, now: Timestamp) {
    for movement in state.moves.values_mut().filter(|m| matches!(m.state, MoveState::Running)) {
        movement.state = MoveState::Aborted;
        movement.ended_at = Some(now);
        movement.ended_reason = "the lineage ended: its quorum was lost".to_owned();
    }
}

/// The epoch so far above everything allocated that the old lineage cannot reach it.
fn raised(epoch: Epoch) -> Epoch {
    Epoch::from_u64(epoch.as_u64().saturating_add(EPOCH_RAISE))
}

fn descend_platform(state: &mut State, d: &Descent<'_>, region: RegionCode) -> Option<PlatformFate> {
    let mut placement = state.placements.get(&region)?.clone();
    let kept = d.journals.iter().find(|j| j.region == region).map(|j| j.last);
    let mut fate = PlatformFate {
        region,
        old_primary: placement.primary,
        epoch_before: placement.epoch,
        epoch_after: None,
        kept,
        blocked: false,
    };
    placement.version = placement.version.saturating_add(1);
    placement.last_epoch = raised(placement.last_epoch);
    raise_numbers(state, &placement);
    placement.backups.retain(|b| b.node == d.founder);
    for backup in &mut placement.backups {
        (backup.in_sync, backup.level, backup.leaving) = (false, false, false);
    }
    // Nothing is proven about copies whose holders are gone: no failover may conclude from it that nothing is lost.
    (placement.proven_k, placement.start_k, placement.degrade_k) = (0, 0, 0);
    placement.seen = true;
    let stopped = placement.state == PlacementState::Stopped;
    placement.state = PlacementState::Stopped;
    if let Some(start) = kept.filter(|_| placement.primary == d.founder) {
        placement.epoch = placement.last_epoch;
        placement.start = start;
        if !stopped {
            placement.state = PlacementState::Active;
        }
        placement.history.push(EpochRecord {
            epoch: placement.epoch,
            primary: d.founder,
            start,
            reason: format!("quorum recovery: lineage {}", d.lineage),
            move_id: MoveId::default(),
            at: d.now,
        });
        fate.epoch_after = Some(placement.epoch);
        fate.blocked = state.effective_k(&placement) > 0;
    }
    state.placements.insert(region, placement);
    Some(fate)
}

/// A block for the raised epoch, so far above the newest that nothing the old lineage may still reserve overlaps it.
fn raise_numbers(state: &mut State, placement: &Placement) {
    let next = next_block(state, placement.region, placement.last_epoch);
    let block = NumberBlock { start: next.start.saturating_add(NUMBER_RAISE), ..next };
    state.numbers.entry(placement.region).or_default().insert(block.start, block);
}

/// The break in the audit, with everybody who stands behind it.
fn audit(state: &State, record: &LineageRecord) -> Audit {
    let digest = Digest::of(&codec::encode(record));
    let mut id = [0; 16];
    id.copy_from_slice(&digest.as_bytes()[..16]);
    let unsigned = SignedBy { by: format!("node/{}", record.founder), at: record.at, ..SignedBy::default() };
    let names = |nodes: &[NodeId]| nodes.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    Audit {
        seq: state.audit().next_back().map_or(1, |a| a.seq.saturating_add(1)),
        event: AuditEvent::Executed,
        id: CommandId(id),
        decided_by_command: CommandId(id),
        kind: "quorum.recover".to_owned(),
        what: format!(
            "lineage={} parent={} survivors={} lost={} tail={} plan={}",
            record.lineage,
            record.parent,
            names(&record.survivors),
            names(&record.lost),
            record.tail.word(),
            record.plan
        ),
        digest,
        reason: "quorum lost".to_owned(),
        first: record.persons.first().cloned().unwrap_or(unsigned),
        second: record.persons.get(1).cloned(),
        at: record.at,
    }
}

impl PlatformFate {
    /// True when a person must adopt a journal before the platform serves again.
    pub fn waits(&self) -> bool {
        self.epoch_after.is_none()
    }
}
