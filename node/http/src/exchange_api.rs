//! The exchange as operators see it, and where a document stands.

use crate::Caller;
use crate::agencies_api::failed;
use crate::auth::need;
use crate::documents_api::{Place, forwards, read, send_on, settled_place};
use crate::forward::{FORWARDED, Outline};
use crate::platforms_api::region;
use crate::problem::ApiError;
use crate::sharing::visible;
use crate::state::Api;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json as Answer};
use bytes::Bytes;
use eport_access::Action;
use eport_api_types::{DeadLetters, ResendAnswer};

/// `GET /v1/platforms/{region}/documents/{doc_id}/trace`
pub async fn trace(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path((name, doc_id)): Path<(String, String)>,
    request: Request,
) -> Result<Response, ApiError> {
    read(api, caller, name, request, Action::ListDocuments, move |p, scope| {
        let doc_id = p.number(&doc_id)?;
        visible(p, &scope, &doc_id)?;
        let traced = p.trace(&doc_id, &scope)?;
        Ok(Answer(traced.ok_or_else(|| ApiError::not_found(format!("document {doc_id}")))?))
    })
    .await
}

/// `GET /v1/platforms/{region}/exchange`
pub async fn status(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    read(api, caller, name, request, Action::Inspect, move |p, _| Ok(Answer(p.exchange_status()?))).await
}

/// `GET /v1/platforms/{region}/exchange/dead-letters`
pub async fn dead_letters(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    read(api, caller, name, request, Action::Inspect, move |p, _| {
        let (items, alerts) = p.dead_letters()?;
        Ok(Answer(DeadLetters { items, alerts, next_page_token: None }))
    })
    .await
}

/// `POST /v1/platforms/{region}/exchange/dead-letters/{msg_id}/resend`
pub async fn resend(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path((name, msg_id)): Path<(String, String)>,
    request: Request,
) -> Result<Response, ApiError> {
    let region = region(&name)?;
    need(&api, &caller, Action::AdministerPlatform, Some(region))?;
    let id = msg_id.parse().map_err(|_| ApiError::bad("msg_id: 64 hex digits are needed"))?;
    let may = forwards(request.headers(), request.uri().query());
    match settled_place(&api, region, request.headers().contains_key(FORWARDED)).await? {
        Place::There(node) => {
            send_on(&api, region, node, &caller, Outline::of(&request), may, Bytes::new()).await
        }
        Place::Here(platform) => {
            let resent = platform.resend(&id).await.map_err(failed)?;
            let resent = resent.ok_or_else(|| ApiError::not_found(format!("dead letter {msg_id}")))?;
            let to = resent.to.map(|r| r.to_string());
            Ok(Answer(ResendAnswer { msg_id, attempts: resent.attempts, to }).into_response())
        }
    }
}
