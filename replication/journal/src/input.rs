//! Everything a replica can be told.

use crate::{Acked, Message, PlacementView};
use eport_model::{
    Draft, Epoch, EpochHistory, JournalIndex, Lineage, MoveId, NodeId, Position, Record, Timestamp,
};
use std::sync::Arc;

/// Names a waiting caller; drawn by the shell, unique while it waits.
pub type Ticket = u64;

/// Bounds of one replica, all per platform.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Unacknowledged bytes shipped to one backup. Default 8 MiB.
    pub window_bytes: usize,
    /// Bytes in one shipped batch. Default 1 MiB.
    pub batch_bytes: usize,
    /// Records kept in memory behind the head, so that a live backup is served without reading the disk. Default 8 192.
    pub cache_records: usize,
    /// Bytes of those records at most. Default 16 MiB.
    pub cache_bytes: usize,
    /// Records appended but not yet committed; more are refused with `Outcome::Overloaded`. Default 65 536.
    pub in_flight_max: usize,
    /// A primary sends a beat at least this often. Default 200 ms.
    pub beat_ms: u64,
    /// A follower whose hello was not answered, or refused by a source that is not ready yet, repeats it after this time.
    /// Part of the write pause of a switchover: the new primary opens when its backups follow. Default 40 ms.
    pub hello_ms: u64,
    /// A backup that hears nothing for this long says hello again; a primary re-sends after it. Default 1 000 ms.
    pub silence_ms: u64,
    /// A switchover starts to hold requests when its target is at most this many records behind. Default 512.
    pub handover_lag: u64,
    /// The registry counts as out of reach when it has not answered a shrink for this long. Default 1 500 ms.
    pub registry_ms: u64,
    /// How long a lease lasts, from the instant its renewal was sent. Default 15 s.
    pub lease_ms: u64,
    /// How long a backup that keeps a primary going while the registry is away promises no other one. Longer than the lease.
    /// Default 18 s.
    pub grace_ms: u64,
    /// A backup that lacks at least so many records, and at least half of the journal, is given a checkpoint instead of them.
    /// Default 10 000: about what is streamed in the time that a checkpoint takes to be made.
    pub bootstrap_records: u64,
    /// Records that are kept for shipping to one backup at most; one that lacks more has lost its slot. Default 1 000 000.
    pub slot_records: u64,
    /// Bytes of such records. Default 8 GiB.
    pub slot_bytes: u64,
    /// How long the oldest record that a backup lacks may have waited for it. Default 24 h.
    pub slot_age_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            window_bytes: 8 << 20,
            batch_bytes: 1 << 20,
            cache_records: 8_192,
            cache_bytes: 16 << 20,
            in_flight_max: 65_536,
            beat_ms: 200,
            hello_ms: 40,
            silence_ms: 1_000,
            handover_lag: 512,
            registry_ms: 1_500,
            lease_ms: 15_000,
            grace_ms: 18_000,
            bootstrap_records: 10_000,
            slot_records: 1_000_000,
            slot_bytes: 8 << 30,
            slot_age_ms: 24 * 3_600_000,
        }
    }
}

/// What the store found on disk when the platform was opened.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Recovered {
    /// Epochs of the stored journal.
    pub history: EpochHistory,
    /// Last fsynced record.
    pub last: Position,
    /// Its record time.
    pub last_time: Timestamp,
    /// Highest epoch this node has promised to (sealed) or written under.
    pub sealed: Epoch,
    /// Last record whose effects are in the state rows.
    pub applied: Position,
    /// Set when the journal ends in a Barrier or SwitchProposed of this move: open only after a linearizable read.
    pub unresolved: Option<MoveId>,
    /// Set when the rows of a diverged tail are not put back yet.
    pub rewind: Option<Rewind>,
    /// Lineage of the last record; `None` for an empty journal.
    pub lineage: Option<Lineage>,
    /// What backups had acknowledged to this node as primary, as `Output::NoteAcked` last said.
    pub acked: Option<Acked>,
}

/// A rewind that is not over: rows that a diverged tail had written are, or will be, those of another position than the rest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rewind {
    /// The newest position as of which such rows were taken from the source; whole once exactly this record is applied.
    /// `None` while they are not all here.
    pub at: Option<Position>,
}

