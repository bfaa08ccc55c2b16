//! Automatic failover: who is suspected, when a failover is reserved, and when it is not.
//!
//! Only the leader of the registry judges. It grants leases ([`Watch::renew`]) and reserves a failover ([`Watch::decide`]) for a
//! primary that has not renewed for one grace. Always: a new leader waits one grace before it judges anybody, because it does
//! not know what the one before has granted; nothing is granted any more to a primary it has decided against; nothing is
//! reserved that the backups it reaches could not finish; one failover at a time from a site; each further one of a platform
//! waits longer than the last, counted from the registry's own history, so that leaders that change do not forget.

use crate::{Intent, Observed, plan};
use eport_model::{Epoch, NodeId, RegionCode, Subject, Timestamp};
use eport_registry::{
    FailoverMode, MoveKind, MoveRecord, MoveState, NodeState, OldPrimary, Op, Placement, PlacementState,
    State,
};
use std::collections::BTreeMap;

/// Automatic failovers older than this say nothing about the next one.
const MEMORY_MS: i64 = 3_600_000;

/// Times of automatic failover; lease and grace belong together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AutoLimits {
    /// A primary is suspected when it has not renewed for this long. Longer than a lease by more than clocks differ.
    pub grace_ms: u64,
    /// Between one automatic failover of a platform and the next; doubles with each within an hour.
    pub backoff_ms: u64,
    /// The longest such wait.
    pub backoff_max_ms: u64,
    /// A failover that found too few answers for this long is given up, to be tried again.
    pub give_up_ms: i64,
}

impl AutoLimits {
    /// The limits that go with a grace.
    pub fn for_grace(grace_ms: u64) -> Self {
        Self { grace_ms, backoff_ms: grace_ms * 2, backoff_max_ms: 600_000, give_up_ms: 30_000 }
    }
}

/// What the leader of the registry remembers of leases, in one term.
#[derive(Clone, Debug)]
pub struct Watch {
    led_since_ms: u64,
    /// Newest renewal of each primary, and of which epoch.
    renewed: BTreeMap<RegionCode, (NodeId, Epoch, u64)>,
    /// Placement version at which a failover was decided: no grants until the placement has moved on.
    condemned: BTreeMap<RegionCode, u64>,
}

/// What is to be done about a platform.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Its primary renews, or no lease binds it.
    Fine,
    /// Its primary is suspected, but nothing is reserved now.
    Wait(Obstacle),
    /// Propose this reservation.
    Reserve {
        /// The command's reason, kept in the history of the platform.
        reason: String,
        /// The command. Its move id is the one given to `decide`.
        op: Box<Op>,
    },
}

/// Why a suspected primary is not replaced now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Obstacle {
    /// Too few backups can be reached to prove that nothing is lost.
    NoProof,
    /// No backup that could serve can be reached.
    NoTarget,
    /// Another platform of the same site is being moved.
    SiteBusy,
    /// The last automatic failover of this platform is too recent; not before this instant.
    Backoff(Timestamp),
}

impl Watch {
    /// A leader begins its term.
    pub fn begin(now_ms: u64) -> Self {
        Self { led_since_ms: now_ms, renewed: BTreeMap::new(), condemned: BTreeMap::new() }
    }

    /// A node asks to renew the lease of a platform's epoch. True when it is granted.
    pub fn renew(
        &mut self,
        state: &State,
        region: RegionCode,
        epoch: Epoch,
        from: NodeId,
        now_ms: u64,
    ) -> bool {
        let Some(placement) = state.placement(region) else { return false };
        let named = placement.primary == from && placement.epoch == epoch;
        let moving = matches!(placement.state, PlacementState::Recovering { .. });
        let condemned = self.condemned.get(&region).is_some_and(|version| placement.version <= *version);
        if !named || moving || condemned || !state.is_member(from) {
            return false;
        }
        self.renewed.insert(region, (from, epoch, now_ms));
        true
    }

    /// Milliseconds since the primary renewed, or since this leader began to listen.
    fn silent_ms(&self, placement: &Placement, now_ms: u64) -> u64 {
        let own = |r: &&(NodeId, Epoch, u64)| r.0 == placement.primary && r.1 == placement.epoch;
        let renewed = self.renewed.get(&placement.region).filter(own).map_or(0, |r| r.2);
        now_ms.saturating_sub(renewed.max(self.led_since_ms))
    }

