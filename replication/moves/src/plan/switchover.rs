//! Planned moves: they lose nothing, so every doubt is a reason not to begin.

use super::{check, refusal, step};
use crate::Observed;
use eport_model::{NodeId, codes};
use eport_registry::{
    Check, DurabilityMode, ExpectedLoss, MoveKind, NodeState, Placement, PlacementState, Plan, PlanStep, Role,
};

/// A target further behind is not switched to: the old primary would hold requests for too long. It starts to hold only
/// when the target is within the journal's own, smaller limit.
const LAG_MAX: u64 = 10_000;
/// A target that said nothing for so long may stand still, although its connection is not given up yet.
const SILENT_MS: i64 = 5_000;
/// A node with less free space takes no platform over: some minutes of writes at full speed.
const FREE_MIN: u64 = 64 << 20;

pub(super) fn plan(observed: &Observed<'_>, placement: &Placement, kind: MoveKind, to: NodeId) -> Plan {
    let mut checks = vec![
        active(placement),
        target(placement, to),
        in_sync(placement, to),
        up(observed, to),
        connected(observed, "target_connected", to),
        connected(observed, "primary_connected", placement.primary),
        lag(observed, placement, to),
        lineage(observed, to),
        tables(observed, to),
        disk(observed, to),
        backups_after(observed, placement, to),
    ];
    checks.extend(kind_check(observed, placement, kind, to));
    let refused = refusal(placement, &checks, |_| true, codes::MOVE_UNSAFE);
    Plan {
        region: placement.region,
        kind,
        from: placement.primary,
        to: Some(to),
        version: placement.version,
        steps: steps(placement, to),
        checks,
        expected_loss: ExpectedLoss::default(),
        refused,
    }
}

fn steps(placement: &Placement, to: NodeId) -> Vec<PlanStep> {
    let from = placement.primary;
    vec![
        step(
            "open",
            format!("登记由 {from} 切换到 {to}"),
            format!("record the switchover from {from} to {to}"),
        ),
        step("catch_up", format!("{to} 追上日志"), format!("{to} catches up")),
        step(
            "hold",
            format!("{from} 暂存新请求并写入屏障记录"),
            format!("{from} holds new requests and writes a barrier"),
        ),
        step(
            "verify",
            format!("{to} 持久化并应用至屏障，摘要一致"),
            format!("{to} is durable and applied up to the barrier, digests equal"),
        ),
        step(
            "commit",
            format!("{from} 提交下一纪元，主节点为 {to}"),
            format!("{from} commits the next epoch with {to}"),
        ),
        step(
            "open_target",
            format!("{to} 开始服务，转交暂存请求"),
            format!("{to} serves; held requests are forwarded"),
        ),
        step("follow", format!("{from} 作为备份跟随"), format!("{from} follows as a backup")),
    ]
}

fn active(placement: &Placement) -> Check {
    let ok = placement.state == PlacementState::Active;
    let word = placement.state.word();
    check("platform_active", ok, format!("平台状态为 {word}"), format!("the platform is {word}"))
}

fn target(placement: &Placement, to: NodeId) -> Check {
    let (region, known) = (placement.region, placement.backup(to));
    if to == placement.primary {
        return check("target", false, format!("{to} 已是主节点"), format!("{to} is the primary already"));
    }
    match known {
        None => check(
            "target",
            false,
            format!("{to} 不是平台 {region} 的备份"),
            format!("{to} is no backup of {region}"),
        ),
        Some(b) if b.leaving => check("target", false, format!("{to} 即将离开"), format!("{to} is leaving")),
        Some(_) => check("target", true, format!("{to} 是备份"), format!("{to} is a backup")),
    }
}

fn in_sync(placement: &Placement, to: NodeId) -> Check {
    if placement.policy.durability == DurabilityMode::Async {
        return check(
            "target_in_sync",
            true,
            "异步策略不要求同步",
            "an async policy asks for no in-sync backup",
        );
    }
    let ok = placement.backup(to).is_some_and(|b| b.in_sync);
    let (zh, en) = if ok { ("已同步", "is in sync") } else { ("未同步", "is not in sync") };
    check("target_in_sync", ok, format!("{to} {zh}"), format!("{to} {en}"))
}

fn up(observed: &Observed<'_>, to: NodeId) -> Check {
    match observed.state.node(to).map(|n| n.state) {
        Some(NodeState::Up) => {
            check("target_up", true, format!("{to} 可承担职责"), format!("{to} may take duties"))
        }
        Some(other) => check(
            "target_up",
            false,
            format!("{to} 状态为 {other:?}"),
            format!("{to} is {other:?} and takes no new duty"),
        ),
        None => check("target_up", false, format!("没有节点 {to}"), format!("there is no node {to}")),
    }
}

fn connected(observed: &Observed<'_>, name: &str, node: NodeId) -> Check {
    let ok = observed.reachable.contains(&node);
    let (zh, en) = if ok { ("已连接", "is connected") } else { ("未连接", "is not connected") };
    check(name, ok, format!("{node} {zh}"), format!("{node} {en}"))
}

