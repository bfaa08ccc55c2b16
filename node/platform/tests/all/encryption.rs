//! Encryption at rest: nothing a trader lodged stands readable in journal or rows, and everything is found and read as before.

use crate::support;

use eport_api_types::DocumentQuery;
use eport_model::{Effect, codec};
use eport_platform::{Config, Keys, Scope, SubmitAnswer};
use std::sync::Arc;
use support::{amendment, caller, config, document, restart, ring, start, stored};

/// Every byte that would reach the disk.
fn bytes(h: &support::Harness) -> Vec<u8> {
    let journal = h.log.journal();
    journal.records.iter().flat_map(|r| codec::encode(&**r)).collect()
}

fn holds(all: &[u8], text: &str) -> bool {
    all.windows(text.len()).any(|w| w == text.as_bytes())
}

#[tokio::test]
async fn neither_content_nor_client_reference_stands_readable_in_a_record() {
    let h = start(config());
    for reference in ["GZ-SECRET-1", "GZ-SECRET-2"] {
        stored(h.platform.submit(&caller(), &document(reference), None).await);
    }
    stored(h.platform.submit(&caller(), &amendment("GZ-SECRET-1", 2), None).await);
    let all = bytes(&h);
    for text in ["GZ-SECRET", "COSU6112233440", "CSQU3054383", "18350.5", "UN9074729", "voyage_no"] {
        assert!(!holds(&all, text), "{text} stands in the journal");
    }
    // The probe itself: a record does hold what is not encrypted.
    assert!(holds(&all, "arrival_report") && holds(&all, "91440100MA5ABCD19J"));
}

#[tokio::test]
async fn documents_are_found_by_reference_and_key_and_shown_whole() {
    let h = start(config());
    let first = stored(h.platform.submit(&caller(), &document("GZ-1"), None).await);
    stored(h.platform.submit(&caller(), &document("GZ-2"), None).await);
    let by_ref = DocumentQuery { client_ref: Some("GZ-1".into()), ..DocumentQuery::default() };
    let page = h.platform.list(&by_ref, &Scope::All).unwrap();
    assert_eq!(page.items.iter().map(|i| &*i.client_ref).collect::<Vec<_>>(), ["GZ-1"]);
    assert_eq!(h.platform.count(&by_ref, &Scope::All).unwrap(), 1);
    let key = Some("91440100MA5ABCD19J|arrival_report|GZ-1|1".to_owned());
    let by_key = DocumentQuery { key, ..DocumentQuery::default() };
    assert_eq!(h.platform.list(&by_key, &Scope::All).unwrap().items[0].doc_id, first.doc_id);
    let shown = h.platform.show(&first.doc_id, None).unwrap().unwrap();
    assert_eq!(shown.item.client_ref, "GZ-1");
    assert_eq!(shown.body["bill_no"], "COSU6112233440");
}

#[tokio::test]
async fn after_a_rotation_old_documents_are_read_and_duplicates_recognised() {
    let keys = support::keys(1);
    let h = start(Config { keys: keys.clone(), ..config() });
    let old = stored(h.platform.submit(&caller(), &document("GZ-1"), None).await);
    keys.put(Arc::new(ring(2)));
    let new = stored(h.platform.submit(&caller(), &document("GZ-2"), None).await);
    let again = h.platform.submit(&caller(), &document("GZ-1"), None).await;
    assert!(matches!(&again, SubmitAnswer::Repeated(d) if d.doc_id == old.doc_id), "{again:?}");
    for id in [&old.doc_id, &new.doc_id] {
        assert_eq!(h.platform.show(id, None).unwrap().unwrap().body["packages"], 120);
    }
    // The first key alone reads what it wrote, and no more.
    keys.put(Arc::new(ring(1)));
    assert!(h.platform.show(&old.doc_id, None).unwrap().is_some());
    assert!(h.platform.show(&new.doc_id, None).is_err());
}

#[tokio::test]
async fn without_a_key_nothing_is_stored_and_nothing_is_shown() {
    let h = start(config());
    let known = stored(h.platform.submit(&caller(), &document("GZ-1"), None).await);
    let stolen = restart(h.log.clone(), Config { keys: Keys::new(), ..config() });
    let answer = stolen.platform.submit(&caller(), &document("GZ-2"), None).await;
    assert_eq!(answer.status(), 503, "{answer:?}");
    assert!(stolen.platform.show(&known.doc_id, None).is_err());
    assert!(stolen.platform.list(&DocumentQuery::default(), &Scope::All).is_err());
    // The account of requests rides with the document and is none.
    let puts = |e: &&Effect| matches!(e, Effect::Put { .. }) && !e.key().starts_with(b"u/");
    let records = h.log.journal().records.iter().flat_map(|r| &r.effects).filter(puts).count();
    // Four rows of the document, two of the numbers it is known by, one of who gets it, one for each of its three recipients.
    assert_eq!(records, 4 + 2 + 1 + 3, "only the first document was stored");
}
