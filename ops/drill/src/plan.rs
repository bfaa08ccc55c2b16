//! What a drill would do here and now: whom it disturbs, what moves where, what speaks against it. Changes nothing.
//!
//! Always: equal facts give an equal plan with an equal id; the id covers the script, the placement versions and every choice, so
//! a plan that was looked at is carried out as it was or not at all.

use crate::precondition::{self, Condition, Facts};
use crate::{Action, Objectives, Script, Target, Text};
use eport_api_types::{FederationStatus, NodeState, NodeStatus, PlatformStatus};
use eport_model::{Digest, NodeId, RegionCode, SiteId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// A platform that a drill moves, or watches.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PlanPlatform {
    /// The platform.
    pub region: RegionCode,
    /// Who serves it now and afterwards.
    pub primary: NodeId,
    /// Placement version of the plan.
    pub version: u64,
    /// Who serves it in between; `None` when it is not moved, or when nobody could.
    pub to: Option<NodeId>,
}

/// One step as it would be done here.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PlanStep {
    /// Name in reports.
    pub name: String,
    /// What it does.
    pub action: Action,
    /// How many, where the action counts.
    pub count: u64,
    /// Pauses are measured from here on.
    pub measured: bool,
    /// What is done, here.
    pub does: Text,
    /// What is to be expected.
    pub expect: Text,
}

/// The plan of a drill.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Plan {
    /// 16 hex digits over everything that was chosen.
    pub plan_id: String,
    /// Name of the script.
    pub name: String,
    /// One line.
    pub title: Text,
    /// Digest of the script.
    pub script: Digest,
    /// The platform it is about.
    pub region: RegionCode,
    /// Platforms that are moved or watched, the one it is about first.
    pub platforms: Vec<PlanPlatform>,
    /// Processes that are killed.
    pub victims: Vec<NodeId>,
    /// The link that is cut.
    pub link: Option<(SiteId, SiteId)>,
    /// The backup behind the cut.
    pub behind: Option<NodeId>,
    /// Whose directories are copied, the one that recovers first; empty for a drill without copies.
    #[serde(default)]
    pub survivors: Vec<NodeId>,
    /// Voters that count as gone in the copy.
    #[serde(default)]
    pub lost: Vec<NodeId>,
    /// After this many seconds anybody may put the start state back.
    pub limit_s: u64,
    /// Canary documents a second, for each platform.
    pub rate: f64,
    /// What must come out.
    pub objectives: Objectives,
    /// What must hold before.
    pub preconditions: Vec<Condition>,
    /// The steps.
    pub steps: Vec<PlanStep>,
}

impl Plan {
    /// True when every precondition holds.
    pub fn may_run(&self) -> bool {
        self.preconditions.iter().all(|c| c.ok)
    }

    /// True when all that speaks against it may pass by itself soon: a federation that has just been started or mended needs a
    /// moment until every backup is in sync again.
    pub fn may_settle(&self) -> bool {
        !self.may_run() && self.preconditions.iter().all(|c| c.ok || c.may_pass())
    }

    /// What is disturbed besides the placements, for the registry and for people.
    pub fn disturbs(&self) -> Vec<String> {
        let processes = self.victims.iter().map(|n| format!("process {n}"));
        processes.chain(self.link.map(|(a, b)| format!("link {a} {b}"))).collect()
    }
}

/// Plans a drill about a platform. `None` when the federation has no such platform.
pub fn plan(script: &Script, region: RegionCode, facts: &Facts<'_>) -> Option<Plan> {
    let region = match script.target {
        // Whatever was asked for: the province's own platform is what is lost.
        Target::Province => region.province(),
        _ => region,
    };
    let status = facts.status;
    let about = status.platforms.iter().find(|p| p.region == region)?;
    let victims = victims(script.target, status, about);
    let (link, behind) = match script.target {
        Target::Link => cut(status, about),
        _ => (None, None),
    };
    let (survivors, lost) = if script.isolated { copies(status, about) } else { Default::default() };
    let mut concerned: Vec<&PlatformStatus> = vec![about];
    if script.target.kills() {
        concerned
            .extend(status.platforms.iter().filter(|p| p.region != region && victims.contains(&p.primary)));
    }
    let platforms: Vec<PlanPlatform> = concerned
        .iter()
        .map(|p| PlanPlatform {
            region: p.region,
            primary: p.primary,
            version: p.version,
            to: if script.target.moves() { heir(status, p, &victims) } else { None },
        })
        .collect();
    let mut plan = Plan {
        plan_id: String::new(),
        name: script.name.clone(),
        title: script.title.clone(),
        script: script.digest,
        region,
        platforms,
        victims,
        link,
        behind,
        survivors,
        lost,
        limit_s: facts.limit_s.unwrap_or(script.limit_s),
        rate: script.rate,
        objectives: script.objectives,
        preconditions: Vec::new(),
        steps: Vec::new(),
    };
    plan.plan_id = id(&plan);
    plan.steps = script
        .steps
        .iter()
        .map(|s| PlanStep {
            name: s.name.clone(),
            action: s.action,
            count: s.count,
            measured: s.measured,
            does: does(s.action, s.count, &plan),
            expect: s.expect.clone(),
        })
        .collect();
    plan.preconditions = precondition::check(script, &plan, &concerned, facts);
    Some(plan)
}

