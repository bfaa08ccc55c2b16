//! What must hold before a drill begins. A drill that could do harm, or could show nothing, does not begin.

use crate::{Action, Plan, Script, Target, Text};
use eport_api_types::{DurabilityNow, FederationStatus, NodeState, PlatformState, PlatformStatus};
use eport_model::NodeId;
use serde::{Deserialize, Serialize};

/// Who kills processes and cuts links.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hands {
    /// The drill itself: the federation was made by `dev up` on this machine.
    Own,
    /// An operator on the spot, told what to do; the drill waits for the effect.
    Operator,
}

/// What is known of the CA that a drill is about, at the node that would take over.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CustodyFacts {
    /// So many shares open it; zero when the registry names nobody who holds one.
    pub threshold: usize,
    /// The journal there has the wrapped key that the registry names.
    pub kept: bool,
    /// The key is open there already: the drill would show nothing.
    pub open: bool,
    /// Shares at hand.
    pub shares: usize,
}

/// What a plan rests on.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// The federation as it is.
    pub status: &'a FederationStatus,
    /// The drill under way, if there is one.
    pub running: Option<String>,
    /// Why a canary document would be refused, platform by platform; empty when none would.
    pub canary_refused: Vec<String>,
    /// A recovery key is at hand.
    pub recovery_key: bool,
    /// Who disturbs.
    pub hands: Hands,
    /// Of the platform's CA, where it was asked for.
    pub custody: CustodyFacts,
    /// Whoever asks has said that it is to be done on copies.
    pub isolated: bool,
    /// Why no rotation of the root can begin; `None` when one can, or when the script has none.
    pub rotation_refused: Option<String>,
    /// Another bound on the time than the script's.
    pub limit_s: Option<u64>,
}

/// One precondition.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Condition {
    /// Stable name.
    pub name: String,
    /// Whether it holds.
    pub ok: bool,
    /// What was found.
    pub detail: Text,
}

/// Conditions that a federation at rest comes to by itself.
const PASSING: [&str; 6] = ["active", "answers", "in_sync", "target", "quorum", "writes_survive"];

impl Condition {
    /// True when it depends on what nodes are doing at this moment, and not on what somebody has to do or to say first.
    pub fn may_pass(&self) -> bool {
        PASSING.contains(&self.name.as_str())
    }
}

fn condition(name: &str, ok: bool, zh: impl Into<String>, en: impl Into<String>) -> Condition {
    Condition { name: name.to_owned(), ok, detail: Text::new(zh, en) }
}

pub(crate) fn check(
    script: &Script,
    plan: &Plan,
    concerned: &[&PlatformStatus],
    facts: &Facts<'_>,
) -> Vec<Condition> {
    let mut out = vec![alone(facts)];
    out.extend(concerned.iter().flat_map(|p| healthy(p, facts.status)));
    out.push(canaries(facts));
    if script.target.moves() {
        out.extend(plan.platforms.iter().map(|p| {
            let name = p.to.map_or_else(|| "-".to_owned(), |n| n.to_string());
            let (zh, en) =
                (format!("平台 {} 的接管节点：{name}", p.region), format!("{} goes to {name}", p.region));
            condition("target", p.to.is_some(), zh, en)
        }));
    }
    if script.target.kills() {
        out.extend(concerned.iter().map(|p| lossless(p)));
        out.push(quorum(plan, facts.status));
    }
    if script.target == Target::Link {
        out.push(writes_survive_cut(plan, concerned, facts.status));
    }
    if script.steps.iter().any(|s| s.action == Action::BackUp) {
        let (zh, en) = if facts.recovery_key { ("已就绪", "at hand") } else { ("缺少", "missing") };
        out.push(condition(
            "recovery_key",
            facts.recovery_key,
            format!("恢复密钥{zh}"),
            format!("the recovery key is {en} (--recovery-key FILE)"),
        ));
    }
    if script.target == Target::Member {
        let name = plan.victims.first().map_or_else(|| "-".to_owned(), ToString::to_string);
        let (zh, en) =
            (format!("不担任主节点的成员：{name}"), format!("a member that serves nothing: {name}"));
        out.push(condition("member", !plan.victims.is_empty(), zh, en));
    }
    if script.rotates() {
        let why = facts.rotation_refused.as_deref();
        let (zh, en) = (
            format!("根证书轮换：{}", why.unwrap_or("可以开始")),
            format!("rotation of the root: {}", why.unwrap_or("can begin")),
        );
        out.push(condition("rotation", why.is_none(), zh, en));
    }
    if script.steps.iter().any(|s| s.action == Action::Unlock) {
        out.extend(custody(&facts.custody));
    }
    if script.isolated {
        out.extend(isolated(plan, facts));
    }
    if script.target.kills() || script.target == Target::Link {
        out.push(match facts.hands {
            Hands::Own => condition(
                "hands",
                true,
                "本机联邦：由演练自行执行",
                "local federation: the drill acts by itself",
            ),
            Hands::Operator => condition(
                "hands",
                true,
                "生产联邦：由现场操作员按提示执行，演练等待其效果",
                "production: an operator on the spot acts as told, the drill waits for the effect",
            ),
        });
    }
    out
}

