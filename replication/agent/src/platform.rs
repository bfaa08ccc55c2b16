//! The task of one platform: it owns the replica, performs its outputs in order and tells the status.
//!
//! Always holds: only this task steps the replica; storage work goes through one writer queue, so appends, seals, applies and
//! truncations keep the order in which the replica asked for them; every caller is answered once.
//! The completions channel has no fixed size: it holds at most one entry per storage operation under way, and those are
//! bounded by the replica's in-flight limit and shipping windows.

mod bootstrap;
mod outputs;
mod pause;
mod tails;
mod telling;

pub use bootstrap::BootstrapSoft;
pub(crate) use bootstrap::recovered;
pub(crate) use telling::soft;

use crate::coordinator::SealReports;
use crate::lease::Desk;
use crate::verification::MarkBook;
use crate::{Clock, PlatformStatus, StateDigest};
use bytes::Bytes;
use eport_consensus::Registry;
use eport_journal::{Input, Message, Now, Outcome, Output, PlacementView, Replica, Role, Ticket};
use eport_model::{
    Code, Coded, Draft, Epoch, JournalIndex, Lineage, MoveId, NodeId, Position, Record, RegionCode,
    Timestamp, codec,
};
use eport_registry::Placement;
use eport_store::{JournalWriter, PlatformStore, TailManifest};
use eport_transport::Transport;
use eport_wire::Envelope;
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

/// How long one registry command of a replica may take before its outcome counts as unknown.
const REGISTRY_TIMEOUT: Duration = Duration::from_secs(5);
/// Counters in the status are renewed at most this often; role and placement at once.
const STATUS_EVERY: Duration = Duration::from_millis(50);
/// A backup that said nothing for this long does not count for `durability_now`.
const SILENT: Duration = Duration::from_secs(3);
/// Inputs handled before the status is looked at again.
const BURST: usize = 256;
/// Records handled before other tasks have their turn: a platform that floods must not keep the others of its node waiting for
/// more than a few milliseconds.
const RECORDS: usize = 128;

/// What other tasks tell a platform's task.
pub(crate) enum Event {
    /// Drafts to append, in order.
    Propose {
        /// Ticket, draft and where the answer goes.
        batch: Vec<(Ticket, Draft, oneshot::Sender<Outcome>)>,
        /// The role generation they were decided under; `None` for drafts that depend on no state.
        generation: Option<u64>,
    },
    /// An answer that depends on another proposal.
    Depend {
        /// The caller.
        ticket: Ticket,
        /// What it waits for.
        on: Ticket,
        /// Where the answer goes.
        reply: oneshot::Sender<Outcome>,
    },
    /// The registry's view.
    Placement {
        /// The placement.
        placement: Arc<Placement>,
        /// The same as the replica needs it.
        view: Box<PlacementView>,
        /// The number blocks of its epoch.
        numbers: Vec<(u64, u64)>,
        /// Confirmed by a quorum after the replica asked.
        linearizable: bool,
    },
    /// A message from another node.
    Peer {
        /// The sender.
        from: NodeId,
        /// The message.
        message: Message,
    },
}

impl Event {
    /// Records that it brings.
    fn records(&self) -> usize {
        match self {
            Event::Propose { batch, .. } => batch.len(),
            Event::Peer { message: Message::Batch { records, .. }, .. } => records.len(),
            _ => 0,
        }
    }
}

