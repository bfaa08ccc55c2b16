//! Nodes, revocations, tables, numbers, idempotency, replay.

use crate::common;
use common::*;
use eport_model::{Digest, Epoch, Timestamp};
use eport_registry::*;

#[test]
fn nothing_is_accepted_before_the_federation_is_founded() {
    let mut w = World::default();
    assert_eq!(w.operator(Op::SetTwoPerson(true)), Err(Refusal::NotFounded));
}

#[test]
fn a_command_applied_twice_takes_effect_once_and_its_id_serves_no_other() {
    let mut w = World::with_platform();
    let version = w.version();
    let command =
        w.command("operator/admin", Op::SetStopped { region: region("440300"), version, stopped: true });
    let first = w.apply(&command);
    let digest = w.state.digest();
    assert_eq!(w.apply(&command), first);
    assert_eq!(w.state.digest(), digest);
    let other = Command { op: Op::SetTwoPerson(true), ..command };
    assert!(matches!(w.apply(&other), Err(Refusal::IdReused(_))));
}

#[test]
fn outcomes_are_forgotten_oldest_first_beyond_the_bound() {
    let mut w = World::founded(Mode::Dev);
    let set = || Op::SetSetting(Setting { name: "publish_lead_ms".into(), value: "1".into() });
    let first = w.command("operator/admin", set());
    w.apply(&first).unwrap();
    for i in 0..OUTCOMES_KEPT {
        assert!(w.state.outcome(first.id).is_some(), "{i}");
        w.operator(set()).unwrap();
    }
    assert!(w.state.outcome(first.id).is_none());
    assert_eq!(w.stored.keys().filter(|k| k[0] == 13).count(), OUTCOMES_KEPT, "the rows are deleted too");
}

#[test]
fn a_node_with_duties_is_not_removed_and_a_removed_id_is_never_used_again() {
    let mut w = World::with_platform();
    let remove = |id| Op::SetNodeState { node: node(id), state: NodeState::Removed };
    assert!(matches!(w.operator(remove("sz-a-1")), Err(Refusal::NodeInUse { .. })));
    assert!(matches!(w.operator(remove("gz-a-1")), Err(Refusal::NodeInUse { .. })));
    w.operator(remove("gz-a-2")).unwrap();
    assert!(w.operator(Op::SetNodeState { node: node("gz-a-2"), state: NodeState::Up }).is_err());
    assert!(w.operator(Op::AddNode(new_node("gz-a-2", "gz-a", "440000"))).is_err());
}

