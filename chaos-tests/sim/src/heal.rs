//! The second phase: nothing breaks any more, operators put things in order, and the platform must serve with equal copies.

use crate::host::Host;
use crate::registry::ReplyTo;
use crate::world::{Event, World, region};
use eport_journal::Role;
use eport_model::{MoveId, NodeId};
use eport_registry::{DurabilityMode, MoveState, Op, PlacementState};

/// The platform must have converged so long after everything is healed.
const DEADLINE_MS: u64 = 60_000;

/// State of the second phase.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Healing {
    since: u64,
    /// Since when the platform does not serve.
    stuck_since: u64,
    probed: bool,
    answered: bool,
    last_probe: u64,
    policy_at: u64,
    lowered: bool,
}

impl World {
    pub(crate) fn heal(&mut self) {
        self.note(|| "HEAL".to_owned());
        self.net.heal();
        self.registry.outage_until = 0;
        self.registry.loses_replies = false;
        for node in 0..self.hosts.len() {
            self.hosts[node].slow = false;
            self.hosts[node].storage_fails = false;
            self.join_registry(node);
            self.resume(node);
            if self.hosts[node].broken {
                self.crash(node, 50);
            }
        }
        let now = self.now;
        self.healing = Some(Healing {
            since: now,
            stuck_since: now,
            probed: false,
            answered: false,
            last_probe: 0,
            policy_at: now,
            lowered: false,
        });
        self.after(100, Event::HealTick);
    }

    pub(crate) fn probe_answered(&mut self) {
        if let Some(healing) = &mut self.healing {
            healing.answered = true;
        }
    }

    /// What a careful operator does, and the check whether all is well.
    pub(crate) fn heal_tick(&mut self) {
        let Some(mut healing) = self.healing else { return };
        self.after(200, Event::HealTick);
        if self.now - healing.since > DEADLINE_MS {
            let state = self.describe();
            return self.fail("convergence", format!("not converged after {DEADLINE_MS} ms: {state}"));
        }
        for node in 0..self.hosts.len() {
            if self.hosts[node].broken {
                self.crash(node, 50);
            }
            if self.hosts[node].replica.is_none() && !self.hosts[node].restarting {
                self.restart(node);
            }
        }
        let alarmed: Vec<usize> = (0..self.hosts.len()).filter(|n| self.hosts[*n].rolled_back).collect();
        alarmed.into_iter().for_each(|node| self.move_old_copy_away(node));
        let serving = self.serving();
        if serving.is_some() {
            healing.stuck_since = self.now;
        }
        self.healing = Some(healing);
        match serving {
            Some(primary) => self.probe(primary),
            None => self.put_in_order(),
        }
        if let Some(primary) = serving
            && self.healing.is_some_and(|h| h.answered)
            && self.has_converged(primary)
        {
            self.final_checks(primary);
            self.finished = true;
        }
    }

    /// The primary, when the registry is at rest and it says it is open.
    fn serving(&self) -> Option<usize> {
        let placement = self.registry.placement();
        let node = self.index_of(placement.primary)?;
        let open =
            matches!(self.hosts[node].role(), Some(Role::Primary { epoch }) if *epoch == placement.epoch);
        (placement.state == PlacementState::Active && open).then_some(node)
    }

    /// A write that must succeed.
    fn probe(&mut self, primary: usize) {
        let Some(mut healing) = self.healing else { return };
        let again = healing.probed && !healing.answered && self.now - healing.last_probe > 2_000;
        if !healing.probed || again {
            healing.probed = true;
            healing.last_probe = self.now;
            self.healing = Some(healing);
            let key = self.number();
            self.send_request(primary, key, None, true);
        }
        let blocked = !healing.answered && self.now - healing.policy_at > 6_000;
        if blocked {
            self.lower_policy();
        }
    }

    /// After a failover the policy may ask for more than the other sites have, and copies that may not be cut off stay
    /// fenced: it is brought down to what is left, to `async` only where the run allows losses.
    fn lower_policy(&mut self) {
        let fit = |h: &&Host| !matches!(h.role(), Some(Role::Fenced { .. })) && !h.is_primary();
        let left: Vec<NodeId> = self.hosts.iter().filter(fit).map(|h| h.id).collect();
        let placement = self.registry.placement();
        let (version, primary) = (placement.version, placement.primary);
        let named: Vec<NodeId> = left.into_iter().filter(|n| *n != primary).collect();
        let mut second = false;
        if let Some(healing) = &mut self.healing {
            second = std::mem::replace(&mut healing.lowered, true);
            healing.policy_at = self.now;
        }
        if second && !self.oracle.is_lossless() {
            self.oracle.was_async = true;
            self.set_policy(version, DurabilityMode::Async, 0, named);
        } else {
            self.set_policy(version, DurabilityMode::Sync, 1, named);
        }
    }

