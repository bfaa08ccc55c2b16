//! Receipts against a real life cycle: early, late, doubled in meaning, for old versions, unknown.

use eport_documents::pack::{AgencyState, Role};
use eport_documents::{DocumentType, Packs, State};
use eport_exchange::{Dispatch, Part, Receipt, ReceiptKind, judge};
use eport_model::{Digest, Timestamp};
use std::sync::Arc;

fn kind() -> Arc<DocumentType> {
    Packs::builtin().unwrap().get("arrival_report").unwrap().clone()
}

fn part(agency: &str, role: Role, version: u32) -> Part {
    Part {
        agency: agency.into(),
        role,
        state: AgencyState::Queued,
        message: Digest::of(agency.as_bytes()),
        digest: Digest::of(b"part"),
        bytes: 4,
        version,
        after: None,
        sent: true,
        at: None,
        row: Vec::new(),
    }
}

fn dispatch() -> Dispatch {
    let parts = vec![part("CUS", Role::Lead, 1), part("CIQ", Role::Optional, 1)];
    Dispatch { stage: Some("SUBMITTED".into()), parts }
}

fn receipt(agency: &str, code: &str, version: u32) -> Receipt {
    Receipt {
        agency: agency.into(),
        number: "R-1".into(),
        owner: "440100".parse().unwrap(),
        doc_id: "E20180000000000001".into(),
        doc_version: version,
        kind: ReceiptKind::Business,
        code: code.into(),
        text: String::new(),
        event_time: Timestamp::from_millis(0),
    }
}

fn after(codes: &[&str]) -> (Dispatch, Vec<(bool, &'static str)>) {
    let kind = kind();
    let (mut now, mut notes) = (dispatch(), Vec::new());
    for code in codes {
        let verdict = judge(&now, kind.life_cycle.as_ref(), 1, &receipt("CUS", code, 1)).unwrap();
        notes.push((verdict.applied, verdict.note));
        now = verdict.dispatch;
    }
    (now, notes)
}

#[test]
fn the_state_follows_the_receipts_and_moves_only_forward() {
    let (review, _) = after(&["02"]);
    assert_eq!((review.state(), review.stage.as_deref()), (State::InProcess, Some("MANUAL_REVIEW")));
    let (accepted, notes) = after(&["02", "01"]);
    assert_eq!((accepted.state(), notes), (State::Accepted, vec![(true, "moved"), (true, "moved")]));
    // Out of order: the late lower one is kept and changes nothing.
    let (late, notes) = after(&["01", "02"]);
    assert_eq!((late, notes[1]), (accepted.clone(), (false, "late")));
    let (rejected, _) = after(&["03"]);
    assert_eq!(rejected.state(), State::Rejected);
}

#[test]
fn a_receipt_of_an_optional_agency_never_holds_the_document_back() {
    let kind = kind();
    let cycle = kind.life_cycle.as_ref();
    let (accepted, _) = after(&["01"]);
    let verdict = judge(&accepted, cycle, 1, &receipt("CIQ", "9", 1)).unwrap();
    assert_eq!(
        (verdict.note, verdict.alert, verdict.dispatch.state()),
        ("unknown_code", true, State::Accepted)
    );
    assert_eq!(verdict.dispatch.parts[1].state, AgencyState::ManualReview);
    // A later unknown one takes an acceptance back neither.
    let verdict = judge(&accepted, cycle, 1, &receipt("CUS", "77", 1)).unwrap();
    assert_eq!((verdict.applied, verdict.alert), (false, true));
    assert_eq!(verdict.dispatch.state(), State::Accepted);
}

#[test]
fn technical_answers_and_notices_decide_nothing() {
    let kind = kind();
    let of = |k| {
        let receipt = Receipt { kind: k, ..receipt("CUS", "01", 1) };
        judge(&dispatch(), kind.life_cycle.as_ref(), 1, &receipt).unwrap()
    };
    let ack = of(ReceiptKind::TechAck);
    assert_eq!((ack.applied, ack.dispatch.state()), (true, State::InProcess));
    let nak = of(ReceiptKind::TechNak);
    assert_eq!((nak.applied, nak.alert, nak.dispatch.state()), (false, true, State::Dispatched));
    assert_eq!(of(ReceiptKind::Notice).note, "noted");
}

#[test]
fn an_old_version_is_kept_and_counts_only_where_the_agencys_part_did_not_change() {
    let kind = kind();
    let cycle = kind.life_cycle.as_ref();
    let mut second = dispatch();
    second.parts[0].version = 2;
    let verdict = judge(&second, cycle, 2, &receipt("CUS", "01", 1)).unwrap();
    assert_eq!((verdict.applied, verdict.note), (false, "old_version"));
    assert_eq!(verdict.dispatch, second);
    // The inspection's part is that of version 1 still.
    assert_eq!(judge(&second, cycle, 2, &receipt("CIQ", "9", 1)).unwrap().note, "unknown_code");
    assert_eq!(judge(&second, cycle, 2, &receipt("CUS", "01", 3)), Err("E-XCH-VERSION"));
}

#[test]
fn who_got_nothing_answers_nothing() {
    let kind = kind();
    let mut some = dispatch();
    some.parts[1].sent = false;
    for agency in ["MSA", "CIQ"] {
        let refused = judge(&some, kind.life_cycle.as_ref(), 1, &receipt(agency, "01", 1));
        assert_eq!(refused, Err("E-XCH-AGENCY"));
    }
}

#[test]
fn a_part_that_waits_for_a_state_is_due_when_the_state_is_reached() {
    let kind = kind();
    let mut waiting = dispatch();
    waiting.parts[1] = Part { after: Some("ACCEPTED".into()), sent: false, ..waiting.parts[1].clone() };
    let cycle = kind.life_cycle.as_ref();
    assert_eq!(judge(&waiting, cycle, 1, &receipt("CUS", "02", 1)).unwrap().released, Vec::<usize>::new());
    assert_eq!(judge(&waiting, cycle, 1, &receipt("CUS", "01", 1)).unwrap().released, [1]);
}

#[test]
fn a_receipt_with_broken_fields_is_told_all_of_them() {
    let bad = Receipt {
        number: "a|b".into(),
        code: String::new(),
        doc_version: 0,
        text: "x".repeat(513),
        ..receipt("CUS", "01", 1)
    };
    let paths: Vec<&str> = bad.faults().iter().map(|f| f.path).collect();
    assert_eq!(paths, ["/agency_receipt_no", "/code", "/text", "/doc_version"]);
    assert!(receipt("CUS", "01", 1).faults().is_empty());
}
