//! What a seed decides before the run: the shape of the federation and which faults are likely.

use eport_registry::{DurabilityMode, FailoverMode, Isolation};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

/// Shape of one run.
#[derive(Clone, Debug)]
pub struct Profile {
    /// Nodes; the first is the first primary.
    pub nodes: usize,
    /// Site of each node.
    pub sites: Vec<usize>,
    /// Backups named at the start, by node.
    pub backups: Vec<usize>,
    /// First policy.
    pub durability: DurabilityMode,
    /// Its k.
    pub k: usize,
    /// What `auto_sync` does without the registry.
    pub isolation: Isolation,
    /// Who starts a failover.
    pub failover: FailoverMode,
    /// Acknowledged records may be lost by `async` or by an accepted loss.
    pub lossy: bool,
    /// How long faults last, in simulated milliseconds.
    pub chaos_ms: u64,
    /// Mean time between faults.
    pub fault_every_ms: u64,
    /// Mean time between an operator's commands.
    pub operator_every_ms: u64,
    /// Clients.
    pub clients: usize,
    /// Small limits, so that bounds and reads from disk are reached.
    pub tight: bool,
    /// Likelihood in percent of messages lost or doubled all the time.
    pub noise_percent: u32,
    /// Policies change during the run.
    pub policies: bool,
    /// Records that make a checkpoint cheaper.
    pub bootstrap_records: u64,
    /// Records that a slot keeps.
    pub slot_records: u64,
}

impl Profile {
    /// Draws a profile.
    pub(crate) fn draw(rng: &mut ChaCha8Rng) -> Self {
        let nodes = rng.random_range(5..=6);
        // Some nodes share a site with another: their acknowledgements count only under primaries elsewhere.
        let sites =
            (0..nodes).map(|n| if rng.random_range(0..6) == 0 { n / 2 } else { n }).collect::<Vec<_>>();
        let lossy = rng.random_range(0..10) < 3;
        let durability = match rng.random_range(0..10) {
            0..4 if lossy => DurabilityMode::Async,
            0..4 => DurabilityMode::AutoSync,
            _ => DurabilityMode::Sync,
        };
        let auto = durability != DurabilityMode::Async && rng.random_range(0..10) < 4;
        let failover = if auto { FailoverMode::Auto } else { FailoverMode::Manual };
        let degrade = durability == DurabilityMode::AutoSync && !auto && rng.random_range(0..10) < 7;
        let isolation = if degrade { Isolation::Degrade } else { Isolation::Block };
        let others: Vec<usize> = (1..nodes).filter(|n| sites[*n] != sites[0]).collect();
        let wanted = rng.random_range(2..=4usize);
        let mut backups: Vec<usize> = others.into_iter().take(wanted.max(2)).collect();
        if rng.random_range(0..4) == 0 {
            backups.extend((1..nodes).find(|n| sites[*n] == sites[0]));
        }
        let counted = backups.iter().filter(|n| sites[**n] != sites[0]).count();
        let k =
            if durability == DurabilityMode::Async { 0 } else { rng.random_range(1..=counted.clamp(1, 2)) };
        Self {
            nodes,
            sites,
            backups,
            durability,
            k,
            isolation,
            failover,
            lossy,
            // A primary goes on alone only after seconds: such runs are longer.
            chaos_ms: rng.random_range(4_000..12_000) * if degrade { 2 } else { 1 },
            fault_every_ms: rng.random_range(250..1_500),
            operator_every_ms: rng.random_range(700..3_000),
            clients: rng.random_range(2..=4),
            tight: rng.random_range(0..3) == 0,
            noise_percent: if rng.random_range(0..2) == 0 { 0 } else { rng.random_range(1..15) },
            policies: rng.random_range(0..2) == 0,
            bootstrap_records: rng.random_range(3..40),
            slot_records: if rng.random_range(0..3) == 0 { rng.random_range(5..60) } else { 1_000_000 },
        }
    }
}
