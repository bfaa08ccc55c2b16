//! The door: one node's part in the registry.

use crate::batcher::{self, COMMAND_BYTES_MAX, Verdict, Waiting};
use crate::clock;
use crate::config::Config;
use crate::error::{Error, ProposeError};
use crate::inbox::Inbox;
use crate::link::Links;
use crate::log::LogStore;
use crate::machine::{Board, Machine, View};
use crate::message::{RaftReply, RegistryReply, RegistryRequest, decode, encode};
use crate::pilot::Pilot;
use crate::rpc::{Rpc, RpcError};
use crate::stand::Stand;
use crate::types::{Peer, Raft};
use bytes::Bytes;
use eport_identity::NodeId;
use eport_model::codec;
use eport_registry::{Command, Outcome, Refusal};
use eport_store::RegistryStore;
use eport_wire::Purpose;
use futures::future::BoxFuture;
use openraft::EmptyNode;
use openraft::error::{InitializeError, RaftError};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout_at};

/// How long founding waits for itself to lead and for each genesis command.
const FOUND_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest wait that a forwarded request may ask of the leader.
const FORWARD_WAIT_MAX: Duration = Duration::from_secs(60);
/// The answer must travel back: the leader is asked to give up a little earlier than the caller does.
const FORWARD_SHARE: (u32, u32) = (9, 10);

/// One node's part in the registry's Raft group. Cheap to clone.
#[derive(Clone)]
pub struct Registry {
    inner: Arc<Inner>,
}

struct Inner {
    config: Config,
    raft: Raft,
    board: Arc<Board>,
    rpc: Arc<dyn Rpc>,
    batches: mpsc::Sender<Waiting>,
    inbox: Inbox,
    fatal: watch::Receiver<Option<String>>,
    stop: watch::Sender<bool>,
}

impl Registry {
    /// Opens this node's part. A node that never founded or joined a federation waits for a leader to reach it.
    pub async fn open(
        config: Config,
        store: RegistryStore,
        transport: eport_transport::Transport,
    ) -> Result<Self, Error> {
        Self::open_over(config, store, Arc::new(transport)).await
    }

    pub(crate) async fn open_over(
        config: Config,
        store: RegistryStore,
        rpc: Arc<dyn Rpc>,
    ) -> Result<Self, Error> {
        let raft_config = config.raft().map_err(|e| Error::Raft(e.to_string()))?;
        let machine = Machine::open(store.clone())?;
        let board = machine.board();
        let links = Links { rpc: rpc.clone(), profile: config.profile };
        let log = LogStore::new(store.clone());
        let raft = Raft::new(Peer(config.me), raft_config, links, log.clone(), machine).await;
        let raft = raft.map_err(|e| Error::Raft(e.to_string()))?;
        let (stop, stopped) = watch::channel(false);
        let pilot =
            Pilot { config: config.clone(), raft: raft.clone(), board: board.clone(), rpc: rpc.clone() };
        tokio::spawn(pilot.run(stopped.clone()));
        let stand = Stand { config: config.clone(), raft: raft.clone(), log: log.clone(), rpc: rpc.clone() };
        tokio::spawn(stand.run(stopped.clone()));
        let fatal = watch_fatal(&raft, stopped);
        let inbox = Inbox::new(config.profile, raft.clone(), log, board.clone(), store);
        let batches = batcher::start(raft.clone());
        Ok(Self { inner: Arc::new(Inner { config, raft, board, rpc, batches, inbox, fatal, stop }) })
    }

    /// Founds a federation: this node becomes the only voter, then the genesis commands are applied. May be repeated.
    pub async fn found(&self, genesis: Vec<Command>) -> Result<(), Error> {
        let members = BTreeMap::from([(Peer(self.inner.config.me), EmptyNode {})]);
        match self.inner.raft.initialize(members).await {
            Ok(()) | Err(RaftError::APIError(InitializeError::NotAllowed(_))) => {}
            Err(e) => return Err(Error::Raft(e.to_string())),
        }
        for command in genesis {
            match self.propose(command, FOUND_TIMEOUT).await {
                Ok(_) => {}
                Err(ProposeError::Refused(refusal)) => return Err(Error::Refused(refusal)),
                Err(ProposeError::NoLeader | ProposeError::Unknown(_)) => {
                    return Err(Error::NoLeader(FOUND_TIMEOUT));
                }
            }
        }
        Ok(())
    }

