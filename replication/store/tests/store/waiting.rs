//! Damage that is met while records are applied ends nothing: it is told, waited for, and goes on once it is mended.

use crate::support::*;
use eport_model::{Coded, Position, Record, USAGE_KEY, codes};
use eport_store::{Error, JournalWriter, Mark, Marks, Op, PlatformStore, WriterLimits};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// Longest wait for something that comes at once.
const SOON: Duration = Duration::from_secs(20);

fn told(store: &PlatformStore) -> (JournalWriter, Receiver<Mark>) {
    let (send, marks) = channel();
    let marked: Marks = Arc::new(move |mark| drop(send.send(mark)));
    (JournalWriter::start(store.clone(), WriterLimits::default(), Some(marked)).unwrap(), marks)
}

fn apply(writer: &JournalWriter, through: u64) -> Receiver<Result<Position, Error>> {
    let (send, receive) = channel();
    writer.submit(Op::Apply(at(through), Box::new(move |result| drop(send.send(result)))));
    receive
}

fn append(writer: &JournalWriter, record: Arc<Record>) {
    let (send, receive) = channel();
    writer.submit(Op::Append(vec![record], Box::new(move |result| drop(send.send(result)))));
    receive.recv().unwrap().unwrap();
}

fn waits(marks: &Receiver<Mark>) -> String {
    match marks.recv_timeout(SOON).unwrap() {
        Mark::Waiting(why) => why,
        other => panic!("{other:?}"),
    }
}

/// Flips a bit of a row where it lies in a table.
fn damage_row(dir: &Path, key: &[u8]) {
    let holds = |path: &PathBuf| std::fs::read(path).unwrap().windows(key.len()).position(|w| w == key);
    let tables = files(dir, &[".sst"]);
    let (table, at) = tables.iter().find_map(|p| holds(p).map(|at| (p, at))).unwrap();
    let mut bytes = std::fs::read(table).unwrap();
    bytes[at + key.len() + 1] ^= 4;
    std::fs::write(table, bytes).unwrap();
}

#[test]
fn a_damaged_row_of_usage_is_told_and_waited_for_and_rows_made_anew_let_it_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let records = Chain::new().start(60, 200);
    let (store, _) = open(dir.path());
    store.append(&records).unwrap();
    store.apply(&records).unwrap();
    store.flush().unwrap();
    drop(store);
    damage_row(dir.path(), USAGE_KEY);

    let shared = shared();
    let (store, _) = PlatformStore::open(dir.path(), lineage(), region(), &shared).unwrap();
    assert_eq!(store.usage().unwrap_err().code(), codes::RECORD_DAMAGED, "the damage is met");
    let (writer, marks) = told(&store);
    let mut chain = Chain::behind(store.last());
    let next = chain.document(200);
    append(&writer, next.clone());
    let applied = apply(&writer, 61);
    assert!(waits(&marks).contains("read row"), "it says what it waits for");
    assert!(applied.try_recv().is_err(), "nothing has failed");
    // The journal takes records meanwhile.
    let later = chain.document(200);
    append(&writer, later.clone());
    assert_eq!(store.rebuild_rows(&shared, &mut |_| true).unwrap(), Some(records[59].position()));
    assert_eq!(applied.recv_timeout(SOON).unwrap().unwrap(), next.position());
    assert!(matches!(marks.recv_timeout(SOON).unwrap(), Mark::GoesOn));
    assert_eq!(apply(&writer, 62).recv_timeout(SOON).unwrap().unwrap(), later.position());

    let other = tempfile::tempdir().unwrap();
    let (sound, _) = open(other.path());
    let all: Vec<_> = records.into_iter().chain([next, later]).collect();
    sound.append(&all).unwrap();
    sound.apply(&all).unwrap();
    assert_eq!(store.usage().unwrap(), sound.usage().unwrap());
    assert_eq!(store.snapshot().state_digest().unwrap(), sound.snapshot().state_digest().unwrap());
}

