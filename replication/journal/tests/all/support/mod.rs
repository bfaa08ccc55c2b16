//! A few replicas over disks in memory and a network that delivers in order, unless it is cut. No faults by chance:
//! those are the simulator's.
#![allow(dead_code, reason = "each test file uses its part")]

use bytes::Bytes;
use eport_journal::*;
use eport_model::*;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

pub fn node(name: &str) -> NodeId {
    name.parse().unwrap()
}

pub fn at(n: u64) -> JournalIndex {
    JournalIndex::from_u64(n)
}

pub fn epoch(n: u64) -> Epoch {
    Epoch::from_u64(n)
}

pub fn move_id(n: u8) -> MoveId {
    MoveId([n; 16])
}

pub fn entry(text: &str) -> Draft {
    let key = Bytes::copy_from_slice(text.as_bytes());
    let effects = vec![Effect::Put { key: key.clone(), value: key }];
    Draft { effects, ..Draft::bare(RecordKind::Entry, Timestamp::from_millis(1)) }
}

pub struct Host {
    pub replica: Replica,
    pub disk: Vec<Arc<Record>>,
    pub applied: JournalIndex,
    pub sealed: Epoch,
    pub exported: Vec<Arc<Record>>,
    pub uploads: Vec<(JournalIndex, NodeId)>,
    pub rewind: Option<Rewind>,
    pub rewinds: Vec<(Position, NodeId, Epoch)>,
    pub alarms: Vec<Alarm>,
    pub asked: Vec<RegistryStep>,
    pub renewals: Vec<(Epoch, u64)>,
    pub wants_placement: bool,
    pub reports: Vec<SealReport>,
    pub answers: BTreeMap<Ticket, Outcome>,
    /// Inputs that storage has not answered yet, while `slow` is set.
    pub held: VecDeque<Input>,
    pub slow: bool,
    /// What backups acknowledged, as noted on disk.
    pub acked: Option<Acked>,
    pub limits: Limits,
    /// Checkpoints asked for, and installations asked for.
    pub bootstraps: Vec<(NodeId, Epoch, Position)>,
    pub installs: Vec<Position>,
    /// Records of one read.
    pub read_max: usize,
}

pub struct Net {
    pub hosts: BTreeMap<NodeId, Host>,
    pub wire: VecDeque<(NodeId, NodeId, Message)>,
    pub cut: BTreeSet<(NodeId, NodeId)>,
    pub now: u64,
    pub ticket: Ticket,
    /// By how much a node's wall clock is wrong, milliseconds.
    pub wall_off: BTreeMap<NodeId, i64>,
}

pub fn region() -> RegionCode {
    "440300".parse().unwrap()
}

pub fn lineage() -> Lineage {
    Lineage::from_bytes([7; 16])
}

impl Host {
    fn recovered(
        disk: &[Arc<Record>],
        (applied, sealed): (JournalIndex, Epoch),
        rewind: Option<Rewind>,
        acked: Option<Acked>,
    ) -> Recovered {
        let mut history = EpochHistory::default();
        for r in disk {
            if r.header.epoch > history.last_epoch() {
                history.push(r.header.epoch, r.index()).unwrap();
            }
        }
        let last = disk.last();
        let unresolved = last.and_then(|r| match r.header.kind {
            RecordKind::Barrier { move_id } | RecordKind::SwitchProposed { move_id, .. } => Some(move_id),
            _ => None,
        });
        Recovered {
            history,
            last: last.map_or(Position::ZERO, |r| r.position()),
            last_time: last.map_or(Timestamp::default(), |r| r.header.time),
            sealed,
            applied: position(disk, applied).unwrap(),
            unresolved,
            rewind,
            lineage: last.map(|r| r.header.lineage),
            acked,
        }
    }

    fn open(
        me: NodeId,
        disk: Vec<Arc<Record>>,
        (applied, sealed): (JournalIndex, Epoch),
        rewind: Option<Rewind>,
        acked: Option<Acked>,
        limits: Limits,
        now: u64,
    ) -> Self {
        let recovered = Self::recovered(&disk, (applied, sealed), rewind, acked.clone());
        let (replica, _) = Replica::open(me, region(), lineage(), limits.clone(), recovered, now);
        Self {
            replica,
            disk,
            applied,
            sealed,
            exported: Vec::new(),
            uploads: Vec::new(),
            rewind,
            rewinds: Vec::new(),
            alarms: Vec::new(),
            asked: Vec::new(),
            renewals: Vec::new(),
            wants_placement: false,
            reports: Vec::new(),
            answers: BTreeMap::new(),
            held: VecDeque::new(),
            slow: false,
            acked,
            limits,
            bootstraps: Vec::new(),
            installs: Vec::new(),
            read_max: 3,
        }
    }
}

