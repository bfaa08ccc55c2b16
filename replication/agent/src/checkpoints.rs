//! Checkpoints that this node gives as a primary.
//!
//! Always holds: only the open primary of the epoch asked for gives, only to a node that its placement names; so many at once as
//! configured, and all of them together no faster than configured; a checkpoint that was made survives a restart of either side
//! until it is taken or nobody has asked for it for a while; making one never takes the space that the journal needs.

use crate::node::Agent;
use bytes::Bytes;
use eport_journal::Role;
use eport_model::{Digest, Epoch, JournalIndex, NodeId, RegionCode, codec};
use eport_registry::PlacementState;
use eport_store::{Checkpoint, PlatformStore};
use eport_transport::Transport;
use eport_wire::Purpose;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tracing::{info, warn};

/// One question must be answered within this time; a throttled piece is refused rather than kept for longer.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Longest wait of a piece for its turn under the throttle.
const THROTTLE_MAX: Duration = Duration::from_secs(10);
/// A node that asks for nothing for this long is no longer being sent to.
const SENDING: Duration = Duration::from_secs(20);
/// A checkpoint that nobody has asked for in this time is removed: longer than most links are cut.
const KEEP: Duration = Duration::from_secs(2 * 3_600);
/// One that was taken whole goes sooner: another new backup may want the same.
const KEEP_TAKEN: Duration = Duration::from_secs(600);
/// Space that stays free for the journal.
const FREE_MIN: u64 = 256 << 20;

/// How checkpoints are given.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bootstrap {
    /// Bytes a second over all checkpoints that this node sends; 0 for no limit. Default 64 MiB.
    pub rate_bytes: u64,
    /// Nodes that are sent to at the same time. Default 2.
    pub sends_max: usize,
}

impl Default for Bootstrap {
    fn default() -> Self {
        Self { rate_bytes: 64 << 20, sends_max: 2 }
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) enum Ask {
    /// A checkpoint with every record after `from`. `bad` names one that did not verify.
    Offer { region: RegionCode, epoch: Epoch, from: JournalIndex, bad: Option<Digest> },
    /// One piece of it.
    Piece { region: RegionCode, epoch: Epoch, id: Digest, file: u32, piece: u32 },
    /// It is here, whole.
    Done { region: RegionCode, epoch: Epoch, id: Digest },
}

#[derive(Serialize, Deserialize)]
pub(crate) enum Answer {
    /// What it is.
    Offer(Checkpoint),
    /// The bytes.
    Piece(Bytes),
    /// No such checkpoint is here any more: another one has to be asked for.
    Gone,
    /// Noted.
    Done,
    /// Not now, for this reason.
    NotNow(String),
}

pub(crate) async fn ask(transport: &Transport, to: NodeId, ask: &Ask) -> Result<Answer, String> {
    let payload = Bytes::from(codec::encode(ask));
    let answer =
        transport.request(to, Purpose::Checkpoint, payload, TIMEOUT).await.map_err(|e| e.to_string())?;
    if answer.is_empty() {
        return Err("not ready".to_owned());
    }
    match codec::decode_with_limit(&answer, Purpose::Checkpoint.payload_len_max())
        .map_err(|e| e.to_string())?
    {
        Answer::NotNow(reason) => Err(reason),
        answer => Ok(answer),
    }
}

/// Checkpoints made here.
pub(crate) struct Checkpoints {
    config: Bootstrap,
    /// When the next byte may leave.
    free_at: Mutex<Instant>,
    state: Mutex<Given>,
}

#[derive(Default)]
struct Given {
    made: BTreeMap<(RegionCode, JournalIndex), Made>,
    making: BTreeSet<RegionCode>,
    /// Who is sent to, and when it last asked.
    sending: BTreeMap<(NodeId, RegionCode), Instant>,
}

#[derive(Clone)]
struct Made {
    checkpoint: Arc<Checkpoint>,
    id: Digest,
    dir: PathBuf,
    used: Instant,
    taken: bool,
}

impl Checkpoints {
    pub(crate) fn new(config: Bootstrap) -> Self {
        Self { config, free_at: Mutex::new(Instant::now()), state: Mutex::default() }
    }

    fn hold(&self) -> MutexGuard<'_, Given> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Finds what an earlier run has made for a platform, and removes what it has not finished.
    fn find(&self, region: RegionCode, dir: &std::path::Path) {
        let Ok(entries) = std::fs::read_dir(dir) else { return };
        for entry in entries.flatten() {
            let path = entry.path();
            match Checkpoint::read(&path) {
                Ok(Some(found)) if path.file_name().is_some_and(|n| *n == *found.id().to_string()) => {
                    let (id, used) = (found.id(), Instant::now());
                    let made = Made { id, dir: path, used, taken: false, checkpoint: Arc::new(found) };
                    self.hold().made.insert((region, made.checkpoint.from), made);
                }
                _ => drop(std::fs::remove_dir_all(&path)),
            }
        }
    }

