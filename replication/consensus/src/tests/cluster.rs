//! Three nodes and more, in good times.

use super::world::{PATIENCE, World, add_node, id, remove_node, set, until};
use crate::{Config, Profile, ProposeError};
use eport_registry::{Outcome, Refusal};
use std::time::Duration;

const THREE: [&str; 3] = ["p-1", "a-1", "b-1"];

fn all_see(world: &World, name: &str, value: &str) -> bool {
    world.nodes().all(|n| n.state().state.setting(name) == Some(value))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_join_become_learners_and_then_three_voters_on_distinct_sites() {
    let world = World::founded(&["p-1", "p-2", "a-1", "b-1"]).await;
    let p1 = world.node("p-1");
    until("distinct sites", || {
        let mut voters = p1.voters();
        voters.retain(|v| *v != id("p-1") && *v != id("p-2"));
        p1.voters().len() == 3 && voters == [id("a-1"), id("b-1")]
    })
    .await;
    // The fourth learns everything without a vote.
    p1.propose(set("seen", "1"), PATIENCE).await.unwrap();
    until("everybody applied it", || all_see(&world, "seen", "1")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn founding_again_changes_nothing() {
    let world = World::founded(&["p-1"]).await;
    let node = world.node("p-1");
    let digest = node.state().state.digest();
    node.found(vec![]).await.unwrap();
    assert_eq!(node.state().state.digest(), digest);
    assert_eq!((node.voters(), node.is_leader()), (vec![id("p-1")], true));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_proposed_on_any_node_is_forwarded_and_refusals_come_back() {
    let world = World::founded(&THREE).await;
    for (n, name) in THREE.iter().enumerate() {
        let outcome = world.node(name).propose(set("who", &n.to_string()), PATIENCE).await;
        assert_eq!(outcome, Ok(Outcome::Done));
    }
    until("everybody applied it", || all_see(&world, "who", "2")).await;
    let unknown_site = world.node("b-1").propose(add_node("nowhere-1"), PATIENCE).await;
    assert!(matches!(unknown_site, Err(ProposeError::Refused(Refusal::NotFound { .. }))), "{unknown_site:?}");
    let big = world.node("a-1").propose(set("big", &"x".repeat(600 << 10)), PATIENCE).await;
    assert!(matches!(big, Err(ProposeError::Refused(Refusal::Invalid { .. }))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_command_takes_effect_once_whichever_node_it_is_given_to() {
    let world = World::founded(&THREE).await;
    let first = set("x", "first");
    world.node("a-1").propose(first.clone(), PATIENCE).await.unwrap();
    world.node("b-1").propose(set("x", "second"), PATIENCE).await.unwrap();
    for name in THREE {
        assert_eq!(world.node(name).propose(first.clone(), PATIENCE).await, Ok(Outcome::Done));
    }
    until("everybody applied it", || all_see(&world, "x", "second")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_linearizable_read_on_any_node_sees_the_last_acknowledged_write() {
    let world = World::founded(&THREE).await;
    for n in 0..30usize {
        let value = n.to_string();
        world.node(THREE[n % 3]).propose(set("n", &value), PATIENCE).await.unwrap();
        let view = world.node(THREE[(n + 1) % 3]).linearizable(PATIENCE).await.unwrap();
        assert_eq!(view.state.setting("n"), Some(value.as_str()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_that_come_together_share_log_entries() {
    let world = World::founded(&["p-1"]).await;
    let node = world.node("p-1").clone();
    let before = node.state().index;
    let tasks: Vec<_> = (0..500)
        .map(|n| {
            let node = node.clone();
            tokio::spawn(async move { node.propose(set(&format!("k{n}"), "v"), PATIENCE).await })
        })
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    assert!((0..500).all(|n| node.state().state.setting(&format!("k{n}")) == Some("v")));
    let entries = node.state().index - before;
    assert!(entries < 250, "{entries} entries for 500 commands");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_node_stops_voting_leaves_the_group_and_is_refused() {
    let world = World::founded(&["p-1", "a-1", "b-1", "b-2"]).await;
    let leader = world.leader_among(&["p-1", "a-1", "b-1", "b-2"]).await;
    let victim = ["a-1", "p-1"].into_iter().find(|n| *n != leader).unwrap();
    let node = world.node(&leader);
    node.propose(remove_node(victim), PATIENCE).await.unwrap();
    until("it left the group", || node.voters().len() == 3 && !node.voters().contains(&id(victim))).await;
    let answer = world.node(victim).propose(set("from_outside", "1"), Duration::from_secs(3)).await;
    assert!(answer.is_err(), "{answer:?}");
    assert_eq!(node.state().state.setting("from_outside"), None);
}

#[test]
fn profiles_keep_the_order_that_openraft_needs() {
    for profile in [Profile::Lan, Profile::Default, Profile::Wan] {
        assert!(
            profile.heartbeat() < profile.election_min() && profile.election_min() < profile.election_max()
        );
        Config::new(id("p-1"), profile).raft().unwrap();
    }
    assert_eq!("wan".parse(), Ok(Profile::Wan));
    assert!("fast".parse::<Profile>().is_err());
}
