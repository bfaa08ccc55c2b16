//! One replica of one platform's journal: its state, the dispatch of events, and what others may read of it.
//!
//! At most one of `primary` and `follower` is set. `ship` is set while others copy from here: always on a primary, and on a
//! sealed candidate from the first hello. Every step ends with the same three things in the same order: work that became
//! possible, one acknowledgement, the role if it changed.

use crate::follower::Follower;
use crate::log::Log;
use crate::opening::Fence;
use crate::primary::Primary;
use crate::shipping::Shipping;
use crate::{Acked, Input, Limits, Message, Output, PlacementView, Recovered, Rewind, Role, Slot, ViewState};
use eport_model::{Epoch, JournalIndex, Lineage, MoveId, NodeId, Position, RegionCode, Timestamp};

/// The time of an event: a clock that never jumps for intervals, and the civil clock for records and deadlines.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Now {
    /// Monotonic milliseconds from any start.
    pub mono_ms: u64,
    /// Wall clock.
    pub wall: Timestamp,
}

/// Why a stored record's position is looked up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Wanted {
    /// To answer a follower's hello.
    Greeting { peer: NodeId, hello: crate::Hello },
    /// To compare with what the source says.
    Compare,
    /// To know the digest of the applied record.
    Applied,
    /// To compare with the start of an epoch that this node is to open.
    Start,
    /// To compare with the position of the rows that a rewind took.
    Rewound,
}

/// Primary, backup or candidate of one platform on one node.
#[derive(Debug)]
pub struct Replica {
    pub(crate) me: NodeId,
    pub(crate) platform: RegionCode,
    pub(crate) lineage: Lineage,
    pub(crate) limits: Limits,
    pub(crate) now: Now,
    pub(crate) out: Vec<Output>,
    pub(crate) log: Log,
    pub(crate) view: Option<PlacementView>,
    /// Highest epoch another node has named; a linearizable read may lower it again.
    pub(crate) heard: Epoch,
    /// Set while a linearizable read is wanted: what was heard when it was asked for.
    pub(crate) reading: Option<Epoch>,
    /// Highest epoch promised on disk.
    pub(crate) sealed: Epoch,
    pub(crate) sealing: Epoch,
    /// Coordinators that wait for a report.
    pub(crate) reports: Vec<(NodeId, Epoch, MoveId)>,
    /// The journal ends in a Barrier or SwitchProposed of this move.
    pub(crate) unresolved: Option<MoveId>,
    /// The newest move this node has seen, and the epoch it makes.
    pub(crate) last_move: (Epoch, MoveId),
    pub(crate) fence: Option<Fence>,
    pub(crate) primary: Option<Primary>,
    pub(crate) follower: Option<Follower>,
    pub(crate) ship: Option<Shipping>,
    pub(crate) wanted: Vec<(JournalIndex, Wanted)>,
    /// Storage removes records or puts rows back: nothing else is asked of it.
    pub(crate) truncating: bool,
    /// The rewind that storage performs.
    pub(crate) rewinding: Option<Position>,
    /// Rows of a diverged tail are not whole yet.
    pub(crate) rewind: Option<Rewind>,
    /// This node has acknowledged records up to here, others say; below it, it says nothing in a failover.
    pub(crate) owed: JournalIndex,
    /// What backups acknowledged to an earlier life of this primary, and what was noted last.
    pub(crate) acked: Acked,
    /// A new primary exports what lies beyond the start of its epoch.
    pub(crate) trimming: Option<Position>,
    pub(crate) ack_due: bool,
    /// First stamp of this life of the process and the monotonic instant it stands for.
    pub(crate) life: (u64, u64),
    /// The epoch followed last and when the newest acknowledgement was sent that its primary has confirmed.
    pub(crate) confirmed: Option<(Epoch, u64)>,
    /// The same when the newest promise became durable: how long before it that was.
    pub(crate) heard_before_seal: Option<(Epoch, u64)>,
    /// No other primary is promised before this instant.
    pub(crate) promised_until: u64,
    role: Role,
    #[cfg(feature = "planted-bugs")]
    pub(crate) bug: Option<crate::Bug>,
}

