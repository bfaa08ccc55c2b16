//! Bodies that must go by law: who orders it, and that an order names what it means.
// Tests: an unwrap is an assertion, and they read the real clock.

use crate::common;
use common::*;
use eport_model::{Digest, JournalIndex};
use eport_registry::*;

fn target(record: u64, content: &[u8]) -> EraseTarget {
    EraseTarget { record: JournalIndex::from_u64(record), body: 0, digest: Digest::of(content) }
}

fn order(targets: Vec<EraseTarget>, reason: &str, authority: &str) -> Op {
    Op::Erase { region: region("440300"), targets, reason: reason.into(), authority: authority.into() }
}

#[test]
fn only_an_operator_orders_it_and_says_why_and_by_what_authority() {
    let mut w = World::with_platform();
    let one = || vec![target(7, b"personal")];
    assert!(w.by_node(node("sz-a-1"), order(one(), "asked", "order 7")).is_err(), "a person decides");
    assert!(w.operator(order(one(), "  ", "order 7")).is_err());
    assert!(w.operator(order(one(), "asked", "")).is_err());
    assert!(w.operator(order(Vec::new(), "asked", "order 7")).is_err());
    assert!(w.operator(order(vec![target(0, b"x")], "asked", "order 7")).is_err());
    let many = (1..=ERASED_AT_ONCE as u64 + 1).map(|n| target(n, b"x")).collect();
    assert!(w.operator(order(many, "asked", "order 7")).is_err());
    assert_eq!(w.state.erasures(region("440300")).count(), 0);
    w.operator(order(one(), "asked", "order 7")).unwrap();
    let known = w.state.erasure(region("440300"), &target(7, b"personal")).unwrap();
    assert_eq!((known.reason.as_str(), known.authority.as_str()), ("asked", "order 7"));
    assert!(w.state.erasure(region("440300"), &target(7, b"other")).is_none(), "a body, not a place");
    let other =
        Op::Erase { region: region("440100"), targets: one(), reason: "a".into(), authority: "b".into() };
    assert!(w.operator(other).is_err(), "there is no such platform");
}

#[test]
fn an_order_given_twice_is_one_and_survives_in_the_rows() {
    let mut w = World::with_platform();
    w.operator(order(vec![target(7, b"a"), target(8, b"b")], "first", "order 7")).unwrap();
    w.operator(order(vec![target(7, b"a")], "second", "order 8")).unwrap();
    let orders: Vec<_> = w.state.erasures(region("440300")).map(|e| e.reason.clone()).collect();
    assert_eq!(orders, ["first", "first"]);
    let again = State::from_rows(w.state.rows()).unwrap();
    assert_eq!(again, w.state);
}

#[test]
fn so_many_bodies_are_kept_account_of_and_no_more() {
    let mut w = World::with_platform();
    let records: Vec<u64> = (1..=ERASURES_KEPT as u64).collect();
    for some in records.chunks(ERASED_AT_ONCE) {
        w.operator(order(some.iter().map(|n| target(*n, b"x")).collect(), "asked", "order 7")).unwrap();
    }
    assert!(w.operator(order(vec![target(ERASURES_KEPT as u64 + 1, b"x")], "asked", "order 7")).is_err());
    w.operator(order(vec![target(7, b"x")], "asked again", "order 7")).unwrap();
}
