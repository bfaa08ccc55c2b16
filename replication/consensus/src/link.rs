//! openraft's network: one [`Link`] to each other member.

use crate::config::Profile;
use crate::message::{Piece, RaftReply, RaftRequest, decode, encode};
use crate::rpc::{Rpc, RpcError};
use crate::types::{Group, Peer, Snapshot, Vote};
use bytes::Bytes;
use eport_identity::NodeId;
use eport_wire::Purpose;
use openraft::error::{
    Fatal, NetworkError, RPCError, RaftError, ReplicationClosed, StreamingError, Unreachable,
};
use openraft::network::{Backoff, RPCOption};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse,
};
use openraft::{EmptyNode, OptionalSend, RaftNetwork, RaftNetworkFactory};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

type CallError = RPCError<Peer, EmptyNode, RaftError<Peer>>;
type SnapshotError = StreamingError<Group, Fatal<Peer>>;

/// Bytes of a snapshot in one request: small beside the frame limit of 8 MiB, so that heartbeats find gaps.
const PIECE_LEN: usize = 1 << 20;
/// A piece unanswered for so long ends the transfer; openraft starts another.
const PIECE_TIMEOUT: Duration = Duration::from_secs(20);
/// The last piece also installs the snapshot.
const INSTALL_TIMEOUT: Duration = Duration::from_secs(60);

/// Makes links.
pub(crate) struct Links {
    pub rpc: Arc<dyn Rpc>,
    pub profile: Profile,
}

impl RaftNetworkFactory<Group> for Links {
    type Network = Link;

    async fn new_client(&mut self, target: Peer, _node: &EmptyNode) -> Link {
        Link { to: target.0, rpc: self.rpc.clone(), profile: self.profile }
    }
}

/// Requests to one member.
pub(crate) struct Link {
    to: NodeId,
    rpc: Arc<dyn Rpc>,
    profile: Profile,
}

/// The receiver answered, but not with what was asked for.
#[derive(Debug, thiserror::Error)]
#[error("{from}: {detail}")]
struct BadReply {
    from: NodeId,
    detail: String,
}

impl Link {
    async fn call(&self, request: &RaftRequest, timeout: Duration) -> Result<RaftReply, RpcError> {
        let answer = self.rpc.request(self.to, Purpose::Raft, encode(request), timeout).await?;
        match decode(Purpose::Raft, &answer) {
            Ok(RaftReply::Failed(detail)) => Err(RpcError::Failed { to: self.to, detail }),
            Ok(reply) => Ok(reply),
            Err(e) => Err(RpcError::Failed { to: self.to, detail: e.to_string() }),
        }
    }

    fn bad_reply(&self) -> BadReply {
        BadReply { from: self.to, detail: "the answer does not fit the request".into() }
    }

    /// A failed call in openraft's words. It retries network errors at once, so a fast failure is slowed down here.
    async fn call_error(&self, e: RpcError) -> CallError {
        match e {
            RpcError::Unreachable(_) => RPCError::Unreachable(Unreachable::new(&e)),
            RpcError::Failed { .. } => {
                tokio::time::sleep(self.profile.heartbeat() / 10).await;
                RPCError::Network(NetworkError::new(&e))
            }
        }
    }

    async fn send_snapshot(
        &self,
        vote: Vote,
        snapshot: &Snapshot,
    ) -> Result<SnapshotResponse<Peer>, SnapshotError> {
        // Reading fails when two newer snapshots replaced this one; openraft then asks for the newest.
        let unreadable = |e| StreamingError::Network(NetworkError::new(&e));
        let len = snapshot.snapshot.len();
        let mut file = snapshot.snapshot.open().map_err(unreadable)?;
        let mut offset = 0;
        loop {
            let bytes: Bytes =
                snapshot.snapshot.read_piece(&mut file, offset, PIECE_LEN).map_err(unreadable)?.into();
            let end = offset + bytes.len() as u64;
            let timeout = if end == len { INSTALL_TIMEOUT } else { PIECE_TIMEOUT };
            let piece = Piece { vote, meta: snapshot.meta.clone(), len, offset, bytes };
            match self.call(&RaftRequest::Piece(piece), timeout).await {
                Ok(RaftReply::Installed(response)) if end == len => return Ok(response),
                Ok(RaftReply::Next(next)) if next == end && end < len => offset = end,
                Ok(_) => return Err(StreamingError::Network(NetworkError::new(&self.bad_reply()))),
                Err(e @ RpcError::Unreachable(_)) => {
                    return Err(StreamingError::Unreachable(Unreachable::new(&e)));
                }
                Err(e) => {
                    tokio::time::sleep(self.profile.heartbeat()).await;
                    return Err(StreamingError::Network(NetworkError::new(&e)));
                }
            }
        }
    }
}

impl RaftNetwork<Group> for Link {
    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<Group>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<Peer>, CallError> {
        match self.call(&RaftRequest::Append(request), option.hard_ttl()).await {
            Ok(RaftReply::Append(response)) => Ok(response),
            Ok(_) => Err(RPCError::Network(NetworkError::new(&self.bad_reply()))),
            Err(e) => Err(self.call_error(e).await),
        }
    }

    async fn vote(
        &mut self,
        request: VoteRequest<Peer>,
        option: RPCOption,
    ) -> Result<VoteResponse<Peer>, CallError> {
        match self.call(&RaftRequest::Vote(request), option.hard_ttl()).await {
            Ok(RaftReply::Vote(response)) => Ok(response),
            Ok(_) => Err(RPCError::Network(NetworkError::new(&self.bad_reply()))),
            Err(e) => Err(self.call_error(e).await),
        }
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<Peer>, SnapshotError> {
        tokio::select! {
            closed = cancel => Err(StreamingError::Closed(closed)),
            sent = self.send_snapshot(vote, &snapshot) => sent,
        }
    }

    /// Whether a peer is connected is known without sending, so asking again is cheap; a longer pause would let a voter
    /// whose connection just came back miss its heartbeats and stand for election.
    fn backoff(&self) -> Backoff {
        let longest = self.profile.election_min();
        let pauses =
            std::iter::successors(Some(self.profile.heartbeat()), move |d| Some((*d * 2).min(longest)));
        Backoff::new(pauses)
    }
}
