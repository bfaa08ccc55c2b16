//! Slots: how far each backup is, what is kept for shipping to it, and when that is given up.
//!
//! A slot limits shipping only: records below `shipping_floor` are not needed to bring any backup up to date, whether they stay
//! is for archives and retention classes to say. Invariants: `acked` of a slot never falls within an epoch; a slot is lost when
//! what its backup lacks exceeds any of the caps, and found again by what the backup shows next.
//!
//! Bytes and ages are known for records appended in this life of the process; older ones count as none, which keeps a slot
//! longer, never shorter.

use crate::replica::{Progress, Replica};
use crate::{Alarm, HelloAnswer, Limits, Message, Output, RejectReason};
use eport_model::{Epoch, JournalIndex, NodeId, Position, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Marks kept of a journal: thinned out to every second one when there are more.
const MARKS_MAX: usize = 1_024;
/// What backups have acknowledged is noted on disk at most this often.
const NOTE_EVERY_MS: u64 = 1_000;

/// What backups have acknowledged to the primary of one epoch, as it stands on its disk.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Acked {
    /// The epoch.
    pub epoch: Epoch,
    /// Backup, the last record it has acknowledged, and whether it lost its disk since and is being seeded anew.
    pub backups: Vec<(NodeId, Position, bool)>,
}

/// What is kept for shipping to one backup, for people and for retention.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Slot {
    /// The last record the backup has.
    pub position: JournalIndex,
    /// Records it lacks.
    pub records: u64,
    /// Their bytes, as far as this life of the process knows.
    pub bytes: u64,
    /// How long the oldest of them has waited.
    pub age_ms: u64,
    /// What it lacks is not kept for shipping any more: it takes a checkpoint.
    pub lost: bool,
    /// It lost its disk and does not count before it has again what it had acknowledged and is taken in sync anew.
    pub reseeding: bool,
    /// The most it has acknowledged in this epoch, as far as known.
    pub acked: JournalIndex,
}

/// A primary's memory of one backup, beside its stream.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PeerSlot {
    /// The most it has acknowledged in this epoch.
    pub(crate) acked: Position,
    pub(crate) reseeding: bool,
    pub(crate) lost: bool,
    /// What it asked for is not stored here.
    pub(crate) gone: bool,
}

impl PeerSlot {
    pub(crate) fn note_durable(&mut self, durable: Position) {
        if durable.index >= self.acked.index {
            self.acked = durable;
        }
    }
}

/// Bytes and times along the journal.
#[derive(Clone, Debug, Default)]
pub(crate) struct Marks {
    bytes: u64,
    every: u64,
    marks: VecDeque<Mark>,
}

#[derive(Clone, Copy, Debug)]
struct Mark {
    index: JournalIndex,
    /// Bytes of all records before this one.
    before: u64,
    time: Timestamp,
}

impl Marks {
    pub(crate) fn note(&mut self, index: JournalIndex, bytes: u64, time: Timestamp) {
        self.every = self.every.max(1);
        if self.marks.back().is_none_or(|m| index.as_u64() >= m.index.as_u64() + self.every) {
            self.marks.push_back(Mark { index, before: self.bytes, time });
        }
        self.bytes = self.bytes.saturating_add(bytes);
        if self.marks.len() > MARKS_MAX {
            self.every *= 2;
            let mut n = 0;
            self.marks.retain(|_| {
                n += 1;
                n % 2 == 1
            });
        }
    }

    pub(crate) fn truncate(&mut self, last: JournalIndex) {
        while self.marks.back().is_some_and(|m| m.index > last) {
            let Some(mark) = self.marks.pop_back() else { break };
            self.bytes = mark.before;
        }
    }

    /// Bytes behind `index`, and since when the first of them waits; never more than there are.
    fn behind(&self, index: JournalIndex) -> (u64, Option<Timestamp>) {
        let at = self.marks.partition_point(|m| m.index <= index);
        self.marks.get(at).map_or((0, None), |m| (self.bytes - m.before.min(self.bytes), Some(m.time)))
    }
}

