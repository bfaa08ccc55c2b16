//! Return with a diverged tail, as one platform's task performs it: make the tail known, hand it over, take rows, note the end.
//!
//! Always holds: the marks in the store are written before what they announce; a rewind is given up only when its epoch is over,
//! and then says so, so that the replica starts again.

use super::{Completion, REGISTRY_TIMEOUT, Task};
use crate::steps;
use crate::tails::{self, KEYS_LEN, KEYS_MAX};
use bytes::Bytes;
use eport_model::{Effect, Epoch, JournalIndex, NodeId, Position, USAGE_KEY};
use eport_store::{Error, PlatformStore, TailManifest, read_tail};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tracing::{info, warn};

/// Pause between attempts of the same question.
const RETRY: Duration = Duration::from_millis(200);
/// Longest pause between attempts to hand a tail over.
const RETRY_MAX: Duration = Duration::from_secs(5);
/// Groups of keys that wait to be asked for.
const GROUPS: usize = 4;

impl Task {
    /// Makes an exported tail known to the registry, repeated until it is; then the replica may go on.
    pub(super) fn report_tail(&self, after: JournalIndex, tail: TailManifest) {
        let (context, region, tx) = (self.context.clone(), self.region, self.done_tx.clone());
        info!(%region, records = tail.segment.records, digest = %tail.segment.sha256, "diverged tail exported");
        let op = eport_registry::Op::RecordTail(eport_registry::Tail {
            region,
            epoch: tail.last.epoch,
            fork: tail.after,
            last: tail.last,
            node: context.me,
            digest: tail.segment.sha256,
            // Without a document there is nothing to decide.
            state: if tail.documents.iter().any(|d| d.body.is_some()) {
                eport_registry::TailState::Exported
            } else {
                eport_registry::TailState::Resolved
            },
            discarded: Vec::new(),
            at: context.clock.wall(),
        });
        let command =
            steps::node_command(context.home, context.me, context.clock.wall(), "diverged tail exported", op);
        tokio::spawn(async move {
            while !context.stop.is_cancelled() {
                eport_failpoint::point!("node.RecordTail.before", region);
                let recorded = context.registry.propose(command.clone(), REGISTRY_TIMEOUT).await;
                eport_failpoint::point!("node.RecordTail.after", region);
                match recorded {
                    Ok(_) => {
                        let _ = tx.send(Completion::TailRecorded { after });
                        return;
                    }
                    Err(error) => {
                        warn!(%region, %error, "tail not recorded yet; nothing is cut before it is")
                    }
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
    }

    /// Hands the tail exported last to `to`, until it holds it or another hand-over is asked for.
    pub(super) fn upload_tail(&mut self, after: JournalIndex, to: NodeId) {
        let Some(tail) = self.tail.clone().filter(|t| t.after.index == after) else {
            // Only an export makes the replica ask.
            warn!(region = %self.region, %after, "no exported tail begins here");
            return;
        };
        let (context, region, tx) = (self.context.clone(), self.region, self.done_tx.clone());
        let manifest = context.tails.join(tail.file_name());
        let work = tokio::spawn(async move {
            // A receiver without space or link may stay so for hours: its answer is not asked for, and told, five times a second.
            let mut pause = RETRY;
            while !context.stop.is_cancelled() {
                eport_failpoint::point!("tail.upload.before", region);
                let uploaded = tails::upload(&context.transport, context.me, &manifest, to).await;
                eport_failpoint::point!("tail.upload.after", region);
                match uploaded {
                    Ok(()) => {
                        info!(%region, %to, "diverged tail handed over");
                        let _ = tx.send(Completion::TailUploaded { after, to });
                        return;
                    }
                    Err(error) => {
                        warn!(%region, %to, %error, "tail not handed over yet; nothing is removed before it is")
                    }
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(RETRY_MAX);
            }
        });
        if let Some(former) = self.upload.replace(work.abort_handle()) {
            former.abort();
        }
    }

    /// Puts back the rows that the tail has written.
    pub(super) fn rewind(&self, after: Position, source: NodeId, epoch: Epoch) {
        let tail = self.tail.as_ref().filter(|t| t.after.index == after.index).map(|t| t.file_name());
        let job = Rewind { context: self.context.clone(), store: self.store.clone(), source, epoch };
        let (tx, region) = (self.done_tx.clone(), self.region);
        info!(%region, %after, %source, %epoch, "rows of a diverged tail are put back");
        tokio::spawn(async move {
            let completion = match job.run(after.index, tail).await {
                Ok(at) => Completion::Rewound { at },
                Err(error) => Completion::Failed { operation: "rewind", error },
            };
            let _ = tx.send(completion);
        });
    }

    /// Every row is whole: the note is not needed any more.
    pub(super) fn end_rewind(&self, at: Position) {
        let (store, tx, region) = (self.store.clone(), self.done_tx.clone(), self.region);
        tokio::task::spawn_blocking(move || match store.end_rewind(at) {
            Ok(()) => info!(%region, applied = %store.applied().index, "rows are whole again"),
            Err(error) => drop(tx.send(Completion::Failed { operation: "end rewind", error })),
        });
    }
}

/// One rewind.
struct Rewind {
    context: Arc<super::Context>,
    store: PlatformStore,
    source: NodeId,
    epoch: Epoch,
}

impl Rewind {
    /// The newest position as of which rows were taken; `None` when the epoch ended before all were here.
    async fn run(self, after: JournalIndex, tail: Option<String>) -> Result<Option<Position>, Error> {
        let store = self.store.clone();
        let mark = blocking(move || store.begin_rewind(after, tail.as_deref())).await?;
        let files = mark.tails.iter().map(|name| self.context.tails.join(name)).collect();
        let (tx, mut groups) = mpsc::channel(GROUPS);
        let reader = tokio::task::spawn_blocking(move || send_keys(files, &tx));
        let at_least = self.store.applied().index;
        let mut newest: Option<Position> = None;
        let mut count = 0;
        while let Some(group) = groups.recv().await {
            count += group.len();
            let Some(at) = self.group(group, at_least).await? else { return Ok(None) };
            newest = newest.filter(|n| n.index > at.index).or(Some(at));
        }
        reader.await.map_err(|_| Error::Stopped)??;
        // A tail that wrote no row still waits for what the source has applied.
        let at = match newest {
            Some(at) => Some(at),
            None => self.group(Vec::new(), at_least).await?,
        };
        if let Some(at) = at {
            let store = self.store.clone();
            blocking(move || store.rows_taken(at)).await?;
            info!(region = %self.store.region(), rows = count, %at, "rows of the tail were taken");
        }
        Ok(at)
    }

    /// Takes one group of rows, in as many answers as the source needs.
    async fn group(&self, mut keys: Vec<Bytes>, at_least: JournalIndex) -> Result<Option<Position>, Error> {
        let mut newest: Option<Position> = None;
        loop {
            let Some((at, rows)) = self.ask(&keys, at_least).await else { return Ok(None) };
            let rest = keys.split_off(rows.len());
            let taken: Vec<(Bytes, Option<Bytes>)> =
                std::mem::replace(&mut keys, rest).into_iter().zip(rows).collect();
            let store = self.store.clone();
            blocking(move || store.put_rows(&taken)).await?;
            newest = newest.filter(|n| n.index > at.index).or(Some(at));
            if keys.is_empty() {
                return Ok(newest);
            }
        }
    }

    async fn ask(&self, keys: &[Bytes], at_least: JournalIndex) -> Option<(Position, Vec<Option<Bytes>>)> {
        let region = self.store.region();
        loop {
            if self.context.stop.is_cancelled() || tails::is_over(&self.context.registry, region, self.epoch)
            {
                return None;
            }
            let wanted = (region, self.epoch, at_least);
            match tails::rows(&self.context.transport, self.source, wanted, keys).await {
                Ok(answer) => return Some(answer),
                Err(error) => warn!(%region, source = %self.source, %error, "rows were not given yet"),
            }
            tokio::time::sleep(RETRY).await;
        }
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.map_err(|_| Error::Stopped)?
}

/// Sends the keys of every row that these tails have written, in bounded groups. A row written in two groups is asked for twice.
fn send_keys(tails: Vec<PathBuf>, groups: &mpsc::Sender<Vec<Bytes>>) -> Result<(), Error> {
    // The counters of what came in are written with whatever was applied, by no effect.
    let (mut keys, mut bytes) = (BTreeSet::from([Bytes::from_static(USAGE_KEY)]), USAGE_KEY.len());
    for tail in tails {
        read_tail(&tail, |record| {
            for key in record.effects.iter().map(Effect::key) {
                if keys.contains(key) {
                    continue;
                }
                if keys.len() >= KEYS_MAX || bytes + key.len() > KEYS_LEN {
                    send(&mut keys, groups)?;
                    bytes = 0;
                }
                bytes += key.len();
                keys.insert(key.clone());
            }
            Ok(())
        })?;
    }
    send(&mut keys, groups)
}

fn send(keys: &mut BTreeSet<Bytes>, groups: &mpsc::Sender<Vec<Bytes>>) -> Result<(), Error> {
    // The other end goes away only when the rewind was given up.
    groups.blocking_send(std::mem::take(keys).into_iter().collect()).map_err(|_| Error::Stopped)
}
