//! Opening a platform's database and checking what a crash, or somebody else, left in it.
//!
//! Journal and database each cut the torn end of a crash and refuse damage anywhere else. On top of that the last records
//! must verify, chain, and agree with the meta rows; nothing acknowledged is ever cut here.

use super::promise::{Kept, Promise};
use super::rows::{self, Generation};
use super::{Appending, Database, Head, Inner, LOCAL, META, PlatformStore, meta};
use crate::layout::{self, FORMAT};
use crate::log::Log;
use crate::{Error, Shared, durable};
use eport_model::{
    Coded, Epoch, EpochHistory, JournalIndex, Lineage, MoveId, Position, Record, RecordKind, RegionCode,
    Timestamp,
};
use rocksdb::{BoundColumnFamily, ColumnFamilyDescriptor, Options};
use serde::de::DeserializeOwned;
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, OnceLock, RwLock};

/// How many records at the end are verified in full when a platform opens.
pub(super) const VERIFIED_AT_OPEN: u64 = 64;
/// Folder of the journal's files, inside the database's.
pub(super) const LOG: &str = "journal";

/// What was found on disk when the platform was opened.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Recovered {
    /// Epochs of the stored journal.
    pub history: EpochHistory,
    /// Last fsynced record.
    pub last: Position,
    /// Its record time.
    pub last_time: Timestamp,
    /// Highest epoch this node has promised to (sealed) or written under.
    pub sealed: Epoch,
    /// Last record whose effects are in the state rows.
    pub applied: Position,
    /// Set when the journal ends in a Barrier or SwitchProposed of this move: open only after a linearizable read.
    pub unresolved: Option<MoveId>,
}

impl PlatformStore {
    /// Opens or creates the database of `region` in `dir`. Refuses one of another platform or lineage, of a newer format,
    /// in use, or damaged.
    pub fn open(
        dir: &Path,
        lineage: Lineage,
        region: RegionCode,
        shared: &Shared,
    ) -> Result<(Self, Recovered), Error> {
        durable::create_dir(dir)?;
        let found = rows::families_of(dir);
        let db = open_database(dir, shared, &found)?;
        let meta = Meta { db: &db, dir };
        meta.claim(lineage, region)?;
        let head = Head {
            history: meta.read(meta::HISTORY)?.unwrap_or_default(),
            sealed: meta.read(meta::SEALED)?.unwrap_or_default(),
            applied: meta.read(meta::APPLIED)?.unwrap_or_default(),
            ..Head::default()
        };
        let generation = meta.read::<u64>(meta::ROWS)?.map_or_else(Generation::default, Generation::new);
        rows::tidy(&db, &found, &generation, dir)?;
        let (promise, kept) = Promise::open(dir)?;
        let fsynced = kept.map_or(JournalIndex::ZERO, |k| k.index).max(head.applied.index);
        let log = Log::open(&dir.join(LOG), region, shared.budget().journal_file_bytes, fsynced)?;
        let store = PlatformStore(std::sync::Arc::new(Inner {
            db,
            log,
            dir: dir.to_owned(),
            lineage,
            region,
            ancestors: OnceLock::new(),
            append: Mutex::new(Appending { promise, buffer: Vec::new() }),
            apply: Mutex::new(()),
            mending: Mutex::new(()),
            rebuilding: Mutex::new(()),
            rows: RwLock::new(Arc::new(generation)),
            rewinds: AtomicU64::new(0),
            head: Mutex::new(head),
            poison: OnceLock::new(),
            disk: super::disk::DiskUse::default(),
        }));
        store.finish_install()?;
        let end = store.verify_end()?;
        let recovered = store.settle(end.as_deref())?;
        store.check_promise(kept)?;
        store.measure_disk()?;
        Ok((store, recovered))
    }

    /// Verifies the last records and returns the very last.
    fn verify_end(&self) -> Result<Option<std::sync::Arc<Record>>, Error> {
        let last = self.0.log.last();
        if last == JournalIndex::ZERO {
            return Ok(None);
        }
        let from = JournalIndex::from_u64(last.as_u64().saturating_sub(VERIFIED_AT_OPEN - 1).max(1));
        let mut before = self.position(from.previous())?;
        let mut end = None;
        self.for_each_record(from, |record| {
            let chained = before.as_ref().map_or(Ok(()), |b| record.follows(b));
            record
                .verify()
                .and(chained)
                .map_err(|defect| Error::damaged(&self.0.dir, Some(record.index()), defect.to_string()))?;
            before = Some(record.position());
            end = Some(record);
            Ok(true)
        })?;
        match &end {
            Some(record) if record.index() == last => Ok(end),
            _ => Err(Error::damaged(&self.0.dir, Some(last), "the records before the last cannot be read")),
        }
    }

    /// Checks that everything known to have been fsynced is still there.
    fn check_promise(&self, kept: Option<Kept>) -> Result<(), Error> {
        let Some(kept) = kept else { return Ok(()) };
        match self.position(kept.index)? {
            Some(position) if position.digest == kept.digest => Ok(()),
            Some(_) => {
                Err(Error::damaged(&self.0.dir, Some(kept.index), "an acknowledged record was replaced"))
            }
            None => {
                let last = self.last().index;
                let detail =
                    format!("the journal ends at {last}, but record {} was acknowledged", kept.index);
                Err(Error::damaged(&self.0.dir, Some(kept.index), detail))
            }
        }
    }

