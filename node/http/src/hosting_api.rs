//! Hosted platforms: quotas at admission, by whom they are set, and the report of what was used.
//!
//! Always holds: a quota is looked at on the node where a request arrives and again where it is carried out, as that node's
//! registry says now; a quota is changed by a signed command on the version that was seen; a report names what it lacks.

use crate::Caller;
use crate::auth::need;
use crate::extract::{Json, Query};
use crate::forward::{FORWARDED, Outline, forward};
use crate::journal_api::{Place, at_primary};
use crate::platforms_api::{COMMAND_TIMEOUT, region};
use crate::problem::ApiError;
use crate::signing::{command, propose};
use crate::state::Api;
use axum::body::to_bytes;
use axum::extract::{Path, Request, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json as Answer};
use bytes::Bytes;
use eport_access::Action;
use eport_api_types::{
    CopyUsage, PlatformUsage, QuotaItem, QuotaRequest, UsageMissing, UsageReport, rfc3339,
};
use eport_model::{Month, RegionCode, codes};
use eport_platform::{Body, Refused, Under};
use eport_registry::{Op, Quota, QuotaLimits};
use futures::stream::{self, StreamExt};
use serde::Deserialize;
use std::time::Duration;

/// Primaries asked at the same time for a report.
const ASKED_AT_ONCE: usize = 8;
/// Largest answer about one platform.
const ANSWER_LEN_MAX: usize = 256 << 10;

/// The platform whose own traffic a route is; administration is never held up by a quota.
fn hosted(route: &str, path: &str) -> Option<RegionCode> {
    let rest = route.strip_prefix("/v1/platforms/{region}/")?;
    if !(rest.starts_with("documents") || rest == "events") {
        return None;
    }
    path.strip_prefix("/v1/platforms/")?.split('/').next()?.parse().ok()
}

/// What a request holds until its answer is given.
pub(crate) struct Admitted {
    under_way: Option<Under>,
    _body: Body,
}

impl Admitted {
    /// Carries the request out. It holds its place for at most twice the time for a write, its room to the end.
    pub(crate) async fn carry_out<F: Future>(mut self, api: &Api, work: F) -> F::Output {
        match self.under_way.take() {
            Some(under) => under.carry_out(api.config.write_timeout * 2, work).await,
            None => work.await,
        }
    }
}

/// Lets a request in: its platform's quota of requests, a place among those that are carried out here, room for its body.
pub(crate) async fn admit(api: &Api, route: &str, path: &str, bytes: u64) -> Result<Admitted, ApiError> {
    // What is sent on takes its place where it is carried out; what has no body is read and not judged.
    let mine = |r: &RegionCode| {
        api.registry.state().state.placement(*r).is_some_and(|p| p.primary == api.agent.me())
    };
    let region = hosted(route, path).filter(|r| bytes > 0 && mine(r));
    admit_rate(api, route, path)?;
    let under_way = match region {
        Some(region) => Some(place(api, region, bytes).await?),
        None => None,
    };
    Ok(Admitted { under_way, _body: admit_body(api, route, path, bytes)? })
}

/// Waits for a place as long as a write may wait for its backups.
async fn place(api: &Api, region: RegionCode, bytes: u64) -> Result<Under, ApiError> {
    let entered = tokio::time::timeout(api.config.write_timeout, api.hosting.under_way(region, bytes)).await;
    entered.ok().flatten().ok_or_else(|| {
        let detail = format!("too many requests of platform {region} wait here already; nothing was stored");
        ApiError::new(codes::OVERLOADED, detail).retry_after(Duration::from_secs(1))
    })
}

fn admit_rate(api: &Api, route: &str, path: &str) -> Result<(), ApiError> {
    let view = api.registry.state();
    let Some(region) = hosted(route, path).filter(|r| view.state.placement(*r).is_some()) else {
        return Ok(());
    };
    let quota = view.state.quota(region);
    // A batch pays once its lines are known; one that is in debt is not even read.
    let cost = u32::from(!route.ends_with("documents:batch"));
    api.hosting.admit(region, quota, cost).map_err(|r| refused(region, quota, r))
}

fn admit_body(api: &Api, route: &str, path: &str, bytes: u64) -> Result<Body, ApiError> {
    let view = api.registry.state();
    // One that the registry does not know has no quota and keeps nothing here; it is told so later.
    let region = hosted(route, path).filter(|r| view.state.placement(*r).is_some());
    let quota = region.and_then(|r| view.state.quota(r));
    let held = api.hosting.body(region, quota, bytes);
    held.map_err(|r| match region {
        Some(region) => refused(region, quota, r),
        None => ApiError::new(codes::OVERLOADED, "too many large requests at once"),
    })
}

