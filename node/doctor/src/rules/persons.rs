//! What waits for people, and what could not be looked at.

use super::minutes_since;
use crate::kinds::{APPROVAL_WAITING, BACKUP_NONE, UNREAD};
use crate::{Finding, Gathered, Severity, Words};
use eport_api_types::Mode;
use eport_model::Timestamp;

/// A command that waits longer than this was forgotten.
const APPROVAL_MIN: i64 = 60;

pub(super) fn findings(g: &Gathered, now: Timestamp) -> Vec<Finding> {
    let mut out = Vec::new();
    for a in g.approvals.iter().filter(|a| a.state == "pending") {
        let minutes = minutes_since(&a.first.at, now);
        let cause = Words::new(
            format!("{} by {} waits for {minutes} min and ends {}", a.kind, a.first.by, a.expires),
            format!("{} 由 {} 提出，已等待 {minutes} 分钟，{} 作废", a.kind, a.first.by, a.expires),
        );
        let found = Finding::of(APPROVAL_WAITING, &a.id, cause, format!("eport approval show {}", a.id));
        out.push(if minutes >= APPROVAL_MIN { found.at(Severity::Warning) } else { found });
    }
    let production = g.status.as_ref().is_some_and(|s| s.mode == Mode::Production);
    if production && g.backup_sets == Some(0) {
        let cause = Words::new("no node has a [backup] section", "没有节点配置 [backup]");
        out.push(Finding::of(BACKUP_NONE, "federation", cause, "eport backup status"));
    }
    for u in &g.unread {
        let cause = Words::same(format!("{} {}", u.code, u.text));
        out.push(Finding::of(UNREAD, &u.what, cause, "eport whoami"));
    }
    out
}
