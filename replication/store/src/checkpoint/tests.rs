//! Making, taking and installing, with every way to be interrupted.

use super::*;
use crate::checkpoint::install::STEPS;
use crate::{Budget, PlatformStore, Shared};
use bytes::Bytes;
use eport_model::{Draft, Effect, Epoch, Record, RecordKind, Timestamp};
use std::path::PathBuf;
use std::sync::Arc;

/// Journal files of this many bytes: a checkpoint has several.
const FILE: u64 = 6 << 10;

fn region() -> RegionCode {
    "440300".parse().unwrap()
}

fn open(dir: &Path) -> Result<PlatformStore, Error> {
    let budget =
        Budget { cache_bytes: 1 << 20, buffer_bytes: 4 << 20, open_files: 64, journal_file_bytes: FILE };
    let shared = Shared::new(budget).unwrap();
    PlatformStore::open(dir, Lineage::from_bytes([7; 16]), region(), &shared).map(|(store, _)| store)
}

fn write(store: &PlatformStore, count: u64) -> Vec<Arc<Record>> {
    let mut last = store.last();
    let mut records = Vec::new();
    for _ in 0..count {
        let n = last.index.as_u64() + 1;
        let starts = n % 40 == 1;
        let epoch = Epoch::from_u64(1 + (n - 1) / 40);
        let kind = match starts {
            true => RecordKind::EpochStart {
                primary: "a".parse().unwrap(),
                previous: last.epoch,
                move_id: eport_model::MoveId::default(),
            },
            false => RecordKind::Entry,
        };
        let mut draft = Draft::bare(kind, Timestamp::from_millis(n as i64));
        let key = |k: u64| Bytes::from(format!("k/{:04}", k % 60));
        draft.effects.push(Effect::Put { key: key(n), value: Bytes::from(vec![n as u8; 100]) });
        draft.effects.push(Effect::Delete { key: key(n + 30) });
        draft.bodies.push(Bytes::from(vec![0xb0; 50]));
        let record =
            Arc::new(Record::seal(draft, store.lineage(), region(), epoch, &last, store.last_time()));
        last = record.position();
        store.append(std::slice::from_ref(&record)).unwrap();
        records.push(record);
    }
    store.apply(&records).unwrap();
    records
}

/// Hands pieces over until nothing is missing, at most `max` of them.
fn hand_over(made: &Checkpoint, dir: &Path, inbox: &CheckpointInbox, max: usize) -> usize {
    let mut sent = 0;
    while let Some(at) = inbox.missing().unwrap() {
        if sent == max {
            break;
        }
        let bytes = made.piece(dir, at.file, at.piece).unwrap().unwrap();
        inbox.take(at, &bytes).unwrap();
        sent += 1;
    }
    sent
}

struct Pair {
    dir: tempfile::TempDir,
    source: PlatformStore,
}

fn pair(records: u64) -> Pair {
    let dir = tempfile::tempdir().unwrap();
    let source = open(&dir.path().join("source")).unwrap();
    write(&source, records);
    Pair { dir, source }
}

impl Pair {
    fn target(&self) -> PathBuf {
        self.dir.path().join("target")
    }

    fn make(&self, from: u64) -> (Checkpoint, PathBuf) {
        self.source.make_checkpoint(&self.dir.path().join("made"), JournalIndex::from_u64(from)).unwrap()
    }
}

fn same(a: &PlatformStore, b: &PlatformStore) {
    assert_eq!((a.last(), a.applied(), a.history()), (b.last(), b.applied(), b.history()));
    assert_eq!(a.snapshot().state_digest().unwrap(), b.snapshot().state_digest().unwrap());
    let first = JournalIndex::from_u64(1);
    assert_eq!(
        a.read(first, usize::MAX).unwrap(),
        b.read(first, usize::MAX).unwrap(),
        "the whole evidence log"
    );
}

#[test]
fn a_new_backup_gets_rows_and_the_whole_journal_and_goes_on_from_there() {
    let pair = pair(130);
    let (made, dir) = pair.make(0);
    assert!(made.files.len() > 4, "{} files", made.files.len());
    let target = open(&pair.target()).unwrap();
    let inbox = CheckpointInbox::begin(&target, made.clone()).unwrap();
    assert!(target.install_checkpoint().is_err(), "nothing is installed before it is here");
    hand_over(&made, &dir, &inbox, usize::MAX);
    assert_eq!(inbox.verify().unwrap(), made.last);
    target.install_checkpoint().unwrap();
    same(&pair.source, &target);
    assert!(!target.path().join("checkpoint").exists());
    let next = write(&pair.source, 10);
    target.append(&next).unwrap();
    target.apply(&next).unwrap();
    drop((inbox, target));
    same(&pair.source, &open(&pair.target()).unwrap());
}

#[test]
fn a_backup_far_behind_keeps_its_journal_and_loses_rows_that_are_gone() {
    for behind in [1, 7, 40, 41, 64] {
        let pair = pair(behind);
        let target = open(&pair.target()).unwrap();
        let old = pair.source.read(JournalIndex::from_u64(1), usize::MAX).unwrap();
        target.append(&old).unwrap();
        target.apply(&old).unwrap();
        write(&pair.source, 90);
        let (made, dir) = pair.make(behind);
        let inbox = CheckpointInbox::begin(&target, made.clone()).unwrap();
        hand_over(&made, &dir, &inbox, usize::MAX);
        inbox.verify().unwrap();
        target.install_checkpoint().unwrap();
        same(&pair.source, &target);
        drop((inbox, target));
        same(&pair.source, &open(&pair.target()).unwrap());
    }
}

