//! A node's disk: what is fsynced survives a crash, what is not may survive in part, the last record possibly torn.
//!
//! Operations are performed in the order they were given, each after its own time; a crash performs a random number of those
//! under way, and of the next append a random part.

use bytes::Bytes;
use eport_journal::{Recovered, Rewind};
use eport_model::{Effect, Epoch, EpochHistory, JournalIndex, Position, Record, RecordKind, Timestamp};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// An operation under way.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Append(Vec<Arc<Record>>),
    Seal(Epoch),
    Apply(JournalIndex),
    Export(JournalIndex),
    Truncate(JournalIndex),
    /// Note the rewind and these keys; what is applied beyond the position no longer counts as applied.
    BeginRewind(JournalIndex, BTreeSet<Bytes>),
    /// Write these rows, which are as of that position or an earlier one of its epoch.
    Rewind(Rows, Position),
    EndRewind(Position),
    /// Take over the checkpoint that is here.
    Install,
}

/// A checkpoint as far as it is here.
#[derive(Clone, Debug)]
pub(crate) struct Staged {
    pub(crate) from: Position,
    pub(crate) records: Vec<Arc<Record>>,
    pub(crate) rows: BTreeMap<Bytes, Bytes>,
    pub(crate) applied: JournalIndex,
    /// Parts that are missing.
    pub(crate) left: u32,
}

impl Staged {
    pub(crate) fn last(&self) -> Position {
        self.records.last().map_or(Position::ZERO, |r| r.position())
    }
}

/// Rows as they were read elsewhere; `None` for one that is not there.
pub(crate) type Rows = BTreeMap<Bytes, Option<Bytes>>;

/// The durable note of a rewind under way.
#[derive(Clone, Debug, Default)]
pub(crate) struct Marker {
    pub(crate) keys: BTreeSet<Bytes>,
    pub(crate) at: Option<Position>,
}

/// What a crash did to the operations under way.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Crash {
    pub(crate) records_lost: usize,
    pub(crate) torn: bool,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    pub(crate) records: Vec<Arc<Record>>,
    pub(crate) sealed: Epoch,
    pub(crate) applied: JournalIndex,
    /// Applied rows are written without fsync: a crash may fall back to here.
    applied_synced: JournalIndex,
    pub(crate) marker: Option<Marker>,
    /// A checkpoint that is being taken.
    pub(crate) staged: Option<Staged>,
    /// What backups acknowledged to this node.
    pub(crate) acked: Option<eport_journal::Acked>,
    /// Rows as they lay on disk when a rewind last wrote to them, and what was applied then; later rows follow from the journal.
    base: (JournalIndex, BTreeMap<Bytes, Bytes>),
    pub(crate) pending: VecDeque<Op>,
    /// A store that failed once refuses everything until the platform is opened again.
    pub(crate) failed: bool,
    /// When the last operation given will be done.
    pub(crate) busy_until: u64,
}

impl Disk {
    pub(crate) fn last(&self) -> Position {
        self.records.last().map_or(Position::ZERO, |r| r.position())
    }

    pub(crate) fn last_time(&self) -> Timestamp {
        self.records.last().map_or(Timestamp::default(), |r| r.header.time)
    }

    pub(crate) fn position(&self, index: JournalIndex) -> Option<Position> {
        match index.as_u64() {
            0 => Some(Position::ZERO),
            n => self.records.get(n as usize - 1).map(|r| r.position()),
        }
    }

    /// Records from `from`, at most about `max_bytes` of them.
    pub(crate) fn read(&self, from: JournalIndex, max_bytes: usize) -> Vec<Arc<Record>> {
        let mut bytes = 0;
        let stored = self.records.get((from.as_u64() as usize).saturating_sub(1)..).unwrap_or_default();
        let within = |r: &&Arc<Record>| {
            let first = bytes == 0;
            bytes += r.weight();
            first || bytes <= max_bytes
        };
        stored.iter().take_while(within).cloned().collect()
    }

    pub(crate) fn after(&self, index: JournalIndex) -> &[Arc<Record>] {
        self.records.get(index.as_u64() as usize..).unwrap_or_default()
    }

