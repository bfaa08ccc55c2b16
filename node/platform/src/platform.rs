//! The platform as the HTTP layer sees it: submit, with bounded waiting for switchovers and commits.

use crate::Config;
use crate::accounts::Homes;
use crate::answer::SubmitAnswer;
use crate::change::{CHANGES_MAX, Change};
use crate::hosting::{Gate, TURN, Turn};
use crate::job::{Answers, Job, Settled};
use crate::log::Log;
use crate::prepare::{Caller, Prepared, not_encrypted};
use crate::sequencer::{Ends, Sequencer, closed_answer};
use bytes::Bytes;
use eport_agent::PlatformStatus;
use eport_documents::Tables;
use eport_documents::pack::Shelf;
use eport_journal::Role;
use eport_model::{RegionCode, Timestamp, codes};
use futures::future::BoxFuture;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, Semaphore, mpsc, watch};
use tokio::time::{Instant, timeout_at};

/// The node's wall clock, passed in so that it is read in one place.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The node's tables.
pub type SharedTables = Arc<dyn Tables + Send + Sync>;

/// The node's packs.
pub type SharedPacks = Arc<dyn Shelf>;

/// Documents of a batch that travel to the sequencer together: the next ones are judged while these wait for the disk.
const CHUNK: usize = 256;

/// Jobs that may wait for the sequencer. Each carries at least one permit of `documents_max`, so the queue is bounded twice.
const JOBS_MAX: usize = 4_096;

/// One hosted platform. Cheap to clone; its sequencer ends when the last clone is dropped.
#[derive(Clone)]
pub struct Platform {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) log: Arc<dyn Log>,
    pub(crate) packs: SharedPacks,
    pub(crate) tables: SharedTables,
    pub(crate) clock: Clock,
    pub(crate) config: Config,
    jobs: mpsc::Sender<Job>,
    pub(crate) changes: mpsc::Sender<Change>,
    /// Told when a document asks something of accounts.
    pub(crate) duties: Arc<Notify>,
    pub(crate) homes: Homes,
    documents: Arc<Semaphore>,
    /// One re-submission at a time: two would both write what became of a record.
    pub(crate) resubmitting: tokio::sync::Mutex<()>,
    held: Arc<Semaphore>,
    gate: Arc<Gate>,
    /// Tokens and requests that somebody is about to use or decide.
    pub(crate) claims: Arc<crate::enrolments::Claims>,
    /// References and ids whose rows are being decided.
    pub(crate) turns: Arc<crate::turns::Turns>,
    /// What the pump last saw of each channel.
    pub(crate) channels: std::sync::Mutex<std::collections::BTreeMap<RegionCode, crate::ChannelView>>,
    /// Consignments as far as the journal was followed; nothing until they are asked for.
    pub(crate) followed: std::sync::Mutex<crate::Followed>,
    /// Counts rows of the exchange within a millisecond.
    pub(crate) made: std::sync::atomic::AtomicU32,
}

/// One input of a batch: judged, or answered already.
enum Slot {
    Judged(Arc<Prepared>),
    Answered(SubmitAnswer),
}

impl Platform {
    /// Starts the platform's sequencer on the current runtime.
    pub fn start(
        log: Arc<dyn Log>,
        packs: SharedPacks,
        tables: SharedTables,
        clock: Clock,
        config: Config,
    ) -> Self {
        let (jobs, receiver) = mpsc::channel(JOBS_MAX);
        let (changes, changing) = mpsc::channel(CHANGES_MAX);
        let duties = Arc::new(Notify::new());
        let (turns, returned) = crate::turns::Turns::new();
        let sequencer = Sequencer::new(
            log.clone(),
            packs.clone(),
            tables.clone(),
            clock.clone(),
            config.clone(),
            Ends {
                jobs: receiver,
                changes: changing,
                duties: duties.clone(),
                turns: turns.clone(),
                returned,
            },
        );
        tokio::spawn(sequencer.run());
        let documents = Arc::new(Semaphore::new(config.documents_max));
        let held = Arc::new(Semaphore::new(config.hold_documents_max));
        let resubmitting = tokio::sync::Mutex::new(());
        let gate = config.hosting.gate(log.region());
        let claims = Arc::default();
        let inner = Inner {
            log,
            packs,
            tables,
            clock,
            config,
            jobs,
            changes,
            duties,
            homes: Homes::default(),
            documents,
            resubmitting,
            held,
            gate,
            claims,
            turns,
            channels: Default::default(),
            followed: Default::default(),
            made: Default::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// The platform's region.
    pub fn region(&self) -> RegionCode {
        self.inner.log.region()
    }

    /// Watches role, placement and numbers of the replica.
    pub fn status(&self) -> watch::Receiver<PlatformStatus> {
        self.inner.log.status()
    }

    /// Hands in one document.
    pub fn submit<'a>(
        &'a self,
        caller: &'a Caller,
        raw: &'a [u8],
        signature: Option<Bytes>,
    ) -> BoxFuture<'a, SubmitAnswer> {
        Box::pin(async move {
            if let Some(redirect) = self.redirect() {
                return redirect;
            }
            let Some(turn) = self.turn(1).await else { return no_turn() };
            self.inner.gate.serve(1);
            let judged = self.judge(caller, raw, signature);
            drop(turn);
            let mut answers = self.settle_all(vec![judged]).await;
            answers.pop().unwrap_or_else(|| SubmitAnswer::unavailable(codes::INTERNAL, "no answer"))
        })
    }

