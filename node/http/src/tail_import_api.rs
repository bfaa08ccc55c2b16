//! A diverged tail that an operator brings on a disk: its node is removed or cut off for good. Design §3: no membership is needed.
//!
//! Always holds: the tail must begin at a record of the journal here, is made known by an operator's signed command before a byte is
//! taken, and counts as held only when every record was verified and chained and the file has the digest that was announced.

use crate::Caller;
use crate::auth::need;
use crate::extract::{Query, Raw};
use crate::forward::{FORWARDED, Outline};
use crate::platforms_api::{COMMAND_TIMEOUT, region};
use crate::problem::ApiError;
use crate::signing::{command, propose};
use crate::state::Api;
use crate::tails_api::elsewhere;
use axum::Json as Answer;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, RequestExt};
use bytes::Bytes;
use eport_access::Action;
use eport_agent::PlatformHandle;
use eport_api_types::{Place, TailImport, TailProgress};
use eport_model::{JournalIndex, Position, RegionCode, codes};
use eport_registry::{Op, Tail, TailState};
use eport_store::Received;
use serde::Deserialize;

/// Most bytes of a record file in one request.
pub(crate) const PART_LEN_MAX: usize = 1 << 20;
/// Largest announcement.
const ANNOUNCEMENT_LEN_MAX: usize = 16 << 10;

fn position(place: &Place) -> Position {
    Position { epoch: place.epoch, index: JournalIndex::from_u64(place.index), digest: place.digest }
}

/// The request's body with where it must be answered: here, or what the primary answered.
enum Asked {
    Here(PlatformHandle, Bytes),
    There(Response),
}

async fn asked(
    api: &Api,
    region: RegionCode,
    caller: &Caller,
    len_max: usize,
    request: Request,
) -> Result<Asked, ApiError> {
    let (outline, forwarded) = (Outline::of(&request), request.headers().contains_key(FORWARDED));
    let body = request.extract::<Raw, _>().await?.0;
    if body.len() > len_max {
        return Err(ApiError::new(
            codes::BODY_TOO_LARGE,
            format!("at most {len_max} bytes are taken at once"),
        ));
    }
    if let Some(answer) = elsewhere(api, region, caller, outline, forwarded, body.clone()).await? {
        return Ok(Asked::There(answer));
    }
    let open = api.agent.platform(region);
    let open = open.ok_or_else(|| ApiError::new(codes::FENCED, format!("platform {region} is not open")))?;
    Ok(Asked::Here(open, body))
}

/// `POST /v1/platforms/{region}/tails`: makes a carried tail known. The same once more changes nothing.
pub async fn announce(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let region = region(&name)?;
    need(&api, &caller, Action::AdministerPlatform, Some(region))?;
    let (handle, body) = match asked(&api, region, &caller, ANNOUNCEMENT_LEN_MAX, request).await? {
        Asked::Here(handle, body) => (handle, body),
        Asked::There(answer) => return Ok(answer),
    };
    let wanted: TailImport = serde_json::from_slice(&body).map_err(|e| ApiError::bad(e.to_string()))?;
    let (fork, last) = (position(&wanted.fork), position(&wanted.last));
    begins_here(&handle, fork, last).await?;
    let state = if wanted.documents > 0 { TailState::Exported } else { TailState::Resolved };
    let tail = Tail {
        region,
        epoch: last.epoch,
        fork,
        last,
        node: wanted.node,
        digest: wanted.digest,
        state,
        discarded: Vec::new(),
        at: api.now(),
    };
    let id = tail.id();
    propose(&api, command(&api, &caller, "tail import", Op::RecordTail(tail))?).await?;
    // The command may have been applied by the leader before this node.
    api.registry.linearizable(COMMAND_TIMEOUT).await?;
    take(&api, region, &id, 0, 0, Bytes::new()).await
}

/// The record before a tail is one of this journal, and the tail is none of it.
async fn begins_here(handle: &PlatformHandle, fork: Position, last: Position) -> Result<(), ApiError> {
    let store = handle.store().clone();
    let looked = tokio::task::spawn_blocking(move || {
        Ok::<_, eport_store::Error>((store.position(fork.index)?, store.position(last.index)?))
    });
    let (here, end) = looked.await.map_err(|e| ApiError::new(codes::INTERNAL, e.to_string()))??;
    if here != Some(fork) {
        let detail = format!("the journal here has no record {fork}: the tail does not begin in it");
        return Err(ApiError::new(codes::TAIL_FOREIGN, detail));
    }
    if end == Some(last) {
        let detail = format!("record {last} is in the journal here: nothing of it is a tail");
        return Err(ApiError::new(codes::TAIL_FOREIGN, detail));
    }
    Ok(())
}

/// Where a part belongs.
#[derive(Debug, Deserialize)]
pub struct PartQuery {
    /// Its first byte.
    offset: u64,
    /// Length of the whole record file.
    bytes: u64,
}

/// `PUT /v1/platforms/{region}/tails/{id}/content?offset=&bytes=`: the next part of the record file, at most 1 MiB. A part that does not
/// continue what is there is passed over; the answer says where to go on.
pub async fn content(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path((name, id)): Path<(String, String)>,
    Query(query): Query<PartQuery>,
    request: Request,
) -> Result<Response, ApiError> {
    let region = region(&name)?;
    need(&api, &caller, Action::AdministerPlatform, Some(region))?;
    match asked(&api, region, &caller, PART_LEN_MAX, request).await? {
        Asked::Here(_, body) => take(&api, region, &id, query.bytes, query.offset, body).await,
        Asked::There(answer) => Ok(answer),
    }
}

async fn take(
    api: &Api,
    region: RegionCode,
    id: &str,
    bytes: u64,
    offset: u64,
    part: Bytes,
) -> Result<Response, ApiError> {
    let view = api.registry.state();
    let known = view.state.tail(id).filter(|t| t.region == region).cloned();
    let tail = known.ok_or_else(|| ApiError::not_found(format!("tail {id} of platform {region}")))?;
    let slot = api.readers.clone().try_acquire_owned();
    let _slot = slot.map_err(|_| ApiError::new(codes::OVERLOADED, "too many reads at once"))?;
    let agent = api.agent.clone();
    let taken =
        tokio::task::spawn_blocking(move || agent.take_carried_tail(&tail, bytes, offset, part)).await;
    let taken = taken.map_err(|e| ApiError::new(codes::INTERNAL, e.to_string()))?;
    let received =
        taken.map_err(|reason| ApiError::new(codes::TAIL_NOT_TAKEN, format!("tail {id}: {reason}")))?;
    let (bytes, held) = match received {
        Received::Whole => (bytes, true),
        Received::Bytes(here) => (here, false),
    };
    Ok(Answer(TailProgress { id: id.to_owned(), bytes, held }).into_response())
}
