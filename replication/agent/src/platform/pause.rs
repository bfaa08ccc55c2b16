//! Tells the registry when a move made writes wait and when they went on, for the history of the move. What a client saw is
//! measured by clients; this is the nodes' own account of it.
//!
//! Always holds: no step of a move waits for a note, and a note that is lost changes nothing.

use super::{REGISTRY_TIMEOUT, Task};
use crate::steps;
use eport_journal::Role;
use eport_model::MoveId;
use eport_registry::{Op, PAUSE_BEGAN, PAUSE_ENDED};
use tracing::debug;

impl Task {
    /// Notes what a change of role means for writes.
    pub(super) fn note_pause(&self, before: &Role) {
        let Some(placement) = &self.placement else { return };
        match (&self.role, before) {
            (Role::Handover { .. }, Role::Handover { .. }) => {}
            (Role::Handover { .. }, _) => {
                if let Some(move_id) = placement.state.move_id() {
                    self.note_step(move_id, PAUSE_BEGAN);
                }
            }
            (Role::Primary { epoch }, _) => {
                let began = placement.history.last().filter(|e| e.epoch == *epoch);
                if let Some(began) = began.filter(|e| e.move_id != MoveId::default()) {
                    self.note_step(began.move_id, PAUSE_ENDED);
                }
            }
            _ => {}
        }
    }

    fn note_step(&self, move_id: MoveId, name: &'static str) {
        let context = self.context.clone();
        // A restart in the same epoch opens again; only the first time ended the pause.
        let view = context.registry.state();
        if view.state.movement(move_id).is_some_and(|m| m.steps.iter().any(|s| s.name == name)) {
            return;
        }
        let op = Op::NoteMoveStep { move_id, name: name.to_owned(), detail: context.me.to_string() };
        let command = steps::node_command(context.home, context.me, context.clock.wall(), name, op);
        tokio::spawn(async move {
            if let Err(error) = context.registry.propose(command, REGISTRY_TIMEOUT).await {
                debug!(%move_id, %error, "a step of a move was not noted");
            }
        });
    }
}
