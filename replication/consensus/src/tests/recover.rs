//! A lost quorum: what the survivor holds is read, and a new group goes on from it.

use super::world::{PATIENCE, World, id, set, until};
use crate::recover::{refound, survey};
use eport_store::RegistryStore;

const THREE: [&str; 3] = ["p-1", "a-1", "b-1"];

/// The survivor's store; tasks of the stopped engine release the folder when they end.
async fn stopped(world: &mut World, name: &str) -> RegistryStore {
    world.stop(name).await;
    let dir = world.dirs[&id(name)].path().to_owned();
    let mut store = RegistryStore::open(&dir);
    while store.is_err() {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        store = RegistryStore::open(&dir);
    }
    store.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_survivor_of_a_lost_quorum_leads_a_new_group_with_everything_it_knew() {
    let mut world = World::founded(&THREE).await;
    world.node("p-1").propose(set("kept", "1"), PATIENCE).await.unwrap();
    let survivor = world.node("b-1").clone();
    until("the survivor knows it", || survivor.state().state.setting("kept") == Some("1")).await;
    drop(survivor);
    for lost in ["p-1", "a-1"] {
        world.stop(lost).await;
    }
    let store = stopped(&mut world, "b-1").await;
    let found = survey(&store).unwrap();
    assert_eq!(found.voters, [id("a-1"), id("b-1"), id("p-1")]);
    assert_eq!(found.state_through(found.last.index).setting("kept"), Some("1"));
    assert!(found.last >= found.committed && found.committed >= found.applied && found.term > 0);

    let dir = tempfile::tempdir().unwrap();
    let state = found.state_through(found.last.index);
    {
        let fresh = RegistryStore::open(dir.path()).unwrap();
        refound(&fresh, id("b-1"), &state, found.term, found.last.index).await.unwrap();
        assert!(refound(&fresh, id("b-1"), &state, found.term, found.last.index).await.is_err(), "only once");
    }
    drop(store);
    let mut next = World::default();
    let registry = next.start_over("b-1", RegistryStore::open(dir.path()).unwrap()).await;
    until("it leads alone", || registry.leader() == Some(id("b-1"))).await;
    assert_eq!(registry.voters(), [id("b-1")]);
    registry.propose(set("after", "1"), PATIENCE).await.unwrap();
    let view = registry.linearizable(PATIENCE).await.unwrap();
    assert_eq!((view.state.setting("kept"), view.state.setting("after")), (Some("1"), Some("1")));
    assert!(view.index > found.last.index && registry.term() > found.term);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_of_an_isolated_leader_counts_or_is_left_out_as_the_operator_chooses() {
    let mut world = World::founded(&THREE).await;
    let leader = world.leader_among(&THREE).await;
    world.node(&leader).propose(set("kept", "1"), PATIENCE).await.unwrap();
    world.hub.cut(id(&leader));
    // It still takes the command into its log: the majority that it no longer has answered a moment ago.
    let alone = world.node(&leader).clone();
    let _ = alone.propose(set("alone", "1"), std::time::Duration::from_millis(300)).await;
    drop(alone);
    let store = stopped(&mut world, &leader).await;
    let found = survey(&store).unwrap();
    assert_eq!(found.state_through(found.committed.index).setting("alone"), None);
    let committed = found.state_through(found.last.index);
    assert_eq!(committed.setting("kept"), Some("1"));
    assert_eq!(committed.setting("alone").is_some(), found.last > found.committed);
}

#[test]
fn a_node_that_never_took_part_has_nothing_to_recover_from() {
    let dir = tempfile::tempdir().unwrap();
    let found = survey(&RegistryStore::open(dir.path()).unwrap()).unwrap();
    assert!(found.voters.is_empty() && found.state.federation().is_none());
}
