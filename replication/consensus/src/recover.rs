//! Quorum lost: what a stopped node's registry holds, and a new one founded from a state. Offline: no engine runs.
//!
//! Always: reading changes nothing; a new registry is written into an empty folder and is whole before anybody opens it: state,
//! one voter, a log that begins behind it. What is decided in between is `eport_registry::recover`'s business.

use crate::Error;
use crate::log::{COMMITTED, PURGED, VOTE};
use crate::machine::{APPLIED, MEMBERSHIP, mark, newest_snapshot};
use crate::types::{Entry, LogId, Membership, Peer, Vote, decode, index_of};
use eport_identity::NodeId;
use eport_model::codec;
use eport_registry::State;
use eport_registry::recover::LogPlace;
use eport_store::RegistryStore;
use openraft::{CommittedLeaderId, EmptyNode, EntryPayload, RaftLogId};
use std::collections::{BTreeMap, BTreeSet};

/// What a stopped node's registry holds.
#[derive(Debug, Clone)]
pub struct Survey {
    /// Term of its last vote.
    pub term: u64,
    /// Last entry whose effects are in the state.
    pub applied: LogPlace,
    /// Last entry known to be committed.
    pub committed: LogPlace,
    /// Last entry held.
    pub last: LogPlace,
    /// Voters of the newest membership held, those of both sides of a change that was not finished.
    pub voters: Vec<NodeId>,
    /// The state at `applied`.
    pub state: State,
    /// Entries behind `applied`.
    tail: Vec<Entry>,
}

fn place(id: &Option<LogId>) -> LogPlace {
    id.map_or(LogPlace::default(), |id| LogPlace { term: id.leader_id.term, index: id.index })
}

/// Reads a registry without changing it. Fails on one that never took part in a federation.
pub fn survey(store: &RegistryStore) -> Result<Survey, Error> {
    let mut applied: Option<LogId> = mark(store, APPLIED)?.flatten();
    let mut membership: Membership = mark(store, MEMBERSHIP)?.unwrap_or_default();
    let mut state = State::from_rows(store.rows()?)?;
    // A snapshot that a crash left newer than the rows counts, as it would at a start.
    if let Some((meta, _, content)) = newest_snapshot(store)?
        && meta.last_log_id > applied
    {
        state = State::from_rows(content.rows.iter().map(|(k, v)| (k, v)))?;
        (applied, membership) = (meta.last_log_id, meta.last_membership);
    }
    let stored = store.log(index_of(&applied).saturating_add(1), u64::MAX, usize::MAX)?;
    let tail =
        stored.iter().map(|(_, bytes)| decode("log entry", bytes)).collect::<Result<Vec<Entry>, _>>()?;
    let mut members = membership.membership().clone();
    for entry in &tail {
        if let EntryPayload::Membership(newer) = &entry.payload {
            members = newer.clone();
        }
    }
    let committed: Option<LogId> = mark(store, COMMITTED)?;
    let last = tail.last().map(|e| *e.get_log_id()).max(applied);
    let vote: Option<Vote> = mark(store, VOTE)?;
    Ok(Survey {
        term: vote.map_or(0, |v| v.leader_id.term),
        applied: place(&applied),
        committed: place(&committed.max(applied)),
        last: place(&last),
        voters: members.voter_ids().map(|p| p.0).collect::<BTreeSet<_>>().into_iter().collect(),
        state,
        tail,
    })
}

impl Survey {
    /// The state with the entries up to this index applied, as every node would have applied them.
    pub fn state_through(&self, index: u64) -> State {
        let mut state = self.state.clone();
        for entry in self.tail.iter().filter(|e| e.get_log_id().index <= index) {
            if let EntryPayload::Normal(batch) = &entry.payload {
                for command in &batch.0 {
                    // What was refused then is refused now: applying is deterministic.
                    let _ = state.apply(command);
                }
            }
        }
        state
    }
}

/// Writes the registry of a new group into an empty store: this state, `me` as its only voter, a log that begins behind
/// `index`. Durable on return.
pub async fn refound(
    store: &RegistryStore,
    me: NodeId,
    state: &State,
    term: u64,
    index: u64,
) -> Result<(), Error> {
    if mark::<Option<LogId>>(store, APPLIED)?.flatten().is_some() || store.last_log()?.is_some() {
        return Err(Error::Raft("the folder of the new registry is not empty".into()));
    }
    let (term, index) = (term.saturating_add(1), index.saturating_add(1));
    let at: LogId = LogId::new(CommittedLeaderId::new(term, Peer(me)), index);
    let voters = vec![BTreeSet::from([Peer(me)])];
    let nodes = BTreeMap::from([(Peer(me), EmptyNode {})]);
    let membership = Membership::new(Some(at), openraft::Membership::new(voters, nodes));
    let rows = state.rows();
    let marks = [
        (APPLIED, codec::encode(&Some(at))),
        (MEMBERSHIP, codec::encode(&membership)),
        (PURGED, codec::encode(&at)),
        (COMMITTED, codec::encode(&at)),
        (VOTE, codec::encode(&Vote::new(term, Peer(me)))),
    ];
    store.replace_rows(rows.iter().map(|(k, v)| (k.as_slice(), v.as_slice())), &marks)?;
    match store.sync().await {
        Ok(synced) => Ok(synced?),
        Err(_) => Err(Error::Raft("the sync thread ended".into())),
    }
}
