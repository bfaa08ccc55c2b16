//! Return of an old primary that has applied records nobody else holds: how long, and whether the size of its data matters.

use crate::acceptance::fill;
use crate::documents::Arrivals;
use crate::federation::Federation;
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

const REGION: &str = "440000";
const OLD: &str = "gz-a-1";
const NEW: &str = "gz-c-1";
/// Documents handed in between two looks at the size.
const STEP: u64 = 20_000;
/// Longest return that is waited for.
const PATIENCE: Duration = Duration::from_secs(300);

/// What was measured.
pub struct Rejoin {
    /// Bytes of the platform's folder when the old primary was killed.
    pub bytes: u64,
    /// From the start of its process to its place in the in-sync set.
    pub seconds: f64,
    /// Records of its tail.
    pub records: u64,
}

/// Fills a platform up to about this many bytes on the primary's disk, lets it write `tail` documents alone, moves the platform
/// away from it and brings it back.
pub async fn measure(bin: &Path, dir: &Path, bytes: u64, tail: u64) -> Result<Rejoin> {
    let sites = ["--site", "gz-a=440000:1", "--site", "gz-c=440100:1", "--site", "sz-a=440300:1"];
    let federation = Federation::up(bin, dir, &sites)?;
    federation.wait_in_sync(REGION, 1)?;
    let sync = format!("{NEW}:sync");
    federation.eport(&["platform", "policy", REGION, "--durability", "async", "--backup", &sync])?;
    let data = federation.home().join(OLD).join("data/platform").join(REGION);
    let (arrivals, next) = (Arc::new(Arrivals::new("REJOIN")), AtomicU64::new(1));
    while size(&data)? < bytes {
        fill(&federation, REGION, STEP, &arrivals, &next).await?;
        caught_up(&federation).await?;
    }
    federation.kill(NEW)?;
    fill(&federation, REGION, tail, &arrivals, &next).await?;
    let bytes = size(&data)?;
    federation.kill(OLD)?;
    federation.restart(NEW)?;
    let api = federation.state()?.node(NEW.parse().context("a node id")?)?.api.clone();
    let moved = federation.eport(&[
        "--api",
        &api,
        "platform",
        "failover",
        REGION,
        "--to",
        NEW,
        "--old-primary",
        "stopped",
        "--accept-data-loss",
    ])?;
    ensure!(moved["state"] == "done", "failover: {moved}");
    let client = federation.client(&api)?;
    let (_, begin) = federation.start(OLD)?;
    loop {
        let platform: Value = client.get(&format!("/v1/platforms/{REGION}"), &[]).await?;
        let mut backups = platform["backups"].as_array().into_iter().flatten();
        if backups.any(|b| b["node"] == OLD && b["in_sync"] == true) {
            break;
        }
        ensure!(begin.elapsed() < PATIENCE, "the old primary did not come back: {platform}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let seconds = begin.elapsed().as_secs_f64();
    let tails = federation.eport(&["tail", "list"])?;
    let found = tails["items"].as_array().and_then(|l| l.first()).context("the tail is not listed")?;
    let records = found["records"].as_u64().with_context(|| format!("records of {found}"))?;
    Ok(Rejoin { bytes, seconds, records })
}

/// Waits until the backup holds what the primary does: the fill must not leave it behind.
async fn caught_up(federation: &Federation) -> Result<()> {
    let begin = Instant::now();
    loop {
        let platform = federation.platform(REGION)?;
        let mut backups = platform["backups"].as_array().into_iter().flatten();
        if backups.any(|b| b["node"] == NEW && b["durable"] == platform["records"]) {
            return Ok(());
        }
        ensure!(begin.elapsed() < PATIENCE, "the backup stays behind: {platform}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Bytes of a folder's files. What a running node removes meanwhile is not counted.
fn size(dir: &Path) -> Result<u64> {
    let mut sum = 0;
    for entry in std::fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        let Ok(entry) = entry else { continue };
        match entry.metadata() {
            Ok(meta) if meta.is_dir() => sum += size(&entry.path()).unwrap_or(0),
            Ok(meta) => sum += meta.len(),
            Err(_) => {}
        }
    }
    Ok(sum)
}
