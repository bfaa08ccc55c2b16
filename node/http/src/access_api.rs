//! The access log of this node, for auditors: lines in pages, files for a verification elsewhere.

use crate::Caller;
use crate::access_log::{read, segments};
use crate::auth::need;
use crate::extract::Query;
use crate::problem::ApiError;
use crate::state::Api;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json as Answer};
use eport_access::{Action, Head, Line, SegmentName, Verifier};
use eport_api_types::{AccessLine, AccessSegment, AccessSegments, Page, rfc3339};
use eport_model::{Timestamp, codes};
use serde::Deserialize;
use std::path::PathBuf;

/// Lines of one answer.
const PAGE: usize = 1_000;

fn failed(error: &std::io::Error) -> ApiError {
    ApiError::new(codes::ACCESS_LOG_FAILED, error.to_string())
}

/// Where a page starts.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct LinesQuery {
    limit: Option<usize>,
    page_token: Option<String>,
}

/// `GET /v1/access-log`: newest first; the token is the oldest number shown.
pub async fn lines(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Query(q): Query<LinesQuery>,
) -> Result<Response, ApiError> {
    need(&api, &caller, Action::ReadAudit, None)?;
    let below = match q.page_token.as_deref().filter(|t| !t.is_empty()) {
        None => u64::MAX,
        Some(token) => token.parse().map_err(|_| ApiError::bad("page_token: a number is needed"))?,
    };
    let limit = q.limit.unwrap_or(100).clamp(1, PAGE);
    let (dir, node) = (api.desk.log.dir().to_owned(), api.agent.me().to_string());
    let found = tokio::task::spawn_blocking(move || newest(&dir, below, limit + 1)).await;
    let mut found =
        found.map_err(|e| ApiError::new(codes::INTERNAL, e.to_string()))?.map_err(|e| failed(&e))?;
    let more = found.len() > limit;
    found.truncate(limit);
    let next_page_token = found.last().filter(|_| more).map(|l| l.seq.to_string());
    let items = found.into_iter().map(|l| line_item(&node, l)).collect();
    Ok(Answer(Page { items, next_page_token }).into_response())
}

/// Whole lines only: the last group may be half written while it is read.
fn whole(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
    bytes.truncate(end);
    bytes
}

/// The newest lines below a number, newest first; a file that is not as written ends where it stops being so.
fn newest(dir: &std::path::Path, below: u64, limit: usize) -> std::io::Result<Vec<Line>> {
    let mut out: Vec<Line> = Vec::new();
    let files = segments(dir)?;
    for (name, path, _) in files.into_iter().rev().filter(|(name, _, _)| name.0 < below) {
        let mut here = Vec::new();
        Verifier::new([]).segment(name, &whole(read(&path)?), |line| {
            if line.seq < below {
                here.push(line);
            }
        });
        out.extend(here.into_iter().rev().take(limit - out.len()));
        if out.len() >= limit {
            break;
        }
    }
    Ok(out)
}

fn line_item(node: &str, l: Line) -> AccessLine {
    let event = serde_json::to_value(l.event).ok().and_then(|v| v.as_str().map(str::to_owned));
    AccessLine {
        node: node.to_owned(),
        seq: l.seq,
        at: rfc3339(Timestamp::from_millis(l.at_ms)),
        event: event.unwrap_or_default(),
        subject: l.subject,
        by: l.by,
        source: l.source,
        behalf: l.behalf,
        request: l.request,
        permission: l.permission,
        code: l.code,
        purpose: l.purpose,
        acting_for: l.acting_for,
        rules: l.rules,
        fields: l.fields,
        rows: l.rows,
        masked: l.masked,
        times: l.times,
    }
}

/// `GET /v1/access-log/segments`
pub async fn list(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
) -> Result<Answer<AccessSegments>, ApiError> {
    need(&api, &caller, Action::ReadAudit, None)?;
    let head = api.desk.log.head();
    let dir = api.desk.log.dir().to_owned();
    let found = tokio::task::spawn_blocking(move || segments(&dir)).await;
    let found = found.map_err(|e| ApiError::new(codes::INTERNAL, e.to_string()))?.map_err(|e| failed(&e))?;
    let view = api.registry.state();
    let published = view.state.access_head(api.agent.me());
    let items = found.into_iter().map(|(name, _, bytes)| AccessSegment { name: name.to_string(), bytes });
    Ok(Answer(AccessSegments {
        node: api.agent.me().to_string(),
        items: items.collect(),
        head: head.to_string(),
        published: published.map(|h| Head { seq: h.seq, digest: h.digest }.to_string()),
    }))
}

/// `GET /v1/access-log/segments/{name}`
pub async fn segment(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Result<Response, ApiError> {
    need(&api, &caller, Action::ReadAudit, None)?;
    // Only a name that a segment has: no other file is reached by it.
    let known: SegmentName = name.parse().map_err(|()| ApiError::not_found(format!("segment {name}")))?;
    let path: PathBuf = api.desk.log.dir().join(known.to_string());
    let bytes = tokio::task::spawn_blocking(move || read(&path)).await;
    let bytes = bytes.map_err(|e| ApiError::new(codes::INTERNAL, e.to_string()))?;
    match bytes {
        Ok(bytes) if bytes.is_empty() => Err(ApiError::not_found(format!("segment {known}"))),
        Ok(bytes) => {
            Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], whole(bytes)).into_response())
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            Err(ApiError::not_found(format!("segment {known}")))
        }
        Err(e) => Err(failed(&e)),
    }
}
