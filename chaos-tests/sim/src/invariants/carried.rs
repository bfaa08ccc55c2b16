//! A failover that is proven, not one whose loss was accepted, carries over every answer that was given before its
//! candidates sealed, also a `local` one. Design §5: what a primary may answer on its own follows `degrade_wait`.

use crate::world::World;
use eport_model::{MoveId, NodeId};

pub(crate) fn check(world: &mut World, move_id: MoveId, sealed: &[NodeId]) {
    let Some(movement) = world.registry.state.movement(move_id) else { return };
    let (Some(epoch), before) = (movement.epoch_after, movement.epoch_before) else { return };
    let placement = world.registry.placement();
    let start = placement.start.index;
    let Some(holder) = world.index_of(placement.primary) else { return };
    let promised = sealed.iter().filter_map(|n| world.oracle.seals.get(&(epoch, *n))).min();
    let Some(promised) = promised.copied() else { return };
    let given = world.oracle.acks.iter().filter(|a| a.epoch == before && a.at < promised);
    let lost = given.filter(|a| {
        let there = world.hosts[holder].disk.position(a.position.index);
        a.position.index > start || there.is_some_and(|p| p.digest != a.position.digest)
    });
    if let Some(ack) = lost.into_iter().next() {
        let text = format!(
            "record {} answered {:?} at {} ms, before the first seal at {promised} ms, is not before {start}, where epoch {epoch} starts",
            ack.position, ack.durability, ack.at
        );
        world.fail("a proven failover loses no earlier answer", text);
    }
}
