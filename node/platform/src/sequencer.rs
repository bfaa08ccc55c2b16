//! The one task of a platform that decides in journal order: duplicates, versions, numbers, record time.
//!
//! Invariants: at most one record of a business reference (lodger, type, client reference) is in flight; whatever else names
//! that reference waits behind it and is decided afresh when it is committed or gone, so no answer rests on a record that may
//! vanish. Numbers rise with the journal. Every item is settled exactly once.

use crate::job::{Item, Job, Settled, Stored};
use crate::log::Log;
use crate::numbers::Numbers;
use crate::platform::{Clock, SharedTables};
use crate::prepare::Prepared;
use crate::read;
use crate::rows::{self, DocumentRow, ReferenceRow};
use crate::{Config, Error};
use bytes::Bytes;
use eport_agent::{Pending, PlatformStatus};
use eport_documents::{DocId, Document, Failure, Packs, Refusal, State, VersionStep};
use eport_journal::{Outcome, Role};
use eport_model::{Draft, Effect, Epoch, JournalIndex, NodeId, RecordKind, RequestRef, Timestamp};
use futures::stream::{FuturesUnordered, StreamExt};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{debug, warn};

/// A ticket that is never in flight (the replica counts from 1): depending on it means "on everything applied so far".
const APPLIED_SO_FAR: u64 = 0;

/// A proposed document.
struct InFlight {
    item: Item,
    doc_id: DocId,
    warnings: Vec<Failure>,
    outcome: oneshot::Receiver<Outcome>,
}

/// Answers that only repeat what is stored; they wait until the replica confirms what it can promise of it.
type Repeats = futures::future::BoxFuture<'static, (Option<Outcome>, Vec<(Item, Stored)>)>;

/// What the rules know while they look at one group.
struct Moment {
    epoch: Epoch,
    blocks: Vec<(u64, u64)>,
    time: Timestamp,
    /// Where the next record most likely stands.
    index: JournalIndex,
}

/// What the rules say about one document.
enum Verdict {
    Propose { draft: Box<Draft>, doc_id: DocId, warnings: Vec<Failure> },
    Repeat(Stored),
    Settle(Settled),
}

pub(crate) struct Sequencer {
    log: Arc<dyn Log>,
    packs: Arc<Packs>,
    tables: SharedTables,
    clock: Clock,
    config: Config,
    status: watch::Receiver<PlatformStatus>,
    jobs: mpsc::Receiver<Job>,
    ready: VecDeque<Item>,
    flight: VecDeque<InFlight>,
    repeats: FuturesUnordered<Repeats>,
    /// References with a record in flight, and who waits behind it.
    busy: HashMap<Bytes, VecDeque<Item>>,
    numbers: Numbers,
    last_time: Timestamp,
    last_done: JournalIndex,
}

impl Sequencer {
    pub(crate) fn new(
        log: Arc<dyn Log>,
        packs: Arc<Packs>,
        tables: SharedTables,
        clock: Clock,
        config: Config,
        jobs: mpsc::Receiver<Job>,
    ) -> Self {
        Self {
            status: log.status(),
            log,
            packs,
            tables,
            clock,
            config,
            jobs,
            ready: VecDeque::new(),
            flight: VecDeque::new(),
            repeats: FuturesUnordered::new(),
            busy: HashMap::new(),
            numbers: Numbers::default(),
            last_time: Timestamp::default(),
            last_done: JournalIndex::ZERO,
        }
    }

    /// Runs until every `Platform` is dropped. What is in flight then stays unanswered here: unknown to its caller.
    pub(crate) async fn run(mut self) {
        loop {
            let Self { flight, repeats, jobs, .. } = &mut self;
            tokio::select! {
                biased;
                outcome = first_outcome(flight) => self.settle_first(outcome),
                Some((outcome, repeated)) = repeats.next(), if !repeats.is_empty() => settle_repeats(outcome, repeated),
                job = jobs.recv() => match job {
                    Some(job) => self.ready.extend(job.items()),
                    None => return,
                },
            }
            self.settle_more();
            // Jobs are bounded by the permits of their documents, so this queue is too.
            while self.ready.len() < self.config.group_records_max
                && let Ok(job) = self.jobs.try_recv()
            {
                self.ready.extend(job.items());
            }
            while !self.ready.is_empty() {
                self.round();
            }
        }
    }

    fn settle_more(&mut self) {
        while let Some(first) = self.flight.front_mut() {
            match first.outcome.try_recv() {
                Ok(outcome) => self.settle_first(Some(outcome)),
                Err(oneshot::error::TryRecvError::Closed) => self.settle_first(None),
                Err(oneshot::error::TryRecvError::Empty) => return,
            }
        }
    }

