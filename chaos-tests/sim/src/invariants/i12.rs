//! I12: a message of a lower epoch changes nothing. `replication.md` §4.10; decision 5: fencing is the epoch that every
//! receiver checks, the lease is never the proof.

use crate::world::World;
use eport_journal::Role;
use eport_model::{Epoch, JournalIndex, Position};

/// Everything of a replica that a message may change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Fingerprint(Epoch, Epoch, Position, Position, JournalIndex, JournalIndex, Role);

pub(crate) fn fingerprint(world: &World, node: usize) -> Option<Fingerprint> {
    world.hosts[node].replica.as_ref().map(|r| {
        Fingerprint(
            r.epoch(),
            r.sealed(),
            r.last(),
            r.durable(),
            r.committed(),
            r.applied_index(),
            r.role().clone(),
        )
    })
}

pub(crate) fn check(world: &mut World, node: usize, before: Option<Fingerprint>, message: &str) {
    let after = fingerprint(world, node);
    if before.is_some() && after != before {
        world.fail(
            "I12 lower epoch changes nothing",
            format!("n{node} on {message}: {before:?} -> {after:?}"),
        );
    }
}

/// Whoever speaks under a lower epoch learns that its time is over.
pub(crate) fn check_answer(
    world: &mut World,
    node: usize,
    to: eport_model::NodeId,
    due: bool,
    message: &str,
) {
    let told = world.hosts[node].told.take();
    let fenced = matches!(world.hosts[node].role(), Some(Role::Fenced { .. }) | None);
    if due && !fenced && told != Some(to) {
        world.fail(
            "I12 lower epoch changes nothing",
            format!("n{node} on {message} of {to}: no StepDown, told {told:?}"),
        );
    }
}
