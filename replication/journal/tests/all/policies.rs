//! Promises of `auto_sync`, `degrade` and leases: what is recorded before an answer needs fewer backups, and when none leaves.

use crate::support;
use eport_journal::*;
use eport_model::*;
use support::*;

fn started(view: &PlacementView, names: &[&str]) -> Net {
    let mut net = Net::new(names);
    for name in names {
        net.place(name, view, false);
    }
    net.pass(200);
    net
}

fn auto_sync(names: &[&str], degrade_ms: Option<u64>) -> (Net, PlacementView) {
    let view = PlacementView { shrink_ms: Some(1_000), degrade_ms, ..placement(1, names[0], &names[1..], 1) };
    (started(&view, names), view)
}

fn done(net: &Net, name: &str, ticket: Ticket) -> Option<Durability> {
    match net.host(name).answers.get(&ticket) {
        Some(Outcome::Done { durability, .. }) => Some(*durability),
        Some(other) => panic!("{other:?}"),
        None => None,
    }
}

fn shrinks(net: &Net, name: &str) -> Vec<RegistryStep> {
    let all = net.host(name).asked.iter();
    all.filter(|s| matches!(s, RegistryStep::Shrink { .. })).cloned().collect()
}

#[test]
fn a_silent_backup_is_dropped_by_the_registry_first_and_answered_local_only_then() {
    let (mut net, view) = auto_sync(&["a", "b"], None);
    net.isolate("b");
    let ticket = net.propose("a", "x");
    net.pass(800);
    assert!(shrinks(&net, "a").is_empty(), "the wait is not over");
    net.pass(2_000);
    let wanted = RegistryStep::Shrink { version: 1, nodes: vec![node("b")], whole: false };
    assert_eq!(shrinks(&net, "a"), [wanted]);
    net.pass(60_000);
    assert_eq!(done(&net, "a", ticket), None, "asked is not recorded");
    let mut shrunk = PlacementView { version: 2, k: 0, proven_k: 0, start_k: 0, ..view };
    shrunk.backups[0].in_sync = false;
    net.place("a", &shrunk, false);
    assert_eq!(done(&net, "a", ticket), Some(Durability::Local));
}

#[test]
fn a_backup_is_not_dropped_while_the_others_lack_what_it_holds() {
    let (mut net, _) = auto_sync(&["a", "b", "c"], None);
    // b alone holds what was answered replicated; c lives and is behind.
    net.hosts.get_mut(&node("c")).unwrap().slow = true;
    let ticket = net.propose("a", "x");
    assert_eq!(done(&net, "a", ticket), Some(Durability::Replicated));
    net.isolate("b");
    net.pass(1_100);
    let alone = |s: &RegistryStep| matches!(s, RegistryStep::Shrink { nodes, .. } if *nodes == [node("b")]);
    assert!(!shrinks(&net, "a").iter().any(alone), "{:?}", shrinks(&net, "a"));
    net.disk_answers("c");
    net.pass(300);
    assert!(shrinks(&net, "a").iter().any(alone), "c holds everything now: {:?}", shrinks(&net, "a"));
}

/// What was answered `local` before anybody was in sync is proven with the rest once the registry is told so: from then on a failover
/// by that proof says that nothing is lost.
#[test]
fn a_backup_is_not_dropped_while_the_others_lack_what_the_registry_takes_for_proven() {
    let names = ["a", "b", "c"];
    let alone = PlacementView {
        shrink_ms: Some(1_000),
        backups: vec![backup("b", false), backup("c", false)],
        ..placement(1, "a", &[], 0)
    };
    let mut net = started(&alone, &names);
    net.hosts.get_mut(&node("c")).unwrap().slow = true;
    let ticket = net.propose("a", "x");
    assert_eq!(done(&net, "a", ticket), Some(Durability::Local));
    net.pass(200);
    // b holds it and falls silent; c lacks it, but not for long enough to be dropped too.
    net.isolate("b");
    net.pass(500);
    let joined =
        PlacementView { version: 2, k: 1, backups: vec![backup("b", true), backup("c", true)], ..alone };
    for name in names {
        net.place(name, &joined, false);
    }
    net.pass(200);
    let proven = RegistryStep::Proven { version: 2, k: 1 };
    assert!(net.host("a").asked.contains(&proven), "b holds everything: {:?}", net.host("a").asked);
    for name in names {
        net.place(name, &PlacementView { version: 3, proven_k: 1, ..joined.clone() }, false);
    }
    net.pass(600);
    let dropped = |s: &RegistryStep| matches!(s, RegistryStep::Shrink { nodes, .. } if *nodes == [node("b")]);
    assert!(!shrinks(&net, "a").iter().any(dropped), "c lacks it: {:?}", shrinks(&net, "a"));
    net.disk_answers("c");
    net.pass(300);
    assert!(shrinks(&net, "a").iter().any(dropped), "c holds everything now: {:?}", shrinks(&net, "a"));
}

