//! Plans and status: what is checked, what is refused, what answers promise.

use crate::common;
use common::*;
use eport_model::{Digest, JournalIndex, Lineage, NodeId, Timestamp, codes};
use eport_moves::*;
use eport_registry::*;
use std::collections::{BTreeMap, BTreeSet};

fn fact(index: u64) -> ReplicaFact {
    ReplicaFact {
        durable: at(1, index),
        applied: JournalIndex::from_u64(index),
        lineage: Lineage::from_bytes([7; 16]),
        at: NOW,
    }
}

/// When these plans are made.
const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

/// Everybody is there; the primary is at 100, its backups at 100 and 90.
fn healthy(state: &State) -> Observed<'_> {
    let mut observed = Observed::new(state, NOW);
    observed.reachable = all();
    observed.replicas = [("sz-a-1", 100), ("gz-a-1", 100), ("gz-c-1", 90)]
        .into_iter()
        .map(|(n, i)| (node(n), fact(i)))
        .collect();
    observed
}

fn all() -> BTreeSet<NodeId> {
    ["sz-a-1", "gz-a-1", "gz-a-2", "gz-c-1"].into_iter().map(node).collect()
}

fn switch(to: &str) -> Intent {
    Intent::Planned { kind: MoveKind::Switchover, to: node(to) }
}

fn failed(plan: &Plan) -> Vec<&str> {
    plan.checks.iter().filter(|c| !c.ok).map(|c| c.name.as_str()).collect()
}

fn code(plan: &Plan) -> Option<eport_model::Code> {
    plan.refused.as_ref().map(|r| r.code)
}

#[test]
fn a_healthy_switchover_is_planned_without_loss_and_planning_changes_nothing() {
    let w = World::with_platform();
    let before = w.state.digest();
    let plan = eport_moves::plan(&healthy(&w.state), region("440300"), &switch("gz-a-1")).unwrap();
    assert_eq!((failed(&plan), code(&plan)), (vec![], None));
    assert_eq!(plan.expected_loss, ExpectedLoss::default());
    assert_eq!((plan.version, plan.from, plan.to), (w.version(), node("sz-a-1"), Some(node("gz-a-1"))));
    assert!(plan.steps.iter().any(|s| s.name == "commit"));
    assert_eq!(w.state.digest(), before);
    assert!(eport_moves::plan(&healthy(&w.state), region("440900"), &switch("gz-a-1")).is_err());
}

#[test]
fn a_switchover_names_every_reason_against_it() {
    let mut w = World::with_platform();
    w.operator(Op::SetNodeState { node: node("gz-a-1"), state: NodeState::Draining }).unwrap();
    let table = "440000/ports".parse::<TableId>().unwrap();
    let publish = Op::PublishTable {
        table: table.clone(),
        version: 1,
        root: Digest::ZERO,
        rows: 1,
        effective: None,
        schema: "{}".into(),
        report: "{}".into(),
    };
    w.operator(publish).unwrap();
    let mut observed = healthy(&w.state);
    observed.reachable.remove(&node("gz-a-1"));
    observed.replicas.get_mut(&node("gz-a-1")).unwrap().lineage = Lineage::from_bytes([8; 16]);
    observed.replicas.insert(node("sz-a-1"), fact(1_000_000));
    observed.free.insert(node("gz-a-1"), 5 << 20);
    let refused = plan(&observed, region("440300"), &switch("gz-a-1")).unwrap();
    assert_eq!(failed(&refused), ["target_up", "target_connected", "lag", "lineage", "tables", "disk"]);
    assert_eq!(code(&refused), Some(codes::MOVE_UNSAFE));
    let mut good = healthy(&w.state);
    good.installed.insert(node("gz-c-1"), BTreeMap::from([(table, 1)]));
    assert_eq!(failed(&plan(&good, region("440300"), &switch("gz-c-1")).unwrap()), Vec::<&str>::new());
    let own = plan(&good, region("440300"), &switch("sz-a-1")).unwrap();
    assert!(failed(&own).contains(&"target"));
}

#[test]
fn a_target_that_stands_still_is_refused_although_it_is_still_connected() {
    let w = World::with_platform();
    let mut observed = healthy(&w.state);
    observed.replicas.get_mut(&node("gz-a-1")).unwrap().at = NOW.plus_millis(-6_000);
    let refused = plan(&observed, region("440300"), &switch("gz-a-1")).unwrap();
    assert_eq!((failed(&refused), code(&refused)), (vec!["lag"], Some(codes::MOVE_UNSAFE)));
}

#[test]
fn a_switchover_that_would_leave_too_few_counted_backups_is_refused() {
    let mut w = World::founded(Mode::Dev);
    w.operator(Op::AddNode(new_node("sz-a-2", "sz-a", "440300"))).unwrap();
    w.create(policy(DurabilityMode::Sync, 1), &["gz-a-1"]).unwrap();
    w.in_sync_add("gz-a-1").unwrap();
    assert_eq!(
        failed(&plan(&healthy(&w.state), region("440300"), &switch("gz-a-1")).unwrap()),
        Vec::<&str>::new()
    );
    let mut w = World::founded(Mode::Dev);
    w.create(policy(DurabilityMode::Sync, 2), &["gz-a-1", "gz-a-2"]).unwrap();
    w.in_sync_add("gz-a-1").unwrap();
    assert_eq!(
        failed(&plan(&healthy(&w.state), region("440300"), &switch("gz-a-1")).unwrap()),
        ["backups_after"]
    );
}