/// Lets the lines of a batch in.
pub(crate) fn admit_lines(api: &Api, region: RegionCode, lines: usize) -> Result<(), ApiError> {
    let view = api.registry.state();
    if view.state.placement(region).is_none() {
        return Ok(());
    }
    let quota = view.state.quota(region);
    let cost = u32::try_from(lines).unwrap_or(u32::MAX);
    api.hosting.admit(region, quota, cost).map_err(|r| refused(region, quota, r))
}

fn refused(region: RegionCode, quota: Option<&Quota>, refused: Refused) -> ApiError {
    let limits = quota.map(|q| q.limits).unwrap_or_default();
    match refused {
        Refused::Rate(wait) => {
            let rate = limits.requests_per_s.unwrap_or(0);
            let detail = format!("platform {region} may ask {rate} times a second; nothing was stored");
            ApiError::new(codes::QUOTA_RATE, detail).retry_after(wait)
        }
        Refused::Bytes => {
            let most = limits.bytes_in_flight.unwrap_or(0);
            let detail = format!("platform {region} may have {most} bytes under way; nothing was stored");
            ApiError::new(codes::QUOTA_BYTES, detail).retry_after(Duration::from_secs(1))
        }
        Refused::Room => ApiError::new(
            codes::OVERLOADED,
            format!("too many large requests of platform {region} at once; nothing was stored"),
        ),
    }
}

/// A quota as the API shows it.
pub(crate) fn quota_item(quota: &Quota) -> QuotaItem {
    QuotaItem {
        version: quota.version,
        requests_per_s: quota.limits.requests_per_s,
        burst: quota.limits.burst(),
        bytes_in_flight: quota.limits.bytes_in_flight,
        disk_bytes: quota.limits.disk_bytes,
        by: Some(quota.by.clone()),
        since: Some(rfc3339(quota.since)),
    }
}

fn known(api: &Api, region: RegionCode) -> Result<(), ApiError> {
    let view = api.registry.state();
    let placed = view.state.placement(region).is_some();
    placed.then_some(()).ok_or_else(|| ApiError::not_found(format!("platform {region}")))
}

fn shown(api: &Api, region: RegionCode) -> QuotaItem {
    api.registry.state().state.quota(region).map(quota_item).unwrap_or_default()
}

/// `GET /v1/platforms/{region}/quota`
pub async fn quota(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Result<Answer<QuotaItem>, ApiError> {
    need(&api, &caller, Action::ReadFederation, None)?;
    let region = region(&name)?;
    known(&api, region)?;
    Ok(Answer(shown(&api, region)))
}

/// `PUT /v1/platforms/{region}/quota`
pub async fn set_quota(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    Json(body): Json<QuotaRequest>,
) -> Result<Answer<QuotaItem>, ApiError> {
    need(&api, &caller, Action::AdministerPlatform, None)?;
    let region = region(&name)?;
    known(&api, region)?;
    let limits = QuotaLimits {
        requests_per_s: body.requests_per_s,
        burst: body.burst,
        bytes_in_flight: body.bytes_in_flight,
        disk_bytes: body.disk_bytes,
    };
    let op = Op::SetQuota { region, version: body.expected_version, limits };
    propose(&api, command(&api, &caller, "platform quota", op)?).await?;
    // A node that does not lead may not have applied what it was told is done: the answer shows the new quota, not the old.
    // It is done either way.
    let _ = api.registry.linearizable(COMMAND_TIMEOUT).await;
    Ok(Answer(shown(&api, region)))
}

/// Which month.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UsageQuery {
    month: Option<String>,
}

fn month(api: &Api, query: &UsageQuery) -> Result<Month, ApiError> {
    match &query.month {
        Some(text) => text.parse().map_err(|e: eport_model::ParseError| ApiError::bad(e.to_string())),
        None => Ok(Month::of(api.now())),
    }
}

/// What a platform used, as its open primary on this node says.
async fn usage_here(api: &Api, region: RegionCode, month: Month) -> Result<PlatformUsage, ApiError> {
    let platform = api.platform(region).ok_or_else(|| {
        ApiError::new(codes::NOT_PRIMARY, format!("platform {region} is not open here yet"))
    })?;
    let read = tokio::task::spawn_blocking(move || platform.usage(month)).await;
    let mut usage = read.map_err(|e| ApiError::new(codes::INTERNAL, e.to_string()))??;
    usage.copies = copies(api, region);
    Ok(usage)
}

/// What every copy takes, as the nodes said last.
fn copies(api: &Api, region: RegionCode) -> Vec<CopyUsage> {
    let heard = crate::federation::heard(api);
    let of = |(node, (_, soft)): (&eport_model::NodeId, &(Duration, eport_agent::SoftState))| {
        let kept = soft.platforms.iter().find(|p| p.region == region)?;
        Some(CopyUsage { node: *node, disk_bytes: kept.disk_bytes })
    };
    heard.iter().filter_map(of).collect()
}

