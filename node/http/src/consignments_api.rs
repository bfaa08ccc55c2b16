//! Where a consignment stands, by any number that a document of it is known by; and how a document compares with others.
//!
//! What always holds: a caller is told of documents that it may see, and of nothing else; a platform that does not answer is named, so
//! that what is missing is never taken for what is not there.

use crate::Caller;
use crate::auth::need;
use crate::documents_api::read;
use crate::forward::{Outline, forward};
use crate::problem::ApiError;
use crate::sharing::visible;
use crate::state::Api;
use axum::Extension;
use axum::Json as Answer;
use axum::extract::{Path, Request, State};
use axum::http::{Method, StatusCode, Uri};
use axum::response::Response;
use bytes::Bytes;
use eport_access::Action;
use eport_api_types::{ConsignmentAnswer, ConsignmentStatus, Page, Unanswered};
use eport_model::{RegionCode, codes};
use std::time::Duration;

/// Largest answer of another platform: some hundred documents with their agencies and milestones.
const ANSWER_LEN_MAX: usize = 4 << 20;
/// How long all platforms together may take.
const ASK_WAIT: Duration = Duration::from_secs(5);
/// Platforms that are asked at a time.
const ASKED_AT_ONCE: usize = 16;
/// Longest number in bytes.
const NUMBER_LEN_MAX: usize = 320;

fn sized(number: &str) -> Result<(), ApiError> {
    match number.trim().is_empty() || number.len() > NUMBER_LEN_MAX {
        true => Err(ApiError::bad("a number of 1 to 80 characters is needed")),
        false => Ok(()),
    }
}

/// `GET /v1/platforms/{region}/consignments/{number}`: what one platform knows.
pub async fn of_platform(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path((name, number)): Path<(String, String)>,
    request: Request,
) -> Result<Response, ApiError> {
    sized(&number)?;
    read(api, caller, name, request, Action::ListDocuments, move |p, scope| {
        Ok(Answer(p.status_of(&number, &scope)?))
    })
    .await
}

/// `GET /v1/consignments/{number}`: what all platforms know.
pub async fn of_all(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(number): Path<String>,
) -> Result<Answer<ConsignmentAnswer>, ApiError> {
    use futures::StreamExt;
    sized(&number)?;
    need(&api, &caller, Action::ListDocuments, None)?;
    let regions: Vec<RegionCode> = api.registry.state().state.placements().map(|p| p.region).collect();
    let ask = |region: RegionCode| {
        let (api, caller, number) = (&api, &caller, &number);
        async move {
            let told = tokio::time::timeout(ASK_WAIT, told(api, caller, region, number)).await;
            let told =
                told.unwrap_or_else(|_| Err(ApiError::new(codes::PEER_UNREACHABLE, "no answer in time")));
            (region, told)
        }
    };
    let mut answers: Vec<(RegionCode, Result<ConsignmentStatus, ApiError>)> =
        futures::stream::iter(regions.into_iter().map(ask)).buffer_unordered(ASKED_AT_ONCE).collect().await;
    answers.sort_by_key(|(region, _)| *region);
    let (mut platforms, mut unanswered) = (Vec::new(), Vec::new());
    for (platform, told) in answers {
        match told {
            Ok(status) if status.documents.is_empty() => {}
            Ok(status) => platforms.push(status),
            // What it may not read there is nothing to it.
            Err(e) if e.problem.status == StatusCode::FORBIDDEN.as_u16() => {}
            Err(e) => {
                let detail = e.problem.detail.unwrap_or(e.problem.title);
                unanswered.push(Unanswered { platform, detail });
            }
        }
    }
    if platforms.is_empty() && unanswered.is_empty() {
        return Err(ApiError::not_found("a document that is known by this number"));
    }
    Ok(Answer(ConsignmentAnswer { number, platforms, unanswered }))
}

/// What one platform knows, wherever its primary is.
async fn told(
    api: &Api,
    caller: &Caller,
    region: RegionCode,
    number: &str,
) -> Result<ConsignmentStatus, ApiError> {
    let path_and_query = format!("/v1/platforms/{region}/consignments/{}", segment(number));
    let primary = api.registry.state().state.placement(region).map(|p| p.primary);
    let primary = primary.ok_or_else(|| ApiError::not_found(format!("platform {region}")))?;
    let response = if primary == api.agent.me() {
        let uri = path_and_query.parse::<Uri>().map_err(|e| ApiError::bad(e.to_string()))?;
        let mut request = Request::new(axum::body::Body::empty());
        *request.uri_mut() = uri;
        let (state, caller) = (State(api.clone()), Extension(caller.clone()));
        of_platform(state, caller, Path((region.to_string(), number.to_owned())), request).await?
    } else {
        let outline = Outline { method: Method::GET, path_and_query, headers: Vec::new() };
        forward(api, primary, caller, outline, Bytes::new()).await?
    };
    let status = response.status();
    let unusable = |detail: String| ApiError::new(codes::PEER_UNREACHABLE, detail);
    let body = axum::body::to_bytes(response.into_body(), ANSWER_LEN_MAX).await;
    let body = body.map_err(|e| unusable(e.to_string()))?;
    match status == StatusCode::OK {
        true => serde_json::from_slice(&body).map_err(|e| unusable(e.to_string())),
        false => Err(ApiError::passed_on(&body)),
    }
}

/// A number as one segment of a path.
fn segment(number: &str) -> String {
    let mut out = String::with_capacity(number.len());
    for byte in number.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

/// `GET /v1/platforms/{region}/documents/{doc_id}/comparisons`: every comparison of a document, carried out now.
pub async fn comparisons(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path((name, doc_id)): Path<(String, String)>,
    request: Request,
) -> Result<Response, ApiError> {
    let now = api.now();
    read(api, caller, name, request, Action::ListDocuments, move |p, scope| {
        let doc_id = p.number(&doc_id)?;
        visible(p, &scope, &doc_id)?;
        Ok(Answer(Page::whole(p.comparisons(&doc_id, now)?)))
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::segment;

    #[test]
    fn a_number_with_any_character_is_one_segment() {
        assert_eq!(segment("COSU61-1.2"), "COSU61-1.2");
        assert_eq!(segment("A/B*C 粤"), "A%2FB%2AC%20%E7%B2%A4");
        assert_eq!(segment(".."), "..");
    }
}
