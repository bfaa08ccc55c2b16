//! Return of an old primary: rows that its diverged tail has written are put back to what the new primary has.
//!
//! Always holds: from `begin_rewind` until `end_rewind` a durable mark says that the rows are not those of the applied record,
//! and which exported tails wrote them; the mark and the lowered applied position are one write. Every step may be repeated.

use super::{META, PlatformStore, hold, meta};
use crate::{Error, layout};
use bytes::Bytes;
use eport_model::{JournalIndex, Position};
use rocksdb::WriteBatch;
use serde::{Deserialize, Serialize};
use std::sync::atomic::Ordering;

/// Tails that one rewind can be about: a node whose source is replaced again and again before it has caught up.
const TAILS_MAX: usize = 256;

/// A rewind under way.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct RewindMark {
    /// Manifest files of the exported tails whose rows are put back.
    pub tails: Vec<String>,
    /// The newest position as of which rows were taken; `None` while they are not all here.
    pub at: Option<Position>,
}

impl PlatformStore {
    /// The rewind that is under way, if one is.
    pub fn rewind_mark(&self) -> Result<Option<RewindMark>, Error> {
        let value = self.0.db.get_pinned_cf(&self.family(META), meta::REWIND);
        let value = value.map_err(|e| self.unreadable("read meta", e))?;
        let damaged =
            |e: String| Error::damaged(self.path(), None, format!("meta row {}: {e}", meta::REWIND));
        value.map(|v| layout::decode_meta(&v).map_err(damaged)).transpose()
    }

    /// Begins a rewind, or begins it again: notes it with the tail that it is about, and lowers the applied position to
    /// `after` where it lies beyond. Fsynced. Returns the whole note.
    pub fn begin_rewind(&self, after: JournalIndex, tail: Option<&str>) -> Result<RewindMark, Error> {
        let _apply = hold(&self.0.apply);
        self.writable()?;
        let mut mark = self.rewind_mark()?.unwrap_or_default();
        mark.at = None;
        if let Some(tail) = tail.filter(|t| !mark.tails.iter().any(|known| known == t)) {
            mark.tails.push(tail.to_owned());
        }
        if mark.tails.len() > TAILS_MAX {
            let len = mark.tails.len() as u64;
            return Err(Error::TooLarge { what: "rewind", len, limit: TAILS_MAX as u64 });
        }
        let mut applied = self.applied();
        if after < applied.index {
            applied = self.position(after)?.ok_or(Error::NoRecord { index: after })?;
        }
        self.0.rewinds.fetch_add(1, Ordering::SeqCst);
        let mut batch = WriteBatch::default();
        batch.put_cf(&self.family(META), meta::REWIND, layout::encode_meta(&mark));
        batch.put_cf(&self.family(META), meta::APPLIED, layout::encode_meta(&applied));
        eport_failpoint::point!("rewind.begin.before", self.region());
        self.write("begin rewind", batch, true)?;
        eport_failpoint::point!("rewind.begin.after", self.region());
        hold(&self.0.head).applied = applied;
        Ok(mark)
    }

    /// Writes rows as they were read elsewhere; `None` removes one. Durable with the next `rows_taken`.
    pub fn put_rows(&self, rows: &[(Bytes, Option<Bytes>)]) -> Result<(), Error> {
        let _apply = hold(&self.0.apply);
        self.writable()?;
        let mut batch = WriteBatch::default();
        for (key, value) in rows {
            match value {
                Some(value) => batch.put_cf(&self.rows(), key, value),
                None => batch.delete_cf(&self.rows(), key),
            }
        }
        eport_failpoint::point!("rewind.rows.before", self.region());
        self.write("put rows back", batch, false)
    }

    /// Notes that all rows were taken, the newest as of `at`. Fsynced, with every row written before.
    pub fn rows_taken(&self, at: Position) -> Result<(), Error> {
        let _apply = hold(&self.0.apply);
        self.writable()?;
        let mark = RewindMark { at: Some(at), ..self.rewind_mark()?.unwrap_or_default() };
        let mut batch = WriteBatch::default();
        batch.put_cf(&self.family(META), meta::REWIND, layout::encode_meta(&mark));
        eport_failpoint::point!("rewind.taken.before", self.region());
        self.write("note rows taken", batch, true)?;
        eport_failpoint::point!("rewind.taken.after", self.region());
        Ok(())
    }

    /// Forgets the rewind whose rows were taken as of `at`, because that record is applied; another one that has begun since
    /// stays. Fsynced, with everything applied before.
    pub fn end_rewind(&self, at: Position) -> Result<(), Error> {
        let _apply = hold(&self.0.apply);
        self.writable()?;
        if self.rewind_mark()?.is_none_or(|mark| mark.at != Some(at)) {
            return Ok(());
        }
        let mut batch = WriteBatch::default();
        batch.delete_cf(&self.family(META), meta::REWIND);
        eport_failpoint::point!("rewind.end.before", self.region());
        self.write("end rewind", batch, true)?;
        eport_failpoint::point!("rewind.end.after", self.region());
        Ok(())
    }

    /// These rows and the applied position as of one instant: as many from the front as fit into about `bytes_max`, at least one.
    pub fn rows_as_of(
        &self,
        keys: &[Bytes],
        bytes_max: usize,
    ) -> Result<(Position, Vec<Option<Bytes>>), Error> {
        let snapshot = self.snapshot();
        let (mut rows, mut bytes) = (Vec::new(), 0usize);
        for key in keys {
            let row = snapshot.get(key)?;
            bytes = bytes.saturating_add(row.as_ref().map_or(0, Bytes::len) + 16);
            if bytes > bytes_max && !rows.is_empty() {
                break;
            }
            rows.push(row);
        }
        Ok((snapshot.applied()?, rows))
    }
}
