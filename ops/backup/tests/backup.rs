//! Backups of real databases: incremental, chained, encrypted, restored to any point, pruned without breaking what stays.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use bytes::Bytes;
use eport_authority::{NodeKey, Unwrap, wrap_key};
use eport_backup::{Error, Folder, Manifest, Writer, restore};
use eport_envelope::{DataKey, KeyId, KeyRing, Part, Place};
use eport_model::{
    Coded, Draft, Effect, Epoch, JournalIndex, Lineage, MoveId, Position, Record, RecordKind, RegionCode,
    RequestRef, Timestamp, codec, codes,
};
use eport_registry::{
    Command, CommandId, Federation, Holder, HolderName, Mode, Node, NodeState, Op, Policy, Site, State, Wrap,
    wrap_context,
};
use eport_store::{Budget, PlatformStore, Shared, Until};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const SECRET: &str = "COSU6112233440";

fn region() -> RegionCode {
    "440300".parse().unwrap()
}

fn lineage() -> Lineage {
    Lineage::from_bytes([7; 16])
}

/// A platform with its journal, a registry that knows its key, and a folder of backups.
struct World {
    dir: tempfile::TempDir,
    store: PlatformStore,
    ring: KeyRing,
    recovery: NodeKey,
    state: State,
    exports: u32,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let shared = Shared::new(Budget::default()).unwrap();
        let (store, _) = PlatformStore::open(&dir.path().join("live"), lineage(), region(), &shared).unwrap();
        let recovery = NodeKey::generate();
        let key = DataKey::from_bytes([5; 32].into());
        let state = registry(&recovery, &key);
        let ring = KeyRing::new(region(), [(KeyId::FIRST, key)].into(), [1; 16]).unwrap();
        let mut world = Self { dir, store, ring, recovery, state, exports: 0 };
        let start = RecordKind::EpochStart {
            primary: "sz-a-1".parse().unwrap(),
            previous: Epoch::NONE,
            move_id: MoveId::default(),
        };
        world.append(Draft::bare(start, Timestamp::from_millis(1)), 1);
        world
    }

    fn append(&mut self, draft: Draft, epoch: u64) -> Arc<Record> {
        let epoch = Epoch::from_u64(epoch);
        let floor = self.store.last_time();
        let record = Arc::new(Record::seal(draft, lineage(), region(), epoch, &self.store.last(), floor));
        self.store.append(std::slice::from_ref(&record)).unwrap();
        self.store.apply(std::slice::from_ref(&record)).unwrap();
        record
    }

    /// Stores `n` documents, one a second.
    fn documents(&mut self, n: u64) {
        for _ in 0..n {
            let index = self.store.last().index.as_u64() + 1;
            let id = format!("lodger|t|#{index}|1");
            let plain = format!("{{\"bill_no\":\"{SECRET}\",\"n\":{index}}}");
            let place = Place { request: &id, part: Part::Request };
            let body = Bytes::from(self.ring.seal(place, plain.as_bytes()).unwrap());
            let time = Timestamp::from_millis(index as i64 * 1_000);
            let mut draft = Draft::bare(RecordKind::Entry, time);
            let key = Bytes::from(format!("d/{index:06}"));
            draft.effects.push(Effect::Put { key, value: Bytes::from_static(b"row") });
            draft.bodies.push(body);
            draft.request = Some(RequestRef {
                id,
                caller: "operator/a".into(),
                body: Some(0),
                signature: None,
                accepted_at: time,
                replaces: None,
            });
            self.append(draft, 1);
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn folder(&self) -> Folder {
        Folder::open(&self.path("backups"), Some(lineage())).unwrap()
    }

    fn backup(&mut self, full: bool) -> Manifest {
        let folder = self.folder();
        let public = self.recovery.public();
        let now = Timestamp::from_millis(77);
        let mut writer = Writer::begin(&folder, lineage(), "gd", &public, now, full).unwrap();
        self.exports += 1;
        let dir = self.path(&format!("export-{}", self.exports));
        let export = self.store.export(&dir, writer.continues(region()).index.next()).unwrap();
        assert!(writer.fits(&export));
        writer.platform(&dir).unwrap();
        writer.finish(9, &codec::encode(&self.state.rows())).unwrap()
    }

    fn restore(&self, of: &Manifest, until: Until, out: &str) -> Result<eport_backup::Restoration, Error> {
        restore(&self.folder(), of, &[], until, &self.recovery, &self.path(out))
    }
}

/// A registry with one platform whose data key is wrapped for its node and the recovery key.
fn registry(recovery: &NodeKey, key: &DataKey) -> State {
    let mut state = State::default();
    let node_key = NodeKey::generate();
    let (node, site) = ("sz-a-1".parse().unwrap(), "sz-a".parse().unwrap());
    let mut n = 0;
    let mut apply = |by: &str, op: Op| {
        n += 1;
        let command = Command {
            id: CommandId([n; 16]),
            by: by.into(),
            at: Timestamp::from_millis(1),
            reason: String::new(),
            op,
            proof: None,
        };
        state.apply(&command).outcome.unwrap();
    };
    let admin = "operator/admin";
    apply(
        admin,
        Op::Found(Federation {
            name: "gd".into(),
            lineage: lineage(),
            domain: "gd.eport.example".parse().unwrap(),
            province: "440000".parse().unwrap(),
            mode: Mode::Dev,
            two_person: false,
            created: Timestamp::from_millis(1),
        }),
    );
    apply(admin, Op::PutSite(Site::new(site, region(), "sz")));
    apply(
        admin,
        Op::AddNode(Node {
            id: node,
            site,
            region: region(),
            quic: "127.0.0.1:1".into(),
            api: "127.0.0.1:2".into(),
            cert_serial: String::new(),
            state: NodeState::Up,
            software: String::new(),
            incarnation: 0,
            reads: 1,
            joined: Timestamp::from_millis(1),
        }),
    );
    apply(
        admin,
        Op::CreatePlatform {
            region: region(),
            name_zh: "深圳".into(),
            name_en: "Shenzhen".into(),
            primary: node,
            backups: vec![],
            policy: Policy {
                durability: eport_registry::DurabilityMode::Async,
                k: 0,
                isolation: eport_registry::Isolation::Block,
                failover: eport_registry::FailoverMode::Manual,
                same_site: false,
                min_durability: eport_model::Durability::Local,
            },
        },
    );
    let at = Timestamp::from_millis(1);
    let main = HolderName::Recovery("main".into());
    apply(admin, Op::PutHolder(Holder { name: main.clone(), public: recovery.public(), at }));
    let by = "platform/440300/node/sz-a-1";
    apply(by, Op::PutHolder(Holder { name: HolderName::Node(node), public: node_key.public(), at }));
    let context = wrap_context(region(), 1);
    let wrap = |holder: HolderName, public: [u8; 32]| Wrap {
        holder,
        public,
        wrapped: wrap_key(&public, key.bytes(), context.as_bytes()).unwrap(),
    };
    let wraps = vec![wrap(HolderName::Node(node), node_key.public()), wrap(main, recovery.public())];
    apply(by, Op::PutDataKey { region: region(), id: 1, check: key.check(), wraps });
    state
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { all.extend(files(&path)) } else { all.push(path) }
    }
    all.sort();
    all
}

