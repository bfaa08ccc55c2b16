//! Only fsynced records are acknowledged: decision 4 of `replication.md`, classic bug 6 of §4.11 (un-fsynced data acked).
//! Switched off for the run that shows that I4 and I11 find the same bug without it (`Options::indirect`).

use crate::world::World;
use eport_journal::Ack;

pub(crate) fn check(world: &mut World, node: usize, ack: &Ack) {
    if world.options.indirect {
        return;
    }
    let on_disk = world.hosts[node].disk.position(ack.durable.index);
    if on_disk != Some(ack.durable) {
        let text = format!("n{node} acknowledges {}, its disk has {on_disk:?} there", ack.durable);
        world.fail("only fsynced is acknowledged", text);
    }
}