#[test]
fn a_backup_that_was_to_be_dropped_does_not_count_until_the_registry_has_moved_on() {
    let (mut net, view) = auto_sync(&["a", "b"], None);
    net.isolate("b");
    let ticket = net.propose("a", "x");
    net.pass(2_500);
    assert_eq!(shrinks(&net, "a").len(), 1);
    net.heal();
    net.pass(3_000);
    assert_eq!(net.host("b").replica.durable(), net.host("a").replica.durable(), "it holds the record");
    assert_eq!(done(&net, "a", ticket), None, "the shrink may still arrive");
    net.place("a", &PlacementView { version: 2, ..view }, false);
    assert_eq!(done(&net, "a", ticket), Some(Durability::Replicated));
}

#[test]
fn a_restarted_primary_counts_nobody_before_a_step_of_its_former_life_is_ruled_out() {
    let (mut net, view) = auto_sync(&["a", "b"], None);
    net.restart("a");
    net.place("a", &view, false);
    net.pass(800);
    let ticket = net.propose("a", "x");
    assert_eq!(net.host("b").replica.durable(), net.host("a").replica.durable(), "it holds the record");
    assert_eq!(done(&net, "a", ticket), None);
    let seen = RegistryStep::Shrink { version: 1, nodes: vec![], whole: false };
    assert_eq!(shrinks(&net, "a"), [seen]);
    net.place("a", &PlacementView { version: 2, ..view }, false);
    net.pass(500);
    assert_eq!(done(&net, "a", ticket), Some(Durability::Replicated));
}

#[test]
fn without_the_registry_the_own_journal_says_so_first_and_only_after_the_wait() {
    let (mut net, _) = auto_sync(&["a", "b"], Some(5_000));
    net.isolate("b");
    let ticket = net.propose("a", "x");
    net.pass(4_500);
    assert_eq!(done(&net, "a", ticket), None);
    net.hosts.get_mut(&node("a")).unwrap().slow = true;
    net.pass(1_500);
    let last = net.host("a").disk.last().unwrap();
    assert!(matches!(last.header.kind, RecordKind::Degrade { version: 1 }), "{last:?}");
    assert_eq!(done(&net, "a", ticket), None, "written is not fsynced");
    net.disk_answers("a");
    assert_eq!(done(&net, "a", ticket), Some(Durability::Local));
    assert!(net.host("a").alarms.iter().any(|a| matches!(a, Alarm::Degraded { .. })));
}

#[test]
fn under_block_nothing_is_answered_however_long_it_takes() {
    let (mut net, _) = auto_sync(&["a", "b"], None);
    net.isolate("b");
    let ticket = net.propose("a", "x");
    net.pass(120_000);
    assert_eq!(done(&net, "a", ticket), None);
}

#[test]
fn a_sealed_backup_says_how_long_before_its_primary_last_heard_it_not_how_long_it_spoke() {
    let (mut net, view) = auto_sync(&["a", "b"], Some(60_000));
    net.pass(2_000);
    // Its acknowledgements are lost, what the primary says arrives.
    net.cut.insert((node("b"), node("a")));
    net.pass(3_000);
    let state = ViewState::Recovering { move_id: move_id(1), epoch: epoch(2) };
    net.place("b", &PlacementView { version: 2, state, ..view }, false);
    let seal = Message::Seal { epoch: epoch(2), move_id: move_id(1) };
    net.input(node("b"), Input::Message { from: node("b"), message: seal });
    net.run();
    let (followed, quiet) = net.host("b").reports.last().unwrap().heard.unwrap();
    assert_eq!(followed, epoch(1));
    assert!((3_000..3_600).contains(&quiet), "{quiet}");
}

/// The reports that nodes leave when they promise epoch 2.
fn sealed(net: &mut Net, view: &PlacementView, name: &str) -> Option<(Epoch, u64)> {
    let state = ViewState::Recovering { move_id: move_id(1), epoch: epoch(2) };
    net.place(name, &PlacementView { version: view.version + 1, state, ..view.clone() }, false);
    let seal = Message::Seal { epoch: epoch(2), move_id: move_id(1) };
    net.input(node(name), Input::Message { from: node(name), message: seal });
    net.run();
    net.host(name).reports.last().unwrap().heard
}

