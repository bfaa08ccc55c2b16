//! Operators: planned switchovers, failovers for good and bad reasons, policies that change, two hands at once.

use crate::registry::{ReplyTo, policy};
use crate::world::{Event, World, region};
use eport_model::NodeId;
use eport_moves::{Intent, Observed, ReplicaFact};
use eport_registry::{
    DurabilityMode, MoveKind, OldPrimary, Op, PlacementState, Plan, PolicyBackup, Role, TableId,
};
use rand::Rng;
use std::collections::BTreeMap;

const OPERATOR: &str = "operator/admin";

impl World {
    /// An operator looks and does something.
    pub(crate) fn operator(&mut self) {
        if self.healing.is_some() {
            return;
        }
        let every = self.profile.operator_every_ms;
        let next = self.rng.random_range(every / 2..every * 2);
        self.after(next, Event::Operator);
        if let Some(move_id) = self.orphaned_failover() {
            return self.coordinate_from_anywhere(move_id);
        }
        let primary_up =
            self.index_of(self.registry.placement().primary).is_some_and(|n| self.hosts[n].is_up());
        let state = self.registry.placement().state;
        match state {
            PlacementState::Recovering { .. } => self.failover(false),
            PlacementState::Stopped => self.set_stopped(false),
            PlacementState::Switching { .. } if self.chance(25) => self.failover(false),
            PlacementState::Switching { move_id, .. } if self.chance(25) => {
                let version = self.registry.placement().version;
                let reason = "an operator changed his mind".to_owned();
                let op = Op::AbortMove { region: region(), version, move_id, reason };
                self.propose(None, OPERATOR.into(), op, ReplyTo::Nobody);
            }
            PlacementState::Switching { .. } => {}
            PlacementState::Active if !primary_up => self.failover_by_somebody(),
            PlacementState::Active => self.active_choice(),
        }
    }

    fn active_choice(&mut self) {
        let policies = self.profile.policies;
        match self.rng.random_range(0..100) {
            0..45 => self.switchover(),
            45..75 => self.failover_by_somebody(),
            75..80 => self.set_stopped(true),
            _ if policies => self.change_policy(),
            _ => {}
        }
    }

    fn some_backup(&mut self) -> Option<NodeId> {
        let fit: Vec<NodeId> =
            self.registry.placement().backups.iter().filter(|b| !b.leaving).map(|b| b.node).collect();
        (!fit.is_empty()).then(|| fit[self.rng.random_range(0..fit.len())])
    }

    /// The plan a command would carry, made by the planner itself.
    fn plan(&self, intent: &Intent) -> Option<Plan> {
        let mut observed = Observed::new(&self.registry.state, self.wall());
        observed.reachable = self.reachable_from(0);
        let lineage = crate::client::lineage();
        let at = self.wall();
        for host in &self.hosts {
            if let Some(replica) = &host.replica {
                let (durable, applied) = (replica.durable(), replica.applied_index());
                observed.replicas.insert(host.id, ReplicaFact { durable, applied, lineage, at });
            }
        }
        observed.installed = self.hosts.iter().map(|h| (h.id, BTreeMap::<TableId, u64>::new())).collect();
        eport_moves::plan(&observed, region(), intent).ok()
    }

    fn switchover(&mut self) {
        let Some(to) = self.some_backup() else { return };
        let kind = MoveKind::Switchover;
        let Some(plan) = self.plan(&Intent::Planned { kind, to }) else { return };
        let (move_id, expected_version) = (self.new_move(), plan.version);
        let within_ms: i64 = self.rng.random_range(300..4_000);
        let within_ms = u32::try_from(within_ms).unwrap_or(1);
        let op =
            Op::OpenSwitchover { region: region(), move_id, kind, to, within_ms, expected_version, plan };
        self.propose(None, OPERATOR.into(), op, ReplyTo::Nobody);
    }

    fn failover_by_somebody(&mut self) {
        let lossy = self.profile.lossy && self.chance(40);
        self.failover(lossy);
        if self.chance(20) {
            // Somebody else types the same command, looking at the same placement.
            self.cover.hit("failover.two_operators");
            self.failover(false);
        }
    }

    /// Asks for a failover, whatever the plan says: the registry and the seals must keep it safe.
    pub(crate) fn failover(&mut self, lossy: bool) {
        let placement = self.registry.placement();
        let (primary, expected_version) = (placement.primary, placement.version);
        let to = if self.healing.is_none() && self.chance(25) { self.some_backup() } else { None };
        let old_primary = OldPrimary::Unreachable;
        let intent = Intent::Failover { to, old_primary, accept_data_loss: lossy };
        let Some(plan) = self.plan(&intent) else { return };
        if self.index_of(primary).is_some_and(|n| self.hosts[n].is_up()) {
            self.cover.hit("failover.old_primary_alive");
        }
        let move_id = self.new_move();
        let ms = self.rng.random_range(1_500..8_000);
        let deadline = Some(self.deadline_in(ms));
        let op = Op::ReserveFailover {
            region: region(),
            move_id,
            to,
            expected_version,
            accept_data_loss: lossy,
            old_primary,
            deadline,
            plan,
        };
        self.note(|| format!("operator: failover to {to:?}, loss accepted: {lossy}"));
        self.propose(None, OPERATOR.into(), op, ReplyTo::Failover);
    }

    pub(crate) fn set_stopped(&mut self, stopped: bool) {
        let version = self.registry.placement().version;
        let op = Op::SetStopped { region: region(), version, stopped };
        self.propose(None, OPERATOR.into(), op, ReplyTo::Nobody);
    }

    /// Another k, another set of backups, sometimes another mode.
    fn change_policy(&mut self) {
        let placement = self.registry.placement();
        let (primary, version) = (placement.primary, placement.version);
        let mut named: Vec<NodeId> =
            placement.backups.iter().filter(|b| !b.leaving).map(|b| b.node).collect();
        if self.chance(60) && named.len() > 2 {
            let gone = self.rng.random_range(0..named.len());
            named.remove(gone);
        }
        if self.chance(60) {
            let extra = self.hosts[self.rng.random_range(0..self.hosts.len())].id;
            if extra != primary && !named.contains(&extra) {
                named.push(extra);
            }
        }
        let durability = match self.profile.lossy && self.chance(30) {
            true => DurabilityMode::Async,
            false if self.profile.durability == DurabilityMode::AutoSync && self.chance(70) => {
                DurabilityMode::AutoSync
            }
            false => DurabilityMode::Sync,
        };
        let k = if durability == DurabilityMode::Async { 0 } else { self.rng.random_range(1..=2) };
        self.set_policy(version, durability, k, named);
    }

    pub(crate) fn set_policy(
        &mut self,
        version: u64,
        durability: DurabilityMode,
        k: usize,
        named: Vec<NodeId>,
    ) {
        self.cover.hit("policy.change");
        let backups = named.into_iter().map(|node| PolicyBackup { node, role: Role::Sync }).collect();
        let op = Op::SetPolicy {
            region: region(),
            version,
            policy: policy(&self.profile, durability, k),
            backups,
        };
        self.propose(None, OPERATOR.into(), op, ReplyTo::Nobody);
    }
}
