//! I11: committed prefixes are identical on primary and backups: same index, same digest. Design §9 invariant 5.
//!
//! Checked while no rule of the run allows acknowledged records to vanish; under `async` or after an accepted loss an old
//! primary may hold something else to be committed, and keeps it in its exported tail.

use crate::world::World;
use eport_model::JournalIndex;

pub(crate) fn check(world: &mut World, node: usize) {
    if !world.oracle.is_lossless() {
        return;
    }
    let host = &world.hosts[node];
    let Some(committed) = host.replica.as_ref().map(|r| r.committed().as_u64() as usize) else { return };
    let checked = host.checked.min(committed);
    for index in checked..committed {
        let Some(position) = world.hosts[node].disk.position(JournalIndex::from_u64(index as u64 + 1)) else {
            return;
        };
        match world.oracle.committed.get(index) {
            Some(digest) if *digest == position.digest => {}
            Some(_) => {
                let text = format!(
                    "n{node} holds another record {} to be committed than somebody before",
                    index + 1
                );
                return world.fail("I11 equal committed prefixes", text);
            }
            None if world.oracle.committed.len() == index => world.oracle.committed.push(position.digest),
            None => {}
        }
    }
    world.hosts[node].checked = committed;
}
