//! Decisions, bodies under them, consents, the matrix page and the core data set, without any platform.
// Tests: an unwrap is an assertion, and the page is written where UPDATE=1 asks for it.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use eport_documents::{DocumentType, Packs};
use eport_model::{Epoch, JournalIndex, Timestamp};
use eport_sharing::core_data::{Fact, FactKind, Place, Tally, Token, id_of, resume};
use eport_sharing::{
    Ask, Consent, ConsentFault, Denied, Facts, Offer, Purpose, Reader, SharingAction, Stage, Who, YEAR_MS,
    cells, decide, page, show,
};
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::Arc;

fn kind(name: &str) -> Arc<DocumentType> {
    Packs::builtin().unwrap().get(name).unwrap().clone()
}

fn reader(who: Who, name: &str, ask: Ask) -> Reader {
    Reader { who, name: name.into(), mandate: false, in_charge: false, ask }
}

fn facts() -> Facts {
    Facts {
        lodged_by: "LODGER".into(),
        named: BTreeSet::new(),
        received: false,
        stage: Stage::At(None),
        at: Timestamp::from_millis(1_000),
    }
}

fn consent(purpose: &str, until: i64) -> Consent {
    Consent {
        id: "c1".into(),
        grantor: "LODGER".into(),
        offer: Offer {
            grantee: "BANK".into(),
            classes: "BC".into(),
            purpose: purpose.into(),
            doc_type: None,
            from: Timestamp::from_millis(0),
            until: Timestamp::from_millis(until),
        },
        granted_at: Timestamp::from_millis(0),
        withdrawn_at: None,
    }
}

#[test]
fn what_no_rule_allows_is_denied_and_the_owner_of_a_document_reads_it_whole() {
    let kind = kind("goods_declaration");
    let read = |r: &Reader, f: &Facts| decide(&kind, r, SharingAction::Read, f, &[]);
    let stranger = reader(Who::Enterprise, "OTHER", Ask::Unstated(None));
    assert_eq!(read(&stranger, &facts()), Err(Denied::NotShared));
    let own = read(&reader(Who::Enterprise, "LODGER", Ask::Unstated(None)), &facts()).unwrap();
    assert_eq!(own.classes_word(), "BCIP");
    // Whatever else it says it is for, its own is its own.
    assert!(read(&reader(Who::Enterprise, "LODGER", Ask::Stated(Purpose::Credit)), &facts()).is_ok());
    let named = Facts { named: ["trader_uscc".to_owned()].into(), ..facts() };
    assert_eq!(read(&stranger, &named).unwrap().classes_word(), "BC");
    let agent = Reader { mandate: true, ..reader(Who::Enterprise, "LODGER", Ask::Unstated(None)) };
    assert_eq!(read(&agent, &facts()).unwrap().classes_word(), "BCP");
}

#[test]
fn an_agency_and_an_operator_say_what_for_and_another_purpose_is_denied() {
    let kind = kind("goods_declaration");
    let sent = Facts { received: true, ..facts() };
    let read = |who: Who, name: &str, ask: Ask, f: &Facts| {
        decide(&kind, &reader(who, name, ask), SharingAction::Read, f, &[])
    };
    assert_eq!(read(Who::Agency, "CUS", Ask::Unstated(None), &sent), Err(Denied::PurposeNeeded));
    assert_eq!(read(Who::Agency, "CUS", Ask::Stated(Purpose::Credit), &sent), Err(Denied::OtherPurpose));
    let customs = read(Who::Agency, "CUS", Ask::Stated(Purpose::Risk), &sent).unwrap();
    assert_eq!((customs.classes_word().as_str(), customs.rules.len()), ("BCI", 1));
    assert_eq!(read(Who::Agency, "CUS", Ask::Stated(Purpose::Risk), &facts()), Err(Denied::NotShared));
    assert_eq!(read(Who::Operator, "operator/a", Ask::Unstated(None), &facts()), Err(Denied::PurposeNeeded));
    let support = read(Who::Operator, "operator/a", Ask::Stated(Purpose::Support), &facts()).unwrap();
    assert_eq!(support.classes_word(), "BP");
}

