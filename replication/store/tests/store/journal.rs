//! Appending, reading, applying, truncating, reopening.

use crate::support::*;
use eport_model::{Coded, Epoch, MoveId, Position, RecordKind, Timestamp, codes};
use eport_store::{Error, PlatformStore};
use std::sync::Arc;

#[test]
fn reopening_keeps_everything_that_was_written() {
    let dir = tempfile::tempdir().unwrap();
    let mut chain = Chain::new();
    let records = chain.start(50, 2_000);
    let (store, fresh) = open(dir.path());
    assert_eq!(fresh, Default::default());
    store.append(&records[..20]).unwrap();
    store.append(&records[20..]).unwrap();
    store.apply(&records[..30]).unwrap();
    store.seal(Epoch::from_u64(5)).unwrap();
    store.local_put(b"slot", b"kept here").unwrap();
    drop(store);

    let (store, found) = open(dir.path());
    assert_eq!(
        (found.last, found.applied, found.sealed),
        (chain.last, records[29].position(), Epoch::from_u64(5))
    );
    assert_eq!(found.history.entries().len(), 1);
    assert_eq!((found.last_time, found.unresolved), (records[49].header.time, None));
    assert_eq!(all_records(&store), records);
    assert_eq!(store.body(at(7), 0).unwrap().unwrap(), records[6].bodies[0]);
    assert_eq!(store.body(at(7), 1).unwrap(), None);
    assert_eq!(store.position(at(7)).unwrap(), Some(records[6].position()));
    assert_eq!(store.record(at(51)).unwrap(), None);
    assert_eq!(store.local_get(b"slot").unwrap().unwrap(), "kept here");
    assert_eq!(store.get(b"slot").unwrap(), None, "local rows are not state rows");
}

#[test]
fn an_orderly_stop_leaves_nothing_to_replay() {
    let (dir, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let records = Chain::new().start(50, 2_000);
    let (store, _) = open(dir.path());
    store.append(&records).unwrap();
    store.apply(&records).unwrap();
    store.flush().unwrap();
    copy_dir(dir.path(), copy.path());
    files(copy.path(), &[".log"]).iter().for_each(|log| std::fs::remove_file(log).unwrap());
    let (revived, found) = open(copy.path());
    assert_eq!((found.last, found.applied), (records[49].position(), records[49].position()));
    assert_eq!(all_records(&revived), records);
}

#[test]
fn a_journal_that_ends_in_a_switchover_step_says_so_until_something_follows() {
    let dir = tempfile::tempdir().unwrap();
    let mut chain = Chain::new();
    let move_id = MoveId([9; 16]);
    let (store, _) = open(dir.path());
    store.append(&[chain.epoch(1), chain.bare(RecordKind::Barrier { move_id })]).unwrap();
    drop(store);
    let (store, found) = open(dir.path());
    assert_eq!(found.unresolved, Some(move_id));
    store.append(&[chain.bare(RecordKind::SwitchProposed { move_id, to: node("gz-a-1") })]).unwrap();
    drop(store);
    let (store, found) = open(dir.path());
    assert_eq!(found.unresolved, Some(move_id));
    store.append(&[chain.bare(RecordKind::Noop)]).unwrap();
    drop(store);
    assert_eq!(open(dir.path()).1.unresolved, None);
}

#[test]
fn records_that_do_not_follow_are_refused_and_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut chain = Chain::new();
    let records = chain.start(5, 100);
    let (store, _) = open(dir.path());
    store.append(&records[..2]).unwrap();
    for wrong in [&records[3..4], &records[1..2]] {
        assert_eq!(store.append(wrong).unwrap_err().code(), codes::APPEND_REFUSED);
    }
    let mut other = Chain::new();
    other.start(2, 99);
    assert!(matches!(store.append(&[other.document(5)]), Err(Error::OutOfOrder { .. })), "another chain");
    assert!(!store.is_poisoned());
    assert_eq!(store.last(), records[1].position());
    store.append(&records[2..]).unwrap();
    assert!(
        matches!(store.apply(&records[1..2]), Err(Error::OutOfOrder { .. })),
        "effects are applied in order"
    );
    assert_eq!(store.applied(), Position::ZERO);
}

#[test]
fn effects_beyond_the_durable_end_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let records = Chain::new().start(3, 10);
    let (store, _) = open(dir.path());
    store.append(&records[..2]).unwrap();
    assert!(store.apply(&records).is_err());
    assert_eq!((store.applied(), store.count(b"").unwrap()), (Position::ZERO, 0));
}

#[test]
fn a_truncation_removes_the_tail_but_never_what_is_applied() {
    let dir = tempfile::tempdir().unwrap();
    let mut chain = Chain::new();
    let mut records = chain.start(10, 2_000);
    records.push(chain.epoch(2));
    records.extend((0..9).map(|_| chain.document(2_000)));
    let (store, _) = open(dir.path());
    store.append(&records).unwrap();
    store.apply(&records[..5]).unwrap();
    let refused = store.truncate_after(at(4)).unwrap_err();
    assert_eq!(refused.code(), codes::BELOW_APPLIED);
    assert_eq!(store.last(), chain.last);

    let (last, time) = store.truncate_after(at(8)).unwrap();
    assert_eq!((last, time), (records[7].position(), records[7].header.time));
    assert_eq!(store.history().last_epoch(), Epoch::INITIAL);
    assert_eq!(store.sealed(), Epoch::from_u64(2), "the epoch of the removed records stays promised");
    assert_eq!((store.record(at(9)).unwrap(), store.body(at(12), 0).unwrap()), (None, None));

    let mut fork = Chain::behind(last);
    let more = [fork.epoch(3), fork.document(700)];
    store.append(&more).unwrap();
    drop(store);
    let (store, found) = open(dir.path());
    let want: Vec<_> = records[..8].iter().chain(&more).cloned().collect();
    assert_eq!(all_records(&store), want);
    assert_eq!((found.last, found.history.entries().len()), (fork.last, 2));
    assert_eq!(store.verify(Some(fork.last)).unwrap().problems, []);
}

