//! A small federation for tests: sites gz-a (two nodes), gz-c and sz-a, and short ways to say commands.
#![allow(dead_code)]

use eport_model::{
    Digest, Durability, Epoch, JournalIndex, Lineage, MoveId, NodeId, Position, RegionCode, Timestamp,
};
use eport_registry::*;
use std::collections::BTreeMap;

pub fn node(id: &str) -> NodeId {
    id.parse().unwrap()
}

pub fn region(code: &str) -> RegionCode {
    code.parse().unwrap()
}

pub fn at(epoch: u64, index: u64) -> Position {
    let digest = if index == 0 { Digest::ZERO } else { Digest::of(format!("{epoch}/{index}").as_bytes()) };
    Position { epoch: Epoch::from_u64(epoch), index: JournalIndex::from_u64(index), digest }
}

pub fn policy(durability: DurabilityMode, k: usize) -> Policy {
    Policy {
        durability,
        k,
        isolation: Isolation::Block,
        failover: FailoverMode::Manual,
        same_site: false,
        min_durability: Durability::Local,
    }
}

pub fn bare_plan() -> Plan {
    Plan {
        region: region("440300"),
        kind: MoveKind::Switchover,
        from: node("sz-a-1"),
        to: None,
        version: 0,
        steps: vec![],
        checks: vec![],
        expected_loss: ExpectedLoss::default(),
        refused: None,
    }
}

/// A state with its stored rows beside it, as a node has it.
#[derive(Clone, Default)]
pub struct World {
    pub state: State,
    pub stored: BTreeMap<Vec<u8>, Vec<u8>>,
    pub now: i64,
    pub drawn: u64,
}

impl World {
    pub fn id(&mut self) -> [u8; 16] {
        self.drawn += 1;
        let mut id = [0; 16];
        id[..8].copy_from_slice(&self.drawn.to_le_bytes());
        id
    }

    pub fn command(&mut self, by: &str, op: Op) -> Command {
        self.now += 1_000;
        let at = Timestamp::from_millis(self.now);
        Command {
            id: CommandId(self.id()),
            by: by.to_owned(),
            at,
            reason: "test".to_owned(),
            op,
            proof: None,
        }
    }

    pub fn apply(&mut self, command: &Command) -> Result<Outcome, Refusal> {
        let applied = self.state.apply(command);
        for row in applied.rows {
            match row.value {
                Some(value) => drop(self.stored.insert(row.key, value)),
                None => drop(self.stored.remove(&row.key)),
            }
        }
        applied.outcome
    }

    pub fn operator(&mut self, op: Op) -> Result<Outcome, Refusal> {
        let command = self.command("operator/admin", op);
        self.apply(&command)
    }

    pub fn by_node(&mut self, id: NodeId, op: Op) -> Result<Outcome, Refusal> {
        let home = self.state.node(id).map_or(region("440000"), |n| n.region);
        let command = self.command(&format!("platform/{home}/node/{id}"), op);
        self.apply(&command)
    }

    pub fn placement(&self) -> &Placement {
        self.state.placement(region("440300")).unwrap()
    }

    pub fn version(&self) -> u64 {
        self.placement().version
    }

    /// Founded with four nodes; no platform yet.
    pub fn founded(mode: Mode) -> World {
        let mut w = World { now: 1_700_000_000_000, ..World::default() };
        let federation = Federation {
            name: "gd".into(),
            lineage: Lineage::from_bytes([7; 16]),
            domain: "gd.eport.example".parse().unwrap(),
            province: region("440000"),
            mode,
            two_person: false,
            created: Timestamp::from_millis(w.now),
        };
        w.operator(Op::Found(federation)).unwrap();
        for (site, home) in [("gz-a", "440000"), ("gz-c", "440100"), ("sz-a", "440300")] {
            let site = Site::new(site.parse().unwrap(), region(home), site);
            w.operator(Op::PutSite(site)).unwrap();
        }
        for (id, site, home) in [
            ("gz-a-1", "gz-a", "440000"),
            ("gz-a-2", "gz-a", "440000"),
            ("gz-c-1", "gz-c", "440100"),
            ("sz-a-1", "sz-a", "440300"),
        ] {
            w.operator(Op::AddNode(new_node(id, site, home))).unwrap();
        }
        w
    }

