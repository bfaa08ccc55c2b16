//! A journal outlives the lineage it was begun in.

use crate::support::*;
use eport_model::{
    Coded, Draft, Epoch, LINEAGE_READ, Lineage, MoveId, Position, ReadVersion, Record, RecordKind, Timestamp,
    codes,
};
use eport_store::{DataDir, NodeFile, PlatformStore};
use std::path::Path;
use std::sync::Arc;

fn next() -> Lineage {
    Lineage::from_bytes([9; 16])
}

fn descended(dir: &Path) -> PlatformStore {
    PlatformStore::open_descended(dir, next(), &[lineage()], region(), &shared()).unwrap().0
}

/// The first record of a lineage behind `last`; with `named` it says which one it goes on from.
fn opening(last: &Position, lineage: Lineage, epoch: u64, named: Option<Lineage>) -> Arc<Record> {
    let (primary, previous) = (node("sz-a-1"), last.epoch);
    let kind = RecordKind::EpochStart { primary, previous, move_id: MoveId::default() };
    let mut draft = Draft::bare(kind, Timestamp::from_millis(1_000_000));
    let read = |old: Lineage| ReadVersion { name: LINEAGE_READ.into(), version: old.to_string() };
    draft.reads.extend(named.map(read));
    Arc::new(Record::seal(draft, lineage, region(), Epoch::from_u64(epoch), last, Timestamp::default()))
}

#[test]
fn a_kept_journal_goes_on_in_the_new_lineage_and_proves_the_break() {
    let dir = tempfile::tempdir().unwrap();
    let records = Chain::new().start(12, 100);
    let store = open(dir.path()).0;
    store.append(&records).unwrap();
    let last = store.last();
    drop(store);
    // Looked at it stays the old lineage's; a stranger cannot even look.
    let looked = PlatformStore::open_as_found(dir.path(), next(), &[lineage()], region(), &shared()).unwrap();
    assert_eq!((looked.0.lineage(), looked.1.last), (lineage(), last));
    drop(looked);
    let stranger = PlatformStore::open_as_found(dir.path(), next(), &[], region(), &shared());
    assert_eq!(stranger.err().unwrap().code(), codes::DIR_OF_ANOTHER_NODE);
    drop(open(dir.path()));

    let store = descended(dir.path());
    assert_eq!((store.lineage(), store.written_lineage().unwrap()), (next(), lineage()));
    assert!(store.verify(None).unwrap().ok, "nothing was written in the new lineage yet");
    store.append(&[opening(&last, next(), 1_000_001, Some(lineage()))]).unwrap();
    drop(store);
    let store = descended(dir.path());
    assert_eq!(store.written_lineage().unwrap(), next());
    let report = store.verify(None).unwrap();
    assert!(report.ok && report.epochs.len() == 2, "{report:?}");
    let export = tempfile::tempdir().unwrap();
    store.export(export.path(), at(1)).unwrap();
    assert!(eport_store::verify_export(export.path(), None, None).unwrap().ok);
    drop(store);
    assert!(try_open(dir.path()).is_err(), "the old lineage no longer opens it");
}

#[test]
fn an_empty_copy_takes_records_of_ancestors_and_of_nobody_else() {
    let dir = tempfile::tempdir().unwrap();
    let store = descended(dir.path());
    let records = Chain::new().start(5, 100);
    store.append(&records).unwrap();
    let stranger = opening(&store.last(), Lineage::from_bytes([1; 16]), 2, None);
    assert!(store.append(&[stranger]).is_err());
    store.append(&[opening(&store.last(), next(), 1_000_001, Some(lineage()))]).unwrap();
    assert!(store.verify(None).unwrap().ok);
}

#[test]
fn a_change_of_lineage_that_names_no_or_another_ancestor_is_found() {
    for named in [None, Some(Lineage::from_bytes([3; 16]))] {
        let dir = tempfile::tempdir().unwrap();
        let store = descended(dir.path());
        store.append(&Chain::new().start(5, 100)).unwrap();
        store.append(&[opening(&store.last(), next(), 1_000_001, named)]).unwrap();
        let report = store.verify(None).unwrap();
        assert!(!report.ok && report.problems[0].kind == "owner", "{report:?}");
    }
}

#[test]
fn a_directory_descends_by_one_write_and_keeps_the_registry_of_each_lineage_apart() {
    let dir = tempfile::tempdir().unwrap();
    let open = |name: &str, lineage| DataDir::open(dir.path(), node(name), lineage, 0);
    let mut data = open("gz-a-1", lineage()).unwrap();
    let first = data.registry();
    assert!(first.ends_with("registry"));
    let wanted = data.registry_of(next());
    data.descend(next(), &[lineage()], node("gz-a-1")).unwrap();
    assert_eq!(data.registry(), wanted);
    assert_ne!(data.registry(), first);
    // A recovery that was cut short left a registry that no identity ever named.
    let (forsaken, beside) =
        (data.registry_of(Lineage::from_bytes([0xee; 16])), dir.path().join("registry-notes"));
    for path in [&first, &wanted, &forsaken, &beside] {
        std::fs::create_dir_all(path.join("000001.log")).unwrap();
    }
    data.clear_unfounded().unwrap();
    assert!(!forsaken.exists() && [&first, &wanted, &beside].iter().all(|p| p.join("000001.log").exists()));
    drop(data);
    // The configuration still names the first lineage; another node, or a lineage that never was, is refused.
    let mut data = open("gz-a-1", lineage()).unwrap();
    assert_eq!((data.identity().lineage, data.registry()), (next(), wanted.clone()));
    assert_eq!(open("gz-a-1", Lineage::default()).err().unwrap().code(), codes::DIR_IN_USE);
    data.descend(next(), &[lineage()], node("gz-a-9")).unwrap();
    assert_ne!(data.registry(), wanted, "another id has a registry of its own");
    std::fs::create_dir_all(data.platform(region())).unwrap();
    std::fs::create_dir_all(dir.path().join("platform/elsewhere")).unwrap();
    assert_eq!(data.kept_platforms().unwrap(), [region()]);
    drop(data);
    assert_eq!(open("gz-a-1", next()).err().unwrap().code(), codes::DIR_OF_ANOTHER_NODE);
    assert_eq!(open("gz-a-9", Lineage::default()).err().unwrap().code(), codes::DIR_OF_ANOTHER_NODE);
    let file = NodeFile::read(dir.path()).unwrap().unwrap();
    assert_eq!((file.node, file.former), (node("gz-a-9"), vec![node("gz-a-1")]));
}
