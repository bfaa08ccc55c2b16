//! A node that an operator invited enters the registry: it says where it listens and learns whom to dial.
//!
//! Always holds: who it is comes from its certificate, its site and platform from the operator's invitation; asked again it is
//! answered again.

use crate::Caller;
use crate::extract::Json;
use crate::platforms_api::COMMAND_TIMEOUT;
use crate::problem::ApiError;
use crate::state::Api;
use axum::extract::State;
use axum::{Extension, Json as Answer};
use eport_api_types::{JoinAnswer, JoinRequest, JoinSeed};
use eport_model::{Subject, Timestamp, codes};
use eport_registry::{Command, CommandId, Node, NodeState, Op, State as RegistryState};

/// Nodes to dial that a new one is told.
const SEEDS_MAX: usize = 8;

/// `POST /v1/nodes:join`
pub async fn join(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Json(body): Json<JoinRequest>,
) -> Result<Answer<JoinAnswer>, ApiError> {
    let node = match caller.subject() {
        Some(Subject::Node { node, .. }) if caller.via.is_none() => *node,
        _ => return Err(ApiError::forbidden("only a node joins, on a connection of its own")),
    };
    let view = api.registry.state();
    let known = view.state.node(node).filter(|n| n.is_member() && n.quic == body.quic && n.api == body.api);
    let (site, region) = match known {
        Some(known) => (known.site, known.region),
        None => {
            let invited = view.state.invitation(node);
            let invited = invited.ok_or_else(|| ApiError::not_found(format!("invitation of node {node}")))?;
            let joining = Node {
                id: node,
                site: invited.site,
                region: invited.region,
                quic: body.quic,
                api: body.api,
                cert_serial: String::new(),
                state: NodeState::Up,
                software: String::new(),
                incarnation: 0,
                reads: 1,
                joined: Timestamp::default(),
            };
            propose(&api, joining).await?;
            (invited.site, invited.region)
        }
    };
    let federation = view.state.federation();
    let federation =
        federation.ok_or_else(|| ApiError::new(codes::FENCED, "the federation is not known here yet"))?;
    Ok(Answer(JoinAnswer {
        federation: federation.name.clone(),
        lineage: api.agent.lineage(),
        trust_domain: federation.domain.to_string(),
        node,
        site,
        region,
        registry_profile: api.config.registry_profile.clone(),
        seeds: seeds(&api, &view.state, node),
    }))
}

/// In this node's own name: the invitation is what counts.
async fn propose(api: &Api, node: Node) -> Result<(), ApiError> {
    let me = Subject::Node { platform: api.agent.home(), node: api.agent.me() };
    let command = Command {
        id: CommandId(rand::random()),
        by: me.to_string(),
        at: api.now(),
        reason: "node join".into(),
        op: Op::AddNode(node),
        proof: None,
    };
    api.registry.propose(command, COMMAND_TIMEOUT).await?;
    Ok(())
}

/// This node first, then others.
fn seeds(api: &Api, state: &RegistryState, joining: eport_model::NodeId) -> Vec<JoinSeed> {
    let me = api.agent.me();
    let mut nodes: Vec<_> = state.nodes().filter(|n| n.is_member() && n.id != joining).collect();
    nodes.sort_by_key(|n| (n.id != me, n.id));
    nodes.into_iter().take(SEEDS_MAX).map(|n| JoinSeed { node: n.id, quic: n.quic.clone() }).collect()
}
