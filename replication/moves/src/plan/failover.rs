//! Failovers: what can be proven before the first step, and what may be lost when it cannot.

use super::{check, refused_by, step};
use crate::Observed;
use eport_model::{JournalIndex, NodeId, Timestamp, codes};
use eport_registry::{
    Check, DurabilityMode, ExpectedLoss, MoveKind, NodeState, OldPrimary, Placement, PlacementState, Plan,
    PlanStep, Refused, Role, Text,
};
use std::collections::BTreeSet;

/// Names of checks that inform but do not refuse.
const INFORMATION: [&str; 2] = ["durability_after", "old_primary"];

pub(super) fn plan(
    observed: &Observed<'_>,
    placement: &Placement,
    to: Option<NodeId>,
    old_primary: OldPrimary,
    accept_data_loss: bool,
) -> Plan {
    let candidates = candidates(observed, placement);
    let quorum = quorum(observed, placement, &candidates);
    let loss =
        if quorum.ok { ExpectedLoss::default() } else { expected_loss(observed, placement, &candidates) };
    let silent = primary_silent(observed, placement);
    let checks = vec![
        silent,
        not_stopped(placement),
        target(observed, placement, to, &candidates),
        quorum,
        durability_after(observed, placement, to, &candidates),
        old(placement, old_primary),
    ];
    let refused = refused(placement, &checks, &loss, accept_data_loss);
    Plan {
        region: placement.region,
        kind: MoveKind::Failover,
        from: placement.primary,
        to,
        version: placement.version,
        steps: steps(placement, to),
        checks,
        expected_loss: loss,
        refused,
    }
}

fn steps(placement: &Placement, to: Option<NodeId>) -> Vec<PlanStep> {
    let to = to.map_or_else(
        || ("位置最新的候选节点".to_owned(), "the best candidate".to_owned()),
        |n| (n.to_string(), n.to_string()),
    );
    let next = placement.last_epoch.next();
    vec![
        step("reserve", format!("预留纪元 {next}"), format!("reserve epoch {next}")),
        step("seal", "候选节点承诺新纪元并报告位置", "candidates promise it and report their positions"),
        step("wait_seals", "等待足够的应答", "wait for enough answers"),
        step("copy", "落后者补齐到最佳位置", "laggards copy up to the best position"),
        step("commit", format!("提交，主节点为 {}", to.0), format!("commit with {} as primary", to.1)),
        step(
            "open_target",
            "新主节点写入纪元起始记录并开始服务",
            "the new primary writes EpochStart and serves",
        ),
        step(
            "return",
            "旧主节点返回后导出分叉尾部并跟随",
            "the old primary, when it returns, exports its tail and follows",
        ),
    ]
}

/// Backups that can be asked now, or have sealed already.
fn candidates(observed: &Observed<'_>, placement: &Placement) -> BTreeSet<NodeId> {
    let there = |n: &NodeId| observed.reachable.contains(n) || observed.sealed.contains_key(n);
    placement.backups.iter().map(|b| b.node).filter(|n| observed.state.is_member(*n)).filter(there).collect()
}

fn primary_silent(observed: &Observed<'_>, placement: &Placement) -> Check {
    let primary = placement.primary;
    let silent = match observed.primary_answers {
        Some(answers) => !answers,
        None => !observed.reachable.contains(&primary),
    };
    // Once an epoch is reserved the old primary may answer and seal like everybody else.
    let ok = silent || matches!(placement.state, PlacementState::Recovering { .. });
    let (zh, en) = if silent { ("没有应答", "does not answer") } else { ("仍在应答", "answers") };
    check("primary_silent", ok, format!("主节点 {primary} {zh}"), format!("primary {primary} {en}"))
}

fn not_stopped(placement: &Placement) -> Check {
    let word = placement.state.word();
    let ok = placement.state != PlacementState::Stopped;
    check("platform_state", ok, format!("平台状态为 {word}"), format!("the platform is {word}"))
}

