//! Tails received from the node that exported them, part by part, kept beside the node's own.
//!
//! Always holds: a part is written only at the end of what is here, so repetitions and two senders do no harm; a tail is whole
//! only when every record in it was verified and chained, the file has the digest that was announced, and file and manifest
//! are fsynced. What arrives is bounded by what was announced, and that by `TAIL_LEN_MAX`.

use super::tail::{document, read_segment, stem};
use super::{FORMAT, SegmentEntry, TailManifest};
use crate::{Error, durable};
use eport_model::{Lineage, Position, RegionCode};
use serde::{Deserialize, Serialize};
use std::fs::{self, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Longest record file of a tail that is taken. 64 GiB: a week at 50 documents of 2 KiB a second.
const TAIL_LEN_MAX: u64 = 64 << 30;

/// What a tail is, without its records.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TailHead {
    /// The federation's lineage.
    pub lineage: Lineage,
    /// The platform.
    pub region: RegionCode,
    /// The last record that stays.
    pub after: Position,
    /// The last record of the tail.
    pub last: Position,
    /// The record file.
    pub segment: SegmentEntry,
}

impl TailManifest {
    /// Reads a manifest.
    pub fn read(manifest: &Path) -> Result<Self, Error> {
        super::tail::read_manifest(manifest)
    }

    /// What a receiver needs to know of the tail.
    pub fn head(&self) -> TailHead {
        TailHead {
            lineage: self.lineage,
            region: self.region,
            after: self.after,
            last: self.last,
            segment: self.segment.clone(),
        }
    }
}

/// How much of a tail is here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Received {
    /// All of it, verified and fsynced.
    Whole,
    /// So many bytes of its record file.
    Bytes(u64),
}

/// The folder of tails that one node sent.
#[derive(Clone, Debug)]
pub struct TailInbox {
    dir: PathBuf,
}

impl TailInbox {
    /// The inbox in this folder, which appears with the first part.
    pub fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// Where the manifest of a tail is, once it is whole.
    pub fn manifest(&self, head: &TailHead) -> PathBuf {
        self.dir.join(format!("{}.json", stem(head.region, &head.after, &head.last)))
    }

    /// How much of a tail is here.
    pub fn received(&self, head: &TailHead) -> Result<Received, Error> {
        if self.manifest(head).exists() {
            return Ok(Received::Whole);
        }
        let part = self.part(head)?;
        match fs::metadata(&part) {
            Ok(found) => Ok(Received::Bytes(found.len().min(head.segment.bytes))),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Received::Bytes(0)),
            Err(e) => Err(Error::io("read tail", &part, e)),
        }
    }

    /// Takes bytes of the record file at `offset`; ignored unless they continue what is here. With the last ones the tail is
    /// verified and made durable. What does not verify is removed, so that it is sent again.
    pub fn take(&self, head: &TailHead, offset: u64, bytes: &[u8]) -> Result<Received, Error> {
        let here = match self.received(head)? {
            Received::Bytes(here) => here,
            whole => return Ok(whole),
        };
        let part = self.part(head)?;
        let end = offset.saturating_add(bytes.len() as u64);
        if offset != here || end > head.segment.bytes {
            return Ok(Received::Bytes(here));
        }
        durable::create_dir(&self.dir)?;
        let failed = |e| Error::io("write tail", &part, e);
        let mut file = OpenOptions::new().create(true).append(true).open(&part).map_err(failed)?;
        file.write_all(bytes).map_err(failed)?;
        if end < head.segment.bytes {
            return Ok(Received::Bytes(end));
        }
        file.sync_all().map_err(failed)?;
        drop(file);
        self.publish(head, &part).inspect_err(|_| {
            // Best effort: what stays is found to be damaged again.
            let _ = fs::remove_file(&part);
        })?;
        Ok(Received::Whole)
    }

    fn publish(&self, head: &TailHead, part: &Path) -> Result<(), Error> {
        let name = format!("{}.eps", stem(head.region, &head.after, &head.last));
        let mut documents = Vec::new();
        read_segment(part, &head.after, &head.last, &head.segment, &mut |record| {
            if record.header.lineage != head.lineage || record.header.platform != head.region {
                let detail = "a record belongs to another platform or federation";
                return Err(Error::damaged(part, Some(record.index()), detail));
            }
            documents.extend(document(&record));
            Ok(())
        })?;
        let target = self.dir.join(&name);
        fs::rename(part, &target).map_err(|e| Error::io("rename tail", &target, e))?;
        let TailHead { lineage, region, after, last, segment } = head.clone();
        let segment = SegmentEntry { file: name, ..segment };
        let manifest =
            TailManifest { format: FORMAT, lineage, region, after, last, segment, documents, node: None };
        let text = serde_json::to_vec_pretty(&manifest).expect("a manifest has only plain fields");
        durable::write_file(&self.dir.join(manifest.file_name()), &text)
    }

    /// The file being received. Its name is made here from checked parts: nothing that a peer says is a path.
    fn part(&self, head: &TailHead) -> Result<PathBuf, Error> {
        if head.segment.bytes > TAIL_LEN_MAX {
            return Err(Error::TooLarge { what: "tail", len: head.segment.bytes, limit: TAIL_LEN_MAX });
        }
        Ok(self.dir.join(format!("{}.part", stem(head.region, &head.after, &head.last))))
    }
}

impl TailHead {
    /// Reads what the manifest of a tail says of it, without its records.
    pub fn read(manifest: &Path) -> Result<Self, Error> {
        super::tail::read_manifest(manifest).map(|tail| tail.head())
    }

    /// Up to `len` bytes of the record file beside a manifest, from `offset` on.
    pub fn read_part(&self, manifest: &Path, offset: u64, len: u64) -> Result<Vec<u8>, Error> {
        let path = manifest.with_file_name(format!("{}.eps", stem(self.region, &self.after, &self.last)));
        let failed = |e| Error::io("read tail", &path, e);
        let mut file = fs::File::open(&path).map_err(failed)?;
        file.seek(SeekFrom::Start(offset)).map_err(failed)?;
        let mut bytes = Vec::new();
        file.take(len).read_to_end(&mut bytes).map_err(failed)?;
        Ok(bytes)
    }
}
