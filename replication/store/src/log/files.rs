//! Names, fronts, tables and recovery of the journal's files.
//!
//! ```text
//! file  = front, frames, and when it is full: places u32 each, then the trailer
//! front = magic 8, format u32, region u32, first u64, crc32c u32
//! trailer = magic u32, count u32, first u64, end of the frames u64, crc32c u32
//! ```

use super::frame::{self, Frames, HEAD, Head};
use super::{Active, whole};
use crate::{Error, durable};
use eport_model::{JournalIndex, RegionCode};
use std::fs::{self, File, OpenOptions};
use std::io::Result as IoResult;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(super) const FRONT: usize = 28;
const FRONT_MAGIC: [u8; 8] = *b"EPORTLOG";
const FORMAT: u32 = eport_model::formats::JOURNAL_FILE;
const TRAILER: usize = 28;
const TRAILER_MAGIC: u32 = 0x5452_5065;

/// What a file begins with. The lineage is in every record.
pub(super) fn front(region: RegionCode, first: u64) -> [u8; FRONT] {
    let mut out = [0; FRONT];
    out[..8].copy_from_slice(&FRONT_MAGIC);
    out[8..12].copy_from_slice(&FORMAT.to_le_bytes());
    out[12..16].copy_from_slice(&region.as_u32().to_le_bytes());
    out[16..24].copy_from_slice(&first.to_le_bytes());
    let crc = crc32c::crc32c(&out[..24]);
    out[24..].copy_from_slice(&crc.to_le_bytes());
    out
}

pub(super) fn path(dir: &Path, first: u64) -> PathBuf {
    dir.join(format!("{first:020}.log"))
}

/// True for a file that lies in the archive: what stands under its name is a link.
pub(super) fn is_archived(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|m| m.is_symlink())
}

fn io(operation: &'static str, path: &Path) -> impl Fn(std::io::Error) -> Error {
    let path = path.to_owned();
    move |e| match e.kind() {
        std::io::ErrorKind::NotFound if is_archived(&path) => Error::ArchiveAway { path: path.clone() },
        std::io::ErrorKind::NotFound => Error::damaged(&path, None, "a file of the journal is gone"),
        _ => Error::io(operation, &path, e),
    }
}

/// First records of the files in the folder, ascending. Other names are left alone.
pub(super) fn list(dir: &Path) -> Result<Vec<u64>, Error> {
    durable::create_dir(dir)?;
    let mut firsts = Vec::new();
    for entry in fs::read_dir(dir).map_err(io("list journal", dir))? {
        let name = entry.map_err(io("list journal", dir))?.file_name();
        let first = name.to_str().and_then(|n| n.strip_suffix(".log")).and_then(|n| n.parse::<u64>().ok());
        firsts.extend(first);
    }
    firsts.sort_unstable();
    Ok(firsts)
}

/// Removes what a crash left half written.
pub(super) fn tidy(dir: &Path) -> Result<(), Error> {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.path().extension().is_some_and(|e| e == durable::PARTIAL) {
            fs::remove_file(entry.path()).map_err(io("remove a half-written file", dir))?;
        }
    }
    Ok(())
}

/// Checks that the full files follow each other up to the last one.
pub(super) fn check_dense(dir: &Path, sealed: &[u64], last: u64) -> Result<(), Error> {
    let mut expected = 1;
    for (n, first) in sealed.iter().enumerate() {
        if *first != expected {
            break;
        }
        expected = match Sealed::open(dir, *first) {
            Ok(sealed) => first + sealed.count,
            // It was whole when it was moved; the platform serves what it has here.
            Err(Error::ArchiveAway { .. }) => sealed.get(n + 1).copied().unwrap_or(last),
            Err(error) => return Err(error),
        };
    }
    if last == expected && sealed.last().is_none_or(|s| *s < last) {
        return Ok(());
    }
    let index = JournalIndex::from_u64(expected);
    Err(Error::damaged(dir, Some(index), format!("no file holds record {expected}, but later ones are here")))
}

