//! A fault on purpose: a row that no record explains.
//!
//! Stands here because only this crate names RocksDB. Nothing of a running node calls it; proofs that `platform verify`
//! finds a difference do.

use super::PlatformStore;
use crate::Error;
use rocksdb::WriteBatch;

impl PlatformStore {
    /// Puts a state row behind the journal's back, as a fault of disk or software would.
    pub fn plant_row(&self, key: &[u8], value: &[u8]) -> Result<(), Error> {
        let mut batch = WriteBatch::default();
        batch.put_cf(&self.rows(), key, value);
        self.write("plant a row", batch, true)
    }
}
