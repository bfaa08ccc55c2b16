//! Records in a chain, stores in temporary folders, and copies of them.

use bytes::Bytes;
use eport_model::{
    Draft, Effect, Epoch, JournalIndex, Lineage, MoveId, NodeId, Position, Record, RecordKind, RegionCode,
    RequestRef, Timestamp,
};
use eport_store::{Budget, Error, PlatformStore, Recovered, Shared};
use std::path::Path;
use std::sync::Arc;

pub fn region() -> RegionCode {
    "440300".parse().unwrap()
}

pub fn lineage() -> Lineage {
    Lineage::from_bytes([7; 16])
}

pub fn node(name: &str) -> NodeId {
    name.parse().unwrap()
}

pub fn at(index: u64) -> JournalIndex {
    JournalIndex::from_u64(index)
}

fn budget() -> Budget {
    Budget { cache_bytes: 8 << 20, buffer_bytes: 16 << 20, open_files: 64, ..Budget::default() }
}

pub fn shared() -> Shared {
    Shared::new(budget()).unwrap()
}

pub fn open(dir: &Path) -> (PlatformStore, Recovered) {
    try_open(dir).unwrap()
}

pub fn try_open(dir: &Path) -> Result<(PlatformStore, Recovered), Error> {
    PlatformStore::open(dir, lineage(), region(), &shared())
}

/// Opens with journal files that are full after `bytes`.
pub fn open_small(dir: &Path, bytes: u64) -> Result<(PlatformStore, Recovered), Error> {
    let shared = Shared::new(Budget { journal_file_bytes: bytes, ..budget() }).unwrap();
    PlatformStore::open(dir, lineage(), region(), &shared)
}

/// The journal's files, in order.
pub fn journal_files(dir: &Path) -> Vec<std::path::PathBuf> {
    files(&dir.join("journal"), &[".log"])
}

/// Makes records one behind the other.
pub struct Chain {
    pub last: Position,
    pub epoch: Epoch,
}

impl Chain {
    pub fn new() -> Self {
        Self { last: Position::ZERO, epoch: Epoch::NONE }
    }

    /// Goes on behind a position.
    pub fn behind(last: Position) -> Self {
        Self { last, epoch: last.epoch }
    }

    fn seal(&mut self, draft: Draft) -> Arc<Record> {
        let record = Record::seal(draft, lineage(), region(), self.epoch, &self.last, Timestamp::default());
        self.last = record.position();
        Arc::new(record)
    }

    pub fn bare(&mut self, kind: RecordKind) -> Arc<Record> {
        let time = Timestamp::from_millis(1_000 + self.last.index.as_u64() as i64);
        self.seal(Draft::bare(kind, time))
    }

    pub fn epoch(&mut self, epoch: u64) -> Arc<Record> {
        let previous = self.epoch;
        self.epoch = Epoch::from_u64(epoch);
        self.bare(RecordKind::EpochStart { primary: node("sz-a-1"), previous, move_id: MoveId::default() })
    }

    /// A document of `len` bytes with two rows; every tenth also deletes a row.
    pub fn document(&mut self, len: usize) -> Arc<Record> {
        let n = self.last.index.as_u64() + 1;
        let mut draft = Draft::bare(RecordKind::Entry, Timestamp::from_millis(1_000 + n as i64));
        let key = |kind: &str, n: u64| Bytes::from(format!("{kind}/{n:08}"));
        draft
            .effects
            .push(Effect::Put { key: key("doc", n), value: Bytes::from(format!("state of document {n}")) });
        draft.effects.push(Effect::Put { key: key("sum", n % 7), value: Bytes::from(n.to_string()) });
        if n.is_multiple_of(10) {
            draft.effects.push(Effect::Delete { key: key("doc", n - 5) });
        }
        let body: Vec<u8> = (0..len).map(|i| (n as usize * 31 + i * i % 251) as u8).collect();
        draft.bodies.push(Bytes::from(body));
        draft.request = Some(RequestRef {
            id: format!("GZ-{n:06}"),
            caller: "enterprise/91440300TEST".to_owned(),
            body: Some(0),
            signature: None,
            accepted_at: Timestamp::from_millis(n as i64),
            replaces: None,
        });
        self.seal(draft)
    }

    /// A record that writes one row of `len` bytes.
    pub fn wide(&mut self, len: usize) -> Arc<Record> {
        let n = self.last.index.as_u64() + 1;
        let mut draft = Draft::bare(RecordKind::Entry, Timestamp::from_millis(1_000 + n as i64));
        let value = Bytes::from(vec![n as u8; len]);
        draft.effects.push(Effect::Put { key: Bytes::from(format!("wide/{n:08}")), value });
        self.seal(draft)
    }

    /// A record of any draft.
    pub fn add(&mut self, draft: Draft) -> Arc<Record> {
        self.seal(draft)
    }

    /// An EpochStart and documents, `count` records in all.
    pub fn start(&mut self, count: usize, len: usize) -> Vec<Arc<Record>> {
        let mut records = vec![self.epoch(1)];
        records.extend((1..count).map(|_| self.document(len)));
        records
    }
}

/// Copies a folder as a crash would leave it: the database stays open meanwhile.
pub fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &to.join(entry.file_name()));
        } else {
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

/// Files in a folder with one of these endings, by name.
pub fn files(dir: &Path, endings: &[&str]) -> Vec<std::path::PathBuf> {
    let mut found: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| endings.iter().any(|e| p.file_name().unwrap().to_str().unwrap().contains(e)))
        .filter(|p| p.metadata().unwrap().len() > 0)
        .collect();
    found.sort();
    found
}

/// All records of a store, verified.
pub fn all_records(store: &PlatformStore) -> Vec<Arc<Record>> {
    let mut records: Vec<Arc<Record>> = Vec::new();
    loop {
        let from = at(records.len() as u64 + 1);
        let more = store.read(from, 1 << 20).unwrap();
        if more.is_empty() {
            return records;
        }
        more.iter().for_each(|r| r.verify().unwrap());
        records.extend(more);
    }
}
