//! After an automatic failover nobody answers under the epoch before, once the new primary serves. `replication.md` §4.13:
//! the lease counts from the sending of its renewal and is checked when the answer leaves (classic bugs 15 and 16).

use crate::world::World;
use eport_model::Epoch;

pub(crate) fn check(world: &mut World, node: usize, epoch: Epoch) {
    let history = &world.registry.placement().history;
    let Some(next) = history.iter().map(|h| h.epoch).find(|e| *e > epoch) else { return };
    let opened = world.oracle.opened.get(&next).filter(|_| world.oracle.automatic.contains(&next));
    if let Some(opened) = opened {
        let text = format!("n{node} answers in epoch {epoch}; epoch {next} has served since {opened} ms");
        world.fail("lease: no answer beside a new primary", text);
    }
}
