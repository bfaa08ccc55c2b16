//! What a flooding platform costs its neighbour on the same node: the time of single documents of a quiet one, alone and
//! beside a flood far above what the node can take.
//!
//! The flood is a process of its own at a low priority, so that it is the node and not the flood's client that takes the
//! processors from the quiet client. The quiet client starts its documents by the clock: one that is late because the one
//! before was slow counts as slow itself.

use crate::acceptance::percentile;
use crate::documents::Arrivals;
use crate::federation::{Federation, access};
use crate::keepalive::KeepAlive;
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The platform that is measured, and the one that floods.
pub const QUIET: &str = "440100";
/// See [`QUIET`].
pub const FLOOD: &str = "440500";
/// Documents a second of the quiet platform, one a request.
pub const RATE: u64 = 100;
/// Its connections; each has as much time for a document as all of them need for a round.
const CONNECTIONS: u64 = 10;
/// Connections of the flood that send batches, and documents in each.
pub const FLOOD_BATCHES: (usize, u64) = (64, 256);
/// Connections of the flood that send single documents.
pub const FLOOD_SINGLES: usize = 192;
/// What the flood says when it floods.
const FLOODING: &str = "flooding";
/// Turns of alone and beside.
const ROUNDS: usize = 3;

/// What was measured.
pub struct Fairness {
    /// Times of the quiet platform alone: p50 and p99 in ms.
    pub alone: (f64, f64),
    /// The same beside the flood.
    pub beside: (f64, f64),
    /// Requests in each.
    pub samples: (usize, usize),
    /// Documents a second that the flood got through.
    pub flood_per_second: f64,
    /// Requests of the flood that were refused.
    pub flood_refused: u64,
}

