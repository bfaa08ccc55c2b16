//! A group of documents of one caller on its way through the sequencer, and where their answers are put.

use crate::prepare::Prepared;
use eport_documents::{Failure, Refusal};
use eport_model::{Durability, Epoch, NodeId, Position};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// What became of one document.
#[derive(Clone, Debug)]
pub(crate) enum Settled {
    /// Stored, now or earlier.
    Stored(Stored),
    /// Another document was accepted under the same key.
    Different { doc_id: String },
    /// A rule is broken that only the state could show.
    Refused(Refusal),
    /// The epoch's numbers are used up.
    NoNumbers,
    /// Nothing was appended: a switchover or an opening holds requests.
    Held,
    /// Nothing was appended: this node is not primary.
    NotPrimary { primary: NodeId, epoch: Epoch },
    /// Nothing was appended: too much waits.
    Overloaded,
    /// Nothing was appended: the platform takes as much disk as its quota allows.
    DiskFull,
    /// Nothing was appended: the answer must promise `replicated`, and the policy never does.
    Unpromisable,
    /// Nothing was appended: this node may not write.
    Fenced,
    /// It may or may not have been stored.
    Unknown,
    /// Storage failed.
    Failed { detail: String },
}

/// A stored document.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) doc_id: String,
    pub(crate) doc_version: u32,
    pub(crate) state: eport_documents::State,
    pub(crate) position: Position,
    pub(crate) durability: Durability,
    pub(crate) warnings: Vec<Failure>,
    /// True when it had been stored before.
    pub(crate) repeated: bool,
}

/// Documents in order, with the place for their answers.
pub(crate) struct Job {
    pub(crate) documents: Vec<Arc<Prepared>>,
    pub(crate) answers: Arc<Answers>,
    /// One permit a document; given back when the last answer is there and nobody looks any more.
    pub(crate) permit: OwnedSemaphorePermit,
}

/// One document of a job.
pub(crate) struct Item {
    pub(crate) document: Arc<Prepared>,
    pub(crate) answers: Arc<Answers>,
    pub(crate) n: usize,
    /// Kept while the document waits or is in flight.
    pub(crate) _permit: Arc<OwnedSemaphorePermit>,
}

impl Item {
    pub(crate) fn settle(self, settled: Settled) {
        self.answers.put(self.n, settled);
    }
}

impl Job {
    pub(crate) fn items(self) -> impl Iterator<Item = Item> {
        let permit = Arc::new(self.permit);
        let answers = self.answers;
        self.documents.into_iter().enumerate().map(move |(n, document)| Item {
            document,
            answers: answers.clone(),
            n,
            _permit: permit.clone(),
        })
    }
}

/// Answers of a job, filled in any order. A caller that gives up takes what is there.
pub(crate) struct Answers(Mutex<Slots>);

struct Slots {
    slots: Vec<Option<Settled>>,
    left: usize,
    done: Option<oneshot::Sender<()>>,
}

impl Answers {
    /// Empty answers, and a signal for when all are there.
    pub(crate) fn new(len: usize) -> (Arc<Self>, oneshot::Receiver<()>) {
        let (done, all) = oneshot::channel();
        (Arc::new(Self(Mutex::new(Slots { slots: vec![None; len], left: len, done: Some(done) }))), all)
    }

    fn put(&self, n: usize, settled: Settled) {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(slot @ None) = slots.slots.get_mut(n) else { return };
        *slot = Some(settled);
        slots.left -= 1;
        if slots.left == 0
            && let Some(done) = slots.done.take()
        {
            // The caller may have given up.
            let _ = done.send(());
        }
    }

    /// True when nobody waits for the answers any more.
    pub(crate) fn is_abandoned(&self) -> bool {
        let slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        slots.done.as_ref().is_none_or(oneshot::Sender::is_closed)
    }

    /// The answers; what has none yet is unknown.
    pub(crate) fn take(&self) -> Vec<Settled> {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        slots.done = None;
        slots.slots.iter_mut().map(|s| s.take().unwrap_or(Settled::Unknown)).collect()
    }
}