    /// Hands in many documents; one answer each, in order. A redirected line was not judged here: forward it as it came.
    pub fn submit_batch<'a>(
        &'a self,
        caller: &'a Caller,
        lines: &'a [Bytes],
    ) -> BoxFuture<'a, Vec<SubmitAnswer>> {
        Box::pin(async move {
            if let Some(redirect) = self.redirect() {
                return vec![redirect; lines.len()];
            }
            let caller = Arc::new(caller.clone());
            let mut slots = Vec::with_capacity(lines.len());
            let mut sent = Vec::new();
            for chunk in lines.chunks(CHUNK) {
                let from = slots.len();
                for part in chunk.chunks(TURN) {
                    slots.extend(self.judge_part(&caller, part).await);
                }
                sent.push(self.send(&slots, (from..slots.len()).collect()).await);
                tokio::task::yield_now().await;
            }
            self.collect(slots, sent).await
        })
    }

    /// Judges one document without storing it: the dry run. `Ok` lists the warnings.
    pub async fn check(
        &self,
        caller: &Caller,
        raw: &[u8],
    ) -> Result<Vec<eport_documents::Failure>, Box<SubmitAnswer>> {
        let Some(_turn) = self.turn(1).await else { return Err(Box::new(no_turn())) };
        self.inner.gate.serve(1);
        match self.judge(caller, raw, None) {
            Slot::Judged(prepared) => Ok(prepared.document.warnings.clone()),
            Slot::Answered(answer) => Err(Box::new(answer)),
        }
    }

    /// Counts a request that is served here and is no submission.
    pub fn serve(&self) {
        self.inner.gate.serve(1);
    }

    /// Judges what one turn allows on the threads that are there for it; the turn is over when that is done, also when the caller
    /// has gone away.
    async fn judge_part(&self, caller: &Arc<Caller>, part: &[Bytes]) -> Vec<Slot> {
        let Some(turn) = self.turn(part.len()).await else {
            return part.iter().map(|_| Slot::Answered(no_turn())).collect();
        };
        self.inner.gate.serve(part.len() as u64);
        let (platform, caller, lines) = (self.clone(), caller.clone(), part.to_vec());
        let judge = move || {
            let judged = lines.iter().map(|raw| platform.judge(&caller, raw, None)).collect();
            drop(turn);
            judged
        };
        let lost = || Slot::Answered(SubmitAnswer::unavailable(codes::INTERNAL, "no answer"));
        let judged: Option<Vec<Slot>> = self.inner.config.hosting.judges().run(judge).await;
        judged.unwrap_or_else(|| part.iter().map(|_| lost()).collect())
    }

    /// Waits for the platform's turn to judge; `None` when it has waited too long, or too many wait.
    async fn turn(&self, documents: usize) -> Option<Turn> {
        let deadline = Instant::now() + self.inner.config.write_timeout;
        let turn = self.inner.config.hosting.turn(self.region(), documents);
        timeout_at(deadline, turn).await.ok().flatten()
    }

    /// Where to go, when this node certainly is not primary.
    fn redirect(&self) -> Option<SubmitAnswer> {
        let status = self.inner.log.status();
        let status = status.borrow();
        match closed_answer(&status.role, status.primary()) {
            Settled::NotPrimary { primary, epoch } => Some(SubmitAnswer::Redirect { primary, epoch }),
            Settled::Fenced => {
                Some(SubmitAnswer::unavailable(codes::FENCED, "this node may not write for the platform"))
            }
            _ => None,
        }
    }

    fn judge(&self, caller: &Caller, raw: &[u8], signature: Option<Bytes>) -> Slot {
        let Inner { packs, tables, clock, config, .. } = &*self.inner;
        let ring = match config.keys.need() {
            Ok(ring) => ring,
            Err(error) => return Slot::Answered(not_encrypted(&error)),
        };
        match Prepared::new(caller, raw, signature, &**packs, tables, clock(), &ring) {
            Ok(prepared) => Slot::Judged(Arc::new(prepared)),
            Err(answer) => Slot::Answered(*answer),
        }
    }

    /// Hands documents that were prepared elsewhere to the sequencer; what became of each, in order.
    pub(crate) async fn settle_prepared(&self, documents: Vec<Arc<Prepared>>) -> Vec<Settled> {
        let mut settled = vec![Settled::Unknown; documents.len()];
        let slots: Vec<Slot> = documents.into_iter().map(Slot::Judged).collect();
        for (n, outcome) in self.send(&slots, (0..slots.len()).collect()).await.answers().await {
            settled[n] = outcome;
        }
        settled
    }

    async fn settle_all(&self, slots: Vec<Slot>) -> Vec<SubmitAnswer> {
        let sent = vec![self.send(&slots, (0..slots.len()).collect()).await];
        self.collect(slots, sent).await
    }

    /// Collects the answers; what a switchover holds is sent again, in order, until the role is clear or the time is over.
    async fn collect(&self, slots: Vec<Slot>, mut sent: Vec<Sent>) -> Vec<SubmitAnswer> {
        let mut settled: Vec<Option<Settled>> = vec![None; slots.len()];
        let hold_until = Instant::now() + self.inner.config.hold_max;
        let mut _held = None;
        loop {
            let mut held = Vec::new();
            for sent in sent {
                for (n, outcome) in sent.answers().await {
                    if matches!(outcome, Settled::Held) {
                        held.push(n);
                    }
                    settled[n] = Some(outcome);
                }
            }
            if held.is_empty() {
                break;
            }
            if _held.is_none() {
                let count = u32::try_from(held.len()).unwrap_or(u32::MAX);
                _held = self.inner.held.clone().try_acquire_many_owned(count).ok();
                if _held.is_none() {
                    break;
                }
            }
            match self.wait_for_role(hold_until).await {
                None => sent = vec![self.send(&slots, held).await],
                Some(answer) => {
                    held.into_iter().for_each(|n| settled[n] = Some(answer.clone()));
                    break;
                }
            }
        }
        let answer = |(slot, settled): (Slot, Option<Settled>)| match slot {
            Slot::Answered(answer) => answer,
            Slot::Judged(p) => SubmitAnswer::settled(settled.unwrap_or(Settled::Unknown), &p.key),
        };
        slots.into_iter().zip(settled).map(answer).collect()
    }

    /// Waits until this node takes writes (`None`), or is certain not to, or the time is over.
    async fn wait_for_role(&self, until: Instant) -> Option<Settled> {
        let mut status = self.inner.log.status();
        loop {
            {
                let now = status.borrow_and_update();
                if matches!(now.role, Role::Primary { .. }) {
                    break;
                }
                let closed = closed_answer(&now.role, now.primary());
                if !matches!(closed, Settled::Held) {
                    return Some(closed);
                }
            }
            match timeout_at(until, status.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => return Some(Settled::Held),
            }
        }
        // The replica may hold requests a moment longer than the status says; a pause keeps the next try from spinning.
        let pause = Instant::now() + Duration::from_millis(1);
        if pause >= until {
            return Some(Settled::Held);
        }
        tokio::time::sleep_until(pause).await;
        None
    }

    /// Sends the judged ones of these inputs to the sequencer.
    async fn send(&self, slots: &[Slot], picks: Vec<usize>) -> Sent {
        let deadline = Instant::now() + self.inner.config.write_timeout;
        let (mut at, mut documents) = (Vec::with_capacity(picks.len()), Vec::with_capacity(picks.len()));
        for n in picks {
            if let Slot::Judged(p) = &slots[n] {
                at.push(n);
                documents.push(p.clone());
            }
        }
        if documents.is_empty() {
            return Sent { at, outcome: Err(Settled::Unknown), deadline };
        }
        // Waiting here is the back pressure on callers; a caller that waits too long is told to come back.
        let room = async {
            let count = u32::try_from(documents.len()).ok()?;
            let permit = self.inner.documents.clone().acquire_many_owned(count).await.ok()?;
            Some((permit, self.inner.jobs.reserve().await.ok()?))
        };
        let outcome = match timeout_at(deadline, room).await {
            Ok(Some((permit, place))) => {
                let (answers, all) = Answers::new(documents.len());
                place.send(Job { documents, answers: answers.clone(), permit });
                Ok((answers, all))
            }
            Ok(None) | Err(_) => Err(Settled::Overloaded),
        };
        Sent { at, outcome, deadline }
    }
}

/// Nothing of it was looked at.
fn no_turn() -> SubmitAnswer {
    SubmitAnswer::unavailable(
        codes::OVERLOADED,
        "too many requests of this platform wait; nothing was stored",
    )
}

/// Inputs on their way.
struct Sent {
    /// Which inputs.
    at: Vec<usize>,
    /// Their answers to be, or what became of all of them.
    outcome: Result<(Arc<Answers>, tokio::sync::oneshot::Receiver<()>), Settled>,
    deadline: Instant,
}

impl Sent {
    /// The answers, once all are there or the time is over.
    async fn answers(self) -> Vec<(usize, Settled)> {
        match self.outcome {
            Ok((answers, all)) => {
                // Over time, or the sequencer ended: what has no answer is unknown.
                let _ = timeout_at(self.deadline, all).await;
                self.at.into_iter().zip(answers.take()).collect()
            }
            Err(settled) => self.at.into_iter().map(|n| (n, settled.clone())).collect(),
        }
    }
}
