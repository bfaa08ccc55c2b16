//! Moves in the registry: who may commit what, what an epoch commit leaves behind.

use crate::common;
use common::*;
use eport_model::Epoch;
use eport_registry::*;

#[test]
fn only_the_old_primary_commits_a_switchover_and_everyone_may_abort_it() {
    let mut w = World::with_platform();
    let id = w.open("gz-a-1").unwrap();
    let (version, region) = (w.version(), region("440300"));
    let commit = |version| Op::CommitSwitch {
        region,
        version,
        move_id: id,
        start: at(1, 9),
        in_sync: vec![node("gz-c-1")],
    };
    for by in ["gz-a-1", "gz-c-1", "gz-a-2"] {
        assert!(matches!(w.by_node(node(by), commit(version)), Err(Refusal::NotEntitled { .. })), "{by}");
    }
    assert!(matches!(w.operator(commit(version)), Err(Refusal::NotEntitled { .. })));
    assert!(matches!(w.in_sync_add("gz-a-1"), Err(Refusal::MoveUnderWay { .. })));
    let abort = Op::AbortMove { region, version, move_id: id, reason: "target slow".into() };
    w.by_node(node("gz-a-1"), abort).unwrap();
    let ended = w.state.movement(id).unwrap();
    assert_eq!((ended.state, ended.ended_reason.as_str()), (MoveState::Aborted, "target slow"));
    assert_eq!((w.placement().epoch, w.placement().primary), (Epoch::INITIAL, node("sz-a-1")));
    assert!(matches!(w.by_node(node("sz-a-1"), commit(version)), Err(Refusal::VersionConflict { .. })));
}

#[test]
fn a_committed_switchover_makes_the_old_primary_an_in_sync_backup_and_drops_who_did_not_acknowledge() {
    let mut w = World::with_platform();
    let id = w.open("gz-a-1").unwrap();
    let (version, region) = (w.version(), region("440300"));
    let op = Op::CommitSwitch { region, version, move_id: id, start: at(1, 9), in_sync: vec![] };
    w.by_node(node("sz-a-1"), op).unwrap();
    let p = w.placement();
    assert_eq!(
        (p.epoch, p.primary, p.start, p.version),
        (Epoch::from_u64(2), node("gz-a-1"), at(1, 9), version + 1)
    );
    assert!(p.backup(node("sz-a-1")).unwrap().in_sync);
    assert!(!p.backup(node("gz-c-1")).unwrap().in_sync);
    assert_eq!((p.start_k, p.proven_k), (1, 1));
    assert_eq!(p.history.len(), 2);
    let m = w.state.movement(id).unwrap();
    assert_eq!(
        (m.state, m.epoch_before, m.epoch_after),
        (MoveState::Done, Epoch::INITIAL, Some(Epoch::from_u64(2)))
    );
    let (old, new) = (w.state.number_blocks(region, Epoch::INITIAL), w.state.number_blocks(region, p.epoch));
    assert_eq!((old.len(), new.len(), new[0].start), (1, 1, old[0].end()), "two epochs never share a number");
}

#[test]
fn a_reserved_failover_freezes_the_in_sync_set_of_the_old_epoch() {
    let mut w = World::with_platform();
    let version = w.version();
    let id = move_id(&w.reserve(version, None, false).unwrap());
    assert!(matches!(w.in_sync_add("gz-c-1"), Err(Refusal::MoveUnderWay { .. })));
    assert!(matches!(w.in_sync_remove("gz-c-1"), Err(Refusal::MoveUnderWay { .. })));
    assert!(matches!(w.proven(1), Err(Refusal::MoveUnderWay { .. })));
    assert!(w.set_policy(policy(DurabilityMode::Sync, 1), sync(&["gz-a-1"])).is_err());
    w.commit_failover(id, "gz-a-1", at(1, 9), &["gz-a-1", "gz-c-1"]).unwrap();
    let p = w.placement();
    assert_eq!((p.epoch, p.primary, p.start_k, p.proven_k), (Epoch::from_u64(2), node("gz-a-1"), 1, 1));
    assert!(!p.backup(node("sz-a-1")).unwrap().in_sync, "the old primary may hold a diverged tail");
    assert!(p.backup(node("gz-c-1")).unwrap().in_sync);
}

