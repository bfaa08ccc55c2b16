//! Where the world calls the invariants, and short texts for traces.

use crate::disk::Disk;
use crate::invariants::{carried, i01, i02, i03, i06, i07, i08, i10, i11, i12, last, lease, local, rows};
use crate::world::{Event, World};
use eport_journal::{Input, Message};
use eport_model::{Durability, JournalIndex, NodeId, Position, Record};
use eport_registry::{Command, DurabilityMode, MoveState, Op, PlacementState};
use rand::Rng;
use std::sync::Arc;

impl World {
    /// A replica was stepped.
    pub(crate) fn check_step(&mut self, node: usize) {
        i08::check(self, node);
        i11::check(self, node);
    }

    /// A record reached a disk.
    pub(crate) fn record_durable(&mut self, node: usize, record: &Arc<Record>) {
        let author = self.oracle.primaries.get(&record.header.epoch).copied();
        let on_author = author == Some(self.hosts[node].id);
        i07::check(self, node, record, on_author);
        i03::check(self, node, record, on_author);
        i06::check(self, node, record);
    }

    pub(crate) fn acknowledged(
        &mut self,
        node: usize,
        position: Position,
        durability: Durability,
        depends: bool,
    ) {
        let Some(epoch) = self.hosts[node].replica.as_ref().map(eport_journal::Replica::epoch) else {
            return;
        };
        i01::check(self, node, epoch);
        local::check(self, node, epoch, durability, depends);
        lease::check(self, node, epoch);
        let at = self.now;
        self.oracle.acks.push(crate::oracle::Ack { position, durability, epoch, at });
    }

    pub(crate) fn tail_exported(&mut self, node: usize, after: JournalIndex) {
        self.cover.hit("tail.exported");
        self.note(|| format!("n{node} exports its tail after {after}"));
        let digests: Vec<_> = self.hosts[node].disk.after(after).iter().map(|r| r.digest).collect();
        self.oracle.exported.extend(digests);
    }

    pub(crate) fn check_rewind(&mut self, node: usize, after: JournalIndex) {
        self.cover.hit(if self.hosts[node].disk.applied > after { "tail.rewound" } else { "rewind.again" });
        self.note(|| format!("n{node} rewinds to {after}"));
        i10::check_held(self, node, after);
    }

    pub(crate) fn check_truncation(&mut self, node: usize, after: JournalIndex) {
        self.cover.hit("tail.truncated");
        self.note(|| format!("n{node} truncates after {after}"));
        i10::check(self, node, after);
    }

    /// What a crash left on disk is checked like every other write.
    pub(crate) fn after_crash(&mut self, node: usize, before: &Disk) {
        let now: Vec<Arc<Record>> = self.hosts[node].disk.records.clone();
        let kept = now.iter().zip(&before.records).take_while(|(a, b)| a.digest == b.digest).count();
        if kept < before.records.len() {
            // A truncation under way was performed.
            let after = JournalIndex::from_u64(kept as u64);
            let unexported = before.after(after).iter().any(|r| !self.oracle.exported.contains(&r.digest));
            if unexported {
                self.fail("I10 export before truncation", format!("n{node} lost records after {after}"));
            }
        }
        for record in now.get(kept..).unwrap_or_default() {
            self.record_durable(node, record);
        }
    }

    /// A message of a lower epoch arrives.
    pub(crate) fn deliver_lower(&mut self, to: usize, sender: NodeId, message: Message) {
        self.cover.hit("message.lower_epoch");
        // Whatever time alone makes due happens first, so that only the message is judged.
        self.input(to, Input::Tick);
        self.hosts[to].told = None;
        let before = i12::fingerprint(self, to);
        let text = brief(&message);
        let answers = !matches!(message, Message::StepDown { .. } | Message::Sealed(_));
        self.input(to, Input::Message { from: sender, message });
        i12::check(self, to, before, &text);
        i12::check_answer(self, to, sender, answers, &text);
    }

