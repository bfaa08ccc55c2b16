//! Code tables: is the version in force on every node that answers.

use crate::kinds::TABLE_LATE;
use crate::{Finding, Gathered, Words};
use eport_api_types::NodeState;

pub(super) fn findings(g: &Gathered) -> Vec<Finding> {
    let Some(status) = &g.status else { return Vec::new() };
    let up = status.nodes.iter().filter(|n| n.state == NodeState::Up).count();
    let short = |t: &&eport_api_types::TableSummary| usize::try_from(t.installed_nodes).is_ok_and(|n| n < up);
    let finding = |t: &eport_api_types::TableSummary| {
        let cause = Words::new(
            format!("version {} is on {} of {up} nodes", t.version, t.installed_nodes),
            format!("版本 {} 在 {up} 个节点中的 {} 个上", t.version, t.installed_nodes),
        );
        Finding::of(TABLE_LATE, &t.name, cause, format!("eport table status {}", t.name))
    };
    status.tables.iter().filter(short).map(finding).collect()
}
