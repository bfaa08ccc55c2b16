//! Full files of the journal on another file system: cheaper and slower, and not the one that the node needs to run.
//!
//! A file that was moved leaves a symbolic link under its name; whatever reads, erases or writes files anew follows it. Always: the
//! copy is whole, fsynced and read back before the link takes the file's place in one step; a crash leaves the file or the link. An
//! archive that is away is no damage: nothing is mended for it, and records that lie there are told to be there.

use super::{JournalIndex, Log, LogFile, PoisonError, files};
use crate::{Error, durable};
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::Ordering;

/// What is copied at once.
const STEP: usize = 1 << 20;

impl Log {
    /// Moves the full file that begins with record `first` into the folder `to`; the bytes moved, 0 when there is nothing to move.
    /// `pay` is told of the bytes and may end it. The caller lets nobody erase a body or mend a file meanwhile.
    pub(crate) fn archive(
        &self,
        first: u64,
        to: &Path,
        pay: &mut dyn FnMut(u64) -> bool,
    ) -> Result<u64, Error> {
        let (cuts, from) = (self.cuts.load(Ordering::SeqCst), files::path(&self.dir, first));
        if !self.look().sealed.contains(&first) || files::is_archived(&from) {
            return Ok(0);
        }
        durable::create_dir(to)?;
        let target = files::path(to, first);
        let failed = |e| Error::io("archive journal", &from, e);
        let mut source = File::open(&from).map_err(failed)?;
        let mut draft = durable::Draft::create(&target)?;
        let (mut buffer, mut bytes) = (vec![0; STEP], 0);
        loop {
            let n = source.read(&mut buffer).map_err(failed)?;
            if n == 0 {
                break;
            }
            draft.write(&buffer[..n])?;
            bytes += n as u64;
            if !pay(n as u64) {
                return Ok(0);
            }
        }
        draft.publish()?;
        LogFile::open(&target, self.region, JournalIndex::from_u64(first))?;
        let link = from.with_extension(format!("log.{}", durable::PARTIAL));
        let _ = fs::remove_file(&link);
        symlink(&target, &link).map_err(failed)?;
        // Nobody cuts the journal while the file changes its place.
        let places = self.change();
        if self.cuts.load(Ordering::SeqCst) != cuts || !places.sealed.contains(&first) {
            let _ = fs::remove_file(&link);
            return Ok(0);
        }
        fs::rename(&link, &from).map_err(failed)?;
        drop(places);
        // A handle that stays open would keep the space.
        self.open.lock().unwrap_or_else(PoisonError::into_inner).retain(|(n, _)| *n != first);
        durable::sync_dir(&self.dir)?;
        Ok(bytes)
    }

    /// Full files that lie here and hold nothing after `last`: (first record, last record), in order.
    pub(crate) fn archivable(&self, last: JournalIndex) -> Vec<(JournalIndex, JournalIndex)> {
        let places = self.file_places();
        let full = places.iter().filter(|p| p.is_full() && p.next <= last.as_u64() + 1);
        let here = full.filter(|p| !files::is_archived(&files::path(&self.dir, p.first)));
        here.map(|p| (JournalIndex::from_u64(p.first), JournalIndex::from_u64(p.next - 1))).collect()
    }

    /// How many files are archived, and the name of one whose archive is away.
    pub(crate) fn archived(&self) -> (u64, Option<std::path::PathBuf>) {
        let (mut count, mut away) = (0, None);
        for place in self.file_places() {
            let path = files::path(&self.dir, place.first);
            if files::is_archived(&path) {
                count += 1;
                if away.is_none() && !path.exists() {
                    away = Some(path);
                }
            }
        }
        (count, away)
    }
}
