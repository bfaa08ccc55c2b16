//! A journal taken piece by piece, for those who want neither a second copy of it on disk nor what is not committed yet.
//!
//! A body that was erased is empty in a piece; the Erase record that explains it may stand in a later one.

use super::segment::SegmentWriter;
use super::{ExportManifest, FORMAT, MANIFEST};
use crate::{Error, PlatformStore, durable};
use eport_model::JournalIndex;
use std::path::Path;

impl PlatformStore {
    /// Writes records from `from` to `through` at most into the folder: one segment of about `segment_bytes`, or none.
    pub fn export_piece(
        &self,
        dir: &Path,
        from: JournalIndex,
        through: JournalIndex,
        segment_bytes: u64,
    ) -> Result<ExportManifest, Error> {
        let from = from.max(JournalIndex::from_u64(1));
        durable::create_dir(dir)?;
        let before = self.position(from.previous())?.ok_or(Error::NoRecord { index: from.previous() })?;
        let (mut last, mut records, mut open) = (before, 0, None::<SegmentWriter>);
        if from <= through {
            self.for_each_record(from, |record| {
                if record.index() > through {
                    return Ok(false);
                }
                let segment = match &mut open {
                    Some(segment) => segment,
                    None => {
                        let name = format!("segment-{:020}.eps", record.index().as_u64());
                        open.insert(SegmentWriter::create(dir, name)?)
                    }
                };
                segment.push(&record)?;
                last = record.position();
                records += 1;
                Ok(segment.bytes() < segment_bytes)
            })?;
        }
        let manifest = ExportManifest {
            format: FORMAT,
            lineage: self.written_lineage()?,
            region: self.region(),
            before,
            last,
            records,
            segments: open.map(SegmentWriter::publish).transpose()?.into_iter().collect(),
        };
        let text = serde_json::to_vec_pretty(&manifest).expect("a manifest has only plain fields");
        durable::write_file(&dir.join(MANIFEST), &text)?;
        Ok(manifest)
    }
}
