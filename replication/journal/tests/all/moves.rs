//! Promises of a failover and of a planned switchover.

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
    (net, view)
}

fn seal(e: u64) -> Message {
    Message::Seal { epoch: epoch(e), move_id: move_id(9) }
}

#[test]
fn a_candidate_reports_only_after_its_promise_is_on_disk_and_keeps_it_through_a_restart() {
    let (mut net, view) = started(&["a", "b", "c"], 1);
    net.hosts.get_mut(&node("b")).unwrap().slow = true;
    net.input(node("b"), Input::Message { from: node("c"), message: seal(2) });
    net.run();
    assert!(net.host("c").reports.is_empty(), "no report before the fsync");
    net.disk_answers("b");
    assert_eq!(net.host("c").reports.len(), 1);
    assert_eq!(net.host("c").reports[0].last, net.host("b").replica.durable());

    net.restart("b");
    net.place("b", &view, false);
    let head = net.host("b").disk.len();
    net.isolate("c");
    net.propose("a", "late");
    net.pass(300);
    assert_eq!(net.host("b").disk.len(), head, "the old epoch is refused for ever");
    assert_eq!(*net.host("a").replica.role(), Role::Fenced { epoch: epoch(2) }, "and its primary is told so");
}

#[test]
fn a_laggard_copies_from_the_named_candidate_and_reports_when_it_is_there() {
    let (mut net, view) = started(&["a", "b", "c"], 1);
    net.cut.insert((node("a"), node("c")));
    for n in 0..5 {
        net.propose("a", &format!("c lacks {n}"));
    }
    net.isolate("a");
    for name in ["b", "c"] {
        let from = node(if name == "b" { "c" } else { "b" });
        net.input(node(name), Input::Message { from, message: seal(2) });
    }
    net.run();
    let to = net.host("b").replica.durable();
    let copy = Message::Copy { epoch: epoch(2), move_id: move_id(9), source: node("b"), to };
    net.input(node("c"), Input::Message { from: node("b"), message: copy });
    net.run();
    assert_eq!(net.host("c").replica.durable(), to);
    assert_eq!(net.host("b").reports.last().unwrap().last, to);
    let second = moved(&view, "c", &["b", "a"], to);
    for name in ["b", "c"] {
        net.place(name, &second, false);
    }
    net.pass(1_000);
    let ticket = net.propose("c", "goes on");
    assert!(matches!(
        net.host("c").answers[&ticket],
        Outcome::Done { durability: Durability::Replicated, .. }
    ));
}

fn switching(view: &PlacementView, to: &str, within_ms: u32) -> PlacementView {
    let state = ViewState::Switching { move_id: move_id(5), to: node(to), within_ms };
    PlacementView { version: view.version + 1, state, ..view.clone() }
}

/// The old primary has sent its commit.
fn proposed() -> (Net, PlacementView, RegistryStep) {
    let (mut net, view) = started(&["a", "b", "c"], 1);
    net.propose("a", "before");
    let view = switching(&view, "b", 60_000);
    for name in ["a", "b", "c"] {
        net.place(name, &view, false);
    }
    net.pass(500);
    let step = net.host("a").asked.last().unwrap().clone();
    assert!(matches!(step, RegistryStep::CommitSwitch { .. }), "{step:?}");
    (net, view, step)
}

#[test]
fn a_switchover_loses_nothing_and_refuses_nothing() {
    let (mut net, view, step) = proposed();
    let RegistryStep::CommitSwitch { version, start, in_sync, .. } = step else { unreachable!() };
    assert_eq!((version, start, in_sync), (2, net.host("a").replica.last(), vec![node("c")]));
    let held = net.propose("a", "held");
    assert_eq!(net.host("a").answers[&held], Outcome::Held, "not refused: forwarded when the role changes");
    let second = moved(&view, "b", &["a", "c"], start);
    for name in ["b", "a", "c"] {
        net.place(name, &second, false);
    }
    net.pass(1_000);
    let ticket = net.propose("b", "after");
    assert!(matches!(
        net.host("b").answers[&ticket],
        Outcome::Done { durability: Durability::Replicated, .. }
    ));
    assert_eq!(net.host("a").disk, net.host("b").disk);
    assert!(net.host("a").exported.is_empty());
}

#[test]
fn after_the_proposal_only_a_linearizable_placement_lets_the_old_primary_go_on() {
    let (mut net, view, _) = proposed();
    net.input(node("a"), Input::RegistryAnswered { move_id: move_id(5), applied: None });
    assert!(net.host("a").wants_placement);
    let aborted = PlacementView { version: 3, state: ViewState::Active, ..view };
    net.place("a", &aborted, false);
    let held = net.propose("a", "still held");
    assert_eq!(net.host("a").answers[&held], Outcome::Held);
    net.place("a", &aborted, true);
    net.pass(500);
    let ticket = net.propose("a", "goes on");
    assert!(matches!(net.host("a").answers[&ticket], Outcome::Done { .. }));
}

