//! Journals outside the database: exports for verification and archives, tails of journals that diverged.
//!
//! An export is a folder: `segment-FIRST.eps` files with dense, chained records, and `manifest.json` naming each with its
//! digest. What a verification proves rests on the chain alone; the manifest only tells where to look and what was promised.

mod check;
mod inbox;
mod piece;
mod restore;
mod segment;
mod tail;
mod verify;

pub use check::{EpochSpan, HeadJudge, Problem, SignedHead, SignedHeads, VerifyReport};
pub use inbox::{Received, TailHead, TailInbox};
pub use restore::{Restored, Until};
pub use tail::{TailDocument, TailManifest, read_tail, tail_documents, tail_file_name};
pub use verify::verify_export;

use crate::{Error, PlatformStore, durable};
use eport_model::{Digest, JournalIndex, Lineage, Position, Record, RegionCode};
use segment::SegmentWriter;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::Arc;

/// Newest format of exports and tails.
pub(crate) const FORMAT: u32 = eport_model::formats::EXPORT;
/// Name of an export's manifest.
pub(crate) const MANIFEST: &str = "manifest.json";
/// A segment is closed once it holds this many bytes.
const SEGMENT_BYTES: u64 = 32 << 20;

/// One segment file of an export.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SegmentEntry {
    /// Plain file name.
    pub file: String,
    /// First record in it.
    pub first: JournalIndex,
    /// Last record in it.
    pub last: JournalIndex,
    /// How many records.
    pub records: u64,
    /// Length of the file.
    pub bytes: u64,
    /// SHA-256 of the file.
    pub sha256: Digest,
}

/// What an export holds.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ExportManifest {
    /// Format of the export.
    pub format: u32,
    /// The federation's lineage.
    pub lineage: Lineage,
    /// The platform.
    pub region: RegionCode,
    /// The record before the first one.
    pub before: Position,
    /// The last record.
    pub last: Position,
    /// How many records.
    pub records: u64,
    /// The files in order.
    pub segments: Vec<SegmentEntry>,
}

/// A body that is erased while the journal is read is explained by a record behind the end that was seen first: it is read on
/// so many times.
const ROUNDS: usize = 4;

impl PlatformStore {
    /// Writes every record from `from` to the end, as of now, into the folder. Files appear whole, the manifest last.
    pub fn export(&self, dir: &Path, from: JournalIndex) -> Result<ExportManifest, Error> {
        self.export_segments(dir, from, SEGMENT_BYTES)
    }

    pub(crate) fn export_segments(
        &self,
        dir: &Path,
        from: JournalIndex,
        segment_bytes: u64,
    ) -> Result<ExportManifest, Error> {
        let from = from.max(JournalIndex::from_u64(1));
        durable::create_dir(dir)?;
        let before = self.position(from.previous())?.ok_or(Error::NoRecord { index: from.previous() })?;
        let mut manifest = ExportManifest {
            format: FORMAT,
            lineage: self.written_lineage()?,
            region: self.region(),
            before,
            last: before,
            records: 0,
            segments: Vec::new(),
        };
        let (mut open, mut missing) = (None::<SegmentWriter>, check::Missing::default());
        let mut export = |record: Arc<Record>| {
            let full = open.take_if(|s| s.bytes() >= segment_bytes);
            manifest.segments.extend(full.map(SegmentWriter::publish).transpose()?);
            if open.is_none() {
                open =
                    Some(SegmentWriter::create(dir, format!("segment-{:020}.eps", record.index().as_u64()))?);
            }
            open.as_mut().expect("made just above").push(&record)?;
            missing.see(&record);
            manifest.last = record.position();
            manifest.records += 1;
            Ok((record.index(), missing.is_empty()))
        };
        let mut next = from;
        for _ in 0..ROUNDS {
            let mut explained = true;
            self.for_each_record(next, |record| {
                let (index, all) = export(record)?;
                (next, explained) = (index.next(), all);
                Ok(true)
            })?;
            if explained || self.last().index < next {
                break;
            }
        }
        manifest.segments.extend(open.map(SegmentWriter::publish).transpose()?);
        let text = serde_json::to_vec_pretty(&manifest).expect("a manifest has only plain fields");
        durable::write_file(&dir.join(MANIFEST), &text)?;
        Ok(manifest)
    }

    /// Verifies the stored journal itself, as `verify_export` does an export.
    pub fn verify(&self, head: Option<Position>) -> Result<VerifyReport, Error> {
        let last = self.last();
        let mut check = check::ChainCheck::new(head);
        check.expect(self.written_lineage()?, self.region(), Some(Position::ZERO));
        let mut read = Ok(());
        for _ in 0..ROUNDS {
            read = self.for_each_record(check.expected(), |record| {
                check.record(&record, None);
                Ok(true)
            });
            if read.is_err() || check.explained() || self.last().index < check.expected() {
                break;
            }
        }
        match read {
            Ok(()) if check.expected() <= last.index => {
                check.stop("missing", None, format!("the journal should reach record {}", last.index));
            }
            Ok(()) => {}
            Err(Error::Damaged { detail, .. }) => check.stop("damaged", None, detail),
            Err(e) => return Err(e),
        }
        Ok(check.finish())
    }
}
