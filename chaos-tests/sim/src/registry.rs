//! The registry as the nodes see it: the real state machine behind a link that delays, loses, repeats and cuts off.
//!
//! Consensus itself is not simulated: commands take effect in one order, each at the instant it arrives. A command may arrive
//! long after its caller has given up, or twice. Local copies lag; they never go back, also not through a restart.

use crate::auto::Leader;
use crate::convert;
use crate::host::Host;
use crate::plan::Profile;
use crate::world::{Event, World, region};
use eport_journal::{Input, PlacementView};
use eport_model::{MoveId, NodeId, Timestamp};
use eport_registry::{
    Command, CommandId, DurabilityMode, FailoverMode, Federation, Isolation, Mode, Node, NodeState, Op,
    Outcome, Placement, Policy, PolicyBackup, Role, Site, State,
};
use rand::Rng;

/// A caller waits so long for the registry.
const CALL_TIMEOUT_MS: u64 = 1_500;

/// Who asked.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ReplyTo {
    /// A replica, in one life of its process.
    Replica { node: usize, incarnation: u64, move_id: MoveId, name: &'static str },
    /// An operator's failover.
    Failover,
    /// Nobody waits.
    Nobody,
}

pub(crate) struct Registry {
    pub(crate) state: State,
    /// Nothing can be committed until then.
    pub(crate) outage_until: u64,
    /// Nodes that cannot reach it.
    pub(crate) cut: Vec<bool>,
    /// The view of the newest placement.
    pub(crate) view: Option<PlacementView>,
    pub(crate) loses_replies: bool,
    /// Who leads, and what it knows of leases.
    pub(crate) leader: Leader,
}

fn node_id(n: usize) -> NodeId {
    format!("n{n}").parse().expect("a short name")
}

/// The policy of the run's platform.
pub(crate) fn policy(profile: &Profile, durability: DurabilityMode, k: usize) -> Policy {
    let degrades = durability == DurabilityMode::AutoSync && profile.failover == FailoverMode::Manual;
    let isolation = if degrades { profile.isolation } else { Isolation::Block };
    let failover = if durability == DurabilityMode::Async { FailoverMode::Manual } else { profile.failover };
    Policy {
        durability,
        k,
        isolation,
        failover,
        same_site: false,
        min_durability: eport_model::Durability::Local,
    }
}

impl Registry {
    pub(crate) fn new(profile: &Profile, wall: i64) -> Self {
        let mut registry = Self {
            state: State::default(),
            outage_until: 0,
            cut: vec![false; profile.nodes],
            view: None,
            loses_replies: false,
            leader: Leader::new(),
        };
        for (n, op) in founding(profile, Timestamp::from_millis(wall)).into_iter().enumerate() {
            let id = CommandId([n as u8; 16]);
            let at = Timestamp::from_millis(wall);
            let command =
                Command { id, by: "operator/admin".into(), at, reason: "founding".into(), op, proof: None };
            let applied = registry.state.apply(&command);
            assert!(applied.outcome.is_ok(), "founding: {:?}", applied.outcome);
        }
        registry.refresh();
        registry
    }

    pub(crate) fn placement(&self) -> &Placement {
        self.state.placement(region()).expect("the platform is founded")
    }

    fn refresh(&mut self) {
        self.view = Some(convert::view(&self.state, self.placement()));
    }

    pub(crate) fn is_reachable(&self, node: usize, now: u64) -> bool {
        now >= self.outage_until && !self.cut[node]
    }
}

fn founding(profile: &Profile, created: Timestamp) -> Vec<Op> {
    let federation = Federation {
        name: "sim".into(),
        lineage: crate::client::lineage(),
        domain: "sim.test".parse().expect("a trust domain"),
        province: region().province(),
        mode: Mode::Dev,
        two_person: false,
        created,
    };
    let mut ops = vec![Op::Found(federation)];
    for site in 0..profile.nodes {
        let id = format!("s{site}").parse().expect("a site name");
        ops.push(Op::PutSite(Site::new(id, region(), "")));
    }
    for n in 0..profile.nodes {
        ops.push(Op::AddNode(Node {
            id: node_id(n),
            site: format!("s{}", profile.sites[n]).parse().expect("a site name"),
            region: region(),
            quic: format!("10.0.0.{n}:1"),
            api: format!("10.0.0.{n}:2"),
            cert_serial: String::new(),
            state: NodeState::Up,
            software: String::new(),
            incarnation: 0,
            reads: eport_model::SCHEMA_VERSION,
            joined: created,
        }));
    }
    ops.push(Op::CreatePlatform {
        region: region(),
        name_zh: String::new(),
        name_en: String::new(),
        primary: node_id(0),
        backups: profile
            .backups
            .iter()
            .map(|n| PolicyBackup { node: node_id(*n), role: Role::Sync })
            .collect(),
        policy: policy(profile, profile.durability, profile.k),
    });
    ops
}

impl World {
    /// A node asks for a change; it is told the outcome, or that it is unknown.
    pub(crate) fn propose_from(&mut self, node: usize, op: Op, move_id: MoveId) {
        let by = format!("platform/{}/node/{}", region(), self.hosts[node].id);
        let incarnation = self.hosts[node].incarnation;
        let name = match &op {
            Op::InSyncAdd { .. } => "InSyncAdd",
            Op::InSyncRemove { .. } => "InSyncRemove",
            Op::Shrink { .. } => "Shrink",
            Op::Proven { .. } => "Proven",
            Op::CommitSwitch { .. } => "CommitSwitch",
            _ => "AbortMove",
        };
        let to = ReplyTo::Replica { node, incarnation, move_id, name };
        self.propose(Some(node), by, op, to);
    }

