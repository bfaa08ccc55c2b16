//! A replica in memory: real records and rows, commits when the test says so.
// Shared by several test programs and a benchmark, each of which uses a part.
#![allow(dead_code, clippy::unwrap_used)]

use bytes::Bytes;
use eport_agent::{Pending, PlatformStatus, QueueFull};
use eport_documents::{InForce, Lookup, Packs, TableRow, TableVersion, Tables};
use eport_envelope::{DataKey, KeyId, KeyRing};
use eport_journal::{Outcome, Role, Ticket};
use eport_model::{
    Digest, Draft, Durability, Effect, Epoch, JournalIndex, Lineage, NodeId, Position, Record, RecordHeader,
    RecordKind, RegionCode, Timestamp,
};
use eport_platform::{Caller, Config, Keys, Log, Platform, SubmitAnswer};
use eport_store::Error;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::{oneshot, watch};

pub const CONTRACT: &str = include_str!("../../../../packs/arrival_report/examples/valid/contract.json");

#[derive(Default)]
pub struct Journal {
    pub records: Vec<Arc<Record>>,
    rows: BTreeMap<Bytes, Bytes>,
    applied: usize,
    waiting: VecDeque<oneshot::Sender<Outcome>>,
    pub manual: bool,
    pub refusing: Option<Outcome>,
    pub durability: Option<Durability>,
    /// What is answered to whoever depends on what is applied.
    pub depending: Option<Outcome>,
    pub groups: Vec<usize>,
    /// A record of the journal's own before each group, as marks do it.
    pub marks: bool,
}

pub struct Fake {
    journal: Mutex<Journal>,
    status: watch::Sender<PlatformStatus>,
    pub noted: AtomicU64,
    pub disk: AtomicU64,
}

pub fn region() -> RegionCode {
    "440300".parse().unwrap()
}

pub fn node(name: &str) -> NodeId {
    name.parse().unwrap()
}

pub fn primary(epoch: u64) -> Role {
    Role::Primary { epoch: Epoch::from_u64(epoch) }
}

impl Fake {
    pub fn new() -> Arc<Self> {
        let (status, _) = watch::channel(PlatformStatus {
            role: primary(1),
            placement: None,
            generation: 0,
            numbers: vec![(1, 10_000_000)],
            last: Position::ZERO,
            committed: JournalIndex::ZERO,
            applied: JournalIndex::ZERO,
            backups: Vec::new(),
            elsewhere: Some(JournalIndex::from_u64(u64::MAX)),
            durability_now: "replicated",
            alarm: None,
            bootstrap: None,
            shipping_floor: JournalIndex::ZERO,
            state_digest: None,
            marks: eport_agent::MarkSoft::default(),
            lease_until: None,
            heard: None,
        });
        Arc::new(Self {
            journal: Mutex::default(),
            status,
            noted: AtomicU64::new(0),
            disk: AtomicU64::new(0),
        })
    }

