//! Document acceptance over HTTP against RocksDB's own group commit of the same bytes.

use crate::documents::Arrivals;
use crate::federation::Federation;
use crate::keepalive::KeepAlive;
use anyhow::{Context, Result, bail};
use eport_store::yardstick::{GroupCommit, group_commit};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Documents in a batch.
pub const BATCH: u64 = 256;
/// Threads of the yardstick.
pub const THREADS: usize = 32;

/// How documents are handed in.
#[derive(Clone, Copy)]
pub struct Load {
    /// Clients at the same time, each with its own connection.
    pub clients: usize,
    /// Documents in one request.
    pub batch: u64,
}

/// One document a request.
pub const SINGLE: Load = Load { clients: 64, batch: 1 };
/// Batches of 256.
pub const BATCHES: Load = Load { clients: 16, batch: BATCH };

/// What a load achieved.
pub struct Achieved {
    /// Acknowledged documents a second.
    pub per_second: f64,
    /// Times of single requests in ms: median and 99th percentile.
    pub latency_ms: (f64, f64),
    /// Processor time of all nodes together, microseconds a document: tells the node's own cost on a busy machine.
    pub cpu_us: f64,
}

/// Hands in documents as fast as they are answered. `next` is the first unused number.
pub async fn run(
    federation: &Federation,
    region: &str,
    load: Load,
    time: Duration,
    arrivals: &Arc<Arrivals>,
    next: &Arc<AtomicU64>,
) -> Result<Achieved> {
    let api = federation.apis()?.into_iter().next().context("a node")?;
    let tls = federation.tls()?;
    let counted = Arc::new(AtomicU64::new(0));
    let (open, over) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..load.clients {
        let mut client = KeepAlive::connect(&api, tls.clone()).await?;
        let (arrivals, next, counted) = (arrivals.clone(), next.clone(), counted.clone());
        let (open, over, region) = (open.clone(), over.clone(), region.to_owned());
        clients.spawn(async move {
            let mut times = Vec::new();
            while !over.load(Ordering::Relaxed) {
                let from = next.fetch_add(load.batch, Ordering::Relaxed);
                let sent = Instant::now();
                hand_in(&mut client, &region, &arrivals, from, load.batch).await?;
                if open.load(Ordering::Relaxed) && !over.load(Ordering::Relaxed) {
                    counted.fetch_add(load.batch, Ordering::Relaxed);
                    times.push(sent.elapsed().as_secs_f64() * 1_000.0);
                }
            }
            anyhow::Ok(times)
        });
    }
    // Connections, caches and the first flush belong to no measurement.
    tokio::time::sleep(time / 4).await;
    open.store(true, Ordering::Relaxed);
    let (begin, cpu) = (Instant::now(), federation.cpu_seconds()?);
    tokio::time::sleep(time).await;
    over.store(true, Ordering::Relaxed);
    let documents = counted.load(Ordering::Relaxed) as f64;
    let per_second = documents / begin.elapsed().as_secs_f64();
    let cpu_us = (federation.cpu_seconds()? - cpu) * 1e6 / documents;
    let mut times = Vec::new();
    while let Some(done) = clients.join_next().await {
        times.extend(done??);
    }
    times.sort_by(f64::total_cmp);
    let latency_ms = (percentile(&times, 50.0), percentile(&times, 99.0));
    Ok(Achieved { per_second, latency_ms, cpu_us })
}

async fn hand_in(
    client: &mut KeepAlive,
    region: &str,
    arrivals: &Arrivals,
    from: u64,
    count: u64,
) -> Result<()> {
    if count == 1 {
        let path = format!("/v1/platforms/{region}/documents");
        let (status, body) = client.post(&path, "application/json", &arrivals.document(from)).await?;
        if status != 201 {
            bail!("document {from}: {status} {}", String::from_utf8_lossy(body));
        }
        return Ok(());
    }
    let path = format!("/v1/platforms/{region}/documents:batch");
    let (status, body) = client.post(&path, "application/x-ndjson", &arrivals.lines(from, count)).await?;
    let stored = body.split(|b| *b == b'\n').filter(|l| is_stored(l)).count() as u64;
    if status != 200 || stored != count {
        let bad = body.split(|b| *b == b'\n').find(|l| !is_stored(l)).unwrap_or_default();
        bail!("batch from {from}: {status}, {stored} of {count} stored: {}", String::from_utf8_lossy(bad));
    }
    Ok(())
}

fn is_stored(line: &[u8]) -> bool {
    line.windows(12).take(40).any(|w| w == b"\"status\":201")
}

/// Hands in documents until `count` more are stored, in batches, as fast as possible.
pub async fn fill(
    federation: &Federation,
    region: &str,
    count: u64,
    arrivals: &Arc<Arrivals>,
    next: &AtomicU64,
) -> Result<()> {
    let api = federation.apis()?.into_iter().next().context("a node")?;
    let tls = federation.tls()?;
    let mut clients = tokio::task::JoinSet::new();
    for part in 0..4 {
        let mut client = KeepAlive::connect(&api, tls.clone()).await?;
        let share = count / 4 + if part == 0 { count % 4 } else { 0 };
        let from = next.fetch_add(share, Ordering::Relaxed);
        let (arrivals, region) = (arrivals.clone(), region.to_owned());
        clients.spawn(async move {
            let mut at = from;
            while at < from + share {
                // A batch of one would be a single document: the last two go together.
                let left = from + share - at;
                let n = if left == BATCH + 1 { BATCH - 1 } else { left.min(BATCH) };
                hand_in(&mut client, &region, &arrivals, at, n).await?;
                at += n;
            }
            anyhow::Ok(())
        });
    }
    while let Some(done) = clients.join_next().await {
        done??;
    }
    Ok(())
}

/// RocksDB's own rate with the same documents in the same folder.
pub fn yardstick(dir: &Path, batch: u64, time: Duration, arrivals: &Arrivals) -> Result<f64> {
    let folder = tempfile::Builder::new().prefix("yardstick-").tempdir_in(dir)?;
    let plan = GroupCommit { threads: THREADS, time, batch: batch as usize };
    Ok(group_commit(folder.path(), plan, |n| arrivals.document(n))?)
}

/// A percentile of sorted values; 0 of none.
pub fn percentile(sorted: &[f64], p: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return 0.0 };
    sorted[((p / 100.0 * sorted.len() as f64).ceil() as usize).saturating_sub(1).min(last)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_a_value_that_was_measured() {
        let values: Vec<f64> = (1..=20).map(f64::from).collect();
        assert_eq!((percentile(&values, 50.0), percentile(&values, 99.0)), (10.0, 20.0));
        assert_eq!(percentile(&[], 99.0), 0.0);
    }
}