#[test]
fn an_incremental_backup_holds_what_is_new_and_a_restore_gives_the_whole_state_back() {
    let mut w = World::new();
    w.documents(20);
    let first = w.backup(false);
    w.documents(5);
    let second = w.backup(false);
    let nothing_new = w.backup(false);
    assert!(first.full && !second.full && !nothing_new.full);
    assert_eq!(second.platforms[0].records, 5);
    assert_eq!(nothing_new.platforms[0].records, 0);
    assert_eq!(w.folder().verify().unwrap(), []);
    let live = w.store.snapshot().state_digest().unwrap();
    for (of, out) in [(&second, "a"), (&nothing_new, "b")] {
        let made = w.restore(of, Until::End, out).unwrap();
        let p = &made.platforms[0];
        assert_eq!((p.last, p.state_digest, p.rows), (w.store.last(), live.digest, live.rows));
        assert_eq!(p.readable, Some(true));
        assert_eq!(made.registry.digest, w.state.digest());
    }
    assert_eq!(w.restore(&first, Until::End, "c").unwrap().platforms[0].last.index.as_u64(), 21);
}

#[test]
fn a_restore_ends_exactly_at_the_record_or_instant_asked_for() {
    let mut w = World::new();
    w.documents(10);
    w.backup(false);
    w.documents(10);
    let newest = w.backup(false);
    let at = |n: u64| Until::Record(Epoch::from_u64(1), JournalIndex::from_u64(n));
    for n in [1, 7, 11, 12, 21] {
        let made = w.restore(&newest, at(n), &format!("r{n}")).unwrap();
        // A row for each document, and from the first on the account of what came in.
        let rows = n - 1 + u64::from(n > 1);
        assert_eq!((made.platforms[0].last.index.as_u64(), made.platforms[0].rows), (n, rows));
    }
    let made = w.restore(&newest, Until::Time(Timestamp::from_millis(8_500)), "t").unwrap();
    assert_eq!(made.platforms[0].last.index.as_u64(), 8);
    let other_epoch = Until::Record(Epoch::from_u64(2), JournalIndex::from_u64(7));
    for (until, out) in [(at(99), "x"), (other_epoch, "y")] {
        assert_eq!(w.restore(&newest, until, out).unwrap_err().code(), codes::BACKUP_POINT);
    }
}