#[test]
fn a_crash_at_any_step_of_the_installation_leaves_the_old_state_or_the_whole_new_one() {
    for behind in [0, 33] {
        for step in STEPS {
            let pair = pair(behind);
            let target = open(&pair.target()).unwrap();
            let old = pair.source.read(JournalIndex::from_u64(1), usize::MAX).unwrap();
            target.append(&old).unwrap();
            target.apply(&old).unwrap();
            write(&pair.source, 90);
            let (made, dir) = pair.make(behind);
            let inbox = CheckpointInbox::begin(&target, made.clone()).unwrap();
            hand_over(&made, &dir, &inbox, usize::MAX);
            inbox.verify().unwrap();
            let stopped = target.install_to(|at| if at == step { Err(Error::Stopped) } else { Ok(()) });
            assert!(stopped.is_err());
            drop((inbox, target));
            // Opening goes on; a second crash in the middle of that is the same again.
            let target = open(&pair.target()).unwrap();
            same(&pair.source, &target);
            assert_eq!(target.noted_install().unwrap(), None);
            drop(target);
            same(&pair.source, &open(&pair.target()).unwrap());
        }
    }
}

#[test]
fn a_crash_between_two_moved_files_is_gone_on_with() {
    let pair = pair(20);
    let target = open(&pair.target()).unwrap();
    let old = pair.source.read(JournalIndex::from_u64(1), usize::MAX).unwrap();
    target.append(&old).unwrap();
    target.apply(&old).unwrap();
    write(&pair.source, 120);
    let (made, dir) = pair.make(20);
    let inbox = CheckpointInbox::begin(&target, made.clone()).unwrap();
    hand_over(&made, &dir, &inbox, usize::MAX);
    inbox.verify().unwrap();
    let files = inbox.journal_to_install();
    assert!(files.len() >= 3);
    let noted = target.install_to(|_| Err(Error::Stopped));
    assert!(noted.is_err());
    // As if the process had been killed after the first of the files was moved.
    target.adopt_journal(&files[..1], JournalIndex::from_u64(files[1].0.as_u64() - 1)).unwrap();
    drop((inbox, target));
    same(&pair.source, &open(&pair.target()).unwrap());
}

#[test]
fn what_came_before_a_crash_is_not_sent_again_and_damage_on_the_way_is_found() {
    let pair = pair(130);
    let (made, dir) = pair.make(0);
    let pieces: usize = made.files.iter().map(|f| f.pieces.len()).sum();
    let target = open(&pair.target()).unwrap();
    let inbox = CheckpointInbox::begin(&target, made.clone()).unwrap();
    let sent = hand_over(&made, &dir, &inbox, 3);
    drop((inbox, target));
    let target = open(&pair.target()).unwrap();
    let inbox = CheckpointInbox::begin(&target, made.clone()).unwrap();
    assert!(inbox.bytes_here() > 0);
    let at = inbox.missing().unwrap().unwrap();
    let mut bytes = made.piece(&dir, at.file, at.piece).unwrap().unwrap();
    bytes[9] ^= 1;
    assert!(inbox.take(at, &bytes).is_err(), "another piece than announced");
    let rest = hand_over(&made, &dir, &inbox, usize::MAX);
    assert_eq!(sent + rest, pieces, "each piece once");
    // A file that is damaged on this disk before the last look.
    let name = made.files.last().unwrap().name();
    let path = target.path().join("checkpoint").join(name);
    let mut rows = std::fs::read(&path).unwrap();
    let last = rows.len() - 1;
    rows[last] ^= 1;
    std::fs::write(&path, rows).unwrap();
    assert!(inbox.verify().is_err());
    hand_over(&made, &dir, &inbox, usize::MAX);
    inbox.verify().unwrap();
    target.install_checkpoint().unwrap();
    same(&pair.source, &target);
}

#[test]
fn a_source_that_lies_about_records_is_found() {
    let pair = pair(60);
    let (mut made, dir) = pair.make(0);
    // The bit is flipped where the source holds it, and its checksum is honest about the flipped bit.
    let name = made.files[0].name();
    let path = dir.join(&name);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[500] ^= 1;
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, &bytes).unwrap();
    made.files[0].pieces = pieces(&path).unwrap().1;
    let target = open(&pair.target()).unwrap();
    let inbox = CheckpointInbox::begin(&target, made.clone()).unwrap();
    let at = inbox.missing().unwrap().unwrap();
    let piece = made.piece(&dir, at.file, at.piece).unwrap().unwrap();
    assert!(inbox.take(at, &piece).is_err());
    assert_eq!(inbox.missing().unwrap(), Some(at), "asked for again");
}

#[test]
fn a_checkpoint_that_does_not_continue_this_journal_is_refused() {
    let pair = pair(60);
    let (made, _) = pair.make(10);
    let target = open(&pair.target()).unwrap();
    assert!(CheckpointInbox::begin(&target, made).is_err());
    let (made, _) = pair.make(0);
    let bad = [
        Checkpoint { files: made.files[1..].to_vec(), ..made.clone() },
        Checkpoint { layout: 99, ..made.clone() },
        Checkpoint { region: "440100".parse().unwrap(), ..made.clone() },
        Checkpoint { applied: made.last, last: made.applied, from: made.last.index, ..made.clone() },
    ];
    for (n, bad) in bad.into_iter().enumerate() {
        assert!(CheckpointInbox::begin(&target, bad).is_err(), "{n}");
    }
    let mut long = made.clone();
    long.files[0].bytes = u64::MAX;
    assert!(CheckpointInbox::begin(&target, long).is_err());
}
