//! Bodies that go by law: overwritten where they lie, on every copy, while the chain proves itself as before.

use crate::support::*;
use eport_model::{Digest, Draft, Record, Timestamp};
use eport_store::{PlatformStore, Until, verify_export};
use std::path::Path;
use std::sync::Arc;

const BODY_LEN: usize = 700;

fn erase_of(record: &Record) -> Draft {
    Draft::erase(
        (record.index(), 0),
        record.header.bodies[0].digest,
        "a person asked".into(),
        "order 7".into(),
        Timestamp::from_millis(9_000),
    )
}

/// Files of the journal that hold these bytes.
fn holding(dir: &Path, bytes: &[u8]) -> usize {
    let holds = |p: &std::path::PathBuf| std::fs::read(p).unwrap().windows(bytes.len()).any(|w| w == bytes);
    journal_files(dir).iter().filter(|p| holds(p)).count()
}

/// Forty records over several files, and an Erase of the fifth and of the last.
fn erased(dir: &Path) -> (PlatformStore, Vec<Arc<Record>>) {
    let mut chain = Chain::new();
    let records = chain.start(40, BODY_LEN);
    let (store, _) = open_small(dir, 10_000).unwrap();
    records.chunks(4).for_each(|c| store.append(c).unwrap());
    store.apply(&records).unwrap();
    let orders = [chain.add(erase_of(&records[4])), chain.add(erase_of(&records[39]))];
    store.append(&orders).unwrap();
    for n in [4, 39] {
        assert_eq!(holding(dir, &records[n].bodies[0][..64]), 1, "the probe finds it");
    }
    store.apply(&orders).unwrap();
    (store, records)
}

#[test]
fn an_erased_body_is_on_no_disk_and_everything_else_stays_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let (store, records) = erased(dir.path());
    for n in [4, 39] {
        let (record, index) = (&records[n], records[n].index());
        assert_eq!(holding(dir.path(), &record.bodies[0][..64]), 0);
        assert!(store.is_erased(index, 0).unwrap() && store.body(index, 0).unwrap().unwrap().is_empty());
        let stored = store.record(index).unwrap().unwrap();
        assert_eq!(
            (&stored.header, &stored.effects, stored.digest),
            (&record.header, &record.effects, record.digest)
        );
    }
    assert!(!store.is_erased(at(6), 0).unwrap());
    let whole = store.journal_files();
    assert!(whole.iter().all(|f| store.examine_file(f.first, &mut |_| true).unwrap().is_whole()));
    drop(store);
    let (store, found) = open_small(dir.path(), 10_000).unwrap();
    assert_eq!(found.last.index, at(42));
    assert_eq!(all_records(&store).len(), 42);
}

#[test]
fn an_export_with_erased_bodies_verifies_and_one_with_a_body_that_nobody_erased_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let (store, records) = erased(dir.path());
    let out = tempfile::tempdir().unwrap();
    store.export(&out.path().join("good"), at(1)).unwrap();
    let report = verify_export(&out.path().join("good"), Some(store.last()), None).unwrap();
    assert!(report.ok && report.end_proven, "{report:?}");
    // Somebody empties another body, as an Erase would, but no record says so.
    store.erase_body(at(7), 0, &records[6].header.bodies[0].digest).unwrap();
    store.export(&out.path().join("bad"), at(1)).unwrap();
    let report = verify_export(&out.path().join("bad"), Some(store.last()), None).unwrap();
    assert!(!report.ok);
    assert_eq!((report.problems[0].index, report.problems[0].kind.as_str()), (at(7), "body"), "{report:?}");
}

#[test]
fn only_the_body_that_is_named_is_ever_erased() {
    let dir = tempfile::tempdir().unwrap();
    let (store, records) = erased(dir.path());
    for (record, body, digest) in [
        (at(8), 0, Digest::of(b"another body")),
        (at(8), 1, records[7].header.bodies[0].digest),
        (at(900), 0, records[7].header.bodies[0].digest),
    ] {
        store.erase_body(record, body, &digest).unwrap();
    }
    assert_eq!(store.record(at(8)).unwrap().unwrap(), *records[7]);
    // Once more does nothing.
    store.erase_body(at(5), 0, &records[4].header.bodies[0].digest).unwrap();
    assert!(store.is_erased(at(5), 0).unwrap());
}

