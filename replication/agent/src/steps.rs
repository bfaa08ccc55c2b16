//! From what a replica or coordinator asks of the registry to the command that asks it.

use eport_journal::RegistryStep;
use eport_model::{MoveId, NodeId, RegionCode, Subject, Timestamp};
use eport_registry::{Command, CommandId, Op};
use rand::RngCore;

/// Draws a command id.
pub(crate) fn command_id() -> CommandId {
    let mut id = [0u8; 16];
    rand::rng().fill_bytes(&mut id);
    CommandId(id)
}

/// A command of this node.
pub(crate) fn node_command(
    home: RegionCode,
    node: NodeId,
    at: Timestamp,
    reason: impl Into<String>,
    op: Op,
) -> Command {
    let by = Subject::Node { platform: home, node }.to_string();
    Command { id: command_id(), by, at, reason: reason.into(), op, proof: None }
}

/// The registry operation of a replica's step, its move, and the reason for the audit.
pub(crate) fn step_op(region: RegionCode, step: RegistryStep) -> (Op, MoveId, &'static str) {
    let none = MoveId::default();
    match step {
        RegistryStep::InSyncAdd { version, node } => {
            (Op::InSyncAdd { region, version, node }, none, "backup has caught up")
        }
        RegistryStep::InSyncRemove { version, node } => (
            Op::InSyncRemove { region, version, node },
            none,
            "remaining in-sync set holds every acknowledged record",
        ),
        RegistryStep::Shrink { version, nodes, whole } => {
            let reason =
                if nodes.is_empty() { "policy seen" } else { "silent backups are no longer waited for" };
            (Op::Shrink { region, version, nodes, whole }, none, reason)
        }
        RegistryStep::Proven { version, k } => {
            (Op::Proven { region, version, k }, none, "k acknowledgements are proven")
        }
        RegistryStep::CommitSwitch { version, move_id, start, in_sync } => (
            Op::CommitSwitch { region, version, move_id, start, in_sync },
            move_id,
            "target holds the journal to its end",
        ),
        RegistryStep::AbortSwitch { version, move_id, reason } => (
            Op::AbortMove { region, version, move_id, reason },
            move_id,
            "switchover given up before its commit",
        ),
    }
}