#[test]
fn with_a_node_goes_its_certificate_but_not_the_only_key_of_a_ca_nor_records_that_nobody_decided_on() {
    let remove = |id| Op::SetNodeState { node: node(id), state: NodeState::Removed };
    // The certificate.
    let mut w = World::with_platform();
    let change = NodeChange { cert_serial: Some("01ab".into()), ..NodeChange::default() };
    w.operator(Op::UpdateNode { node: node("gz-a-2"), change }).unwrap();
    w.operator(remove("gz-a-2")).unwrap();
    assert!(w.state.revocation("01ab").is_some());
    assert_eq!(w.state.node(node("gz-a-2")).unwrap().state, NodeState::Removed);
    // A failover leaves the old primary behind; once no placement names it, what it holds is still unknown.
    let mut w = World::with_platform();
    let version = w.version();
    let moved = move_id(&w.reserve(version, None, false).unwrap());
    w.commit_failover(moved, "gz-a-1", at(1, 9), &["gz-a-1", "gz-c-1"]).unwrap();
    w.set_policy(policy(DurabilityMode::Async, 0), vec![]).unwrap();
    let old = node("sz-a-1");
    let against = w.state.removal_obstacles(old);
    let unknown =
        RemovalObstacle::TailUnknown { region: region("440300"), epoch: eport_model::Epoch::from_u64(1) };
    assert_eq!(against, std::slice::from_ref(&unknown), "an operator may declare that lost");
    assert!(unknown.may_be_declared_lost());
    // One that comes back and is level has left nothing behind that is not known.
    let mut back = World::with_platform();
    let version = back.version();
    let again = move_id(&back.reserve(version, None, false).unwrap());
    back.commit_failover(again, "gz-a-1", at(1, 9), &["gz-a-1", "gz-c-1"]).unwrap();
    let (r, version) = (region("440300"), back.version());
    back.by_node(node("gz-a-1"), Op::InSyncAdd { region: r, version, node: old }).unwrap();
    back.set_policy(policy(DurabilityMode::Async, 0), vec![]).unwrap();
    let version = back.version();
    back.by_node(node("gz-a-1"), Op::InSyncRemove { region: r, version, node: old }).unwrap();
    assert_eq!(back.state.removal_obstacles(old), []);
    let tail = Tail {
        region: region("440300"),
        epoch: eport_model::Epoch::from_u64(1),
        fork: at(1, 9),
        last: at(1, 12),
        node: old,
        digest: eport_model::Digest::of(b"tail"),
        state: TailState::Exported,
        discarded: vec![],
        at: eport_model::Timestamp::from_millis(0),
    };
    w.operator(Op::RecordTail(tail.clone())).unwrap();
    assert_eq!(w.state.removal_obstacles(old), [RemovalObstacle::TailWaits(tail.id())]);
    assert!(matches!(w.operator(remove("sz-a-1")), Err(Refusal::NodeInUse { .. })));
    w.operator(Op::SetTailState { tail: tail.id(), state: TailState::Resolved }).unwrap();
    // The last node of a region whose CA has its key there alone.
    let issuer = Issuer {
        key_id: eport_model::Digest::of(b"ca").to_string(),
        name: "city".into(),
        platform: Some(region("440300")),
        certificate: vec![1],
        state: IssuerState::Active,
        since_epoch: eport_model::Epoch::from_u64(1),
    };
    w.operator(Op::PutIssuer(issuer.clone())).unwrap();
    assert_eq!(w.state.removal_obstacles(old), [RemovalObstacle::CaKey(region("440300"))]);
    w.operator(Op::PutIssuer(Issuer { state: IssuerState::Retired, ..issuer })).unwrap();
    assert_eq!(w.state.removal_obstacles(old), []);
    w.operator(remove("sz-a-1")).unwrap();
}

#[test]
fn a_node_whose_certificate_is_revoked_is_no_member_until_it_has_another() {
    let mut w = World::with_platform();
    let change = NodeChange { cert_serial: Some("01ab".into()), ..NodeChange::default() };
    let update = Op::UpdateNode { node: node("sz-a-1"), change };
    assert!(w.by_node(node("sz-a-1"), update.clone()).is_err(), "a node does not name its own certificate");
    w.operator(update).unwrap();
    w.operator(Op::Revoke { serial: "01ab".into(), reason: "key lost".into() }).unwrap();
    assert!(!w.state.is_member(node("sz-a-1")));
    assert!(matches!(w.proven(1), Err(Refusal::NotEntitled { .. })));
    let up = Op::SetNodeState { node: node("sz-a-1"), state: NodeState::Up };
    assert!(w.operator(up.clone()).is_err());
    let change = NodeChange { cert_serial: Some("01ac".into()), ..NodeChange::default() };
    w.operator(Op::UpdateNode { node: node("sz-a-1"), change }).unwrap();
    w.operator(up).unwrap();
}

#[test]
fn a_member_brings_the_node_that_an_operator_invited_and_no_other() {
    let mut w = World::with_platform();
    let member = node("gz-a-1");
    let new = |id: &str, site: &str| Op::AddNode(new_node(id, site, "440000"));
    assert!(w.by_node(member, new("gz-a-7", "gz-a")).is_err(), "nobody was invited");
    let invite = |until: i64| {
        let expires = Timestamp::from_millis(until);
        let invitation = Invitation { site: "gz-a".parse().unwrap(), region: region("440000"), expires };
        Op::SetSetting(invitation.setting(node("gz-a-7")))
    };
    assert!(w.by_node(member, invite(i64::MAX)).is_err(), "a node invites nobody");
    w.operator(invite(i64::MAX)).unwrap();
    assert!(w.by_node(member, new("gz-a-8", "gz-a")).is_err(), "another node");
    assert!(w.by_node(member, new("gz-a-7", "sz-a")).is_err(), "another site");
    assert!(w.by_node(node("gz-a-7"), new("gz-a-7", "gz-a")).is_err(), "not even itself: it is no member");
    w.operator(invite(-1)).unwrap();
    assert!(w.by_node(member, new("gz-a-7", "gz-a")).is_err(), "too late");
    w.operator(invite(i64::MAX)).unwrap();
    w.by_node(member, new("gz-a-7", "gz-a")).unwrap();
    assert!(w.state.is_member(node("gz-a-7")));
    let moved = Node { quic: "10.0.0.9:1".into(), ..new_node("gz-a-7", "gz-a", "440000") };
    assert!(w.by_node(member, Op::AddNode(moved)).is_err(), "an invitation is good for one node once");
}