    /// Checks the meta rows against the end of the journal.
    fn settle(&self, end: Option<&Record>) -> Result<Recovered, Error> {
        let mut head = super::hold(&self.0.head);
        head.last = end.map_or(Position::ZERO, Record::position);
        head.last_time = end.map_or_else(Timestamp::default, |r| r.header.time);
        head.sealed = head.sealed.max(head.last.epoch);
        // An epoch is noted before its first record is written.
        let last = head.last.index;
        head.history.truncate_after(last);
        let damaged = |detail: String| Error::damaged(&self.0.dir, None, detail);
        if head.history.last_epoch() != head.last.epoch {
            let (history, last) = (head.history.last_epoch(), head.last.epoch);
            return Err(damaged(format!("the history ends in epoch {history}, the journal in epoch {last}")));
        }
        if head.applied.index > head.last.index {
            let (applied, last) = (head.applied.index, head.last.index);
            return Err(damaged(format!(
                "effects up to {applied} are applied, but the journal ends at {last}"
            )));
        }
        if self.position(head.applied.index)? != Some(head.applied) {
            return Err(damaged(format!("the applied record {} is not the stored one", head.applied.index)));
        }
        Ok(Recovered {
            history: head.history.clone(),
            last: head.last,
            last_time: head.last_time,
            sealed: head.sealed,
            applied: head.applied,
            unresolved: end.and_then(unresolved),
        })
    }
}

pub(super) fn unresolved(record: &Record) -> Option<MoveId> {
    match record.header.kind {
        RecordKind::Barrier { move_id } | RecordKind::SwitchProposed { move_id, .. } => Some(move_id),
        _ => None,
    }
}

/// The meta rows of a database that is being opened.
struct Meta<'a> {
    db: &'a Database,
    dir: &'a Path,
}

impl Meta<'_> {
    /// Writes format and owner into a new database, and checks them in an old one.
    fn claim(&self, lineage: Lineage, region: RegionCode) -> Result<(), Error> {
        let path = self.dir.to_owned();
        match self.read::<u32>(meta::FORMAT)? {
            Some(found) if found > FORMAT => return Err(Error::NewerFormat { path, found, known: FORMAT }),
            Some(found) if found < FORMAT => return Err(Error::OlderFormat { path, found, known: FORMAT }),
            Some(_) => {}
            None => return self.found(lineage, region),
        }
        match self.read::<(Lineage, RegionCode)>(meta::OWNER)? {
            Some(found) if found == (lineage, region) => Ok(()),
            Some((found_lineage, found_region)) => Err(Error::OtherOwner {
                path,
                found: format!("platform {found_region} of federation {found_lineage}"),
                expected: format!("platform {region} of federation {lineage}"),
            }),
            None => Err(Error::damaged(self.dir, None, "the database does not say whose it is")),
        }
    }

    fn found(&self, lineage: Lineage, region: RegionCode) -> Result<(), Error> {
        let mut batch = rocksdb::WriteBatch::default();
        batch.put_cf(&self.family(), meta::FORMAT, layout::encode_meta(&FORMAT));
        batch.put_cf(&self.family(), meta::OWNER, layout::encode_meta(&(lineage, region)));
        let mut options = rocksdb::WriteOptions::default();
        options.set_sync(true);
        self.db.write_opt(batch, &options).map_err(|e| Error::rocks("found database", self.dir, e))
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, Error> {
        let value = self.db.get_pinned_cf(&self.family(), name);
        let value = value.map_err(|e| Error::rocks("read meta", self.dir, e))?;
        let decode = |v: rocksdb::DBPinnableSlice<'_>| {
            layout::decode_meta(&v)
                .map_err(|e| Error::damaged(self.dir, None, format!("meta row {name}: {e}")))
        };
        value.map(decode).transpose()
    }

    fn family(&self) -> Arc<BoundColumnFamily<'_>> {
        self.db.cf_handle(META).expect("every family exists once the database is open")
    }
}

/// Opens the database. A table that cannot be opened keeps it closed only where rows are not concerned: rows can be made anew.
fn open_database(dir: &Path, shared: &Shared, found: &[String]) -> Result<Database, Error> {
    let open = |options: Options, suspect| {
        Database::open_cf_descriptors(&options, dir, families(shared, found, suspect))
            .map_err(|e| Error::rocks("open database", dir, e))
    };
    match open(shared.database(), rows::are_suspect(dir)) {
        Err(error @ Error::Damaged { .. }) => {
            // As strict as before with its log, but tables are opened when they are read: those of the meta rows at once.
            let db = open(shared.database_of_few_files(), true).map_err(|_| error.clone())?;
            tracing::error!(?dir, code = %error.code(), %error, "opened with rows that may be damaged");
            rows::suspect(dir);
            Ok(db)
        }
        opened => opened,
    }
}

/// Options of every family that is there, or should be.
fn families(shared: &Shared, found: &[String], suspect: bool) -> Vec<ColumnFamilyDescriptor> {
    let small = [META, LOCAL].map(|name| ColumnFamilyDescriptor::new(name, shared.family(256 << 10)));
    let rows = found.iter().filter(|name| rows::is_rows(name));
    let options = || {
        let mut options = shared.family(rows::BUFFER);
        // Merging damaged tables is what stops the database from writing: not before these rows are made anew.
        options.set_disable_auto_compactions(suspect);
        options
    };
    let rows = rows.map(|name| ColumnFamilyDescriptor::new(name, options()));
    small.into_iter().chain(rows).collect()
}
