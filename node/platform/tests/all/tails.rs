//! Diverged tails: what a failover left behind comes back once, or waits for a person. Design §6.
// Tests: an unwrap is an assertion, and they read the real clock.

use crate::support;

use bytes::Bytes;
use eport_api_types::{TailCounts, TailRecord};
use eport_model::{JournalIndex, Lineage, codes};
use eport_platform::TailSource;
use eport_store::{Budget, PlatformStore, Shared};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use support::*;

fn at(index: u64) -> JournalIndex {
    JournalIndex::from_u64(index)
}

/// The records of an old primary behind the fork, exported as its node exports them.
fn exported(old: &Harness, fork: u64, dir: &std::path::Path) -> TailSource {
    let shared = Shared::new(Budget::default()).unwrap();
    let (store, _) = PlatformStore::open(&dir.join("db"), Lineage::default(), region(), &shared).unwrap();
    let records = old.log.journal().records.clone();
    store.append(&records).unwrap();
    let tail = store.export_tail(at(fork), &dir.join("tails")).unwrap();
    TailSource {
        id: "tail-440300-1-1-7-sz-a-1".into(),
        manifest: dir.join("tails").join(tail.file_name()),
        discarded: BTreeSet::new(),
        all_discarded: false,
    }
}

/// A primary of a later epoch that holds what `of` held up to the fork.
fn successor(of: &Harness, fork: usize, epoch: u64) -> Harness {
    let log = Fake::new();
    let records: Vec<_> = of.log.journal().records[..fork].to_vec();
    log.follow(&records);
    log.role(primary(epoch));
    log.numbers(vec![(epoch * 10_000_000, 10_000_000)]);
    restart(log, config())
}

fn other(reference: &str) -> Bytes {
    CONTRACT.replace("GZ-000001", reference).replace("120", "121").into()
}

async fn accepted(h: &Harness, raw: &[u8]) -> String {
    stored(h.platform.submit(&caller(), raw, None).await).doc_id
}

fn classes(h: &Harness, tail: &TailSource) -> Vec<(String, String)> {
    let (items, next) = h.platform.tail_records(tail, JournalIndex::ZERO, 100).unwrap();
    assert_eq!(next, None);
    items.into_iter().map(|r: TailRecord| (r.client_ref.unwrap(), r.class)).collect()
}

/// Everything that can become of a document: the old primary wrote it alone, the new one went on.
async fn diverged(dir: &std::path::Path) -> (Harness, Harness, TailSource) {
    let old = start(config());
    accepted(&old, &document("A")).await;
    for raw in
        [document("B"), document("C"), document("D"), document("E"), amendment("E", 2), amendment("A", 2)]
    {
        accepted(&old, &raw).await;
    }
    let tail = exported(&old, 1, dir);
    let new = successor(&old, 1, 2);
    accepted(&new, &document("C")).await;
    accepted(&new, &other("D")).await;
    let text = String::from_utf8(amendment("A", 2).to_vec()).unwrap();
    accepted(&new, text.replace("122", "777").as_bytes()).await;
    (old, new, tail)
}

#[tokio::test]
async fn each_record_of_a_tail_is_present_clean_or_in_conflict() {
    let dir = tempfile::tempdir().unwrap();
    let (_old, new, tail) = diverged(dir.path()).await;
    let expected = [
        ("B", "clean"),
        ("C", "present"),
        ("D", "conflict"),
        ("E", "clean"),
        ("E", "clean"),
        ("A", "conflict"),
    ];
    let expected: Vec<_> = expected.iter().map(|(r, c)| ((*r).to_owned(), (*c).to_owned())).collect();
    assert_eq!(classes(&new, &tail), expected);
    assert_eq!(
        new.platform.tail_counts(&tail).unwrap(),
        TailCounts { total: 6, pending: 6, ..TailCounts::default() }
    );
    let (page, next) = new.platform.tail_records(&tail, at(2), 2).unwrap();
    assert_eq!((page.iter().map(|r| r.index).collect::<Vec<_>>(), next), (vec![3, 4], Some(at(4))));
    assert_eq!(new.log.journal().records.len(), 4, "looking changes nothing");
}

