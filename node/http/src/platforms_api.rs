//! Platforms: list, create, policy, moves, verification of state.

use crate::Caller;
use crate::auth::need;
use crate::extract::Json;
use crate::observe::{answers, observe};
use crate::problem::{ApiError, wants_chinese};
use crate::signing::{command, propose};
use crate::state::Api;
use crate::{federation, words};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json as Answer};
use eport_access::Action;
use eport_api_types::{
    ExpectedLoss, MoveAnswer, MoveRequest, Page, PlanCheck, PlatformCreate, PlatformStatus, PolicyRequest,
    rfc3339,
};
use eport_model::{MoveId, RegionCode, codes};
use eport_moves::{Intent, plan};
use eport_registry::{
    DurabilityMode, FailoverMode, Isolation, MoveKind, MoveRecord, OldPrimary, Op, Outcome, Placement,
    PlacementState, Plan, Policy, PolicyBackup, Role, State as Registered,
};
use rand::RngCore;
use std::time::Duration;

/// How long a registry command of the API may take.
pub(crate) const COMMAND_TIMEOUT: Duration = Duration::from_secs(10);
/// A switchover that has not been committed after this time is given up by the old primary.
const SWITCH_MS: u32 = 30_000;

/// Reads a region code of a path.
pub(crate) fn region(text: &str) -> Result<RegionCode, ApiError> {
    text.parse().map_err(|e: eport_model::ParseError| ApiError::bad(e.to_string()))
}

fn placement(api: &Api, region: RegionCode) -> Result<Placement, ApiError> {
    let view = api.registry.state();
    view.state.placement(region).cloned().ok_or_else(|| ApiError::not_found(format!("platform {region}")))
}

/// `GET /v1/platforms`
pub async fn list(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
) -> Result<Response, ApiError> {
    need(&api, &caller, Action::ReadFederation, None)?;
    Ok(Answer(Page::whole(federation::platforms(&api))).into_response())
}

/// `GET /v1/platforms/{region}`
pub async fn show(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Result<Answer<PlatformStatus>, ApiError> {
    need(&api, &caller, Action::ReadFederation, None)?;
    let region = region(&name)?;
    federation::one_platform(&api, region)
        .map(Answer)
        .ok_or_else(|| ApiError::not_found(format!("platform {region}")))
}

/// `POST /v1/platforms`
pub async fn create(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Json(body): Json<PlatformCreate>,
) -> Result<Response, ApiError> {
    need(&api, &caller, Action::AdministerPlatform, None)?;
    let view = api.registry.state();
    let node =
        view.state.node(body.primary).ok_or_else(|| ApiError::not_found(format!("node {}", body.primary)))?;
    if body.r#virtual == (node.region == body.region) {
        let word = if body.r#virtual { "virtual" } else { "physical" };
        let detail = format!(
            "node {} has its home at {}: it cannot serve {} as a {word} platform",
            node.id, node.region, body.region
        );
        return Err(ApiError::new(codes::REGISTRY_REFUSED, detail));
    }
    // Without a named policy: no backup, so nothing that `sync` could wait for (design §5, defaults).
    let policy = Policy {
        durability: DurabilityMode::Async,
        k: 0,
        isolation: Isolation::Block,
        failover: FailoverMode::Manual,
        same_site: false,
        min_durability: eport_model::Durability::Local,
    };
    let op = Op::CreatePlatform {
        region: body.region,
        name_zh: body.name_zh,
        name_en: body.name_en,
        primary: body.primary,
        backups: Vec::new(),
        policy,
    };
    propose(&api, command(&api, &caller, "platform create", op)?).await?;
    let shown = federation::one_platform(&api, body.region);
    Ok((StatusCode::CREATED, Answer(shown)).into_response())
}

