//! I10: nothing is truncated, and nothing applied is rewound, before its export is durable here and held by another node.
//! Design §9 invariant 3; `replication.md` §4.7 (an operator that truncated first lost data for good).

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
    } else {
        check_held(world, node, after);
    }
}

/// Another node has fsynced every record after `after`. A new primary that trims its own journal keeps the export itself: it is
/// the one who would be asked for it.
pub(crate) fn check_held(world: &mut World, node: usize, after: JournalIndex) {
    let host = &world.hosts[node];
    let trims = host.known.as_ref().is_some_and(|v| v.primary == host.id);
    let alone =
        |d: &eport_model::Digest| !world.oracle.uploaded.contains(d) || !world.oracle.exported.contains(d);
    let lost = host.disk.after(after).iter().find(|r| alone(&r.digest)).map(|r| r.index());
    if let (Some(index), false) = (lost, trims) {
        let text = format!("n{node} removes or rewinds record {index}, whose export nobody else holds");
        world.fail("I10 export before truncation", text);
    }
}