/// How far a backup is, as its primary knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Progress {
    /// The backup.
    pub node: NodeId,
    /// It is being shipped to.
    pub streaming: bool,
    /// Last record received.
    pub received: JournalIndex,
    /// Last record fsynced, proven by its digest.
    pub durable: Position,
    /// Last record applied.
    pub applied: Position,
    /// Monotonic milliseconds when it was last heard; 0 for never.
    pub heard_ms: u64,
    /// What is kept for shipping to it.
    pub slot: Slot,
}

impl Replica {
    /// Opens a replica over what storage found. It does nothing by itself until a placement arrives.
    pub fn open(
        me: NodeId,
        platform: RegionCode,
        lineage: Lineage,
        limits: Limits,
        recovered: Recovered,
        now_ms: u64,
    ) -> (Replica, Vec<Output>) {
        let log = Log::new(&recovered, &limits);
        let promised_until = now_ms + limits.grace_ms;
        let acked = recovered.acked.clone().unwrap_or_default();
        let mut replica = Replica {
            me,
            platform,
            lineage,
            limits,
            now: Now { mono_ms: now_ms, wall: recovered.last_time },
            out: Vec::new(),
            log,
            view: None,
            heard: Epoch::NONE,
            reading: None,
            sealed: recovered.sealed,
            sealing: recovered.sealed,
            reports: Vec::new(),
            unresolved: recovered.unresolved,
            last_move: (Epoch::NONE, MoveId::default()),
            fence: None,
            primary: None,
            follower: None,
            ship: None,
            wanted: Vec::new(),
            truncating: false,
            rewinding: None,
            rewind: recovered.rewind,
            owed: JournalIndex::ZERO,
            acked,
            trimming: None,
            ack_due: false,
            life: (0, 0),
            confirmed: None,
            heard_before_seal: None,
            promised_until,
            role: Role::Idle,
            #[cfg(feature = "planted-bugs")]
            bug: None,
        };
        replica.out.push(Output::Role(Role::Idle));
        let out = std::mem::take(&mut replica.out);
        (replica, out)
    }

    /// Plants a bug, for tests that the simulator finds it.
    #[cfg(feature = "planted-bugs")]
    pub fn plant(&mut self, bug: crate::Bug) {
        self.bug = Some(bug);
    }

    /// Takes one event and returns what is to be done, in order.
    pub fn step(&mut self, now: Now, input: Input) -> Vec<Output> {
        // A monotonic clock that seems to go back is read as standing still.
        self.now = Now { mono_ms: now.mono_ms.max(self.now.mono_ms), wall: now.wall };
        if self.life.0 == 0 {
            self.life = (u64::try_from(now.wall.as_millis()).unwrap_or(0).max(1), self.now.mono_ms);
        }
        match input {
            Input::Tick => {}
            Input::Placement { view, linearizable } => self.on_placement(view, linearizable),
            Input::Propose { drafts } => {
                drafts.into_iter().for_each(|(ticket, draft)| self.on_propose(ticket, draft));
            }
            Input::Depend { ticket, on } => self.on_depend(ticket, on),
            Input::Appended { last } => self.on_appended(last),
            Input::StorageFailed => self.on_storage_failed(),
            Input::SealPersisted { epoch } => self.on_seal_persisted(epoch),
            Input::Applied { through } => self.on_applied(through),
            Input::Records { peer, from, records } => self.on_records(peer, from, records),
            Input::Found { index, position } => self.on_found(index, position),
            Input::TailExported { after } => self.on_tail_exported(after),
            Input::TailUploaded { after, to } => self.on_tail_uploaded(after, to),
            Input::Rewound { at } => self.on_rewound(at),
            Input::Truncated { last, last_time } => self.on_truncated(last, last_time),
            Input::CheckpointHere { last } => self.on_checkpoint_here(last),
            Input::Installed { recovered } => self.on_installed(&recovered),
            Input::Message { from, message } => self.on_message(from, message),
            Input::RegistryAnswered { move_id, applied } => self.on_registry_answered(move_id, applied),
            Input::Leased { epoch, sent_ms } => self.on_leased(epoch, sent_ms),
        }
        self.settle();
        std::mem::take(&mut self.out)
    }

