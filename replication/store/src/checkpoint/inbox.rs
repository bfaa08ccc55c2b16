//! A checkpoint on its way to this node: taken piece by piece, verified, kept over restarts.
//!
//! Always holds: a file under its own name was verified and fsynced; `.part` is what has come of the file that is being taken, in
//! order from its beginning. What is here is bounded by the manifest, and that by `MANIFEST_LEN_MAX`.

use super::make::{hash_row, remove};
use super::{Checkpoint, CheckpointFile, MANIFEST, PIECE, Part, ROW_HEAD};
use crate::log::{LogFile, trim};
use crate::{Error, PlatformStore, durable};
use eport_model::{Digest, DigestHasher, JournalIndex, Position, codec};
use std::fs::{self, File, OpenOptions};
use std::io::{BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Longest key or value of a row that is taken.
const ROW_LEN_MAX: usize = 64 << 20;

/// The checkpoint that this node takes for one platform.
pub struct CheckpointInbox {
    store: PlatformStore,
    dir: PathBuf,
    manifest: Checkpoint,
}

/// The next pieces to ask for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Missing {
    /// Number of the file in the manifest.
    pub file: u32,
    /// First piece of it that is not here.
    pub piece: u32,
}

impl CheckpointInbox {
    /// The checkpoint that lies here, whole or in part.
    pub fn resume(store: &PlatformStore) -> Result<Option<Self>, Error> {
        let dir = folder(store.path());
        match Checkpoint::read(&dir) {
            Ok(Some(manifest)) => Ok(Some(Self { store: store.clone(), dir, manifest })),
            Ok(None) => Ok(None),
            Err(error) => {
                // A manifest that cannot be read is asked for again.
                tracing::warn!(region = %store.region(), %error, "a checkpoint begun before is dropped");
                remove(&dir)?;
                Ok(None)
            }
        }
    }

    /// Begins to take a checkpoint; what lies here of another one is removed. Refuses one that does not fit this journal.
    pub fn begin(store: &PlatformStore, manifest: Checkpoint) -> Result<Self, Error> {
        let dir = folder(store.path());
        if let Some(found) = Self::resume(store)?
            && found.manifest == manifest
        {
            return Ok(found);
        }
        manifest.check().map_err(|e| Error::damaged(&dir, None, e))?;
        fits(store, &manifest).map_err(|e| Error::damaged(&dir, Some(manifest.from), e))?;
        remove(&dir)?;
        durable::create_dir(&dir)?;
        durable::write_file(&dir.join(MANIFEST), &codec::encode(&manifest))?;
        Ok(Self { store: store.clone(), dir, manifest })
    }

    /// Forgets the checkpoint and everything taken of it.
    pub fn drop_all(self) -> Result<(), Error> {
        remove(&self.dir)
    }

    /// What is taken.
    pub fn manifest(&self) -> &Checkpoint {
        &self.manifest
    }

    /// True when it still continues the journal that is here.
    pub fn still_fits(&self) -> bool {
        fits(&self.store, &self.manifest).is_ok()
    }

    /// What to ask for next; `None` when every file is here. Looks at what lies in the folder: after a crash the pieces that are
    /// as they should be are kept.
    pub fn missing(&self) -> Result<Option<Missing>, Error> {
        for (n, file) in self.manifest.files.iter().enumerate() {
            if self.dir.join(file.name()).exists() {
                continue;
            }
            let piece = self.whole_pieces(file)?;
            if piece as usize == file.pieces.len() {
                self.finish_file(n as u32)?;
                continue;
            }
            return Ok(Some(Missing { file: n as u32, piece }));
        }
        Ok(None)
    }

    /// Bytes that are here, for people.
    pub fn bytes_here(&self) -> u64 {
        let here = |file: &CheckpointFile| match self.dir.join(file.name()).exists() {
            true => file.bytes,
            false => fs::metadata(self.part(file)).map_or(0, |m| m.len().min(file.bytes)),
        };
        self.manifest.files.iter().map(here).fold(0, u64::saturating_add)
    }

    /// Pieces at the front of what has come of a file that are as the manifest says.
    fn whole_pieces(&self, file: &CheckpointFile) -> Result<u32, Error> {
        let path = self.part(file);
        let part = match File::open(&path) {
            Ok(part) => part,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(0),
            Err(e) => return Err(Error::io("read checkpoint", &path, e)),
        };
        let mut buffer = vec![0; PIECE as usize];
        let mut whole = 0;
        for (n, crc) in file.pieces.iter().enumerate() {
            let len = file.piece_len(n as u32) as usize;
            match part.read_exact_at(&mut buffer[..len], n as u64 * PIECE) {
                Ok(()) if crc32c::crc32c(&buffer[..len]) == *crc => whole += 1,
                Ok(()) => break,
                Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => break,
                Err(e) => return Err(Error::io("read checkpoint", &path, e)),
            }
        }
        Ok(whole)
    }

