//! Old files of a journal on another file system: everything is read, erased and verified as before, and an archive that is away is no damage.

use crate::support::*;
use eport_model::{Coded, Draft, Timestamp, codes};
use eport_store::PlatformStore;
use std::path::Path;

const BODY_LEN: usize = 700;
/// Enough that more than what opening verifies lies in full files.
const COUNT: usize = 160;

/// Records over several files, all applied, the older files moved.
fn archived(dir: &Path, to: &Path) -> (PlatformStore, Chain, Vec<std::sync::Arc<eport_model::Record>>) {
    let mut chain = Chain::new();
    let records = chain.start(COUNT, BODY_LEN);
    let (store, _) = open_small(dir, 10_000).unwrap();
    records.chunks(4).for_each(|c| store.append(c).unwrap());
    store.apply(&records).unwrap();
    let due = store.archivable(Timestamp::from_millis(i64::MAX)).unwrap();
    assert!(due.len() >= 2, "{due:?}");
    for first in due {
        assert!(store.archive_file(first, to, &mut |_| true).unwrap() > 1_000);
        assert_eq!(store.archive_file(first, to, &mut |_| true).unwrap(), 0, "it is there already");
    }
    assert!(store.archivable(Timestamp::from_millis(i64::MAX)).unwrap().is_empty());
    (store, chain, records)
}

#[test]
fn what_lies_in_the_archive_is_read_erased_and_verified_as_before() {
    let (dir, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (store, mut chain, records) = archived(dir.path(), to.path());
    for record in &records {
        assert_eq!(store.record(record.index()).unwrap().unwrap(), **record);
    }
    let order = chain.add(Draft::erase(
        (records[2].index(), 0),
        records[2].header.bodies[0].digest,
        "a person asked".into(),
        "order 7".into(),
        Timestamp::from_millis(9_000),
    ));
    store.append(std::slice::from_ref(&order)).unwrap();
    store.apply(&[order]).unwrap();
    let probe = &records[2].bodies[0][..64];
    for file in std::fs::read_dir(to.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!bytes.windows(probe.len()).any(|w| w == probe), "the body is still in the archive");
    }
    let files = store.journal_files();
    assert!(files.iter().all(|f| store.examine_file(f.first, &mut |_| true).unwrap().is_whole()));
    drop(store);
    let (store, _) = open_small(dir.path(), 10_000).unwrap();
    assert_eq!(store.record(records[0].index()).unwrap().unwrap(), *records[0]);
    assert!(store.archived().files >= 2 && store.archived().away.is_none());
}

#[test]
fn an_archive_that_is_away_is_no_damage_and_what_is_here_is_served() {
    let (dir, base) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (to, aside) = (base.path().join("archive"), base.path().join("aside"));
    let (store, _, records) = archived(dir.path(), &to);
    drop(store);
    std::fs::rename(&to, &aside).unwrap();
    let (store, _) = open_small(dir.path(), 10_000).unwrap();
    let error = store.record(records[0].index()).unwrap_err();
    assert_eq!(error.code(), codes::ARCHIVE_AWAY, "{error}");
    assert_eq!(store.record(records[COUNT - 1].index()).unwrap().unwrap(), *records[COUNT - 1]);
    assert!(store.archived().away.is_some());
    let files = store.journal_files();
    assert_eq!(store.examine_file(files[0].first, &mut |_| true), None, "nothing is mended for it");
    std::fs::rename(&aside, &to).unwrap();
    assert_eq!(store.record(records[0].index()).unwrap().unwrap(), *records[0]);
}

#[test]
fn only_what_is_old_enough_and_applied_is_moved_and_an_ended_move_changes_nothing() {
    let (dir, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut chain = Chain::new();
    let records = chain.start(COUNT, BODY_LEN);
    let (store, _) = open_small(dir.path(), 10_000).unwrap();
    records.chunks(4).for_each(|c| store.append(c).unwrap());
    assert!(store.archivable(Timestamp::from_millis(i64::MAX)).unwrap().is_empty(), "nothing is applied");
    store.apply(&records).unwrap();
    assert!(store.archivable(records[0].header.time).unwrap().is_empty(), "nothing is older");
    let first = store.archivable(Timestamp::from_millis(i64::MAX)).unwrap()[0];
    assert_eq!(store.archive_file(first, to.path(), &mut |_| false).unwrap(), 0);
    assert_eq!(store.archived().files, 0);
    assert_eq!(std::fs::read_dir(to.path()).unwrap().count(), 0, "nothing is left of it");
    assert_eq!(store.record(records[0].index()).unwrap().unwrap(), *records[0]);
}
