//! Events of a platform for subscribers: page by page with a wait, or as an event stream that any node serves.
//!
//! What always holds: an event is sent after its record is committed and applied, in the order of the journal, and a stream goes on
//! where its reader was, also over a move of the platform; whoever may not read any more is told so and the stream ends.

use crate::Caller;
use crate::auth::need;
use crate::documents_api::{Place, forwards, open_for_reads, send_on, settled_place};
use crate::extract::Query;
use crate::forward::{FORWARDED, Outline};
use crate::platforms_api::region;
use crate::problem::ApiError;
use crate::sharing;
use crate::state::Api;
use axum::Extension;
use axum::Json as Answer;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::sse::{Event as Frame, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use eport_access::Action;
use eport_api_types::{Event, Page};
use eport_model::{RegionCode, codes};
use eport_sharing::{Purpose, SharingAction};
use futures::stream::{self, Stream, StreamExt};
use serde::Deserialize;
use serde_json::json;
use std::convert::Infallible;
use std::time::Duration;

/// Events of a page of a stream.
const PAGE: usize = 500;
/// Longest wait of a page of a stream, seconds: the forward to another node has a time of its own.
const PAGE_WAIT_S: f64 = 5.0;
/// Largest page that another node sends.
const PAGE_LEN_MAX: usize = 4 << 20;
/// How long a stream waits before it asks again after a failure that may pass.
const AGAIN: Duration = Duration::from_secs(1);
/// Failures one after the other, after which a stream ends; its reader comes back by itself.
const FAILURES_MAX: u32 = 60;
/// How often a silent stream shows that it lives.
const ALIVE: Duration = Duration::from_secs(15);

/// Where a subscriber goes on, and how long it waits.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct EventQuery {
    after: u64,
    limit: Option<usize>,
    wait: Option<f64>,
}

/// `GET /v1/platforms/{region}/events`; with `Accept: text/event-stream` as a stream that goes on after `Last-Event-ID`.
pub async fn events(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    Query(query): Query<EventQuery>,
    request: Request,
) -> Result<Response, ApiError> {
    let region = region(&name)?;
    need(&api, &caller, Action::ReadEvents, Some(region))?;
    let stated = sharing::stated(request.headers(), request.uri())?;
    sharing::reader(&api, &caller, region, stated)?;
    if wants_stream(request.headers()) {
        let after = last_seen(request.headers())?.unwrap_or(query.after);
        let follower = Follower { api, caller, region, stated, after, failures: 0, ended: false };
        return Ok(Sse::new(follower.frames()).keep_alive(KeepAlive::new().interval(ALIVE)).into_response());
    }
    let may = forwards(request.headers(), request.uri().query());
    let forwarded = request.headers().contains_key(FORWARDED);
    page(&api, &caller, (region, stated), &query, Outline::of(&request), may, forwarded).await
}

fn wants_stream(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or_default();
    accept.split(',').any(|part| part.trim().split(';').next() == Some("text/event-stream"))
}

fn last_seen(headers: &HeaderMap) -> Result<Option<u64>, ApiError> {
    let Some(id) = headers.get("last-event-id") else { return Ok(None) };
    let number = id.to_str().ok().and_then(|text| text.parse().ok());
    number.map(Some).ok_or_else(|| ApiError::bad("Last-Event-ID: the number of a record is needed"))
}

async fn page(
    api: &Api,
    caller: &Caller,
    (region, stated): (RegionCode, Option<Purpose>),
    query: &EventQuery,
    outline: Outline,
    may: bool,
    forwarded: bool,
) -> Result<Response, ApiError> {
    need(api, caller, Action::ReadEvents, Some(region))?;
    let reader = sharing::reader(api, caller, region, stated)?;
    match settled_place(api, region, forwarded).await? {
        Place::There(node) => send_on(api, region, node, caller, outline, may, Bytes::new()).await,
        Place::Here(platform) => {
            let wait = Duration::try_from_secs_f64(query.wait.unwrap_or(0.0)).unwrap_or_default();
            open_for_reads(api, &platform).await?;
            platform.serve();
            // Rules and consents in force now: whoever may not read any more is told of nothing more.
            let scope = sharing::scope(&platform, reader, SharingAction::Read)?;
            let events = platform.events(query.after, query.limit.unwrap_or(100), wait, &scope).await?;
            let asked = format!("GET /v1/platforms/{region}/events");
            let line = scope.viewer().and_then(|v| sharing::line(caller, &asked, region, v));
            line.filter(|_| !events.is_empty()).into_iter().for_each(|line| api.desk.log.write(line));
            Ok(Answer(Page::whole(events)).into_response())
        }
    }
}

