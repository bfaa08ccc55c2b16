//! I10: nothing is truncated before its export is durable. Design §9 invariant 3; `replication.md` §4.7 (an operator that
//! truncated first lost data for good).

use crate::world::World;
use eport_model::JournalIndex;

pub(crate) fn check(world: &mut World, node: usize, after: JournalIndex) {
    let disk = &world.hosts[node].disk;
    let lost =
        disk.after(after).iter().find(|r| !world.oracle.exported.contains(&r.digest)).map(|r| r.index());
    let applied = disk.applied > after;
    if let Some(index) = lost {
        world.fail(
            "I10 export before truncation",
            format!("n{node} removes record {index}, which nobody has exported"),
        );
    } else if applied {
        world.fail(
            "I10 export before truncation",
            format!("n{node} removes records it has applied after {after}"),
        );
    }
}