/// `PUT /v1/platforms/{region}/policy`
pub async fn policy(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    Json(body): Json<PolicyRequest>,
) -> Result<Response, ApiError> {
    need(&api, &caller, Action::AdministerPlatform, None)?;
    let region = region(&name)?;
    let current = placement(&api, region)?;
    let word = |what: &str, value: &str| ApiError::bad(format!("{what}: {value:?} is not known"));
    let mut wanted = current.policy;
    if let Some(w) = &body.durability {
        wanted.durability = words::durability_of(w).ok_or_else(|| word("durability", w))?;
    }
    if let Some(w) = &body.isolation {
        wanted.isolation = words::isolation_of(w).ok_or_else(|| word("isolation", w))?;
    }
    if let Some(w) = &body.failover {
        wanted.failover = words::failover_of(w).ok_or_else(|| word("failover", w))?;
    }
    if let Some(k) = body.k {
        wanted.k = k as usize;
    }
    if let Some(same_site) = body.same_site {
        wanted.same_site = same_site;
    }
    if let Some(w) = &body.min_durability {
        wanted.min_durability = words::min_durability_of(w).ok_or_else(|| word("min_durability", w))?;
    }
    match wanted.durability {
        DurabilityMode::Async => wanted.k = 0,
        _ if wanted.k == 0 && body.k.is_none() => wanted.k = 1,
        _ => {}
    }
    let backups = match &body.backups {
        Some(list) => list
            .iter()
            .map(|b| PolicyBackup { node: b.node, role: if b.sync { Role::Sync } else { Role::Async } })
            .collect(),
        None => eport_registry::statement::named_backups(&current.backups),
    };
    if body.dry_run {
        return Ok(Answer(policy_planned(current.version, &wanted, &backups)).into_response());
    }
    let version = body.expected_version.unwrap_or(current.version);
    let op = Op::SetPolicy { region, version, policy: wanted, backups };
    propose(&api, command(&api, &caller, "platform policy", op)?).await?;
    // A node that does not lead may not have applied what it was told is done: the answer shows the new policy, not the old.
    // It is done either way.
    let _ = api.registry.linearizable(COMMAND_TIMEOUT).await;
    Ok(Answer(federation::one_platform(&api, region)).into_response())
}

/// The whole policy as it would be: what the operator looks at and signs. Sent back in full it is what will be set.
fn policy_planned(version: u64, p: &Policy, backups: &[PolicyBackup]) -> serde_json::Value {
    let backups: Vec<_> =
        backups.iter().map(|b| serde_json::json!({ "node": b.node, "sync": b.role == Role::Sync })).collect();
    serde_json::json!({
        "dry_run": true,
        "version": version,
        "policy": {
            "durability": words::durability(p.durability), "k": p.k, "isolation": words::isolation(p.isolation),
            "failover": words::failover(p.failover), "same_site": p.same_site,
            "min_durability": p.min_durability.to_string(), "backups": backups,
        },
    })
}

/// `POST /v1/platforms/{region}/moves`
pub async fn start_move(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    headers: HeaderMap,
    Json(body): Json<MoveRequest>,
) -> Result<Response, ApiError> {
    need(&api, &caller, Action::AdministerPlatform, None)?;
    let region = region(&name)?;
    let zh = wants_chinese(&headers);
    let current = placement(&api, region)?;
    let intent = intent(&api, &current, &body)?;
    if let Intent::Failover { to, .. } = intent
        && !body.dry_run
        && let Some(joined) = join(&api, &current, to, body.expected_version, zh)?
    {
        return Ok((StatusCode::ACCEPTED, Answer(joined)).into_response());
    }
    let view = api.registry.state();
    let mut observed = observe(&api, &view.state, region);
    observed.primary_answers = Some(answers(&api, current.primary).await);
    let plan = plan(&observed, region, &intent)?;
    if body.dry_run {
        return Ok(Answer(planned(&current, &plan, zh)).into_response());
    }
    if let Some(refused) = &plan.refused {
        return Err(ApiError::new(
            refused.code,
            if zh { refused.detail.zh.clone() } else { refused.detail.en.clone() },
        ));
    }
    if let Intent::Failover { to, old_primary: OldPrimary::Unreachable, accept_data_loss: false } = intent
        && current.policy.failover == FailoverMode::Auto
        && let Some(joined) = outwait_lease(&api, region, to, plan.version, zh).await?
    {
        return Ok((StatusCode::ACCEPTED, Answer(joined)).into_response());
    }
    let mut id = [0u8; 16];
    rand::rng().fill_bytes(&mut id);
    let (move_id, version) = (MoveId(id), body.expected_version.unwrap_or(plan.version));
    let op = match intent {
        Intent::Planned { kind, to } => {
            let within_ms = SWITCH_MS;
            Op::OpenSwitchover { region, move_id, kind, to, within_ms, expected_version: version, plan }
        }
        Intent::Failover { to, old_primary, accept_data_loss } => Op::ReserveFailover {
            region,
            move_id,
            to,
            expected_version: version,
            accept_data_loss,
            old_primary,
            deadline: None,
            plan,
        },
    };
    eport_failpoint::point!("api.move.before", region);
    let outcome = propose(&api, command(&api, &caller, &format!("platform {}", body.kind), op)?).await?;
    eport_failpoint::point!("api.move.after", region);
    let move_id = match outcome {
        Outcome::Moved { move_id, .. } => move_id,
        _ => move_id,
    };
    let view = api.registry.linearizable(COMMAND_TIMEOUT).await?;
    let record =
        view.state.movement(move_id).ok_or_else(|| ApiError::not_found(format!("move {move_id}")))?;
    Ok((StatusCode::ACCEPTED, Answer(answer(&view.state, record, zh))).into_response())
}

