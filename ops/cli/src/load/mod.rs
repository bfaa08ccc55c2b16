//! `eport load`: a client process of its own that lodges generated documents and logs every attempt.
//!
//! Numbers about moves come from this log and never from a daemon: what was acknowledged, when, and how long nothing was.
//! The load is open: documents start by the clock, not by the answers, so a pause shows. A document whose outcome is
//! unknown is repeated with its key until it is answered.

mod attempt;
pub mod documents;
mod group;

pub use eport_drill::log;

use crate::args::{Global, parse_duration};
use crate::connect;
use crate::error::Error;
use crate::output::Out;
use clap::Args;
use documents::Generator;
use eport_client::Client;
use eport_model::RegionCode;
use group::Group;
use log::{Line, Outcome, Start, Summary};
use serde_json::Value;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, mpsc};

/// Attempts that wait to be written; the writer only formats, so it never falls far behind.
const LOG_QUEUE: usize = 16_384;
/// How long one attempt may take: longer than a switchover holds a request (2 s), no longer, because an address that
/// stays silent must not use up the connection's streams.
const ATTEMPT_LIMIT: Duration = Duration::from_millis(2_500);

/// First wait before a repetition; doubles up to `AGAIN_MAX`.
const AGAIN_MIN: Duration = Duration::from_millis(20);
const AGAIN_MAX: Duration = Duration::from_millis(400);

/// Arguments of `eport load`.
#[derive(Args, Debug)]
pub struct LoadArgs {
    /// The platform
    #[arg(long, short = 'p', value_name = "REGION")]
    pub platform: RegionCode,
    /// Documents a second
    #[arg(long, default_value_t = 100.0)]
    pub rate: f64,
    /// Documents in one request
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1_024))]
    pub batch: u16,
    /// Documents in all; without it until --stop-file appears or --for is over
    #[arg(long)]
    pub count: Option<u64>,
    /// How long to start new documents
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_duration)]
    pub duration: Option<Duration>,
    /// End when this file exists
    #[arg(long, value_name = "FILE")]
    pub stop_file: Option<PathBuf>,
    /// Start of every client_ref
    #[arg(long, default_value = "LOAD")]
    pub prefix: String,
    /// Further addresses of nodes, beside --api
    #[arg(long, value_name = "URL")]
    pub also_api: Vec<String>,
    /// End when standard input ends: whoever started the load is gone
    #[arg(long)]
    pub with_parent: bool,
    /// File for the log, JSON lines
    #[arg(long, value_name = "FILE")]
    pub log: PathBuf,
    /// Documents under way at most
    #[arg(long, default_value_t = 2_048)]
    pub in_flight: usize,
    /// How long unanswered documents are repeated after the last one has started
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "60s")]
    pub settle: Duration,
}

/// Time in milliseconds since 1970 that never steps back: the wall clock at the start plus monotonic time since.
#[derive(Clone, Copy)]
pub struct Clock {
    wall_ms: f64,
    start: Instant,
}

impl Clock {
    /// A clock that starts now.
    pub fn start() -> Self {
        let wall = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Self { wall_ms: wall.as_secs_f64() * 1_000.0, start: Instant::now() }
    }

    /// Now.
    pub fn now_ms(&self) -> f64 {
        self.wall_ms + self.start.elapsed().as_secs_f64() * 1_000.0
    }
}

