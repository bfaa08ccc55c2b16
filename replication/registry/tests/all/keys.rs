//! Data keys: who may make and wrap them, and that no failover target is left without.

use crate::common;
use common::*;
use eport_model::{Digest, Timestamp};
use eport_registry::*;

fn name(id: &str) -> HolderName {
    id.parse().unwrap()
}

fn holder(id: &str, key: u8) -> Holder {
    Holder { name: name(id), public: [key; KEY_PUBLIC_LEN], at: Timestamp::default() }
}

fn wrap(id: &str, key: u8) -> Wrap {
    Wrap { holder: name(id), public: [key; KEY_PUBLIC_LEN], wrapped: vec![key; 80] }
}

fn data_key(id: u32, wraps: Vec<Wrap>) -> Op {
    Op::PutDataKey { region: region("440300"), id, check: Digest::of(&[id as u8]), wraps }
}

fn introduce(w: &mut World, id: &str, key: u8) {
    w.by_node(node(id), Op::PutHolder(holder(&format!("node/{id}"), key))).unwrap();
}

/// Platform 440300 with every holder known and its first key.
fn with_key() -> World {
    let mut w = World::with_platform();
    for (id, key) in [("sz-a-1", 1), ("gz-a-1", 2), ("gz-c-1", 3)] {
        introduce(&mut w, id, key);
    }
    let wraps = vec![wrap("node/sz-a-1", 1), wrap("node/gz-a-1", 2), wrap("node/gz-c-1", 3)];
    w.by_node(node("sz-a-1"), data_key(1, wraps)).unwrap();
    w
}

fn duties(w: &World, id: &str, key: u8) -> Vec<KeyDuty> {
    w.state.key_duties(node(id), &[key; KEY_PUBLIC_LEN])
}

#[test]
fn a_node_puts_only_its_own_key_and_a_recovery_key_is_never_replaced() {
    let mut w = World::with_platform();
    let other = Op::PutHolder(holder("node/gz-a-1", 9));
    assert!(matches!(w.by_node(node("sz-a-1"), other), Err(Refusal::NotEntitled { .. })));
    let recovery = |key| Op::PutHolder(holder("recovery/main", key));
    assert!(w.by_node(node("sz-a-1"), recovery(7)).is_err());
    w.operator(recovery(7)).unwrap();
    w.operator(recovery(7)).unwrap();
    assert!(matches!(w.operator(recovery(8)), Err(Refusal::AlreadyExists { .. })));
}

