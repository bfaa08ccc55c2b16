//! The exchange at one platform, when something is not as it should be: late acknowledgements, strangers, rows that cannot be read.

use crate::exchange::{Map, attached, foreign, inbox, lodge, offer, receipt, state_of};
use crate::support::*;
use bytes::Bytes;
use eport_documents::{Pack, Packs};
use eport_exchange::{
    Document, Done, Head, Kind, Message, Offer, Receipt, Recipient, Source, Taken, message_id,
};
use eport_model::{Coded, Digest, Epoch, EpochEntry, EpochHistory, JournalIndex, RegionCode};
use eport_platform::{Config, Scope};
use std::sync::Arc;
use std::time::Duration;

#[tokio::test]
async fn an_acknowledgement_counts_for_what_was_read_and_not_for_what_came_since() {
    let (h, _) = attached(&[]);
    h.platform.take_offer(offer(1, vec![foreign("b", "one", 1, 60)])).await.results.unwrap();
    let shown = inbox(&h.platform, "CUS").await.remove(0);
    let (id, read): (Digest, Digest) = (shown.msg_id.parse().unwrap(), shown.read.parse().unwrap());
    // The sender failed over at record 50: b is another document now.
    h.platform.take_offer(offer(2, vec![foreign("b", "two", 2, 51)])).await.results.unwrap();
    let late = h.platform.acknowledge("CUS", &id, &read, "gw").await.unwrap_err();
    assert_eq!(late.code(), eport_model::codes::MESSAGE_CHANGED);
    let now = inbox(&h.platform, "CUS").await.remove(0);
    assert_eq!((now.body["voyage_no"].as_str(), now.replaces), (Some("two"), true));
    let read: Digest = now.read.parse().unwrap();
    // A withdrawal between reading and acknowledging is shown, and is acknowledged by itself.
    let void = foreign("b", "two", 2, 51);
    let head = Head { kind: Kind::Withdrawal, ..void.head.clone() };
    let void = Message { head, body: Bytes::new(), ..void };
    let third = |messages| Offer {
        epoch: Epoch::from_u64(3),
        history: EpochHistory::from_entries([
            EpochEntry { epoch: Epoch::INITIAL, first: JournalIndex::from_u64(1) },
            EpochEntry { epoch: Epoch::from_u64(3), first: JournalIndex::from_u64(50) },
        ])
        .unwrap(),
        ..offer(2, messages)
    };
    let gone = h.platform.take_offer(third(vec![void])).await.results.unwrap();
    assert!(matches!(gone[..], [Taken::At(_)]), "{gone:?}");
    assert!(h.platform.acknowledge("CUS", &id, &read, "gw").await.is_err());
    let word = inbox(&h.platform, "CUS").await.remove(0);
    assert_eq!((word.kind.as_str(), word.msg_id.as_str()), ("withdrawal", shown.msg_id.as_str()));
    h.platform.acknowledge("CUS", &id, &word.read.parse().unwrap(), "gw").await.unwrap();
    assert!(inbox(&h.platform, "CUS").await.is_empty());
}

fn reason(taken: &[Taken]) -> &str {
    match taken {
        [Taken::Dead(reason, _)] => reason,
        other => panic!("{other:?}"),
    }
}

/// A receipt for a document of this platform, as the platform `from` passes it on.
fn passed_on(given: &Receipt, from: &str, doc_id: &str) -> Offer {
    let recipient = Recipient::Platform(region());
    let body = Bytes::from(given.encode());
    let head = Head {
        id: message_id(region(), &given.cause(), &recipient, Kind::Receipt),
        kind: Kind::Receipt,
        recipient,
        source: Source { epoch: Epoch::INITIAL, index: JournalIndex::from_u64(20) },
        digest: Digest::of(&body),
    };
    let document = Document { owner: region(), doc_id: doc_id.into(), ..foreign("a", "", 1, 1).document };
    let offer = offer(1, vec![Message { head, document, body }]);
    Offer { from: from.parse().unwrap(), ..offer }
}

