//! Journals: head, export, comparison of state digests.

use crate::Caller;
use crate::auth::need;
use crate::forward::{FORWARDED, Outline, forward};
use crate::platforms_api::region;
use crate::problem::ApiError;
use crate::state::Api;
use axum::Extension;
use axum::Json as Answer;
use axum::extract::{Path, Request, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use eport_access::Action;
use eport_agent::PlatformHandle;
use eport_api_types::{JournalHead, JournalSigned, PlatformVerify, ReplicaDigest};
use eport_journal::Outcome;
use eport_model::{Digest, Draft, JournalIndex, NodeId, RecordKind, RegionCode, SIGNED_HEAD_SINCE, codes};
use futures::future::BoxFuture;
use rand::RngCore;
use std::time::Duration;

/// How long all holders get to reach the mark and hash their rows.
const VERIFY_TIMEOUT: Duration = Duration::from_secs(60);

/// Exports on disk at once.
const EXPORTS_KEPT: usize = 2;

pub(crate) enum Place {
    Here(PlatformHandle),
    There(Response),
}

/// The open primary's handle, or the primary's answer to the forwarded request.
pub(crate) fn at_primary<'a>(
    api: &'a Api,
    region: RegionCode,
    caller: &'a Caller,
    outline: Outline,
    forwarded: bool,
) -> BoxFuture<'a, Result<Place, ApiError>> {
    Box::pin(async move {
        let view = api.registry.state();
        let placement =
            view.state.placement(region).ok_or_else(|| ApiError::not_found(format!("platform {region}")))?;
        if placement.primary == api.agent.me() {
            let handle = api.agent.platform(region).filter(|h| h.status().borrow().is_open());
            return handle
                .map(Place::Here)
                .ok_or_else(|| ApiError::new(codes::FENCED, format!("platform {region} is not open")));
        }
        if forwarded {
            return Err(ApiError::new(
                codes::NOT_PRIMARY,
                format!("{} is primary of platform {region}", placement.primary),
            ));
        }
        Ok(Place::There(forward(api, placement.primary, caller, outline, Bytes::new()).await?))
    })
}

/// A request without a body, allowed or refused, and at the primary.
async fn asked(
    api: &Api,
    region: RegionCode,
    caller: &Caller,
    action: Action,
    request: Request,
) -> Result<Place, ApiError> {
    let (outline, forwarded) = (Outline::of(&request), request.headers().contains_key(FORWARDED));
    drop(request);
    need(api, caller, action, Some(region))?;
    at_primary(api, region, caller, outline, forwarded).await
}

/// `GET /v1/platforms/{region}/journal/head`
pub async fn head(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let region = region(&name)?;
    let handle = match asked(&api, region, &caller, Action::ReadFederation, request).await? {
        Place::Here(handle) => handle,
        Place::There(answer) => return Ok(answer),
    };
    let committed = handle.status().borrow().committed;
    let position = handle.store().position(committed)?.unwrap_or_default();
    let head = JournalHead {
        region,
        epoch: position.epoch,
        index: position.index.as_u64(),
        digest: position.digest,
    };
    Ok(Answer(head).into_response())
}

/// `POST /v1/platforms/{region}/journal/signatures`: the primary's node vouches for the newest committed record.
pub async fn sign(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let region = region(&name)?;
    if let Place::There(answer) = asked(&api, region, &caller, Action::AdministerPlatform, request).await? {
        return Ok(answer);
    }
    crate::ca::readable(&api, region, SIGNED_HEAD_SINCE)?;
    let (covers, record) = api.agent.sign_head(region).await.ok_or_else(|| {
        ApiError::new(codes::WRITE_BLOCKED, "the signature was not confirmed by the backups in time")
    })?;
    let (epoch, index, digest) = (covers.epoch, covers.index.as_u64(), covers.digest);
    let answer = JournalSigned { region, epoch, index, digest, record: record.index.as_u64() };
    Ok(Answer(answer).into_response())
}

