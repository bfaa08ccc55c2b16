//! Submissions: stored once, answered alike for ever, decided in journal order.

use crate::support;

use bytes::Bytes;
use eport_envelope::{Part, Place};
use eport_journal::Outcome;
use eport_model::{Durability, Record, codes};
use eport_platform::{Config, SubmitAnswer};
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use support::*;

/// The request of a record, decrypted with the platform's key.
fn lodged(record: &Record) -> Vec<u8> {
    let request = &record.header.request.as_ref().unwrap().id;
    ring(1).open(Place { request, part: Part::Request }, &record.bodies[0]).unwrap()
}

#[tokio::test]
async fn a_document_is_stored_once_and_its_repetition_gets_the_first_answer_again() {
    let h = start(config());
    let first = h.platform.submit(&caller(), &document("A"), None).await;
    assert_eq!(first.status(), 201);
    let first = stored(first);
    assert_eq!(
        (first.doc_id.as_str(), first.doc_version, first.state.as_str()),
        ("E20180000000000001", 1, "DISPATCHED")
    );
    assert_eq!(first.durability, Durability::Replicated);
    let compact =
        serde_json::to_vec(&serde_json::from_slice::<serde_json::Value>(&document("A")).unwrap()).unwrap();
    let again = h.platform.submit(&caller(), &compact, None).await;
    assert_eq!(again.status(), 200);
    assert_eq!(stored(again), first);
    let other = h
        .platform
        .submit(&caller(), &Bytes::from(CONTRACT.replace("GZ-000001", "A").replace("120", "121")), None)
        .await;
    assert_eq!(other.status(), 409);
    let SubmitAnswer::Refused { code, failures, .. } = other else { panic!("{other:?}") };
    assert_eq!((code, failures[0].code.as_str()), (codes::DOCUMENT_DUPLICATE, "E-DUP-DIFFERENT"));
    assert_eq!(h.log.journal().records.len(), 1);
    let record = h.log.journal().records[0].clone();
    record.verify().unwrap();
    let id = &record.header.request.as_ref().unwrap().id;
    assert!(id.starts_with("91440100MA5ABCD19J|arrival_report|#") && id.ends_with("|1"), "{id}");
    assert_eq!(record.header.reads[0].name, "table:440000/ports");
    assert_ne!(&record.bodies[0][..], &compact[..], "nothing of it can be read in the journal");
    assert_eq!(lodged(&record), compact, "the request is kept in canonical form");
}

#[tokio::test]
async fn a_refusal_lists_all_failures_and_does_not_consume_the_key() {
    let h = start(config());
    let bad = CONTRACT.replace("CSQU3054383", "CSQU3054384").replace("120", "0");
    let answer = h.platform.submit(&caller(), bad.as_bytes(), None).await;
    let SubmitAnswer::Refused { code, failures, .. } = &answer else { panic!("{answer:?}") };
    assert_eq!((answer.status(), *code, failures.len()), (422, codes::DOCUMENT_REFUSED, 2));
    assert_eq!(h.platform.submit(&caller(), CONTRACT.as_bytes(), None).await.status(), 201);
    let problem = answer.problem(false).unwrap();
    assert_eq!((problem.code.as_str(), problem.failures.len()), ("EP5001", 2));
}

#[tokio::test]
async fn another_lodger_may_use_the_same_reference() {
    let h = start(config());
    let other =
        eport_platform::Caller { subject: "operator/admin".into(), lodged_by: "operator/admin".into() };
    let a = stored(h.platform.submit(&caller(), &document("A"), None).await);
    let b = stored(h.platform.submit(&other, &document("A"), None).await);
    assert_ne!(a.doc_id, b.doc_id);
}

