//! The core data set of the province: accepted facts and milestones of every platform, followed with one token (sharing.md §6).
//!
//! What always holds: a purpose is stated, and each fact is shared by a rule; a platform that does not answer is named and read from the
//! same place the next time, so nothing is left out; facts come from the platform's primary as its journal has them.

use crate::Caller;
use crate::auth::need;
use crate::documents_api::read;
use crate::extract::Query;
use crate::forward::{Outline, forward};
use crate::platforms_api::region;
use crate::problem::ApiError;
use crate::sharing;
use crate::state::Api;
use axum::Extension;
use axum::Json as Answer;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use eport_access::Action;
use eport_api_types::{CoreDataPage, CoreDataPlatform};
use eport_model::{Epoch, JournalIndex, RegionCode, codes};
use eport_sharing::Purpose;
use eport_sharing::core_data::{Place, Token};
use futures::stream::{self, StreamExt};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::Duration;
use tokio::time::Instant;

/// Facts of one answer, of all platforms together.
const LIMIT: usize = 1_000;
/// Facts of one platform in an answer, at least: with many platforms each goes on all the same.
const SHARE_MIN: usize = 20;
/// Largest answer of one platform. 64 MiB.
const ANSWER_LEN_MAX: usize = 64 << 20;
/// Platforms that are asked at once.
const AT_ONCE: usize = 8;
/// Longest wait for a first fact, and how often it is looked for.
const WAIT_MAX: Duration = Duration::from_secs(30);
const AGAIN: Duration = Duration::from_millis(500);

/// Where to go on.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct CoreQuery {
    after: Option<String>,
    platform: Option<String>,
    limit: Option<usize>,
    wait: Option<f64>,
}

/// Where to go on, on one platform.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct OneQuery {
    epoch: u64,
    index: u64,
    limit: Option<usize>,
}

/// What one platform tells.
#[derive(Debug, Serialize, Deserialize)]
struct Told {
    items: Vec<Value>,
    epoch: u64,
    index: u64,
    applied: u64,
}

fn needed(stated: Option<Purpose>) -> Result<Purpose, ApiError> {
    let detail = "the core data set is read for a purpose: Eport-Purpose, or purpose= in the query";
    stated.ok_or_else(|| ApiError::new(codes::PURPOSE_NEEDED, detail))
}

/// `GET /v1/platforms/{region}/core-data`: of one platform, behind a place in its journal.
pub async fn of_platform(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    Query(query): Query<OneQuery>,
    request: Request,
) -> Result<Response, ApiError> {
    needed(sharing::stated(request.headers(), request.uri())?)?;
    read(api, caller, name, request, Action::ReadEvents, move |p, scope| {
        let viewer = scope.viewer().ok_or_else(|| ApiError::forbidden("nobody asks"))?;
        let after = Place { epoch: Epoch::from_u64(query.epoch), index: JournalIndex::from_u64(query.index) };
        let page = p.core_page(viewer, after, query.limit.unwrap_or(LIMIT))?;
        let items: Result<Vec<Value>, serde_json::Error> =
            page.facts.iter().map(serde_json::to_value).collect();
        let items = items.map_err(|e| ApiError::new(codes::INTERNAL, e.to_string()))?;
        let (epoch, index) = (page.at.epoch.as_u64(), page.at.index.as_u64());
        Ok(Answer(Told { items, epoch, index, applied: page.applied }))
    })
    .await
}

