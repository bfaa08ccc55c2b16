//! Damage is found in a running store and in one that no longer opens, and mended with what another holder gives.

use crate::support::*;
use eport_model::{Coded, Record, codes};
use eport_store::{FileReport, PlatformStore};
use rand::{Rng, SeedableRng};
use std::path::Path;
use std::sync::Arc;

fn free(_: u64) -> bool {
    true
}

/// A store with several full files and one that is written to.
fn several_files(dir: &Path, records: &[Arc<Record>]) -> PlatformStore {
    let (store, _) = open_small(dir, 20_000).unwrap();
    records.chunks(5).for_each(|c| store.append(c).unwrap());
    store.apply(records).unwrap();
    assert!(store.journal_files().len() > 3);
    store
}

fn flip(file: &Path, at: usize, bit: u8) {
    use std::os::unix::fs::FileExt;
    // In place, as rot does it: whoever has the file open sees it.
    let file = std::fs::OpenOptions::new().read(true).write(true).open(file).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at as u64).unwrap();
    file.write_all_at(&[byte[0] ^ (1 << bit)], at as u64).unwrap();
}

fn examine(store: &PlatformStore) -> Vec<FileReport> {
    store.journal_files().iter().map(|f| store.examine_file(f.first, &mut free).unwrap()).collect()
}

/// What another holder gives for the gaps of a report.
fn given(records: &[Arc<Record>], report: &FileReport) -> Vec<Arc<Record>> {
    let wanted = |r: &&Arc<Record>| report.gaps.iter().any(|g| g.from <= r.index() && r.index() <= g.to);
    records.iter().filter(wanted).cloned().collect()
}

#[test]
fn every_flipped_bit_of_a_running_journal_is_found_and_mended_or_does_not_matter() {
    let mut mended = 0;
    let records = Chain::new().start(100, 700);
    for seed in 0..60 {
        let dir = tempfile::tempdir().unwrap();
        let store = several_files(dir.path(), &records);
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
        let files = journal_files(dir.path());
        let file = &files[rng.random_range(0..files.len())];
        let at = rng.random_range(0..file.metadata().unwrap().len() as usize);
        flip(file, at, rng.random_range(0..8));
        let damaged: Vec<_> = examine(&store).into_iter().filter(|r| !r.is_whole()).collect();
        assert!(damaged.len() <= 1, "seed {seed}: {damaged:?}");
        if let Some(report) = damaged.first() {
            let first = eport_model::JournalIndex::from_u64(report.first);
            if !report.gaps.is_empty() {
                store.mend_file(first, &[]).expect_err("nothing is made up");
            }
            assert!(store.mend_file(first, &given(&records, report)).unwrap());
            mended += 1;
        }
        assert!(examine(&store).iter().all(FileReport::is_whole), "seed {seed}");
        assert_eq!(all_records(&store), records, "seed {seed}");
        // It goes on, and opens again.
        let mut chain = Chain::behind(store.last());
        store.append(&[chain.document(300)]).unwrap();
        drop(store);
        let (store, found) = open_small(dir.path(), 20_000).unwrap();
        assert_eq!((found.last, store.read(at_end(101), 1).unwrap().len()), (chain.last, 1), "seed {seed}");
    }
    assert!(mended >= 50, "{mended} of 60");
}

fn at_end(index: u64) -> eport_model::JournalIndex {
    at(index)
}

#[test]
fn records_that_do_not_chain_mend_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let records = Chain::new().start(100, 700);
    let store = several_files(dir.path(), &records);
    let file = &journal_files(dir.path())[1];
    flip(file, 4_000, 3);
    let report = examine(&store).into_iter().find(|r| !r.is_whole()).unwrap();
    // A record of the same place with other content, sound in itself.
    let mut wrong = given(&records, &report);
    let place = wrong[0].index().as_u64() as usize;
    let mut other = Chain::behind(records[place - 2].position());
    wrong[0] = other.document(701);
    let first = at(report.first);
    let error = store.mend_file(first, &wrong).unwrap_err();
    assert_eq!(error.code(), codes::RECORD_DAMAGED);
    assert!(!examine(&store)[1].is_whole(), "the old file is still there");
    assert!(store.mend_file(first, &given(&records, &report)).unwrap());
    assert_eq!(all_records(&store), records);
}

#[test]
fn a_lost_file_of_a_running_journal_is_written_anew() {
    let dir = tempfile::tempdir().unwrap();
    let records = Chain::new().start(100, 700);
    let store = several_files(dir.path(), &records);
    std::fs::remove_file(&journal_files(dir.path())[1]).unwrap();
    let report = examine(&store).into_iter().find(|r| !r.is_whole()).unwrap();
    assert_eq!(report.gaps.len(), 1);
    assert!(store.mend_file(at(report.first), &given(&records, &report)).unwrap());
    assert_eq!(all_records(&store), records);
}

