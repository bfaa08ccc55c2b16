//! The threads in front of a store: grouping, order, barriers.

use crate::support::*;
use eport_model::{Coded, Draft, Position, RecordKind, Timestamp, codes};
use eport_store::{Error, JournalWriter, Op, PlatformStore, WriterLimits};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

fn start(store: &PlatformStore) -> JournalWriter {
    JournalWriter::start(store.clone(), WriterLimits::default(), None).unwrap()
}

/// A callback that sends its result, and the place where it arrives.
fn answer<T: Send + 'static>() -> (eport_store::Done<T>, Receiver<Result<T, Error>>) {
    let (send, receive) = channel();
    (Box::new(move |result| drop(send.send(result))), receive)
}

/// A callback that holds the writer's thread until the sender is used or dropped.
fn gate<T: Send + 'static>() -> (eport_store::Done<T>, Receiver<()>, Sender<()>) {
    let (entered, wait_entered) = channel();
    let (open, wait_open) = channel::<()>();
    let done = Box::new(move |_| {
        let _ = entered.send(());
        let _ = wait_open.recv();
    });
    (done, wait_entered, open)
}

#[test]
fn appends_that_wait_share_one_fsync_and_are_answered_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let writer = start(&store);
    let records = Chain::new().start(101, 500);
    let (hold, entered, release) = gate();
    writer.submit(Op::Append(vec![records[0].clone()], hold));
    entered.recv().unwrap();
    let order = Arc::new(Mutex::new(Vec::new()));
    for record in &records[1..] {
        let order = order.clone();
        let done = Box::new(move |r: Result<Position, Error>| order.lock().unwrap().push(r.unwrap()));
        writer.submit(Op::Append(vec![record.clone()], done));
    }
    drop(release);
    writer.shutdown();
    let stats = writer.stats();
    assert_eq!((stats.appends, stats.records, stats.groups), (101, 101, 2));
    let want: Vec<_> = records[1..].iter().map(|r| r.position()).collect();
    assert_eq!(*order.lock().unwrap(), want);
    assert_eq!(store.last(), records[100].position());
}

#[test]
fn a_slow_apply_does_not_hold_up_the_next_fsync() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let writer = start(&store);
    let records = Chain::new().start(30, 500);
    let (done, appended) = answer();
    writer.submit(Op::Append(records[..10].to_vec(), done));
    appended.recv().unwrap().unwrap();
    let (hold, entered, release) = gate();
    writer.submit(Op::Apply(at(5), hold));
    entered.recv().unwrap();
    let (done, appended) = answer();
    writer.submit(Op::Append(records[10..].to_vec(), done));
    assert_eq!(appended.recv().unwrap().unwrap(), records[29].position());
    assert_eq!(store.applied().index, at(5), "the apply thread still waits");
    let (done, applied) = answer();
    writer.submit(Op::Apply(at(30), done));
    drop(release);
    assert_eq!(applied.recv().unwrap().unwrap(), records[29].position());
    assert_eq!(store.count(b"sum/").unwrap(), 7);
}

#[test]
fn truncation_waits_for_everything_before_it_and_new_records_replace_the_old() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let writer = start(&store);
    let mut chain = Chain::new();
    let records = chain.start(20, 500);
    let (done, _appended) = answer();
    writer.submit(Op::Append(records.clone(), done));
    let (hold, entered, release) = gate();
    writer.submit(Op::Apply(at(5), hold));
    entered.recv().unwrap();
    let tails = dir.path().join("tails");
    let (done, exported) = answer();
    writer.submit(Op::ExportTail(at(8), tails.clone(), done));
    let (done, truncated) = answer();
    writer.submit(Op::Truncate(at(8), done));
    assert!(exported.try_recv().is_err(), "the export waits for the apply before it");
    drop(release);
    let tail = exported.recv().unwrap().unwrap();
    assert_eq!((tail.after, tail.last, tail.documents.len()), (records[7].position(), chain.last, 12));
    assert_eq!(truncated.recv().unwrap().unwrap().0, records[7].position());

    let mut fork = Chain::behind(records[7].position());
    let more = vec![fork.epoch(2), fork.document(40)];
    let (done, _) = answer();
    writer.submit(Op::Append(more.clone(), done));
    let (done, applied) = answer();
    writer.submit(Op::Apply(at(10), done));
    assert_eq!(
        applied.recv().unwrap().unwrap(),
        more[1].position(),
        "applied from the new records, not the old"
    );
    assert_eq!(store.read(at(9), 1 << 20).unwrap(), more);
}

