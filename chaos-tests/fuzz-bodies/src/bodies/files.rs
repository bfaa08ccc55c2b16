//! Files that travel: manifests of checkpoints, exports, tails and backups, and an export folder as a whole.

use crate::world::Way;
use eport_model::codec;
use eport_store::{Checkpoint, ExportManifest, TailManifest, verify_export};
use std::cell::RefCell;

/// A manifest of each kind, as its reader takes it.
pub(super) fn manifest(data: &[u8]) -> u64 {
    let mut way = Way::new();
    if let Some(checkpoint) =
        way.note(codec::decode_with_limit::<Checkpoint>(data, eport_store::MANIFEST_LEN_MAX))
    {
        assert_eq!(codec::decode::<Checkpoint>(&codec::encode(&checkpoint)).ok(), Some(checkpoint));
    }
    if let Some(export) = way.note(serde_json::from_slice::<ExportManifest>(data)) {
        let text = serde_json::to_vec(&export).expect("a manifest is written");
        assert!(serde_json::from_slice::<ExportManifest>(&text).is_ok_and(|e| e == export));
    }
    let _ = way.note(serde_json::from_slice::<TailManifest>(data).map(|_| ()));
    let _ = way.note(serde_json::from_slice::<eport_backup::Manifest>(data).map(|_| ()));
    way.mark()
}

thread_local! {
    static DIR: RefCell<Option<tempfile::TempDir>> = const { RefCell::new(None) };
}

/// An export of one segment: a length of two bytes, the manifest, the segment. With a manifest that names the segment as it is, what the
/// segment says is reached; a verification always ends with a verdict, and calls nothing whole that has a problem.
pub(super) fn bundle(data: &[u8]) -> u64 {
    let mut way = Way::new();
    let Some((len, rest)) = data.split_first_chunk::<2>() else { return way.mark() };
    let (manifest, segment) = rest.split_at(usize::from(u16::from_le_bytes(*len)).min(rest.len()));
    DIR.with_borrow_mut(|dir| {
        let dir = dir.get_or_insert_with(|| tempfile::tempdir().expect("a temporary folder"));
        std::fs::write(dir.path().join("manifest.json"), manifest).expect("a file");
        std::fs::write(dir.path().join("segment-00000000000000000001.eps"), segment).expect("a file");
        let verdict = verify_export(dir.path(), None, None).expect("the folder can be read");
        assert_eq!(verdict.ok, verdict.problems.is_empty());
        verdict.problems.iter().take(8).for_each(|p| way.step(&format!("{} {}", p.kind, p.detail)));
    });
    way.mark()
}
