//! The double failover of `replication.md` §4.12: three histories, two forks, nothing mixed.

use crate::support;
use eport_journal::*;
use eport_model::*;
use support::*;

fn fill(net: &mut Net, name: &str, count: usize, tag: &str) {
    for n in 0..count {
        net.propose(name, &format!("{tag}-{n}"));
    }
}

/// A: e1[1..12] · B: e1[1..8] e2[9,10] · C: e1[1..8] e2[9] e3[10..20]. Under sync(1), so that no tail is applied.
fn three_histories() -> (Net, PlacementView) {
    let mut net = Net::new(&["a", "b", "c"]);
    let first = placement(1, "a", &["b", "c"], 1);
    for name in ["a", "b", "c"] {
        net.place(name, &first, false);
    }
    fill(&mut net, "a", 7, "one"); // EpochStart is record 1.
    assert_eq!(net.host("c").replica.durable().index, at(8));
    net.isolate("a");
    fill(&mut net, "a", 4, "cut off");
    assert_eq!(net.host("a").disk.len(), 12);

    let second = moved(&first, "b", &["a", "c"], net.host("b").replica.durable());
    net.place("b", &second, false);
    net.place("c", &second, false);
    assert_eq!(net.host("c").replica.durable().index, at(9), "C holds 9'");
    net.isolate("c");
    fill(&mut net, "b", 1, "two");
    assert_eq!(net.host("b").disk.len(), 10);
    net.isolate("b");

    let mut third = moved(&second, "c", &["a", "b"], net.host("c").replica.durable());
    third.start_k = 0;
    third.k = 0;
    net.place("c", &third, false);
    fill(&mut net, "c", 10, "three");
    assert_eq!(net.host("c").disk.len(), 20);
    (net, third)
}

#[test]
fn a_double_failover_exports_each_diverged_tail_and_ends_in_one_history() {
    let (mut net, third) = three_histories();
    net.heal();
    for name in ["b", "a"] {
        net.restart(name);
        net.place(name, &third, false);
    }
    net.pass(3_000);

    let indexes = |name: &str| net.host(name).exported.iter().map(|r| r.index().as_u64()).collect::<Vec<_>>();
    assert_eq!(indexes("b"), [10], "B keeps 9' and exports 10'");
    assert_eq!(indexes("a"), [9, 10, 11, 12], "A keeps 1..8 and exports the rest");
    for name in ["a", "b"] {
        assert_eq!(net.host(name).disk, net.host("c").disk, "{name} follows C's history");
        assert!(net.host(name).alarms.is_empty(), "{:?}", net.host(name).alarms);
    }
    let epochs: Vec<u64> =
        net.host("a").replica.history().entries().iter().map(|e| e.first.as_u64()).collect();
    assert_eq!(epochs, [1, 9, 10]);
}

#[test]
fn equal_place_with_another_digest_is_an_alarm_and_never_repaired() {
    let mut net = Net::new(&["a", "b"]);
    let view = placement(1, "a", &["b"], 1);
    // B holds another record 1 under the same epoch: impossible without corruption.
    net.place("a", &view, false);
    let kind =
        RecordKind::EpochStart { primary: node("x"), previous: Epoch::NONE, move_id: MoveId::default() };
    let draft = Draft::bare(kind, Timestamp::from_millis(5));
    let other = Record::seal(draft, lineage(), region(), epoch(1), &Position::ZERO, Timestamp::default());
    net.hosts.get_mut(&node("b")).unwrap().disk.push(other.into());
    net.restart("b");
    net.place("b", &view, false);
    net.pass(3_000);
    assert!(matches!(net.host("b").alarms[..], [Alarm::Corruption { .. }]), "{:?}", net.host("b").alarms);
    assert_eq!(net.host("b").disk.len(), 1);
    assert!(matches!(net.host("b").replica.role(), Role::Fenced { .. }));
    assert_eq!(net.host("a").replica.committed(), at(0), "nothing is confirmed by it");
}