/// Makes an empty file for records from `first` on.
pub(super) fn create(dir: &Path, region: RegionCode, first: u64) -> Result<Active, Error> {
    let path = path(dir, first);
    durable::write_file(&path, &front(region, first))?;
    let file = open_writable(&path)?;
    Ok(Active { first, file: Arc::new(file), offsets: Vec::new(), end: FRONT as u64 })
}

fn open_writable(path: &Path) -> Result<File, Error> {
    OpenOptions::new().read(true).write(true).open(path).map_err(io("open journal", path))
}

/// Removes a file, durably.
pub(super) fn remove(dir: &Path, first: u64) -> Result<(), Error> {
    let path = path(dir, first);
    if let Ok(archived) = fs::read_link(&path) {
        // What is cut off is gone from the archive too; a copy that cannot be reached is passed over by every reader.
        let _ = fs::remove_file(archived);
    }
    fs::remove_file(&path).map_err(io("cut journal", &path))?;
    durable::sync_dir(dir)
}

/// Opens the last file after a stop or a crash: every record is checked, a torn end is cut, damage is refused. Begins the
/// next file when this one was ended already.
pub(super) fn recover(
    dir: &Path,
    region: RegionCode,
    first: u64,
    fsynced: JournalIndex,
) -> Result<Active, Error> {
    let path = path(dir, first);
    let mut active = scan(&path, region, first)?;
    let len = active.file.metadata().map_err(io("open journal", &path))?.len();
    if active.end == len {
        return Ok(active);
    }
    if let Ok(table) = Sealed::read(&active.file, first, len) {
        // The crash came between the end of this file and the beginning of the next.
        if table == (active.offsets.len() as u64, active.end) {
            return create(dir, region, active.next());
        }
    }
    let bad = active.next();
    let proven = frame::proves_fsynced(&active.file, active.end, len, bad);
    if fsynced.as_u64() >= bad || proven.map_err(io("read journal", &path))? {
        let index = JournalIndex::from_u64(bad);
        return Err(Error::damaged(&path, Some(index), format!("record {bad}: its frame cannot be read")));
    }
    tracing::warn!(region = %region, bytes = len - active.end, after = bad - 1, "a torn end of the journal was cut");
    cut(&mut active, &path)?;
    Ok(active)
}

/// Opens a full file to write to it again, because what followed it was cut off.
pub(super) fn reopen(dir: &Path, region: RegionCode, first: u64) -> Result<Active, Error> {
    let path = path(dir, first);
    let mut active = scan(&path, region, first)?;
    let table =
        Sealed::read(&active.file, first, active.file.metadata().map_err(io("cut journal", &path))?.len());
    if table.map_err(io("cut journal", &path))? != (active.offsets.len() as u64, active.end) {
        let bad = JournalIndex::from_u64(active.next());
        return Err(Error::damaged(&path, Some(bad), "its frame cannot be read"));
    }
    cut(&mut active, &path)?;
    Ok(active)
}

fn cut(active: &mut Active, path: &Path) -> Result<(), Error> {
    active.file.set_len(active.end).and_then(|()| active.file.sync_all()).map_err(io("cut journal", path))
}

/// Reads all frames up to the first that is not whole.
pub(super) fn scan(path: &Path, region: RegionCode, first: u64) -> Result<Active, Error> {
    let file = open_writable(path)?;
    let mut found = [0; FRONT];
    let read = file.read_exact_at(&mut found, 0);
    if read.is_err() || found != front(region, first) {
        return Err(Error::damaged(path, None, "the front of the file does not name this journal"));
    }
    let len = file.metadata().map_err(io("open journal", path))?.len();
    let mut offsets = Vec::new();
    let mut frames = Frames::new(&file, FRONT as u64, len);
    let mut end = frames.at();
    while let Some((head, bytes)) = frames.next().map_err(io("read journal", path))? {
        if !whole(&head, first + offsets.len() as u64, bytes) {
            break;
        }
        offsets.push(u32::try_from(end).map_err(|_| Error::damaged(path, None, "the file is too long"))?);
        end = frames.at();
    }
    Ok(Active { first, file: Arc::new(file), offsets, end })
}

