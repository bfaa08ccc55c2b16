//! How much disk a platform takes: looked at from time to time, and what its journal has grown by since.
//!
//! Always holds: between two looks the figure only rises, by what was appended; so a bound on it is passed by no more than
//! what the database has written meanwhile.

use super::PlatformStore;
use crate::Error;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Folders below a platform's: its journal, and one level more than there is.
const DEPTH_MAX: usize = 3;
/// `st_blocks` counts in this unit, whatever the file system's own is.
const BLOCK: u64 = 512;

/// The last look.
#[derive(Debug, Default)]
pub(super) struct DiskUse {
    measured: AtomicU64,
    /// What the journal had appended by then.
    appended: AtomicU64,
}

impl PlatformStore {
    /// Bytes that the platform takes on disk, as far as is known without looking.
    pub fn disk_bytes(&self) -> u64 {
        let seen = &self.0.disk;
        let grown = self.0.log.appended().saturating_sub(seen.appended.load(Ordering::Relaxed));
        seen.measured.load(Ordering::Relaxed).saturating_add(grown)
    }

    /// How often the journal was brought to the disk since it was opened, and how long that took in all.
    pub fn fsyncs(&self) -> (u64, Duration) {
        self.0.log.fsyncs()
    }

    /// Looks at every file. What is removed meanwhile counts as nothing.
    pub fn measure_disk(&self) -> Result<u64, Error> {
        // Noted before the look: what is appended during it counts twice until the next one, never not at all.
        let appended = self.0.log.appended();
        let bytes = size_of(&self.0.dir, DEPTH_MAX).map_err(|e| Error::io("measure disk", &self.0.dir, e))?;
        self.0.disk.measured.store(bytes, Ordering::Relaxed);
        self.0.disk.appended.store(appended, Ordering::Relaxed);
        Ok(bytes)
    }
}

fn size_of(dir: &Path, depth: usize) -> std::io::Result<u64> {
    let mut bytes = 0u64;
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let meta = match entry.metadata() {
            Ok(meta) => meta,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
            Err(e) => return Err(e),
        };
        if meta.is_dir() && depth > 0 {
            match size_of(&entry.path(), depth - 1) {
                Ok(below) => bytes = bytes.saturating_add(below),
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
                Err(e) => return Err(e),
            }
        }
        // Space that was taken ahead is taken; what is written but has no blocks yet soon will.
        bytes = bytes.saturating_add(meta.blocks().saturating_mul(BLOCK).max(meta.len()));
    }
    Ok(bytes)
}
