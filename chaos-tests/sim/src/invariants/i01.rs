//! I1: at most one node acknowledges writes per (platform, epoch), and it is the one the registry named.
//! Design §9 invariant 1.

use crate::world::World;
use eport_model::Epoch;

pub(crate) fn check(world: &mut World, node: usize, epoch: Epoch) {
    let id = world.hosts[node].id;
    let named = world.oracle.primaries.get(&epoch).copied();
    let first = *world.oracle.ackers.entry(epoch).or_insert(id);
    if first != id || named != Some(id) {
        let text =
            format!("{id} acknowledges in epoch {epoch}, whose primary is {named:?}; {first} did before");
        world.fail("I1 one acknowledging node", text);
    }
}
