//! Erasing a body where it lies.
//!
//! Always holds: nothing moves, nothing else of the record changes; after a crash at any step the body is whole or counts as
//! erased, and doing it again ends it. Three writes, each fsynced: the state says that it goes, zeros, checksum and last state.

use super::{Log, files, frame};
use crate::{Error, layout};
use eport_model::JournalIndex;
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;

/// Zeros written at once.
const ZEROS: usize = 64 << 10;

impl Log {
    /// Overwrites body `n` of a stored record. The caller lets nobody mend files or cut the journal meanwhile, and has checked
    /// that the record has this body and that it is not erased yet.
    pub(crate) fn erase(&self, index: JournalIndex, n: u16) -> Result<(), Error> {
        let Some(run) = self.run(index.as_u64())? else { return Err(Error::NoRecord { index }) };
        let damaged = |detail: &str| self.damaged(index.as_u64(), detail);
        let Some(bytes) = self.get(index)? else { return Err(Error::NoRecord { index }) };
        let place = layout::body_place(&bytes, n).map_err(|e| damaged(&e))?;
        let Some((state, len)) = place else { return Err(damaged("it has no such body")) };
        let first = self.file_of(index);
        let path = files::path(&self.dir, first);
        let failed = |e| Error::io("erase body", &path, e);
        let file = OpenOptions::new().write(true).open(&path).map_err(failed)?;
        let at = run.at + (frame::HEAD + state) as u64;
        file.write_all_at(&[layout::GOING], at).and_then(|()| file.sync_data()).map_err(failed)?;
        let zeros = vec![0; ZEROS.min(len)];
        let mut done = 0;
        while done < len {
            let n = zeros.len().min(len - done);
            file.write_all_at(&zeros[..n], at + 1 + done as u64).map_err(failed)?;
            done += n;
        }
        file.sync_data().map_err(failed)?;
        let front = layout::erased_front(index, n, len);
        file.write_all_at(&front, at - 4).and_then(|()| file.sync_data()).map_err(failed)
    }

    /// True when a body is erased to the end: nothing of it is on disk, or there never was anything.
    pub(crate) fn is_gone(&self, index: JournalIndex, n: u16) -> Result<bool, Error> {
        let Some(bytes) = self.get(index)? else { return Ok(true) };
        let place = layout::body_place(&bytes, n).map_err(|e| self.damaged(index.as_u64(), &e))?;
        Ok(place.is_none_or(|(state, _)| bytes.get(state) == Some(&1)))
    }

    /// First record of the file that holds a record.
    fn file_of(&self, index: JournalIndex) -> u64 {
        let places = self.look();
        if index.as_u64() >= places.active.first {
            return places.active.first;
        }
        let n = places.sealed.partition_point(|first| *first <= index.as_u64());
        n.checked_sub(1).and_then(|n| places.sealed.get(n)).copied().unwrap_or(places.active.first)
    }
}
