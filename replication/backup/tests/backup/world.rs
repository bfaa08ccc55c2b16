//! A platform with its journal, a registry that knows its key, and a folder of backups.

use bytes::Bytes;
use eport_authority::{NodeKey, Unwrap, wrap_key};
use eport_backup::{Error, Folder, Heading, Manifest, Writer, restore};
use eport_envelope::{DataKey, KeyId, KeyRing, Part, Place};
use eport_model::{
    Draft, Effect, Epoch, Lineage, MoveId, Record, RecordKind, RegionCode, RequestRef, Timestamp, codec,
};
use eport_registry::{
    Command, CommandId, Federation, Holder, HolderName, Mode, Node, NodeState, Op, Policy, Site, State, Wrap,
    wrap_context,
};
use eport_store::{Budget, PlatformStore, Shared, Until};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub const SECRET: &str = "COSU6112233440";

pub fn region() -> RegionCode {
    "440300".parse().unwrap()
}

pub fn lineage() -> Lineage {
    Lineage::from_bytes([7; 16])
}

/// A platform with its journal, a registry that knows its key, and a folder of backups.
pub struct World {
    pub dir: tempfile::TempDir,
    pub store: PlatformStore,
    pub ring: KeyRing,
    pub recovery: NodeKey,
    pub state: State,
    pub exports: u32,
}

impl World {
    pub fn new() -> Self {
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

    pub fn append(&mut self, draft: Draft, epoch: u64) -> Arc<Record> {
        let epoch = Epoch::from_u64(epoch);
        let floor = self.store.last_time();
        let record = Arc::new(Record::seal(draft, lineage(), region(), epoch, &self.store.last(), floor));
        self.store.append(std::slice::from_ref(&record)).unwrap();
        self.store.apply(std::slice::from_ref(&record)).unwrap();
        record
    }

    /// Stores `n` documents, one a second.
    pub fn documents(&mut self, n: u64) {
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

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn folder(&self) -> Folder {
        Folder::open(&self.path("backups"), Some(lineage())).unwrap()
    }

    pub fn backup(&mut self, full: bool) -> Manifest {
        let folder = self.folder();
        let mut writer = Writer::begin(&folder, &self.heading(full)).unwrap();
        self.exports += 1;
        let dir = self.path(&format!("export-{}", self.exports));
        let export = self.store.export(&dir, writer.continues(region()).index.next()).unwrap();
        assert!(writer.fits(&export));
        writer.platform(&dir).unwrap();
        writer.finish(9, &codec::encode(&self.state.rows())).unwrap()
    }

    pub fn heading(&self, full: bool) -> Heading<'static> {
        let recovery = self.recovery.public();
        Heading {
            lineage: lineage(),
            federation: "gd",
            recovery,
            maker: None,
            created: Timestamp::from_millis(77),
            full,
        }
    }

    pub fn restore(
        &self,
        of: &Manifest,
        until: Until,
        out: &str,
    ) -> Result<eport_backup::Restoration, Error> {
        restore(&self.folder(), of, &[], until, &self.recovery, &self.path(out))
    }
}

/// A registry with one platform whose data key is wrapped for its node and the recovery key.
pub fn registry(recovery: &NodeKey, key: &DataKey) -> State {
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

pub fn files(dir: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { all.extend(files(&path)) } else { all.push(path) }
    }
    all.sort();
    all
}