    /// The registry changed the placement.
    pub(crate) fn committed_op(&mut self, command: &Command) {
        if let Op::CommitFailover { move_id, sealed, .. } = &command.op {
            self.note_loss(*move_id, sealed);
        }
        i02::check(self);
        let placement = self.registry.placement();
        let (primary, state) = (placement.primary, placement.state);
        if placement.policy.durability == DurabilityMode::Async {
            self.oracle.was_async = true;
        }
        match &command.op {
            Op::InSyncAdd { .. } => self.cover.hit("step.in_sync_add"),
            Op::InSyncRemove { .. } => {
                self.cover.hit("step.in_sync_remove");
                self.maybe_fail_again(primary, 30);
            }
            Op::Proven { .. } => {
                self.cover.hit("step.proven");
                self.maybe_fail_again(primary, 5);
            }
            Op::Shrink { nodes, .. } => self.maybe_fail_again(primary, if nodes.is_empty() { 5 } else { 30 }),
            Op::CommitSwitch { .. } => self.cover.hit("switch.commit"),
            Op::AbortMove { .. } => self.cover.hit("switch.abort"),
            Op::FailMove { .. } => self.cover.hit("failover.fail"),
            Op::ConfirmOldPrimary { .. } => self.cover.hit("failover.confirm"),
            Op::CommitFailover { move_id, .. } => {
                self.cover.hit("failover.commit");
                if self.registry.state.movement(*move_id).is_some_and(eport_moves::is_automatic) {
                    self.cover.hit("auto.commit");
                }
                self.maybe_fail_again(primary, 15);
            }
            _ => {}
        }
        if state == PlacementState::Active {
            self.note(|| format!("registry: active, primary {primary}"));
        }
    }

    /// Was the failover allowed to lose acknowledged records, and could it?
    fn note_loss(&mut self, move_id: eport_model::MoveId, sealed: &[NodeId]) {
        let Some(movement) = self.registry.state.movement(move_id) else { return };
        debug_assert_eq!(movement.state, MoveState::Done);
        let needed = self.oracle.quorum_before;
        let have = sealed.iter().filter(|n| self.oracle.counted_before.contains(n)).count();
        let accepted = movement.accept_data_loss;
        let proven = (have >= needed && !accepted) || sealed.contains(&movement.from);
        let epoch = movement.epoch_after;
        if eport_moves::is_automatic(movement) {
            self.oracle.automatic.extend(epoch);
        }
        if movement.accept_data_loss && !proven {
            self.cover.hit("failover.lossy");
            self.oracle.lossy.extend(epoch);
        } else {
            carried::check(self, move_id, sealed);
        }
    }

    /// The primary dies or is cut off before anybody has learnt of the change.
    fn maybe_fail_again(&mut self, primary: NodeId, percent: u32) {
        let Some(node) = self.index_of(primary) else { return };
        if self.healing.is_some() || !self.chance(percent) {
            return;
        }
        self.cover.hit("failover.at_once");
        let lasts = self.rng.random_range(500..3_000);
        if self.chance(50) {
            self.crash(node, lasts);
        } else {
            self.isolate(node, lasts);
        }
        let soon = self.rng.random_range(1..150);
        self.after(soon, Event::Failover { lossy: false });
    }

    pub(crate) fn final_checks(&mut self, primary: usize) {
        last::check(self, primary);
        let whole =
            |n: &usize| self.hosts[*n].replica.as_ref().is_some_and(eport_journal::Replica::rows_whole);
        let nodes: Vec<usize> = (0..self.hosts.len()).filter(whole).collect();
        nodes.into_iter().for_each(|node| rows::check(self, node));
    }
}

/// A message in a few words.
pub(crate) fn brief(message: &Message) -> String {
    match message {
        Message::Hello(h) => format!("Hello e{} last {}", h.epoch, h.last),
        Message::HelloAnswer { epoch, answer } => format!("HelloAnswer e{epoch} {answer:?}"),
        Message::Batch { epoch, records, committed } => {
            let last = records.last().map_or(0, |r| r.index().as_u64());
            format!(
                "Batch e{epoch} {}..{last} committed {committed}",
                records.first().map_or(0, |r| r.index().as_u64())
            )
        }
        Message::Beat { epoch, committed, last, .. } => {
            format!("Beat e{epoch} committed {committed} last {last}")
        }
        Message::Ack(a) => format!("Ack e{} durable {} applied {}", a.epoch, a.durable, a.applied.index),
        Message::StepDown { epoch } => format!("StepDown e{epoch}"),
        Message::Seal { epoch, .. } => format!("Seal e{epoch}"),
        Message::Sealed(r) => format!("Sealed e{} last {}", r.epoch, r.last),
        Message::Copy { epoch, source, to, .. } => format!("Copy e{epoch} from {source} to {to}"),
    }
}

/// A registry command in a few words.
pub(crate) fn brief_op(op: &Op) -> String {
    let text = format!("{op:?}");
    text.split(", plan:").next().unwrap_or_default().chars().take(260).collect()
}
