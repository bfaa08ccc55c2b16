//! Messages between replicas of one platform. The wire envelope adds lineage and platform and checks them.

use eport_model::{Epoch, EpochHistory, JournalIndex, MoveId, NodeId, Position, Record};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A message. `epoch` is the sender's: a receiver that knows a higher one answers `StepDown` and changes nothing (I12).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Message {
    /// A follower introduces itself to the source it wants to copy from.
    Hello(Hello),
    /// The source's answer.
    HelloAnswer {
        /// Epoch under which the source serves (its own, or the reserved one during recovery).
        epoch: Epoch,
        /// What the follower should do.
        answer: HelloAnswer,
    },
    /// Records in order, dense, directly after what the follower holds.
    Batch {
        /// Sender's epoch.
        epoch: Epoch,
        /// The records.
        records: Vec<Arc<Record>>,
        /// Last committed record at the source.
        committed: JournalIndex,
    },
    /// Source alive, nothing to send.
    Beat {
        /// Sender's epoch.
        epoch: Epoch,
        /// Last committed record at the source.
        committed: JournalIndex,
        /// Last record fsynced at the source.
        last: JournalIndex,
        /// Stamp of the newest acknowledgement received from this follower; 0 while the source could have answered `local` on
        /// its own. So the follower knows until when its source has not.
        heard: u64,
        /// Set when the source asks to be kept going without the registry: the source's clock, to be named in the answer.
        keep: u64,
    },
    /// Cumulative acknowledgement.
    Ack(Ack),
    /// "I know a higher epoch": the receiver stops at once and refreshes from the registry.
    StepDown {
        /// The higher epoch.
        epoch: Epoch,
    },
    /// Coordinator of a failover to a candidate: promise `epoch`, then report.
    Seal {
        /// The reserved epoch.
        epoch: Epoch,
        /// The failover.
        move_id: MoveId,
    },
    /// The candidate's report, sent only after the promise is fsynced.
    Sealed(SealReport),
    /// Coordinator to a laggard: copy from `source` until your journal ends at `to`.
    Copy {
        /// The reserved epoch.
        epoch: Epoch,
        /// The failover.
        move_id: MoveId,
        /// The candidate that holds the best position.
        source: NodeId,
        /// That position.
        to: Position,
    },
}

impl Message {
    /// The sender's epoch.
    pub fn epoch(&self) -> Epoch {
        match self {
            Message::Hello(hello) => hello.epoch,
            Message::Ack(ack) => ack.epoch,
            Message::Sealed(report) => report.epoch,
            Message::HelloAnswer { epoch, .. }
            | Message::Batch { epoch, .. }
            | Message::Beat { epoch, .. }
            | Message::StepDown { epoch }
            | Message::Seal { epoch, .. }
            | Message::Copy { epoch, .. } => *epoch,
        }
    }
}

/// A follower's introduction: never a bare index.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Hello {
    /// Highest epoch the follower knows.
    pub epoch: Epoch,
    /// Epochs of its journal.
    pub history: EpochHistory,
    /// Its last fsynced record.
    pub last: Position,
    /// Its last applied record.
    pub applied: JournalIndex,
}

/// What a source tells a follower.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum HelloAnswer {
    /// Records follow after `after`. The follower compares `after` with its own record there: another digest is an alarm.
    /// If it holds records beyond, they are a diverged tail: export, upload, rewind or truncate, hello again.
    Stream {
        /// Last record both hold.
        after: Position,
        /// The follower's last record as its hello named it. An answer to an earlier hello is ignored: it could name
        /// records as a tail that the source has shipped since.
        of: Position,
        /// The last record that the follower is known to have acknowledged: below it the follower has lost records.
        acked: JournalIndex,
    },
    /// Records are not shipped one by one: the follower takes a checkpoint of the source, then says hello again.
    Bootstrap {
        /// The follower's last record as its hello named it; the source holds it too.
        of: Position,
        /// As in `Stream`.
        acked: JournalIndex,
        /// Why.
        reason: BootstrapReason,
    },
    /// The follower holds less than it has acknowledged, and not nothing: an old copy of its data was put back. It is not
    /// served before its copy is taken away.
    RolledBack {
        /// The follower's last record as its hello named it.
        of: Position,
        /// What it has acknowledged.
        acked: JournalIndex,
    },
    /// The source does not serve followers now.
    Reject(RejectReason),
}

/// Why a follower is given a checkpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum BootstrapReason {
    /// A checkpoint costs less than the records that are missing: the follower is new, wiped or far behind.
    Cheaper,
    /// The follower's slot was lost: the records that it lacks are no longer kept for shipping.
    SlotLost,
    /// The records that it lacks are not stored here any more.
    NotKept,
}

/// Why a source does not serve.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum RejectReason {
    /// It is not the source for this epoch.
    NotSource,
    /// It does not list the follower.
    NotMember,
    /// The records asked for are no longer stored.
    TooOld,
}

/// How far a follower is. received ≥ durable ≥ applied.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Ack {
    /// Epoch under which the follower follows.
    pub epoch: Epoch,
    /// Last record received.
    pub received: JournalIndex,
    /// Last record fsynced.
    pub durable: Position,
    /// Last record applied.
    pub applied: Position,
    /// The follower's clock when it sent this.
    pub stamp: u64,
    /// The newest `keep` of the source that the follower agrees to; 0 for none.
    pub kept: u64,
    /// Its rows are those of the applied record: no rewind is under way.
    pub whole: bool,
}

/// What a sealed candidate holds.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SealReport {
    /// The promised epoch.
    pub epoch: Epoch,
    /// The failover.
    pub move_id: MoveId,
    /// Epochs of its journal.
    pub history: EpochHistory,
    /// Its last fsynced record.
    pub last: Position,
    /// Its last applied record.
    pub applied: JournalIndex,
    /// The epoch it followed last, and how long before the promise it sent the newest acknowledgement that its primary has
    /// confirmed; `None` when it knows of none, for example after a restart.
    pub heard: Option<(Epoch, u64)>,
    /// Its rows are those of the applied record: it may become primary.
    pub whole: bool,
}