/// Measures alone and beside in turns.
pub async fn measure(federation: &Federation, seconds: f64) -> Result<Fairness> {
    let next = AtomicU64::new(1);
    let arrivals = Arc::new(Arrivals::new("QUIET"));
    let time = Duration::from_secs_f64(seconds);
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    let (mut documents, mut refused, mut flooded) = (0u64, 0u64, 0.0);
    quiet(federation, time / 4, &arrivals, &next).await?;
    for round in 0..ROUNDS {
        alone.extend(quiet(federation, time, &arrivals, &next).await?);
        let flood = Flood::start(federation, round)?;
        // The first fill of every queue belongs to no measurement.
        tokio::time::sleep(Duration::from_secs(1)).await;
        beside.extend(quiet(federation, time, &arrivals, &next).await?);
        let said = flood.stop()?;
        documents += said["stored"].as_u64().context("stored")?;
        refused += said["refused"].as_u64().context("refused")?;
        flooded += said["seconds"].as_f64().context("seconds")?;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let figures = |times: &mut Vec<f64>| {
        times.sort_by(f64::total_cmp);
        (percentile(times, 50.0), percentile(times, 99.0))
    };
    Ok(Fairness {
        alone: figures(&mut alone),
        beside: figures(&mut beside),
        samples: (alone.len(), beside.len()),
        flood_per_second: documents as f64 / flooded,
        flood_refused: refused,
    })
}

/// Single documents by the clock; the time of each from when it was due.
async fn quiet(
    federation: &Federation,
    time: Duration,
    arrivals: &Arc<Arrivals>,
    next: &AtomicU64,
) -> Result<Vec<f64>> {
    let (apis, tls) = access(&federation.home())?;
    let api = apis.into_iter().next().context("a node")?;
    let count = (time.as_secs_f64() * RATE as f64) as u64;
    let from = next.fetch_add(count, Ordering::Relaxed);
    let mut clients = tokio::task::JoinSet::new();
    let begin = Instant::now() + Duration::from_millis(50);
    for c in 0..CONNECTIONS {
        let mut client = KeepAlive::connect(&api, tls.clone()).await?;
        let arrivals = arrivals.clone();
        clients.spawn(async move {
            let path = format!("/v1/platforms/{QUIET}/documents");
            let mut times = Vec::new();
            for n in (c..count).step_by(CONNECTIONS as usize) {
                let due = begin + Duration::from_secs_f64(n as f64 / RATE as f64);
                tokio::time::sleep_until(due.into()).await;
                let (status, body) =
                    client.post(&path, "application/json", &arrivals.document(from + n)).await?;
                ensure!(status == 201, "the quiet platform: {status} {}", String::from_utf8_lossy(body));
                times.push(due.elapsed().as_secs_f64() * 1_000.0);
            }
            anyhow::Ok(times)
        });
    }
    let mut times = Vec::new();
    while let Some(done) = clients.join_next().await {
        times.extend(done??);
    }
    Ok(times)
}

/// The flood's process and what it prints.
struct Flood(Child, BufReader<ChildStdout>);

impl Flood {
    fn start(federation: &Federation, round: usize) -> Result<Self> {
        let mut command = Command::new("nice");
        command.args(["-n", "5"]).arg(std::env::current_exe()?).arg("flood");
        command.arg(federation.home()).arg(format!("FLOOD{round}"));
        // It ends when its standard input does, so that it never outlives this process.
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("the flood's process")?;
        let output = BufReader::new(child.stdout.take().context("the flood's output")?);
        let mut flood = Self(child, output);
        let mut line = String::new();
        // Blocks until every connection stands and has sent something.
        flood.1.read_line(&mut line)?;
        ensure!(line.trim() == FLOODING, "the flood said {line:?}");
        Ok(flood)
    }

    fn stop(mut self) -> Result<Value> {
        drop(self.0.stdin.take());
        let mut text = String::new();
        self.1.read_to_string(&mut text)?;
        let said: Value = serde_json::from_str(&text)?;
        let ended = self.0.wait()?;
        ensure!(ended.success(), "the flood ended with {ended}");
        Ok(said)
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The flood's process: floods until standard input ends, then prints what became of it.
pub fn flood(mut args: impl Iterator<Item = String>) -> Result<()> {
    let (Some(home), Some(prefix)) = (args.next(), args.next()) else { bail!("flood HOME PREFIX") };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let said = runtime.block_on(pour(home.into(), prefix))?;
    println!("{said}");
    Ok(())
}

async fn pour(home: PathBuf, prefix: String) -> Result<Value> {
    let (apis, tls) = access(&home)?;
    let api = apis.into_iter().next().context("a node")?;
    let arrivals = Arc::new(Arrivals::new(&prefix));
    let next = Arc::new(AtomicU64::new(1));
    let (stored, refused) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let begin = Instant::now();
    let mut clients = tokio::task::JoinSet::new();
    let batches = std::iter::repeat_n(FLOOD_BATCHES.1, FLOOD_BATCHES.0);
    for batch in batches.chain(std::iter::repeat_n(1, FLOOD_SINGLES)) {
        let mut client = KeepAlive::connect(&api, tls.clone()).await?;
        let (arrivals, next) = (arrivals.clone(), next.clone());
        let (stored, refused) = (stored.clone(), refused.clone());
        clients.spawn(async move {
            loop {
                let from = next.fetch_add(batch, Ordering::Relaxed);
                let (what, kind, body) = match batch {
                    1 => ("documents", "application/json", arrivals.document(from)),
                    _ => ("documents:batch", "application/x-ndjson", arrivals.lines(from, batch)),
                };
                let path = format!("/v1/platforms/{FLOOD}/{what}");
                match client.post(&path, kind, &body).await {
                    Ok((200 | 201, _)) => drop(stored.fetch_add(batch, Ordering::Relaxed)),
                    // Asked again at once: a flood is not polite.
                    Ok(_) => drop(refused.fetch_add(1, Ordering::Relaxed)),
                    Err(_) => return,
                }
            }
        });
    }
    println!("{FLOODING}");
    // Blocks a thread of its own until the measuring process closes the pipe.
    tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink())).await??;
    let seconds = begin.elapsed().as_secs_f64();
    let (stored, refused) = (stored.load(Ordering::Relaxed), refused.load(Ordering::Relaxed));
    clients.shutdown().await;
    Ok(serde_json::json!({ "stored": stored, "refused": refused, "seconds": seconds }))
}
