//! Everything a replica can ask of the world. Reading this list tells all it can do.

use crate::{Acked, Message, Ticket};
use eport_model::{Digest, Durability, Epoch, JournalIndex, MoveId, NodeId, Position, Record};
use std::sync::Arc;

/// An effect. The shell performs them in order; `Append`, `PersistSeal`, `Apply`, `Truncate` of one replica never overtake
/// each other.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Output {
    /// Write and fsync these records, then say `Input::Appended`.
    Append(Vec<Arc<Record>>),
    /// Fsync the promise not to follow epochs below `epoch`, then say `Input::SealPersisted`.
    PersistSeal {
        /// The promised epoch.
        epoch: Epoch,
    },
    /// Apply every stored record up to `through` in order, with the applied position in the same write, then say
    /// `Input::Applied`.
    Apply {
        /// Last record to apply.
        through: JournalIndex,
    },
    /// Send a message; it may be lost.
    Send {
        /// Receiver.
        to: NodeId,
        /// The message.
        message: Message,
    },
    /// Read stored records for a peer, then say `Input::Records`.
    Read {
        /// Who needs them.
        peer: NodeId,
        /// First index.
        from: JournalIndex,
        /// Bytes at most; at least one record is returned if stored.
        max_bytes: usize,
    },
    /// Look up a stored record's position, then say `Input::Found`.
    Lookup {
        /// The index.
        index: JournalIndex,
    },
    /// Export every record after `after` with manifest and digest, fsync it, then say `Input::TailExported`.
    ExportTail {
        /// Last record that stays.
        after: JournalIndex,
    },
    /// Hand the exported tail after `after` to `to`, repeated until it has fsynced it, then say `Input::TailUploaded`. Given up
    /// when another one is asked for, or `to` is no longer whom this platform follows.
    UploadTail {
        /// Last record that stays.
        after: JournalIndex,
        /// Who must hold it.
        to: NodeId,
    },
    /// Put the rows back that records after `after` have written: note durably that a rewind is under way and lower the applied
    /// position to `after` where it is beyond, in one write; read every row that the exported tails of this rewind name at
    /// `source`, which must be the open primary of `epoch` and have applied at least what is applied here; write them, note
    /// the newest position of the answers, then say `Input::Rewound`. Given up when `epoch` is over.
    Rewind {
        /// Last record that stays.
        after: Position,
        /// Whom to ask.
        source: NodeId,
        /// In which epoch.
        epoch: Epoch,
    },
    /// Forget the rewind whose rows were taken as of `at`: every row is whole. Changes nothing when another one has begun.
    EndRewind {
        /// That position.
        at: Position,
    },
    /// Take a checkpoint of the open primary `source` of `epoch` that holds every record after `from`, verify all of it, then say
    /// `Input::CheckpointHere`. Goes on where an earlier attempt ended; given up when another one is asked for or `epoch` is over.
    Bootstrap {
        /// Whom to ask.
        source: NodeId,
        /// In which epoch.
        epoch: Epoch,
        /// Last record here.
        from: Position,
    },
    /// Install the checkpoint that is here: journal, rows and positions at once for whoever looks, also after a crash; then say
    /// `Input::Installed`. Storage is at rest.
    InstallCheckpoint {
        /// The last record of the checkpoint.
        last: Position,
    },
    /// Note durably what backups have acknowledged, for `Recovered::acked`. A newer note replaces an older one; losing the newest
    /// few costs only evidence.
    NoteAcked(Acked),
    /// Remove every record after `after` (fsynced), then say `Input::Truncated`. Never before the export is held elsewhere.
    Truncate {
        /// Last record that stays.
        after: JournalIndex,
    },
    /// Answer a caller.
    Answer {
        /// The caller.
        ticket: Ticket,
        /// The answer.
        outcome: Outcome,
    },
    /// Ask the registry; answer with `Input::RegistryAnswered`, and with `Input::Placement` when the state changed.
    Registry(RegistryStep),
    /// Read the placement with a quorum, then say `Input::Placement { linearizable: true, .. }`. Retry while it fails.
    ReadPlacement,
    /// Ask the leader of the registry to renew the lease of `epoch`; a grant is told with `Input::Leased`. It may be lost.
    RenewLease {
        /// The epoch.
        epoch: Epoch,
        /// Now, on the monotonic clock: a granted lease counts from here.
        sent_ms: u64,
    },
    /// The role changed; the shell opens or closes the platform for requests.
    Role(Role),
    /// Something an operator must see.
    Alarm(Alarm),
}

