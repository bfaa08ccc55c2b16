//! Whose directory it is, and whether it can be used.

use crate::support::*;
use eport_model::{Coded, Lineage, codes};
use eport_store::{DataDir, NodeFile};

#[test]
fn a_directory_is_held_by_one_process_and_belongs_to_one_node() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("node");
    let open = |name: &str, lineage: Lineage| DataDir::open(&path, node(name), lineage, 0);
    let held = open("gz-a-1", lineage()).unwrap();
    assert_eq!(open("gz-a-1", lineage()).unwrap_err().code(), codes::DIR_IN_USE);
    assert!(held.free_bytes().unwrap() > 0);
    assert!(held.platform(region()).ends_with("platform/440300"));
    drop(held);
    assert_eq!(open("gz-a-2", lineage()).unwrap_err().code(), codes::DIR_OF_ANOTHER_NODE);
    assert_eq!(open("gz-a-1", Lineage::default()).unwrap_err().code(), codes::DIR_OF_ANOTHER_NODE);
    let refused = open("gz-a-2", lineage()).unwrap_err().to_string();
    assert!(refused.contains("gz-a-1") && refused.contains("gz-a-2"), "{refused}");
    open("gz-a-1", lineage()).unwrap();
    assert_eq!(NodeFile::read(&path).unwrap().unwrap().node, node("gz-a-1"));
}

#[test]
fn a_newer_format_and_a_damaged_identity_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let open = || DataDir::open(dir.path(), node("gz-a-1"), lineage(), 0);
    drop(open().unwrap());
    let file = dir.path().join("NODE.json");
    std::fs::write(&file, r#"{"format":2,"node":{"new":"shape"}}"#).unwrap();
    assert_eq!(open().unwrap_err().code(), codes::DIR_NEWER_FORMAT);
    std::fs::write(&file, "{").unwrap();
    assert_eq!(open().unwrap_err().code(), codes::RECORD_DAMAGED);
}

#[test]
fn too_little_free_space_is_refused_before_anything_starts() {
    let dir = tempfile::tempdir().unwrap();
    let refused = DataDir::open(dir.path(), node("gz-a-1"), lineage(), u64::MAX).unwrap_err();
    assert_eq!(refused.code(), codes::DISK_FULL);
}