#[test]
fn a_rule_that_waits_for_a_state_holds_in_it_and_behind_it() {
    let kind = kind("goods_declaration");
    let terminal = Reader { in_charge: true, ..reader(Who::Agency, "TMN", Ask::Stated(Purpose::Clearance)) };
    let at = |stage: &str| {
        let facts = Facts { stage: Stage::At(Some(stage.into())), ..facts() };
        decide(&kind, &terminal, SharingAction::Read, &facts, &[]).is_ok()
    };
    assert!(!at("SUBMITTED") && at("RELEASED") && !at("NO_SUCH_STATE"));
}

#[test]
fn a_recipient_without_a_rule_of_its_own_gets_its_part_and_no_personal_data() {
    let kind = kind("goods_declaration");
    let trade = reader(Who::Agency, "MOC", Ask::Delivery);
    let sent = Facts { received: true, ..facts() };
    let decision = decide(&kind, &trade, SharingAction::ReceivePush, &sent, &[]).unwrap();
    assert_eq!(decision.classes_word(), "BCP");
    assert!(decision.rules[0].contains("distribution"));
}

#[test]
fn a_consent_opens_what_it_says_for_its_purpose_while_it_is_in_force() {
    let kind = kind("goods_declaration");
    let bank = |ask: Ask| reader(Who::Enterprise, "BANK", ask);
    let read = |ask: Ask, c: &Consent| {
        decide(&kind, &bank(ask), SharingAction::Read, &facts(), std::slice::from_ref(c))
    };
    let credit = Ask::Stated(Purpose::Credit);
    let given = consent("CREDIT", 2_000);
    let shared = read(credit, &given).unwrap();
    assert_eq!(shared.classes_word(), "BCP");
    assert_eq!(shared.rules, ["all.consent:c1"]);
    assert_eq!(read(Ask::Unstated(None), &given), Err(Denied::PurposeNeeded));
    assert_eq!(read(Ask::Stated(Purpose::Tax), &given), Err(Denied::OtherPurpose));
    assert_eq!(read(credit, &consent("CREDIT", 1_000)), Err(Denied::NotShared), "it is over");
    let withdrawn = Consent { withdrawn_at: Some(Timestamp::from_millis(900)), ..given.clone() };
    assert_eq!(read(credit, &withdrawn), Err(Denied::NotShared));
    let mut wide = given.clone();
    wide.offer.classes = "BCILK".into();
    assert_eq!(read(credit, &wide).unwrap().classes_word(), "BCP", "never I, L, K");
    let mut other = given;
    other.offer.doc_type = Some("another".into());
    assert_eq!(read(credit, &other), Err(Denied::NotShared));
}

#[test]
fn an_offer_is_judged_by_whom_what_for_and_how_long() {
    let now = Timestamp::from_millis(1_000);
    let good = consent("CREDIT", 2_000).offer;
    assert_eq!(good.judge("LODGER", now), Ok(()));
    let wrong = |change: fn(&mut Offer)| {
        let mut offer = good.clone();
        change(&mut offer);
        offer.judge("LODGER", now).unwrap_err()
    };
    assert_eq!(wrong(|o| o.grantee = "LODGER".into()), ConsentFault::Grantee);
    assert_eq!(wrong(|o| o.grantee = "a/b".into()), ConsentFault::Grantee);
    for classes in ["", "I", "BL", "K", "BB", "b"] {
        let offer = Offer { classes: classes.into(), ..good.clone() };
        assert_eq!(offer.judge("LODGER", now), Err(ConsentFault::Classes), "{classes}");
    }
    assert_eq!(wrong(|o| o.purpose = "OWN".into()), ConsentFault::Purpose);
    assert_eq!(wrong(|o| o.purpose = "FUN".into()), ConsentFault::Purpose);
    assert_eq!(wrong(|o| o.until = Timestamp::from_millis(1_000)), ConsentFault::Period);
    assert_eq!(wrong(|o| o.until = Timestamp::from_millis(YEAR_MS + 1)), ConsentFault::Period);
    assert_eq!(wrong(|o| o.from = Timestamp::from_millis(2_000)), ConsentFault::Period);
    assert_eq!(consent("CREDIT", 2_000).state(now), "active");
}

