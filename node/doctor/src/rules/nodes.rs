//! Each node by itself: does it answer, is it ready, its clock, disk, limits, certificate, version.

use crate::kinds::{
    CERTIFICATE_ENDS_SOON, CERTIFICATE_EXPIRED, CLOCK_OFF, CLOCK_SET_BACK, DISK_FULL, DISK_SLOW,
    DISK_UNWRITABLE, FILES_FEW, NODE_NOT_READY, NODE_SILENT, VERSION_APART, VERSION_MIXED,
};
use crate::{Asked, Finding, Gathered, Severity, Words};
use eport_api_types::{NodeFacts, from_rfc3339};
use eport_model::{NodeId, Timestamp};
use std::collections::BTreeMap;

/// Clocks that differ by more are off (`clock_skew_max`, design §3).
const SKEW_MAX_MS: i64 = 500;
/// Below this much free space imports and checkpoints are refused already: 512 MiB.
const FREE_CRITICAL: u64 = 512 << 20;
/// Below this much free space somebody must make room: 2 GiB, or the hundredth part of a larger disk.
const FREE_LOW: u64 = 2 << 30;
/// A durable write of a fit disk takes a few milliseconds; a spinning one without a write cache some tens.
const FSYNC_SLOW_MS: f64 = 100.0;
/// Files of forty platforms (some hundred each is far above what they use) and their connections.
const FILES_MIN: u64 = 4_096;

pub(super) fn findings(g: &Gathered, now: Timestamp) -> Vec<Finding> {
    let mut out: Vec<Finding> = g.asked.iter().filter_map(silent).collect();
    for facts in g.facts() {
        out.extend(ready(facts));
        out.extend(disk(facts));
        out.extend(limits(facts));
        out.extend(certificate(facts, now));
        out.extend(set_back(facts));
    }
    out.extend(clocks(&g.asked));
    out.extend(versions(g));
    out
}

fn silent(asked: &Asked) -> Option<Finding> {
    if asked.facts.is_some() {
        return None;
    }
    let (code, text) = asked.fault.as_ref().map_or(("", "no answer"), |f| (f.code.as_str(), f.text.as_str()));
    let node = asked.node.to_string();
    let cause = Words::new(
        format!("{} gave no facts: {code} {text}", asked.api),
        format!("{} 未给出诊断信息：{code} {text}", asked.api),
    );
    Some(Finding::of(NODE_SILENT, &node, cause, format!("eport node show {node}")))
}

fn ready(f: &NodeFacts) -> Option<Finding> {
    let why = f.reasons.join("; ");
    let cause = Words::new(format!("it says: {why}"), format!("自述：{why}"));
    let next = format!("eport node show {}", f.node);
    (!f.ready).then(|| Finding::of(NODE_NOT_READY, f.node.to_string(), cause, next))
}

fn disk(f: &NodeFacts) -> Vec<Finding> {
    let (node, mut out) = (f.node.to_string(), Vec::new());
    if let Some(fault) = &f.disk.fault {
        let cause = Words::new(
            format!("a small write in the data directory failed: {fault}"),
            format!("数据目录写入失败：{fault}"),
        );
        out.push(Finding::of(DISK_UNWRITABLE, &node, cause, "journalctl -k --since -1h"));
    }
    let low = f.disk.total_bytes.map_or(FREE_LOW, |t| FREE_LOW.max(t / 100));
    if let Some(free) = f.disk.free_bytes.filter(|free| *free < low) {
        let mib = free >> 20;
        let cause = Words::new(format!("{mib} MiB are free"), format!("剩余 {mib} MiB"));
        let severity = if free < FREE_CRITICAL { Severity::Critical } else { Severity::Warning };
        out.push(Finding::of(DISK_FULL, &node, cause, "df -h").at(severity));
    }
    if let Some(ms) = f.disk.fsync_ms.filter(|ms| *ms > FSYNC_SLOW_MS) {
        let cause = Words::new(
            format!("the best of several durable writes took {ms:.0} ms"),
            format!("多次落盘中最快一次耗时 {ms:.0} 毫秒"),
        );
        out.push(Finding::of(DISK_SLOW, &node, cause, "iostat -x 1 5"));
    }
    out
}

fn limits(f: &NodeFacts) -> Option<Finding> {
    let most = f.files_max.filter(|n| *n < FILES_MIN)?;
    let cause = Words::new(
        format!("{most} files may be open, {FILES_MIN} are advised"),
        format!("最多可打开 {most} 个文件，建议不少于 {FILES_MIN}"),
    );
    Some(Finding::of(FILES_FEW, f.node.to_string(), cause, "systemctl edit eportd"))
}

