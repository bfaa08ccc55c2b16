//! A node: its replica, its disk, its local copy of the registry, and how outputs become events.

use crate::client::lineage;
use crate::disk::{Disk, Op};
use crate::world::{Event, World, region};
use eport_journal::{Alarm, Input, Limits, Message, Now, Output, PlacementView, RegistryStep, Replica, Role};
use eport_model::{Epoch, JournalIndex, MoveId, NodeId, RecordKind};
use eport_registry::Op as Command;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use std::collections::VecDeque;

/// Messages that wait for a paused process; more are lost, as a transport would.
const INBOX_MAX: usize = 200;

pub(crate) struct Host {
    pub(crate) id: NodeId,
    pub(crate) replica: Option<Replica>,
    pub(crate) incarnation: u64,
    pub(crate) disk: Disk,
    pub(crate) paused: bool,
    inbox: VecDeque<Input>,
    /// The local copy of the registry; it survives restarts.
    pub(crate) known: Option<PlacementView>,
    tick_at: Option<u64>,
    /// The tail being handed to another node, with the number of the attempt that counts.
    pub(crate) upload: Option<crate::rewind::Upload>,
    /// The rows being taken from another node.
    pub(crate) fetching: Option<crate::rewind::Fetching>,
    /// The checkpoint being taken from another node.
    pub(crate) taking: Option<crate::bootstrap::Taking>,
    /// An earlier copy of its disk.
    pub(crate) copy: Option<crate::bootstrap::Copy>,
    /// It was told that its disk is an old copy.
    pub(crate) rolled_back: bool,
    /// Its disk was replaced by an older copy in this run.
    pub(crate) replaced: bool,
    skew_ms: i64,
    pub(crate) slow: bool,
    /// The next append fails.
    pub(crate) storage_fails: bool,
    /// Its storage failed: restarted when the run heals.
    pub(crate) broken: bool,
    pub(crate) restarting: bool,
    /// To whom it has said StepDown since that was last looked at.
    pub(crate) told: Option<NodeId>,
    /// It may not write in this epoch before a linearizable read: its switchover is unresolved.
    pub(crate) bound: Option<Epoch>,
    /// Commit as last seen in this incarnation, for the invariants.
    pub(crate) committed: JournalIndex,
    /// Steps it has come to lately.
    pub(crate) lately: crate::pairs::Lately,
    /// Up to which index its committed records were compared with everybody's.
    pub(crate) checked: usize,
}

impl Host {
    pub(crate) fn new(index: usize, rng: &mut ChaCha8Rng) -> Self {
        Self {
            id: format!("n{index}").parse().expect("a short name"),
            replica: None,
            incarnation: 0,
            disk: Disk::default(),
            paused: false,
            inbox: VecDeque::new(),
            known: None,
            tick_at: None,
            upload: None,
            fetching: None,
            taking: None,
            copy: None,
            rolled_back: false,
            replaced: false,
            skew_ms: match rng.random_range(0..12) {
                0 => 3_600_000,
                1 => -3_600_000,
                _ => rng.random_range(-80..=80),
            },
            slow: false,
            storage_fails: false,
            broken: false,
            restarting: false,
            told: None,
            bound: None,
            committed: JournalIndex::ZERO,
            checked: 0,
            lately: crate::pairs::Lately::default(),
        }
    }

    pub(crate) fn is_up(&self) -> bool {
        self.replica.is_some() && !self.paused
    }

    pub(crate) fn role(&self) -> Option<&Role> {
        self.replica.as_ref().map(Replica::role)
    }

    pub(crate) fn is_primary(&self) -> bool {
        matches!(self.role(), Some(Role::Primary { .. } | Role::Handover { .. } | Role::Opening { .. }))
    }
}

impl World {
    fn limits(&self) -> Limits {
        let waits = Limits {
            registry_ms: 400,
            lease_ms: crate::auto::LEASE_MS,
            grace_ms: crate::auto::GRACE_MS,
            bootstrap_records: self.profile.bootstrap_records,
            slot_records: self.profile.slot_records,
            ..Limits::default()
        };
        if !self.profile.tight {
            return Limits { in_flight_max: 64, ..waits };
        }
        Limits {
            window_bytes: 3_000,
            batch_bytes: 1_500,
            cache_records: 3,
            cache_bytes: 2_500,
            in_flight_max: 6,
            handover_lag: 4,
            ..waits
        }
    }

