//! Checks that several rules share.

use crate::{Command, Node, Placement, PlacementState, Refusal, State};
use eport_model::{NodeId, RegionCode, Subject};

/// Longest plain text in a command, in bytes.
const TEXT_LEN_MAX: usize = 1024;

/// Longest JSON text in a command (schema, import report), in bytes.
pub(crate) const JSON_LEN_MAX: usize = 64 << 10;

/// A plain text within bounds.
pub(crate) fn bounded(field: &str, text: &str) -> Result<(), Refusal> {
    bounded_to(field, text, TEXT_LEN_MAX)
}

/// A text within a stated bound.
pub(crate) fn bounded_to(field: &str, text: &str, max: usize) -> Result<(), Refusal> {
    if text.len() <= max { Ok(()) } else { Err(invalid(field, format!("at most {max} bytes are allowed"))) }
}

/// A refusal that names a field.
pub(crate) fn invalid(field: &str, reason: impl Into<String>) -> Refusal {
    Refusal::Invalid { field: field.to_owned(), reason: reason.into() }
}

/// A refusal that names a missing object.
pub(crate) fn not_found(what: &str, name: impl ToString) -> Refusal {
    Refusal::NotFound { what: what.to_owned(), name: name.to_string() }
}

fn not_entitled(c: &Command, needs: impl Into<String>) -> Refusal {
    Refusal::NotEntitled { by: c.by.clone(), needs: needs.into() }
}

/// The node that asks, when it is a member.
pub(crate) fn member(state: &State, c: &Command) -> Option<NodeId> {
    c.subject().and_then(|s| s.node()).filter(|n| state.is_member(*n))
}

fn is_operator(c: &Command) -> bool {
    matches!(c.subject(), Some(Subject::Operator(_)))
}

/// Only operators.
pub(crate) fn operator(c: &Command) -> Result<(), Refusal> {
    if is_operator(c) { Ok(()) } else { Err(not_entitled(c, "an operator")) }
}

/// Only member nodes; answers which.
pub(crate) fn member_node(state: &State, c: &Command) -> Result<NodeId, Refusal> {
    member(state, c).ok_or_else(|| not_entitled(c, "a member node"))
}

/// Operators and member nodes.
pub(crate) fn operator_or_member(state: &State, c: &Command) -> Result<(), Refusal> {
    if is_operator(c) || member(state, c).is_some() {
        Ok(())
    } else {
        Err(not_entitled(c, "an operator or a member node"))
    }
}

/// Only one node, and only while it is a member.
pub(crate) fn exactly(state: &State, c: &Command, node: NodeId) -> Result<(), Refusal> {
    if member(state, c) == Some(node) { Ok(()) } else { Err(not_entitled(c, format!("node {node}"))) }
}

/// The placement, when its version is the one named.
pub(crate) fn at_version(state: &State, region: RegionCode, named: u64) -> Result<Placement, Refusal> {
    let placement = placement(state, region)?;
    if placement.version == named {
        return Ok(placement);
    }
    Err(Refusal::VersionConflict { object: format!("platform {region}"), named, current: placement.version })
}

/// The placement.
pub(crate) fn placement(state: &State, region: RegionCode) -> Result<Placement, Refusal> {
    state.placement(region).cloned().ok_or_else(|| not_found("platform", region))
}

/// No move under way.
pub(crate) fn no_move(placement: &Placement) -> Result<(), Refusal> {
    match placement.state.move_id() {
        Some(move_id) => Err(Refusal::MoveUnderWay { region: placement.region, move_id }),
        None => Ok(()),
    }
}

/// Active: no move, not stopped.
pub(crate) fn active(placement: &Placement) -> Result<(), Refusal> {
    no_move(placement)?;
    if placement.state == PlacementState::Stopped {
        return Err(Refusal::Rule(format!("platform {} is stopped", placement.region)));
    }
    Ok(())
}

/// A node that exists.
pub(crate) fn node(state: &State, id: NodeId) -> Result<&Node, Refusal> {
    state.node(id).ok_or_else(|| not_found("node", id))
}

/// A node that may take duties: a member that is not draining.
pub(crate) fn fit(state: &State, id: NodeId) -> Result<(), Refusal> {
    match node(state, id)?.state {
        crate::NodeState::Up => Ok(()),
        other => Err(Refusal::Rule(format!("node {id} is {other:?} and takes no new duty"))),
    }
}
