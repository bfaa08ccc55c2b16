//! A surviving journal becomes the platform's: its last record is the fork point, its node the new primary.
//!
//! Always: only while the primary of the placement is no member any more, because a living one has a better claim; the new epoch
//! is a fresh one; nothing is taken for proven about other copies; the adopting node can open the platform's data keys.

use super::check::{self, invalid};
use super::{Decision, epoch};
use crate::rows::Row;
use crate::{
    Command, DataKey, EpochRecord, HolderName, Outcome, Placement, PlacementState, Refusal, State, Wrap,
};
use eport_model::{JournalIndex, MoveId, NodeId, Position, RegionCode};

pub(super) fn adopt(
    state: &State,
    c: &Command,
    (region, version): (RegionCode, u64),
    node: NodeId,
    start: Position,
) -> Decision {
    check::operator(c)?;
    let old = check::at_version(state, region, version)?;
    check::fit(state, node)?;
    check::no_move(&old)?;
    if state.is_member(old.primary) {
        return Err(Refusal::Rule(format!(
            "{} is primary of platform {region} and a member: use switchover or failover",
            old.primary
        )));
    }
    if start.index == JournalIndex::ZERO || start.epoch > old.last_epoch {
        return Err(invalid("start", format!("{start} is no record that an epoch of this platform wrote")));
    }
    let mut rows = Vec::new();
    for key in state.data_keys(region).filter(|k| !state.is_wrapped(k, &HolderName::Node(node))) {
        rows.push(Row::DataKey(rewrapped(state, key, node)?));
    }
    let epoch = old.last_epoch.next();
    let mut placement = Placement {
        version: old.version.saturating_add(1),
        epoch,
        last_epoch: epoch,
        primary: node,
        start,
        proven_k: 0,
        start_k: 0,
        degrade_k: 0,
        seen: true,
        state: PlacementState::Active,
        ..old
    };
    placement.backups.retain(|b| b.node != node && state.is_member(b.node));
    for backup in &mut placement.backups {
        (backup.in_sync, backup.level, backup.leaving) = (false, false, false);
    }
    placement.history.push(EpochRecord {
        epoch,
        primary: node,
        start,
        reason: format!("journal of {node} adopted"),
        move_id: MoveId::default(),
        at: c.at,
    });
    let outcome = Outcome::Placed { version: placement.version, epoch };
    rows.push(Row::Numbers(epoch::next_block(state, region, epoch)));
    rows.push(Row::Placement(placement));
    Ok((outcome, rows))
}

/// The key with a copy for the node: the one that was made for the same public key when the node had another id.
fn rewrapped(state: &State, key: &DataKey, node: NodeId) -> Result<DataKey, Refusal> {
    let name = HolderName::Node(node);
    let refuse = || {
        let id = key.id;
        Refusal::Rule(format!("node {node} cannot open data key {id} of platform {}", key.region))
    };
    let public = state.holder(&name).ok_or_else(refuse)?.public;
    let copy = key.wraps.iter().find(|w| w.public == public).ok_or_else(refuse)?;
    let fresh = Wrap { holder: name.clone(), public, wrapped: copy.wrapped.clone() };
    let mut key = key.clone();
    key.wraps.retain(|w| w.holder != name);
    key.wraps.push(fresh);
    key.wraps.sort_by(|a, b| a.holder.cmp(&b.holder));
    Ok(key)
}