    /// Counts a node among those sent to; `Err` when there are enough of them.
    fn admit(&self, node: NodeId, region: RegionCode) -> Result<(), String> {
        let mut state = self.hold();
        state.sending.retain(|_, at| at.elapsed() < SENDING);
        let others = state.sending.keys().filter(|key| **key != (node, region)).count();
        if others >= self.config.sends_max.max(1) {
            return Err(format!("{others} checkpoints are being sent, more are not at once"));
        }
        state.sending.insert((node, region), Instant::now());
        Ok(())
    }

    /// How long to wait before these bytes may leave.
    fn reserve(&self, bytes: u64) -> Result<Duration, String> {
        if self.config.rate_bytes == 0 {
            return Ok(Duration::ZERO);
        }
        let mut free_at = self.free_at.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let begin = (*free_at).max(now);
        let wait = begin - now;
        if wait > THROTTLE_MAX {
            return Err("the throttle lets nothing more through now".to_owned());
        }
        *free_at = begin + Duration::from_secs_f64(bytes as f64 / self.config.rate_bytes as f64);
        Ok(wait)
    }

    fn get(&self, region: RegionCode, id: Digest) -> Option<Made> {
        let mut state = self.hold();
        let made = state.made.iter_mut().find(|((r, _), m)| *r == region && m.id == id).map(|(_, m)| m)?;
        (made.used, made.taken) = (Instant::now(), false);
        Some(made.clone())
    }

    /// Removes what nobody has asked for in a while, and `bad`.
    fn sweep(&self, bad: Option<Digest>) {
        let mut gone = Vec::new();
        self.hold().made.retain(|_, m| {
            let keep = m.used.elapsed() < if m.taken { KEEP_TAKEN } else { KEEP } && Some(m.id) != bad;
            if !keep {
                gone.push(m.dir.clone());
            }
            keep
        });
        for dir in gone {
            // Best effort: what stays is found at the next start.
            let _ = std::fs::remove_dir_all(dir);
        }
    }
}

impl Agent {
    /// Finds the checkpoints that an earlier run of this node has made.
    pub(crate) fn find_checkpoints(&self, region: RegionCode) {
        self.checkpoints().find(region, &self.data_dir().checkpoints(region));
    }

    /// Removes checkpoints that nobody asks for.
    pub(crate) async fn keep_checkpoints(self) {
        let mut every = tokio::time::interval(Duration::from_secs(60));
        loop {
            every.tick().await;
            let agent = self.clone();
            let _ = tokio::task::spawn_blocking(move || agent.checkpoints().sweep(None)).await;
        }
    }

    /// Answers a backup that takes a checkpoint.
    pub(crate) async fn serve_checkpoint(self, from: NodeId, payload: Bytes) -> Bytes {
        let asked = codec::decode_with_limit::<Ask>(&payload, Purpose::Checkpoint.payload_len_max());
        let answer = match asked {
            Ok(ask) => self.give(from, ask).await.unwrap_or_else(Answer::NotNow),
            Err(error) => Answer::NotNow(error.to_string()),
        };
        Bytes::from(codec::encode(&answer))
    }

    async fn give(self, to: NodeId, ask: Ask) -> Result<Answer, String> {
        match ask {
            Ask::Offer { region, epoch, from, bad } => {
                let store = self.gives(to, region, epoch)?;
                self.checkpoints().admit(to, region)?;
                self.offer(store, from, bad).await
            }
            Ask::Piece { region, epoch, id, file, piece } => {
                self.gives(to, region, epoch)?;
                self.checkpoints().admit(to, region)?;
                let Some(made) = self.checkpoints().get(region, id) else { return Ok(Answer::Gone) };
                let bytes = made.checkpoint.files.get(file as usize).map_or(0, |f| f.piece_len(piece));
                tokio::time::sleep(self.checkpoints().reserve(bytes)?).await;
                let read = blocking(move || made.checkpoint.piece(&made.dir, file, piece)).await;
                match read {
                    Ok(Some(bytes)) => Ok(Answer::Piece(bytes.into())),
                    Ok(None) => Err("there is no such piece".to_owned()),
                    Err(error) => {
                        warn!(%region, %error, "a checkpoint is not as it was made and is dropped");
                        let agent = self.clone();
                        let _ =
                            tokio::task::spawn_blocking(move || agent.checkpoints().sweep(Some(id))).await;
                        Ok(Answer::Gone)
                    }
                }
            }
            Ask::Done { region, epoch, id } => {
                self.gives(to, region, epoch)?;
                let mut given = self.checkpoints().hold();
                given.sending.remove(&(to, region));
                given.made.values_mut().filter(|m| m.id == id).for_each(|m| m.taken = true);
                drop(given);
                info!(%region, %to, id = %id.short(), "checkpoint taken");
                Ok(Answer::Done)
            }
        }
    }

