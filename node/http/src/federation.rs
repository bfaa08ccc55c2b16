//! `eport status` and its parts: the registry's facts joined with what nodes said of themselves.

use crate::state::Api;
use crate::words;
use eport_agent::{PlatformSoft, SoftState};
use eport_api_types as t;
use eport_api_types::{
    DurabilityNow, FederationStatus, NodeState, NodeStatus, PlatformKind, PlatformState, PlatformStatus,
};
use eport_model::{NodeId, RegionCode, Software};
use eport_registry::{Kind, Mode, Placement, PlacementState, State};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Heard within this time: up.
const UP: Duration = Duration::from_secs(3);
/// Heard within this time: suspect; later: down.
const SUSPECT: Duration = Duration::from_secs(15);

pub(crate) type Heard = BTreeMap<NodeId, (Duration, SoftState)>;

/// The whole federation as this node knows it.
pub fn federation(api: &Api, chinese: bool) -> FederationStatus {
    let view = api.registry.state();
    let state = &view.state;
    let heard = heard(api);
    let voters = api.registry.voters();
    let up = up(api, &heard);
    let text = |w: &eport_moves::Warning| t::Warning {
        code: w.code.to_string(),
        text: if chinese { w.text.zh.clone() } else { w.text.en.clone() },
    };
    let mut warnings: Vec<t::Warning> =
        eport_moves::quorum_warnings(state, &voters).iter().map(text).collect();
    warnings.extend(eport_moves::platform_warnings(state, &up).iter().map(text));
    warnings.extend(alarms(&heard));
    warnings.extend(crate::builds::warnings(&heard, chinese));
    warnings.extend(crate::verification::warnings(&heard));
    warnings.extend(crate::shipping_view::warnings(&heard, chinese));
    warnings.extend(crate::backup_api::key_warnings(api));
    warnings.extend(crate::backup_sets::warnings(&heard));
    warnings.extend(crate::recovery_api::warnings(api));
    warnings.extend(crate::operators_api::warnings(state, api.now(), chinese));
    warnings.extend(crate::tails_api::warnings(state, chinese));
    warnings.extend(crate::drills_api::warnings(state, api.now(), chinese));
    warnings.extend(crate::expiry::warnings(api, &heard, chinese));
    warnings.extend(crate::desk::warnings(api, chinese));
    warnings.extend(crate::tables_watch::warnings(api, &heard, chinese));
    FederationStatus {
        federation: state.federation().map(|f| f.name.clone()).unwrap_or_default(),
        lineage: api.agent.lineage(),
        leader: api.registry.leader(),
        term: api.registry.term(),
        nodes: nodes(api),
        platforms: platforms(api),
        mode: match state.mode() {
            Mode::Production => t::Mode::Production,
            Mode::Demo => t::Mode::Demo,
            Mode::Dev => t::Mode::Dev,
        },
        two_person: state.federation().is_some_and(|f| f.two_person),
        operator_signatures: state.signatures_required(),
        role_separation: state.separation().word().to_owned(),
        tables: crate::tables_where::summaries(api, &heard),
        warnings,
        index: view.index,
        lineages: crate::recovery_api::lineages(api),
        kept_journals: crate::recovery_api::kept(api),
    }
}

/// What every node said last; this node's own state is current.
pub fn heard(api: &Api) -> Heard {
    let mut heard = api.agent.board().all();
    heard.insert(api.agent.me(), (Duration::ZERO, api.agent.soft_state()));
    heard
}

/// Nodes heard from lately over a connection that stands, this one included.
pub fn up(api: &Api, heard: &Heard) -> BTreeSet<NodeId> {
    let connected = api.transport.connected().borrow().clone();
    let fresh =
        heard.iter().filter(|(n, (age, _))| *age < UP && (connected.contains(n) || **n == api.agent.me()));
    fresh.map(|(n, _)| *n).collect()
}

fn alarms(heard: &Heard) -> Vec<t::Warning> {
    let mut out = Vec::new();
    for (node, (_, soft)) in heard {
        for p in &soft.platforms {
            // A difference at a mark is told with its own code.
            let own = eport_model::codes::STATE_DIFFERS.to_string();
            if let Some(alarm) = p.alarm.as_ref().filter(|_| p.alarm_code.as_ref() != Some(&own)) {
                out.push(t::Warning {
                    code: p
                        .alarm_code
                        .clone()
                        .unwrap_or_else(|| eport_model::codes::JOURNAL_CORRUPT.to_string()),
                    text: format!("{node}, {}: {alarm}", p.region),
                });
            }
        }
    }
    out
}

/// Every node.
pub fn nodes(api: &Api) -> Vec<NodeStatus> {
    let view = api.registry.state();
    let heard = heard(api);
    let voters = api.registry.voters();
    let describe = |n: &eport_registry::Node| {
        let age = heard.get(&n.id).map(|(age, _)| *age);
        let state = match n.state {
            eport_registry::NodeState::Removed => NodeState::Removed,
            eport_registry::NodeState::Revoked => NodeState::Revoked,
            eport_registry::NodeState::Draining => NodeState::Draining,
            eport_registry::NodeState::Up => match age {
                Some(age) if age < UP => NodeState::Up,
                Some(age) if age < SUSPECT => NodeState::Suspect,
                _ => NodeState::Down,
            },
        };
        let told = heard.get(&n.id).map_or(n.software.as_str(), |(_, s)| s.version.as_str());
        let software = Software::read(told);
        NodeStatus {
            node: n.id,
            site: n.site,
            state,
            last_seen_s: age.map(|a| a.as_secs_f64()),
            voter: voters.contains(&n.id),
            reads: (n.incarnation > 0).then_some(n.reads),
            version: software.version,
            build: software.build,
            region: Some(n.region),
            api: Some(format!("https://{}", n.api)),
            certificate_ends: heard
                .get(&n.id)
                .map(|(_, s)| s.certificate.1)
                .filter(|end| *end != 0)
                .map(|end| eport_api_types::rfc3339(eport_model::Timestamp::from_millis(end))),
        }
    };
    view.state.nodes().map(describe).collect()
}

