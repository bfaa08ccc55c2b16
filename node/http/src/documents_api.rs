//! Documents: lodge, judge, find, show, follow. Any node takes them; the primary carries them out.
//!
//! Reads go to the primary too, unless the caller asks this node with `forward=false`: then a node that is not primary says
//! who is. So a caller that reads after a write sees it.

use crate::Caller;
use crate::auth::need;
use crate::extract::{Query, Raw};
use crate::forward::{FORWARDED, ForwardError, Outline, forward};
use crate::hosting_api::admit_lines;
use crate::platforms_api::region;
use crate::problem::{ApiError, wants_chinese};
use crate::state::Api;
use axum::Json as Answer;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, RequestExt};
use bytes::{Bytes, BytesMut};
use eport_access::{Action, Permit};
use eport_api_types::{BatchLine, CountAnswer, DocumentQuery, Page};
use eport_journal::Role;
use eport_model::{NodeId, RegionCode, codes};
use eport_platform::{Platform, Scope, SubmitAnswer};
use futures::future::BoxFuture;
use std::time::{Duration, Instant};

/// A request that was forwarded here waits at most this long for this node to learn of the move.
const ARRIVAL_WAIT: Duration = Duration::from_millis(1_500);
/// Pause before a place is looked up again.
const AGAIN: Duration = Duration::from_millis(20);
/// Lines of one batch at most.
const BATCH_LINES_MAX: usize = 100_000;

/// Where a request belongs.
pub(crate) enum Place {
    /// Here: this node is, or may be, primary.
    Here(Platform),
    /// At another node.
    There(NodeId),
}

/// Finds who serves a platform. A node that keeps no copy knows it from the registry alone.
fn place(api: &Api, region: RegionCode) -> Result<Place, ApiError> {
    let view = api.registry.state();
    let placement =
        view.state.placement(region).ok_or_else(|| ApiError::not_found(format!("platform {region}")))?;
    let here = api.platform(region);
    let primary = match &here {
        // The replica may know of a move before this node has applied it.
        Some(platform) => match &platform.status().borrow().role {
            Role::Primary { .. } | Role::Opening { .. } | Role::Handover { .. } => api.agent.me(),
            Role::Backup { primary, .. } => *primary,
            _ => placement.primary,
        },
        None => placement.primary,
    };
    match here {
        Some(platform) if primary == api.agent.me() => Ok(Place::Here(platform)),
        _ if primary == api.agent.me() => {
            Err(ApiError::new(codes::NOT_PRIMARY, format!("platform {region} is not open here yet")))
        }
        _ => Ok(Place::There(primary)),
    }
}

/// 421 with the primary, for callers that go there themselves.
fn misdirected(api: &Api, region: RegionCode, primary: NodeId) -> ApiError {
    let view = api.registry.state();
    let mut error = ApiError::new(codes::NOT_PRIMARY, format!("{primary} is primary of platform {region}"));
    error.problem.primary = Some(primary);
    error.problem.epoch = view.state.placement(region).map(|p| p.epoch);
    error.problem.api = view.state.node(primary).map(|n| format!("https://{}", n.api));
    error
}

pub(crate) fn forwards(headers: &HeaderMap, query: Option<&str>) -> bool {
    !headers.contains_key(FORWARDED) && !query.unwrap_or_default().split('&').any(|p| p == "forward=false")
}

/// Sends a request to whoever is primary, and again when the platform moves meanwhile. The business key makes the repetition
/// of a write safe: the same document is stored once and gets its first answer.
pub(crate) fn send_on<'a>(
    api: &'a Api,
    region: RegionCode,
    to: NodeId,
    caller: &'a Caller,
    outline: Outline,
    may: bool,
    body: Bytes,
) -> BoxFuture<'a, Result<Response, ApiError>> {
    Box::pin(async move {
        if !may {
            return Err(misdirected(api, region, to));
        }
        let deadline = Instant::now() + api.config.write_timeout;
        let mut changes = api.registry.changes();
        let (mut node, mut pause, mut sent_once) = (to, AGAIN, false);
        loop {
            let sent = forward(api, node, caller, outline.clone(), body.clone());
            let moved = async {
                loop {
                    if primary_of(api, region).is_some_and(|p| p != node) || changes.changed().await.is_err()
                    {
                        return;
                    }
                }
            };
            let error = tokio::select! {
                answer = sent => match answer {
                    Ok(response) if response.status() != StatusCode::MISDIRECTED_REQUEST => return Ok(response),
                    Ok(response) if Instant::now() >= deadline => return Ok(response),
                    // It has not applied the move yet, or knows of a later one: look again in a moment.
                    Ok(_) => None,
                    Err(error) => Some(error),
                },
                () = moved => {
                    // The first one may have taken it before it lost the platform.
                    sent_once = true;
                    None
                }
            };
            if let Some(error) = error
                && (Instant::now() >= deadline || !matches!(error, ForwardError::Unreachable { .. }))
            {
                let unknown = || ApiError::new(codes::OUTCOME_UNKNOWN, error.to_string());
                return Err(if sent_once { unknown() } else { ApiError::of(&error) });
            }
            match place(api, region) {
                Ok(Place::There(primary)) if primary != node => (node, pause) = (primary, AGAIN),
                Ok(Place::Here(_)) => {
                    let detail =
                        format!("platform {region} moved here; repeat the request with the same key");
                    return Err(ApiError::new(codes::OUTCOME_UNKNOWN, detail));
                }
                _ => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(AGAIN * 16);
                }
            }
        }
    })
}

