//! Leases and automatic failover on this node: asks the leader for renewals; as the leader grants them and judges.
//!
//! Always: a leader grants and judges only in a term whose log it has applied to its end, and only while a majority has
//! answered of late; its memory of renewals belongs to that term. What is decided is `eport_moves::Watch`'s.

use crate::node::Agent;
use bytes::Bytes;
use eport_consensus::Registry;
use eport_model::{Epoch, MoveId, NodeId, RegionCode, codec};
use eport_moves::{AutoLimits, Observed, Obstacle, Verdict, Watch};
use eport_registry::FailoverMode;
use eport_transport::Transport;
use eport_wire::Purpose;
use rand::RngCore;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tracing::{info, warn};

/// The leader looks at every platform this often.
const TICK: Duration = Duration::from_millis(100);
/// A renewal is asked for once; the replica repeats itself long before the lease is over.
const RENEW_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a reservation may take.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a new leader waits for its own log to be applied before it tries again.
const CATCH_UP: Duration = Duration::from_secs(2);

/// A primary asks to renew the lease of its epoch.
#[derive(Debug, Serialize, Deserialize)]
struct Renewal {
    region: RegionCode,
    epoch: Epoch,
}

/// Where leases are granted while this node leads the registry.
pub(crate) struct Desk {
    /// The term and its memory.
    open: Mutex<Option<(u64, Watch)>>,
    start: Instant,
}

impl Default for Desk {
    fn default() -> Self {
        Self { open: Mutex::new(None), start: Instant::now() }
    }
}

impl Desk {
    fn lock(&self) -> MutexGuard<'_, Option<(u64, Watch)>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn is_open(&self, term: u64) -> bool {
        self.lock().as_ref().is_some_and(|(known, _)| *known == term)
    }

    /// Grants a renewal, if this node leads and knows that it does.
    fn grant(&self, registry: &Registry, from: NodeId, region: RegionCode, epoch: Epoch) -> bool {
        if !leads(registry) {
            return false;
        }
        let (term, now) = (registry.term(), self.now_ms());
        let view = registry.state();
        match self.lock().as_mut() {
            Some((known, watch)) if *known == term => watch.renew(&view.state, region, epoch, from, now),
            _ => false,
        }
    }

    /// Asks whoever leads.
    pub(crate) async fn renew(
        &self,
        registry: &Registry,
        transport: &Transport,
        me: NodeId,
        region: RegionCode,
        epoch: Epoch,
    ) -> bool {
        let Some(leader) = registry.leader() else { return false };
        if leader == me {
            return self.grant(registry, me, region, epoch);
        }
        let payload = Bytes::from(codec::encode(&Renewal { region, epoch }));
        let answer = transport.request(leader, Purpose::Control, payload, RENEW_TIMEOUT).await;
        answer.is_ok_and(|bytes| matches!(codec::decode::<bool>(&bytes), Ok(true)))
    }

    /// Answers a renewal of another node.
    pub(crate) fn serve(&self, registry: &Registry, from: NodeId, payload: &[u8]) -> Bytes {
        let asked = codec::decode_with_limit::<Renewal>(payload, Purpose::Control.payload_len_max());
        let granted = asked.is_ok_and(|r| self.grant(registry, from, r.region, r.epoch));
        Bytes::from(codec::encode(&granted))
    }
}

/// True while this node leads and a majority has answered of late: another leader cannot have been elected yet.
fn leads(registry: &Registry) -> bool {
    let fresh = registry.profile().election_min().as_millis();
    registry.is_leader() && registry.millis_since_quorum().is_some_and(|ms| u128::from(ms) < fresh)
}

/// Judges primaries while this node leads. Runs until the node stops.
pub(crate) async fn follow(agent: Agent) {
    let mut every = tokio::time::interval(TICK);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let limits = AutoLimits::for_grace(agent.grace_ms());
    let mut told = BTreeMap::new();
    loop {
        every.tick().await;
        let registry = agent.registry();
        if !registry.is_leader() {
            *agent.desk().lock() = None;
            told.clear();
            continue;
        }
        let term = registry.term();
        if !agent.desk().is_open(term) {
            // What the leader before has committed must be applied here before anything is granted on it.
            let applied = registry.linearizable(CATCH_UP).await.is_ok();
            if applied && registry.is_leader() && registry.term() == term {
                *agent.desk().lock() = Some((term, Watch::begin(agent.desk().now_ms())));
            }
            continue;
        }
        if leads(registry) {
            judge(&agent, &limits, &mut told).await;
        }
    }
}

async fn judge(agent: &Agent, limits: &AutoLimits, told: &mut BTreeMap<RegionCode, Obstacle>) {
    let view = agent.registry().state();
    let auto = view.state.placements().filter(|p| p.policy.failover == FailoverMode::Auto);
    let regions: Vec<RegionCode> = auto.map(|p| p.region).collect();
    for region in regions {
        // Each reservation changes what is right for the next one.
        let view = agent.registry().state();
        let mut observed = Observed::new(&view.state, agent.clock().wall());
        observed.reachable = agent.transport().connected().borrow().clone();
        observed.reachable.insert(agent.me());
        let mut id = [0u8; 16];
        rand::rng().fill_bytes(&mut id);
        let verdict = {
            let now = agent.desk().now_ms();
            let mut desk = agent.desk().lock();
            let Some((_, watch)) = desk.as_mut() else { return };
            watch.decide(&observed, region, MoveId(id), limits, now)
        };
        match verdict {
            Verdict::Fine => drop(told.remove(&region)),
            Verdict::Wait(obstacle) => {
                if told.insert(region, obstacle) != Some(obstacle) {
                    warn!(%region, ?obstacle, "the primary is suspected and not replaced");
                }
            }
            Verdict::Reserve { reason, op } => {
                warn!(%region, %reason, "automatic failover");
                let command = agent.command(&reason, *op);
                match agent.registry().propose(command, COMMAND_TIMEOUT).await {
                    Ok(outcome) => info!(%region, ?outcome, "automatic failover reserved"),
                    Err(error) => warn!(%region, %error, "automatic failover not reserved"),
                }
            }
        }
    }
}
