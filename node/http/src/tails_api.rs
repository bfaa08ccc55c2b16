//! Diverged tails: listed from the registry, looked at and submitted again at the primary, discarded by an operator's command.
//!
//! Always holds: what a tail holds is told to operators only; a re-submission adds nothing that was not accepted once, so it
//! may arrive by forward like a document; a discard is a signed command of the registry with its reason in the audit.

use crate::Caller;
use crate::auth::need;
use crate::extract::{Json, Query};
use crate::forward::{FORWARDED, Outline, forward};
use crate::journal_api::{Place, at_primary};
use crate::platforms_api::{COMMAND_TIMEOUT, region};
use crate::problem::ApiError;
use crate::signing::{command, propose};
use crate::state::Api;
use axum::Json as Answer;
use axum::extract::{Path, Request, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, RequestExt};
use bytes::Bytes;
use eport_access::Action;
use eport_api_types::{
    CertificateItem, Page, TailCounts, TailDetail, TailDiscard, TailItem, TailRecord, TailResubmit,
    TailResubmitted, Warning, rfc3339,
};
use eport_model::{JournalIndex, NodeId, RegionCode, codes};
use eport_platform::{Platform, TailSource};
use eport_registry::{Op, State as Registered, Tail, TailState};
use serde::Deserialize;
use std::collections::BTreeSet;
use tracing::warn;

/// Records of one page at most.
const PAGE_MAX: usize = 1_000;
/// Longest reason: the audit shows it whole.
const REASON_LEN_MAX: usize = 400;
/// Largest answer that is taken from a primary about its tails. 16 MiB.
const ANSWER_LEN_MAX: usize = 16 << 20;

fn tail_of(api: &Api, region: RegionCode, id: &str) -> Result<Tail, ApiError> {
    let view = api.registry.state();
    let found = view.state.tail(id).filter(|t| t.region == region).cloned();
    found.ok_or_else(|| ApiError::not_found(format!("tail {id} of platform {region}")))
}

fn item(tail: &Tail, documents: Option<TailCounts>) -> TailItem {
    TailItem {
        id: tail.id(),
        region: tail.region,
        node: tail.node,
        epoch: tail.epoch,
        fork: tail.fork.index.as_u64(),
        last: tail.last.index.as_u64(),
        records: tail.records(),
        digest: tail.digest,
        state: match tail.state {
            TailState::Exported => "exported",
            TailState::Resolved => "resolved",
            TailState::Discarded => "discarded",
        }
        .into(),
        at: rfc3339(tail.at),
        documents,
    }
}

/// The tail where it lies on this node.
pub(crate) fn source(api: &Api, tail: &Tail) -> Option<TailSource> {
    Some(TailSource {
        id: tail.id(),
        manifest: api.agent.tail_manifest(tail)?,
        discarded: tail.discarded.iter().copied().collect(),
        all_discarded: tail.state == TailState::Discarded,
    })
}

fn needed(api: &Api, tail: &Tail) -> Result<TailSource, ApiError> {
    let missing = || ApiError::new(codes::TAIL_NOT_HERE, format!("tail {} is not here yet", tail.id()));
    source(api, tail).ok_or_else(missing)
}

fn platform(api: &Api, region: RegionCode) -> Result<Platform, ApiError> {
    api.platform(region).ok_or_else(|| ApiError::new(codes::FENCED, format!("platform {region} is not open")))
}

/// Runs work that reads the disk; readers share the blocking threads with replication.
async fn blocking<T: Send + 'static>(
    api: &Api,
    work: impl FnOnce() -> Result<T, eport_platform::TailError> + Send + 'static,
) -> Result<T, ApiError> {
    let slot = api.readers.clone().try_acquire_owned();
    let _slot = slot.map_err(|_| ApiError::new(codes::OVERLOADED, "too many reads at once"))?;
    let done = tokio::task::spawn_blocking(work).await;
    Ok(done.map_err(|e| ApiError::new(codes::INTERNAL, e.to_string()))??)
}

/// A tail with its counts, at the primary. When nothing waits any more, the registry is told.
async fn counted(api: &Api, platform: &Platform, tail: &Tail) -> Result<TailItem, ApiError> {
    let Some(found) = source(api, tail) else { return Ok(item(tail, None)) };
    let counting = platform.clone();
    let counts = blocking(api, move || counting.tail_counts(&found)).await?;
    let mut tail = tail.clone();
    if tail.state == TailState::Exported && counts.pending + counts.conflicts == 0 {
        match api.agent.resolve_tail(&tail).await {
            Ok(()) => tail.state = TailState::Resolved,
            Err(error) => {
                warn!(tail = %tail.id(), %error, "the registry does not know yet that a tail is decided")
            }
        }
    }
    Ok(item(&tail, Some(counts)))
}