#[test]
fn a_failover_without_enough_sealed_answers_needs_the_loss_to_be_accepted() {
    let mut w = World::with_platform();
    let version = w.version();
    let id = move_id(&w.reserve(version, None, false).unwrap());
    let refused = w.commit_failover(id, "gz-a-1", at(1, 9), &["gz-a-1"]);
    assert_eq!(refused, Err(Refusal::SealQuorum { region: region("440300"), have: 1, need: 2 }));
    let joined = w.reserve(version, None, true).unwrap();
    assert!(matches!(joined, Outcome::Moved { move_id, joined: true, .. } if move_id == id));
    let m = w.state.movement(id).unwrap();
    assert!(
        m.accept_data_loss
            && m.steps.iter().any(|s| s.name == "accept_data_loss" && s.by == "operator/admin")
    );
    w.commit_failover(id, "gz-a-1", at(1, 9), &["gz-a-1"]).unwrap();
    assert_eq!((w.placement().start_k, w.placement().proven_k), (0, 0));
}

#[test]
fn the_old_primary_s_seal_proves_as_much_as_any_quorum() {
    let mut w = World::with_platform();
    let version = w.version();
    let id = move_id(&w.reserve(version, None, false).unwrap());
    w.commit_failover(id, "gz-a-1", at(1, 9), &["gz-a-1", "sz-a-1"]).unwrap();
}

#[test]
fn a_failover_planned_on_an_older_version_joins_the_one_that_was_faster() {
    let mut w = World::with_platform();
    let version = w.version();
    let id = move_id(&w.reserve(version, None, false).unwrap());
    let again = w.reserve(version, None, false).unwrap();
    assert!(matches!(again, Outcome::Moved { move_id, joined: true, .. } if move_id == id));
    w.commit_failover(id, "gz-a-1", at(1, 9), &["gz-a-1", "gz-c-1"]).unwrap();
    let after = w.reserve(version, None, false).unwrap();
    assert!(
        matches!(after, Outcome::Moved { move_id, joined: true, epoch, .. } if move_id == id && epoch == Epoch::from_u64(2))
    );
    let fresh = w.reserve(w.version(), None, false).unwrap();
    assert!(matches!(fresh, Outcome::Moved { joined: false, epoch, .. } if epoch == Epoch::from_u64(3)));
}

#[test]
fn a_named_target_must_be_the_one_committed() {
    let mut w = World::with_platform();
    let version = w.version();
    let id = move_id(&w.reserve(version, Some("gz-c-1"), false).unwrap());
    assert!(w.commit_failover(id, "gz-a-1", at(1, 9), &["gz-a-1", "gz-c-1"]).is_err());
    w.commit_failover(id, "gz-c-1", at(1, 9), &["gz-a-1", "gz-c-1"]).unwrap();
}

#[test]
fn a_failover_may_override_a_switchover_and_never_reuses_an_epoch() {
    let mut w = World::with_platform();
    let planned = w.open("gz-a-1").unwrap();
    let version = w.version();
    let id = move_id(&w.reserve(version, None, false).unwrap());
    assert_eq!(w.state.movement(planned).unwrap().state, MoveState::Aborted);
    let region = region("440300");
    let fail = Op::FailMove {
        region,
        version: w.version(),
        move_id: id,
        reason: "silence".into(),
        missing: vec![node("gz-c-1")],
    };
    w.by_node(node("gz-a-2"), fail).unwrap();
    assert!(matches!(w.placement().state, PlacementState::Recovering { .. }), "it stays recovering");
    assert_eq!(w.state.movement(id).unwrap().missing, [node("gz-c-1")]);
    let next = w.reserve(w.version(), None, false).unwrap();
    assert!(matches!(next, Outcome::Moved { joined: false, epoch, .. } if epoch == Epoch::from_u64(3)));
    let op = Op::ConfirmOldPrimary {
        region,
        version: w.version(),
        move_id: move_id(&next),
        start: at(1, 9),
        in_sync: vec![node("gz-a-1")],
    };
    w.by_node(node("gz-a-2"), op).unwrap();
    let p = w.placement();
    assert_eq!((p.epoch, p.primary, p.state), (Epoch::from_u64(3), node("sz-a-1"), PlacementState::Active));
    assert_eq!(w.state.movement(move_id(&next)).unwrap().state, MoveState::Aborted);
}