#[test]
fn nothing_in_the_folder_is_readable_and_another_key_opens_nothing() {
    let mut w = World::new();
    w.documents(3);
    let made = w.backup(false);
    for file in files(&w.path("backups")) {
        let bytes = std::fs::read(&file).unwrap();
        for text in [SECRET, "Shenzhen", "lodger|t", "operator/a"] {
            let found = bytes.windows(text.len()).any(|b| b == text.as_bytes());
            assert!(!found, "{text} stands in {}", file.display());
        }
    }
    let stranger = NodeKey::generate();
    let error = restore(&w.folder(), &made, &[], Until::End, &stranger, &w.path("o")).unwrap_err();
    assert_eq!(error.code(), codes::BACKUP_KEY);
}

#[test]
fn any_damaged_missing_or_exchanged_file_is_named() {
    let mut w = World::new();
    w.documents(3);
    w.backup(false);
    w.documents(3);
    w.backup(false);
    let clean = files(&w.path("backups"));
    for file in &clean {
        let good = std::fs::read(file).unwrap();
        let mut bad = good.clone();
        let middle = bad.len() / 2;
        bad[middle] ^= 1;
        for content in [Some(bad), Some(good[..good.len() - 1].to_vec()), None] {
            match content {
                Some(bytes) => std::fs::write(file, bytes).unwrap(),
                None => std::fs::remove_file(file).unwrap(),
            }
            let found = Folder::open(&w.path("backups"), Some(lineage())).and_then(|f| f.verify());
            // A backup without its manifest does not exist: only what follows it shows that it is missing.
            let newest = file.ends_with("000002/manifest.json") && !file.exists();
            assert!(newest || found.is_err() || !found.unwrap().is_empty(), "{}", file.display());
        }
        std::fs::write(file, good).unwrap();
    }
    assert_eq!(w.folder().verify().unwrap(), []);
}

#[test]
fn a_manifest_written_by_somebody_else_is_refused_by_a_restore() {
    let mut w = World::new();
    w.documents(3);
    let made = w.backup(false);
    let path = w.path("backups").join(made.name()).join("manifest.json");
    // A forger can make all digests fit, but has not the backup's key.
    let forged = Manifest { federation: "other".into(), ..made };
    let zero = Manifest { check: eport_model::Digest::ZERO, ..forged.clone() };
    let check = eport_model::Digest::of(&serde_json::to_vec(&zero).unwrap());
    std::fs::write(&path, serde_json::to_vec(&Manifest { check, ..forged }).unwrap()).unwrap();
    let folder = w.folder();
    assert_eq!(folder.verify().unwrap(), []);
    let of = folder.find(None).unwrap().clone();
    assert_eq!(w.restore(&of, Until::End, "o").unwrap_err().code(), codes::BACKUP_DAMAGED);
}

