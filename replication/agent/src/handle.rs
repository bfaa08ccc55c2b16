//! What the business side holds of a platform: it proposes drafts, reads state rows and watches the status.

use crate::platform::Event;
use eport_journal::{Outcome, Role, Ticket};
use eport_model::{Digest, Draft, Epoch, JournalIndex, NodeId, Position, RegionCode};
use eport_registry::Placement;
use eport_store::PlatformStore;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use tokio::sync::{mpsc, oneshot, watch};

/// A platform's replica on this node, seen from outside its task. Cheap to clone.
#[derive(Clone)]
pub struct PlatformHandle {
    inner: Arc<Inner>,
}

struct Inner {
    region: RegionCode,
    store: PlatformStore,
    events: mpsc::Sender<Event>,
    status: watch::Receiver<PlatformStatus>,
    tickets: AtomicU64,
    number_cursor: Arc<AtomicU64>,
}

/// A proposal under way.
#[derive(Debug)]
pub struct Pending {
    /// Its ticket, for `depend`.
    pub ticket: Ticket,
    /// What becomes of it. A closed channel means the node is stopping: outcome unknown.
    pub outcome: oneshot::Receiver<Outcome>,
}

/// The platform's queue is full; nothing was proposed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the queue of platform {0} is full")]
pub struct QueueFull(pub RegionCode);

/// Digest of all state rows at one applied index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateDigest {
    /// The applied index: that of a checksum mark.
    pub index: JournalIndex,
    /// SHA-256 over the rows in key order.
    pub digest: Digest,
}

/// A platform's replica as its task sees it.
#[derive(Debug, Clone)]
pub struct PlatformStatus {
    /// What this replica is.
    pub role: Role,
    /// Rises with every change of role. A proposal that names the one it was decided under is held when it is no longer current.
    pub generation: u64,
    /// The placement it works under.
    pub placement: Option<Arc<Placement>>,
    /// First number and length of each number block of the placement's epoch, oldest first.
    pub numbers: Vec<(u64, u64)>,
    /// Last fsynced record.
    pub last: Position,
    /// Last committed record.
    pub committed: JournalIndex,
    /// Last applied record.
    pub applied: JournalIndex,
    /// As primary: how far each backup is.
    pub backups: Vec<crate::BackupSoft>,
    /// As primary: what as many in-sync backups on other sites as an answer needs have fsynced, at least one; `None` where no
    /// backup stands on another site that is in sync or shall become so.
    pub elsewhere: Option<JournalIndex>,
    /// As primary: `replicated`, `local` or `blocked`.
    pub durability_now: &'static str,
    /// The newest alarm and its code.
    pub alarm: Option<(eport_model::Code, String)>,
    /// The checkpoint that this replica takes, if it takes one.
    pub bootstrap: Option<crate::BootstrapSoft>,
    /// The first record that shipping may still need.
    pub shipping_floor: JournalIndex,
    /// Digest at the newest checksum mark applied.
    pub state_digest: Option<StateDigest>,
    /// What comparisons at marks have shown.
    pub marks: crate::MarkSoft,
    /// As primary of a platform with automatic failover: when its lease ends.
    pub lease_until: Option<Instant>,
    /// As backup: the epoch followed and how many milliseconds ago its primary last confirmed to have heard it.
    pub heard: Option<(Epoch, u64)>,
}

impl PlatformStatus {
    /// The primary as far as this node knows, with its epoch.
    pub fn primary(&self) -> Option<(NodeId, Epoch)> {
        self.placement.as_ref().map(|p| (p.primary, p.epoch))
    }

    /// True when this replica takes writes. The clock is read here: a process that was paused may wake up after its lease.
    pub fn is_open(&self) -> bool {
        let leased = self.lease_until.is_none_or(|until| Instant::now() < until);
        matches!(self.role, Role::Primary { .. }) && leased
    }
}

impl PlatformHandle {
    pub(crate) fn new(
        region: RegionCode,
        store: PlatformStore,
        events: mpsc::Sender<Event>,
        status: watch::Receiver<PlatformStatus>,
        number_cursor: Arc<AtomicU64>,
    ) -> Self {
        let tickets = AtomicU64::new(1);
        Self { inner: Arc::new(Inner { region, store, events, status, tickets, number_cursor }) }
    }

    /// Says which number is the next to be given out, so that the agent asks the registry for another block in time.
    pub fn note_next_number(&self, next: u64) {
        self.inner.number_cursor.store(next, Ordering::Relaxed);
    }

    /// The platform.
    pub fn region(&self) -> RegionCode {
        self.inner.region
    }

    /// Its store, for reads.
    pub fn store(&self) -> &PlatformStore {
        &self.inner.store
    }

    /// Watches the status.
    pub fn status(&self) -> watch::Receiver<PlatformStatus> {
        self.inner.status.clone()
    }

    /// Proposes drafts in order. Each is answered exactly once. With a generation, drafts that were decided under another role
    /// are answered `Held` and nothing is appended: what they were decided on may have changed since.
    pub fn propose(&self, drafts: Vec<Draft>, generation: Option<u64>) -> Result<Vec<Pending>, QueueFull> {
        let permit = self.inner.events.try_reserve().map_err(|_| QueueFull(self.inner.region))?;
        let mut batch = Vec::with_capacity(drafts.len());
        let mut pending = Vec::with_capacity(drafts.len());
        for draft in drafts {
            let ticket = self.inner.tickets.fetch_add(1, Ordering::Relaxed);
            let (tx, outcome) = oneshot::channel();
            batch.push((ticket, draft, tx));
            pending.push(Pending { ticket, outcome });
        }
        permit.send(Event::Propose { batch, generation });
        Ok(pending)
    }

    /// An answer that depends on the proposal `on`: known when that one is committed or gone.
    pub fn depend(&self, on: Ticket) -> Result<oneshot::Receiver<Outcome>, QueueFull> {
        let permit = self.inner.events.try_reserve().map_err(|_| QueueFull(self.inner.region))?;
        let ticket = self.inner.tickets.fetch_add(1, Ordering::Relaxed);
        let (tx, outcome) = oneshot::channel();
        permit.send(Event::Depend { ticket, on, reply: tx });
        Ok(outcome)
    }
}