fn position(disk: &[Arc<Record>], index: JournalIndex) -> Option<Position> {
    match index.as_u64() {
        0 => Some(Position::ZERO),
        n => disk.get(n as usize - 1).map(|r| r.position()),
    }
}

impl Net {
    pub fn new(names: &[&str]) -> Self {
        let hosts = names
            .iter()
            .map(|n| {
                (
                    node(n),
                    Host::open(
                        node(n),
                        Vec::new(),
                        (JournalIndex::ZERO, Epoch::NONE),
                        None,
                        None,
                        Limits::default(),
                        0,
                    ),
                )
            })
            .collect();
        Self {
            hosts,
            wire: VecDeque::new(),
            cut: BTreeSet::new(),
            wall_off: BTreeMap::new(),
            now: 0,
            ticket: 0,
        }
    }

    pub fn with_limits(names: &[&str], limits: Limits) -> Self {
        let mut net = Self::new(&[]);
        for n in names {
            let host = Host::open(
                node(n),
                Vec::new(),
                (JournalIndex::ZERO, Epoch::NONE),
                None,
                None,
                limits.clone(),
                0,
            );
            net.hosts.insert(node(n), host);
        }
        net
    }

    /// The disk as it is now.
    pub fn copy(&self, name: &str) -> (Vec<Arc<Record>>, JournalIndex, Epoch) {
        let host = self.host(name);
        (host.disk.clone(), host.applied, host.sealed)
    }

    /// The process dies and comes back over another disk.
    pub fn put_back(&mut self, name: &str, (disk, applied, sealed): (Vec<Arc<Record>>, JournalIndex, Epoch)) {
        let host = self.hosts.get_mut(&node(name)).unwrap();
        (host.disk, host.applied, host.sealed, host.acked) = (disk, applied, sealed, None);
        self.restart(name);
    }

    /// The process dies and comes back over an empty disk.
    pub fn wipe(&mut self, name: &str) {
        self.put_back(name, (Vec::new(), JournalIndex::ZERO, Epoch::NONE));
    }

    /// A checkpoint is installed.
    pub fn install(&mut self, name: &str, records: Vec<Arc<Record>>, applied: JournalIndex) {
        let me = node(name);
        let host = self.hosts.get_mut(&me).unwrap();
        (host.disk, host.applied) = (records, applied);
        let recovered = Host::recovered(&host.disk, (host.applied, host.sealed), None, None);
        self.input(me, Input::Installed { recovered: Box::new(recovered) });
        self.run();
    }

    pub fn host(&self, name: &str) -> &Host {
        &self.hosts[&node(name)]
    }

    /// Loses memory, keeps the disk.
    pub fn restart(&mut self, name: &str) {
        let me = node(name);
        let old = self.hosts.remove(&me).unwrap();
        let mut host =
            Host::open(me, old.disk, (old.applied, old.sealed), old.rewind, old.acked, old.limits, self.now);
        host.exported = old.exported;
        self.hosts.insert(me, host);
        self.wire.retain(|(from, to, _)| *from != me && *to != me);
    }

    /// Cuts both directions between one node and all others.
    pub fn isolate(&mut self, name: &str) {
        let me = node(name);
        for other in self.hosts.keys().copied().filter(|n| *n != me) {
            self.cut.insert((me, other));
            self.cut.insert((other, me));
        }
    }

    pub fn heal(&mut self) {
        self.cut.clear();
    }

    pub fn input(&mut self, to: NodeId, input: Input) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let wall = self.now as i64 + self.wall_off.get(&to).copied().unwrap_or(0);
            let now = Now { mono_ms: self.now, wall: Timestamp::from_millis(wall) };
            let host = self.hosts.get_mut(&to).unwrap();
            let outputs = host.replica.step(now, input);
            for output in outputs {
                let answer = perform(host, to, output, &mut self.wire);
                if host.slow {
                    host.held.extend(answer);
                } else {
                    inputs.extend(answer);
                }
            }
        }
    }

    /// Lets a slow disk answer everything it owes.
    pub fn disk_answers(&mut self, name: &str) {
        let me = node(name);
        self.hosts.get_mut(&me).unwrap().slow = false;
        while let Some(input) = self.hosts.get_mut(&me).unwrap().held.pop_front() {
            self.input(me, input);
        }
        self.run();
    }

    /// Delivers everything under way.
    pub fn run(&mut self) {
        while let Some((from, to, message)) = self.wire.pop_front() {
            if self.cut.contains(&(from, to)) {
                continue;
            }
            if let (Message::Sealed(report), Some(host)) = (&message, self.hosts.get_mut(&to)) {
                host.reports.push(report.clone());
            }
            if self.hosts.contains_key(&to) {
                self.input(to, Input::Message { from, message });
            }
        }
    }

    /// Time passes in steps of 100 ms.
    pub fn pass(&mut self, ms: u64) {
        for _ in 0..ms / 100 {
            self.now += 100;
            for me in self.hosts.keys().copied().collect::<Vec<_>>() {
                self.input(me, Input::Tick);
            }
            self.run();
        }
    }

    /// The rows that a node asked for arrive, as of what their source has applied, or do not.
    pub fn rewound(&mut self, name: &str, at: Option<Position>) {
        self.hosts.get_mut(&node(name)).unwrap().rewind = Some(Rewind { at });
        self.input(node(name), Input::Rewound { at });
        self.run();
    }

    pub fn place(&mut self, name: &str, view: &PlacementView, linearizable: bool) {
        self.input(node(name), Input::Placement { view: view.clone(), linearizable });
        self.run();
    }

    pub fn propose(&mut self, name: &str, text: &str) -> Ticket {
        self.ticket += 1;
        let ticket = self.ticket;
        self.input(node(name), Input::Propose { drafts: vec![(ticket, entry(text))] });
        self.run();
        ticket
    }
}

