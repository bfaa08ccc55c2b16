//! Which family holds the state rows, and how rows are made anew from the journal.
//!
//! Rows that were damaged are not repaired where they lie: the journal is replayed into a family of its own while the platform
//! goes on, and one fsynced write makes that family the current one. Always holds: what is current holds exactly the effects of
//! every record up to the applied position; a crash leaves the old family or the new one; every record replayed verifies and
//! chains from the first to the applied one, so that rows made anew are proven by the digest chain.

use super::{Database, META, PlatformStore, STATE, hold, meta};
use crate::{Error, Shared, layout};
use eport_model::{Effect, JournalIndex, Position, Record, USAGE_KEY, Usage, codec};
use rocksdb::{BoundColumnFamily, FlushOptions, Options, WriteBatch, WriteOptions};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

/// Write buffer of a family of rows.
pub(super) const BUFFER: usize = 16 << 20;
/// Bytes of effects in one write while rows are made anew.
const BATCH: usize = 1 << 20;
/// File beside the database that says that rows may be damaged.
const SUSPECT: &str = "rows-damaged";
/// What may be left to replay while nothing is applied: a moment.
const REST: u64 = 256;

/// Rows that were made anew so many times, and the family they stand in.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Generation {
    number: u64,
    family: String,
}

impl Default for Generation {
    fn default() -> Self {
        Self::new(0)
    }
}

impl Generation {
    pub(super) fn new(number: u64) -> Self {
        let family = if number == 0 { STATE.to_owned() } else { format!("{STATE}.{number}") };
        Self { number, family }
    }
}

pub(super) fn is_rows(family: &str) -> bool {
    family == STATE || family.strip_prefix(STATE).is_some_and(|rest| rest.starts_with('.'))
}

/// Names of the families in a database; those of a new one where there is none.
pub(super) fn families_of(dir: &Path) -> Vec<String> {
    Database::list_cf(&Options::default(), dir).unwrap_or_else(|_| vec![STATE.to_owned()])
}

/// Removes rows that are not the current ones: a crash came while they were made, or before they went.
pub(super) fn tidy(db: &Database, found: &[String], current: &Generation, dir: &Path) -> Result<(), Error> {
    for family in found.iter().filter(|f| is_rows(f) && **f != current.family) {
        db.drop_cf(family).map_err(|e| Error::rocks("remove old rows", dir, e))?;
    }
    match db.cf_handle(&current.family) {
        Some(_) => Ok(()),
        None => Err(Error::damaged(dir, None, format!("the family {} of the rows is gone", current.family))),
    }
}

/// Notes that rows may be damaged: the database stopped writing for it, as it does when it meets damage while it merges tables.
pub(super) fn suspect(dir: &Path) {
    // Best effort: without the note the next start meets the damage again.
    if let Err(error) = std::fs::write(dir.join(SUSPECT), b"") {
        tracing::warn!(dir = %dir.display(), %error, "damaged rows were not noted");
    }
}

/// True when rows were noted as damaged and have not been made anew since.
pub(super) fn are_suspect(dir: &Path) -> bool {
    dir.join(SUSPECT).exists()
}

impl PlatformStore {
    /// True when the database has stopped writing because of damaged rows and these have not been made anew since. After the next
    /// opening they can be.
    pub fn rows_suspect(&self) -> bool {
        are_suspect(self.path())
    }