    /// Takes one piece. `missing` named it, or the one before it was just taken. With the last one the file is verified; a file
    /// that does not verify is removed and said.
    pub fn take(&self, at: Missing, bytes: &[u8]) -> Result<(), Error> {
        let file = self.file(at.file)?;
        let path = self.part(file);
        let wanted = file.pieces.get(at.piece as usize);
        if wanted.is_none_or(|crc| *crc != crc32c::crc32c(bytes))
            || bytes.len() as u64 != file.piece_len(at.piece)
        {
            return Err(Error::damaged(
                &path,
                None,
                format!("piece {} is not the one that was announced", at.piece),
            ));
        }
        let part = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let part = part.map_err(|e| Error::io("write checkpoint", &path, e))?;
        part.write_all_at(bytes, u64::from(at.piece) * PIECE)
            .map_err(|e| Error::io("write checkpoint", &path, e))?;
        if at.piece as usize + 1 == file.pieces.len() {
            self.finish_file(at.file)?;
        }
        Ok(())
    }

    fn file(&self, n: u32) -> Result<&CheckpointFile, Error> {
        self.manifest
            .files
            .get(n as usize)
            .ok_or(Error::NoRecord { index: JournalIndex::from_u64(u64::from(n)) })
    }

    fn part(&self, file: &CheckpointFile) -> PathBuf {
        self.dir.join(format!("{}.part", file.name()))
    }

    /// Verifies what came of a file, makes it durable and gives it its name.
    fn finish_file(&self, n: u32) -> Result<(), Error> {
        let file = self.file(n)?;
        let (part, target) = (self.part(file), self.dir.join(file.name()));
        let failed = |e| Error::io("write checkpoint", &part, e);
        let open = OpenOptions::new().write(true).open(&part).map_err(failed)?;
        open.set_len(file.bytes).and_then(|()| open.sync_data()).map_err(failed)?;
        if let Part::Journal { first } = file.part
            && let Err(error) = self.check_journal(n, &part, first)
        {
            // Sent again from its beginning: which piece lied cannot be told.
            fs::remove_file(&part).map_err(failed)?;
            return Err(error);
        }
        fs::rename(&part, &target).map_err(failed)?;
        durable::sync_dir(&self.dir)
    }

    /// Every record of a journal file verifies, continues the chain, and stands in the epoch that the manifest says.
    fn check_journal(&self, n: u32, path: &Path, first: JournalIndex) -> Result<(), Error> {
        let bad = |index, detail: String| Error::damaged(path, Some(index), detail);
        let mut before = self.before(n)?;
        let from = self.manifest.from;
        LogFile::open(path, self.manifest.region, first)?.for_each(|record| {
            let index = record.index();
            if index <= from {
                return Ok(()); // Here already; the next one must follow it.
            }
            let epoch = self.manifest.history.epoch_of(index);
            let belongs = self.store.has_lineage(record.header.lineage)
                && record.header.platform == self.manifest.region;
            record.verify().and_then(|()| record.follows(&before)).map_err(|e| bad(index, e.to_string()))?;
            if !belongs || epoch != Some(record.header.epoch) || index > self.manifest.last.index {
                return Err(bad(index, "it does not belong to this checkpoint".to_owned()));
            }
            before = record.position();
            Ok(())
        })?;
        let next = self.manifest.files.get(n as usize + 1).map(|f| f.part);
        let ends = match next {
            Some(Part::Journal { first }) => first == before.index.next(),
            _ => before == self.manifest.last,
        };
        if ends {
            Ok(())
        } else {
            Err(bad(before.index, "the file ends elsewhere than it should".to_owned()))
        }
    }

    /// The record that the first new one of a journal file must follow.
    fn before(&self, n: u32) -> Result<Position, Error> {
        let Some(former) = n.checked_sub(1) else { return Ok(self.store.last()) };
        let file = self.file(former)?;
        let Part::Journal { first } = file.part else { return Ok(self.store.last()) };
        LogFile::open(&self.dir.join(file.name()), self.manifest.region, first)?.last()
    }