    /// Starts the process over what its disk holds.
    pub(crate) fn boot(&mut self, node: usize) {
        let limits = self.limits();
        let host = &mut self.hosts[node];
        host.incarnation += 1;
        host.tick_at = None;
        host.upload = None;
        host.fetching = None;
        host.taking = None;
        host.inbox.clear();
        host.paused = false;
        host.broken = false;
        host.restarting = false;
        host.storage_fails = false;
        let recovered = host.disk.recover();
        let unresolved = recovered.unresolved.is_some();
        host.committed = recovered.applied.index;
        host.bound = unresolved.then(|| recovered.history.last_epoch());
        let (replica, outputs) = Replica::open(host.id, region(), lineage(), limits, recovered, self.now);
        host.replica = Some(replica);
        #[cfg(feature = "planted-bugs")]
        self.plant(node);
        self.note(|| format!("n{node} starts"));
        self.perform(node, outputs);
        if let Some(view) = self.hosts[node].known.clone() {
            if view.primary == self.hosts[node].id {
                self.cover.hit("restart.primary");
                if unresolved {
                    self.cover.hit("restart.unresolved");
                }
            }
            self.input(node, Input::Placement { view, linearizable: false });
        }
    }

    #[cfg(feature = "planted-bugs")]
    fn plant(&mut self, node: usize) {
        let bug = self.options.bug.as_deref().and_then(eport_journal::Bug::named);
        if let (Some(bug), Some(replica)) = (bug, self.hosts[node].replica.as_mut()) {
            replica.plant(bug);
        }
    }

    pub(crate) fn clock(&self, node: usize) -> Now {
        Now { mono_ms: self.now, wall: self.wall().plus_millis(self.hosts[node].skew_ms) }
    }

    /// Gives an event to a replica, unless its process is gone; a paused one gets it later.
    pub(crate) fn input(&mut self, node: usize, input: Input) {
        let now = self.clock(node);
        let host = &mut self.hosts[node];
        if host.paused {
            if host.inbox.len() < INBOX_MAX || !matches!(input, Input::Message { .. }) {
                host.inbox.push_back(input);
            }
            return;
        }
        let Some(replica) = &mut host.replica else { return };
        match input {
            Input::Placement { linearizable: true, .. } => host.bound = None,
            // What was committed in an epoch that was lost no longer counts.
            Input::Rewound { .. } => host.committed = JournalIndex::ZERO,
            _ => {}
        }
        let outputs = replica.step(now, input);
        self.perform(node, outputs);
        self.schedule_tick(node);
        self.check_step(node);
    }

    pub(crate) fn resume(&mut self, node: usize) {
        if !self.hosts[node].paused {
            return;
        }
        self.note(|| format!("n{node} goes on after a pause"));
        self.hosts[node].paused = false;
        let incarnation = self.hosts[node].incarnation;
        while let Some(input) = self.hosts[node].inbox.pop_front() {
            if self.hosts[node].incarnation != incarnation || self.failure.is_some() {
                return;
            }
            self.input(node, input);
        }
        self.input(node, Input::Tick);
    }

    fn schedule_tick(&mut self, node: usize) {
        let host = &mut self.hosts[node];
        let Some(deadline) = host.replica.as_ref().and_then(Replica::deadline) else { return };
        let at = deadline.max(self.now + 1);
        if host.tick_at.is_none_or(|t| at < t) {
            host.tick_at = Some(at);
            let incarnation = host.incarnation;
            self.at(at, Event::Tick { node, incarnation });
        }
    }

    pub(crate) fn tick(&mut self, node: usize, incarnation: u64) {
        if self.hosts[node].incarnation != incarnation {
            return;
        }
        self.hosts[node].tick_at = None;
        if !self.hosts[node].paused {
            self.input(node, Input::Tick);
        }
    }

