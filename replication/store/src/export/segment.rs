//! Segment files: a magic, then frames of length, crc32c and one encoded record.
//!
//! Reading never allocates beyond a frame, and a frame never beyond the codec's limit; damaged bytes are a fault that
//! names its place, and the reader goes on with the next frame while it can find it.

use super::SegmentEntry;
use crate::{Error, durable};
use eport_model::codec::{self, DECODE_LEN_MAX};
use eport_model::{Digest, DigestHasher, JournalIndex, Record};
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

/// First bytes of a segment; the digits are its format.
pub(crate) const MAGIC: &[u8; 8] = b"EPJSEG01";

/// Writes one segment; it appears when published.
pub(crate) struct SegmentWriter {
    draft: durable::Draft,
    hasher: DigestHasher,
    entry: SegmentEntry,
}

impl SegmentWriter {
    /// Starts a segment named `file` in `dir`.
    pub(crate) fn create(dir: &Path, file: String) -> Result<Self, Error> {
        let draft = durable::Draft::create(&dir.join(&file))?;
        let zero = JournalIndex::ZERO;
        let entry =
            SegmentEntry { file, first: zero, last: zero, records: 0, bytes: 0, sha256: Digest::ZERO };
        let mut writer = Self { draft, hasher: DigestHasher::new(), entry };
        writer.write(MAGIC)?;
        Ok(writer)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.hasher.update(bytes);
        self.entry.bytes += bytes.len() as u64;
        self.draft.write(bytes)
    }

    /// Bytes written so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.entry.bytes
    }

    /// Adds a record.
    pub(crate) fn push(&mut self, record: &Record) -> Result<(), Error> {
        let payload = codec::encode(record);
        let mut front = [0; 8];
        front[..4].copy_from_slice(&(payload.len() as u32).to_le_bytes());
        front[4..].copy_from_slice(&crc32c::crc32c(&payload).to_le_bytes());
        self.write(&front)?;
        self.write(&payload)?;
        if self.entry.records == 0 {
            self.entry.first = record.index();
        }
        self.entry.last = record.index();
        self.entry.records += 1;
        Ok(())
    }

    /// Makes the segment durable and visible.
    pub(crate) fn publish(self) -> Result<SegmentEntry, Error> {
        let mut entry = self.entry;
        entry.sha256 = self.hasher.finish();
        self.draft.publish()?;
        Ok(entry)
    }
}

/// What the reader found next.
pub(crate) enum Frame {
    /// A record that decodes; whether it is true is the chain's business.
    Record(Box<Record>),
    /// A frame that does not; reading goes on behind it.
    Damaged(String),
    /// Nothing more can be read here.
    Lost(String),
    /// The end of the file.
    End,
}

/// Reads one segment as a stream.
pub(crate) struct SegmentReader {
    file: BufReader<File>,
    hasher: DigestHasher,
    bytes: u64,
    damaged_before: bool,
    started: bool,
}

impl SegmentReader {
    /// Opens a segment.
    pub(crate) fn open(path: &Path) -> std::io::Result<Self> {
        let file = BufReader::with_capacity(1 << 18, File::open(path)?);
        Ok(Self { file, hasher: DigestHasher::new(), bytes: 0, damaged_before: false, started: false })
    }

    /// Reads up to `len` bytes; memory grows with what is really there.
    fn pull(&mut self, len: usize) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::with_capacity(len.min(1 << 16));
        (&mut self.file)
            .take(len as u64)
            .read_to_end(&mut bytes)
            .map_err(|e| format!("cannot be read: {e}"))?;
        self.hasher.update(&bytes);
        self.bytes += bytes.len() as u64;
        Ok(bytes)
    }

    /// The next frame.
    pub(crate) fn next(&mut self) -> Frame {
        self.try_next().unwrap_or_else(Frame::Lost)
    }

    fn try_next(&mut self) -> Result<Frame, String> {
        if !self.started {
            self.started = true;
            if self.pull(MAGIC.len())? != MAGIC {
                return Err("the file does not begin like a segment of this format".to_owned());
            }
        }
        let front = self.pull(8)?;
        let Ok(front) = <[u8; 8]>::try_from(front.as_slice()) else {
            return if front.is_empty() {
                Ok(Frame::End)
            } else {
                Err("the file ends inside a frame".to_owned())
            };
        };
        let len = u32::from_le_bytes([front[0], front[1], front[2], front[3]]) as usize;
        let crc = u32::from_le_bytes([front[4], front[5], front[6], front[7]]);
        if len > DECODE_LEN_MAX {
            return Err(format!("a frame claims {len} bytes"));
        }
        let payload = self.pull(len)?;
        if payload.len() < len {
            return Err("the file ends inside a frame".to_owned());
        }
        if crc32c::crc32c(&payload) != crc {
            return self.damaged("the checksum of the frame does not match".to_owned());
        }
        match codec::decode::<Record>(&payload) {
            Ok(record) => {
                self.damaged_before = false;
                Ok(Frame::Record(Box::new(record)))
            }
            Err(e) => self.damaged(format!("the frame holds no record: {e}")),
        }
    }

    /// Two damaged frames in a row mean that the lengths are no longer to be trusted.
    fn damaged(&mut self, detail: String) -> Result<Frame, String> {
        if self.damaged_before {
            return Err(detail);
        }
        self.damaged_before = true;
        Ok(Frame::Damaged(detail))
    }

    /// Reads what is left and returns length and SHA-256 of the file.
    pub(crate) fn finish(mut self) -> Result<(u64, Digest), String> {
        while !self.pull(1 << 16)?.is_empty() {}
        Ok((self.bytes, self.hasher.finish()))
    }
}
