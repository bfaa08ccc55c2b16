//! Promises of a primary: what is answered, when, and what is not.

use crate::support;
use eport_journal::*;
use eport_model::*;
use support::*;

fn started(names: &[&str], k: usize) -> (Net, PlacementView) {
    let mut net = Net::new(names);
    let view = placement(1, names[0], &names[1..], k);
    for name in names {
        net.place(name, &view, false);
    }
    net.pass(200);
    assert_eq!(*net.host(names[0]).replica.role(), Role::Primary { epoch: epoch(1) });
    (net, view)
}

#[test]
fn an_answer_comes_only_after_the_fsync_here_and_of_k_in_sync_backups() {
    let (mut net, _) = started(&["a", "b", "c"], 1);
    net.hosts.get_mut(&node("b")).unwrap().slow = true;
    net.hosts.get_mut(&node("c")).unwrap().slow = true;
    let ticket = net.propose("a", "x");
    assert!(!net.host("a").answers.contains_key(&ticket), "received is not fsynced");
    net.disk_answers("b");
    let outcome = net.host("a").answers[&ticket].clone();
    assert!(matches!(outcome, Outcome::Done { durability: Durability::Replicated, .. }), "{outcome:?}");
}

#[test]
fn a_step_that_was_refused_for_a_passing_reason_is_asked_for_again() {
    let mut net = Net::new(&["a", "b"]);
    let mut view = placement(1, "a", &["b"], 1);
    view.backups[0].in_sync = false;
    view.start_k = 0;
    net.place("a", &view, false);
    net.place("b", &view, false);
    net.propose("a", "x");
    net.pass(1_100);
    let add = RegistryStep::InSyncAdd { version: 1, node: node("b") };
    assert_eq!(net.host("a").asked, std::slice::from_ref(&add));
    // The leader's clock is wrong at this moment: the step is refused, the placement stays as it is.
    net.input(node("a"), Input::RegistryAnswered { move_id: MoveId::default(), applied: Some(false) });
    net.pass(1_000);
    assert_eq!(net.host("a").asked.len(), 1, "not at once again");
    net.pass(60_000);
    assert!(net.host("a").asked.len() >= 2, "never again: {:?}", net.host("a").asked);
    assert!(net.host("a").asked.iter().all(|s| *s == add));
}

#[test]
fn a_backup_that_the_registry_has_not_recorded_in_sync_never_counts() {
    let mut net = Net::new(&["a", "b"]);
    let mut view = placement(1, "a", &["b"], 1);
    view.backups[0].in_sync = false;
    view.start_k = 0;
    net.place("a", &view, false);
    net.place("b", &view, false);
    let ticket = net.propose("a", "x");
    net.pass(100);
    assert_eq!(net.host("b").replica.durable().index, at(2));
    assert!(!net.host("a").answers.contains_key(&ticket));
    net.pass(1_000);
    assert_eq!(net.host("a").asked, [RegistryStep::InSyncAdd { version: 1, node: node("b") }]);
    view.version = 2;
    view.backups[0].in_sync = true;
    net.place("a", &view, false);
    assert!(matches!(
        net.host("a").answers[&ticket],
        Outcome::Done { durability: Durability::Replicated, .. }
    ));
}

#[test]
fn under_async_an_answer_is_local_and_waits_for_the_own_fsync() {
    let (mut net, _) = started(&["a", "b"], 0);
    net.isolate("a");
    net.hosts.get_mut(&node("a")).unwrap().slow = true;
    let ticket = net.propose("a", "x");
    assert!(!net.host("a").answers.contains_key(&ticket));
    net.disk_answers("a");
    assert!(matches!(net.host("a").answers[&ticket], Outcome::Done { durability: Durability::Local, .. }));
}

#[test]
fn an_answer_that_depends_on_a_record_in_flight_waits_with_it() {
    let (mut net, _) = started(&["a", "b"], 1);
    net.isolate("a");
    let on = net.propose("a", "x");
    net.input(node("a"), Input::Depend { ticket: 900, on });
    assert!(net.host("a").answers.is_empty());
    net.heal();
    net.pass(2_500);
    assert_eq!(net.host("a").answers[&900], net.host("a").answers[&on]);
    net.input(node("a"), Input::Depend { ticket: 901, on });
    assert!(matches!(net.host("a").answers[&901], Outcome::Done { durability: Durability::Replicated, .. }));
}

