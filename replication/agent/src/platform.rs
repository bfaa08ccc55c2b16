//! The task of one platform: it owns the replica, performs its outputs in order and tells the status.
//!
//! Always holds: only this task steps the replica; storage work goes through one writer queue, so appends, seals, applies and
//! truncations keep the order in which the replica asked for them; every caller is answered once.
//! The completions channel has no fixed size: it holds at most one entry per storage operation under way, and those are
//! bounded by the replica's in-flight limit and shipping windows.

mod bootstrap;
mod pause;
mod tails;
mod telling;

pub use bootstrap::BootstrapSoft;
pub(crate) use bootstrap::recovered;
pub(crate) use telling::soft;

use crate::coordinator::SealReports;
use crate::lease::Desk;
use crate::verification::MarkBook;
use crate::{Clock, PlatformStatus, StateDigest, steps};
use bytes::Bytes;
use eport_consensus::{ProposeError, Registry};
use eport_journal::{
    Alarm, Input, Message, Now, Outcome, Output, PlacementView, RegistryStep, Replica, Role, Ticket,
};
use eport_model::{
    Code, Coded, Draft, Durability, Epoch, JournalIndex, Lineage, MoveId, NodeId, Position, Record,
    RegionCode, Timestamp, codec, codes,
};
use eport_registry::Placement;
use eport_store::{Done, JournalWriter, Op, PlatformStore, TailManifest};
use eport_transport::Transport;
use eport_wire::{Envelope, Purpose};
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

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

    fn perform(&mut self, outputs: Vec<Output>) {
        for output in outputs {
            eport_failpoint::point!(output.place().unwrap_or_default(), self.region);
            match output {
                Output::Append(records) => {
                    let (region, kind) = (self.region, eport_journal::append_kind(&records));
                    let appended = move |last| {
                        eport_failpoint::point!(format!("append.{kind}.after"), region);
                        Completion::Appended(last)
                    };
                    self.submit(Op::Append(records, self.done("append", appended)));
                }
                Output::PersistSeal { epoch } => {
                    self.submit(Op::Seal(epoch, self.done("seal", move |()| Completion::Sealed(epoch))));
                }
                Output::Apply { through } => {
                    self.submit(Op::Apply(
                        through,
                        self.done("apply", |at: Position| Completion::Applied(at.index)),
                    ));
                }
                Output::Truncate { after } => {
                    let done = self.done("truncate", |(last, time)| Completion::Truncated(last, time));
                    self.submit(Op::Truncate(after, done));
                }
                Output::ExportTail { after } => {
                    let done = self.done("export tail", move |tail| Completion::Exported { after, tail });
                    self.submit(Op::ExportTail(after, self.context.tails.clone(), done));
                }
                Output::UploadTail { after, to } => self.upload_tail(after, to),
                Output::Rewind { after, source, epoch } => self.rewind(after, source, epoch),
                Output::EndRewind { at } => self.end_rewind(at),
                Output::Bootstrap { source, epoch, from } => self.bootstrap(source, epoch, from),
                Output::InstallCheckpoint { .. } => self.install_checkpoint(),
                Output::NoteAcked(acked) => self.note_acked(&acked),
                Output::Send { to, message } => self.send(to, message),
                Output::Read { peer, from, max_bytes } => self.read(peer, from, max_bytes),
                Output::Lookup { index } => self.lookup(index),
                Output::Answer { ticket, outcome } => self.answer(ticket, outcome),
                Output::Registry(step) => self.registry_step(step),
                Output::ReadPlacement => self.read_placement(),
                Output::RenewLease { epoch, sent_ms } => self.renew_lease(epoch, sent_ms),
                Output::Role(role) => {
                    info!(region = %self.region, ?role, "role");
                    let before = std::mem::replace(&mut self.role, role);
                    self.note_pause(&before);
                    self.generation += 1;
                    self.tell_now();
                    self.context.news.notify_one();
                }
                Output::Alarm(alarm) => self.raise(alarm),
            }
        }
    }

    fn answer(&mut self, ticket: Ticket, outcome: Outcome) {
        let Some(reply) = self.answers.remove(&ticket) else { return };
        let outcome = match outcome {
            // Same-site copies do not survive the site: the policy may count them, the answer says `local`.
            Outcome::Done { position, .. } if self.placement.as_ref().is_some_and(|p| p.policy.same_site) => {
                Outcome::Done { position, durability: Durability::Local }
            }
            other => other,
        };
        // A caller that went away needs no answer.
        let _ = reply.send(outcome);
    }

    fn send(&self, to: NodeId, message: Message) {
        if to == self.context.me {
            self.send_to_self(message);
            return;
        }
        let purpose = match message {
            Message::Seal { .. } | Message::Sealed(_) | Message::Copy { .. } => Purpose::Move,
            _ => Purpose::Journal,
        };
        let version = self.placement.as_ref().map_or(0, |p| p.version);
        let bytes = envelope(self.context.lineage, self.region, version, &message);
        // Not connected or full: the protocol repeats what matters.
        let _ = self.context.transport.send(to, purpose, bytes);
    }

    /// The coordinator of a failover may run on a candidate's own node.
    fn send_to_self(&self, message: Message) {
        match message {
            Message::Sealed(report) => self.context.reports.put(self.region, self.context.me, report),
            message => {
                if let Some(events) = self.self_events.upgrade() {
                    // Full means busy; every message is repeated until it is answered.
                    let _ = events.try_send(Event::Peer { from: self.context.me, message });
                }
            }
        }
    }

    fn read(&self, peer: NodeId, from: JournalIndex, max_bytes: usize) {
        let (store, tx) = (self.store.clone(), self.done_tx.clone());
        tokio::task::spawn_blocking(move || {
            let completion = match store.read(from, max_bytes) {
                Ok(records) => Completion::Records { peer, from, records },
                Err(error) => {
                    warn!(%peer, %from, %error, "records for a peer cannot be read");
                    Completion::Records { peer, from, records: Vec::new() }
                }
            };
            let _ = tx.send(completion);
        });
    }

    fn lookup(&self, index: JournalIndex) {
        let (store, tx) = (self.store.clone(), self.done_tx.clone());
        tokio::task::spawn_blocking(move || {
            let position = store.position(index).unwrap_or_else(|error| {
                warn!(%index, %error, "position cannot be read");
                None
            });
            let _ = tx.send(Completion::Found { index, position });
        });
    }

    /// Asks the leader of the registry; nothing comes back unless it grants.
    fn renew_lease(&self, epoch: Epoch, sent_ms: u64) {
        let (context, region, tx) = (self.context.clone(), self.region, self.done_tx.clone());
        tokio::spawn(async move {
            if context.desk.renew(&context.registry, &context.transport, context.me, region, epoch).await {
                let _ = tx.send(Completion::Leased { epoch, sent_ms });
            }
        });
    }

    fn registry_step(&self, step: RegistryStep) {
        let (op, move_id, reason) = steps::step_op(self.region, step);
        let context = self.context.clone();
        let command = steps::node_command(context.home, context.me, context.clock.wall(), reason, op);
        let (tx, region) = (self.done_tx.clone(), self.region);
        tokio::spawn(async move {
            let name = eport_failpoint::label(&command.op);
            eport_failpoint::point!(format!("node.{name}.before"), region);
            let answered = context.registry.propose(command, REGISTRY_TIMEOUT).await;
            eport_failpoint::point!(format!("node.{name}.after"), region);
            let applied = match answered {
                Ok(_) => Some(true),
                Err(ProposeError::Refused(refusal)) => {
                    info!(%region, %move_id, %refusal, "registry step refused");
                    Some(false)
                }
                Err(error) => {
                    warn!(%region, %move_id, %error, "outcome of a registry step is unknown");
                    None
                }
            };
            let _ = tx.send(Completion::Registry { move_id, applied });
        });
    }

    /// Reads the placement with a quorum and tells the task; repeats until it succeeds or the node stops.
    fn read_placement(&mut self) {
        if std::mem::replace(&mut self.reading, true) {
            return;
        }
        let (context, region, events) = (self.context.clone(), self.region, self.self_events.clone());
        tokio::spawn(async move {
            while !context.stop.is_cancelled() {
                if let Ok(view) = context.registry.linearizable(REGISTRY_TIMEOUT).await
                    && let Some(event) = crate::node::placement_event(&view.state, region, true)
                {
                    if let Some(events) = events.upgrade() {
                        let _ = events.send(event).await;
                    }
                    return;
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        });
    }

    /// Makes an exported tail known to the registry, repeated until it is; then the replica may go on.
    fn report_tail(&self, after: JournalIndex, tail: TailManifest) {
        let (context, region, tx) = (self.context.clone(), self.region, self.done_tx.clone());
        info!(%region, records = tail.segment.records, digest = %tail.segment.sha256, "diverged tail exported");
        let op = eport_registry::Op::RecordTail(eport_registry::Tail {
            region,
            epoch: tail.last.epoch,
            fork: tail.after,
            last: tail.last,
            node: context.me,
            digest: tail.segment.sha256,
            // Without a document there is nothing to decide.
            state: if tail.documents.iter().any(|d| d.body.is_some()) {
                eport_registry::TailState::Exported
            } else {
                eport_registry::TailState::Resolved
            },
            discarded: Vec::new(),
            at: context.clock.wall(),
        });
        let command =
            steps::node_command(context.home, context.me, context.clock.wall(), "diverged tail exported", op);
        tokio::spawn(async move {
            while !context.stop.is_cancelled() {
                eport_failpoint::point!("node.RecordTail.before", region);
                let recorded = context.registry.propose(command.clone(), REGISTRY_TIMEOUT).await;
                eport_failpoint::point!("node.RecordTail.after", region);
                match recorded {
                    Ok(_) => {
                        let _ = tx.send(Completion::TailRecorded { after });
                        return;
                    }
                    Err(error) => {
                        warn!(%region, %error, "tail not recorded yet; nothing is cut before it is")
                    }
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
    }

    /// Says when the rows here are not the primary's. Nothing is changed here: verification looks into it.
    fn compared(&mut self, compared: Option<crate::Compared>) {
        let Some(compared) = compared else { return };
        if compared.equal {
            self.differs = None;
            return;
        }
        let (region, mark) = (self.region, compared.index);
        error!(%region, %mark, code = %codes::STATE_DIFFERS, "rows differ from the primary's");
        self.differs = Some((codes::STATE_DIFFERS, format!("rows at mark {mark} differ from the primary's")));
        self.tell_now();
    }

    fn raise(&mut self, alarm: Alarm) {
        if let Alarm::SlotLost { backup, at } = &alarm {
            // No alarm of this node: the backup helps itself, and its slot says so for as long as it lasts.
            warn!(region = %self.region, %backup, %at, code = %codes::SLOT_LOST, "slot lost: the backup takes a checkpoint");
            self.context.news.notify_one();
            return;
        }
        let code = match &alarm {
            Alarm::RolledBack { .. } | Alarm::Behind { .. } => codes::ROLLED_BACK,
            _ => codes::JOURNAL_CORRUPT,
        };
        let text = match &alarm {
            Alarm::Corruption { index, ours, theirs, peer } => {
                format!("record {index}: digest {} here, {} at {peer}", ours.short(), theirs.short())
            }
            Alarm::BadRecord { index, peer } => format!("record {index} from {peer} does not verify"),
            Alarm::Behind { start, last } => {
                format!("journal ends at {last}, its epoch started at {start}: an old copy?")
            }
            Alarm::RolledBack { acked, last, peer } if *peer == self.context.me || last.index >= *acked => {
                format!(
                    "{peer} has lost records of its own epoch that are here up to {acked}: an old copy was put back there"
                )
            }
            Alarm::RolledBack { acked, last, peer } => format!(
                "the journal here ends at {last}, but {peer} knows that this node had record {acked}: an old copy of its data was \
                 put back. Stop the node, move platform/{} out of its data directory and start it: it is seeded anew",
                self.region
            ),
            Alarm::SlotLost { backup, .. } => format!("slot of {backup} lost"),
            Alarm::NotWhole { at } => {
                let wanted = at.map_or_else(|| "rows from a primary".to_owned(), |at| format!("record {at}"));
                format!(
                    "rows of a diverged tail are not put back; this node cannot serve before it has {wanted}"
                )
            }
            Alarm::Degraded { index } => {
                format!(
                    "backups are silent and the registry is away: answers are local from record {index} on"
                )
            }
            Alarm::SwitchStalled { move_id, reason } => format!("switchover {move_id}: {reason}"),
        };
        error!(region = %self.region, %code, alarm = %text, "alarm");
        self.alarm = Some((code, text));
    }

    /// Hands an operation to the writer. A full queue makes this task wait: its callbacks never wait for this task.
    fn submit(&self, op: Op) {
        if let Err(op) = self.writer.try_submit(op) {
            tokio::task::block_in_place(|| self.writer.submit(op));
        }
    }

    /// Wraps a completion for the writer: success becomes `to(value)`, failure `Completion::Failed`.
    fn done<T: 'static>(
        &self,
        operation: &'static str,
        to: impl FnOnce(T) -> Completion + Send + 'static,
    ) -> Done<T> {
        let tx = self.done_tx.clone();
        Box::new(move |result| {
            let completion = match result {
                Ok(value) => to(value),
                Err(error) => Completion::Failed { operation, error },
            };
            // The task is gone only when the node stops.
            let _ = tx.send(completion);
        })
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
