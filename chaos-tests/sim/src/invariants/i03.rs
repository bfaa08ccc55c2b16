//! I3: (platform, epoch, index) has one payload on all disks for ever.
//! Basis: only the primary of an epoch writes in it, and only fsynced records leave it (decision 4 of `replication.md`).

use crate::oracle::Known;
use crate::world::World;
use eport_model::Record;

pub(crate) fn check(world: &mut World, node: usize, record: &Record, on_author: bool) {
    let key = (record.header.epoch, record.index());
    let known = world.oracle.payloads.entry(key).or_insert(Known { digest: record.digest, on_author });
    known.on_author |= on_author;
    if known.digest != record.digest {
        let text = format!("n{node} holds another record {} of epoch {} than somebody before", key.1, key.0);
        world.fail("I3 one payload", text);
    }
}
