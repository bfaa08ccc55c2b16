//! The registry: is there a leader, how many voters answer, whose news is old.

use crate::kinds::{QUORUM_LOST, QUORUM_THIN, REGISTRY_STALE};
use crate::{Finding, Gathered, Words};
use eport_model::NodeId;
use std::collections::BTreeSet;

/// News older than this is no accident of timing: the slowest profile elects within six seconds and leases last 33.
const STALE_S: f64 = 60.0;

pub(super) fn findings(g: &Gathered) -> Vec<Finding> {
    let mut out = Vec::new();
    let answering: BTreeSet<NodeId> = g.facts().map(|f| f.node).collect();
    // Who has applied the most knows best who votes.
    let Some(best) = g.facts().max_by_key(|f| (f.registry.index, f.node)) else { return out };
    let voters: BTreeSet<NodeId> = best.registry.voters.iter().copied().collect();
    let (all, there) = (voters.len(), voters.intersection(&answering).count());
    let majority = all / 2 + 1;
    let missing: Vec<String> = voters.difference(&answering).map(ToString::to_string).collect();
    let led = g.facts().any(|f| f.registry.leader.is_some_and(|l| answering.contains(&l)));
    if !voters.is_empty() && (there < majority || !led) {
        let cause = Words::new(
            format!("{there} of {all} voters answer, {majority} are needed; missing: {}", missing.join(", ")),
            format!("{all} 个投票节点中有 {there} 个应答，需要 {majority} 个；缺失：{}", missing.join(", ")),
        );
        out.push(Finding::of(QUORUM_LOST, "registry", cause, "eport quorum status"));
    } else if there == majority && there < all {
        let cause = Words::new(
            format!(
                "{there} of {all} voters answer and {majority} are needed; missing: {}",
                missing.join(", ")
            ),
            format!("{all} 个投票节点中有 {there} 个应答，恰好满足 {majority}；缺失：{}", missing.join(", ")),
        );
        out.push(Finding::of(QUORUM_THIN, "registry", cause, "eport quorum status"));
    }
    for f in g.facts() {
        if let Some(age) = f.registry.news_s.filter(|s| *s > STALE_S) {
            let cause = Words::new(
                format!("its newest news of the registry is {age:.0} s old"),
                format!("注册中心消息已陈旧 {age:.0} 秒"),
            );
            let next = format!("eport node show {}", f.node);
            out.push(Finding::of(REGISTRY_STALE, f.node.to_string(), cause, next));
        }
    }
    out
}