impl Slot {
    pub(crate) fn exceeds(&self, limits: &Limits) -> bool {
        self.records > limits.slot_records
            || self.bytes > limits.slot_bytes
            || self.age_ms > limits.slot_age_ms
    }
}

impl Replica {
    /// The slot of a backup that has everything up to `position`.
    pub(crate) fn slot_at(&self, position: JournalIndex) -> Slot {
        let records = self.log.durable.index.since(position);
        let (bytes, since) = if records == 0 { (0, None) } else { self.log.marks.behind(position) };
        let waited = since.map_or(0, |t| self.now.wall.as_millis().saturating_sub(t.as_millis()));
        let age_ms = u64::try_from(waited).unwrap_or(0);
        let slot = Slot { position, records, bytes, age_ms, ..Slot::default() };
        Slot { lost: slot.exceeds(&self.limits), ..slot }
    }

    /// The most that a backup is known to have acknowledged in this epoch to this primary, also in an earlier life of its process.
    pub(crate) fn acked_of(&self, node: NodeId) -> Position {
        let Some(ship) = &self.ship else { return Position::ZERO };
        let heard = ship.peers.get(&node).map_or(Position::ZERO, |p| p.slot.acked);
        let noted = self.acked.backups.iter().find(|(n, ..)| *n == node && self.acked.epoch == ship.epoch);
        noted.map(|(_, p, _)| *p).filter(|p| p.index > heard.index).unwrap_or(heard)
    }

    /// True when the backup lost its disk in this epoch: it counts for nothing until it has again what it had acknowledged and
    /// the registry has taken it in sync anew. With its records it lost its promises; that the registry still takes a step of
    /// this primary proves that no failover had asked for one.
    pub(crate) fn is_reseeding(&self, node: NodeId) -> bool {
        let Some(ship) = &self.ship else { return false };
        let noted = || {
            self.acked.epoch == ship.epoch
                && self.acked.backups.iter().any(|(n, _, reseeding)| *n == node && *reseeding)
        };
        ship.peers.get(&node).map_or_else(noted, |p| p.slot.reseeding)
    }

    /// Once a beat: gives up slots that hold too much, and notes what backups have acknowledged.
    pub(crate) fn watch_slots(&mut self) {
        if !self.primary.as_ref().is_some_and(|p| p.opened) {
            return;
        }
        let now = self.now.mono_ms;
        let Some(ship) = &self.ship else { return };
        let (epoch, noted_ms) = (ship.epoch, ship.noted_ms);
        let held: Vec<(NodeId, JournalIndex)> =
            ship.peers.iter().map(|(n, p)| (*n, p.durable.index)).collect();
        for (node, position) in held {
            let lost = self.slot_at(position).lost;
            let counted = |b: &crate::BackupView| b.node == node && (b.in_sync || b.wants_sync);
            let counts = self.view.as_ref().is_some_and(|v| v.backups.iter().any(counted));
            let Some(peer) = self.ship.as_mut().and_then(|s| s.peers.get_mut(&node)) else { continue };
            if !counts && position >= peer.slot.acked.index {
                peer.slot.reseeding = false; // It never counted, so nobody has to take it in sync.
            }
            let newly = lost && !std::mem::replace(&mut peer.slot.lost, lost);
            let cut = lost && peer.stream.take().is_some();
            if newly {
                self.out.push(Output::Alarm(Alarm::SlotLost { backup: node, at: position }));
            }
            if cut {
                let answer = HelloAnswer::Reject(RejectReason::TooOld);
                self.send(node, Message::HelloAnswer { epoch, answer });
            }
        }
        if now.saturating_sub(noted_ms) >= NOTE_EVERY_MS {
            self.note_acked();
        }
    }

    /// The registry took a backup in sync: one that was seeded anew counts again, which is said.
    pub(crate) fn taken_in_sync(&mut self, node: NodeId) -> bool {
        let peer = self.ship.as_mut().and_then(|s| s.peers.get_mut(&node));
        let again = peer.is_some_and(|p| std::mem::take(&mut p.slot.reseeding));
        if again {
            self.note_acked();
        }
        again
    }