    /// The current rows.
    pub(super) fn rows(&self) -> Arc<BoundColumnFamily<'_>> {
        self.rows_now().1
    }

    /// The current rows and how often they were made anew.
    pub(super) fn rows_now(&self) -> (u64, Arc<BoundColumnFamily<'_>>) {
        let held = self.0.rows.read().unwrap_or_else(PoisonError::into_inner);
        let rows = self.0.db.cf_handle(&held.family);
        (held.number, rows.expect("the current family goes only after another one is current"))
    }

    /// Name of the family that holds the current rows.
    pub(super) fn rows_family(&self) -> String {
        self.0.rows.read().unwrap_or_else(PoisonError::into_inner).family.clone()
    }

    /// Makes all rows anew by replaying the journal, while the platform goes on. `pay` is told of the bytes and may end it.
    /// Answers the applied position at the change; `None` when it was ended, or rows were put back from elsewhere meanwhile:
    /// then nothing was changed.
    pub fn rebuild_rows(
        &self,
        shared: &Shared,
        pay: &mut dyn FnMut(u64) -> bool,
    ) -> Result<Option<Position>, Error> {
        let _rebuilding = hold(&self.0.rebuilding);
        self.writable()?;
        if self.rewind_mark()?.is_some() || self.noted_install()?.is_some() {
            return Ok(None);
        }
        let rewinds = self.0.rewinds.load(Ordering::SeqCst);
        let next = Generation::new(self.rows_now().0 + 1);
        let failed = |e| Error::rocks("make rows anew", self.path(), e);
        if self.0.db.cf_handle(&next.family).is_some() {
            // An earlier attempt in this process was ended.
            self.0.db.drop_cf(&next.family).map_err(failed)?;
        }
        self.0.db.create_cf(&next.family, &shared.family(BUFFER)).map_err(failed)?;
        let made = self.replay_into(&next, rewinds, pay);
        match &made {
            Ok(Some(_)) => {}
            // What was made so far is of no use; at the latest the next opening removes it.
            _ => drop(self.0.db.drop_cf(&next.family)),
        }
        made
    }

    fn replay_into(
        &self,
        next: &Generation,
        rewinds: u64,
        pay: &mut dyn FnMut(u64) -> bool,
    ) -> Result<Option<Position>, Error> {
        let failed = |e| Error::rocks("make rows anew", self.path(), e);
        let family = self.0.db.cf_handle(&next.family).ok_or(Error::Stopped)?;
        let (mut at, mut usage) = (Position::ZERO, Usage::default());
        loop {
            let until = self.applied().index;
            let Some(reached) = self.replay(&family, (at, &mut usage), until, pay)? else { return Ok(None) };
            at = reached;
            if self.applied().index.as_u64().saturating_sub(at.index.as_u64()) <= REST {
                break;
            }
        }
        let mut options = FlushOptions::default();
        options.set_wait(true);
        self.0.db.flush_cf_opt(&family, &options).map_err(failed)?;
        let _apply = hold(&self.0.apply);
        let applied = self.applied();
        let Some(reached) = self.replay(&family, (at, &mut usage), applied.index, &mut |_| true)? else {
            return Ok(None);
        };
        if self.0.rewinds.load(Ordering::SeqCst) != rewinds || self.rewind_mark()?.is_some() {
            return Ok(None);
        }
        if reached != applied {
            let detail = format!("the journal replays to {reached}, but {applied} is applied");
            return Err(Error::damaged(self.path(), Some(applied.index), detail));
        }
        // What was replayed last may still be in memory only: it is written into tables before it becomes current.
        self.0.db.flush_cf_opt(&family, &options).map_err(failed)?;
        let mut batch = WriteBatch::default();
        batch.put_cf(&self.family(META), meta::ROWS, layout::encode_meta(&next.number));
        self.write("change to rows made anew", batch, true)?;
        let new = Arc::new(Generation::new(next.number));
        let old = {
            let mut held = self.0.rows.write().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *held, new)
        };
        // Left behind it costs that they are made anew once more.
        let _ = std::fs::remove_file(self.path().join(SUSPECT));
        // Readers that still look at the old family keep it until they are done; its files go unread.
        if let Err(error) = self.0.db.drop_cf(&old.family) {
            tracing::warn!(region = %self.0.region, %error, "old rows go at the next start");
        }
        Ok(Some(applied))
    }

    /// Writes the effects of the records behind `at`, up to `until`, into a family. `None` when `pay` ended it.
    fn replay(
        &self,
        family: &Arc<BoundColumnFamily<'_>>,
        (mut at, usage): (Position, &mut Usage),
        until: JournalIndex,
        pay: &mut dyn FnMut(u64) -> bool,
    ) -> Result<Option<Position>, Error> {
        let mut options = WriteOptions::default();
        // The family counts only after it was flushed.
        options.disable_wal(true);
        let failed = |e| Error::rocks("make rows anew", self.path(), e);
        let mut batch = WriteBatch::default();
        let (mut ended, mut counted) = (false, false);
        while at.index < until && !ended {
            let before = at;
            self.for_each_record(at.index.next(), |record| {
                self.check_replayed(&record, &at)?;
                for effect in &record.effects {
                    match effect {
                        Effect::Put { key, value } => batch.put_cf(family, key, value),
                        Effect::Delete { key } => batch.delete_cf(family, key),
                    }
                }
                // What came in is counted as applying counts it.
                counted |= usage.count(&record);
                at = record.position();
                let bytes = batch.size_in_bytes();
                if bytes >= BATCH {
                    self.0.db.write_opt(std::mem::take(&mut batch), &options).map_err(failed)?;
                    ended = !pay(bytes as u64);
                }
                Ok(!ended && at.index < until)
            })?;
            if at == before {
                return Err(Error::NoRecord { index: at.index.next() });
            }
        }
        if counted {
            batch.put_cf(family, USAGE_KEY, codec::encode(usage));
        }
        self.0.db.write_opt(batch, &options).map_err(failed)?;
        Ok((!ended).then_some(at))
    }

    fn check_replayed(&self, record: &Record, at: &Position) -> Result<(), Error> {
        record
            .verify()
            .and(record.follows(at))
            .map_err(|defect| Error::damaged(self.path(), Some(record.index()), defect.to_string()))
    }
}