/// A reader of a stream.
struct Follower {
    api: Api,
    caller: Caller,
    region: RegionCode,
    stated: Option<Purpose>,
    after: u64,
    failures: u32,
    ended: bool,
}

impl Follower {
    fn frames(self) -> impl Stream<Item = Result<Frame, Infallible>> {
        let pages = stream::unfold(self, |mut f| async move {
            if f.ended {
                return None;
            }
            let frames = match f.next_page().await {
                Ok(events) => {
                    f.failures = 0;
                    f.after = events.last().map_or(f.after, |e| e.index);
                    events.iter().map(frame).collect()
                }
                Err(error) if error.problem.retryable && f.failures < FAILURES_MAX => {
                    f.failures += 1;
                    tokio::time::sleep(AGAIN).await;
                    Vec::new()
                }
                Err(error) => {
                    f.ended = true;
                    vec![problem(&error)]
                }
            };
            Some((stream::iter(frames.into_iter().map(Ok)), f))
        });
        pages.flatten()
    }

    async fn next_page(&self) -> Result<Vec<Event>, ApiError> {
        let query = EventQuery { after: self.after, limit: Some(PAGE), wait: Some(PAGE_WAIT_S) };
        let mut path_and_query = format!(
            "/v1/platforms/{}/events?after={}&limit={PAGE}&wait={PAGE_WAIT_S}",
            self.region, self.after
        );
        if let Some(purpose) = self.stated {
            path_and_query.push_str(&format!("&purpose={purpose}"));
        }
        let outline = Outline { method: Method::GET, path_and_query, headers: Vec::new() };
        let answer =
            page(&self.api, &self.caller, (self.region, self.stated), &query, outline, true, false).await?;
        let status = answer.status();
        let unusable = |detail: String| ApiError::new(codes::PEER_UNREACHABLE, detail);
        let body = axum::body::to_bytes(answer.into_body(), PAGE_LEN_MAX).await;
        let body = body.map_err(|e| unusable(e.to_string()))?;
        if status != StatusCode::OK {
            return Err(ApiError::passed_on(&body));
        }
        let page: Page<Event> = serde_json::from_slice(&body).map_err(|e| unusable(e.to_string()))?;
        Ok(page.items)
    }
}

fn frame(event: &Event) -> Frame {
    let frame = Frame::default().id(event.index.to_string()).event(event.kind.clone());
    // Our own type always becomes JSON; if it did not, the reader sees the number and asks for the record.
    frame.json_data(event).unwrap_or_else(|_| Frame::default().id(event.index.to_string()).data("{}"))
}

/// The last frame of a stream that cannot go on.
fn problem(error: &ApiError) -> Frame {
    let told = json!({ "code": error.problem.code, "detail": error.problem.detail });
    Frame::default().event("problem").data(told.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn only_who_asks_for_a_stream_gets_one() {
        assert!(wants_stream(&headers(&[("accept", "text/event-stream")])));
        assert!(wants_stream(&headers(&[("accept", "application/json, text/event-stream;q=0.5")])));
        assert!(!wants_stream(&headers(&[("accept", "*/*")])) && !wants_stream(&HeaderMap::new()));
    }

    #[test]
    fn a_stream_goes_on_after_the_last_event_that_was_seen() {
        assert_eq!(last_seen(&headers(&[("last-event-id", "17")])).unwrap(), Some(17));
        assert_eq!(last_seen(&HeaderMap::new()).unwrap(), None);
        assert!(last_seen(&headers(&[("last-event-id", "yesterday")])).is_err());
    }
}
