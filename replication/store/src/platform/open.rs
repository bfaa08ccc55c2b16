//! Opening a platform's database and checking what a crash, or somebody else, left in it.
//!
//! RocksDB cuts a torn end of its log (a batch is whole or absent) and refuses damage anywhere else. On top of that the
//! last records must verify, chain, and agree with the meta rows; nothing acknowledged is ever cut here.

use super::promise::{Kept, Promise};
use super::{Head, Inner, META, PlatformStore, meta};
use crate::layout::{self, FORMAT};
use crate::{Error, Shared, durable};
use eport_model::{
    Epoch, EpochHistory, JournalIndex, Lineage, MoveId, Position, Record, RecordKind, RegionCode, Timestamp,
};
use rocksdb::{ColumnFamilyDescriptor, DB, DBCompressionType, Options};
use serde::de::DeserializeOwned;
use std::path::Path;
use std::sync::{Mutex, OnceLock};

/// How many records at the end are verified in full when a platform opens.
const VERIFIED_AT_OPEN: u64 = 64;
/// Bodies from this size on live in blob files, outside the sorted tables.
const BLOB_LEN_MIN: u64 = 512;

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
        let db = DB::open_cf_descriptors(&shared.database(), dir, families(shared))
            .map_err(|e| Error::rocks("open database", dir, e))?;
        let (promise, kept) = Promise::open(dir)?;
        let mut inner = Inner {
            db,
            dir: dir.to_owned(),
            lineage,
            region,
            ancestors: OnceLock::new(),
            append: Mutex::new(promise),
            apply: Mutex::new(()),
            head: Mutex::default(),
            poison: OnceLock::new(),
        };
        claim(&inner)?;
        let head = Head {
            history: read_meta(&inner, meta::HISTORY)?.unwrap_or_default(),
            sealed: read_meta(&inner, meta::SEALED)?.unwrap_or_default(),
            applied: read_meta(&inner, meta::APPLIED)?.unwrap_or_default(),
            ..Head::default()
        };
        inner.head = Mutex::new(head);
        let store = PlatformStore(std::sync::Arc::new(inner));
        let end = store.verify_end()?;
        let recovered = store.settle(end.as_deref())?;
        store.check_promise(kept)?;
        Ok((store, recovered))
    }

    /// Verifies the last records and returns the very last.
    fn verify_end(&self) -> Result<Option<std::sync::Arc<Record>>, Error> {
        let Some(last) = self.last_index()? else { return Ok(None) };
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

fn unresolved(record: &Record) -> Option<MoveId> {
    match record.header.kind {
        RecordKind::Barrier { move_id } | RecordKind::SwitchProposed { move_id, .. } => Some(move_id),
        _ => None,
    }
}

/// Writes format and owner into a new database, and checks them in an old one.
fn claim(inner: &Inner) -> Result<(), Error> {
    let owner = (inner.lineage, inner.region);
    match read_meta::<u32>(inner, meta::FORMAT)? {
        Some(found) if found > FORMAT => {
            return Err(Error::NewerFormat { path: inner.dir.clone(), found, known: FORMAT });
        }
        Some(_) => {}
        None => return found_database(inner, owner),
    }
    match read_meta::<(Lineage, RegionCode)>(inner, meta::OWNER)? {
        Some(found) if found == owner => Ok(()),
        Some((lineage, region)) => Err(Error::OtherOwner {
            path: inner.dir.clone(),
            found: format!("platform {region} of federation {lineage}"),
            expected: format!("platform {} of federation {}", inner.region, inner.lineage),
        }),
        None => Err(Error::damaged(&inner.dir, None, "the database does not say whose it is")),
    }
}

fn found_database(inner: &Inner, owner: (Lineage, RegionCode)) -> Result<(), Error> {
    let cf = inner.db.cf_handle(META).expect("every family exists once the database is open");
    let mut batch = rocksdb::WriteBatch::default();
    batch.put_cf(cf, meta::FORMAT, layout::encode_meta(&FORMAT));
    batch.put_cf(cf, meta::OWNER, layout::encode_meta(&owner));
    let mut options = rocksdb::WriteOptions::default();
    options.set_sync(true);
    inner.db.write_opt(batch, &options).map_err(|e| Error::rocks("found database", &inner.dir, e))
}

fn read_meta<T: DeserializeOwned>(inner: &Inner, name: &str) -> Result<Option<T>, Error> {
    let cf = inner.db.cf_handle(META).expect("every family exists once the database is open");
    let value = inner.db.get_pinned_cf(cf, name).map_err(|e| Error::rocks("read meta", &inner.dir, e))?;
    let decode = |v: rocksdb::DBPinnableSlice<'_>| {
        layout::decode_meta(&v).map_err(|e| Error::damaged(&inner.dir, None, format!("meta row {name}: {e}")))
    };
    value.map(decode).transpose()
}

fn families(shared: &Shared) -> Vec<ColumnFamilyDescriptor> {
    // Journal rows arrive in key order and are read in long runs; state rows are read one by one.
    let mut bodies = shared.family(32 << 20);
    with_blobs(&mut bodies);
    let mut rows = vec![ColumnFamilyDescriptor::new(super::BODIES, bodies)];
    for (name, buffer) in
        [(super::JOURNAL, 16 << 20), (super::STATE, 16 << 20), (META, 256 << 10), (super::LOCAL, 256 << 10)]
    {
        rows.push(ColumnFamilyDescriptor::new(name, shared.family(buffer)));
    }
    rows
}

fn with_blobs(options: &mut Options) {
    options.set_enable_blob_files(true);
    options.set_min_blob_size(BLOB_LEN_MIN);
    // Bodies are written once and are to be encrypted: compressing them is left to archives.
    options.set_blob_compression_type(DBCompressionType::None);
    options.set_blob_file_size(64 << 20);
    // Erased bodies must leave the disk, not only the index.
    options.set_enable_blob_gc(true);
}
