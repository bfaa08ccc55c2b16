//! Node-local rows: kept with the platform's database, never replicated, not part of any digest.

use super::{LOCAL, PlatformStore};
use crate::Error;
use bytes::Bytes;
use rocksdb::WriteBatch;

impl PlatformStore {
    /// Writes a node-local row and fsyncs it.
    pub fn local_put(&self, key: &[u8], value: &[u8]) -> Result<(), Error> {
        self.writable()?;
        let mut batch = WriteBatch::default();
        batch.put_cf(&self.family(LOCAL), key, value);
        self.write("write local row", batch, true)
    }

    /// Removes a node-local row and fsyncs that.
    pub fn local_delete(&self, key: &[u8]) -> Result<(), Error> {
        self.writable()?;
        let mut batch = WriteBatch::default();
        batch.delete_cf(&self.family(LOCAL), key);
        self.write("remove local row", batch, true)
    }

    /// Reads a node-local row.
    pub fn local_get(&self, key: &[u8]) -> Result<Option<Bytes>, Error> {
        let value = self.0.db.get_cf(&self.family(LOCAL), key);
        value.map(|v| v.map(Bytes::from)).map_err(|e| self.unreadable("read local row", e))
    }
}
