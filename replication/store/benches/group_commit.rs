//! Journal appends against RocksDB's own group commit: the same 2 KiB documents, the same threads, the same folder.
//!
//! `cargo bench -p eport-store --bench group_commit -- [--dir DIR] [--threads N] [--seconds S] [--rounds R]` prints one JSON
//! document with rates (documents a second, best of the rounds) and their ratios. It refuses a tmpfs, where an fsync costs
//! nothing. `journal` seals, appends and fsyncs; `journal_apply` also writes the state rows, on the writer's second thread.
// Tests and benchmarks: an unwrap is an assertion, and they read the real clock.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use bytes::Bytes;
use eport_model::{Draft, Effect, Epoch, Lineage, Position, Record, RecordKind, RegionCode, Timestamp};
use eport_store::{Budget, JournalWriter, Op, PlatformStore, Shared, WriterLimits};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const DOCUMENT_LEN: usize = 2_048;
const BATCH: usize = 256;
/// `f_type` of file systems that live in memory.
const MEMORY_FILE_SYSTEMS: [u64; 2] = [0x0102_1994, 0x8584_58f6];

struct Plan {
    dir: PathBuf,
    threads: usize,
    seconds: f64,
    rounds: usize,
}

fn main() {
    let plan = match Plan::from_args() {
        Ok(plan) => plan,
        Err(why) => {
            eprintln!("{why}");
            std::process::exit(2);
        }
    };
    let single = measure(&plan, 1);
    let batch = measure(&plan, BATCH);
    let report = serde_json::json!({
        "dir": plan.dir, "threads": plan.threads, "document_bytes": DOCUMENT_LEN, "batch_documents": BATCH,
        "single": single, "batch": batch,
    });
    println!("{report:#}");
}

impl Plan {
    fn from_args() -> Result<Self, String> {
        let default = Path::new(env!("CARGO_TARGET_TMPDIR")).to_owned();
        let mut plan = Plan { dir: default, threads: 32, seconds: 3.0, rounds: 2 };
        let mut args = std::env::args().skip(1);
        while let Some(arg) = args.next() {
            if arg == "--bench" {
                continue;
            }
            let value = args.next().ok_or_else(|| format!("{arg} needs a value"))?;
            let number = || value.parse::<f64>().map_err(|e| format!("{arg} {value}: {e}"));
            match arg.as_str() {
                "--dir" => plan.dir = PathBuf::from(&value),
                "--threads" => plan.threads = number()? as usize,
                "--seconds" => plan.seconds = number()?,
                "--rounds" => plan.rounds = number()? as usize,
                _ => return Err(format!("{arg} is not known")),
            }
        }
        if plan.threads < 32 {
            return Err("the yardstick needs at least 32 threads".to_owned());
        }
        std::fs::create_dir_all(&plan.dir).map_err(|e| format!("{}: {e}", plan.dir.display()))?;
        let stat = rustix::fs::statfs(&plan.dir).map_err(|e| format!("{}: {e}", plan.dir.display()))?;
        if MEMORY_FILE_SYSTEMS.contains(&(stat.f_type as u64)) {
            return Err(format!(
                "{} is in memory: fsync costs nothing there; choose --dir",
                plan.dir.display()
            ));
        }
        Ok(plan)
    }

    fn folder(&self) -> tempfile::TempDir {
        tempfile::Builder::new()
            .prefix("group-commit-")
            .tempdir_in(&self.dir)
            .expect("the folder can be written")
    }
}

/// Best rates of each contestant, measured in turns, so that a noisy neighbour hits all of them.
fn measure(plan: &Plan, batch: usize) -> serde_json::Value {
    let (mut rocksdb, mut journal, mut applied) = (0.0f64, 0.0f64, 0.0f64);
    for _ in 0..plan.rounds {
        rocksdb = rocksdb.max(run_rocksdb(plan, batch));
        journal = journal.max(run_journal(plan, batch, false));
        applied = applied.max(run_journal(plan, batch, true));
    }
    serde_json::json!({
        "rocksdb_per_s": rocksdb.round(), "journal_per_s": journal.round(), "journal_apply_per_s": applied.round(),
        "ratio": journal / rocksdb, "ratio_with_apply": applied / rocksdb,
    })
}

