//! Drills: begin, stop, end, history; schedules; what of them a person should see.

use crate::Caller;
use crate::auth::need;
use crate::extract::{Json, Query};
use crate::platforms_api::{COMMAND_TIMEOUT, region};
use crate::problem::ApiError;
use crate::signing::{command, propose};
use crate::state::Api;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json as Answer};
use eport_access::Action;
use eport_api_types::{
    DrillBegin, DrillEnd, DrillItem, DrillNumbers, DrillScheduleItem, DrillScheduleRequest, DrillStartItem,
    DrillStop, Page, Warning, from_rfc3339, rfc3339,
};
use eport_model::{Timestamp, codes};
use eport_registry::{
    CommandId, Drill, DrillFigures, DrillPlatform, DrillSchedule, DrillVerdict, Op, Outcome,
    State as Registered,
};
use serde::Deserialize;

/// Drills in one answer.
const PAGE: usize = 256;

fn item(d: &Drill, now: Timestamp) -> DrillItem {
    let state = match d.is_running() {
        true if d.is_overdue(now) => "overdue",
        true => "running",
        false => "ended",
    };
    let start = |s: &eport_registry::DrillStart| DrillStartItem {
        region: s.region,
        primary: s.primary,
        epoch: s.epoch,
    };
    DrillItem {
        drill_id: d.id.to_string(),
        name: d.name.clone(),
        region: d.region,
        script: d.script,
        by: d.by.clone(),
        begun: rfc3339(d.begun),
        deadline: rfc3339(d.deadline),
        start: d.start.iter().map(start).collect(),
        disturbs: d.disturbs.clone(),
        state: state.to_owned(),
        stop: d.stop.clone(),
        verdict: d.verdict.map(|v| v.word().to_owned()),
        figures: numbers(&d.figures),
        report: d.report,
        ended: d.ended.map(rfc3339),
        ended_by: d.ended_by.clone(),
        note: d.note.clone(),
        restored: d.restored,
    }
}

fn numbers(f: &DrillFigures) -> DrillNumbers {
    DrillNumbers {
        rpo_records: f.rpo_records,
        rpo_ms: f.rpo_ms,
        rto_ms: f.rto_ms,
        write_pause_ms: f.write_pause_ms,
        submitted: f.submitted,
        acknowledged: f.acknowledged,
        present: f.present,
        missing: f.missing,
        duplicated: f.duplicated,
    }
}

fn figures(n: &DrillNumbers) -> DrillFigures {
    DrillFigures {
        rpo_records: n.rpo_records,
        rpo_ms: n.rpo_ms,
        rto_ms: n.rto_ms,
        write_pause_ms: n.write_pause_ms,
        submitted: n.submitted,
        acknowledged: n.acknowledged,
        present: n.present,
        missing: n.missing,
        duplicated: n.duplicated,
    }
}

fn id_of(text: &str) -> Result<CommandId, ApiError> {
    text.parse().map_err(|e: eport_model::ParseError| ApiError::bad(e.to_string()))
}

/// Which drills to list.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct DrillQuery {
    name: Option<String>,
    region: Option<String>,
    limit: Option<usize>,
}

/// `GET /v1/drills`: newest first.
pub async fn list(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Query(q): Query<DrillQuery>,
) -> Result<Response, ApiError> {
    need(&api, &caller, Action::ReadFederation, None)?;
    let wanted = q.region.as_deref().map(region).transpose()?;
    let (view, now) = (api.registry.state(), api.now());
    let mut drills: Vec<&Drill> = view
        .state
        .drills()
        .filter(|d| q.name.as_deref().is_none_or(|n| n == d.name) && wanted.is_none_or(|r| r == d.region))
        .collect();
    drills.sort_by_key(|d| (std::cmp::Reverse(d.begun), d.id));
    let items = drills.into_iter().take(q.limit.unwrap_or(PAGE).min(PAGE)).map(|d| item(d, now)).collect();
    Ok(Answer(Page::whole(items)).into_response())
}