/// The node that takes over must not have the key, and must have what a quorum of persons can open.
fn custody(facts: &CustodyFacts) -> Vec<Condition> {
    let CustodyFacts { threshold, kept, open, shares } = *facts;
    vec![
        condition(
            "custody",
            threshold > 0 && kept,
            format!("接管节点的日志中{}包裹密钥", if kept { "有" } else { "没有" }),
            format!(
                "the node that takes over {} the CA's wrapped key (eport ca export)",
                if kept { "has" } else { "lacks" }
            ),
        ),
        condition(
            "locked",
            !open,
            format!("接管节点上的 CA 密钥{}", if open { "已打开" } else { "未打开" }),
            format!("the CA's key is {} on the node that takes over", if open { "open" } else { "not open" }),
        ),
        condition(
            "shares",
            threshold > 0 && shares >= threshold,
            format!("份额 {shares}，需要 {threshold}"),
            format!("{shares} shares are at hand, {threshold} are needed (--share FILE)"),
        ),
    ]
}

/// A drill on copies: said so, on the machine where the directories are, with a majority that can be lost.
fn isolated(plan: &Plan, facts: &Facts<'_>) -> Vec<Condition> {
    let count = plan.survivors.len();
    vec![
        condition(
            "isolated",
            facts.isolated,
            "仅在隔离副本上执行（--isolated）",
            "it is only done on an isolated copy, and has to be said: --isolated",
        ),
        condition(
            "directories",
            facts.hands == Hands::Own,
            "节点目录位于本机（本机联邦）",
            "the nodes' directories are on this machine (a federation of dev up)",
        ),
        condition(
            "survivor",
            count > 0 && plan.lost.len() >= 2,
            format!("副本：{count}，视为丢失的表决节点：{}", plan.lost.len()),
            format!(
                "{count} copies, {} voters count as gone; at least one and two are needed",
                plan.lost.len()
            ),
        ),
    ]
}

fn alone(facts: &Facts<'_>) -> Condition {
    match &facts.running {
        None => condition("alone", true, "没有其他演练", "no other drill runs"),
        Some(id) => condition("alone", false, format!("演练 {id} 正在进行"), format!("drill {id} runs")),
    }
}

/// Served, at home in its policy, every backup level enough to be believed.
fn healthy(p: &PlatformStatus, status: &FederationStatus) -> Vec<Condition> {
    let region = p.region;
    let up = |n: NodeId| status.nodes.iter().any(|s| s.node == n && s.state == NodeState::Up);
    let active = p.state == PlatformState::Active && up(p.primary);
    let answers = p.durability_now != DurabilityNow::Blocked;
    let lagging: Vec<String> =
        p.backups.iter().filter(|b| !(b.in_sync && up(b.node))).map(|b| b.node.to_string()).collect();
    let synced = p.durability == "async" || lagging.is_empty();
    let names = if lagging.is_empty() { "-".to_owned() } else { lagging.join(", ") };
    vec![
        condition(
            "active",
            active,
            format!("平台 {region} 状态 {:?}，主节点 {}", p.state, p.primary),
            format!("platform {region} is {:?}, its primary is {}", p.state, p.primary),
        ),
        condition(
            "answers",
            answers,
            format!("平台 {region} 当前应答：{:?}", p.durability_now),
            format!("platform {region} answers {:?} now", p.durability_now),
        ),
        condition(
            "in_sync",
            synced,
            format!("平台 {region} 未同步的备份：{names}"),
            format!("backups of {region} that are not in sync: {names}"),
        ),
    ]
}

fn canaries(facts: &Facts<'_>) -> Condition {
    match facts.canary_refused.as_slice() {
        [] => condition("canary", true, "测试单证会被接受", "canary documents would be accepted"),
        refused => {
            let why = refused.join("; ");
            condition(
                "canary",
                false,
                format!("测试单证会被拒绝：{why}"),
                format!("canaries would be refused: {why}"),
            )
        }
    }
}

/// A failover must be provably lossless: a drill never risks what an accident would.
fn lossless(p: &PlatformStatus) -> Condition {
    let ok = p.durability != "async" && p.proven > 0;
    condition(
        "lossless",
        ok,
        format!("平台 {}：{}，已证明 {} 份副本", p.region, p.durability, p.proven),
        format!("platform {}: {}, {} copies are proven", p.region, p.durability, p.proven),
    )
}

fn quorum(plan: &Plan, status: &FederationStatus) -> Condition {
    let voters: Vec<_> = status.nodes.iter().filter(|n| n.voter).collect();
    let left = voters.iter().filter(|n| n.state == NodeState::Up && !plan.victims.contains(&n.node)).count();
    let need = voters.len() / 2 + 1;
    condition(
        "quorum",
        left >= need,
        format!("注册中心剩余 {left} 个投票节点，需要 {need} 个"),
        format!("{left} voters of the registry are left, {need} are needed"),
    )
}

fn writes_survive_cut(plan: &Plan, concerned: &[&PlatformStatus], status: &FederationStatus) -> Condition {
    let site = |id: NodeId| status.nodes.iter().find(|n| n.node == id).map(|n| n.site);
    let (ok, left) = match (plan.link, concerned.first()) {
        (Some((home, away)), Some(p)) => {
            let others = p
                .backups
                .iter()
                .filter(|b| b.in_sync && site(b.node).is_some_and(|s| s != home && s != away));
            let left = others.count();
            (left > 0 || p.durability != "sync", left)
        }
        _ => (false, 0),
    };
    condition(
        "writes_survive",
        ok,
        format!("中断后其他站点仍有 {left} 个同步备份"),
        format!("{left} in-sync backups on other sites stay connected"),
    )
}