    /// Proposes a command from any node and waits for its outcome. Proposed again with the same id it takes effect once.
    pub fn propose(
        &self,
        command: Command,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<Outcome, ProposeError>> {
        Box::pin(async move {
            let deadline = Instant::now() + timeout;
            let command = self.signed(command);
            let bytes = codec::encode(&command).len();
            if bytes > COMMAND_BYTES_MAX {
                let reason = format!("{bytes} bytes exceed {COMMAND_BYTES_MAX}");
                return Err(ProposeError::Refused(Refusal::Invalid { field: "command".into(), reason }));
            }
            let mut handed_on = false;
            let mut hint = None;
            while Instant::now() < deadline {
                // A hint is followed once; after that, what this node itself knows counts.
                let reply = match hint.take().or_else(|| self.leader()) {
                    Some(node) if node == self.inner.config.me => {
                        self.propose_here(command.clone(), deadline).await
                    }
                    Some(node) => self.forward(node, &command, deadline, &mut handed_on).await,
                    None => RegistryReply::NotLeader(None),
                };
                match reply {
                    RegistryReply::Applied(outcome) => return outcome.map_err(ProposeError::Refused),
                    RegistryReply::NotLeader(Some(node)) if Some(node) != self.leader() => hint = Some(node),
                    // An earlier attempt may have reached a leader: then a later denial says nothing of what became of it.
                    RegistryReply::Denied(_) if handed_on => return Err(ProposeError::Unknown(timeout)),
                    RegistryReply::Denied(reason) => {
                        return Err(ProposeError::Refused(Refusal::Rule(reason)));
                    }
                    RegistryReply::Unknown | RegistryReply::ReadIndex(_) => handed_on = true,
                    RegistryReply::NotLeader(_) => {}
                }
                self.await_news(deadline).await;
            }
            if handed_on { Err(ProposeError::Unknown(timeout)) } else { Err(ProposeError::NoLeader) }
        })
    }

    /// A step of this node with this node's signature; everything else as it is.
    fn signed(&self, command: Command) -> Command {
        let own = command.subject().and_then(|s| s.node()) == Some(self.inner.config.me);
        match &self.inner.config.signer {
            Some(signer) if own => signer.sign(&self.state().state, command),
            _ => command,
        }
    }

    /// The registry as this node knows it now.
    pub fn state(&self) -> Arc<View> {
        self.inner.board.view()
    }

    /// Index of the last applied entry; changes with every apply.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.inner.board.changes()
    }

