//! Memory of a process that holds four platforms and does nothing, and how long opening 100 000 documents takes.
//!
//! `cargo bench -p eport-store --bench idle [-- --dir DIR]`: one process fills the databases and ends without closing them,
//! a fresh one opens them and prints one JSON document.
// Tests and benchmarks: an unwrap is an assertion, and they read the real clock.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use bytes::Bytes;
use eport_model::{Draft, Effect, Epoch, Lineage, Position, Record, RecordKind, RegionCode, Timestamp};
use eport_store::{Budget, PlatformStore, Shared};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

const REGIONS: [&str; 4] = ["440000", "440100", "440300", "440500"];
const DOCUMENTS: u64 = 100_000;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["--fill", dir] => fill(Path::new(dir)),
        ["--dir", dir] => run(Path::new(dir)),
        [] => run(Path::new(env!("CARGO_TARGET_TMPDIR"))),
        _ => {
            eprintln!("usage: [--dir DIR]");
            std::process::exit(2);
        }
    }
}

fn run(parent: &Path) {
    let dir = tempfile::Builder::new().prefix("idle-").tempdir_in(parent).expect("the folder can be written");
    let exe = std::env::current_exe().expect("this program has a path");
    let filled = std::process::Command::new(exe).arg("--fill").arg(dir.path()).status();
    assert!(filled.is_ok_and(|s| s.success()), "filling failed");
    let before = resident();
    let start = Instant::now();
    let shared = Shared::new(Budget::default()).expect("shared parts");
    let stores: Vec<_> = REGIONS.iter().map(|r| open(dir.path(), r, &shared)).collect();
    let seconds = start.elapsed().as_secs_f64();
    let (opened, memory) = (resident(), shared.memory());
    let report = serde_json::json!({
        "platforms": stores.len(), "documents": DOCUMENTS, "open_seconds": seconds,
        "resident_before_bytes": before, "resident_bytes": opened,
        "cache_bytes": memory.cache_bytes, "buffer_bytes": memory.buffer_bytes,
    });
    println!("{report:#}");
}

fn open(dir: &Path, region: &str, shared: &Shared) -> PlatformStore {
    let region: RegionCode = region.parse().expect("a region");
    let dir: PathBuf = dir.join(region.to_string());
    PlatformStore::open(&dir, Lineage::default(), region, shared).expect("the store opens").0
}

fn fill(dir: &Path) {
    let shared = Shared::new(Budget::default()).expect("shared parts");
    for region in REGIONS {
        let store = open(dir, region, &shared);
        let mut last = Position::ZERO;
        for group in 0..DOCUMENTS / 4 / 250 {
            let records: Vec<Arc<Record>> =
                (0..250).map(|n| document(&store, group * 250 + n, &mut last)).collect();
            store.append(&records).expect("the journal writes");
            store.apply(&records).expect("rows are written");
        }
    }
    // Ends like a killed process: the next one replays the log.
    std::process::exit(0);
}

fn document(store: &PlatformStore, n: u64, last: &mut Position) -> Arc<Record> {
    let mut draft = Draft::bare(RecordKind::Entry, Timestamp::from_millis(n as i64));
    draft.bodies.push(Bytes::from(vec![n as u8; 2_048]));
    let key = Bytes::from(format!("doc/{n:016x}"));
    draft.effects.push(Effect::Put { key, value: Bytes::from(vec![7; 120]) });
    let record =
        Record::seal(draft, store.lineage(), store.region(), Epoch::INITIAL, last, Timestamp::default());
    *last = record.position();
    Arc::new(record)
}

/// Resident bytes of this process; 0 where the system does not say.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap_or("0 kB");
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) * 1_024
}