/// A primary that cannot be reached may still hold a lease. The registry's leader replaces it when that is over, and is joined;
/// when it has not after lease and grace, the operator's command goes on.
async fn outwait_lease(
    api: &Api,
    region: eport_model::RegionCode,
    to: Option<eport_model::NodeId>,
    planned_on: u64,
    zh: bool,
) -> Result<Option<MoveAnswer>, ApiError> {
    let profile = api.registry.profile();
    let mut changes = api.registry.changes();
    let until = tokio::time::Instant::now() + profile.lease() + profile.grace();
    loop {
        let now = placement(api, region)?;
        if let Some(joined) = join(api, &now, to, Some(planned_on), zh)? {
            return Ok(Some(joined));
        }
        match tokio::time::timeout_at(until, changes.changed()).await {
            Ok(Ok(())) => {}
            // The wait is over, or the registry is closing and the proposal will say so.
            Ok(Err(_)) | Err(_) => return Ok(None),
        }
    }
}

fn intent(api: &Api, current: &Placement, body: &MoveRequest) -> Result<Intent, ApiError> {
    if body.kind == "demote" {
        // A demotion to the host is the same planned move in the other direction.
        let to = body.to.ok_or_else(|| ApiError::bad("demote needs `to`"))?;
        return Ok(Intent::Planned { kind: MoveKind::Switchover, to });
    }
    let kind = words::kind_of(&body.kind)
        .ok_or_else(|| ApiError::bad(format!("kind: {:?} is not known", body.kind)))?;
    if kind == MoveKind::Failover {
        let old_primary = match body.old_primary.as_deref() {
            Some("stopped") => OldPrimary::Stopped,
            Some("unreachable") => OldPrimary::Unreachable,
            Some(other) => {
                return Err(ApiError::bad(format!(
                    "old_primary: {other:?} is neither stopped nor unreachable"
                )));
            }
            None => {
                return Err(ApiError::bad(
                    "old_primary: say whether the old primary is stopped or unreachable",
                ));
            }
        };
        return Ok(Intent::Failover { to: body.to, old_primary, accept_data_loss: body.accept_data_loss });
    }
    let to = match (body.to, kind) {
        (Some(to), _) => to,
        (None, MoveKind::Failback) => {
            let earlier = current.history.iter().rev().map(|e| e.primary).find(|p| *p != current.primary);
            earlier.ok_or_else(|| {
                ApiError::new(codes::REGISTRY_REFUSED, "the platform has had no other primary")
            })?
        }
        (None, _) => return Err(ApiError::bad(format!("{} needs `to`", body.kind))),
    };
    let view = api.registry.state();
    view.state.node(to).ok_or_else(|| ApiError::not_found(format!("node {to}")))?;
    Ok(Intent::Planned { kind, to })
}

/// A failover that is reserved, or was done since the caller looked, is joined: both operators wanted the same (design §6).
fn join(
    api: &Api,
    current: &Placement,
    to: Option<eport_model::NodeId>,
    expected: Option<u64>,
    zh: bool,
) -> Result<Option<MoveAnswer>, ApiError> {
    let view = api.registry.state();
    let under_way = match current.state {
        PlacementState::Recovering { move_id, .. } => view.state.movement(move_id),
        _ => expected.and_then(|v| view.state.failover_since(current.region, v)),
    };
    let Some(record) = under_way else { return Ok(None) };
    match (to, record.to) {
        (Some(wanted), Some(other)) if wanted != other => {
            let detail = format!(
                "failover {} of platform {} goes to {other}, not to {wanted}",
                record.id, current.region
            );
            Err(ApiError::new(codes::MOVE_RUNNING, detail))
        }
        _ => Ok(Some(answer(&view.state, record, zh))),
    }
}

