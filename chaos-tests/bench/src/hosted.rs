//! A node that hosts a province full of cities: what it takes, how soon it is back, and what they suffer from each other.

use crate::federation::Federation;
use crate::report::Row;
use crate::suite::push;
use crate::{fairness, footprint};
use anyhow::Result;
use std::time::Duration;

/// Starts after a kill; the slowest counts.
const STARTS: usize = 3;

/// The prefecture cities of Guangdong.
pub const CITIES: [&str; 21] = [
    "440100", "440200", "440300", "440400", "440500", "440600", "440700", "440800", "440900", "441200",
    "441300", "441400", "441500", "441600", "441700", "441800", "441900", "442000", "445100", "445200",
    "445300",
];

/// One node that hosts them all: what one of them suffers from another is not hidden by a second node.
pub fn cities() -> Vec<&'static str> {
    static AT: std::sync::OnceLock<Vec<String>> = std::sync::OnceLock::new();
    let at = AT.get_or_init(|| CITIES.iter().map(|c| format!("{c}@gz-a")).collect());
    ["--site", "gz-a=440000:1"].into_iter().chain(at.iter().flat_map(|v| ["--virtual", v.as_str()])).collect()
}

/// What such a node takes while nothing happens, and how soon it is back after a kill.
pub async fn idle(federation: &Federation, settle: Duration, rows: &mut Vec<Row>) -> Result<()> {
    let (_, mib) = footprint::idle(federation, settle)?;
    let (platforms, disk) = (CITIES.len() + 1, footprint::disk_mib(&federation.home())?);
    let row = Row {
        what: format!("A node that hosts {platforms} platforms, idle"),
        figure: format!("{mib:.0} MiB resident, {disk:.0} MiB on disk"),
        yardstick: None,
        ratio: None,
        // 512 MiB are for 40 platforms (design §10).
        goal: "≤ 280 MiB resident".into(),
        met: Some(mib <= 280.0),
    };
    push(rows, row);
    let mut slowest = 0.0f64;
    for _ in 0..STARTS {
        slowest = slowest.max(footprint::start_to_ready(federation, "gz-a-1", true).await?);
    }
    let row = Row {
        what: format!(
            "Start to ready of a node that hosts {platforms} platforms, after kill -9, slowest of {STARTS}"
        ),
        figure: format!("{slowest:.0} ms"),
        yardstick: None,
        ratio: None,
        goal: "≤ 1 000 ms".into(),
        met: Some(slowest <= 1_000.0),
    };
    push(rows, row);
    Ok(())
}

/// What one platform suffers from another that floods.
pub async fn fair(federation: &Federation, seconds: f64, rows: &mut Vec<Row>) -> Result<()> {
    let got = fairness::measure(federation, seconds * 2.0).await?;
    let ratio = got.beside.1 / got.alone.1;
    let row = Row {
        what: format!(
            "A quiet platform beside a flooding one on the same node, {} single documents a second",
            fairness::RATE
        ),
        figure: format!(
            "p99 {:.1} ms, p50 {:.1} ms of {} ({:.0} documents/s of the flood stored, {} of its requests refused)",
            got.beside.1, got.beside.0, got.samples.1, got.flood_per_second, got.flood_refused
        ),
        yardstick: Some(format!(
            "alone p99 {:.1} ms, p50 {:.1} ms of {}",
            got.alone.1, got.alone.0, got.samples.0
        )),
        ratio: Some(ratio),
        goal: "p99 ≤ 200 %".into(),
        met: Some(ratio <= 2.0),
    };
    push(rows, row);
    Ok(())
}

/// How the flood is made.
pub fn note() -> String {
    format!(
        "Flood: {} connections that each always have a batch of {} under way and {} with a single document, answered or \
             refused and asked again at once, from a process of its own at a low priority; the quiet platform's documents \
             start by the clock and are timed from when they were due; alone and beside in turns, three times.",
        fairness::FLOOD_BATCHES.0,
        fairness::FLOOD_BATCHES.1,
        fairness::FLOOD_SINGLES
    )
}
