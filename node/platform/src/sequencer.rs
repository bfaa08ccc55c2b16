//! The one task of a platform that decides in journal order: duplicates, versions, numbers, record time.
//!
//! Invariants: at most one record of a business reference (lodger, type, client reference) is in flight; whatever else names
//! that reference waits behind it and is decided afresh when it is committed or gone, so no answer rests on a record that may
//! vanish. Numbers rise with the journal. Every item is settled exactly once.

use crate::job::{Item, Job, Settled, Stored};
use crate::log::Log;
use crate::numbers::Numbers;
use crate::platform::{Clock, SharedTables};
use crate::rules::{Moment, Rules, Verdict};
use crate::{Config, Error};
use bytes::Bytes;
use eport_agent::{Pending, PlatformStatus};
use eport_documents::{DocId, Failure, Packs, State};
use eport_journal::{Outcome, Role};
use eport_model::{Draft, Epoch, JournalIndex, NodeId, Timestamp};
use futures::stream::{FuturesUnordered, StreamExt};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot, watch};
use tracing::warn;

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

pub(crate) struct Sequencer {
    log: Arc<dyn Log>,
    rules: Rules,
    clock: Clock,
    config: Config,
    status: watch::Receiver<PlatformStatus>,
    jobs: mpsc::Receiver<Job>,
    ready: VecDeque<Item>,
    flight: VecDeque<InFlight>,
    repeats: FuturesUnordered<Repeats>,
    /// References with a record in flight, and who waits behind it.
    busy: HashMap<Bytes, VecDeque<Item>>,
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
            rules: Rules { log: log.clone(), packs, tables, numbers: Numbers::default() },
            log,
            clock,
            config,
            jobs,
            ready: VecDeque::new(),
            flight: VecDeque::new(),
            repeats: FuturesUnordered::new(),
            busy: HashMap::new(),
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
            let verdict = self.rules.decide(&item.document, row, &moment);
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
        self.propose(drafts, proposed, &moment);
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
        let time = (self.clock)().max(self.log.last_time()).max(self.last_time);
        let behind = JournalIndex::from_u64(self.last_done.as_u64() + self.flight.len() as u64);
        let index = behind.max(self.log.last().index).next();
        Ok(Ok(Moment { epoch, generation, blocks, time, index }))
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

    fn propose(&mut self, drafts: Vec<Draft>, proposed: Vec<(Item, DocId, Vec<Failure>)>, moment: &Moment) {
        let time = moment.time;
        if drafts.is_empty() {
            return;
        }
        self.last_time = time;
        self.log.note_next_number(self.rules.numbers.next());
        match self.log.propose(drafts, moment.generation) {
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
