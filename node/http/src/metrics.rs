//! `/metrics`: counters of requests, and gauges read from the node's status at each scrape.
//!
//! Labels have few values: region, node, role, status class. Never a document number.

use crate::sheet::Sheet;
use crate::state::Api;
use crate::{exchange_watch, federation};
use eport_agent::PlatformHandle;
use eport_watch::metric as m;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Requests by class of answer, and figures that are not read anew at each scrape.
#[derive(Debug, Default)]
pub struct Counters {
    answers: [AtomicU64; 6],
    documents: AtomicU64,
    /// Messages that wait, as last counted.
    pub(crate) exchange: exchange_watch::Kept,
}

impl Counters {
    /// Counts an answer by its HTTP status.
    pub fn answered(&self, status: u16) {
        let class = usize::from(status / 100).min(5);
        self.answers[class].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts accepted documents.
    pub fn accepted(&self, documents: u64) {
        self.documents.fetch_add(documents, Ordering::Relaxed);
    }
}

/// The whole page in OpenMetrics text. Reads rows of platforms: not for the threads that carry the heartbeats.
pub fn page(api: &Api) -> String {
    let mut sheet = Sheet::default();
    node(api, &mut sheet);
    registry(api, &mut sheet);
    served(api, &mut sheet);
    for handle in api.agent.platforms() {
        journal(&handle, &mut sheet);
        hosting(api, &handle, &mut sheet);
    }
    drills(api, &mut sheet);
    backup_set(api, &mut sheet);
    crate::expiry::gauges(api, &mut sheet);
    crate::desk::metrics(api, &mut sheet);
    crate::verification::metrics(api, &mut sheet);
    crate::tables_watch::metrics(api, &mut sheet);
    exchange_watch::metrics(api, &mut sheet);
    sheet.page()
}

/// This node, and which others it hears.
fn node(api: &Api, sheet: &mut Sheet) {
    sheet.put(&m::READY, api.ready.borrow().is_ok());
    sheet.put(&m::PEERS_CONNECTED, api.transport.connected().borrow().len());
    if let Some((free, size)) = api.agent.disk() {
        sheet.put(&m::DISK_FREE, free);
        sheet.put(&m::DISK_SIZE, size);
    }
    let up = federation::up(api, &federation::heard(api));
    for n in api.registry.state().state.nodes().filter(|n| n.is_member()) {
        sheet.put_for(&m::NODE_UP, [n.id.to_string()], up.contains(&n.id));
    }
    sheet.put(&m::DOCUMENTS, api.counters.documents.load(Ordering::Relaxed));
    for (class, count) in api.counters.answers.iter().enumerate().skip(1) {
        sheet.put_for(&m::HTTP_ANSWERS, [format!("{class}xx")], count.load(Ordering::Relaxed));
    }
}

/// The registry: its log, leader and quorum as this node sees them.
fn registry(api: &Api, sheet: &mut Sheet) {
    let voters = api.registry.voters();
    let up = federation::up(api, &federation::heard(api));
    sheet.put(&m::REGISTRY_APPLIED, api.registry.state().index);
    sheet.put(&m::REGISTRY_TERM, api.registry.term());
    sheet.put(&m::REGISTRY_IS_LEADER, api.registry.is_leader());
    sheet.put(&m::REGISTRY_HAS_LEADER, api.registry.leader().is_some());
    sheet.put(&m::REGISTRY_VOTERS, voters.len());
    sheet.put(&m::REGISTRY_VOTERS_UP, voters.iter().filter(|v| up.contains(v)).count());
    sheet.put(&m::REGISTRY_QUORUM, voters.len() / 2 + 1);
    if let Some(ms) = api.agent.soft_state().news_ms {
        sheet.put(&m::NEWS_AGE, Duration::from_millis(ms).as_secs_f64());
    }
    let waiting =
        api.registry.state().state.tails().filter(|t| t.state == eport_registry::TailState::Exported).count();
    sheet.put(&m::TAILS_WAITING, waiting);
}

/// Which platforms of the whole federation have a primary that this node hears.
fn served(api: &Api, sheet: &mut Sheet) {
    let heard = federation::heard(api);
    for p in api.registry.state().state.placements() {
        let served = federation::serving(p, &heard).is_some();
        sheet.put_for(&m::PLATFORM_SERVED, [p.region.to_string()], served);
    }
}

/// The reminder: when drills are due, and whether one is not over although it should be.
fn drills(api: &Api, sheet: &mut Sheet) {
    let (view, now) = (api.registry.state(), api.now());
    for s in view.state.drill_schedules() {
        let left = view.state.drill_due(s).as_millis().saturating_sub(now.as_millis());
        sheet.put_for(&m::DRILL_DUE, [s.region.to_string(), s.name.clone()], left.div_euclid(1_000));
    }
    let running = view.state.running_drill();
    sheet.put(&m::DRILL_RUNNING, running.is_some());
    sheet.put(&m::DRILL_OVERDUE, running.is_some_and(|d| d.is_overdue(now)));
}

/// The backups that this node makes by schedule; nothing where it makes none.
fn backup_set(api: &Api, sheet: &mut Sheet) {
    let Some(set) = api.agent.backup_set() else { return };
    let now = api.now().as_millis();
    let age = |at: Option<eport_model::Timestamp>| {
        at.map_or(-1, |at| now.saturating_sub(at.as_millis()).max(0) / 1_000)
    };
    sheet.put(&m::BACKUP_AGE, age(set.newest.map(|made| made.at)));
    sheet.put(&m::BACKUP_DUE, set.due.as_millis().saturating_sub(now).div_euclid(1_000));
    sheet.put(&m::BACKUP_FAILURES, i64::from(set.failures));
    sheet.put(&m::BACKUPS_KEPT, set.kept);
    sheet.put(&m::RESTORE_TEST_AGE, age(set.passed_at));
    sheet.put(&m::RESTORE_TEST_FAILED, set.test.as_ref().is_some_and(|t| !t.passed()));
}

/// What a platform kept here takes, may take, and is refused.
fn hosting(api: &Api, handle: &PlatformHandle, sheet: &mut Sheet) {
    let region = || [handle.region().to_string()];
    sheet.put_for(&m::PLATFORM_DISK, region(), handle.store().disk_bytes());
    if let Some(most) = api.registry.state().state.quota_limits(handle.region()).disk_bytes {
        sheet.put_for(&m::PLATFORM_DISK_QUOTA, region(), most);
    }
    let counted = api.hosting.gate(handle.region()).counted();
    sheet.put_for(&m::SERVED, region(), counted.served);
    sheet.put_for(&m::TURNS, region(), counted.turns);
    sheet.put_for(&m::TURNS_WAITED, region(), Duration::from_millis(counted.waited_ms).as_secs_f64());
    for (quota, count) in
        [("requests", counted.refused_rate), ("bytes", counted.refused_bytes), ("disk", counted.refused_disk)]
    {
        let [region] = region();
        sheet.put_for(&m::REFUSED, [region, quota.to_owned()], count);
    }
}

/// A platform's journal here and, at its primary, those of its backups.
fn journal(handle: &PlatformHandle, sheet: &mut Sheet) {
    let status = handle.status().borrow().clone();
    let region = || [handle.region().to_string()];
    sheet.put_for(&m::JOURNAL_LAST, region(), status.last.index.as_u64());
    sheet.put_for(&m::JOURNAL_APPLIED, region(), status.applied.as_u64());
    sheet.put_for(&m::EPOCH, region(), status.primary().map_or(0, |(_, e)| e.as_u64()));
    sheet.put_for(&m::IS_PRIMARY, region(), status.is_open());
    sheet.put_for(&m::ALARM, region(), status.alarm.is_some());
    sheet.put_for(&m::SHIPPING_FLOOR, region(), status.shipping_floor.as_u64());
    sheet.put_for(&m::BOOTSTRAP, region(), status.bootstrap.as_ref().map_or(0, |b| b.bytes));
    sheet.put_for(&m::BOOTSTRAP_TOTAL, region(), status.bootstrap.as_ref().map_or(0, |b| b.total));
    let (fsyncs, took) = handle.store().fsyncs();
    sheet.put_for(&m::FSYNCS, region(), fsyncs);
    sheet.put_for(&m::FSYNC_TIME, region(), took.as_secs_f64());
    if let Some(placement) = status.placement.as_ref().filter(|_| status.is_open()) {
        let promised = !matches!(placement.policy.durability, eport_registry::DurabilityMode::Async);
        let degraded =
            status.durability_now == "blocked" || promised && status.durability_now != "replicated";
        sheet.put_for(&m::DEGRADED, region(), degraded);
    }
    for b in &status.backups {
        let labels = || [handle.region().to_string(), b.node.to_string()];
        let lacks = status.last.index.since(b.durable);
        sheet.put_for(&m::LAG_RECORDS, labels(), lacks);
        // A backup that is level has no lag, however long ago it last said so.
        let behind = if lacks == 0 { 0 } else { b.behind_ms };
        sheet.put_for(&m::LAG_SECONDS, labels(), Duration::from_millis(behind).as_secs_f64());
        sheet.put_for(&m::SLOT_LOST, labels(), b.slot.lost);
    }
}