    /// When to call `step` with `Input::Tick` at the latest, in monotonic milliseconds.
    pub fn deadline(&self) -> Option<u64> {
        if self.fence.is_some() {
            return None;
        }
        let ship = self.ship.as_ref().map(|s| s.next_beat);
        let follow = self.follower.as_ref().and_then(|f| f.deadline(&self.limits));
        let handover = self.handover_deadline();
        [ship, follow, handover, self.lease_deadline()].into_iter().flatten().min()
    }

    /// What every step ends with.
    fn settle(&mut self) {
        self.primary_work();
        self.shipping_work();
        self.rewind_work();
        self.follower_work();
        self.apply_committed();
        if std::mem::take(&mut self.ack_due) {
            self.send_ack();
        }
        let role = self.current_role();
        if role != self.role {
            self.role = role.clone();
            self.out.push(Output::Role(role));
        }
    }

    fn on_message(&mut self, from: NodeId, message: Message) {
        // A coordinator may run on a candidate's own node; nothing else is said to oneself.
        let own = from == self.me && !matches!(message, Message::Seal { .. } | Message::Copy { .. });
        if own || matches!(self.fence, Some(Fence { permanent: true, .. })) {
            return;
        }
        let epoch = message.epoch();
        let floor = self.floor();
        if epoch < floor && !self.has(crate::Bug::AcceptsLowerEpochs) {
            // I12: it changes nothing here; the sender learns that its time is over. A StepDown is never answered.
            if !matches!(message, Message::StepDown { .. } | Message::Sealed(_)) {
                self.send(from, Message::StepDown { epoch: floor });
            }
            return;
        }
        let seal = matches!(message, Message::Seal { .. });
        let ignored = matches!(message, Message::StepDown { .. }) && self.has(crate::Bug::StepDownIgnored);
        // A promise that cannot be made yet leaves the old primary in place; the registry, when known, decides.
        let waits = seal && self.keeps_another();
        let unsealed = seal && self.has(crate::Bug::NoSeal);
        if epoch > floor && !unsealed && !ignored && !waits {
            self.hear(epoch);
        }
        match message {
            Message::Hello(hello) => self.on_hello(from, hello),
            Message::HelloAnswer { epoch, answer } => self.on_hello_answer(from, epoch, answer),
            Message::Batch { epoch, records, committed } => self.on_batch(from, epoch, records, committed),
            Message::Beat { epoch, committed, last, heard, keep } => {
                self.on_beat(from, epoch, (committed, last), (heard, keep));
            }
            Message::Ack(ack) => self.on_ack(from, ack),
            Message::Seal { epoch, move_id } => self.on_seal(from, epoch, move_id),
            Message::Copy { epoch, move_id, source, to } => self.on_copy(from, epoch, move_id, source, to),
            // Hearing the epoch was all there is to a StepDown; reports are for the coordinator, not for a replica.
            Message::StepDown { .. } | Message::Sealed(_) => {}
        }
    }

    fn on_appended(&mut self, last: Position) {
        if !self.log.confirm(last) {
            return;
        }
        self.ack_due = self.follower.is_some();
        if self.log.settled() {
            self.copy_reached();
            self.flush_reports();
            self.reconsider(false);
        }
    }

    fn on_applied(&mut self, through: JournalIndex) {
        if !self.log.note_applied(through) {
            self.look_up(through, Wanted::Applied);
        }
        self.ack_due = self.follower.is_some();
        self.answer_applied();
    }

    fn on_found(&mut self, index: JournalIndex, position: Option<Position>) {
        let (found, rest) = std::mem::take(&mut self.wanted).into_iter().partition(|(i, _)| *i == index);
        self.wanted = rest;
        let found: Vec<(JournalIndex, Wanted)> = found;
        for (_, wanted) in found {
            match wanted {
                Wanted::Greeting { peer, hello } => self.greet(peer, hello, position),
                Wanted::Compare => self.compare(index, position),
                Wanted::Start => self.trim_from(position),
                Wanted::Rewound => self.rewind_reached(index, position),
                Wanted::Applied => {
                    if let Some(position) = position
                        && position.index > self.log.applied.index
                        && position.index <= self.log.applied_index
                    {
                        self.log.applied = position;
                        self.ack_due = self.follower.is_some();
                    }
                }
            }
        }
    }

