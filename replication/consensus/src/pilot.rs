//! The task that carries out [`autopilot`](crate::autopilot) while this node leads.

use crate::autopilot::{Member, Situation, Step, next_step};
use crate::config::Config;
use crate::machine::Board;
use crate::rpc::Rpc;
use crate::types::{Metrics, Peer, Raft};
use eport_identity::NodeId;
use eport_registry::{NodeState, State};
use openraft::error::{ClientWriteError, RaftError};
use openraft::{ChangeMembers, EmptyNode};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// A learner this close to the leader's log counts as caught up; commands go on arriving while it is promoted.
const CAUGHT_UP_ENTRIES: u64 = 32;

/// The autopilot of one node.
pub(crate) struct Pilot {
    pub config: Config,
    pub raft: Raft,
    pub board: Arc<Board>,
    pub rpc: Arc<dyn Rpc>,
}

impl Pilot {
    /// Runs until `stop` changes or its sender is dropped.
    pub(crate) async fn run(self, mut stop: watch::Receiver<bool>) {
        let mut changes = self.board.changes();
        let mut seen = BTreeMap::new();
        let pause = self.config.profile.heartbeat();
        loop {
            tokio::select! {
                _ = stop.changed() => return,
                _ = changes.changed() => {}
                () = tokio::time::sleep(pause) => {}
            }
            let step = self.step(&mut seen);
            tokio::select! {
                _ = stop.changed() => return,
                () = self.perform(step) => {}
            }
        }
    }

    /// What to do now; `None` on a node that does not lead.
    fn step(&self, seen: &mut BTreeMap<NodeId, Instant>) -> Option<Step> {
        let metrics = self.raft.metrics().borrow().clone();
        if metrics.current_leader != Some(Peer(self.config.me)) || metrics.replication.is_none() {
            // Whoever becomes leader gives everybody the full time before calling them dead.
            seen.clear();
            return None;
        }
        let connected = self.rpc.connected();
        let view = self.board.view();
        next_step(&situation(&self.config, &view.state, &metrics, &connected, seen))
    }

    async fn perform(&self, step: Option<Step>) {
        let Some(step) = step else { return };
        let limit = self.config.profile.election_max() * 4;
        let change = async {
            match &step {
                Step::AddLearner(node) => {
                    self.raft.add_learner(Peer(*node), EmptyNode {}, false).await.map(drop)
                }
                Step::SetVoters(voters) => {
                    let voters: BTreeSet<Peer> = voters.iter().copied().map(Peer).collect();
                    // Retained: who stops voting goes on as a learner until the registry removes it.
                    self.raft.change_membership(ChangeMembers::ReplaceAllVoters(voters), true).await.map(drop)
                }
                Step::Remove(node) => {
                    let nodes = BTreeSet::from([Peer(*node)]);
                    self.raft.change_membership(ChangeMembers::RemoveNodes(nodes), true).await.map(drop)
                }
            }
        };
        match tokio::time::timeout(limit, change).await {
            Ok(Ok(())) => tracing::info!(?step, "registry membership changed"),
            Ok(Err(RaftError::APIError(ClientWriteError::ForwardToLeader(_)))) | Err(_) => {
                tracing::info!(?step, "registry membership change was not confirmed; decided again later");
                self.pause().await;
            }
            Ok(Err(e)) => {
                tracing::warn!(?step, error = %e, "registry membership change failed; decided again later");
                self.pause().await;
            }
        }
    }

    async fn pause(&self) {
        tokio::time::sleep(self.config.profile.election_min()).await;
    }
}

/// Joins what the registry, the Raft engine and the network say. `seen` keeps when a node was last connected.
fn situation(
    config: &Config,
    state: &State,
    metrics: &Metrics,
    connected: &BTreeSet<NodeId>,
    seen: &mut BTreeMap<NodeId, Instant>,
) -> Situation {
    let province = state.federation().map(|f| f.province);
    let membership = metrics.membership_config.membership();
    let matched = |node: NodeId| {
        let replication = metrics.replication.as_ref()?.get(&Peer(node))?;
        replication.map(|id| id.index)
    };
    let last = metrics.last_log_index.unwrap_or(0);
    let members = state.nodes().filter(|n| n.is_member()).map(|node| {
        let me = node.id == config.me;
        let is_connected = me || connected.contains(&node.id);
        let member = Member {
            site: node.site,
            province: Some(node.region) == province,
            draining: node.state == NodeState::Draining,
            connected: is_connected,
            dead: !me && silence(seen, node.id, is_connected) > config.dead_after,
            caught_up: me || matched(node.id).is_some_and(|i| i.saturating_add(CAUGHT_UP_ENTRIES) >= last),
        };
        (node.id, member)
    });
    let members = members.collect();
    let configs = membership.get_joint_config();
    Situation {
        me: config.me,
        voters_wanted: config.voters,
        members,
        voters: configs.last().into_iter().flatten().map(|p| p.0).collect(),
        group: membership.nodes().map(|(p, _)| p.0).collect(),
        joint: configs.len() > 1,
    }
}

/// How long a node has been without connection; a node that was never looked at starts now.
fn silence(seen: &mut BTreeMap<NodeId, Instant>, node: NodeId, connected: bool) -> Duration {
    let now = Instant::now();
    let last = seen.entry(node).or_insert(now);
    if connected {
        *last = now;
    }
    now.duration_since(*last)
}
