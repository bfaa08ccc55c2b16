//! A StepDown stops its receiver at once, on the word of any member. Design §6.

use crate::world::World;
use eport_journal::Role;
use eport_model::Epoch;

pub(crate) fn check(world: &mut World, node: usize, epoch: Epoch) {
    if !world.hosts[node].is_up() {
        return;
    }
    let Some(replica) = &world.hosts[node].replica else { return };
    let serving = match replica.role() {
        Role::Primary { epoch } | Role::Opening { epoch } | Role::Handover { epoch, .. } => Some(*epoch),
        _ => None,
    };
    // Whoever was told that its disk is an old copy has stopped for good: it hears nothing more until it starts again.
    let host = &world.hosts[node];
    let stopped = host.broken || host.rolled_back && matches!(replica.role(), Role::Fenced { .. });
    if serving.is_some_and(|e| e < epoch) || !stopped && replica.epoch() < epoch {
        let text = format!("n{node} was told of epoch {epoch} and is {:?}", replica.role());
        world.fail("a StepDown stops at once", text);
    }
}