#[tokio::test]
async fn a_duplicate_of_a_document_in_flight_waits_and_then_gets_its_answer() {
    let h = start(Config { write_timeout: std::time::Duration::from_secs(10), ..config() });
    h.log.journal().manual = true;
    let submit = |raw: Bytes| {
        let platform = h.platform.clone();
        tokio::spawn(async move { platform.submit(&caller(), &raw, None).await })
    };
    let first = submit(document("A"));
    h.log.until_in_flight(1).await;
    let (same, other) = (
        submit(document("A")),
        submit(Bytes::from(CONTRACT.replace("GZ-000001", "A").replace("120", "121"))),
    );
    // A third document shows that the two before it were looked at and are waiting.
    let behind = submit(document("B"));
    h.log.until_in_flight(2).await;
    assert!(!same.is_finished() && !other.is_finished());
    h.log.commit(1);
    let first = first.await.unwrap();
    let same = same.await.unwrap();
    assert_eq!((first.status(), same.status()), (201, 200));
    assert_eq!(stored(first), stored(same));
    assert_eq!(other.await.unwrap().status(), 409);
    assert!(!behind.is_finished());
    h.log.commit(1);
    assert_eq!(behind.await.unwrap().status(), 201);
}

#[tokio::test]
async fn when_a_document_in_flight_is_lost_its_duplicate_is_not_told_that_it_is_stored() {
    let h = start(Config { write_timeout: std::time::Duration::from_secs(10), ..config() });
    h.log.journal().manual = true;
    let submit = || {
        let platform = h.platform.clone();
        tokio::spawn(async move { platform.submit(&caller(), &document("A"), None).await })
    };
    let first = submit();
    h.log.until_in_flight(1).await;
    let same = submit();
    tokio::task::yield_now().await;
    h.log.role(eport_journal::Role::Backup {
        epoch: eport_model::Epoch::from_u64(2),
        primary: node("gz-a-1"),
    });
    h.log.lose();
    let first = first.await.unwrap();
    assert!(
        matches!(first, SubmitAnswer::Unavailable { code, unknown: true, .. } if code == codes::WRITE_BLOCKED),
        "{first:?}"
    );
    let same = same.await.unwrap();
    assert_eq!(
        same,
        SubmitAnswer::Redirect { primary: node("gz-a-1"), epoch: eport_model::Epoch::from_u64(2) }
    );
}

#[tokio::test]
async fn a_write_that_is_not_confirmed_in_time_is_unknown_and_repeating_the_key_tells() {
    let h = start(config());
    h.log.journal().manual = true;
    let answer = h.platform.submit(&caller(), &document("A"), None).await;
    let SubmitAnswer::Unavailable { code, key, unknown, .. } = &answer else { panic!("{answer:?}") };
    assert_eq!((answer.status(), *code, *unknown), (503, codes::WRITE_BLOCKED, true));
    assert_eq!(key, "91440100MA5ABCD19J|arrival_report|A|1");
    assert_eq!(answer.problem(true).unwrap().outcome.as_deref(), Some("unknown"));
    h.log.commit(1);
    assert_eq!(h.platform.submit(&caller(), &document("A"), None).await.status(), 200);
    assert_eq!(h.log.journal().records.len(), 1);
}

#[tokio::test]
async fn versions_rise_by_one_also_within_one_batch() {
    let h = start(config());
    let gap = h.platform.submit(&caller(), &amendment("A", 2), None).await;
    let SubmitAnswer::Refused { failures, .. } = &gap else { panic!("{gap:?}") };
    assert_eq!((failures[0].path.as_str(), failures[0].code.as_str()), ("/doc_version", "E-DOC-VERSION"));
    let lines = [document("A"), amendment("A", 2), amendment("A", 4), amendment("A", 3), amendment("A", 2)];
    let answers = h.platform.submit_batch(&caller(), &lines).await;
    assert_eq!(answers.iter().map(SubmitAnswer::status).collect::<Vec<_>>(), [201, 201, 422, 201, 200]);
    let ids: BTreeSet<_> = answers.iter().filter_map(|a| a.document()).map(|d| d.doc_id.clone()).collect();
    assert_eq!(ids.len(), 1, "one document, several versions");
    let id = ids.first().unwrap();
    let versions = h.platform.versions(id).unwrap();
    assert_eq!(
        versions.iter().map(|v| (v.doc_version, v.function_code.as_str())).collect::<Vec<_>>(),
        [(1, "2"), (2, "5"), (3, "5")]
    );
    assert_eq!(h.platform.show(id, None).unwrap().unwrap().body["packages"], 123);
    assert_eq!(h.platform.show(id, Some(1)).unwrap().unwrap().body["packages"], 120);
    assert_eq!(h.platform.show(id, Some(9)).unwrap(), None);
    assert!(h.platform.show(id, Some(2)).unwrap().unwrap().previous_version_hash.is_some());
}