#[test]
fn an_exported_tail_is_named_by_the_move_that_left_it() {
    let mut w = World::with_platform();
    let version = w.version();
    let id = move_id(&w.reserve(version, None, false).unwrap());
    w.commit_failover(id, "gz-a-1", at(1, 9), &["gz-a-1", "gz-c-1"]).unwrap();
    let tail = Tail {
        region: region("440300"),
        epoch: Epoch::INITIAL,
        fork: at(1, 9),
        last: at(1, 12),
        node: node("sz-a-1"),
        digest: eport_model::Digest::of(b"tail"),
        state: TailState::Exported,
        discarded: Vec::new(),
        at: eport_model::Timestamp::default(),
    };
    assert!(w.by_node(node("gz-a-1"), Op::RecordTail(tail.clone())).is_err(), "only its own node records it");
    w.by_node(node("sz-a-1"), Op::RecordTail(tail.clone())).unwrap();
    assert_eq!(w.state.movement(id).unwrap().exported_tail, Some("tail-440300-1-9-12-sz-a-1".to_owned()));
    let resolved = Op::SetTailState { tail: tail.id(), state: TailState::Resolved };
    w.by_node(node("gz-a-1"), resolved).unwrap();
    assert!(w.operator(Op::SetTailState { tail: tail.id(), state: TailState::Discarded }).is_err());
}

#[test]
fn records_of_a_tail_are_discarded_by_an_operator_with_a_reason_one_by_one_or_all_that_are_left() {
    let mut w = World::with_platform();
    let tail = Tail {
        region: region("440300"),
        epoch: Epoch::INITIAL,
        fork: at(1, 9),
        last: at(1, 12),
        node: node("sz-a-1"),
        digest: eport_model::Digest::of(b"tail"),
        state: TailState::Exported,
        discarded: Vec::new(),
        at: eport_model::Timestamp::default(),
    };
    w.by_node(node("sz-a-1"), Op::RecordTail(tail.clone())).unwrap();
    let discard = |records: &[u64], reason: &str| Op::DiscardTail {
        tail: tail.id(),
        records: records.iter().map(|n| eport_model::JournalIndex::from_u64(*n)).collect(),
        reason: reason.into(),
    };
    assert!(w.by_node(node("sz-a-1"), discard(&[10], "why")).is_err(), "a person decides");
    assert!(w.operator(discard(&[10], "  ")).is_err(), "a reason is needed");
    assert!(w.operator(discard(&[9], "why")).is_err(), "the fork stays");
    assert!(w.operator(discard(&[13], "why")).is_err());
    w.operator(discard(&[12, 10], "sent twice")).unwrap();
    let known = w.state.tail(&tail.id()).unwrap().clone();
    let index = eport_model::JournalIndex::from_u64;
    assert_eq!((known.state, known.discarded.clone()), (TailState::Exported, vec![index(10), index(12)]));
    assert!(known.is_discarded(index(10)) && !known.is_discarded(index(11)));
    w.operator(discard(&[], "the trader withdrew them")).unwrap();
    let known = w.state.tail(&tail.id()).unwrap();
    assert!(known.state == TailState::Discarded && known.is_discarded(index(11)));
    assert!(w.operator(discard(&[11], "again")).is_err());
}