#[test]
fn a_damaged_record_that_is_to_be_applied_is_waited_for_until_another_holder_has_given_it() {
    let dir = tempfile::tempdir().unwrap();
    let records = Chain::new().start(100, 700);
    let (store, _) = open_small(dir.path(), 20_000).unwrap();
    records.chunks(5).for_each(|c| store.append(c).unwrap());
    let file = &journal_files(dir.path())[1];
    let mut bytes = std::fs::read(file).unwrap();
    bytes[3_000] ^= 8;
    std::fs::write(file, bytes).unwrap();
    let (writer, marks) = told(&store);
    let applied = apply(&writer, 100);
    waits(&marks);
    let report = store.journal_files().into_iter().filter_map(|f| store.examine_file(f.first, &mut |_| true));
    let report = report.into_iter().find(|r| !r.is_whole()).unwrap();
    let wanted = |r: &&Arc<Record>| report.gaps.iter().any(|g| g.from <= r.index() && r.index() <= g.to);
    let given: Vec<_> = records.iter().filter(wanted).cloned().collect();
    assert!(store.mend_file(at(report.first), &given).unwrap());
    assert_eq!(applied.recv_timeout(SOON).unwrap().unwrap(), records[99].position());
    assert!(matches!(marks.recv_timeout(SOON).unwrap(), Mark::GoesOn));
}

#[test]
fn who_waits_for_mending_can_be_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let records = Chain::new().start(60, 200);
    let (store, _) = open(dir.path());
    store.append(&records).unwrap();
    store.apply(&records).unwrap();
    store.flush().unwrap();
    drop(store);
    damage_row(dir.path(), USAGE_KEY);
    let (store, _) = open(dir.path());
    let (writer, marks) = told(&store);
    append(&writer, Chain::behind(store.last()).document(200));
    let applied = apply(&writer, 61);
    waits(&marks);
    writer.shutdown();
    assert!(applied.recv_timeout(SOON).unwrap().is_err());
}

/// Merging tables meets the damage: the database writes nothing more until it is opened again, and then the rows are made anew before
/// anything is merged.
#[test]
fn damage_that_is_met_while_tables_are_merged_is_mended_after_the_next_opening() {
    let dir = tempfile::tempdir().unwrap();
    // Enough rows that the damaged one lies in another block than the row of usage, which is read first.
    let mut records = Chain::new().start(600, 200);
    let (store, _) = open(dir.path());
    store.append(&records).unwrap();
    store.apply(&records).unwrap();
    store.flush().unwrap();
    drop(store);
    damage_row(dir.path(), b"doc/00000002");

    let (store, _) = open(dir.path());
    let mut chain = Chain::behind(store.last());
    let mut failed = None;
    for _ in 0..400 {
        let next = chain.document(200);
        store.append(std::slice::from_ref(&next)).unwrap();
        records.push(next.clone());
        failed = store.apply(&[next]).and_then(|_| store.flush()).err();
        if failed.is_some() {
            break;
        }
    }
    let failed = failed.unwrap();
    assert_eq!(failed.code(), codes::RECORD_DAMAGED, "{failed}");
    assert!(store.is_poisoned() && store.rows_suspect(), "the database has stopped writing: {failed}");
    drop(store);

    let shared = shared();
    let (store, found) = PlatformStore::open(dir.path(), lineage(), region(), &shared).unwrap();
    assert!(store.rows_suspect(), "it is known after the opening");
    let rest: Vec<_> = records.iter().filter(|r| r.index() > found.applied.index).cloned().collect();
    store.apply(&rest).unwrap();
    assert_eq!(store.rebuild_rows(&shared, &mut |_| true).unwrap(), Some(chain.last));
    assert!(!store.rows_suspect());
    for _ in 0..20 {
        let next = chain.document(200);
        store.append(std::slice::from_ref(&next)).unwrap();
        store.apply(std::slice::from_ref(&next)).unwrap();
        store.flush().unwrap();
        records.push(next);
    }
    let other = tempfile::tempdir().unwrap();
    let (sound, _) = open(other.path());
    sound.append(&records).unwrap();
    sound.apply(&records).unwrap();
    assert_eq!(store.snapshot().state_digest().unwrap(), sound.snapshot().state_digest().unwrap());
}
