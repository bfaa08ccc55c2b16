//! Agencies: who they are, their inboxes, their receipts. An agency asks any node; the primary of the platform that it is attached to
//! carries it out.

use crate::Caller;
use crate::auth::need;
use crate::documents_api::{Place, body, forwards, open_for_reads, send_on, settled_place};
use crate::extract::Query;
use crate::forward::{FORWARDED, Outline};
use crate::problem::ApiError;
use crate::state::Api;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json as Answer};
use bytes::Bytes;
use eport_access::Action;
use eport_api_types::{AgencyItem, InboxAck, Page, ReceiptAnswer, ReceiptRequest, from_rfc3339};
use eport_exchange::{Receipt, ReceiptKind};
use eport_model::{Digest, RegionCode, Subject, codes};
use eport_platform::{ExchangeError, Platform};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// Longest wait of a request that another node carries out, seconds: the forward has a time of its own.
const FORWARDED_WAIT_S: f64 = 5.0;
/// Messages of one answer without `limit`.
const LIMIT: usize = 100;

/// `GET /v1/agencies`
pub async fn list(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
) -> Result<Response, ApiError> {
    need(&api, &caller, Action::ReadFederation, None)?;
    let view = api.registry.state();
    let mut found: BTreeMap<String, AgencyItem> = BTreeMap::new();
    for user in view.state.users() {
        let Subject::Agency { code, .. } = &user.subject else { continue };
        let item = found.entry(code.clone()).or_insert_with(|| AgencyItem {
            agency: code.clone(),
            name: user.name.clone(),
            gateways: Vec::new(),
            platforms: Vec::new(),
            suspended: true,
        });
        item.gateways.push(user.subject.to_string());
        item.suspended &= user.suspended;
        if !user.suspended {
            item.platforms.extend(user.platforms.iter().map(ToString::to_string));
            item.platforms.sort();
            item.platforms.dedup();
        }
    }
    Ok(Answer(Page::whole(found.into_values().collect())).into_response())
}

/// Which platform, and where in its inbox.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct InboxQuery {
    platform: Option<String>,
    after: Option<String>,
    limit: Option<usize>,
    wait: Option<f64>,
    read: Option<String>,
}

/// The certificate is one of this agency, and the platform one that it is attached to.
fn gateway(api: &Api, caller: &Caller, agency: &str, platform: Option<&str>) -> Result<RegionCode, ApiError> {
    let Some(subject @ Subject::Agency { code, .. }) = caller.subject() else {
        return Err(ApiError::new(codes::AGENCY_UNKNOWN, "only an agency has an inbox and gives receipts"));
    };
    if code != agency {
        return Err(ApiError::new(codes::AGENCY_UNKNOWN, format!("{subject} is no gateway of {agency}")));
    }
    let region = match platform {
        Some(word) => {
            word.parse().map_err(|e: eport_model::ParseError| ApiError::bad(format!("platform: {e}")))?
        }
        None => {
            let view = api.registry.state();
            let places = view.state.user(subject).map(|u| u.platforms.clone()).unwrap_or_default();
            match places.iter().next() {
                Some(one) if places.len() == 1 => *one,
                _ => return Err(ApiError::bad("platform: name the platform; there is more than one")),
            }
        }
    };
    need(api, caller, Action::AnswerDocuments, Some(region))?;
    Ok(region)
}

fn id_of(text: &str) -> Result<Digest, ApiError> {
    text.parse().map_err(|_| ApiError::bad("msg_id: 64 hex digits are needed"))
}

pub(crate) fn failed(error: ExchangeError) -> ApiError {
    let mut api = ApiError::of(&error);
    if let ExchangeError::Fields(failures) = error {
        api.problem.failures = failures;
    }
    api
}

/// Where a request of an agency is carried out.
pub(crate) enum Carried {
    /// Here.
    Here(Platform),
    /// Elsewhere, with this answer.
    Done(Response),
}

/// Where a request is carried out, and what it came to elsewhere.
pub(crate) async fn carried(
    api: &Api,
    region: RegionCode,
    caller: &Caller,
    outline: Outline,
    (headers, query): (&HeaderMap, Option<&str>),
    body: Bytes,
) -> Result<Carried, ApiError> {
    let may = forwards(headers, query);
    match settled_place(api, region, headers.contains_key(FORWARDED)).await? {
        Place::There(node) => send_on(api, region, node, caller, outline, may, body).await.map(Carried::Done),
        Place::Here(platform) => {
            open_for_reads(api, &platform).await?;
            platform.serve();
            Ok(Carried::Here(platform))
        }
    }
}

