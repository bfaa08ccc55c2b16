//! Rules about what nodes report of their journals: heads, tails, blocks of numbers.

use super::check::{self, invalid};
use super::{Decision, epoch};
use crate::rows::Row;
use crate::{Command, Head, HeadReport, MoveRecord, Op, Outcome, Refusal, State, Tail, TailState};
use eport_model::JournalIndex;

/// Heads in one command; a node hosts fewer platforms.
const HEADS_MAX: usize = 1_024;
/// Records of a tail that can be discarded one by one; who wants more means all that are left.
const DISCARDED_MAX: usize = 10_000;
/// Records in one command.
const DISCARDED_AT_ONCE: usize = 1_000;

pub(super) fn decide(state: &State, c: &Command) -> Decision {
    match &c.op {
        Op::PublishHeads(heads) => publish(state, c, heads),
        Op::RecordTail(tail) => record_tail(state, c, tail),
        Op::SetTailState { tail, state: to } => set_tail_state(state, c, tail, *to),
        Op::DiscardTail { tail, records, reason } => discard(state, c, tail, records, reason),
        Op::ReserveNumbers { region, epoch, have } => {
            let placement = check::placement(state, *region)?;
            check::exactly(state, c, placement.primary)?;
            if *epoch != placement.epoch {
                return Err(Refusal::Rule(format!("epoch {epoch} of platform {region} is over")));
            }
            let known = state.number_blocks(*region, *epoch).len();
            if *have != known {
                let object = format!("number blocks of platform {region}");
                return Err(Refusal::VersionConflict { object, named: *have as u64, current: known as u64 });
            }
            let block = epoch::next_block(state, *region, *epoch);
            Ok((Outcome::Numbers { start: block.start, len: block.len }, vec![Row::Numbers(block)]))
        }
        _ => Err(Refusal::Rule("not a command about journals".to_owned())),
    }
}

/// Heads of platforms that no longer name the node are left out, not refused: the node may not know yet.
fn publish(state: &State, c: &Command, heads: &[HeadReport]) -> Decision {
    let node = check::member_node(state, c)?;
    if heads.len() > HEADS_MAX {
        return Err(invalid("heads", format!("at most {HEADS_MAX} are allowed")));
    }
    let mine = heads.iter().filter(|h| state.placement(h.region).is_some_and(|p| p.names(node)));
    let rows =
        mine.map(|h| Row::Head(Head { region: h.region, node, position: h.position, at: c.at })).collect();
    Ok((Outcome::Done, rows))
}

fn record_tail(state: &State, c: &Command, tail: &Tail) -> Decision {
    if check::operator(c).is_err() {
        check::exactly(state, c, tail.node)?;
    }
    check::placement(state, tail.region)?;
    if tail.records() == 0 || tail.epoch != tail.last.epoch {
        return Err(invalid("tail", "its last record must lie after its fork and belong to its epoch"));
    }
    let waits = if tail.state == TailState::Resolved { tail.state } else { TailState::Exported };
    let tail = Tail { state: waits, discarded: Vec::new(), at: c.at, ..tail.clone() };
    if let Some(known) = state.tail(&tail.id()) {
        let same = known.digest == tail.digest && known.fork == tail.fork && known.last == tail.last;
        return if same {
            Ok((Outcome::Done, vec![]))
        } else {
            Err(Refusal::AlreadyExists { what: "tail".into(), name: tail.id() })
        };
    }
    let id = tail.id();
    let mut rows = vec![Row::Tail(tail.clone())];
    // The move that ended this epoch, so that its report can name what it left behind.
    let ended = state.moves_of(tail.region).into_iter().rev();
    let ended =
        ended.filter(|m| m.epoch_after.is_some() && m.from == tail.node && m.epoch_before == tail.epoch);
    rows.extend(
        ended.take(1).map(|m| Row::Move(MoveRecord { exported_tail: Some(id.clone()), ..m.clone() })),
    );
    Ok((Outcome::Done, rows))
}

fn set_tail_state(state: &State, c: &Command, id: &str, to: TailState) -> Decision {
    check::operator_or_member(state, c)?;
    let tail = state.tail(id).ok_or_else(|| check::not_found("tail", id))?;
    if to == TailState::Discarded {
        check::operator(c)?;
    }
    if tail.state != TailState::Exported && tail.state != to {
        return Err(Refusal::Rule(format!("tail {id} is {:?} already", tail.state)));
    }
    Ok((Outcome::Done, vec![Row::Tail(Tail { state: to, ..tail.clone() })]))
}

/// Only an operator discards, and says why. What was discarded one by one stays so; the rest of a tail can still be submitted
/// again until all that is left is discarded, too.
fn discard(state: &State, c: &Command, id: &str, records: &[JournalIndex], reason: &str) -> Decision {
    check::operator(c)?;
    check::bounded("reason", reason)?;
    if reason.trim().is_empty() {
        return Err(invalid("reason", "say why these records are discarded"));
    }
    if records.len() > DISCARDED_AT_ONCE {
        return Err(invalid("records", format!("at most {DISCARDED_AT_ONCE} are allowed at once")));
    }
    let tail = state.tail(id).ok_or_else(|| check::not_found("tail", id))?;
    if tail.state != TailState::Exported {
        return Err(Refusal::Rule(format!("tail {id} is {:?} already", tail.state)));
    }
    if let Some(other) = records.iter().find(|r| **r < tail.first() || **r > tail.last.index) {
        return Err(invalid("records", format!("record {other} is not in tail {id}")));
    }
    let mut discarded = tail.discarded.clone();
    discarded.extend(records);
    discarded.sort_unstable();
    discarded.dedup();
    if discarded.len() > DISCARDED_MAX {
        return Err(invalid("records", format!("at most {DISCARDED_MAX} can be discarded one by one")));
    }
    let state = if records.is_empty() { TailState::Discarded } else { tail.state };
    Ok((Outcome::Done, vec![Row::Tail(Tail { state, discarded, ..tail.clone() })]))
}
