//! Names of the places at which a platform's task can be stopped by a test: one for each thing the replica asks for.
//!
//! Messages that flow all the time (batches, beats, acknowledgements) and reads have none: what they bring about has.

use eport_journal::{Message, Outcome, Output, Role};
use eport_model::Record;
use std::sync::Arc;

/// What kind of record ends an append: the step of a move that it is about.
pub(super) fn kind(records: &[Arc<Record>]) -> &'static str {
    records.last().map_or("nothing", |r| r.header.kind.name())
}

/// The place before an output is performed.
pub(super) fn of(output: &Output) -> Option<String> {
    let name = match output {
        Output::Append(records) => return Some(format!("append.{}.before", kind(records))),
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
