//! Placement advice: who should back whom, what the loss of a site costs; and the sites' labels it rests on.

use crate::Caller;
use crate::auth::need;
use crate::extract::Json;
use crate::federation;
use crate::problem::{ApiError, wants_chinese};
use crate::signing::{command, propose};
use crate::state::Api;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json as Answer};
use eport_access::Action;
use eport_api_types::{
    BackupPlan, Page, PlatformAdvice, PlatformLossDoc, ProposedBackup, SiteDoc, SiteLoss, SiteRequest,
    Warning,
};
use eport_model::SiteId;
use eport_planner::{Advice, Cause, Class, Loss, Picture, Reason, Service, Soft};
use eport_registry::{NodeState, Op, Placement, Site, State as Registry};

/// `GET /v1/plan/backups`
pub async fn backups(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
) -> Result<Answer<BackupPlan>, ApiError> {
    need(&api, &caller, Action::ReadFederation, None)?;
    let view = api.registry.state();
    let picture = Picture::of(&view.state, &api.registry.voters(), &soft(&api));
    let zh = wants_chinese(&headers);
    let index = view.index;
    // Every pair of many sites takes a moment: not on a thread that serves others.
    let state = view.clone();
    let plan = tokio::task::spawn_blocking(move || plan(&state.state, &picture, index, zh)).await;
    plan.map(Answer).map_err(|e| ApiError::new(eport_model::codes::INTERNAL, e.to_string()))
}

fn soft(api: &Api) -> Soft {
    let heard = federation::heard(api);
    let up = federation::up(api, &heard);
    let held = heard.iter().flat_map(|(node, (_, soft))| {
        soft.platforms.iter().map(move |p| ((p.region, *node), p.last.index.as_u64()))
    });
    Soft { held: held.collect(), up }
}

fn plan(state: &Registry, picture: &Picture, index: u64, zh: bool) -> BackupPlan {
    let advices = eport_planner::advise(picture);
    let now = eport_planner::losses(picture);
    let proposed = eport_planner::proposed(picture, &advices);
    let warnings = eport_planner::warnings(picture, &advices)
        .into_iter()
        .map(|w| Warning { code: w.code.to_string(), text: if zh { w.text.zh } else { w.text.en } });
    BackupPlan {
        index,
        platforms: advices
            .iter()
            .filter_map(|a| state.placement(a.region).map(|p| advice(picture, a, p)))
            .collect(),
        losses: now
            .iter()
            .map(|l| loss(l, &eport_planner::loss(&proposed, l.cause.clone(), &l.sites)))
            .collect(),
        warnings: warnings.collect(),
    }
}

fn advice(picture: &Picture, a: &Advice, p: &Placement) -> PlatformAdvice {
    let word = |r: &Reason| match r {
        Reason::Kept => "kept".to_owned(),
        Reason::Province => "province".to_owned(),
        Reason::City => "city".to_owned(),
        Reason::Shares(label) => format!("shares:{label}"),
        Reason::Silent => "silent".to_owned(),
    };
    let proposed: Vec<ProposedBackup> = a
        .backups
        .iter()
        .map(|c| ProposedBackup { node: c.node, site: c.site, reasons: c.reasons.iter().map(word).collect() })
        .collect();
    PlatformAdvice {
        region: a.region,
        name_zh: p.name_zh.clone(),
        name_en: p.name_en.clone(),
        primary: a.primary,
        site: picture.site_of(a.primary),
        current: p.backups.iter().filter(|b| !b.leaving).map(|b| b.node).collect(),
        command: (a.changed && !proposed.is_empty()).then(|| policy_command(a)),
        proposed,
        short: a.short,
        changed: a.changed,
    }
}

/// The command that carries a proposal out.
fn policy_command(a: &Advice) -> String {
    let mut line = format!("eport platform policy {}", a.region);
    if a.sync {
        line.push_str(" --durability sync --k 1");
    }
    for c in &a.backups {
        line.push_str(&format!(" --backup {}:sync", c.node));
    }
    line
}