/// What became of a proposal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Committed as promised and applied.
    Done {
        /// Where.
        position: Position,
        /// What the answer promises.
        durability: Durability,
    },
    /// A switchover is holding requests: nothing was appended; ask again when the role changes.
    Held,
    /// This node is not primary: nothing was appended.
    NotPrimary {
        /// Who is, as far as this node knows.
        primary: NodeId,
        /// In which epoch.
        epoch: Epoch,
    },
    /// Too many records wait; nothing was appended.
    Overloaded,
    /// The record was appended here, but this node lost its role before it was committed: it may or may not survive.
    Unknown,
    /// Storage failed; nothing more is written here.
    Failed,
}

/// A step the primary asks of the registry, always compare-and-set on the placement version it names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RegistryStep {
    /// Record a caught-up backup as in sync. It counts only after the registry says so.
    InSyncAdd {
        /// Placement version.
        version: u64,
        /// The backup.
        node: NodeId,
    },
    /// Record that a leaving backup no longer counts: the remaining set holds every acknowledged record.
    InSyncRemove {
        /// Placement version.
        version: u64,
        /// The backup.
        node: NodeId,
    },
    /// Record that these silent backups are no longer waited for (`auto_sync`); with none, only that this version was seen.
    Shrink {
        /// Placement version.
        version: u64,
        /// The backups.
        nodes: Vec<NodeId>,
        /// Whatever was answered alone is held by enough of the backups by now.
        whole: bool,
    },
    /// Record that every acknowledged record is held by `k` counted in-sync backups (after `k` was raised).
    Proven {
        /// Placement version.
        version: u64,
        /// Acknowledgements that are now proven.
        k: usize,
    },
    /// Commit a switchover: next epoch, new primary, its EpochStart follows `start`.
    CommitSwitch {
        /// Placement version.
        version: u64,
        /// The move.
        move_id: MoveId,
        /// Last record of the old epoch (its SwitchProposed).
        start: Position,
        /// Backups that hold `start`, without the target.
        in_sync: Vec<NodeId>,
    },
    /// End a switchover before its commit.
    AbortSwitch {
        /// Placement version.
        version: u64,
        /// The move.
        move_id: MoveId,
        /// Why, for people.
        reason: String,
    },
}

/// What this replica is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Role {
    /// Knows no placement that names it.
    Idle,
    /// Primary of `epoch` and open: its EpochStart is committed.
    Primary {
        /// The epoch.
        epoch: Epoch,
    },
    /// Primary of `epoch`, not open: inherited records wait for EpochStart, a restart waits for a linearizable read, or the
    /// lease has run out.
    Opening {
        /// The epoch.
        epoch: Epoch,
    },
    /// Primary that holds requests for a switchover.
    Handover {
        /// The epoch that ends.
        epoch: Epoch,
        /// The target.
        to: NodeId,
    },
    /// Follows `primary`.
    Backup {
        /// The epoch followed.
        epoch: Epoch,
        /// The primary.
        primary: NodeId,
    },
    /// Sealed for a failover that has no primary yet.
    Sealed {
        /// The promised epoch.
        epoch: Epoch,
    },
    /// Its journal is shorter than its epoch began, its rows are not whole, or storage failed: follows nobody.
    Fenced {
        /// The epoch that fenced it.
        epoch: Epoch,
    },
}

/// Something an operator must see.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Alarm {
    /// Same place, other digest: never repaired automatically.
    Corruption {
        /// The record.
        index: JournalIndex,
        /// Our digest.
        ours: Digest,
        /// The peer's.
        theirs: Digest,
        /// The peer.
        peer: NodeId,
    },
    /// A received record does not verify or chain.
    BadRecord {
        /// The record.
        index: JournalIndex,
        /// The sender.
        peer: NodeId,
    },
    /// The journal is shorter than the registry says its epoch started at: an old backup was restored here.
    Behind {
        /// What the registry says.
        start: Position,
        /// What is here.
        last: Position,
    },
    /// This node holds less than it is known to have acknowledged, or as primary less than its own backups: an old copy of its
    /// data was put back here. It counts for nothing until that copy is taken away and it is seeded anew.
    RolledBack {
        /// What it had.
        acked: JournalIndex,
        /// What is here.
        last: Position,
        /// Who knows.
        peer: NodeId,
    },
    /// A backup fell so far behind that what it lacks is no longer kept for shipping; it takes a checkpoint by itself.
    SlotLost {
        /// The backup.
        backup: NodeId,
        /// The last record it has acknowledged.
        at: JournalIndex,
    },
    /// The registry names this node primary, but rows of a diverged tail are not put back yet.
    NotWhole {
        /// What has to be applied first, if the rows were taken.
        at: Option<Position>,
    },
    /// The primary goes on alone: its backups are silent and the registry cannot be reached.
    Degraded {
        /// The record that says so.
        index: JournalIndex,
    },
    /// A switchover could not go on.
    SwitchStalled {
        /// The move.
        move_id: MoveId,
        /// Why.
        reason: &'static str,
    },
}