/// What storage and registry report back.
pub(crate) enum Completion {
    Appended(Position),
    Sealed(Epoch),
    Applied(JournalIndex),
    Digest(StateDigest),
    Told(StateDigest),
    Truncated(Position, Timestamp),
    Exported { after: JournalIndex, tail: TailManifest },
    TailRecorded { after: JournalIndex },
    TailUploaded { after: JournalIndex, to: NodeId },
    Rewound { at: Option<Position> },
    CheckpointHere { last: Option<Position> },
    Installed(Box<eport_journal::Recovered>),
    Records { peer: NodeId, from: JournalIndex, records: Vec<Arc<Record>> },
    Found { index: JournalIndex, position: Option<Position> },
    Registry { move_id: MoveId, applied: Option<bool> },
    Leased { epoch: Epoch, sent_ms: u64 },
    Failed { operation: &'static str, error: eport_store::Error },
}

/// What the task needs from its node.
pub(crate) struct Context {
    pub(crate) me: NodeId,
    pub(crate) home: RegionCode,
    pub(crate) lineage: Lineage,
    pub(crate) clock: Clock,
    pub(crate) registry: Registry,
    pub(crate) transport: Transport,
    pub(crate) tails: PathBuf,
    /// Bytes free where this node keeps its data.
    pub(crate) free: Box<dyn Fn() -> Option<u64> + Send + Sync>,
    pub(crate) reports: Arc<SealReports>,
    pub(crate) news: Arc<Notify>,
    pub(crate) desk: Arc<Desk>,
    pub(crate) stop: CancellationToken,
}

pub(crate) struct Task {
    context: Arc<Context>,
    region: RegionCode,
    replica: Replica,
    store: PlatformStore,
    writer: JournalWriter,
    events: mpsc::Receiver<Event>,
    self_events: mpsc::WeakSender<Event>,
    done_tx: mpsc::UnboundedSender<Completion>,
    done: mpsc::UnboundedReceiver<Completion>,
    answers: HashMap<Ticket, oneshot::Sender<Outcome>>,
    placement: Option<Arc<Placement>>,
    numbers: Vec<(u64, u64)>,
    reading: bool,
    role: Role,
    generation: u64,
    alarm: Option<(Code, String)>,
    digest: Option<StateDigest>,
    marks: MarkBook,
    /// Rows here are not those of the primary.
    differs: Option<(Code, String)>,
    /// The tail exported last, and who hands it over.
    tail: Option<TailManifest>,
    upload: Option<tokio::task::AbortHandle>,
    /// The checkpoint that is being taken, and who takes it.
    bootstrapping: bootstrap::Shown,
    bootstrap_job: Option<tokio::task::AbortHandle>,
    heard: BTreeMap<NodeId, Instant>,
    level: BTreeMap<NodeId, Instant>,
    status: watch::Sender<PlatformStatus>,
    told: Instant,
}

/// Queue of a platform's task: proposals come in groups, messages one by one; a full window of small batches fits.
pub(crate) const EVENTS: usize = 16_384;

impl Task {
    /// Opens the replica on what the store recovered.
    pub(crate) fn new(
        context: Arc<Context>,
        store: PlatformStore,
        recovered: eport_journal::Recovered,
        writer: JournalWriter,
        limits: eport_journal::Limits,
        (events, self_events): (mpsc::Receiver<Event>, mpsc::WeakSender<Event>),
        (done_tx, done): (mpsc::UnboundedSender<Completion>, mpsc::UnboundedReceiver<Completion>),
    ) -> (Self, watch::Receiver<PlatformStatus>, Vec<Output>) {
        let region = store.region();
        let now = Now { mono_ms: context.clock.mono_ms(), wall: context.clock.wall() };
        let (replica, outputs) =
            Replica::open(context.me, region, context.lineage, limits, recovered, now.mono_ms);
        let role = replica.role().clone();
        let (status, watch) = watch::channel(PlatformStatus {
            role: role.clone(),
            generation: 0,
            placement: None,
            numbers: Vec::new(),
            last: replica.last(),
            committed: replica.committed(),
            applied: replica.applied().index,
            backups: Vec::new(),
            elsewhere: None,
            durability_now: "blocked",
            alarm: None,
            bootstrap: None,
            shipping_floor: replica.shipping_floor(),
            state_digest: None,
            marks: crate::MarkSoft::default(),
            lease_until: None,
            heard: None,
        });
        let task = Self {
            context,
            region,
            replica,
            store,
            writer,
            events,
            self_events,
            done_tx,
            done,
            answers: HashMap::new(),
            placement: None,
            numbers: Vec::new(),
            reading: false,
            role,
            generation: 0,
            alarm: None,
            digest: None,
            marks: MarkBook::default(),
            differs: None,
            tail: None,
            upload: None,
            bootstrapping: bootstrap::Shown::default(),
            bootstrap_job: None,
            heard: BTreeMap::new(),
            level: BTreeMap::new(),
            status,
            told: Instant::now(),
        };
        (task, watch, outputs)
    }

