//! Whole files that come and go: linked into a checkpoint, put behind the journal from one.

use super::frame::{self, Frames};
use super::{Active, Log, files, whole};
use crate::{Error, durable, layout};
use bytes::Bytes;
use eport_model::{JournalIndex, Position, Record, RegionCode};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

impl Log {
    /// Ends the active file and links every file with a record after `from` into `dir`. The caller keeps appends away.
    pub(crate) fn link_after(&self, from: JournalIndex, dir: &Path) -> Result<Vec<JournalIndex>, Error> {
        if !self.look().active.offsets.is_empty() {
            self.roll()?;
        }
        let firsts = self.look().sealed.clone();
        // The file that holds the record after `from` is the last one that begins at or before it.
        let at = firsts.partition_point(|first| *first <= from.as_u64() + 1).saturating_sub(1);
        let mut linked = Vec::new();
        for first in firsts.into_iter().skip(at) {
            let target = files::path(dir, first);
            fs::hard_link(files::path(&self.dir, first), &target)
                .map_err(|e| Error::io("link journal", &target, e))?;
            linked.push(JournalIndex::from_u64(first));
        }
        Ok(linked)
    }

    /// Moves full files behind the last record, in order, and begins the file after them. May be repeated after a crash: what was
    /// moved already is passed over. One thread; nobody appends.
    pub(crate) fn adopt(&self, staged: &[(JournalIndex, PathBuf)], last: JournalIndex) -> Result<(), Error> {
        let mut places = self.change();
        self.cuts.fetch_add(1, Ordering::SeqCst);
        self.open.lock().unwrap_or_else(PoisonError::into_inner).clear();
        if !places.active.offsets.is_empty() {
            files::seal(&self.dir, places.active.first, &places.active)?;
            let first = places.active.first;
            places.sealed.push(first);
        }
        for (first, path) in staged {
            let (first, target) = (first.as_u64(), files::path(&self.dir, first.as_u64()));
            if !path.exists() && places.sealed.contains(&first) {
                continue;
            }
            fs::rename(path, &target).map_err(|e| Error::io("put journal in place", &target, e))?;
            if !places.sealed.contains(&first) {
                places.sealed.push(first);
            }
        }
        durable::sync_dir(&self.dir)?;
        let next = last.as_u64() + 1;
        places.active = files::create(&self.dir, self.region, next)?;
        files::check_dense(&self.dir, &places.sealed, next)
    }
}

/// A full journal file outside of a journal.
pub(crate) struct LogFile {
    active: Active,
    path: PathBuf,
}

impl LogFile {
    /// Opens a file and checks that it is full: its frames end where its table begins.
    pub(crate) fn open(path: &Path, region: RegionCode, first: JournalIndex) -> Result<Self, Error> {
        let active = files::scan(path, region, first.as_u64())?;
        let len = active.file.metadata().map_err(|e| Error::io("read journal", path, e))?.len();
        let table = files::Sealed::read(&active.file, first.as_u64(), len);
        let full =
            table.is_ok_and(|t| t == (active.offsets.len() as u64, active.end)) && !active.offsets.is_empty();
        match full {
            true => Ok(Self { active, path: path.to_owned() }),
            false => Err(Error::damaged(path, Some(first), "it is not a full journal file")),
        }
    }

    /// Calls `each` with every record.
    pub(crate) fn for_each(&self, mut each: impl FnMut(&Record) -> Result<(), Error>) -> Result<(), Error> {
        let Some(begin) = self.active.offsets.first() else { return Ok(()) };
        let mut frames = Frames::new(&self.active.file, u64::from(*begin), self.active.end);
        for n in 0..self.active.offsets.len() as u64 {
            let index = JournalIndex::from_u64(self.active.first + n);
            each(&self.decode(index, frames.next())?)?;
        }
        Ok(())
    }

    /// Its last record.
    pub(crate) fn last(&self) -> Result<Position, Error> {
        let Some(at) = self.active.offsets.last() else { return Ok(Position::ZERO) };
        let index = JournalIndex::from_u64(self.active.next() - 1);
        let mut frames = Frames::new(&self.active.file, u64::from(*at), self.active.end);
        Ok(self.decode(index, frames.next())?.position())
    }

    fn decode(
        &self,
        index: JournalIndex,
        frame: std::io::Result<Option<(frame::Head, Bytes)>>,
    ) -> Result<Record, Error> {
        let bad = |detail: String| Error::damaged(&self.path, Some(index), detail);
        let (_, bytes) = frame
            .map_err(|e| Error::io("read journal", &self.path, e))?
            .ok_or_else(|| bad("its frame cannot be read".to_owned()))?;
        layout::decode_record(index, bytes).map_err(bad)
    }
}

/// Writes a full file again without the records before `begin`.
pub(crate) fn trim(
    path: &Path,
    region: RegionCode,
    first: JournalIndex,
    begin: JournalIndex,
    target: &Path,
) -> Result<(), Error> {
    let source = LogFile::open(path, region, first)?;
    let skip = begin.since(first) as usize;
    let Some(at) = source.active.offsets.get(skip).copied().map(u64::from) else {
        return Err(Error::damaged(path, Some(begin), "the file does not hold the record"));
    };
    // Frames name their record and are moved as they are; only front and table are new.
    let failed = |e| Error::io("write journal", target, e);
    let mut draft = durable::Draft::create(target)?;
    let front = files::front(region, begin.as_u64());
    draft.write(&front)?;
    let mut frames = Frames::new(&source.active.file, at, source.active.end);
    let mut offsets = Vec::new();
    let mut end = front.len() as u64;
    while let Some((head, bytes)) = frames.next().map_err(failed)? {
        if !whole(&head, begin.as_u64() + offsets.len() as u64, bytes.clone()) {
            return Err(Error::damaged(path, Some(begin), "its frame cannot be read"));
        }
        offsets.push(u32::try_from(end).map_err(|_| failed(std::io::ErrorKind::FileTooLarge.into()))?);
        draft.write(&head.encode())?;
        draft.write(&bytes)?;
        end += (frame::HEAD + bytes.len()) as u64;
    }
    draft.write(&files::table(begin.as_u64(), &offsets, end))?;
    draft.publish()
}
