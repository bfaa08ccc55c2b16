//! Reading state rows: one, many, by prefix, and all of them as of one applied position.

use super::{Database, META, PlatformStore, meta};
use crate::{Error, layout};
use bytes::Bytes;
use eport_model::{Digest, DigestHasher, Position};
use rocksdb::{BoundColumnFamily, Direction, IteratorMode, ReadOptions, SnapshotWithThreadMode};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The digest of all state rows at one applied position. Equal positions must have equal digests on every replica.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StateDigest {
    /// Last applied record.
    pub applied: Position,
    /// SHA-256 over all rows in key order, lengths framed.
    pub digest: Digest,
    /// How many rows there are.
    pub rows: u64,
}

impl PlatformStore {
    /// One state row.
    pub fn get(&self, key: &[u8]) -> Result<Option<Bytes>, Error> {
        let value = self.0.db.get_cf(&self.rows(), key);
        value.map(|v| v.map(Bytes::from)).map_err(|e| self.unreadable("read row", e))
    }

    /// Several state rows as of one instant, answers in the order of the keys.
    pub fn get_many(&self, keys: &[&[u8]]) -> Result<Vec<Option<Bytes>>, Error> {
        let found = self.0.db.batched_multi_get_cf(&self.rows(), keys.iter().copied(), false);
        let copy = |v: rocksdb::DBPinnableSlice<'_>| Bytes::copy_from_slice(&v);
        found
            .into_iter()
            .map(|v| v.map(|v| v.map(copy)).map_err(|e| self.unreadable("read rows", e)))
            .collect()
    }

    /// Rows whose key begins with `prefix`, in key order, after the key `after`, at most `limit`.
    pub fn scan(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<(Bytes, Bytes)>, Error> {
        let start = after.map_or_else(|| prefix.to_vec(), successor).max(prefix.to_vec());
        let mode = IteratorMode::From(&start, Direction::Forward);
        let rows = self.0.db.iterator_cf_opt(&self.rows(), within(prefix), mode);
        let own = |(k, v): (Box<[u8]>, Box<[u8]>)| (Bytes::from(k), Bytes::from(v));
        rows.take(limit).map(|row| row.map(own).map_err(|e| self.unreadable("scan rows", e))).collect()
    }

    /// How many rows have a key that begins with `prefix`. Reads them all: meant for figures, not for hot paths.
    pub fn count(&self, prefix: &[u8]) -> Result<u64, Error> {
        let mut options = within(prefix);
        options.fill_cache(false);
        let mut rows = self.0.db.raw_iterator_cf_opt(&self.rows(), options);
        let mut count = 0;
        rows.seek(prefix);
        while rows.valid() {
            count += 1;
            rows.next();
        }
        rows.status().map(|()| count).map_err(|e| self.unreadable("count rows", e))
    }

    /// All state rows as they are now, unmoved by later writes while it lives.
    pub fn snapshot(&self) -> StateSnapshot<'_> {
        loop {
            let (generation, rows) = self.rows_now();
            let snapshot = self.0.db.snapshot();
            // Rows that were made anew in between stand in another family, of which this snapshot would show a part.
            if self.rows_now().0 == generation {
                return StateSnapshot { store: self, rows, snapshot };
            }
        }
    }

    /// Takes a snapshot now and hashes it on a thread of its own, which calls `done`. Returns when the snapshot is taken,
    /// with the position it shows: rows may change at once afterwards.
    pub fn digest_in_background(
        &self,
        done: impl FnOnce(Result<StateDigest, Error>) + Send + 'static,
    ) -> Result<Position, Error> {
        let (taken, wait) = std::sync::mpsc::sync_channel(1);
        let store = self.clone();
        let work = move || {
            let snapshot = store.snapshot();
            let applied = snapshot.applied();
            let failed = applied.is_err();
            if taken.send(applied).is_ok() && !failed {
                done(snapshot.state_digest());
            }
        };
        let spawned = std::thread::Builder::new().name("state-digest".to_owned()).spawn(work);
        spawned.map_err(|e| Error::io("start digest thread", self.path(), e))?;
        wait.recv().unwrap_or(Err(Error::Stopped))
    }
}

/// State rows as of one applied position.
pub struct StateSnapshot<'a> {
    store: &'a PlatformStore,
    rows: Arc<BoundColumnFamily<'a>>,
    snapshot: SnapshotWithThreadMode<'a, Database>,
}

impl StateSnapshot<'_> {
    /// The last record whose effects these rows hold.
    pub fn applied(&self) -> Result<Position, Error> {
        let value = self.snapshot.get_pinned_cf(&self.store.family(META), meta::APPLIED);
        match value.map_err(|e| self.store.unreadable("read meta", e))? {
            None => Ok(Position::ZERO),
            Some(v) => layout::decode_meta(&v).map_err(|e| {
                Error::damaged(self.store.path(), None, format!("meta row {}: {e}", meta::APPLIED))
            }),
        }
    }

    /// One row.
    pub fn get(&self, key: &[u8]) -> Result<Option<Bytes>, Error> {
        let value = self.snapshot.get_cf(&self.rows, key);
        value.map(|v| v.map(Bytes::from)).map_err(|e| self.store.unreadable("read row", e))
    }

    /// SHA-256 over all rows in key order: key length, key, value length, value.
    pub fn digest(&self) -> Result<Digest, Error> {
        self.state_digest().map(|d| d.digest)
    }

    /// The digest with its position and the number of rows.
    pub fn state_digest(&self) -> Result<StateDigest, Error> {
        let mut hasher = DigestHasher::new();
        let mut count = 0;
        self.for_each_row(|key, value| {
            for part in [key, value] {
                hasher.update(&(part.len() as u64).to_le_bytes());
                hasher.update(part);
            }
            count += 1;
            Ok(())
        })?;
        Ok(StateDigest { applied: self.applied()?, digest: hasher.finish(), rows: count })
    }

    /// Calls `each` with every row, in key order.
    pub(crate) fn for_each_row(
        &self,
        mut each: impl FnMut(&[u8], &[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut options = ReadOptions::default();
        options.set_total_order_seek(true);
        options.fill_cache(false);
        let mut rows = self.snapshot.raw_iterator_cf_opt(&self.rows, options);
        rows.seek_to_first();
        while let Some((key, value)) = rows.item() {
            each(key, value)?;
            rows.next();
        }
        rows.status().map_err(|e| self.store.unreadable("read rows", e))
    }
}

/// Read options bounded to keys that begin with `prefix`.
fn within(prefix: &[u8]) -> ReadOptions {
    let mut options = ReadOptions::default();
    options.set_total_order_seek(true);
    if let Some(end) = prefix_end(prefix) {
        options.set_iterate_upper_bound(end);
    }
    options
}

/// The first key after all keys with this prefix; `None` when there is none (empty, or all bytes 0xff).
fn prefix_end(prefix: &[u8]) -> Option<Vec<u8>> {
    let keep = prefix.iter().rposition(|b| *b != 0xff)?;
    let mut end = prefix[..=keep].to_vec();
    end[keep] += 1;
    Some(end)
}

/// The first key after `key`.
fn successor(key: &[u8]) -> Vec<u8> {
    let mut next = key.to_vec();
    next.push(0);
    next
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_before_the_next_one() {
        assert_eq!(prefix_end(b"doc/"), Some(b"doc0".to_vec()));
        assert_eq!(prefix_end(&[1, 0xff, 0xff]), Some(vec![2]));
        assert_eq!((prefix_end(&[]), prefix_end(&[0xff])), (None, None));
    }
}
