//! What making and installing checkpoints need of the database and the journal's files.

use super::open::unresolved;
use super::{META, PlatformStore, Recovered, hold, meta};
use crate::checkpoint::Checkpoint;
use crate::{Error, layout};
use eport_model::{Digest, EpochHistory, JournalIndex, Lineage, Position};
use rocksdb::{IteratorMode, WriteBatch, WriteOptions};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

/// Rows written at once.
const BATCH: usize = 4 << 20;

impl PlatformStore {
    /// Ends the journal's file and links every file with a record after `from` into `dir`. Appends wait meanwhile. Returns the
    /// last record, the epochs, and the first record of each file.
    pub(crate) fn link_journal(
        &self,
        from: JournalIndex,
        dir: &Path,
    ) -> Result<(Position, EpochHistory, Vec<JournalIndex>), Error> {
        let _append = hold(&self.0.append);
        self.writable()?;
        let firsts = self.0.log.link_after(from, dir)?;
        let head = hold(&self.0.head).clone();
        Ok((head.last, head.history, firsts))
    }

    /// Bytes that the state rows take on disk, about.
    pub fn rows_bytes(&self) -> u64 {
        let property = rocksdb::properties::ESTIMATE_LIVE_DATA_SIZE;
        self.0.db.property_int_value_cf(&self.rows(), property).ok().flatten().unwrap_or(0)
    }

    /// True for lineages whose records may stand in this journal.
    pub(crate) fn has_lineage(&self, lineage: Lineage) -> bool {
        self.belongs(lineage)
    }

    pub(crate) fn note_install(&self, id: Digest) -> Result<(), Error> {
        self.writable()?;
        let mut batch = WriteBatch::default();
        batch.put_cf(&self.family(META), meta::INSTALL, layout::encode_meta(&id));
        self.write("begin installing a checkpoint", batch, true)
    }

    pub(crate) fn noted_install(&self) -> Result<Option<Digest>, Error> {
        let value = self.0.db.get_pinned_cf(&self.family(META), meta::INSTALL);
        let value = value.map_err(|e| self.unreadable("read meta", e))?;
        let damaged =
            |e: String| Error::damaged(self.path(), None, format!("meta row {}: {e}", meta::INSTALL));
        value.map(|v| layout::decode_meta(&v).map_err(damaged)).transpose()
    }

    /// Puts journal files in place behind the last record that is here.
    pub(crate) fn adopt_journal(
        &self,
        files: &[(JournalIndex, PathBuf)],
        last: JournalIndex,
    ) -> Result<(), Error> {
        let _append = hold(&self.0.append);
        self.0.log.adopt(files, last).map_err(|e| self.poisoned(e))
    }

    /// Removes every state row and writes those that `give` hands to its argument, in key order. Durable when it returns.
    pub(crate) fn replace_rows(
        &self,
        give: impl FnOnce(&mut dyn FnMut(&[u8], &[u8]) -> Result<(), Error>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let _apply = hold(&self.0.apply);
        // Rows that are being made anew from the journal would be those of before.
        self.0.rewinds.fetch_add(1, Ordering::SeqCst);
        let state = self.rows();
        // Not in the database's log: the flush below makes them durable, and before it the note of the installation stands.
        let mut options = WriteOptions::default();
        options.disable_wal(true);
        let write = |batch: WriteBatch| {
            self.0.db.write_opt(batch, &options).map_err(|e| self.poison("write rows", e))
        };
        let end = |mode| -> Result<Option<Box<[u8]>>, Error> {
            let found = self.0.db.iterator_cf(&state, mode).next().transpose();
            found.map(|row| row.map(|(key, _)| key)).map_err(|e| self.unreadable("scan rows", e))
        };
        if let (Some(first), Some(last)) = (end(IteratorMode::Start)?, end(IteratorMode::End)?) {
            let mut batch = WriteBatch::default();
            batch.delete_range_cf(&state, &first, &last);
            batch.delete_cf(&state, &last);
            write(batch)?;
        }
        let (mut batch, mut bytes) = (WriteBatch::default(), 0);
        give(&mut |key, value| {
            batch.put_cf(&state, key, value);
            bytes += key.len() + value.len();
            if bytes >= BATCH {
                bytes = 0;
                write(std::mem::take(&mut batch))?;
            }
            Ok(())
        })?;
        write(batch)?;
        let mut options = rocksdb::FlushOptions::default();
        options.set_wait(true);
        self.0.db.flush_cf_opt(&state, &options).map_err(|e| self.poison("flush rows", e))
    }

    /// Names history, applied position and promised epoch of a checkpoint whose journal and rows are in place, and forgets the
    /// installation, in one fsynced write.
    pub(crate) fn take_positions(&self, made: &Checkpoint) -> Result<Recovered, Error> {
        let mut appending = hold(&self.0.append);
        let _apply = hold(&self.0.apply);
        let end = self.record(made.last.index)?.filter(|r| r.position() == made.last);
        let applied = self.position(made.applied.index)?;
        let (Some(end), true) = (end, applied == Some(made.applied)) else {
            let detail = "the journal of the checkpoint does not hold its last and its applied record";
            return Err(self.poisoned(Error::damaged(self.path(), Some(made.last.index), detail)));
        };
        let sealed = hold(&self.0.head).sealed.max(made.history.last_epoch());
        let mut batch = WriteBatch::default();
        let meta_family = self.family(META);
        batch.put_cf(&meta_family, meta::HISTORY, layout::encode_meta(&made.history));
        batch.put_cf(&meta_family, meta::APPLIED, layout::encode_meta(&made.applied));
        batch.put_cf(&meta_family, meta::SEALED, layout::encode_meta(&sealed));
        batch.delete_cf(&meta_family, meta::REWIND);
        batch.delete_cf(&meta_family, meta::INSTALL);
        self.write("install checkpoint", batch, true)?;
        appending.promise.note(made.last.index, &made.last.digest);
        let mut head = hold(&self.0.head);
        head.last = made.last;
        head.last_time = end.header.time;
        head.applied = made.applied;
        head.sealed = sealed;
        head.history = made.history.clone();
        Ok(Recovered {
            history: head.history.clone(),
            last: head.last,
            last_time: head.last_time,
            sealed,
            applied: head.applied,
            unresolved: unresolved(&end),
        })
    }
}
