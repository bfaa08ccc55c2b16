//! What waits for a second person: named by the audit, seen before it is approved, entitled when it is carried out.

use super::*;

#[test]
fn accepted_loss_waits_for_another_person_and_the_audit_names_both() {
    let mut o = Office::new();
    let (ada, bo) = (o.person("ada"), o.person("bo"));
    let op = loss(&mut o.w);
    let id = waiting(o.by(&ada, op));
    assert_eq!(o.w.placement().state, PlacementState::Active, "nothing happened yet");
    let moved = o.decide(&bo, id, true).unwrap();
    assert!(matches!(moved, Outcome::Moved { joined: false, .. }));
    assert!(matches!(o.w.placement().state, PlacementState::Recovering { .. }));
    let approval = o.w.state.approval(id).unwrap();
    assert_eq!(approval.state, ApprovalState::Executed);
    let rows: Vec<&Audit> = o.w.state.audit().filter(|a| a.id == id).collect();
    let [opened, executed] = rows.as_slice() else { panic!("{rows:?}") };
    assert_eq!((opened.event, executed.event), (AuditEvent::Opened, AuditEvent::Executed));
    assert_eq!(
        (executed.first.by.as_str(), executed.first.serial.as_str()),
        ("operator/ada", ada.serial.as_str())
    );
    assert_eq!(executed.second.as_ref().unwrap().by, "operator/bo");
    assert!(executed.what.contains("region=440300") && executed.kind == statement::FAILOVER_WITH_LOSS);
    let movement = o.w.state.movement(move_id(&moved)).unwrap();
    assert_eq!(movement.by, "operator/ada", "carried out in the first person's name");
    assert_eq!(State::from_rows(o.w.stored.iter()).unwrap(), o.w.state);
}

#[test]
fn the_same_person_or_the_same_key_is_no_second_person() {
    let mut o = Office::new();
    let ada = o.person("ada");
    let op = loss(&mut o.w);
    let id = waiting(o.by(&ada, op));
    let other_card = o.person("ada");
    for person in [&ada, &other_card] {
        assert!(matches!(o.decide(person, id, true), Err(Refusal::SamePerson { .. })));
    }
    assert_eq!(o.w.placement().state, PlacementState::Active);
}

#[test]
fn what_is_approved_is_what_was_seen_and_only_while_it_waits() {
    let mut o = Office::new();
    let (ada, bo) = (o.person("ada"), o.person("bo"));
    let op = loss(&mut o.w);
    let id = waiting(o.by(&ada, op.clone()));
    let digest = eport_model::Digest::of(b"something else");
    let changed = Op::DecideApproval { approval: id, digest, approve: true };
    assert_eq!(o.by(&bo, changed), Err(Refusal::ApprovalChanged { id }));
    o.decide(&bo, id, false).unwrap();
    assert!(matches!(o.decide(&bo, id, true), Err(Refusal::ApprovalOver { .. })), "rejected");
    let id = waiting(o.by(&ada, op.clone()));
    o.w.now += DAY_MS + 1;
    assert!(matches!(o.decide(&bo, id, true), Err(Refusal::ApprovalOver { .. })), "expired");
    let id = waiting(o.by(&ada, op));
    o.by(&ada, stop(&o.w, true)).unwrap();
    let stale = o.decide(&bo, id, true).unwrap_err();
    assert!(matches!(stale, Refusal::VersionConflict { .. }), "the placement changed meanwhile: {stale:?}");
}

#[test]
fn the_first_person_must_still_be_entitled_when_the_second_one_approves() {
    let mut o = Office::new();
    let (ada, bo) = (o.person("ada"), o.person("bo"));
    let spare = o.person("ada");
    let op = loss(&mut o.w);
    let id = waiting(o.by(&ada, op));
    o.by(&spare, Op::Revoke { serial: ada.serial.clone(), reason: "stolen".into() }).unwrap();
    assert_eq!(fault(o.decide(&bo, id, true)), SignatureFault::Revoked);
}

#[test]
fn whoever_could_change_the_guards_alone_could_do_all_alone_so_they_need_two_persons() {
    let mut o = Office::new();
    let (ada, bo) = (o.person("ada"), o.person("bo"));
    let root = issuer(&o.city);
    for op in [
        Op::SetTwoPerson(false),
        set(OPERATOR_SIGNATURES, "optional"),
        set(TWO_PERSONS, ""),
        set(APPROVAL_LIFE_MS, "1"),
        listed("accomplice", &[OperatorRole::Approver]),
        root,
    ] {
        waiting(o.by(&ada, op));
    }
    assert!(o.w.state.signatures_required());
    let id = waiting(o.by(&ada, set(TWO_PERSONS, "platform.stop, table.publish")));
    o.decide(&bo, id, true).unwrap();
    waiting(o.by(&ada, stop(&o.w, true)));
    assert!(matches!(o.by(&ada, set(TWO_PERSONS, "no.such")), Err(Refusal::Invalid { .. })));
    // Not in the list any more: the list is the federation's choice.
    let op = loss(&mut o.w);
    o.by(&ada, op).unwrap();
}

#[test]
fn what_is_erased_for_ever_is_erased_by_two_persons() {
    let mut o = Office::new();
    let (ada, bo) = (o.person("ada"), o.person("bo"));
    let target = EraseTarget {
        record: eport_model::JournalIndex::from_u64(7),
        body: 0,
        digest: eport_model::Digest::of(b"personal"),
    };
    let region = region("440300");
    let erase = |reason: &str| Op::Erase {
        region,
        targets: vec![target],
        reason: reason.into(),
        authority: "order 7".into(),
    };
    let id = waiting(o.by(&ada, erase("a person asked")));
    assert!(o.w.state.erasure(region, &target).is_none(), "nothing goes before the second person");
    assert!(o.decide(&ada, id, true).is_err(), "the first person is no second one");
    o.decide(&bo, id, false).unwrap();
    assert!(o.w.state.erasure(region, &target).is_none());
    let id = waiting(o.by(&ada, erase("a person asked again")));
    o.decide(&bo, id, true).unwrap();
    assert_eq!(o.w.state.erasure(region, &target).unwrap().by, "operator/ada");
}

#[test]
fn the_second_operator_is_listed_by_the_first_alone_and_without_one_nothing_waits_for_ever() {
    let mut o = Office::new();
    o.w = World::with_platform();
    for op in [
        issuer(&o.province),
        listed("ada", &[OperatorRole::Administrator]),
        set(OPERATOR_SIGNATURES, "required"),
    ] {
        o.w.operator(op).unwrap();
    }
    let ada = o.person("ada");
    o.by(&ada, Op::SetTwoPerson(true)).unwrap();
    let op = loss(&mut o.w);
    assert_eq!(o.by(&ada, op.clone()), Err(Refusal::SecondPersonMissing));
    let mut out = BTreeSet::new();
    out.insert(OperatorRole::Approver);
    let demoted = Op::PutOperator(Operator {
        id: "ada".into(),
        name: String::new(),
        roles: out,
        suspended: false,
        since: Timestamp::default(),
    });
    assert!(matches!(o.by(&ada, demoted), Err(Refusal::Rule(_))), "the last administrator stays");
    o.by(&ada, listed("bo", &[OperatorRole::Approver])).unwrap();
    waiting(o.by(&ada, op));
    waiting(o.by(&ada, listed("eve", &[OperatorRole::Administrator])));
}
