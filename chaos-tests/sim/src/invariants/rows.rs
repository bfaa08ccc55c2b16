//! State rows are those of the applied record, on whoever opens as primary, has ended a rewind, or counts as a whole copy.
//! Design §9 invariant 5 and §6 "Return of the old primary": effects of records that a failover left behind are in nobody's
//! rows, and none of its successors' is missing.

use crate::world::World;

pub(crate) fn check(world: &mut World, node: usize) {
    let disk = &world.hosts[node].disk;
    let (rows, expected) = (disk.rows(), disk.expected_rows());
    if rows == expected {
        return;
    }
    let differs = |key: &&bytes::Bytes| rows.get(*key) != expected.get(*key);
    let keys: Vec<_> = rows.keys().chain(expected.keys()).filter(differs).take(3).collect();
    let text = format!("n{node}: rows {keys:?} are not those of record {}", disk.applied);
    world.fail("I11 rows are those of the journal", text);
}