    pub(crate) fn propose(&mut self, node: Option<usize>, by: String, op: Op, reply_to: ReplyTo) {
        let call = self.number();
        let mut id = [0x55; 16];
        id[..8].copy_from_slice(&call.to_be_bytes());
        let delicate = matches!(op, Op::CommitSwitch { .. } | Op::InSyncRemove { .. } | Op::Shrink { .. });
        let command =
            Command { id: CommandId(id), by, at: self.wall(), reason: String::new(), op, proof: None };
        self.calls.insert(call, reply_to);
        self.after(CALL_TIMEOUT_MS, Event::Reply { call, applied: None, joined: None });
        if let Some(node) = node
            && self.registry.cut[node]
        {
            return; // Never sent: unknown to the caller all the same.
        }
        let mut delay = self.rng.random_range(2..40);
        // Steps whose late arrival is the hard case are late more often.
        if self.healing.is_none() && self.chance(if delicate { 20 } else { 4 }) {
            self.cover.hit("registry.late_command");
            delay += self.rng.random_range(1_500..6_000);
        }
        if self.chance(4) {
            // A forward that is retried below the caller: same id, so it takes effect once.
            let again = delay + self.rng.random_range(0..3_000);
            self.after(again, Event::Command { command: Box::new(command.clone()), call: 0 });
        }
        self.after(delay, Event::Command { command: Box::new(command), call });
    }

    pub(crate) fn command_arrives(&mut self, command: &Command, call: u64) {
        if self.now < self.registry.outage_until {
            if self.chance(50) {
                let late = self.registry.outage_until + self.rng.random_range(1..300);
                self.at(late, Event::Command { command: Box::new(command.clone()), call });
            }
            return;
        }
        let before = self.registry.placement().version;
        let applied = self.registry.state.apply(command);
        self.note(|| {
            let verdict = match &applied.outcome {
                Ok(_) => "ok".to_owned(),
                Err(refusal) => refusal.to_string(),
            };
            format!("registry: {} {} -> {verdict}", command.by, crate::checks::brief_op(&command.op))
        });
        if applied.outcome.is_err() {
            self.cover.hit("registry.refused");
        }
        let after = self.registry.placement().version;
        if let (Ok(_), Op::Shrink { nodes, .. }) = (&applied.outcome, &command.op) {
            self.cover.hit(if nodes.is_empty() { "step.seen" } else { "step.shrink" });
        }
        if after > before {
            self.committed_op(command);
            self.registry.refresh();
            self.placement_changed();
        }
        if self.registry.loses_replies && self.chance(50) {
            self.cover.hit("fault.lost_reply");
            return;
        }
        let joined = match &applied.outcome {
            Ok(Outcome::Moved { move_id, joined, .. }) => Some((*move_id, *joined)),
            _ => None,
        };
        let applied = Some(applied.outcome.is_ok());
        let ms = self.rng.random_range(2..30);
        self.after(ms, Event::Reply { call, applied, joined });
    }

    pub(crate) fn reply(&mut self, call: u64, applied: Option<bool>, joined: Option<(MoveId, bool)>) {
        let Some(reply_to) = self.calls.remove(&call) else { return };
        match reply_to {
            ReplyTo::Replica { node, incarnation, move_id, name } => {
                if self.hosts[node].incarnation != incarnation {
                    return;
                }
                let cut = applied.is_some() && self.registry.cut[node];
                let applied = if cut { None } else { applied };
                if applied.is_none() && move_id != MoveId::default() {
                    self.cover.hit("switch.unknown");
                }
                self.registry_answers(node, name);
                self.input(node, Input::RegistryAnswered { move_id, applied });
            }
            ReplyTo::Failover => {
                if let Some((move_id, joined)) = joined {
                    if joined {
                        self.cover.hit("failover.joined");
                    }
                    self.coordinate_from_anywhere(move_id);
                }
            }
            ReplyTo::Nobody => {}
        }
    }

    /// Tells every local copy, each in its own time.
    pub(crate) fn placement_changed(&mut self) {
        let Some(view) = self.registry.view.clone() else { return };
        for node in 0..self.hosts.len() {
            if self.registry.cut[node] {
                continue;
            }
            let lag = if self.chance(20) { 900 } else { 30 };
            let ms = self.rng.random_range(1..lag);
            self.after(ms, Event::View { node, view: Box::new(view.clone()) });
        }
    }

    /// A linearizable read; repeated while the registry cannot be reached.
    pub(crate) fn read_placement(&mut self, node: usize, incarnation: u64) {
        if self.hosts[node].incarnation != incarnation || self.hosts[node].replica.is_none() {
            return;
        }
        if self.hosts[node].paused || !self.registry.is_reachable(node, self.now) {
            return self.after(250, Event::ReadPlacement { node, incarnation });
        }
        let Some(view) = self.registry.view.clone() else { return };
        let host: &mut Host = &mut self.hosts[node];
        if host.known.as_ref().is_none_or(|k| k.version < view.version) {
            host.known = Some(view.clone());
        }
        let ms = self.rng.random_range(1..20);
        let input = Box::new(Input::Placement { view, linearizable: true });
        self.after(ms, Event::Input { node, incarnation, input });
    }
}