#[tokio::test]
async fn a_batch_answers_every_line_in_order_whatever_each_is() {
    let h = start(config());
    let mut lines: Vec<Bytes> = (0..1000).map(|i| document(&format!("R-{i}"))).collect();
    lines[3] = Bytes::from_static(b"no json");
    lines[500] = CONTRACT.replace("GZ-000001", "R-500").replace("120", "0").into();
    lines[999] = lines[0].clone();
    let answers = h.platform.submit_batch(&caller(), &lines).await;
    for (n, answer) in answers.iter().enumerate() {
        let expected = match n {
            3 => 400,
            500 => 422,
            999 => 200,
            _ => 201,
        };
        assert_eq!(answer.status(), expected, "line {n}");
    }
    let ids: BTreeSet<_> = answers.iter().filter_map(|a| a.document()).map(|d| &d.doc_id).collect();
    assert_eq!(ids.len(), 997);
    assert_eq!(answers[999].document(), answers[0].document());
    let line = answers[500].clone().into_line(501);
    assert_eq!((line.line, line.status, line.code.as_deref()), (501, 422, Some("EP5001")));
    assert_eq!(line.failures.unwrap()[0].path, "/body/packages");
    assert!(h.log.journal().groups.iter().all(|g| *g <= 128));
}

#[tokio::test]
async fn numbers_are_never_given_twice_across_restarts_epochs_and_blocks() {
    let h = start(config());
    h.log.numbers(vec![(1, 2), (100, 1)]);
    let number = |a: SubmitAnswer| stored(a).doc_id[5..].parse::<u64>().unwrap();
    assert_eq!(number(h.platform.submit(&caller(), &document("A"), None).await), 1);
    let again = restart(h.log.clone(), config());
    drop(h);
    assert_eq!(number(again.platform.submit(&caller(), &document("B"), None).await), 2);
    assert_eq!(number(again.platform.submit(&caller(), &document("C"), None).await), 100);
    assert_eq!(again.log.noted.load(Ordering::Relaxed), 101);
    let answer = again.platform.submit(&caller(), &document("D"), None).await;
    assert!(
        matches!(answer, SubmitAnswer::Unavailable { code, unknown: false, .. } if code == codes::NUMBERS_EXHAUSTED)
    );
    again.log.role(primary(2));
    again.log.numbers(vec![(5000, 10)]);
    assert_eq!(number(again.platform.submit(&caller(), &document("D"), None).await), 5000);
}

