//! openraft's log over [`RegistryStore`].
//!
//! An entry is readable when `append` returns; its callback fires from the sync thread after the fsync, with the error if
//! there was one. Votes, truncations and purges are durable when their method returns.

use crate::types::{Entry, Group, IoError, LogId, StorageError, Vote, decode};
use eport_model::codec;
use eport_store::RegistryStore;
use eport_store::registry::Batch;
use openraft::storage::{LogFlushed, RaftLogStorage};
use openraft::{AnyError, ErrorSubject, ErrorVerb, LogState, OptionalSend, RaftLogId, RaftLogReader};
use std::fmt::Debug;
use std::ops::{Bound, RangeBounds};

/// Most bytes of entries in one append to a follower; one larger entry still travels alone.
const READ_BYTES_MAX: usize = 1 << 20;

pub(crate) const VOTE: &str = "vote";
pub(crate) const COMMITTED: &str = "committed";
pub(crate) const PURGED: &str = "purged";

/// The log of one node. Clones share the storage.
#[derive(Clone)]
pub(crate) struct LogStore {
    store: RegistryStore,
}

impl LogStore {
    pub(crate) fn new(store: RegistryStore) -> Self {
        Self { store }
    }

    /// Where the log ends.
    pub(crate) async fn last(&mut self) -> Result<Option<LogId>, StorageError> {
        Ok(self.get_log_state().await?.last_log_id)
    }

    fn read(&self, from: u64, to: u64, bytes_max: usize) -> Result<Vec<Entry>, StorageError> {
        let entries = self.store.log(from, to, bytes_max).map_err(read_failed)?;
        entries.iter().map(|(_, bytes)| decode("log entry", bytes).map_err(read_failed)).collect()
    }

    fn mark<T: serde::de::DeserializeOwned>(&self, name: &'static str) -> Result<Option<T>, StorageError> {
        let bytes = self.store.mark(name).map_err(read_failed)?;
        bytes.map(|b| decode(name, &b).map_err(read_failed)).transpose()
    }

    /// Writes and waits until it is durable. Fsync errors stop the node: openraft ends on a storage error.
    async fn write(&self, batch: Batch<'_>) -> Result<(), StorageError> {
        let synced = self.store.submit(batch).map_err(write_failed)?;
        drop_stopped(synced.await)
    }
}

/// A sync thread that ended without an answer counts as a failed sync.
fn drop_stopped<E: std::error::Error + 'static>(
    answer: Result<Result<(), eport_store::registry::Error>, E>,
) -> Result<(), StorageError> {
    answer.map_err(write_failed)?.map_err(write_failed)
}

fn read_failed(e: impl std::error::Error + 'static) -> StorageError {
    IoError::new(ErrorSubject::Logs, ErrorVerb::Read, AnyError::new(&e)).into()
}

fn write_failed(e: impl std::error::Error + 'static) -> StorageError {
    IoError::new(ErrorSubject::Logs, ErrorVerb::Write, AnyError::new(&e)).into()
}

/// The half-open index range of any range.
fn bounds(range: &impl RangeBounds<u64>) -> (u64, u64) {
    let from = match range.start_bound() {
        Bound::Included(i) => *i,
        Bound::Excluded(i) => i.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let to = match range.end_bound() {
        Bound::Included(i) => i.saturating_add(1),
        Bound::Excluded(i) => *i,
        Bound::Unbounded => u64::MAX,
    };
    (from, to.max(from))
}

impl RaftLogReader<Group> for LogStore {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, StorageError> {
        let (from, to) = bounds(&range);
        self.read(from, to, usize::MAX)
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<Entry>, StorageError> {
        self.read(start, end, READ_BYTES_MAX)
    }
}

impl RaftLogStorage<Group> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<Group>, StorageError> {
        let last_purged_log_id: Option<LogId> = self.mark(PURGED)?;
        let last = self.store.last_log().map_err(read_failed)?;
        let last =
            last.map(|(_, bytes)| decode::<Entry>("log entry", &bytes).map_err(read_failed)).transpose()?;
        let last_log_id = last.map(|entry| entry.log_id).or(last_purged_log_id);
        Ok(LogState { last_purged_log_id, last_log_id })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), StorageError> {
        let mut batch = self.store.batch();
        batch.put_mark(VOTE, &codec::encode(vote));
        self.write(batch).await
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, StorageError> {
        self.mark(VOTE)
    }

    /// Not synced: the next append's fsync carries it, and a stale value only means more to apply again.
    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), StorageError> {
        let mut batch = self.store.batch();
        match committed {
            Some(id) => batch.put_mark(COMMITTED, &codec::encode(&id)),
            None => batch.delete_mark(COMMITTED),
        }
        self.store.write(batch).map_err(write_failed)
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, StorageError> {
        self.mark(COMMITTED)
    }

    async fn append<I>(&mut self, entries: I, callback: LogFlushed<Group>) -> Result<(), StorageError>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut batch = self.store.batch();
        for entry in entries {
            batch.put_log(entry.get_log_id().index, &codec::encode(&entry));
        }
        if let Err(e) = self.store.write(batch) {
            callback.log_io_completed(Err(std::io::Error::other(e.to_string())));
            return Err(write_failed(e));
        }
        self.store.sync_then(move |synced| callback.log_io_completed(synced.map_err(std::io::Error::other)));
        Ok(())
    }

    async fn truncate(&mut self, since: LogId) -> Result<(), StorageError> {
        let mut batch = self.store.batch();
        batch.delete_log(since.index, u64::MAX);
        self.write(batch).await
    }

    /// One sync makes the purge durable after everything it relies on: rows were written earlier to the same log.
    async fn purge(&mut self, upto: LogId) -> Result<(), StorageError> {
        let mut batch = self.store.batch();
        batch.put_mark(PURGED, &codec::encode(&upto));
        batch.delete_log(0, upto.index.saturating_add(1));
        self.write(batch).await
    }
}