#[tokio::test]
async fn what_another_platform_sends_is_held_to_what_it_may_say() {
    let (h, _) = attached(&[("CUS", "440100")]);
    let take =
        |message: Message| async { h.platform.take_offer(offer(1, vec![message])).await.results.unwrap() };
    h.platform.take_offer(offer(1, vec![foreign("a", "one", 1, 10)])).await.results.unwrap();
    let mut other = foreign("b", "one", 1, 11);
    other.document.owner = "440500".parse().unwrap();
    assert_eq!(reason(&take(other).await), "E-XCH-SENDER", "a document of another platform");
    let mut named = foreign("b", "one", 1, 11);
    named.document.doc_id = "a\0b".into();
    assert_eq!(reason(&take(named).await), "E-XCH-FIELDS");
    assert_eq!(reason(&take(foreign("b", "one", 9, 11)).await), "E-XCH-SOURCE", "an epoch of its own making");
    // Another platform that has come to know the id does not replace what this one sent.
    let theirs = foreign("a", "two", 1, 12);
    let theirs =
        Message { document: Document { owner: "440500".parse().unwrap(), ..theirs.document }, ..theirs };
    let from = Offer { from: "440500".parse().unwrap(), ..offer(1, vec![theirs]) };
    assert_eq!(reason(&h.platform.take_offer(from).await.results.unwrap()), "E-XCH-SENDER");

    let (doc_id, _) = lodge(&h, &document("A-10")).await;
    let given = receipt(&doc_id, "CUS", "R1", "01");
    let broken = Receipt { number: "R|1".into(), ..given.clone() };
    for (wrong, from, doc_id, why) in [
        (&given, "440500", doc_id.as_str(), "E-XCH-SENDER"),
        (&given, "440100", "E20180000000009999", "E-XCH-RECEIPT"),
        (&broken, "440100", doc_id.as_str(), "E-XCH-RECEIPT"),
    ] {
        let taken = h.platform.take_offer(passed_on(wrong, from, doc_id)).await.results.unwrap();
        assert_eq!(reason(&taken), why, "from {from} about {doc_id}");
    }
    // A receipt is not withdrawn: what an agency has said stays said.
    let mut void = passed_on(&given, "440100", &doc_id);
    void.messages[0].head.kind = Kind::Withdrawal;
    assert_eq!(reason(&h.platform.take_offer(void).await.results.unwrap()), "E-XCH-SENDER");
    assert_eq!(state_of(&h.platform, &doc_id), "DISPATCHED");
    h.platform.take_offer(passed_on(&given, "440100", &doc_id)).await.results.unwrap();
    assert_eq!(state_of(&h.platform, &doc_id), "ACCEPTED");
}

