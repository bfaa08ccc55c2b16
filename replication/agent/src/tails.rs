//! Diverged tails between nodes: handed to the new primary, kept there, and the rows that a returning node needs.
//!
//! Always holds: only a tail that the registry has recorded is taken, from a member, under the digest recorded; "held" is said
//! after verification and fsync; rows are given only by the open primary of the epoch asked for, to a node that its placement
//! names. Every question may be repeated; a node that cannot answer now says so.

use crate::node::Agent;
use crate::verification;
use bytes::Bytes;
use eport_consensus::Registry;
use eport_journal::Role;
use eport_model::{Epoch, JournalIndex, NodeId, Position, RegionCode, codec};
use eport_registry::{Op, PlacementState, Tail, TailState};
use eport_store::{Received, SegmentEntry, TailHead, TailInbox, tail_file_name};
use eport_transport::Transport;
use eport_wire::Purpose;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;
use tracing::{debug, info, warn};

/// Bytes of a tail's file in one question.
const PART_LEN: u64 = 1 << 20;
/// Bytes of rows in one answer; a frame of the purpose holds 4 MiB.
const ROWS_LEN: usize = 2 << 20;
/// Keys in one question.
pub(crate) const KEYS_MAX: usize = 512;
/// Bytes of keys in one question.
pub(crate) const KEYS_LEN: usize = 1 << 20;
/// One question must be answered within this time.
const TIMEOUT: Duration = Duration::from_secs(20);
/// How often tails that wait for a decision are offered to whoever is primary by now.
const KEEP_EVERY: Duration = Duration::from_secs(5);
/// How long the registry may take to note that a tail is decided.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);
/// Space that a received tail must leave free.
const FREE_MIN: u64 = 256 << 20;

#[derive(Serialize, Deserialize)]
pub(crate) enum Ask {
    /// Is this tail of a node here, and how much of it?
    Offer { node: NodeId, head: TailHead },
    /// A part of its record file.
    Part { node: NodeId, head: TailHead, offset: u64, bytes: Bytes },
    /// Rows of the state.
    Rows { region: RegionCode, epoch: Epoch, at_least: JournalIndex, keys: Vec<Bytes> },
    /// Something that verification asks.
    Verification(verification::Question),
}

#[derive(Serialize, Deserialize)]
pub(crate) enum Answer {
    /// The whole tail is here, fsynced.
    Held,
    /// So many bytes of it are here.
    Have(u64),
    /// The first rows asked for, as of this applied record.
    Rows { at: Position, rows: Vec<Option<Bytes>> },
    /// Not now, for this reason.
    NotNow(String),
    /// Something that verification asked for.
    Verification(verification::Reply),
}

pub(crate) async fn ask(transport: &Transport, to: NodeId, ask: &Ask) -> Result<Answer, String> {
    let payload = Bytes::from(codec::encode(ask));
    let answer = transport.request(to, Purpose::Tail, payload, TIMEOUT).await.map_err(|e| e.to_string())?;
    if answer.is_empty() {
        return Err("not ready".to_owned());
    }
    match codec::decode_with_limit(&answer, Purpose::Tail.payload_len_max()).map_err(|e| e.to_string())? {
        Answer::NotNow(reason) => Err(reason),
        answer => Ok(answer),
    }
}

