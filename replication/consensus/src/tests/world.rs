//! Nodes in one process, and the commands that tests propose.

use super::hub::{Hub, Port};
use crate::{Config, Profile, Registry};
use eport_identity::{Lineage, NodeId};
use eport_model::Timestamp;
use eport_registry::{Command, CommandId, Federation, Mode, Node, NodeState, Op, Setting, Site};
use eport_store::RegistryStore;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

/// Long enough for a busy machine; conditions end waits, not this.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

pub(super) fn id(name: &str) -> NodeId {
    name.parse().unwrap()
}

/// A command with a fresh id.
pub(super) fn command(op: Op) -> Command {
    Command {
        id: CommandId(rand::random()),
        by: "operator/admin".into(),
        at: Timestamp::from_millis(1_700_000_000_000),
        reason: "test".into(),
        op,
        proof: None,
    }
}

pub(super) fn set(name: &str, value: &str) -> Command {
    command(Op::SetSetting(Setting { name: name.into(), value: value.into() }))
}

pub(super) fn add_node(name: &str) -> Command {
    let (site, _) = name.rsplit_once('-').unwrap();
    let region = if name.starts_with('p') { "440000" } else { "440300" };
    command(Op::AddNode(Node {
        id: id(name),
        site: site.parse().unwrap(),
        region: region.parse().unwrap(),
        quic: "127.0.0.1:1".into(),
        api: "127.0.0.1:2".into(),
        cert_serial: String::new(),
        state: NodeState::Up,
        software: "test".into(),
        incarnation: 1,
        reads: 1,
        joined: Timestamp::from_millis(0),
    }))
}

pub(super) fn remove_node(name: &str) -> Command {
    command(Op::SetNodeState { node: id(name), state: NodeState::Removed })
}

fn genesis(first: &str, sites: &[&str]) -> Vec<Command> {
    let federation = Federation {
        name: "test".into(),
        lineage: Lineage::from_bytes([7; 16]),
        domain: "test.example".parse().unwrap(),
        province: "440000".parse().unwrap(),
        mode: Mode::Dev,
        two_person: false,
        created: Timestamp::from_millis(0),
    };
    let site = |name: &&str| {
        let region = if name.starts_with('p') { "440000" } else { "440300" };
        command(Op::PutSite(Site::new(name.parse().unwrap(), region.parse().unwrap(), "s")))
    };
    let mut commands = vec![command(Op::Found(federation))];
    commands.extend(sites.iter().map(site));
    commands.push(add_node(first));
    commands
}

/// Nodes with their folders. A stopped node keeps its folder.
#[derive(Default)]
pub(super) struct World {
    pub hub: Arc<Hub>,
    pub(super) dirs: BTreeMap<NodeId, TempDir>,
    pub(super) nodes: BTreeMap<NodeId, Registry>,
    /// (snapshot_entries, keep_entries) instead of the defaults.
    pub snapshots: Option<(u64, u64)>,
    pub dead_after: Option<Duration>,
}

impl World {
    /// Founds a federation on the first node and lets the others join; three or more give three voters.
    pub(super) async fn founded(names: &[&str]) -> Self {
        Self::default().found(names).await
    }

    pub(super) async fn found(mut self, names: &[&str]) -> Self {
        for name in names {
            self.start(name).await;
        }
        let first = self.node(names[0]).clone();
        let sites: BTreeSet<&str> = names.iter().map(|n| n.rsplit_once('-').unwrap().0).collect();
        self = self.found_on_started(names[0], &sites.into_iter().collect::<Vec<_>>()).await;
        for name in &names[1..] {
            first.propose(add_node(name), PATIENCE).await.unwrap();
        }
        let voters = if names.len() < 3 { 1 } else { 3 };
        for name in names {
            let node = self.node(name).clone();
            // While a change of voters is half done the old ones are needed too, and they may be one node.
            let settled = || node.voters().len() == voters && !node.is_changing_voters();
            until("voters", || settled() && node.leader().is_some()).await;
        }
        self
    }

    /// Founds on a node that runs already.
    pub(super) async fn found_on_started(self, first: &str, sites: &[&str]) -> Self {
        self.node(first).found(genesis(first, sites)).await.unwrap();
        self
    }

    pub(super) async fn start(&mut self, name: &str) -> Registry {
        let node = id(name);
        let dir = self.dirs.entry(node).or_insert_with(|| tempfile::tempdir().unwrap()).path().to_owned();
        // Tasks of the stopped engine release the folder when they end.
        let mut store = RegistryStore::open(&dir);
        let give_up = tokio::time::Instant::now() + PATIENCE;
        while store.is_err() && tokio::time::Instant::now() < give_up {
            tokio::time::sleep(Duration::from_millis(20)).await;
            store = RegistryStore::open(&dir);
        }
        self.start_over(name, store.unwrap()).await
    }

    pub(super) async fn start_over(&mut self, name: &str, store: RegistryStore) -> Registry {
        let mut config = Config::new(id(name), Profile::Lan);
        if let Some((every, keep)) = self.snapshots {
            (config.snapshot_entries, config.keep_entries) = (every, keep);
        }
        if let Some(limit) = self.dead_after {
            config.dead_after = limit;
        }
        let port = Arc::new(Port { me: id(name), hub: self.hub.clone() });
        let registry = Registry::open_over(config, store, port).await.unwrap();
        self.hub.attach(id(name), registry.clone());
        self.nodes.insert(id(name), registry.clone());
        registry
    }

    pub(super) async fn stop(&mut self, name: &str) {
        self.hub.detach(id(name));
        if let Some(registry) = self.nodes.remove(&id(name)) {
            registry.shutdown().await;
        }
    }

    pub(super) fn node(&self, name: &str) -> &Registry {
        &self.nodes[&id(name)]
    }

    pub(super) fn nodes(&self) -> impl Iterator<Item = &Registry> {
        self.nodes.values()
    }

    /// Waits until one of the named nodes leads and all of them know it; returns its name.
    pub(super) async fn leader_among(&self, names: &[&str]) -> String {
        until("one leader", || {
            let leader = self.node(names[0]).leader();
            names.iter().all(|n| self.node(n).leader() == leader)
                && leader.is_some_and(|l| names.iter().any(|n| id(n) == l))
        })
        .await;
        self.node(names[0]).leader().unwrap().to_string()
    }
}

/// Waits for a condition.
pub(super) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let give_up = tokio::time::Instant::now() + PATIENCE;
    while !condition() {
        assert!(tokio::time::Instant::now() < give_up, "waited too long for: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
