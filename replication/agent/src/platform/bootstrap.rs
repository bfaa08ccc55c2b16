//! Taking a checkpoint, as one platform's task performs it.
//!
//! Always holds: what was taken and verified is kept over restarts of either side and not asked for again; nothing is installed
//! here, the replica decides that once all of it is here; given up only when the epoch is over or the node stops.

use super::{Completion, Task};
use crate::checkpoints::{self, Answer, Ask};
use crate::tails;
use eport_journal::Recovered;
use eport_model::{Digest, Epoch, NodeId, Position, codec};
use eport_store::{CheckpointInbox, Error, Missing, PlatformStore};
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tracing::{info, warn};

/// Pause between attempts.
const RETRY: Duration = Duration::from_millis(500);
/// Most pieces asked for at once: the line is busy while one is written.
const IN_FLIGHT_MAX: usize = 4;
/// Space that stays free here beside the checkpoint.
const FREE_MIN: u64 = 256 << 20;
/// Node-local row that holds what backups have acknowledged.
const ACKED: &[u8] = b"acked";

/// How far a node is that takes a checkpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BootstrapSoft {
    /// Who gives it.
    pub source: NodeId,
    /// `waiting`, `receiving`, `verifying` or `installing`.
    pub state: String,
    /// Why it waits, if it does.
    pub reason: Option<String>,
    /// Bytes that are here.
    pub bytes: u64,
    /// Bytes of the whole; 0 while not known.
    pub total: u64,
    /// Bytes a second since it began or went on.
    pub rate: u64,
}

/// The progress that the task tells and its worker writes.
pub(crate) type Shown = Arc<Mutex<Option<BootstrapSoft>>>;

pub(crate) fn show(shown: &Shown, change: impl FnOnce(&mut Option<BootstrapSoft>)) {
    change(&mut shown.lock().unwrap_or_else(PoisonError::into_inner));
}

impl Task {
    /// Begins to take a checkpoint, or goes on; an earlier attempt ends.
    pub(super) fn bootstrap(&mut self, source: NodeId, epoch: Epoch, from: Position) {
        info!(region = %self.region, %source, %from, "this node takes a checkpoint");
        let job = Bootstrap {
            context: self.context.clone(),
            store: self.store.clone(),
            source,
            epoch,
            shown: self.bootstrapping.clone(),
        };
        job.show("waiting", None);
        let tx = self.done_tx.clone();
        let work = tokio::spawn(async move {
            let last = job.run().await;
            let _ = tx.send(Completion::CheckpointHere { last });
        });
        if let Some(former) = self.bootstrap_job.replace(work.abort_handle()) {
            former.abort();
        }
    }

    pub(super) fn install_checkpoint(&mut self) {
        show(&self.bootstrapping, |shown| {
            if let Some(shown) = shown {
                shown.state = "installing".to_owned();
            }
        });
        let (store, tx) = (self.store.clone(), self.done_tx.clone());
        let done = Box::new(move |found: Result<eport_store::Recovered, Error>| {
            let completion = match found.and_then(|found| recovered(&store, found)) {
                Ok(recovered) => Completion::Installed(Box::new(recovered)),
                Err(error) => Completion::Failed { operation: "install checkpoint", error },
            };
            let _ = tx.send(completion);
        });
        self.submit(eport_store::Op::Install(done));
    }

    pub(super) fn note_acked(&self, acked: &eport_journal::Acked) {
        let (store, bytes) = (self.store.clone(), codec::encode(acked));
        tokio::task::spawn_blocking(move || {
            if let Err(error) = store.local_put(ACKED, &bytes) {
                warn!(region = %store.region(), %error, "what backups acknowledged could not be noted");
            }
        });
    }
}

/// What a replica needs to know of a store that was opened, or into which a checkpoint was installed.
pub(crate) fn recovered(store: &PlatformStore, found: eport_store::Recovered) -> Result<Recovered, Error> {
    let last = store.header(found.last.index)?;
    // A note that cannot be read is evidence lost, nothing more.
    let acked = store.local_get(ACKED)?.and_then(|bytes| codec::decode(&bytes).ok());
    Ok(Recovered {
        history: found.history,
        last: found.last,
        last_time: found.last_time,
        sealed: found.sealed,
        applied: found.applied,
        unresolved: found.unresolved,
        rewind: store.rewind_mark()?.map(|m| eport_journal::Rewind { at: m.at }),
        lineage: last.map(|(header, _)| header.lineage),
        acked,
    })
}