    pub(crate) fn disk_done(&mut self, node: usize, incarnation: u64) {
        if self.hosts[node].incarnation != incarnation {
            return;
        }
        let Some(op) = self.hosts[node].disk.pending.pop_front() else { return };
        if self.hosts[node].storage_fails && matches!(op, Op::Append(_)) {
            self.cover.hit("fault.storage");
            self.struck(node, "storage");
            let host = &mut self.hosts[node];
            host.storage_fails = false;
            host.broken = true;
            host.disk.failed = true;
            host.disk.pending.clear();
            self.note(|| format!("n{node} storage fails"));
            self.input(node, Input::StorageFailed);
            return;
        }
        self.perform_disk(node, &op);
        self.disk_ends(node, &op);
        let disk = &self.hosts[node].disk;
        let input = match op {
            Op::Append(records) => {
                Input::Appended { last: records.last().map_or(disk.last(), |r| r.position()) }
            }
            Op::Seal(epoch) => {
                let id = self.hosts[node].id;
                self.oracle.seals.entry((epoch, id)).or_insert(self.now);
                self.cover.hit("seal.persisted");
                Input::SealPersisted { epoch }
            }
            Op::Apply(through) => Input::Applied { through },
            Op::Export(after) => Input::TailExported { after },
            Op::Truncate(_) => Input::Truncated { last: disk.last(), last_time: disk.last_time() },
            Op::BeginRewind(..) => return self.begin_fetch(node),
            Op::Rewind(_, at) => Input::Rewound { at: Some(at) },
            Op::EndRewind(_) => return,
            Op::Install => {
                crate::invariants::rows::check(self, node);
                self.hosts[node].committed = JournalIndex::ZERO;
                Input::Installed { recovered: Box::new(self.hosts[node].disk.recover()) }
            }
        };
        self.input(node, input);
    }

    /// Performs an operation on disk, with the checks that belong to it.
    pub(crate) fn perform_disk(&mut self, node: usize, op: &Op) {
        match op {
            Op::Append(records) => {
                for record in records {
                    self.record_durable(node, record);
                }
            }
            Op::Export(after) => self.tail_exported(node, *after),
            Op::Truncate(after) => self.check_truncation(node, *after),
            Op::BeginRewind(after, _) => self.check_rewind(node, *after),
            Op::Install => self.check_install(node),
            Op::Seal(_) | Op::Apply(_) | Op::Rewind(..) | Op::EndRewind(_) => {}
        }
        self.hosts[node].disk.perform(op, &mut self.rng);
    }

    pub(crate) fn perform(&mut self, node: usize, outputs: Vec<Output>) {
        let incarnation = self.hosts[node].incarnation;
        for output in outputs {
            self.came_to(node, &output);
            match output {
                Output::Append(records) => {
                    for record in &records {
                        self.cover.hit(match record.header.kind {
                            RecordKind::EpochStart { .. } => "record.epoch_start",
                            RecordKind::Barrier { .. } => "record.barrier",
                            RecordKind::SwitchProposed { .. } => "record.switch_proposed",
                            RecordKind::Noop => "record.noop",
                            RecordKind::Degrade { .. } => "record.degrade",
                            _ => "record.entry",
                        });
                    }
                    crate::invariants::bound::check(self, node, &records);
                    self.disk_op(node, Op::Append(records));
                }
                Output::PersistSeal { epoch } => self.disk_op(node, Op::Seal(epoch)),
                Output::Apply { through } => self.disk_op(node, Op::Apply(through)),
                Output::ExportTail { after } => self.disk_op(node, Op::Export(after)),
                Output::UploadTail { after, to } => self.begin_upload(node, after, to),
                Output::Rewind { after, source, epoch } => {
                    self.begin_rewind(node, after.index, source, epoch)
                }
                Output::Bootstrap { source, epoch, from } => self.begin_bootstrap(node, source, epoch, from),
                Output::InstallCheckpoint { .. } => self.install_checkpoint(node),
                Output::NoteAcked(acked) => self.hosts[node].disk.acked = Some(acked),
                Output::EndRewind { at } => {
                    self.cover.hit("rewind.whole");
                    crate::invariants::rows::check(self, node);
                    self.disk_op(node, Op::EndRewind(at));
                }
                Output::Truncate { after } => self.disk_op(node, Op::Truncate(after)),
                Output::Send { to, message } => self.send(node, to, message),
                Output::Read { peer, from, max_bytes } => {
                    self.cover.hit("disk.read");
                    let records = self.hosts[node].disk.read(from, max_bytes);
                    let input = Box::new(Input::Records { peer, from, records });
                    let ms = self.rng.random_range(1..10);
                    self.after(ms, Event::Input { node, incarnation, input });
                }
                Output::Lookup { index } => {
                    self.cover.hit("disk.lookup");
                    let position = self.hosts[node].disk.position(index);
                    let input = Box::new(Input::Found { index, position });
                    let ms = self.rng.random_range(1..10);
                    self.after(ms, Event::Input { node, incarnation, input });
                }
                Output::Answer { ticket, outcome } => self.answered(node, ticket, outcome),
                Output::Registry(step) => self.registry_step(node, step),
                Output::ReadPlacement => self.after(2, Event::ReadPlacement { node, incarnation }),
                Output::RenewLease { epoch, sent_ms } => self.renew_lease(node, epoch, sent_ms),
                Output::Role(role) => self.role_changed(node, &role),
                Output::Alarm(alarm) => self.alarm(node, &alarm),
            }
        }
    }

