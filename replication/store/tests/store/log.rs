//! The journal's files: full ones, torn ones, and readers beside a cut.

use crate::support::*;
use eport_model::{Coded, Record, codes};
use eport_store::PlatformStore;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const FULL: u64 = 8_000;

/// A journal over several files: each append is one fsync.
fn spread(dir: &Path, count: usize) -> (PlatformStore, Vec<Arc<Record>>) {
    let records = Chain::new().start(count, 500);
    let (store, _) = open_small(dir, FULL).unwrap();
    records.chunks(4).for_each(|c| store.append(c).unwrap());
    assert!(journal_files(dir).len() > 3);
    (store, records)
}

fn copy_of(dir: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    copy_dir(dir, copy.path());
    copy
}

#[test]
fn records_over_many_files_are_found_one_by_one_and_in_runs_also_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (store, records) = spread(dir.path(), 90);
    let check = |store: &PlatformStore| {
        assert_eq!(all_records(store), records);
        for record in &records {
            let index = record.index();
            assert_eq!(store.record(index).unwrap().as_ref(), Some(&**record));
            assert_eq!(store.position(index).unwrap(), Some(record.position()));
            assert_eq!(store.body(index, 0).unwrap().as_ref(), record.bodies.first());
            let run = store.read(index, 3_000).unwrap();
            assert!(!run.is_empty() && records[index.as_u64() as usize - 1..].starts_with(&run));
        }
        assert_eq!(store.record(at(91)).unwrap(), None);
    };
    check(&store);
    drop(store);
    check(&open_small(dir.path(), FULL).unwrap().0);
}

#[test]
fn a_journal_cut_back_into_a_full_file_goes_on_there() {
    for after in [1u64, 13, 29, 30, 31, 60, 89] {
        let dir = tempfile::tempdir().unwrap();
        let (store, records) = spread(dir.path(), 90);
        store.truncate_after(at(after)).unwrap();
        assert_eq!(all_records(&store)[..], records[..after as usize]);
        let mut chain = Chain::behind(store.last());
        let more: Vec<_> = (0..40).map(|_| chain.document(700)).collect();
        more.chunks(3).for_each(|c| store.append(c).unwrap());
        let want: Vec<_> = records[..after as usize].iter().chain(&more).cloned().collect();
        assert_eq!(all_records(&store), want, "cut after {after}");
        drop(store);
        assert_eq!(all_records(&open_small(dir.path(), FULL).unwrap().0), want, "cut after {after}");
    }
}

#[test]
fn a_crash_at_any_byte_of_a_group_leaves_whole_records_and_all_that_was_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let (store, mut records) = spread(dir.path(), 60);
    let note = fs::read(dir.path().join("PROMISE")).unwrap();
    let mut chain = Chain::behind(store.last());
    let group: Vec<_> = (0..3).map(|_| chain.document(60)).collect();
    let len = |file: &Path| file.metadata().map_or(28, |m| m.len());
    let before = journal_files(dir.path()).pop().map(|f| (len(&f), f)).unwrap();
    store.append(&group).unwrap();
    let file = journal_files(dir.path()).pop().unwrap();
    // The group may have begun a new file.
    let from = if file == before.1 { before.0 } else { 28 };
    let name = file.strip_prefix(dir.path()).unwrap();
    let to = file.metadata().unwrap().len();
    let copy = copy_of(dir.path());
    drop(store);
    fs::write(copy.path().join("PROMISE"), note).unwrap();
    records.extend(group);
    let mut seen = std::collections::BTreeSet::new();
    // The last bytes one by one, before them every eleventh: each place in a frame is met in one of the three.
    for len in (from..=to).rev().filter(|len| (len - from) % 11 == 0 || to - len < 30) {
        fs::OpenOptions::new().write(true).open(copy.path().join(name)).unwrap().set_len(len).unwrap();
        let once = copy_of(copy.path());
        let (revived, found) = open_small(once.path(), FULL).unwrap();
        let last = found.last.index.as_u64() as usize;
        assert!(last >= 60, "{len}: acknowledged records are gone");
        assert_eq!(all_records(&revived)[..], records[..last]);
        revived.append(&[Chain::behind(found.last).document(10)]).unwrap();
        seen.insert(last);
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), [60, 61, 62, 63]);
}

#[test]
fn a_damaged_group_with_a_later_one_behind_it_is_damage_also_without_a_note() {
    let dir = tempfile::tempdir().unwrap();
    let records = Chain::new().start(6, 60);
    let (store, _) = open(dir.path());
    store.append(&records[..2]).unwrap();
    let file = journal_files(dir.path()).pop().unwrap();
    let at = file.metadata().unwrap().len();
    store.append(&records[2..4]).unwrap();
    store.append(&records[4..]).unwrap();
    drop(store);
    assert_eq!(journal_files(dir.path()).len(), 1, "all groups lie in one file");
    fs::remove_file(dir.path().join("PROMISE")).unwrap();
    let open_file = fs::OpenOptions::new().write(true).open(&file).unwrap();
    open_file.write_all_at(&[0xee; 9], at + 40).unwrap();
    let damaged = fs::read(&file).unwrap();
    let refused = try_open(dir.path()).err().expect("an acknowledged record was cut");
    assert_eq!(refused.code(), codes::RECORD_DAMAGED, "{refused}");
    assert_eq!(fs::read(&file).unwrap(), damaged, "what is left is left alone");
}