    /// Runs until the node stops. Callers that still wait then see their channel close: outcome unknown.
    pub(crate) async fn run(mut self, first: Vec<Output>) {
        self.perform(first);
        let stop = self.context.stop.clone();
        loop {
            let wake = self.replica.deadline().map(|ms| self.context.clock.instant_of(ms));
            let sleep = async {
                match wake {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            let mut records = 0;
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(completion) = self.done.recv() => self.complete(completion),
                event = self.events.recv() => match event {
                    Some(event) => {
                        records += event.records();
                        self.event(event);
                    }
                    None => break,
                },
                () = sleep => self.input(Input::Tick),
            }
            for _ in 0..BURST {
                if let Ok(completion) = self.done.try_recv() {
                    self.complete(completion);
                } else if records >= RECORDS {
                    break;
                } else if let Ok(event) = self.events.try_recv() {
                    records += event.records();
                    self.event(event);
                } else {
                    break;
                }
            }
            self.tell();
            if records >= RECORDS {
                tokio::task::yield_now().await;
            }
        }
        info!(region = %self.region, "platform task ended");
    }

    fn now(&self) -> Now {
        Now { mono_ms: self.context.clock.mono_ms(), wall: self.context.clock.wall() }
    }

    fn input(&mut self, input: Input) {
        let now = self.now();
        let outputs = self.replica.step(now, input);
        self.perform(outputs);
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Propose { batch, generation } => {
                let stale = generation.is_some_and(|g| g != self.generation);
                let mut drafts = Vec::with_capacity(batch.len());
                for (ticket, draft, reply) in batch {
                    if stale {
                        let _ = reply.send(Outcome::Held);
                        continue;
                    }
                    self.answers.insert(ticket, reply);
                    drafts.push((ticket, draft));
                }
                if !drafts.is_empty() {
                    self.input(Input::Propose { drafts });
                }
            }
            Event::Depend { ticket, on, reply } => {
                self.answers.insert(ticket, reply);
                self.input(Input::Depend { ticket, on });
            }
            Event::Placement { placement, view, numbers, linearizable } => {
                if linearizable {
                    self.reading = false;
                }
                if self.placement.as_ref().is_some_and(|p| p.version > placement.version) {
                    // The registry moved on between the quorum's answer and its arrival here: an older view decides nothing,
                    // and the question it answered is asked again.
                    if linearizable {
                        self.read_placement();
                    }
                    return;
                }
                self.placement = Some(placement);
                self.numbers = numbers;
                self.input(Input::Placement { view: *view, linearizable });
            }
            Event::Peer { from, message } => {
                self.heard.insert(from, Instant::now());
                self.input(Input::Message { from, message });
            }
        }
    }

    fn complete(&mut self, completion: Completion) {
        let input = match completion {
            Completion::Appended(last) => Input::Appended { last },
            Completion::Sealed(epoch) => Input::SealPersisted { epoch },
            Completion::Applied(through) => Input::Applied { through },
            Completion::Digest(digest) => {
                // Rows that are not whole prove nothing.
                self.digest = self.replica.rows_whole().then_some(digest);
                if self.digest.is_some() {
                    let compared = self.marks.own(digest.index, digest.digest, self.context.clock.wall());
                    self.compared(compared);
                }
                return;
            }
            Completion::Told(digest) => {
                let compared = self.marks.told(digest.index, digest.digest, self.context.clock.wall());
                self.compared(compared);
                return;
            }
            Completion::Truncated(last, last_time) => {
                self.marks.cut(last.index);
                Input::Truncated { last, last_time }
            }
            Completion::Exported { after, tail } => {
                // The replica may cut the tail only when the registry knows of it: nobody may forget it.
                self.tail = Some(tail.clone());
                self.report_tail(after, tail);
                return;
            }
            Completion::TailRecorded { after } => Input::TailExported { after },
            Completion::TailUploaded { after, to } => Input::TailUploaded { after, to },
            Completion::Rewound { at } => Input::Rewound { at },
            Completion::CheckpointHere { last } => Input::CheckpointHere { last },
            Completion::Installed(recovered) => {
                info!(region = %self.region, last = %recovered.last, applied = %recovered.applied, "checkpoint installed");
                bootstrap::show(&self.bootstrapping, |shown| *shown = None);
                self.digest = None;
                Input::Installed { recovered }
            }
            Completion::Records { peer, from, records } => Input::Records { peer, from, records },
            Completion::Found { index, position } => Input::Found { index, position },
            Completion::Registry { move_id, applied } => Input::RegistryAnswered { move_id, applied },
            Completion::Leased { epoch, sent_ms } => Input::Leased { epoch, sent_ms },
            Completion::Failed { operation, error } => {
                let text = format!("{operation}: {error}");
                error!(region = %self.region, operation, %error, "storage failed");
                self.alarm = Some((error.code(), text));
                Input::StorageFailed
            }
        };
        self.input(input);
    }
}

/// A journal message on the wire.
pub(crate) fn envelope(
    lineage: Lineage,
    platform: RegionCode,
    placement_version: u64,
    message: &Message,
) -> Bytes {
    Envelope { lineage, platform, placement_version, body: codec::encode(message).into() }.encode()
}
