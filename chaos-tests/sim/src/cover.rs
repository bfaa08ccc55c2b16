//! What a run has reached: faults, transitions, answers. A required name at zero means that the run proved nothing about it.

use std::collections::{BTreeMap, BTreeSet};

/// Names that every long run must have reached at least once.
pub const REQUIRED: &[&str] = &[
    "alarm.switch_stalled",
    "answer.depend",
    "answer.done_local",
    "answer.done_replicated",
    "answer.held",
    "answer.not_primary",
    "answer.overloaded",
    "answer.unknown",
    "auto.backoff",
    "auto.commit",
    "auto.leader_lost",
    "auto.no_proof",
    "auto.reserve",
    "auto.unaware_primary",
    "client.timeout",
    "disk.lookup",
    "disk.read",
    "fault.asymmetric",
    "fault.crash",
    "fault.cut_off",
    "fault.isolate",
    "fault.lost_disk_and_primary",
    "fault.lost_reply",
    "fault.net_dup",
    "fault.net_loss",
    "fault.old_copy",
    "fault.pause",
    "fault.power_loss",
    "fault.registry_cut",
    "fault.registry_outage",
    "fault.slow_disk",
    "fault.split",
    "fault.storage",
    "fault.torn_record",
    "fault.unsynced_lost",
    "fault.wipe",
    "failover.commit",
    "failover.at_once",
    "failover.fail",
    "failover.joined",
    "failover.lossy",
    "failover.old_primary_alive",
    "failover.two_operators",
    "lease.granted",
    "lease.kept",
    "lease.lapsed_or_restarted",
    "lease.refused",
    "message.lower_epoch",
    "message.step_down",
    "move.copy",
    "move.seal",
    "policy.change",
    "record.barrier",
    "record.degrade",
    "record.epoch_start",
    "record.noop",
    "record.switch_proposed",
    "registry.late_command",
    "registry.refused",
    "restart.primary",
    "restart.unresolved",
    "role.backup",
    "role.fenced",
    "role.handover",
    "role.opening",
    "role.primary",
    "role.sealed",
    "seal.persisted",
    "step.in_sync_add",
    "step.in_sync_remove",
    "step.proven",
    "step.seen",
    "step.shrink",
    "switch.abort",
    "switch.commit",
    "switch.proposer_dies",
    "switch.unknown",
    "rewind.again",
    "rewind.given_up",
    "rewind.rows",
    "rewind.whole",
    "tail.exported",
    "tail.rewound",
    "tail.truncated",
    "tail.uploaded",
];

/// Counts by name.
#[derive(Clone, Debug, Default)]
pub struct Coverage(BTreeMap<&'static str, u64>, BTreeSet<(String, &'static str)>);

impl Coverage {
    /// Counts one.
    pub fn hit(&mut self, name: &'static str) {
        *self.0.entry(name).or_default() += 1;
    }

    /// Notes that a fault has hit a step.
    pub fn pair(&mut self, step: String, fault: &'static str) {
        self.1.insert((step, fault));
    }

    /// Which faults have hit which steps.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &'static str)> + '_ {
        self.1.iter().map(|(step, fault)| (step.as_str(), *fault))
    }

    /// Adds another run's counts.
    pub fn add(&mut self, other: &Coverage) {
        for (name, count) in &other.0 {
            *self.0.entry(name).or_default() += count;
        }
        self.1.extend(other.1.iter().cloned());
    }

    /// All counts by name.
    pub fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.0.iter().map(|(n, c)| (*n, *c))
    }

    /// How often `name` was reached.
    pub fn count(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or(0)
    }

    /// Required names that were never reached.
    pub fn missing(&self) -> Vec<&'static str> {
        REQUIRED.iter().copied().filter(|n| self.count(n) == 0).collect()
    }
}
