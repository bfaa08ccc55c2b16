//! Requests that arrive from other nodes for the Raft engine, snapshots included.
//!
//! A request is served only if the node whose vote it carries is its sender, and the sender was not removed or revoked.
//! A sender that is unknown here is served: a node that joins, or lags, learns of the others from the very log it receives.

use crate::canvass;
use crate::config::Profile;
use crate::log::LogStore;
use crate::machine::{Board, read_snapshot};
use crate::message::{Piece, RaftReply, RaftRequest, decode};
use crate::stand;
use crate::types::{LogId, Raft, Snapshot};
use bytes::Bytes;
use eport_identity::NodeId;
use eport_store::RegistryStore;
use eport_store::registry::{Incoming, SnapshotFile};
use eport_wire::Purpose;
use std::fmt::Display;
use std::sync::Arc;
use tokio::sync::Mutex;

/// The receiving side of the group's messages.
pub(crate) struct Inbox {
    profile: Profile,
    raft: Raft,
    log: LogStore,
    board: Arc<Board>,
    store: RegistryStore,
    /// At most one snapshot arrives at a time; a new first piece replaces an unfinished one.
    partial: Mutex<Option<Partial>>,
}

struct Partial {
    from: NodeId,
    snapshot_id: String,
    incoming: Incoming,
}

impl Inbox {
    pub(crate) fn new(
        profile: Profile,
        raft: Raft,
        log: LogStore,
        board: Arc<Board>,
        store: RegistryStore,
    ) -> Self {
        Self { profile, raft, log, board, store, partial: Mutex::new(None) }
    }

    pub(crate) async fn handle(&self, from: NodeId, payload: &Bytes) -> RaftReply {
        let request: RaftRequest = match decode(Purpose::Raft, payload) {
            Ok(request) => request,
            Err(e) => return failed("the request does not decode", e),
        };
        if request.speaker() != from {
            return failed("the request speaks in the name of", request.speaker());
        }
        if self.board.view().state.node(from).is_some_and(|node| !node.is_member()) {
            return failed("no longer a member of the federation:", from);
        }
        match request {
            RaftRequest::Append(r) => {
                self.raft.append_entries(r).await.map_or_else(stopped, RaftReply::Append)
            }
            RaftRequest::Vote(r) => self.raft.vote(r).await.map_or_else(stopped, RaftReply::Vote),
            RaftRequest::Piece(piece) => self.piece(from, piece).await,
            RaftRequest::Canvass(r) => self.canvass(r.last_log_id).await,
        }
    }

    /// Whether another voter, whose log ends at `theirs`, may stand for election.
    async fn canvass(&self, theirs: Option<LogId>) -> RaftReply {
        let ours = match self.log.clone().last().await {
            Ok(ours) => ours,
            Err(e) => return failed("the own log", e),
        };
        match stand::hearing(&self.raft, self.profile).await {
            Some(hearing) => RaftReply::Consent(canvass::consents(hearing, self.profile, ours, theirs)),
            None => stopped("the Raft engine has stopped"),
        }
    }

    async fn piece(&self, from: NodeId, piece: Piece) -> RaftReply {
        let mut partial = self.partial.lock().await;
        if piece.offset == 0 {
            // Dropping the unfinished one removes its file before the new one needs space.
            *partial = None;
            match self.store.receive_snapshot(piece.len) {
                Ok(incoming) => {
                    *partial = Some(Partial { from, snapshot_id: piece.meta.snapshot_id.clone(), incoming });
                }
                Err(e) => return failed("a snapshot cannot be received", e),
            }
        }
        let Some(mut current) = partial.take() else {
            return failed("no snapshot is under way from", from);
        };
        let fits = current.from == from
            && current.snapshot_id == piece.meta.snapshot_id
            && current.incoming.written() == piece.offset;
        if !fits {
            return failed("the piece does not follow the one before, from", from);
        }
        if let Err(e) = current.incoming.append(&piece.bytes) {
            return failed("a piece of the snapshot", e);
        }
        let written = current.incoming.written();
        if written < piece.len {
            *partial = Some(current);
            return RaftReply::Next(written);
        }
        drop(partial);
        match current.incoming.finish() {
            Ok(file) => self.install(piece, file).await,
            Err(e) => failed("the snapshot", e),
        }
    }

    /// Checks the file before openraft sees it: a damaged one is the network's fault and must not stop this node.
    async fn install(&self, piece: Piece, file: SnapshotFile) -> RaftReply {
        let checked = tokio::task::spawn_blocking({
            let file = file.clone();
            move || read_snapshot(&file).map(|(meta, _)| meta)
        });
        let reply = match checked.await {
            Ok(Ok(meta)) if meta == piece.meta => {
                let snapshot = Snapshot { meta, snapshot: Box::new(file.clone()) };
                self.raft
                    .install_full_snapshot(piece.vote, snapshot)
                    .await
                    .map_or_else(stopped, RaftReply::Installed)
            }
            Ok(Ok(_)) => failed("the snapshot is not the announced one, from", piece.vote),
            Ok(Err(e)) => failed("the snapshot", e),
            Err(e) => failed("the snapshot", e),
        };
        // Gone already if it was installed; a leftover if it was refused.
        let _ = std::fs::remove_file(file.path());
        reply
    }
}

fn stopped(e: impl Display) -> RaftReply {
    RaftReply::Failed(e.to_string())
}

fn failed(what: &str, detail: impl Display) -> RaftReply {
    RaftReply::Failed(format!("{what} {detail}"))
}