#[test]
fn applying_reads_back_what_is_no_longer_in_memory() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let records = Chain::new().start(200, 300);
    store.append(&records[..50]).unwrap();
    let limits = WriterLimits { handoff_bytes: 4_000, apply_bytes: 9_000, ..WriterLimits::default() };
    let writer = JournalWriter::start(store.clone(), limits, None).unwrap();
    let (done, _) = answer();
    writer.submit(Op::Append(records[50..].to_vec(), done));
    let (done, applied) = answer();
    writer.submit(Op::Apply(at(200), done));
    assert_eq!(applied.recv().unwrap().unwrap(), records[199].position());
    let other = tempfile::tempdir().unwrap();
    let (whole, _) = open(other.path());
    whole.append(&records).unwrap();
    whole.apply(&records).unwrap();
    assert_eq!(store.snapshot().digest().unwrap(), whole.snapshot().digest().unwrap());
}

#[test]
fn rows_are_hashed_at_exactly_the_checksum_mark() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let (send, marks) = channel();
    let marked: eport_store::Marks = Arc::new(move |mark| drop(send.send(mark)));
    let writer = JournalWriter::start(store.clone(), WriterLimits::default(), Some(marked)).unwrap();
    let mut chain = Chain::new();
    let mut records = chain.start(10, 50);
    records.push(chain.bare(RecordKind::ChecksumMark));
    records.extend((0..10).map(|_| chain.document(50)));
    let (done, _) = answer();
    writer.submit(Op::Append(records.clone(), done));
    let (done, applied) = answer();
    writer.submit(Op::Apply(at(21), done));
    applied.recv().unwrap().unwrap();
    let own = |mark| match mark {
        eport_store::Mark::Own(digest) => digest.unwrap(),
        other => panic!("{other:?}"),
    };
    let digest = own(marks.recv().unwrap());
    assert_eq!(digest.applied, records[10].position());
    // What the primary had there is told when its record is applied; rows are not hashed again for it.
    let told = chain.add(Draft::state_told(digest.applied.index, digest.digest, Timestamp::default()));
    let (done, _) = answer();
    writer.submit(Op::Append(vec![told], done));
    let (done, applied) = answer();
    writer.submit(Op::Apply(chain.last.index, done));
    applied.recv().unwrap().unwrap();
    assert!(matches!(
        marks.recv().unwrap(),
        eport_store::Mark::Told { index, digest: told } if index == digest.applied.index && told == digest.digest
    ));
    assert!(marks.try_recv().is_err(), "one mark, one digest");
    let (done, now) = answer();
    writer.submit(Op::Digest(done));
    assert_eq!(now.recv().unwrap().unwrap().applied, chain.last);
    assert_ne!(store.snapshot().digest().unwrap(), digest.digest);
}

#[test]
fn one_refused_append_does_not_take_its_neighbours_down() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let writer = start(&store);
    let records = Chain::new().start(4, 50);
    let (hold, entered, release) = gate();
    writer.submit(Op::Append(vec![records[0].clone()], hold));
    entered.recv().unwrap();
    let answers = [&records[1], &records[3], &records[2]].map(|record| {
        let (done, received) = answer();
        writer.submit(Op::Append(vec![record.clone()], done));
        received
    });
    drop(release);
    let [good, gap, next] = answers.map(|a| a.recv().unwrap());
    assert_eq!(good.unwrap(), records[1].position());
    assert_eq!(gap.unwrap_err().code(), codes::APPEND_REFUSED);
    assert_eq!(next.unwrap(), records[2].position());
}

#[test]
fn a_full_queue_gives_the_operation_back_and_a_stopped_writer_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let limits = WriterLimits { queue: 2, ..WriterLimits::default() };
    let writer = JournalWriter::start(store, limits, None).unwrap();
    let mut chain = Chain::new();
    let (hold, entered, release) = gate();
    writer.submit(Op::Append(vec![chain.epoch(1)], hold));
    entered.recv().unwrap();
    let mut answers = Vec::new();
    let refused = loop {
        let (done, received) = answer();
        match writer.try_submit(Op::Append(vec![chain.document(9)], done)) {
            Ok(()) => answers.push(received),
            Err(op) => break op,
        }
    };
    assert_eq!(answers.len(), 2);
    drop(release);
    assert!(answers.iter().all(|a| a.recv().unwrap().is_ok()));
    drop(refused);
    writer.shutdown();
    let (done, received) = answer();
    writer.submit(Op::Seal(eport_model::Epoch::INITIAL, done));
    assert!(matches!(received.recv().unwrap(), Err(Error::Stopped)));
}