/// Runs the command.
pub async fn run(args: LoadArgs, global: &Global, out: Out) -> Result<(), Error> {
    if !(args.rate > 0.0 && args.rate <= 100_000.0) {
        return Err(Error::usage("--rate must be between 0 and 100000"));
    }
    if args.count.is_none() && args.duration.is_none() && args.stop_file.is_none() {
        return Err(Error::usage("say when to end: --count, --for or --stop-file"));
    }
    let mut access = connect::access(global)?;
    access.apis.extend(args.also_api.iter().cloned());
    let client = connect::client_of(&access, ATTEMPT_LIMIT, global.language())?;
    if args.with_parent {
        end_with_parent();
    }
    let clock = Clock::start();
    let (lines, queue) = mpsc::channel(LOG_QUEUE);
    let file = std::fs::File::create(&args.log).map_err(Error::file(&args.log))?;
    let writer = std::thread::spawn(move || write_log(file, queue));
    let start = Start {
        platform: args.platform,
        rate: args.rate,
        prefix: args.prefix.clone(),
        at_ms: clock.now_ms(),
        pid: std::process::id(),
    };
    let _ = lines.send(Line::Start(start)).await;
    let summary = drive(&args, client, clock, lines.clone()).await;
    let _ = lines.send(Line::End(summary)).await;
    drop(lines);
    let written = writer.join().map_err(|_| Error::dev("the writer of the log ended early"))?;
    written.map_err(Error::file(&args.log))?;
    let document = serde_json::to_value(summary).unwrap_or(Value::Null);
    out.result(&document, || {
        format!(
            "{} submitted, {} acknowledged, {} refused, {} unanswered\n",
            summary.submitted, summary.acknowledged, summary.refused, summary.unanswered
        )
    });
    Ok(())
}

/// Ends this process when nobody holds the other end of its standard input any more.
fn end_with_parent() {
    std::thread::spawn(|| {
        let mut byte = [0u8; 1];
        while matches!(std::io::Read::read(&mut std::io::stdin(), &mut byte), Ok(n) if n > 0) {}
        std::process::exit(i32::from(crate::exit::UNAVAILABLE));
    });
}

fn write_log(file: std::fs::File, mut queue: mpsc::Receiver<Line>) -> std::io::Result<()> {
    let mut out = std::io::BufWriter::new(file);
    while let Some(line) = queue.blocking_recv() {
        serde_json::to_writer(&mut out, &line)?;
        out.write_all(b"\n")?;
        // Readers watch the log while the load runs: flush whenever nothing more waits.
        if queue.is_empty() {
            out.flush()?;
        }
    }
    out.flush()
}

/// Starts documents by the clock until it is time to end, then waits until all are answered.
async fn drive(args: &LoadArgs, client: Client, clock: Clock, lines: mpsc::Sender<Line>) -> Summary {
    let generator = Arc::new(Generator::new(&args.prefix));
    let slots = Arc::new(Semaphore::new((args.in_flight / usize::from(args.batch)).max(1)));
    let begun = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    let mut summary = Summary::default();
    let mut number = 0u64;
    // Repetition ends at an instant that is known only when the last document has started.
    let (ended, settle) = tokio::sync::watch::channel(None::<Instant>);
    while !over(args, number, begun) {
        let due = begun + Duration::from_secs_f64(number as f64 / args.rate);
        tokio::time::sleep_until(due.into()).await;
        let Ok(slot) = slots.clone().acquire_owned().await else { break };
        let size = args.count.map_or(u64::from(args.batch), |c| (c - number).min(args.batch.into()));
        let numbers = number + 1..=number + size;
        number += size;
        let group = Group {
            client: client.clone(),
            platform: args.platform.to_string(),
            documents: numbers.map(|n| (n, generator.document(n))).collect(),
            lines: lines.clone(),
            clock,
            give_up: settle.clone(),
        };
        tasks.spawn(async move {
            let outcomes = group.run().await;
            drop(slot);
            outcomes
        });
        while let Some(done) = tasks.try_join_next() {
            count(&mut summary, done);
        }
    }
    let _ = ended.send(Some(Instant::now() + args.settle));
    while let Some(done) = tasks.join_next().await {
        count(&mut summary, done);
    }
    summary
}

fn count(summary: &mut Summary, done: Result<Vec<Outcome>, tokio::task::JoinError>) {
    // A task that broke off answered nothing; reconciliation finds its documents in the log.
    done.unwrap_or_else(|_| vec![Outcome::Unknown]).into_iter().for_each(|o| summary.add(o));
}

fn over(args: &LoadArgs, number: u64, begun: Instant) -> bool {
    args.count.is_some_and(|c| number >= c)
        || args.duration.is_some_and(|d| begun.elapsed() >= d)
        || args.stop_file.as_ref().is_some_and(|f| f.exists())
}
