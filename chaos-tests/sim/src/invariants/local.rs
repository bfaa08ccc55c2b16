//! An answer `local` is given only after the registry, or the platform's own journal, has durably recorded that no backup is
//! waited for. Design §9 invariant 2; classic bug 14 of `replication.md` (sync silently degraded).

use crate::world::World;
use eport_model::{Durability, Epoch, RecordKind};

pub(crate) fn check(world: &mut World, node: usize, epoch: Epoch, durability: Durability, depends: bool) {
    // An answer that names no record of its own promises no more than it says.
    if durability != Durability::Local || depends || world.oracle.alone.contains(&epoch) {
        return;
    }
    let degrades = |r: &eport_model::Record| {
        r.header.epoch == epoch && matches!(r.header.kind, RecordKind::Degrade { .. })
    };
    if !world.hosts[node].disk.records.iter().any(|r| degrades(r)) {
        let text = format!("n{node} answers local in epoch {epoch}; neither registry nor journal say why");
        world.fail("local only when it is recorded", text);
    }
}