fn target(
    observed: &Observed<'_>,
    placement: &Placement,
    to: Option<NodeId>,
    candidates: &BTreeSet<NodeId>,
) -> Check {
    let usable = |n: &NodeId| placement.backup(*n).is_some_and(|b| !b.leaving) && candidates.contains(n);
    match to {
        None => {
            let n = candidates.iter().filter(|n| usable(n)).count();
            check("target", n > 0, format!("{n} 个候选节点可用"), format!("{n} candidates can be asked"))
        }
        Some(to) => {
            let up = observed.state.node(to).is_some_and(|n| n.state == NodeState::Up);
            let ok = usable(&to) && up;
            let (zh, en) =
                if ok { ("可用", "can be asked") } else { ("不可用", "is no backup that can be asked") };
            check("target", ok, format!("{to} {zh}"), format!("{to} {en}"))
        }
    }
}

/// Whether enough counted in-sync backups can be asked that one of them holds every acknowledged record.
fn quorum(observed: &Observed<'_>, placement: &Placement, candidates: &BTreeSet<NodeId>) -> Check {
    let state = observed.state;
    let have = state.in_sync_counted(placement).filter(|b| candidates.contains(&b.node)).count();
    let (need, all) = (state.seal_quorum(placement), state.in_sync_counted(placement).count());
    let old =
        observed.reachable.contains(&placement.primary) || observed.sealed.contains_key(&placement.primary);
    let recovering = matches!(placement.state, PlacementState::Recovering { .. });
    // A primary that may degrade could have answered alone since its backups heard from it last.
    let wait = state.degrade_wait_ms();
    let recent = |n: &NodeId| {
        let heard = observed.heard.get(n);
        heard.is_some_and(|(epoch, ago)| *epoch == placement.epoch && *ago < wait - wait / 10)
    };
    let fresh =
        state.in_sync_counted(placement).filter(|b| candidates.contains(&b.node) && recent(&b.node)).count();
    let alone = fresh < placement.degrade_k;
    let ok = (have >= need && !alone) || (recovering && old);
    if have >= need && !ok {
        let (zh, en) = contact(observed, placement).map_or_else(
            || ("本纪元开始".to_owned(), "its epoch began".to_owned()),
            |ms| {
                (format!("{} 秒前最后一次联系", ms / 1_000), format!("the last contact {} s ago", ms / 1_000))
            },
        );
        let zh = format!("旧主节点可能已单独应答：自{zh}起无法确认");
        return check(
            "seal_quorum",
            false,
            zh,
            format!("the old primary may have answered alone: unknown since {en}"),
        );
    }
    let (zh, en) = if need > all && !ok {
        (
            "没有任何已确认记录可被证明：需要 --accept-data-loss".to_owned(),
            "nothing acknowledged can be proven to be held: --accept-data-loss is needed".to_owned(),
        )
    } else {
        (
            format!("{all} 个同步备份中 {have} 个可应答，需要 {need} 个"),
            format!("{have} of {all} in-sync backups can answer, {need} are needed"),
        )
    };
    check("seal_quorum", ok, zh, en)
}

/// Milliseconds since the old primary and one of its backups last heard of each other, as far as is known.
fn contact(observed: &Observed<'_>, placement: &Placement) -> Option<u64> {
    observed.heard.values().filter(|(epoch, _)| *epoch == placement.epoch).map(|(_, ago)| *ago).min()
}

