//! Names of the steps that a replica takes, as places at which the world may break: one for each thing it asks for.
//!
//! The agent stops real processes there, the simulator notes which faults hit which of them; both use these names. Messages that
//! flow all the time (batches, beats, acknowledgements) and reads have none: what they bring about has.

use crate::{Message, Outcome, Output, RegistryStep, Role};
use eport_model::Record;
use std::sync::Arc;

/// What kind of record ends an append: the step of a move that it is about.
pub fn append_kind(records: &[Arc<Record>]) -> &'static str {
    records.last().map_or("nothing", |r| r.header.kind.name())
}

impl RegistryStep {
    /// The name of the registry command that it becomes.
    pub fn name(&self) -> &'static str {
        match self {
            RegistryStep::InSyncAdd { .. } => "InSyncAdd",
            RegistryStep::InSyncRemove { .. } => "InSyncRemove",
            RegistryStep::Shrink { .. } => "Shrink",
            RegistryStep::Proven { .. } => "Proven",
            RegistryStep::CommitSwitch { .. } => "CommitSwitch",
            RegistryStep::AbortSwitch { .. } => "AbortMove",
        }
    }
}

impl Output {
    /// The place before this output is performed; none for what flows all the time.
    pub fn place(&self) -> Option<String> {
        let name = match self {
            Output::Append(records) => return Some(format!("append.{}.before", append_kind(records))),
            Output::Send { message, .. } => match message {
                Message::Hello(_) => "send.hello",
                Message::HelloAnswer { .. } => "send.hello_answer",
                Message::Seal { .. } => "send.seal",
                Message::Sealed(_) => "send.sealed",
                Message::Copy { .. } => "send.copy",
                Message::StepDown { .. } => "send.step_down",
                Message::Batch { .. } | Message::Beat { .. } | Message::Ack(_) => return None,
            },
            Output::Answer { outcome: Outcome::Done { .. }, .. } => "answer.before",
            Output::Role(role) => match role {
                Role::Idle => "role.idle",
                Role::Primary { .. } => "role.primary",
                Role::Opening { .. } => "role.opening",
                Role::Handover { .. } => "role.handover",
                Role::Backup { .. } => "role.backup",
                Role::Sealed { .. } => "role.sealed",
                Role::Fenced { .. } => "role.fenced",
            },
            _ => return None,
        };
        Some(name.to_owned())
    }
}
