//! A replicated journal as far as the exchange sees it: records, what backups hold, what a failover leaves.

use eport_exchange::Source;
use eport_model::{Epoch, EpochHistory, JournalIndex};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

/// Records of one platform. `None` is the record that starts an epoch.
pub struct Journal<R> {
    pub records: Vec<(Epoch, Option<R>)>,
    /// Records that backups hold.
    pub held: usize,
    pub epoch: Epoch,
    pub history: EpochHistory,
}

impl<R: Clone> Journal<R> {
    pub fn new() -> Self {
        let mut journal =
            Self { records: Vec::new(), held: 0, epoch: Epoch::NONE, history: EpochHistory::default() };
        journal.start();
        journal
    }

    fn start(&mut self) {
        self.epoch = self.epoch.next();
        self.records.push((self.epoch, None));
        self.history.push(self.epoch, self.last()).unwrap();
        self.held = self.held.max(1);
    }

    pub fn last(&self) -> JournalIndex {
        JournalIndex::from_u64(self.records.len() as u64)
    }

    pub fn append(&mut self, record: R) -> Source {
        self.records.push((self.epoch, Some(record)));
        Source { epoch: self.epoch, index: self.last() }
    }

    /// Backups catch up by a few records.
    pub fn replicate(&mut self, rng: &mut ChaCha8Rng) {
        self.held = rng.random_range(self.held..=self.records.len());
    }

    /// A backup takes over with what it has; the lost records, oldest first.
    pub fn fail_over(&mut self, rng: &mut ChaCha8Rng) -> Vec<(Source, R)> {
        let keep = rng.random_range(self.held..=self.records.len());
        let lost = self.records.split_off(keep);
        self.history.truncate_after(self.last());
        let first = keep as u64 + 1;
        let lost = lost.into_iter().enumerate().filter_map(|(n, (epoch, record))| {
            let index = JournalIndex::from_u64(first + n as u64);
            Some((Source { epoch, index }, record?))
        });
        let lost = lost.collect();
        self.start();
        lost
    }

    /// Records with their places.
    pub fn all(&self) -> impl Iterator<Item = (Source, &R)> {
        self.records.iter().enumerate().filter_map(|(n, (epoch, record))| {
            let source = Source { epoch: *epoch, index: JournalIndex::from_u64(n as u64 + 1) };
            Some((source, record.as_ref()?))
        })
    }
}