/// `GET /v1/drills/{id}`
pub async fn show(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Answer<DrillItem>, ApiError> {
    need(&api, &caller, Action::ReadFederation, None)?;
    shown(&api, id_of(&id)?)
}

fn shown(api: &Api, id: CommandId) -> Result<Answer<DrillItem>, ApiError> {
    let view = api.registry.state();
    let found = view.state.drill(id).ok_or_else(|| ApiError::not_found(format!("drill {id}")))?;
    Ok(Answer(item(found, api.now())))
}

/// `POST /v1/drills`
pub async fn begin(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Json(body): Json<DrillBegin>,
) -> Result<Response, ApiError> {
    need(&api, &caller, Action::AdministerPlatform, None)?;
    let platforms = body.platforms.iter().map(|p| DrillPlatform { region: p.region, version: p.version });
    let op = Op::BeginDrill {
        name: body.name,
        region: body.region,
        script: body.script,
        platforms: platforms.collect(),
        disturbs: body.disturbs,
        limit_ms: body.limit_ms,
    };
    let id = match propose(&api, command(&api, &caller, "drill begin", op)?).await? {
        Outcome::Drill { drill, .. } => drill,
        other => return Err(ApiError::new(codes::INTERNAL, format!("the registry answered {other:?}"))),
    };
    api.registry.linearizable(COMMAND_TIMEOUT).await?;
    Ok((StatusCode::CREATED, shown(&api, id)?).into_response())
}

/// `POST /v1/drills/{id}/stop`
pub async fn stop(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    Json(body): Json<DrillStop>,
) -> Result<Answer<DrillItem>, ApiError> {
    need(&api, &caller, Action::AdministerPlatform, None)?;
    let id = id_of(&id)?;
    let op = Op::StopDrill { drill: id, reason: body.reason };
    propose(&api, command(&api, &caller, "drill stop", op)?).await?;
    api.registry.linearizable(COMMAND_TIMEOUT).await?;
    shown(&api, id)
}

/// `POST /v1/drills/{id}/end`
pub async fn end(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    Json(body): Json<DrillEnd>,
) -> Result<Answer<DrillItem>, ApiError> {
    need(&api, &caller, Action::AdministerPlatform, None)?;
    let id = id_of(&id)?;
    let verdict = match body.verdict.as_str() {
        "passed" => DrillVerdict::Passed,
        "failed" => DrillVerdict::Failed,
        "aborted" => DrillVerdict::Aborted,
        other => return Err(ApiError::bad(format!("verdict: {other:?} is not known"))),
    };
    let op = Op::EndDrill {
        drill: id,
        verdict,
        figures: figures(&body.figures),
        report: body.report,
        note: body.note,
        keep: body.keep,
    };
    propose(&api, command(&api, &caller, "drill end", op)?).await?;
    api.registry.linearizable(COMMAND_TIMEOUT).await?;
    shown(&api, id)
}

fn schedule_item(state: &Registered, s: &DrillSchedule, now: Timestamp) -> DrillScheduleItem {
    let due = state.drill_due(s);
    DrillScheduleItem {
        name: s.name.clone(),
        region: s.region,
        every_days: s.every_days,
        first: rfc3339(s.first),
        owner: s.owner.clone(),
        due: rfc3339(due),
        is_due: due <= now,
    }
}

/// `GET /v1/drill-schedules`: what is due first comes first.
pub async fn schedules(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
) -> Result<Response, ApiError> {
    need(&api, &caller, Action::ReadFederation, None)?;
    let (view, now) = (api.registry.state(), api.now());
    let mut all: Vec<&DrillSchedule> = view.state.drill_schedules().collect();
    all.sort_by_key(|s| (view.state.drill_due(s), s.region, s.name.clone()));
    let items = all.into_iter().map(|s| schedule_item(&view.state, s, now)).collect();
    Ok(Answer(Page::whole(items)).into_response())
}

/// `PUT /v1/drill-schedules/{region}/{name}`
pub async fn put_schedule(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path((place, name)): Path<(String, String)>,
    Json(body): Json<DrillScheduleRequest>,
) -> Result<Answer<DrillScheduleItem>, ApiError> {
    need(&api, &caller, Action::AdministerPlatform, None)?;
    let first =
        from_rfc3339(&body.first).ok_or_else(|| ApiError::bad("first: an RFC 3339 instant is needed"))?;
    let region = region(&place)?;
    let schedule = DrillSchedule {
        name: name.clone(),
        region,
        every_days: body.every_days,
        first,
        owner: body.owner,
        since: Timestamp::default(),
    };
    propose(&api, command(&api, &caller, "drill schedule", Op::PutDrillSchedule(schedule))?).await?;
    let view = api.registry.linearizable(COMMAND_TIMEOUT).await?;
    let found = view.state.drill_schedule(region, &name);
    let found = found.ok_or_else(|| ApiError::not_found(format!("schedule {name} of {region}")))?;
    Ok(Answer(schedule_item(&view.state, found, api.now())))
}

/// `DELETE /v1/drill-schedules/{region}/{name}`
pub async fn remove_schedule(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path((place, name)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    need(&api, &caller, Action::AdministerPlatform, None)?;
    let op = Op::RemoveDrillSchedule { region: region(&place)?, name: name.clone() };
    propose(&api, command(&api, &caller, "drill unschedule", op)?).await?;
    Ok(Answer(serde_json::json!({ "name": name, "region": place, "removed": true })).into_response())
}

/// A drill that should be over, and drills that are due.
pub(crate) fn warnings(state: &Registered, now: Timestamp, chinese: bool) -> Vec<Warning> {
    let mut out = Vec::new();
    let mut warn = |code: eport_model::Code, (en, zh): (String, String)| {
        out.push(Warning { code: code.to_string(), text: if chinese { zh } else { en } });
    };
    if let Some(d) = state.running_drill() {
        let away: Vec<String> = state.drill_away(d).iter().map(|s| s.region.to_string()).collect();
        let places = if away.is_empty() { "-".to_owned() } else { away.join(", ") };
        if d.is_overdue(now) {
            let text = (
                format!("drill {} ({}) is past its deadline; not back: {places}", d.id, d.name),
                format!("演练 {}（{}）已超过时限；尚未恢复：{places}", d.id, d.name),
            );
            warn(codes::DRILL_OVERDUE, text);
        } else {
            let until = rfc3339(d.deadline);
            let text = (
                format!("drill {} ({}) of {} runs until {until} at the latest", d.id, d.name, d.by),
                format!("{} 的演练 {}（{}）正在进行，最迟至 {until}", d.by, d.id, d.name),
            );
            warn(codes::DRILL_RUNNING, text);
        }
    }
    for s in state.drill_schedules() {
        let due = state.drill_due(s);
        if due <= now {
            let text = (
                format!("drill {} of {} was due at {}", s.name, s.region, rfc3339(due)),
                format!("平台 {} 的演练 {} 已于 {} 到期", s.region, s.name, rfc3339(due)),
            );
            warn(codes::DRILL_DUE, text);
        }
    }
    out
}
