//! Rules: which command is accepted and what it changes. Nothing here touches the state; a decision is a list of rows.

mod adopt;
pub(crate) mod approvals;
mod check;
mod custody;
mod drills;
pub(crate) mod epoch;
mod erase;
mod failover;
mod federation;
mod journals;
mod keys;
mod outside;
mod platform;
mod quotas;
mod switchover;
mod sync;
mod tables;
mod trust;
mod users;

pub(crate) use sync::degrade_k;

use crate::rows::Row;
use crate::{Command, Op, Outcome, Refusal, State};

/// What a decision says: the answer and the rows that change.
pub(crate) type Decision = Result<(Outcome, Vec<Row>), Refusal>;

/// Judges a command against the state.
pub(crate) fn decide(state: &State, c: &Command) -> Decision {
    let (outcome, mut rows) = judge(state, c)?;
    let withdrawn = tables::withdrawn(state, c, &rows);
    rows.extend(withdrawn);
    Ok((outcome, rows))
}

fn judge(state: &State, c: &Command) -> Decision {
    check::bounded("reason", &c.reason)?;
    check::bounded("by", &c.by)?;
    if let Op::Found(federation) = &c.op {
        return federation::found(state, federation);
    }
    if state.federation.is_none() {
        return Err(Refusal::NotFounded);
    }
    match &c.op {
        Op::Found(_)
        | Op::SetTwoPerson(_)
        | Op::SetSetting(_)
        | Op::PutSite(_)
        | Op::AddNode(_)
        | Op::UpdateNode { .. }
        | Op::SetNodeState { .. }
        | Op::PutIssuer(_)
        | Op::Revoke { .. } => federation::decide(state, c),
        Op::CreatePlatform { .. } | Op::SetPolicy { .. } | Op::SetStopped { .. } => {
            platform::decide(state, c)
        }
        Op::InSyncAdd { .. } | Op::InSyncRemove { .. } | Op::Shrink { .. } | Op::Proven { .. } => {
            sync::decide(state, c)
        }
        Op::OpenSwitchover { .. }
        | Op::CommitSwitch { .. }
        | Op::AbortMove { .. }
        | Op::NoteMoveStep { .. } => switchover::decide(state, c),
        Op::ReserveFailover { .. }
        | Op::CommitFailover { .. }
        | Op::ConfirmOldPrimary { .. }
        | Op::FailMove { .. } => failover::decide(state, c),
        Op::PublishHeads(_)
        | Op::RecordTail(_)
        | Op::SetTailState { .. }
        | Op::DiscardTail { .. }
        | Op::ReserveNumbers { .. } => journals::decide(state, c),
        Op::AdoptJournal { region, version, node, start } => {
            adopt::adopt(state, c, (*region, *version), *node, *start)
        }
        Op::SetQuota { region, version, limits } => quotas::set(state, c, *region, *version, *limits),
        Op::PublishTable { .. } => tables::publish(state, c),
        Op::StageTable { table, version, root } => tables::stage(state, c, table, *version, *root),
        Op::RetireTable { table, version, reason } => tables::retire(state, c, table, *version, reason),
        Op::PutHolder(_) | Op::PutDataKey { .. } | Op::AddWraps { .. } => keys::decide(state, c),
        Op::PutCustody(custody) => custody::put_custody(state, c, custody),
        Op::TakeList { issuer, list } => custody::take_list(state, c, *issuer, list),
        Op::PutOperator(_)
        | Op::BindRole { .. }
        | Op::PutUser(_)
        | Op::AddDelegation(_)
        | Op::EndDelegation { .. }
        | Op::EndSessions { .. }
        | Op::AnchorAccessLog { .. } => users::decide(state, c),
        Op::BeginDrill { .. }
        | Op::StopDrill { .. }
        | Op::EndDrill { .. }
        | Op::PutDrillSchedule(_)
        | Op::RemoveDrillSchedule { .. } => drills::decide(state, c),
        Op::Erase { region, targets, reason, authority } => {
            erase::erase(state, c, *region, targets, (reason, authority))
        }
        Op::AddOutside { .. } | Op::RemoveOutside { .. } => outside::decide(state, c),
        Op::Rotate { .. } | Op::AckTrust { .. } | Op::AddIssuer { .. } => trust::decide(state, c),
        // An approval is decided before this, where the signature was judged.
        Op::DecideApproval { .. } => Err(Refusal::Rule("an approval is decided by an operator".to_owned())),
    }
}
