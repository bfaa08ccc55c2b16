//! The leader of the registry: it grants leases and starts failovers by itself, driving `eport_moves::Watch`.
//!
//! A leader is some node that is up and reaches the registry. When it does not any more, or the registry was away, another
//! one begins after an election, with an empty memory.

use crate::world::{Event, World, region};
use eport_journal::Input;
use eport_model::{Epoch, NodeId};
use eport_moves::{AutoLimits, Observed, Obstacle, Verdict, Watch};
use eport_registry::{Command, CommandId};
use rand::Rng;

/// Length of a lease in simulated milliseconds.
pub(crate) const LEASE_MS: u64 = 700;
/// A primary is suspected after this.
pub(crate) const GRACE_MS: u64 = 900;

/// Who leads.
#[derive(Clone, Debug)]
pub(crate) struct Leader {
    /// The node, or none while there is an election.
    node: Option<usize>,
    incarnation: u64,
    term: u64,
    elected_at: u64,
    watch: Watch,
}

impl Leader {
    pub(crate) fn new() -> Self {
        Self { node: None, incarnation: 0, term: 0, elected_at: 0, watch: Watch::begin(0) }
    }
}

impl World {
    fn leader(&self) -> Option<usize> {
        let node = self.registry.leader.node?;
        let host = &self.hosts[node];
        let there = host.is_up() && host.incarnation == self.registry.leader.incarnation;
        (there && self.registry.is_reachable(node, self.now)).then_some(node)
    }

    /// The leader looks; or another one is elected.
    pub(crate) fn lead(&mut self) {
        let pause = self.rng.random_range(20..80);
        self.after(pause, Event::Lead);
        let Some(node) = self.leader() else { return self.elect() };
        let move_id = self.new_move();
        let mut observed = Observed::new(&self.registry.state, self.wall());
        observed.reachable = self.reachable_from(node);
        let limits = AutoLimits { backoff_ms: 1_500, give_up_ms: 4_000, ..AutoLimits::for_grace(GRACE_MS) };
        let mut watch = self.registry.leader.watch.clone();
        let verdict = watch.decide(&observed, region(), move_id, &limits, self.now);
        if self.options.bug.as_deref() != Some("grants_after_deciding") {
            self.registry.leader.watch = watch;
        }
        match verdict {
            Verdict::Fine => {}
            Verdict::Wait(obstacle) => self.cover.hit(match obstacle {
                Obstacle::NoProof => "auto.no_proof",
                Obstacle::NoTarget => "auto.no_target",
                Obstacle::SiteBusy => "auto.site_busy",
                Obstacle::Backoff(_) => "auto.backoff",
            }),
            Verdict::Reserve { reason, op } => {
                self.note(|| format!("leader n{node}: {reason}"));
                let mut id = [0x66; 16];
                id[..8].copy_from_slice(&self.number().to_be_bytes());
                let by = format!("platform/{}/node/{}", region(), self.hosts[node].id);
                let command =
                    Command { id: CommandId(id), by, at: self.wall(), reason, op: *op, proof: None };
                let term = self.registry.leader.term;
                let ms = self.rng.random_range(2..60);
                self.cross_the_decision();
                self.after(ms, Event::AutoReserve { term, command: Box::new(command) });
            }
        }
    }

    /// The hard cases lie close to a decision: the primary is alive and hears nothing of it, clients go on reading from it, a
    /// renewal arrives just then.
    fn cross_the_decision(&mut self) {
        let placement = self.registry.placement();
        let epoch = placement.epoch;
        let Some(primary) = self.index_of(placement.primary) else { return };
        if self.healing.is_some() || !self.hosts[primary].is_up() {
            return;
        }
        if self.chance(30) {
            self.cover.hit("auto.late_renewal");
            let (incarnation, sent_ms) = (self.hosts[primary].incarnation, self.now);
            self.registry.cut[primary] = false;
            self.after(1, Event::Renewal { node: primary, incarnation, epoch, sent_ms });
        }
        if self.chance(50) {
            self.cover.hit("auto.unaware_primary");
            self.read_from(primary);
            let lasts = self.rng.random_range(400..1_500);
            self.isolate(primary, lasts);
        }
    }

    fn elect(&mut self) {
        if self.registry.leader.node.take().is_some() {
            self.cover.hit("auto.leader_lost");
            if let Some(primary) = self.index_of(self.registry.placement().primary)
                && self.healing.is_none()
                && self.profile.failover == eport_registry::FailoverMode::Auto
                && self.chance(25)
            {
                self.read_from(primary);
                let lasts = self.rng.random_range(400..1_500);
                self.isolate(primary, lasts);
            }
            self.registry.leader.elected_at = self.now + self.rng.random_range(100..400);
            return;
        }
        if self.now < self.registry.leader.elected_at {
            return;
        }
        let fit: Vec<usize> = (0..self.hosts.len())
            .filter(|n| self.hosts[*n].is_up() && self.registry.is_reachable(*n, self.now))
            .collect();
        if fit.is_empty() {
            return;
        }
        let node = fit[self.rng.random_range(0..fit.len())];
        let at_once = self.options.bug.as_deref() == Some("new_leader_judges_at_once");
        let leader = &mut self.registry.leader;
        leader.node = Some(node);
        leader.incarnation = self.hosts[node].incarnation;
        leader.term += 1;
        leader.watch = Watch::begin(if at_once { 0 } else { self.now });
        self.note(|| format!("n{node} leads the registry"));
    }

    /// The leader's own entry is committed, unless it lost its term meanwhile.
    pub(crate) fn auto_reserve(&mut self, term: u64, command: &Command) {
        if self.registry.leader.term != term || self.leader().is_none() {
            return;
        }
        self.cover.hit("auto.reserve");
        let call = self.number();
        self.calls.insert(call, crate::registry::ReplyTo::Failover);
        self.command_arrives(command, call);
    }

    /// A renewal leaves a primary.
    pub(crate) fn renew_lease(&mut self, node: usize, epoch: Epoch, sent_ms: u64) {
        if self.registry.cut[node] {
            return;
        }
        let incarnation = self.hosts[node].incarnation;
        let late = if self.healing.is_none() && self.chance(10) { 1_200 } else { 30 };
        let ms = self.rng.random_range(1..late);
        self.after(ms, Event::Renewal { node, incarnation, epoch, sent_ms });
    }

    /// It reaches the leader; the answer may be late, too.
    pub(crate) fn renewal(&mut self, node: usize, incarnation: u64, epoch: Epoch, sent_ms: u64) {
        if self.leader().is_none() || self.registry.cut[node] {
            return;
        }
        let from: NodeId = self.hosts[node].id;
        let granted = self.registry.leader.watch.renew(&self.registry.state, region(), epoch, from, self.now);
        self.cover.hit(if granted { "lease.granted" } else { "lease.refused" });
        if !granted {
            return;
        }
        let late = if self.healing.is_none() && self.chance(10) { 1_200 } else { 30 };
        let ms = self.rng.random_range(1..late);
        let input = Box::new(Input::Leased { epoch, sent_ms });
        self.after(ms, Event::Input { node, incarnation, input });
    }
}
