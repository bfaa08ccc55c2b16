//! Segments: the files that objects lie in, many to a file, so that a version is durable with one fsync.
//!
//! Grammar: `EPS1`, the packed objects one behind the other, a footer that names each (digest, place, length), its length and
//! checksum, `EPSE`. A segment is written beside its place and appears whole; it never changes afterwards.

use crate::{Error, durable};
use eport_model::{Digest, codec};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

const MAGIC: &[u8; 4] = b"EPS1";
const END: &[u8; 4] = b"EPSE";
/// Length of the footer, its checksum, the end mark.
const TRAILER_LEN: u64 = 16;
/// What the system says of a sector that cannot be read.
const EIO: i32 = 5;
/// Bytes after which a segment is ended and the next begins.
pub(super) const SEGMENT_LEN: u64 = 64 << 20;

/// Where an object lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Entry {
    pub digest: Digest,
    pub offset: u64,
    pub len: u32,
}

/// A segment that is being written.
pub(super) struct Writer {
    draft: durable::Draft,
    at: u64,
    entries: Vec<Entry>,
}

impl Writer {
    pub(super) fn create(path: &Path) -> Result<Self, Error> {
        full(path)?;
        let mut draft = durable::Draft::create(path)?;
        draft.write(MAGIC)?;
        Ok(Self { draft, at: MAGIC.len() as u64, entries: Vec::new() })
    }

    pub(super) fn append(&mut self, digest: Digest, packed: &[u8]) -> Result<(), Error> {
        let len = packed.len() as u64;
        let short = u32::try_from(len);
        let short = short.map_err(|_| Error::TooLarge { what: "object", len, limit: u64::from(u32::MAX) })?;
        self.draft.write(packed)?;
        self.entries.push(Entry { digest, offset: self.at, len: short });
        self.at += len;
        Ok(())
    }

    pub(super) fn len(&self) -> u64 {
        self.at
    }

    /// Makes it durable and visible.
    pub(super) fn publish(mut self, path: &Path) -> Result<Vec<Entry>, Error> {
        full(path)?;
        let footer = codec::encode(&self.entries);
        self.draft.write(&footer)?;
        self.draft.write(&(footer.len() as u64).to_le_bytes())?;
        self.draft.write(&crc32c::crc32c(&footer).to_le_bytes())?;
        self.draft.write(END)?;
        self.draft.publish()?;
        Ok(self.entries)
    }
}

/// A test may say that no space is left.
fn full(path: &Path) -> Result<(), Error> {
    if eport_failpoint::fails!("objects.write", "") {
        return Err(Error::DiskFull { operation: "write object", path: path.to_owned() });
    }
    Ok(())
}

/// Reads which objects a segment holds.
pub(super) fn entries(path: &Path) -> Result<Vec<Entry>, Error> {
    let damaged = |what: &str| Error::damaged(path, None, what.to_owned());
    let read = |e| Error::io("read segment", path, e);
    let file = File::open(path).map_err(read)?;
    let len = file.metadata().map_err(read)?.len();
    let body = len.checked_sub(TRAILER_LEN).ok_or_else(|| damaged("it is too short"))?;
    let mut trailer = [0; TRAILER_LEN as usize];
    file.read_exact_at(&mut trailer, body).map_err(read)?;
    let (footer_len, rest) = trailer.split_first_chunk::<8>().ok_or_else(|| damaged("it has no end"))?;
    let (crc, end) = rest.split_first_chunk::<4>().ok_or_else(|| damaged("it has no end"))?;
    let begin = body.checked_sub(u64::from_le_bytes(*footer_len)).filter(|_| end == END);
    let begin = begin.ok_or_else(|| damaged("it has no end"))?;
    // At most the length of the file.
    let mut footer = vec![0; (body - begin) as usize];
    file.read_exact_at(&mut footer, begin).map_err(read)?;
    if crc32c::crc32c(&footer) != u32::from_le_bytes(*crc) {
        return Err(damaged("the footer does not have its checksum"));
    }
    let entries: Vec<Entry> = codec::decode(&footer).map_err(|_| damaged("the footer is none"))?;
    if entries.iter().any(|e| e.offset.saturating_add(u64::from(e.len)) > begin) {
        return Err(damaged("an object lies outside"));
    }
    Ok(entries)
}

/// The packed bytes at a place; `None` when the segment is gone.
pub(super) fn read(path: &Path, offset: u64, len: u32) -> Result<Option<Vec<u8>>, Error> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::io("open segment", path, e)),
    };
    let mut bytes = vec![0; len as usize];
    match file.read_exact_at(&mut bytes, offset) {
        Ok(()) => Ok(Some(bytes)),
        // A sector that the disk cannot read is damage as well: the object is fetched again and lies elsewhere then.
        Err(e) if e.raw_os_error() == Some(EIO) => {
            Err(Error::damaged(path, None, "the disk cannot read it".to_owned()))
        }
        Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => {
            Err(Error::damaged(path, None, "it is cut off".to_owned()))
        }
        Err(e) => Err(Error::io("read object", path, e)),
    }
}