#[test]
fn what_is_kept_back_is_listed_with_its_class_and_what_is_masked_with_its_function() {
    let kind = kind("manifest_original");
    let body = json!({
        "means_id": "UN9074729", "invented": 1,
        "bills": [{ "master_bill": "A1", "consignee": "Li Wen", "value": "10.00" },
                  { "master_bill": "A2", "consignee": "许文明" }],
    });
    let layers: [&[eport_documents::Field]; 1] = [&kind.fields];
    let terminal = Reader { in_charge: true, ..reader(Who::Agency, "TMN", Ask::Stated(Purpose::Clearance)) };
    let decision = decide(&kind, &terminal, SharingAction::Read, &facts(), &[]).unwrap();
    let shown = show(&layers, &body, &decision);
    assert_eq!(shown.body["bills"][0]["consignee"], "L* W**");
    assert_eq!(shown.body["bills"][1]["consignee"], "许**");
    assert!(shown.body.get("invented").is_none());
    let listed: Vec<(&str, &str)> = shown.masked.iter().map(|m| (m.path.as_str(), m.how.as_str())).collect();
    assert!(listed.contains(&("bills.consignee", "mask_name")) && listed.contains(&("invented", "withheld")));
    let ships = reader(Who::Agency, "MSA", Ask::Stated(Purpose::Clearance));
    let sent = Facts { received: true, ..facts() };
    let decision = decide(&kind, &ships, SharingAction::Read, &sent, &[]).unwrap();
    let shown = show(&layers, &body, &decision);
    assert!(
        shown.body["bills"][0].get("consignee").is_none() && shown.body["bills"][0]["master_bill"] == "A1"
    );
    let kept = shown.masked.iter().find(|m| m.path == "bills.consignee").unwrap();
    assert_eq!((kept.class.as_str(), kept.how.as_str()), ("C", "withheld"));
    assert!(kept.reason.contains("class C"));
    let own = reader(Who::Enterprise, "LODGER", Ask::Unstated(None));
    let own = decide(&kind, &own, SharingAction::Read, &facts(), &[]).unwrap();
    let mut whole = body.clone();
    whole.as_object_mut().unwrap().remove("invented");
    assert_eq!(show(&layers, &whole, &own), eport_sharing::Shown { body: whole, masked: Vec::new() });
}

#[test]
fn the_cross_read_matrix_has_no_way_to_enforcement_data_or_keys_and_none_for_strangers() {
    for kind in Packs::builtin().unwrap().types() {
        for cell in cells(kind) {
            let denied = cell.shown == "denied";
            let words: Vec<&str> = cell.shown.split(';').next().unwrap().split(' ').collect();
            assert!(!words.contains(&"K"), "{cell:?}");
            // Enforcement data is the owning agency's only.
            let agency = cell.who.chars().next().is_some_and(|c| c.is_ascii_uppercase());
            assert!(agency || !words.contains(&"L"), "{cell:?}");
            if cell.who == "any other enterprise" {
                assert!(denied, "{cell:?}");
            }
            if cell.who == "who lodged it" && cell.action == "read" {
                assert!(!denied, "{cell:?}");
            }
            // An agency that has nothing to do with it, and says nothing, reads nothing.
            if cell.who.ends_with("neither") && (cell.purpose == "unstated" || cell.action == "receive_push")
            {
                assert!(denied, "{cell:?}");
            }
            if cell.who == "an operator" && cell.action == "read" {
                let fault = matches!(cell.purpose, "SUPPORT" | "TIMELINESS");
                assert_eq!(denied, !fault, "{cell:?}");
            }
            if cell.who.starts_with("an enterprise with consent") && cell.action == "read" {
                assert!(!words.contains(&"I"), "{cell:?}");
            }
        }
    }
}