/// Hands the tail that `node` exported to `to`; returns once `to` has it whole and fsynced. Goes on where an earlier attempt ended.
pub(crate) async fn upload(
    transport: &Transport,
    node: NodeId,
    manifest: &Path,
    to: NodeId,
) -> Result<(), String> {
    let path = manifest.to_owned();
    let head = blocking(move || TailHead::read(&path)).await?;
    let mut answer = ask(transport, to, &Ask::Offer { node, head: head.clone() }).await?;
    let mut stalled = 0;
    let mut last = None;
    loop {
        let offset = match answer {
            Answer::Held => return Ok(()),
            Answer::Have(bytes) => bytes,
            Answer::Rows { .. } | Answer::NotNow(_) | Answer::Verification(_) => {
                return Err("another answer than asked for".to_owned());
            }
        };
        // Another sender of the same tail may move it on; standing still is what ends an attempt.
        stalled = if last.is_some_and(|l| offset <= l) { stalled + 1 } else { 0 };
        last = Some(offset);
        if stalled > 3 {
            return Err(format!("nothing is taken beyond byte {offset}"));
        }
        let (path, from) = (manifest.to_owned(), head.clone());
        let bytes = blocking(move || from.read_part(&path, offset, PART_LEN)).await?;
        if bytes.is_empty() {
            return Err(format!("the file has nothing at byte {offset}"));
        }
        let part = Ask::Part { node, head: head.clone(), offset, bytes: bytes.into() };
        answer = ask(transport, to, &part).await?;
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, eport_store::Error> + Send + 'static,
) -> Result<T, String> {
    tokio::task::spawn_blocking(work).await.map_err(|e| e.to_string())?.map_err(|e| e.to_string())
}

/// Asks the primary of an epoch for rows; returns as many of the first ones as it gave, with what it had applied.
pub(crate) async fn rows(
    transport: &Transport,
    source: NodeId,
    (region, epoch, at_least): (RegionCode, Epoch, JournalIndex),
    keys: &[Bytes],
) -> Result<(Position, Vec<Option<Bytes>>), String> {
    let question = Ask::Rows { region, epoch, at_least, keys: keys.to_vec() };
    match ask(transport, source, &question).await? {
        Answer::Rows { at, rows }
            if at.epoch == epoch && at.index >= at_least && rows.len() <= keys.len() =>
        {
            if rows.is_empty() && !keys.is_empty() {
                return Err("no row was given".to_owned());
            }
            Ok((at, rows))
        }
        _ => Err("another answer than asked for".to_owned()),
    }
}

/// True when what was asked of the primary of `epoch` has no sense any more.
pub(crate) fn is_over(registry: &Registry, region: RegionCode, epoch: Epoch) -> bool {
    let view = registry.state();
    view.state
        .placement(region)
        .is_none_or(|p| p.epoch != epoch || matches!(p.state, PlacementState::Recovering { .. }))
}

/// Where tails lie on this node, and the order in which parts are taken.
#[derive(Debug)]
pub(crate) struct Tails {
    dir: PathBuf,
    /// One part at a time: two senders of the same tail would write over each other.
    taking: Mutex<()>,
}

impl Tails {
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self { dir, taking: Mutex::new(()) }
    }

    fn inbox(&self, node: NodeId) -> TailInbox {
        TailInbox::new(self.dir.join(node.to_string()))
    }

    /// The manifest of a tail, if it is whole on this node.
    fn manifest(&self, me: NodeId, tail: &Tail) -> Option<PathBuf> {
        let name = tail_file_name(tail.region, &tail.fork, &tail.last);
        let dir = if tail.node == me { self.dir.clone() } else { self.dir.join(tail.node.to_string()) };
        Some(dir.join(name)).filter(|path| path.exists())
    }

    fn take(&self, node: NodeId, head: &TailHead, part: Option<(u64, Bytes)>) -> Answer {
        let _one = self.taking.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let inbox = self.inbox(node);
        let received = match part {
            Some((offset, bytes)) => inbox.take(head, offset, &bytes),
            None => inbox.received(head),
        };
        match received {
            Ok(Received::Whole) => Answer::Held,
            Ok(Received::Bytes(bytes)) => Answer::Have(bytes),
            Err(error) => {
                warn!(%node, region = %head.region, %error, "a tail is not taken");
                Answer::NotNow(error.to_string())
            }
        }
    }
}

impl Agent {
    /// The manifest of a tail that the registry knows, if this node holds the whole tail.
    pub fn tail_manifest(&self, tail: &Tail) -> Option<PathBuf> {
        self.tails().manifest(self.me(), tail)
    }

    /// Takes a part of a tail that an operator brings, at the end of what is here; an empty one asks how much that is. `bytes` is the
    /// length of the whole record file. Blocks on the disk.
    ///
    /// # Errors
    /// In words: the space is too small, or what came does not verify. What does not verify is thrown away.
    pub fn take_carried_tail(
        &self,
        tail: &Tail,
        bytes: u64,
        offset: u64,
        part: Bytes,
    ) -> Result<Received, String> {
        let name = tail_file_name(tail.region, &tail.fork, &tail.last).replace(".json", ".eps");
        let segment = SegmentEntry {
            file: name,
            first: tail.first(),
            last: tail.last.index,
            records: tail.records(),
            bytes,
            sha256: tail.digest,
        };
        let lineage = self.lineage();
        let head = TailHead { lineage, region: tail.region, after: tail.fork, last: tail.last, segment };
        if tail.node == self.me() || self.tail_manifest(tail).is_some() {
            return Ok(Received::Whole);
        }
        if offset == 0 && self.free_bytes().is_some_and(|free| free < bytes.saturating_add(FREE_MIN)) {
            return Err("too little space is free".to_owned());
        }
        match self.tails().take(tail.node, &head, Some((offset, part)).filter(|(_, p)| !p.is_empty())) {
            Answer::Held => Ok(Received::Whole),
            Answer::Have(bytes) => Ok(Received::Bytes(bytes)),
            Answer::NotNow(reason) => Err(reason),
            Answer::Rows { .. } | Answer::Verification(_) => Err("no answer about a tail".to_owned()),
        }
    }

    /// Records that nothing of a tail waits for a decision any more.
    pub async fn resolve_tail(&self, tail: &Tail) -> Result<(), eport_consensus::ProposeError> {
        let op = Op::SetTailState { tail: tail.id(), state: TailState::Resolved };
        let command = self.command("every document of the tail is decided", op);
        self.registry().propose(command, RESOLVE_TIMEOUT).await.map(|_| ())
    }

