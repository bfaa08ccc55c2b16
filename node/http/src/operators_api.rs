//! Approvals, audit, settings.

use crate::Caller;
use crate::auth::need;
use crate::extract::{Json, Query};
use crate::platforms_api::COMMAND_TIMEOUT;
use crate::problem::ApiError;
use crate::signing::{command, propose};
use crate::state::Api;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json as Answer};
use eport_access::Action;
use eport_api_types::{
    ApprovalDecision, ApprovalItem, AuditItem, Page, SettingItem, SettingRequest, Signed, Warning, rfc3339,
};
use eport_model::{Timestamp, codes};
use eport_registry::{
    Approval, ApprovalState, Audit, AuditEvent, CommandId, Op, Setting, SignedBy, State as Registered,
};
use serde::Deserialize;

/// Lines of the audit in one answer.
const AUDIT_PAGE: usize = 1_000;

fn signed(by: &SignedBy) -> Signed {
    let serial = (!by.serial.is_empty()).then(|| by.serial.clone());
    Signed { by: by.by.clone(), at: rfc3339(by.at), serial }
}

fn approval_item(a: &Approval, now: Timestamp) -> ApprovalItem {
    let state = match a.state {
        ApprovalState::Pending if a.is_open(now) => "pending",
        ApprovalState::Pending => "expired",
        ApprovalState::Executed => "executed",
        ApprovalState::Rejected => "rejected",
    };
    ApprovalItem {
        id: a.id.to_string(),
        state: state.into(),
        kind: a.kind.clone(),
        version: a.version,
        fields: a.fields.iter().cloned().collect(),
        digest: a.digest,
        reason: a.reason.clone(),
        first: signed(&a.first),
        second: a.second.as_ref().map(signed),
        expires: rfc3339(a.expires),
    }
}

fn audit_item(a: &Audit) -> AuditItem {
    let event = match a.event {
        AuditEvent::Executed => "executed",
        AuditEvent::Opened => "opened",
        AuditEvent::Rejected => "rejected",
    };
    AuditItem {
        seq: a.seq,
        at: rfc3339(a.at),
        event: event.into(),
        id: a.id.to_string(),
        kind: a.kind.clone(),
        what: a.what.clone(),
        digest: a.digest,
        reason: a.reason.clone(),
        first: signed(&a.first),
        second: a.second.as_ref().map(signed),
    }
}

/// What a person should look at: commands that wait, and two persons asked for where there is one.
pub(crate) fn warnings(state: &Registered, now: Timestamp, chinese: bool) -> Vec<Warning> {
    let mut out = Vec::new();
    let mut warn = |code: eport_model::Code, (en, zh): (String, String)| {
        out.push(Warning { code: code.to_string(), text: if chinese { zh } else { en } });
    };
    let waiting = state.approvals().filter(|a| a.is_open(now)).count();
    if waiting > 0 {
        let text = (
            format!("{waiting} commands wait for a second person"),
            format!("{waiting} 条命令等待第二人批准"),
        );
        warn(codes::APPROVAL_PENDING, text);
    }
    let two_person = state.federation().is_some_and(|f| f.two_person);
    if two_person && state.operators().filter(|o| o.approves()).count() < 2 {
        let text = (
            "two persons are asked for, but fewer than two operators who may approve are listed".to_owned(),
            "已要求两人批准，但登记的可批准操作员不足两名".to_owned(),
        );
        warn(codes::SECOND_PERSON_MISSING, text);
    }
    out
}

pub(crate) fn id_of(text: &str) -> Result<CommandId, ApiError> {
    text.parse().map_err(|e: eport_model::ParseError| ApiError::bad(e.to_string()))
}

/// `GET /v1/approvals`: those that wait first, then the newest.
pub async fn approvals(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
) -> Result<Response, ApiError> {
    need(&api, &caller, Action::Inspect, None)?;
    let (view, now) = (api.registry.state(), api.now());
    let mut all: Vec<&Approval> = view.state.approvals().collect();
    all.sort_by_key(|a| (!a.is_open(now), std::cmp::Reverse(a.first.at), a.id));
    let items = all.into_iter().map(|a| approval_item(a, now)).collect();
    Ok(Answer(Page::whole(items)).into_response())
}

