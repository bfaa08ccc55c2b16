//! The world of one run: time, events, and how everything in it is woken.
//!
//! Time is simulated milliseconds; events of one instant run in the order they were made. All randomness comes from one
//! generator seeded by the run's seed.

use crate::client::{Call, Client};
use crate::coordinator::Coordinator;
use crate::cover::Coverage;
use crate::disk::Op;
use crate::faults::Fault;
use crate::host::Host;
use crate::net::Net;
use crate::oracle::Oracle;
use crate::plan::Profile;
use crate::registry::{Registry, ReplyTo};
use eport_journal::{Input, Message, PlacementView, Ticket};
use eport_model::{Epoch, MoveId, NodeId, RegionCode, Timestamp};
use eport_registry::Command;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BinaryHeap, VecDeque};

/// Wall clock at the beginning of every run.
const WALL_START: i64 = 1_750_000_000_000;

/// Trace lines kept for a failure.
const TRACE_MAX: usize = 4_000;

/// What a run is asked to do besides its seed.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Name of a bug to plant (needs the feature `planted-bugs`).
    pub bug: Option<String>,
    /// Leave out the check that sees an early acknowledgement directly, so that its consequences must be found.
    pub indirect: bool,
    /// Keep a trace of the last events.
    pub trace: bool,
}

/// An invariant that did not hold.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// Simulated milliseconds.
    pub at_ms: u64,
    /// The invariant.
    pub invariant: &'static str,
    /// What was found.
    pub detail: String,
    /// The last events, if a trace was asked for.
    pub trace: Vec<String>,
}

/// Something that happens at an instant.
#[derive(Debug)]
pub(crate) enum Event {
    Deliver {
        from: usize,
        to: usize,
        message: Box<Message>,
    },
    Tick {
        node: usize,
        incarnation: u64,
    },
    Disk {
        node: usize,
        incarnation: u64,
    },
    Input {
        node: usize,
        incarnation: u64,
        input: Box<Input>,
    },
    /// The local copy of the registry catches up.
    View {
        node: usize,
        view: Box<PlacementView>,
    },
    ReadPlacement {
        node: usize,
        incarnation: u64,
    },
    Command {
        command: Box<Command>,
        call: u64,
    },
    Reply {
        call: u64,
        applied: Option<bool>,
        joined: Option<(MoveId, bool)>,
    },
    Client {
        client: usize,
    },
    ClientTimeout {
        client: usize,
        ticket: Ticket,
    },
    Request {
        node: usize,
        input: Box<Input>,
    },
    Upload {
        node: usize,
        incarnation: u64,
        upload: u64,
    },
    Fetch {
        node: usize,
        incarnation: u64,
    },
    Bootstrap {
        node: usize,
        incarnation: u64,
        number: u64,
    },
    Restart {
        node: usize,
    },
    Resume {
        node: usize,
    },
    Lead,
    AutoReserve {
        term: u64,
        command: Box<Command>,
    },
    Renewal {
        node: usize,
        incarnation: u64,
        epoch: Epoch,
        sent_ms: u64,
    },
    Fault,
    EndFault(Fault),
    Operator,
    Coordinate {
        id: u64,
    },
    Failover {
        lossy: bool,
    },
    Heal,
    HealTick,
}

struct Entry {
    at: u64,
    seq: u64,
    event: Event,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.seq) == (other.at, other.seq)
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.seq).cmp(&(other.at, other.seq))
    }
}

pub(crate) struct World {
    pub(crate) seed: u64,
    pub(crate) rng: ChaCha8Rng,
    pub(crate) now: u64,
    seq: u64,
    queue: BinaryHeap<Reverse<Entry>>,
    pub(crate) profile: Profile,
    pub(crate) options: Options,
    pub(crate) hosts: Vec<Host>,
    pub(crate) net: Net,
    pub(crate) registry: Registry,
    pub(crate) calls: BTreeMap<u64, ReplyTo>,
    pub(crate) clients: Vec<Client>,
    pub(crate) requests: BTreeMap<Ticket, Call>,
    pub(crate) coordinators: BTreeMap<u64, Coordinator>,
    pub(crate) oracle: Oracle,
    /// What primaries have told of their backups' acknowledgements.
    pub(crate) board: BTreeMap<(Epoch, NodeId), eport_model::JournalIndex>,
    pub(crate) cover: Coverage,
    pub(crate) failure: Option<Failure>,
    pub(crate) healing: Option<crate::heal::Healing>,
    pub(crate) finished: bool,
    next_number: u64,
    trace: VecDeque<String>,
}

/// Runs one seed. Answers what was reached, and the failure if an invariant did not hold.
pub fn run(seed: u64, options: &Options) -> (Coverage, Option<Failure>) {
    let mut world = World::new(seed, options.clone());
    world.start();
    while world.failure.is_none() && !world.finished {
        let Some(Reverse(entry)) = world.queue.pop() else { break };
        world.now = entry.at;
        world.handle(entry.event);
    }
    if world.failure.is_none() && !world.finished {
        world.fail("convergence", "nothing is left to happen".to_owned());
    }
    (world.cover, world.failure)
}

