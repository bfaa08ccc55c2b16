//! After a loss: nodes that may join, and journals that were kept and are adopted.
//!
//! Always: what is adopted is exactly what the operator was shown: placement version and last record stand in the command and are
//! compared again, the version by the registry, the record with what the node reports now.

use crate::auth::need;
use crate::extract::Json;
use crate::platforms_api::region;
use crate::problem::ApiError;
use crate::signing::{command, propose};
use crate::state::Api;
use crate::{Caller, federation};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json as Answer};
use eport_access::Action;
use eport_api_types::{AdoptPlan, AdoptRequest, JournalCopy, LineageItem, NodeRequest, Warning, rfc3339};
use eport_model::{Code, RegionCode, Timestamp, codes};
use eport_registry::{Node, NodeState, Op};

/// `POST /v1/nodes`
pub async fn add_node(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Json(body): Json<NodeRequest>,
) -> Result<Response, ApiError> {
    need(&api, &caller, Action::AdministerNodes, None)?;
    let node = Node {
        id: body.node,
        site: body.site,
        region: body.region,
        quic: body.quic,
        api: body.api,
        cert_serial: String::new(),
        state: NodeState::Up,
        software: String::new(),
        incarnation: 0,
        reads: 1,
        joined: Timestamp::default(),
    };
    propose(&api, command(&api, &caller, "node add", Op::AddNode(node))?).await?;
    let shown = federation::nodes(&api).into_iter().find(|n| n.node == body.node);
    Ok((StatusCode::CREATED, Answer(shown)).into_response())
}

/// `POST /v1/platforms/{region}/adopt`
pub async fn adopt(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    Json(body): Json<AdoptRequest>,
) -> Result<Response, ApiError> {
    need(&api, &caller, Action::AdministerPlatform, None)?;
    let plan = plan(&api, region(&name)?, &body)?;
    if body.dry_run {
        return Ok(Answer(plan).into_response());
    }
    let (Some(version), Some(start)) = (body.expected_version, body.start) else {
        return Err(ApiError::bad("expected_version and start are needed: plan with dry_run first"));
    };
    if start != plan.start {
        let detail =
            format!("the journal of {} ends at {}, the command names {start}", body.node, plan.start);
        return Err(ApiError::new(codes::VERSION_CONFLICT, detail));
    }
    let op = Op::AdoptJournal { region: plan.region, version, node: body.node, start };
    propose(&api, command(&api, &caller, "platform adopt", op)?).await?;
    Ok(Answer(federation::one_platform(&api, plan.region)).into_response())
}

fn plan(api: &Api, region: RegionCode, body: &AdoptRequest) -> Result<AdoptPlan, ApiError> {
    let view = api.registry.state();
    let placement =
        view.state.placement(region).ok_or_else(|| ApiError::not_found(format!("platform {region}")))?;
    if view.state.node(body.node).is_none() {
        return Err(ApiError::not_found(format!("node {}", body.node)));
    }
    let refuse = |detail: String| ApiError::new(codes::JOURNAL_NOT_ADOPTABLE, detail);
    if view.state.is_member(placement.primary) {
        let detail = format!("{} is primary of platform {region} and a member", placement.primary);
        return Err(refuse(detail));
    }
    let copies: Vec<JournalCopy> = copies(api).into_iter().filter(|c| c.region == region).collect();
    let own = copies.iter().find(|c| c.node == body.node);
    let start = own
        .map(|c| c.last)
        .filter(|last| last.index.as_u64() > 0)
        .ok_or_else(|| refuse(format!("{} reports no journal of platform {region}", body.node)))?;
    let beyond = |index: eport_model::JournalIndex| index.as_u64().saturating_sub(start.index.as_u64());
    let published = view.state.head(region, placement.primary).map_or(0, |h| beyond(h.position.index));
    Ok(AdoptPlan {
        dry_run: true,
        region,
        node: body.node,
        version: placement.version,
        old_primary: placement.primary,
        epoch_before: placement.epoch,
        start,
        records_elsewhere: copies.iter().map(|c| beyond(c.last.index)).max().unwrap_or(0),
        records_published: published,
        copies,
    })
}

/// Every copy of a journal that a node reports.
pub fn copies(api: &Api) -> Vec<JournalCopy> {
    let mut all = Vec::new();
    for (node, (_, soft)) in federation::heard(api) {
        all.extend(soft.platforms.iter().map(|p| JournalCopy {
            region: p.region,
            node,
            role: p.role.clone(),
            last: p.last,
        }));
    }
    all
}

/// Journals without a duty, for `status`.
pub fn kept(api: &Api) -> Vec<JournalCopy> {
    copies(api).into_iter().filter(|c| c.role == eport_agent::KEPT).collect()
}

/// The breaks in the federation's history, newest first.
pub fn lineages(api: &Api) -> Vec<LineageItem> {
    let view = api.registry.state();
    let item = |l: &eport_registry::LineageRecord| LineageItem {
        lineage: l.lineage,
        parent: l.parent,
        at: rfc3339(l.at),
        founder: l.founder,
        survivors: l.survivors.clone(),
        lost: l.lost.clone(),
        persons: l.persons.iter().map(|p| p.by.clone()).collect(),
    };
    view.state.lineages().rev().map(item).collect()
}

/// How long a node of another lineage that was sent away is a warning.
const FOREIGN_FOR: std::time::Duration = std::time::Duration::from_secs(600);

/// Nodes of other lineages that were met lately and sent away.
pub fn warnings(api: &Api) -> Vec<Warning> {
    let foreign = |code: Code| code == codes::LINEAGE_SPLIT || code == codes::LINEAGE_FOREIGN;
    let failures = api.transport.failures().into_iter();
    let failures = failures.filter(|(_, f)| foreign(f.code) && f.at.elapsed() < FOREIGN_FOR);
    failures
        .map(|(node, f)| Warning {
            code: f.code.to_string(),
            text: format!("{node} was sent away: {}", f.detail),
        })
        .collect()
}
