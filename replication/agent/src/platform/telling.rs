//! What a platform's task says of itself: its status to this node, its soft state to the others, alarms to people.
//!
//! Always holds: role and placement are told at once, counters at most every `STATUS_EVERY`.

use super::{SILENT, STATUS_EVERY, Task};
use crate::PlatformStatus;
use crate::soft::{BackupSoft, PlatformSoft, SlotSoft};
use eport_journal::{Alarm, PlacementView, Role};
use eport_model::{Epoch, JournalIndex, NodeId, RegionCode, codes};
use std::time::Instant;
use tracing::{error, warn};

impl Task {
    /// Says when the rows here are not the primary's. Nothing is changed here: verification looks into it.
    pub(super) fn compared(&mut self, compared: Option<crate::Compared>) {
        let Some(compared) = compared else { return };
        if compared.equal {
            self.differs = None;
            return;
        }
        let (region, mark) = (self.region, compared.index);
        error!(%region, %mark, code = %codes::STATE_DIFFERS, "rows differ from the primary's");
        self.differs = Some((codes::STATE_DIFFERS, format!("rows at mark {mark} differ from the primary's")));
        self.tell_now();
    }

    pub(super) fn raise(&mut self, alarm: Alarm) {
        if let Alarm::SlotLost { backup, at } = &alarm {
            // No alarm of this node: the backup helps itself, and its slot says so for as long as it lasts.
            warn!(region = %self.region, %backup, %at, code = %codes::SLOT_LOST, "slot lost: the backup takes a checkpoint");
            self.context.news.notify_one();
            return;
        }
        let code = match &alarm {
            Alarm::RolledBack { .. } | Alarm::Behind { .. } => codes::ROLLED_BACK,
            _ => codes::JOURNAL_CORRUPT,
        };
        let text = match &alarm {
            Alarm::Corruption { index, ours, theirs, peer } => {
                format!("record {index}: digest {} here, {} at {peer}", ours.short(), theirs.short())
            }
            Alarm::BadRecord { index, peer } => format!("record {index} from {peer} does not verify"),
            Alarm::Behind { start, last } => {
                format!("journal ends at {last}, its epoch started at {start}: an old copy?")
            }
            Alarm::RolledBack { acked, last, peer } if *peer == self.context.me || last.index >= *acked => {
                format!(
                    "{peer} has lost records of its own epoch that are here up to {acked}: an old copy was put back there"
                )
            }
            Alarm::RolledBack { acked, last, peer } => format!(
                "the journal here ends at {last}, but {peer} knows that this node had record {acked}: an old copy of its data was \
                 put back. Stop the node, move platform/{} out of its data directory and start it: it is seeded anew",
                self.region
            ),
            Alarm::SlotLost { backup, .. } => format!("slot of {backup} lost"),
            Alarm::NotWhole { at } => {
                let wanted = at.map_or_else(|| "rows from a primary".to_owned(), |at| format!("record {at}"));
                format!(
                    "rows of a diverged tail are not put back; this node cannot serve before it has {wanted}"
                )
            }
            Alarm::Degraded { index } => {
                format!(
                    "backups are silent and the registry is away: answers are local from record {index} on"
                )
            }
            Alarm::SwitchStalled { move_id, reason } => format!("switchover {move_id}: {reason}"),
        };
        error!(region = %self.region, %code, alarm = %text, "alarm");
        self.alarm = Some((code, text));
    }

    fn backups(&mut self) -> Vec<BackupSoft> {
        let last = self.replica.last().index;
        let now = Instant::now();
        let mut out = Vec::new();
        for p in self.replica.peers() {
            let level = self.level.entry(p.node).or_insert(now);
            if p.durable.index >= last {
                *level = now;
            }
            out.push(BackupSoft {
                node: p.node,
                received: p.received,
                durable: p.durable.index,
                applied: p.applied.index,
                slot: SlotSoft {
                    records: p.slot.records,
                    bytes: p.slot.bytes,
                    age_ms: p.slot.age_ms,
                    lost: p.slot.lost,
                    reseeding: p.slot.reseeding,
                    acked: p.slot.acked,
                },
                behind_ms: u64::try_from(level.elapsed().as_millis()).unwrap_or(u64::MAX),
            });
        }
        out
    }

    fn elsewhere(&self) -> Option<JournalIndex> {
        let (view, placement) = (self.replica.view()?, self.placement.as_ref()?);
        // Under `--same-site` the view counts backups that the loss of the site takes along.
        if placement.policy.same_site {
            return None;
        }
        let peers: Vec<(NodeId, JournalIndex)> = (self.replica.peers().iter())
            .filter(|p| !p.slot.reseeding)
            .map(|p| (p.node, p.durable.index))
            .collect();
        elsewhere(view, &peers)
    }