#[test]
fn a_truncation_to_nothing_leaves_an_empty_journal() {
    let dir = tempfile::tempdir().unwrap();
    let records = Chain::new().start(4, 10);
    let (store, _) = open(dir.path());
    store.append(&records).unwrap();
    assert_eq!(store.truncate_after(at(0)).unwrap(), (Position::ZERO, Timestamp::default()));
    drop(store);
    let (store, found) = open(dir.path());
    assert_eq!((found.last, found.history.entries().len()), (Position::ZERO, 0));
    store.append(&records).unwrap();
}

#[test]
fn state_is_the_same_whatever_the_batches_were() {
    let records = Chain::new().start(300, 64);
    let digests = [1usize, 7, 300].map(|size| {
        let dir = tempfile::tempdir().unwrap();
        let (store, _) = open(dir.path());
        store.append(&records).unwrap();
        records.chunks(size).for_each(|c| assert!(store.apply(c).is_ok()));
        store.snapshot().state_digest().unwrap()
    });
    assert_eq!(digests[0].applied, records[299].position());
    assert!(digests[0].rows > 200);
    assert!(digests.iter().all(|d| *d == digests[0]), "{digests:?}");

    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    store.append(&records).unwrap();
    store.apply(&records[..299]).unwrap();
    assert_ne!(store.snapshot().digest().unwrap(), digests[0].digest, "one record less must show");
}

#[test]
fn a_snapshot_shows_one_position_while_rows_change() {
    let dir = tempfile::tempdir().unwrap();
    let records = Chain::new().start(20, 64);
    let (store, _) = open(dir.path());
    store.append(&records).unwrap();
    store.apply(&records[..10]).unwrap();
    let snapshot = store.snapshot();
    let (send, receive) = std::sync::mpsc::channel();
    let shown = store.digest_in_background(move |d| send.send(d).unwrap()).unwrap();
    store.apply(&records[10..]).unwrap();
    let later = store.snapshot().state_digest().unwrap();
    let then = snapshot.state_digest().unwrap();
    assert_eq!((then.applied, shown), (records[9].position(), records[9].position()));
    assert_eq!(receive.recv().unwrap().unwrap(), then);
    assert_ne!(then.digest, later.digest);
}

#[test]
fn rows_are_found_by_prefix_in_order_and_in_pages() {
    let dir = tempfile::tempdir().unwrap();
    let records = Chain::new().start(30, 16);
    let (store, _) = open(dir.path());
    store.append(&records).unwrap();
    store.apply(&records).unwrap();
    let keys = |rows: Vec<(bytes::Bytes, bytes::Bytes)>| -> Vec<String> {
        rows.into_iter().map(|(k, _)| String::from_utf8(k.to_vec()).unwrap()).collect()
    };
    // Documents 2 to 30, without 5, 15 and 25, which later records deleted.
    assert_eq!(
        (store.count(b"doc/").unwrap(), store.count(b"sum/").unwrap(), store.count(b"zzz").unwrap()),
        (26, 7, 0)
    );
    let first = keys(store.scan(b"doc/", None, 3).unwrap());
    assert_eq!(first, ["doc/00000002", "doc/00000003", "doc/00000004"]);
    let next = keys(store.scan(b"doc/", Some(first[2].as_bytes()), 2).unwrap());
    assert_eq!(next, ["doc/00000006", "doc/00000007"]);
    assert_eq!(keys(store.scan(b"doc/", Some(b"doc/00000030"), 9).unwrap()), Vec::<String>::new());
    assert_eq!(
        store.scan(b"doc/", Some(b"a"), 99).unwrap().len(),
        26,
        "a start before the prefix changes nothing"
    );
    let many = store.get_many(&[b"doc/00000030", b"none", b"sum/00000001"]).unwrap();
    assert_eq!(many, [Some("state of document 30".into()), None, Some("29".into())]);
}

#[test]
fn a_database_of_another_platform_or_federation_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    let other = "440100".parse().unwrap();
    let refused = PlatformStore::open(dir.path(), lineage(), other, &shared()).err().unwrap();
    assert_eq!(refused.code(), codes::DIR_OF_ANOTHER_NODE);
    let refused = PlatformStore::open(dir.path(), Default::default(), region(), &shared()).err().unwrap();
    assert_eq!(refused.code(), codes::DIR_OF_ANOTHER_NODE);
    let (held, _) = open(dir.path());
    assert_eq!(try_open(dir.path()).err().unwrap().code(), codes::DIR_IN_USE);
    drop(held);
    open(dir.path());
}

#[test]
fn a_read_returns_at_least_one_record_and_stops_at_its_limit() {
    let dir = tempfile::tempdir().unwrap();
    let records = Chain::new().start(20, 3_000);
    let (store, _) = open(dir.path());
    store.append(&records).unwrap();
    assert_eq!(store.read(at(2), 1).unwrap(), records[1..2]);
    let some = store.read(at(2), 10_000).unwrap();
    assert!((2..5).contains(&some.len()), "{}", some.len());
    assert!(some.iter().map(|r| r.weight()).sum::<usize>() <= 10_000);
    assert_eq!(store.read(at(21), 10_000).unwrap(), Vec::<Arc<_>>::new());
}
