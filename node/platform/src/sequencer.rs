//! The one task of a platform that decides in journal order: duplicates, versions, numbers, record time.
//!
//! Invariants: at most one record of a business reference (lodger, type, client reference) is in flight; whatever else names
//! that reference waits behind it and is decided afresh when it is committed or gone, so no answer rests on a record that may
//! vanish. Numbers rise with the journal. Every item is settled exactly once. An item whose answer must promise `replicated` is
//! settled only when its record is.

use crate::change::{Busy, Change, Changes};
use crate::hosting::Gate;
use crate::job::{Item, Job, Settled, Stored};
use crate::log::Log;
use crate::numbers::Numbers;
use crate::platform::{Clock, SharedTables};
use crate::rules::{Moment, Promise, Rules, Verdict};
use crate::served::Served;
use crate::turns::Turns;
use crate::{Config, Error};
use bytes::Bytes;
use eport_agent::{Pending, PlatformStatus};
use eport_documents::{DocId, Failure, State};
use eport_journal::{Outcome, Role};
use eport_model::{Draft, Durability, Epoch, JournalIndex, NodeId, RecordKind, Timestamp};
use eport_registry::DurabilityMode;
use futures::stream::{FuturesUnordered, StreamExt};
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tracing::warn;

/// A ticket that is never in flight (the replica counts from 1): depending on it means "on everything applied so far".
const APPLIED_SO_FAR: u64 = 0;

/// A proposed document.
struct InFlight {
    item: Item,
    doc_id: DocId,
    state: State,
    warnings: Vec<Failure>,
    outcome: oneshot::Receiver<Outcome>,
}

/// Answers that only repeat what is stored; they wait until the replica confirms what it can promise of it.
type Repeats = futures::future::BoxFuture<'static, (Option<Outcome>, Vec<(Item, Stored)>)>;

/// A stored document whose answer must promise more than it can yet.
struct Parked {
    item: Item,
    stored: Stored,
}

/// What the replica can promise of everything applied.
type Confirmed = futures::future::BoxFuture<'static, Option<Outcome>>;

pub(crate) struct Sequencer {
    pub(crate) log: Arc<dyn Log>,
    rules: Rules,
    clock: Clock,
    config: Config,
    status: watch::Receiver<PlatformStatus>,
    jobs: mpsc::Receiver<Job>,
    ready: VecDeque<Item>,
    flight: VecDeque<InFlight>,
    repeats: FuturesUnordered<Repeats>,
    /// References with a record in flight, and who waits behind it.
    pub(crate) busy: Busy,
    /// Decisions that are no documents.
    pub(crate) changes: Changes,
    /// References in use, here or by the exchange.
    pub(crate) turns: Arc<Turns>,
    /// References that the exchange has given back and somebody here waits for.
    returned: mpsc::UnboundedReceiver<Bytes>,
    /// In journal order, mostly.
    parked: VecDeque<Parked>,
    confirming: FuturesUnordered<Confirmed>,
    gate: Arc<Gate>,
    served: Served,
    /// Told when a document asks something of accounts.
    duties: Arc<Notify>,
    pub(crate) last_time: Timestamp,
    pub(crate) last_done: JournalIndex,
}

/// The sequencer's ends of what joins it to its platform.
pub(crate) struct Ends {
    pub(crate) jobs: mpsc::Receiver<Job>,
    pub(crate) changes: mpsc::Receiver<Change>,
    pub(crate) duties: Arc<Notify>,
    pub(crate) turns: Arc<Turns>,
    pub(crate) returned: mpsc::UnboundedReceiver<Bytes>,
}