/// `GET /v1/platforms/{region}/usage`: from the platform's primary.
pub async fn usage(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    Query(query): Query<UsageQuery>,
    request: Request,
) -> Result<Response, ApiError> {
    let region = region(&name)?;
    let (outline, forwarded) = (Outline::of(&request), request.headers().contains_key(FORWARDED));
    drop(request);
    need(&api, &caller, Action::AdministerPlatform, Some(region))?;
    let month = month(&api, &query)?;
    match at_primary(&api, region, &caller, outline, forwarded).await? {
        Place::Here(_) => Ok(Answer(usage_here(&api, region, month).await?).into_response()),
        Place::There(answer) => Ok(answer),
    }
}

/// `GET /v1/usage`: every platform, each from its primary.
pub async fn report(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Query(query): Query<UsageQuery>,
) -> Result<Answer<UsageReport>, ApiError> {
    need(&api, &caller, Action::AdministerPlatform, None)?;
    let month = month(&api, &query)?;
    let regions: Vec<RegionCode> = api.registry.state().state.placements().map(|p| p.region).collect();
    let asked = regions.into_iter().map(|region| {
        let (api, caller) = (api.clone(), caller.clone());
        async move { (region, usage_anywhere(&api, &caller, region, month).await) }
    });
    let answers: Vec<_> = stream::iter(asked).buffered(ASKED_AT_ONCE).collect().await;
    let (mut items, mut missing) = (Vec::new(), Vec::new());
    for (region, answer) in answers {
        match answer {
            Ok(usage) => items.push(usage),
            Err(error) => {
                let reason = error.problem.detail.clone().unwrap_or_else(|| error.problem.title.clone());
                missing.push(UsageMissing { region, reason });
            }
        }
    }
    Ok(Answer(UsageReport { month: month.to_string(), items, missing, next_page_token: None }))
}

async fn usage_anywhere(
    api: &Api,
    caller: &Caller,
    region: RegionCode,
    month: Month,
) -> Result<PlatformUsage, ApiError> {
    let primary = api.registry.state().state.placement(region).map(|p| p.primary);
    let primary = primary.ok_or_else(|| ApiError::not_found(format!("platform {region}")))?;
    if primary == api.agent.me() {
        let open = api.agent.platform(region).is_some_and(|h| h.status().borrow().is_open());
        if !open {
            return Err(ApiError::new(codes::FENCED, format!("platform {region} is not open")));
        }
        return usage_here(api, region, month).await;
    }
    let outline = Outline {
        method: Method::GET,
        path_and_query: format!("/v1/platforms/{region}/usage?month={month}"),
        headers: Vec::new(),
    };
    let answer = forward(api, primary, caller, outline, Bytes::new()).await?;
    let status = answer.status();
    let body = to_bytes(answer.into_body(), ANSWER_LEN_MAX).await.unwrap_or_default();
    match status {
        StatusCode::OK => serde_json::from_slice(&body)
            .map_err(|e| ApiError::new(codes::INTERNAL, format!("{primary} answered something else: {e}"))),
        _ => {
            let told: eport_api_types::Problem = serde_json::from_slice(&body).unwrap_or_default();
            let why = told.detail.unwrap_or(told.title);
            Err(ApiError::new(codes::OVERLOADED, format!("{primary} answered {status}: {why}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_platforms_own_traffic_has_a_quota_and_its_administration_has_none() {
        let r: RegionCode = "440500".parse().unwrap();
        for (route, path) in [
            ("/v1/platforms/{region}/documents", "/v1/platforms/440500/documents"),
            ("/v1/platforms/{region}/documents:batch", "/v1/platforms/440500/documents:batch"),
            ("/v1/platforms/{region}/documents/{doc_id}", "/v1/platforms/440500/documents/E1"),
            ("/v1/platforms/{region}/events", "/v1/platforms/440500/events"),
        ] {
            assert_eq!(hosted(route, path), Some(r), "{route}");
        }
        for (route, path) in [
            ("/v1/platforms/{region}/moves", "/v1/platforms/440500/moves"),
            ("/v1/platforms/{region}/quota", "/v1/platforms/440500/quota"),
            ("/v1/platforms/{region}/usage", "/v1/platforms/440500/usage"),
            ("/v1/platforms", "/v1/platforms"),
            ("/v1/platforms/{region}/documents", "/v1/platforms/nowhere/documents"),
        ] {
            assert_eq!(hosted(route, path), None, "{route}");
        }
    }
}