    fn settle_first(&mut self, outcome: Option<Outcome>) {
        let Some(InFlight { item, doc_id, warnings, .. }) = self.flight.pop_front() else { return };
        self.release(&item.document.reference.clone());
        let settled = match outcome {
            Some(Outcome::Done { position, durability }) => {
                self.last_done = position.index;
                Settled::Stored(Stored {
                    doc_id: doc_id.to_string(),
                    doc_version: item.document.key.doc_version,
                    state: State::Checked,
                    position,
                    durability,
                    warnings,
                    repeated: false,
                })
            }
            other => not_done(other),
        };
        item.settle(settled);
    }

    /// Ends the wait of those behind a reference: they are decided afresh.
    fn release(&mut self, reference: &Bytes) {
        if let Some(waiting) = self.busy.remove(reference) {
            self.ready.extend(waiting);
        }
    }

    /// Decides one group and proposes what is new in it.
    fn round(&mut self) {
        let moment = match self.moment() {
            Ok(Ok(moment)) => moment,
            Ok(Err(closed)) => return self.settle_ready(&closed),
            Err(error) => return self.settle_ready(&failed(&error)),
        };
        let group = self.next_group();
        let rows = match self.references(&group) {
            Ok(rows) => rows,
            Err(error) => {
                let settled = failed(&error);
                for item in group {
                    self.finish(item, settled.clone());
                }
                return;
            }
        };
        let (mut drafts, mut proposed, mut repeated) = (Vec::new(), Vec::new(), Vec::new());
        let mut moment = moment;
        for (item, row) in group.into_iter().zip(rows) {
            let verdict = self.decide(&item.document, row, &moment);
            match verdict.unwrap_or_else(|error| Verdict::Settle(failed(&error))) {
                Verdict::Propose { draft, doc_id, warnings } => {
                    moment.index = moment.index.next();
                    drafts.push(*draft);
                    proposed.push((item, doc_id, warnings));
                }
                Verdict::Repeat(stored) => {
                    self.release(&item.document.reference.clone());
                    repeated.push((item, stored));
                }
                Verdict::Settle(settled) => self.finish(item, settled),
            }
        }
        self.confirm(repeated);
        self.propose(drafts, proposed, moment.time);
    }

    fn finish(&mut self, item: Item, settled: Settled) {
        self.release(&item.document.reference.clone());
        item.settle(settled);
    }

    fn settle_ready(&mut self, settled: &Settled) {
        for item in std::mem::take(&mut self.ready) {
            item.settle(settled.clone());
        }
    }

    /// The state of the world for one group; `Err` inside: the platform is closed, with the answer that says so.
    fn moment(&mut self) -> Result<Result<Moment, Settled>, Error> {
        let (role, placed, blocks) = {
            let status = self.status.borrow();
            let blocks = match &status.placement {
                // Blocks belong to the placement's epoch; while that differs from the role's, none is usable.
                Some(p) if status.role != (Role::Primary { epoch: p.epoch }) => Vec::new(),
                _ => status.numbers.clone(),
            };
            (status.role.clone(), status.primary(), blocks)
        };
        let epoch = match role {
            Role::Primary { epoch } => epoch,
            closed => return Ok(Err(closed_answer(&closed, placed))),
        };
        self.numbers.enter(epoch, &*self.log)?;
        let time = (self.clock)().max(self.log.last_time()).max(self.last_time);
        let behind = JournalIndex::from_u64(self.last_done.as_u64() + self.flight.len() as u64);
        let index = behind.max(self.log.last().index).next();
        Ok(Ok(Moment { epoch, blocks, time, index }))
    }

    /// Takes items from the ready queue; those behind a busy reference are parked there.
    fn next_group(&mut self) -> Vec<Item> {
        let mut group = Vec::with_capacity(self.ready.len().min(self.config.group_records_max));
        let mut bytes = 0;
        while group.len() < self.config.group_records_max && bytes < self.config.group_bytes_max {
            let Some(item) = self.ready.pop_front() else { break };
            if let Some(waiting) = self.busy.get_mut(&item.document.reference) {
                waiting.push_back(item);
                continue;
            }
            self.busy.insert(item.document.reference.clone(), VecDeque::new());
            bytes += item.document.weight();
            group.push(item);
        }
        group
    }

    fn references(&self, group: &[Item]) -> Result<Vec<Option<Bytes>>, Error> {
        let keys: Vec<&[u8]> = group.iter().map(|i| &*i.document.reference).collect();
        Ok(self.log.get_many(&keys)?)
    }

