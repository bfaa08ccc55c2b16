//! The measures in their order, and the goals they are held against.

use crate::acceptance::{self, BATCH, BATCHES, Load, SINGLE, percentile};
use crate::documents::Arrivals;
use crate::federation::Federation;
use crate::report::Row;
use crate::{Plan, footprint, moves, shipping};
use anyhow::Result;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

/// Rounds of acceptance; the median counts.
const ROUNDS: usize = 3;
/// Records that a backup misses.
const MISSED: u64 = 200_000;
/// Planned switchovers.
const SWITCHOVERS: usize = 24;
/// Failovers.
const FAILOVERS: usize = 5;
/// Documents a second during moves.
const MOVE_RATE: u64 = 1_000;
/// Documents of the node that starts.
const START_DOCUMENTS: u64 = 100_000;
/// Starts of each kind; the slowest counts.
const STARTS: usize = 3;
/// Time without a request before memory is read.
const SETTLE: Duration = Duration::from_secs(15);

/// Runs every measure the plan wants. What was measured so far is told on stderr.
pub async fn run(plan: &Plan) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    if plan.wants("acceptance") {
        let done = accept(plan, &["--site", "gz-a=440000:1"], "one node, async", true, &mut rows).await;
        keep("Acceptance, one node", done, &mut rows);
    }
    if plan.wants("replicated") {
        let sites = ["--site", "gz-a=440000:1", "--site", "gz-c=440100:1"];
        let done = accept(plan, &sites, "two nodes, sync, k = 1", false, &mut rows).await;
        keep("Acceptance, two nodes", done, &mut rows);
    }
    if plan.wants("shipping") {
        let done = ship(plan, &mut rows).await;
        keep("Journal shipping", done, &mut rows);
    }
    if plan.wants("idle") || plan.wants("moves") {
        let federation = Federation::up(&plan.bin, &plan.dir, &[])?;
        if plan.wants("idle") {
            let done = idle(&federation, &mut rows);
            keep("Idle memory", done, &mut rows);
        }
        if plan.wants("moves") {
            let done = switch(&federation, &mut rows);
            keep("Planned switchover", done, &mut rows);
            let done = fail_over(&federation, &mut rows);
            keep("Failover", done, &mut rows);
        }
    }
    if plan.wants("start") {
        let done = start(plan, &mut rows).await;
        keep("Start to ready", done, &mut rows);
    }
    Ok(rows)
}

/// A measure that could not be taken is a row of its own: the others still count, and nobody takes silence for success.
fn keep(what: &str, done: Result<()>, rows: &mut Vec<Row>) {
    if let Err(error) = done {
        let row = Row {
            what: what.to_owned(),
            figure: format!("could not be measured: {}", format!("{error:#}").replace(['|', '\n'], " ")),
            yardstick: None,
            ratio: None,
            goal: "a figure".into(),
            met: Some(false),
        };
        push(rows, row);
    }
}

fn push(rows: &mut Vec<Row>, row: Row) {
    eprintln!("{}: {} (yardstick {:?}, ratio {:?})", row.what, row.figure, row.yardstick, row.ratio);
    rows.push(row);
}

async fn accept(plan: &Plan, sites: &[&str], how: &str, binding: bool, rows: &mut Vec<Row>) -> Result<()> {
    let federation = Federation::up(&plan.bin, &plan.dir, sites)?;
    if !binding {
        federation.wait_in_sync("440000", 1)?;
    }
    let (arrivals, next) = (Arc::new(Arrivals::new("BENCH")), Arc::new(AtomicU64::new(1)));
    let time = Duration::from_secs_f64(plan.seconds);
    for load in [SINGLE, BATCHES] {
        let mut rounds = Vec::new();
        for _ in 0..ROUNDS {
            let yard = acceptance::yardstick(&plan.dir, load.batch, time, &arrivals)?;
            let got = acceptance::run(&federation, "440000", load, time, &arrivals, &next).await?;
            eprintln!("  {how}, {} a request: {:.0}/s, RocksDB {yard:.0}/s", load.batch, got.per_second);
            eprintln!("    {:.0} µs of processor a document", got.cpu_us);
            rounds.push((got, yard));
        }
        rounds.sort_by(|a, b| (a.0.per_second / a.1).total_cmp(&(b.0.per_second / b.1)));
        let (got, yard) = rounds.swap_remove(ROUNDS / 2);
        push(rows, acceptance_row(how, binding, load, &got, yard));
    }
    Ok(())
}

