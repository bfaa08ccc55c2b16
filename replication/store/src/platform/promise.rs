//! What was acknowledged, noted beside the database, so that a damaged end of its log is not taken for a torn one.
//!
//! RocksDB cannot tell a log that lost its un-fsynced end from one whose last, fsynced block was damaged or cut off.
//! The file `PROMISE` names a record that was fsynced: it is written after every fsync and not fsynced itself, so after a
//! power cut it may name an older record, never one that was not durable. A journal that ends before it has lost records.
//!
//! Two slots are written in turn; the valid one with the higher serial counts.

use crate::{Error, durable};
use eport_model::{Digest, JournalIndex};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// serial u64, index u64, digest 32, crc u32, zeros up to 64 bytes.
const SLOT: usize = 64;

/// The open file.
pub(super) struct Promise {
    file: File,
    serial: u64,
}

/// A record that was fsynced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Kept {
    pub(super) index: JournalIndex,
    pub(super) digest: Digest,
}

impl Promise {
    /// Opens or creates the file and returns what it names.
    pub(super) fn open(dir: &Path) -> Result<(Self, Option<Kept>), Error> {
        let path = dir.join("PROMISE");
        if !path.exists() {
            durable::write_file(&path, &[0; 2 * SLOT])?;
        }
        let file = OpenOptions::new().read(true).write(true).open(&path);
        let file = file.map_err(|e| Error::io("open promise", &path, e))?;
        let slots = [0, SLOT].into_iter().filter_map(|at| read_slot(&file, at as u64));
        let newest = slots.max_by_key(|(serial, _)| *serial);
        let serial = newest.map_or(0, |(serial, _)| serial);
        Ok((Self { file, serial }, newest.map(|(_, kept)| kept)))
    }

    /// Notes that a record is fsynced. Failing to do so loses only this check, never a record.
    pub(super) fn note(&mut self, index: JournalIndex, digest: &Digest) {
        self.serial += 1;
        let mut slot = [0; SLOT];
        slot[..8].copy_from_slice(&self.serial.to_le_bytes());
        slot[8..16].copy_from_slice(&index.as_u64().to_le_bytes());
        slot[16..48].copy_from_slice(digest.as_bytes());
        let crc = crc32c::crc32c(&slot[..48]);
        slot[48..52].copy_from_slice(&crc.to_le_bytes());
        let at = (self.serial % 2) * SLOT as u64;
        if let Err(error) = self.file.write_all_at(&slot, at) {
            tracing::warn!(%error, "the last fsynced record could not be noted");
        }
    }

    /// Notes an earlier end, durably and in both slots, before the journal is cut to it.
    pub(super) fn lower(&mut self, path: &Path, index: JournalIndex, digest: &Digest) -> Result<(), Error> {
        self.note(index, digest);
        self.note(index, digest);
        self.file.sync_data().map_err(|e| Error::io("fsync promise", path, e))
    }
}

fn read_slot(file: &File, at: u64) -> Option<(u64, Kept)> {
    let mut slot = [0u8; SLOT];
    file.read_exact_at(&mut slot, at).ok()?;
    let word = |at: usize| slot[at..at + 8].try_into().map(u64::from_le_bytes).ok();
    let crc = slot[48..52].try_into().map(u32::from_le_bytes).ok()?;
    let (serial, index) = (word(0)?, word(8)?);
    if serial == 0 || crc != crc32c::crc32c(&slot[..48]) {
        return None;
    }
    let digest = Digest::from_bytes(slot[16..48].try_into().ok()?);
    Some((serial, Kept { index: JournalIndex::from_u64(index), digest }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_note_leaves_the_one_before() {
        let dir = tempfile::tempdir().unwrap();
        let at = JournalIndex::from_u64;
        let (mut promise, none) = Promise::open(dir.path()).unwrap();
        assert_eq!(none, None);
        promise.note(at(7), &Digest::of(b"7"));
        promise.note(at(9), &Digest::of(b"9"));
        assert_eq!(Promise::open(dir.path()).unwrap().1.unwrap().index, at(9));
        promise.file.write_all_at(&[0xee; 5], 10).unwrap();
        let (_, kept) = Promise::open(dir.path()).unwrap();
        assert_eq!(kept, Some(Kept { index: at(7), digest: Digest::of(b"7") }));
    }
}