fn publish(w: &mut World, version: u64, effective: Option<i64>) -> Result<Outcome, Refusal> {
    w.operator(Op::PublishTable {
        table: "440000/ports".parse().unwrap(),
        version,
        root: Digest::of(&version.to_be_bytes()),
        rows: 3,
        effective: effective.map(Timestamp::from_millis),
        schema: "{}".into(),
        report: "{}".into(),
    })
}

#[test]
fn table_versions_rise_without_gaps() {
    let mut w = World::founded(Mode::Dev);
    assert!(publish(&mut w, 2, None).is_err());
    publish(&mut w, 1, None).unwrap();
    assert!(matches!(publish(&mut w, 1, None), Err(Refusal::VersionConflict { .. })));
    publish(&mut w, 2, None).unwrap();
}

#[test]
fn a_draft_is_staged_by_a_member_and_gone_once_it_is_published_or_an_hour_old() {
    let mut w = World::with_platform();
    let table: TableId = "440000/ports".parse().unwrap();
    let stage = |version: u64| Op::StageTable {
        table: table.clone(),
        version,
        root: Digest::of(&version.to_be_bytes()),
    };
    assert!(w.operator(stage(1)).is_err(), "only a node has the content");
    assert!(w.by_node(node("gz-a-1"), stage(2)).is_err(), "only the next version");
    w.by_node(node("gz-a-1"), stage(1)).unwrap();
    assert_eq!(w.state.drafts().next().unwrap().by, node("gz-a-1"));
    assert_eq!(w.state.catalogs().collect::<Vec<_>>(), [&table], "a catalog of drafts is one too");
    publish(&mut w, 1, None).unwrap();
    assert_eq!(w.state.drafts().count(), 0);
    assert_eq!(w.state.table_newest(&table).unwrap().origin, Some(node("gz-a-1")));
    w.by_node(node("gz-a-1"), stage(2)).unwrap();
    w.now += 3_700_000;
    let pack: TableId = "pack:440000/ports".parse().unwrap();
    assert_eq!(pack.to_string(), "pack:440000/ports");
    let other = Op::StageTable { table: pack.clone(), version: 1, root: Digest::of(b"pack") };
    w.by_node(node("gz-a-1"), other).unwrap();
    assert_eq!(
        w.state.drafts().map(|d| d.catalog.clone()).collect::<Vec<_>>(),
        [pack],
        "old ones are forgotten"
    );
    let rebuilt = State::from_rows(w.state.rows()).unwrap();
    assert_eq!(rebuilt.digest(), w.state.digest());
}

#[test]
fn a_version_in_force_stays_a_coming_one_is_taken_back_and_a_former_one_gives_up_its_content() {
    let mut w = World::founded(Mode::Production);
    let table: TableId = "440000/ports".parse().unwrap();
    let now = w.now;
    publish(&mut w, 1, Some(now - 1_000)).unwrap();
    publish(&mut w, 2, Some(now - 500_000)).unwrap();
    publish(&mut w, 3, None).unwrap();
    let mut retire = |version| {
        w.operator(Op::RetireTable { table: "440000/ports".parse().unwrap(), version, reason: "test".into() })
    };
    assert!(retire(1).is_err(), "it is in force");
    assert!(matches!(retire(9), Err(Refusal::NotFound { .. })));
    retire(2).unwrap();
    retire(3).unwrap();
    retire(3).unwrap();
    let at = |ms| w.state.table_as_of(&table, Timestamp::from_millis(ms)).unwrap();
    assert_eq!(at(now + 10 * 86_400_000).version, 1, "what was taken back never takes effect");
    let former = at(now - 400_000);
    assert_eq!((former.version, former.keeps_content()), (2, false), "no other version answers for it");
}

