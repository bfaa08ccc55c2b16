//! The task that carries out [`canvass`](crate::canvass): asks the other voters and lets the engine stand, or not.
//!
//! openraft decides when to stand, by its election timeouts; this only says whether it may. Questions begin after the
//! shortest election timeout without a leader and openraft stands after three times that at the earliest, so a leader that is
//! really lost is replaced no later than without them.

use crate::canvass::{Canvass, Hearing};
use crate::config::{Config, Profile};
use crate::log::LogStore;
use crate::message::{RaftReply, RaftRequest, decode, encode};
use crate::rpc::{Rpc, RpcError};
use crate::types::{Peer, Raft, Vote};
use eport_identity::NodeId;
use eport_wire::Purpose;
use openraft::ServerState;
use openraft::raft::VoteRequest;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// The candidacy of one node.
pub(crate) struct Stand {
    pub config: Config,
    pub raft: Raft,
    pub log: LogStore,
    pub rpc: Arc<dyn Rpc>,
}

impl Stand {
    /// Runs until `stop` changes, its sender is dropped, or the engine has stopped.
    pub(crate) async fn run(self, mut stop: watch::Receiver<bool>) {
        let profile = self.config.profile;
        let mut canvass = Canvass::new(self.config.me, profile);
        let mut questions = JoinSet::new();
        let mut may = false;
        loop {
            let Some(hearing) = hearing(&self.raft, profile).await else { return };
            let voters = self.voters();
            let now = Instant::now();
            if canvass.may_stand(now, hearing, &voters) != may {
                may = !may;
                tracing::debug!(may, ?hearing, "standing for election");
                self.raft.runtime_config().elect(may);
            }
            for to in canvass.questions(now, hearing, &voters) {
                questions.spawn(self.question(to));
            }
            tokio::select! {
                _ = stop.changed() => return,
                // A question that panicked counts as one without answer: its patience ends.
                Some(Ok((from, consent))) = questions.join_next() => canvass.answered(from, consent, Instant::now()),
                () = tokio::time::sleep(Canvass::pause(profile)) => {}
            }
        }
    }

    /// The voters of each configuration in force.
    fn voters(&self) -> Vec<BTreeSet<NodeId>> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow();
        let configs = metrics.membership_config.membership().get_joint_config();
        configs.iter().map(|set| set.iter().map(|peer| peer.0).collect()).collect()
    }

    /// Asks one voter, and gives its answer.
    fn question(&self, to: NodeId) -> impl Future<Output = (NodeId, bool)> + Send + 'static {
        let (me, rpc, mut log) = (self.config.me, self.rpc.clone(), self.log.clone());
        let patience = Canvass::patience(self.config.profile);
        let term = self.raft.metrics().borrow().current_term;
        async move {
            // Who cannot read its own log does not stand; the engine reports it.
            let Ok(last_log_id) = log.last().await else { return (to, false) };
            let request =
                RaftRequest::Canvass(VoteRequest { vote: Vote::new(term + 1, Peer(me)), last_log_id });
            let answer = rpc.request(to, Purpose::Raft, encode(&request), patience).await;
            (to, understood(answer))
        }
    }
}

/// A peer that does not know the question runs an older version: it decides at the vote.
fn understood(answer: Result<bytes::Bytes, RpcError>) -> bool {
    let Ok(answer) = answer else { return false };
    match decode(Purpose::Raft, &answer) {
        Ok(RaftReply::Consent(consent)) => consent,
        Ok(RaftReply::Failed(_)) => true,
        Ok(_) | Err(_) => false,
    }
}

/// What the engine knows of a leader now; `None` when it has stopped.
pub(crate) async fn hearing(raft: &Raft, profile: Profile) -> Option<Hearing> {
    let state = raft.with_raft_state(|s| {
        let age = s.vote_last_modified().map(|at| at.elapsed());
        (s.server_state == ServerState::Leader, s.vote_ref().is_committed(), age)
    });
    let (leads, committed, age) = state.await.ok()?;
    if leads {
        let answered = raft.metrics().borrow().millis_since_quorum_ack;
        let fresh = answered.is_some_and(|ms| profile.is_quorum_fresh(ms));
        return Some(if fresh { Hearing::Leads } else { Hearing::Nothing });
    }
    Some(age.filter(|_| committed).map_or(Hearing::Nothing, Hearing::Heard))
}