#[tokio::test]
async fn a_table_that_changes_before_the_record_is_written_judges_the_document_again() {
    let h = start(Config { write_timeout: std::time::Duration::from_secs(10), ..config() });
    h.log.journal().manual = true;
    let submit = |raw: Bytes| {
        let platform = h.platform.clone();
        tokio::spawn(async move { platform.submit(&caller(), &raw, None).await })
    };
    // The second document is judged by version 1 and waits behind the first; when it is decided, version 2 is in force.
    let first = submit(document("A"));
    h.log.until_in_flight(1).await;
    let waiting = submit(amendment("A", 2));
    let mark = submit(document("B"));
    h.log.until_in_flight(2).await;
    h.tables.changes_at.store(NOW + 1, Ordering::SeqCst);
    h.now.store(NOW + 1, Ordering::SeqCst);
    h.log.commit(1);
    assert_eq!(first.await.unwrap().status(), 201);
    let answer = waiting.await.unwrap();
    let SubmitAnswer::Refused { failures, .. } = &answer else { panic!("{answer:?}") };
    assert_eq!((failures[0].path.as_str(), failures[0].code.as_str()), ("/body/port", "E-TBL-KEY"));
    h.log.commit(1);
    assert_eq!(mark.await.unwrap().status(), 201);
}

#[tokio::test]
async fn record_time_never_goes_back_when_the_clock_does() {
    let h = start(config());
    stored(h.platform.submit(&caller(), &document("A"), None).await);
    h.now.store(NOW - 60_000, Ordering::SeqCst);
    stored(h.platform.submit(&caller(), &document("B"), None).await);
    let times: Vec<i64> = h.log.journal().records.iter().map(|r| r.header.time.as_millis()).collect();
    assert_eq!(times, [NOW, NOW]);
}

#[tokio::test]
async fn positions_are_found_although_the_journal_writes_records_of_its_own() {
    let h = start(config());
    h.log.journal().marks = true;
    let mut answers = Vec::new();
    for i in 0..5 {
        answers.push(stored(h.platform.submit(&caller(), &document(&format!("R-{i}")), None).await));
        h.log.mark();
        h.log.commit(1);
    }
    for answer in answers {
        let item = h.platform.show(&answer.doc_id, None).unwrap().unwrap().item;
        assert_eq!(item.position, Some(answer.position));
    }
}

#[tokio::test]
async fn normalised_content_is_shown_and_the_lodged_content_is_kept() {
    let h = start(config());
    let small = CONTRACT.replace("CSQU3054383", "csqu3054383");
    let answer = stored(h.platform.submit(&caller(), small.as_bytes(), None).await);
    let shown = h.platform.show(&answer.doc_id, None).unwrap().unwrap();
    assert_eq!(shown.body["containers"][0], "CSQU3054383");
    let kept = lodged(&h.log.journal().records[0]);
    assert!(String::from_utf8(kept).unwrap().contains("csqu3054383"));
}

#[tokio::test]
async fn what_the_journal_turns_away_is_said_as_it_is() {
    let h = start(config());
    for (outcome, code, unknown) in [
        (Outcome::Overloaded, codes::OVERLOADED, false),
        (Outcome::Failed, codes::STORAGE_FAILED, true),
        (Outcome::Unknown, codes::WRITE_BLOCKED, true),
    ] {
        h.log.journal().refusing = Some(outcome);
        let answer = h.platform.submit(&caller(), &document("A"), None).await;
        assert!(
            matches!(&answer, SubmitAnswer::Unavailable { code: c, unknown: u, .. } if *c == code && *u == unknown),
            "{answer:?}"
        );
    }
    h.log.journal().refusing = None;
    assert_eq!(h.platform.submit(&caller(), &document("A"), None).await.status(), 201);
}

#[tokio::test]
async fn more_documents_than_may_wait_are_turned_away_and_nothing_is_stored() {
    let h = start(Config { documents_max: 10, ..config() });
    let lines: Vec<Bytes> = (0..11).map(|i| document(&format!("R-{i}"))).collect();
    let answers = h.platform.submit_batch(&caller(), &lines).await;
    assert!(answers.iter().all(
        |a| matches!(a, SubmitAnswer::Unavailable { code, unknown: false, .. } if *code == codes::OVERLOADED)
    ));
    assert_eq!(h.log.journal().records.len(), 0);
    let answers = h.platform.submit_batch(&caller(), &lines[..10]).await;
    assert!(answers.iter().all(|a| a.status() == 201));
}