/// `GET /v1/agencies/{agency}/inbox`
pub async fn inbox(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(agency): Path<String>,
    Query(query): Query<InboxQuery>,
    request: Request,
) -> Result<Response, ApiError> {
    let region = gateway(&api, &caller, &agency, query.platform.as_deref())?;
    let after = query.after.as_deref().map(id_of).transpose()?;
    let wait = query.wait.unwrap_or(0.0);
    let mut outline = Outline::of(&request);
    // The other node answers within the time of a forward; the agency asks again.
    let mut path = format!(
        "/v1/agencies/{agency}/inbox?platform={region}&limit={}&wait={}",
        query.limit.unwrap_or(LIMIT),
        wait.clamp(0.0, FORWARDED_WAIT_S)
    );
    if let Some(after) = &query.after {
        path.push_str(&format!("&after={after}"));
    }
    outline.path_and_query = path;
    let asked = (request.headers(), request.uri().query());
    match carried(&api, region, &caller, outline, asked, Bytes::new()).await? {
        Carried::Done(answer) => Ok(answer),
        Carried::Here(platform) => {
            let wait = Duration::try_from_secs_f64(wait).unwrap_or_default();
            let limit = query.limit.unwrap_or(LIMIT);
            let items = platform.inbox(&agency, after.as_ref(), limit, wait).await.map_err(failed)?;
            Ok(Answer(Page::whole(items)).into_response())
        }
    }
}

/// `POST /v1/agencies/{agency}/inbox/{msg_id}/ack`
pub async fn acknowledge(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path((agency, msg_id)): Path<(String, String)>,
    Query(query): Query<InboxQuery>,
    request: Request,
) -> Result<Response, ApiError> {
    let region = gateway(&api, &caller, &agency, query.platform.as_deref())?;
    let id = id_of(&msg_id)?;
    let read = query.read.as_deref().and_then(|r| r.parse::<Digest>().ok());
    let read =
        read.ok_or_else(|| ApiError::bad("read: what the inbox showed as read is needed, 64 hex digits"))?;
    let asked = (request.headers(), request.uri().query());
    match carried(&api, region, &caller, Outline::of(&request), asked, Bytes::new()).await? {
        Carried::Done(answer) => Ok(answer),
        Carried::Here(platform) => {
            let done = platform.acknowledge(&agency, &id, &read, &caller.name()).await.map_err(failed)?;
            let answer = InboxAck {
                msg_id,
                repeated: done.repeated,
                durability: done.durability,
                position: done.position,
            };
            Ok(Answer(answer).into_response())
        }
    }
}

/// `POST /v1/agencies/{agency}/receipts`
pub async fn receipt(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(agency): Path<String>,
    Query(query): Query<InboxQuery>,
    request: Request,
) -> Result<Response, ApiError> {
    let region = gateway(&api, &caller, &agency, query.platform.as_deref())?;
    let (outline, headers) = (Outline::of(&request), request.headers().clone());
    let asked = request.uri().query().map(str::to_owned);
    let body = body(request).await?;
    let receipt = read(&agency, &body)?;
    match carried(&api, region, &caller, outline, (&headers, asked.as_deref()), body).await? {
        Carried::Done(answer) => Ok(answer),
        Carried::Here(platform) => {
            let number = receipt.number.clone();
            let given = platform.give_receipt(receipt, &caller.name()).await.map_err(failed)?;
            let status = if given.repeated { StatusCode::OK } else { StatusCode::CREATED };
            let answer = ReceiptAnswer {
                agency_receipt_no: number,
                repeated: given.repeated,
                forwarded: given.forwarded,
                applied: given.applied,
                note: given.note,
                state: given.state,
                durability: given.durability,
                position: given.position,
            };
            Ok((status, Answer(answer)).into_response())
        }
    }
}

/// A receipt from its JSON; the fields that no core can read are told together.
fn read(agency: &str, body: &[u8]) -> Result<Receipt, ApiError> {
    let given: ReceiptRequest = serde_json::from_slice(body).map_err(|e| ApiError::bad(e.to_string()))?;
    let mut failures = Vec::new();
    let mut fail = |path: &str, detail: &str| {
        failures.push(eport_api_types::Failure {
            path: path.into(),
            code: "E-RCP-FIELD".into(),
            detail: detail.into(),
        });
    };
    let owner: Option<RegionCode> = given.platform.parse().ok();
    if owner.is_none() {
        fail("/platform", "the six digits of the platform that owns the document are needed");
    }
    let kind = ReceiptKind::named(&given.kind);
    if kind.is_none() {
        fail("/kind", "one of TECH_ACK, TECH_NAK, BUSINESS, NOTICE is needed");
    }
    let event_time = from_rfc3339(&given.event_time);
    if event_time.is_none() {
        fail("/event_time", "an RFC 3339 instant is needed");
    }
    let (Some(owner), Some(kind), Some(event_time)) = (owner, kind, event_time) else {
        return Err(failed(ExchangeError::Fields(failures)));
    };
    Ok(Receipt {
        agency: agency.to_owned(),
        number: given.agency_receipt_no,
        owner,
        doc_id: given.doc_id,
        doc_version: given.doc_version,
        kind,
        code: given.code,
        text: given.text,
        event_time,
    })
}
