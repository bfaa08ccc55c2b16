//! Journal shipping: a backup that missed records catches up, and one that lost its disk takes a checkpoint, against a bare QUIC
//! stream and the disk.

use crate::acceptance::fill;
use crate::documents::Arrivals;
use crate::federation::Federation;
use anyhow::{Context, Result};
use eport_cluster::wait_for;
use eport_model::{JournalIndex, RegionCode, codec};
use eport_store::{Budget, PlatformStore, Shared};
use eport_tls::Tls;
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

/// Home platform of the primary.
const REGION: &str = "440000";
/// Longest catch-up that is waited for.
const PATIENCE: Duration = Duration::from_secs(300);

/// What was measured.
pub struct Shipping {
    /// Records that the backup had missed.
    pub records: u64,
    /// Encoded length of one record.
    pub record_bytes: f64,
    /// Bytes a second while records flowed.
    pub rate: f64,
    /// From the start of the backup's process to the last record durable there.
    pub seconds: f64,
    /// Bytes of a whole checkpoint.
    pub checkpoint_bytes: u64,
    /// Bytes of it a second, from the first that came until it was installed.
    pub checkpoint_rate: f64,
    /// Bytes a second of one bare stream.
    pub stream: f64,
    /// Bytes a second of the disk.
    pub disk: f64,
}

/// Runs the measurement with this many missed records.
pub async fn measure(bin: &Path, dir: &Path, records: u64) -> Result<Shipping> {
    let federation = Federation::up(bin, dir, &["--site", "gz-a=440000:1", "--site", "gz-c=440100:1"])?;
    federation.wait_in_sync(REGION, 1)?;
    federation.eport(&["platform", "policy", REGION, "--durability", "async"])?;
    federation.kill("gz-c-1")?;
    // Records one by one first, however many are missing.
    shipping(&federation, 1_000_000_000_000).await?;
    let arrivals = Arc::new(Arrivals::new("SHIP"));
    fill(&federation, REGION, records, &arrivals, &AtomicU64::new(1)).await?;
    let (rate, seconds) = catch_up(&federation).await?;
    let (checkpoint_bytes, checkpoint_rate) = bootstrap(&federation).await?;
    let stream = stream(&federation).await?;
    let disk = eport_store::yardstick::sequential_writes(federation.scratch(), Duration::from_secs(3))?;
    federation.stop("gz-a-1").await?;
    let record_bytes = record_bytes(&federation)?;
    let rate = rate * record_bytes;
    Ok(Shipping { records, record_bytes, rate, seconds, checkpoint_bytes, checkpoint_rate, stream, disk })
}

/// Starts the primary again with a limit of records that makes checkpoints, and no throttle.
async fn shipping(federation: &Federation, bootstrap_records: u64) -> Result<()> {
    federation.stop("gz-a-1").await?;
    let section = format!("bootstrap_records = {bootstrap_records}\nbootstrap_rate_kib = 0\n");
    federation.set_shipping("gz-a-1", &section)?;
    let (api, _) = federation.start("gz-a-1")?;
    let client = federation.client(&api)?;
    let begin = Instant::now();
    while client.get::<Value>(&format!("/v1/platforms/{REGION}"), &[]).await.is_err() {
        anyhow::ensure!(begin.elapsed() < PATIENCE, "the primary does not answer");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// Bytes of a checkpoint, and how fast it came and was installed, on a backup that lost its disk.
async fn bootstrap(federation: &Federation) -> Result<(u64, f64)> {
    federation.kill("gz-c-1")?;
    shipping(federation, 1_000).await?;
    std::fs::remove_dir_all(federation.home().join("gz-c-1/data/platform").join(REGION))?;
    let api = federation.apis()?.into_iter().next().context("a node")?;
    let client = federation.client(&api)?;
    let (_, begin) = federation.start("gz-c-1")?;
    let mut first: Option<(Instant, u64, u64)> = None;
    loop {
        let platform: Value = client.get(&format!("/v1/platforms/{REGION}"), &[]).await?;
        let (head, durable) = durable(&platform);
        let taken = &platform["backups"][0]["bootstrap"];
        let now = Instant::now();
        if let (None, Some(bytes), Some(total)) = (first, taken["bytes"].as_u64(), taken["total"].as_u64())
            && bytes > 0
        {
            first = Some((now, bytes, total));
        }
        if let Some((since, bytes, total)) = first.filter(|_| durable >= head && taken.is_null()) {
            let rate = total.saturating_sub(bytes) as f64 / (now - since).as_secs_f64();
            return Ok((total, rate));
        }
        anyhow::ensure!(begin.elapsed() < PATIENCE, "the backup was not seeded: {platform}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Records a second while they flowed, and the whole time from the start of the process.
async fn catch_up(federation: &Federation) -> Result<(f64, f64)> {
    let api = federation.apis()?.into_iter().next().context("a node")?;
    let client = federation.client(&api)?;
    let before = durable(&client.get(&format!("/v1/platforms/{REGION}"), &[]).await?).1;
    let (_, begin) = federation.start("gz-c-1")?;
    let mut first: Option<(Instant, u64)> = None;
    loop {
        let platform: Value = client.get(&format!("/v1/platforms/{REGION}"), &[]).await?;
        let (head, durable) = durable(&platform);
        let now = Instant::now();
        if first.is_none() && durable > before {
            first = Some((now, durable));
        }
        if let Some((since, from)) = first.filter(|_| durable >= head) {
            let rate = (durable - from) as f64 / (now - since).as_secs_f64();
            return Ok((rate, (now - begin).as_secs_f64()));
        }
        anyhow::ensure!(begin.elapsed() < PATIENCE, "the backup did not catch up: {platform}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Records of the primary, and how many of them are durable on the backup.
fn durable(platform: &Value) -> (u64, u64) {
    let backup = platform["backups"].as_array().and_then(|l| l.first());
    (
        platform["records"].as_u64().unwrap_or(u64::MAX),
        backup.and_then(|b| b["durable"].as_u64()).unwrap_or(0),
    )
}

async fn stream(federation: &Federation) -> Result<f64> {
    let home = federation.home();
    let node = home.join("gz-a-1/tls");
    let domain = "gd.eport.example".parse().context("the trust domain of local federations")?;
    let tls =
        Tls::from_files(&node.join("node.crt"), &node.join("node.key"), &home.join("ca/bundle.pem"), domain)?;
    let server = "gz-a-1".parse().context("a node id")?;
    Ok(eport_transport::yardstick::bare_stream(&tls, server, Duration::from_secs(3)).await?)
}

/// Mean encoded length of records in the stopped primary's journal.
fn record_bytes(federation: &Federation) -> Result<f64> {
    let state = federation.state()?;
    let region: RegionCode = REGION.parse().context("a region")?;
    let dir = federation.home().join("gz-a-1/data/platform").join(REGION);
    let shared = Shared::new(Budget::default())?;
    // The process is a zombie a moment before its last thread lets go of the folder.
    let (store, _) = wait_for("the stopped node's folder", Duration::from_secs(10), || {
        PlatformStore::open(&dir, state.lineage, region, &shared).map_err(|e| e.to_string())
    })?;
    let records = store.read(JournalIndex::from_u64(1_000), 1 << 20)?;
    let bytes: usize = records.iter().map(|r| codec::encode(&**r).len()).sum();
    anyhow::ensure!(!records.is_empty(), "the journal holds no record to weigh");
    Ok(bytes as f64 / records.len() as f64)
}
