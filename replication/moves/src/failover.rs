//! What the coordinator of a failover does next.
//!
//! Order: seal every candidate that can be reached, wait for enough answers, choose the best position, let the new primary
//! (and, for a bounded time, other backups) copy up to it, commit. After a seal no old-epoch append can be acknowledged, so
//! the reports cannot grow stale in the dangerous direction; the lease plays no part in this proof.

use crate::{Observed, SealedFact};
use eport_model::{Epoch, MoveId, NodeId, Position, RegionCode, Timestamp};
use eport_registry::{MoveRecord, MoveState, Node, NodeState, Op, Placement, PlacementState, Role};
use std::collections::BTreeMap;

/// How long the coordinator waits for more than it strictly needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FailoverLimits {
    /// Until then it waits for every reachable candidate to seal, also when enough have.
    pub seal_until: Timestamp,
    /// Until then it waits for laggards to copy, so that they are named in sync. The new primary's copy has no bound.
    pub copy_until: Timestamp,
}

/// A laggard and where it copies from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CopyOrder {
    /// Who copies.
    pub laggard: NodeId,
    /// A sealed candidate whose journal ends at `to`.
    pub source: NodeId,
    /// Where the laggard's journal must end.
    pub to: Position,
}

/// What to do now. Every step may be repeated.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// Ask these candidates to promise `epoch` and report; ask again when `next_step` says so again.
    SealCandidates {
        /// The reserved epoch.
        epoch: Epoch,
        /// Reachable candidates that have not reported.
        nodes: Vec<NodeId>,
    },
    /// Too few answers and nobody left to ask; wait for one of `missing` to come back, or for the operator.
    WaitSeals {
        /// Counted in-sync backups that sealed.
        have: usize,
        /// How many are needed; more than there are when nothing is proven.
        need: usize,
        /// Whose answers would help, the old primary last.
        missing: Vec<NodeId>,
    },
    /// Send these orders, at a pace that lets a copy make progress (they are repeated until the laggard has reported `to`,
    /// which it does by itself when its copy ends).
    Copy {
        /// The reserved epoch.
        epoch: Epoch,
        /// The orders.
        orders: Vec<CopyOrder>,
    },
    /// Propose [`Op::CommitFailover`] with these values.
    Commit {
        /// Placement version.
        version: u64,
        /// The new primary.
        primary: NodeId,
        /// The best position.
        start: Position,
        /// Other candidates that hold it.
        in_sync: Vec<NodeId>,
        /// Everybody who sealed.
        sealed: Vec<NodeId>,
        /// Those of them that show that the old primary cannot have degraded before.
        fresh: Vec<NodeId>,
    },
    /// Propose [`Op::ConfirmOldPrimary`]: it sealed, nobody else can serve.
    ConfirmOldPrimary {
        /// Placement version.
        version: u64,
        /// Its last record.
        start: Position,
        /// Backups that hold it.
        in_sync: Vec<NodeId>,
    },
    /// Propose [`Op::FailMove`]: the deadline has passed.
    Fail {
        /// Placement version.
        version: u64,
        /// Whose answers were missing.
        missing: Vec<NodeId>,
    },
    /// Two journals end at the same place with different digests: never chosen between, a person must look.
    Alarm {
        /// One candidate and its position.
        one: (NodeId, Position),
        /// The other.
        other: (NodeId, Position),
    },
    /// Nothing left to do: the move ended, or is none of ours.
    Finished {
        /// How it ended; `None` when the registry does not know it.
        state: Option<MoveState>,
    },
}

impl Step {
    /// The registry command of a step that is one.
    pub fn command(&self, region: RegionCode, move_id: MoveId) -> Option<Op> {
        match self.clone() {
            Step::Commit { version, primary, start, in_sync, sealed, fresh } => {
                Some(Op::CommitFailover { region, version, move_id, primary, start, in_sync, sealed, fresh })
            }
            Step::ConfirmOldPrimary { version, start, in_sync } => {
                Some(Op::ConfirmOldPrimary { region, version, move_id, start, in_sync })
            }
            Step::Fail { version, missing } => {
                let reason = "too few candidates answered before the deadline".to_owned();
                Some(Op::FailMove { region, version, move_id, reason, missing })
            }
            _ => None,
        }
    }

    /// Stable name of the step, for the log of the move.
    pub fn name(&self) -> &'static str {
        match self {
            Step::SealCandidates { .. } => "seal",
            Step::WaitSeals { .. } => "wait_seals",
            Step::Copy { .. } => "copy",
            Step::Commit { .. } => "commit",
            Step::ConfirmOldPrimary { .. } => "confirm_old_primary",
            Step::Fail { .. } => "fail",
            Step::Alarm { .. } => "alarm",
            Step::Finished { .. } => "finished",
        }
    }
}

/// A failover under way, with everything a rule needs at hand.
struct Case<'a> {
    observed: &'a Observed<'a>,
    limits: FailoverLimits,
    placement: &'a Placement,
    movement: &'a MoveRecord,
    epoch: Epoch,
    /// Reports under the reserved epoch, of nodes that the placement names.
    sealed: BTreeMap<NodeId, SealedFact>,
}

