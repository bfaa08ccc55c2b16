//! Nodes that stop, restart, lag, are cut off, or lie.

use super::world::{PATIENCE, World, add_node, id, set, until};
use crate::message::{RaftReply, RaftRequest, decode, encode};
use crate::types::Peer;
use crate::{Error, ProposeError};
use eport_store::RegistryStore;
use eport_wire::Purpose;
use openraft::raft::VoteRequest;
use std::time::Duration;

const THREE: [&str; 3] = ["p-1", "a-1", "b-1"];

fn others(name: &str) -> Vec<&'static str> {
    THREE.into_iter().filter(|n| *n != name).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_leader_is_lost_another_leads_and_has_every_acknowledged_command() {
    let mut world = World::founded(&THREE).await;
    let leader = world.leader_among(&THREE).await;
    for n in 0..50 {
        world.node(THREE[n % 3]).propose(set(&format!("k{n}"), "v"), PATIENCE).await.unwrap();
    }
    let term = world.node(&leader).term();
    world.stop(&leader).await;
    let rest = others(&leader);
    let next = world.leader_among(&rest).await;
    assert!(world.node(&next).term() > term);
    let view = world.node(rest[1]).linearizable(PATIENCE).await.unwrap();
    assert!((0..50).all(|n| view.state.setting(&format!("k{n}")) == Some("v")));
    world.node(rest[0]).propose(set("after", "1"), PATIENCE).await.unwrap();

    world.start(&leader).await;
    let returned = world.node(&leader).clone();
    until("the old leader follows", || returned.state().state.setting("after") == Some("1")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_of_every_node_keeps_the_state() {
    let mut world = World::founded(&THREE).await;
    world.node("a-1").propose(set("kept", "1"), PATIENCE).await.unwrap();
    let digest = world.node("p-1").linearizable(PATIENCE).await.unwrap().state.digest();
    for name in THREE {
        world.stop(name).await;
    }
    for name in THREE {
        world.start(name).await;
    }
    world.leader_among(&THREE).await;
    for name in THREE {
        let view = world.node(name).linearizable(PATIENCE).await.unwrap();
        assert_eq!(view.state.digest(), digest);
    }
    world.node("b-1").propose(set("kept", "2"), PATIENCE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_lags_behind_the_purged_log_catches_up_by_snapshot() {
    let world = World { snapshots: Some((20, 0)), ..World::default() };
    let mut world = world.found(&THREE).await;
    let leader = world.leader_among(&THREE).await;
    let lagging = others(&leader)[0];
    world.stop(lagging).await;
    let last_seen = world.node(&leader).state().index;
    for n in 0..100 {
        world.node(&leader).propose(set("n", &n.to_string()), PATIENCE).await.unwrap();
    }
    let metrics = world.node(&leader).metrics();
    until("the log it needs is purged", || metrics.borrow().purged.is_some_and(|p| p.index > last_seen))
        .await;

    let returned = world.start(lagging).await;
    let wanted = world.node(&leader).linearizable(PATIENCE).await.unwrap();
    until("it caught up", || returned.state().index >= wanted.index).await;
    assert_eq!(returned.state().state.digest(), wanted.state.digest());
    let installed = returned.metrics().borrow().snapshot.map_or(0, |s| s.index);
    assert!(installed > last_seen, "snapshot at {installed}, was at {last_seen}");
    // What was installed is on disk as well.
    drop(returned);
    world.stop(lagging).await;
    let returned = world.start(lagging).await;
    assert!(returned.state().index >= installed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_cut_off_never_answers_success_and_its_command_takes_effect_once() {
    let world = World::founded(&THREE).await;
    let leader = world.leader_among(&THREE).await;
    let rest = others(&leader);
    world.hub.cut(id(&leader));
    let cut_off = world.node(&leader);
    // The first may still be taken by a leader that believes in itself, the second is refused at once by the gate.
    let early = set("x", "early");
    let first = cut_off.propose(early.clone(), Duration::from_secs(2)).await;
    assert!(matches!(first, Err(ProposeError::Unknown(_) | ProposeError::NoLeader)), "{first:?}");
    let second = cut_off.propose(set("x", "late"), Duration::from_millis(500)).await;
    assert_eq!(second, Err(ProposeError::NoLeader));
    assert!(matches!(cut_off.linearizable(Duration::from_millis(500)).await, Err(Error::NoLeader(_))));

    world.leader_among(&rest).await;
    world.node(rest[0]).propose(early.clone(), PATIENCE).await.unwrap();
    world.node(rest[1]).propose(set("x", "final"), PATIENCE).await.unwrap();
    world.hub.heal();
    cut_off.propose(early, PATIENCE).await.unwrap();
    let view = cut_off.linearizable(PATIENCE).await.unwrap();
    assert_eq!(view.state.setting("x"), Some("final"));
}

/// While it is away it asks for an election again and again; nobody consents, so its term does not rise.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_voter_that_was_cut_off_comes_back_without_unseating_the_leader() {
    let world = World::founded(&THREE).await;
    let leader = world.leader_among(&THREE).await;
    let away = others(&leader)[0];
    let term = world.node(&leader).term();
    world.hub.cut(id(away));
    // Long enough for several elections: each is asked for at the least silence and decided within two.
    let asked = world.hub.asked();
    until("it asked many times", || world.hub.asked() >= asked + 40).await;
    world.node(&leader).propose(set("meanwhile", "1"), PATIENCE).await.unwrap();
    world.hub.heal();
    let returned = world.node(away);
    until("it follows again", || returned.state().state.setting("meanwhile") == Some("1")).await;
    for name in THREE {
        let node = world.node(name);
        assert_eq!((node.leader(), node.term()), (Some(id(&leader)), term), "at {name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_voter_is_replaced_by_a_healthy_learner() {
    let world = World { dead_after: Some(Duration::from_millis(500)), ..World::default() };
    let mut world = world.found(&["p-1", "a-1", "b-1", "b-2"]).await;
    let leader = world.leader_among(&["p-1", "a-1", "b-1", "b-2"]).await;
    let voters = world.node(&leader).voters();
    let victim = voters.iter().find(|v| **v != id(&leader)).unwrap().to_string();
    world.stop(&victim).await;
    let node = world.node(&leader).clone();
    until("a substitute votes", || node.voters().len() == 3 && !node.voters().contains(&id(&victim))).await;
    node.propose(set("alive", "1"), PATIENCE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_in_the_name_of_another_node_is_refused() {
    let world = World::founded(&THREE).await;
    let node = world.node("p-1");
    let term = node.term();
    let vote = crate::types::Vote::new(term + 10, Peer(id("a-1")));
    let request = encode(&RaftRequest::Vote(VoteRequest { vote, last_log_id: None }));
    let answer = node.handle(id("b-1"), Purpose::Raft, request).await;
    assert!(matches!(decode(Purpose::Raft, &answer).unwrap(), RaftReply::Failed(_)));
    for garbage in [&b""[..], b"\x01\xff\xff\xff\xff", b"\x09abc"] {
        let answer = node.handle(id("b-1"), Purpose::Raft, garbage.to_vec().into()).await;
        assert!(matches!(decode(Purpose::Raft, &answer).unwrap(), RaftReply::Failed(_)));
        node.handle(id("b-1"), Purpose::Registry, garbage.to_vec().into()).await;
    }
    assert_eq!(node.term(), term);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_log_stops_the_node_and_is_reported() {
    let mut world = World::default();
    let dir = tempfile::tempdir().unwrap();
    let store = RegistryStore::open(dir.path()).unwrap();
    let node = world.start_over("p-1", store.clone()).await;
    let mut world = world.found_on_started("p-1", &["p", "a"]).await;
    let mut batch = store.batch();
    batch.put_log(1, b"\x01damaged");
    store.write(batch).unwrap();
    let mut fatal = node.fatal();
    assert_eq!(*fatal.borrow(), None);
    world.start("a-1").await;
    // A new learner needs the damaged entry. The command itself may or may not be answered before the engine stops.
    let _ = node.propose(add_node("a-1"), Duration::from_secs(2)).await;
    let reason =
        tokio::time::timeout(PATIENCE, fatal.wait_for(Option::is_some)).await.unwrap().unwrap().clone();
    assert!(reason.is_some());
    let answer = node.propose(set("x", "1"), Duration::from_millis(300)).await;
    assert!(answer.is_err(), "{answer:?}");
}