fn node(status: &FederationStatus, id: NodeId) -> Option<&NodeStatus> {
    status.nodes.iter().find(|n| n.node == id)
}

fn site(status: &FederationStatus, id: NodeId) -> Option<SiteId> {
    node(status, id).map(|n| n.site)
}

fn victims(target: Target, status: &FederationStatus, about: &PlatformStatus) -> Vec<NodeId> {
    let members =
        || status.nodes.iter().filter(|n| !matches!(n.state, NodeState::Removed | NodeState::Revoked));
    let mut out: Vec<NodeId> = match target {
        Target::Primary => vec![about.primary],
        Target::Site => {
            let place = site(status, about.primary);
            members().filter(|n| Some(n.site) == place).map(|n| n.node).collect()
        }
        Target::Province => {
            let home = about.region.province();
            members().filter(|n| n.region == Some(home)).map(|n| n.node).collect()
        }
        // A voter less, or a backup of the platform less, is more than is needed.
        Target::Member => {
            let serves = |n: NodeId| status.platforms.iter().any(|p| p.primary == n);
            let idle = members().filter(|n| n.state == NodeState::Up && !serves(n.node));
            let keeps = |n: NodeId| about.backups.iter().any(|b| b.node == n);
            idle.min_by_key(|n| (keeps(n.node), n.voter, n.node)).map(|n| n.node).into_iter().collect()
        }
        Target::None | Target::Place | Target::Link => Vec::new(),
    };
    out.sort();
    out
}

/// Who takes a platform over: an in-sync backup that stays up, on another site before the same one, then by name.
fn heir(status: &FederationStatus, p: &PlatformStatus, victims: &[NodeId]) -> Option<NodeId> {
    let home = site(status, p.primary);
    let fit = p.backups.iter().filter(|b| {
        let up = node(status, b.node).is_some_and(|n| n.state == NodeState::Up);
        b.in_sync && up && !victims.contains(&b.node)
    });
    fit.map(|b| b.node).min_by_key(|n| (site(status, *n) == home, *n))
}

/// The link that is cut: to a backup on another site without which another one still counts; of several the last by name, so
/// that the one that would take over stays.
fn cut(status: &FederationStatus, p: &PlatformStatus) -> (Option<(SiteId, SiteId)>, Option<NodeId>) {
    let Some(home) = site(status, p.primary) else { return (None, None) };
    let abroad: BTreeSet<(SiteId, NodeId)> = p
        .backups
        .iter()
        .filter(|b| b.in_sync)
        .filter_map(|b| Some((site(status, b.node)?, b.node)))
        .filter(|(s, _)| *s != home)
        .collect();
    let last = abroad.iter().next_back().copied();
    (last.map(|(away, _)| (home, away)), last.map(|(_, n)| n))
}

fn id(plan: &Plan) -> String {
    let text = serde_json::json!({
        "script": plan.script, "region": plan.region, "platforms": plan.platforms, "victims": plan.victims,
        "link": plan.link, "behind": plan.behind, "survivors": plan.survivors, "lost": plan.lost, "limit_s": plan.limit_s,
    });
    let digest = Digest::of(text.to_string().as_bytes()).to_string();
    digest.chars().take(16).collect()
}

/// Who survives in the copy: one voter that keeps the platform (its primary if it votes), and a member without a vote that does; the
/// other voters are gone. Empty when no voter keeps the platform.
fn copies(status: &FederationStatus, about: &PlatformStatus) -> (Vec<NodeId>, Vec<NodeId>) {
    let keeps = |n: &NodeStatus| {
        n.node == about.primary || about.backups.iter().any(|b| b.node == n.node && b.in_sync)
    };
    let up: Vec<&NodeStatus> = status.nodes.iter().filter(|n| n.state == NodeState::Up && keeps(n)).collect();
    let voter = up.iter().filter(|n| n.voter).min_by_key(|n| (n.node != about.primary, n.node));
    let Some(voter) = voter else { return Default::default() };
    let other = up.iter().filter(|n| !n.voter).map(|n| n.node).min();
    let lost = status.nodes.iter().filter(|n| n.voter && n.node != voter.node).map(|n| n.node).collect();
    (std::iter::once(voter.node).chain(other).collect(), lost)
}

