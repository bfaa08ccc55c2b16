//! Return of an old primary that has applied its diverged tail: design §6, `replication.md` §4.7.
// Tests: an unwrap is an assertion.

use crate::support;

use eport_journal::*;
use eport_model::*;
use support::*;

/// A is primary without required acknowledgements, B follows; A writes `alone` records that only it holds and applies, then B
/// becomes primary of the next epoch and goes on. A knows, and has asked for rows.
fn returned(alone: usize) -> (Net, PlacementView) {
    let mut net = Net::new(&["a", "b"]);
    let view = placement(1, "a", &["b"], 0);
    for name in ["a", "b"] {
        net.place(name, &view, false);
    }
    net.pass(1_000);
    net.propose("a", "both hold this");
    net.pass(500);
    net.isolate("a");
    for n in 0..alone {
        net.propose("a", &format!("alone {n}"));
    }
    let second = moved(&view, "b", &["a"], net.host("b").replica.durable());
    let second = PlacementView { backups: vec![backup("a", false)], start_k: 0, ..second };
    net.place("b", &second, false);
    net.pass(500);
    net.propose("b", "the other side");
    net.heal();
    net.place("a", &second, false);
    net.pass(500);
    (net, second)
}

#[test]
fn what_was_applied_is_uploaded_then_rewound_then_removed_and_the_copies_are_equal() {
    let (mut net, second) = returned(3);
    let a = net.host("a");
    assert_eq!(a.exported.len(), 3);
    assert_eq!(a.uploads, [(second.start.index, node("b"))]);
    assert_eq!(a.rewinds, [(second.start, node("b"), epoch(2))]);
    assert_eq!(
        a.disk.len() as u64,
        second.start.index.as_u64() + 3,
        "nothing is removed before its rows are put back"
    );
    let at = net.host("b").replica.applied();
    net.rewound("a", Some(at));
    net.pass(1_000);
    assert_eq!(net.host("a").disk, net.host("b").disk);
    assert!(net.host("a").replica.rows_whole());
    assert_eq!(net.host("a").rewind, None);
    assert_eq!(*net.host("a").replica.role(), Role::Backup { epoch: epoch(2), primary: node("b") });
}

#[test]
fn a_node_is_not_taken_in_sync_before_its_rows_are_whole() {
    let (mut net, _) = returned(2);
    // The rows are as of a position that the source will reach later.
    let ahead = Position { index: at(50), ..net.host("b").replica.applied() };
    net.rewound("a", Some(ahead));
    net.pass(3_000);
    assert_eq!(net.host("a").disk, net.host("b").disk, "it follows");
    let asked = |net: &Net| net.host("b").asked.iter().any(|s| matches!(s, RegistryStep::InSyncAdd { .. }));
    assert!(!net.host("a").replica.rows_whole() && !asked(&net));
}

#[test]
fn rows_of_an_epoch_that_is_over_are_taken_again() {
    let (mut net, second) = returned(2);
    net.rewound("a", None);
    net.pass(500);
    assert!(net.host("a").rewinds.len() >= 2, "asked again, not given up");
    let taken = net.host("a").rewinds.len();
    let at = net.host("b").replica.applied();
    net.isolate("a");
    net.rewound("a", Some(at));
    // The same primary under a third epoch: whether those rows belong to its history is not for the node to guess.
    let third = moved(&second, "b", &[], net.host("b").replica.durable());
    let third = PlacementView { backups: vec![backup("a", false)], start_k: 0, ..third };
    net.place("b", &third, false);
    net.pass(500);
    net.place("a", &third, false);
    net.heal();
    net.pass(500);
    let again = &net.host("a").rewinds[taken..];
    assert!(again.iter().all(|(_, source, e)| *source == node("b") && *e == epoch(3)) && !again.is_empty());
    let at = net.host("b").replica.applied();
    net.rewound("a", Some(at));
    net.pass(1_000);
    assert_eq!(net.host("a").disk, net.host("b").disk);
    assert!(net.host("a").replica.rows_whole());
}

#[test]
fn a_restart_in_the_middle_starts_again_and_a_node_without_its_rows_never_serves() {
    let (mut net, second) = returned(2);
    net.restart("a");
    assert!(!net.host("a").replica.rows_whole());
    let named =
        PlacementView { start: net.host("a").replica.last(), ..moved(&second, "a", &["b"], second.start) };
    net.isolate("a");
    net.place("a", &named, true);
    net.pass(500);
    assert!(matches!(net.host("a").replica.role(), Role::Fenced { .. }));
    assert!(matches!(net.host("a").alarms.last(), Some(Alarm::NotWhole { at: None })));
}