    fn role_changed(&mut self, node: usize, role: &Role) {
        if let Role::Opening { epoch } = role
            && self.oracle.opened.contains_key(epoch)
        {
            self.cover.hit("lease.lapsed_or_restarted");
        }
        self.cover.hit(match role {
            Role::Idle => "role.idle",
            Role::Primary { .. } => "role.primary",
            Role::Opening { .. } => "role.opening",
            Role::Handover { .. } => "role.handover",
            Role::Backup { .. } => "role.backup",
            Role::Sealed { .. } => "role.sealed",
            Role::Fenced { .. } => "role.fenced",
        });
        if let Role::Primary { epoch } = role {
            self.oracle.opened.entry(*epoch).or_insert(self.now);
            crate::invariants::rows::check(self, node);
        }
        self.note(|| format!("n{node} is {role:?}"));
    }

    fn alarm(&mut self, node: usize, alarm: &Alarm) {
        self.note(|| format!("n{node} ALARM {alarm:?}"));
        match alarm {
            // Nothing corrupts records here, so these alarms mean that two histories were mixed.
            Alarm::Corruption { .. } | Alarm::BadRecord { .. } => {
                self.fail("no alarm", format!("n{node}: {alarm:?}"))
            }
            Alarm::RolledBack { .. } => {
                self.cover.hit("alarm.rolled_back");
                // Only whose disk was replaced can have less than it acknowledged.
                match self.hosts[node].replaced {
                    true => self.hosts[node].rolled_back = true,
                    false => self.fail("only a replaced disk forgets", format!("n{node}: {alarm:?}")),
                }
            }
            Alarm::SlotLost { .. } => self.cover.hit("slot.lost"),
            Alarm::Behind { .. } => self.cover.hit("alarm.behind"),
            Alarm::NotWhole { .. } => self.cover.hit("alarm.not_whole"),
            Alarm::Degraded { .. } => self.oracle.degraded = true,
            Alarm::SwitchStalled { .. } => self.cover.hit("alarm.switch_stalled"),
        }
    }

    fn registry_step(&mut self, node: usize, step: RegistryStep) {
        self.note(|| format!("n{node} asks {step:?}"));
        let region = region();
        let (op, move_id) = match step {
            RegistryStep::InSyncAdd { version, node } => {
                (Command::InSyncAdd { region, version, node }, MoveId::default())
            }
            RegistryStep::InSyncRemove { version, node } => {
                (Command::InSyncRemove { region, version, node }, MoveId::default())
            }
            RegistryStep::Shrink { version, nodes, whole } => {
                (Command::Shrink { region, version, nodes, whole }, MoveId::default())
            }
            RegistryStep::Proven { version, k } => {
                (Command::Proven { region, version, k }, MoveId::default())
            }
            RegistryStep::CommitSwitch { version, move_id, start, in_sync } => {
                (Command::CommitSwitch { region, version, move_id, start, in_sync }, move_id)
            }
            RegistryStep::AbortSwitch { version, move_id, reason } => {
                (Command::AbortMove { region, version, move_id, reason }, move_id)
            }
        };
        let last_word = matches!(op, Command::CommitSwitch { .. });
        self.propose_from(node, op, move_id);
        if last_word {
            self.hosts[node].bound = Some(self.registry.placement().epoch);
        }
        if last_word && self.healing.is_none() && self.chance(12) {
            self.cover.hit("switch.proposer_dies");
            let back = self.rng.random_range(30..400);
            self.crash(node, back);
        }
    }

