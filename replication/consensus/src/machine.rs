//! openraft's state machine: `registry::State` in memory, its rows in [`RegistryStore`].
//!
//! Applying writes the changed rows, the applied log id and the membership in one batch, so the stored state is always the
//! state after some entry. Applying is not synced: after a crash openraft applies the committed entries above the stored
//! log id again. The view is copied on write: a reader's `Arc` never changes, and only a reader that still holds one
//! makes the next apply copy.

use crate::Error;
use crate::types::{
    Entry, Group, IoError, LogId, Membership, Outcomes, Snapshot, SnapshotMeta, StorageError, decode,
    index_of,
};
use eport_model::codec;
use eport_registry::{RowChange, State};
use eport_store::RegistryStore;
use eport_store::registry::{SnapshotContent, SnapshotFile};
use openraft::storage::RaftStateMachine;
use openraft::{AnyError, EntryPayload, ErrorSubject, ErrorVerb, OptionalSend, RaftSnapshotBuilder};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::sync::watch;

pub(crate) const APPLIED: &str = "applied";
pub(crate) const MEMBERSHIP: &str = "membership";

/// The registry as this node knows it.
#[derive(Clone, Debug)]
pub struct View {
    /// The state.
    pub state: State,
    /// Log index of the last applied entry; 0 before the first.
    pub index: u64,
    /// When that entry was applied here.
    pub applied: Instant,
}

/// What readers share with the state machine.
pub(crate) struct Board {
    view: Mutex<Arc<View>>,
    index: watch::Sender<u64>,
}

impl Board {
    fn new(view: View) -> Self {
        let index = watch::Sender::new(view.index);
        Self { view: Mutex::new(Arc::new(view)), index }
    }

    pub(crate) fn view(&self) -> Arc<View> {
        self.lock().clone()
    }

    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.index.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, Arc<View>> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The state machine of one node.
pub(crate) struct Machine {
    store: RegistryStore,
    board: Arc<Board>,
    applied: Option<LogId>,
    membership: Membership,
    /// The newest complete snapshot; shared with its builder.
    current: Arc<Mutex<Option<(SnapshotMeta, SnapshotFile)>>>,
}

impl Machine {
    /// Loads the stored state. A snapshot that a crash left newer than the rows is installed first.
    pub(crate) fn open(store: RegistryStore) -> Result<Self, Error> {
        let applied: Option<LogId> = mark(&store, APPLIED)?.flatten();
        let membership: Membership = mark(&store, MEMBERSHIP)?.unwrap_or_default();
        let state = State::from_rows(store.rows()?)?;
        let view = View { state, index: index_of(&applied), applied: Instant::now() };
        let current = newest_snapshot(&store)?;
        let mut machine =
            Self { store, board: Arc::new(Board::new(view)), applied, membership, current: Arc::default() };
        if let Some((meta, file, content)) = current {
            if meta.last_log_id > machine.applied {
                machine.replace(&meta, &content)?;
            }
            *lock(&machine.current) = Some((meta, file));
        }
        Ok(machine)
    }

    pub(crate) fn board(&self) -> Arc<Board> {
        self.board.clone()
    }

    /// Replaces the whole state, in memory and in the rows.
    fn replace(&mut self, meta: &SnapshotMeta, content: &SnapshotContent) -> Result<(), Error> {
        let state = State::from_rows(content.rows.iter().map(|(k, v)| (k, v)))?;
        let marks =
            [(APPLIED, codec::encode(&meta.last_log_id)), (MEMBERSHIP, codec::encode(&meta.last_membership))];
        let rows = content.rows.iter().map(|(k, v)| (k.as_slice(), v.as_slice()));
        self.store.replace_rows(rows, &marks)?;
        self.applied = meta.last_log_id;
        self.membership = meta.last_membership.clone();
        let index = index_of(&self.applied);
        *self.board.lock() = Arc::new(View { state, index, applied: Instant::now() });
        self.board.index.send_replace(index);
        Ok(())
    }

    /// Applies entries in memory; returns the answers and the rows to store.
    fn advance(&mut self, entries: impl Iterator<Item = Entry>) -> (Vec<Outcomes>, Vec<RowChange>) {
        let (mut answers, mut rows) = (Vec::new(), Vec::new());
        let mut guard = self.board.lock();
        let view = Arc::make_mut(&mut guard);
        for entry in entries {
            let mut outcomes = Vec::new();
            match entry.payload {
                EntryPayload::Blank => {}
                EntryPayload::Normal(batch) => {
                    for command in &batch.0 {
                        let applied = view.state.apply(command);
                        outcomes.push(applied.outcome);
                        rows.extend(applied.rows);
                    }
                }
                EntryPayload::Membership(members) => {
                    self.membership = Membership::new(Some(entry.log_id), members);
                }
            }
            self.applied = Some(entry.log_id);
            answers.push(Outcomes(outcomes));
        }
        view.index = index_of(&self.applied);
        view.applied = Instant::now();
        (answers, rows)
    }

