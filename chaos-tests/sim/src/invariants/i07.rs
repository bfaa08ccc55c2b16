//! I7: a backup is never durable beyond the primary: what it fsyncs was fsynced on the primary of its epoch before.
//! Basis: decision 4 of `replication.md` (PostgreSQL: "unsafe to send WAL that is not securely down to disk").

use crate::world::World;
use eport_model::Record;

pub(crate) fn check(world: &mut World, node: usize, record: &Record, on_author: bool) {
    let key = (record.header.epoch, record.index());
    let known = world.oracle.payloads.get(&key).is_some_and(|k| k.on_author);
    if !on_author && !known {
        let text = format!("n{node} fsyncs record {} of epoch {} before its primary has", key.1, key.0);
        world.fail("I7 never beyond the primary", text);
    }
}