impl Sequencer {
    pub(crate) fn new(
        log: Arc<dyn Log>,
        packs: crate::platform::SharedPacks,
        tables: SharedTables,
        clock: Clock,
        config: Config,
        ends: Ends,
    ) -> Self {
        let Ends { jobs, changes, duties, turns, returned } = ends;
        Self {
            duties,
            changes: Changes::new(changes),
            parked: VecDeque::new(),
            confirming: FuturesUnordered::new(),
            gate: config.hosting.gate(log.region()),
            served: Served::default(),
            status: log.status(),
            rules: Rules {
                log: log.clone(),
                packs,
                tables,
                numbers: Numbers::default(),
                routes: config.routes.clone(),
                made: 0,
            },
            log,
            clock,
            config,
            jobs,
            ready: VecDeque::new(),
            flight: VecDeque::new(),
            repeats: FuturesUnordered::new(),
            busy: Busy::new(),
            turns,
            returned,
            last_time: Timestamp::default(),
            last_done: JournalIndex::ZERO,
        }
    }

    /// Runs until every `Platform` is dropped. What is in flight then stays unanswered here: unknown to its caller.
    pub(crate) async fn run(mut self) {
        // Not at once: what was just counted rides with the next document.
        let every = self.config.served_every;
        let mut every = tokio::time::interval_at(tokio::time::Instant::now() + every, every);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let Self { flight, repeats, confirming, parked, status, jobs, changes, returned, .. } = &mut self;
            let room = changes.has_room();
            let Changes { incoming, waiting, flight: changing } = changes;
            tokio::select! {
                biased;
                outcome = first_outcome(flight) => self.settle_first(outcome),
                Some((outcome, repeated)) = repeats.next(), if !repeats.is_empty() => {
                    self.settle_repeats(outcome, repeated);
                }
                Some(outcome) = confirming.next(), if !confirming.is_empty() => self.settle_parked(outcome),
                // Acknowledgements of backups show in the status; while something waits for them, each change is a reason to ask.
                Ok(()) = status.changed(), if !parked.is_empty() && confirming.is_empty() => self.ask_for_parked(),
                Some(landed) = changing.next(), if !changing.is_empty() => self.settle_change(landed),
                Some(change) = incoming.recv(), if room => waiting.push_back(change),
                Some(reference) = returned.recv() => self.resume(&reference),
                job = jobs.recv() => match job {
                    Some(job) => self.ready.extend(job.items()),
                    None => return,
                },
                _ = every.tick() => self.write_served(),
            }
            self.settle_more();
            self.decide_changes();
            // Jobs are bounded by the permits of their documents, so this queue is too.
            while self.ready.len() < self.config.group_records_max
                && let Ok(job) = self.jobs.try_recv()
            {
                self.ready.extend(job.items());
            }
            while !self.ready.is_empty() {
                self.round();
                if !self.ready.is_empty() {
                    // Between two groups the other platforms of this node have their turn.
                    tokio::task::yield_now().await;
                    self.settle_more();
                    self.decide_changes();
                }
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
        let Some(InFlight { item, doc_id, state, warnings, .. }) = self.flight.pop_front() else { return };
        self.release(&item.document.reference.clone());
        match outcome {
            Some(Outcome::Done { position, durability }) => {
                self.last_done = position.index;
                if !item.document.document.kind.ledgers.is_empty() {
                    self.duties.notify_one();
                }
                let stored = Stored {
                    doc_id: doc_id.to_string(),
                    doc_version: item.document.key.doc_version,
                    state,
                    position,
                    durability,
                    warnings,
                    repeated: false,
                };
                self.answer(item, stored);
            }
            other => {
                // Its record may have been the one that carried what was served.
                self.served.not_written();
                item.settle(not_done(other));
            }
        }
    }

    /// Answers what is stored, or parks it until it is as durable as its answer must say.
    fn answer(&mut self, item: Item, stored: Stored) {
        let demanded = item.document.document.kind.replicated || self.promise().demanded;
        if demanded && stored.durability == Durability::Local {
            self.parked.push_back(Parked { item, stored });
        } else {
            item.settle(Settled::Stored(stored));
        }
    }

    fn promise(&self) -> Promise {
        let status = self.status.borrow();
        let policy = status.placement.as_ref().map(|p| p.policy);
        policy.map_or_else(Promise::default, |p| Promise {
            demanded: p.min_durability == Durability::Replicated,
            never: p.durability == DurabilityMode::Async || p.same_site,
        })
    }

    /// Asks what can be promised now. Callers that gave up are let go: their documents are stored, and a repeat finds them.
    fn ask_for_parked(&mut self) {
        self.parked.retain(|p| !p.item.answers.is_abandoned());
        if self.parked.is_empty() {
            return;
        }
        // A full queue: the next change of the status asks again.
        if let Ok(outcome) = self.log.depend(APPLIED_SO_FAR) {
            self.confirming.push(Box::pin(async move { outcome.await.ok() }));
        }
    }

    fn settle_parked(&mut self, outcome: Option<Outcome>) {
        match outcome {
            Some(Outcome::Done { position, durability: Durability::Replicated }) => {
                let (held, rest) = std::mem::take(&mut self.parked)
                    .into_iter()
                    .partition(|p| p.stored.position.index <= position.index);
                self.parked = rest;
                let held: VecDeque<Parked> = held;
                for Parked { item, stored } in held {
                    item.settle(Settled::Stored(Stored { durability: Durability::Replicated, ..stored }));
                }
            }
            Some(Outcome::Done { .. } | Outcome::Overloaded) => {}
            // Not primary any more, or the node stops: whether the record lives on is for whoever is primary to say.
            other => {
                for Parked { item, .. } in std::mem::take(&mut self.parked) {
                    item.settle(not_done(match other {
                        Some(Outcome::NotPrimary { .. } | Outcome::Held) => Some(Outcome::Unknown),
                        ref same => same.clone(),
                    }));
                }
            }
        }
    }

    fn settle_repeats(&mut self, outcome: Option<Outcome>, repeated: Vec<(Item, Stored)>) {
        for (item, stored) in repeated {
            match &outcome {
                Some(Outcome::Done { durability, .. }) => {
                    self.answer(item, Stored { durability: *durability, ..stored });
                }
                other => item.settle(not_done(other.clone())),
            }
        }
    }

    /// Writes what was served when no document's record has carried it.
    fn write_served(&mut self) {
        let Ok(Ok(moment)) = self.moment() else { return };
        let Some(effect) = self.served.effect() else { return };
        let draft = Draft { effects: vec![effect], ..Draft::bare(RecordKind::Entry, moment.time) };
        if self.log.propose(vec![draft], moment.generation).is_err() {
            self.served.not_written();
        }
    }

    /// Ends the wait of those behind a reference: they are decided afresh.
    pub(crate) fn release(&mut self, reference: &Bytes) {
        self.turns.give(reference);
        self.resume(reference);
    }

    fn resume(&mut self, reference: &Bytes) {
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
            let verdict = self.rules.decide(&item.document, row, &moment);
            match verdict.unwrap_or_else(|error| Verdict::Settle(failed(&error))) {
                Verdict::Propose { draft, doc_id, state, warnings } => {
                    moment.index = moment.index.next();
                    drafts.push(*draft);
                    proposed.push((item, doc_id, state, warnings));
                }
                Verdict::Repeat(stored) => {
                    self.release(&item.document.reference.clone());
                    repeated.push((item, stored));
                }
                Verdict::Settle(settled) => self.finish(item, settled),
            }
        }
        self.confirm(repeated);
        self.propose(drafts, proposed, &moment);
    }

