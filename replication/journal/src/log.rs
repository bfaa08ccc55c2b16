//! What a replica knows of its own journal: head, durable and applied positions, recent digests, recent records.
//!
//! Invariants: `applied_index ≤ applying ≤ committed ≤ durable.index ≤ last.index`; `committed` and the applied
//! positions fall only with a truncation that keeps everything applied, or a rewind; `ring` is dense and ends at `last`; `cache` is dense and, unless empty, ends at `last`.
//! Both are bounded by count (the cache also by bytes).

use crate::{Limits, Recovered};
use eport_model::{EpochHistory, JournalIndex, Lineage, Position, Record, Timestamp};
use std::collections::VecDeque;
use std::sync::Arc;

/// Own journal, as far as the protocol needs it in memory.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    /// Epochs of every appended record.
    history: EpochHistory,
    /// Last record handed to storage.
    pub(crate) last: Position,
    /// Its record time.
    pub(crate) last_time: Timestamp,
    /// Last fsynced record.
    pub(crate) durable: Position,
    /// Last record that cannot vanish any more.
    pub(crate) committed: JournalIndex,
    /// Newest applied record whose digest is known.
    pub(crate) applied: Position,
    /// Last applied record.
    pub(crate) applied_index: JournalIndex,
    /// Last record storage was asked to apply.
    pub(crate) applying: JournalIndex,
    pub(crate) marks: crate::slots::Marks,
    ring: VecDeque<Position>,
    ring_max: usize,
    cache: VecDeque<Arc<Record>>,
    cache_bytes: usize,
    cache_records_max: usize,
    cache_bytes_max: usize,
    /// Lineage of the last record.
    lineage: Option<Lineage>,
    /// Where a lineage followed another one since the journal was opened: the first record of the new one, and the old one.
    turned: Option<(JournalIndex, Lineage)>,
}

impl Log {
    pub(crate) fn new(recovered: &Recovered, limits: &Limits) -> Self {
        let mut ring = VecDeque::new();
        if recovered.last.index > JournalIndex::ZERO {
            ring.push_back(recovered.last);
        }
        Self {
            history: recovered.history.clone(),
            last: recovered.last,
            last_time: recovered.last_time,
            durable: recovered.last,
            // What was applied was committed; more is learnt again from acknowledgements or from the primary.
            committed: recovered.applied.index,
            applied: recovered.applied,
            applied_index: recovered.applied.index,
            applying: recovered.applied.index,
            marks: crate::slots::Marks::default(),
            ring,
            // Twice the records that may be in flight: a follower keeps the digests of everything not applied yet.
            ring_max: limits.in_flight_max.saturating_mul(2).max(16),
            cache: VecDeque::new(),
            cache_bytes: 0,
            cache_records_max: limits.cache_records,
            cache_bytes_max: limits.cache_bytes,
            lineage: recovered.lineage,
            turned: None,
        }
    }

    /// True when storage has confirmed everything it was given.
    pub(crate) fn settled(&self) -> bool {
        self.durable == self.last
    }

    /// Lineage of the last record; `None` for an empty journal.
    pub(crate) fn lineage(&self) -> Option<Lineage> {
        self.lineage
    }

    /// Epochs of all appended records.
    pub(crate) fn history(&self) -> &EpochHistory {
        &self.history
    }

    /// Epochs of the fsynced part.
    pub(crate) fn durable_history(&self) -> EpochHistory {
        let mut history = self.history.clone();
        history.truncate_after(self.durable.index);
        history
    }