/// Every platform.
pub fn platforms(api: &Api) -> Vec<PlatformStatus> {
    let view = api.registry.state();
    let heard = heard(api);
    view.state.placements().map(|p| platform(&view.state, p, &heard)).collect()
}

/// One platform.
pub fn one_platform(api: &Api, region: RegionCode) -> Option<PlatformStatus> {
    let view = api.registry.state();
    view.state.placement(region).map(|p| platform(&view.state, p, &heard(api)))
}

fn replica(heard: &Heard, node: NodeId, region: RegionCode) -> Option<(Duration, &PlatformSoft)> {
    let (age, soft) = heard.get(&node)?;
    soft.platforms.iter().find(|p| p.region == region).map(|p| (*age, p))
}

/// What the open primary of a platform says of it, if it was heard of lately.
pub(crate) fn serving<'h>(p: &Placement, heard: &'h Heard) -> Option<(Duration, &'h PlatformSoft)> {
    replica(heard, p.primary, p.region).filter(|(age, soft)| {
        *age < UP && soft.epoch == p.epoch && matches!(soft.role.as_str(), "primary" | "handover")
    })
}

fn platform(state: &State, p: &Placement, heard: &Heard) -> PlatformStatus {
    let primary = replica(heard, p.primary, p.region);
    let serving = serving(p, heard);
    let named = p.backups.iter().map(|b| b.node).chain([p.primary]);
    let best = named
        .filter_map(|n| replica(heard, n, p.region))
        .max_by_key(|(_, s)| s.last.rank())
        .map(|(_, s)| s.last);
    let head = serving.map(|(_, s)| s.last).or(best).unwrap_or(p.start);
    let durability_now = match serving.map(|(_, s)| s.durability_now.as_str()) {
        Some("replicated") => DurabilityNow::Replicated,
        Some("local") => DurabilityNow::Local,
        _ => DurabilityNow::Blocked,
    };
    let fenced = primary.is_some_and(|(age, s)| age < UP && s.role == "fenced");
    PlatformStatus {
        region: p.region,
        name_zh: p.name_zh.clone(),
        name_en: p.name_en.clone(),
        kind: match state.kind(p.region) {
            Kind::Physical => PlatformKind::Physical,
            Kind::Virtual => PlatformKind::Virtual,
        },
        primary: p.primary,
        epoch: p.epoch,
        version: p.version,
        durability: words::durability(p.policy.durability).to_owned(),
        durability_now,
        proven: p.proven_k,
        min_durability: p.policy.min_durability.to_string(),
        isolation: words::isolation(p.policy.isolation).to_owned(),
        failover: words::failover(p.policy.failover).to_owned(),
        state: match p.state {
            PlacementState::Active if fenced => PlatformState::Fenced,
            PlacementState::Active => PlatformState::Active,
            PlacementState::Switching { .. } => PlatformState::Switching,
            PlacementState::Recovering { .. } => PlatformState::Recovering,
            PlacementState::Stopped => PlatformState::Stopped,
        },
        backups: p.backups.iter().map(|b| backup(b, p, serving.map(|(_, s)| s), heard, head)).collect(),
        records: head.index.as_u64(),
        head_digest: head.digest,
        away: state.is_away(p),
        copies: crate::verification::copies(p, heard),
        disk_bytes: primary.map_or(0, |(_, s)| s.disk_bytes),
        quota: state.quota(p.region).map(crate::hosting_api::quota_item),
    }
}

fn backup(
    b: &eport_registry::Backup,
    p: &Placement,
    primary: Option<&PlatformSoft>,
    heard: &Heard,
    head: eport_model::Position,
) -> t::BackupStatus {
    let seen = primary.and_then(|s| s.backups.iter().find(|x| x.node == b.node));
    let own = replica(heard, b.node, p.region).map(|(_, s)| s);
    let pick = |of_primary: fn(&eport_agent::BackupSoft) -> u64, of_self: fn(&PlatformSoft) -> u64| {
        seen.map(of_primary).or(own.map(of_self)).unwrap_or(0)
    };
    let durable = pick(|s| s.durable.as_u64(), |s| s.last.index.as_u64());
    let lag_records = head.index.as_u64().saturating_sub(durable);
    t::BackupStatus {
        node: b.node,
        in_sync: b.in_sync && crate::shipping_view::counts(seen, own),
        lag_records,
        // Whole seconds are enough for people; a level backup has no lag at all.
        lag_seconds: if lag_records == 0 {
            0.0
        } else {
            seen.map_or(0.0, |s| Duration::from_millis(s.behind_ms).as_secs_f64())
        },
        received: pick(|s| s.received.as_u64(), |s| s.last.index.as_u64()),
        durable,
        applied: pick(|s| s.applied.as_u64(), |s| s.applied.as_u64()),
        slot: seen.map(crate::shipping_view::slot),
        bootstrap: own.and_then(crate::shipping_view::bootstrap),
    }
}
