//! Applying effects: rows and the applied position in one atomic batch.
//!
//! Not fsynced: the records are, and after a crash the rows are made again from them. Rows live in a family of their own,
//! so no effect can touch the meta rows, whatever its key.

use super::{META, PlatformStore, STATE, hold, meta};
use crate::{Error, layout};
use eport_model::{Effect, Position, Record, RecordDefect};
use rocksdb::WriteBatch;
use std::sync::Arc;

impl PlatformStore {
    /// Applies stored records that directly follow the last applied one. Returns the new applied position.
    pub fn apply(&self, records: &[Arc<Record>]) -> Result<Position, Error> {
        let _apply = hold(&self.0.apply);
        self.writable()?;
        let (last, mut applied) = {
            let head = hold(&self.0.head);
            (head.last, head.applied)
        };
        let mut batch = WriteBatch::default();
        let state = self.family(STATE);
        for record in records {
            let index = record.index();
            record.follows(&applied).map_err(|source| Error::OutOfOrder { last: applied, source })?;
            if index > last.index {
                // Only what is durable may show in the state.
                let source = RecordDefect::Gap { index, expected: last.index };
                return Err(Error::OutOfOrder { last, source });
            }
            for effect in &record.effects {
                match effect {
                    Effect::Put { key, value } => batch.put_cf(state, key, value),
                    Effect::Delete { key } => batch.delete_cf(state, key),
                }
            }
            applied = record.position();
        }
        if records.is_empty() {
            return Ok(applied);
        }
        batch.put_cf(self.family(META), meta::APPLIED, layout::encode_meta(&applied));
        self.write("apply effects", batch, false)?;
        hold(&self.0.head).applied = applied;
        Ok(applied)
    }
}