#[tokio::test]
async fn one_bad_row_stops_neither_its_channel_nor_its_inbox_and_is_listed() {
    let (h, _) = attached(&[("CUS", "440000")]);
    let to: RegionCode = "440000".parse().unwrap();
    lodge(&h, &document("A-11")).await;
    lodge(&h, &document("A-12")).await;
    let picked: Vec<Bytes> =
        h.platform.lane_heads(to).unwrap()["arrival_report"].iter().map(|(k, _)| k.clone()).collect();
    h.log.damage(picked[0].clone(), Bytes::from_static(b"damaged"));
    assert_eq!(h.platform.lane_heads(to).unwrap()["arrival_report"].len(), 2);
    let offered = h.platform.offer(to, &picked, Some(Epoch::INITIAL), EpochHistory::default()).unwrap();
    assert_eq!((offered.keys, offered.unsendable.len()), (vec![picked[1].clone()], 1));
    h.platform.unsendable(to, offered.unsendable).await.unwrap();
    let letters = h.platform.dead_letters().unwrap().0;
    assert_eq!(letters[0].reason, "E-XCH-ROW");
    h.platform.resend(&letters[0].msg_id.parse().unwrap()).await.unwrap().unwrap();
    assert_eq!(h.platform.lane_heads(to).unwrap()["arrival_report"].len(), 2, "it is back where it was");

    // An inbox: rows that show nothing stand in front of one that does.
    let messages = vec![foreign("a", "one", 1, 10), foreign("b", "two", 1, 11)];
    h.platform.take_offer(offer(1, messages)).await.results.unwrap();
    let id: Digest = inbox(&h.platform, "CUS").await[0].msg_id.parse().unwrap();
    h.log.damage([b"x/i/", &id.as_bytes()[..]].concat().into(), Bytes::from_static(b"damaged"));
    for n in 0..5u8 {
        h.log.damage([&b"x/n/CUS\0"[..], &[n; 20]].concat().into(), Bytes::copy_from_slice(&[n; 32]));
    }
    let shown = h.platform.inbox("CUS", None, 1, Duration::ZERO).await.unwrap();
    assert_eq!(shown.iter().map(|i| i.doc_id.as_str()).collect::<Vec<_>>(), ["b"]);
    let letters = h.platform.dead_letters().unwrap().0;
    assert_eq!(letters.iter().map(|l| l.reason.as_str()).collect::<Vec<_>>(), ["E-XCH-ROW"]);

    // A message that meets a row which cannot be read is refused by itself; the one behind it takes effect.
    let messages = vec![foreign("c", "one", 1, 12), foreign("d", "one", 1, 13)];
    let key: Bytes = [b"x/i/", &messages[0].head.id.as_bytes()[..]].concat().into();
    h.log.damage(key, Bytes::from_static(b"damaged"));
    let taken = h.platform.take_offer(offer(1, messages)).await.results.unwrap();
    assert!(matches!(&taken[..], [Taken::Dead(why, _), Taken::At(_)] if why == "E-XCH-ROW"), "{taken:?}");
    assert_eq!(inbox(&h.platform, "CUS").await.last().map(|i| i.doc_id.as_str()), Some("d"));
}

#[tokio::test]
async fn a_message_resent_is_waiting_again_and_an_agency_is_told_of_no_other() {
    let (h, _) = attached(&[("CUS", "440000"), ("CIQ", "440300")]);
    let to: RegionCode = "440000".parse().unwrap();
    let (doc_id, _) = lodge(&h, &document("A-13")).await;
    let key = h.platform.lane_heads(to).unwrap()["arrival_report"][0].0.clone();
    let passage =
        |h: &Harness| h.platform.trace(&doc_id, &Scope::All).unwrap().unwrap().agencies[0].passage.clone();
    // Another row of the channel is acknowledged, this one is not.
    let view = |waiting| eport_platform::ChannelView { waiting, ..Default::default() };
    h.platform.note_channel(to, view([Bytes::from_static(b"x/o/another")].into()));
    assert_eq!(passage(&h), "queued");
    h.platform.note_channel(to, view([key.clone()].into()));
    assert_eq!(passage(&h), "acknowledged");
    let dead = vec![(key, "E-XCH-CONTENT".to_owned(), "other content".to_owned())];
    h.platform.sent(to, Done { held: Vec::new(), dead }).await.unwrap();
    let letter = h.platform.dead_letters().unwrap().0.remove(0);
    h.platform.resend(&letter.msg_id.parse().unwrap()).await.unwrap().unwrap();
    assert_eq!(passage(&h), "queued", "the document's rows name the message's new place");

    h.platform.give_receipt(receipt(&doc_id, "CUS", "R1", "03"), "gw").await.unwrap();
    assert_eq!(state_of(&h.platform, &doc_id), "REJECTED");
    let told = h.platform.trace(&doc_id, &Scope::Agency("CIQ".into())).unwrap().unwrap();
    assert!(!serde_json::to_string(&told).unwrap().contains("CUS"), "{told:?}");
    let whole = h.platform.trace(&doc_id, &Scope::All).unwrap().unwrap();
    assert!(whole.why[0].place_en.contains("CUS"), "{whole:?}");
}