fn perform(
    host: &mut Host,
    me: NodeId,
    output: Output,
    wire: &mut VecDeque<(NodeId, NodeId, Message)>,
) -> Option<Input> {
    match output {
        Output::Append(records) => {
            host.disk.extend(records);
            return Some(Input::Appended { last: host.disk.last().unwrap().position() });
        }
        Output::PersistSeal { epoch } => {
            host.sealed = epoch;
            return Some(Input::SealPersisted { epoch });
        }
        Output::Apply { through } => {
            host.applied = through;
            return Some(Input::Applied { through });
        }
        Output::Send { to, message } => wire.push_back((me, to, message)),
        Output::Read { peer, from, .. } => {
            let records = host
                .disk
                .get(from.as_u64() as usize - 1..)
                .unwrap_or_default()
                .iter()
                .take(host.read_max)
                .cloned()
                .collect();
            return Some(Input::Records { peer, from, records });
        }
        Output::Lookup { index } => {
            return Some(Input::Found { index, position: position(&host.disk, index) });
        }
        Output::ExportTail { after } => {
            host.exported.extend(host.disk[after.as_u64() as usize..].iter().cloned());
            return Some(Input::TailExported { after });
        }
        Output::UploadTail { after, to } => {
            host.uploads.push((after, to));
            return Some(Input::TailUploaded { after, to });
        }
        Output::Rewind { after, source, epoch } => {
            host.applied = host.applied.min(after.index);
            host.rewind = Some(Rewind { at: None });
            host.rewinds.push((after, source, epoch));
        }
        Output::EndRewind { .. } => host.rewind = None,
        Output::Bootstrap { source, epoch, from } => host.bootstraps.push((source, epoch, from)),
        Output::InstallCheckpoint { last } => host.installs.push(last),
        Output::NoteAcked(acked) => host.acked = Some(acked),
        Output::Truncate { after } => {
            host.disk.truncate(after.as_u64() as usize);
            let last = position(&host.disk, after).unwrap();
            let last_time = host.disk.last().map_or(Timestamp::default(), |r| r.header.time);
            return Some(Input::Truncated { last, last_time });
        }
        Output::Answer { ticket, outcome } => {
            assert!(host.answers.insert(ticket, outcome).is_none(), "answered twice")
        }
        Output::Registry(step) => host.asked.push(step),
        Output::RenewLease { epoch, sent_ms } => host.renewals.push((epoch, sent_ms)),
        Output::ReadPlacement => host.wants_placement = true,
        Output::Role(_) => {}
        Output::Alarm(alarm) => host.alarms.push(alarm),
    }
    None
}

pub fn backup(name: &str, in_sync: bool) -> BackupView {
    BackupView { node: node(name), in_sync, counted: true, wants_sync: true, leaving: false }
}

/// A placement of the first epoch: `primary`, in-sync `backups`, `k` acknowledgements.
pub fn placement(version: u64, primary: &str, backups: &[&str], k: usize) -> PlacementView {
    PlacementView {
        version,
        epoch: epoch(1),
        primary: node(primary),
        start: Position::ZERO,
        head: Position::ZERO,
        backups: backups.iter().map(|b| backup(b, true)).collect(),
        k,
        proven_k: k,
        start_k: k,
        shrink_ms: None,
        degrade_ms: None,
        lease: false,
        unseen: false,
        state: ViewState::Active,
    }
}

/// The placement after a move: next epoch, new primary, new backups.
pub fn moved(old: &PlacementView, primary: &str, backups: &[&str], start: Position) -> PlacementView {
    PlacementView {
        version: old.version + 1,
        epoch: old.epoch.next(),
        primary: node(primary),
        start,
        backups: backups.iter().map(|b| backup(b, true)).collect(),
        state: ViewState::Active,
        ..old.clone()
    }
}