    pub(crate) fn perform(&mut self, op: &Op, rng: &mut ChaCha8Rng) {
        match op {
            Op::Append(records) => {
                debug_assert!(
                    records.first().is_none_or(|r| r.index() == self.last().index.next()),
                    "a gap on disk"
                );
                self.records.extend(records.iter().cloned());
            }
            Op::Seal(epoch) => self.sealed = self.sealed.max(*epoch),
            Op::Apply(through) => {
                self.applied = *through;
                if rng.random_range(0..4) == 0 {
                    self.applied_synced = *through;
                }
            }
            Op::Export(_) => {}
            Op::Truncate(after) => self.records.truncate(after.as_u64() as usize),
            Op::BeginRewind(after, keys) => {
                let rows = self.rows();
                self.applied = self.applied.min(*after);
                self.applied_synced = self.applied;
                self.base = (self.applied, rows);
                let marker = self.marker.get_or_insert_default();
                marker.keys.extend(keys.iter().cloned());
                marker.at = None;
            }
            Op::Rewind(rows, at) => {
                for (key, value) in rows {
                    match value {
                        Some(value) => drop(self.base.1.insert(key.clone(), value.clone())),
                        None => drop(self.base.1.remove(key)),
                    }
                }
                if let Some(marker) = &mut self.marker {
                    marker.at = Some(*at);
                }
            }
            Op::EndRewind(at) => drop(self.marker.take_if(|m| m.at == Some(*at))),
            Op::Install => {
                if let Some(staged) = self.staged.take() {
                    self.records = staged.records;
                    self.applied = staged.applied;
                    self.applied_synced = staged.applied;
                    self.base = (staged.applied, staged.rows);
                    self.marker = None;
                    self.sealed = self.sealed.max(self.last().epoch);
                }
            }
        }
    }

    /// Rows as they lie on disk.
    pub(crate) fn rows(&self) -> BTreeMap<Bytes, Bytes> {
        fold(self.base.1.clone(), self.records_between(self.base.0, self.applied))
    }

    /// Rows as they must be: those of the applied record.
    pub(crate) fn expected_rows(&self) -> BTreeMap<Bytes, Bytes> {
        fold(BTreeMap::new(), self.records_between(JournalIndex::ZERO, self.applied))
    }

    fn records_between(&self, after: JournalIndex, through: JournalIndex) -> &[Arc<Record>] {
        self.records.get(after.as_u64() as usize..through.as_u64() as usize).unwrap_or_default()
    }

    /// Power is lost. Exports under way are not performed: their caller was never told.
    pub(crate) fn crash(&mut self, rng: &mut ChaCha8Rng) -> Crash {
        let mut crash = Crash::default();
        let done = rng.random_range(0..=self.pending.len());
        let pending: Vec<Op> = std::mem::take(&mut self.pending).into();
        let mut broken = false;
        for (n, op) in pending.into_iter().enumerate() {
            match op {
                _ if n < done && !broken => {
                    // An operation behind an export has not been given before the export was confirmed.
                    self.perform(&op, rng);
                }
                Op::Append(records) => {
                    let kept = if broken { 0 } else { rng.random_range(0..=records.len()) };
                    crash.records_lost += records.len() - kept;
                    crash.torn |= kept < records.len() && rng.random_range(0..2) == 0;
                    self.records.extend(records.into_iter().take(kept));
                    broken = true;
                }
                _ => broken = true,
            }
        }
        let floor = self.applied_synced.as_u64().min(self.applied.as_u64());
        self.applied = JournalIndex::from_u64(rng.random_range(floor..=self.applied.as_u64()));
        self.applied_synced = self.applied;
        self.busy_until = 0;
        self.failed = false;
        crash
    }

    /// What a node finds when it opens the platform.
    pub(crate) fn recover(&self) -> Recovered {
        let mut history = EpochHistory::default();
        for r in &self.records {
            if r.header.epoch > history.last_epoch() {
                // The journal was checked when it was written.
                let _ = history.push(r.header.epoch, r.index());
            }
        }
        let unresolved = self.records.last().and_then(|r| match r.header.kind {
            RecordKind::Barrier { move_id } | RecordKind::SwitchProposed { move_id, .. } => Some(move_id),
            _ => None,
        });
        Recovered {
            sealed: self.sealed.max(history.last_epoch()),
            history,
            last: self.last(),
            last_time: self.last_time(),
            applied: self.position(self.applied).unwrap_or(Position::ZERO),
            unresolved,
            rewind: self.marker.as_ref().map(|m| Rewind { at: m.at }),
            lineage: self.records.last().map(|r| r.header.lineage),
            acked: self.acked.clone(),
        }
    }
}

fn fold(mut rows: BTreeMap<Bytes, Bytes>, records: &[Arc<Record>]) -> BTreeMap<Bytes, Bytes> {
    for effect in records.iter().flat_map(|r| &r.effects) {
        match effect {
            Effect::Put { key, value } => drop(rows.insert(key.clone(), value.clone())),
            Effect::Delete { key } => drop(rows.remove(key)),
        }
    }
    rows
}