    /// With platform 440300: primary sz-a-1, sync backups gz-a-1 and gz-c-1, both in sync, k = 1.
    pub fn with_platform() -> World {
        let mut w = World::founded(Mode::Dev);
        w.create(policy(DurabilityMode::Sync, 1), &["gz-a-1", "gz-c-1"]).unwrap();
        for id in ["gz-a-1", "gz-c-1"] {
            w.in_sync_add(id).unwrap();
        }
        w.proven(1).unwrap();
        w
    }

    pub fn create(&mut self, policy: Policy, backups: &[&str]) -> Result<Outcome, Refusal> {
        self.operator(Op::CreatePlatform {
            region: region("440300"),
            name_zh: "深圳".into(),
            name_en: "Shenzhen".into(),
            primary: node("sz-a-1"),
            backups: sync(backups),
            policy,
        })
    }

    pub fn set_policy(&mut self, policy: Policy, backups: Vec<PolicyBackup>) -> Result<Outcome, Refusal> {
        let version = self.version();
        self.operator(Op::SetPolicy { region: region("440300"), version, policy, backups })
    }

    pub fn in_sync_add(&mut self, id: &str) -> Result<Outcome, Refusal> {
        let (version, primary) = (self.version(), self.placement().primary);
        self.by_node(primary, Op::InSyncAdd { region: region("440300"), version, node: node(id) })
    }

    pub fn in_sync_remove(&mut self, id: &str) -> Result<Outcome, Refusal> {
        let (version, primary) = (self.version(), self.placement().primary);
        self.by_node(primary, Op::InSyncRemove { region: region("440300"), version, node: node(id) })
    }

    pub fn proven(&mut self, k: usize) -> Result<Outcome, Refusal> {
        let (version, primary) = (self.version(), self.placement().primary);
        self.by_node(primary, Op::Proven { region: region("440300"), version, k })
    }

    pub fn open(&mut self, to: &str) -> Result<MoveId, Refusal> {
        let (move_id, expected_version) = (MoveId(self.id()), self.version());
        self.operator(Op::OpenSwitchover {
            region: region("440300"),
            move_id,
            kind: MoveKind::Switchover,
            to: node(to),
            within_ms: 60_000,
            expected_version,
            plan: bare_plan(),
        })?;
        Ok(move_id)
    }

    pub fn reserve(
        &mut self,
        expected_version: u64,
        to: Option<&str>,
        loss: bool,
    ) -> Result<Outcome, Refusal> {
        let move_id = MoveId(self.id());
        self.operator(Op::ReserveFailover {
            region: region("440300"),
            move_id,
            to: to.map(node),
            expected_version,
            accept_data_loss: loss,
            old_primary: OldPrimary::Stopped,
            deadline: None,
            plan: bare_plan(),
        })
    }

    pub fn commit_failover(
        &mut self,
        move_id: MoveId,
        primary: &str,
        start: Position,
        sealed: &[&str],
    ) -> Result<Outcome, Refusal> {
        let version = self.version();
        let in_sync =
            sealed.iter().map(|n| node(n)).filter(|n| *n != node(primary) && *n != self.placement().primary);
        let in_sync = in_sync.collect();
        let op = Op::CommitFailover {
            region: region("440300"),
            version,
            move_id,
            primary: node(primary),
            start,
            in_sync,
            sealed: sealed.iter().map(|n| node(n)).collect(),
            fresh: Vec::new(),
        };
        self.by_node(node("gz-a-2"), op)
    }
}

pub fn move_id(outcome: &Outcome) -> MoveId {
    match outcome {
        Outcome::Moved { move_id, .. } => *move_id,
        other => panic!("no move in {other:?}"),
    }
}

pub fn new_node(id: &str, site: &str, home: &str) -> Node {
    Node {
        id: node(id),
        site: site.parse().unwrap(),
        region: region(home),
        quic: "127.0.0.1:4433".into(),
        api: "127.0.0.1:8443".into(),
        cert_serial: String::new(),
        state: NodeState::Up,
        software: "0.1.0".into(),
        incarnation: 1,
        reads: 1,
        joined: Timestamp::from_millis(0),
    }
}

pub fn sync(ids: &[&str]) -> Vec<PolicyBackup> {
    ids.iter().map(|id| PolicyBackup { node: node(id), role: Role::Sync }).collect()
}