/// An event. Times are arguments of `Replica::step`.
#[derive(Clone, Debug)]
pub enum Input {
    /// Time has passed. The shell calls it at `Replica::deadline` and may call it at any time.
    Tick,
    /// The registry's view of the platform, as this node has applied it. `linearizable` is true when it comes from a read
    /// that was confirmed by a quorum after the replica asked for it.
    Placement {
        /// The view.
        view: PlacementView,
        /// Confirmed by a quorum.
        linearizable: bool,
    },
    /// Callers want records appended, in this order. Each is answered by `Output::Answer` with its ticket, exactly once. What
    /// comes in one event goes to storage as one write.
    Propose {
        /// The callers and the records to be.
        drafts: Vec<(Ticket, Draft)>,
    },
    /// A caller's answer depends on the record proposed under `on`: answered like that one, after it is committed or gone.
    /// When `on` is no longer in flight it is answered at once with the applied position.
    Depend {
        /// The caller.
        ticket: Ticket,
        /// The ticket it waits for.
        on: Ticket,
    },
    /// The records up to `last` are fsynced (answer to `Output::Append`).
    Appended {
        /// Last fsynced record.
        last: Position,
    },
    /// The append or seal failed; the replica stops writing and says so.
    StorageFailed,
    /// The promise not to follow epochs below `epoch` is fsynced (answer to `Output::PersistSeal`).
    SealPersisted {
        /// The promised epoch.
        epoch: Epoch,
    },
    /// State rows hold the effects of every record up to `through` (answer to `Output::Apply`).
    Applied {
        /// Last applied record.
        through: JournalIndex,
    },
    /// Stored records for a peer (answer to `Output::Read`). Empty when `from` is not stored.
    Records {
        /// Who needs them.
        peer: NodeId,
        /// First index asked for.
        from: JournalIndex,
        /// The records, dense from `from`.
        records: Vec<Arc<Record>>,
    },
    /// Position of a stored record (answer to `Output::Lookup`); `None` when it is not stored.
    Found {
        /// The index asked for.
        index: JournalIndex,
        /// Its position.
        position: Option<Position>,
    },
    /// The tail after `after` is exported and fsynced here (answer to `Output::ExportTail`).
    TailExported {
        /// Last record that stays.
        after: JournalIndex,
    },
    /// `to` has fsynced the exported tail after `after`, whole and verified (answer to `Output::UploadTail`).
    TailUploaded {
        /// Last record that stays.
        after: JournalIndex,
        /// Who holds it now.
        to: NodeId,
    },
    /// The rewind that was asked for has ended (answer to `Output::Rewind`): applied is at most what was asked. `at` is the
    /// newest position as of which rows were taken, all in the epoch asked for; `None` when not all could be taken.
    Rewound {
        /// That position.
        at: Option<Position>,
    },
    /// The journal now ends at `last` (answer to `Output::Truncate`).
    Truncated {
        /// Last record.
        last: Position,
        /// Its record time.
        last_time: Timestamp,
    },
    /// A checkpoint is here, whole and verified, in answer to `Output::Bootstrap` (`None`: it cannot be had, for example because
    /// the source gives none). It is not installed yet.
    CheckpointHere {
        /// Its last record.
        last: Option<Position>,
    },
    /// The checkpoint is installed: this is what a start would find now (answer to `Output::InstallCheckpoint`).
    Installed {
        /// Journal and positions.
        recovered: Box<Recovered>,
    },
    /// A message from another node, its sender proven by TLS.
    Message {
        /// The sender.
        from: NodeId,
        /// The message.
        message: Message,
    },
    /// The registry answered a step this replica asked for. `None`: outcome unknown (timed out).
    RegistryAnswered {
        /// The move of the step, or the default id for in-sync changes.
        move_id: MoveId,
        /// True when the command was applied, false when it was refused.
        applied: Option<bool>,
    },
    /// The registry's leader granted a renewal (answer to `Output::RenewLease`).
    Leased {
        /// The epoch it was asked for.
        epoch: Epoch,
        /// When the renewal was sent, as `Output::RenewLease` said.
        sent_ms: u64,
    },
}
