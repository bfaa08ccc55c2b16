//! `GET /v1/incident`: what happened in a span of time, as this node knows it.

use crate::Caller;
use crate::auth::{judge, need};
use crate::changes::noted;
use crate::extract::Query;
use crate::platforms_api::region;
use crate::problem::ApiError;
use crate::state::Api;
use axum::extract::State;
use axum::{Extension, Json as Answer};
use eport_access::Action;
use eport_api_types::{INCIDENT_EVENTS_MAX, IncidentEvent, IncidentEvents, from_rfc3339, rfc3339};
use eport_model::{RegionCode, Timestamp, codes};
use eport_registry::{Approval, Audit, AuditEvent, Drill, MoveRecord, State as Registered};
use serde::Deserialize;

/// The span, and the platform if it is about one.
#[derive(Debug, Deserialize)]
pub struct Span {
    from: String,
    to: String,
    platform: Option<String>,
}

/// `GET /v1/incident`
pub async fn events(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Query(span): Query<Span>,
) -> Result<Answer<IncidentEvents>, ApiError> {
    need(&api, &caller, Action::Inspect, None)?;
    let instant = |name: &str, text: &str| {
        from_rfc3339(text).ok_or_else(|| ApiError::bad(format!("{name}: an instant in RFC 3339 is needed")))
    };
    let (from, to) = (instant("from", &span.from)?, instant("to", &span.to)?);
    if to < from {
        return Err(ApiError::bad("to lies before from"));
    }
    let only = span.platform.as_deref().map(region).transpose()?;
    let dir = api.config.data_dir.clone();
    let states = tokio::task::spawn_blocking(move || noted(dir)).await;
    let mut items = states.map_err(|e| ApiError::new(codes::INTERNAL, e.to_string()))?;
    let mut withheld = Vec::new();
    let view = api.registry.state();
    items.extend(of_registry(&view.state));
    // Who may not read the audit still gets everything else.
    match judge(&api, &caller, Action::ReadAudit, None) {
        Ok(_) => items.extend(view.state.audit().map(audit)),
        Err(_) => withheld.push("audit".to_owned()),
    }
    let (first, last) = (rfc3339(from), rfc3339(to));
    // Instants as text are UTC with milliseconds: they compare as they are.
    items.retain(|e| {
        e.at >= first && e.at <= last && (only.is_none() || e.region.is_none() || e.region == only)
    });
    items.sort();
    let truncated = items.len() > INCIDENT_EVENTS_MAX;
    items.truncate(INCIDENT_EVENTS_MAX);
    Ok(Answer(IncidentEvents { node: api.agent.me(), items, truncated, withheld }))
}

/// What the registry keeps of moves, drills, approvals and tails.
fn of_registry(state: &Registered) -> Vec<IncidentEvent> {
    let mut out: Vec<IncidentEvent> = Vec::new();
    for p in state.placements() {
        out.extend(state.moves_of(p.region).into_iter().flat_map(movement));
    }
    out.extend(state.drills().flat_map(drill));
    out.extend(state.approvals().flat_map(approval));
    out.extend(state.tails().map(|t| {
        let text = format!("{} records of {} in epoch {} diverged", t.records(), t.node, t.epoch);
        event("tail", t.id(), "tail.announced", t.at, Some(t.region), "", text)
    }));
    out
}

fn event(
    source: &str,
    id: String,
    name: &str,
    at: Timestamp,
    region: Option<RegionCode>,
    by: &str,
    text: String,
) -> IncidentEvent {
    let (at, by) = (rfc3339(at), by.to_owned());
    IncidentEvent { at, source: source.into(), id, event: name.into(), node: None, region, by, text }
}

fn movement(m: &MoveRecord) -> Vec<IncidentEvent> {
    let (id, region) = (m.id.to_string(), Some(m.region));
    let to = m.to.map(|n| n.to_string()).unwrap_or_default();
    let kind = format!("{:?}", m.kind).to_lowercase();
    let opened = format!("{kind} from {} to {to}", m.from);
    let mut out = vec![event("move", id.clone(), "move.opened", m.opened_at, region, &m.by, opened)];
    out.extend(m.steps.iter().map(|s| {
        event(
            "move",
            id.clone(),
            "move.step",
            s.at,
            region,
            &s.by,
            format!("{kind}: {} {}", s.name, s.detail),
        )
    }));
    if let Some(at) = m.ended_at {
        let state = format!("{:?}", m.state).to_lowercase();
        let text = format!("{kind} {state} {}", m.ended_reason);
        out.push(event("move", id, "move.ended", at, region, "", text.trim_end().to_owned()));
    }
    out
}

fn drill(d: &Drill) -> Vec<IncidentEvent> {
    let (id, region) = (d.id.to_string(), Some(d.region));
    let mut out = vec![event("drill", id.clone(), "drill.begun", d.begun, region, &d.by, d.name.clone())];
    if let Some(at) = d.ended {
        let verdict = d.verdict.map_or("ended", |v| v.word());
        let text = format!("{} {verdict} {}", d.name, d.note);
        out.push(event("drill", id, "drill.ended", at, region, &d.ended_by, text.trim_end().to_owned()));
    }
    out
}

fn approval(a: &Approval) -> Vec<IncidentEvent> {
    let id = a.id.to_string();
    let mut out = vec![event(
        "approval",
        id.clone(),
        "approval.asked",
        a.first.at,
        None,
        &a.first.by,
        format!("{} {}", a.kind, a.reason),
    )];
    if let Some(second) = &a.second {
        let state = format!("{:?}", a.state).to_lowercase();
        let text = format!("{} {state}", a.kind);
        out.push(event("approval", id, "approval.decided", second.at, None, &second.by, text));
    }
    out
}

fn audit(a: &Audit) -> IncidentEvent {
    let name = match a.event {
        AuditEvent::Executed => "audit.executed",
        AuditEvent::Opened => "audit.opened",
        AuditEvent::Rejected => "audit.rejected",
    };
    let text = format!("{} {} {}", a.kind, a.what, a.reason);
    event("audit", a.id.to_string(), name, a.at, None, &a.first.by, text.trim_end().to_owned())
}
