//! Checkpoints instead of records, slots, and copies that lost what they had acknowledged: design §5 "Shipping", decision 0019.
// Tests: an unwrap is an assertion.

use crate::support;

use eport_journal::*;
use eport_model::*;
use support::*;

const LIMITS: fn() -> Limits = || Limits { bootstrap_records: 20, ..Limits::default() };

/// A serves with B in sync; C is named and was never there.
fn with_a_new_backup(records: usize) -> (Net, PlacementView) {
    let mut net = Net::with_limits(&["a", "b", "c"], LIMITS());
    net.isolate("c");
    let mut view = placement(1, "a", &["b"], 1);
    view.backups.push(backup("c", false));
    for name in ["a", "b"] {
        net.place(name, &view, false);
    }
    net.pass(500);
    for n in 0..records {
        net.propose("a", &format!("n{n}"));
    }
    net.pass(500);
    net.heal();
    net.place("c", &view, false);
    net.pass(300);
    (net, view)
}

/// C has taken everything that A has, and installed it.
fn installed(net: &mut Net) {
    let last = net.host("a").replica.last();
    net.input(node("c"), Input::CheckpointHere { last: Some(last) });
    assert_eq!(net.host("c").installs, [last]);
    let records = net.host("a").disk.clone();
    let applied = net.host("a").applied;
    net.install("c", records, applied);
    net.pass(1_000);
}

#[test]
fn a_new_backup_takes_a_checkpoint_counts_for_nothing_meanwhile_and_then_follows() {
    let (mut net, view) = with_a_new_backup(40);
    let c = net.host("c");
    assert_eq!(c.bootstraps, [(node("a"), epoch(1), Position::ZERO)]);
    assert!(c.disk.is_empty() && c.replica.is_bootstrapping());
    net.pass(2_000);
    let asked = |net: &Net| net.host("a").asked.clone();
    assert_eq!(asked(&net), [], "not proposed for the in-sync set");
    let seen = net.host("a").replica.peers().into_iter().find(|p| p.node == node("c"));
    assert_eq!(seen.map(|p| (p.durable, p.streaming)), Some((Position::ZERO, false)));
    installed(&mut net);
    assert!(!net.host("c").replica.is_bootstrapping());
    net.propose("a", "behind the checkpoint");
    net.pass(1_000);
    assert_eq!(net.host("c").disk, net.host("a").disk);
    assert_eq!(net.host("c").bootstraps.len(), 1);
    assert_eq!(asked(&net), [RegistryStep::InSyncAdd { version: view.version, node: node("c") }]);
}

#[test]
fn a_backup_that_lacks_little_is_streamed_to() {
    let (net, _) = with_a_new_backup(5);
    assert!(net.host("c").bootstraps.is_empty());
    assert_eq!(net.host("c").disk, net.host("a").disk);
}

#[test]
fn how_level_a_backup_was_before_it_lost_its_disk_is_no_reason_to_take_it_in_sync() {
    let (mut net, view) = with_a_new_backup(5);
    net.pass(1_000);
    let asked = |net: &Net| net.host("a").asked.len();
    assert_eq!(asked(&net), 1, "it is level, and the registry was asked to take it in sync");
    net.wipe("c");
    net.place("c", &view, false);
    assert_eq!(asked(&net), 1, "the same is asked for a disk that has just begun anew");
    net.pass(2_000);
    assert_eq!(asked(&net), 2, "it is level again");
}

#[test]
fn a_checkpoint_that_cannot_be_had_is_asked_for_again() {
    let (mut net, _) = with_a_new_backup(40);
    net.input(node("c"), Input::CheckpointHere { last: None });
    net.pass(300);
    assert_eq!(net.host("c").bootstraps.len(), 2);
}

#[test]
fn a_slot_that_holds_more_than_its_cap_is_lost_and_the_backup_takes_a_checkpoint() {
    let limits = Limits { slot_records: 30, ..Limits::default() };
    let mut net = Net::with_limits(&["a", "b"], limits);
    let view = placement(1, "a", &["b"], 0);
    for name in ["a", "b"] {
        net.place(name, &view, false);
    }
    net.pass(500);
    let slot = |net: &Net| net.host("a").replica.peers()[0].slot;
    assert!(!slot(&net).lost);
    net.isolate("b");
    let mut floors = Vec::new();
    for n in 0..60 {
        net.propose("a", &format!("n{n}"));
        net.pass(100);
        floors.push(net.host("a").replica.shipping_floor().as_u64());
    }
    assert!(floors.is_sorted(), "{floors:?}");
    assert_eq!(floors[10], 2, "kept for the backup, which has the first record");
    assert_eq!(floors[59], net.host("a").applied.as_u64() + 1, "nobody needs them to be shipped");
    assert!(slot(&net).lost && slot(&net).records == 60, "{:?}", slot(&net));
    let lost = |a: &Alarm| matches!(a, Alarm::SlotLost { backup, .. } if *backup == node("b"));
    assert_eq!(net.host("a").alarms.iter().filter(|a| lost(a)).count(), 1, "said once");
    net.heal();
    net.pass(2_000);
    assert_eq!(net.host("b").bootstraps.len(), 1);
    assert_eq!(net.host("b").disk.len(), 1, "not streamed");
}

