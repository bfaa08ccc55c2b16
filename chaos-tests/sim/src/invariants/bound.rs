//! After a switchover's commit was proposed, or a restart found one unresolved, the old primary writes in its epoch only after
//! a linearizable read. Design §6: "once sent, it resumes only on a linearizable read".

use crate::world::World;
use eport_model::{Record, RecordKind};
use std::sync::Arc;

pub(crate) fn check(world: &mut World, node: usize, records: &[Arc<Record>]) {
    let Some(epoch) = world.hosts[node].bound else { return };
    let me = world.hosts[node].id;
    if world.oracle.primaries.get(&epoch) != Some(&me) {
        return;
    }
    let own = |r: &&Arc<Record>| {
        let handover =
            matches!(r.header.kind, RecordKind::Barrier { .. } | RecordKind::SwitchProposed { .. });
        r.header.epoch == epoch && !handover
    };
    if let Some(record) = records.iter().find(own) {
        let text =
            format!("{me} writes record {} of epoch {epoch} before it has read the registry", record.index());
        world.fail("unresolved switchover waits for a linearizable read", text);
    }
}