    fn save(&self, rows: &[RowChange]) -> Result<(), eport_store::registry::Error> {
        let mut batch = self.store.batch();
        for row in rows {
            match &row.value {
                Some(value) => batch.put_row(&row.key, value),
                None => batch.delete_row(&row.key),
            }
        }
        batch.put_mark(APPLIED, &codec::encode(&self.applied));
        batch.put_mark(MEMBERSHIP, &codec::encode(&self.membership));
        self.store.write(batch)
    }
}

fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn mark<T: serde::de::DeserializeOwned>(
    store: &RegistryStore,
    name: &'static str,
) -> Result<Option<T>, Error> {
    store.mark(name)?.map(|bytes| decode(name, &bytes)).transpose()
}

/// The newest snapshot that is whole. A damaged one is skipped: the rows and the log still hold everything.
pub(crate) fn newest_snapshot(
    store: &RegistryStore,
) -> Result<Option<(SnapshotMeta, SnapshotFile, SnapshotContent)>, Error> {
    for file in store.snapshots()? {
        match read_snapshot(&file) {
            Ok((meta, content)) => return Ok(Some((meta, file, content))),
            Err(e) => {
                tracing::warn!(file = %file.path().display(), error = %e, "registry snapshot is not usable")
            }
        }
    }
    Ok(None)
}

/// Reads and checks a snapshot file.
pub(crate) fn read_snapshot(file: &SnapshotFile) -> Result<(SnapshotMeta, SnapshotContent), Error> {
    let content = file.read()?;
    Ok((decode("snapshot header", &content.header)?, content))
}

fn failed(
    subject: ErrorSubject<crate::types::Peer>,
    verb: ErrorVerb,
    e: impl std::error::Error + 'static,
) -> StorageError {
    IoError::new(subject, verb, AnyError::new(&e)).into()
}

impl RaftStateMachine<Group> for Machine {
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, Membership), StorageError> {
        Ok((self.applied, self.membership.clone()))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<Outcomes>, StorageError>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let (answers, rows) = self.advance(entries.into_iter());
        let write = |e| failed(ErrorSubject::StateMachine, ErrorVerb::Write, e);
        self.save(&rows).map_err(write)?;
        if !rows.is_empty() {
            // Followers of the view act on placements: a power cut must not take them back to an older one, under which
            // fewer acknowledgements may have counted. openraft would apply the entry again, but only after it hears a leader.
            match self.store.sync().await {
                Ok(synced) => synced.map_err(write)?,
                // The sync thread ends only with the store itself.
                Err(gone) => return Err(failed(ErrorSubject::StateMachine, ErrorVerb::Write, gone)),
            }
        }
        self.board.index.send_replace(index_of(&self.applied));
        Ok(answers)
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        Builder {
            store: self.store.clone(),
            view: self.board.view(),
            applied: self.applied,
            membership: self.membership.clone(),
            current: self.current.clone(),
        }
    }

    /// Snapshots arrive through `inbox`, which makes its own file; nothing is prepared here.
    async fn begin_receiving_snapshot(&mut self) -> Result<Box<SnapshotFile>, StorageError> {
        let empty = self.store.receive_snapshot(0).and_then(|incoming| incoming.finish());
        empty.map(Box::new).map_err(|e| failed(ErrorSubject::Snapshot(None), ErrorVerb::Write, e))
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        file: Box<SnapshotFile>,
    ) -> Result<(), StorageError> {
        let wrap = |e: Error| failed(ErrorSubject::Snapshot(Some(meta.signature())), ErrorVerb::Write, e);
        let (stored, content) = read_snapshot(&file).map_err(wrap)?;
        // The file first: if the power fails before the rows are replaced, `open` installs it again.
        let own =
            self.store.adopt_snapshot(index_of(&stored.last_log_id), &file).map_err(|e| wrap(e.into()))?;
        self.replace(&stored, &content).map_err(wrap)?;
        let synced = self.store.sync().await;
        synced
            .map_err(|e| failed(ErrorSubject::StateMachine, ErrorVerb::Write, e))?
            .map_err(|e| wrap(e.into()))?;
        *lock(&self.current) = Some((stored, own));
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot>, StorageError> {
        let current = lock(&self.current).clone();
        Ok(current.map(|(meta, file)| Snapshot { meta, snapshot: Box::new(file) }))
    }
}

/// Builds a snapshot of the state at the moment it was made, while entries go on being applied.
pub(crate) struct Builder {
    store: RegistryStore,
    view: Arc<View>,
    applied: Option<LogId>,
    membership: Membership,
    current: Arc<Mutex<Option<(SnapshotMeta, SnapshotFile)>>>,
}

impl RaftSnapshotBuilder<Group> for Builder {
    async fn build_snapshot(&mut self) -> Result<Snapshot, StorageError> {
        let meta = SnapshotMeta {
            last_log_id: self.applied,
            last_membership: self.membership.clone(),
            // Two snapshots of one index may differ in bytes, so the index alone does not name one.
            snapshot_id: format!("{}-{:016x}", index_of(&self.applied), rand::random::<u64>()),
        };
        let (store, view, header) = (self.store.clone(), self.view.clone(), codec::encode(&meta));
        let written = tokio::task::spawn_blocking(move || {
            let rows = view.state.rows();
            store.write_snapshot(view.index, &header, rows.iter().map(|(k, v)| (k.as_slice(), v.as_slice())))
        });
        let written = written.await.map_err(|e| failed(ErrorSubject::Snapshot(None), ErrorVerb::Write, e))?;
        let file = written.map_err(|e| failed(ErrorSubject::Snapshot(None), ErrorVerb::Write, e))?;
        let mut current = lock(&self.current);
        // A snapshot that was installed meanwhile is newer and stays.
        if current.as_ref().is_none_or(|(newest, _)| newest.last_log_id <= meta.last_log_id) {
            *current = Some((meta.clone(), file.clone()));
        }
        drop(current);
        Ok(Snapshot { meta, snapshot: Box::new(file) })
    }
}
