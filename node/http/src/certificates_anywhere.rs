//! Certificates of all platforms: platform after platform in the order of their codes.
//!
//! What always holds: each page is one platform's, as its primary answers it; a platform that does not answer fails the request, since
//! a list that lacks it would look whole.

use crate::Caller;
use crate::accounts_api::body_of;
use crate::auth::need;
use crate::certificates_api::{ListQuery, list, show};
use crate::extract::Query;
use crate::forward::{Outline, forward};
use crate::platforms_api::region;
use crate::problem::ApiError;
use crate::state::Api;
use axum::extract::{Path, Request, State};
use axum::http::{Method, Uri};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json as Answer};
use bytes::Bytes;
use eport_access::Action;
use eport_model::{RegionCode, codes};
use serde::Deserialize;
use serde_json::{Value, json};

/// Which certificates.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct AnywhereQuery {
    platform: Option<String>,
    subject: Option<String>,
    limit: Option<usize>,
    page_token: Option<String>,
}

/// What one platform is asked.
enum Question<'q> {
    Page { subject: Option<&'q str>, limit: Option<usize>, token: &'q str },
    One(&'q str),
}

impl Question<'_> {
    fn path(&self, region: RegionCode) -> String {
        let encoded = |text: &str| {
            percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
        };
        let base = format!("/v1/platforms/{region}/certificates");
        match self {
            Question::One(serial) => format!("{base}/{}", encoded(serial)),
            Question::Page { subject, limit, token } => {
                let mut pairs = vec![format!("page_token={}", encoded(token))];
                pairs.extend(subject.map(|s| format!("subject={}", encoded(s))));
                pairs.extend(limit.map(|l| format!("limit={l}")));
                format!("{base}?{}", pairs.join("&"))
            }
        }
    }
}

/// Asks a platform's primary as the caller, here or there.
async fn ask(
    api: &Api,
    caller: &Caller,
    region: RegionCode,
    question: Question<'_>,
) -> Result<Value, ApiError> {
    let path_and_query = question.path(region);
    let primary = api.registry.state().state.placement(region).map(|p| p.primary);
    let primary = primary.ok_or_else(|| ApiError::not_found(format!("platform {region}")))?;
    if primary != api.agent.me() {
        let outline = Outline { method: Method::GET, path_and_query, headers: Vec::new() };
        return body_of(forward(api, primary, caller, outline, Bytes::new()).await?).await;
    }
    let uri: Uri = path_and_query.parse().map_err(|_| ApiError::bad("the request cannot be passed on"))?;
    let (state, caller) = (State(api.clone()), Extension(caller.clone()));
    let mut request = Request::new(axum::body::Body::empty());
    *request.uri_mut() = uri.clone();
    let answer = match question {
        Question::One(serial) => {
            show(state, caller, Path((region.to_string(), serial.to_owned())), request).await?
        }
        Question::Page { .. } => {
            let query = axum::extract::Query::<ListQuery>::try_from_uri(&uri);
            let query = query.map_err(|e| ApiError::bad(e.body_text()))?;
            list(state, caller, Path(region.to_string()), Query(query.0), request).await?
        }
    };
    body_of(answer).await
}

/// Platforms in the order of their codes, or the one that is named.
fn regions(api: &Api, only: Option<&str>) -> Result<Vec<RegionCode>, ApiError> {
    let only = only.map(region).transpose()?;
    let mut all: Vec<RegionCode> = api.registry.state().state.placements().map(|p| p.region).collect();
    all.sort_unstable();
    all.retain(|r| only.is_none_or(|o| o == *r));
    match (only, all.is_empty()) {
        (Some(region), true) => Err(ApiError::not_found(format!("platform {region}"))),
        _ => Ok(all),
    }
}

/// Where a page begins: `REGION/SERIAL`, the serial empty at the beginning of a platform.
fn place(token: &str) -> Result<(RegionCode, &str), ApiError> {
    let parts = token.split_once('/').and_then(|(r, serial)| Some((r.parse().ok()?, serial)));
    parts.ok_or_else(|| ApiError::bad("page_token: not one of ours"))
}

/// `GET /v1/certificates`
pub async fn certificates(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Query(query): Query<AnywhereQuery>,
) -> Result<Response, ApiError> {
    need(&api, &caller, Action::Inspect, None)?;
    let all = regions(&api, query.platform.as_deref())?;
    let begins = query.page_token.as_deref().filter(|t| !t.is_empty()).map(place).transpose()?;
    let mut token = begins.map_or("", |(_, serial)| serial);
    let behind = |r: &RegionCode| begins.is_none_or(|(first, _)| *r >= first);
    for (n, region) in all.iter().enumerate().filter(|(_, r)| behind(r)) {
        let question = Question::Page { subject: query.subject.as_deref(), limit: query.limit, token };
        let mut page = ask(&api, &caller, *region, question).await?;
        token = "";
        let more = page["next_page_token"].as_str().map(|serial| format!("{region}/{serial}"));
        let next = more.or_else(|| all.get(n + 1).map(|r| format!("{r}/")));
        if page["items"].as_array().is_some_and(|items| !items.is_empty()) {
            page["next_page_token"] = json!(next);
            return Ok(Answer(page).into_response());
        }
    }
    Ok(Answer(json!({ "items": [], "next_page_token": null })).into_response())
}

/// `GET /v1/certificates/{serial}`: of the first platform that issued this serial.
pub async fn certificate(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(serial): Path<String>,
    Query(query): Query<AnywhereQuery>,
) -> Result<Response, ApiError> {
    need(&api, &caller, Action::Inspect, None)?;
    let mut silent = None;
    for region in regions(&api, query.platform.as_deref())? {
        match ask(&api, &caller, region, Question::One(&serial)).await {
            Ok(found) => return Ok(Answer(found).into_response()),
            Err(error) if error.problem.status >= 500 => silent = Some(error),
            Err(_) => {}
        }
    }
    let cut: String = serial.chars().take(64).collect();
    Err(silent.unwrap_or_else(|| ApiError::new(codes::CERT_UNKNOWN, format!("serial {cut}"))))
}
