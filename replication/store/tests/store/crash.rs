//! What a crash may take: only bytes behind the last fsync.

use crate::support::*;
use eport_model::{Coded, Position, codes};
use rand::{Rng, SeedableRng};
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};

/// The log of the database, which holds state rows that no fsync has reached.
fn live_log(dir: &Path) -> PathBuf {
    files(dir, &[".log"]).pop().expect("a database that was written to has a log")
}

fn cut(file: &Path, len: u64) {
    OpenOptions::new().write(true).open(file).unwrap().set_len(len).unwrap();
}

#[test]
fn a_copy_of_an_open_store_holds_every_acknowledged_record() {
    let (dir, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let records = Chain::new().start(40, 2_000);
    let (store, _) = open(dir.path());
    store.append(&records).unwrap();
    store.apply(&records[..25]).unwrap();
    copy_dir(dir.path(), copy.path());
    let (revived, found) = open(copy.path());
    assert_eq!((found.last, found.applied), (records[39].position(), records[24].position()));
    assert_eq!(all_records(&revived), records);
    // Applying goes on where the rows are, and ends in the same state.
    store.apply(&records[25..]).unwrap();
    revived.apply(&records[25..]).unwrap();
    assert_eq!(store.snapshot().digest().unwrap(), revived.snapshot().digest().unwrap());
}

#[test]
fn a_database_log_cut_anywhere_behind_the_last_fsync_loses_nothing_acknowledged() {
    for seed in 0..12u64 {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
        let (dir, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let records = Chain::new().start(60, 900);
        let (store, _) = open(dir.path());
        let mut done = 0;
        while done < records.len() {
            let next = (done + rng.random_range(1..9)).min(records.len());
            store.append(&records[done..next]).unwrap();
            done = next;
        }
        let fsynced = live_log(dir.path()).metadata().unwrap().len();
        records.chunks(3).for_each(|c| assert!(store.apply(c).is_ok()));
        copy_dir(dir.path(), copy.path());
        let log = live_log(copy.path());
        let all = log.metadata().unwrap().len();
        assert!(all > fsynced, "applying writes behind the last fsync");
        cut(&log, rng.random_range(fsynced..all));

        let (revived, found) = open(copy.path());
        assert_eq!(found.last, records[59].position(), "seed {seed}");
        assert_eq!(all_records(&revived), records, "seed {seed}");
        let applied = found.applied.index.as_u64() as usize;
        assert!(applied < 60, "seed {seed}: something of the state was cut off");
        revived.apply(&records[applied..]).unwrap();
        assert_eq!(revived.snapshot().digest().unwrap(), store.snapshot().digest().unwrap(), "seed {seed}");
    }
}

#[test]
fn a_journal_that_lost_fsynced_bytes_is_reported_and_not_taken_for_a_torn_one() {
    for seed in 0..12u64 {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
        let (dir, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let records = Chain::new().start(30, 900);
        let (store, _) = open(dir.path());
        records.chunks(4).for_each(|c| store.append(c).unwrap());
        copy_dir(dir.path(), copy.path());
        let log = journal_files(copy.path()).pop().unwrap();
        cut(&log, rng.random_range(0..log.metadata().unwrap().len()));
        let refused =
            try_open(copy.path()).err().unwrap_or_else(|| panic!("seed {seed}: opened with a loss"));
        assert_eq!(refused.code(), codes::RECORD_DAMAGED, "seed {seed}: {refused}");
    }
}

#[test]
fn power_lost_between_the_note_and_its_disk_is_no_alarm() {
    // The note of the last fsync is not fsynced: an older one, or none, must open.
    let (dir, old, none) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let records = Chain::new().start(30, 100);
    let (store, _) = open(dir.path());
    store.append(&records[..10]).unwrap();
    let note = std::fs::read(dir.path().join("PROMISE")).unwrap();
    store.append(&records[10..]).unwrap();
    for copy in [&old, &none] {
        copy_dir(dir.path(), copy.path());
    }
    std::fs::write(old.path().join("PROMISE"), note).unwrap();
    std::fs::remove_file(none.path().join("PROMISE")).unwrap();
    for copy in [&old, &none] {
        assert_eq!(open(copy.path()).1.last, records[29].position());
    }
}

#[test]
fn a_crash_during_a_truncation_leaves_the_old_end_or_the_new_one() {
    // The journal spans several files, and two epochs end in what is cut off.
    let dir = tempfile::tempdir().unwrap();
    let mut chain = Chain::new();
    let mut records = chain.start(20, 600);
    records.push(chain.epoch(4));
    records.extend((0..20).map(|_| chain.document(600)));
    let (store, _) = open_small(dir.path(), 6_000).unwrap();
    records.chunks(3).for_each(|c| store.append(c).unwrap());
    let all = journal_files(dir.path());
    assert!(all.len() > 4, "{} files", all.len());
    let before = tempfile::tempdir().unwrap();
    copy_dir(dir.path(), before.path());
    store.truncate_after(at(12)).unwrap();
    let left = journal_files(dir.path());
    drop(store);
    // Whole files go from the end; then the last one left is shortened; then the history follows.
    for gone in 0..=(all.len() - left.len()) {
        let copy = tempfile::tempdir().unwrap();
        copy_dir(before.path(), copy.path());
        std::fs::copy(dir.path().join("PROMISE"), copy.path().join("PROMISE")).unwrap();
        for file in all.iter().rev().take(gone) {
            std::fs::remove_file(copy.path().join("journal").join(file.file_name().unwrap())).unwrap();
        }
        let (revived, found) = open_small(copy.path(), 6_000).unwrap();
        assert!(found.last.index >= at(12), "{gone} files gone: {}", found.last);
        let kept = all_records(&revived);
        assert_eq!(kept[..], records[..found.last.index.as_u64() as usize]);
        assert_eq!(found.history.last_epoch(), found.last.epoch);
        let mut chain = Chain::behind(found.last);
        revived.append(&[chain.document(10)]).unwrap();
    }
    let (revived, found) = open_small(dir.path(), 6_000).unwrap();
    assert_eq!((found.last, found.sealed.as_u64()), (records[11].position(), 4));
    assert_eq!(all_records(&revived)[..], records[..12]);
}

#[test]
fn an_empty_store_survives_a_crash_before_its_first_record() {
    let (dir, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (_store, _) = open(dir.path());
    copy_dir(dir.path(), copy.path());
    assert_eq!(open(copy.path()).1.last, Position::ZERO);
}