#[test]
fn a_data_key_is_made_by_the_primary_once_and_for_every_known_holder() {
    let mut w = World::with_platform();
    introduce(&mut w, "sz-a-1", 1);
    introduce(&mut w, "gz-a-1", 2);
    w.operator(Op::PutHolder(holder("recovery/main", 7))).unwrap();
    let all = || vec![wrap("node/sz-a-1", 1), wrap("node/gz-a-1", 2), wrap("recovery/main", 7)];
    assert!(w.by_node(node("gz-a-1"), data_key(1, all())).is_err(), "a backup makes no key");
    for left_out in 0..3 {
        let mut some = all();
        some.remove(left_out);
        assert!(w.by_node(node("sz-a-1"), data_key(1, some)).is_err(), "holder {left_out} left out");
    }
    let stale = vec![wrap("node/sz-a-1", 1), wrap("node/gz-a-1", 5), wrap("recovery/main", 7)];
    assert!(w.by_node(node("sz-a-1"), data_key(1, stale)).is_err(), "wrapped for a key that is not its");
    w.by_node(node("sz-a-1"), data_key(1, all())).unwrap();
    let again = w.by_node(node("sz-a-1"), data_key(1, all()));
    assert!(matches!(again, Err(Refusal::VersionConflict { current: 1, .. })));
    w.by_node(node("sz-a-1"), data_key(2, all())).unwrap();
    assert_eq!(w.state.data_keys(region("440300")).map(|k| k.id).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(State::from_rows(w.stored.clone()).unwrap(), w.state, "rows give the state back");
}

#[test]
fn a_backup_that_cannot_open_the_platform_is_never_in_sync() {
    let mut w = with_key();
    w.operator(Op::AddNode(new_node("sz-b-1", "gz-c", "440300"))).unwrap();
    let backups = sync(&["gz-a-1", "gz-c-1", "sz-b-1"]);
    w.set_policy(policy(DurabilityMode::Sync, 1), backups).unwrap();
    assert!(matches!(w.in_sync_add("sz-b-1"), Err(Refusal::Rule(_))));
    introduce(&mut w, "sz-b-1", 4);
    assert!(w.in_sync_add("sz-b-1").is_err());
    let expected = KeyDuty::Wrap {
        region: region("440300"),
        id: 1,
        holders: w.state.holders().filter(|h| h.name == name("node/sz-b-1")).cloned().collect(),
    };
    assert_eq!(duties(&w, "sz-a-1", 1), [expected]);
    let wraps = vec![wrap("node/sz-b-1", 4)];
    let add = Op::AddWraps { region: region("440300"), id: 1, check: Digest::of(&[1]), wraps };
    assert!(w.by_node(node("gz-a-2"), add.clone()).is_err(), "not a holder");
    let before = w.version();
    w.by_node(node("sz-a-1"), add).unwrap();
    assert_eq!(w.version(), before + 1, "the primary asks again under a newer placement");
    w.in_sync_add("sz-b-1").unwrap();
    assert_eq!(duties(&w, "sz-a-1", 1), []);
}

#[test]
fn a_node_with_a_new_key_gets_fresh_copies_from_whoever_can_open() {
    let mut w = with_key();
    assert_eq!(duties(&w, "sz-a-1", 6), [KeyDuty::Introduce]);
    introduce(&mut w, "sz-a-1", 6);
    assert!(!w.state.can_open(region("440300"), node("sz-a-1")));
    assert_eq!(duties(&w, "sz-a-1", 6), [], "it cannot open the key itself");
    assert!(matches!(&duties(&w, "gz-a-1", 2)[..], [KeyDuty::Wrap { id: 1, .. }]));
    assert_eq!(duties(&w, "gz-c-1", 3), [], "one node is enough");
    let wrong = Op::AddWraps {
        region: region("440300"),
        id: 1,
        check: Digest::of(b"another key"),
        wraps: vec![wrap("node/sz-a-1", 6)],
    };
    assert!(w.by_node(node("gz-a-1"), wrong).is_err());
}

#[test]
fn a_node_that_no_placement_names_gets_no_copy() {
    let mut w = with_key();
    introduce(&mut w, "gz-a-2", 5);
    assert_eq!(duties(&w, "sz-a-1", 1), []);
    let wraps = vec![wrap("node/gz-a-2", 5)];
    let add = Op::AddWraps { region: region("440300"), id: 1, check: Digest::of(&[1]), wraps };
    assert!(matches!(w.by_node(node("sz-a-1"), add), Err(Refusal::Rule(_))));
}

#[test]
fn a_rotation_is_asked_for_by_a_setting_and_made_by_the_primary_once() {
    let mut w = with_key();
    let ask = Setting { name: data_keys_setting(region("440300")), value: "2".into() };
    w.operator(Op::SetSetting(ask)).unwrap();
    assert!(matches!(duties(&w, "sz-a-1", 1)[..], [KeyDuty::Create { id: 2, .. }]));
    assert_eq!(duties(&w, "gz-a-1", 2), [], "a backup makes no key");
    let wraps = vec![wrap("node/sz-a-1", 1), wrap("node/gz-a-1", 2), wrap("node/gz-c-1", 3)];
    w.by_node(node("sz-a-1"), data_key(2, wraps)).unwrap();
    assert_eq!(duties(&w, "sz-a-1", 1), []);
    assert!(w.state.can_open(region("440300"), node("gz-c-1")));
}