#[test]
fn in_production_a_version_takes_effect_after_the_lead_unless_it_is_first_or_history() {
    let mut w = World::founded(Mode::Production);
    let now = w.now;
    publish(&mut w, 1, Some(now - 86_400_000)).unwrap();
    assert!(matches!(publish(&mut w, 2, Some(now)), Err(Refusal::EffectivePast { .. })));
    assert!(matches!(publish(&mut w, 2, Some(now + 300_000)), Err(Refusal::EffectivePast { .. })));
    publish(&mut w, 2, Some(now - 2 * 86_400_000)).unwrap();
    let Outcome::Published { effective, .. } = publish(&mut w, 3, None).unwrap() else { panic!() };
    assert_eq!(effective.as_millis(), w.now + 600_000);
    let table = "440000/ports".parse().unwrap();
    let in_force = |ms| w.state.table_as_of(&table, Timestamp::from_millis(ms)).map(|v| v.version);
    assert_eq!(in_force(now - 3 * 86_400_000), None);
    assert_eq!(in_force(now - 2 * 86_400_000), Some(2));
    assert_eq!(in_force(now), Some(1));
    assert_eq!(in_force(effective.as_millis() - 1), Some(1));
    assert_eq!(in_force(effective.as_millis()), Some(3));
    let mut dev = World::founded(Mode::Dev);
    publish(&mut dev, 1, None).unwrap();
    publish(&mut dev, 2, Some(now - 1)).unwrap();
}

#[test]
fn numbers_are_refilled_by_the_primary_of_the_epoch_and_never_overlap() {
    let mut w = World::with_platform();
    let (region, epoch) = (region("440300"), Epoch::INITIAL);
    assert!(w.by_node(node("gz-a-1"), Op::ReserveNumbers { region, epoch, have: 1 }).is_err());
    w.by_node(node("sz-a-1"), Op::ReserveNumbers { region, epoch, have: 1 }).unwrap();
    assert!(
        w.by_node(node("sz-a-1"), Op::ReserveNumbers { region, epoch, have: 1 }).is_err(),
        "a stale count"
    );
    let blocks = w.state.number_blocks(region, epoch);
    assert_eq!(blocks.len(), 2);
    assert_eq!(blocks[0].end(), blocks[1].start);
}

#[test]
fn a_damaged_row_is_refused_when_a_state_is_rebuilt() {
    let w = World::with_platform();
    assert_eq!(State::from_rows(w.stored.iter()).unwrap(), w.state);
    let mut moved = w.stored.clone();
    let (key, value) = moved.iter().find(|(k, _)| k[0] == 4).map(|(k, v)| (k.clone(), v.clone())).unwrap();
    moved.insert([key.clone(), b"x".to_vec()].concat(), value.clone());
    assert_eq!(State::from_rows(moved), Err(RowError::Key(4)));
    let mut cut = w.stored.clone();
    cut.insert(key, value[..value.len() - 1].to_vec());
    assert!(matches!(State::from_rows(cut), Err(RowError::Value { kind: 4, .. })));
    assert_eq!(State::from_rows([(vec![200u8], vec![1u8])]), Err(RowError::Kind(Some(200))));
}

#[test]
fn heads_are_kept_for_nodes_that_hold_the_platform() {
    let mut w = World::with_platform();
    let head = HeadReport { region: region("440300"), position: at(1, 7) };
    w.by_node(node("sz-a-1"), Op::PublishHeads(vec![head])).unwrap();
    w.by_node(node("gz-a-2"), Op::PublishHeads(vec![head])).unwrap();
    assert_eq!(w.state.head(region("440300"), node("sz-a-1")).unwrap().position, at(1, 7));
    assert!(w.state.head(region("440300"), node("gz-a-2")).is_none());
    assert!(w.operator(Op::PublishHeads(vec![head])).is_err());
}
