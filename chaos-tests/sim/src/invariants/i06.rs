//! I6: nothing is in a journal that no client sent.

use crate::world::World;
use eport_model::{Record, RecordKind};

pub(crate) fn check(world: &mut World, node: usize, record: &Record) {
    if record.header.kind != RecordKind::Entry {
        return;
    }
    let key = record
        .effects
        .first()
        .and_then(|e| <[u8; 8]>::try_from(e.key().as_ref()).ok())
        .map(u64::from_be_bytes);
    if key.is_none_or(|k| !world.oracle.keys.contains(&k)) {
        world.fail("I6 nothing invented", format!("n{node} holds a record with key {key:?}"));
    }
}