/// `GET /v1/approvals/{id}`
pub async fn approval(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Answer<ApprovalItem>, ApiError> {
    need(&api, &caller, Action::Inspect, None)?;
    shown(&api, id_of(&id)?)
}

fn shown(api: &Api, id: CommandId) -> Result<Answer<ApprovalItem>, ApiError> {
    let view = api.registry.state();
    let found = view.state.approval(id).ok_or_else(|| ApiError::not_found(format!("approval {id}")))?;
    Ok(Answer(approval_item(found, api.now())))
}

/// `POST /v1/approvals/{id}`
pub async fn decide(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    Json(body): Json<ApprovalDecision>,
) -> Result<Answer<ApprovalItem>, ApiError> {
    need(&api, &caller, Action::Approve, None)?;
    let id = id_of(&id)?;
    let op = Op::DecideApproval { approval: id, digest: body.digest, approve: body.approve };
    let reason = if body.approve { "approval approve" } else { "approval reject" };
    propose(&api, command(&api, &caller, reason, op)?).await?;
    // The decision may have been applied by the leader before this node.
    api.registry.linearizable(COMMAND_TIMEOUT).await?;
    shown(&api, id)
}

/// Where a page of the audit starts.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct AuditQuery {
    limit: Option<usize>,
    page_token: Option<String>,
}

/// `GET /v1/audit`: newest first; the token is the oldest number shown.
pub async fn audit(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Query(q): Query<AuditQuery>,
) -> Result<Response, ApiError> {
    need(&api, &caller, Action::ReadAudit, None)?;
    let below = match q.page_token.as_deref().filter(|t| !t.is_empty()) {
        None => u64::MAX,
        Some(token) => token.parse().map_err(|_| ApiError::bad("page_token: a number is needed"))?,
    };
    let limit = q.limit.unwrap_or(100).clamp(1, AUDIT_PAGE);
    let view = api.registry.state();
    let mut items: Vec<AuditItem> =
        view.state.audit().rev().filter(|a| a.seq < below).take(limit + 1).map(audit_item).collect();
    let more = items.len() > limit;
    items.truncate(limit);
    let next_page_token = items.last().filter(|_| more).map(|a| a.seq.to_string());
    Ok(Answer(Page { items, next_page_token }).into_response())
}

/// `GET /v1/settings`
pub async fn settings(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
) -> Result<Response, ApiError> {
    need(&api, &caller, Action::ReadFederation, None)?;
    let view = api.registry.state();
    let mut items: Vec<SettingItem> =
        view.state.settings().map(|(n, v)| SettingItem { name: n.to_owned(), value: v.to_owned() }).collect();
    let two_person = if view.state.federation().is_some_and(|f| f.two_person) { "on" } else { "off" };
    items.push(SettingItem { name: TWO_PERSON.into(), value: two_person.into() });
    Ok(Answer(Page::whole(items)).into_response())
}

/// The setting that is part of the federation's own record.
const TWO_PERSON: &str = "two_person";

/// `PUT /v1/settings/{name}`
pub async fn put_setting(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    Json(body): Json<SettingRequest>,
) -> Result<Answer<SettingItem>, ApiError> {
    let guards = name == TWO_PERSON || eport_registry::guards(&name);
    let wanted = if guards { Action::AdministerUsers } else { Action::AdministerNodes };
    need(&api, &caller, wanted, None)?;
    let op = match (name.as_str(), body.value.as_str()) {
        (TWO_PERSON, "on") => Op::SetTwoPerson(true),
        (TWO_PERSON, "off") => Op::SetTwoPerson(false),
        (TWO_PERSON, _) => return Err(ApiError::bad("two_person: on or off is needed")),
        _ => Op::SetSetting(Setting { name: name.clone(), value: body.value.clone() }),
    };
    propose(&api, command(&api, &caller, "setting set", op)?).await?;
    Ok(Answer(SettingItem { name, value: body.value }))
}