    /// Judges one platform. After `Reserve` nothing more is granted at this placement version.
    pub fn decide(
        &mut self,
        observed: &Observed<'_>,
        region: RegionCode,
        move_id: eport_model::MoveId,
        limits: &AutoLimits,
        now_ms: u64,
    ) -> Verdict {
        let state = observed.state;
        let Some(placement) = state.placement(region) else { return Verdict::Fine };
        let silent = self.silent_ms(placement, now_ms);
        if !watched(state, placement) || silent < limits.grace_ms {
            return Verdict::Fine;
        }
        if let Some(obstacle) = obstacle(observed, placement, limits) {
            return Verdict::Wait(obstacle);
        }
        let reason = format!(
            "no lease renewal by {} in epoch {} for {silent} ms (grace {} ms)",
            placement.primary, placement.epoch, limits.grace_ms
        );
        let old_primary = OldPrimary::Unreachable;
        let mut without = observed.clone();
        // It may still be connected; what it does not do is renew.
        without.reachable.remove(&placement.primary);
        without.primary_answers = None;
        let intent = Intent::Failover { to: None, old_primary, accept_data_loss: false };
        let Ok(plan) = plan(&without, region, &intent) else { return Verdict::Fine };
        self.condemned.insert(region, placement.version);
        let op = Op::ReserveFailover {
            region,
            move_id,
            to: None,
            expected_version: placement.version,
            accept_data_loss: false,
            old_primary,
            deadline: Some(observed.now.plus_millis(limits.give_up_ms)),
            plan,
        };
        Verdict::Reserve { reason, op: Box::new(op) }
    }
}

/// A lease binds the primary, it knows that, and nobody moves the platform; or an automatic failover was given up.
fn watched(state: &State, placement: &Placement) -> bool {
    let free = match placement.state {
        PlacementState::Active | PlacementState::Switching { .. } => true,
        PlacementState::Recovering { move_id, .. } => {
            state.movement(move_id).is_some_and(|m| m.state == MoveState::Failed && is_automatic(m))
        }
        PlacementState::Stopped => false,
    };
    placement.policy.failover == FailoverMode::Auto && placement.seen && free
}

/// True when a node, not an operator, reserved it.
pub fn is_automatic(movement: &MoveRecord) -> bool {
    movement.kind == MoveKind::Failover && movement.by.parse::<Subject>().is_ok_and(|s| s.node().is_some())
}

fn obstacle(observed: &Observed<'_>, placement: &Placement, limits: &AutoLimits) -> Option<Obstacle> {
    let state = observed.state;
    let recovering = matches!(placement.state, PlacementState::Recovering { .. });
    // Its own seal helps a failover that was given up; a primary that only lost its lease is not asked to prove its own end.
    let there = |n: NodeId| observed.reachable.contains(&n) && (recovering || n != placement.primary);
    if !state.proves(placement, there, there) {
        return Some(Obstacle::NoProof);
    }
    let serves = |n: NodeId| there(n) && state.node(n).is_some_and(|n| n.state == NodeState::Up);
    let backup = placement.backups.iter().any(|b| !b.leaving && serves(b.node));
    let waiting = recovering && serves(placement.primary);
    if !backup && !waiting {
        return Some(Obstacle::NoTarget);
    }
    if site_busy(state, placement) {
        return Some(Obstacle::SiteBusy);
    }
    not_before(state, placement, limits, observed.now).map(Obstacle::Backoff)
}

/// A lost site loses many primaries at once: they are replaced one after the other, so that those who take over, and the
/// registry, are not flooded, and a wrong suspicion costs one platform and not all.
fn site_busy(state: &State, placement: &Placement) -> bool {
    let site = |n: NodeId| state.node(n).map(|n| n.site);
    let running = |p: &Placement| match p.state {
        PlacementState::Recovering { move_id, .. } => {
            state.movement(move_id).is_some_and(|m| m.state == MoveState::Running)
        }
        _ => false,
    };
    let others = state.placements().filter(|p| p.region != placement.region && running(p));
    others.into_iter().any(|p| site(p.primary) == site(placement.primary))
}

/// The instant before which no further automatic failover of the platform is reserved, while it lies ahead.
fn not_before(
    state: &State,
    placement: &Placement,
    limits: &AutoLimits,
    now: Timestamp,
) -> Option<Timestamp> {
    let since = now.plus_millis(-MEMORY_MS);
    let moves = state.moves_of(placement.region);
    let recent: Vec<_> =
        moves.into_iter().filter(|m| is_automatic(m) && m.opened_at > since && m.opened_at <= now).collect();
    let last = recent.last()?;
    let doublings = u32::try_from(recent.len().saturating_sub(1)).unwrap_or(u32::MAX).min(20);
    let wait = limits.backoff_ms.saturating_mul(1 << doublings).min(limits.backoff_max_ms);
    let at = last.opened_at.plus_millis(i64::try_from(wait).unwrap_or(i64::MAX));
    (at > now).then_some(at)
}