/// Ends a full file with the places of its records.
pub(super) fn seal(dir: &Path, first: u64, active: &Active) -> Result<(), Error> {
    let out = table(first, &active.offsets, active.end);
    let written = active.file.write_all_at(&out, active.end).and_then(|()| active.file.sync_all());
    written.map_err(io("end a file of the journal", &path(dir, first)))
}

/// What stands behind the frames of a full file: the places of its records, and the trailer.
pub(super) fn table(first: u64, offsets: &[u32], end: u64) -> Vec<u8> {
    let mut out: Vec<u8> = offsets.iter().flat_map(|o| o.to_le_bytes()).collect();
    let at = out.len();
    out.extend_from_slice(&TRAILER_MAGIC.to_le_bytes());
    out.extend_from_slice(&(offsets.len() as u32).to_le_bytes());
    out.extend_from_slice(&first.to_le_bytes());
    out.extend_from_slice(&end.to_le_bytes());
    let crc = crc32c::crc32c(&out[at..]);
    out.extend_from_slice(&crc.to_le_bytes());
    out
}

/// A full file, open for reading.
pub(super) struct Sealed {
    pub(super) file: Arc<File>,
    first: u64,
    /// How many records it holds.
    pub(super) count: u64,
    /// Where its frames end.
    pub(super) end: u64,
}

impl Sealed {
    pub(super) fn open(dir: &Path, first: u64) -> Result<Self, Error> {
        let path = path(dir, first);
        let file = File::open(&path).map_err(io("open journal", &path))?;
        let len = file.metadata().map_err(io("open journal", &path))?.len();
        let (count, end) = Self::read(&file, first, len).map_err(|e| match e.kind() {
            std::io::ErrorKind::InvalidData => Error::damaged(&path, None, e.to_string()),
            _ => Error::io("open journal", &path, e),
        })?;
        Ok(Self { file: Arc::new(file), first, count, end })
    }

    /// Reads the trailer: how many records, and where the frames end.
    pub(super) fn read(file: &File, first: u64, len: u64) -> IoResult<(u64, u64)> {
        let bad = || {
            std::io::Error::new(
                std::io::ErrorKind::InvalidData,
                "the end of the file is not a table of places",
            )
        };
        let at = len.checked_sub(TRAILER as u64).ok_or_else(bad)?;
        let mut t = [0; TRAILER];
        file.read_exact_at(&mut t, at)?;
        let word = |at: usize| u32::from_le_bytes([t[at], t[at + 1], t[at + 2], t[at + 3]]);
        let long = |at: usize| u64::from(word(at)) | u64::from(word(at + 4)) << 32;
        let (count, end) = (u64::from(word(4)), long(16));
        let fits = end.checked_add(count * 4) == Some(at) && end >= FRONT as u64 && count > 0;
        let known = word(0) == TRAILER_MAGIC && long(8) == first && word(24) == crc32c::crc32c(&t[..24]);
        if known && fits { Ok((count, end)) } else { Err(bad()) }
    }

    /// Where record `index` begins. A table that does not lead to it is passed over: the frames themselves tell.
    pub(super) fn place(&self, index: u64) -> IoResult<u64> {
        let bad = |what: &str| std::io::Error::new(std::io::ErrorKind::InvalidData, what.to_owned());
        let n = index.checked_sub(self.first).filter(|n| *n < self.count);
        let n = n.ok_or_else(|| bad("its file does not reach it"))?;
        let mut place = [0; 4];
        self.file.read_exact_at(&mut place, self.end + n * 4)?;
        let at = u64::from(u32::from_le_bytes(place));
        if self.begins(at, index)? {
            return Ok(at);
        }
        let mut frames = Frames::new(&self.file, FRONT as u64, self.end);
        loop {
            let at = frames.at();
            match frames.next()? {
                Some((head, _)) if head.index == index => return Ok(at),
                Some((head, _)) if head.index < index => {}
                _ => return Err(bad("its frame cannot be found")),
            }
        }
    }

    fn begins(&self, at: u64, index: u64) -> IoResult<bool> {
        let mut head = [0; HEAD];
        if at + HEAD as u64 > self.end {
            return Ok(false);
        }
        self.file.read_exact_at(&mut head, at)?;
        Ok(Head::decode(&head).is_some_and(|h| h.index == index))
    }
}
