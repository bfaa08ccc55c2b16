//! The measures in their order, and the goals they are held against.

use crate::acceptance::{self, BATCH, BATCHES, Load, SINGLE, percentile};
use crate::documents::Arrivals;
use crate::federation::Federation;
use crate::moves::{Leader, Rate};
use crate::report::Row;
use crate::{Plan, footprint, hosted, moves, rejoin, shipping, tables};
use anyhow::Result;
use eport_cli::demo::reconcile::Pause;
use eport_consensus::Profile as Timing;
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
/// Documents a second during switchovers, and in one request: as traders send them, and as terminals do.
const MOVE_RATES: [Rate; 2] = [Rate { a_second: 1_000, batch: 1 }, Rate { a_second: 5_000, batch: 50 }];
/// Delay of each direction of a far link.
const FAR_DELAY_MS: u64 = 15;
/// Switchovers over the far link.
const FAR_SWITCHOVERS: usize = 12;
/// Changes of the registry's leader.
const LEADERS: usize = 3;
/// Records of a tail.
const TAIL: u64 = 10_000;
/// Bytes a platform has on its primary's disk when it is left, beside what `--rejoin-gb` adds.
const REJOIN_BYTES: [u64; 2] = [0, 1_000_000_000];
/// Documents of the node that starts.
const START_DOCUMENTS: u64 = 100_000;
/// Starts of each kind; the slowest counts.
const STARTS: usize = 3;
/// Time without a request before memory is read.
const SETTLE: Duration = Duration::from_secs(15);

