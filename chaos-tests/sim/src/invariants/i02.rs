//! I2: epochs of a platform strictly rise and each is allocated once; placement versions rise by one.
//! Design §3 (compare-and-set on the placement version), §9 invariants 1 and 9.

use crate::world::World;

pub(crate) fn check(world: &mut World) {
    let placement = world.registry.placement().clone();
    let (version, epoch, last) = world.oracle.placement;
    let risen =
        placement.epoch >= epoch && placement.last_epoch >= last && placement.last_epoch >= placement.epoch;
    let history = placement.history.windows(2).all(|w| w[0].epoch < w[1].epoch);
    if (version > 0 && placement.version != version + 1) || !risen || !history {
        let text =
            format!("version {version} -> {}, epoch {epoch} -> {}", placement.version, placement.epoch);
        world.fail("I2 rising epochs", text);
    }
    world.oracle.placement = (placement.version, placement.epoch, placement.last_epoch);
    if let Some(before) = world.oracle.primaries.insert(placement.epoch, placement.primary)
        && before != placement.primary
    {
        world.fail("I2 rising epochs", format!("epoch {} has two primaries", placement.epoch));
    }
    if world.registry.state.effective_k(&placement) == 0 {
        world.oracle.alone.insert(placement.epoch);
    }
    let counted = world.registry.state.in_sync_counted(&placement).map(|b| b.node).collect();
    world.oracle.counted_before = counted;
    world.oracle.quorum_before = world.registry.state.seal_quorum(&placement);
}
