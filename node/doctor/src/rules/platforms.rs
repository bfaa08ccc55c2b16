//! Platforms: can they be written, do their backups hold, what lies beside their journals.

use crate::kinds::{
    BACKUP_BEHIND, JOURNAL_KEPT, PLATFORM_BLOCKED, PLATFORM_LOCAL, PLATFORM_STOPPED, QUOTA_NEAR, SLOT_LOST,
    TAIL_OPEN,
};
use crate::{Finding, Gathered, Severity, Words};
use eport_api_types::{BackupStatus, DurabilityNow, FederationStatus, PlatformState, PlatformStatus};

/// A backup in sync may lack what is under way; longer than this it is late, half a minute.
const LAG_S: f64 = 30.0;

pub(super) fn findings(g: &Gathered) -> Vec<Finding> {
    let mut out = Vec::new();
    if let Some(status) = &g.status {
        for p in &status.platforms {
            out.extend(service(p));
            out.extend(quota(p));
            for b in &p.backups {
                out.extend(backup(status, p, b));
            }
        }
        for kept in &status.kept_journals {
            let cause = Words::new(
                format!("a journal of platform {} lies on {} without a duty", kept.region, kept.node),
                format!("节点 {} 上有平台 {} 的无归属日志", kept.node, kept.region),
            );
            let next = format!("eport platform adopt {} --node {} --dry-run", kept.region, kept.node);
            out.push(Finding::of(JOURNAL_KEPT, format!("{} on {}", kept.region, kept.node), cause, next));
        }
    }
    out.extend(tails(g));
    out
}

fn service(p: &PlatformStatus) -> Option<Finding> {
    let region = p.region;
    let subject = region.to_string();
    let state = match p.state {
        PlatformState::Active => None,
        // A handover lasts a fraction of a second; who asks in that moment is told by the moves.
        PlatformState::Switching => return None,
        PlatformState::Recovering => {
            Some(("is recovering: a failover waits for answers", "正在恢复：故障切换等待应答"))
        }
        PlatformState::Fenced => Some(("is fenced: its primary stopped", "已被隔离：主节点已停止")),
        PlatformState::Stopped => Some(("was stopped by an operator", "已由操作员停止")),
    };
    if let Some((en, zh)) = state {
        let cause = Words::new(format!("platform {region} {en}"), format!("平台 {region} {zh}"));
        let next = format!("eport platform history {region}");
        return Some(Finding::of(PLATFORM_STOPPED, subject, cause, next));
    }
    match p.durability_now {
        DurabilityNow::Replicated => None,
        DurabilityNow::Blocked => {
            let cause = Words::new(
                format!("policy {} at primary {}: no answer is possible now", p.durability, p.primary),
                format!("主节点 {}，策略 {}：目前无法应答写入", p.primary, p.durability),
            );
            let next = format!("eport platform show {region}");
            Some(Finding::of(PLATFORM_BLOCKED, subject, cause, next))
        }
        DurabilityNow::Local => {
            let cause = Words::new(
                format!("policy {}: answers promise the disk of {} only", p.durability, p.primary),
                format!("策略 {}：应答仅保证 {} 本地落盘", p.durability, p.primary),
            );
            let found = Finding::of(PLATFORM_LOCAL, subject, cause, format!("eport platform show {region}"));
            // Where the policy asks for no more, that is what was chosen; the planner says what it costs.
            Some(if p.durability == "async" { found.at(Severity::Info) } else { found })
        }
    }
}

fn quota(p: &PlatformStatus) -> Option<Finding> {
    let most = p.quota.as_ref()?.disk_bytes.filter(|m| *m > 0)?;
    if p.disk_bytes < most / 5 * 4 {
        return None;
    }
    let (used, most) = (p.disk_bytes >> 20, most >> 20);
    let cause =
        Words::new(format!("{used} of {most} MiB are used"), format!("已用 {used} MiB，配额 {most} MiB"));
    let region = p.region;
    Some(Finding::of(QUOTA_NEAR, region.to_string(), cause, format!("eport platform usage {region}")))
}

fn backup(status: &FederationStatus, p: &PlatformStatus, b: &BackupStatus) -> Option<Finding> {
    let (region, node) = (p.region, b.node);
    let subject = format!("{region} on {node}");
    let slot = b.slot.as_ref().map_or("kept", |s| s.state.as_str());
    if slot != "kept" {
        let cause = Words::new(
            format!("backup {node} lacks {} records; its slot is {slot}", b.lag_records),
            format!("备份 {node} 缺少 {} 条记录，保留槽状态 {slot}", b.lag_records),
        );
        return Some(Finding::of(SLOT_LOST, subject, cause, format!("eport platform show {region}")));
    }
    // A policy without a promise never takes a backup into the set: only its lag counts then.
    let behind = (!b.in_sync && p.durability != "async") || b.lag_seconds > LAG_S;
    if !behind {
        return None;
    }
    let site = status.nodes.iter().find(|n| n.node == node).map(|n| n.site.to_string()).unwrap_or_default();
    let cause = Words::new(
        format!(
            "backup {node} of site {site} lacks {} records, {:.0} s; in sync: {}",
            b.lag_records, b.lag_seconds, b.in_sync
        ),
        format!(
            "站点 {site} 的备份 {node} 缺少 {} 条记录，落后 {:.0} 秒；同步：{}",
            b.lag_records,
            b.lag_seconds,
            if b.in_sync { "是" } else { "否" }
        ),
    );
    Some(Finding::of(BACKUP_BEHIND, subject, cause, format!("eport node show {node}")))
}

fn tails(g: &Gathered) -> Vec<Finding> {
    let open = g.tails.iter().filter(|t| t.state == "exported");
    open.map(|t| {
        let documents = t.documents.map_or(0, |d| d.total);
        let cause = Words::new(
            format!("{} records ({documents} documents) of {} in epoch {} wait", t.records, t.node, t.epoch),
            format!("节点 {} 第 {} 纪元的 {} 条记录（{documents} 份单证）待处理", t.node, t.epoch, t.records),
        );
        Finding::of(TAIL_OPEN, format!("{} {}", t.region, t.id), cause, format!("eport tail show {}", t.id))
    })
    .collect()
}
