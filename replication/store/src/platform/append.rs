//! Writes to the journal: append, seal, truncate. Each is one atomic, fsynced batch.

use super::{BODIES, JOURNAL, META, PlatformStore, hold, meta};
use crate::Error;
use crate::layout::{self, RECORD_LEN_MAX};
use eport_model::{Epoch, EpochHistory, HistoryError, JournalIndex, Position, Record, Timestamp};
use rocksdb::WriteBatch;
use std::sync::Arc;

impl PlatformStore {
    /// Appends records that directly follow the last one: one batch, one fsync. On success all of them survive any crash.
    pub fn append(&self, records: &[Arc<Record>]) -> Result<(), Error> {
        let groups: [&[Arc<Record>]; 1] = [records];
        self.append_groups(&groups)
    }

    /// Appends several requests' records with one fsync.
    pub(crate) fn append_groups(&self, groups: &[&[Arc<Record>]]) -> Result<(), Error> {
        let mut promise = hold(&self.0.append);
        self.writable()?;
        let before = hold(&self.0.head).clone();
        let (mut last, mut last_time, mut history) = (before.last, before.last_time, before.history);
        let epochs = history.entries().len();
        let mut batch = WriteBatch::default();
        let mut row = Vec::new();
        for record in groups.iter().copied().flatten() {
            self.check_next(record, &last)?;
            note_epoch(&mut history, record, &last)?;
            self.stage(record, &mut batch, &mut row)?;
            last = record.position();
            last_time = record.header.time;
        }
        if last == before.last {
            return Ok(());
        }
        if history.entries().len() != epochs {
            batch.put_cf(self.family(META), meta::HISTORY, layout::encode_meta(&history));
        }
        self.write("append records", batch, true)?;
        promise.note(last.index, &last.digest);
        let mut head = hold(&self.0.head);
        head.last = last;
        head.last_time = last_time;
        head.sealed = head.sealed.max(last.epoch);
        head.history = history;
        Ok(())
    }

    fn check_next(&self, record: &Record, last: &Position) -> Result<(), Error> {
        let h = &record.header;
        if !self.belongs(h.lineage) || h.platform != self.0.region {
            return Err(Error::OtherOwner {
                path: self.0.dir.clone(),
                found: format!("platform {} of federation {}", self.0.region, self.0.lineage),
                expected: format!("platform {} of federation {}", h.platform, h.lineage),
            });
        }
        let len = record.weight();
        if len > RECORD_LEN_MAX || record.bodies.len() > usize::from(u16::MAX) {
            return Err(Error::TooLarge { what: "record", len: len as u64, limit: RECORD_LEN_MAX as u64 });
        }
        record.follows(last).map_err(|source| Error::OutOfOrder { last: *last, source })
    }

    fn stage(&self, record: &Record, batch: &mut WriteBatch, row: &mut Vec<u8>) -> Result<(), Error> {
        let index = record.index();
        layout::encode_row(record, row);
        batch.put_cf(self.family(JOURNAL), layout::journal_key(index), &row);
        for (n, body) in record.bodies.iter().enumerate() {
            let n = n as u16;
            let erased =
                body.is_empty() && record.header.bodies.get(usize::from(n)).is_some_and(|b| b.len > 0);
            layout::encode_body(index, n, body, erased, row);
            batch.put_cf(self.family(BODIES), layout::body_key(index, n), &row);
        }
        Ok(())
    }

    /// Fsyncs the promise not to follow epochs below `epoch`. A lower or equal promise is kept already.
    pub fn seal(&self, epoch: Epoch) -> Result<(), Error> {
        let _append = hold(&self.0.append);
        self.writable()?;
        if epoch <= self.sealed() {
            // The promise of a written epoch is in the journal; any other was fsynced when it was made.
            return Ok(());
        }
        let mut batch = WriteBatch::default();
        batch.put_cf(self.family(META), meta::SEALED, layout::encode_meta(&epoch));
        self.write("seal epoch", batch, true)?;
        hold(&self.0.head).sealed = epoch;
        Ok(())
    }

    /// Removes every record after `after` and fsyncs. Refuses to go below what is applied. Returns the new end.
    /// The caller has exported the tail before.
    pub fn truncate_after(&self, after: JournalIndex) -> Result<(Position, Timestamp), Error> {
        let mut promise = hold(&self.0.append);
        let _apply = hold(&self.0.apply);
        self.writable()?;
        let head = hold(&self.0.head).clone();
        if after < head.applied.index {
            return Err(Error::BelowApplied { after, applied: head.applied.index });
        }
        if after >= head.last.index {
            return Ok((head.last, head.last_time));
        }
        let (last, last_time) = self.place_of(after)?;
        promise.lower(&self.0.dir, last.index, &last.digest)?;
        let mut history = head.history;
        history.truncate_after(after);
        let (from, end) = (after.next(), [0xff; 16]);
        let mut batch = WriteBatch::default();
        batch.delete_range_cf(self.family(JOURNAL), &layout::journal_key(from)[..], &end[..]);
        batch.delete_range_cf(self.family(BODIES), &layout::body_key(from, 0)[..], &end[..]);
        batch.put_cf(self.family(META), meta::HISTORY, layout::encode_meta(&history));
        // The epoch of a removed record stays promised: this node has acted under it.
        batch.put_cf(self.family(META), meta::SEALED, layout::encode_meta(&head.sealed));
        self.write("truncate journal", batch, true)?;
        let mut head = hold(&self.0.head);
        (head.last, head.last_time, head.history) = (last, last_time, history);
        Ok((last, last_time))
    }

    fn place_of(&self, index: JournalIndex) -> Result<(Position, Timestamp), Error> {
        if index == JournalIndex::ZERO {
            return Ok((Position::ZERO, Timestamp::default()));
        }
        let (header, digest) = self.header(index)?.ok_or(Error::NoRecord { index })?;
        Ok((Position { epoch: header.epoch, index, digest }, header.time))
    }
}

/// Adds the record's epoch to the history when it is a new one.
fn note_epoch(history: &mut EpochHistory, record: &Record, last: &Position) -> Result<(), Error> {
    if record.header.epoch <= history.last_epoch() {
        return Ok(());
    }
    history.push(record.header.epoch, record.index()).map_err(|HistoryError { .. }| Error::OutOfOrder {
        last: *last,
        source: eport_model::RecordDefect::Chain { index: record.index() },
    })
}