#[test]
fn a_journal_that_no_longer_opens_is_mended_and_opens_with_everything_acknowledged() {
    let mut mended = 0;
    let records = Chain::new().start(100, 700);
    let origin = tempfile::tempdir().unwrap();
    drop(several_files(origin.path(), &records));
    for seed in 0..60 {
        let dir = tempfile::tempdir().unwrap();
        copy_dir(origin.path(), dir.path());
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
        let files = journal_files(dir.path());
        // The file that is written to is the one whose damage keeps a journal from opening; sometimes a file is gone.
        let n = if seed % 3 == 0 { rng.random_range(0..files.len()) } else { files.len() - 1 };
        if seed % 5 == 0 {
            std::fs::remove_file(&files[n]).unwrap();
        } else {
            for _ in 0..=seed % 3 {
                let at = rng.random_range(0..files[n].metadata().unwrap().len() as usize);
                flip(&files[n], at, rng.random_range(0..8));
            }
        }
        if let Err(error) = open_small(dir.path(), 20_000) {
            assert_eq!(error.code(), codes::RECORD_DAMAGED);
            let closed = PlatformStore::look_at_closed(dir.path(), region()).unwrap();
            assert!(!closed.is_whole(), "seed {seed}: {error}");
            let gaps = closed.gaps();
            let wanted = |r: &&Arc<Record>| gaps.iter().any(|g| g.from <= r.index() && r.index() <= g.to);
            closed.mend(&records.iter().filter(wanted).cloned().collect::<Vec<_>>()).unwrap();
            mended += 1;
        }
        let (store, found) = open_small(dir.path(), 20_000).unwrap();
        for report in examine(&store).iter().filter(|r| !r.is_whole()) {
            assert!(store.mend_file(at(report.first), &given(&records, report)).unwrap());
        }
        assert_eq!(found.last, records[99].position(), "seed {seed}");
        assert_eq!(all_records(&store), records, "seed {seed}");
    }
    assert!(mended >= 30, "{mended} of 60");
}

#[test]
fn a_look_can_be_ended_and_is_told_of_every_byte() {
    let dir = tempfile::tempdir().unwrap();
    let records = Chain::new().start(100, 700);
    let store = several_files(dir.path(), &records);
    let mut told = 0;
    let report = store.examine_file(at(1), &mut |n| {
        told += n;
        true
    });
    assert_eq!(report.unwrap().bytes, told);
    assert!(store.examine_file(at(1), &mut |_| false).is_none());
    assert!(store.examine_rows(&mut free).unwrap().unwrap().damage.is_none());
}

#[test]
fn damaged_rows_are_found_on_disk_and_made_anew_from_the_journal_while_the_platform_goes_on() {
    let records = Chain::new().start(400, 200);
    let mut found = 0;
    for seed in 0..12 {
        let dir = tempfile::tempdir().unwrap();
        let shared = shared();
        let (store, _) = PlatformStore::open(dir.path(), lineage(), region(), &shared).unwrap();
        store.append(&records).unwrap();
        store.apply(&records).unwrap();
        let want = store.snapshot().state_digest().unwrap();
        store.flush().unwrap();
        let mut tables = files(dir.path(), &[".sst"]);
        tables.sort_by_key(|f| f.metadata().unwrap().len());
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
        // The largest table is the one of the rows; its data come first.
        let table = tables.last().unwrap();
        flip(table, rng.random_range(0..table.metadata().unwrap().len() as usize / 2), 5);
        let look = store.examine_rows(&mut free).unwrap().unwrap();
        if look.damage.is_none() {
            continue;
        }
        found += 1;
        let old = store.snapshot();
        assert_eq!(store.rebuild_rows(&shared, &mut free).unwrap(), Some(records[399].position()));
        drop(old);
        assert_eq!(store.snapshot().state_digest().unwrap(), want, "seed {seed}");
        assert_eq!(store.examine_rows(&mut free).unwrap().unwrap().damage, None);
        let mut chain = Chain::behind(store.last());
        let more = chain.document(100);
        store.append(std::slice::from_ref(&more)).unwrap();
        store.apply(&[more]).unwrap();
        let after = store.snapshot().state_digest().unwrap();
        drop(store);
        let (store, _) = PlatformStore::open(dir.path(), lineage(), region(), &shared).unwrap();
        assert_eq!(store.snapshot().state_digest().unwrap(), after);
    }
    assert!(found >= 8, "{found} of 12");
}