#[test]
fn a_wiped_backup_is_seeded_anew_and_counts_only_when_the_registry_took_it_in_sync_again() {
    let (mut net, view) = (Net::with_limits(&["a", "b"], LIMITS()), placement(1, "a", &["b"], 1));
    for name in ["a", "b"] {
        net.place(name, &view, false);
    }
    net.pass(500);
    net.propose("a", "acknowledged");
    net.pass(500);
    net.wipe("b");
    net.isolate("b");
    net.place("b", &view, false);
    assert!(net.host("b").replica.has_lost_records(), "it knows that it was in sync");
    net.heal();
    net.pass(200);
    let ticket = net.propose("a", "while it is seeded");
    net.pass(300);
    assert_eq!(net.host("b").disk, net.host("a").disk, "streamed: there is little");
    assert!(!net.host("a").answers.contains_key(&ticket), "it does not count yet");
    assert_eq!(net.host("a").asked, [RegistryStep::InSyncAdd { version: 1, node: node("b") }]);
    // The primary's memory of that survives a restart.
    net.restart("a");
    net.place("a", &view, false);
    net.pass(1_000);
    assert!(!matches!(net.host("a").replica.role(), Role::Primary { .. }));
    net.input(node("a"), Input::RegistryAnswered { move_id: MoveId::default(), applied: Some(true) });
    net.pass(1_000);
    assert!(net.host("a").asked.is_empty() || matches!(net.host("a").replica.role(), Role::Primary { .. }));
}

#[test]
fn an_old_copy_of_a_backup_is_refused_and_answers_no_failover() {
    let (mut net, view) = (Net::with_limits(&["a", "b"], LIMITS()), placement(1, "a", &["b"], 1));
    for name in ["a", "b"] {
        net.place(name, &view, false);
    }
    net.pass(500);
    let old = net.copy("b");
    for n in 0..5 {
        net.propose("a", &format!("n{n}"));
    }
    net.pass(1_500);
    net.put_back("b", old);
    net.place("b", &view, false);
    net.pass(1_000);
    let acked = net.host("a").replica.last().index;
    let alarms = &net.host("b").alarms;
    assert!(matches!(alarms[..], [Alarm::RolledBack { acked: known, .. }] if known == acked), "{alarms:?}");
    assert_eq!(*net.host("b").replica.role(), Role::Fenced { epoch: epoch(1) });
    assert_eq!(net.host("b").disk.len(), 1, "nothing is repaired behind the operator's back");
    net.input(
        node("b"),
        Input::Message { from: node("a"), message: Message::Seal { epoch: epoch(2), move_id: move_id(1) } },
    );
    net.run();
    assert!(net.host("a").reports.is_empty());
}

#[test]
fn a_primary_whose_backup_holds_more_of_its_epoch_stops_and_nothing_is_cut() {
    let (mut net, view) = (Net::with_limits(&["a", "b"], LIMITS()), placement(1, "a", &["b"], 0));
    for name in ["a", "b"] {
        net.place(name, &view, false);
    }
    net.pass(500);
    let old = net.copy("a");
    for n in 0..5 {
        net.propose("a", &format!("n{n}"));
    }
    net.pass(500);
    net.put_back("a", old);
    net.place("a", &view, false);
    net.pass(2_000);
    assert_eq!(*net.host("a").replica.role(), Role::Fenced { epoch: epoch(1) });
    assert!(matches!(net.host("a").alarms[..], [Alarm::RolledBack { .. }]));
    assert_eq!(net.host("b").disk.len(), 6, "the backup keeps what it has");
    assert!(net.host("b").exported.is_empty());
}

#[test]
fn a_primary_that_has_less_than_it_published_does_not_open() {
    let mut net = Net::new(&["a"]);
    let head = Position { epoch: epoch(1), index: at(9), digest: Digest::of(b"9") };
    let view = PlacementView { head, ..placement(1, "a", &[], 0) };
    net.place("a", &view, true);
    net.pass(500);
    assert!(net.host("a").disk.is_empty(), "no second record 1 of epoch 1");
    assert!(matches!(net.host("a").alarms[..], [Alarm::Behind { .. }]));
}