/// Runs every measure the plan wants. What was measured so far is told on stderr.
pub async fn run(plan: &Plan) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    if plan.wants("tables") {
        let done = tables::run(&plan.dir, plan.import_rows, &mut rows);
        keep("Code tables", done, &mut rows);
    }
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
    if plan.wants("fairness") || plan.wants("hosting") {
        let federation = Federation::up(&plan.bin, &plan.dir, &hosted::cities())?;
        if plan.wants("hosting") {
            let done = hosted::idle(&federation, SETTLE, &mut rows).await;
            keep("Hosting", done, &mut rows);
        }
        if plan.wants("fairness") {
            let done = hosted::fair(&federation, plan.seconds, &mut rows).await;
            keep("Fairness between platforms", done, &mut rows);
        }
    }
    if plan.wants("idle") || plan.wants("moves") {
        let federation = Federation::up(&plan.bin, &plan.dir, &[])?;
        if plan.wants("idle") {
            let done = idle(&federation, &mut rows);
            keep("Idle memory", done, &mut rows);
        }
        if plan.wants("moves") {
            for rate in MOVE_RATES {
                let done = switch(&federation, rate, &mut rows);
                keep("Planned switchover", done, &mut rows);
            }
            let done = fail_over(&federation, &mut rows);
            keep("Failover", done, &mut rows);
            let done = change_leaders(&federation, &mut rows);
            keep("Change of the registry's leader", done, &mut rows);
        }
    }
    if plan.wants("automatic") {
        for leader in [Leader::Survives, Leader::Dies] {
            let done = fail_over_alone(plan, leader, &mut rows);
            keep("Automatic failover", done, &mut rows);
        }
    }
    if plan.wants("far") {
        let done = far(plan, &mut rows);
        keep("Planned switchover over a far link", done, &mut rows);
    }
    if plan.wants("rejoin") {
        let done = rejoin(plan, &mut rows).await;
        keep("Return with a tail", done, &mut rows);
    }
    if plan.wants("ca") {
        let done = crate::authority::measure(plan, &mut rows).await;
        keep("Certificate authority", done, &mut rows);
    }
    if plan.wants("catalog") {
        let done = crate::catalog::measure(&plan.dir, &mut rows);
        keep("Catalog", done, &mut rows);
    }
    if plan.wants("install") {
        let done = crate::install::measure(plan, &mut rows).await;
        keep("Catalog on many nodes", done, &mut rows);
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

pub(crate) fn push(rows: &mut Vec<Row>, row: Row) {
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

fn switch(federation: &Federation, rate: Rate, rows: &mut Vec<Row>) -> Result<()> {
    let (pauses, reached) = moves::switchovers(federation, SWITCHOVERS, rate)?;
    let what = format!(
        "Planned switchover, write pause, {SWITCHOVERS} at {} documents/s, {} a request",
        rate.a_second, rate.batch
    );
    let goal = Goal { p50: Some(50.0), p99: 200.0, text: "p50 ≤ 50 ms, p99 ≤ 200 ms" };
    push(rows, switch_row(what, &pauses, reached, &goal));
    Ok(())
}

struct Goal {
    p50: Option<f64>,
    p99: f64,
    text: &'static str,
}

fn switch_row(what: String, pauses: &[Pause], reached: f64, goal: &Goal) -> Row {
    let sorted = |of: fn(&Pause) -> f64| {
        let mut v: Vec<f64> = pauses.iter().map(of).collect();
        v.sort_by(f64::total_cmp);
        (percentile(&v, 50.0), percentile(&v, 99.0))
    };
    let (pause, slowest) = (sorted(|p| p.write_pause_ms), sorted(|p| p.slowest_ms));
    let failed: u64 = pauses.iter().map(|p| p.failed_attempts).sum();
    Row {
        what,
        figure: format!(
            "p50 {:.0} ms, p99 {:.0} ms (slowest document p50 {:.0} ms, p99 {:.0} ms; {failed} failed attempts; {reached:.0} \
             documents/s acknowledged)",
            pause.0, pause.1, slowest.0, slowest.1
        ),
        yardstick: None,
        ratio: None,
        goal: goal.text.into(),
        met: Some(goal.p50.is_none_or(|p50| pause.0 <= p50) && pause.1 <= goal.p99),
    }
}

/// Switchovers between sites that are 30 ms apart.
fn far(plan: &Plan, rows: &mut Vec<Row>) -> Result<()> {
    let federation = Federation::linked(&plan.bin, &plan.dir, &[])?;
    let (delay, home) = (FAR_DELAY_MS.to_string(), federation.home().display().to_string());
    for (a, b) in [("gz-a", "gz-c"), ("gz-a", "sz-a"), ("gz-c", "sz-a")] {
        federation.eport(&["dev", "slow", a, b, "--delay-ms", &delay, "--dir", &home])?;
    }
    let rate = MOVE_RATES[0];
    let (pauses, reached) = moves::switchovers(&federation, FAR_SWITCHOVERS, rate)?;
    let what = format!(
        "Planned switchover, write pause, {FAR_SWITCHOVERS} at {} documents/s, sites {} ms of round trip apart",
        rate.a_second,
        2 * FAR_DELAY_MS
    );
    let goal = Goal { p50: None, p99: (8 * FAR_DELAY_MS + 100) as f64, text: "≤ 4 round trips + 100 ms" };
    push(rows, switch_row(what, &pauses, reached, &goal));
    Ok(())
}

/// Milliseconds as "p50 …, slowest …", and the slowest.
fn spread(mut times: Vec<f64>) -> (String, f64) {
    times.sort_by(f64::total_cmp);
    let slowest = percentile(&times, 100.0);
    (format!("p50 {:.0} ms, slowest {slowest:.0} ms", percentile(&times, 50.0)), slowest)
}

fn fail_over(federation: &Federation, rows: &mut Vec<Row>) -> Result<()> {
    let (figure, slowest) = spread(moves::failovers(federation, FAILOVERS)?);
    let row = Row {
        what: format!("Failover, command to first accepted document, {FAILOVERS} times"),
        figure,
        yardstick: None,
        ratio: None,
        goal: "≤ 1 000 ms".into(),
        met: Some(slowest <= 1_000.0),
    };
    push(rows, row);
    Ok(())
}

/// A change of leader must move nothing, also where leases bind a primary.
fn change_leaders(federation: &Federation, rows: &mut Vec<Row>) -> Result<()> {
    federation.eport(&["platform", "policy", moves::REGION, "--failover", "auto"])?;
    let (pauses, moved) = moves::leader_changes(federation, LEADERS)?;
    let (figure, slowest) = spread(pauses.iter().map(|p| p.write_pause_ms).collect());
    let row = Row {
        what: format!("The registry's leader dies, write pause of a platform with leases, {LEADERS} times"),
        figure: format!("{figure}; {}", if moved { "a primary moved" } else { "no primary moved" }),
        yardstick: None,
        ratio: None,
        goal: "no platform stops (pause ≤ 1 000 ms)".into(),
        met: Some(!moved && slowest <= 1_000.0),
    };
    push(rows, row);
    Ok(())
}

/// Nobody is at the keyboard: a primary dies and its platform's policy says what to do.
fn fail_over_alone(plan: &Plan, leader: Leader, rows: &mut Vec<Row>) -> Result<()> {
    let federation = Federation::up(&plan.bin, &plan.dir, &[])?;
    let times = moves::automatic(&federation, leader)?;
    let count = times.len();
    let (figure, slowest) = spread(times);
    let ms = |d: Duration| d.as_secs_f64() * 1_000.0;
    let grace = ms(Timing::Lan.grace());
    // A voter stands at the latest after the longest election timeout; a second round settles a split vote.
    let change = 2.0 * ms(Timing::Lan.election_max());
    let (what, limit, goal) = match leader {
        Leader::Survives => (
            format!("Automatic failover, death of the primary to first accepted document, {count} platforms"),
            grace + 1_000.0,
            format!("≤ grace ({grace:.0} ms) + 1 000 ms"),
        ),
        Leader::Dies => (
            format!("The same, its node leads the registry, {count} platforms"),
            change + grace + 1_000.0,
            format!("≤ leader change ({change:.0} ms) + grace ({grace:.0} ms) + 1 000 ms"),
        ),
    };
    push(rows, Row { what, figure, yardstick: None, ratio: None, goal, met: Some(slowest <= limit) });
    Ok(())
}

async fn rejoin(plan: &Plan, rows: &mut Vec<Row>) -> Result<()> {
    let more = plan.rejoin_gb.map(|gb| gb * 1_000_000_000);
    let mut least = None;
    for bytes in REJOIN_BYTES.into_iter().chain(more) {
        let r = rejoin::measure(&plan.bin, &plan.dir, bytes, TAIL).await?;
        let smallest = *least.get_or_insert(r.seconds);
        push(
            rows,
            Row {
                what: format!(
                    "Return of an old primary with a tail of {} records, {:.2} GB of data",
                    r.records,
                    r.bytes as f64 / 1e9
                ),
                figure: format!("{:.1} s from process start to in sync", r.seconds),
                yardstick: (bytes > 0).then(|| format!("with the smallest data {smallest:.1} s")),
                ratio: (bytes > 0).then_some(r.seconds / smallest),
                goal: "independent of the size (≤ 150 %)".into(),
                met: (bytes > 0).then_some(r.seconds <= smallest * 1.5),
            },
        );
    }
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
        "Return with a tail: the backup is killed, the primary accepts the tail alone, is killed and left; from the start of its \
         process to its place in the in-sync set, asked every 10 ms. Larger data: `.ci/bench --only rejoin --rejoin-gb 10`."
            .into(),
        "Automatic failover: counted from the instant after the kill to the first acknowledgement in the load's log; the profile \
         `lan` of the registry's timing."
            .into(),
        "Failover: the primary is killed under load; counted from the start of the command, 500 ms later, to the first \
         acknowledgement in the load's log."
            .into(),
        "Certificate authority: a node's own cost by its processor time, the clients' left out; a revocation counts from the moment its \
         command is sent to the end of an HTTPS connection that stood and the refusal of the next, on every node."
            .into(),
        hosted::note(),
        "Start: from spawning the process to the first 200 of `/readyz`, asked every 5 ms.".into(),
    ]
}
