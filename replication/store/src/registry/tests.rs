//! Promises of the registry's storage.

use super::*;
use eport_model::{Coded, codes};

fn open(dir: &tempfile::TempDir) -> RegistryStore {
    RegistryStore::open(dir.path()).unwrap()
}

fn rows(pairs: &[(&'static str, &'static str)]) -> Vec<(Vec<u8>, Vec<u8>)> {
    pairs.iter().map(|(k, v)| (k.as_bytes().to_vec(), v.as_bytes().to_vec())).collect()
}

fn refs(rows: &[(Vec<u8>, Vec<u8>)]) -> impl Iterator<Item = (&[u8], &[u8])> {
    rows.iter().map(|(k, v)| (k.as_slice(), v.as_slice()))
}

#[test]
fn what_was_synced_is_there_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let mut batch = store.batch();
    (1..=300u64).for_each(|i| batch.put_log(i, &i.to_le_bytes()));
    batch.put_mark("vote", b"v");
    batch.put_row(b"k", b"1");
    store.submit(batch).unwrap().blocking_recv().unwrap().unwrap();
    drop(store);

    let store = open(&dir);
    assert_eq!(store.last_log().unwrap().unwrap().0, 300);
    assert_eq!(store.mark("vote").unwrap().unwrap(), b"v");
    assert_eq!(store.rows().unwrap(), rows(&[("k", "1")]));
    let entries = store.log(255, 258, usize::MAX).unwrap();
    assert_eq!(entries.iter().map(|e| e.0).collect::<Vec<_>>(), [255, 256, 257]);
}

#[test]
fn a_byte_limit_stops_a_read_but_never_before_its_first_entry() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let mut batch = store.batch();
    (0..10u64).for_each(|i| batch.put_log(i, &[0; 100]));
    store.write(batch).unwrap();
    assert_eq!(store.log(0, 10, 350).unwrap().len(), 3);
    assert_eq!(store.log(4, 10, 1).unwrap().len(), 1);
    let mut batch = store.batch();
    batch.delete_log(0, 4);
    store.write(batch).unwrap();
    assert_eq!(store.log(0, 10, usize::MAX).unwrap()[0].0, 4);
}

#[test]
fn replacing_rows_leaves_none_of_the_old_ones() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let old = rows(&[("a", "1"), ("b", "2"), ("z", "3")]);
    store.replace_rows(refs(&old), &[]).unwrap();
    let new = rows(&[("b", "4"), ("c", "5")]);
    store.replace_rows(refs(&new), &[("applied", vec![7])]).unwrap();
    assert_eq!(store.rows().unwrap(), new);
    assert_eq!(store.mark("applied").unwrap(), Some(vec![7]));
}

#[test]
fn a_folder_that_is_open_elsewhere_or_of_another_format_is_refused_by_code() {
    for (format, code) in [(9, codes::DIR_NEWER_FORMAT), (1, codes::DIR_OLDER_FORMAT)] {
        let dir = tempfile::tempdir().unwrap();
        let store = open(&dir);
        assert_eq!(RegistryStore::open(dir.path()).err().unwrap().code(), codes::DIR_IN_USE);
        let mut batch = store.batch();
        batch.put_mark("format", &[format]);
        store.write(batch).unwrap();
        drop(store);
        assert_eq!(RegistryStore::open(dir.path()).err().unwrap().code(), code);
    }
}

#[test]
fn a_snapshot_reads_back_and_any_changed_byte_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let content = rows(&[("a", "1"), ("b", "")]);
    let file = store.write_snapshot(5, b"head", refs(&content)).unwrap();
    assert_eq!(file.read().unwrap(), SnapshotContent { header: b"head".to_vec(), rows: content });

    let good = std::fs::read(file.path()).unwrap();
    let copy = dir.path().join("copy");
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x40;
        std::fs::write(&copy, &bad).unwrap();
        let broken = SnapshotFile::at(copy.clone(), bad.len() as u64);
        assert_eq!(broken.read().unwrap_err().code(), codes::RECORD_DAMAGED, "byte {at}");
        std::fs::write(&copy, &good[..at]).unwrap();
        assert_eq!(broken.read().unwrap_err().code(), codes::RECORD_DAMAGED, "cut at {at}");
    }
}

trait SnapshotPath {
    fn names(&self) -> Vec<String>;
}

impl SnapshotPath for RegistryStore {
    fn names(&self) -> Vec<String> {
        self.snapshots()
            .unwrap()
            .iter()
            .map(|f| f.path().file_name().unwrap().to_string_lossy().into_owned())
            .collect()
    }
}

#[test]
fn two_snapshots_are_kept_and_unfinished_ones_are_gone_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    for index in 1..=4 {
        store.write_snapshot(index, b"", std::iter::empty()).unwrap();
    }
    let names = store.names();
    assert_eq!(names.len(), 2);
    assert!(names[0].starts_with("00000000000000000004-") && names[1].starts_with("00000000000000000003-"));
    let mut incoming = store.receive_snapshot(10).unwrap();
    incoming.append(b"abc").unwrap();
    std::mem::forget(incoming);
    drop(store);
    let store = open(&dir);
    assert_eq!(store.names(), names);
    assert_eq!(std::fs::read_dir(dir.path().join("snapshots")).unwrap().count(), 2);
}

#[test]
fn a_received_snapshot_must_have_the_stated_length_and_becomes_the_newest_when_adopted() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (source, target) = (open(&from), open(&to));
    let file = source.write_snapshot(9, b"h", refs(&rows(&[("k", "v")]))).unwrap();
    let mut reader = file.open().unwrap();
    let mut incoming = target.receive_snapshot(file.len()).unwrap();
    while incoming.written() < file.len() {
        let piece = file.read_piece(&mut reader, incoming.written(), 7).unwrap();
        incoming.append(&piece).unwrap();
    }
    assert!(incoming.append(b"x").is_err());
    let received = incoming.finish().unwrap();
    let adopted = target.adopt_snapshot(9, &received).unwrap();
    assert_eq!(target.snapshots().unwrap(), std::slice::from_ref(&adopted));
    assert_eq!(adopted.read().unwrap(), file.read().unwrap());
    assert!(target.receive_snapshot(3).unwrap().finish().is_err());
    assert!(target.receive_snapshot(u64::MAX).is_err());
}
