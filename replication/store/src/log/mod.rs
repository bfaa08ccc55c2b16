//! The journal's files: records one behind the other, appended and fsynced by one thread, read by many.
//!
//! A file `FIRST.log` begins with its owner and holds dense records from `FIRST` on. Only the last one is written to. A file
//! that is full gets a table of the places of its records at its end and is never written again, except to erase a body
//! where it lies, or when the journal is cut back into it.
//!
//! Always holds: what `append` answered is fsynced; a bad frame behind the last fsynced record is the torn end of a crash
//! and is cut, any other is damage and refuses to open; a reader sees records that were here together, also while the
//! journal is cut beside it. Decision 0018 says why the journal does not lie in RocksDB.

mod adopt;
mod archive;
mod erase;
mod files;
mod frame;
mod mend;

pub use mend::{ClosedJournal, FileReport, Gap};

pub(crate) use adopt::{LogFile, trim};

use crate::{Error, layout};
use bytes::Bytes;
use eport_model::{JournalIndex, Record, RegionCode};
use files::Sealed;
use frame::{Frames, Head};
use std::collections::VecDeque;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

/// Files that were written to their end and are kept open for reading.
const OPEN_FILES: usize = 4;
/// What a look at a single record reads at once: most records are shorter.
const SINGLE: usize = 8 << 10;
/// What is encoded before it is written: a group goes to the file in pieces of this size, and then one fsync follows.
const PIECE: usize = 512 << 10;
/// A buffer that a large record has grown beyond this is given back.
const BUFFER_KEPT: usize = 2 * PIECE;

/// The files of one journal.
pub(crate) struct Log {
    dir: PathBuf,
    region: RegionCode,
    /// A file is full once it holds this many bytes.
    full: u64,
    places: RwLock<Places>,
    /// How often the journal was cut: a reader that sees it change starts again.
    cuts: AtomicU64,
    open: Mutex<VecDeque<(u64, Arc<Sealed>)>>,
    /// Bytes appended since the files were opened.
    appended: AtomicU64,
    /// How often records were brought to the disk since then, and the microseconds that it took.
    fsyncs: (AtomicU64, AtomicU64),
}

/// Where the records are.
struct Places {
    /// First records of the full files, ascending.
    sealed: Vec<u64>,
    active: Active,
}

/// The file that is written to.
struct Active {
    first: u64,
    file: Arc<File>,
    /// Place of each record.
    offsets: Vec<u32>,
    end: u64,
}

impl Active {
    /// The index after the last record.
    fn next(&self) -> u64 {
        self.first + self.offsets.len() as u64
    }
}

/// A run of records in one file, as of one moment.
struct Run {
    file: Arc<File>,
    at: u64,
    end: u64,
    cuts: u64,
}

impl Log {
    /// Opens or founds the files in `dir`. `fsynced` is a record known to have been fsynced.
    pub(crate) fn open(
        dir: &Path,
        region: RegionCode,
        full: u64,
        fsynced: JournalIndex,
    ) -> Result<Self, Error> {
        files::tidy(dir)?;
        let mut sealed = files::list(dir)?;
        let first = match sealed.pop() {
            Some(first) => first,
            None if fsynced == JournalIndex::ZERO => {
                files::create(dir, region, 1)?;
                1
            }
            None => return Err(Error::damaged(dir, Some(fsynced), "the journal's files are gone")),
        };
        files::check_dense(dir, &sealed, first)?;
        let active = files::recover(dir, region, first, fsynced)?;
        if active.first != first {
            sealed.push(first);
        }
        Ok(Self {
            dir: dir.to_owned(),
            region,
            full,
            places: RwLock::new(Places { sealed, active }),
            cuts: AtomicU64::new(0),
            open: Mutex::default(),
            appended: AtomicU64::new(0),
            fsyncs: Default::default(),
        })
    }