/// The same measure as the node's own warning: the last fifth of its life, where the renewal at two thirds has failed for long.
fn certificate(f: &NodeFacts, now: Timestamp) -> Option<Finding> {
    let life = f.certificate.as_ref()?;
    let (from, to) = (from_rfc3339(&life.from)?.as_millis(), from_rfc3339(&life.to)?.as_millis());
    let left = to.saturating_sub(now.as_millis());
    let node = f.node.to_string();
    if left < 0 {
        let cause = Words::new(format!("it ended {}", life.to), format!("已于 {} 到期", life.to));
        return Some(Finding::of(CERTIFICATE_EXPIRED, &node, cause, "eport cert forecast"));
    }
    if left >= to.saturating_sub(from).max(0) / 5 {
        return None;
    }
    let cause = Words::new(
        format!("it ends {} and its renewal is overdue", life.to),
        format!("将于 {} 到期，续期已逾期", life.to),
    );
    Some(Finding::of(CERTIFICATE_ENDS_SOON, &node, cause, "eport cert forecast"))
}

fn set_back(f: &NodeFacts) -> Option<Finding> {
    let ms = Some(f.clock_back_ms).filter(|ms| *ms > 0)?;
    let cause = Words::new(
        format!("it lies {ms} ms behind a time that the node has seen"),
        format!("比该节点见过的时间早 {ms} 毫秒"),
    );
    Some(Finding::of(CLOCK_SET_BACK, f.node.to_string(), cause, "timedatectl status"))
}

/// Each clock against the median of all. An answer's time is known to half of its way; with two clocks none is the right one, so both
/// are named.
fn clocks(asked: &[Asked]) -> Vec<Finding> {
    let offset = |a: &Asked| {
        let facts = a.facts.as_ref()?;
        let wall = from_rfc3339(&facts.wall)?.as_millis();
        // The clock was read at the end of the node's own measurements: the rest of the time went into the way there and back.
        let busy = i64::try_from(facts.busy_ms).unwrap_or(i64::MAX).min(a.took_ms);
        let way = a.took_ms.saturating_sub(busy);
        let read_at = a.sent_ms.saturating_add(busy).saturating_add(way / 2);
        Some((a.node, wall.saturating_sub(read_at), way / 2 + 1))
    };
    let offsets: Vec<(NodeId, i64, i64)> = asked.iter().filter_map(offset).collect();
    let mut sorted: Vec<i64> = offsets.iter().map(|(_, o, _)| *o).collect();
    sorted.sort_unstable();
    let Some(median) = sorted.get(sorted.len() / 2).copied() else { return Vec::new() };
    let two = <[i64; 2]>::try_from(sorted.as_slice()).ok();
    let mut out = Vec::new();
    for (node, offset, unsure) in offsets {
        let apart = match two {
            Some([low, high]) => high.saturating_sub(low),
            None => offset.saturating_sub(median),
        };
        // The ways of two answers are unsure, this one's and that of the median.
        if apart.saturating_abs() <= SKEW_MAX_MS.saturating_add(unsure.saturating_mul(2)) {
            continue;
        }
        let cause = match two {
            Some(_) => Words::new(
                format!("two nodes differ by {} ms; with two it is not known which is wrong", apart.abs()),
                format!("两个节点相差 {} 毫秒；仅两个节点，无法判断哪个有误", apart.abs()),
            ),
            None => Words::new(
                format!("it is {apart} ms from the median of {} nodes", sorted.len()),
                format!("与 {} 个节点的中位数相差 {apart} 毫秒", sorted.len()),
            ),
        };
        out.push(Finding::of(CLOCK_OFF, node.to_string(), cause, "timedatectl status"));
    }
    out
}

fn versions(g: &Gathered) -> Vec<Finding> {
    let facts: Vec<&NodeFacts> = g.facts().collect();
    let mut out = Vec::new();
    let mut by: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for f in &facts {
        by.entry(&f.version).or_default().push(f.node.to_string());
    }
    if by.len() > 1 {
        let said: Vec<String> = by.iter().map(|(v, nodes)| format!("{v}: {}", nodes.join(", "))).collect();
        let cause = Words::same(said.join("; "));
        out.push(Finding::of(VERSION_MIXED, "federation", cause, "eport node list"));
    }
    for (i, a) in facts.iter().enumerate() {
        for b in facts.iter().skip(i + 1).filter(|b| a.wire.1 < b.wire.0 || b.wire.1 < a.wire.0) {
            let cause = Words::new(
                format!("wire {}–{} against {}–{}", a.wire.0, a.wire.1, b.wire.0, b.wire.1),
                format!("通信版本 {}–{} 对 {}–{}", a.wire.0, a.wire.1, b.wire.0, b.wire.1),
            );
            let subject = format!("{}, {}", a.node, b.node);
            out.push(Finding::of(VERSION_APART, subject, cause, "eport node list"));
        }
    }
    out
}
