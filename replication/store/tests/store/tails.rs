//! Return with a diverged tail: what storage promises of received tails and of rows that are put back.

use crate::support::*;
use bytes::Bytes;
use eport_model::{Coded, Position, USAGE_KEY, codes};
use eport_store::{PlatformStore, Received, TailHead, TailInbox, read_tail};
use std::path::Path;

fn filled(dir: &Path, count: usize) -> PlatformStore {
    let (store, _) = open(dir);
    let records = Chain::new().start(count, 100);
    store.append(&records).unwrap();
    store.apply(&records).unwrap();
    store
}

fn parts(manifest: &Path, head: &TailHead, len: u64) -> Vec<(u64, Vec<u8>)> {
    let starts = (0..head.segment.bytes).step_by(usize::try_from(len).unwrap());
    starts.map(|at| (at, head.read_part(manifest, at, len).unwrap())).collect()
}

#[test]
fn a_received_tail_is_whole_only_when_all_of_it_was_verified() {
    let (dir, own, other) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = filled(dir.path(), 30);
    let tail = store.export_tail(at(12), own.path()).unwrap();
    let manifest = own.path().join(tail.file_name());
    let head = TailHead::read(&manifest).unwrap();
    assert_eq!(head, tail.head());
    let inbox = TailInbox::new(other.path().join("sz-a-1"));
    assert_eq!(inbox.received(&head).unwrap(), Received::Bytes(0));
    let parts = parts(&manifest, &head, 1_000);
    assert!(parts.len() > 3);
    for (n, (offset, bytes)) in parts.iter().enumerate() {
        // A part that does not continue what is here, and a repeated one, change nothing.
        let here = inbox.received(&head).unwrap();
        assert_eq!(here, Received::Bytes(*offset));
        assert_eq!(inbox.take(&head, offset + 1, bytes).unwrap(), here);
        assert!(!inbox.manifest(&head).exists(), "part {n}");
        inbox.take(&head, *offset, bytes).unwrap();
        if n + 1 < parts.len() {
            assert_eq!(
                inbox.take(&head, *offset, bytes).unwrap(),
                Received::Bytes(offset + bytes.len() as u64)
            );
        }
    }
    assert_eq!(inbox.received(&head).unwrap(), Received::Whole);
    assert_eq!(inbox.take(&head, 0, b"late").unwrap(), Received::Whole);
    let mut count = 0;
    let read = read_tail(&inbox.manifest(&head), |_| {
        count += 1;
        Ok(())
    });
    assert_eq!((read.unwrap(), count), (tail, 18));
}

#[test]
fn a_damaged_upload_is_refused_and_can_be_sent_again() {
    let (dir, own, other) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = filled(dir.path(), 20);
    let tail = store.export_tail(at(10), own.path()).unwrap();
    let (manifest, head) = (own.path().join(tail.file_name()), tail.head());
    let inbox = TailInbox::new(other.path().to_owned());
    let whole = head.read_part(&manifest, 0, u64::MAX).unwrap();
    let mut bad = whole.clone();
    bad[whole.len() / 2] ^= 1;
    assert_eq!(inbox.take(&head, 0, &bad).unwrap_err().code(), codes::RECORD_DAMAGED);
    assert_eq!(inbox.received(&head).unwrap(), Received::Bytes(0), "what does not verify is not kept");
    let other_head = TailHead { after: Position { index: at(9), ..head.after }, ..head.clone() };
    assert!(inbox.take(&other_head, 0, &whole).is_err(), "records that do not follow the fork");
    assert_eq!(inbox.take(&head, 0, &whole).unwrap(), Received::Whole);
    let mut long = head.clone();
    long.segment.bytes = u64::MAX;
    long.last.index = at(99);
    assert_eq!(inbox.take(&long, 0, b"x").unwrap_err().code(), codes::OBJECT_TOO_LARGE);
}

#[test]
fn a_rewind_lowers_what_is_applied_and_survives_a_restart_at_every_step() {
    let (dir, old) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = filled(dir.path(), 20);
    // What the rows were at record 12, and what another primary made of them.
    let reference = filled(old.path(), 12);
    let fork = reference.last();
    let key = Bytes::from_static(b"doc/00000016");
    assert!(store.get(&key).unwrap().is_some());
    let mark = store.begin_rewind(at(12), Some("tail-a.json")).unwrap();
    assert_eq!((mark.tails.as_slice(), mark.at), (&["tail-a.json".to_owned()][..], None));
    assert_eq!((store.applied(), store.last().index), (fork, at(20)));
    drop(store);
    let (store, found) = open(dir.path());
    assert_eq!((found.applied, found.last.index), (fork, at(20)), "the lowered position is durable");
    assert_eq!(store.rewind_mark().unwrap().unwrap(), mark);
    // Begun again, with a further tail: nothing is forgotten, and nothing is raised.
    let mark = store.begin_rewind(at(15), Some("tail-b.json")).unwrap();
    assert_eq!((mark.tails.len(), store.applied()), (2, fork));
    let keys: Vec<Bytes> = (13..=20u64).map(|n| Bytes::from(format!("doc/{n:08}"))).collect();
    let sums: Vec<Bytes> = (0..7u64).map(|n| Bytes::from(format!("sum/{n:08}"))).collect();
    let deleted = [Bytes::from_static(b"doc/00000005"), Bytes::from_static(b"doc/00000015")];
    // The account is counted while rows are applied: whoever rewinds asks for it too.
    let account = [Bytes::from_static(USAGE_KEY)];
    let all: Vec<Bytes> = keys.into_iter().chain(sums).chain(deleted).chain(account).collect();
    let (mut rest, mut newest) = (all.as_slice(), Position::ZERO);
    while !rest.is_empty() {
        let (as_of, rows) = reference.rows_as_of(rest, 60).unwrap();
        let (now, later) = rest.split_at(rows.len());
        assert!(!rows.is_empty(), "an answer brings at least one row");
        store.put_rows(&now.iter().cloned().zip(rows).collect::<Vec<_>>()).unwrap();
        (rest, newest) = (later, as_of);
    }
    store.rows_taken(newest).unwrap();
    store.truncate_after(at(12)).unwrap();
    drop(store);
    let (store, found) = open(dir.path());
    assert_eq!((found.last, found.applied), (fork, fork));
    assert_eq!(store.rewind_mark().unwrap().unwrap().at, Some(newest));
    assert_eq!(store.snapshot().digest().unwrap(), reference.snapshot().digest().unwrap());
    store.end_rewind(Position::ZERO).unwrap();
    assert!(store.rewind_mark().unwrap().is_some(), "only the rewind that has ended is forgotten");
    store.end_rewind(newest).unwrap();
    assert_eq!(store.rewind_mark().unwrap(), None);
}