#[test]
fn inherited_records_commit_only_with_the_epoch_start() {
    let mut net = Net::new(&["a", "b", "c"]);
    let first = placement(1, "a", &["b", "c"], 2);
    for name in ["a", "b", "c"] {
        net.place(name, &first, false);
    }
    net.cut.insert((node("a"), node("c")));
    net.propose("a", "held by a and b only");
    assert_eq!(net.host("b").replica.durable().index, at(2));
    let before = net.host("b").replica.committed();
    assert!(before < at(2), "one of two acknowledgements: not committed");
    // B takes over; C is slow, so that C holds the inherited record before the EpochStart is fsynced there.
    net.heal();
    net.isolate("a");
    let mut second = moved(&first, "b", &["c"], net.host("b").replica.durable());
    (second.k, second.start_k) = (1, 1);
    net.hosts.get_mut(&node("c")).unwrap().slow = true;
    net.place("c", &second, false);
    net.place("b", &second, false);
    net.pass(500);
    assert_eq!(net.host("b").replica.committed(), before);
    assert_eq!(*net.host("b").replica.role(), Role::Opening { epoch: epoch(2) });
    net.disk_answers("c");
    net.pass(500);
    assert_eq!(net.host("b").replica.committed(), at(3));
    assert_eq!(*net.host("b").replica.role(), Role::Primary { epoch: epoch(2) });
}

#[test]
fn a_higher_epoch_stops_a_primary_at_once_and_a_lower_one_changes_nothing() {
    let (mut net, view) = started(&["a", "b"], 1);
    net.isolate("a");
    let ticket = net.propose("a", "x");
    net.input(node("a"), Input::Message { from: node("b"), message: Message::StepDown { epoch: epoch(2) } });
    assert_eq!(net.host("a").answers[&ticket], Outcome::Unknown);
    assert!(net.host("a").wants_placement);
    let refused = net.propose("a", "y");
    assert!(matches!(net.host("a").answers[&refused], Outcome::NotPrimary { .. }));
    // A local copy of the old placement does not bring it back; a confirmed one does.
    net.place("a", &view, false);
    assert_eq!(*net.host("a").replica.role(), Role::Fenced { epoch: epoch(2) });
    net.place("a", &view, true);
    net.heal();
    net.pass(3_000);
    assert_eq!(*net.host("a").replica.role(), Role::Primary { epoch: epoch(1) });

    let before = (net.host("b").disk.len(), net.host("b").replica.committed());
    net.place("b", &moved(&view, "b", &["a"], net.host("b").replica.durable()), false);
    let head = net.host("b").disk.len();
    let late = Message::Batch { epoch: epoch(1), records: Vec::new(), committed: at(99) };
    net.input(node("b"), Input::Message { from: node("a"), message: late });
    assert_eq!(net.host("b").disk.len(), head);
    assert!(net.host("b").replica.committed() <= at(head as u64) && before.0 < head);
    assert!(
        net.wire.iter().any(|(_, to, m)| *to == node("a") && *m == Message::StepDown { epoch: epoch(2) })
    );
}

#[test]
fn too_many_records_in_flight_are_refused_without_being_appended() {
    let (mut net, _) = started(&["a", "b"], 1);
    net.isolate("a");
    let head = net.host("a").disk.len();
    let max = Limits::default().in_flight_max;
    for _ in 0..max {
        net.propose("a", "x");
    }
    let ticket = net.propose("a", "one too many");
    assert_eq!(net.host("a").answers[&ticket], Outcome::Overloaded);
    assert_eq!(net.host("a").disk.len(), head + max);
}