impl World {
    fn new(seed: u64, options: Options) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let profile = Profile::draw(&mut rng);
        let hosts = (0..profile.nodes).map(|n| Host::new(n, &mut rng)).collect();
        let clients = (0..profile.clients).map(|_| Client::default()).collect();
        let registry = Registry::new(&profile, WALL_START);
        let mut net = Net::new(profile.nodes);
        net.loss_percent = profile.noise_percent;
        net.dup_percent = profile.noise_percent;
        net.delay_max = rng.random_range(2..40);
        Self {
            seed,
            rng,
            now: 0,
            seq: 0,
            queue: BinaryHeap::new(),
            profile,
            options,
            hosts,
            net,
            registry,
            calls: BTreeMap::new(),
            clients,
            requests: BTreeMap::new(),
            coordinators: BTreeMap::new(),
            oracle: Oracle::default(),
            board: BTreeMap::new(),
            cover: Coverage::default(),
            failure: None,
            healing: None,
            finished: false,
            next_number: 0,
            trace: VecDeque::new(),
        }
    }

    fn start(&mut self) {
        crate::invariants::i02::check(self);
        self.oracle.was_async = self.profile.durability == eport_registry::DurabilityMode::Async;
        for node in 0..self.hosts.len() {
            self.boot(node);
        }
        self.placement_changed();
        for client in 0..self.clients.len() {
            let at = self.rng.random_range(50..500);
            self.at(at, Event::Client { client });
        }
        let (fault, operator) = (self.profile.fault_every_ms, self.profile.operator_every_ms);
        self.after(500 + fault, Event::Fault);
        self.after(800 + operator, Event::Operator);
        self.after(self.profile.chaos_ms, Event::Heal);
        self.after(10, Event::Lead);
    }

    pub(crate) fn at(&mut self, at: u64, event: Event) {
        self.seq += 1;
        self.queue.push(Reverse(Entry { at, seq: self.seq, event }));
    }

    pub(crate) fn after(&mut self, ms: u64, event: Event) {
        self.at(self.now + ms, event);
    }

    /// A number never used before in this run: tickets, commands, moves, keys.
    pub(crate) fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    pub(crate) fn new_move(&mut self) -> MoveId {
        let mut id = [0xee; 16];
        id[..8].copy_from_slice(&self.number().to_be_bytes());
        MoveId(id)
    }

    pub(crate) fn chance(&mut self, percent: u32) -> bool {
        self.rng.random_range(0..100) < percent
    }

    pub(crate) fn wall(&self) -> Timestamp {
        Timestamp::from_millis(WALL_START).plus_millis(i64::try_from(self.now).unwrap_or(i64::MAX))
    }

    pub(crate) fn fail(&mut self, invariant: &'static str, detail: String) {
        if self.failure.is_none() {
            let trace = self.trace.drain(..).collect();
            self.failure = Some(Failure { seed: self.seed, at_ms: self.now, invariant, detail, trace });
        }
    }

    pub(crate) fn note(&mut self, line: impl FnOnce() -> String) {
        if self.options.trace {
            if self.trace.len() >= TRACE_MAX {
                self.trace.pop_front();
            }
            self.trace.push_back(format!("{:>6} {}", self.now, line()));
        }
    }

    pub(crate) fn index_of(&self, node: NodeId) -> Option<usize> {
        self.hosts.iter().position(|h| h.id == node)
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Deliver { from, to, message } => self.deliver(from, to, *message),
            Event::Tick { node, incarnation } => self.tick(node, incarnation),
            Event::Disk { node, incarnation } => self.disk_done(node, incarnation),
            Event::Input { node, incarnation, input } => {
                if self.hosts[node].incarnation == incarnation {
                    self.input(node, *input);
                }
            }
            Event::View { node, view } => self.view(node, *view),
            Event::ReadPlacement { node, incarnation } => self.read_placement(node, incarnation),
            Event::Command { command, call } => self.command_arrives(&command, call),
            Event::Reply { call, applied, joined } => self.reply(call, applied, joined),
            Event::Client { client } => self.client_acts(client),
            Event::ClientTimeout { client, ticket } => self.client_timeout(client, ticket),
            Event::Request { node, input } => self.request(node, *input),
            Event::Upload { node, incarnation, upload } => self.upload(node, incarnation, upload),
            Event::Fetch { node, incarnation } => self.fetch(node, incarnation),
            Event::Bootstrap { node, incarnation, number } => self.bootstrap(node, incarnation, number),
            Event::Restart { node } => self.restart(node),
            Event::Resume { node } => self.resume(node),
            Event::Lead => self.lead(),
            Event::AutoReserve { term, command } => self.auto_reserve(term, &command),
            Event::Renewal { node, incarnation, epoch, sent_ms } => {
                self.renewal(node, incarnation, epoch, sent_ms);
            }
            Event::Fault => self.fault(),
            Event::EndFault(fault) => self.end_fault(fault),
            Event::Operator => self.operator(),
            Event::Coordinate { id } => self.coordinate(id),
            Event::Failover { lossy } => self.failover(lossy),
            Event::Heal => self.heal(),
            Event::HealTick => self.heal_tick(),
        }
    }

    /// Gives an operation to a disk; it is done after everything given before.
    pub(crate) fn disk_op(&mut self, node: usize, op: Op) {
        if self.hosts[node].disk.failed {
            return;
        }
        self.disk_begins(node, &op);
        let slow = self.hosts[node].slow;
        let latency = match op {
            Op::Apply(_) => self.rng.random_range(0..=2),
            Op::Export(_) => self.rng.random_range(2..60),
            _ if slow => self.rng.random_range(100..1_200),
            _ => self.rng.random_range(1..=8),
        };
        let host = &mut self.hosts[node];
        let done = host.disk.busy_until.max(self.now) + latency;
        host.disk.busy_until = done;
        host.disk.pending.push_back(op);
        let incarnation = host.incarnation;
        self.at(done, Event::Disk { node, incarnation });
    }
}

/// The one platform of a run.
pub(crate) fn region() -> RegionCode {
    RegionCode::try_from(440_300).expect("a six-digit code")
}

/// The epoch that a replica of this world treats as the lowest it accepts.
pub(crate) fn floor_of(host: &Host) -> Epoch {
    host.replica.as_ref().map_or(Epoch::NONE, eport_journal::Replica::epoch)
}
