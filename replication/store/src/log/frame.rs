//! Frames: how one record lies in a log file, and how a run of them is read.
//!
//! ```text
//! frame = magic u32, len u32 (bytes behind the head), index u64, synced u64, crc32c of these u32; then the record
//! ```
//!
//! `synced` is the last record that was known to be fsynced when the frame was written. A frame that can be read therefore
//! proves that everything up to its `synced` had reached the disk, whatever a power cut did to the frames in between.

use crate::layout::{self, RECORD_LEN_MAX};
use bytes::Bytes;
use eport_model::Record;
use std::fs::File;
use std::io::{ErrorKind, Result};
use std::os::unix::fs::FileExt;

/// Bytes in front of every record.
pub(super) const HEAD: usize = 28;
const MAGIC: u32 = 0x4c52_5065;
/// Longest record behind a head: the limit by weight, and room for what the weight only estimates.
const FRAME_LEN_MAX: usize = RECORD_LEN_MAX + (16 << 20);
/// What one read fetches while frames follow each other.
const CHUNK: usize = 256 << 10;

/// The front of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Head {
    pub(super) len: usize,
    pub(super) index: u64,
    pub(super) synced: u64,
}

impl Head {
    pub(super) fn encode(&self) -> [u8; HEAD] {
        let mut out = [0; HEAD];
        out[..4].copy_from_slice(&MAGIC.to_le_bytes());
        out[4..8].copy_from_slice(&(self.len as u32).to_le_bytes());
        out[8..16].copy_from_slice(&self.index.to_le_bytes());
        out[16..24].copy_from_slice(&self.synced.to_le_bytes());
        let crc = crc32c::crc32c(&out[..24]);
        out[24..].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// Reads a head; `None` when these bytes are none.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.first_chunk::<HEAD>()?;
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let long = |at: usize| u64::from(word(at)) | u64::from(word(at + 4)) << 32;
        let len = word(4) as usize;
        let known = word(0) == MAGIC && word(24) == crc32c::crc32c(&bytes[..24]) && len <= FRAME_LEN_MAX;
        known.then(|| Head { len, index: long(8), synced: long(16) })
    }
}

/// Appends a record's frame.
pub(super) fn push(record: &Record, synced: u64, out: &mut Vec<u8>) {
    let at = out.len();
    out.extend_from_slice(&[0; HEAD]);
    layout::push_record(record, out);
    let head = Head { len: out.len() - at - HEAD, index: record.index().as_u64(), synced };
    out[at..at + HEAD].copy_from_slice(&head.encode());
}

/// A run of frames in one file, read in large pieces.
pub(super) struct Frames<'a> {
    file: &'a File,
    /// Place of the next frame.
    at: u64,
    end: u64,
    chunk: Bytes,
    chunk_at: u64,
    piece: usize,
}

impl<'a> Frames<'a> {
    /// Frames of `file` from `at` up to `end`.
    pub(super) fn new(file: &'a File, at: u64, end: u64) -> Self {
        Self { file, at, end, chunk: Bytes::new(), chunk_at: at, piece: CHUNK }
    }

    /// Reads `bytes` at once where less is wanted than a whole run.
    pub(super) fn piece(mut self, bytes: usize) -> Self {
        self.piece = bytes.clamp(HEAD, CHUNK);
        self
    }

    /// Place of the next frame.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// The next frame; `None` at the end, and at bytes that are no frame.
    pub(super) fn next(&mut self) -> Result<Option<(Head, Bytes)>> {
        let Some(head) = self.bytes(self.at, HEAD)?.and_then(|b| Head::decode(&b)) else { return Ok(None) };
        let Some(record) = self.bytes(self.at + HEAD as u64, head.len)? else { return Ok(None) };
        self.at += (HEAD + head.len) as u64;
        Ok(Some((head, record)))
    }

    /// Bytes at a place; `None` when the file does not reach that far.
    fn bytes(&mut self, at: u64, len: usize) -> Result<Option<Bytes>> {
        if at + len as u64 > self.end {
            return Ok(None);
        }
        let from = (at - self.chunk_at) as usize;
        if from + len > self.chunk.len() {
            self.fetch(at, len)?;
            return Ok((self.chunk.len() >= len).then(|| self.chunk.slice(..len)));
        }
        Ok(Some(self.chunk.slice(from..from + len)))
    }

    fn fetch(&mut self, at: u64, len: usize) -> Result<()> {
        let want = (self.end - at).min(self.piece.max(len) as u64) as usize;
        let mut bytes = vec![0; want];
        let got = read_up_to(self.file, &mut bytes, at)?;
        bytes.truncate(got);
        self.chunk = Bytes::from(bytes);
        self.chunk_at = at;
        Ok(())
    }
}

/// Fills the buffer as far as the file reaches.
pub(super) fn read_up_to(file: &File, bytes: &mut [u8], at: u64) -> Result<usize> {
    let mut got = 0;
    while got < bytes.len() {
        match file.read_at(&mut bytes[got..], at + got as u64) {
            Ok(0) => break,
            Ok(n) => got += n,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(got)
}

/// The place of the next head between `at` and `end` that names a record of `wanted`; what lies before it is no frame.
pub(super) fn next_head(file: &File, at: u64, end: u64, wanted: std::ops::Range<u64>) -> Result<Option<u64>> {
    let mut from = at;
    while from < end {
        let mut bytes = vec![0; (end - from).min(CHUNK as u64) as usize];
        let got = read_up_to(file, &mut bytes, from)?;
        let is_head = |w: &[u8]| Head::decode(w).is_some_and(|h| wanted.contains(&h.index));
        if let Some(n) = bytes[..got].windows(HEAD).position(is_head) {
            return Ok(Some(from + n as u64));
        }
        if got < bytes.len() {
            break;
        }
        from += (got.saturating_sub(HEAD - 1)).max(1) as u64;
    }
    Ok(None)
}

/// Whether any frame between `at` and `end` says that record `index` had been fsynced before it was written.
pub(super) fn proves_fsynced(file: &File, at: u64, end: u64, index: u64) -> Result<bool> {
    let mut from = at;
    while from < end {
        let mut bytes = vec![0; (end - from).min(CHUNK as u64) as usize];
        let got = read_up_to(file, &mut bytes, from)?;
        let proof = bytes[..got].windows(HEAD).any(|w| Head::decode(w).is_some_and(|h| h.synced >= index));
        if proof {
            return Ok(true);
        }
        if got < bytes.len() {
            break;
        }
        // The next piece begins inside this one, so that no head is cut in two.
        from += (got.saturating_sub(HEAD - 1)).max(1) as u64;
    }
    Ok(false)
}
