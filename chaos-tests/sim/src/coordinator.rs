//! Coordinators of failovers: a loop on some node that drives `eport_moves::next_step`, without a memory that matters.
//!
//! Two may drive the same move at once, and one may die at any point; another takes over from the registry's state.

use crate::world::{Event, World, region};
use eport_journal::{Message, SealReport};
use eport_model::{MoveId, NodeId, Timestamp};
use eport_moves::{FailoverLimits, Observed, SealedFact, Step, next_step};
use eport_registry::{MoveState, PlacementState};
use rand::Rng;
use std::collections::{BTreeMap, BTreeSet};

/// One coordinator.
#[derive(Clone, Debug)]
pub(crate) struct Coordinator {
    pub(crate) move_id: MoveId,
    pub(crate) node: usize,
    incarnation: u64,
    sealed: BTreeMap<NodeId, SealedFact>,
    limits: FailoverLimits,
    /// When it last proposed something.
    proposed_at: Option<u64>,
}

impl World {
    /// Starts a coordinator for a move on some node that is up.
    pub(crate) fn coordinate_from_anywhere(&mut self, move_id: MoveId) {
        let up: Vec<usize> = (0..self.hosts.len()).filter(|n| self.hosts[*n].is_up()).collect();
        if up.is_empty() {
            return;
        }
        let node = up[self.rng.random_range(0..up.len())];
        let id = self.number();
        let seal_ms = self.rng.random_range(50..900);
        let copy_ms = seal_ms + self.rng.random_range(50..1_500);
        let coordinator = Coordinator {
            move_id,
            node,
            incarnation: self.hosts[node].incarnation,
            sealed: BTreeMap::new(),
            limits: FailoverLimits {
                seal_until: self.wall().plus_millis(seal_ms),
                copy_until: self.wall().plus_millis(copy_ms),
            },
            proposed_at: None,
        };
        self.note(|| format!("n{node} coordinates {}", move_id.0[7]));
        self.coordinators.insert(id, coordinator);
        self.after(1, Event::Coordinate { id });
    }

    /// A report arrived at a node: its coordinators hear it.
    pub(crate) fn sealed(&mut self, node: usize, from: NodeId, report: &SealReport) {
        self.note(|| format!("n{node} has a report of {from}: e{} {}", report.epoch, report.last));
        let SealReport { epoch, move_id, last, applied, heard, whole, .. } = *report;
        if self.is_forgetful(from, &last) {
            return self.cover.hit("failover.forgetful_report");
        }
        for coordinator in self.coordinators.values_mut() {
            if coordinator.node == node && coordinator.move_id == move_id {
                coordinator.sealed.insert(from, SealedFact { epoch, move_id, last, applied, heard, whole });
            }
        }
    }

    /// Who can be talked to from a node.
    pub(crate) fn reachable_from(&self, node: usize) -> BTreeSet<NodeId> {
        let near = |n: &usize| *n == node || (self.hosts[*n].is_up() && self.net.connected(node, *n));
        (0..self.hosts.len()).filter(near).map(|n| self.hosts[n].id).collect()
    }

    /// One turn of a coordinator.
    pub(crate) fn coordinate(&mut self, id: u64) {
        let Some(coordinator) = self.coordinators.get(&id).cloned() else { return };
        let node = coordinator.node;
        if self.hosts[node].incarnation != coordinator.incarnation || self.hosts[node].replica.is_none() {
            self.coordinators.remove(&id);
            return;
        }
        let pause = self.rng.random_range(25..60);
        self.after(pause, Event::Coordinate { id });
        if self.hosts[node].paused || self.registry.cut[node] {
            return;
        }
        let step = {
            let mut observed = Observed::new(&self.registry.state, self.wall());
            observed.reachable = self.reachable_from(node);
            observed.sealed = coordinator.sealed.clone();
            next_step(&observed, coordinator.move_id, coordinator.limits)
        };
        self.take(id, &coordinator, step);
    }

    fn take(&mut self, id: u64, coordinator: &Coordinator, step: Step) {
        let (node, move_id) = (coordinator.node, coordinator.move_id);
        match step {
            Step::SealCandidates { epoch, nodes } => {
                for to in nodes {
                    self.send(node, to, Message::Seal { epoch, move_id });
                }
            }
            Step::WaitSeals { .. } => self.cover.hit("failover.wait"),
            Step::Copy { epoch, orders } => {
                for order in orders {
                    let copy = Message::Copy { epoch, move_id, source: order.source, to: order.to };
                    self.send(node, order.laggard, copy);
                    if let Some(coordinator) = self.coordinators.get_mut(&id) {
                        coordinator.sealed.remove(&order.laggard);
                    }
                }
            }
            Step::Alarm { one, other } => {
                self.fail("I3 one payload", format!("two journals end alike and differ: {one:?} {other:?}"));
            }
            Step::Finished { .. } => drop(self.coordinators.remove(&id)),
            Step::Commit { .. } | Step::ConfirmOldPrimary { .. } | Step::Fail { .. } => {
                let recent = coordinator.proposed_at.is_some_and(|at| self.now - at < 300);
                if recent {
                    return;
                }
                if let Some(coordinator) = self.coordinators.get_mut(&id) {
                    coordinator.proposed_at = Some(self.now);
                }
                if let Some(op) = step.command(region(), move_id) {
                    let by = format!("platform/{}/node/{}", region(), self.hosts[node].id);
                    self.propose(Some(node), by, op, crate::registry::ReplyTo::Nobody);
                }
            }
        }
    }

    /// A failover under way that nobody coordinates any more.
    pub(crate) fn orphaned_failover(&self) -> Option<MoveId> {
        let PlacementState::Recovering { move_id, .. } = self.registry.placement().state else { return None };
        let running = self.registry.state.movement(move_id).is_some_and(|m| m.state == MoveState::Running);
        let driven = self.coordinators.values().any(|c| {
            c.move_id == move_id
                && self.hosts[c.node].is_up()
                && self.hosts[c.node].incarnation == c.incarnation
                && !self.registry.cut[c.node]
        });
        (running && !driven).then_some(move_id)
    }

    pub(crate) fn deadline_in(&self, ms: i64) -> Timestamp {
        self.wall().plus_millis(ms)
    }
}
