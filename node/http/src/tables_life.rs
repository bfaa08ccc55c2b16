//! The life of table versions after their publication: looked through, rolled back, withdrawn, retired, carried in bundles.

use crate::Caller;
use crate::auth::need;
use crate::platforms_api::COMMAND_TIMEOUT;
use crate::problem::ApiError;
use crate::signing::{command, propose};
use crate::state::Api;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json as Answer};
use eport_access::Action;
use eport_api_types::{
    BundleAnswer, BundleItem, RetireRequest, RollbackAnswer, RollbackRequest, TableVerification, rfc3339,
};
use eport_model::codes;
use eport_registry::{Op, Outcome, VersionState};
use std::time::{Duration, Instant};

/// How long a table that is being mended is waited for.
const HEAL_PATIENCE: Duration = Duration::from_secs(20);

/// `POST /v1/tables/{name}/verify`: reads every catalog object on this node; what is damaged is fetched from other nodes.
pub async fn verify(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Result<Answer<TableVerification>, ApiError> {
    need(&api, &caller, Action::PublishTable, None)?;
    let id = api.tables.resolve(&name)?;
    let versions = api.tables.versions(&id)?;
    let objects = api.agent.objects().clone();
    let seen = tokio::task::spawn_blocking(move || objects.scrub(|_| {})).await;
    let seen = seen.map_err(|e| ApiError::new(codes::INTERNAL, e.to_string()))??;
    let roots: Vec<_> = versions.iter().filter(|v| v.keeps_content()).map(|v| v.root).collect();
    let begin = Instant::now();
    let whole = loop {
        let whole = roots.iter().all(|r| api.agent.objects().has(r));
        if whole || begin.elapsed() > HEAL_PATIENCE {
            break whole;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    Ok(Answer(TableVerification {
        name: id.to_string(),
        node: api.agent.me(),
        versions: roots.len() as u64,
        objects: seen.objects,
        bytes: seen.bytes,
        damaged: seen.damaged,
        whole,
    }))
}

/// `POST /v1/tables/{name}/versions/{version}/retirement`
pub async fn retire(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path((name, version)): Path<(String, u64)>,
    crate::extract::Json(request): crate::extract::Json<RetireRequest>,
) -> Result<Answer<serde_json::Value>, ApiError> {
    need(&api, &caller, Action::PublishTable, None)?;
    let table = api.tables.resolve(&name)?;
    let op = Op::RetireTable { table: table.clone(), version, reason: request.reason };
    propose(&api, command(&api, &caller, "table retire", op)?).await?;
    let view = api.registry.state();
    let state = view.state.table_versions(&table).find(|v| v.version == version).map(state_word);
    Ok(Answer(serde_json::json!({ "name": table.to_string(), "version": version, "state": state })))
}

/// The word for how far a published version is.
pub(crate) fn state_word(v: &eport_registry::TableVersion) -> &'static str {
    match v.state {
        VersionState::Published => "published",
        VersionState::Withdrawn { .. } => "withdrawn",
        VersionState::Retired { .. } => "retired",
    }
}

/// `POST /v1/tables/{name}/rollback`: publishes the content of an older version again, as a new version.
pub async fn rollback(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    crate::extract::Json(request): crate::extract::Json<RollbackRequest>,
) -> Result<Answer<RollbackAnswer>, ApiError> {
    need(&api, &caller, Action::PublishTable, None)?;
    let table = api.tables.resolve(&name)?;
    let view = api.registry.linearizable(COMMAND_TIMEOUT).await?;
    let found = view.state.table_versions(&table).find(|v| v.version == request.to).cloned();
    let old = found.ok_or_else(|| ApiError::not_found(format!("version {} of table {table}", request.to)))?;
    let newest = view.state.table_newest(&table).map_or(0, |v| v.version);
    if !old.keeps_content() {
        let detail = format!("version {} of {table} is {}", old.version, state_word(&old));
        return Err(ApiError::new(codes::TABLE_RETIRED, detail));
    }
    let mut answer = RollbackAnswer {
        name: table.to_string(),
        version: newest + 1,
        to: old.version,
        root: old.root,
        rows: old.rows,
        schema: old.schema.clone(),
        effective: None,
        published: false,
    };
    if request.dry_run {
        return Ok(Answer(answer));
    }
    if request.version.is_some_and(|v| v != newest + 1) {
        let named = request.version.unwrap_or_default();
        let conflict = eport_registry::Refusal::VersionConflict {
            object: format!("table {table}"),
            named,
            current: newest,
        };
        return Err(ApiError::of(&conflict));
    }
    let op = Op::PublishTable {
        table,
        version: newest + 1,
        root: old.root,
        rows: old.rows,
        effective: None,
        schema: old.schema,
        report: serde_json::json!({ "rollback_to": old.version }).to_string(),
    };
    match propose(&api, command(&api, &caller, "table rollback", op)?).await? {
        Outcome::Published { version, effective } => {
            (answer.version, answer.effective, answer.published) = (version, Some(rfc3339(effective)), true);
            Ok(Answer(answer))
        }
        other => Err(ApiError::new(codes::INTERNAL, format!("the registry answered {other:?}"))),
    }
}

/// Which versions a bundle is to have.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
pub struct Since {
    since: Option<u64>,
}

/// `GET /v1/tables/{name}/bundle`: versions with content and signatures, for a site that no line reaches.
pub async fn export(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    crate::extract::Query(q): crate::extract::Query<Since>,
) -> Result<Response, ApiError> {
    need(&api, &caller, Action::ReadTables, None)?;
    let (id, agent) = (api.tables.resolve(&name)?, api.agent.clone());
    let made = tokio::task::spawn_blocking(move || agent.export_bundle(&id, q.since)).await;
    let made = made.map_err(|e| ApiError::new(codes::INTERNAL, e.to_string()))?;
    let bytes = made.map_err(|e| ApiError::of(&e))?;
    Ok(([(header::CONTENT_TYPE, "application/octet-stream")], bytes).into_response())
}

/// `PUT /v1/bundles`: takes a bundle, judged by this node's own registry.
pub async fn import(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    body: Result<bytes::Bytes, axum::extract::rejection::BytesRejection>,
) -> Result<Answer<BundleAnswer>, ApiError> {
    need(&api, &caller, Action::PublishTable, None)?;
    let body = body.map_err(|e| ApiError::new(codes::BODY_TOO_LARGE, e.body_text()))?;
    let agent = api.agent.clone();
    let taken = tokio::task::spawn_blocking(move || agent.import_bundle(&body)).await;
    let taken = taken.map_err(|e| ApiError::new(codes::INTERNAL, e.to_string()))?;
    let taken = taken.map_err(|e| ApiError::of(&e))?;
    let item = |c: eport_agent::Carried| BundleItem {
        name: c.version.table.to_string(),
        version: c.version.version,
        root: c.version.root,
        effective: rfc3339(c.version.effective),
        known: c.known,
    };
    Ok(Answer(BundleAnswer { node: api.agent.me(), items: taken.into_iter().map(item).collect() }))
}
