//! Reading the journal. Every checksum is checked on the way; a gap or a mismatch is an error, never a shorter answer.

use super::PlatformStore;
use crate::{Error, layout};
use bytes::Bytes;
use eport_model::{Digest, JournalIndex, Position, Record, RecordHeader};
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
        self.one(index, layout::decode_record)
    }

    /// One body; an erased one is empty.
    pub fn body(&self, index: JournalIndex, n: u16) -> Result<Option<Bytes>, Error> {
        self.one(index, |index, bytes| layout::decode_body(index, n, bytes)).map(Option::flatten)
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
        self.one(index, layout::decode_header)
    }

    fn one<T>(
        &self,
        index: JournalIndex,
        decode: impl FnOnce(JournalIndex, Bytes) -> Result<T, String>,
    ) -> Result<Option<T>, Error> {
        let stored = self.0.log.get(index)?;
        stored.map(|bytes| decode(index, bytes).map_err(|e| self.damaged(index, e))).transpose()
    }

    /// Calls `each` with the records from `from` on, as of now, until it answers false.
    pub(crate) fn for_each_record(
        &self,
        from: JournalIndex,
        mut each: impl FnMut(Arc<Record>) -> Result<bool, Error>,
    ) -> Result<(), Error> {
        self.0.log.for_each(from, |index, bytes| {
            // A record that waits for its readers keeps only its own bytes, not the whole piece that was read.
            let bytes = Bytes::copy_from_slice(&bytes);
            each(Arc::new(layout::decode_record(index, bytes).map_err(|e| self.damaged(index, e))?))
        })
    }

    pub(super) fn unreadable(&self, operation: &'static str, e: rocksdb::Error) -> Error {
        Error::rocks(operation, self.path(), e)
    }

    fn damaged(&self, index: JournalIndex, detail: String) -> Error {
        Error::damaged(self.path(), Some(index), format!("record {index}: {detail}"))
    }
}
