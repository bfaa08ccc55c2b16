//! Appended records on their way to the state rows, so that the normal path reads nothing back.
//!
//! Invariant: the records are dense in index; what is missing in front was dropped for space and is read from the journal.

use eport_model::{JournalIndex, Record};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Recent appended records, bounded by bytes.
pub(super) struct Handoff {
    bytes_max: usize,
    inner: Mutex<Recent>,
}

#[derive(Default)]
struct Recent {
    bytes: usize,
    records: VecDeque<Arc<Record>>,
}

impl Handoff {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, inner: Mutex::default() }
    }

    fn hold(&self) -> MutexGuard<'_, Recent> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds fsynced records, dropping the oldest when the bound is reached.
    pub(super) fn push(&self, records: &[Arc<Record>]) {
        let mut recent = self.hold();
        for record in records {
            if recent.records.back().is_some_and(|b| b.index().next() != record.index()) {
                recent.clear();
            }
            recent.bytes += record.weight();
            recent.records.push_back(record.clone());
        }
        while recent.bytes > self.bytes_max && recent.pop().is_some() {}
    }

    /// Takes records dense from `from` up to `through`, about `bytes` of them; empty when `from` is not here.
    pub(super) fn take(&self, from: JournalIndex, through: JournalIndex, bytes: usize) -> Vec<Arc<Record>> {
        let mut recent = self.hold();
        while recent.records.front().is_some_and(|r| r.index() < from) {
            recent.pop();
        }
        let (mut taken, mut weight) = (Vec::new(), 0);
        let mut next = from;
        while weight < bytes && recent.records.front().is_some_and(|r| r.index() == next && next <= through) {
            let Some(record) = recent.pop() else { break };
            weight += record.weight();
            taken.push(record);
            next = next.next();
        }
        taken
    }

    /// Forgets everything; after a truncation the same indexes will hold other records.
    pub(super) fn clear(&self) {
        self.hold().clear();
    }
}

impl Recent {
    fn pop(&mut self) -> Option<Arc<Record>> {
        let record = self.records.pop_front()?;
        self.bytes = self.bytes.saturating_sub(record.weight());
        Some(record)
    }

    fn clear(&mut self) {
        self.records.clear();
        self.bytes = 0;
    }
}
