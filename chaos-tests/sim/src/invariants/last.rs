//! I4 and I5, after everything is healed: an answer `replicated` is in the final journal; an answer `local` is there or in an
//! exported tail. Design §9 invariants 2 and 3.
//!
//! A node that a policy dropped from the placement before it could export keeps its tail on disk; that counts as kept.
//! A `replicated` answer may be in a tail only if a failover that might lose it was committed in a later epoch, with the
//! loss accepted.

use crate::world::World;
use eport_model::{Digest, Durability};
use std::collections::HashSet;

pub(crate) fn check(world: &mut World, primary: usize) {
    let journal: HashSet<Digest> = world.hosts[primary].disk.records.iter().map(|r| r.digest).collect();
    let chain_breaks =
        world.hosts[primary].disk.records.windows(2).any(|w| w[1].follows(&w[0].position()).is_err());
    if chain_breaks {
        return world.fail("I11 equal committed prefixes", "the final journal is no chain".to_owned());
    }
    let applied = world.hosts[primary].disk.applied;
    for n in 0..world.oracle.acks.len() {
        let ack = world.oracle.acks[n];
        if ack.position.index.as_u64() == 0 || journal.contains(&ack.position.digest) {
            continue;
        }
        let digest = ack.position.digest;
        let exported = world.oracle.exported.contains(&digest) || kept_aside(world, digest);
        let excused = world.oracle.lossy.iter().any(|lossy| *lossy > ack.epoch);
        let allowed = exported && (ack.durability == Durability::Local || excused);
        if !allowed {
            let (name, place) = match ack.durability {
                Durability::Replicated => ("I4 replicated survives", "the final journal"),
                Durability::Local => {
                    ("I5 local survives or is exported", "the final journal or an exported tail")
                }
            };
            let text = format!(
                "record {} acknowledged in epoch {} is not in {place} (applied {applied}, exported {exported})",
                ack.position, ack.epoch
            );
            return world.fail(name, text);
        }
    }
}

/// True when a node that the placement no longer names has the record on disk.
fn kept_aside(world: &World, digest: Digest) -> bool {
    let placement = world.registry.placement();
    let aside = world.hosts.iter().filter(|h| !placement.names(h.id));
    aside.flat_map(|h| &h.disk.records).any(|r| r.digest == digest)
}
