//! `/metrics`: counters of requests and gauges read from the node's status at each scrape.
//!
//! Labels have few values: region, node, role, status class. Never a document number.

use crate::state::Api;
use prometheus_client::encoding::{EncodeLabelSet, text::encode};
use prometheus_client::metrics::{family::Family, gauge::Gauge};
use prometheus_client::registry::Registry;
use std::sync::atomic::{AtomicU64, Ordering};

/// Requests by class of answer.
#[derive(Debug, Default)]
pub struct Counters {
    answers: [AtomicU64; 6],
    documents: AtomicU64,
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

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct PlatformLabels {
    region: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct BackupLabels {
    region: String,
    backup: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ClassLabels {
    class: String,
}

/// The whole page in OpenMetrics text.
pub fn page(api: &Api) -> String {
    let mut registry = Registry::with_prefix("eport");
    let view = api.registry.state();
    let gauge = |registry: &mut Registry, name: &str, help: &str, value: u64| {
        let g: Gauge = Gauge::default();
        g.set(i64::try_from(value).unwrap_or(i64::MAX));
        registry.register(name, help, g);
    };
    gauge(
        &mut registry,
        "registry_applied_index",
        "Registry log index applied here; standing still under change means no quorum",
        view.index,
    );
    gauge(&mut registry, "registry_term", "Raft term; a rise means a change of leader", api.registry.term());
    gauge(
        &mut registry,
        "registry_is_leader",
        "1 while this node leads the registry",
        u64::from(api.registry.is_leader()),
    );
    gauge(
        &mut registry,
        "peers_connected",
        "Connected nodes; a fall means a lost link or node",
        api.transport.connected().borrow().len() as u64,
    );
    gauge(&mut registry, "ready", "1 while this node takes requests", u64::from(api.ready.borrow().is_ok()));
    let accepted = api.counters.documents.load(Ordering::Relaxed);
    gauge(
        &mut registry,
        "documents_accepted_total",
        "Documents accepted by this process as primary",
        accepted,
    );
    let answers: Family<ClassLabels, Gauge> = Family::default();
    for (class, count) in api.counters.answers.iter().enumerate().skip(1) {
        let labels = ClassLabels { class: format!("{class}xx") };
        answers.get_or_create(&labels).set(i64::try_from(count.load(Ordering::Relaxed)).unwrap_or(i64::MAX));
    }
    registry.register(
        "http_answers_total",
        "HTTP answers by status class; 5xx rising means a person should look",
        answers,
    );
    platforms(api, &mut registry);
    drills(api, &mut registry);
    backup_set(api, &mut registry);
    crate::expiry::gauges(api, &mut registry);
    crate::desk::metrics(api, &mut registry);
    crate::verification::metrics(api, &mut registry);
    crate::tables_watch::metrics(api, &mut registry);
    let mut text = String::new();
    // Writing into a string fails only when a label cannot be formatted; ours are plain text.
    if encode(&mut text, &registry).is_err() {
        text.push_str("# EOF\n");
    }
    text
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct DrillLabels {
    region: String,
    drill: String,
}

/// The reminder: when drills are due, and whether one is not over although it should be.
fn drills(api: &Api, registry: &mut Registry) {
    let (view, now) = (api.registry.state(), api.now());
    let due: Family<DrillLabels, Gauge> = Family::default();
    for s in view.state.drill_schedules() {
        let labels = DrillLabels { region: s.region.to_string(), drill: s.name.clone() };
        let left = view.state.drill_due(s).as_millis().saturating_sub(now.as_millis());
        due.get_or_create(&labels).set(left.div_euclid(1_000));
    }
    registry.register("drill_due_seconds", "Seconds until a scheduled drill is due; below 0 it is late", due);
    let flag = |on: bool| {
        let g: Gauge = Gauge::default();
        g.set(i64::from(on));
        g
    };
    let running = view.state.running_drill();
    registry.register("drill_running", "1 while a drill runs", flag(running.is_some()));
    let overdue = running.is_some_and(|d| d.is_overdue(now));
    registry.register("drill_overdue", "1 while a drill is past its deadline and not over", flag(overdue));
}

/// The backups that this node makes by schedule; nothing where it makes none.
fn backup_set(api: &Api, registry: &mut Registry) {
    let Some(set) = api.agent.backup_set() else { return };
    let now = api.now().as_millis();
    let mut put = |name: &str, help: &str, value: i64| {
        let g: Gauge = Gauge::default();
        g.set(value);
        registry.register(name, help, g);
    };
    let age = |at: Option<eport_model::Timestamp>| {
        at.map_or(-1, |at| now.saturating_sub(at.as_millis()).max(0) / 1_000)
    };
    put(
        "scheduled_backup_age_seconds",
        "Age of the newest whole backup of this node; -1 while there is none",
        age(set.newest.map(|m| m.at)),
    );
    put(
        "scheduled_backup_due_seconds",
        "Seconds until the next backup of this node is due; below 0 it is late",
        set.due.as_millis().saturating_sub(now).div_euclid(1_000),
    );
    put(
        "scheduled_backup_failures",
        "Attempts at a backup that failed in a row; above 0 a person should look",
        i64::from(set.failures),
    );
    put(
        "scheduled_backups_kept",
        "Whole backups of this node at its target",
        i64::try_from(set.kept).unwrap_or(i64::MAX),
    );
    put(
        "restore_test_age_seconds",
        "Time since a restore test of this node's backups passed; -1 while none has",
        age(set.passed_at),
    );
    let failed = set.test.as_ref().is_some_and(|t| !t.passed());
    put(
        "restore_test_failed",
        "1 while the last restore test did not pass; a person must look",
        i64::from(failed),
    );
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RefusedLabels {
    region: String,
    quota: String,
}

/// What each platform kept here takes, may take, and is refused.
fn hosting(api: &Api, registry: &mut Registry) {
    let family = || Family::<PlatformLabels, Gauge>::default();
    let (disk, disk_max, served, turns, waited) = (family(), family(), family(), family(), family());
    let refused: Family<RefusedLabels, Gauge> = Family::default();
    let number = |v: u64| i64::try_from(v).unwrap_or(i64::MAX);
    let view = api.registry.state();
    for handle in api.agent.platforms() {
        let region = handle.region().to_string();
        let labels = PlatformLabels { region: region.clone() };
        disk.get_or_create(&labels).set(number(handle.store().disk_bytes()));
        if let Some(most) = view.state.quota_limits(handle.region()).disk_bytes {
            disk_max.get_or_create(&labels).set(number(most));
        }
        let counted = api.hosting.gate(handle.region()).counted();
        served.get_or_create(&labels).set(number(counted.served));
        turns.get_or_create(&labels).set(number(counted.turns));
        waited.get_or_create(&labels).set(number(counted.waited_ms));
        for (quota, count) in [
            ("requests", counted.refused_rate),
            ("bytes", counted.refused_bytes),
            ("disk", counted.refused_disk),
        ] {
            let labels = RefusedLabels { region: region.clone(), quota: quota.to_owned() };
            refused.get_or_create(&labels).set(number(count));
        }
    }
    registry.register("platform_disk_bytes", "Bytes that each platform takes on this node's disk", disk);
    registry.register(
        "platform_disk_quota_bytes",
        "Bytes that each platform may take on its primary's disk",
        disk_max,
    );
    registry.register(
        "platform_requests_served_total",
        "Requests served here, a batch once a document",
        served,
    );
    registry.register(
        "platform_refused_total",
        "Requests refused here for a quota; rising means a flood or a quota too small",
        refused,
    );
    registry.register("platform_turns_total", "Turns of work that each platform was given here", turns);
    registry.register(
        "platform_turns_waited_milliseconds_total",
        "Time that requests of each platform waited for a turn here; rising for one means it floods, for all the node is full",
        waited,
    );
}

fn platforms(api: &Api, registry: &mut Registry) {
    let family = || Family::<PlatformLabels, Gauge>::default();
    let (last, applied, epoch, open, alarm) = (family(), family(), family(), family(), family());
    let lag: Family<BackupLabels, Gauge> = Family::default();
    let lost: Family<BackupLabels, Gauge> = Family::default();
    let (taken, whole, floor) = (family(), family(), family());
    for handle in api.agent.platforms() {
        let status = handle.status().borrow().clone();
        let labels = PlatformLabels { region: handle.region().to_string() };
        let set = |f: &Family<PlatformLabels, Gauge>, v: u64| {
            f.get_or_create(&labels).set(i64::try_from(v).unwrap_or(i64::MAX));
        };
        set(&last, status.last.index.as_u64());
        set(&applied, status.applied.as_u64());
        set(&epoch, status.primary().map_or(0, |(_, e)| e.as_u64()));
        set(&open, u64::from(status.is_open()));
        set(&alarm, u64::from(status.alarm.is_some()));
        set(&floor, status.shipping_floor.as_u64());
        set(&taken, status.bootstrap.as_ref().map_or(0, |b| b.bytes));
        set(&whole, status.bootstrap.as_ref().map_or(0, |b| b.total));
        for b in &status.backups {
            let labels = BackupLabels { region: handle.region().to_string(), backup: b.node.to_string() };
            let behind = status.last.index.since(b.durable);
            lag.get_or_create(&labels).set(i64::try_from(behind).unwrap_or(i64::MAX));
            lost.get_or_create(&labels).set(i64::from(b.slot.lost));
        }
    }
    hosting(api, registry);
    registry.register("journal_last_index", "Last fsynced record of each platform kept here", last);
    registry.register(
        "journal_applied_index",
        "Last applied record; far behind the last one means a slow disk",
        applied,
    );
    registry.register("platform_epoch", "Epoch of each platform; a rise means a move", epoch);
    registry.register("platform_is_primary", "1 while this node is the open primary", open);
    registry.register("platform_alarm", "1 while a platform here has an alarm; a person must look", alarm);
    registry.register(
        "slot_lost",
        "1 while a backup lacks more than is kept for shipping and takes a checkpoint",
        lost,
    );
    registry.register("shipping_floor_index", "First record that shipping may still need", floor);
    registry.register(
        "bootstrap_bytes",
        "Bytes here of the checkpoint that a platform takes; 0 for none",
        taken,
    );
    registry.register("bootstrap_total_bytes", "Bytes of the whole checkpoint; 0 for none", whole);
    registry.register("backup_lag_records", "Records a backup lacks, as its primary sees it", lag);
}
