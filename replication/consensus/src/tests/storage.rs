//! The storage under openraft.

use super::world::{command, set};
use crate::log::LogStore;
use crate::machine::{Machine, read_snapshot};
use crate::types::{Batch, Entry, Group, LogId, Peer, StorageError};
use eport_registry::{Op, State};
use eport_store::RegistryStore;
use openraft::storage::RaftStateMachine;
use openraft::testing::{StoreBuilder, Suite};
use openraft::{CommittedLeaderId, EntryPayload, RaftSnapshotBuilder};
use tempfile::TempDir;

/// The suite names nodes by number; 0 must be the default id.
impl From<u64> for Peer {
    fn from(n: u64) -> Self {
        if n == 0 { Self::default() } else { Self(format!("n{n}").parse().unwrap()) }
    }
}

struct Builder;

impl StoreBuilder<Group, LogStore, Machine, TempDir> for Builder {
    async fn build(&self) -> Result<(TempDir, LogStore, Machine), StorageError> {
        let dir = tempfile::tempdir().unwrap();
        let store = RegistryStore::open(dir.path()).unwrap();
        let machine = Machine::open(store.clone()).unwrap();
        Ok((dir, LogStore::new(store), machine))
    }
}

#[test]
fn the_store_passes_the_suite_of_openraft() {
    Suite::test_all(Builder).unwrap();
}

fn entry(index: u64, payload: EntryPayload<Group>) -> Entry {
    Entry { log_id: LogId::new(CommittedLeaderId::new(1, Peer::from(1)), index), payload }
}

fn found() -> Entry {
    let federation = eport_registry::Federation {
        name: "test".into(),
        lineage: Default::default(),
        domain: "test.example".parse().unwrap(),
        province: "440000".parse().unwrap(),
        mode: eport_registry::Mode::Dev,
        two_person: false,
        created: Default::default(),
    };
    entry(1, EntryPayload::Normal(Batch(vec![command(Op::Found(federation))])))
}

fn writes(index: u64, value: &str) -> Entry {
    entry(index, EntryPayload::Normal(Batch(vec![set("a_setting", value), set("other", value)])))
}

#[tokio::test]
async fn stored_rows_are_always_the_state_after_the_stored_log_id() {
    let dir = tempfile::tempdir().unwrap();
    let store = RegistryStore::open(dir.path()).unwrap();
    let mut machine = Machine::open(store.clone()).unwrap();
    let answers = machine.apply([found(), writes(2, "1"), writes(3, "2")]).await.unwrap();
    assert!(answers.iter().flat_map(|a| &a.0).all(Result::is_ok), "{answers:?}");
    assert_eq!(answers.iter().map(|a| a.0.len()).collect::<Vec<_>>(), [1, 2, 2]);
    let view = machine.board().view();
    assert_eq!(State::from_rows(store.rows().unwrap()).unwrap(), view.state);

    drop(machine);
    let mut machine = Machine::open(store).unwrap();
    assert_eq!(machine.board().view().state, view.state);
    assert_eq!(machine.applied_state().await.unwrap().0.unwrap().index, 3);
}

#[tokio::test]
async fn a_view_that_somebody_holds_does_not_change_under_them() {
    let dir = tempfile::tempdir().unwrap();
    let mut machine = Machine::open(RegistryStore::open(dir.path()).unwrap()).unwrap();
    machine.apply([found(), writes(2, "1")]).await.unwrap();
    let before = machine.board().view();
    machine.apply([writes(3, "2")]).await.unwrap();
    assert_eq!((before.index, before.state.setting("other")), (2, Some("1")));
    let after = machine.board().view();
    assert_eq!((after.index, after.state.setting("other")), (3, Some("2")));
}

#[tokio::test]
async fn a_snapshot_newer_than_the_rows_is_installed_at_start() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut source = Machine::open(RegistryStore::open(from.path()).unwrap()).unwrap();
    source.apply([found(), writes(2, "1")]).await.unwrap();
    let snapshot = source.get_snapshot_builder().await.build_snapshot().await.unwrap();
    assert_eq!(read_snapshot(&snapshot.snapshot).unwrap().0, snapshot.meta);

    // As a crash leaves it between the two steps of an installation: the file is there, the rows are not replaced.
    let store = RegistryStore::open(to.path()).unwrap();
    store.adopt_snapshot(2, &snapshot.snapshot).unwrap();
    let mut target = Machine::open(store.clone()).unwrap();
    assert_eq!(target.board().view().state, source.board().view().state);
    assert_eq!(target.applied_state().await.unwrap(), source.applied_state().await.unwrap());
    assert_eq!(State::from_rows(store.rows().unwrap()).unwrap(), target.board().view().state);
}

#[tokio::test]
async fn a_damaged_snapshot_is_passed_over_for_an_older_one() {
    let dir = tempfile::tempdir().unwrap();
    let store = RegistryStore::open(dir.path()).unwrap();
    let mut machine = Machine::open(store.clone()).unwrap();
    machine.apply([found()]).await.unwrap();
    let older = machine.get_snapshot_builder().await.build_snapshot().await.unwrap();
    machine.apply([writes(2, "1")]).await.unwrap();
    let newer = machine.get_snapshot_builder().await.build_snapshot().await.unwrap();
    let mut bytes = std::fs::read(newer.snapshot.path()).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(newer.snapshot.path(), bytes).unwrap();
    drop(machine);

    let mut machine = Machine::open(store).unwrap();
    assert_eq!(machine.board().view().index, 2);
    assert_eq!(machine.get_current_snapshot().await.unwrap().unwrap().meta, older.meta);
}