    fn on_storage_failed(&mut self) {
        self.lose_primary();
        self.follower = None;
        self.ship = None;
        self.reports.clear();
        self.fence = Some(Fence { epoch: self.floor(), permanent: true });
    }

    /// Looks up a stored position, once for each reason.
    pub(crate) fn look_up(&mut self, index: JournalIndex, wanted: Wanted) {
        if let Wanted::Greeting { peer, .. } = &wanted {
            // A newer hello of the same peer replaces the older one, which bounds the list by the number of peers.
            self.wanted.retain(|(_, w)| !matches!(w, Wanted::Greeting { peer: p, .. } if p == peer));
        } else {
            self.wanted.retain(|(_, w)| *w != wanted);
        }
        self.wanted.push((index, wanted));
        self.out.push(Output::Lookup { index });
    }

    pub(crate) fn send(&mut self, to: NodeId, message: Message) {
        self.out.push(Output::Send { to, message });
    }

    /// Asks storage to apply what is committed, one request at a time so that they grow under load.
    fn apply_committed(&mut self) {
        if self.truncating || self.log.applying > self.log.applied_index || self.fence.is_some() {
            return;
        }
        if self.log.committed > self.log.applying {
            self.log.applying = self.log.committed;
            self.out.push(Output::Apply { through: self.log.committed });
        }
    }

    /// The epoch below which nothing is accepted any more.
    pub(crate) fn floor(&self) -> Epoch {
        let view = self.view.as_ref().map_or(Epoch::NONE, |v| match v.state {
            ViewState::Recovering { epoch, .. } if !self.has(crate::Bug::NoSeal) => epoch.max(v.epoch),
            _ => v.epoch,
        });
        view.max(self.sealed).max(self.heard).max(self.log.history().last_epoch())
    }
}

/// What others may read.
impl Replica {
    /// This node.
    pub fn me(&self) -> NodeId {
        self.me
    }

    /// What the replica is.
    pub fn role(&self) -> &Role {
        &self.role
    }

    /// Highest epoch this replica knows of.
    pub fn epoch(&self) -> Epoch {
        self.floor()
    }

    /// Highest epoch promised on disk.
    pub fn sealed(&self) -> Epoch {
        self.sealed
    }

    /// Epochs of the journal, with records not fsynced yet.
    pub fn history(&self) -> &eport_model::EpochHistory {
        self.log.history()
    }

    /// Last record handed to storage.
    pub fn last(&self) -> Position {
        self.log.last
    }

    /// Record time of the last record.
    pub fn last_time(&self) -> Timestamp {
        self.log.last_time
    }

    /// Last fsynced record.
    pub fn durable(&self) -> Position {
        self.log.durable
    }

    /// Last record that cannot vanish any more, as far as this replica knows.
    pub fn committed(&self) -> JournalIndex {
        self.log.committed
    }

    /// Last applied record; the digest lags behind `applied_index` only shortly after a restart.
    pub fn applied(&self) -> Position {
        self.log.applied
    }

    /// Index of the last applied record.
    pub fn applied_index(&self) -> JournalIndex {
        self.log.applied_index
    }

    /// As a follower: the epoch followed last, and how many milliseconds ago the newest acknowledgement was sent that its
    /// primary has confirmed.
    pub fn heard(&self) -> Option<(Epoch, u64)> {
        self.confirmed.map(|(epoch, sent)| (epoch, self.now.mono_ms.saturating_sub(sent)))
    }

    /// The placement as last told.
    pub fn view(&self) -> Option<&PlacementView> {
        self.view.as_ref()
    }

    /// Records appended but not committed.
    pub fn in_flight(&self) -> u64 {
        self.log.last.index.since(self.log.committed)
    }

    /// Progress of every node that copies from here.
    pub fn peers(&self) -> Vec<Progress> {
        self.progress()
    }
}
