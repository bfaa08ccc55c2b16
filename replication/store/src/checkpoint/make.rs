//! Making a checkpoint beside a running platform.
//!
//! The rows are a snapshot, taken first; then the journal's file is ended, so that everything applied lies in full files, which
//! are linked. Nothing waits but an append that comes while files are linked.

use super::{Checkpoint, CheckpointFile, FORMAT, MANIFEST, Part, ROW_HEAD, pieces};
use crate::durable::{self, Draft};
use crate::platform::PlatformStore;
use crate::{Error, layout};
use eport_model::{Digest, DigestHasher, JournalIndex, codec};
use std::fs;
use std::path::{Path, PathBuf};

/// A file of rows is ended once it holds this many bytes.
const ROWS_FILE: u64 = 32 << 20;

impl PlatformStore {
    /// Makes a checkpoint with every record after `from` in a new folder below `dir` and returns it with that folder. Repeated
    /// when records are appended all the time: each has its own name. What a crash leaves is removed by the next.
    pub fn make_checkpoint(&self, dir: &Path, from: JournalIndex) -> Result<(Checkpoint, PathBuf), Error> {
        let making = dir.join("making");
        remove(&making)?;
        durable::create_dir(&making)?;
        let snapshot = self.snapshot();
        let applied = snapshot.applied()?;
        let (last, history, firsts) = self.link_journal(from, &making)?;
        let mut rows = RowFiles {
            dir: &making,
            n: 0,
            open: None,
            hasher: DigestHasher::new(),
            rows: 0,
            parts: Vec::new(),
        };
        snapshot.for_each_row(|key, value| rows.push(key, value))?;
        drop(snapshot);
        let (count, rows_digest, row_parts) = rows.finish()?;
        let journal = firsts.into_iter().map(|first| Part::Journal { first });
        let mut files = Vec::new();
        for part in journal.chain(row_parts) {
            let mut file = CheckpointFile { part, bytes: 0, pieces: Vec::new() };
            (file.bytes, file.pieces) = pieces(&making.join(file.name()))?;
            files.push(file);
        }
        let made = Checkpoint {
            format: FORMAT,
            layout: layout::FORMAT,
            lineage: self.lineage(),
            region: self.region(),
            history,
            from,
            applied,
            last,
            rows: count,
            rows_digest,
            files,
        };
        made.check().map_err(|e| Error::damaged(&making, None, e))?;
        durable::write_file(&making.join(MANIFEST), &codec::encode(&made))?;
        let target = dir.join(made.id().to_string());
        remove(&target)?;
        fs::rename(&making, &target).map_err(|e| Error::io("rename checkpoint", &target, e))?;
        durable::sync_dir(dir)?;
        Ok((made, target))
    }
}

/// Removes a folder of a checkpoint, if it is there.
pub(super) fn remove(dir: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(dir) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove checkpoint", dir, e)),
        _ => Ok(()),
    }
}

/// Rows on their way into files.
struct RowFiles<'a> {
    dir: &'a Path,
    n: u32,
    open: Option<(Draft, u64)>,
    hasher: DigestHasher,
    rows: u64,
    parts: Vec<Part>,
}

impl RowFiles<'_> {
    fn push(&mut self, key: &[u8], value: &[u8]) -> Result<(), Error> {
        let lens = u32::try_from(key.len()).ok().zip(u32::try_from(value.len()).ok());
        let Some((key_len, value_len)) = lens else {
            return Err(Error::TooLarge { what: "row", len: value.len() as u64, limit: u64::from(u32::MAX) });
        };
        hash_row(&mut self.hasher, key, value);
        self.rows += 1;
        if self.open.is_none() {
            let part = Part::Rows { n: self.n };
            let name = CheckpointFile { part, bytes: 0, pieces: Vec::new() }.name();
            self.open = Some((Draft::create(&self.dir.join(name))?, 0));
            self.parts.push(part);
            self.n += 1;
        }
        let Some((draft, bytes)) = &mut self.open else { return Ok(()) };
        for bytes in [&key_len.to_le_bytes()[..], &value_len.to_le_bytes(), key, value] {
            draft.write(bytes)?;
        }
        *bytes += (ROW_HEAD + key.len() + value.len()) as u64;
        if *bytes >= ROWS_FILE {
            self.end_file()?;
        }
        Ok(())
    }

    fn end_file(&mut self) -> Result<(), Error> {
        self.open.take().map_or(Ok(()), |(draft, _)| draft.publish())
    }

    fn finish(mut self) -> Result<(u64, Digest, Vec<Part>), Error> {
        self.end_file()?;
        Ok((self.rows, self.hasher.finish(), self.parts))
    }
}

/// Adds a row to the digest, as the state digest does.
pub(super) fn hash_row(hasher: &mut DigestHasher, key: &[u8], value: &[u8]) {
    for part in [key, value] {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
}