fn acceptance_row(how: &str, binding: bool, load: Load, got: &acceptance::Achieved, yard: f64) -> Row {
    let ratio = got.per_second / yard;
    let (form, goal, met) = match load.batch {
        1 => ("single documents", "≥ 50 %", ratio >= 0.5),
        _ => ("batches of 256", "≥ 50 % or ≥ 30 000/s", ratio >= 0.5 || got.per_second >= 30_000.0),
    };
    Row {
        what: format!("Acceptance, {how}, {form}, {} clients", load.clients),
        figure: format!(
            "{:.0}/s (request p50 {:.1} ms, p99 {:.1} ms; {:.0} µs of processor a document)",
            got.per_second, got.latency_ms.0, got.latency_ms.1, got.cpu_us
        ),
        yardstick: Some(format!("RocksDB group commit {yard:.0}/s")),
        ratio: Some(ratio),
        goal: if binding { goal.into() } else { "recorded".into() },
        met: binding.then_some(met),
    }
}

async fn ship(plan: &Plan, rows: &mut Vec<Row>) -> Result<()> {
    let s = shipping::measure(&plan.bin, &plan.dir, MISSED).await?;
    let mb = |bytes: f64| bytes / 1e6;
    let lower = s.stream.min(s.disk);
    let row = Row {
        what: format!("Journal shipping, a backup catches up {} records", s.records),
        figure: format!(
            "{:.0} MB/s ({:.0} bytes a record; {:.1} s from process start)",
            mb(s.rate),
            s.record_bytes,
            s.seconds
        ),
        yardstick: Some(format!("stream {:.0} MB/s, disk {:.0} MB/s", mb(s.stream), mb(s.disk))),
        ratio: Some(s.rate / lower),
        goal: "≥ 70 % of the lower".into(),
        met: Some(s.rate / lower >= 0.7),
    };
    push(rows, row);
    let row = Row {
        what: "Bootstrap, a backup without a disk takes a checkpoint and installs it".into(),
        figure: format!("{:.0} MB/s ({:.0} MB)", mb(s.checkpoint_rate), mb(s.checkpoint_bytes as f64)),
        yardstick: Some(format!("stream {:.0} MB/s, disk {:.0} MB/s", mb(s.stream), mb(s.disk))),
        ratio: Some(s.checkpoint_rate / lower),
        goal: "≥ 60 % of the lower".into(),
        met: Some(s.checkpoint_rate / lower >= 0.6),
    };
    push(rows, row);
    Ok(())
}

fn idle(federation: &Federation, rows: &mut Vec<Row>) -> Result<()> {
    let (node, mib) = footprint::idle(federation, SETTLE)?;
    let row = Row {
        what: "Idle memory, default federation of `dev up`, largest node".into(),
        figure: format!("{mib:.1} MiB ({node})"),
        yardstick: None,
        ratio: None,
        goal: "≤ 64 MiB".into(),
        met: Some(mib <= 64.0),
    };
    push(rows, row);
    Ok(())
}

