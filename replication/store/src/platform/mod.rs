//! One platform's store: the files of its journal, and a database with the state rows its effects write and node-local rows.
//!
//! Invariants: `applied <= last`; the journal is dense from 1 and chained; `last`, `applied` and `sealed` in memory are what
//! is on disk. One thread appends and one applies; readers are many. Lock order: `append` before `apply` before `head`.

mod ancestry;
mod append;
mod apply;
mod archive;
mod checkpoint;
mod disk;
mod erase;
mod local;
mod open;
mod planted;
mod promise;
mod read;
mod rewind;
mod rows;
mod scrub;
mod state;

pub use archive::Archived;
pub use open::Recovered;
pub use rewind::RewindMark;
pub use scrub::{RowsLook, ScrubPlace};
pub use state::{StateDigest, StateSnapshot};

use crate::Error;
use crate::log::Log;
use eport_model::{Coded, Epoch, EpochHistory, Lineage, Position, RegionCode, Timestamp};
use rocksdb::{BoundColumnFamily, DBWithThreadMode, MultiThreaded};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

pub(crate) const STATE: &str = "state";
pub(crate) const META: &str = "meta";
pub(crate) const LOCAL: &str = "local";

/// Names in the meta family.
pub(crate) mod meta {
    pub(crate) const FORMAT: &str = "format";
    pub(crate) const OWNER: &str = "owner";
    pub(crate) const HISTORY: &str = "history";
    pub(crate) const SEALED: &str = "sealed";
    pub(crate) const APPLIED: &str = "applied";
    pub(crate) const REWIND: &str = "rewind";
    pub(crate) const ROWS: &str = "rows";
    pub(crate) const INSTALL: &str = "install";
}

/// Families come and go while the database is open: rows that are made anew get one of their own.
pub(crate) type Database = DBWithThreadMode<MultiThreaded>;

/// One platform's database. Clones share it; it closes when the last is dropped.
#[derive(Clone)]
pub struct PlatformStore(Arc<Inner>);

struct Inner {
    db: Database,
    log: Log,
    dir: PathBuf,
    lineage: Lineage,
    region: RegionCode,
    /// Lineages before this one whose records may stand in the journal.
    ancestors: OnceLock<Vec<Lineage>>,
    /// Held while the journal changes: append, seal, truncate.
    append: Mutex<Appending>,
    /// Held while state rows change.
    apply: Mutex<()>,
    /// Held while a file of the journal is written anew or a body is erased. Taken before all others.
    mending: Mutex<()>,
    /// Held while rows are made anew. Taken before `apply`.
    rebuilding: Mutex<()>,
    /// Which family holds the rows.
    rows: RwLock<Arc<rows::Generation>>,
    /// How often rows were put back from elsewhere.
    rewinds: AtomicU64,
    /// What is on disk; held only to look or to note a finished write.
    head: Mutex<Head>,
    /// The first failed write, after which nothing is written.
    poison: OnceLock<Error>,
    disk: disk::DiskUse,
}

/// What the appending thread needs.
struct Appending {
    promise: promise::Promise,
    /// Frames of the group that is written.
    buffer: Vec<u8>,
}

/// Where journal and state end.
#[derive(Clone, Debug, Default)]
struct Head {
    last: Position,
    last_time: Timestamp,
    applied: Position,
    sealed: Epoch,
    history: EpochHistory,
}

/// A mutex guards plain data here; a panic elsewhere leaves it consistent, because it is changed only after the write.
fn hold<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl PlatformStore {
    /// The platform.
    pub fn region(&self) -> RegionCode {
        self.0.region
    }

    /// The federation's history this store belongs to.
    pub fn lineage(&self) -> Lineage {
        self.0.lineage
    }

    /// The database folder.
    pub fn path(&self) -> &Path {
        &self.0.dir
    }

    /// Last fsynced record.
    pub fn last(&self) -> Position {
        hold(&self.0.head).last
    }

    /// Record time of the last fsynced record.
    pub fn last_time(&self) -> Timestamp {
        hold(&self.0.head).last_time
    }

    /// Last record whose effects are in the state rows.
    pub fn applied(&self) -> Position {
        hold(&self.0.head).applied
    }

    /// Highest epoch promised or written under.
    pub fn sealed(&self) -> Epoch {
        hold(&self.0.head).sealed
    }

    /// Epochs of the stored journal.
    pub fn history(&self) -> EpochHistory {
        hold(&self.0.head).history.clone()
    }

    /// True after a failed write: every further write is refused until the platform is opened again.
    pub fn is_poisoned(&self) -> bool {
        self.0.poison.get().is_some()
    }

    /// Writes what is only in memory and log into tables, so that the next start replays nothing. For an orderly stop.
    pub fn flush(&self) -> Result<(), Error> {
        let families = [self.rows(), self.family(META), self.family(LOCAL)];
        let families: Vec<_> = families.iter().collect();
        let mut options = rocksdb::FlushOptions::default();
        options.set_wait(true);
        self.0.db.flush_cfs_opt(&families, &options).map_err(|e| self.poison("flush", e))
    }

    fn family(&self, name: &'static str) -> Arc<BoundColumnFamily<'_>> {
        self.0.db.cf_handle(name).expect("every family exists once the database is open")
    }

    /// Refuses a write after an earlier one failed.
    fn writable(&self) -> Result<(), Error> {
        match self.0.poison.get() {
            None => Ok(()),
            Some(first) => Err(Error::Poisoned {
                path: self.0.dir.clone(),
                code: first.code(),
                first: first.to_string(),
            }),
        }
    }

    /// Notes a failed write. What it left in the log is unknown, so no later write may build upon it.
    fn poison(&self, operation: &'static str, source: rocksdb::Error) -> Error {
        let error = Error::rocks(operation, &self.0.dir, source);
        if matches!(error, Error::Damaged { .. }) {
            rows::suspect(&self.0.dir);
        }
        self.poisoned(error)
    }

    fn poisoned(&self, error: Error) -> Error {
        if self.0.poison.set(error.clone()).is_ok() {
            tracing::error!(region = %self.0.region, code = %error.code(), %error, "storage stopped writing");
        }
        error
    }

    fn write(&self, operation: &'static str, batch: rocksdb::WriteBatch, sync: bool) -> Result<(), Error> {
        let mut options = rocksdb::WriteOptions::default();
        options.set_sync(sync);
        self.0.db.write_opt(batch, &options).map_err(|e| self.poison(operation, e))
    }
}
