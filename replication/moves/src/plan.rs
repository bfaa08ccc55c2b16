//! What a move would do, what speaks against it, what it may lose. Changes nothing; `--dry-run` stops here.

mod failover;
mod switchover;

use crate::Observed;
use eport_model::{Code, NodeId, RegionCode, codes};
use eport_registry::{Check, MoveKind, OldPrimary, Placement, Plan, PlanStep, Refusal, Refused, Text};

/// What somebody wants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Intent {
    /// A planned move: switchover, failback or promote.
    Planned {
        /// Which of them.
        kind: MoveKind,
        /// The target.
        to: NodeId,
    },
    /// The primary is gone.
    Failover {
        /// The wanted primary; `None` takes the best.
        to: Option<NodeId>,
        /// What is known of the old primary.
        old_primary: OldPrimary,
        /// Acknowledged records may be lost.
        accept_data_loss: bool,
    },
}

/// Plans a move of a platform. A plan that must not be carried out says so in `refused`; an unknown platform is an error.
pub fn plan(observed: &Observed<'_>, region: RegionCode, intent: &Intent) -> Result<Plan, Refusal> {
    let placement = observed
        .state
        .placement(region)
        .ok_or_else(|| Refusal::NotFound { what: "platform".to_owned(), name: region.to_string() })?;
    Ok(match *intent {
        Intent::Planned { kind: MoveKind::Failover, to } => {
            let old_primary = OldPrimary::Unreachable;
            failover::plan(observed, placement, Some(to), old_primary, false)
        }
        Intent::Planned { kind, to } => switchover::plan(observed, placement, kind, to),
        Intent::Failover { to, old_primary, accept_data_loss } => {
            failover::plan(observed, placement, to, old_primary, accept_data_loss)
        }
    })
}

fn check(name: &str, ok: bool, zh: impl Into<String>, en: impl Into<String>) -> Check {
    Check { name: name.to_owned(), ok, detail: Text::new(zh, en) }
}

fn step(name: &str, zh: impl Into<String>, en: impl Into<String>) -> PlanStep {
    PlanStep { name: name.to_owned(), detail: Text::new(zh, en) }
}

/// Why a plan is refused: a move under way first, then the failed checks that count.
fn refusal(
    placement: &Placement,
    checks: &[Check],
    counts: impl Fn(&Check) -> bool,
    code: Code,
) -> Option<Refused> {
    if let Some(move_id) = placement.state.move_id() {
        let detail = Text::new(format!("迁移 {move_id} 正在进行"), format!("move {move_id} is under way"));
        return Some(Refused { code: codes::MOVE_RUNNING, detail });
    }
    refused_by(checks, counts, code)
}

fn refused_by(checks: &[Check], counts: impl Fn(&Check) -> bool, code: Code) -> Option<Refused> {
    let failed: Vec<&Check> = checks.iter().filter(|c| !c.ok && counts(c)).collect();
    if failed.is_empty() {
        return None;
    }
    let zh = failed.iter().map(|c| c.detail.zh.as_str()).collect::<Vec<_>>().join("；");
    let en = failed.iter().map(|c| c.detail.en.as_str()).collect::<Vec<_>>().join("; ");
    Some(Refused { code, detail: Text::new(zh, en) })
}