#[test]
fn a_move_under_way_refuses_another_planned_one() {
    let mut w = World::with_platform();
    w.open("gz-a-1").unwrap();
    let plan = eport_moves::plan(&healthy(&w.state), region("440300"), &switch("gz-c-1")).unwrap();
    assert_eq!(code(&plan), Some(codes::MOVE_RUNNING));
}

fn failover(to: Option<&str>, accept_data_loss: bool) -> Intent {
    Intent::Failover { to: to.map(node), old_primary: OldPrimary::Stopped, accept_data_loss }
}

fn primary_down(state: &State) -> Observed<'_> {
    let mut observed = healthy(state);
    observed.reachable.remove(&node("sz-a-1"));
    observed.primary_answers = Some(false);
    observed
}

#[test]
fn a_failover_with_an_answering_primary_is_refused() {
    let w = World::with_platform();
    let mut observed = healthy(&w.state);
    assert_eq!(
        code(&plan(&observed, region("440300"), &failover(None, true)).unwrap()),
        Some(codes::PRIMARY_ANSWERS)
    );
    observed.primary_answers = Some(false);
    assert_eq!(code(&plan(&observed, region("440300"), &failover(None, false)).unwrap()), None);
}

#[test]
fn a_failover_with_a_full_quorum_loses_nothing() {
    let w = World::with_platform();
    let plan = eport_moves::plan(&primary_down(&w.state), region("440300"), &failover(None, false)).unwrap();
    assert_eq!((code(&plan), plan.expected_loss), (None, ExpectedLoss::default()));
}

#[test]
fn a_failover_without_quorum_prints_the_loss_and_asks_for_the_flag() {
    let w = World::with_platform();
    let mut observed = primary_down(&w.state);
    observed.reachable.remove(&node("gz-a-1"));
    let refused = plan(&observed, region("440300"), &failover(None, false)).unwrap();
    assert_eq!(code(&refused), Some(codes::MOVE_LOSS));
    let since = Some(NOW);
    assert_eq!(refused.expected_loss, ExpectedLoss { records: 10, since });
    let accepted = plan(&observed, region("440300"), &failover(None, true)).unwrap();
    assert_eq!(
        (code(&accepted), accepted.expected_loss.clone()),
        (None, ExpectedLoss { records: 10, since })
    );
    assert!(
        failed(&accepted).contains(&"durability_after"),
        "new writes will wait, and the plan says so before"
    );
}

#[test]
fn a_failover_to_a_node_that_cannot_be_asked_is_refused() {
    let w = World::with_platform();
    for to in ["gz-a-2", "sz-a-1"] {
        let plan =
            eport_moves::plan(&primary_down(&w.state), region("440300"), &failover(Some(to), true)).unwrap();
        assert_eq!(code(&plan), Some(codes::MOVE_UNSAFE), "{to}");
    }
}

#[test]
fn an_answer_is_replicated_while_enough_other_sites_are_there() {
    let mut w = World::with_platform();
    let now = |w: &World, gone: &[&str]| {
        let up = all().into_iter().filter(|n| gone.iter().all(|g| node(g) != *n)).collect();
        durability_now(&w.state, w.placement(), &up)
    };
    assert_eq!(now(&w, &[]), DurabilityNow::Replicated);
    assert_eq!(now(&w, &["gz-a-1"]), DurabilityNow::Replicated);
    assert_eq!(now(&w, &["gz-a-1", "gz-c-1"]), DurabilityNow::Blocked);
    assert_eq!(now(&w, &["sz-a-1"]), DurabilityNow::Blocked);
    w.set_policy(policy(DurabilityMode::Async, 0), sync(&["gz-a-1", "gz-c-1"])).unwrap();
    assert_eq!(now(&w, &["gz-a-1", "gz-c-1"]), DurabilityNow::Local);
    w.set_policy(policy(DurabilityMode::Sync, 1), sync(&["gz-a-1", "gz-c-1"])).unwrap();
    let version = w.version();
    w.reserve(version, None, false).unwrap();
    assert_eq!(now(&w, &[]), DurabilityNow::Blocked);
}

#[test]
fn the_warning_names_the_site_whose_loss_costs_the_quorum() {
    let w = World::with_platform();
    let voters = |ids: &[&str]| ids.iter().map(|id| node(id)).collect::<Vec<_>>();
    assert!(quorum_warnings(&w.state, &voters(&["gz-a-1", "gz-c-1", "sz-a-1"])).is_empty());
    let two_here = quorum_warnings(&w.state, &voters(&["gz-a-1", "gz-a-2", "sz-a-1"]));
    assert_eq!(two_here.len(), 1);
    assert!(two_here[0].text.en.contains("gz-a"), "{:?}", two_here[0].text);
    assert_eq!(quorum_warnings(&w.state, &voters(&["gz-a-1"])).len(), 1);
}

#[test]
fn a_platform_whose_backups_are_away_is_warned_about() {
    let w = World::with_platform();
    assert!(platform_warnings(&w.state, &all()).is_empty());
    let few = BTreeSet::from([node("sz-a-1"), node("gz-a-2")]);
    assert_eq!(platform_warnings(&w.state, &few)[0].code, codes::BACKUP_MISSING);
}
