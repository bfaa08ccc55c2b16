//! Applying effects: rows and the applied position in one atomic batch.
//!
//! Not fsynced: the records are, and after a crash the rows are made again from them. Rows live in a family of their own,
//! so no effect can touch the meta rows, whatever its key. The counters of what came in are a row among them, written here
//! and not by an effect: they count what is applied, in the same batch (`eport_model::Usage`).

use super::{META, PlatformStore, hold, meta};
use crate::{Error, layout};
use eport_model::{Effect, Position, Record, RecordDefect, RecordKind, USAGE_KEY, Usage, codec};
use rocksdb::WriteBatch;
use std::sync::Arc;

/// Largest row of usage that is read: sixty months take two kilobytes.
const USAGE_LEN_MAX: usize = 16 << 10;

impl PlatformStore {
    /// Applies stored records that directly follow the last applied one. Returns the new applied position.
    pub fn apply(&self, records: &[Arc<Record>]) -> Result<Position, Error> {
        for record in records {
            // Before it counts as applied: a crash in between applies it, and erases, once more.
            if let RecordKind::Erase { record, body, digest, .. } = &record.header.kind {
                self.erase_body(*record, *body, digest)?;
            }
        }
        let _apply = hold(&self.0.apply);
        self.writable()?;
        let (last, mut applied) = {
            let head = hold(&self.0.head);
            (head.last, head.applied)
        };
        let mut batch = WriteBatch::default();
        let state = self.rows();
        let mut effects = Vec::with_capacity(records.len() * 4);
        let (mut usage, mut counted) = (self.usage()?, false);
        for record in records {
            let index = record.index();
            record.follows(&applied).map_err(|source| Error::OutOfOrder { last: applied, source })?;
            if index > last.index {
                // Only what is durable may show in the state.
                let source = RecordDefect::Gap { index, expected: last.index };
                return Err(Error::OutOfOrder { last, source });
            }
            effects.extend(&record.effects);
            counted |= usage.count(record);
            applied = record.position();
        }
        if records.is_empty() {
            return Ok(applied);
        }
        for effect in last_of_each_row(effects) {
            match effect {
                Effect::Put { key, value } => batch.put_cf(&state, key, value),
                Effect::Delete { key } => batch.delete_cf(&state, key),
            }
        }
        if counted {
            batch.put_cf(&state, USAGE_KEY, codec::encode(&usage));
        }
        batch.put_cf(&self.family(META), meta::APPLIED, layout::encode_meta(&applied));
        self.write("apply effects", batch, false)?;
        hold(&self.0.head).applied = applied;
        Ok(applied)
    }

    /// What came in so far, as of the applied record.
    pub fn usage(&self) -> Result<Usage, Error> {
        let Some(row) = self.get(USAGE_KEY)? else { return Ok(Usage::default()) };
        let damaged = |e: codec::DecodeError| {
            Error::damaged(self.path(), None, format!("the row of usage cannot be read: {e}"))
        };
        codec::decode_with_limit(&row, USAGE_LEN_MAX).map_err(damaged)
    }
}

/// The last effect on each row, in key order: the batch is atomic, so what comes before it is never seen, and rows that lie
/// together are written together.
fn last_of_each_row(mut effects: Vec<&Effect>) -> Vec<&Effect> {
    // Reversed and sorted stably, the last effect on a row comes first and the others go.
    effects.reverse();
    effects.sort_by(|a, b| a.key().cmp(b.key()));
    effects.dedup_by(|later, first| later.key() == first.key());
    effects
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn the_last_effect_on_a_row_is_the_one_that_is_written() {
        let key = |k: &str| Bytes::from(k.to_owned());
        let put = |k: &str, v: &str| Effect::Put { key: key(k), value: key(v) };
        let all = [
            put("b", "1"),
            put("a", "1"),
            Effect::Delete { key: key("a") },
            put("b", "2"),
            put("c", "1"),
            put("a", "3"),
            Effect::Delete { key: key("c") },
        ];
        let kept: Vec<Effect> = last_of_each_row(all.iter().collect()).into_iter().cloned().collect();
        assert_eq!(kept, [put("a", "3"), put("b", "2"), Effect::Delete { key: key("c") }]);
    }
}