fn switch(federation: &Federation, rows: &mut Vec<Row>) -> Result<()> {
    let pauses = moves::switchovers(federation, SWITCHOVERS, MOVE_RATE)?;
    let sorted = |of: fn(&eport_cli::demo::reconcile::Pause) -> f64| {
        let mut v: Vec<f64> = pauses.iter().map(of).collect();
        v.sort_by(f64::total_cmp);
        (percentile(&v, 50.0), percentile(&v, 99.0))
    };
    let (pause, slowest) = (sorted(|p| p.write_pause_ms), sorted(|p| p.slowest_ms));
    let failed: u64 = pauses.iter().map(|p| p.failed_attempts).sum();
    let row = Row {
        what: format!("Planned switchover, write pause, {SWITCHOVERS} at {MOVE_RATE} documents/s"),
        figure: format!(
            "p50 {:.0} ms, p99 {:.0} ms (slowest document p50 {:.0} ms, p99 {:.0} ms; {failed} failed attempts)",
            pause.0, pause.1, slowest.0, slowest.1
        ),
        yardstick: None,
        ratio: None,
        goal: "p99 ≤ 200 ms".into(),
        met: Some(pause.1 <= 200.0),
    };
    push(rows, row);
    Ok(())
}

fn fail_over(federation: &Federation, rows: &mut Vec<Row>) -> Result<()> {
    let mut back = moves::failovers(federation, FAILOVERS, 200)?;
    back.sort_by(f64::total_cmp);
    let row = Row {
        what: format!("Failover, command to first accepted document, {FAILOVERS} times"),
        figure: format!("p50 {:.0} ms, slowest {:.0} ms", percentile(&back, 50.0), percentile(&back, 100.0)),
        yardstick: None,
        ratio: None,
        goal: "recorded".into(),
        met: None,
    };
    push(rows, row);
    Ok(())
}

async fn start(plan: &Plan, rows: &mut Vec<Row>) -> Result<()> {
    let federation = Federation::up(&plan.bin, &plan.dir, &["--site", "gz-a=440000:1"])?;
    let arrivals = Arc::new(Arrivals::new("START"));
    acceptance::fill(&federation, "440000", START_DOCUMENTS, &arrivals, &AtomicU64::new(1)).await?;
    for (killed, how) in [(true, "after kill -9"), (false, "after SIGTERM")] {
        let mut slowest = 0.0f64;
        for _ in 0..STARTS {
            slowest = slowest.max(footprint::start_to_ready(&federation, "gz-a-1", killed).await?);
        }
        let row = Row {
            what: format!("Start to ready with {START_DOCUMENTS} documents, {how}, slowest of {STARTS}"),
            figure: format!("{slowest:.0} ms"),
            yardstick: None,
            ratio: None,
            goal: "≤ 1 000 ms".into(),
            met: Some(slowest <= 1_000.0),
        };
        push(rows, row);
    }
    Ok(())
}

/// What a reader must know to judge the table.
pub fn notes() -> Vec<String> {
    vec![
        format!(
            "Acceptance: arrival reports of 2 048 bytes over HTTPS (HTTP/1.1, client certificate), every connection kept \
             alive, {} clients single and {} clients with batches of {BATCH}; a document counts when its 201 has come. The \
             yardstick is RocksDB with default options and `sync = true`, {} threads, the same documents; the median round \
             of {ROUNDS} by ratio, taken in turns.",
            SINGLE.clients,
            BATCHES.clients,
            acceptance::THREADS
        ),
        "Shipping: the backup is killed, the records are accepted, the backup is started; encoded record bytes a second \
         from the first durable record after the start to the last. Yardsticks: one bare QUIC stream with the same \
         certificates and windows, and writes of 1 MiB with an fsync each."
            .into(),
        "Switchover: the pause is the longest time without an acknowledgement in the log of `eport load`, an open load in \
         a process of its own, that touches the command's window; with fewer than 100 switchovers p99 is the longest."
            .into(),
        "Failover: the primary is killed under load; counted from the start of the command, 500 ms later, to the first \
         acknowledgement in the load's log."
            .into(),
        "Start: from spawning the process to the first 200 of `/readyz`, asked every 5 ms.".into(),
    ]
}