    pub(crate) fn note_acked(&mut self) {
        let now = self.now.mono_ms;
        let Some(ship) = &mut self.ship else { return };
        ship.noted_ms = now;
        let epoch = ship.epoch;
        let nodes: Vec<NodeId> = ship.peers.keys().copied().collect();
        let known = nodes.into_iter().map(|n| (n, self.acked_of(n), self.is_reseeding(n)));
        let mut acked = Acked { epoch, backups: known.collect() };
        // One that was not heard yet in this life keeps what an earlier one noted.
        if self.acked.epoch == epoch {
            let missing = |n: &NodeId| acked.backups.iter().all(|(known, ..)| known != n);
            let kept: Vec<_> = self.acked.backups.iter().filter(|(n, ..)| missing(n)).copied().collect();
            acked.backups.extend(kept);
        }
        let member = |n: &NodeId| self.view.as_ref().is_some_and(|v| v.backups.iter().any(|b| b.node == *n));
        acked.backups.retain(|(n, ..)| member(n));
        if acked != self.acked {
            self.acked = acked.clone();
            self.out.push(Output::NoteAcked(acked));
        }
    }

    pub(crate) fn progress(&self) -> Vec<Progress> {
        let Some(ship) = &self.ship else { return Vec::new() };
        let one = |(node, p): (&NodeId, &crate::shipping::Peer)| Progress {
            node: *node,
            streaming: p.stream.is_some(),
            received: p.received,
            durable: p.durable,
            applied: p.applied,
            heard_ms: p.heard_ms,
            slot: Slot {
                lost: p.slot.lost,
                reseeding: p.slot.reseeding,
                acked: self.acked_of(*node).index,
                ..self.slot_at(p.durable.index)
            },
        };
        ship.peers.iter().map(one).collect()
    }

    /// The first record that shipping may still need: records below are not needed to bring any backup up to date. Says
    /// nothing about whether they may be deleted, which archives and retention classes decide.
    pub fn shipping_floor(&self) -> JournalIndex {
        let last = self.log.durable.index;
        let cap = last.as_u64().saturating_sub(self.limits.slot_records);
        // A node that is not primary knows no slots, and may become primary: what the cap allows is kept.
        let held = match (&self.primary, &self.ship, &self.view) {
            (Some(_), Some(ship), Some(view)) => {
                let kept = ship.peers.values().filter(|p| !p.slot.lost).map(|p| p.durable.index);
                let silent = view.backups.iter().filter(|b| b.in_sync && !ship.peers.contains_key(&b.node));
                let all = kept.chain(silent.map(|_| view.start.index));
                all.min().unwrap_or(last).as_u64().max(cap)
            }
            _ => cap,
        };
        // A restart applies again from what is applied.
        JournalIndex::from_u64(held.min(self.log.applied_index.as_u64())).next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(n: u64) -> JournalIndex {
        JournalIndex::from_u64(n)
    }

    #[test]
    fn marks_know_bytes_and_age_and_stay_few() {
        let mut marks = Marks::default();
        for n in 1..=100_000u64 {
            marks.note(at(n), 10, Timestamp::from_millis(n as i64));
        }
        assert!(marks.marks.len() <= MARKS_MAX + 1, "{}", marks.marks.len());
        let (bytes, since) = marks.behind(at(50_000));
        assert!((480_000..=500_000).contains(&bytes), "{bytes}");
        assert!(since.unwrap() > Timestamp::from_millis(50_000), "never older than it is");
        assert_eq!(marks.behind(at(100_000)), (0, None));
        marks.truncate(at(70_000));
        let (bytes, _) = marks.behind(at(50_000));
        assert!((180_000..=201_000).contains(&bytes), "{bytes}");
    }

    #[test]
    fn each_cap_alone_loses_a_slot() {
        let limits = Limits { slot_records: 10, slot_bytes: 100, slot_age_ms: 1_000, ..Limits::default() };
        let within = Slot { records: 10, bytes: 100, age_ms: 1_000, ..Slot::default() };
        assert!(!within.exceeds(&limits));
        for over in
            [Slot { records: 11, ..within }, Slot { bytes: 101, ..within }, Slot { age_ms: 1_001, ..within }]
        {
            assert!(over.exceeds(&limits), "{over:?}");
        }
    }
}
