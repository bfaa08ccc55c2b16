//! Storage of the registry's Raft group on one node: log, vote and marks, state rows, snapshot files.
//!
//! Bytes in, bytes out: what a log entry or a row means is `consensus`' business. One RocksDB of its own, apart from the
//! platforms', so that their compactions never delay a vote. Log, marks and rows are column families of one database with
//! one write-ahead log; therefore **a sync makes everything written before it durable, in the order in which it was written**.
//! A write is readable when [`RegistryStore::write`] returns and durable when a later sync reports success. Syncs run on a
//! thread of their own and share one fsync. After a failed sync nothing is written again: what the disk holds is unknown.
//!
//! Folder: `db/` (RocksDB), `snapshots/` (see [`SnapshotFile`]).

mod error;
mod snapshot;
mod sync;
#[cfg(test)]
mod tests;

pub use error::Error;
pub use snapshot::{Incoming, SnapshotContent, SnapshotFile};

use rocksdb::{
    ColumnFamily, ColumnFamilyDescriptor, DB, Direction, IteratorMode, Options, ReadOptions, WriteBatch,
};
use snapshot::SnapshotDir;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use sync::Syncer;
use tokio::sync::oneshot;

/// Column family of the Raft log: key = index, big endian.
const LOG: &str = "log";
/// Column family of the marks: vote, committed, purged, applied, membership.
const MARKS: &str = "marks";
/// Column family of the state rows.
const ROWS: &str = "rows";
/// Mark that holds the format of this folder.
const FORMAT_MARK: &[u8] = b"format";
/// The format that this version writes. It rises with every change of what a row, a log entry or a mark looks like.
const FORMAT: u8 = eport_model::formats::REGISTRY;
/// Write buffer a column family; the whole registry is a few MiB.
const WRITE_BUFFER_BYTES: usize = 4 << 20;
/// The write-ahead log is cut by flushing column families once it is longer than this.
const WAL_BYTES_MAX: u64 = 32 << 20;

/// The registry's storage. Cheap to clone; the folder is released when the last clone is dropped.
#[derive(Clone)]
pub struct RegistryStore {
    inner: Arc<Inner>,
}

/// Field order is drop order: the sync thread ends before the database closes.
struct Inner {
    syncer: Syncer,
    db: Arc<DB>,
    snapshots: SnapshotDir,
    dir: PathBuf,
}

/// A stored key with its value.
pub type KeyValue = (Vec<u8>, Vec<u8>);

/// Changes that become visible together. Made by [`RegistryStore::batch`], used by [`RegistryStore::write`].
pub struct Batch<'a> {
    store: &'a RegistryStore,
    batch: WriteBatch,
}

impl Batch<'_> {
    /// Puts the log entry of an index.
    pub fn put_log(&mut self, index: u64, entry: &[u8]) {
        self.batch.put_cf(self.store.cf(LOG), index.to_be_bytes(), entry);
    }

    /// Deletes the log entries `from..to`.
    pub fn delete_log(&mut self, from: u64, to: u64) {
        self.batch.delete_range_cf(self.store.cf(LOG), from.to_be_bytes(), to.to_be_bytes());
    }

    /// Puts a mark. Names starting with `format` are the store's own.
    pub fn put_mark(&mut self, name: &str, value: &[u8]) {
        self.batch.put_cf(self.store.cf(MARKS), name, value);
    }

    /// Deletes a mark.
    pub fn delete_mark(&mut self, name: &str) {
        self.batch.delete_cf(self.store.cf(MARKS), name);
    }

    /// Puts a state row.
    pub fn put_row(&mut self, key: &[u8], value: &[u8]) {
        self.batch.put_cf(self.store.cf(ROWS), key, value);
    }

    /// Deletes a state row.
    pub fn delete_row(&mut self, key: &[u8]) {
        self.batch.delete_cf(self.store.cf(ROWS), key);
    }
}