/// What the coordinator of `move_id` does now.
pub fn next_step(observed: &Observed<'_>, move_id: MoveId, limits: FailoverLimits) -> Step {
    let Some(movement) = observed.state.movement(move_id) else { return Step::Finished { state: None } };
    let finished = Step::Finished { state: Some(movement.state) };
    let Some(placement) = observed.state.placement(movement.region) else { return finished };
    let epoch = match placement.state {
        PlacementState::Recovering { move_id: id, epoch } if id == move_id => epoch,
        _ => return finished,
    };
    if movement.state != MoveState::Running {
        return finished;
    }
    // Who shows less than the registry knows that it had proves nothing, and is chosen only where a loss is accepted.
    let heeded = |n: &NodeId, s: &SealedFact| {
        movement.accept_data_loss || observed.state.may_witness(placement, *n, &s.last)
    };
    let ours = |n: &NodeId, s: &SealedFact| {
        s.epoch == epoch && s.move_id == move_id && placement.names(*n) && heeded(n, s)
    };
    let sealed = observed.sealed.iter().filter(|(n, s)| ours(n, s)).map(|(n, s)| (*n, *s)).collect();
    Case { observed, limits, placement, movement, epoch, sealed }.decide()
}

impl Case<'_> {
    fn decide(&self) -> Step {
        if let Some((one, other)) = self.conflict() {
            return Step::Alarm { one, other };
        }
        let unsealed = self.unsealed_reachable();
        let enough = self.enough(&self.sealed);
        let patient = self.observed.now < self.limits.seal_until;
        if !unsealed.is_empty() && (patient || !enough) {
            return Step::SealCandidates { epoch: self.epoch, nodes: unsealed };
        }
        if !enough {
            return self.wait();
        }
        let usable = &self.usable();
        let Some((_, best)) = best_of(usable) else { return self.wait() };
        let Some(primary) = self.choose(usable, best) else { return self.without_candidate(usable) };
        if let Some(copy) = self.copy(usable, best, primary) {
            return copy;
        }
        if usable.get(&primary).is_none_or(|s| s.last != best) {
            // Its copy has no source that can be reached now.
            return self.wait();
        }
        // A backup whose rows are missing follows only once the primary is open, so the opening must not wait for it.
        let holds = |n: &NodeId, s: &SealedFact| s.last == best && s.whole && *n != primary;
        let holders = usable.iter().filter(|(n, s)| holds(n, s) && self.is_backup(**n));
        Step::Commit {
            version: self.placement.version,
            primary,
            start: best,
            in_sync: holders.map(|(n, _)| *n).collect(),
            sealed: usable.keys().copied().collect(),
            fresh: usable.iter().filter(|(_, s)| self.is_fresh(s)).map(|(n, _)| *n).collect(),
        }
    }

    fn is_backup(&self, node: NodeId) -> bool {
        self.placement.backup(node).is_some()
    }

    fn reachable(&self, node: NodeId) -> bool {
        self.observed.reachable.contains(&node)
    }

    /// Two reports that cannot both be true.
    fn conflict(&self) -> Option<((NodeId, Position), (NodeId, Position))> {
        let mut seen: BTreeMap<_, (NodeId, Position)> = BTreeMap::new();
        for (node, report) in &self.sealed {
            let here = (*node, report.last);
            match seen.get(&report.last.rank()) {
                Some(there) if there.1.digest != report.last.digest => return Some((*there, here)),
                Some(_) => {}
                None => drop(seen.insert(report.last.rank(), here)),
            }
        }
        None
    }

    /// Candidates to ask: every backup, and the old primary when it can be reached after all.
    fn unsealed_reachable(&self) -> Vec<NodeId> {
        let all = self.placement.backups.iter().map(|b| b.node).chain([self.placement.primary]);
        all.filter(|n| {
            self.observed.state.is_member(*n) && self.reachable(*n) && !self.sealed.contains_key(n)
        })
        .collect()
    }

    fn have(&self, reports: &BTreeMap<NodeId, SealedFact>) -> usize {
        let counted = self.observed.state.in_sync_counted(self.placement);
        counted.filter(|b| reports.contains_key(&b.node)).count()
    }

    fn is_fresh(&self, report: &SealedFact) -> bool {
        report.is_fresh(self.placement.epoch, self.observed.state.degrade_wait_ms())
    }

    /// Every acknowledged record reaches at least one of these reports: the old primary holds all it acknowledged, and
    /// n − proven_k + 1 answers meet every set of proven_k holders, unless the old primary may have gone on alone before.
    fn proven(&self, reports: &BTreeMap<NodeId, SealedFact>) -> bool {
        let fresh = |n: NodeId| reports.get(&n).is_some_and(|s| self.is_fresh(s));
        self.observed.state.proves(self.placement, |n| reports.contains_key(&n), fresh)
    }

    fn enough(&self, reports: &BTreeMap<NodeId, SealedFact>) -> bool {
        !reports.is_empty() && (self.movement.accept_data_loss || self.proven(reports))
    }

    /// The reports to choose from: those of nodes still reachable when they suffice by themselves, so that a candidate which
    /// died after its seal is not waited for; else all. Where a loss is accepted, a better report of a node that went away
    /// is waited for until `copy_until`, no longer.
    fn usable(&self) -> BTreeMap<NodeId, SealedFact> {
        let near: BTreeMap<_, _> =
            self.sealed.iter().filter(|(n, _)| self.reachable(**n)).map(|(n, s)| (*n, *s)).collect();
        let late = self.movement.accept_data_loss && self.observed.now >= self.limits.copy_until;
        if !near.is_empty() && (late || self.proven(&near)) { near } else { self.sealed.clone() }
    }

    /// Who becomes primary: the named one, else whoever holds the best position, on the surest footing first.
    fn choose(&self, usable: &BTreeMap<NodeId, SealedFact>, best: Position) -> Option<NodeId> {
        let member = |n: NodeId| self.observed.state.node(n).is_some_and(Node::is_member);
        // Whoever still puts back the rows of a diverged tail holds records, but cannot serve them.
        let whole = |n: NodeId| usable.get(&n).is_some_and(|s| s.whole);
        let fit = |n: NodeId| whole(n) && member(n) && self.reachable(n);
        if let Some(to) = self.movement.to {
            return Some(to).filter(|n| fit(*n));
        }
        let candidates = self.placement.backups.iter().filter(|b| !b.leaving && fit(b.node));
        candidates.min_by_key(|b| self.preference(b.node, usable, best)).map(|b| b.node)
    }

    /// Lower is better: up, holds the best position, role sync, home of the platform, then the name.
    fn preference(
        &self,
        node: NodeId,
        usable: &BTreeMap<NodeId, SealedFact>,
        best: Position,
    ) -> (bool, bool, bool, bool, NodeId) {
        let known = self.observed.state.node(node);
        let sync = self.placement.backup(node).is_some_and(|b| b.role == Role::Sync);
        (
            known.is_none_or(|n| n.state != NodeState::Up),
            usable.get(&node).is_none_or(|s| s.last != best),
            !sync,
            known.is_none_or(|n| n.region != self.placement.region),
            node,
        )
    }

    /// Orders for laggards: the new primary's always, the others' while there is time.
    fn copy(&self, usable: &BTreeMap<NodeId, SealedFact>, best: Position, primary: NodeId) -> Option<Step> {
        let holds = |n: &NodeId| usable.get(n).is_some_and(|s| s.last == best);
        let source = *usable.keys().filter(|n| holds(n)).find(|n| self.reachable(**n))?;
        let waits = self.observed.now < self.limits.copy_until;
        let wanted = |n: NodeId| {
            let sync = self.placement.backup(n).is_some_and(|b| b.role == Role::Sync && !b.leaving);
            n == primary || (waits && sync && self.reachable(n))
        };
        // A laggard whose rows are missing needs an open primary first.
        let laggards =
            usable.iter().filter(|(n, s)| s.whole && !holds(n) && self.is_backup(**n) && wanted(**n));
        let orders: Vec<_> = laggards.map(|(n, _)| CopyOrder { laggard: *n, source, to: best }).collect();
        (!orders.is_empty()).then_some(Step::Copy { epoch: self.epoch, orders })
    }

    /// Enough is known, but no backup can serve: the old primary goes on if it is there, else we wait.
    fn without_candidate(&self, usable: &BTreeMap<NodeId, SealedFact>) -> Step {
        let old = usable.get(&self.placement.primary);
        match old {
            Some(report) if self.reachable(self.placement.primary) && self.movement.to.is_none() => {
                let holds =
                    |n: &NodeId, s: &SealedFact| s.last == report.last && s.whole && self.is_backup(*n);
                let holders = usable.iter().filter(|(n, s)| holds(n, s));
                Step::ConfirmOldPrimary {
                    version: self.placement.version,
                    start: report.last,
                    in_sync: holders.map(|(n, _)| *n).collect(),
                }
            }
            _ => self.wait(),
        }
    }

    /// Nothing can be done now; after the deadline that is the end of the move.
    fn wait(&self) -> Step {
        let missing = self.missing();
        if self.movement.deadline.is_some_and(|d| self.observed.now >= d) {
            return Step::Fail { version: self.placement.version, missing };
        }
        let need = self.observed.state.seal_quorum(self.placement);
        Step::WaitSeals { have: self.have(&self.sealed), need, missing }
    }

    fn missing(&self) -> Vec<NodeId> {
        let silent = |n: &NodeId| !self.sealed.contains_key(n) || !self.reachable(*n);
        let counted = self.observed.state.in_sync_counted(self.placement).map(|b| b.node);
        let mut out: Vec<NodeId> = counted.filter(silent).collect();
        out.extend(self.movement.to.filter(silent).filter(|to| !out.contains(to)));
        out.extend(Some(self.placement.primary).filter(silent));
        out
    }
}

/// The best report: epoch first, then index, never index alone.
fn best_of(reports: &BTreeMap<NodeId, SealedFact>) -> Option<(NodeId, Position)> {
    reports.iter().max_by_key(|(_, s)| s.last.rank()).map(|(n, s)| (*n, s.last))
}
