//! The statement of a command that is about to be applied, and where it belongs: what the registry compares with what was signed.
//!
//! Always: the same functions make it as on the command line; a new operation does not compile until it is given its kind here.

use super::statement::*;
use crate::{Federation, Op, Operator, Setting, State, User};
use eport_model::{Digest, RegionCode, codec};

impl Op {
    /// What of this operation is signed.
    pub fn statement(&self) -> Statement {
        match self {
            Op::SetTwoPerson(on) => two_person(*on),
            Op::SetSetting(Setting { name, value }) => setting(name, value),
            Op::PutSite(site) => put_site(site),
            Op::AddNode(node) => add_node(node),
            Op::UpdateNode { node, change } => update_node(*node, change),
            Op::SetNodeState { node, state } => node_state(*node, *state),
            Op::CreatePlatform { region, name_zh, name_en, primary, backups, policy } => {
                create_platform(*region, (name_zh, name_en), *primary, backups, policy)
            }
            Op::SetPolicy { region, version, policy: rules, backups } => {
                policy(*region, *version, rules, backups)
            }
            Op::SetStopped { region, version, stopped: stop } => stopped(*region, *version, *stop),
            Op::OpenSwitchover { region, kind, to, expected_version, move_id: _, within_ms: _, plan: _ } => {
                switchover(*region, *expected_version, *kind, *to)
            }
            Op::ReserveFailover { region, to, expected_version, accept_data_loss, old_primary, .. } => {
                failover(*region, *expected_version, *to, *old_primary, *accept_data_loss)
            }
            Op::AdoptJournal { region, version, node, start } => adopt(*region, *version, *node, *start),
            Op::AbortMove { region, version, move_id, reason: _ } => abort_move(*region, *version, *move_id),
            Op::SetTailState { tail, state } => tail_state(tail, *state),
            Op::DiscardTail { tail, records, reason } => discard_tail(tail, records, reason),
            Op::PublishTable { table, version, root, rows, effective, schema, report: _ } => {
                publish_table(table, *version, *root, *rows, *effective, schema)
            }
            Op::RetireTable { table, version, reason } => retire_table(table, *version, reason),
            Op::StageTable { .. } => self.whole("step.stage"),
            Op::PutIssuer(issuer) => put_issuer(issuer),
            Op::Revoke { serial, reason } => revoke(serial, reason),
            Op::PutOperator(Operator { id, name, roles, suspended, since: _ }) => {
                operator(id, name, roles.iter().copied(), *suspended)
            }
            Op::BindRole { operator, role, platform, bound } => bind_role(operator, *role, *platform, *bound),
            Op::PutUser(User { subject, name, platforms, suspended, by: _, since: _ }) => {
                put_user(subject, name, platforms, *suspended)
            }
            Op::AddDelegation(mandate) => add_delegation(mandate),
            Op::EndDelegation { delegation, reason } => end_delegation(*delegation, reason),
            Op::EndSessions { .. } => self.whole("step.sessions"),
            Op::AnchorAccessLog { .. } => self.whole("step.access-head"),
            Op::DecideApproval { approval, digest, approve } => decide_approval(*approval, *digest, *approve),
            Op::Found(Federation { .. }) => self.whole("federation.found"),
            Op::FailMove { .. } => self.whole("platform.move-fail"),
            Op::RecordTail(tail) => record_tail(tail),
            Op::InSyncAdd { .. } => self.whole("step.in-sync-add"),
            Op::InSyncRemove { .. } => self.whole("step.in-sync-remove"),
            Op::Proven { .. } => self.whole("step.proven"),
            Op::CommitSwitch { .. } => self.whole("step.commit-switch"),
            Op::CommitFailover { .. } => self.whole("step.commit-failover"),
            Op::ConfirmOldPrimary { .. } => self.whole("step.confirm-old-primary"),
            Op::NoteMoveStep { .. } => self.whole("step.note"),
            Op::PublishHeads(_) => self.whole("step.heads"),
            Op::ReserveNumbers { .. } => self.whole("step.numbers"),
            Op::Shrink { .. } => self.whole("step.shrink"),
            Op::PutHolder(holder) => put_holder(&holder.name, &holder.public),
            Op::PutDataKey { .. } => self.whole("step.data-key"),
            Op::AddWraps { .. } => self.whole("step.wraps"),
            Op::BeginDrill { name, region, script, platforms, disturbs, limit_ms } => {
                begin_drill(name, *region, *script, platforms, disturbs, *limit_ms)
            }
            Op::StopDrill { drill, reason } => stop_drill(*drill, reason),
            Op::EndDrill { drill, verdict, figures, report, note, keep } => {
                end_drill(*drill, *verdict, figures, *report, note, *keep)
            }
            Op::PutDrillSchedule(schedule) => drill_schedule(schedule),
            Op::RemoveDrillSchedule { region, name } => drill_unschedule(*region, name),
            Op::PutCustody(put) => custody(put),
            Op::TakeList { .. } => self.whole("step.list"),
            Op::Erase { region, targets, reason, authority } => erase(*region, targets, reason, authority),
            Op::SetQuota { region, version, limits } => quota(*region, *version, limits),
            Op::Rotate { version, step } => rotate(*version, step),
            Op::AckTrust { .. } => self.whole("step.trust-ack"),
            Op::AddIssuer { version, certificate, since_epoch } => {
                add_issuer(*version, certificate, *since_epoch)
            }
            Op::AddOutside { version, certificate, challenge, signature } => {
                add_outside(*version, certificate, challenge, signature)
            }
            Op::RemoveOutside { version, key, reason } => remove_outside(*version, *key, reason),
        }
    }

    /// A statement that covers every bit of the operation.
    fn whole(&self, kind: &'static str) -> Statement {
        Statement::new(kind).with("content", Digest::of(&codec::encode(self)))
    }

    /// The platform an operation is about, where it is about one: an issuer of one city speaks for nothing else.
    pub(crate) fn region(&self, state: &State) -> Option<RegionCode> {
        match self {
            Op::CreatePlatform { region, .. }
            | Op::SetPolicy { region, .. }
            | Op::SetStopped { region, .. }
            | Op::OpenSwitchover { region, .. }
            | Op::ReserveFailover { region, .. }
            | Op::AbortMove { region, .. }
            | Op::AdoptJournal { region, .. }
            | Op::Erase { region, .. }
            | Op::FailMove { region, .. } => Some(*region),
            // What reaches beyond one platform is the province's to allow.
            Op::BeginDrill { region, platforms, .. } => {
                platforms.iter().all(|p| p.region == *region).then_some(*region)
            }
            Op::StopDrill { drill, .. } | Op::EndDrill { drill, .. } => state.drill(*drill).map(|d| d.region),
            Op::PutDrillSchedule(schedule) => Some(schedule.region),
            Op::RemoveDrillSchedule { region, .. } | Op::SetQuota { region, .. } => Some(*region),
            Op::AddNode(node) => Some(node.region),
            Op::UpdateNode { node, .. } | Op::SetNodeState { node, .. } => {
                state.node(*node).map(|n| n.region)
            }
            Op::BindRole { platform, .. } => *platform,
            Op::PublishTable { table, .. } | Op::RetireTable { table, .. } => Some(table.owner),
            Op::SetTailState { tail, .. } | Op::DiscardTail { tail, .. } => {
                state.tail(tail).map(|t| t.region)
            }
            Op::PutCustody(custody) => Some(custody.region),
            Op::RecordTail(tail) => Some(tail.region),
            Op::DecideApproval { approval, .. } => state.approval(*approval).and_then(|a| a.op.region(state)),
            _ => None,
        }
    }
}