    /// Puts a message on the wire.
    pub(crate) fn send(&mut self, from: usize, to: NodeId, message: Message) {
        let receiver = to;
        let Some(to) = self.index_of(to) else { return };
        match &message {
            Message::StepDown { .. } => {
                self.hosts[from].told = Some(receiver);
                self.cover.hit("message.step_down");
            }
            Message::Copy { .. } => self.cover.hit("move.copy"),
            Message::Seal { .. } => self.cover.hit("move.seal"),
            Message::Ack(ack) => {
                if ack.kept > 0 {
                    self.cover.hit("lease.kept");
                }
                crate::invariants::acks::check(self, from, ack);
            }
            _ => {}
        }
        if from == to {
            self.after(0, Event::Deliver { from, to, message: Box::new(message) });
            return;
        }
        if self.net.is_cut(from, to) {
            return;
        }
        if self.net.is_lost(&mut self.rng) {
            self.cover.hit("fault.net_loss");
            return;
        }
        if self.net.is_doubled(&mut self.rng) {
            self.cover.hit("fault.net_dup");
            let late = self.net.delay(&mut self.rng) * 4;
            self.after(late, Event::Deliver { from, to, message: Box::new(message.clone()) });
        }
        let delay = self.net.delay(&mut self.rng);
        self.after(delay, Event::Deliver { from, to, message: Box::new(message) });
    }

    pub(crate) fn deliver(&mut self, from: usize, to: usize, message: Message) {
        if self.hosts[to].replica.is_none() {
            return;
        }
        let sender = self.hosts[from].id;
        if let Message::Sealed(report) = &message {
            self.sealed(to, sender, report);
        }
        if let Message::Ack(ack) = &message {
            self.tell_acked(to, sender, ack.epoch, ack.durable.index);
        }
        if !matches!(message, Message::Beat { .. } | Message::Ack(_)) {
            self.note(|| format!("n{from}>n{to} {}", crate::checks::brief(&message)));
        }
        let stops = matches!(message, Message::StepDown { .. }).then(|| message.epoch());
        let lower = message.epoch() < crate::world::floor_of(&self.hosts[to]);
        if lower && self.hosts[to].is_up() {
            self.deliver_lower(to, sender, message);
        } else {
            self.input(to, Input::Message { from: sender, message });
        }
        if let Some(epoch) = stops {
            crate::invariants::step_down::check(self, to, epoch);
        }
    }

    pub(crate) fn view(&mut self, node: usize, view: PlacementView) {
        let host = &mut self.hosts[node];
        if host.known.as_ref().is_some_and(|k| k.version >= view.version) {
            return;
        }
        host.known = Some(view.clone());
        self.note(|| {
            format!("n{node} learns v{} e{} {} {:?}", view.version, view.epoch, view.primary, view.state)
        });
        self.input(node, Input::Placement { view, linearizable: false });
    }

    pub(crate) fn request(&mut self, node: usize, input: Input) {
        self.input(node, input);
    }

    /// Kills the process: memory and what was not fsynced are gone.
    pub(crate) fn crash(&mut self, node: usize, back_after: u64) {
        if self.hosts[node].replica.is_none() {
            return;
        }
        self.cover.hit("fault.crash");
        self.struck(node, "crash");
        self.note(|| format!("n{node} crashes"));
        self.hosts[node].replica = None;
        self.hosts[node].broken = false;
        self.hosts[node].incarnation += 1;
        self.hosts[node].restarting = true;
        self.hosts[node].paused = false;
        self.hosts[node].inbox.clear();
        let before = self.hosts[node].disk.clone();
        let crash = self.hosts[node].disk.crash(&mut self.rng);
        self.after_crash(node, &before);
        if crash.records_lost > 0 {
            self.cover.hit("fault.unsynced_lost");
        }
        if crash.torn {
            self.cover.hit("fault.torn_record");
        }
        self.after(back_after, Event::Restart { node });
    }

    pub(crate) fn restart(&mut self, node: usize) {
        if self.hosts[node].replica.is_none() {
            self.boot(node);
        }
    }
}