#[test]
fn a_restart_with_an_unresolved_switchover_opens_only_on_a_linearizable_placement() {
    let (mut net, view, _) = proposed();
    net.restart("a");
    net.place("a", &view, false);
    net.pass(500);
    assert!(net.host("a").wants_placement);
    assert_eq!(*net.host("a").replica.role(), Role::Opening { epoch: epoch(1) });
    // Still pending: the commit may be under way, so its end is asked for at the same version.
    net.place("a", &view, true);
    assert!(matches!(net.host("a").asked[..], [RegistryStep::AbortSwitch { version: 2, .. }]));
    let held = net.propose("a", "x");
    assert_eq!(net.host("a").answers[&held], Outcome::Held);
    net.place("a", &PlacementView { version: 3, state: ViewState::Active, ..view }, true);
    net.pass(1_500);
    assert_eq!(*net.host("a").replica.role(), Role::Primary { epoch: epoch(1) });
}

#[test]
fn a_switchover_whose_deadline_passes_before_the_proposal_is_given_up() {
    let (mut net, view) = started(&["a", "b", "c"], 1);
    net.isolate("b");
    net.propose("a", "b lacks this");
    let view = switching(&view, "b", 1_000);
    net.place("a", &view, false);
    net.pass(2_000);
    assert!(matches!(net.host("a").asked.last(), Some(RegistryStep::AbortSwitch { version: 2, .. })));
    let ticket = net.propose("a", "goes on");
    assert!(matches!(net.host("a").answers[&ticket], Outcome::Done { .. }));
}

#[test]
fn a_wall_clock_that_is_hours_wrong_neither_ends_a_switchover_at_once_nor_holds_requests_for_hours() {
    for wrong in [-3_600_000, 3_600_000] {
        let (mut net, view) = started(&["a", "b", "c"], 1);
        net.wall_off.insert(node("a"), wrong);
        net.isolate("b");
        net.propose("a", "b lacks this");
        let view = switching(&view, "b", 1_000);
        net.place("a", &view, false);
        net.pass(500);
        assert!(net.host("a").asked.is_empty(), "{wrong}: given up at once: {:?}", net.host("a").asked);
        net.pass(1_500);
        let last = net.host("a").asked.last();
        assert!(matches!(last, Some(RegistryStep::AbortSwitch { version: 2, .. })), "{wrong}: {last:?}");
    }
}

#[test]
fn a_late_answer_to_an_earlier_hello_cuts_nothing_off() {
    let (mut net, _) = started(&["a", "b"], 1);
    let of = net.host("b").replica.durable();
    let late = Message::HelloAnswer {
        epoch: epoch(1),
        answer: HelloAnswer::Stream { after: of, of, acked: JournalIndex::ZERO },
    };
    net.propose("a", "shipped since");
    net.isolate("a");
    net.pass(1_500); // B says hello again and hears nothing.
    net.input(node("b"), Input::Message { from: node("a"), message: late });
    net.pass(100);
    assert!(net.host("b").exported.is_empty());
    assert_eq!(net.host("b").disk.len(), 2);
}

#[test]
fn who_greeted_a_candidate_holds_nothing_of_the_epoch_that_it_opens_after_cutting_its_own_tail() {
    let (mut net, view) = started(&["a", "b", "c"], 2);
    let start = net.host("b").replica.durable();
    net.cut.insert((node("a"), node("c")));
    net.propose("a", "on two of three");
    for name in ["a", "b", "c"] {
        net.input(node(name), Input::Message { from: node("c"), message: seal(2) });
    }
    net.heal();
    net.run();
    // An order of a coordinator that had not heard of that record yet is carried out late.
    let second = PlacementView { k: 1, start_k: 1, proven_k: 1, ..moved(&view, "b", &["a", "c"], start) };
    net.place("a", &second, false);
    net.isolate("b");
    net.place("b", &second, false);
    net.pass(300);
    assert_eq!(net.host("b").disk.last().unwrap().header.epoch, epoch(2));
    assert_eq!(
        *net.host("b").replica.role(),
        Role::Opening { epoch: epoch(2) },
        "record 2 of a is another one than that of b"
    );
    net.heal();
    net.cut.insert((node("a"), node("b")));
    net.place("c", &second, false);
    net.pass(600);
    assert_eq!(*net.host("b").replica.role(), Role::Primary { epoch: epoch(2) });
    assert_eq!(net.host("a").applied, start.index, "that record 2 is committed is said of another one");
    net.heal();
    net.pass(1_500);
    assert_eq!(net.host("a").exported.len(), 1, "what a held alone is kept apart");
}
