//! Which epoch wrote which part of a journal, and where two journals part.
//!
//! Invariants: epochs strictly rise, first indexes never fall, the list covers every record of the journal.

use crate::{Epoch, JournalIndex};
use serde::{Deserialize, Serialize};

/// One epoch of a journal: the epoch and the index of its first record (its EpochStart).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct EpochEntry {
    /// The epoch.
    pub epoch: Epoch,
    /// Index of the first record written under it.
    pub first: JournalIndex,
}

/// A journal's epochs in rising order.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct EpochHistory(Vec<EpochEntry>);

/// A history that breaks its invariants.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("epoch {epoch} at index {first} cannot follow epoch {last} at index {last_first}")]
pub struct HistoryError {
    /// The refused epoch.
    pub epoch: Epoch,
    /// Its first index.
    pub first: JournalIndex,
    /// The last epoch of the history.
    pub last: Epoch,
    /// That epoch's first index.
    pub last_first: JournalIndex,
}

impl EpochHistory {
    /// Builds a history from entries, checking the invariants.
    pub fn from_entries(entries: impl IntoIterator<Item = EpochEntry>) -> Result<Self, HistoryError> {
        let mut history = Self::default();
        for e in entries {
            history.push(e.epoch, e.first)?;
        }
        Ok(history)
    }

    /// The entries in rising order.
    pub fn entries(&self) -> &[EpochEntry] {
        &self.0
    }

    /// The newest epoch, or `Epoch::NONE` for an empty journal.
    pub fn last_epoch(&self) -> Epoch {
        self.0.last().map_or(Epoch::NONE, |e| e.epoch)
    }

    /// Adds the epoch that starts at `first`.
    pub fn push(&mut self, epoch: Epoch, first: JournalIndex) -> Result<(), HistoryError> {
        if let Some(last) = self.0.last()
            && (epoch <= last.epoch || first <= last.first)
        {
            return Err(HistoryError { epoch, first, last: last.epoch, last_first: last.first });
        }
        self.0.push(EpochEntry { epoch, first });
        Ok(())
    }

    /// The epoch under which the record at `index` was written, if the history reaches that far back.
    pub fn epoch_of(&self, index: JournalIndex) -> Option<Epoch> {
        self.0.iter().rev().find(|e| e.first <= index).map(|e| e.epoch)
    }

    /// Forgets the epochs that begin after `index`: what remains after a truncation to `index`.
    pub fn truncate_after(&mut self, index: JournalIndex) {
        self.0.retain(|e| e.first <= index);
    }

    /// The last index up to which two journals can be the same: the end of their last shared epoch, cut to the shorter.
    /// `own_last` and `peer_last` are the indexes of the last records. Zero when they share nothing.
    /// The caller still compares digests there: histories prove who wrote, digests prove what.
    pub fn common_point(
        &self,
        own_last: JournalIndex,
        peer: &EpochHistory,
        peer_last: JournalIndex,
    ) -> JournalIndex {
        let shared = self.0.iter().zip(&peer.0).take_while(|(a, b)| a == b).count();
        if shared == 0 {
            return JournalIndex::ZERO;
        }
        let end =
            |h: &[EpochEntry], last: JournalIndex| h.get(shared).map_or(last, |next| next.first.previous());
        end(&self.0, own_last).min(end(&peer.0, peer_last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(entries: &[(u64, u64)]) -> EpochHistory {
        EpochHistory::from_entries(
            entries
                .iter()
                .map(|(e, f)| EpochEntry { epoch: Epoch::from_u64(*e), first: JournalIndex::from_u64(*f) }),
        )
        .unwrap()
    }

    fn at(n: u64) -> JournalIndex {
        JournalIndex::from_u64(n)
    }

    #[test]
    fn the_worked_example_of_a_double_failover_finds_both_forks() {
        // A: e1[1..12]   B: e1[1..8] e2[9,10]   C: e1[1..8] e2[9] e3[10..20]
        let (a, b, c) = (history(&[(1, 1)]), history(&[(1, 1), (2, 9)]), history(&[(1, 1), (2, 9), (3, 10)]));
        assert_eq!(c.common_point(at(20), &b, at(10)), at(9), "B keeps 9 and exports 10");
        assert_eq!(c.common_point(at(20), &a, at(12)), at(8), "A keeps 1..8 and exports 9..12");
    }

    #[test]
    fn equal_histories_share_the_shorter_journal() {
        let h = history(&[(1, 1), (4, 7)]);
        assert_eq!(h.common_point(at(9), &h, at(30)), at(9));
        assert_eq!(h.common_point(at(0), &EpochHistory::default(), at(0)), at(0));
    }

    #[test]
    fn same_index_under_another_epoch_is_not_common() {
        let (x, y) = (history(&[(1, 1), (2, 5)]), history(&[(1, 1), (3, 5)]));
        assert_eq!(x.common_point(at(9), &y, at(9)), at(4));
    }

    #[test]
    fn an_epoch_that_does_not_rise_is_refused() {
        let mut h = history(&[(2, 5)]);
        assert!(h.push(Epoch::from_u64(2), at(9)).is_err());
        assert!(h.push(Epoch::from_u64(3), at(5)).is_err());
    }
}