#[tokio::test]
async fn a_clean_record_becomes_a_new_one_that_names_it_and_keeps_number_and_time_of_acceptance() {
    let dir = tempfile::tempdir().unwrap();
    let (old, new, tail) = diverged(dir.path()).await;
    new.now.store(NOW + 3_600_000, Ordering::SeqCst);
    let (resubmitted, present, conflicts) =
        new.platform.resubmit_tail(&tail, &BTreeSet::new(), "operator/admin").await.unwrap();
    assert_eq!((resubmitted, present), (3, 1));
    let listed: Vec<_> =
        conflicts.iter().map(|c| (c.client_ref.clone().unwrap(), c.code.clone().unwrap())).collect();
    let duplicate = codes::DOCUMENT_DUPLICATE.to_string();
    assert_eq!(listed, [("D".to_owned(), duplicate.clone()), ("A".to_owned(), duplicate)]);
    let counts = new.platform.tail_counts(&tail).unwrap();
    assert_eq!(
        (counts.total, counts.present, counts.resubmitted, counts.conflicts, counts.pending),
        (6, 1, 3, 2, 0)
    );
    let (then, now) = (old.log.journal().records.clone(), new.log.journal().records.clone());
    let b = now
        .iter()
        .find(|r| r.header.request.as_ref().is_some_and(|q| q.replaces == Some(then[1].position())));
    let request = b.unwrap().header.request.clone().unwrap();
    let first = then[1].header.request.clone().unwrap();
    assert_eq!(
        (request.id, request.caller, request.accepted_at),
        (first.id, first.caller, first.accepted_at)
    );
    assert!(b.unwrap().header.time > first.accepted_at, "order is by its own record time");
    let number = |records: &[Arc<eport_model::Record>], n: usize| {
        let keys = records[n].effects.iter().map(|e| e.key().clone());
        let of = |k: Bytes| k.strip_prefix(b"d/").map(|id| String::from_utf8(id.to_vec()).unwrap());
        keys.into_iter().find_map(of).unwrap()
    };
    let (b_then, c_then) = (number(&then, 1), number(&then, 2));
    assert_eq!(new.platform.number(&b_then).unwrap(), b_then);
    assert!(new.platform.show(&b_then, None).unwrap().is_some(), "a clean document keeps its number");
    let c_now = new.platform.number(&c_then).unwrap();
    assert_ne!(c_now, c_then, "the trader's second copy has a number of its own");
    assert!(new.platform.show(&c_now, None).unwrap().is_some());
    assert_eq!(new.platform.versions(&number(&then, 4)).unwrap().len(), 2, "both versions of E came back");
}

#[tokio::test]
async fn a_tail_is_submitted_again_exactly_once_also_after_a_failover() {
    let dir = tempfile::tempdir().unwrap();
    let (_old, new, tail) = diverged(dir.path()).await;
    let none = BTreeSet::new();
    new.platform.resubmit_tail(&tail, &none, "operator/admin").await.unwrap();
    let records = new.log.journal().records.len();
    let (resubmitted, present, conflicts) =
        new.platform.resubmit_tail(&tail, &none, "operator/admin").await.unwrap();
    assert_eq!((resubmitted, present, conflicts.len()), (0, 0, 2));
    let third = successor(&new, records, 3);
    let counts = third.platform.tail_counts(&tail).unwrap();
    assert_eq!(
        (counts.present, counts.resubmitted, counts.conflicts),
        (1, 3, 2),
        "outcomes are in the journal"
    );
    let again = third.platform.resubmit_tail(&tail, &none, "operator/admin").await.unwrap();
    assert_eq!((again.0, again.1), (0, 0));
    // A failover that lost the re-submission: it is done again, and what traders sent meanwhile is found.
    let fourth = successor(&new, 4, 4);
    accepted(&fourth, &document("B")).await;
    let after = fourth.platform.resubmit_tail(&tail, &none, "operator/admin").await.unwrap();
    assert_eq!((after.0, after.1, after.2.len()), (2, 2, 2));
    let of_b = fourth.platform.list(
        &eport_api_types::DocumentQuery { client_ref: Some("B".into()), ..Default::default() },
        &eport_platform::Scope::All,
    );
    assert_eq!(of_b.unwrap().items.len(), 1);
}

#[tokio::test]
async fn what_was_judged_by_another_table_version_waits_for_a_person_until_somebody_discards_it() {
    let dir = tempfile::tempdir().unwrap();
    let old = start(config());
    accepted(&old, &document("A")).await;
    accepted(&old, &document("B")).await;
    let mut tail = exported(&old, 1, dir.path());
    let new = successor(&old, 1, 2);
    // The other side had published a version that was in force before B was accepted.
    new.tables.changes_at.store(NOW - 1, Ordering::SeqCst);
    let (resubmitted, _, conflicts) =
        new.platform.resubmit_tail(&tail, &BTreeSet::new(), "operator/admin").await.unwrap();
    assert_eq!((resubmitted, conflicts.len()), (0, 1));
    tail.discarded.insert(at(2));
    let counts = new.platform.tail_counts(&tail).unwrap();
    assert_eq!((counts.discarded, counts.conflicts, counts.pending), (1, 0, 0));
    let again = new.platform.resubmit_tail(&tail, &BTreeSet::new(), "operator/admin").await.unwrap();
    assert_eq!((again.0, again.1, again.2.len()), (0, 0, 0), "what is discarded does not come back");
}