    /// A view that holds everything acknowledged before this call: the leader confirms its index, this node catches up.
    pub fn linearizable(&self, timeout: Duration) -> BoxFuture<'_, Result<Arc<View>, Error>> {
        Box::pin(async move {
            let deadline = Instant::now() + timeout;
            let wanted = self.read_index(deadline).await.ok_or(Error::NoLeader(timeout))?;
            let mut changes = self.changes();
            let reached = timeout_at(deadline, changes.wait_for(|applied| *applied >= wanted)).await;
            let view = self.state();
            match reached {
                Ok(Ok(_)) => Ok(view),
                _ if view.index >= wanted => Ok(view),
                _ => Err(Error::Behind { applied: view.index, wanted }),
            }
        })
    }

    /// The leader this node knows of.
    pub fn leader(&self) -> Option<NodeId> {
        self.inner.raft.metrics().borrow().current_leader.map(|peer| peer.0)
    }

    /// The current term.
    pub fn term(&self) -> u64 {
        self.inner.raft.metrics().borrow().current_term
    }

    /// True when this node leads, as far as it knows.
    pub fn is_leader(&self) -> bool {
        self.leader() == Some(self.inner.config.me)
    }

    /// The voters this node knows of, in order; during a change those of both configurations.
    pub fn voters(&self) -> Vec<NodeId> {
        let metrics = self.inner.raft.metrics();
        let mut voters: Vec<NodeId> =
            metrics.borrow().membership_config.voter_ids().map(|peer| peer.0).collect();
        voters.sort();
        voters
    }

    /// True while a change of voters is half done: until it is done a majority of the old ones is needed too.
    pub fn is_changing_voters(&self) -> bool {
        self.inner.raft.metrics().borrow().membership_config.membership().get_joint_config().len() > 1
    }

    /// The timing this node was opened with.
    pub fn profile(&self) -> crate::Profile {
        self.inner.config.profile
    }

    /// On the leader: milliseconds since a majority last answered. May be one and a half heartbeats old.
    pub fn millis_since_quorum(&self) -> Option<u64> {
        self.inner.raft.metrics().borrow().millis_since_quorum_ack
    }

    /// Becomes `Some(reason)` when storage or the Raft engine failed for good; the node must then be restarted.
    pub fn fatal(&self) -> watch::Receiver<Option<String>> {
        self.inner.fatal.clone()
    }

    /// Answers a request of another node. `from` is the node of the verified certificate.
    pub async fn handle(&self, from: NodeId, purpose: Purpose, payload: Bytes) -> Bytes {
        match purpose {
            Purpose::Raft => encode(&self.inner.inbox.handle(from, &payload).await),
            Purpose::Registry => encode(&self.serve(from, &payload).await),
            other => encode(&RaftReply::Failed(format!("{other:?} is not served by the registry"))),
        }
    }

    /// Ends this node's part. What was acknowledged is durable already.
    pub async fn shutdown(&self) {
        self.inner.stop.send_replace(true);
        // The only error is that the engine's task panicked, which `fatal` has reported.
        let _ = self.inner.raft.shutdown().await;
    }

    #[cfg(test)]
    pub(crate) fn metrics(&self) -> watch::Receiver<crate::types::Metrics> {
        self.inner.raft.metrics()
    }

    async fn serve(&self, from: NodeId, payload: &Bytes) -> RegistryReply {
        let request: RegistryRequest = match decode(Purpose::Registry, payload) {
            Ok(request) => request,
            Err(e) => return RegistryReply::Denied(format!("the request does not decode: {e}")),
        };
        if !self.leads() {
            return RegistryReply::NotLeader(self.leader().filter(|leader| *leader != self.inner.config.me));
        }
        if !self.state().state.is_member(from) {
            return RegistryReply::Denied(format!("{from} is not a member of the federation"));
        }
        match request {
            RegistryRequest::Propose { mut command, wait_ms } => {
                // A node speaks for itself only. An operator's word is judged by its signature; the audit names who carried it.
                match command.subject().and_then(|s| s.node()) {
                    Some(node) if node != from => {
                        return RegistryReply::Denied(format!("{from} may not speak for node {node}"));
                    }
                    Some(_) => {}
                    None => command.reason.push_str(&format!(" (via {from})")),
                }
                tracing::debug!(%from, command = %command.id, by = %command.by, "command forwarded by a member");
                self.propose_here(command, deadline_in(wait_ms)).await
            }
            RegistryRequest::ReadIndex { wait_ms } => {
                match self.read_index_here(deadline_in(wait_ms)).await {
                    Some(index) => RegistryReply::ReadIndex(index),
                    None => RegistryReply::NotLeader(None),
                }
            }
        }
    }

    /// Hands a command to this node's own engine.
    async fn propose_here(&self, mut command: Command, deadline: Instant) -> RegistryReply {
        if !self.leads() {
            return RegistryReply::NotLeader(self.leader().filter(|leader| *leader != self.inner.config.me));
        }
        command.at = clock::now();
        let (answer, verdict) = oneshot::channel();
        let bytes = codec::encode(&command).len();
        let waiting = Waiting { command, bytes, deadline, answer };
        if !matches!(timeout_at(deadline, self.inner.batches.send(waiting)).await, Ok(Ok(()))) {
            return RegistryReply::NotLeader(None);
        }
        match timeout_at(deadline, verdict).await {
            Ok(Ok(Verdict::Applied(outcome))) => RegistryReply::Applied(outcome),
            Ok(Ok(Verdict::Unknown) | Err(_)) | Err(_) => RegistryReply::Unknown,
        }
    }

    async fn forward(
        &self,
        to: NodeId,
        command: &Command,
        deadline: Instant,
        handed_on: &mut bool,
    ) -> RegistryReply {
        let request = RegistryRequest::Propose { command: command.clone(), wait_ms: forward_wait(deadline) };
        match self.ask(to, &request, deadline).await {
            Ok(reply) => reply,
            Err(RpcError::Unreachable(_)) => RegistryReply::NotLeader(None),
            Err(RpcError::Failed { .. }) => {
                *handed_on = true;
                RegistryReply::NotLeader(None)
            }
        }
    }

    async fn read_index(&self, deadline: Instant) -> Option<u64> {
        let mut hint = None;
        while Instant::now() < deadline {
            let reply = match hint.take().or_else(|| self.leader()) {
                Some(node) if node == self.inner.config.me => self
                    .read_index_here(deadline)
                    .await
                    .map_or(RegistryReply::NotLeader(None), RegistryReply::ReadIndex),
                Some(node) => {
                    let request = RegistryRequest::ReadIndex { wait_ms: forward_wait(deadline) };
                    self.ask(node, &request, deadline).await.unwrap_or(RegistryReply::NotLeader(None))
                }
                None => RegistryReply::NotLeader(None),
            };
            match reply {
                RegistryReply::ReadIndex(index) => return Some(index),
                RegistryReply::NotLeader(Some(node)) if Some(node) != self.leader() => hint = Some(node),
                _ => {}
            }
            self.await_news(deadline).await;
        }
        None
    }

    /// Confirms with a majority that this node leads; `None` when it cannot.
    async fn read_index_here(&self, deadline: Instant) -> Option<u64> {
        match timeout_at(deadline, self.inner.raft.get_read_log_id()).await {
            Ok(Ok((read, _))) => Some(read.map_or(0, |id| id.index)),
            Ok(Err(_)) | Err(_) => None,
        }
    }

    async fn ask(
        &self,
        to: NodeId,
        request: &RegistryRequest,
        deadline: Instant,
    ) -> Result<RegistryReply, RpcError> {
        let left = deadline.saturating_duration_since(Instant::now());
        let before = self.leader();
        // A killed leader keeps its connection until the idle timeout: as soon as another one leads, its answer is not waited
        // for. The command may have reached it; its id makes a repetition harmless.
        let answer = tokio::select! {
            answer = self.inner.rpc.request(to, Purpose::Registry, encode(request), left) => answer?,
            leader = self.led_by_another(to, before) => {
                return Err(RpcError::Failed { to, detail: format!("{leader} leads by now") });
            }
        };
        decode(Purpose::Registry, &answer).map_err(|e| RpcError::Failed { to, detail: e.to_string() })
    }

    /// Waits until somebody leads who is neither `to` nor led `before`.
    async fn led_by_another(&self, to: NodeId, before: Option<NodeId>) -> NodeId {
        let mut metrics = self.inner.raft.metrics();
        loop {
            let leader = metrics.borrow().current_leader.map(|peer| peer.0);
            if let Some(leader) = leader.filter(|l| *l != to && Some(*l) != before) {
                return leader;
            }
            if metrics.changed().await.is_err() {
                // The engine has stopped: the request ends by its own limit.
                return std::future::pending().await;
            }
        }
    }

    /// True when this node leads and a majority answered lately. Without this a cut-off leader would take commands and never
    /// answer.
    fn leads(&self) -> bool {
        let profile = self.inner.config.profile;
        self.is_leader() && self.millis_since_quorum().is_some_and(|ms| profile.is_quorum_fresh(ms))
    }

    /// Waits until the engine reports something new, at most a heartbeat: then another attempt makes sense.
    async fn await_news(&self, deadline: Instant) {
        let mut metrics = self.inner.raft.metrics();
        let pause = Instant::now() + self.inner.config.profile.heartbeat();
        // Never busy: metrics of a lively leader change all the time.
        tokio::time::sleep_until(deadline.min(Instant::now() + self.inner.config.profile.heartbeat() / 10))
            .await;
        let _ = timeout_at(deadline.min(pause), metrics.changed()).await;
    }
}

