//! Catalogs that are no tables: packs and directories, published and read as a whole by the same engine.
//!
//! Always holds: what is read was in force at the instant asked for and hashes to the root that its publisher signed.

use crate::Caller;
use crate::auth::need;
use crate::extract::Query;
use crate::platforms_api::COMMAND_TIMEOUT;
use crate::problem::ApiError;
use crate::signing::{command, propose};
use crate::state::Api;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json as Answer};
use eport_access::Action;
use eport_api_types::{CatalogAnswer, rfc3339};
use eport_catalog::{blob, blob_bytes, parse_instant};
use eport_model::codes;
use eport_registry::{CatalogId, CatalogKind, Op, Outcome, TableVersion};
use serde::Deserialize;

/// What a request about a catalog says beside its name.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Options {
    as_of: Option<String>,
    effective: Option<String>,
    version: Option<u64>,
    note: String,
    force: bool,
    dry_run: bool,
    wait_s: Option<u64>,
}

/// `KIND:OWNER/NAME`, or `KIND:NAME` of the province. Tables have their own routes.
fn resolve(api: &Api, text: &str) -> Result<CatalogId, ApiError> {
    let id = CatalogId::parse(text, api.agent.home().province()).map_err(|e| ApiError::bad(e.to_string()))?;
    match id.kind {
        CatalogKind::Table => {
            Err(ApiError::bad("tables are under /v1/tables; pack: or directory: is needed"))
        }
        CatalogKind::Pack | CatalogKind::Directory => Ok(id),
    }
}

fn answer(v: &TableVersion, bytes: u64) -> CatalogAnswer {
    CatalogAnswer {
        name: v.table.to_string(),
        version: v.version,
        root: v.root,
        bytes,
        note: v.schema.clone(),
        effective: Some(rfc3339(v.effective)),
        published_by: v.publisher.clone(),
        published: true,
        lacking: Vec::new(),
    }
}

/// `GET /v1/catalogs/{name}`: the bytes in force at an instant.
pub async fn content(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    Query(q): Query<Options>,
) -> Result<Response, ApiError> {
    need(&api, &caller, Action::ReadTables, None)?;
    let id = resolve(&api, &name)?;
    let at = match q.as_of.as_deref() {
        Some(text) => parse_instant(text).map_err(|e| ApiError::bad(format!("as_of: {e}")))?,
        None => api.now(),
    };
    let version = api.tables.version_at(&id, at)?;
    let tables = api.tables.clone();
    let read = version.clone();
    let content = tokio::task::spawn_blocking(move || tables.content(&read)).await;
    let content = content.map_err(|e| ApiError::new(codes::INTERNAL, e.to_string()))??;
    let Some(bytes) = blob_bytes(&content) else {
        return Err(ApiError::new(
            codes::TABLE_DAMAGED,
            format!("version {} of {id} is rows", version.version),
        ));
    };
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::ETAG, format!("\"{}\"", version.root)),
        (header::HeaderName::from_static("x-catalog-version"), version.version.to_string()),
    ];
    Ok((headers, bytes.to_vec()).into_response())
}

/// `GET /v1/catalogs/{name}/versions`
pub async fn versions(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Result<Response, ApiError> {
    need(&api, &caller, Action::ReadTables, None)?;
    let id = resolve(&api, &name)?;
    let items = api.tables.versions(&id)?.iter().map(|v| answer(v, v.rows)).collect();
    Ok(Answer(eport_api_types::Page::<CatalogAnswer>::whole(items)).into_response())
}

/// `POST /v1/catalogs/{name}/versions`: stages and publishes the body. With `dry_run` it answers what is to be signed.
pub async fn publish(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    Query(q): Query<Options>,
    body: Result<bytes::Bytes, axum::extract::rejection::BytesRejection>,
) -> Result<Answer<CatalogAnswer>, ApiError> {
    need(&api, &caller, Action::PublishTable, None)?;
    let id = resolve(&api, &name)?;
    let body = body.map_err(|e| ApiError::new(codes::BODY_TOO_LARGE, e.body_text()))?;
    let effective = match q.effective.as_deref() {
        Some(text) => Some(parse_instant(text).map_err(|e| ApiError::bad(format!("effective: {e}")))?),
        None => None,
    };
    let view = api.registry.linearizable(COMMAND_TIMEOUT).await?;
    let newest = view.state.table_newest(&id).map_or(0, |v| v.version);
    let version = q.version.unwrap_or(newest + 1);
    let content = bytes::Bytes::from(blob(&body));
    let mut out = CatalogAnswer {
        name: id.to_string(),
        version,
        root: eport_catalog::root_of(&content)?,
        bytes: body.len() as u64,
        note: q.note.clone(),
        effective: None,
        published_by: caller.name(),
        published: false,
        lacking: Vec::new(),
    };
    if q.dry_run {
        return Ok(Answer(out));
    }
    let patience =
        crate::staging::Patience { force: q.force, wait: q.wait_s.map(std::time::Duration::from_secs) };
    let staged = crate::staging::stage(&api, &id, version, std::sync::Arc::new(content), patience).await?;
    out.lacking = staged.lacking.clone();
    // What has no rows says its bytes there, and a note in the place of columns: both are signed.
    let op = Op::PublishTable {
        table: id,
        version,
        root: staged.root,
        rows: out.bytes,
        effective,
        schema: q.note,
        report: String::new(),
    };
    match propose(&api, command(&api, &caller, "catalog publish", op)?).await? {
        Outcome::Published { version, effective } => {
            (out.version, out.effective, out.published) = (version, Some(rfc3339(effective)), true);
            Ok(Answer(out))
        }
        other => Err(ApiError::new(codes::INTERNAL, format!("the registry answered {other:?}"))),
    }
}
