//! Code tables: which there are, who holds what, what is being brought to the nodes.

use crate::Caller;
use crate::auth::need;
use crate::problem::ApiError;
use crate::state::Api;
use crate::tables_api::doc;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json as Answer};
use eport_access::Action;
use eport_agent::SoftState;
use eport_api_types as t;
use eport_api_types::{Page, TableStatus, TableSummary, rfc3339};
use eport_model::NodeId;
use eport_registry::{CatalogKind, TableId};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// One line a table for `eport status`: the version in force now and how many nodes hold it.
pub(crate) fn summaries(api: &Api, heard: &BTreeMap<NodeId, (Duration, SoftState)>) -> Vec<TableSummary> {
    let view = api.registry.state();
    let now = api.now();
    let mut out = Vec::new();
    for id in view.state.tables() {
        let Some(v) = view.state.table_as_of(id, now).or_else(|| view.state.table_newest(id)) else {
            continue;
        };
        let name = id.to_string();
        let holds = |s: &SoftState| s.tables.iter().any(|t| t.name == name && t.root == v.root);
        out.push(TableSummary {
            name: name.clone(),
            owner: id.owner.to_string(),
            version: v.version,
            rows: v.rows,
            effective: rfc3339(v.effective),
            installed_nodes: heard.values().filter(|(_, s)| holds(s)).count() as u64,
        });
    }
    out
}

/// `GET /v1/tables`
pub async fn list(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
) -> Result<Response, ApiError> {
    need(&api, &caller, Action::ReadTables, None)?;
    let view = api.registry.state();
    let now = api.now();
    // Those that only a bundle brought here are tables of this node too.
    let carried = api.agent.carried();
    let mut ids: BTreeSet<&TableId> = view.state.tables().collect();
    ids.extend(carried.iter().map(|v| &v.table).filter(|id| id.kind == CatalogKind::Table));
    let in_force = |id: &TableId| {
        let newest = || api.tables.versions(id).ok()?.into_iter().max_by_key(|v| v.version);
        api.tables.version_at(id, now).ok().or_else(newest).map(|v| doc(&v))
    };
    Ok(Answer(Page::whole(ids.into_iter().filter_map(in_force).collect())).into_response())
}

/// `GET /v1/tables/{name}/status`
pub async fn status(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Result<Answer<TableStatus>, ApiError> {
    need(&api, &caller, Action::ReadTables, None)?;
    let id = api.tables.resolve(&name)?;
    let versions = api.tables.versions(&id)?;
    let newest = versions.iter().map(|v| v.version).max().unwrap_or(0);
    let in_force = api.tables.version_at(&id, api.now()).ok();
    let version = in_force.or_else(|| versions.into_iter().max_by_key(|v| v.version));
    let version = version.ok_or_else(|| ApiError::not_found(format!("table {id}")))?;
    let heard = crate::federation::heard(&api);
    let view = api.registry.state();
    let name = id.to_string();
    let nodes = view.state.nodes().filter(|n| n.is_member()).map(|n| {
        let held = heard.get(&n.id).and_then(|(_, s)| s.tables.iter().find(|t| t.name == name));
        t::TableNode {
            node: n.id,
            version: held.map(|h| h.version),
            root: held.map(|h| h.root),
            bytes_fetched: held.map_or(0, |h| h.bytes_fetched),
            seconds: held.map_or(0.0, |h| h.seconds),
        }
    });
    let drafts = view.state.drafts().filter(|d| d.catalog == id).map(|d| t::TableDraft {
        version: d.version,
        root: d.root,
        by: d.by,
        since: rfc3339(d.at),
        staged: heard.values().filter(|(_, s)| s.catalog.staged.contains(&d.root)).count() as u64,
    });
    Ok(Answer(TableStatus {
        name: name.clone(),
        version: version.version,
        root: version.root,
        drafts: drafts.filter(|d| d.version > newest).collect(),
        nodes: nodes.collect(),
    }))
}
