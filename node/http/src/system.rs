//! Health, readiness, versions, trust, metrics, nodes.

use crate::Caller;
use crate::auth::need;
use crate::extract::Json;
use crate::problem::{ApiError, wants_chinese};
use crate::signing::{command, propose};
use crate::state::Api;
use crate::{federation, metrics};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json as Answer};
use eport_access::Action;
use eport_api_types::{FederationStatus, Page, VersionInfo, rfc3339};
use eport_model::formats::{FORMATS, Format};
use eport_model::{NodeId, Software, Timestamp};
use eport_registry::{NodeState, Op};
use serde::Deserialize;

/// `GET /healthz`: the process runs.
pub async fn healthz() -> &'static str {
    "ok\n"
}

/// `GET /readyz`: the node takes requests, or why it does not; and what will soon make it stop.
pub async fn readyz(State(api): State<Api>) -> Response {
    let ready = api.ready.borrow().clone();
    match ready {
        // What will end the readiness is said while there is time to act.
        Ok(()) => {
            let body =
                serde_json::json!({ "ready": true, "reasons": [], "warnings": crate::expiry::own(&api) });
            Answer(body).into_response()
        }
        Err(reason) => {
            let body = serde_json::json!({ "ready": false, "reasons": [reason] });
            (StatusCode::SERVICE_UNAVAILABLE, Answer(body)).into_response()
        }
    }
}

/// Versions of this build.
pub fn version_info(software: Software, now: Timestamp) -> VersionInfo {
    let span = |f: &Format| (f.id.to_owned(), (f.oldest, f.newest));
    VersionInfo {
        version: software.version,
        build: software.build,
        time: rfc3339(now),
        formats: FORMATS.iter().map(span).collect(),
        revision: option_env!("EPORT_REVISION").unwrap_or_default().to_owned(),
        wire: (eport_wire::WIRE_VERSION_MIN.into(), eport_wire::WIRE_VERSION_MAX.into()),
        schema: eport_model::SCHEMA_VERSION,
    }
}

/// `GET /v1/version`
pub async fn version(State(api): State<Api>) -> Answer<VersionInfo> {
    Answer(version_info(api.agent.software(), api.now()))
}

/// `GET /v1/trust-bundle`
pub async fn trust_bundle(State(api): State<Api>) -> Response {
    ([(header::CONTENT_TYPE, "application/x-pem-file")], crate::trust_api::bundle_pem(&api)).into_response()
}

/// `GET /metrics` with a certificate; the loopback listener serves the same page without one.
pub async fn metrics(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
) -> Result<Response, ApiError> {
    need(&api, &caller, Action::ReadFederation, None)?;
    Ok(metrics_page(&api).await)
}

/// The metrics page.
pub async fn metrics_page(api: &Api) -> Response {
    let media = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let reading = api.clone();
    // It reads rows of platforms: not on the threads that carry the heartbeats.
    match tokio::task::spawn_blocking(move || metrics::page(&reading)).await {
        Ok(page) => ([(header::CONTENT_TYPE, media)], page).into_response(),
        Err(error) => ApiError::new(eport_model::codes::INTERNAL, error.to_string()).into_response(),
    }
}

/// `GET /v1/federation`
pub async fn federation(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
) -> Result<Answer<FederationStatus>, ApiError> {
    need(&api, &caller, Action::ReadFederation, None)?;
    Ok(Answer(federation::federation(&api, wants_chinese(&headers))))
}

/// `GET /v1/nodes`
pub async fn nodes(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
) -> Result<Response, ApiError> {
    need(&api, &caller, Action::ReadFederation, None)?;
    Ok(Answer(Page::whole(federation::nodes(&api))).into_response())
}

/// `{"drain": true|false}`
#[derive(Debug, Deserialize)]
pub struct Drain {
    drain: bool,
}

/// `POST /v1/nodes/{node}/drain`
pub async fn drain(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    Json(body): Json<Drain>,
) -> Result<Response, ApiError> {
    need(&api, &caller, Action::AdministerNodes, None)?;
    let node: NodeId = name.parse().map_err(|e: eport_model::ParseError| ApiError::bad(e.to_string()))?;
    let state = if body.drain { NodeState::Draining } else { NodeState::Up };
    let op = Op::SetNodeState { node, state };
    propose(&api, command(&api, &caller, "node drain", op)?).await?;
    let shown = federation::nodes(&api).into_iter().find(|n| n.node == node);
    Ok(Answer(shown).into_response())
}