fn list<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    let names: Vec<String> = items.into_iter().map(|i| i.to_string()).collect();
    if names.is_empty() { "-".to_owned() } else { names.join(", ") }
}

fn does(action: Action, count: u64, plan: &Plan) -> Text {
    let victims = list(&plan.victims);
    let link = plan.link.map_or_else(|| "-".to_owned(), |(a, b)| format!("{a} – {b}"));
    let ways = list(plan.platforms.iter().map(|p| {
        format!("{}: {} → {}", p.region, p.primary, p.to.map_or_else(|| "?".to_owned(), |t| t.to_string()))
    }));
    let homes = list(plan.platforms.iter().map(|p| format!("{} → {}", p.region, p.primary)));
    let behind = plan.behind.map_or_else(|| "-".to_owned(), |n| n.to_string());
    match action {
        Action::Writes => Text::new(
            format!("等待再有 {count} 件测试单证得到确认"),
            format!("wait until {count} more canary documents are acknowledged"),
        ),
        Action::Switchover => Text::new(format!("计划切换 {ways}"), format!("switch over {ways}")),
        Action::Kill => Text::new(format!("强制终止进程 {victims}"), format!("kill the processes {victims}")),
        Action::Failover => Text::new(format!("故障切换 {ways}"), format!("fail over {ways}")),
        Action::Start => {
            Text::new(format!("重新启动进程 {victims}"), format!("start the processes {victims} again"))
        }
        Action::Cut => Text::new(format!("切断链路 {link}"), format!("cut the link {link}")),
        Action::Behind => Text::new(
            format!("等待 {behind} 落后 {count} 条记录"),
            format!("wait until {behind} is {count} records behind"),
        ),
        Action::Heal => Text::new(format!("恢复链路 {link}"), format!("mend the link {link}")),
        Action::Follow => {
            Text::new("等待所有备份同步且无滞后", "wait until every backup is in sync and level")
        }
        Action::Failback => Text::new(format!("切回 {homes}"), format!("move back {homes}")),
        Action::BackUp => Text::new("生成备份", "make a backup"),
        Action::Restore => Text::new(
            format!("在独立目录恢复平台 {} 并查找测试单证", plan.region),
            format!("restore platform {} into a folder of its own and find the canaries", plan.region),
        ),
        Action::Standbys => Text::new(
            "逐个读取备用节点自身的日志并查找测试单证",
            "read the journal kept by each standby and find the canaries",
        ),
        Action::Image => Text::new(
            format!(
                "复制 {} 的目录（各自停顿一瞬）；{} 视为永久丢失",
                list(&plan.survivors),
                list(&plan.lost)
            ),
            format!(
                "copy the directories of {} (each stands still for a moment); {} count as gone for good",
                list(&plan.survivors),
                list(&plan.lost)
            ),
        ),
        Action::RecoveryPlan => Text::new("在每个副本上生成恢复计划", "make a recovery plan of every copy"),
        Action::Recover => Text::new("签署并在副本上执行恢复", "sign the plan and apply it to the copy"),
        Action::ServeCopy => Text::new(
            format!("启动恢复后的副本，写入平台 {}，查找测试单证", plan.region),
            format!("start the recovered copy, write to platform {} and find the canaries", plan.region),
        ),
        Action::IssueRefused => {
            Text::new("向接管节点申请证书，应被拒绝", "ask the new primary for a certificate")
        }
        Action::Unlock => {
            Text::new("用份额在接管节点上打开 CA 密钥", "open the CA's key there with the shares")
        }
        Action::Issue => {
            Text::new("签发一张演练证书并吊销", "issue a certificate of the drill and revoke it")
        }
        Action::Locked => {
            Text::new("确认备用节点上的 CA 密钥已关闭", "look whether the CA's key is closed on the standby")
        }
        Action::Sweep => Text::new("清除所有副本", "take every copy away"),
        Action::RotatePrepare => Text::new(
            "登记新根、交叉证书与重新签署的 CA",
            "register the new root, the cross certificates and the re-issued CAs",
        ),
        Action::RotatePublish => {
            Text::new("发布到信任包并交叉", "put them into the trust bundle: publish, cross")
        }
        Action::RotateRefused => Text::new(
            format!("尝试启用新根；应被拒绝并指出 {victims}"),
            format!("try to activate the new root; must be refused and name {victims}"),
        ),
        Action::RotateForced => {
            Text::new(format!("舍下 {victims} 启用新根"), format!("activate the new root without {victims}"))
        }
        Action::RotateFollowed => Text::new(
            "等待每个成员确认最新信任包",
            "wait until every member acknowledges the newest trust bundle",
        ),
        Action::Compare => Text::new("比对所有副本的状态摘要", "compare the state digests of all holders"),
    }
}