/// `POST /v1/platforms/{region}/verify`: a checksum mark in the journal, then everybody's digest at exactly that record. With
/// `?scrub=true` every holder also looks through its copy now.
pub async fn verify(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let region = region(&name)?;
    let scrub = match request.uri().query().unwrap_or_default() {
        "" | "scrub=false" => false,
        "scrub=true" => true,
        _ => return Err(ApiError::bad("scrub: true or false is needed")),
    };
    let handle = match asked(&api, region, &caller, Action::AdministerPlatform, request).await? {
        Place::Here(handle) => handle,
        Place::There(answer) => return Ok(answer),
    };
    let draft = Draft::bare(RecordKind::ChecksumMark, api.now());
    let pending =
        handle.propose(vec![draft], None).map_err(|e| ApiError::new(codes::OVERLOADED, e.to_string()))?;
    let blocked =
        || ApiError::new(codes::WRITE_BLOCKED, "the checksum mark was not confirmed by the backups in time");
    let Some(pending) = pending.into_iter().next() else { return Err(blocked()) };
    let index = match tokio::time::timeout(VERIFY_TIMEOUT, pending.outcome).await {
        Ok(Ok(Outcome::Done { position, .. })) => position.index,
        _ => return Err(blocked()),
    };
    let view = api.registry.state();
    let holders: Vec<NodeId> = view
        .state
        .placement(region)
        .map(|p| std::iter::once(p.primary).chain(p.backups.iter().map(|b| b.node)).collect())
        .unwrap_or_default();
    let mine = wait_for_own(&handle, index)
        .await
        .ok_or_else(|| ApiError::new(codes::INTERNAL, "no digest in time"))?;
    let mut replicas = Vec::new();
    let end = tokio::time::Instant::now() + VERIFY_TIMEOUT;
    for node in holders {
        let digest = if node == api.agent.me() {
            Some(mine)
        } else {
            wait_for_other(&api, node, region, index, end).await
        };
        replicas.push(ReplicaDigest { node, digest, equal: digest == Some(mine) });
    }
    // A holder that cannot be asked is no difference, but it is no proof either: it is shown without a digest.
    let ok = replicas.iter().all(|r| r.equal || r.digest.is_none()) && replicas.iter().any(|r| r.equal);
    let scrubbing = if scrub { api.agent.scrub_everywhere(region).await } else { Vec::new() };
    let copies = crate::federation::one_platform(&api, region).map(|p| p.copies).unwrap_or_default();
    let answer = PlatformVerify { region, index: index.as_u64(), ok, replicas, scrubbing, copies };
    Ok(Answer(answer).into_response())
}

async fn wait_for_own(handle: &PlatformHandle, index: JournalIndex) -> Option<Digest> {
    let mut status = handle.status();
    let reached = status.wait_for(|s| s.state_digest.is_some_and(|d| d.index >= index));
    let status = tokio::time::timeout(VERIFY_TIMEOUT, reached).await.ok()?.ok()?;
    status.state_digest.filter(|d| d.index == index).map(|d| d.digest)
}

