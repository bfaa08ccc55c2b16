//! What a planner or coordinator knows: the registry's state and soft facts that only live nodes can tell.

use eport_model::{Epoch, JournalIndex, Lineage, MoveId, NodeId, Position, Timestamp};
use eport_registry::{State, TableId};
use std::collections::{BTreeMap, BTreeSet};

/// A replica's last known journal state, from heartbeats or from an answer to a question.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReplicaFact {
    /// Last fsynced record.
    pub durable: Position,
    /// Last applied record.
    pub applied: JournalIndex,
    /// Lineage its journal belongs to.
    pub lineage: Lineage,
    /// When it said so.
    pub at: Timestamp,
}

/// What a candidate reported after it promised an epoch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SealedFact {
    /// The promised epoch.
    pub epoch: Epoch,
    /// The failover it promised it for.
    pub move_id: MoveId,
    /// Its last fsynced record.
    pub last: Position,
    /// Its last applied record.
    pub applied: JournalIndex,
    /// The epoch it followed last, and how many milliseconds before its promise it sent the newest acknowledgement that the
    /// primary of that epoch has confirmed.
    pub heard: Option<(Epoch, u64)>,
    /// Its rows are whole: it may become primary. Without, its journal counts all the same.
    pub whole: bool,
}

impl SealedFact {
    /// True when the primary of `epoch`, if it waits `wait_ms` before it degrades, cannot have done so before this promise. A
    /// tenth of the wait is left for clocks that do not run alike.
    pub fn is_fresh(&self, epoch: Epoch, wait_ms: u64) -> bool {
        self.heard.is_some_and(|(followed, quiet)| followed == epoch && quiet < wait_ms - wait_ms / 10)
    }
}

/// Everything a decision rests on, for one platform.
#[derive(Clone, Debug)]
pub struct Observed<'a> {
    /// The registry as this node has applied it.
    pub state: &'a State,
    /// Now, by the clock of whoever decides.
    pub now: Timestamp,
    /// Nodes that are connected now, this node included.
    pub reachable: BTreeSet<NodeId>,
    /// Journal states of the platform's replicas.
    pub replicas: BTreeMap<NodeId, ReplicaFact>,
    /// Newest seal report of each candidate of the failover under way. A report may be older than what a copy has added
    /// since: when a candidate goes away while copies run, the caller forgets all reports and asks again, because the
    /// choice then falls on somebody who was copying.
    pub sealed: BTreeMap<NodeId, SealedFact>,
    /// Of backups of a primary that may degrade: the epoch followed and how many milliseconds ago the newest acknowledgement
    /// was sent that the primary has confirmed.
    pub heard: BTreeMap<NodeId, (Epoch, u64)>,
    /// Whether the primary answered when asked just now; `None` when nobody asked.
    pub primary_answers: Option<bool>,
    /// Bytes free where each node keeps its data, where known.
    pub free: BTreeMap<NodeId, u64>,
    /// Newest table version installed on each node, where known.
    pub installed: BTreeMap<NodeId, BTreeMap<TableId, u64>>,
}

impl<'a> Observed<'a> {
    /// The state with no soft facts yet.
    pub fn new(state: &'a State, now: Timestamp) -> Self {
        Self {
            state,
            now,
            reachable: BTreeSet::new(),
            replicas: BTreeMap::new(),
            sealed: BTreeMap::new(),
            heard: BTreeMap::new(),
            primary_answers: None,
            free: BTreeMap::new(),
            installed: BTreeMap::new(),
        }
    }
}