    fn put_in_order(&mut self) {
        let Some(healing) = self.healing else { return };
        if let Some(move_id) = self.orphaned_failover() {
            return self.coordinate_from_anywhere(move_id);
        }
        let stuck = self.now - healing.stuck_since;
        match self.registry.placement().state {
            PlacementState::Stopped if stuck % 1_000 < 200 => self.set_stopped(false),
            PlacementState::Recovering { move_id, .. } if self.has_failed(move_id) && stuck % 1_000 < 200 => {
                self.failover(self.loss_needed(stuck));
            }
            PlacementState::Recovering { .. } if stuck > 15_000 && stuck % 5_000 < 200 => {
                self.failover(self.loss_needed(stuck));
            }
            // The old primary aborts by itself when it can; it may be unable to.
            PlacementState::Switching { move_id, .. } if self.is_overdue(move_id) && stuck % 2_000 < 200 => {
                let version = self.registry.placement().version;
                let op = Op::AbortMove { region: region(), version, move_id, reason: "stalled".to_owned() };
                self.propose(None, "operator/admin".into(), op, ReplyTo::Nobody);
            }
            // Its primary cannot open, for example because a failover chose a position that was then replaced.
            PlacementState::Active if stuck > 8_000 && stuck % 8_000 < 200 => {
                self.cover.hit("heal.failover");
                self.failover(self.loss_needed(stuck));
            }
            _ => {}
        }
    }

    /// A planned move that should have been given up three seconds ago.
    fn is_overdue(&self, move_id: MoveId) -> bool {
        let movement = self.registry.state.movement(move_id);
        let deadline = movement.and_then(|m| m.deadline);
        deadline.is_some_and(|at| self.wall() > at.plus_millis(3_000))
    }

    /// Only where acknowledged records may be lost by the rules of the run, and only as a last resort.
    fn loss_needed(&self, stuck: u64) -> bool {
        self.profile.lossy && (stuck > 12_000 || self.oracle.was_async)
    }

    fn has_failed(&self, move_id: MoveId) -> bool {
        self.registry.state.movement(move_id).is_some_and(|m| m.state == MoveState::Failed)
    }

    /// Everybody whom the placement names holds and has applied the same records.
    fn has_converged(&self, primary: usize) -> bool {
        let placement = self.registry.placement();
        let Some(head) = self.hosts[primary].replica.as_ref() else { return false };
        if head.durable() != head.last() || head.applied_index() != head.last().index {
            return false;
        }
        placement.backups.iter().all(|b| {
            let Some(host) = self.index_of(b.node).map(|n| &self.hosts[n]) else { return false };
            let Some(replica) = &host.replica else { return false };
            let fenced = matches!(replica.role(), Role::Fenced { .. }) && !self.oracle.is_lossless();
            let level = replica.durable() == head.last() && replica.applied_index() == head.last().index;
            let equal = level && replica.rows_whole();
            equal || (fenced && self.has_exported(host, primary))
        })
    }

    /// Whatever a fenced node holds beyond the platform's history is exported.
    fn has_exported(&self, host: &Host, primary: usize) -> bool {
        let history = &self.hosts[primary].disk.records;
        let shared = host.disk.records.iter().zip(history).take_while(|(a, b)| a.digest == b.digest).count();
        host.disk.records.iter().skip(shared).all(|r| self.oracle.exported.contains(&r.digest))
    }

    fn describe(&self) -> String {
        let p = self.registry.placement();
        let mut out =
            format!("placement v{} e{} {} {:?} k{}", p.version, p.epoch, p.primary, p.state, p.policy.k);
        for b in &p.backups {
            out += &format!("; {} in_sync={} leaving={}", b.node, b.in_sync, b.leaving);
        }
        for h in &self.hosts {
            let Some(r) = &h.replica else {
                out += &format!("; {} down", h.id);
                continue;
            };
            out += &format!(
                "; {} {:?} last {} durable {} committed {} applied {} v{}",
                h.id,
                (r.role(), r.rows_whole()),
                r.last(),
                r.durable().index,
                r.committed(),
                r.applied_index(),
                r.view().map_or(0, |v| v.version)
            );
        }
        out
    }
}