impl RegistryStore {
    /// Opens or creates the storage in a folder, which only this store may use.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        let db_dir = dir.join("db");
        std::fs::create_dir_all(&db_dir).map_err(|e| Error::io("create", &db_dir, &e))?;
        let families = [LOG, MARKS, ROWS].map(|name| ColumnFamilyDescriptor::new(name, family_options()));
        let db = DB::open_cf_descriptors(&database_options(), &db_dir, families)
            .map_err(|e| Error::rocks("open", &db_dir, &e))?;
        let db = Arc::new(db);
        let snapshots = SnapshotDir::open(&dir.join("snapshots"))?;
        let syncer = Syncer::start(db.clone(), db_dir.clone())?;
        let store = Self { inner: Arc::new(Inner { syncer, db, snapshots, dir: db_dir }) };
        store.check_format()?;
        Ok(store)
    }

    fn check_format(&self) -> Result<(), Error> {
        let marks = self.cf(MARKS);
        match self.inner.db.get_cf(marks, FORMAT_MARK).map_err(|e| self.failed("read format", &e))? {
            None => self
                .inner
                .db
                .put_cf(marks, FORMAT_MARK, [FORMAT])
                .map_err(|e| self.failed("write format", &e)),
            Some(found) if found.as_slice() == [FORMAT] => Ok(()),
            Some(found) => {
                let (dir, found) = (self.inner.dir.clone(), found.first().copied().unwrap_or(0));
                match found > FORMAT {
                    true => Err(Error::NewerFormat { dir, found, known: FORMAT }),
                    false => Err(Error::OlderFormat { dir, found, known: FORMAT }),
                }
            }
        }
    }

    /// An empty batch.
    pub fn batch(&self) -> Batch<'_> {
        Batch { store: self, batch: WriteBatch::default() }
    }

    /// Writes a batch: readable on return, durable after the next successful sync.
    pub fn write(&self, batch: Batch<'_>) -> Result<(), Error> {
        self.inner.syncer.check()?;
        self.inner.db.write(batch.batch).map_err(|e| self.failed("write", &e))
    }

    /// Replaces all state rows by others and puts marks, in one batch; readable on return.
    pub fn replace_rows<'r>(
        &self,
        rows: impl Iterator<Item = (&'r [u8], &'r [u8])>,
        marks: &[(&str, Vec<u8>)],
    ) -> Result<(), Error> {
        let mut batch = self.batch();
        // RocksDB's range end is exclusive, so the last existing key is deleted by itself.
        if let Some(last) = self.last_of(ROWS)? {
            batch.batch.delete_range_cf(self.cf(ROWS), Vec::new(), last.0.clone());
            batch.delete_row(&last.0);
        }
        rows.for_each(|(key, value)| batch.put_row(key, value));
        marks.iter().for_each(|(name, value)| batch.put_mark(name, value));
        self.write(batch)
    }

    /// Makes everything written so far durable; the answer comes from the sync thread.
    pub fn sync(&self) -> oneshot::Receiver<Result<(), Error>> {
        let (answer, receiver) = oneshot::channel();
        self.sync_then(move |result| {
            // The caller may have given up; nobody else wants the answer.
            let _ = answer.send(result);
        });
        receiver
    }

    /// Makes everything written so far durable, then calls back on the sync thread. The callback must not block.
    pub fn sync_then(&self, done: impl FnOnce(Result<(), Error>) + Send + 'static) {
        self.inner.syncer.submit(Box::new(done));
    }

    /// Writes a batch and starts a sync: readable on return, durable when the receiver yields `Ok`.
    pub fn submit(&self, batch: Batch<'_>) -> Result<oneshot::Receiver<Result<(), Error>>, Error> {
        self.write(batch)?;
        Ok(self.sync())
    }

    /// Log entries `from..to` in order, stopping before `bytes_max` is exceeded, but never before the first entry.
    pub fn log(&self, from: u64, to: u64, bytes_max: usize) -> Result<Vec<(u64, Vec<u8>)>, Error> {
        let mut bounds = ReadOptions::default();
        bounds.set_iterate_upper_bound(to.to_be_bytes().to_vec());
        let start = from.to_be_bytes();
        let from_start = IteratorMode::From(&start, Direction::Forward);
        let mut found = Vec::new();
        let mut bytes = 0;
        for item in self.inner.db.iterator_cf_opt(self.cf(LOG), bounds, from_start) {
            let (key, value) = item.map_err(|e| self.failed("read log", &e))?;
            bytes += value.len();
            if bytes > bytes_max && !found.is_empty() {
                break;
            }
            found.push((self.index_of(&key)?, value.into_vec()));
        }
        Ok(found)
    }

    /// The last log entry, or `None` when the log is empty.
    pub fn last_log(&self) -> Result<Option<(u64, Vec<u8>)>, Error> {
        self.last_of(LOG)?.map(|(key, value)| Ok((self.index_of(&key)?, value))).transpose()
    }

    /// A mark, or `None` when it was never put.
    pub fn mark(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        self.inner.db.get_cf(self.cf(MARKS), name).map_err(|e| self.failed("read mark", &e))
    }

    /// All state rows in key order.
    pub fn rows(&self) -> Result<Vec<KeyValue>, Error> {
        let rows = self.inner.db.iterator_cf(self.cf(ROWS), IteratorMode::Start);
        rows.map(|item| {
            let (key, value) = item.map_err(|e| self.failed("read rows", &e))?;
            Ok((key.into_vec(), value.into_vec()))
        })
        .collect()
    }

    /// Writes a snapshot file of these rows up to a log index; durable on return. Keeps the newest two.
    pub fn write_snapshot<'r>(
        &self,
        index: u64,
        header: &[u8],
        rows: impl Iterator<Item = (&'r [u8], &'r [u8])>,
    ) -> Result<SnapshotFile, Error> {
        self.inner.snapshots.write(index, header, rows)
    }

    /// Opens a temporary file for a snapshot that arrives from another node, of a stated length.
    pub fn receive_snapshot(&self, len: u64) -> Result<Incoming, Error> {
        self.inner.snapshots.receive(len)
    }

    /// Makes a received snapshot file one of this store's own, durably. Keeps the newest two.
    pub fn adopt_snapshot(&self, index: u64, file: &SnapshotFile) -> Result<SnapshotFile, Error> {
        self.inner.snapshots.adopt(index, file)
    }

    /// This store's snapshot files, the newest first.
    pub fn snapshots(&self) -> Result<Vec<SnapshotFile>, Error> {
        self.inner.snapshots.list()
    }

    fn last_of(&self, family: &str) -> Result<Option<KeyValue>, Error> {
        let mut entries = self.inner.db.iterator_cf(self.cf(family), IteratorMode::End);
        match entries.next() {
            None => Ok(None),
            Some(Ok((key, value))) => Ok(Some((key.into_vec(), value.into_vec()))),
            Some(Err(e)) => Err(self.failed("read last entry", &e)),
        }
    }

    fn index_of(&self, key: &[u8]) -> Result<u64, Error> {
        key.try_into().map(u64::from_be_bytes).map_err(|_| Error::Damaged {
            path: self.inner.dir.clone(),
            detail: format!("a log key has {} bytes instead of 8", key.len()),
        })
    }

    fn cf(&self, name: &str) -> &ColumnFamily {
        self.inner.db.cf_handle(name).expect("every column family is opened with the database")
    }

    fn failed(&self, operation: &'static str, e: &rocksdb::Error) -> Error {
        Error::rocks(operation, &self.inner.dir, e)
    }
}

fn database_options() -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    options.set_max_total_wal_size(WAL_BYTES_MAX);
    options.set_max_background_jobs(2);
    options.set_keep_log_file_num(2);
    options.set_max_open_files(64);
    options
}

fn family_options() -> Options {
    let mut options = Options::default();
    options.set_write_buffer_size(WRITE_BUFFER_BYTES);
    options.set_max_write_buffer_number(2);
    options
}