    fn decide(&mut self, p: &Prepared, row: Option<Bytes>, moment: &Moment) -> Result<Verdict, Error> {
        let known: Option<ReferenceRow> = row.map(|v| rows::decode(&p.reference, &v)).transpose()?;
        let newest = known.as_ref().map(|r| u32::try_from(r.contents.len()).unwrap_or(u32::MAX));
        let asked = p.key.doc_version;
        match (VersionStep::of(newest, asked), known) {
            (VersionStep::Known, Some(row)) => self.known(p, &row),
            (VersionStep::Next, known) => self.next(p, known, moment),
            (VersionStep::Gap | VersionStep::Known, _) => {
                let detail = match newest {
                    Some(n) => {
                        format!("version {n} is the newest; {} would be the next", n.saturating_add(1))
                    }
                    None => "a first submission has version 1".to_owned(),
                };
                let code = p.document.kind.pack.codes.version.clone();
                let failures = vec![Failure { path: "/doc_version".into(), code, detail }];
                Ok(Verdict::Settle(Settled::Refused(Refusal::Rules { failures })))
            }
        }
    }

    fn known(&self, p: &Prepared, row: &ReferenceRow) -> Result<Verdict, Error> {
        let same = row.contents.get(p.key.doc_version as usize - 1) == Some(&p.content);
        if !same {
            return Ok(Verdict::Settle(Settled::Different { doc_id: row.doc_id.clone() }));
        }
        let lost = |what: &str| {
            Ok(Verdict::Settle(Settled::Failed {
                detail: format!("{what} of {} is not stored here", row.doc_id),
            }))
        };
        let Some(document) = read::version(&*self.log, &row.doc_id, p.key.doc_version)? else {
            return lost("a row");
        };
        let Some(position) = read::position(&*self.log, &document)? else { return lost("the record") };
        Ok(Verdict::Repeat(Stored {
            doc_id: row.doc_id.clone(),
            doc_version: document.doc_version,
            state: document.state,
            position,
            durability: eport_model::Durability::Local,
            warnings: p.document.warnings.clone(),
            repeated: true,
        }))
    }

    fn next(&mut self, p: &Prepared, known: Option<ReferenceRow>, moment: &Moment) -> Result<Verdict, Error> {
        // Tables may have changed between the judgement and this record's time.
        let again = if p.document.holds_at(&*self.tables, moment.time) {
            None
        } else {
            debug!(key = %p.key, "judged again: a table changed");
            match Document::judge(&p.body, &self.packs, &*self.tables, moment.time) {
                Ok(document) => Some(document),
                Err(refusal) => return Ok(Verdict::Settle(Settled::Refused(refusal))),
            }
        };
        let document = again.as_ref().unwrap_or(&p.document);
        let doc_id = match &known {
            Some(row) => row.doc_id.parse().ok(),
            None => match self.numbers.take(&moment.blocks) {
                Some(number) => DocId::new(
                    document.kind.number_letter,
                    moment.time,
                    document.kind.pack.utc_offset_minutes,
                    number,
                ),
                None => {
                    warn!(region = %self.log.region(), epoch = %moment.epoch, "document numbers are used up");
                    None
                }
            },
        };
        let Some(doc_id) = doc_id else { return Ok(Verdict::Settle(Settled::NoNumbers)) };
        let before = match &known {
            Some(row) => self.log.get(&rows::document(&row.doc_id))?,
            None => None,
        };
        let warnings = document.warnings.clone();
        let draft = self.draft(p, document, doc_id, known, before, moment)?;
        Ok(Verdict::Propose { draft: Box::new(draft), doc_id, warnings })
    }

