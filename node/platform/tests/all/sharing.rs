//! Viewers, consents and the core data set of one platform, over its rows.

use crate::exchange::{attached, inbox, lodge, receipt};
use crate::support::*;
use eport_model::Timestamp;
use eport_platform::Scope;
use eport_sharing::core_data::{FactKind, Place};
use eport_sharing::{Ask, Denied, Offer, Purpose, Reader, SharingAction, Who};
use std::sync::atomic::Ordering;

const BANK: &str = "91440100MA5BANK00X";

fn reader(who: Who, name: &str, ask: Ask) -> Reader {
    Reader { who, name: name.into(), mandate: false, in_charge: false, ask }
}

fn scope(h: &Harness, reader: Reader) -> Scope {
    Scope::Shared(h.platform.viewer(reader, SharingAction::Read).unwrap())
}

fn offer(until: i64) -> Offer {
    Offer {
        grantee: BANK.into(),
        classes: "B".into(),
        purpose: "CREDIT".into(),
        doc_type: None,
        from: Timestamp::from_millis(NOW),
        until: Timestamp::from_millis(until),
    }
}

#[tokio::test]
async fn a_viewer_is_shown_what_the_rules_share_and_what_it_was_shown_is_counted() {
    let (h, _) = attached(&[("CIQ", "440300")]);
    let (doc_id, _) = lodge(&h, &document("A-1")).await;
    let own = scope(&h, reader(Who::Enterprise, &caller().lodged_by, Ask::Unstated(None)));
    let shown = h.platform.show_to(&own, &doc_id).unwrap().unwrap();
    assert!(shown.masked.is_empty() && !shown.shared_by.is_empty());
    assert_eq!(shown.body, h.platform.show(&doc_id, None).unwrap().unwrap().body);
    assert!(h.platform.is_whole(&own, &doc_id, None).unwrap());
    let stranger = scope(&h, reader(Who::Enterprise, BANK, Ask::Stated(Purpose::Credit)));
    assert_eq!(h.platform.admitted(&stranger, &doc_id).unwrap(), Err(Denied::NotShared));
    assert!(h.platform.list(&Default::default(), &stranger).unwrap().items.is_empty());
    assert!(h.platform.show_to(&stranger, &doc_id).unwrap().unwrap().body.is_null());
    let agency = scope(&h, reader(Who::Agency, "CIQ", Ask::Stated(Purpose::Clearance)));
    let part = h.platform.show_to(&agency, &doc_id).unwrap().unwrap();
    assert!(part.body.get("port").is_none() && part.body.get("bill_no").is_some());
    assert!(part.item.client_ref.is_empty() && !h.platform.is_whole(&agency, &doc_id, None).unwrap());
    let tally = agency.viewer().unwrap().tally();
    assert!(tally.shown > 0 && tally.purposes.contains("CLEARANCE") && !tally.rules.is_empty());
    let other = scope(&h, reader(Who::Agency, "CIQ", Ask::Stated(Purpose::Credit)));
    assert_eq!(h.platform.admitted(&other, &doc_id).unwrap(), Err(Denied::OtherPurpose));
    assert_eq!(other.viewer().unwrap().tally().denied, 1);
    let sent = &inbox(&h.platform, "CIQ").await[0];
    assert!(sent.masked.is_empty() && sent.shared_by.len() == 1, "{sent:?}");
    let operator = scope(&h, reader(Who::Operator, "operator/a", Ask::Stated(Purpose::Support)));
    assert_eq!(h.platform.count(&Default::default(), &operator).unwrap(), 1);
    let silent = scope(&h, reader(Who::Operator, "operator/a", Ask::Unstated(None)));
    assert_eq!(h.platform.count(&Default::default(), &silent).unwrap(), 0);
}

#[tokio::test]
async fn a_consent_opens_documents_with_its_answer_and_closes_them_with_its_withdrawal() {
    let h = start(config());
    let (doc_id, _) = lodge(&h, &document("A-1")).await;
    let party = caller().lodged_by;
    let bank = || scope(&h, reader(Who::Enterprise, BANK, Ask::Stated(Purpose::Credit)));
    assert!(h.platform.admitted(&bank(), &doc_id).unwrap().is_err());
    assert!(h.platform.grant_consent(&party, offer(NOW - 1), "enterprise/x").await.is_err());
    let given = h.platform.grant_consent(&party, offer(NOW + 10_000), "enterprise/x").await.unwrap();
    let again = h.platform.grant_consent(&party, offer(NOW + 10_000), "enterprise/x").await.unwrap();
    assert_eq!((given.id.as_str(), h.platform.consents_of(&party).unwrap().len()), (again.id.as_str(), 1));
    assert_eq!(h.platform.consents_to(BANK).unwrap(), std::slice::from_ref(&given));
    assert!(h.platform.admitted(&bank(), &doc_id).unwrap().is_ok());
    assert_eq!(h.platform.list(&Default::default(), &bank()).unwrap().items.len(), 1);
    h.now.store(NOW + 10_000, Ordering::SeqCst);
    assert!(h.platform.admitted(&bank(), &doc_id).unwrap().is_err(), "its time is over");
    h.now.store(NOW, Ordering::SeqCst);
    assert!(h.platform.withdraw_consent(BANK, &given.id, "enterprise/y").await.unwrap().is_none());
    let ended = h.platform.withdraw_consent(&party, &given.id, "enterprise/x").await.unwrap().unwrap();
    assert!(ended.withdrawn_at.is_some());
    assert_eq!(h.platform.admitted(&bank(), &doc_id).unwrap(), Err(Denied::NotShared));
}

#[tokio::test]
async fn facts_come_once_in_the_order_of_the_journal_and_for_a_purpose_alone() {
    let (h, _) = attached(&[("CUS", "440300")]);
    let (doc_id, _) = lodge(&h, &document("A-1")).await;
    h.platform.give_receipt(receipt(&doc_id, "CUS", "R1", "01"), "gw").await.unwrap();
    let viewer = |purpose| {
        h.platform
            .viewer(reader(Who::Operator, "operator/a", Ask::Stated(purpose)), SharingAction::Export)
            .unwrap()
    };
    let all = h.platform.core_page(&viewer(Purpose::Statistics), Place::default(), 100).unwrap();
    let kinds: Vec<FactKind> = all.facts.iter().map(|f| f.kind).collect();
    assert!(kinds.starts_with(&[FactKind::Document]) && kinds.contains(&FactKind::State), "{kinds:?}");
    assert!(all.facts[0].body.get("bill_no").is_some() && !all.facts[0].rules.is_empty());
    assert!(kinds.contains(&FactKind::Milestone), "{kinds:?}");
    // In pieces it is the same.
    let (mut pieces, mut at) = (Vec::new(), Place::default());
    loop {
        let page = h.platform.core_page(&viewer(Purpose::Statistics), at, 1).unwrap();
        if page.at == at {
            break;
        }
        (at, pieces) = (page.at, [pieces, page.facts].concat());
    }
    assert_eq!(pieces, all.facts);
    let none = h.platform.core_page(&viewer(Purpose::Credit), Place::default(), 100).unwrap();
    assert!(none.facts.is_empty() && none.at == all.at, "it goes on all the same");
}
