//! Amendments, withdrawals and milestones: documents that the node makes of what a caller sends, then lodged like any other.
//!
//! What always holds: the caller names the version that it makes, so a repeated request is one change; only the document's own
//! lodger changes it; an amendment is judged like a first submission.

use crate::Caller;
use crate::documents_api::lodge_made;
use crate::problem::ApiError;
use crate::sharing::visible;
use crate::state::Api;
use axum::Extension;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use bytes::Bytes;
use eport_documents::json::Node;
use eport_model::codes;
use eport_platform::{Platform, Scope};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

/// Function code of a change (documents §2.1).
const AMEND: &str = "5";
/// Function code of a request to withdraw.
const WITHDRAW: &str = "3";

/// A change of a document.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Revision {
    /// The version that comes of it: one more than the newest.
    doc_version: u32,
    function_code: Option<String>,
    /// The whole new content; a withdrawal may leave it out.
    body: Option<Value>,
}

fn parsed<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    let malformed = |detail: String| ApiError::new(codes::DOCUMENT_MALFORMED, detail);
    // As strictly as a document: a name that stands twice is refused, not dropped.
    Node::parse(body).map_err(|e| malformed(e.to_string()))?;
    serde_json::from_slice(body).map_err(|e| malformed(e.to_string()))
}

/// `POST /v1/platforms/{region}/documents/{doc_id}/amendments`
pub async fn amend(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path((name, doc_id)): Path<(String, String)>,
    request: Request,
) -> Result<Response, ApiError> {
    revise(api, caller, name, doc_id, request, AMEND).await
}

/// `POST /v1/platforms/{region}/documents/{doc_id}/withdrawal`
pub async fn withdraw(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path((name, doc_id)): Path<(String, String)>,
    request: Request,
) -> Result<Response, ApiError> {
    revise(api, caller, name, doc_id, request, WITHDRAW).await
}

async fn revise(
    api: Api,
    caller: Caller,
    name: String,
    doc_id: String,
    request: Request,
    function_code: &'static str,
) -> Result<Response, ApiError> {
    lodge_made(api, caller, name, request, move |platform, lodger, body| async move {
        // The stored version may lie on the disk.
        let made = move || revised(&platform, lodger.lodged_by, &doc_id, &body, function_code);
        let made = tokio::task::spawn_blocking(made).await;
        made.map_err(|e| ApiError::new(codes::INTERNAL, e.to_string()))?
    })
    .await
}

fn revised(
    platform: &Platform,
    lodged_by: String,
    doc_id: &str,
    body: &[u8],
    function_code: &str,
) -> Result<Bytes, ApiError> {
    let revision: Revision = parsed(body)?;
    let doc_id = platform.number(doc_id)?;
    visible(platform, &Scope::Own(lodged_by), &doc_id)?;
    let newest = platform.show(&doc_id, None)?;
    let newest = newest.ok_or_else(|| ApiError::not_found(format!("document {doc_id}")))?;
    let content = match revision.body {
        Some(body) => body,
        None if function_code == WITHDRAW => newest.body,
        None => {
            return Err(ApiError::new(codes::DOCUMENT_MALFORMED, "body: the whole new content is needed"));
        }
    };
    let document = json!({
        "doc_type": newest.item.doc_type, "doc_version": revision.doc_version,
        "client_ref": newest.item.client_ref,
        "function_code": revision.function_code.as_deref().unwrap_or(function_code), "body": content,
    });
    Ok(document.to_string().into())
}

/// `POST /v1/platforms/{region}/milestones`: the body of an event, lodged as the document that the packs in force declare for it.
pub async fn milestone(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let now = api.now();
    lodge_made(api, caller, name, request, move |platform, _, body| async move {
        let event: Map<String, Value> = parsed(&body)?;
        let document = platform.uploaded_event(&event, now);
        let document = document.ok_or_else(|| {
            ApiError::new(codes::DOCUMENT_TYPE_UNKNOWN, "no pack in force takes events of terminals")
        })?;
        Ok(document.to_string().into())
    })
    .await
}