    fn finish(&mut self, item: Item, settled: Settled) {
        if matches!(settled, Settled::DiskFull) {
            self.gate.count_disk();
        }
        self.release(&item.document.reference.clone());
        item.settle(settled);
    }

    fn settle_ready(&mut self, settled: &Settled) {
        for item in std::mem::take(&mut self.ready) {
            item.settle(settled.clone());
        }
    }

    /// The state of the world for one group; `Err` inside: the platform is closed, with the answer that says so.
    pub(crate) fn moment(&mut self) -> Result<Result<Moment, Settled>, Error> {
        let (role, generation, placed, blocks) = {
            let status = self.status.borrow();
            let blocks = match &status.placement {
                // Blocks belong to the placement's epoch; while that differs from the role's, none is usable.
                Some(p) if status.role != (Role::Primary { epoch: p.epoch }) => Vec::new(),
                _ => status.numbers.clone(),
            };
            (status.role.clone(), status.generation, status.primary(), blocks)
        };
        let epoch = match role {
            Role::Primary { epoch } => epoch,
            closed => return Ok(Err(closed_answer(&closed, placed))),
        };
        if self.rules.numbers.enter(epoch, &*self.log)? {
            // Records behind an older epoch's last answer may be gone.
            self.last_done = JournalIndex::ZERO;
        }
        self.served.enter(epoch, &*self.log)?;
        let time = (self.clock)().max(self.log.last_time()).max(self.last_time);
        self.served.count(self.gate.take_served(), time);
        let (disk_full, promise) = (self.gate.is_disk_full(self.log.disk_bytes()), self.promise());
        let behind = JournalIndex::from_u64(self.last_done.as_u64() + self.flight.len() as u64);
        let index = behind.max(self.log.last().index).next();
        Ok(Ok(Moment { epoch, generation, blocks, time, index, disk_full, promise }))
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
            if !self.turns.take(&item.document.reference) {
                // A receipt for one of its versions is being written: it is told when that is done.
                self.busy.insert(item.document.reference.clone(), [item].into());
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

    fn propose(
        &mut self,
        mut drafts: Vec<Draft>,
        proposed: Vec<(Item, DocId, State, Vec<Failure>)>,
        moment: &Moment,
    ) {
        let time = moment.time;
        // On the first of the group: whoever is answered for one of these is counted by a record before it.
        let Some(first) = drafts.first_mut() else { return };
        first.effects.extend(self.served.effect());
        self.last_time = time;
        self.log.note_next_number(self.rules.numbers.next());
        match self.log.propose(drafts, moment.generation) {
            Ok(pending) => {
                for (Pending { outcome, .. }, (item, doc_id, state, warnings)) in
                    pending.into_iter().zip(proposed)
                {
                    self.flight.push_back(InFlight { item, doc_id, state, warnings, outcome });
                }
            }
            Err(full) => {
                warn!(region = %full.0, "the journal's queue is full");
                self.served.not_written();
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

/// What every outcome but `Done` means for the caller. A closed channel: the node is stopping.
pub(crate) fn not_done(outcome: Option<Outcome>) -> Settled {
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
        // Peers told of a higher epoch before the registry's news of it came: who serves now is known in a moment.
        Role::Fenced { epoch } if placed.is_some_and(|(_, known)| *epoch > known) => Settled::Held,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_waits_for_the_news_of_a_move_and_a_fenced_platform_says_so_at_once() {
        let node = |name: &str| name.parse::<NodeId>().unwrap();
        let (old, new) = (Epoch::from_u64(1), Epoch::from_u64(2));
        let placed = Some((node("a"), old));
        assert!(matches!(closed_answer(&Role::Fenced { epoch: new }, placed), Settled::Held));
        let failed = closed_answer(&Role::Fenced { epoch: old }, placed);
        assert!(matches!(failed, Settled::NotPrimary { primary, .. } if primary == node("a")));
        assert!(matches!(closed_answer(&Role::Fenced { epoch: new }, None), Settled::Fenced));
        let moved = closed_answer(&Role::Backup { epoch: new, primary: node("b") }, placed);
        assert!(matches!(moved, Settled::NotPrimary { primary, .. } if primary == node("b")));
    }
}