    /// This node is the open primary of the epoch and its placement names the node.
    fn gives(&self, to: NodeId, region: RegionCode, epoch: Epoch) -> Result<PlatformStore, String> {
        let view = self.registry().state();
        let placement = view.state.placement(region);
        let named =
            placement.is_some_and(|p| p.names(to) && !matches!(p.state, PlacementState::Recovering { .. }));
        let handle = self.platform(region).filter(|_| named && view.state.is_member(to));
        let handle = handle.ok_or_else(|| format!("no checkpoint of {region} for {to}"))?;
        let open = handle.status().borrow().role == Role::Primary { epoch };
        if !open {
            return Err(format!("not the open primary of epoch {epoch}"));
        }
        Ok(handle.store().clone())
    }

    async fn offer(
        self,
        store: PlatformStore,
        from: JournalIndex,
        bad: Option<Digest>,
    ) -> Result<Answer, String> {
        let region = store.region();
        let key = (region, from);
        let agent = self.clone();
        let _ = tokio::task::spawn_blocking(move || agent.checkpoints().sweep(bad)).await;
        let found = self.checkpoints().hold().made.get(&key).cloned();
        if let Some(made) = found
            && self.still_good(&store, &made)
        {
            let _ = self.checkpoints().get(region, made.id);
            return Ok(Answer::Offer((*made.checkpoint).clone()));
        }
        if store.applied().index < from {
            return Err(format!("{} is applied", store.applied()));
        }
        if self.checkpoints().hold().making.insert(region) {
            let agent = self.clone();
            tokio::task::spawn_blocking(move || {
                if let Err(error) = agent.make(&store, from) {
                    warn!(%region, error, "no checkpoint could be made");
                }
                agent.checkpoints().hold().making.remove(&region);
            });
        }
        Err("a checkpoint is being made".to_owned())
    }

    /// It is of the journal that is here, and not so old that who takes it is far behind again.
    fn still_good(&self, store: &PlatformStore, made: &Made) -> bool {
        let last = made.checkpoint.last;
        let here = store.position(last.index).ok().flatten() == Some(last);
        let lacks = store.last().index.since(last.index);
        here && made.dir.exists() && lacks < self.journal_limits().slot_records / 2
    }

    fn make(&self, store: &PlatformStore, from: JournalIndex) -> Result<(), String> {
        let region = store.region();
        let dir = self.data_dir().checkpoints(region);
        // Rows are compressed where they lie and not in a checkpoint.
        let needs = store.rows_bytes().saturating_mul(3).saturating_add(FREE_MIN);
        let free = self.free_bytes().unwrap_or(0);
        if free < needs {
            return Err(format!("{free} bytes are free, {needs} are needed"));
        }
        let begin = Instant::now();
        let made = store.make_checkpoint(&dir, from).map_err(|e| e.to_string());
        let (checkpoint, folder) = made.inspect_err(|_| {
            // Its space is given back at once; what stays is removed by the next one.
            let _ = std::fs::remove_dir_all(dir.join("making"));
        })?;
        info!(%region, %from, last = %checkpoint.last, rows = checkpoint.rows, bytes = checkpoint.bytes(),
            seconds = begin.elapsed().as_secs_f64(), "checkpoint made");
        let (id, checkpoint) = (checkpoint.id(), Arc::new(checkpoint));
        let made = Made { checkpoint, id, dir: folder, used: Instant::now(), taken: false };
        let former = self.checkpoints().hold().made.insert((region, from), made);
        if let Some(former) = former {
            let _ = std::fs::remove_dir_all(former.dir);
        }
        Ok(())
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, eport_store::Error> + Send + 'static,
) -> Result<T, String> {
    tokio::task::spawn_blocking(work).await.map_err(|e| e.to_string())?.map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str) -> NodeId {
        name.parse().unwrap()
    }

    #[test]
    fn so_many_nodes_at_once_and_no_more() {
        let checkpoints = Checkpoints::new(Bootstrap { rate_bytes: 0, sends_max: 2 });
        let region = "440300".parse().unwrap();
        for name in ["a", "b", "a"] {
            checkpoints.admit(node(name), region).unwrap();
        }
        assert!(checkpoints.admit(node("c"), region).is_err());
        checkpoints.hold().sending.remove(&(node("a"), region));
        checkpoints.admit(node("c"), region).unwrap();
    }

    #[test]
    fn the_throttle_spaces_pieces_out_and_refuses_a_long_wait() {
        let checkpoints = Checkpoints::new(Bootstrap { rate_bytes: 1 << 20, sends_max: 1 });
        let waits: Vec<f64> = (0..11).map(|_| checkpoints.reserve(1 << 20).unwrap().as_secs_f64()).collect();
        assert!(waits.iter().enumerate().all(|(n, w)| (*w - n as f64).abs() < 0.5), "{waits:?}");
        assert!(checkpoints.reserve(1).is_err(), "{waits:?}");
    }
}