fn forward_wait(deadline: Instant) -> u32 {
    let left = deadline.saturating_duration_since(Instant::now()) * FORWARD_SHARE.0 / FORWARD_SHARE.1;
    u32::try_from(left.as_millis()).unwrap_or(u32::MAX)
}

fn deadline_in(wait_ms: u32) -> Instant {
    Instant::now() + Duration::from_millis(u64::from(wait_ms)).min(FORWARD_WAIT_MAX)
}

/// Reports when the engine stops for another reason than a shutdown.
fn watch_fatal(raft: &Raft, mut stop: watch::Receiver<bool>) -> watch::Receiver<Option<String>> {
    let (report, fatal) = watch::channel(None);
    let mut metrics = raft.metrics();
    tokio::spawn(async move {
        loop {
            let state = metrics.borrow_and_update().running_state.clone();
            let ended = match state {
                Err(e) => Some(e.to_string()),
                Ok(()) => tokio::select! {
                    changed = metrics.changed() => changed.err().map(|_| "the Raft engine ended".to_owned()),
                    // Also when the registry is dropped: nobody is left to be told.
                    _ = stop.changed() => return,
                },
            };
            if let Some(reason) = ended {
                if !*stop.borrow() {
                    tracing::error!(%reason, "registry stopped for good");
                    report.send_replace(Some(reason));
                }
                return;
            }
        }
    });
    fatal
}