fn lag(observed: &Observed<'_>, placement: &Placement, to: NodeId) -> Check {
    let (ours, theirs) = (observed.replicas.get(&placement.primary), observed.replicas.get(&to));
    let (Some(ours), Some(theirs)) = (ours, theirs) else {
        return check("lag", false, "目标的日志位置未知", "the journal positions are not known yet");
    };
    let silent_ms = observed.now.as_millis().saturating_sub(theirs.at.as_millis());
    if silent_ms > SILENT_MS {
        let zh = format!("{to} 已 {} 秒没有消息", silent_ms / 1_000);
        return check("lag", false, zh, format!("{to} was last heard of {} s ago", silent_ms / 1_000));
    }
    let behind = ours.durable.index.since(theirs.durable.index);
    let (zh, en) = (
        format!("{to} 落后 {behind} 条（上限 {LAG_MAX}）"),
        format!("{to} is {behind} records behind (limit {LAG_MAX})"),
    );
    check("lag", behind <= LAG_MAX, zh, en)
}

fn lineage(observed: &Observed<'_>, to: NodeId) -> Check {
    let ours = observed.state.federation().map(|f| f.lineage);
    match observed.replicas.get(&to) {
        Some(fact) if Some(fact.lineage) == ours => check("lineage", true, "同一谱系", "same lineage"),
        Some(fact) => check(
            "lineage",
            false,
            format!("{to} 的日志属于谱系 {}", fact.lineage),
            format!("the journal of {to} belongs to lineage {}", fact.lineage),
        ),
        None => check(
            "lineage",
            false,
            format!("{to} 的谱系未知"),
            format!("the lineage of {to} is not known yet"),
        ),
    }
}

/// Documents are judged by tables: the target must have every version in force.
fn tables(observed: &Observed<'_>, to: NodeId) -> Check {
    let state = observed.state;
    let installed = observed.installed.get(&to);
    let in_force = state.tables().filter_map(|t| state.table_as_of(t, observed.now));
    let lacking: Vec<String> = in_force
        .filter(|v| installed.and_then(|i| i.get(&v.table)).is_none_or(|have| *have < v.version))
        .map(|v| format!("{} v{}", v.table, v.version))
        .collect();
    if lacking.is_empty() {
        return check("tables", true, "码表齐备", "every table version in force is there");
    }
    let list = lacking.join(", ");
    check("tables", false, format!("{to} 缺少码表 {list}"), format!("{to} lacks tables {list}"))
}

/// A target whose disk is full would take the platform over and then refuse every write.
fn disk(observed: &Observed<'_>, to: NodeId) -> Check {
    match observed.free.get(&to) {
        Some(free) if *free < FREE_MIN => check(
            "disk",
            false,
            format!("{to} 仅剩 {} MiB 可用空间（至少 {} MiB）", free >> 20, FREE_MIN >> 20),
            format!("{to} has only {} MiB of free space (at least {} MiB)", free >> 20, FREE_MIN >> 20),
        ),
        Some(free) => check(
            "disk",
            true,
            format!("{to} 可用空间 {} MiB", free >> 20),
            format!("{to} has {} MiB of free space", free >> 20),
        ),
        None => check("disk", true, format!("{to} 未报告可用空间"), format!("{to} tells no free space")),
    }
}

/// After the move other sites are "other": the policy must still have enough backups to count.
fn backups_after(observed: &Observed<'_>, placement: &Placement, to: NodeId) -> Check {
    let (state, policy) = (observed.state, placement.policy);
    let slot = placement.backup(to).map_or(Role::Sync, |b| b.role);
    let others = placement
        .backups
        .iter()
        .filter(|b| b.node != to && b.role == Role::Sync && !b.leaving)
        .map(|b| b.node);
    let old = Some(placement.primary).filter(|_| slot == Role::Sync);
    let counted = others.chain(old).filter(|n| state.counts_under(policy.same_site, to, *n)).count();
    let ok = counted >= policy.k;
    let zh = format!("切换后有 {counted} 个可计备份，策略需要 {}", policy.k);
    let en = format!("{counted} backups will count after the move, the policy asks for {}", policy.k);
    check("backups_after", ok, zh, en)
}

fn kind_check(observed: &Observed<'_>, placement: &Placement, kind: MoveKind, to: NodeId) -> Option<Check> {
    let region = placement.region;
    match kind {
        MoveKind::Promote => {
            let ok = observed.state.node(to).is_some_and(|n| n.region == region);
            let zh = if ok { "是" } else { "不是" };
            let en = if ok { "is a" } else { "is no" };
            Some(check(
                "home_node",
                ok,
                format!("{to} {zh}平台 {region} 的本地节点"),
                format!("{to} {en} home node of {region}"),
            ))
        }
        MoveKind::Failback => {
            let ok = placement.history.iter().any(|h| h.primary == to);
            let zh = if ok { "曾是" } else { "从未是" };
            let en = if ok { "was" } else { "never was" };
            Some(check(
                "former_primary",
                ok,
                format!("{to} {zh}主节点"),
                format!("{to} {en} primary of {region}"),
            ))
        }
        MoveKind::Switchover | MoveKind::Failover => None,
    }
}