    /// Answers a peer that returns with a tail.
    pub(crate) async fn serve_tail(self, from: NodeId, payload: Bytes) -> Bytes {
        let answer = match codec::decode_with_limit::<Ask>(&payload, Purpose::Tail.payload_len_max()) {
            Ok(ask) if self.registry().state().state.is_member(from) => self.answer_tail(from, ask).await,
            Ok(_) => Answer::NotNow("the sender is not a member".to_owned()),
            Err(error) => Answer::NotNow(error.to_string()),
        };
        Bytes::from(codec::encode(&answer))
    }

    async fn answer_tail(self, from: NodeId, ask: Ask) -> Answer {
        let (node, head, part) = match ask {
            Ask::Rows { region, epoch, at_least, keys } => {
                return self.answer_rows(from, region, epoch, at_least, keys).await;
            }
            Ask::Verification(question) => return self.answer_verification(from, question).await,
            Ask::Offer { node, head } => (node, head, None),
            Ask::Part { node, head, offset, bytes } => (node, head, Some((offset, bytes))),
        };
        if let Err(reason) = self.expects(node, &head) {
            return Answer::NotNow(reason);
        }
        let (agent, begins) = (self.clone(), part.is_none());
        let taken = tokio::task::spawn_blocking(move || {
            // The node's own tails are here already.
            if node == agent.me() {
                return Answer::Held;
            }
            if begins && agent.free_bytes().is_some_and(|free| free < head.segment.bytes + FREE_MIN) {
                return Answer::NotNow("too little space is free".to_owned());
            }
            let answer = agent.tails().take(node, &head, part);
            if matches!(answer, Answer::Held) && !begins {
                info!(region = %head.region, %node, records = head.segment.records, "diverged tail received");
            }
            answer
        });
        taken.await.unwrap_or_else(|e| Answer::NotNow(e.to_string()))
    }

    /// The registry knows this tail under this digest. A view that lags costs the sender a moment.
    fn expects(&self, node: NodeId, head: &TailHead) -> Result<(), String> {
        let view = self.registry().state();
        let known = view.state.tails().find(|t| {
            t.region == head.region && t.node == node && t.fork == head.after && t.last == head.last
        });
        match known {
            Some(tail) if tail.digest == head.segment.sha256 && head.lineage == self.lineage() => Ok(()),
            Some(_) => Err("the registry knows this tail under another digest".to_owned()),
            None => Err("the registry does not know this tail here yet".to_owned()),
        }
    }

    async fn answer_rows(
        self,
        from: NodeId,
        region: RegionCode,
        epoch: Epoch,
        at_least: JournalIndex,
        keys: Vec<Bytes>,
    ) -> Answer {
        let named = self.registry().state().state.placement(region).is_some_and(|p| p.names(from));
        let handle = self.platform(region).filter(|_| named);
        let Some(handle) = handle else { return Answer::NotNow(format!("no rows of {region} for {from}")) };
        let open = handle.status().borrow().role == Role::Primary { epoch };
        if !open || keys.len() > KEYS_MAX {
            return Answer::NotNow(format!("not the open primary of epoch {epoch}"));
        }
        let read = tokio::task::spawn_blocking(move || handle.store().rows_as_of(&keys, ROWS_LEN)).await;
        match read {
            // Rows as of a record of this epoch: later ones of the same primary only add to them.
            Ok(Ok((at, rows))) if at.epoch == epoch && at.index >= at_least => Answer::Rows { at, rows },
            Ok(Ok((at, _))) => Answer::NotNow(format!("{at} is applied")),
            Ok(Err(error)) => Answer::NotNow(error.to_string()),
            Err(error) => Answer::NotNow(error.to_string()),
        }
    }

    /// Sees to it that whoever is primary holds every tail that waits for a decision and is whole here.
    pub(crate) async fn keep_tails(self) {
        let mut every = tokio::time::interval(KEEP_EVERY);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut held: BTreeSet<(String, NodeId)> = BTreeSet::new();
        loop {
            every.tick().await;
            let due = self.tails_to_offer();
            held.retain(|(id, to)| due.iter().any(|(tail, node, _)| tail.id() == *id && node == to));
            for (tail, to, manifest) in due {
                let key = (tail.id(), to);
                if held.contains(&key) {
                    continue;
                }
                match upload(self.transport(), tail.node, &manifest, to).await {
                    Ok(()) => drop(held.insert(key)),
                    Err(error) => debug!(tail = %key.0, %to, %error, "tail not handed over yet"),
                }
            }
        }
    }

    fn tails_to_offer(&self) -> Vec<(Tail, NodeId, PathBuf)> {
        let view = self.registry().state();
        let waiting = view.state.tails().filter(|t| t.state == TailState::Exported);
        let mut due = Vec::new();
        for tail in waiting {
            let placement = view.state.placement(tail.region);
            let to = placement.filter(|p| p.state == PlacementState::Active).map(|p| p.primary);
            let to = to.filter(|to| *to != self.me() && *to != tail.node);
            if let (Some(to), Some(manifest)) = (to, self.tail_manifest(tail)) {
                due.push((tail.clone(), to, manifest));
            }
        }
        due
    }
}
