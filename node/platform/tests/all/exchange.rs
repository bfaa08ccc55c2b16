//! The exchange at one platform: what an acceptance leaves for agencies, inboxes, receipts, offers of another platform.

use crate::support::*;
use bytes::Bytes;
use eport_documents::State;
use eport_exchange::{
    Document, Done, Head, Kind, Message, Offer, Receipt, ReceiptKind, Recipient, Refused, Source, Taken,
    message_id,
};
use eport_model::{Coded, Digest, Epoch, EpochEntry, EpochHistory, JournalIndex, RegionCode, Timestamp};
use eport_platform::{Config, ExchangeError, Platform, Routes, Scope};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Routes that a test changes.
#[derive(Debug, Default)]
pub(crate) struct Map(Mutex<BTreeMap<&'static str, RegionCode>>);

impl Map {
    pub(crate) fn put(&self, agency: &'static str, at: &str) {
        self.0.lock().unwrap().insert(agency, at.parse().unwrap());
    }
}

impl Routes for Map {
    fn route(&self, agency: &str, _: RegionCode) -> Option<RegionCode> {
        self.0.lock().unwrap().get(agency).copied()
    }
}

pub(crate) fn attached(agencies: &[(&'static str, &str)]) -> (Harness, Arc<Map>) {
    let map = Arc::new(Map::default());
    agencies.iter().for_each(|(agency, at)| map.put(agency, at));
    (start(Config { routes: map.clone(), ..config() }), map)
}

pub(crate) async fn lodge(h: &Harness, document: &[u8]) -> (String, String) {
    let stored = stored(h.platform.submit(&caller(), document, None).await);
    (stored.doc_id, stored.state)
}

pub(crate) fn receipt(doc_id: &str, agency: &str, number: &str, code: &str) -> Receipt {
    Receipt {
        agency: agency.into(),
        number: number.into(),
        owner: region(),
        doc_id: doc_id.into(),
        doc_version: 1,
        kind: ReceiptKind::Business,
        code: code.into(),
        text: "放行".into(),
        event_time: Timestamp::from_millis(NOW),
    }
}

pub(crate) async fn inbox(platform: &Platform, agency: &str) -> Vec<eport_api_types::InboxItem> {
    platform.inbox(agency, None, 100, Duration::ZERO).await.unwrap()
}

pub(crate) fn state_of(platform: &Platform, doc_id: &str) -> String {
    platform.show(doc_id, None).unwrap().unwrap().item.state
}

#[tokio::test]
async fn an_agency_here_gets_its_part_alone_acknowledges_it_once_and_answers() {
    let (h, _) = attached(&[("CUS", "440300"), ("CIQ", "440300")]);
    let (doc_id, state) = lodge(&h, &document("A-1")).await;
    assert_eq!(state, State::Dispatched.to_string());
    let (customs, inspection) = (inbox(&h.platform, "CUS").await, inbox(&h.platform, "CIQ").await);
    assert_eq!((customs.len(), inspection.len()), (1, 1));
    assert_eq!(customs[0].body["gross_weight_kg"], "18350.5");
    // Key fields only: the port is none of them, and so it is absent, not empty.
    assert!(inspection[0].body.get("port").is_none() && customs[0].body.get("port").is_some());
    assert_ne!(customs[0].msg_id, inspection[0].msg_id);
    let id: Digest = customs[0].msg_id.parse().unwrap();
    let read: Digest = customs[0].read.parse().unwrap();
    let other = h.platform.acknowledge("CIQ", &id, &read, "agency/CIQ/gw/1").await.unwrap_err();
    assert_eq!(other.code(), eport_model::codes::MESSAGE_UNKNOWN);
    assert!(!h.platform.acknowledge("CUS", &id, &read, "agency/CUS/gw/1").await.unwrap().repeated);
    assert!(h.platform.acknowledge("CUS", &id, &read, "agency/CUS/gw/1").await.unwrap().repeated);
    assert!(inbox(&h.platform, "CUS").await.is_empty());
    let given = h.platform.give_receipt(receipt(&doc_id, "CUS", "R1", "02"), "gw").await.unwrap();
    assert_eq!((given.applied, given.state.as_deref()), (true, Some("IN_PROCESS")));
    h.platform.give_receipt(receipt(&doc_id, "CUS", "R2", "01"), "gw").await.unwrap();
    assert_eq!(state_of(&h.platform, &doc_id), "ACCEPTED");
    let query = |state: &str| eport_api_types::DocumentQuery {
        doc_type: Some("arrival_report".into()),
        state: Some(state.into()),
        ..Default::default()
    };
    assert_eq!(h.platform.count(&query("ACCEPTED"), &Scope::All).unwrap(), 1);
    assert_eq!(h.platform.count(&query("DISPATCHED"), &Scope::All).unwrap(), 0);
}

#[tokio::test]
async fn receipts_have_one_effect_each_and_strangers_have_none() {
    let (h, _) = attached(&[("CUS", "440300"), ("MSA", "440300")]);
    let (doc_id, _) = lodge(&h, &document("A-2")).await;
    let give = |r: Receipt| h.platform.give_receipt(r, "gw");
    let first = give(receipt(&doc_id, "CUS", "R1", "01")).await.unwrap();
    let again = give(receipt(&doc_id, "CUS", "R1", "01")).await.unwrap();
    assert_eq!((first.repeated, again.repeated, again.applied), (false, true, true));
    let other = give(receipt(&doc_id, "CUS", "R1", "03")).await.unwrap_err();
    assert!(matches!(other, ExchangeError::Different(_)));
    // Late: kept, and changes nothing.
    let late = give(receipt(&doc_id, "CUS", "R2", "02")).await.unwrap();
    assert_eq!((late.applied, late.note.as_str()), (false, "late"));
    for wrong in [receipt(&doc_id, "MSA", "R3", "01"), receipt("E20180000000009999", "CUS", "R3", "01")] {
        assert_eq!(give(wrong).await.unwrap_err().code(), eport_model::codes::MESSAGE_UNKNOWN);
    }
    let future = Receipt { doc_version: 2, ..receipt(&doc_id, "CUS", "R3", "01") };
    assert_eq!(give(future).await.unwrap_err().code(), eport_model::codes::MESSAGE_UNKNOWN);
    let broken = Receipt { number: String::new(), ..receipt(&doc_id, "CUS", "R3", "01") };
    assert!(matches!(give(broken).await.unwrap_err(), ExchangeError::Fields(f) if f.len() == 1));
    // An unknown code asks for a person until a code comes that is understood.
    assert_eq!(give(receipt(&doc_id, "CUS", "R4", "99")).await.unwrap().note, "unknown_code");
    assert_eq!(h.platform.dead_letters().unwrap().1[0].code, "99");
    assert_eq!(state_of(&h.platform, &doc_id), "ACCEPTED");
    let listed = h.platform.receipts(&doc_id).unwrap();
    let seen: Vec<(&str, Option<bool>)> = listed.iter().map(|r| (r.code.as_str(), r.applied)).collect();
    assert_eq!(seen, [("E1", None), ("01", Some(true)), ("02", Some(false)), ("99", Some(false))]);
    assert_eq!(listed[1].text, "放行");
}

#[tokio::test]
async fn an_amendment_goes_to_whom_it_concerns_and_old_answers_do_not_count_for_it() {
    let (h, _) = attached(&[("CUS", "440300"), ("CIQ", "440300")]);
    let (doc_id, _) = lodge(&h, &document("A-3")).await;
    h.platform.give_receipt(receipt(&doc_id, "CUS", "R1", "01"), "gw").await.unwrap();
    assert_eq!(state_of(&h.platform, &doc_id), "ACCEPTED");
    // The port is no key field: the inspection's part does not change.
    let text = String::from_utf8(document("A-3").to_vec()).unwrap();
    let second = text.replace("CNCAN", "CNSZX").replace("\"doc_version\": 1", "\"doc_version\": 2");
    let (same, state) = lodge(&h, second.as_bytes()).await;
    assert_eq!((same.as_str(), state.as_str()), (doc_id.as_str(), "DISPATCHED"));
    assert_eq!((inbox(&h.platform, "CUS").await.len(), inbox(&h.platform, "CIQ").await.len()), (2, 1));
    let old = h.platform.give_receipt(receipt(&doc_id, "CUS", "R2", "01"), "gw").await.unwrap();
    assert_eq!((old.applied, old.note.as_str()), (false, "old_version"));
    assert_eq!(state_of(&h.platform, &doc_id), "DISPATCHED");
    let new = Receipt { doc_version: 2, ..receipt(&doc_id, "CUS", "R3", "01") };
    h.platform.give_receipt(new, "gw").await.unwrap();
    assert_eq!(state_of(&h.platform, &doc_id), "ACCEPTED");
}

#[tokio::test]
async fn what_has_no_route_waits_and_goes_once_the_agency_is_attached() {
    let (h, map) = attached(&[]);
    let (doc_id, _) = lodge(&h, &document("A-4")).await;
    let waiting = h.platform.exchange_status().unwrap();
    assert_eq!((waiting.unrouted, waiting.channels.len()), (3, 0));
    let why = h.platform.trace(&doc_id, &Scope::All).unwrap().unwrap();
    assert_eq!((why.agencies[0].passage.as_str(), why.why[0].actor.as_str()), ("unrouted", "operator"));
    map.put("CUS", "440000");
    map.put("CIQ", "440300");
    while h.platform.route_waiting().await.unwrap() {}
    let routed = h.platform.exchange_status().unwrap();
    assert_eq!((routed.unrouted, routed.channels[0].rows), (1, 1));
    assert_eq!(inbox(&h.platform, "CIQ").await.len(), 1);
    let to: RegionCode = "440000".parse().unwrap();
    let heads = h.platform.lane_heads(to).unwrap();
    let (lane, rows) = heads.first_key_value().unwrap();
    assert_eq!((lane.as_str(), rows.len()), ("arrival_report", 1));
    let picked = vec![rows[0].0.clone()];
    let offer = h.platform.offer(to, &picked, Some(Epoch::INITIAL), EpochHistory::default()).unwrap().offer;
    let message = &offer.messages[0];
    assert_eq!(Digest::of(&message.body), message.head.digest);
    assert_eq!(message.head.source.index, JournalIndex::from_u64(1));
    // Held by the receiver: the row leaves the outbox.
    h.platform.sent(to, Done { held: picked, dead: Vec::new() }).await.unwrap();
    assert!(h.platform.lane_heads(to).unwrap().is_empty());
    assert_eq!(h.platform.trace(&doc_id, &Scope::All).unwrap().unwrap().agencies[0].passage, "delivered");
}

#[tokio::test]
async fn a_dead_letter_is_listed_with_its_owner_and_can_be_sent_again() {
    let (h, _) = attached(&[("CUS", "440000")]);
    let (doc_id, _) = lodge(&h, &document("A-5")).await;
    let to: RegionCode = "440000".parse().unwrap();
    let key = h.platform.lane_heads(to).unwrap()["arrival_report"][0].0.clone();
    let dead = vec![(key, "E-XCH-CONTENT".to_owned(), "other content".to_owned())];
    h.platform.sent(to, Done { held: Vec::new(), dead }).await.unwrap();
    assert!(h.platform.lane_heads(to).unwrap().is_empty());
    let letter = h.platform.dead_letters().unwrap().0.remove(0);
    assert_eq!((letter.doc_id.as_str(), letter.owner.as_str()), (doc_id.as_str(), "operators of 440000"));
    let traced = h.platform.trace(&doc_id, &Scope::All).unwrap().unwrap();
    assert_eq!((traced.agencies[0].passage.as_str(), traced.why[0].actor.as_str()), ("dead", "operator"));
    let resent = h.platform.resend(&letter.msg_id.parse().unwrap()).await.unwrap().unwrap();
    assert_eq!((resent.attempts, resent.to), (1, Some(to)));
    assert_eq!(h.platform.lane_heads(to).unwrap()["arrival_report"].len(), 1);
    assert!(h.platform.resend(&letter.msg_id.parse().unwrap()).await.unwrap().is_none());
}

/// A message as another city would send it.
pub(crate) fn foreign(reference: &str, content: &str, epoch: u64, index: u64) -> Message {
    let from: RegionCode = "440100".parse().unwrap();
    let recipient = Recipient::Agency("CUS".into());
    let body = Bytes::from(format!("{{\"voyage_no\":\"{content}\"}}"));
    Message {
        head: Head {
            id: message_id(from, reference, &recipient, Kind::Document),
            kind: Kind::Document,
            recipient,
            source: Source { epoch: Epoch::from_u64(epoch), index: JournalIndex::from_u64(index) },
            digest: Digest::of(&body),
        },
        document: Document {
            owner: from,
            doc_type: "arrival_report".into(),
            doc_id: reference.into(),
            doc_version: 1,
            function_code: "2".into(),
            lodged_by: "x".into(),
            received_at: Timestamp::from_millis(NOW),
        },
        body,
    }
}

pub(crate) fn offer(epoch: u64, messages: Vec<Message>) -> Offer {
    let first =
        |epoch, first| EpochEntry { epoch: Epoch::from_u64(epoch), first: JournalIndex::from_u64(first) };
    let history = [first(1, 1), first(2, 50)].into_iter().take(epoch as usize);
    Offer {
        from: "440100".parse().unwrap(),
        to: region(),
        epoch: Epoch::from_u64(epoch),
        expects: Some(Epoch::INITIAL),
        history: EpochHistory::from_entries(history).unwrap(),
        messages,
    }
}

#[tokio::test]
async fn a_message_of_another_platform_has_one_effect_whatever_comes_again() {
    let (h, _) = attached(&[]);
    // As the registry would have placed it: the receiver's epoch is known.
    let at = |answer: &eport_exchange::Answer| answer.results.clone().unwrap();
    let both = offer(1, vec![foreign("a", "one", 1, 10), foreign("b", "one", 1, 60)]);
    let answer = h.platform.take_offer(both.clone()).await;
    assert!(matches!(at(&answer)[..], [Taken::At(_), Taken::At(_)]), "{answer:?}");
    assert_eq!(answer.last.map(|s| s.index.as_u64()), Some(60));
    let again = h.platform.take_offer(both).await;
    assert_eq!(h.log.journal().records.len(), 2, "{again:?}");
    let items = inbox(&h.platform, "CUS").await;
    let seen: Vec<&str> = items.iter().map(|i| i.doc_id.as_str()).collect();
    assert_eq!((seen, items[0].body["voyage_no"].as_str()), (vec!["a", "b"], Some("one")));
    // The sender failed over at record 50: b is another document now, a is as it was.
    let replaced = h.platform.take_offer(offer(2, vec![foreign("b", "two", 2, 51)])).await;
    assert!(matches!(at(&replaced)[..], [Taken::At(_)]));
    let items = inbox(&h.platform, "CUS").await;
    assert_eq!((items.len(), items[1].body["voyage_no"].as_str(), items[1].replaces), (2, Some("two"), true));
    let other = h.platform.take_offer(offer(2, vec![foreign("a", "two", 2, 52)])).await;
    assert!(matches!(&at(&other)[..], [Taken::Dead(reason, _)] if reason == "E-XCH-CONTENT"));
    let stale = h.platform.take_offer(offer(1, vec![foreign("c", "one", 1, 61)])).await;
    assert_eq!(stale.results, Err(Refused::Stale { known: Epoch::from_u64(2) }));
    let moved = Offer { expects: Some(Epoch::from_u64(9)), ..offer(2, Vec::new()) };
    assert_eq!(h.platform.take_offer(moved).await.results, Err(Refused::Moved));
    let lying = Message { body: Bytes::from_static(b"{}"), ..foreign("d", "one", 2, 53) };
    let lying = h.platform.take_offer(offer(2, vec![lying])).await;
    assert!(matches!(&at(&lying)[..], [Taken::Dead(reason, _)] if reason == "E-XCH-DIGEST"));
}

#[tokio::test]
async fn a_receipt_for_another_platforms_document_travels_and_is_applied_there_once() {
    let (h, _) = attached(&[]);
    h.platform.take_offer(offer(1, vec![foreign("a", "one", 1, 10)])).await.results.unwrap();
    let from: RegionCode = "440100".parse().unwrap();
    let answer = Receipt { owner: from, doc_id: "a".into(), ..receipt("a", "CUS", "R1", "01") };
    let given = h.platform.give_receipt(answer.clone(), "gw").await.unwrap();
    assert_eq!((given.forwarded, given.repeated), (true, false));
    assert!(h.platform.give_receipt(answer.clone(), "gw").await.unwrap().repeated);
    let never_sent = Receipt { doc_id: "b".into(), number: "R2".into(), ..answer.clone() };
    let refused = h.platform.give_receipt(never_sent, "gw").await.unwrap_err();
    assert_eq!(refused.code(), eport_model::codes::MESSAGE_UNKNOWN);
    let picked: Vec<Bytes> =
        h.platform.lane_heads(from).unwrap()["receipts"].iter().map(|(k, _)| k.clone()).collect();
    assert_eq!(picked.len(), 1);
    let made = h.platform.offer(from, &picked, Some(Epoch::INITIAL), EpochHistory::default()).unwrap().offer;
    assert_eq!(made.messages[0].head.recipient, Recipient::Platform(from));
    // At an owner: the message as it arrives, twice, and from another record that cannot have replaced it.
    let (owner, _) = attached(&[("CUS", "440100")]);
    let (doc_id, _) = lodge(&owner, &document("A-6")).await;
    let receipt = receipt(&doc_id, "CUS", "R1", "01");
    let body = Bytes::from(receipt.encode());
    let recipient = Recipient::Platform(region());
    let message = |index: u64| Message {
        head: Head {
            id: message_id(region(), &receipt.cause(), &recipient, Kind::Receipt),
            kind: Kind::Receipt,
            recipient: recipient.clone(),
            source: Source { epoch: Epoch::INITIAL, index: JournalIndex::from_u64(index) },
            digest: Digest::of(&body),
        },
        document: Document { doc_id: doc_id.clone(), owner: region(), ..foreign("a", "", 1, 1).document },
        body: body.clone(),
    };
    for _ in 0..2 {
        owner.platform.take_offer(offer(1, vec![message(7)])).await.results.unwrap();
    }
    assert_eq!(state_of(&owner.platform, &doc_id), "ACCEPTED");
    let other = owner.platform.take_offer(offer(1, vec![message(8)])).await.results.unwrap();
    assert!(matches!(&other[..], [Taken::Dead(reason, _)] if reason == "E-XCH-POSITION"));
    assert_eq!(owner.platform.receipts(&doc_id).unwrap().len(), 2);
}

#[tokio::test]
async fn an_agency_finds_documents_it_gets_a_part_of_and_of_those_its_part_alone() {
    let (h, _) = attached(&[("CIQ", "440300")]);
    let (doc_id, _) = lodge(&h, &document("A-7")).await;
    let (inspection, safety) = (Scope::Agency("CIQ".into()), Scope::Agency("MSA".into()));
    let list = |scope: &Scope| h.platform.list(&Default::default(), scope).unwrap().items;
    assert_eq!((list(&inspection).len(), list(&safety).len()), (1, 0));
    assert!(
        h.platform.visible(&inspection, &doc_id).unwrap() && !h.platform.visible(&safety, &doc_id).unwrap()
    );
    let shown = h.platform.show_to(&inspection, &doc_id).unwrap().unwrap();
    assert!(shown.body.get("port").is_none() && shown.body.get("bill_no").is_some());
    assert!(shown.item.client_ref.is_empty() && list(&inspection)[0].client_ref.is_empty());
    let events = h.platform.events(0, 10, Duration::ZERO, &safety).await.unwrap();
    assert!(events.iter().all(|e| e.doc_id.is_none() && e.state.is_none()), "{events:?}");
    let events = h.platform.events(0, 10, Duration::ZERO, &inspection).await.unwrap();
    assert_eq!(events[0].doc_id.as_deref(), Some(doc_id.as_str()));
}

#[tokio::test]
async fn a_receipt_that_was_given_up_keeps_its_turn_until_its_record_is_there_and_counts_once() {
    let (h, _) = attached(&[("CUS", "440300")]);
    let (doc_id, _) = lodge(&h, &document("A-9")).await;
    h.log.journal().manual = true;
    let give = || h.platform.give_receipt(receipt(&doc_id, "CUS", "R1", "01"), "gw");
    let blocked = eport_model::codes::WRITE_BLOCKED;
    for attempt in 0..3 {
        assert_eq!(give().await.unwrap_err().code(), blocked, "attempt {attempt}: the backups are silent");
        assert_eq!(h.log.in_flight(), 1, "attempt {attempt}: the first record may still be committed");
    }
    // A caller that goes away gives nothing back either.
    let gone = tokio::time::timeout(Duration::from_millis(20), give()).await;
    assert!(gone.is_err() && h.log.in_flight() == 1);
    h.log.commit(1);
    h.log.journal().manual = false;
    let again = give().await.unwrap();
    assert!(again.repeated && again.applied);
    let listed = h.platform.receipts(&doc_id).unwrap();
    assert_eq!(listed.iter().filter(|r| r.code == "01").count(), 1);
}

#[tokio::test]
async fn a_receipt_and_an_amendment_of_one_document_take_turns() {
    let (h, _) = attached(&[("CUS", "440300")]);
    let (doc_id, _) = lodge(&h, &document("A-8")).await;
    h.log.journal().manual = true;
    let (platform, first) = (h.platform.clone(), receipt(&doc_id, "CUS", "R1", "01"));
    let receipt = tokio::spawn(async move { platform.give_receipt(first, "gw").await });
    h.log.until_in_flight(1).await;
    let platform = h.platform.clone();
    let second = tokio::spawn(async move { platform.submit(&caller(), &amendment("A-8", 2), None).await });
    tokio::time::sleep(Duration::from_millis(30)).await;
    assert_eq!(h.log.in_flight(), 1, "the amendment waits until the receipt is committed");
    h.log.commit(1);
    assert!(receipt.await.unwrap().unwrap().applied);
    h.log.until_in_flight(1).await;
    h.log.commit(1);
    assert_eq!(stored(second.await.unwrap()).doc_version, 2);
    let versions = h.platform.versions(&doc_id).unwrap();
    let states: Vec<&str> = versions.iter().map(|v| v.state.as_str()).collect();
    assert_eq!(states, ["ACCEPTED", "DISPATCHED"]);
}