    /// Takes a record that directly follows `last`. `cache` keeps it at hand for shipping.
    pub(crate) fn append(&mut self, record: &Arc<Record>, cache: bool) {
        debug_assert_eq!(record.index(), self.last.index.next());
        let position = record.position();
        if position.epoch > self.history.last_epoch() {
            // Cannot fail: the epoch rises and so does the index.
            let _ = self.history.push(position.epoch, position.index);
        }
        if let Some(old) = self.lineage.replace(record.header.lineage)
            && old != record.header.lineage
        {
            self.turned = Some((position.index, old));
        }
        self.marks.note(position.index, record.weight() as u64, record.header.time);
        self.last = position;
        self.last_time = record.header.time;
        self.ring.push_back(position);
        self.trim_ring();
        if cache {
            self.cache_bytes += record.weight();
            self.cache.push_back(Arc::clone(record));
            while self.cache.len() > self.cache_records_max || self.cache_bytes > self.cache_bytes_max {
                let Some(old) = self.cache.pop_front() else { break };
                self.cache_bytes -= old.weight();
            }
        } else {
            self.drop_cache();
        }
    }

    /// Storage confirmed everything up to `last`. False when that is not a position of this journal.
    pub(crate) fn confirm(&mut self, last: Position) -> bool {
        if last.index <= self.durable.index || self.position_at(last.index) != Some(last) {
            return false;
        }
        self.durable = last;
        true
    }

    /// Storage applied everything up to `through`. True when the digest there is known.
    pub(crate) fn note_applied(&mut self, through: JournalIndex) -> bool {
        self.applied_index = self.applied_index.max(through);
        self.applying = self.applying.max(through);
        match self.position_at(through) {
            Some(position) if through >= self.applied.index => self.applied = position,
            Some(_) => {}
            None => return false,
        }
        self.trim_ring();
        true
    }

    /// The journal now ends at `last`.
    pub(crate) fn truncate(&mut self, last: Position, last_time: Timestamp) {
        self.history.truncate_after(last.index);
        self.last = last;
        self.last_time = last_time;
        self.durable = last;
        if let Some((_, old)) = self.turned.take_if(|(turn, _)| last.index < *turn) {
            self.lineage = Some(old);
        }
        self.committed = self.committed.min(last.index);
        self.marks.truncate(last.index);
        while self.ring.back().is_some_and(|p| p.index > last.index) {
            self.ring.pop_back();
        }
        if self.ring.is_empty() && last.index > JournalIndex::ZERO {
            self.ring.push_back(last);
        }
        self.drop_cache();
    }

    /// Rows are no longer those of records beyond `after`.
    pub(crate) fn rewind(&mut self, after: Position) {
        if self.applied_index > after.index {
            self.applied = after;
            self.applied_index = after.index;
            self.applying = after.index;
        }
        self.committed = self.committed.min(after.index.max(self.applied_index));
    }

    /// Position of an own record, if its digest is at hand.
    pub(crate) fn position_at(&self, index: JournalIndex) -> Option<Position> {
        if index == JournalIndex::ZERO {
            return Some(Position::ZERO);
        }
        if index == self.applied.index {
            return Some(self.applied);
        }
        let first = self.ring.front()?.index;
        if index < first {
            return None;
        }
        self.ring.get(index.since(first) as usize).copied()
    }

    /// Cached records from `from` to at most `through`, about `max_bytes` of them; empty when `from` is not cached.
    pub(crate) fn cached(
        &self,
        from: JournalIndex,
        through: JournalIndex,
        max_bytes: usize,
    ) -> Vec<Arc<Record>> {
        let Some(first) = self.cache.front().map(|r| r.index()) else { return Vec::new() };
        if from < first {
            return Vec::new();
        }
        let mut bytes = 0;
        let mut found = Vec::new();
        for record in self.cache.iter().skip(from.since(first) as usize) {
            bytes += record.weight();
            if record.index() > through || (bytes > max_bytes && !found.is_empty()) {
                break;
            }
            found.push(Arc::clone(record));
        }
        found
    }

    /// Forgets cached records: a follower ships nothing.
    pub(crate) fn drop_cache(&mut self) {
        self.cache.clear();
        self.cache_bytes = 0;
    }

    fn trim_ring(&mut self) {
        let keep = self.cache_records_max.max(2);
        while self.ring.len() > self.ring_max
            || (self.ring.len() > keep && self.ring.front().is_some_and(|p| p.index < self.applied_index))
        {
            self.ring.pop_front();
        }
    }
}