    fn draft(
        &self,
        p: &Prepared,
        document: &Document,
        doc_id: DocId,
        known: Option<ReferenceRow>,
        before: Option<Bytes>,
        moment: &Moment,
    ) -> Result<Draft, Error> {
        let id = doc_id.to_string();
        let first = known.is_none();
        let mut reference =
            known.unwrap_or_else(|| ReferenceRow { doc_id: id.clone(), contents: Vec::with_capacity(1) });
        let previous = reference.contents.last().copied();
        reference.contents.push(p.content);
        let row = DocumentRow {
            doc_version: p.key.doc_version,
            doc_type: p.key.doc_type.clone(),
            client_ref: p.key.client_ref.clone(),
            lodged_by: p.key.lodged_by.clone(),
            function_code: document.function_code.clone(),
            state: State::Checked,
            received_at: moment.time,
            hint: moment.index,
            content: p.content,
            previous,
            pack_version: format!("{} {}", document.kind.pack.name, document.kind.pack.version),
            body: u16::from(p.normalised.is_some()),
        };
        let put = |key: Bytes, value: Bytes| Effect::Put { key, value };
        let mut effects = Vec::with_capacity(6);
        effects.push(put(rows::document(&id), rows::encode(&row)));
        effects.push(put(p.reference.clone(), rows::encode(&reference)));
        if let Some(value) = before {
            let old: DocumentRow = rows::decode(id.as_bytes(), &value)?;
            if old.state != row.state {
                effects.push(Effect::Delete { key: rows::state(&old.doc_type, old.state, &id) });
            }
            effects.push(put(rows::version(&id, old.doc_version), value));
        }
        effects.push(put(rows::state(&row.doc_type, row.state, &id), Bytes::new()));
        if first {
            effects.push(put(Bytes::from_static(rows::CURSOR), self.numbers.row()));
        }
        let mut bodies = Vec::with_capacity(2);
        bodies.push(p.body.clone());
        bodies.extend(p.normalised.clone());
        let request = RequestRef {
            id: p.key.to_string(),
            caller: p.caller.clone(),
            body: Some(0),
            signature: p.signature.clone(),
            accepted_at: moment.time,
        };
        let reads = document.versions().map(|v| v.read()).collect();
        Ok(Draft {
            kind: RecordKind::Entry,
            time: moment.time,
            request: Some(request),
            reads,
            effects,
            bodies,
        })
    }

    /// Asks the replica what it can promise of everything applied, then answers the repeats.
    fn confirm(&mut self, repeated: Vec<(Item, Stored)>) {
        if repeated.is_empty() {
            return;
        }
        match self.log.depend(APPLIED_SO_FAR) {
            Ok(outcome) => self.repeats.push(Box::pin(async move { (outcome.await.ok(), repeated) })),
            Err(_) => {
                for (item, _) in repeated {
                    item.settle(Settled::Overloaded);
                }
            }
        }
    }

    fn propose(&mut self, drafts: Vec<Draft>, proposed: Vec<(Item, DocId, Vec<Failure>)>, time: Timestamp) {
        if drafts.is_empty() {
            return;
        }
        self.last_time = time;
        self.log.note_next_number(self.numbers.next());
        match self.log.propose(drafts) {
            Ok(pending) => {
                for (Pending { outcome, .. }, (item, doc_id, warnings)) in pending.into_iter().zip(proposed) {
                    self.flight.push_back(InFlight { item, doc_id, warnings, outcome });
                }
            }
            Err(full) => {
                warn!(region = %full.0, "the journal's queue is full");
                for (item, ..) in proposed {
                    self.finish(item, Settled::Overloaded);
                }
            }
        }
    }
}

async fn first_outcome(flight: &mut VecDeque<InFlight>) -> Option<Outcome> {
    match flight.front_mut() {
        Some(first) => (&mut first.outcome).await.ok(),
        None => std::future::pending().await,
    }
}

fn settle_repeats(outcome: Option<Outcome>, repeated: Vec<(Item, Stored)>) {
    for (item, stored) in repeated {
        let settled = match &outcome {
            Some(Outcome::Done { durability, .. }) => {
                Settled::Stored(Stored { durability: *durability, ..stored })
            }
            other => not_done(other.clone()),
        };
        item.settle(settled);
    }
}

/// What every outcome but `Done` means for the caller. A closed channel: the node is stopping.
fn not_done(outcome: Option<Outcome>) -> Settled {
    match outcome {
        Some(Outcome::Held) => Settled::Held,
        Some(Outcome::NotPrimary { primary, epoch }) if !primary.is_none() => {
            Settled::NotPrimary { primary, epoch }
        }
        Some(Outcome::NotPrimary { .. }) => Settled::Held,
        Some(Outcome::Overloaded) => Settled::Overloaded,
        Some(Outcome::Failed) => Settled::Failed { detail: "the platform's storage failed".into() },
        Some(Outcome::Unknown | Outcome::Done { .. }) | None => Settled::Unknown,
    }
}

/// What a caller is told while the platform takes no writes here.
pub(crate) fn closed_answer(role: &Role, placed: Option<(NodeId, Epoch)>) -> Settled {
    match role {
        Role::Backup { epoch, primary } => Settled::NotPrimary { primary: *primary, epoch: *epoch },
        Role::Fenced { .. } | Role::Idle => match placed {
            Some((primary, epoch)) => Settled::NotPrimary { primary, epoch },
            None => Settled::Fenced,
        },
        // An opening, a handover and a failover end soon: the caller waits a bounded time.
        Role::Primary { .. } | Role::Opening { .. } | Role::Handover { .. } | Role::Sealed { .. } => {
            Settled::Held
        }
    }
}

fn failed(error: &Error) -> Settled {
    Settled::Failed { detail: error.to_string() }
}