#[test]
fn an_old_backup_restored_on_the_primary_is_an_alarm() {
    let mut net = Net::new(&["a", "b"]);
    let start = Position { epoch: epoch(1), index: at(5), digest: Digest::of(b"five") };
    let view = moved(&placement(1, "b", &["a"], 1), "a", &["b"], start);
    net.place("a", &view, false);
    assert_eq!(net.host("a").alarms, [Alarm::Behind { start, last: Position::ZERO }]);
    assert!(matches!(net.host("a").replica.role(), Role::Fenced { .. }));
}

#[test]
fn a_leaving_backup_stops_counting_before_its_removal_is_asked_for() {
    let (mut net, mut view) = started(&["a", "b", "c"], 1);
    view.version = 2;
    view.backups[0].leaving = true;
    net.place("a", &view, false);
    net.pass(300);
    assert_eq!(net.host("a").asked, [RegistryStep::InSyncRemove { version: 2, node: node("b") }]);
    net.cut.insert((node("a"), node("c")));
    let ticket = net.propose("a", "only b would confirm");
    assert!(!net.host("a").answers.contains_key(&ticket));
}

#[test]
fn a_backup_that_lost_what_it_only_had_in_memory_gets_it_again_within_the_same_second() {
    let (mut net, view) = started(&["a", "b", "c"], 1);
    let head = net.host("a").disk.len();
    net.restart("b");
    net.place("b", &view, false);
    // The backup receives records, its disk never takes them, and it restarts with the same last record as before.
    net.hosts.get_mut(&node("b")).unwrap().slow = true;
    for n in 0..4 {
        net.propose("a", &format!("received only {n}"));
    }
    net.pass(200);
    assert!(net.hosts[&node("a")].replica.peers().iter().any(|p| p.node == node("b")
        && p.received == at(head as u64 + 4)
        && p.durable.index == at(head as u64)));
    net.hosts.get_mut(&node("b")).unwrap().disk.truncate(head);
    net.restart("b");
    net.place("b", &view, false);
    net.pass(300);
    assert_eq!(net.host("b").disk.len(), head + 4, "the stream was started again where the disk ends");
}

#[test]
fn a_backup_whose_stream_went_past_it_introduces_itself_again() {
    let (mut net, view) = started(&["a", "b", "c"], 1);
    let head = net.host("a").disk.len();
    net.restart("b");
    net.place("b", &view, false);
    net.hosts.get_mut(&node("b")).unwrap().slow = true;
    net.propose("a", "received only");
    net.hosts.get_mut(&node("b")).unwrap().disk.truncate(head);
    net.restart("b");
    net.place("b", &view, false);
    // An acknowledgement of the process that is gone arrives after the hello of the new one.
    let received = at(head as u64 + 1);
    let durable = net.host("b").disk[head - 1].position();
    let late = Ack { epoch: epoch(1), received, durable, applied: durable, stamp: 1, kept: 0, whole: true };
    net.input(node("a"), Input::Message { from: node("b"), message: Message::Ack(late) });
    net.pass(10_000);
    assert_eq!(net.host("b").disk.len(), head + 1);
}

/// What it acknowledges lies far before the records that its primary remembers; it counts all the same.
#[test]
fn a_backup_far_behind_is_seen_to_advance_while_it_catches_up() {
    // Streaming is what is tried here.
    let limits = Limits { bootstrap_records: u64::MAX, ..Limits::default() };
    let mut net = Net::with_limits(&["a", "b"], limits);
    net.hosts.get_mut(&node("a")).unwrap().read_max = 500;
    let view = placement(1, "a", &["b"], 0);
    net.place("a", &view, false);
    for n in 0..20_000 {
        net.propose("a", &format!("written before it came {n}"));
    }
    net.hosts.get_mut(&node("b")).unwrap().slow = true;
    net.place("b", &view, false);
    net.pass(1_000);
    let b = net.host("b");
    assert_eq!(b.replica.last(), net.host("a").replica.last(), "everything is received");
    assert!(b.held.len() > 3, "and the disk owes several answers: {}", b.held.len());
    while let Some(answer) = net.hosts.get_mut(&node("b")).unwrap().held.pop_front() {
        net.input(node("b"), answer);
        net.run();
        assert_eq!(net.host("a").replica.peers()[0].durable, net.host("b").replica.durable());
    }
}