async fn items_here(api: &Api, region: RegionCode) -> Result<Vec<TailItem>, ApiError> {
    let platform = platform(api, region)?;
    let tails: Vec<Tail> =
        api.registry.state().state.tails().filter(|t| t.region == region).cloned().collect();
    let mut items = Vec::with_capacity(tails.len());
    for tail in tails {
        items.push(counted(api, &platform, &tail).await?);
    }
    Ok(items)
}

/// `GET /v1/tails`: every tail of the federation, with counts where the primary can be asked.
pub async fn all(State(api): State<Api>, Extension(caller): Extension<Caller>) -> Result<Response, ApiError> {
    need(&api, &caller, Action::Inspect, None)?;
    let known: Vec<Tail> = api.registry.state().state.tails().cloned().collect();
    let regions: BTreeSet<RegionCode> = known.iter().map(|t| t.region).collect();
    let mut items = Vec::with_capacity(known.len());
    for region in regions {
        let primary = api.registry.state().state.placement(region).map(|p| p.primary);
        let told = match primary {
            Some(primary) if primary == api.agent.me() => items_here(&api, region).await,
            Some(primary) => ask(&api, &caller, region, primary).await,
            None => Ok(Vec::new()),
        };
        match told {
            Ok(told) if !told.is_empty() => items.extend(told),
            _ => items.extend(known.iter().filter(|t| t.region == region).map(|t| item(t, None))),
        }
    }
    Ok(Answer(Page::whole(items)).into_response())
}

/// The list of one platform as its primary tells it.
async fn ask(
    api: &Api,
    caller: &Caller,
    region: RegionCode,
    primary: NodeId,
) -> Result<Vec<TailItem>, ApiError> {
    let outline = Outline {
        method: Method::GET,
        path_and_query: format!("/v1/platforms/{region}/tails"),
        headers: Vec::new(),
    };
    let answer = forward(api, primary, caller, outline, Bytes::new()).await?;
    let unusable = |detail: String| ApiError::new(codes::PEER_UNREACHABLE, detail);
    if answer.status() != StatusCode::OK {
        return Err(unusable(format!("{primary} answered {}", answer.status())));
    }
    let body = axum::body::to_bytes(answer.into_body(), ANSWER_LEN_MAX).await;
    let body = body.map_err(|e| unusable(e.to_string()))?;
    let page: Page<TailItem> = serde_json::from_slice(&body).map_err(|e| unusable(e.to_string()))?;
    Ok(page.items)
}

/// `GET /v1/platforms/{region}/tails`
pub async fn list(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let region = region(&name)?;
    need(&api, &caller, Action::Inspect, Some(region))?;
    let (outline, forwarded) = (Outline::of(&request), request.headers().contains_key(FORWARDED));
    drop(request);
    match at_primary(&api, region, &caller, outline, forwarded).await? {
        Place::Here(_) => Ok(Answer(Page::whole(items_here(&api, region).await?)).into_response()),
        Place::There(answer) => Ok(answer),
    }
}

/// Which records of a tail are wanted.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct TailQuery {
    limit: Option<usize>,
    page_token: Option<String>,
}

/// `GET /v1/platforms/{region}/tails/{id}`: the tail and its records with what would become of each. The token is the last
/// record shown.
pub async fn show(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path((name, id)): Path<(String, String)>,
    Query(query): Query<TailQuery>,
    request: Request,
) -> Result<Response, ApiError> {
    let region = region(&name)?;
    need(&api, &caller, Action::Inspect, Some(region))?;
    let (outline, forwarded) = (Outline::of(&request), request.headers().contains_key(FORWARDED));
    drop(request);
    let tail = tail_of(&api, region, &id)?;
    let answer = at_primary(&api, region, &caller, outline, forwarded).await?;
    if let Place::There(answer) = answer {
        return Ok(answer);
    }
    let after = match query.page_token.as_deref().filter(|t| !t.is_empty()) {
        None => JournalIndex::ZERO,
        Some(token) => {
            let index =
                token.parse().map_err(|_| ApiError::bad("page_token: it is not a token of this list"))?;
            JournalIndex::from_u64(index)
        }
    };
    let (platform, found) = (platform(&api, region)?, needed(&api, &tail)?);
    let limit = query.limit.unwrap_or(100).clamp(1, PAGE_MAX);
    let shown = counted(&api, &platform, &tail).await?;
    let (items, next) = blocking(&api, move || platform.tail_records(&found, after, limit)).await?;
    let next_page_token = next.map(|index| index.to_string());
    Ok(Answer(TailDetail { tail: shown, items, next_page_token }).into_response())
}

