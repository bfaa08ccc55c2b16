//! What a platform needs of its replica: propose, wait, read. The agent's handle is the real one; tests bring their own.

use bytes::Bytes;
use eport_agent::{Pending, PlatformHandle, PlatformStatus, QueueFull};
use eport_journal::{Outcome, Ticket};
use eport_model::{Digest, Draft, JournalIndex, Position, Record, RecordHeader, RegionCode, Timestamp};
use eport_store::Error;
use std::sync::Arc;
use tokio::sync::{oneshot, watch};

/// A platform's replica on this node: journal, state rows, status.
///
/// Relied upon: outcomes of one caller's proposals come in the order of the proposals; `Done` comes after the record's rows
/// are readable here; a role `Primary` is seen only when every record found at its start is applied.
pub trait Log: Send + Sync + 'static {
    /// The platform.
    fn region(&self) -> RegionCode;
    /// Watches role, placement and numbers.
    fn status(&self) -> watch::Receiver<PlatformStatus>;
    /// Proposes drafts in order; each is answered once. They are held when the role has changed since `generation`.
    fn propose(&self, drafts: Vec<Draft>, generation: u64) -> Result<Vec<Pending>, QueueFull>;
    /// An answer that depends on another proposal; a ticket that is not in flight means everything applied so far.
    fn depend(&self, on: Ticket) -> Result<oneshot::Receiver<Outcome>, QueueFull>;
    /// Tells which number is next, so that another block is reserved in time.
    fn note_next_number(&self, next: u64);
    /// Last fsynced record.
    fn last(&self) -> Position;
    /// Its record time.
    fn last_time(&self) -> Timestamp;
    /// Last record whose rows are readable.
    fn applied(&self) -> Position;
    /// One state row.
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, Error>;
    /// Several state rows as of one instant.
    fn get_many(&self, keys: &[&[u8]]) -> Result<Vec<Option<Bytes>>, Error>;
    /// State rows by prefix, after a key, in key order.
    fn scan(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Vec<(Bytes, Bytes)>, Error>;
    /// How many state rows have the prefix.
    fn count(&self, prefix: &[u8]) -> Result<u64, Error>;
    /// Header and digest of a record.
    fn header(&self, index: JournalIndex) -> Result<Option<(RecordHeader, Digest)>, Error>;
    /// A body of a record; an erased one is empty.
    fn body(&self, index: JournalIndex, n: u16) -> Result<Option<Bytes>, Error>;
    /// Bytes that the platform takes on this node's disk, as far as is known without looking.
    fn disk_bytes(&self) -> u64;
    /// Records from an index on, about `max_bytes` of them.
    fn read(&self, from: JournalIndex, max_bytes: usize) -> Result<Vec<Arc<Record>>, Error>;
}

impl Log for PlatformHandle {
    fn region(&self) -> RegionCode {
        PlatformHandle::region(self)
    }
    fn status(&self) -> watch::Receiver<PlatformStatus> {
        PlatformHandle::status(self)
    }
    fn propose(&self, drafts: Vec<Draft>, generation: u64) -> Result<Vec<Pending>, QueueFull> {
        PlatformHandle::propose(self, drafts, Some(generation))
    }
    fn depend(&self, on: Ticket) -> Result<oneshot::Receiver<Outcome>, QueueFull> {
        PlatformHandle::depend(self, on)
    }
    fn note_next_number(&self, next: u64) {
        PlatformHandle::note_next_number(self, next);
    }
    fn last(&self) -> Position {
        self.store().last()
    }
    fn last_time(&self) -> Timestamp {
        self.store().last_time()
    }
    fn applied(&self) -> Position {
        self.store().applied()
    }
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, Error> {
        self.store().get(key)
    }
    fn get_many(&self, keys: &[&[u8]]) -> Result<Vec<Option<Bytes>>, Error> {
        self.store().get_many(keys)
    }
    fn scan(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Vec<(Bytes, Bytes)>, Error> {
        self.store().scan(prefix, after, limit)
    }
    fn count(&self, prefix: &[u8]) -> Result<u64, Error> {
        self.store().count(prefix)
    }
    fn header(&self, index: JournalIndex) -> Result<Option<(RecordHeader, Digest)>, Error> {
        self.store().header(index)
    }
    fn body(&self, index: JournalIndex, n: u16) -> Result<Option<Bytes>, Error> {
        self.store().body(index, n)
    }
    fn disk_bytes(&self) -> u64 {
        self.store().disk_bytes()
    }
    fn read(&self, from: JournalIndex, max_bytes: usize) -> Result<Vec<Arc<Record>>, Error> {
        self.store().read(from, max_bytes)
    }
}