/// c keeps in touch while a goes on alone for want of b, and is taken in sync afterwards: what it has heard says nothing of a.
#[test]
fn a_backup_that_nobody_waits_for_is_never_proof_that_its_primary_did_not_go_on_alone() {
    let view = PlacementView {
        shrink_ms: Some(1_000),
        degrade_ms: Some(5_000),
        backups: vec![backup("b", true), backup("c", false)],
        ..placement(1, "a", &["b", "c"], 1)
    };
    let mut net = started(&view, &["a", "b", "c"]);
    net.pass(2_000);
    net.isolate("b");
    let ticket = net.propose("a", "x");
    let alone = (0..300).any(|_| {
        net.pass(100);
        done(&net, "a", ticket) == Some(Durability::Local)
    });
    assert!(alone, "c is no reason to wait");
    let heard = sealed(&mut net, &view, "c");
    assert!(heard.is_none_or(|(_, quiet)| quiet > 5_000), "{heard:?}");
}

/// A backup that was waited for proves a wait also when the policy has let it go since: its primary keeps to it.
#[test]
fn a_primary_waits_as_long_as_any_backup_could_prove_also_one_that_leaves() {
    let (mut net, view) = auto_sync(&["a", "b", "c"], Some(5_000));
    net.pass(2_000);
    net.isolate("b");
    net.pass(3_000);
    net.isolate("c");
    let mut left = PlacementView { version: 2, ..view };
    left.backups.retain(|b| b.node == node("b"));
    let ticket = net.propose("a", "x");
    net.place("a", &left, false);
    net.pass(4_300);
    assert_eq!(done(&net, "a", ticket), None);
    net.pass(10_000);
    assert_eq!(done(&net, "a", ticket), Some(Durability::Local));
}

fn leased(names: &[&str]) -> (Net, PlacementView) {
    let view = PlacementView { lease: true, ..placement(1, names[0], &names[1..], 1) };
    (started(&view, names), view)
}

fn grant(net: &mut Net, name: &str) {
    let (epoch, sent_ms) = *net.host(name).renewals.last().unwrap();
    net.input(node(name), Input::Leased { epoch, sent_ms });
}

#[test]
fn a_lease_counts_from_the_sending_of_its_renewal() {
    let view = PlacementView { lease: true, ..placement(1, "a", &["b"], 1) };
    let mut net = Net::new(&["a", "b"]);
    // Nobody keeps it going: only grants count.
    net.isolate("b");
    net.place("a", &view, false);
    net.pass(200);
    let sent = net.host("a").renewals.last().unwrap().1;
    net.now = sent + 14_000;
    net.input(node("a"), Input::Leased { epoch: epoch(1), sent_ms: sent });
    assert_eq!(net.host("a").replica.lease_until(), Some(sent + 15_000), "not from the grant's arrival");
}

#[test]
fn an_answer_is_checked_when_it_leaves_whatever_pause_came_before() {
    let (mut net, _) = leased(&["a", "b"]);
    grant(&mut net, "a");
    net.pass(200);
    assert_eq!(*net.host("a").replica.role(), Role::Primary { epoch: epoch(1) });
    net.hosts.get_mut(&node("b")).unwrap().slow = true;
    let ticket = net.propose("a", "x");
    // The process stands still from here until long after its lease.
    net.now += 60_000;
    net.input(node("a"), Input::Depend { ticket: 900, on: 899 });
    assert_eq!(net.host("a").answers[&900], Outcome::Held);
    assert_eq!(*net.host("a").replica.role(), Role::Opening { epoch: epoch(1) });
    net.disk_answers("b");
    assert_eq!(net.host("a").answers[&ticket], Outcome::Unknown);
}

#[test]
fn without_the_registry_all_replicas_together_keep_a_primary_going_and_one_missing_ends_it() {
    let (mut net, _) = leased(&["a", "b", "c"]);
    net.pass(40_000);
    assert_eq!(*net.host("a").replica.role(), Role::Primary { epoch: epoch(1) }, "nobody granted anything");
    net.isolate("c");
    net.pass(5_000);
    assert_eq!(*net.host("a").replica.role(), Role::Primary { epoch: epoch(1) });
    net.pass(11_000);
    assert_eq!(*net.host("a").replica.role(), Role::Opening { epoch: epoch(1) }, "a majority is not enough");
}

#[test]
fn a_replica_that_keeps_a_primary_going_promises_no_other_for_one_grace() {
    let (mut net, _) = leased(&["a", "b"]);
    net.pass(20_000);
    net.isolate("a");
    let seal = Message::Seal { epoch: epoch(2), move_id: move_id(1) };
    net.input(node("b"), Input::Message { from: node("b"), message: seal.clone() });
    assert_eq!(net.host("b").sealed, Epoch::NONE);
    net.pass(18_500);
    net.input(node("b"), Input::Message { from: node("b"), message: seal });
    assert_eq!(net.host("b").sealed, epoch(2));
}
