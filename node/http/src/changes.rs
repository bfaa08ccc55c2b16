//! What changed on this node, noted once a second in a file beside its data: readiness, links, leader, roles, promises, alarms. For the
//! timeline of an incident; nothing is decided by it.
//!
//! Always holds: two files of at most `FILE_LEN_MAX` bytes; a line that cannot be written is lost and the node goes on.

use crate::state::Api;
use eport_api_types::{IncidentEvent, rfc3339};
use eport_model::{NodeId, RegionCode, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::watch;
use tracing::warn;

/// Bytes of one file; the older one holds as many again. Some tens of thousands of changes.
const FILE_LEN_MAX: u64 = 2 << 20;
const FILE: &str = "changes.ndjson";
const OLDER: &str = "changes.older.ndjson";

/// What is compared from second to second.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Snapshot {
    unready: Option<String>,
    peers: BTreeSet<NodeId>,
    leader: Option<NodeId>,
    platforms: BTreeMap<RegionCode, PlatformSnapshot>,
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct PlatformSnapshot {
    role: String,
    epoch: u64,
    promise: String,
    alarm: Option<String>,
}

fn snapshot(api: &Api) -> Snapshot {
    let soft = api.agent.soft_state();
    let of = |p: &eport_agent::PlatformSoft| PlatformSnapshot {
        role: p.role.clone(),
        epoch: p.epoch.as_u64(),
        promise: if p.role == "primary" { p.durability_now.clone() } else { String::new() },
        alarm: p.alarm.clone(),
    };
    Snapshot {
        unready: api.ready.borrow().clone().err(),
        peers: api.transport.connected().borrow().clone(),
        leader: api.registry.leader(),
        platforms: soft.platforms.iter().map(|p| (p.region, of(p))).collect(),
    }
}

/// What is told of the step from one second to the next: name, platform, one line.
fn differences(before: &Snapshot, after: &Snapshot) -> Vec<(&'static str, Option<RegionCode>, String)> {
    let mut out = Vec::new();
    match (&before.unready, &after.unready) {
        (old, Some(why)) if old.as_ref() != Some(why) => {
            out.push(("node.unready", None, format!("takes no requests: {why}")));
        }
        (Some(_), None) => out.push(("node.ready", None, "takes requests".to_owned())),
        _ => {}
    }
    for lost in before.peers.difference(&after.peers) {
        out.push(("link.lost", None, format!("lost the connection to {lost}")));
    }
    for found in after.peers.difference(&before.peers) {
        out.push(("link.made", None, format!("is connected to {found}")));
    }
    if before.leader != after.leader {
        let text = after.leader.map_or_else(|| "knows no leader".to_owned(), |l| format!("follows {l}"));
        out.push(("registry.leader", None, text));
    }
    let regions: BTreeSet<RegionCode> =
        before.platforms.keys().chain(after.platforms.keys()).copied().collect();
    let none = PlatformSnapshot::default();
    for region in regions {
        let old = before.platforms.get(&region).unwrap_or(&none);
        let new = after.platforms.get(&region).unwrap_or(&none);
        if (&old.role, old.epoch) != (&new.role, new.epoch) {
            let role = if new.role.is_empty() { "no copy" } else { &new.role };
            out.push(("platform.role", Some(region), format!("is {role} in epoch {}", new.epoch)));
        }
        if old.promise != new.promise && !new.promise.is_empty() {
            out.push(("platform.promise", Some(region), format!("answers are {}", new.promise)));
        }
        if let Some(alarm) = new.alarm.as_ref().filter(|a| old.alarm.as_ref() != Some(a)) {
            out.push(("platform.alarm", Some(region), alarm.clone()));
        }
    }
    out
}

/// Notes changes until the node stops.
pub async fn follow(api: Api, mut stop: watch::Receiver<bool>) {
    let mut every = tokio::time::interval(Duration::from_secs(1));
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let started = ("node.started", None, format!("version {} started", env!("CARGO_PKG_VERSION")));
    let mut last = Snapshot::default();
    let mut waiting = vec![started];
    let mut told = false;
    loop {
        let ending = tokio::select! {
            _ = stop.wait_for(|s| *s) => true,
            _ = every.tick() => false,
        };
        let now = snapshot(&api);
        let mut changes = std::mem::take(&mut waiting);
        changes.extend(differences(&last, &now));
        if ending {
            changes.push(("node.stopping", None, "stops".to_owned()));
        }
        last = now;
        if !changes.is_empty() {
            let (dir, node, at) = (api.config.data_dir.clone(), api.agent.me(), api.now());
            let wrote = tokio::task::spawn_blocking(move || append(&dir, &lines(node, at, changes))).await;
            if let (Ok(Err(error)), false) = (&wrote, told) {
                warn!(%error, "what changes on this node cannot be noted");
                told = true;
            }
        }
        if ending {
            return;
        }
    }
}

fn lines(node: NodeId, at: Timestamp, changes: Vec<(&'static str, Option<RegionCode>, String)>) -> String {
    let line = |(event, region, text): (&str, Option<RegionCode>, String)| {
        let event = IncidentEvent {
            at: rfc3339(at),
            source: "state".to_owned(),
            id: String::new(),
            event: event.to_owned(),
            node: Some(node),
            region,
            by: String::new(),
            text: eport_doctor::redact(&text),
        };
        serde_json::to_string(&event).map(|l| l + "\n").unwrap_or_default()
    };
    changes.into_iter().map(line).collect()
}

fn append(dir: &Path, lines: &str) -> std::io::Result<()> {
    let path = dir.join(FILE);
    if fs::metadata(&path).is_ok_and(|m| m.len() >= FILE_LEN_MAX) {
        fs::rename(&path, dir.join(OLDER))?;
    }
    OpenOptions::new().create(true).append(true).open(&path)?.write_all(lines.as_bytes())
}

/// What was noted, oldest first; a line that is no event is passed over: the last one may be half written.
pub(crate) fn noted(dir: PathBuf) -> Vec<IncidentEvent> {
    let mut out = Vec::new();
    for name in [OLDER, FILE] {
        let text = fs::read(dir.join(name)).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        out.extend(text.lines().filter_map(|l| serde_json::from_str::<IncidentEvent>(l).ok()));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(before: &Snapshot, after: &Snapshot) -> Vec<&'static str> {
        differences(before, after).into_iter().map(|(name, _, _)| name).collect()
    }

    #[test]
    fn each_change_is_told_once_and_what_stays_is_not() {
        let peer: NodeId = "gz-c-1".parse().unwrap();
        let region: RegionCode = "440300".parse().unwrap();
        let platform = |role: &str, epoch: u64, promise: &str| PlatformSnapshot {
            role: role.into(),
            epoch,
            promise: promise.into(),
            alarm: None,
        };
        let quiet = Snapshot {
            peers: [peer].into(),
            leader: Some(peer),
            platforms: [(region, platform("primary", 1, "replicated"))].into(),
            ..Snapshot::default()
        };
        assert!(names(&quiet, &quiet).is_empty());
        assert_eq!(names(&quiet, &Snapshot { peers: BTreeSet::new(), ..quiet.clone() }), ["link.lost"]);
        assert_eq!(names(&quiet, &Snapshot { leader: None, ..quiet.clone() }), ["registry.leader"]);
        let unready = Snapshot { unready: Some("x".into()), ..quiet.clone() };
        assert_eq!(names(&quiet, &unready), ["node.unready"]);
        assert_eq!(names(&unready, &quiet), ["node.ready"]);
        let blocked = [(region, platform("primary", 1, "blocked"))].into();
        assert_eq!(names(&quiet, &Snapshot { platforms: blocked, ..quiet.clone() }), ["platform.promise"]);
        let fenced = [(region, platform("fenced", 2, ""))].into();
        assert_eq!(names(&quiet, &Snapshot { platforms: fenced, ..quiet.clone() }), ["platform.role"]);
    }
}
