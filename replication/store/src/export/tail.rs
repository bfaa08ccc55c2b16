//! Exported tails: the records of a journal behind the point where it diverged, kept until somebody has decided on each.
//!
//! Grammar: `tail-REGION-EPOCH-AFTER-LAST.eps` holds the records, the same name with `.json` names every document in it.
//! The manifest appears last, so a tail with a manifest is whole. Nothing is truncated before it exists.

use super::segment::{Frame, SegmentReader, SegmentWriter};
use super::{FORMAT, SegmentEntry};
use crate::{Error, PlatformStore, durable};
use eport_model::{Digest, Epoch, JournalIndex, Lineage, NodeId, Position, Record, RegionCode, Timestamp};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::Path;

/// Longest manifest that is read: a million documents at 250 bytes.
const MANIFEST_LEN_MAX: u64 = 256 << 20;

/// One request in a tail.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TailDocument {
    /// Its record.
    pub index: JournalIndex,
    /// Epoch of its record.
    pub epoch: Epoch,
    /// Business key or idempotency key.
    pub request: String,
    /// Who asked.
    pub caller: String,
    /// When it was first accepted.
    pub accepted_at: Timestamp,
    /// SHA-256 of the request as stored, where it has a body.
    pub body: Option<Digest>,
    /// Digest of its record.
    pub record: Digest,
}

/// What a tail holds.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TailManifest {
    /// Format of the tail.
    pub format: u32,
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
    /// Every request in it, in order.
    pub documents: Vec<TailDocument>,
    /// Whose journal it was, where it was exported to be carried away; else its folder tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeId>,
}

impl TailManifest {
    /// Name of the manifest file in its folder.
    pub fn file_name(&self) -> String {
        tail_file_name(self.region, &self.after, &self.last)
    }
}

/// Name of the manifest of the tail between two positions.
pub fn tail_file_name(region: RegionCode, after: &Position, last: &Position) -> String {
    format!("{}.json", stem(region, after, last))
}

pub(super) fn stem(region: RegionCode, after: &Position, last: &Position) -> String {
    format!("tail-{region}-{}-{}-{}", last.epoch, after.index, last.index)
}

impl PlatformStore {
    /// Exports every record after `after` with its manifest, verified while it is written, durable when this returns.
    /// The caller keeps appends away meanwhile. Repeating it writes the same files again.
    pub fn export_tail(&self, after: JournalIndex, dir: &Path) -> Result<TailManifest, Error> {
        self.export_tail_of(None, after, dir)
    }

    /// The same, to be carried away: the manifest names the node.
    pub fn export_tail_of(
        &self,
        node: Option<NodeId>,
        after: JournalIndex,
        dir: &Path,
    ) -> Result<TailManifest, Error> {
        durable::create_dir(dir)?;
        let last = self.last();
        let after = self.position(after.min(last.index))?.ok_or(Error::NoRecord { index: after })?;
        let name = stem(self.region(), &after, &last);
        let mut writer = SegmentWriter::create(dir, format!("{name}.eps"))?;
        let (mut before, mut documents) = (after, Vec::new());
        self.for_each_record(after.index.next(), |record| {
            if record.index() > last.index {
                return Ok(false);
            }
            record
                .verify()
                .and(record.follows(&before))
                .map_err(|defect| Error::damaged(self.path(), Some(record.index()), defect.to_string()))?;
            before = record.position();
            documents.extend(document(&record));
            writer.push(&record)?;
            Ok(true)
        })?;
        if before != last {
            return Err(Error::damaged(
                self.path(),
                Some(before.index.next()),
                "the tail cannot be read to its end",
            ));
        }
        let segment = writer.publish()?;
        let manifest = TailManifest {
            format: FORMAT,
            lineage: self.lineage(),
            region: self.region(),
            after,
            last,
            segment,
            documents,
            node,
        };
        let text = serde_json::to_vec_pretty(&manifest).expect("a manifest has only plain fields");
        durable::write_file(&dir.join(manifest.file_name()), &text)?;
        Ok(manifest)
    }
}

pub(super) fn document(record: &Record) -> Option<TailDocument> {
    let request = record.header.request.as_ref()?;
    let body = request.body.and_then(|n| record.header.bodies.get(usize::from(n)));
    Some(TailDocument {
        index: record.index(),
        epoch: record.header.epoch,
        request: request.id.clone(),
        caller: request.caller.clone(),
        accepted_at: request.accepted_at,
        body: body.map(|b| b.digest),
        record: record.digest,
    })
}

/// Reads the manifest of a tail.
pub(super) fn read_manifest(manifest: &Path) -> Result<TailManifest, Error> {
    let bad = |detail: String| Error::damaged(manifest, None, detail);
    let len = fs::metadata(manifest).map_err(|e| Error::io("read tail", manifest, e))?.len();
    if len > MANIFEST_LEN_MAX {
        return Err(Error::TooLarge { what: "tail manifest", len, limit: MANIFEST_LEN_MAX });
    }
    let text = fs::read(manifest).map_err(|e| Error::io("read tail", manifest, e))?;
    let tail: TailManifest = serde_json::from_slice(&text).map_err(|e| bad(e.to_string()))?;
    if tail.format > FORMAT {
        return Err(Error::NewerFormat { path: manifest.to_owned(), found: tail.format, known: FORMAT });
    }
    if tail.segment.file != format!("{}.eps", stem(tail.region, &tail.after, &tail.last)) {
        return Err(bad("the manifest names another tail's file".to_owned()));
    }
    Ok(tail)
}

/// The records of a tail that carry a request with a body, in order, as its manifest lists them.
pub fn tail_documents(manifest: &Path) -> Result<Vec<JournalIndex>, Error> {
    let tail = read_manifest(manifest)?;
    Ok(tail.documents.iter().filter(|d| d.body.is_some()).map(|d| d.index).collect())
}

/// Reads a tail back: every record verified and chained, each given to `each`; damage anywhere is an error.
pub fn read_tail(
    manifest: &Path,
    mut each: impl FnMut(Record) -> Result<(), Error>,
) -> Result<TailManifest, Error> {
    let tail = read_manifest(manifest)?;
    let path = manifest.with_file_name(&tail.segment.file);
    read_segment(&path, &tail.after, &tail.last, &tail.segment, &mut each)?;
    Ok(tail)
}

/// Reads the record file of a tail to its end: every record verified and chained, the file the one that the entry names.
pub(super) fn read_segment(
    path: &Path,
    after: &Position,
    last: &Position,
    entry: &SegmentEntry,
    each: &mut dyn FnMut(Record) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut reader = SegmentReader::open(path).map_err(|e| Error::io("read tail", path, e))?;
    let mut before = *after;
    loop {
        let record = match reader.next() {
            Frame::Record(record) => *record,
            Frame::End => break,
            Frame::Damaged(detail) | Frame::Lost(detail) => {
                return Err(Error::damaged(path, Some(before.index.next()), detail));
            }
        };
        record
            .verify()
            .and(record.follows(&before))
            .map_err(|defect| Error::damaged(path, Some(record.index()), defect.to_string()))?;
        before = record.position();
        each(record)?;
    }
    let (bytes, sha256) = reader.finish().map_err(|e| Error::damaged(path, None, e))?;
    if before != *last || bytes != entry.bytes || sha256 != entry.sha256 {
        return Err(Error::damaged(path, Some(before.index), "the file is not the one its manifest names"));
    }
    Ok(())
}