#[test]
fn a_row_that_no_record_explains_goes_when_rows_are_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    let shared = shared();
    let (store, _) = PlatformStore::open(dir.path(), lineage(), region(), &shared).unwrap();
    let records = Chain::new().start(50, 100);
    store.append(&records).unwrap();
    store.apply(&records).unwrap();
    let want = store.snapshot().state_digest().unwrap();
    store.plant_row(b"doc/planted", b"x").unwrap();
    assert_ne!(store.snapshot().state_digest().unwrap(), want);
    // Ended in the middle: nothing changes, and the next attempt is a whole one.
    let big = Chain::behind(store.last()).document(10);
    store.append(std::slice::from_ref(&big)).unwrap();
    store.apply(&[big]).unwrap();
    assert!(store.rebuild_rows(&shared, &mut free).unwrap().is_some());
    assert!(store.get(b"doc/planted").unwrap().is_none());
    // During a rewind rows are those of two positions: they are not made anew.
    store.begin_rewind(at(40), None).unwrap();
    assert_eq!(store.rebuild_rows(&shared, &mut free).unwrap(), None);
}

#[test]
fn rows_half_made_by_a_crash_are_removed_at_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let shared = shared();
    let (store, _) = PlatformStore::open(dir.path(), lineage(), region(), &shared).unwrap();
    // More than one batch, so that the replay can be ended between two.
    let records = Chain::new().start(4_000, 10);
    let mut chain = Chain::behind(records[3_999].position());
    store.append(&records).unwrap();
    store.apply(&records).unwrap();
    let wide: Vec<_> = (0..40).map(|_| chain.wide(60_000)).collect();
    store.append(&wide).unwrap();
    store.apply(&wide).unwrap();
    let want = store.snapshot().state_digest().unwrap();
    let copy = tempfile::tempdir().unwrap();
    let mut steps = 0;
    let ended = store.rebuild_rows(&shared, &mut |_| {
        steps += 1;
        if steps == 2 {
            copy_dir(dir.path(), copy.path());
        }
        steps < 2
    });
    assert_eq!((ended.unwrap(), steps), (None, 2));
    assert_eq!(store.snapshot().state_digest().unwrap(), want);
    drop(store);
    for place in [dir.path(), copy.path()] {
        let (store, _) = PlatformStore::open(place, lineage(), region(), &shared).unwrap();
        assert_eq!(store.snapshot().state_digest().unwrap(), want);
        assert!(store.rebuild_rows(&shared, &mut free).unwrap().is_some());
        assert_eq!(store.snapshot().state_digest().unwrap(), want);
    }
}

#[test]
fn a_bit_flipped_anywhere_in_a_table_of_rows_keeps_no_platform_closed_and_is_mended() {
    let records = Chain::new().start(900, 40);
    let shared = shared();
    let origin = tempfile::tempdir().unwrap();
    let (store, _) = PlatformStore::open(origin.path(), lineage(), region(), &shared).unwrap();
    store.append(&records).unwrap();
    store.apply(&records).unwrap();
    // As a look leaves it: what it noted is in a table too.
    store.local_put(b"scrub", b"noted").unwrap();
    store.flush().unwrap();
    let want = store.snapshot().state_digest().unwrap();
    drop(store);
    let table = |dir: &std::path::Path| {
        files(dir, &[".sst"]).into_iter().max_by_key(|f| f.metadata().unwrap().len()).unwrap()
    };
    let len = table(origin.path()).metadata().unwrap().len() as usize;
    let (mut found, mut named, mut closed) = (0, 0, 0);
    for n in 0..40 {
        // Half of them at the end, where index, filter and footer lie.
        let at = if n % 2 == 0 { len * n / 40 } else { len - 1 - (n / 2) * 90 };
        let dir = tempfile::tempdir().unwrap();
        copy_dir(origin.path(), dir.path());
        flip(&table(dir.path()), at, 3);
        let (store, _) = PlatformStore::open(dir.path(), lineage(), region(), &shared).unwrap();
        closed += usize::from(store.rows_suspect());
        let look = store.examine_rows(&mut free).unwrap().unwrap();
        if look.damage.is_some() {
            found += 1;
            named += usize::from(look.damage.is_some_and(|d| d.contains(".sst")));
            assert_eq!(store.rebuild_rows(&shared, &mut free).unwrap(), Some(records[899].position()));
        }
        assert!(!store.rows_suspect(), "byte {at} of {len}");
        assert_eq!(store.snapshot().state_digest().unwrap(), want, "byte {at} of {len}");
        drop(store);
        let (store, _) = PlatformStore::open(dir.path(), lineage(), region(), &shared).unwrap();
        assert_eq!(store.snapshot().state_digest().unwrap(), want);
        assert_eq!(store.examine_rows(&mut free).unwrap().unwrap().damage, None);
    }
    assert!(
        found >= 30 && named >= 20 && closed >= 3,
        "{found} found, {named} with its file, {closed} had a table that does not open"
    );
}