    fn look(&self) -> RwLockReadGuard<'_, Places> {
        self.places.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self) -> RwLockWriteGuard<'_, Places> {
        self.places.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last record; zero in an empty journal.
    pub(crate) fn last(&self) -> JournalIndex {
        JournalIndex::from_u64(self.look().active.next() - 1)
    }

    /// Writes records that directly follow the last and fsyncs them. One thread at a time. After an error nothing more may
    /// be written until the files are opened again: how much of the failed write is on disk is unknown.
    // How long the disk took is measured here, where it is waited for.
    #[allow(clippy::disallowed_methods)]
    pub(crate) fn append<'r>(
        &self,
        records: impl Iterator<Item = &'r Record>,
        buffer: &mut Vec<u8>,
    ) -> Result<(), Error> {
        if self.look().active.end >= self.full {
            self.roll()?;
        }
        let (file, at, synced) = {
            let places = self.look();
            (places.active.file.clone(), places.active.end, places.active.next() - 1)
        };
        let failed = |e| Error::io("append records", &self.dir, e);
        let (mut offsets, mut end) = (Vec::new(), at);
        buffer.clear();
        for record in records {
            let place = u32::try_from(end + buffer.len() as u64);
            offsets.push(place.map_err(|_| failed(std::io::ErrorKind::FileTooLarge.into()))?);
            frame::push(record, synced, buffer);
            if buffer.len() >= PIECE {
                file.write_all_at(buffer, end).map_err(failed)?;
                end += buffer.len() as u64;
                buffer.clear();
            }
        }
        if eport_failpoint::fails!("journal.write", self.region) {
            return Err(failed(std::io::ErrorKind::StorageFull.into()));
        }
        file.write_all_at(buffer, end).map_err(failed)?;
        eport_failpoint::point!("journal.fsync.before", self.region);
        if eport_failpoint::fails!("journal.fsync", self.region) {
            return Err(failed(std::io::Error::other("fsync failed (failpoint)")));
        }
        let began = Instant::now();
        file.sync_data().map_err(failed)?;
        let took = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.fsyncs.0.fetch_add(1, Ordering::Relaxed);
        self.fsyncs.1.fetch_add(took, Ordering::Relaxed);
        eport_failpoint::point!("journal.fsync.after", self.region);
        end += buffer.len() as u64;
        self.appended.fetch_add(end - at, Ordering::Relaxed);
        let mut places = self.change();
        places.active.offsets.extend(offsets);
        places.active.end = end;
        drop(places);
        if buffer.capacity() > BUFFER_KEPT {
            *buffer = Vec::new();
        }
        Ok(())
    }

    /// Bytes appended since the files were opened.
    pub(crate) fn appended(&self) -> u64 {
        self.appended.load(Ordering::Relaxed)
    }

    /// How often records were brought to the disk since the files were opened, and how long that took in all.
    pub(crate) fn fsyncs(&self) -> (u64, Duration) {
        let (count, micros) = (&self.fsyncs.0, &self.fsyncs.1);
        (count.load(Ordering::Relaxed), Duration::from_micros(micros.load(Ordering::Relaxed)))
    }

    /// Ends the active file with its table of places and begins the next.
    fn roll(&self) -> Result<(), Error> {
        let (first, next) = {
            let places = self.look();
            files::seal(&self.dir, places.active.first, &places.active)?;
            (places.active.first, places.active.next())
        };
        let active = files::create(&self.dir, self.region, next)?;
        let mut places = self.change();
        places.sealed.push(first);
        places.active = active;
        Ok(())
    }

    /// Removes every record after `after` and makes that durable. The files that go are removed from the end, so that what
    /// a crash leaves is always a journal.
    pub(crate) fn cut(&self, after: JournalIndex) -> Result<(), Error> {
        let next = after.as_u64() + 1;
        let mut places = self.change();
        self.cuts.fetch_add(1, Ordering::SeqCst);
        self.open.lock().unwrap_or_else(PoisonError::into_inner).clear();
        while places.active.first > next {
            let Some(first) = places.sealed.pop() else { break };
            files::remove(&self.dir, places.active.first)?;
            places.active = files::reopen(&self.dir, self.region, first)?;
        }
        let active = &mut places.active;
        let keep = next.saturating_sub(active.first) as usize;
        let Some(end) = active.offsets.get(keep).copied() else { return Ok(()) };
        let cut = active.file.set_len(u64::from(end)).and_then(|()| active.file.sync_all());
        cut.map_err(|e| Error::io("cut journal", &self.dir, e))?;
        active.offsets.truncate(keep);
        active.end = u64::from(end);
        Ok(())
    }

    /// Calls `each` with the stored bytes of the records from `from` on, as of now, until it answers false.
    pub(crate) fn for_each(
        &self,
        from: JournalIndex,
        mut each: impl FnMut(JournalIndex, Bytes) -> Result<bool, Error>,
    ) -> Result<(), Error> {
        let last = self.last();
        let (mut next, mut began) = (from.as_u64().max(1), None);
        while next <= last.as_u64() {
            let Some(run) = self.run(next)? else { return Ok(()) };
            if *began.get_or_insert(run.cuts) != run.cuts {
                return Ok(());
            }
            let mut frames = Frames::new(&run.file, run.at, run.end);
            while next <= last.as_u64() && frames.at() < run.end {
                let read = frames.next().map_err(|e| Error::io("read records", &self.dir, e));
                if self.cuts.load(Ordering::SeqCst) != run.cuts {
                    // What was delivered was here together; what follows now may be of another history.
                    return Ok(());
                }
                match read? {
                    Some((head, bytes)) if head.index == next => {
                        if !each(JournalIndex::from_u64(next), bytes)? {
                            return Ok(());
                        }
                    }
                    _ => return Err(self.damaged(next, "its frame cannot be read")),
                }
                next += 1;
            }
        }
        Ok(())
    }

    /// The stored bytes of one record; `None` when it is not here.
    pub(crate) fn get(&self, index: JournalIndex) -> Result<Option<Bytes>, Error> {
        loop {
            if index == JournalIndex::ZERO {
                return Ok(None);
            }
            let Some(run) = self.run(index.as_u64())? else { return Ok(None) };
            let read = Frames::new(&run.file, run.at, run.end).piece(SINGLE).next();
            if self.cuts.load(Ordering::SeqCst) != run.cuts {
                continue;
            }
            return match read.map_err(|e| Error::io("read record", &self.dir, e))? {
                Some((head, bytes)) if head.index == index.as_u64() => Ok(Some(bytes)),
                _ => Err(self.damaged(index.as_u64(), "its frame cannot be read")),
            };
        }
    }

    /// Where record `index` and those behind it in its file are.
    fn run(&self, index: u64) -> Result<Option<Run>, Error> {
        loop {
            let (first, cuts) = match self.look_up(index) {
                Ok(found) => return Ok(found),
                Err(sealed) => sealed,
            };
            let run = self.sealed(first, cuts).and_then(|sealed| {
                let at = sealed.place(index).map_err(|e| self.damaged(index, &e.to_string()))?;
                Ok(Some(Run { file: sealed.file.clone(), at, end: sealed.end, cuts }))
            });
            // A file that was opened while the journal was cut beside us may have lost its table, or be gone: look again.
            if run.is_ok() || self.cuts.load(Ordering::SeqCst) == cuts {
                return run;
            }
        }
    }

    /// A record of the active file, or that it is not here; for one of a full file the first record of that file.
    fn look_up(&self, index: u64) -> Result<Option<Run>, (u64, u64)> {
        let places = self.look();
        let cuts = self.cuts.load(Ordering::SeqCst);
        let active = &places.active;
        if index >= active.first {
            let at = active.offsets.get((index - active.first) as usize);
            let run = |at: &u32| Run { file: active.file.clone(), at: u64::from(*at), end: active.end, cuts };
            return Ok(at.map(run));
        }
        let n = places.sealed.partition_point(|first| *first <= index);
        match n.checked_sub(1).and_then(|n| places.sealed.get(n)) {
            Some(first) => Err((*first, cuts)),
            None => Ok(None),
        }
    }

    fn sealed(&self, first: u64, cuts: u64) -> Result<Arc<Sealed>, Error> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, sealed)) = open.iter().find(|(n, _)| *n == first) {
            return Ok(sealed.clone());
        }
        let sealed = Arc::new(Sealed::open(&self.dir, first)?);
        // A handle opened before a cut must not be found after it.
        if self.cuts.load(Ordering::SeqCst) == cuts {
            open.push_back((first, sealed.clone()));
            if open.len() > OPEN_FILES {
                open.pop_front();
            }
        }
        Ok(sealed)
    }

    fn damaged(&self, index: u64, detail: &str) -> Error {
        let detail = format!("record {index}: {detail}");
        Error::damaged(&self.dir, Some(JournalIndex::from_u64(index)), detail)
    }
}

/// Checks a frame as opening does: its place, its checksums, its digest.
fn whole(head: &Head, index: u64, bytes: Bytes) -> bool {
    head.index == index && layout::decode_record(JournalIndex::from_u64(index), bytes).is_ok()
}
