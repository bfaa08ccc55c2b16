//! What a platform's answers promise right now, and what the loss of one more thing would cost.

use eport_model::{Code, NodeId, SiteId, codes};
use eport_registry::{Backup, DurabilityMode, Placement, PlacementState, State, Text};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What an answer given now would promise.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DurabilityNow {
    /// Enough counted in-sync backups on other sites are there.
    Replicated,
    /// Answers are given after the primary's own fsync, or on the word of its own site.
    Local,
    /// No answer is given: too few backups, or nobody serves.
    Blocked,
}

impl DurabilityNow {
    /// The word of the API.
    pub fn word(self) -> &'static str {
        match self {
            DurabilityNow::Replicated => "replicated",
            DurabilityNow::Local => "local",
            DurabilityNow::Blocked => "blocked",
        }
    }
}

/// Something an operator should know before the next fault.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Warning {
    /// The code.
    pub code: Code,
    /// What it means here.
    pub text: Text,
}

/// What answers of this platform promise while `up` nodes are reachable. A switchover under way does not change it: its
/// pause is shorter than any poll.
pub fn durability_now(state: &State, placement: &Placement, up: &BTreeSet<NodeId>) -> DurabilityNow {
    let serving = matches!(placement.state, PlacementState::Active | PlacementState::Switching { .. });
    if !serving || !up.contains(&placement.primary) {
        return DurabilityNow::Blocked;
    }
    let need = state.effective_k(placement);
    if need == 0 {
        // Only `async`, or an `auto_sync` set that has shrunk to nothing.
        return DurabilityNow::Local;
    }
    let live: Vec<&Backup> = state.in_sync_counted(placement).filter(|b| up.contains(&b.node)).collect();
    let elsewhere = live.iter().filter(|b| state.other_site(placement.primary, b.node)).count();
    if elsewhere >= need {
        DurabilityNow::Replicated
    } else if live.len() >= need {
        DurabilityNow::Local
    } else {
        DurabilityNow::Blocked
    }
}

/// Which single loss would cost the registry its quorum.
pub fn quorum_warnings(state: &State, voters: &[NodeId]) -> Vec<Warning> {
    let voters: BTreeSet<NodeId> = voters.iter().copied().collect();
    let majority = voters.len() / 2 + 1;
    if voters.len() == 1 {
        let only = voters.iter().map(ToString::to_string).collect::<String>();
        let text = Text::new(
            format!("注册中心只有一个投票节点 {only}，失去它即无法变更放置"),
            format!("the registry has one voter, {only}; without it no placement can change"),
        );
        return vec![Warning { code: codes::QUORUM_AT_RISK, text }];
    }
    let mut sites: BTreeMap<SiteId, usize> = BTreeMap::new();
    for site in voters.iter().filter_map(|v| state.node(*v)).map(|n| n.site) {
        *sites.entry(site).or_default() += 1;
    }
    let fatal = sites.into_iter().filter(|(_, there)| voters.len() - there < majority);
    let mut out: Vec<Warning> = fatal.map(|(site, there)| site_warning(site, there, voters.len())).collect();
    if voters.len() == 2 {
        let text = Text::new(
            "两个投票节点中失去任何一个都会失去多数",
            "with two voters the loss of either costs the quorum",
        );
        out.push(Warning { code: codes::QUORUM_AT_RISK, text });
    }
    out
}

fn site_warning(site: SiteId, there: usize, all: usize) -> Warning {
    let text = Text::new(
        format!("站点 {site} 承载 {all} 个投票节点中的 {there} 个，失去该站点将失去多数"),
        format!("site {site} holds {there} of {all} voters: losing it costs the quorum"),
    );
    Warning { code: codes::QUORUM_AT_RISK, text }
}

/// What platforms lack: backups on other sites, or proof that what they hold suffices.
pub fn platform_warnings(state: &State, up: &BTreeSet<NodeId>) -> Vec<Warning> {
    state.placements().filter_map(|p| platform_warning(state, p, up)).collect()
}

fn platform_warning(state: &State, p: &Placement, up: &BTreeSet<NodeId>) -> Option<Warning> {
    let region = p.region;
    if let PlacementState::Recovering { move_id, .. } = p.state {
        let missing = state.movement(move_id).map(|m| m.missing.clone()).unwrap_or_default();
        let names = missing.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let text = Text::new(
            format!("平台 {region} 处于恢复状态，缺少应答：{names}"),
            format!("platform {region} is recovering; answers missing: {names}"),
        );
        return Some(Warning { code: codes::SEALS_MISSING, text });
    }
    let elsewhere = state.in_sync_counted(p).filter(|b| state.other_site(p.primary, b.node));
    let live = elsewhere.filter(|b| up.contains(&b.node)).count();
    let wanted = p.policy.k.max(1);
    let text = if p.policy.durability == DurabilityMode::Async {
        Text::new(
            format!("平台 {region} 为异步：主节点丢失时最近的单证会丢失"),
            format!("platform {region} is async: losing its primary loses the newest documents"),
        )
    } else if live < wanted {
        Text::new(
            format!("平台 {region} 只有 {live} 个在线同步备份位于其他站点，策略需要 {wanted} 个"),
            format!(
                "platform {region} has {live} in-sync backups up on other sites, its policy asks for {wanted}"
            ),
        )
    } else if p.proven_k < p.policy.k {
        Text::new(
            format!("平台 {region} 已证明 {} 份副本，策略需要 {}", p.proven_k, p.policy.k),
            format!("platform {region} has proven {} copies, its policy asks for {}", p.proven_k, p.policy.k),
        )
    } else {
        return None;
    };
    Some(Warning { code: codes::BACKUP_MISSING, text })
}