#[tokio::test]
async fn an_answer_says_replicated_only_of_what_another_site_holds() {
    let (h, _) = attached(&[("CUS", "440300")]);
    let (doc_id, _) = lodge(&h, &document("A-14")).await;
    let item = inbox(&h.platform, "CUS").await.remove(0);
    let (id, read): (Digest, Digest) = (item.msg_id.parse().unwrap(), item.read.parse().unwrap());
    let give = || h.platform.give_receipt(receipt(&doc_id, "CUS", "R1", "01"), "gw");
    give().await.unwrap();
    h.platform.acknowledge("CUS", &id, &read, "gw").await.unwrap();
    let (local, replicated) = (eport_model::Durability::Local, eport_model::Durability::Replicated);
    // No backup elsewhere; one that has the receipt, not the acknowledgement; one that has both.
    for (elsewhere, of_receipt, of_ack) in
        [(None, local, local), (Some(2), replicated, local), (Some(3), replicated, replicated)]
    {
        h.log.elsewhere(elsewhere);
        assert_eq!(give().await.unwrap().durability, of_receipt, "{elsewhere:?}");
        let ack = h.platform.acknowledge("CUS", &id, &read, "gw").await.unwrap();
        assert_eq!((ack.repeated, ack.durability), (true, of_ack), "{elsewhere:?}");
    }
    // What a sender may forget: without a backup elsewhere everything committed, else what it holds.
    h.log.elsewhere(Some(1));
    assert_eq!(h.platform.take_offer(offer(1, Vec::new())).await.held.as_u64(), 1);
    h.log.elsewhere(None);
    assert_eq!(h.platform.take_offer(offer(1, Vec::new())).await.held.as_u64(), 3);
}

/// The first recipient is answered for, the last gets its part after that.
fn waiting() -> Harness {
    let pack = include_str!("../../../packs/arrival_report/pack.toml");
    let waits = pack.replacen("agency = \"TMN\"\n", "agency = \"TMN\"\nafter = \"ACCEPTED\"\n", 1);
    assert_ne!(waits, pack);
    let packs = Packs::new(vec![Pack::parse(&waits).unwrap()]).unwrap();
    let map = Arc::new(Map::default());
    map.put("CUS", "440100");
    map.put("TMN", "440000");
    restart_with(Fake::new(), Arc::new(Arc::new(packs)), Config { routes: map, ..config() })
}

#[tokio::test]
async fn a_part_that_waited_is_of_the_record_that_released_it() {
    let h = waiting();
    let to: RegionCode = "440000".parse().unwrap();
    let (doc_id, _) = lodge(&h, &document("A-15")).await;
    assert!(h.platform.lane_heads(to).unwrap().is_empty());
    let given = passed_on(&receipt(&doc_id, "CUS", "R1", "01"), "440100", &doc_id);
    let taken = h.platform.take_offer(given).await.results.unwrap();
    let [Taken::At(record)] = taken[..] else { panic!("{taken:?}") };
    let heads = h.platform.lane_heads(to).unwrap();
    let picked = vec![heads["arrival_report"][0].0.clone()];
    let made = h.platform.offer(to, &picked, Some(Epoch::INITIAL), EpochHistory::default()).unwrap().offer;
    // With the record of the document its loss would not be seen: the receipt's may be lost alone.
    assert_eq!(made.messages[0].head.source.index, record);
}

#[tokio::test]
async fn a_message_that_fails_half_way_has_changed_nothing() {
    let h = waiting();
    let (doc_id, _) = lodge(&h, &document("A-16")).await;
    // Read after the part that waited was sent.
    h.log.damage(format!("g/d/{doc_id}").into(), Bytes::from_static(b"damaged"));
    let mut both = passed_on(&receipt(&doc_id, "CUS", "R1", "01"), "440100", &doc_id);
    both.messages.push(foreign("a", "one", 1, 21));
    let taken = h.platform.take_offer(both).await.results.unwrap();
    assert!(matches!(&taken[..], [Taken::Dead(why, _), Taken::At(_)] if why == "E-XCH-ROW"), "{taken:?}");
    assert!(h.platform.lane_heads("440000".parse().unwrap()).unwrap().is_empty());
    assert_eq!(state_of(&h.platform, &doc_id), "DISPATCHED");
}
