//! Bodies that must go by law: which bodies a document has, orders to erase them, and what became of these.

use crate::Caller;
use crate::auth::need;
use crate::extract::Json;
use crate::platforms_api::{COMMAND_TIMEOUT, region};
use crate::problem::ApiError;
use crate::signing::{command, propose};
use crate::state::Api;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json as Answer};
use eport_access::Action;
use eport_api_types::{EraseRequest, ErasureItem, Page, rfc3339};
use eport_model::{JournalIndex, RegionCode, codes};
use eport_registry::{ERASED_AT_ONCE, EraseTarget, Op};

/// `POST /v1/platforms/{region}/erasures`: a command of the registry; where the federation asks for two persons it waits for the
/// second one. The primary then writes the Erase records.
pub async fn order(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    Json(body): Json<EraseRequest>,
) -> Result<Response, ApiError> {
    let region = region(&name)?;
    need(&api, &caller, Action::AdministerPlatform, Some(region))?;
    if body.targets.is_empty() || body.targets.len() > ERASED_AT_ONCE {
        return Err(ApiError::bad(format!("targets: 1 to {ERASED_AT_ONCE} bodies are needed")));
    }
    let target = |t: &eport_api_types::EraseBody| EraseTarget {
        record: JournalIndex::from_u64(t.record),
        body: t.body,
        digest: t.digest,
    };
    let targets: Vec<EraseTarget> = body.targets.iter().map(target).collect();
    let op = Op::Erase { region, targets, reason: body.reason.clone(), authority: body.authority.clone() };
    propose(&api, command(&api, &caller, "erase by law", op)?).await?;
    // The command may have been applied by the leader before this node.
    api.registry.linearizable(COMMAND_TIMEOUT).await?;
    list_of(&api, region).await
}

/// `GET /v1/platforms/{region}/erasures`
pub async fn list(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Result<Response, ApiError> {
    let region = region(&name)?;
    need(&api, &caller, Action::AdministerPlatform, Some(region))?;
    list_of(&api, region).await
}

async fn list_of(api: &Api, region: RegionCode) -> Result<Response, ApiError> {
    let view = api.registry.state();
    let store = api.agent.platform(region).map(|h| h.store().clone());
    let items = tokio::task::spawn_blocking(move || {
        let item = |e: &eport_registry::Erasure| ErasureItem {
            region,
            record: e.target.record.as_u64(),
            body: e.target.body,
            digest: e.target.digest,
            reason: e.reason.clone(),
            authority: e.authority.clone(),
            by: e.by.clone(),
            at: rfc3339(e.at),
            erased: store.as_ref().and_then(|s| s.is_erased(e.target.record, e.target.body).ok()),
        };
        view.state.erasures(region).map(item).collect::<Vec<_>>()
    })
    .await
    .map_err(|e| ApiError::new(codes::INTERNAL, e.to_string()))?;
    Ok(Answer(Page::whole(items)).into_response())
}