#[test]
fn a_crash_at_any_step_leaves_the_body_or_an_erased_one_and_the_next_start_ends_it() {
    let origin = tempfile::tempdir().unwrap();
    let mut chain = Chain::new();
    let records = chain.start(20, BODY_LEN);
    let order = chain.add(erase_of(&records[4]));
    let (store, _) = open(origin.path());
    store.append(&records).unwrap();
    store.apply(&records).unwrap();
    store.append(std::slice::from_ref(&order)).unwrap();
    drop(store);
    let before = std::fs::read(&journal_files(origin.path())[0]).unwrap();
    let done = tempfile::tempdir().unwrap();
    copy_dir(origin.path(), done.path());
    let (store, _) = open(done.path());
    store.apply(std::slice::from_ref(&order)).unwrap();
    drop(store);
    let after = std::fs::read(&journal_files(done.path())[0]).unwrap();
    assert_eq!(before.len(), after.len(), "nothing moves");
    let changed: Vec<usize> = (0..before.len()).filter(|i| before[*i] != after[*i]).collect();
    let (front, state) =
        (changed[0], before.windows(64).position(|w| w == &records[4].bodies[0][..64]).unwrap() - 1);
    assert!(front >= state - 4, "only the body and its front change");
    // The steps: the state says that it goes; any part of the zeros; all of them.
    for zeros in [0, 1, 300, BODY_LEN] {
        let copy = tempfile::tempdir().unwrap();
        copy_dir(origin.path(), copy.path());
        let mut bytes = before.clone();
        bytes[state] = 0x5e;
        bytes[state + 1..state + 1 + zeros].fill(0);
        std::fs::write(&journal_files(copy.path())[0], &bytes).unwrap();
        let (store, found) = open(copy.path());
        assert_eq!((found.applied.index, found.last.index), (at(20), at(21)), "zeros {zeros}");
        assert!(store.body(at(5), 0).unwrap().unwrap().is_empty(), "served as erased");
        store.apply(std::slice::from_ref(&order)).unwrap();
        drop(store);
        assert_eq!(std::fs::read(&journal_files(copy.path())[0]).unwrap(), after, "zeros {zeros}");
    }
}

#[test]
fn what_a_backup_still_has_is_erased_again_when_it_is_restored() {
    let dir = tempfile::tempdir().unwrap();
    let mut chain = Chain::new();
    let records = chain.start(20, BODY_LEN);
    let (store, _) = open(dir.path());
    store.append(&records).unwrap();
    store.apply(&records).unwrap();
    let out = tempfile::tempdir().unwrap();
    let first = store.export(&out.path().join("first"), at(1)).unwrap();
    let order = chain.add(erase_of(&records[4]));
    store.append(std::slice::from_ref(&order)).unwrap();
    store.apply(&[order]).unwrap();
    let second = store.export(&out.path().join("second"), at(21)).unwrap();
    let target = tempfile::tempdir().unwrap();
    let (restored, _) = open(target.path());
    for (folder, manifest) in [("first", first), ("second", second)] {
        for segment in &manifest.segments {
            restored.restore_segment(&out.path().join(folder).join(&segment.file), Until::End).unwrap();
        }
    }
    assert_eq!(restored.last(), store.last());
    assert!(restored.is_erased(at(5), 0).unwrap());
    assert_eq!(holding(target.path(), &records[4].bodies[0][..64]), 0);
}

#[test]
fn a_mended_file_does_not_bring_an_erased_body_back() {
    let dir = tempfile::tempdir().unwrap();
    let (store, records) = erased(dir.path());
    let file = &journal_files(dir.path())[0];
    let mut bytes = std::fs::read(file).unwrap();
    // Damage in the file that holds the erased record, in another record.
    let place = bytes.windows(64).position(|w| w == &records[6].bodies[0][..64]).unwrap();
    bytes[place] ^= 1;
    std::fs::write(file, bytes).unwrap();
    let report = store.examine_file(at(1), &mut |_| true).unwrap();
    assert_eq!(report.gaps.len(), 1, "{report:?}");
    assert!(store.mend_file(at(1), &[records[6].clone()]).unwrap());
    assert!(store.is_erased(at(5), 0).unwrap());
    assert_eq!(holding(dir.path(), &records[4].bodies[0][..64]), 0);
}

/// Bodies go while the journal is read: what a reader finds missing, a record behind the end that it saw first explains.
#[test]
fn an_export_and_a_verification_that_race_with_erase_read_on_until_the_missing_bodies_are_explained() {
    const ERASED: usize = 40;
    let dir = tempfile::tempdir().unwrap();
    let mut chain = Chain::new();
    let records = chain.start(3_000, BODY_LEN);
    let (store, _) = open(dir.path());
    store.append(&records).unwrap();
    store.apply(&records).unwrap();
    // From the end backwards: readers meet the bodies late, and the records that explain them are behind the end by then.
    let eraser = std::thread::spawn({
        let (store, victims) = (store.clone(), records[records.len() - ERASED..].to_vec());
        move || {
            for victim in victims.iter().rev() {
                let order = chain.add(erase_of(victim));
                store.append(std::slice::from_ref(&order)).unwrap();
                store.apply(&[order]).unwrap();
            }
        }
    });
    let mut read_on = 0;
    while !eraser.is_finished() {
        let seen = store.last().index;
        let out = tempfile::tempdir().unwrap();
        let manifest = store.export(&out.path().join("export"), at(1)).unwrap();
        let report = verify_export(&out.path().join("export"), Some(manifest.last), None).unwrap();
        assert!(report.ok && report.end_proven, "seen {seen}: {report:?}");
        read_on += usize::from(manifest.last.index > seen);
        let report = store.verify(None).unwrap();
        assert!(report.ok, "{report:?}");
    }
    eraser.join().unwrap();
    assert!(read_on > 0, "no export met a body that went meanwhile");
    assert!(records[records.len() - ERASED..].iter().all(|r| store.is_erased(r.index(), 0).unwrap()));
}
