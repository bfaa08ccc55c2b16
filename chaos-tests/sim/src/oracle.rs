//! What an all-seeing observer remembers of a run, for the invariants.

use eport_model::{Digest, Durability, Epoch, JournalIndex, NodeId, Position};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// An answer that promised something.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ack {
    pub(crate) position: Position,
    pub(crate) durability: Durability,
    /// Epoch in which the answer was given.
    pub(crate) epoch: Epoch,
    /// When.
    pub(crate) at: u64,
}

/// A record that was on somebody's disk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    pub(crate) digest: Digest,
    /// It was fsynced on the primary of its epoch.
    pub(crate) on_author: bool,
}

#[derive(Default)]
pub(crate) struct Oracle {
    /// Every answer that promised something, in order.
    pub(crate) acks: Vec<Ack>,
    /// Who acknowledged in each epoch.
    pub(crate) ackers: BTreeMap<Epoch, NodeId>,
    /// Every record that was ever fsynced anywhere.
    pub(crate) payloads: HashMap<(Epoch, JournalIndex), Known>,
    /// Digests of exported records.
    pub(crate) exported: HashSet<Digest>,
    /// Digests of exported records that another node has fsynced.
    pub(crate) uploaded: HashSet<Digest>,
    /// What nodes hold to be committed, while nothing may be lost.
    pub(crate) committed: Vec<Digest>,
    /// Keys that clients sent.
    pub(crate) keys: HashSet<u64>,
    /// Epochs that a failover committed although acknowledged records might be missing.
    pub(crate) lossy: BTreeSet<Epoch>,
    /// Some primary went on alone by a record of its own.
    pub(crate) degraded: bool,
    /// Epochs in which the registry has recorded that answers need no backup.
    pub(crate) alone: BTreeSet<Epoch>,
    /// When each promise became durable.
    pub(crate) seals: BTreeMap<(Epoch, NodeId), u64>,
    /// When the primary of each epoch first served.
    pub(crate) opened: BTreeMap<Epoch, u64>,
    /// Epochs that an automatic failover made.
    pub(crate) automatic: BTreeSet<Epoch>,
    /// Some policy was `async` at some time.
    pub(crate) was_async: bool,
    /// Highest version and epochs seen in the registry.
    pub(crate) placement: (u64, Epoch, Epoch),
    /// Seal quorum and counted in-sync backups as they were while the newest failover was reserved.
    pub(crate) quorum_before: usize,
    pub(crate) counted_before: BTreeSet<NodeId>,
    /// Primary of each committed epoch.
    pub(crate) primaries: BTreeMap<Epoch, NodeId>,
}

impl Oracle {
    /// True while no rule of the game allows an acknowledged record to vanish from the platform's history.
    pub(crate) fn is_lossless(&self) -> bool {
        self.lossy.is_empty() && !self.was_async && !self.degraded
    }
}