/// Documents that hardly compress, as encrypted bodies do not.
fn document(n: u64) -> Bytes {
    let mut x = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let words = std::iter::repeat_with(|| {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        x.to_le_bytes()
    });
    words.take(DOCUMENT_LEN / 8).flatten().collect::<Vec<u8>>().into()
}

/// Runs `work(thread)` on every thread until the time is over; it returns how many documents one call made durable.
fn race(plan: &Plan, work: impl Fn(u64) -> usize + Sync) -> f64 {
    let total = AtomicU64::new(0);
    let start = Instant::now();
    let end = start + Duration::from_secs_f64(plan.seconds);
    std::thread::scope(|scope| {
        for thread in 0..plan.threads as u64 {
            let (total, work) = (&total, &work);
            scope.spawn(move || {
                while Instant::now() < end {
                    total.fetch_add(work(thread) as u64, Ordering::Relaxed);
                }
            });
        }
    });
    total.load(Ordering::Relaxed) as f64 / start.elapsed().as_secs_f64()
}

fn run_rocksdb(plan: &Plan, batch: usize) -> f64 {
    let dir = plan.folder();
    let mut options = rocksdb::Options::default();
    options.create_if_missing(true);
    let db = rocksdb::DB::open(&options, dir.path()).expect("the yardstick opens");
    let next = AtomicU64::new(0);
    race(plan, |_| {
        let mut writes = rocksdb::WriteBatch::default();
        for _ in 0..batch {
            let n = next.fetch_add(1, Ordering::Relaxed);
            writes.put(n.to_be_bytes(), document(n));
        }
        let mut sync = rocksdb::WriteOptions::default();
        sync.set_sync(true);
        db.write_opt(writes, &sync).expect("the yardstick writes");
        batch
    })
}

fn run_journal(plan: &Plan, batch: usize, apply: bool) -> f64 {
    let dir = plan.folder();
    let region: RegionCode = "440300".parse().expect("a region");
    let shared = Shared::new(Budget::default()).expect("shared parts");
    let (store, _) =
        PlatformStore::open(dir.path(), Lineage::default(), region, &shared).expect("the store opens");
    let writer = JournalWriter::start(store, WriterLimits::default(), None).expect("the writer starts");
    let chain = Mutex::new(Position::ZERO);
    let rate = race(plan, |thread| {
        let drafts: Vec<Draft> = (0..batch as u64).map(|n| draft(thread << 40 | n)).collect();
        let (done, wait) = sync_channel(1);
        {
            let mut last = chain.lock().expect("nobody panics");
            let records: Vec<Arc<Record>> = drafts.into_iter().map(|d| seal(d, region, &mut last)).collect();
            writer.submit(Op::Append(records, Box::new(move |result| drop(done.send(result)))));
        }
        let position = wait.recv().expect("an answer").expect("the journal writes");
        if apply {
            writer.submit(Op::Apply(position.index, Box::new(|result| assert!(result.is_ok()))));
        }
        batch
    });
    writer.shutdown();
    rate
}

fn draft(n: u64) -> Draft {
    let mut draft = Draft::bare(RecordKind::Entry, Timestamp::from_millis(1));
    draft.bodies.push(document(n));
    let key = Bytes::from(format!("doc/arrival_report/{n:016x}"));
    draft.effects.push(Effect::Put { key, value: Bytes::from(vec![7; 120]) });
    draft
}

fn seal(draft: Draft, region: RegionCode, last: &mut Position) -> Arc<Record> {
    let record = Record::seal(draft, Lineage::default(), region, Epoch::INITIAL, last, Timestamp::default());
    *last = record.position();
    Arc::new(record)
}
