//! Flipped bits and lost files: an error that names the damage, or the true content; nothing in between.

use crate::support::*;
use eport_model::{Coded, Record, codes};
use eport_store::PlatformStore;
use rand::{Rng, SeedableRng};
use std::path::Path;
use std::sync::Arc;

type Rows = Vec<(bytes::Bytes, bytes::Bytes)>;

/// Everything the store serves, or the first error.
fn serve(dir: &Path, count: usize) -> Result<(Vec<Arc<Record>>, Rows), eport_store::Error> {
    let (store, found) = try_open(dir)?;
    assert_eq!(found.last.index, at(count as u64), "opened with fewer records than were acknowledged");
    let mut records: Vec<Arc<Record>> = Vec::new();
    while records.len() < count {
        records.extend(store.read(at(records.len() as u64 + 1), 1 << 20)?);
    }
    Ok((records, store.scan(b"", None, usize::MAX)?))
}

fn filled(dir: &Path, records: &[Arc<Record>]) -> PlatformStore {
    let (store, _) = open(dir);
    records.chunks(25).for_each(|c| store.append(c).unwrap());
    store.apply(records).unwrap();
    store
}

/// Flips one bit of one of the files for each seed; returns how often it was reported.
fn flip_bits(
    origin: &Path,
    folder: &str,
    endings: &[&str],
    want: &(Vec<Arc<Record>>, Rows),
    seeds: u64,
) -> u64 {
    let mut reported = 0;
    for seed in 0..seeds {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
        let copy = tempfile::tempdir().unwrap();
        copy_dir(origin, copy.path());
        let files = files(&copy.path().join(folder), endings);
        let file = &files[rng.random_range(0..files.len())];
        let mut bytes = std::fs::read(file).unwrap();
        let at = rng.random_range(0..bytes.len());
        bytes[at] ^= 1 << rng.random_range(0..8);
        std::fs::write(file, bytes).unwrap();
        match serve(copy.path(), want.0.len()) {
            Ok(served) => assert!(served == *want, "seed {seed}: damage in {} was served", file.display()),
            Err(e) => {
                reported += 1;
                assert_eq!(e.code(), codes::RECORD_DAMAGED, "seed {seed}, {}: {e}", file.display());
            }
        }
    }
    reported
}

#[test]
fn a_flipped_bit_in_the_journal_is_reported_and_never_served() {
    let dir = tempfile::tempdir().unwrap();
    let records = Chain::new().start(100, 700);
    let store = filled(dir.path(), &records);
    let want = (records, store.scan(b"", None, usize::MAX).unwrap());
    let reported = flip_bits(dir.path(), "journal", &[".log"], &want, 40);
    assert!(reported >= 35, "{reported} of 40: nearly every bit of the journal matters");
}

#[test]
fn a_flipped_bit_in_a_full_file_of_the_journal_is_reported_or_does_not_matter() {
    let dir = tempfile::tempdir().unwrap();
    let records = Chain::new().start(100, 700);
    let (store, _) = open_small(dir.path(), 20_000).unwrap();
    records.chunks(5).for_each(|c| store.append(c).unwrap());
    store.apply(&records).unwrap();
    assert!(journal_files(dir.path()).len() > 3);
    let want = (records, store.scan(b"", None, usize::MAX).unwrap());
    let reported = flip_bits(dir.path(), "journal", &[".log"], &want, 60);
    assert!(reported >= 50, "{reported} of 60");
}

#[test]
fn a_flipped_bit_in_tables_is_reported_and_never_served() {
    let dir = tempfile::tempdir().unwrap();
    let records = Chain::new().start(100, 700);
    let store = filled(dir.path(), &records);
    let want = (records, store.scan(b"", None, usize::MAX).unwrap());
    drop(store);
    // Opening again writes what the log holds into tables.
    drop(open(dir.path()));
    assert!(!files(dir.path(), &[".sst"]).is_empty());
    let reported = flip_bits(dir.path(), "", &[".sst"], &want, 60);
    assert!(reported >= 20, "{reported} of 60");
}

#[test]
fn a_lost_file_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    let records = Chain::new().start(60, 700);
    let (store, _) = open_small(dir.path(), 10_000).unwrap();
    records.chunks(5).for_each(|c| store.append(c).unwrap());
    store.apply(&records).unwrap();
    drop(store);
    drop(open(dir.path()));
    let mut all = files(dir.path(), &[".sst"]);
    all.extend(journal_files(dir.path()));
    assert!(all.len() > 4);
    for file in all {
        let copy = tempfile::tempdir().unwrap();
        copy_dir(dir.path(), copy.path());
        std::fs::remove_file(copy.path().join(file.strip_prefix(dir.path()).unwrap())).unwrap();
        let error = serve(copy.path(), records.len()).expect_err("a lost file was not missed");
        assert_eq!(error.code(), codes::RECORD_DAMAGED, "{}: {error}", file.display());
    }
}