fn primary_of(api: &Api, region: RegionCode) -> Option<NodeId> {
    api.registry.state().state.placement(region).map(|p| p.primary)
}

/// Where a request belongs. One that was forwarded here waits a moment for this node to learn that it is primary: the
/// forwarder knew of the move first.
pub(crate) fn settled_place(
    api: &Api,
    region: RegionCode,
    forwarded: bool,
) -> BoxFuture<'_, Result<Place, ApiError>> {
    Box::pin(async move {
        let deadline = Instant::now() + ARRIVAL_WAIT;
        let mut changes = api.registry.changes();
        loop {
            let found = place(api, region);
            let wait = forwarded && !matches!(found, Ok(Place::Here(_))) && Instant::now() < deadline;
            if !wait {
                return found;
            }
            // The replica may turn primary without a further registry change: look again soon in any case.
            let _ = tokio::time::timeout(AGAIN, changes.changed()).await;
        }
    })
}

fn respond(api: &Api, answer: &SubmitAnswer, region: RegionCode, headers: &HeaderMap) -> Response {
    let status = StatusCode::from_u16(answer.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if let Some(document) = answer.document() {
        api.counters.accepted(1);
        return (status, Answer(document)).into_response();
    }
    let mut problem = answer.problem(wants_chinese(headers)).unwrap_or_default();
    if let Some(primary) = problem.primary {
        problem.api = misdirected(api, region, primary).problem.api;
    }
    let mut response = (status, Answer(problem)).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

fn lodger(api: &Api, caller: &Caller, region: RegionCode) -> Result<eport_platform::Caller, ApiError> {
    need(api, caller, Action::LodgeDocument, Some(region))?;
    let subject =
        caller.subject().ok_or_else(|| ApiError::new(codes::CERT_MISSING, "a certificate is needed"))?;
    let own = eport_platform::Caller::from(subject);
    // An agent's document is the enterprise's; the record keeps who brought it.
    Ok(match &caller.behalf {
        Some(enterprise) => eport_platform::Caller { lodged_by: enterprise.clone(), ..own },
        None => own,
    })
}

pub(crate) async fn body(request: Request) -> Result<Bytes, ApiError> {
    request.extract::<Raw, _>().await.map(|Raw(bytes)| bytes)
}

/// `POST /v1/platforms/{region}/documents`
pub async fn lodge(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    lodge_made(api, caller, name, request, |_, _, body| std::future::ready(Ok(body))).await
}

/// Lodges what `make` makes of the body, at the primary; elsewhere the request goes on as it came.
pub(crate) async fn lodge_made<F, M>(
    api: Api,
    caller: Caller,
    name: String,
    request: Request,
    make: F,
) -> Result<Response, ApiError>
where
    F: FnOnce(Platform, eport_platform::Caller, Bytes) -> M,
    M: Future<Output = Result<Bytes, ApiError>>,
{
    let region = region(&name)?;
    let lodger = lodger(&api, &caller, region)?;
    let (outline, headers) = (Outline::of(&request), request.headers().clone());
    let may = forwards(&headers, request.uri().query());
    let body = body(request).await?;
    match settled_place(&api, region, headers.contains_key(FORWARDED)).await? {
        Place::There(node) => send_on(&api, region, node, &caller, outline, may, body).await,
        Place::Here(platform) => {
            let document = make(platform.clone(), lodger.clone(), body.clone()).await?;
            match platform.submit(&lodger, &document, None).await {
                // The platform moved while the request waited: it goes to the new primary as it came.
                SubmitAnswer::Redirect { primary, .. } if may && primary != api.agent.me() => {
                    send_on(&api, region, primary, &caller, outline, may, body).await
                }
                SubmitAnswer::Redirect { primary, .. } if primary == api.agent.me() => Err(ApiError::new(
                    codes::FENCED,
                    format!("platform {region} is not open here; nothing was stored"),
                )),
                answer => Ok(respond(&api, &answer, region, &headers)),
            }
        }
    }
}

/// `POST /v1/platforms/{region}/documents:check`
pub async fn check(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let region = region(&name)?;
    let lodger = lodger(&api, &caller, region)?;
    let (outline, headers) = (Outline::of(&request), request.headers().clone());
    let may = forwards(&headers, request.uri().query());
    let body = body(request).await?;
    match settled_place(&api, region, headers.contains_key(FORWARDED)).await? {
        Place::There(node) => send_on(&api, region, node, &caller, outline, may, body).await,
        Place::Here(platform) => match platform.check(&lodger, &body).await {
            Ok(warnings) => {
                let warnings: Vec<_> = warnings
                    .into_iter()
                    .map(|w| serde_json::json!({ "path": w.path, "code": w.code, "detail": w.detail }))
                    .collect();
                Ok(Answer(serde_json::json!({ "ok": true, "warnings": warnings })).into_response())
            }
            Err(answer) => Ok(respond(&api, &answer, region, &headers)),
        },
    }
}

/// `POST /v1/platforms/{region}/documents:batch`
pub async fn batch(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let region = region(&name)?;
    let lodger = lodger(&api, &caller, region)?;
    let outline = Outline::of(&request);
    let may = forwards(request.headers(), request.uri().query());
    let forwarded = request.headers().contains_key(FORWARDED);
    let body = body(request).await?;
    admit_lines(&api, region, memchr::memchr_iter(b'\n', body.trim_ascii_end()).count() + 1)?;
    let platform = match settled_place(&api, region, forwarded).await? {
        Place::There(node) => return batch_elsewhere(&api, region, node, &caller, outline, may, body).await,
        Place::Here(platform) => platform,
    };
    let lines = lines(&body)?;
    let answers = platform.submit_batch(&lodger, &lines).await;
    let moved: Vec<usize> =
        (0..answers.len()).filter(|i| matches!(answers[*i], SubmitAnswer::Redirect { .. })).collect();
    let target = moved.first().and_then(|i| match &answers[*i] {
        SubmitAnswer::Redirect { primary, .. } => Some(*primary),
        _ => None,
    });
    let stored = answers.iter().filter(|a| matches!(a, SubmitAnswer::Accepted(_))).count();
    api.counters.accepted(stored as u64);
    let mut out: Vec<BatchLine> = answers.into_iter().zip(1..).map(|(a, line)| a.into_line(line)).collect();
    if let Some(primary) = target.filter(|p| may && *p != api.agent.me()) {
        forward_lines(&api, primary, &caller, outline, &lines, &moved, &mut out).await;
    }
    Ok(ndjson(&out))
}

/// A batch that another node carries out. When the platform moves in the middle, that node may not forward what came to it
/// by forward: it answers 421 for those lines, and this node sends them on.
async fn batch_elsewhere(
    api: &Api,
    region: RegionCode,
    node: NodeId,
    caller: &Caller,
    outline: Outline,
    may: bool,
    body: Bytes,
) -> Result<Response, ApiError> {
    let response = send_on(api, region, node, caller, outline.clone(), may, body.clone()).await?;
    if response.status() != StatusCode::OK {
        return Ok(response);
    }
    let (parts, answered) = response.into_parts();
    let whole = axum::body::to_bytes(answered, api.config.body_len_max.saturating_mul(4)).await;
    let whole = whole.map_err(|e| ApiError::new(codes::OUTCOME_UNKNOWN, e.to_string()))?;
    let read = |l: &[u8]| serde_json::from_slice::<BatchLine>(l).ok();
    let mut out: Vec<BatchLine> =
        whole.split(|b| *b == b'\n').filter(|l| !l.is_empty()).filter_map(read).collect();
    let moved: Vec<usize> = (0..out.len()).filter(|i| out[*i].status == 421).collect();
    let next = primary_of(api, region).filter(|p| *p != node);
    match next {
        Some(primary) if !moved.is_empty() => {
            let lines = lines(&body)?;
            if lines.len() == out.len() {
                forward_lines(api, primary, caller, outline, &lines, &moved, &mut out).await;
            }
            Ok(ndjson(&out))
        }
        _ => Ok(Response::from_parts(parts, Body::from(whole))),
    }
}

/// Sends the lines that were not judged here to the new primary and puts its answers in their places.
async fn forward_lines(
    api: &Api,
    primary: NodeId,
    caller: &Caller,
    outline: Outline,
    lines: &[Bytes],
    moved: &[usize],
    out: &mut [BatchLine],
) {
    let mut body = BytesMut::new();
    for i in moved {
        body.extend_from_slice(&lines[*i]);
        body.extend_from_slice(b"\n");
    }
    let told = match forward(api, primary, caller, outline, body.freeze()).await {
        Ok(response) if response.status() == StatusCode::OK => {
            let whole =
                axum::body::to_bytes(response.into_body(), api.config.body_len_max).await.unwrap_or_default();
            // Placed by their own numbers: an unreadable line must not shift the others.
            let read = |l: &[u8]| serde_json::from_slice::<BatchLine>(l).ok();
            let told = whole.split(|b| *b == b'\n').filter_map(read).map(|l| (l.line, l));
            told.collect::<std::collections::BTreeMap<u64, BatchLine>>()
        }
        Ok(_) | Err(ForwardError::Unreachable { .. }) => return,
        Err(ForwardError::Unknown { .. }) => std::collections::BTreeMap::new(),
    };
    for (n, i) in moved.iter().enumerate() {
        out[*i] = match told.get(&(n as u64 + 1)) {
            Some(answer) => BatchLine { line: *i as u64 + 1, ..answer.clone() },
            // Sent, and no answer: only repeating the line tells.
            None => BatchLine {
                line: *i as u64 + 1,
                status: 503,
                code: Some(codes::OUTCOME_UNKNOWN.to_string()),
                outcome: Some("unknown".into()),
                ..BatchLine::default()
            },
        };
    }
}

/// The lines of a batch. Blank space at the end is nothing; an empty line in between is an error, because it would shift the
/// numbers of the answer.
fn lines(body: &Bytes) -> Result<Vec<Bytes>, ApiError> {
    let body = body.slice(..body.trim_ascii_end().len());
    let mut out = Vec::new();
    let mut start = 0;
    let ends = memchr::memchr_iter(b'\n', &body).chain([body.len()]);
    for end in ends.filter(|_| !body.is_empty()) {
        let line = body.slice(start..end);
        start = end + 1;
        if line.trim_ascii().is_empty() {
            return Err(ApiError::new(codes::DOCUMENT_MALFORMED, format!("line {} is empty", out.len() + 1)));
        }
        out.push(line);
        if out.len() > BATCH_LINES_MAX {
            return Err(ApiError::new(codes::BODY_TOO_LARGE, format!("more than {BATCH_LINES_MAX} lines")));
        }
    }
    Ok(out)
}

fn ndjson(lines: &[BatchLine]) -> Response {
    let mut body = Vec::with_capacity(lines.len() * 256);
    for line in lines {
        // Plain fields only: writing them to memory cannot fail.
        if serde_json::to_writer(&mut body, line).is_ok() {
            body.push(b'\n');
        }
    }
    ([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from(body)).into_response()
}

/// Reads see what was answered before: a primary that has not applied what it inherited waits, one that was fenced says so.
pub(crate) async fn open_for_reads(api: &Api, platform: &Platform) -> Result<(), ApiError> {
    let mut status = platform.status();
    let open = status
        .wait_for(|s| matches!(s.role, Role::Primary { .. } | Role::Handover { .. } | Role::Fenced { .. }));
    let role = match tokio::time::timeout(api.config.write_timeout, open).await {
        Ok(Ok(status)) => status.role.clone(),
        _ => return Err(ApiError::new(codes::OVERLOADED, "the platform is opening here; nothing was read")),
    };
    match role {
        Role::Fenced { .. } => Err(ApiError::new(codes::FENCED, "this node may not answer for the platform")),
        _ => Ok(()),
    }
}

/// What a caller has that sees its own only: an agency its parts, everybody else what was lodged in its name.
pub(crate) fn own_scope(caller: &Caller) -> Scope {
    match caller.subject() {
        Some(eport_model::Subject::Agency { code, .. }) => Scope::Agency(code.clone()),
        _ => Scope::Own(caller.lodger().unwrap_or_default()),
    }
}

/// Runs a read at the primary, or here when this node was asked and is it.
pub(crate) async fn read<T, F>(
    api: Api,
    caller: Caller,
    name: String,
    request: Request,
    action: Action,
    run: F,
) -> Result<Response, ApiError>
where
    F: FnOnce(&Platform, Scope) -> Result<T, ApiError> + Send + 'static,
    T: IntoResponse + Send + 'static,
{
    let region = region(&name)?;
    let permit = need(&api, &caller, action, Some(region))?;
    let may = forwards(request.headers(), request.uri().query());
    let forwarded = request.headers().contains_key(FORWARDED);
    match settled_place(&api, region, forwarded).await? {
        Place::There(node) => {
            send_on(&api, region, node, &caller, Outline::of(&request), may, Bytes::new()).await
        }
        Place::Here(platform) => {
            let scope = match permit {
                Permit::All => Scope::All,
                Permit::OwnOnly => own_scope(&caller),
            };
            open_for_reads(&api, &platform).await?;
            platform.serve();
            // Replication shares the blocking threads: readers may take some of them, never all.
            let slot = api.readers.clone().try_acquire_owned();
            let _slot = slot.map_err(|_| ApiError::new(codes::OVERLOADED, "too many reads at once"))?;
            // RocksDB reads may touch the disk: they stay off the async threads.
            let done = tokio::task::spawn_blocking(move || run(&platform, scope)).await;
            done.map_err(|e| ApiError::new(codes::INTERNAL, e.to_string()))?.map(IntoResponse::into_response)
        }
    }
}

/// `GET /v1/platforms/{region}/documents`
pub async fn list(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    Query(query): Query<DocumentQuery>,
    request: Request,
) -> Result<Response, ApiError> {
    read(api, caller, name, request, Action::ListDocuments, move |p, scope| {
        Ok(Answer(p.list(&query, &scope)?))
    })
    .await
}

/// `GET /v1/platforms/{region}/documents:count`
pub async fn count(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    Query(query): Query<DocumentQuery>,
    request: Request,
) -> Result<Response, ApiError> {
    let run = move |p: &Platform, scope: Scope| Ok(Answer(CountAnswer { count: p.count(&query, &scope)? }));
    read(api, caller, name, request, Action::ListDocuments, run).await
}

/// The document exists and the caller may see it; otherwise both look the same to him.
pub(crate) fn visible(p: &Platform, scope: &Scope, doc_id: &str) -> Result<(), ApiError> {
    match p.visible(scope, doc_id)? {
        true => Ok(()),
        false => Err(ApiError::not_found(format!("document {doc_id}"))),
    }
}

/// `GET /v1/platforms/{region}/documents/{doc_id}`
pub async fn show(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path((name, doc_id)): Path<(String, String)>,
    request: Request,
) -> Result<Response, ApiError> {
    read(api, caller, name, request, Action::ListDocuments, move |p, scope| {
        let doc_id = p.number(&doc_id)?;
        visible(p, &scope, &doc_id)?;
        p.show_to(&scope, &doc_id)?
            .map(Answer)
            .ok_or_else(|| ApiError::not_found(format!("document {doc_id}")))
    })
    .await
}

/// `GET /v1/platforms/{region}/documents/{doc_id}/versions`
pub async fn versions(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path((name, doc_id)): Path<(String, String)>,
    request: Request,
) -> Result<Response, ApiError> {
    read(api, caller, name, request, Action::ListDocuments, move |p, scope| {
        let doc_id = p.number(&doc_id)?;
        visible(p, &scope, &doc_id)?;
        Ok(Answer(Page::whole(p.versions(&doc_id)?)))
    })
    .await
}

/// `GET /v1/platforms/{region}/documents/{doc_id}/bodies`: by place and digest, never their content. An operator's.
pub async fn bodies(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path((name, doc_id)): Path<(String, String)>,
    request: Request,
) -> Result<Response, ApiError> {
    read(api, caller, name, request, Action::AdministerPlatform, move |p, _| {
        let doc_id = p.number(&doc_id)?;
        let bodies = p.bodies(&doc_id)?;
        if bodies.is_empty() {
            return Err(ApiError::not_found(format!("document {doc_id}")));
        }
        Ok(Answer(Page::whole(bodies)))
    })
    .await
}

/// `GET /v1/platforms/{region}/documents/{doc_id}/receipts`
pub async fn receipts(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path((name, doc_id)): Path<(String, String)>,
    request: Request,
) -> Result<Response, ApiError> {
    read(api, caller, name, request, Action::ListDocuments, move |p, scope| {
        let doc_id = p.number(&doc_id)?;
        visible(p, &scope, &doc_id)?;
        Ok(Answer(Page::whole(p.receipts_to(&scope, &doc_id)?)))
    })
    .await
}
