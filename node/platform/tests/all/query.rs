//! Queries, counts, pages, receipts, events.

use crate::support;

use bytes::Bytes;
use eport_api_types::DocumentQuery;
use eport_platform::{Caller, Error, Scope};
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;
use support::*;

async fn filled(n: usize) -> Harness {
    let h = start(config());
    let lines: Vec<Bytes> = (0..n).map(|i| document(&format!("R-{i}"))).collect();
    assert!(h.platform.submit_batch(&caller(), &lines).await.iter().all(|a| a.status() == 201));
    h
}

fn query(doc_type: Option<&str>) -> DocumentQuery {
    DocumentQuery { doc_type: doc_type.map(str::to_owned), ..DocumentQuery::default() }
}

#[tokio::test]
async fn pages_hold_every_document_once_and_the_token_carries_the_scan() {
    let h = filled(250).await;
    let mut q = DocumentQuery { limit: Some(100), ..query(Some("arrival_report")) };
    let (mut seen, mut pages) = (BTreeSet::new(), 0);
    loop {
        let page = h.platform.list(&q, &Scope::All).unwrap();
        pages += 1;
        for item in page.items {
            assert!(item.position.is_some());
            assert!(seen.insert(item.doc_id));
        }
        let Some(token) = page.next_page_token else { break };
        q = DocumentQuery { page_token: Some(token), limit: Some(100), ..DocumentQuery::default() };
    }
    assert_eq!((seen.len(), pages), (250, 3));
    let wrong = DocumentQuery { page_token: Some("00ff".into()), ..DocumentQuery::default() };
    assert!(matches!(
        h.platform.list(&wrong, &Scope::All),
        Err(Error::Parameter { parameter: "page_token", .. })
    ));
}

#[tokio::test]
async fn filters_narrow_and_counts_agree_with_lists() {
    let h = filled(20).await;
    h.now.store(NOW + 1000, Ordering::SeqCst);
    let other = Caller { subject: "operator/admin".into(), lodged_by: "operator/admin".into() };
    stored(h.platform.submit(&other, &document("R-1"), None).await);
    let by = |f: fn(&mut DocumentQuery)| {
        let mut q = query(Some("arrival_report"));
        f(&mut q);
        q
    };
    for (q, expected) in [
        (query(None), 21),
        (query(Some("arrival_report")), 21),
        (query(Some("other")), 0),
        (by(|q| q.state = Some("DISPATCHED".into())), 21),
        (by(|q| q.state = Some("WITHDRAWN".into())), 0),
        (by(|q| q.client_ref = Some("R-1".into())), 2),
        (by(|q| q.client_ref = Some("R-".into())), 0),
        (by(|q| q.since = Some("2018-01-10T00:30:01Z".into())), 1),
        (by(|q| q.key = Some("operator/admin|arrival_report|R-1|1".into())), 1),
        (by(|q| q.key = Some("operator/admin|arrival_report|R-1|2".into())), 0),
        (DocumentQuery { client_ref: Some("R-1".into()), ..query(None) }, 2),
        (DocumentQuery { state: Some("DISPATCHED".into()), ..query(None) }, 21),
    ] {
        assert_eq!(h.platform.list(&q, &Scope::All).unwrap().items.len(), expected, "{q:?}");
        assert_eq!(h.platform.count(&q, &Scope::All).unwrap(), expected as u64, "{q:?}");
    }
    for (parameter, q) in [
        ("state", by(|q| q.state = Some("gone".into()))),
        ("since", by(|q| q.since = Some("yesterday".into()))),
        ("key", by(|q| q.key = Some("x".into()))),
    ] {
        assert!(
            matches!(h.platform.list(&q, &Scope::All), Err(Error::Parameter { parameter: p, .. }) if p == parameter)
        );
    }
}

#[tokio::test]
async fn a_lodger_sees_and_counts_only_what_it_lodged() {
    let h = filled(5).await;
    let own = Scope::Own(caller().lodged_by);
    let stranger = Scope::Own("91440300MA5SZXY00X".into());
    assert_eq!(h.platform.count(&query(None), &own).unwrap(), 5);
    assert_eq!(h.platform.count(&query(None), &stranger).unwrap(), 0);
    assert!(h.platform.list(&query(None), &stranger).unwrap().items.is_empty());
    let key = DocumentQuery { key: Some("91440100MA5ABCD19J|arrival_report|R-1|1".into()), ..query(None) };
    assert_eq!(h.platform.list(&key, &own).unwrap().items.len(), 1);
    assert!(h.platform.list(&key, &stranger).unwrap().items.is_empty());
    assert!(h.platform.visible(&own, "E20180000000000001").unwrap());
    assert!(!h.platform.visible(&stranger, "E20180000000000001").unwrap());
    assert!(!h.platform.visible(&Scope::All, "E20180000000000099").unwrap());
}

#[tokio::test]
async fn a_scan_that_finds_little_ends_its_page_early_and_goes_on_from_there() {
    let h = filled(1500).await;
    let mut q = DocumentQuery { since: Some("2019-01-01T00:00:00Z".into()), ..query(Some("arrival_report")) };
    let first = h.platform.list(&q, &Scope::All).unwrap();
    assert!(first.items.is_empty());
    q.page_token = first.next_page_token;
    assert!(q.page_token.is_some(), "1 000 of 1 500 rows were looked at");
    let last = h.platform.list(&q, &Scope::All).unwrap();
    assert!(last.items.is_empty() && last.next_page_token.is_none());
}

#[tokio::test]
async fn the_receipt_of_storage_names_the_record_that_proves_it() {
    let h = filled(1).await;
    let receipts = h.platform.receipts("E20180000000000001").unwrap();
    assert_eq!(receipts.len(), 1);
    assert_eq!((receipts[0].kind.as_str(), receipts[0].code.as_str()), ("TECH_ACK", "E1"));
    assert_eq!(receipts[0].position, Some(h.log.journal().records[0].position()));
    assert_eq!(receipts[0].event_time, "2018-01-10T00:30:00.000Z");
    assert!(h.platform.receipts("E20180000000000002").unwrap().is_empty());
    let shown = h.platform.show("E20180000000000001", None).unwrap().unwrap();
    assert_eq!(shown.code_table_set[0].table, "440000/ports");
    assert_eq!(shown.owner_platform, "440300");
}

#[tokio::test]
async fn events_show_every_applied_record_once_in_order_and_wait_for_the_next() {
    let h = filled(3).await;
    h.log.mark();
    h.log.commit(1);
    let events = h.platform.events(1, 10, Duration::ZERO, &Scope::All).await.unwrap();
    let shown: Vec<_> = events.iter().map(|e| (e.index, e.kind.as_str(), e.doc_id.is_some())).collect();
    assert_eq!(shown, [(2, "document", true), (3, "document", true), (4, "checksum_mark", false)]);
    assert_eq!(events[0].state.as_deref(), Some("DISPATCHED"));
    assert!(h.platform.events(4, 10, Duration::from_millis(10), &Scope::All).await.unwrap().is_empty());
    let platform = h.platform.clone();
    let waiting =
        tokio::spawn(
            async move { platform.events(4, 10, Duration::from_secs(10), &Scope::All).await.unwrap() },
        );
    h.log.journal().manual = true;
    let platform = h.platform.clone();
    let submit = tokio::spawn(async move { platform.submit(&caller(), &document("late"), None).await });
    h.log.until_in_flight(1).await;
    assert!(!waiting.is_finished(), "what is not applied does not show");
    h.log.commit(1);
    submit.await.unwrap();
    assert_eq!(waiting.await.unwrap()[0].index, 5);
}