    /// Checks all rows together, once every file is here; with the last step that the checkpoint is ready to be installed. Rows
    /// that do not have the digest named are removed and said.
    pub fn verify(&self) -> Result<Position, Error> {
        let mut hasher = DigestHasher::new();
        let (mut rows, mut last_key) = (0u64, None::<Vec<u8>>);
        let read = self.for_each_row(|key, value| {
            if last_key.as_deref().is_some_and(|last| last >= key) {
                return Err(Error::damaged(&self.dir, None, "rows are out of order"));
            }
            last_key = Some(key.to_vec());
            hash_row(&mut hasher, key, value);
            rows += 1;
            Ok(())
        });
        let digest: Digest = hasher.finish();
        let outcome = match read {
            Ok(()) if digest == self.manifest.rows_digest && rows == self.manifest.rows => self.trim_first(),
            Ok(()) => {
                Err(Error::damaged(&self.dir, None, format!("{rows} rows have digest {}", digest.short())))
            }
            Err(error) => Err(error),
        };
        if matches!(outcome, Err(Error::Damaged { .. })) {
            for file in self.manifest.files.iter().filter(|f| matches!(f.part, Part::Rows { .. })) {
                // Best effort: what stays is found to be wrong again.
                let _ = fs::remove_file(self.dir.join(file.name()));
            }
        }
        outcome.map(|()| self.manifest.last)
    }

    /// The first journal file may begin with records that are here: it is written again without them, under its new name.
    fn trim_first(&self) -> Result<(), Error> {
        let Some((first, path)) = self.journal().into_iter().next() else { return Ok(()) };
        let begin = self.manifest.from.next();
        let target = self.dir.join(trimmed(begin));
        if first >= begin || target.exists() {
            return Ok(());
        }
        trim(&path, self.manifest.region, first, begin, &target)
    }

    /// Journal files of the checkpoint: first record and path.
    fn journal(&self) -> Vec<(JournalIndex, PathBuf)> {
        let of = |f: &CheckpointFile| match f.part {
            Part::Journal { first } => Some((first, self.dir.join(f.name()))),
            Part::Rows { .. } => None,
        };
        self.manifest.files.iter().filter_map(of).collect()
    }

    /// Journal files as they are installed: none begins before the first record that is missing here.
    pub(super) fn journal_to_install(&self) -> Vec<(JournalIndex, PathBuf)> {
        let begin = self.manifest.from.next();
        let renamed = |(first, path): (JournalIndex, PathBuf)| match first < begin {
            true => (begin, self.dir.join(trimmed(begin))),
            false => (first, path),
        };
        self.journal().into_iter().map(renamed).collect()
    }

    /// Calls `each` with every row, in order.
    pub(super) fn for_each_row(
        &self,
        mut each: impl FnMut(&[u8], &[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        for file in self.manifest.files.iter().filter(|f| matches!(f.part, Part::Rows { .. })) {
            let path = self.dir.join(file.name());
            let failed = |e| Error::io("read checkpoint", &path, e);
            let mut reader = BufReader::with_capacity(1 << 18, File::open(&path).map_err(failed)?);
            let mut left = file.bytes;
            let (mut key, mut value) = (Vec::new(), Vec::new());
            while left > 0 {
                let mut head = [0; ROW_HEAD];
                reader.read_exact(&mut head).map_err(failed)?;
                let [a, b, c, d, e, f, g, h] = head;
                let lens = [[a, b, c, d], [e, f, g, h]].map(|l| u32::from_le_bytes(l) as usize);
                let len = ROW_HEAD as u64 + lens[0] as u64 + lens[1] as u64;
                if len > left || lens.iter().any(|l| *l > ROW_LEN_MAX) {
                    return Err(Error::damaged(&path, None, "a row is longer than its file"));
                }
                key.resize(lens[0], 0);
                value.resize(lens[1], 0);
                reader.read_exact(&mut key).and_then(|()| reader.read_exact(&mut value)).map_err(failed)?;
                each(&key, &value)?;
                left -= len;
            }
        }
        Ok(())
    }
}

/// Where a platform's database keeps the checkpoint that it takes.
fn folder(database: &Path) -> PathBuf {
    database.join("checkpoint")
}

fn trimmed(first: JournalIndex) -> String {
    format!("{:020}.trimmed", first.as_u64())
}

/// The checkpoint goes on where this journal ends, and its rows are not older than those here.
fn fits(store: &PlatformStore, manifest: &Checkpoint) -> Result<(), String> {
    let last = store.last();
    let mut shared = manifest.history.clone();
    shared.truncate_after(last.index);
    if manifest.lineage != store.lineage() || manifest.region != store.region() {
        return Err(format!("it is of platform {} in {}", manifest.region, manifest.lineage));
    }
    if manifest.from != last.index || shared != store.history() || manifest.applied.index < last.index {
        return Err(format!("it begins after record {}, the journal here ends at {last}", manifest.from));
    }
    Ok(())
}
