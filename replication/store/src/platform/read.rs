//! Reading the journal. Every checksum is checked on the way; a gap or a mismatch is an error, never a shorter answer.

use super::{BODIES, JOURNAL, PlatformStore};
use crate::{Error, layout};
use bytes::Bytes;
use eport_model::{Digest, JournalIndex, Position, Record, RecordHeader};
use rocksdb::{IteratorMode, ReadOptions, Snapshot};
use std::sync::Arc;

impl PlatformStore {
    /// Records dense from `from`, about `max_bytes` of them, at least one where stored. Empty when `from` is not stored.
    pub fn read(&self, from: JournalIndex, max_bytes: usize) -> Result<Vec<Arc<Record>>, Error> {
        let mut records = Vec::new();
        let mut bytes = 0usize;
        self.for_each_record(from, |record| {
            bytes = bytes.saturating_add(record.weight());
            if records.is_empty() || bytes <= max_bytes {
                records.push(record);
            }
            Ok(bytes < max_bytes)
        })?;
        Ok(records)
    }

    /// One record with its bodies.
    pub fn record(&self, index: JournalIndex) -> Result<Option<Record>, Error> {
        let mut found = None;
        self.for_each_record(index, |record| {
            found = Some(record);
            Ok(false)
        })?;
        Ok(found.map(Arc::unwrap_or_clone))
    }

    /// One body; an erased one is empty.
    pub fn body(&self, index: JournalIndex, n: u16) -> Result<Option<Bytes>, Error> {
        let value = self.0.db.get_pinned_cf(self.family(BODIES), layout::body_key(index, n));
        let value = value.map_err(|e| self.unreadable("read body", e))?;
        value.map(|v| layout::decode_body(index, n, &v).map_err(|e| self.damaged(index, e))).transpose()
    }

    /// Epoch and digest of a stored record; `Position::ZERO` for index 0.
    pub fn position(&self, index: JournalIndex) -> Result<Option<Position>, Error> {
        if index == JournalIndex::ZERO {
            return Ok(Some(Position::ZERO));
        }
        Ok(self.header(index)?.map(|(header, digest)| Position { epoch: header.epoch, index, digest }))
    }

    /// Header and digest of a stored record.
    pub fn header(&self, index: JournalIndex) -> Result<Option<(RecordHeader, Digest)>, Error> {
        let value = self.0.db.get_pinned_cf(self.family(JOURNAL), layout::journal_key(index));
        let value = value.map_err(|e| self.unreadable("read record", e))?;
        value.map(|v| layout::decode_header(index, &v).map_err(|e| self.damaged(index, e))).transpose()
    }

    /// Index of the last stored record, from the keys alone.
    pub(super) fn last_index(&self) -> Result<Option<JournalIndex>, Error> {
        let Some(row) = self.0.db.iterator_cf(self.family(JOURNAL), IteratorMode::End).next() else {
            return Ok(None);
        };
        let (key, _) = row.map_err(|e| self.unreadable("read journal end", e))?;
        match layout::journal_index(&key) {
            Some(index) => Ok(Some(index)),
            None => Err(Error::damaged(self.path(), None, "a journal key is not an index")),
        }
    }

    /// Calls `each` with the records from `from` on, as of now, until it answers false.
    pub(crate) fn for_each_record(
        &self,
        from: JournalIndex,
        mut each: impl FnMut(Arc<Record>) -> Result<bool, Error>,
    ) -> Result<(), Error> {
        // A snapshot keeps rows and bodies together while a truncation runs beside us.
        let snapshot = self.0.db.snapshot();
        let mut expected = from.max(JournalIndex::from_u64(1));
        let mut options = ReadOptions::default();
        options.set_total_order_seek(true);
        options.fill_cache(false);
        let start = layout::journal_key(expected);
        let mode = IteratorMode::From(&start, rocksdb::Direction::Forward);
        for row in snapshot.iterator_cf_opt(self.family(JOURNAL), options, mode) {
            let (key, value) = row.map_err(|e| self.unreadable("read records", e))?;
            if layout::journal_index(&key) != Some(expected) {
                return Err(self.damaged(expected, "it is missing while later ones are stored".to_owned()));
            }
            if !each(Arc::new(self.assemble(&snapshot, expected, &value)?))? {
                return Ok(());
            }
            expected = expected.next();
        }
        Ok(())
    }

    fn assemble(&self, snapshot: &Snapshot<'_>, index: JournalIndex, value: &[u8]) -> Result<Record, Error> {
        let row = layout::decode_row(index, value).map_err(|e| self.damaged(index, e))?;
        let mut bodies = Vec::with_capacity(row.header.bodies.len());
        for n in 0..row.header.bodies.len() {
            let n =
                u16::try_from(n).map_err(|_| self.damaged(index, "it names too many bodies".to_owned()))?;
            let stored = snapshot.get_pinned_cf(self.family(BODIES), layout::body_key(index, n));
            let stored = stored.map_err(|e| self.unreadable("read body", e))?;
            let stored = stored.ok_or_else(|| self.damaged(index, format!("body {n} is missing")))?;
            bodies.push(layout::decode_body(index, n, &stored).map_err(|e| self.damaged(index, e))?);
        }
        Ok(Record { header: row.header, effects: row.effects, bodies, digest: row.digest })
    }

    pub(super) fn unreadable(&self, operation: &'static str, e: rocksdb::Error) -> Error {
        Error::rocks(operation, self.path(), e)
    }

    fn damaged(&self, index: JournalIndex, detail: String) -> Error {
        Error::damaged(self.path(), Some(index), format!("record {index}: {detail}"))
    }
}