/// Another holder's digest as its soft state tells it; `None` when it is away or does not get there in time.
async fn wait_for_other(
    api: &Api,
    node: NodeId,
    region: RegionCode,
    index: JournalIndex,
    end: tokio::time::Instant,
) -> Option<Digest> {
    loop {
        if !api.transport.connected().borrow().contains(&node) {
            return None;
        }
        if let Some((_, soft)) = api.agent.board().platform(node, region)
            && let Some((at, digest)) = soft.state_digest
            && at >= index
        {
            return (at == index).then_some(digest);
        }
        if tokio::time::Instant::now() >= end {
            return None;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// `POST /v1/platforms/{region}/journal/exports`: from this node's copy, or the primary's when it keeps none.
pub async fn export(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let region = region(&name)?;
    let (outline, forwarded) = (Outline::of(&request), request.headers().contains_key(FORWARDED));
    let from = export_from(request.uri().query())?;
    drop(request);
    need(&api, &caller, Action::AdministerPlatform, Some(region))?;
    let Some(handle) = api.agent.platform(region) else {
        return match at_primary(&api, region, &caller, outline, forwarded).await? {
            Place::There(answer) => Ok(answer),
            Place::Here(_) => Err(ApiError::not_found(format!("journal of platform {region} on this node"))),
        };
    };
    let slot = api.exporting.clone().try_acquire_owned();
    let _slot =
        slot.map_err(|_| ApiError::new(codes::OVERLOADED, "another export is being written on this node"))?;
    let mut id = [0u8; 8];
    rand::rng().fill_bytes(&mut id);
    let id = id.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let dir = api.config.exports.join(&id);
    let all = api.config.exports.clone();
    let made = tokio::task::spawn_blocking(move || {
        tidy(&all);
        let manifest = handle.store().export(&dir, from).inspect_err(|_| {
            // Half an export is of no use and may fill the disk.
            let _ = std::fs::remove_dir_all(&dir);
        })?;
        let mut files: Vec<(String, u64)> = Vec::new();
        for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
            let len = entry.metadata().map(|m| m.len()).unwrap_or(0);
            files.push((entry.file_name().to_string_lossy().into_owned(), len));
        }
        files.sort();
        Ok::<_, eport_store::Error>((manifest, files))
    })
    .await
    .map_err(|e| ApiError::new(codes::INTERNAL, e.to_string()))?;
    let (manifest, files) = made?;
    let through = manifest.segments.last().map(|s| s.last);
    let files: Vec<_> =
        files.into_iter().map(|(name, bytes)| serde_json::json!({ "name": name, "bytes": bytes })).collect();
    Ok(Answer(serde_json::json!({ "id": id, "region": region, "through": through, "files": files }))
        .into_response())
}

/// The first record of an export: `?from=N`, else 1.
fn export_from(query: Option<&str>) -> Result<JournalIndex, ApiError> {
    let Some(query) = query.filter(|q| !q.is_empty()) else { return Ok(JournalIndex::from_u64(1)) };
    let number = query.strip_prefix("from=").and_then(|n| n.parse::<u64>().ok());
    number.map(JournalIndex::from_u64).ok_or_else(|| ApiError::bad("from: the number of a record is needed"))
}

/// Exports wait for whoever asked; the newest stays until the next but one, so that copies never pile up.
fn tidy(all: &std::path::Path) {
    let mut found: Vec<_> = std::fs::read_dir(all)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|e| Some((e.metadata().ok()?.modified().ok()?, e.path())))
        .collect();
    found.sort();
    for (_, old) in found.iter().rev().skip(EXPORTS_KEPT - 1) {
        if let Err(error) = std::fs::remove_dir_all(old) {
            tracing::warn!(path = %old.display(), %error, "an old export stays");
        }
    }
}

/// `GET /v1/platforms/{region}/journal/exports/{id}/{file}`
pub async fn export_file(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path((name, id, file)): Path<(String, String, String)>,
    request: Request,
) -> Result<Response, ApiError> {
    let region = region(&name)?;
    let (outline, forwarded) = (Outline::of(&request), request.headers().contains_key(FORWARDED));
    drop(request);
    need(&api, &caller, Action::AdministerPlatform, Some(region))?;
    let plain = |s: &str| {
        !s.is_empty()
            && s.len() <= 128
            && s.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
            && !s.starts_with('.')
    };
    if !plain(&id) || !plain(&file) {
        return Err(ApiError::bad("export id and file are plain names"));
    }
    if api.agent.platform(region).is_none()
        && let Place::There(answer) = at_primary(&api, region, &caller, outline, forwarded).await?
    {
        return Ok(answer);
    }
    let path = api.config.exports.join(&id).join(&file);
    let bytes = tokio::fs::read(&path)
        .await
        .map_err(|_| ApiError::not_found(format!("file {file} of export {id}")))?;
    Ok(([(header::CONTENT_TYPE, "application/octet-stream")], bytes).into_response())
}