    fn durability_now(&self) -> &'static str {
        let (Role::Primary { .. } | Role::Handover { .. }, Some(p)) = (&self.role, &self.placement) else {
            return "blocked";
        };
        // What an answer needs now: under `auto_sync` fewer than the policy names, and none while the primary goes on alone.
        let need = self.replica.view().map_or(p.policy.k, |v| v.k);
        if need == 0 || self.replica.is_degraded() {
            return "local";
        }
        let counts = |node: NodeId| {
            let view = self.replica.view();
            view.is_some_and(|v| {
                v.backups.iter().any(|b| b.node == node && b.in_sync && b.counted && !b.leaving)
            })
        };
        let fresh = |node: NodeId| self.heard.get(&node).is_some_and(|at| at.elapsed() < SILENT);
        let counted = p.backups.iter().filter(|b| counts(b.node) && fresh(b.node)).count();
        match counted >= need {
            true if p.policy.same_site => "local",
            true => "replicated",
            false => "blocked",
        }
    }

    pub(super) fn tell(&mut self) {
        if self.told.elapsed() >= STATUS_EVERY || self.status.borrow().role != self.role {
            self.tell_now();
        }
    }

    pub(super) fn tell_now(&mut self) {
        self.told = Instant::now();
        let status = PlatformStatus {
            role: self.role.clone(),
            generation: self.generation,
            placement: self.placement.clone(),
            numbers: self.numbers.clone(),
            last: self.replica.last(),
            committed: self.replica.committed(),
            applied: self.replica.applied().index,
            backups: self.backups(),
            elsewhere: self.elsewhere(),
            durability_now: self.durability_now(),
            alarm: self.alarm.clone().or_else(|| self.differs.clone()),
            bootstrap: self.bootstrapping.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone(),
            shipping_floor: self.replica.shipping_floor(),
            state_digest: self.digest,
            marks: self.marks.soft(),
            lease_until: self.replica.lease_until().map(|ms| self.context.clock.instant_of(ms)),
            heard: self.replica.heard(),
        };
        self.status.send_replace(status);
    }
}

/// What backups on other sites hold, of a placement whose counted backups all stand there.
fn elsewhere(view: &PlacementView, peers: &[(NodeId, JournalIndex)]) -> Option<JournalIndex> {
    let there = || view.backups.iter().filter(|b| b.counted && !b.leaving);
    if !there().any(|b| b.in_sync || b.wants_sync) {
        return None;
    }
    let of = |node: NodeId| peers.iter().find(|(peer, _)| *peer == node).map_or(JournalIndex::ZERO, |p| p.1);
    let mut held: Vec<JournalIndex> = there().filter(|b| b.in_sync).map(|b| of(b.node)).collect();
    held.sort_unstable_by(|a, b| b.cmp(a));
    Some(held.get(view.k.max(1) - 1).copied().unwrap_or(JournalIndex::ZERO))
}

/// A platform's status as other nodes hear it.
pub(crate) fn soft(
    region: RegionCode,
    status: &PlatformStatus,
    disk_bytes: u64,
    scrub: Option<crate::ScrubSoft>,
    archive: Option<crate::ArchiveSoft>,
) -> PlatformSoft {
    let (role, epoch) = match &status.role {
        Role::Idle => ("idle", Epoch::NONE),
        Role::Primary { epoch } => ("primary", *epoch),
        Role::Opening { epoch } => ("opening", *epoch),
        Role::Handover { epoch, .. } => ("handover", *epoch),
        Role::Backup { epoch, .. } => ("backup", *epoch),
        Role::Sealed { epoch } => ("sealed", *epoch),
        Role::Fenced { epoch } => ("fenced", *epoch),
    };
    PlatformSoft {
        region,
        role: role.to_owned(),
        epoch,
        last: status.last,
        committed: status.committed,
        applied: status.applied,
        backups: status.backups.clone(),
        durability_now: status.durability_now.to_owned(),
        alarm: status.alarm.as_ref().map(|(_, text)| text.clone()),
        alarm_code: status.alarm.as_ref().map(|(code, _)| code.to_string()),
        bootstrap: status.bootstrap.clone(),
        shipping_floor: status.shipping_floor,
        state_digest: status.state_digest.map(|d| (d.index, d.digest)),
        marks: status.marks,
        scrub,
        archive,
        disk_bytes,
        heard: status.heard,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use eport_journal::{BackupView, ViewState};
    use eport_model::Position;

    fn backup(node: &str, in_sync: bool, counted: bool) -> BackupView {
        BackupView { node: node.parse().unwrap(), in_sync, counted, wants_sync: true, leaving: false }
    }

    fn view(k: usize, backups: Vec<BackupView>) -> PlacementView {
        PlacementView {
            version: 1,
            epoch: Epoch::INITIAL,
            primary: "a-1".parse().unwrap(),
            start: Position::ZERO,
            head: Position::ZERO,
            backups,
            k,
            proven_k: k,
            start_k: 0,
            shrink_ms: None,
            degrade_ms: None,
            lease: false,
            unseen: false,
            state: ViewState::Active,
        }
    }

    #[test]
    fn only_in_sync_backups_on_other_sites_hold_something_elsewhere() {
        let at = |index| Some(JournalIndex::from_u64(index));
        let peers: Vec<(NodeId, JournalIndex)> = [("a-2", 90), ("b-1", 70), ("c-1", 50)]
            .map(|(node, index)| (node.parse().unwrap(), JournalIndex::from_u64(index)))
            .into();
        let (near, far) = (backup("a-2", true, false), backup("b-1", true, true));
        let (late, third) = (backup("c-1", false, true), backup("c-1", true, true));
        assert_eq!(elsewhere(&view(1, vec![near.clone()]), &peers), None, "none stands on another site");
        assert_eq!(elsewhere(&view(1, vec![near.clone(), far.clone()]), &peers), at(70));
        assert_eq!(elsewhere(&view(1, vec![near, late.clone()]), &peers), at(0), "it is not in sync");
        assert_eq!(elsewhere(&view(2, vec![far.clone(), third.clone()]), &peers), at(50));
        assert_eq!(elsewhere(&view(2, vec![far.clone(), late]), &peers), at(0), "two are needed");
        assert_eq!(elsewhere(&view(0, vec![far, third]), &peers), at(70), "one at least, also under async");
    }
}
