//! A node leaves for good. Design §3: drained, out of every placement, its vote given to another, its certificate revoked, removed.
//!
//! Always holds: what stands against it is told whole before anything changes; that a tail is lost is said by an operator and stands in
//! the audit; removal and revocation are one command.

use crate::Caller;
use crate::auth::need;
use crate::extract::Json;
use crate::problem::ApiError;
use crate::signing::{command, propose};
use crate::state::Api;
use axum::Extension;
use axum::Json as Answer;
use axum::extract::{Path, State};
use eport_access::Action;
use eport_api_types::{NodeObstacle, NodeRemoval, NodeRemoved};
use eport_model::{NodeId, codes};
use eport_registry::{NodeState, Op, RemovalObstacle};

/// `POST /v1/nodes/{node}/removal`
pub async fn remove(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    Json(body): Json<NodeRemoval>,
) -> Result<Answer<NodeRemoved>, ApiError> {
    need(&api, &caller, Action::AdministerNodes, None)?;
    let node: NodeId = name.parse().map_err(|e: eport_model::ParseError| ApiError::bad(e.to_string()))?;
    let (known, against) = {
        let view = api.registry.state();
        (view.state.node(node).map(|n| n.state), view.state.removal_obstacles(node))
    };
    let known = known.ok_or_else(|| ApiError::not_found(format!("node {node}")))?;
    let voter = api.registry.voters().contains(&node);
    let removed = known == NodeState::Removed;
    if body.dry_run || removed {
        let obstacles = against.iter().map(shown).collect();
        return Ok(Answer(NodeRemoved { node, removed, voter, obstacles }));
    }
    let open: Vec<&RemovalObstacle> =
        against.iter().filter(|o| !(body.tail_lost && o.may_be_declared_lost())).collect();
    if !open.is_empty() {
        let why: Vec<String> = open.iter().map(|o| format!("{o} ({})", o.advice().1)).collect();
        return Err(ApiError::new(codes::NODE_IN_USE, format!("node {node} is {}", why.join("; "))));
    }
    let lost: Vec<String> = against.iter().map(ToString::to_string).collect();
    let why = match lost.is_empty() {
        true => "node remove".to_owned(),
        false => format!("node remove; declared lost: {}", lost.join("; ")),
    };
    propose(&api, command(&api, &caller, &why, Op::SetNodeState { node, state: NodeState::Removed })?)
        .await?;
    Ok(Answer(NodeRemoved { node, removed: true, voter, obstacles: Vec::new() }))
}

fn shown(obstacle: &RemovalObstacle) -> NodeObstacle {
    let (zh, en) = obstacle.advice();
    NodeObstacle {
        text: obstacle.to_string(),
        advice_zh: zh,
        advice_en: en,
        may_be_declared_lost: obstacle.may_be_declared_lost(),
    }
}