#[test]
fn a_journal_that_lost_its_tail_is_taken_whole_again() {
    let mut w = World::new();
    w.documents(10);
    w.backup(false);
    // A failover: the last three records are gone, epoch 2 goes on at another record.
    let shared = Shared::new(Budget::default()).unwrap();
    let kept = w.store.read(JournalIndex::from_u64(1), usize::MAX).unwrap();
    let (store, _) = PlatformStore::open(&w.path("live2"), lineage(), region(), &shared).unwrap();
    store.append(&kept[..8]).unwrap();
    store.apply(&kept[..8]).unwrap();
    w.store = store;
    let start = RecordKind::EpochStart {
        primary: "gz-a-1".parse().unwrap(),
        previous: Epoch::from_u64(1),
        move_id: MoveId::default(),
    };
    for _ in 0..6 {
        let kind = if w.store.last().epoch == Epoch::from_u64(1) { start.clone() } else { RecordKind::Noop };
        w.append(Draft::bare(kind, Timestamp::from_millis(20_000)), 2);
    }
    let folder = w.folder();
    let now = Timestamp::from_millis(78);
    let mut writer = Writer::begin(&folder, lineage(), "gd", &w.recovery.public(), now, false).unwrap();
    let next = w.store.export(&w.path("next"), writer.continues(region()).index.next()).unwrap();
    assert!(!writer.fits(&next), "the fork shows");
    assert!(writer.platform(&w.path("next")).is_err());
    w.store.export(&w.path("whole"), JournalIndex::from_u64(1)).unwrap();
    writer.platform(&w.path("whole")).unwrap();
    let made = writer.finish(10, &codec::encode(&w.state.rows())).unwrap();
    let restored = w.restore(&made, Until::End, "o").unwrap();
    assert_eq!(restored.platforms[0].last, w.store.last());
}

#[test]
fn retention_removes_whole_chains_and_never_what_a_kept_backup_needs() {
    let mut w = World::new();
    let mut full = |full: bool| {
        w.documents(2);
        w.backup(full)
    };
    full(false);
    full(false);
    full(true);
    let newest = full(false);
    assert_eq!(w.folder().prune(2, false).unwrap(), Vec::<String>::new());
    assert_eq!(w.folder().prune(1, true).unwrap(), ["000001", "000002"]);
    assert_eq!(w.folder().manifests().count(), 4, "a dry run removes nothing");
    w.folder().prune(0, false).unwrap();
    let names: Vec<_> = w.folder().manifests().map(Manifest::name).collect();
    assert_eq!(names, ["000003", "000004"]);
    assert_eq!(w.folder().verify().unwrap(), []);
    assert_eq!(w.restore(&newest, Until::End, "o").unwrap().platforms[0].last, w.store.last());
}

#[test]
fn an_interrupted_backup_never_was_and_a_foreign_folder_is_refused() {
    let mut w = World::new();
    w.documents(2);
    w.backup(false);
    let now = Timestamp::from_millis(78);
    drop(Writer::begin(&w.folder(), lineage(), "gd", &w.recovery.public(), now, false).unwrap());
    assert_eq!(w.folder().manifests().count(), 1);
    w.documents(2);
    assert_eq!(w.backup(false).name(), "000003");
    assert_eq!(w.folder().verify().unwrap(), []);
    let other = Folder::open(&w.path("backups"), Some(Lineage::from_bytes([8; 16])));
    assert_eq!(other.err().unwrap().code(), codes::BACKUP_OF_ANOTHER);
    assert!(
        Position::ZERO
            == Writer::begin(&w.folder(), lineage(), "gd", &w.recovery.public(), now, true)
                .unwrap()
                .continues(region())
    );
}
