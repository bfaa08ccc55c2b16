//! Verifies an export folder offline: streaming, in bounded memory, every problem with its record and file.

use super::check::{ChainCheck, HeadJudge, VerifyReport};
use super::segment::{Frame, SegmentReader};
use super::{ExportManifest, FORMAT, MANIFEST, SegmentEntry};
use crate::Error;
use eport_model::{Digest, JournalIndex, Position};
use std::fs;
use std::path::Path;

/// Longest manifest that is read: about 60 000 segments, or 2 TB of records.
const MANIFEST_LEN_MAX: u64 = 16 << 20;

/// Verifies the export in `dir`, its end against `head` where one is given. Damage is in the report; an error means that
/// the folder itself cannot be read.
///
/// The place of every signed head is checked; its signature by `judge`, where one is given.
pub fn verify_export(
    dir: &Path,
    head: Option<Position>,
    judge: Option<HeadJudge<'_>>,
) -> Result<VerifyReport, Error> {
    let files = segment_files(dir)?;
    let mut check = ChainCheck::new(head).judged_by(judge);
    let manifest = match read_manifest(dir) {
        Ok(manifest) => Some(manifest),
        Err(detail) => {
            check.problem(JournalIndex::ZERO, "manifest", Some(MANIFEST), detail);
            None
        }
    };
    match &manifest {
        Some(m) => {
            check.expect(m.lineage, m.region, Some(m.before));
            for entry in &m.segments {
                verify_segment(dir, &entry.file, Some(entry), &mut check);
            }
            for file in files.iter().filter(|f| !m.segments.iter().any(|s| s.file == **f)) {
                check.problem(
                    JournalIndex::ZERO,
                    "file",
                    Some(file),
                    "the manifest does not name this file".to_owned(),
                );
            }
            check.promised(m.last, MANIFEST);
        }
        None => {
            for file in &files {
                verify_segment(dir, file, None, &mut check);
            }
        }
    }
    Ok(check.finish())
}

/// Segment files present, in order of their first record.
fn segment_files(dir: &Path) -> Result<Vec<String>, Error> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).map_err(|e| Error::io("read export", dir, e))? {
        let name = entry.map_err(|e| Error::io("read export", dir, e))?.file_name();
        files.extend(name.to_str().filter(|n| is_segment_name(n)).map(str::to_owned));
    }
    files.sort();
    Ok(files)
}

/// A name that stays inside the folder.
fn is_segment_name(name: &str) -> bool {
    let stem = name.strip_suffix(".eps").unwrap_or("");
    !stem.is_empty() && stem.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

fn read_manifest(dir: &Path) -> Result<ExportManifest, String> {
    let path = dir.join(MANIFEST);
    let len = fs::metadata(&path).map_err(|e| format!("cannot be read: {e}"))?.len();
    if len > MANIFEST_LEN_MAX {
        return Err(format!("{len} bytes are too long for a manifest"));
    }
    let text = fs::read(&path).map_err(|e| format!("cannot be read: {e}"))?;
    let manifest: ExportManifest =
        serde_json::from_slice(&text).map_err(|e| format!("is not a manifest: {e}"))?;
    if manifest.format > FORMAT {
        return Err(format!("format {} is not known here (known: {FORMAT})", manifest.format));
    }
    Ok(manifest)
}

fn verify_segment(dir: &Path, file: &str, entry: Option<&SegmentEntry>, check: &mut ChainCheck<'_>) {
    if !is_segment_name(file) {
        check.stop("file", Some(file), "the manifest names a file outside the export".to_owned());
        return;
    }
    let mut reader = match SegmentReader::open(&dir.join(file)) {
        Ok(reader) => reader,
        Err(e) => return check.stop("file", Some(file), format!("the file cannot be opened: {e}")),
    };
    loop {
        match reader.next() {
            Frame::Record(record) => check.record(&record, Some(file)),
            Frame::Damaged(detail) => check.damaged(Some(file), detail),
            Frame::Lost(detail) => {
                check.stop("damaged", Some(file), detail);
                break;
            }
            Frame::End => break,
        }
    }
    if let Some(entry) = entry {
        match reader.finish() {
            Ok(found) => compare_file(entry, found, check),
            Err(detail) => check.stop("file", Some(file), detail),
        }
    }
}

fn compare_file(entry: &SegmentEntry, (bytes, sha256): (u64, Digest), check: &mut ChainCheck<'_>) {
    let detail = if bytes != entry.bytes {
        format!("the file has {bytes} bytes, the manifest says {}", entry.bytes)
    } else if sha256 != entry.sha256 {
        "the file does not have the digest in the manifest".to_owned()
    } else {
        return;
    };
    check.problem(entry.first, "file", Some(&entry.file), detail);
}
