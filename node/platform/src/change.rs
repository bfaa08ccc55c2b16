//! Other decisions in journal order, beside documents: what an account allows, what becomes of a document that was lodged before.
//!
//! Always: a change names one reference, a document's or another row's; while a record of that reference is in flight the change
//! waits, and while the change is in flight whatever else names the reference waits. So both read committed rows only.

use crate::Error;
use crate::job::Settled;
use crate::log::Log;
use crate::platform::Platform;
use crate::rules::Moment;
use crate::sequencer::{Sequencer, not_done};
use bytes::Bytes;
use eport_journal::Outcome;
use eport_model::{Draft, Durability, Effect, Epoch, RecordKind, Timestamp};
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use std::collections::{HashMap, VecDeque};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

/// Changes that wait or are in flight; beyond it callers wait, then give up.
pub(crate) const CHANGES_MAX: usize = 1_024;

/// Says what is to be written, given the rows, the epoch and the record's time. Nothing: nothing is written.
pub(crate) type Decide = Box<dyn FnOnce(&dyn Log, Epoch, Timestamp) -> Result<Vec<Effect>, Error> + Send>;

/// One decision.
pub(crate) struct Change {
    pub(crate) reference: Bytes,
    pub(crate) decide: Decide,
    pub(crate) done: oneshot::Sender<Changed>,
}

/// What became of it.
#[derive(Debug)]
pub(crate) enum Changed {
    /// Its rows are applied, and so durable.
    Written(Durability),
    /// It had nothing to write.
    Unchanged,
    /// It was not carried out, or nobody knows.
    Not(Settled),
}

type Landed = (Bytes, oneshot::Sender<Changed>, Option<Outcome>);

/// The changes of one platform.
pub(crate) struct Changes {
    pub(crate) incoming: mpsc::Receiver<Change>,
    pub(crate) waiting: VecDeque<Change>,
    pub(crate) flight: FuturesUnordered<BoxFuture<'static, Landed>>,
}

impl Changes {
    pub(crate) fn new(incoming: mpsc::Receiver<Change>) -> Self {
        Self { incoming, waiting: VecDeque::new(), flight: FuturesUnordered::new() }
    }

    pub(crate) fn has_room(&self) -> bool {
        self.waiting.len() + self.flight.len() < CHANGES_MAX
    }
}

impl Sequencer {
    /// Decides every change whose reference is free.
    pub(crate) fn decide_changes(&mut self) {
        for _ in 0..self.changes.waiting.len() {
            let Some(change) = self.changes.waiting.pop_front() else { return };
            if change.done.is_closed() {
                continue;
            }
            // In use here, or by the exchange: then the loop turns again when it is given back.
            match self.busy.contains_key(&change.reference) || !self.turns.take(&change.reference) {
                true => self.changes.waiting.push_back(change),
                false => self.decide_change(change),
            }
        }
    }

    fn decide_change(&mut self, change: Change) {
        let Change { reference, decide, done } = change;
        let (effects, moment) = match self.effects_of(decide) {
            Ok(found) => found,
            Err(changed) => {
                self.release(&reference);
                return answer(done, changed);
            }
        };
        self.last_time = moment.time;
        let draft = Draft { effects, ..Draft::bare(RecordKind::Entry, moment.time) };
        let pending = self.log.propose(vec![draft], moment.generation);
        let Some(pending) = pending.ok().and_then(|p| p.into_iter().next()) else {
            self.release(&reference);
            return answer(done, Changed::Not(Settled::Overloaded));
        };
        self.busy.insert(reference.clone(), VecDeque::new());
        self.changes.flight.push(Box::pin(async move { (reference, done, pending.outcome.await.ok()) }));
    }

    /// What a decision writes, and when; otherwise what becomes of the change.
    fn effects_of(&mut self, decide: Decide) -> Result<(Vec<Effect>, Moment), Changed> {
        let failed = |e: Error| Changed::Not(Settled::Failed { detail: e.to_string() });
        let moment = self.moment().map_err(failed)?.map_err(Changed::Not)?;
        let effects = decide(&*self.log, moment.epoch, moment.time).map_err(failed)?;
        if effects.is_empty() { Err(Changed::Unchanged) } else { Ok((effects, moment)) }
    }

    /// A change is committed, or gone.
    pub(crate) fn settle_change(&mut self, landed: Landed) {
        let (reference, done, outcome) = landed;
        self.release(&reference);
        let changed = match outcome {
            Some(Outcome::Done { position, durability }) => {
                self.last_done = self.last_done.max(position.index);
                Changed::Written(durability)
            }
            other => Changed::Not(not_done(other)),
        };
        answer(done, changed);
    }
}

/// The caller may have given up.
fn answer(done: oneshot::Sender<Changed>, changed: Changed) {
    let _ = done.send(changed);
}

/// Changes by their reference, with the place where they are decided.
pub(crate) type Busy = HashMap<Bytes, VecDeque<crate::job::Item>>;

impl Platform {
    /// Has something decided in journal order.
    pub(crate) async fn change(&self, reference: Bytes, decide: Decide) -> Changed {
        let deadline = Instant::now() + self.inner.config.write_timeout;
        let (done, decided) = oneshot::channel();
        let change = Change { reference, decide, done };
        let sent = timeout_at(deadline, self.inner.changes.send(change)).await;
        if !matches!(sent, Ok(Ok(()))) {
            return Changed::Not(Settled::Overloaded);
        }
        match timeout_at(deadline, decided).await {
            Ok(Ok(changed)) => changed,
            Ok(Err(_)) | Err(_) => Changed::Not(Settled::Unknown),
        }
    }
}