#[test]
fn the_page_of_the_matrix_is_in_step() {
    let here = std::env::var_os("CARGO_MANIFEST_DIR").unwrap();
    let path = std::path::Path::new(&here).join("../../docs/reference/sharing.md");
    let made = page(&Packs::builtin().unwrap());
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    let stands = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(stands == made, "docs/reference/sharing.md is stale: UPDATE=1 cargo test -p eport-sharing");
}

fn place(epoch: u64, index: u64) -> Place {
    Place { epoch: Epoch::from_u64(epoch), index: JournalIndex::from_u64(index) }
}

#[test]
fn a_token_names_a_place_of_each_platform_and_what_is_none_is_refused() {
    let token =
        Token([("440100".parse().unwrap(), place(2, 57)), ("440000".parse().unwrap(), place(1, 9))].into());
    assert_eq!(token.to_string(), "440000-1-9_440100-2-57");
    assert_eq!(token.to_string().parse::<Token>(), Ok(token));
    assert_eq!("".parse::<Token>(), Ok(Token::default()));
    for bad in ["x", "440100", "440100-1", "440100-1-2-3", "440100-1--2", "440100-1-2_440100-1-3", "1-1-1"] {
        assert!(bad.parse::<Token>().is_err(), "{bad}");
    }
}

#[test]
fn a_reader_goes_on_after_a_switchover_and_is_taken_back_to_the_fork_after_a_loss() {
    // Records 1 to 5 of epoch 1, then epoch 2.
    let now = |i: JournalIndex| -> Result<Option<Epoch>, ()> {
        Ok(match i.as_u64() {
            1..=5 => Some(Epoch::from_u64(1)),
            6..=9 => Some(Epoch::from_u64(2)),
            _ => None,
        })
    };
    let at = |epoch: u64, index: u64| resume(place(epoch, index), now).unwrap();
    assert_eq!(at(0, 0), (JournalIndex::ZERO, false));
    assert_eq!(at(1, 5), (JournalIndex::from_u64(5), false));
    assert_eq!(at(2, 8), (JournalIndex::from_u64(8), false));
    // It has read record 7 of epoch 1, which was lost: 6 and 7 are void.
    assert_eq!(at(1, 7), (JournalIndex::from_u64(5), true));
    assert_eq!(at(1, 40), (JournalIndex::from_u64(5), true));
    assert_eq!(at(3, 12), (JournalIndex::from_u64(9), true));
}

fn fact(platform: &str, at: Place, kind: FactKind) -> Fact {
    let platform = platform.parse().unwrap();
    Fact {
        id: id_of(platform, at, 0),
        platform,
        epoch: at.epoch,
        index: at.index,
        time: String::new(),
        kind,
        doc_id: None,
        doc_version: Some(1),
        doc_type: Some("a".into()),
        state: None,
        milestone: None,
        subjects: Vec::new(),
        happened_at: None,
        body: json!(null),
        masked: Vec::new(),
        rules: Vec::new(),
        void_after: None,
    }
}

#[test]
fn the_figures_of_the_province_are_the_sum_of_the_cities_without_what_was_lost() {
    let mut facts = Vec::new();
    for index in 1..=4 {
        facts.push(fact("440100", place(1, index), FactKind::Document));
        facts.push(fact("440300", place(1, index), FactKind::Document));
    }
    facts.push(Fact { void_after: Some(2), ..fact("440100", place(2, 2), FactKind::Rewound) });
    facts.push(fact("440100", place(2, 3), FactKind::Document));
    let milestone = fact("440300", place(1, 5), FactKind::Milestone);
    facts.push(Fact { milestone: Some("E03".into()), ..milestone });
    let mut tally = Tally::default();
    facts.iter().for_each(|f| tally.see(f));
    facts.iter().for_each(|f| tally.count(f));
    let of = |region: &str| tally.platforms[&region.parse().unwrap()].documents["a"];
    assert_eq!((of("440100"), of("440300"), tally.void, tally.repeated), (3, 4, 2, 0));
    let whole = tally.whole();
    assert_eq!((whole.documents["a"], whole.milestones["E03"]), (7, 1));
    let mut ids: Vec<&str> = facts.iter().map(|f| f.id.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), facts.len());
}