/// What a platform tells behind a place.
async fn told(
    api: &Api,
    caller: &Caller,
    region: RegionCode,
    after: Place,
    limit: usize,
    purpose: Purpose,
) -> Result<Told, ApiError> {
    let path_and_query = format!(
        "/v1/platforms/{region}/core-data?epoch={}&index={}&limit={limit}&purpose={purpose}",
        after.epoch.as_u64(),
        after.index.as_u64()
    );
    let primary = api.registry.state().state.placement(region).map(|p| p.primary);
    let primary = primary.ok_or_else(|| ApiError::not_found(format!("platform {region}")))?;
    let response = if primary == api.agent.me() {
        let uri = path_and_query.parse::<Uri>().map_err(|e| ApiError::bad(e.to_string()))?;
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = uri;
        let (epoch, index) = (after.epoch.as_u64(), after.index.as_u64());
        let query = OneQuery { epoch, index, limit: Some(limit) };
        let (state, caller) = (State(api.clone()), Extension(caller.clone()));
        of_platform(state, caller, Path(region.to_string()), Query(query), request).await?
    } else {
        let outline = Outline { method: Method::GET, path_and_query, headers: Vec::new() };
        forward(api, primary, caller, outline, Bytes::new()).await?
    };
    let status = response.status();
    let unusable = |detail: String| ApiError::new(codes::PEER_UNREACHABLE, detail);
    let body = axum::body::to_bytes(response.into_body(), ANSWER_LEN_MAX).await;
    let body = body.map_err(|e| unusable(e.to_string()))?;
    match status {
        StatusCode::OK => serde_json::from_slice(&body).map_err(|e| unusable(e.to_string())),
        _ => Err(ApiError::passed_on(&body)),
    }
}

/// `GET /v1/core-data`: of every platform, behind a token.
pub async fn core_data(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Query(query): Query<CoreQuery>,
    request: Request,
) -> Result<Response, ApiError> {
    let purpose = needed(sharing::stated(request.headers(), request.uri())?)?;
    let only = query.platform.as_deref().map(region).transpose()?;
    need(&api, &caller, Action::ReadEvents, only)?;
    let token: Token = query
        .after
        .as_deref()
        .unwrap_or_default()
        .parse()
        .map_err(|e: eport_sharing::core_data::NoToken| ApiError::bad(e.to_string()))?;
    let wait = Duration::try_from_secs_f64(query.wait.unwrap_or(0.0)).unwrap_or_default().min(WAIT_MAX);
    let until = Instant::now() + wait;
    loop {
        let page = page(&api, &caller, only, &query, &token, purpose).await?;
        // Records that gave no fact are gone on from too.
        let moved = page.next != token.to_string();
        if !page.items.is_empty() || moved || Instant::now() >= until {
            return Ok(Answer(page).into_response());
        }
        tokio::time::sleep(AGAIN).await;
    }
}

async fn page(
    api: &Api,
    caller: &Caller,
    only: Option<RegionCode>,
    query: &CoreQuery,
    token: &Token,
    purpose: Purpose,
) -> Result<CoreDataPage, ApiError> {
    let regions: Vec<RegionCode> = match only {
        Some(region) => vec![region],
        None => api.registry.state().state.placements().map(|p| p.region).collect(),
    };
    let limit = query.limit.unwrap_or(LIMIT).clamp(1, LIMIT);
    let share = (limit / regions.len().max(1)).max(SHARE_MIN.min(limit));
    let ask = |region: RegionCode| {
        let after = token.0.get(&region).copied().unwrap_or_default();
        async move { (region, after, told(api, caller, region, after, share, purpose).await) }
    };
    let answers: Vec<_> = stream::iter(regions).map(ask).buffered(AT_ONCE).collect().await;
    let (mut next, mut out) = (token.clone(), CoreDataPage::default());
    for (region, after, answer) in answers {
        let mut platform = CoreDataPlatform {
            platform: region.to_string(),
            epoch: after.epoch.as_u64(),
            index: after.index.as_u64(),
            ..CoreDataPlatform::default()
        };
        match answer {
            Ok(told) => {
                (platform.epoch, platform.index) = (told.epoch, told.index);
                platform.behind = told.applied.saturating_sub(told.index);
                out.items.extend(told.items);
                let (epoch, index) = (Epoch::from_u64(told.epoch), JournalIndex::from_u64(told.index));
                next.0.insert(region, Place { epoch, index });
            }
            Err(error) => {
                let detail = error.problem.detail.clone().unwrap_or_default();
                platform.trouble = Some(format!("{} {detail}", error.problem.code));
            }
        }
        out.platforms.push(platform);
    }
    out.next = next.to_string();
    Ok(out)
}