fn sentences(plan: &Plan, zh: bool) -> (Vec<String>, Vec<PlanCheck>) {
    let pick = |t: &eport_registry::Text| if zh { t.zh.clone() } else { t.en.clone() };
    let steps = plan.steps.iter().map(|s| format!("{}: {}", s.name, pick(&s.detail))).collect();
    let checks = plan
        .checks
        .iter()
        .map(|c| PlanCheck { name: c.name.clone(), ok: c.ok, detail: pick(&c.detail) })
        .collect();
    (steps, checks)
}

fn loss(plan: &Plan) -> ExpectedLoss {
    let loss = &plan.expected_loss;
    ExpectedLoss { records: Some(loss.records), since: loss.since.map(rfc3339) }
}

/// A plan that nobody has started.
fn planned(current: &Placement, plan: &Plan, zh: bool) -> MoveAnswer {
    let (steps, checks) = sentences(plan, zh);
    MoveAnswer {
        move_id: MoveId::default().to_string(),
        region: plan.region,
        kind: words::kind(plan.kind).into(),
        from: plan.from,
        to: plan.to,
        epoch_before: current.epoch,
        epoch_after: current.last_epoch.next(),
        plan: steps,
        expected_loss: loss(plan),
        version: plan.version,
        write_pause_ms: None,
        lost_records: None,
        exported_tail: None,
        state: eport_api_types::MoveState::Planned,
        checks,
        reason: plan
            .refused
            .as_ref()
            .map(|r| format!("{}: {}", r.code, if zh { &r.detail.zh } else { &r.detail.en })),
    }
}

/// A move of the registry.
pub(crate) fn answer(state: &Registered, m: &MoveRecord, zh: bool) -> MoveAnswer {
    let (steps, checks) = sentences(&m.plan, zh);
    MoveAnswer {
        move_id: m.id.to_string(),
        region: m.region,
        kind: words::kind(m.kind).into(),
        from: m.from,
        to: m.to,
        epoch_before: m.epoch_before,
        epoch_after: m.epoch_after.unwrap_or(m.epoch_before),
        plan: steps,
        expected_loss: loss(&m.plan),
        version: m.version,
        write_pause_ms: m.pause_ms().map(|ms| ms as f64),
        lost_records: state.lost_records(m),
        exported_tail: m.exported_tail.clone(),
        state: words::move_state(m.state),
        checks,
        reason: (!m.ended_reason.is_empty()).then(|| m.ended_reason.clone()),
    }
}

/// `GET /v1/platforms/{region}/moves/{id}`
pub async fn show_move(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path((name, id)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Answer<MoveAnswer>, ApiError> {
    need(&api, &caller, Action::ReadFederation, None)?;
    let (region, id): (_, MoveId) =
        (region(&name)?, id.parse().map_err(|e: eport_model::ParseError| ApiError::bad(e.to_string()))?);
    let view = api.registry.state();
    let record = view.state.movement(id).filter(|m| m.region == region);
    let record = record.ok_or_else(|| ApiError::not_found(format!("move {id} of platform {region}")))?;
    Ok(Answer(answer(&view.state, record, wants_chinese(&headers))))
}

/// `GET /v1/platforms/{region}/moves`: moves newest first with the steps they took, and the epochs.
pub async fn history(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    need(&api, &caller, Action::ReadFederation, None)?;
    let region = region(&name)?;
    let zh = wants_chinese(&headers);
    let current = placement(&api, region)?;
    let view = api.registry.state();
    let mut records = view.state.moves_of(region);
    records.sort_by_key(|m| std::cmp::Reverse((m.opened_at, m.version)));
    let items: Vec<serde_json::Value> = records
        .into_iter()
        .map(|m| {
            let mut item = serde_json::to_value(answer(&view.state, m, zh)).unwrap_or_default();
            let steps: Vec<_> = m
                .steps
                .iter()
                .map(|s| serde_json::json!({ "name": s.name, "detail": s.detail, "by": s.by, "at": rfc3339(s.at) }))
                .collect();
            item["steps"] = steps.into();
            item["by"] = m.by.clone().into();
            item["opened_at"] = rfc3339(m.opened_at).into();
            item["ended_at"] = m.ended_at.map(rfc3339).into();
            item
        })
        .collect();
    let epochs: Vec<_> = current
        .history
        .iter()
        .map(|e| {
            serde_json::json!({ "epoch": e.epoch, "primary": e.primary, "start": e.start.index, "start_digest": e.start.digest,
                "reason": e.reason, "move_id": e.move_id, "at": rfc3339(e.at) })
        })
        .collect();
    Ok(Answer(serde_json::json!({ "items": items, "next_page_token": null, "epochs": epochs }))
        .into_response())
}
