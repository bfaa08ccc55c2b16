//! Signed heads: the primary's node vouches for its journal, so that nobody who holds a copy can alter it and chain it anew.
//!
//! Always: only a committed record is signed for, none older than the last answer, and only where every holder reads the record that says so.

use super::marks::commit;
use crate::PlatformHandle;
use crate::node::Agent;
use eport_model::{Draft, JournalIndex, Position, RecordKind, SIGNED_HEAD_SINCE};
use eport_signature::JournalHead;

/// Signs for the newest committed record; answers what was signed for, and the record that says so. `None` when this node cannot
/// sign, is not the open primary, nothing is committed, a holder does not read signed heads yet, or it was not confirmed in time.
pub(crate) async fn sign_head(agent: &Agent, handle: &PlatformHandle) -> Option<(Position, Position)> {
    let signer = agent.signer()?;
    let region = handle.region();
    {
        let view = agent.registry().state();
        let placement = view.state.placement(region)?;
        if view.state.read_by_all(placement) < SIGNED_HEAD_SINCE {
            return None;
        }
    }
    if !handle.status().borrow().is_open() {
        return None;
    }
    // What was answered is applied; the status is told now and then, and may lag behind an answer.
    let covers = handle.store().applied();
    if covers.index == JournalIndex::ZERO {
        return None;
    }
    let at = agent.clock().wall();
    let Position { epoch, index, digest } = covers;
    let lineage = agent.lineage();
    let head = JournalHead { lineage, region, epoch, index: index.as_u64(), digest, at_ms: at.as_millis() };
    let (certificate, signature) = signer.bytes(&head.bytes())?;
    let kind =
        RecordKind::SignedHead { covers, at, certificate: certificate.into(), signature: signature.into() };
    Some((covers, commit(handle, Draft::bare(kind, at)).await?))
}