fn class(class: Class) -> String {
    match class {
        Class::Nothing => "nothing",
        Class::PlatformUnavailable => "platform_unavailable",
        Class::UnreplicatedTail => "unreplicated_tail",
        Class::DataLost => "data_lost",
    }
    .to_owned()
}

fn service(service: Service) -> String {
    match service {
        Service::Continues => "continues",
        Service::Local => "local",
        Service::FailsOver => "fails_over",
        Service::Operator => "operator",
        Service::Blocked => "blocked",
        Service::NoQuorum => "no_quorum",
        Service::Gone => "gone",
    }
    .to_owned()
}

fn loss(now: &Loss, after: &Loss) -> SiteLoss {
    // A platform that is not listed loses nothing.
    let class_after =
        |region| after.platforms.iter().find(|p| p.region == region).map_or(Class::Nothing, |p| p.class);
    let platforms = now.platforms.iter().map(|p| PlatformLossDoc {
        region: p.region,
        class: class(p.class),
        class_after: class(class_after(p.region)),
        service: service(p.service),
        records: p.records,
        survivors: p.survivors.clone(),
    });
    SiteLoss {
        sites: now.sites.clone(),
        because: match &now.cause {
            Cause::Site => "site".to_owned(),
            Cause::Pair => "pair".to_owned(),
            Cause::Group(label) => label.clone(),
        },
        quorum_lost: now.quorum_lost,
        worst: class(now.worst),
        worst_after: class(after.worst),
        platforms: platforms.collect(),
    }
}

/// `GET /v1/sites`
pub async fn sites(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
) -> Result<Response, ApiError> {
    need(&api, &caller, Action::ReadFederation, None)?;
    let view = api.registry.state();
    let all: Vec<SiteDoc> = view.state.sites().map(|s| site_doc(&view.state, s)).collect();
    Ok(Answer(Page::whole(all)).into_response())
}

/// `PUT /v1/sites/{site}`
pub async fn put_site(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    Json(body): Json<SiteRequest>,
) -> Result<Answer<SiteDoc>, ApiError> {
    need(&api, &caller, Action::AdministerNodes, None)?;
    let id: SiteId = name.parse().map_err(|e: eport_model::ParseError| ApiError::bad(e.to_string()))?;
    let known = api.registry.state().state.site(id).cloned();
    let mut site = match (known, body.region) {
        (Some(known), Some(region)) => Site { region, ..known },
        (Some(known), None) => known,
        (None, Some(region)) => Site::new(id, region, name),
        (None, None) => return Err(ApiError::not_found(format!("site {id}; a new one needs a region"))),
    };
    if let Some(name) = body.name {
        site.name = name;
    }
    for (label, value) in body.labels {
        if value.is_empty() {
            site.labels.remove(&label);
        } else {
            site.labels.insert(label, value);
        }
    }
    if let Some(room) = body.copies_max {
        site.copies_max = (room > 0).then_some(room);
    }
    propose(&api, command(&api, &caller, "site set", Op::PutSite(site))?).await?;
    let view = api.registry.state();
    let shown = view.state.site(id).map(|s| site_doc(&view.state, s));
    shown.map(Answer).ok_or_else(|| ApiError::not_found(format!("site {id}")))
}

fn site_doc(state: &Registry, s: &Site) -> SiteDoc {
    let here = |node| state.node(node).is_some_and(|n| n.site == s.id);
    let copies = state.placements().flat_map(|p| p.backups.iter().map(|b| b.node).chain([p.primary]));
    SiteDoc {
        site: s.id,
        region: s.region,
        name: s.name.clone(),
        labels: s.labels.clone(),
        copies_max: s.copies_max,
        nodes: state
            .nodes()
            .filter(|n| n.site == s.id && n.state != NodeState::Removed)
            .map(|n| n.id)
            .collect(),
        copies: u32::try_from(copies.filter(|n| here(*n)).count()).unwrap_or(u32::MAX),
    }
}
