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
    // What a primary inherited becomes committed by its own EpochStart, never by counting copies (design §6).
    let own_start = replica.history().entries().last().map(|e| e.first);
    let own = host.is_primary() && replica.view().is_some_and(|v| v.epoch == replica.history().last_epoch());
    let counted = own && committed > host.committed && own_start.is_some_and(|start| committed < start);
    host.committed = committed;
    // While a truncation is under way the disk may already be shorter than the replica knows.
    let truncated = host.disk.last().index < durable.index;
    if counted {
        let text =
            format!("n{node} is primary and holds {committed} committed, its epoch starts at {own_start:?}");
        world.fail("inherited records commit with EpochStart", text);
    } else if !ordered || fallen || (!on_disk && !truncated) {
        let text = format!(
            "n{node}: applied {applied}, committed {committed}, durable {durable}, last {last}, fallen {fallen}, on disk {on_disk}"
        );
        world.fail("I8 order of progress", text);
    }
}