#[test]
fn a_damaged_last_group_that_was_noted_is_refused_and_nothing_is_cut() {
    let dir = tempfile::tempdir().unwrap();
    let records = Chain::new().start(4, 60);
    let (store, _) = open(dir.path());
    store.append(&records[..2]).unwrap();
    let file = journal_files(dir.path()).pop().unwrap();
    let at = file.metadata().unwrap().len();
    store.append(&records[2..]).unwrap();
    drop(store);
    let open_file = fs::OpenOptions::new().write(true).open(&file).unwrap();
    open_file.write_all_at(&[0xee; 9], at + 40).unwrap();
    let damaged = fs::read(&file).unwrap();
    let refused = try_open(dir.path()).err().expect("an acknowledged record was cut");
    assert_eq!(refused.code(), codes::RECORD_DAMAGED, "{refused}");
    assert_eq!(fs::read(&file).unwrap(), damaged, "what is left is left alone");
}

#[test]
fn a_crash_while_a_full_file_is_ended_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (store, records) = spread(dir.path(), 60);
    drop(store);
    let all = journal_files(dir.path());
    let [.., full, last] = &all[..] else { panic!() };
    let first: usize = last.file_stem().unwrap().to_str().unwrap().parse().unwrap();
    let want = &records[..first - 1];
    let len = full.metadata().unwrap().len();
    // The next file is not there; of the table all, some or nothing.
    for less in [0u64, 1, 20, 28, 29, 40] {
        let copy = copy_of(dir.path());
        let journal = copy.path().join("journal");
        fs::remove_file(copy.path().join("PROMISE")).unwrap();
        fs::remove_file(journal.join(last.file_name().unwrap())).unwrap();
        fs::write(journal.join("00000000000000000099.log.0.partial"), b"half a front").unwrap();
        let full = journal.join(full.file_name().unwrap());
        fs::OpenOptions::new().write(true).open(full).unwrap().set_len(len - less).unwrap();
        let (revived, found) = open_small(copy.path(), FULL).unwrap();
        assert_eq!(all_records(&revived)[..], *want, "{less} bytes of the table are missing");
        let mut chain = Chain::behind(found.last);
        let more: Vec<_> = (0..20).map(|_| chain.document(600)).collect();
        more.chunks(3).for_each(|c| revived.append(c).unwrap());
        drop(revived);
        assert_eq!(all_records(&open_small(copy.path(), FULL).unwrap().0).len(), want.len() + 20);
    }
}

#[test]
fn a_table_of_places_that_lies_is_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let (store, records) = spread(dir.path(), 60);
    drop(store);
    let full = &journal_files(dir.path())[1];
    let len = full.metadata().unwrap().len();
    let file = fs::OpenOptions::new().write(true).open(full).unwrap();
    file.write_all_at(&[0x11; 12], len - 28 - 12).unwrap();
    let (store, _) = open_small(dir.path(), FULL).unwrap();
    for record in &records {
        assert_eq!(store.record(record.index()).unwrap().as_ref(), Some(&**record));
    }
}

#[test]
fn a_file_of_another_platform_is_refused() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    drop(spread(dir.path(), 60));
    let shared = shared();
    let region = "440100".parse().unwrap();
    drop(PlatformStore::open(other.path(), lineage(), region, &shared).unwrap());
    let name = "journal/00000000000000000001.log";
    let last = journal_files(dir.path()).pop().unwrap();
    fs::copy(other.path().join(name), &last).unwrap();
    let refused = open_small(dir.path(), FULL).err().unwrap();
    assert_eq!(refused.code(), codes::RECORD_DAMAGED, "{refused}");
}

#[test]
fn a_directory_of_the_format_before_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let node = dir.path().join("node");
    drop(open(&node));
    eport_store_format(&node, 1);
    let before = fs::read_dir(&node).unwrap().count();
    let refused = try_open(&node).err().unwrap();
    assert_eq!(refused.code(), codes::DIR_OLDER_FORMAT, "{refused}");
    assert!(fs::read_dir(&node).unwrap().count() >= before);
    // A downgrade: what the later version wrote is not for this one.
    eport_store_format(&node, 99);
    let refused = try_open(&node).err().unwrap();
    assert_eq!(refused.code(), codes::DIR_NEWER_FORMAT, "{refused}");
    assert!(refused.to_string().contains("99"), "{refused}");
}

/// Writes another format number, as the software before would have.
fn eport_store_format(dir: &Path, format: u32) {
    let families = rocksdb::DB::list_cf(&rocksdb::Options::default(), dir).unwrap();
    let db = rocksdb::DB::open_cf(&rocksdb::Options::default(), dir, families).unwrap();
    let value = eport_model::codec::encode(&format);
    let mut row = crc32c::crc32c(&value).to_le_bytes().to_vec();
    row.extend_from_slice(&value);
    db.put_cf(db.cf_handle("meta").unwrap(), "format", row).unwrap();
}

#[test]
fn readers_beside_cuts_see_only_records_that_were_here_together() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = spread(dir.path(), 60);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = || {
            let mut read = 0u64;
            while !stop.load(Ordering::Relaxed) {
                for from in [20, 45, 61, 70] {
                    let records = store.read(at(from), 1 << 20).unwrap();
                    for pair in records.windows(2) {
                        pair[1].follows(&pair[0].position()).unwrap();
                    }
                    records.iter().for_each(|r| r.verify().unwrap());
                    read += records.len() as u64;
                    if let Some(record) = store.record(at(from)).unwrap() {
                        record.verify().unwrap();
                    }
                }
            }
            read
        };
        let readers = [scope.spawn(reader), scope.spawn(reader)];
        for round in 0..60u64 {
            let mut chain = Chain::behind(store.last());
            let more: Vec<_> = (0..30).map(|n| chain.document(300 + (round * 7 + n) as usize)).collect();
            more.chunks(4).for_each(|c| store.append(c).unwrap());
            store.truncate_after(at(40 + round % 20)).unwrap();
        }
        stop.store(true, Ordering::Relaxed);
        assert!(readers.into_iter().map(|r| r.join().unwrap()).sum::<u64>() > 0);
    });
}