/// One bootstrap.
struct Bootstrap {
    context: Arc<super::Context>,
    store: PlatformStore,
    source: NodeId,
    epoch: Epoch,
    shown: Shown,
}

/// How many pieces are asked for at once.
///
/// Under a slow throttle the source lets few requests wait and refuses the rest. Those that are asked for together arrive in any
/// order: were the refused one the next that is needed, what the others have waited for would be given up, again and again.
/// After a refusal fewer are asked for, down to one, which always gets on; a whole file without one raises it again.
#[derive(Debug)]
struct Width(usize);

impl Default for Width {
    fn default() -> Self {
        Self(IN_FLIGHT_MAX)
    }
}

impl Width {
    fn pieces(&self) -> usize {
        self.0
    }

    fn refused(&mut self) {
        self.0 = (self.0 / 2).max(1);
    }

    fn taken(&mut self) {
        self.0 = (self.0 * 2).min(IN_FLIGHT_MAX);
    }
}

/// Why an attempt ended.
enum Trouble {
    /// It may go better the next time.
    NotNow(String),
    /// What the source gave does not verify.
    Bad(Digest, String),
}

impl Bootstrap {
    async fn run(self) -> Option<Position> {
        let region = self.store.region();
        let mut bad = None;
        let mut width = Width::default();
        loop {
            let view = self.context.registry.state();
            let named = view.state.placement(region).is_some_and(|p| p.names(self.context.me));
            drop(view);
            let over = !named || tails::is_over(&self.context.registry, region, self.epoch);
            if over || self.context.stop.is_cancelled() {
                show(&self.shown, |shown| *shown = None);
                return None;
            }
            match self.attempt(bad.take(), &mut width).await {
                Ok(last) => {
                    info!(%region, %last, "checkpoint is here, whole and verified");
                    return Some(last);
                }
                Err(Trouble::NotNow(reason)) => {
                    tracing::debug!(%region, source = %self.source, reason, "checkpoint waits");
                    width.refused();
                    self.show("waiting", Some(reason));
                }
                Err(Trouble::Bad(id, error)) => {
                    warn!(%region, source = %self.source, error, "a part of the checkpoint does not verify; another is asked for");
                    self.show("waiting", Some(error));
                    bad = Some(id);
                }
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    async fn attempt(&self, bad: Option<Digest>, width: &mut Width) -> Result<Position, Trouble> {
        let inbox = Arc::new(self.inbox(bad).await?);
        let manifest = inbox.manifest().clone();
        let (id, total) = (manifest.id(), manifest.bytes());
        let (begin, before) = (Instant::now(), blocking_io(&inbox, |i| Ok(i.bytes_here())).await?);
        let mut here = before;
        let judged = |error: Error| match error {
            Error::Damaged { .. } => Trouble::Bad(id, error.to_string()),
            other => Trouble::NotNow(other.to_string()),
        };
        while let Some(next) = run_on(&inbox, CheckpointInbox::missing).await?.map_err(judged)? {
            let Some(file) = manifest.files.get(next.file as usize) else { break };
            let pieces = next.piece..file.pieces.len() as u32;
            let asked = pieces.map(|piece| self.piece(id, Missing { file: next.file, piece }));
            let mut pieces = futures::stream::iter(asked).buffered(width.pieces());
            while let Some(answer) = pieces.next().await {
                let (at, bytes) = match answer {
                    Ok(piece) => piece,
                    Err(PieceError::Gone) => {
                        // The source has made another one since, or lost it.
                        self.forget().await?;
                        return Err(Trouble::NotNow("the source has that checkpoint no more".to_owned()));
                    }
                    Err(PieceError::NotNow(reason)) => return Err(Trouble::NotNow(reason)),
                };
                here += bytes.len() as u64;
                run_on(&inbox, move |inbox| inbox.take(at, &bytes)).await?.map_err(judged)?;
                let rate = (here - before) as f64 / begin.elapsed().as_secs_f64().max(0.001);
                self.progress("receiving", here, total, rate as u64);
            }
            width.taken();
        }
        let rate = (here - before) as f64 / begin.elapsed().as_secs_f64().max(0.001);
        self.progress("verifying", here, total, rate as u64);
        let last = run_on(&inbox, CheckpointInbox::verify).await?.map_err(judged)?;
        let done = Ask::Done { region: self.store.region(), epoch: self.epoch, id };
        // Only frees a place at the source; it forgets by itself too.
        let _ = checkpoints::ask(&self.context.transport, self.source, &done).await;
        Ok(last)
    }

    /// What was begun before and still fits, or what the source offers.
    async fn inbox(&self, bad: Option<Digest>) -> Result<CheckpointInbox, Trouble> {
        let store = self.store.clone();
        let found = blocking(move || match CheckpointInbox::resume(&store)? {
            Some(inbox) if inbox.still_fits() && Some(inbox.manifest().id()) != bad => Ok(Some(inbox)),
            Some(inbox) => inbox.drop_all().map(|()| None),
            None => Ok(None),
        });
        if let Some(inbox) = found.await? {
            return Ok(inbox);
        }
        let (region, from) = (self.store.region(), self.store.last().index);
        let offer = Ask::Offer { region, epoch: self.epoch, from, bad };
        let answer = checkpoints::ask(&self.context.transport, self.source, &offer).await;
        let Answer::Offer(manifest) = answer.map_err(Trouble::NotNow)? else {
            return Err(Trouble::NotNow("another answer than asked for".to_owned()));
        };
        let needs = manifest.bytes().saturating_mul(2).saturating_add(FREE_MIN);
        if let Some(free) = (self.context.free)()
            && free < needs
        {
            return Err(Trouble::NotNow(format!("{free} bytes are free here, {needs} are needed")));
        }
        let store = self.store.clone();
        blocking(move || CheckpointInbox::begin(&store, manifest)).await
    }

    async fn forget(&self) -> Result<(), Trouble> {
        let store = self.store.clone();
        blocking(move || CheckpointInbox::resume(&store)?.map_or(Ok(()), CheckpointInbox::drop_all)).await
    }

    async fn piece(&self, id: Digest, at: Missing) -> Result<(Missing, bytes::Bytes), PieceError> {
        let (region, epoch) = (self.store.region(), self.epoch);
        let question = Ask::Piece { region, epoch, id, file: at.file, piece: at.piece };
        match checkpoints::ask(&self.context.transport, self.source, &question).await {
            Ok(Answer::Piece(bytes)) => Ok((at, bytes)),
            Ok(Answer::Gone) => Err(PieceError::Gone),
            Ok(_) => Err(PieceError::NotNow("another answer than asked for".to_owned())),
            Err(reason) => Err(PieceError::NotNow(reason)),
        }
    }

    fn show(&self, state: &str, reason: Option<String>) {
        let source = self.source;
        show(&self.shown, |shown| {
            let (bytes, total) = shown.as_ref().map_or((0, 0), |s| (s.bytes, s.total));
            *shown = Some(BootstrapSoft { source, state: state.to_owned(), reason, bytes, total, rate: 0 });
        });
    }

    fn progress(&self, state: &str, bytes: u64, total: u64, rate: u64) {
        let (source, state) = (self.source, state.to_owned());
        show(&self.shown, |shown| {
            *shown =
                Some(BootstrapSoft { source, state, reason: None, bytes: bytes.min(total), total, rate });
        });
    }
}

enum PieceError {
    Gone,
    NotNow(String),
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Trouble> {
    let done = tokio::task::spawn_blocking(work).await.map_err(|e| Trouble::NotNow(e.to_string()))?;
    done.map_err(|e| Trouble::NotNow(e.to_string()))
}

async fn blocking_io<T: Send + 'static>(
    inbox: &Arc<CheckpointInbox>,
    work: impl FnOnce(&CheckpointInbox) -> Result<T, Error> + Send + 'static,
) -> Result<T, Trouble> {
    run_on(inbox, work).await?.map_err(|e| Trouble::NotNow(e.to_string()))
}

async fn run_on<T: Send + 'static>(
    inbox: &Arc<CheckpointInbox>,
    work: impl FnOnce(&CheckpointInbox) -> Result<T, Error> + Send + 'static,
) -> Result<Result<T, Error>, Trouble> {
    let inbox = inbox.clone();
    tokio::task::spawn_blocking(move || work(&inbox)).await.map_err(|e| Trouble::NotNow(e.to_string()))
}
