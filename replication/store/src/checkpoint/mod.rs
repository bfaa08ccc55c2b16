//! Checkpoints: a platform's journal and rows as files, made by its primary, taken part by part, installed as one.
//!
//! A checkpoint is a folder named by the digest of its manifest: journal files whole as they lie (the ones that hold a record
//! after `from`, hard links, so they cost nothing), the state rows as of `applied` in key order, and the manifest, written last.
//! It holds no node-local row and no key: bodies and sensitive columns are encrypted before they enter a journal.
//!
//! Always holds: a piece is taken only under the checksum that the manifest names for it; a journal file is taken only when every
//! record in it verifies and continues the chain from the last record here; rows only when all of them together have the digest
//! named; what is installed is all of it or nothing, also after a crash at any step. Decision 0019 says why the journal comes along.

mod inbox;
mod install;
mod make;

pub use inbox::{CheckpointInbox, Missing};

use crate::Error;
use eport_model::{Digest, EpochHistory, JournalIndex, Lineage, Position, RegionCode, codec};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Version of manifest and row files.
const FORMAT: u32 = eport_model::formats::CHECKPOINT;
/// Bytes under one checksum: what is asked for, sent and taken at once.
pub const PIECE: u64 = 1 << 20;
/// Longest manifest that is taken.
pub const MANIFEST_LEN_MAX: usize = 4 << 20;
/// Longest file of a checkpoint that is taken: a full journal file and its last group.
const FILE_LEN_MAX: u64 = 2 << 30;
/// Name of the manifest in its folder.
const MANIFEST: &str = "MANIFEST";
/// Bytes in front of a row: length of key and value, u32 each.
const ROW_HEAD: usize = 8;

/// What a checkpoint is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Version of this description and of the files of rows.
    pub format: u32,
    /// Version of the layout of records.
    pub layout: u32,
    /// The history it belongs to.
    pub lineage: Lineage,
    /// The platform.
    pub region: RegionCode,
    /// Epochs of the whole journal up to `last`.
    pub history: EpochHistory,
    /// Every record after this one is in the files.
    pub from: JournalIndex,
    /// The record as of which the rows are.
    pub applied: Position,
    /// The last record of the files; not before `applied`.
    pub last: Position,
    /// How many rows.
    pub rows: u64,
    /// SHA-256 over all rows in key order, as the state digest counts it.
    pub rows_digest: Digest,
    /// The files, journal first, each in order.
    pub files: Vec<CheckpointFile>,
}

/// One file of a checkpoint.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CheckpointFile {
    /// What it holds.
    pub part: Part,
    /// Its length.
    pub bytes: u64,
    /// crc32c of each piece of `PIECE` bytes.
    pub pieces: Vec<u32>,
}

/// What a file of a checkpoint holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Part {
    /// A journal file as it lies, whose first record is this one.
    Journal {
        /// The record.
        first: JournalIndex,
    },
    /// Rows, the n-th file of them.
    Rows {
        /// Its number.
        n: u32,
    },
}

impl CheckpointFile {
    /// Its name in the folder, made from checked numbers: nothing that a peer says is a path.
    fn name(&self) -> String {
        match self.part {
            Part::Journal { first } => format!("{:020}.log", first.as_u64()),
            Part::Rows { n } => format!("{n:06}.rows"),
        }
    }

    /// Length of one piece; 0 for one that it does not have.
    pub fn piece_len(&self, piece: u32) -> u64 {
        self.bytes.saturating_sub(u64::from(piece) * PIECE).min(PIECE)
    }
}

impl Checkpoint {
    /// Its name: the digest of the manifest.
    pub fn id(&self) -> Digest {
        Digest::of(&codec::encode(self))
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().fold(0u64, |sum, f| sum.saturating_add(f.bytes))
    }

    /// Checks that what a peer describes can be one: bounded, dense, in order.
    fn check(&self) -> Result<(), String> {
        if self.format != FORMAT || self.layout != crate::layout::FORMAT {
            return Err(format!("format {} with layout {} is not known here", self.format, self.layout));
        }
        if self.applied.index > self.last.index || self.from >= self.last.index {
            return Err(format!(
                "records after {} up to {}, rows as of {}",
                self.from, self.last, self.applied
            ));
        }
        let (mut first, mut rows) = (None, 0);
        for file in &self.files {
            let pieces = file.bytes.div_ceil(PIECE);
            if file.bytes == 0 || file.bytes > FILE_LEN_MAX || file.pieces.len() as u64 != pieces {
                return Err(format!(
                    "{} has {} bytes in {} pieces",
                    file.name(),
                    file.bytes,
                    file.pieces.len()
                ));
            }
            match file.part {
                Part::Journal { first: next } if rows == 0 && first.is_none_or(|f| f < next) => {
                    first = first.or(Some(next));
                    if next > self.last.index || next == JournalIndex::ZERO {
                        return Err(format!("{} begins behind the end", file.name()));
                    }
                }
                Part::Rows { n } if n == rows => rows += 1,
                _ => return Err(format!("{} is out of order", file.name())),
            }
        }
        match first {
            Some(first) if first <= self.from.next() => Ok(()),
            _ => Err(format!("no file holds record {}", self.from.next())),
        }
    }

    /// Reads the manifest of a folder, if it has one.
    pub fn read(dir: &Path) -> Result<Option<Self>, Error> {
        let path = dir.join(MANIFEST);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::io("read checkpoint", &path, e)),
        };
        let damaged = |e: String| Error::damaged(&path, None, e);
        let found: Self =
            codec::decode_with_limit(&bytes, MANIFEST_LEN_MAX).map_err(|e| damaged(e.to_string()))?;
        found.check().map_err(damaged)?;
        Ok(Some(found))
    }

    /// Reads one piece of one file from the folder in which the checkpoint was made; `None` for one that it does not have. A
    /// piece that is not as the manifest says is damage.
    pub fn piece(&self, dir: &Path, file: u32, piece: u32) -> Result<Option<Vec<u8>>, Error> {
        let Some(entry) = self.files.get(file as usize) else { return Ok(None) };
        let Some(crc) = entry.pieces.get(piece as usize) else { return Ok(None) };
        let path = dir.join(entry.name());
        let failed = |e| Error::io("read checkpoint", &path, e);
        let source = File::open(&path).map_err(failed)?;
        let mut bytes = vec![0; entry.piece_len(piece) as usize];
        source.read_exact_at(&mut bytes, u64::from(piece) * PIECE).map_err(failed)?;
        if crc32c::crc32c(&bytes) != *crc {
            return Err(Error::damaged(&path, None, format!("piece {piece} is not as it was")));
        }
        Ok(Some(bytes))
    }
}

/// Checksums of a file's pieces, and its length.
fn pieces(path: &Path) -> Result<(u64, Vec<u32>), Error> {
    let failed = |e| Error::io("read checkpoint", path, e);
    let file = File::open(path).map_err(failed)?;
    let len = file.metadata().map_err(failed)?.len();
    let mut buffer = vec![0; PIECE as usize];
    let mut crcs = Vec::new();
    let mut at = 0;
    while at < len {
        let take = (len - at).min(PIECE) as usize;
        file.read_exact_at(&mut buffer[..take], at).map_err(failed)?;
        crcs.push(crc32c::crc32c(&buffer[..take]));
        at += take as u64;
    }
    Ok((len, crcs))
}

#[cfg(test)]
mod tests;