/// Under `sync` with fewer than k backups left, writes wait after the failover; the operator learns it before.
fn durability_after(
    observed: &Observed<'_>,
    placement: &Placement,
    to: Option<NodeId>,
    candidates: &BTreeSet<NodeId>,
) -> Check {
    let (state, policy) = (observed.state, placement.policy);
    if policy.durability != DurabilityMode::Sync {
        return check("durability_after", true, "策略允许 local 应答", "the policy allows local answers");
    }
    let left = |primary: NodeId| {
        let sync =
            placement.backups.iter().filter(|b| b.role == Role::Sync && !b.leaving && b.node != primary);
        let there = sync.filter(|b| candidates.contains(&b.node));
        there.filter(|b| state.counts_under(policy.same_site, primary, b.node)).count()
    };
    let best = to.map_or_else(|| candidates.iter().map(|n| left(*n)).max().unwrap_or(0), left);
    let ok = best >= policy.k;
    let zh = if ok { "写入可继续" } else { "新写入将等待备份恢复（blocked）" };
    let en = if ok { "writes go on" } else { "new writes wait until backups are back (blocked)" };
    check(
        "durability_after",
        ok,
        format!("切换后剩 {best} 个可计备份，需要 {}：{zh}", policy.k),
        format!("{best} backups will count after it, {} are needed: {en}", policy.k),
    )
}

fn old(placement: &Placement, old_primary: OldPrimary) -> Check {
    let primary = placement.primary;
    match old_primary {
        OldPrimary::Stopped => check(
            "old_primary",
            true,
            format!("{primary} 已停止"),
            format!("{primary} is said to be stopped"),
        ),
        OldPrimary::Unreachable => check(
            "old_primary",
            false,
            format!("{primary} 可能仍在为其可达的客户端服务；其后续应答只会进入分叉尾部"),
            format!("{primary} may still serve whom it can reach; what it answers alone ends up in its tail"),
        ),
    }
}

/// The last known place of the primary against the best place among those that can be asked.
fn expected_loss(
    observed: &Observed<'_>,
    placement: &Placement,
    candidates: &BTreeSet<NodeId>,
) -> ExpectedLoss {
    let known = |n: &NodeId| observed.replicas.get(n).map(|r| (r.durable.rank(), r.at));
    let best = candidates.iter().filter_map(known).max_by_key(|(rank, _)| *rank);
    let head = observed.state.head(placement.region, placement.primary);
    let last: JournalIndex = observed
        .replicas
        .get(&placement.primary)
        .map(|r| r.durable.index)
        .into_iter()
        .chain(head.map(|h| h.position.index))
        .max()
        .unwrap_or(JournalIndex::ZERO);
    let reached = best.map_or(JournalIndex::ZERO, |((_, index), _)| index);
    let committed: Option<Timestamp> = placement.history.last().map(|h| h.at);
    let alone = placement.degrade_k > 0;
    let ago = |ms: u64| observed.now.plus_millis(-i64::try_from(ms).unwrap_or(i64::MAX));
    let known = if alone { contact(observed, placement).map(ago) } else { best.map(|(_, at)| at) };
    ExpectedLoss { records: last.since(reached), since: known.or(committed) }
}

fn refused(
    placement: &Placement,
    checks: &[Check],
    loss: &ExpectedLoss,
    accept_data_loss: bool,
) -> Option<Refused> {
    let failed = |name: &str| checks.iter().any(|c| c.name == name && !c.ok);
    if failed("primary_silent") {
        let primary = placement.primary;
        let detail = Text::new(
            format!("主节点 {primary} 仍在应答，请使用 switchover"),
            format!("primary {primary} answers; use switchover, which loses nothing"),
        );
        return Some(Refused { code: codes::PRIMARY_ANSWERS, detail });
    }
    let hard = |c: &Check| c.name != "seal_quorum" && !INFORMATION.contains(&c.name.as_str());
    if let Some(refused) = refused_by(checks, hard, codes::MOVE_UNSAFE) {
        return Some(refused);
    }
    if failed("seal_quorum") && !accept_data_loss {
        let detail = Text::new(
            format!("约 {} 条已确认记录可能丢失", loss.records),
            format!("about {} acknowledged records may be lost", loss.records),
        );
        return Some(Refused { code: codes::MOVE_LOSS, detail });
    }
    None
}