    pub fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap()
    }

    /// Puts rows where they are, without a record: what damage leaves.
    pub fn damage(&self, key: Bytes, value: Bytes) {
        self.journal().rows.insert(key, value);
    }

    /// How far backups on other sites are.
    pub fn elsewhere(&self, index: Option<u64>) {
        self.status.send_modify(|s| s.elsewhere = index.map(JournalIndex::from_u64));
    }

    pub fn role(&self, role: Role) {
        self.status.send_modify(|s| s.role = role);
    }

    pub fn place(&self, placement: Arc<eport_registry::Placement>) {
        self.status.send_modify(|s| s.placement = Some(placement));
    }

    pub fn numbers(&self, blocks: Vec<(u64, u64)>) {
        self.status.send_modify(|s| s.numbers = blocks);
    }

    /// Commits and applies up to `n` records.
    pub fn commit(&self, n: usize) -> usize {
        let mut j = self.journal();
        let mut done = 0;
        while done < n && j.applied < j.records.len() {
            let record = j.records[j.applied].clone();
            apply(&mut j.rows, &record);
            j.applied += 1;
            done += 1;
            let proposed = [
                RecordKind::Entry,
                RecordKind::CertIntent,
                RecordKind::CertIssued,
                RecordKind::Enrolment,
                RecordKind::CaAct,
            ];
            if proposed.contains(&record.header.kind) {
                let durability = j.durability.unwrap_or(Durability::Replicated);
                let waiting = j.waiting.pop_front().unwrap();
                let _ = waiting.send(Outcome::Done { position: record.position(), durability });
            }
        }
        drop(j);
        self.status.send_modify(|s| s.committed = JournalIndex::from_u64(s.committed.as_u64() + done as u64));
        done
    }

    /// Takes another replica's records as a backup does.
    pub fn follow(&self, records: &[Arc<Record>]) {
        let mut j = self.journal();
        for record in records {
            apply(&mut j.rows, record);
            j.records.push(record.clone());
            j.applied += 1;
        }
    }

    /// Everything in flight vanishes: the role was lost.
    pub fn lose(&self) {
        let mut j = self.journal();
        let applied = j.applied;
        j.records.truncate(applied);
        for waiting in std::mem::take(&mut j.waiting) {
            let _ = waiting.send(Outcome::Unknown);
        }
    }

    pub fn in_flight(&self) -> usize {
        self.journal().waiting.len()
    }

    /// Waits until so many records are in flight.
    pub async fn until_in_flight(&self, n: usize) {
        while self.in_flight() < n {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Appends a record of the journal's own.
    pub fn mark(&self) {
        let mut j = self.journal();
        append(&mut j, Draft::bare(RecordKind::ChecksumMark, Timestamp::default()), Epoch::INITIAL);
    }

    fn epoch(&self) -> Option<Epoch> {
        match self.status.borrow().role {
            Role::Primary { epoch } => Some(epoch),
            _ => None,
        }
    }
}

fn append(j: &mut Journal, draft: Draft, epoch: Epoch) -> Arc<Record> {
    let previous = j.records.last().map_or(Position::ZERO, |r| r.position());
    let floor = j.records.last().map_or(Timestamp::default(), |r| r.header.time);
    let record = Arc::new(Record::seal(draft, Lineage::default(), region(), epoch, &previous, floor));
    j.records.push(record.clone());
    record
}

fn apply(rows: &mut BTreeMap<Bytes, Bytes>, record: &Record) {
    for effect in &record.effects {
        match effect {
            Effect::Put { key, value } => drop(rows.insert(key.clone(), value.clone())),
            Effect::Delete { key } => drop(rows.remove(key)),
        }
    }
}

impl Log for Fake {
    fn region(&self) -> RegionCode {
        region()
    }
    fn status(&self) -> watch::Receiver<PlatformStatus> {
        self.status.subscribe()
    }
    fn propose(&self, drafts: Vec<Draft>, _generation: u64) -> Result<Vec<Pending>, QueueFull> {
        let epoch = self.epoch();
        let mut j = self.journal();
        j.groups.push(drafts.len());
        if j.marks {
            append(
                &mut j,
                Draft::bare(RecordKind::ChecksumMark, Timestamp::default()),
                epoch.unwrap_or_default(),
            );
        }
        let mut pending = Vec::new();
        for draft in drafts {
            let (tx, outcome) = oneshot::channel();
            match (&j.refusing, epoch) {
                (Some(refusal), _) => drop(tx.send(refusal.clone())),
                (None, None) => drop(tx.send(Outcome::Held)),
                (None, Some(epoch)) => {
                    append(&mut j, draft, epoch);
                    j.waiting.push_back(tx);
                }
            }
            pending.push(Pending { ticket: 1, outcome });
        }
        let manual = j.manual;
        drop(j);
        if !manual {
            self.commit(usize::MAX);
        }
        Ok(pending)
    }
    fn depend(&self, on: Ticket) -> Result<oneshot::Receiver<Outcome>, QueueFull> {
        assert_eq!(on, 0, "only what is applied is depended upon");
        let (tx, outcome) = oneshot::channel();
        let position = self.applied();
        let durability = self.journal().durability.unwrap_or(Durability::Replicated);
        let depending = self.journal().depending.clone();
        let _ = tx.send(depending.unwrap_or(Outcome::Done { position, durability }));
        Ok(outcome)
    }
    fn note_next_number(&self, next: u64) {
        self.noted.store(next, Ordering::Relaxed);
    }
    fn last(&self) -> Position {
        self.journal().records.last().map_or(Position::ZERO, |r| r.position())
    }
    fn last_time(&self) -> Timestamp {
        self.journal().records.last().map_or(Timestamp::default(), |r| r.header.time)
    }
    fn applied(&self) -> Position {
        let j = self.journal();
        j.applied.checked_sub(1).map_or(Position::ZERO, |i| j.records[i].position())
    }
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, Error> {
        Ok(self.journal().rows.get(key).cloned())
    }
    fn get_many(&self, keys: &[&[u8]]) -> Result<Vec<Option<Bytes>>, Error> {
        let j = self.journal();
        Ok(keys.iter().map(|k| j.rows.get(*k).cloned()).collect())
    }
    fn scan(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Vec<(Bytes, Bytes)>, Error> {
        let j = self.journal();
        let from = Bytes::copy_from_slice(after.unwrap_or(prefix).max(prefix));
        let rows = j.rows.range(from..).filter(|(k, _)| after.is_none_or(|a| ***k > *a));
        Ok(rows
            .take_while(|(k, _)| k.starts_with(prefix))
            .take(limit)
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect())
    }
    fn count(&self, prefix: &[u8]) -> Result<u64, Error> {
        Ok(self.scan(prefix, None, usize::MAX)?.len() as u64)
    }
    fn header(&self, index: JournalIndex) -> Result<Option<(RecordHeader, Digest)>, Error> {
        let j = self.journal();
        let at = (index.as_u64() as usize).checked_sub(1);
        Ok(at.and_then(|i| j.records.get(i)).map(|r| (r.header.clone(), r.digest)))
    }
    fn body(&self, index: JournalIndex, n: u16) -> Result<Option<Bytes>, Error> {
        let j = self.journal();
        Ok(j.records.get(index.as_u64() as usize - 1).and_then(|r| r.bodies.get(usize::from(n)).cloned()))
    }
    fn disk_bytes(&self) -> u64 {
        self.disk.load(Ordering::Relaxed)
    }
    fn read(&self, from: JournalIndex, _: usize) -> Result<Vec<Arc<Record>>, Error> {
        Ok(self.journal().records.iter().skip(from.as_u64() as usize - 1).cloned().collect())
    }
}

/// `ports` with keys that depend on the version; the version changes at an instant.
pub struct Ports {
    pub changes_at: AtomicI64,
    pub before: BTreeSet<&'static str>,
    pub after: BTreeSet<&'static str>,
}

impl Ports {
    pub fn new() -> Arc<Self> {
        let keys: BTreeSet<_> = ["CNCAN", "CNSZX"].into();
        Arc::new(Self { changes_at: AtomicI64::new(i64::MAX), before: keys, after: BTreeSet::new() })
    }
}

impl Tables for Ports {
    fn lookup(&self, table: &str, key: &str, at: Timestamp) -> Lookup {
        match self.in_force(table, at) {
            InForce::Version(v) => {
                let keys = if &*v.version == "1" { &self.before } else { &self.after };
                if keys.contains(key) { Lookup::Found(v) } else { Lookup::Missing(v) }
            }
            _ => Lookup::NotPublished,
        }
    }
    fn cell(&self, table: &str, key: &[&str], column: Option<&str>, at: Timestamp) -> TableRow {
        match (self.lookup(table, key[0], at), column) {
            (Lookup::Found(v), None) => TableRow::Found(v, None),
            (Lookup::Found(v), Some(_)) => TableRow::Unlike(v),
            (Lookup::Missing(v), _) => TableRow::Missing(v),
            (Lookup::NotPublished, _) => TableRow::NotPublished,
            (Lookup::NotHere, _) => TableRow::NotHere,
        }
    }
    fn in_force(&self, table: &str, at: Timestamp) -> InForce {
        if table != "ports" {
            return InForce::NotPublished;
        }
        let version = if at.as_millis() < self.changes_at.load(Ordering::SeqCst) { "1" } else { "2" };
        InForce::Version(TableVersion { table: "440000/ports".into(), version: version.into() })
    }
}

pub const NOW: i64 = 1_515_544_200_000; // 2018-01-10T00:30:00Z

pub struct Harness {
    pub log: Arc<Fake>,
    pub tables: Arc<Ports>,
    pub now: Arc<AtomicI64>,
    pub platform: Platform,
}

/// A key ring with the keys 1 to `newest`.
pub fn keys(newest: u32) -> Keys {
    let keys = Keys::new();
    keys.put(Arc::new(ring(newest)));
    keys
}

pub fn ring(newest: u32) -> KeyRing {
    static SESSIONS: AtomicU64 = AtomicU64::new(1);
    let session = u128::from(SESSIONS.fetch_add(1, Ordering::Relaxed)).to_le_bytes();
    let key = |id: u32| (KeyId::from_u32(id), DataKey::from_bytes([id as u8; 32].into()));
    KeyRing::new(region(), (1..=newest).map(key).collect(), session).unwrap()
}

pub fn config() -> Config {
    Config {
        write_timeout: Duration::from_millis(200),
        hold_max: Duration::from_millis(200),
        page_rows_max: 1000,
        ..Config::with_keys(keys(1))
    }
}

pub fn start(config: Config) -> Harness {
    restart(Fake::new(), config)
}

pub fn restart(log: Arc<Fake>, config: Config) -> Harness {
    let packs = Arc::new(Arc::new(Packs::builtin().unwrap()));
    restart_with(log, packs, config)
}

/// The same, judging by these packs.
pub fn restart_with(log: Arc<Fake>, packs: eport_platform::SharedPacks, config: Config) -> Harness {
    let (tables, now) = (Ports::new(), Arc::new(AtomicI64::new(NOW)));
    let clock = {
        let now = now.clone();
        Arc::new(move || Timestamp::from_millis(now.load(Ordering::SeqCst)))
    };
    let platform = Platform::start(log.clone(), packs, tables.clone(), clock, config);
    Harness { log, tables, now, platform }
}

pub fn caller() -> Caller {
    Caller { subject: "enterprise/91440100MA5ABCD19J".into(), lodged_by: "91440100MA5ABCD19J".into() }
}

/// The contract's example with another reference.
pub fn document(reference: &str) -> Bytes {
    CONTRACT.replace("GZ-000001", reference).into()
}

/// Version `n` of it, with `n` more packages.
pub fn amendment(reference: &str, n: u32) -> Bytes {
    let text = CONTRACT
        .replace("GZ-000001", reference)
        .replace("\"doc_version\": 1", &format!("\"doc_version\": {n}"));
    assert!(text.contains(&format!("\"doc_version\": {n}")));
    text.replace("\"function_code\": \"2\"", "\"function_code\": \"5\"")
        .replace("\"packages\": 120", &format!("\"packages\": {}", 120 + n))
        .into()
}

pub fn stored(answer: SubmitAnswer) -> eport_api_types::DocumentAccepted {
    answer.document().unwrap_or_else(|| panic!("not stored: {answer:?}")).clone()
}
