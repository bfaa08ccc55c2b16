//! Rules about data keys: who may add one, and for whom it must be wrapped.

use super::Decision;
use super::check::{self, invalid};
use crate::rows::Row;
use crate::{
    Command, DataKey, Holder, HolderName, Op, Outcome, Placement, Refusal, State, WRAP_LEN_MAX, Wrap,
};
use eport_model::{Digest, RegionCode};

/// Recovery keys of a federation; each one opens everything.
const RECOVERY_MAX: usize = 8;

pub(super) fn decide(state: &State, c: &Command) -> Decision {
    match &c.op {
        Op::PutHolder(holder) => put_holder(state, c, holder),
        Op::PutDataKey { region, id, check, wraps } => put_data_key(state, c, *region, *id, *check, wraps),
        Op::AddWraps { region, id, check, wraps } => add_wraps(state, c, *region, *id, *check, wraps),
        _ => Err(Refusal::Rule("not a command about data keys".to_owned())),
    }
}

/// A node puts only its own key. A recovery key opens everything: an operator puts it, and no later one takes its name.
fn put_holder(state: &State, c: &Command, holder: &Holder) -> Decision {
    match &holder.name {
        HolderName::Node(node) => check::exactly(state, c, *node)?,
        HolderName::Recovery(name) => {
            check::operator(c)?;
            if !crate::tables::name_is_plain(name) {
                return Err(invalid("recovery key", "1 to 64 of a-z, 0-9 and _ are allowed"));
            }
            match state.holder(&holder.name) {
                Some(known) if known.public == holder.public => return Ok((Outcome::Done, vec![])),
                Some(known) => {
                    let name = known.name.to_string();
                    return Err(Refusal::AlreadyExists { what: "holder of data keys".into(), name });
                }
                None => {}
            }
            let others = state.holders().filter(|h| matches!(h.name, HolderName::Recovery(_))).count();
            if others >= RECOVERY_MAX {
                return Err(Refusal::Rule(format!("{RECOVERY_MAX} recovery keys exist already")));
            }
        }
    }
    Ok((Outcome::Done, vec![Row::Holder(Holder { at: c.at, ..holder.clone() })]))
}

/// Only the primary: it is the one that encrypts. Every holder that the placement names and that is known must get a copy,
/// so that no failover target is left without.
fn put_data_key(
    state: &State,
    c: &Command,
    region: RegionCode,
    id: u32,
    key: Digest,
    wraps: &[Wrap],
) -> Decision {
    let placement = check::placement(state, region)?;
    check::exactly(state, c, placement.primary)?;
    let newest = state.data_keys(region).next_back().map_or(0, |k| k.id);
    if id != newest.saturating_add(1) {
        let object = format!("data keys of platform {region}");
        return Err(Refusal::VersionConflict { object, named: u64::from(id), current: u64::from(newest) });
    }
    let row = DataKey { region, id, check: key, wraps: checked(state, wraps)?, at: c.at, by: c.by.clone() };
    let entitled = state.entitled_holders(&placement);
    if let Some(missing) = entitled.iter().find(|h| !state.is_wrapped(&row, &h.name)) {
        return Err(Refusal::Rule(format!("the key is not wrapped for {}", missing.name)));
    }
    if row.wrap(&HolderName::Node(placement.primary)).is_none() {
        return Err(Refusal::Rule("the key is not wrapped for the primary".to_owned()));
    }
    Ok((Outcome::Done, vec![Row::DataKey(row)]))
}

/// Only a node that can open the key itself; the check value shows that it means the same key.
fn add_wraps(
    state: &State,
    c: &Command,
    region: RegionCode,
    id: u32,
    key: Digest,
    wraps: &[Wrap],
) -> Decision {
    let node = check::member_node(state, c)?;
    let placement = check::placement(state, region)?;
    let known =
        state.data_key(region, id).ok_or_else(|| check::not_found("data key", format!("{region}/{id}")))?;
    if !placement.names(node) || !state.is_wrapped(known, &HolderName::Node(node)) {
        return Err(Refusal::NotEntitled { by: c.by.clone(), needs: "a holder of the data key".into() });
    }
    if known.check != key {
        return Err(invalid("check", "it is the check value of another key"));
    }
    let entitled = state.entitled_holders(&placement);
    let fresh = checked(state, wraps)?;
    if let Some(other) = fresh.iter().find(|w| !entitled.iter().any(|h| h.name == w.holder)) {
        return Err(Refusal::Rule(format!("platform {region} does not name {}", other.holder)));
    }
    // A backup that was refused into the in-sync set for want of a copy is asked for again under a newer placement. While a
    // move is under way its own end brings one.
    let waits =
        |h: &HolderName| matches!(h, HolderName::Node(n) if placement.backup(*n).is_some_and(|b| !b.in_sync));
    let heeded = placement.state.move_id().is_none() && fresh.iter().any(|w| waits(&w.holder));
    let mut row = known.clone();
    row.wraps.retain(|w| !fresh.iter().any(|f| f.holder == w.holder));
    row.wraps.extend(fresh);
    row.wraps.sort_by(|a, b| a.holder.cmp(&b.holder));
    let mut rows = vec![Row::DataKey(row)];
    if heeded {
        rows.push(Row::Placement(Placement { version: placement.version + 1, ..placement }));
    }
    Ok((Outcome::Done, rows))
}

/// Copies for known holders under their present keys, one each, ordered.
fn checked(state: &State, wraps: &[Wrap]) -> Result<Vec<Wrap>, Refusal> {
    let mut out = wraps.to_vec();
    out.sort_by(|a, b| a.holder.cmp(&b.holder));
    if out.windows(2).any(|w| w[0].holder == w[1].holder) {
        return Err(invalid("wraps", "one copy a holder is allowed"));
    }
    for wrap in &out {
        if wrap.wrapped.is_empty() || wrap.wrapped.len() > WRAP_LEN_MAX {
            return Err(invalid("wraps", format!("1 to {WRAP_LEN_MAX} bytes are needed")));
        }
        let holder = state
            .holder(&wrap.holder)
            .ok_or_else(|| check::not_found("holder of data keys", &wrap.holder))?;
        if holder.public != wrap.public {
            return Err(Refusal::Rule(format!("{} has another key by now", wrap.holder)));
        }
    }
    Ok(out)
}
