//! Writes to the journal: append, seal, truncate, each fsynced.
//!
//! The epoch history lies in the database, the records in files. It is written first when an epoch begins and last when the
//! journal is cut: after a crash it may name an epoch whose first record is not there, which opening drops, never lack one.

use super::{Appending, META, PlatformStore, hold, meta};
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
        let mut appending = hold(&self.0.append);
        self.writable()?;
        let before = hold(&self.0.head).clone();
        let (mut last, mut last_time, mut history) = (before.last, before.last_time, before.history);
        let epochs = history.entries().len();
        for record in groups.iter().copied().flatten() {
            self.check_next(record, &last)?;
            note_epoch(&mut history, record, &last)?;
            last = record.position();
            last_time = record.header.time;
        }
        if last == before.last {
            return Ok(());
        }
        if history.entries().len() != epochs {
            self.write_history(&history)?;
            eport_failpoint::point!("epoch.history.after", self.0.region);
        }
        let Appending { promise, buffer } = &mut *appending;
        let records = groups.iter().copied().flatten().map(|r| &**r);
        self.0.log.append(records, buffer).map_err(|e| self.poisoned(e))?;
        promise.note(last.index, &last.digest);
        let mut head = hold(&self.0.head);
        head.last = last;
        head.last_time = last_time;
        head.sealed = head.sealed.max(last.epoch);
        head.history = history;
        Ok(())
    }

    fn write_history(&self, history: &EpochHistory) -> Result<(), Error> {
        let mut batch = WriteBatch::default();
        batch.put_cf(&self.family(META), meta::HISTORY, layout::encode_meta(history));
        self.write("write epoch history", batch, true)
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

    /// Fsyncs the promise not to follow epochs below `epoch`. A lower or equal promise is kept already.
    pub fn seal(&self, epoch: Epoch) -> Result<(), Error> {
        let _append = hold(&self.0.append);
        self.writable()?;
        if epoch <= self.sealed() {
            // The promise of a written epoch is in the journal; any other was fsynced when it was made.
            return Ok(());
        }
        let mut batch = WriteBatch::default();
        batch.put_cf(&self.family(META), meta::SEALED, layout::encode_meta(&epoch));
        self.write("seal epoch", batch, true)?;
        hold(&self.0.head).sealed = epoch;
        Ok(())
    }

    /// Removes every record after `after` and fsyncs. Refuses to go below what is applied. Returns the new end.
    /// The caller has exported the tail before.
    pub fn truncate_after(&self, after: JournalIndex) -> Result<(Position, Timestamp), Error> {
        let mut appending = hold(&self.0.append);
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
        appending.promise.lower(&self.0.dir, last.index, &last.digest)?;
        let mut history = head.history;
        history.truncate_after(after);
        // The epoch of a removed record stays promised: this node has acted under it.
        let mut batch = WriteBatch::default();
        batch.put_cf(&self.family(META), meta::SEALED, layout::encode_meta(&head.sealed));
        self.write("seal epoch", batch, true)?;
        self.0.log.cut(after).map_err(|e| self.poisoned(e))?;
        eport_failpoint::point!("journal.cut.between", self.0.region);
        self.write_history(&history)?;
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
