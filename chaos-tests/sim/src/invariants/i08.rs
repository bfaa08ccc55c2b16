//! I8: applied ≤ committed ≤ durable ≤ received, and commit never falls within one life of a process.
//! `replication.md` §4.10; what the replica believes to be fsynced must be on the disk.

use crate::world::World;

pub(crate) fn check(world: &mut World, node: usize) {
    let host = &mut world.hosts[node];
    let Some(replica) = &host.replica else { return };
    let (applied, committed) = (replica.applied_index(), replica.committed());
    let (durable, last) = (replica.durable(), replica.last());
    let ordered = applied <= committed && committed <= durable.index && durable.index <= last.index;
    let fallen = committed < host.committed;
    let on_disk = host.disk.position(durable.index) == Some(durable);
    host.committed = committed;
    // While a truncation is under way the disk may already be shorter than the replica knows.
    let truncated = host.disk.last().index < durable.index;
    if !ordered || fallen || (!on_disk && !truncated) {
        let text = format!(
            "n{node}: applied {applied}, committed {committed}, durable {durable}, last {last}, fallen {fallen}, on disk {on_disk}"
        );
        world.fail("I8 order of progress", text);
    }
}
