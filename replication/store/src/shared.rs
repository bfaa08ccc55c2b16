//! What all databases of a process share: one block cache, one bound on write buffers, one pool of background threads.
//!
//! Always holds: opening one more platform does not raise the memory bounds; memory is taken only when used.

use crate::Error;
use rocksdb::{
    BlockBasedOptions, Cache, DBCompressionType, DBRecoveryMode, Env, LogLevel, LruCacheOptions, Options,
    WriteBufferManager,
};
use std::path::Path;

/// Parts of the block cache, as a power of two.
const CACHE_PART_BITS: i32 = 2;
/// Step in which write buffers take memory.
const ARENA_BLOCK: usize = 64 << 10;
/// Step in which the logs of a database take disk. Left to itself RocksDB takes as much as all write buffers hold, at once and
/// for every database: a node with forty idle platforms would have given gigabytes away.
const LOG_STEP: usize = 1 << 20;

/// Bounds of a process's storage memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Budget {
    /// Bytes of decompressed blocks kept for reading, filled as reads need them. Default 64 MiB.
    pub cache_bytes: usize,
    /// Bytes of write buffers over all databases; beyond it the largest is flushed. Default 64 MiB,
    /// taken as it is used: a large one makes few and large files out of a stream of documents.
    pub buffer_bytes: usize,
    /// Files one database keeps open. Default 128: a full process of 40 platforms stays below 8 192 descriptors.
    pub open_files: i32,
    /// A file of a journal is full, and the next begun, once it holds this many bytes. Default 64 MiB; at most 1 GiB.
    pub journal_file_bytes: u64,
}

impl Default for Budget {
    fn default() -> Self {
        Self { cache_bytes: 64 << 20, buffer_bytes: 64 << 20, open_files: 128, journal_file_bytes: 64 << 20 }
    }
}

/// Bytes in use now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MemoryUse {
    /// Block cache.
    pub cache_bytes: usize,
    /// Write buffers.
    pub buffer_bytes: usize,
}

/// One block cache, write-buffer bound and thread pool for every database of a process. Clones share them.
#[derive(Clone)]
pub struct Shared {
    budget: Budget,
    cache: Cache,
    buffers: WriteBufferManager,
    env: Env,
}

/// One cache in few parts. A filter is one block of about a megabyte for each large file: in 64 parts of a megabyte none of them
/// stays, and every look-up of a key that is not there reads one from the file and sums it up again.
fn block_cache(bytes: usize) -> Cache {
    let mut options = LruCacheOptions::default();
    options.set_capacity(bytes);
    options.set_num_shard_bits(CACHE_PART_BITS);
    Cache::new_lru_cache_opts(&options)
}

impl Shared {
    /// Makes the shared parts. Nothing is allocated before it is used.
    pub fn new(budget: Budget) -> Result<Self, Error> {
        let env = Env::new().map_err(|e| Error::rocks("start the storage threads", Path::new("."), e))?;
        Ok(Self {
            budget,
            cache: block_cache(budget.cache_bytes),
            buffers: WriteBufferManager::new_write_buffer_manager(budget.buffer_bytes, false),
            env,
        })
    }

    /// The bounds.
    pub(crate) fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Bytes in use now.
    pub fn memory(&self) -> MemoryUse {
        MemoryUse { cache_bytes: self.cache.get_usage(), buffer_bytes: self.buffers.get_usage() }
    }

    /// Options of a whole database. The log on disk is strict: a torn end is cut, damage anywhere else refuses to open,
    /// because everything before the end may have been acknowledged.
    pub(crate) fn database(&self) -> Options {
        let mut o = Options::default();
        o.create_if_missing(true);
        o.create_missing_column_families(true);
        o.set_env(&self.env);
        o.set_write_buffer_manager(&self.buffers);
        o.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
        o.set_paranoid_checks(true);
        // Journal append and state apply come from two threads: the memtable work of one overlaps the log write of the other.
        o.set_enable_pipelined_write(true);
        o.set_max_background_jobs(2);
        // What a flush or a compaction writes goes to the disk little by little: a table at once would hold up every fsync beside it.
        o.set_bytes_per_sync(1 << 20);
        o.set_wal_bytes_per_sync(1 << 20);
        o.set_max_open_files(self.budget.open_files);
        o.set_table_cache_num_shard_bits(2);
        // What a killed process replays at the next start: 64 MiB take about a third of a second. Smaller makes more files: each
        // time the log is full, every family with a part in it is flushed.
        o.set_max_total_wal_size(64 << 20);
        // With a write-buffer manager this says nothing about buffers; it bounds only what a log takes ahead.
        o.set_db_write_buffer_size(LOG_STEP);
        o.set_manifest_preallocation_size(64 << 10);
        o.set_skip_stats_update_on_db_open(true);
        o.set_stats_dump_period_sec(0);
        o.set_stats_persist_period_sec(0);
        o.set_log_level(LogLevel::Warn);
        o.set_keep_log_file_num(2);
        o.set_max_log_file_size(1 << 20);
        o
    }

    /// The same, with as few files open as RocksDB allows: most tables are then opened when they are read, not with the database.
    pub(crate) fn database_of_few_files(&self) -> Options {
        let mut o = self.database();
        o.set_max_open_files(1);
        o
    }

    /// Options of a column family whose write buffer holds `buffer_bytes`.
    pub(crate) fn family(&self, buffer_bytes: usize) -> Options {
        let mut table = BlockBasedOptions::default();
        table.set_block_cache(&self.cache);
        // Index and filter blocks count against the shared cache, so that many platforms cannot outgrow it.
        table.set_cache_index_and_filter_blocks(true);
        table.set_pin_l0_filter_and_index_blocks_in_cache(true);
        table.set_format_version(5);
        table.set_block_size(16 << 10);
        table.set_bloom_filter(10.0, false);
        let mut o = Options::default();
        o.set_block_based_table_factory(&table);
        o.set_write_buffer_size(buffer_bytes);
        // An idle platform takes a few of these, whatever its buffers may grow to.
        o.set_arena_block_size(ARENA_BLOCK);
        o.set_max_write_buffer_number(4);
        // Most lookups are for keys that are not there, such as the business key of a new document: a filter answers them
        // without a walk through the buffer.
        o.set_memtable_whole_key_filtering(true);
        o.set_memtable_prefix_bloom_ratio(0.02);
        // Rows are written once and read by key: fewer, larger merges cost less than the few more files a read passes.
        o.set_level_zero_file_num_compaction_trigger(8);
        // New files are soon merged: compressing them would cost more than it saves.
        let (none, lz4) = (DBCompressionType::None, DBCompressionType::Lz4);
        o.set_compression_per_level(&[none, none, lz4, lz4, lz4, lz4, lz4]);
        o
    }
}