/// `GET /v1/platforms/{region}/tails/{id}/certificates`: given away in the tail and in no ledger here.
pub async fn certificates(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path((name, id)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    let region = region(&name)?;
    need(&api, &caller, Action::Inspect, Some(region))?;
    let tail = tail_of(&api, region, &id)?;
    let (platform, found) = (crate::ca::primary_here(&api, region)?, needed(&api, &tail)?);
    let looking = api.clone();
    let rows = blocking(&api, move || {
        // A revocation is a decision too.
        platform.tail_certificates(&found, &|row| crate::ca::revocation_of(&looking, row).is_some())
    })
    .await?;
    let items: Vec<CertificateItem> = rows
        .iter()
        .map(|row| CertificateItem {
            chain: Some(eport_authority::certificate_pem(&row.certificate)),
            ..crate::certificates_api::item(&api, region, row)
        })
        .collect();
    Ok(Answer(Page::whole(items)).into_response())
}

/// `POST /v1/platforms/{region}/tails/{id}/resubmit`
pub async fn resubmit(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path((name, id)): Path<(String, String)>,
    request: Request,
) -> Result<Response, ApiError> {
    let region = region(&name)?;
    need(&api, &caller, Action::AdministerPlatform, Some(region))?;
    let (outline, forwarded) = (Outline::of(&request), request.headers().contains_key(FORWARDED));
    let body: Bytes = request.extract::<crate::extract::Raw, _>().await.map(|raw| raw.0)?;
    let wanted: TailResubmit = match body.is_empty() {
        true => TailResubmit::default(),
        false => serde_json::from_slice(&body).map_err(|e| ApiError::bad(e.to_string()))?,
    };
    let tail = tail_of(&api, region, &id)?;
    if tail.state == TailState::Discarded {
        return Err(ApiError::new(codes::TAIL_CLOSED, format!("tail {id} was discarded")));
    }
    if let Some(answer) = elsewhere(&api, region, &caller, outline, forwarded, body).await? {
        return Ok(answer);
    }
    let (platform, found) = (platform(&api, region)?, needed(&api, &tail)?);
    let only = wanted.records.iter().map(|n| JournalIndex::from_u64(*n)).collect();
    let (resubmitted_now, present_now, conflicts): (u64, u64, Vec<TailRecord>) =
        platform.resubmit_tail(&found, &only, &caller.name()).await?;
    let tail = counted(&api, &platform, &tail).await?;
    Ok(Answer(TailResubmitted { tail, resubmitted_now, present_now, conflicts }).into_response())
}

/// The primary's answer, when that is another node.
pub(crate) async fn elsewhere(
    api: &Api,
    region: RegionCode,
    caller: &Caller,
    outline: Outline,
    forwarded: bool,
    body: Bytes,
) -> Result<Option<Response>, ApiError> {
    let view = api.registry.state();
    let primary = view.state.placement(region).map(|p| p.primary);
    let primary = primary.ok_or_else(|| ApiError::not_found(format!("platform {region}")))?;
    if primary == api.agent.me() {
        return match api.agent.platform(region).is_some_and(|h| h.status().borrow().is_open()) {
            true => Ok(None),
            false => Err(ApiError::new(codes::FENCED, format!("platform {region} is not open"))),
        };
    }
    if forwarded {
        return Err(ApiError::new(codes::NOT_PRIMARY, format!("{primary} is primary of platform {region}")));
    }
    Ok(Some(forward(api, primary, caller, outline, body).await?))
}

/// `POST /v1/platforms/{region}/tails/{id}/discard`: a command of the registry, with its reason in the audit.
pub async fn discard(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path((name, id)): Path<(String, String)>,
    Json(body): Json<TailDiscard>,
) -> Result<Response, ApiError> {
    let region = region(&name)?;
    need(&api, &caller, Action::AdministerPlatform, Some(region))?;
    let tail = tail_of(&api, region, &id)?;
    if tail.state != TailState::Exported {
        return Err(ApiError::new(codes::TAIL_CLOSED, format!("tail {id} is decided already")));
    }
    if body.reason.len() > REASON_LEN_MAX {
        return Err(ApiError::bad(format!("reason: at most {REASON_LEN_MAX} bytes are allowed")));
    }
    let records = body.records.iter().map(|n| JournalIndex::from_u64(*n)).collect();
    let op = Op::DiscardTail { tail: id.clone(), records, reason: body.reason.clone() };
    let why = format!("tail discard: {}", body.reason);
    propose(&api, command(&api, &caller, &why, op)?).await?;
    // The command may have been applied by the leader before this node.
    api.registry.linearizable(COMMAND_TIMEOUT).await?;
    Ok(Answer(item(&tail_of(&api, region, &id)?, None)).into_response())
}

/// Tails that wait for a decision: nobody may forget them.
pub(crate) fn warnings(state: &Registered, chinese: bool) -> Vec<Warning> {
    let waiting = state.tails().filter(|t| t.state == TailState::Exported);
    let warning = |t: &Tail| {
        let (id, region) = (t.id(), t.region);
        let text = match chinese {
            true => format!("平台 {region} 的分叉尾部 {id} 等待处理：eport tail show {id}"),
            false => {
                format!("diverged tail {id} of platform {region} waits for a decision: eport tail show {id}")
            }
        };
        Warning { code: codes::TAIL_WAITING.to_string(), text }
    };
    waiting.map(warning).collect()
}
