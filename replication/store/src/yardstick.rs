//! What the disk and RocksDB do by themselves: the measure that benchmarks hold the node's figures against.
//!
//! Stands here because only this crate names RocksDB. Nothing of a running node calls it.

use std::fs::File;
use std::io::{Error, Result, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// `f_type` of file systems that live in memory.
const MEMORY_FILE_SYSTEMS: [u64; 2] = [0x0102_1994, 0x8584_58f6];

/// Whether a folder lives in memory, where an fsync costs nothing and a measurement would lie.
pub fn in_memory(dir: &Path) -> Result<bool> {
    let stat = rustix::fs::statfs(dir)?;
    Ok(MEMORY_FILE_SYSTEMS.contains(&(stat.f_type as u64)))
}

/// What RocksDB's own group commit is asked to do.
#[derive(Clone, Copy, Debug)]
pub struct GroupCommit {
    /// Writers at the same time.
    pub threads: usize,
    /// How long.
    pub time: Duration,
    /// Documents in one write.
    pub batch: usize,
}

/// Documents a second that RocksDB makes durable with `sync = true` and default options in an empty folder. `document`
/// gives the bytes of the n-th.
#[allow(clippy::disallowed_methods)] // a measurement reads the monotonic clock
pub fn group_commit(dir: &Path, plan: GroupCommit, document: impl Fn(u64) -> Vec<u8> + Sync) -> Result<f64> {
    let mut options = rocksdb::Options::default();
    options.create_if_missing(true);
    let db = rocksdb::DB::open(&options, dir).map_err(Error::other)?;
    let (next, durable) = (AtomicU64::new(0), AtomicU64::new(0));
    let start = Instant::now();
    let end = start + plan.time;
    let writer = || -> std::result::Result<(), rocksdb::Error> {
        let mut sync = rocksdb::WriteOptions::default();
        sync.set_sync(true);
        while Instant::now() < end {
            let mut writes = rocksdb::WriteBatch::default();
            for _ in 0..plan.batch {
                let n = next.fetch_add(1, Ordering::Relaxed);
                writes.put(n.to_be_bytes(), document(n));
            }
            db.write_opt(writes, &sync)?;
            durable.fetch_add(plan.batch as u64, Ordering::Relaxed);
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..plan.threads).map(|_| scope.spawn(writer)).collect();
        writers.into_iter().try_for_each(|w| w.join().unwrap_or(Ok(())).map_err(Error::other))
    })?;
    Ok(durable.load(Ordering::Relaxed) as f64 / start.elapsed().as_secs_f64())
}

/// Bytes a second that the folder takes in writes of 1 MiB, one file, fsynced after each.
#[allow(clippy::disallowed_methods)] // a measurement reads the monotonic clock
pub fn sequential_writes(dir: &Path, time: Duration) -> Result<f64> {
    let path = dir.join("sequential");
    let mut file = File::create(&path)?;
    let block = noise(1, 1 << 20);
    let start = Instant::now();
    let mut written = 0u64;
    while start.elapsed() < time {
        file.write_all(&block)?;
        file.sync_data()?;
        written += block.len() as u64;
    }
    let rate = written as f64 / start.elapsed().as_secs_f64();
    std::fs::remove_file(&path)?;
    Ok(rate)
}

/// Bytes that hardly compress, as encrypted bodies do not; the same for the same number.
pub fn noise(n: u64, len: usize) -> Vec<u8> {
    let mut x = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut out = Vec::with_capacity(len + 8);
    while out.len() < len {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        out.extend_from_slice(&x.to_le_bytes());
    }
    out.truncate(len);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_yardsticks_write_something_and_leave_no_stray_file() {
        let dir = tempfile::tempdir().unwrap();
        let plan = GroupCommit { threads: 2, time: Duration::from_millis(20), batch: 3 };
        assert!(group_commit(&dir.path().join("db"), plan, |n| noise(n, 100)).unwrap() > 0.0);
        assert!(sequential_writes(dir.path(), Duration::from_millis(20)).unwrap() > 0.0);
        assert!(!dir.path().join("sequential").exists());
    }

    #[test]
    fn noise_is_the_same_for_its_number_and_as_long_as_asked() {
        assert_eq!(noise(7, 2_045).len(), 2_045);
        assert_eq!(noise(7, 64), noise(7, 64));
        assert_ne!(noise(7, 64), noise(8, 64));
    }
}
