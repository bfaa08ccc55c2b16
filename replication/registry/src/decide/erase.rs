//! Rules about bodies that must go by law.

use super::Decision;
use super::check::{self, invalid};
use crate::rows::Row;
use crate::{Command, ERASED_AT_ONCE, ERASURES_KEPT, EraseTarget, Erasure, Outcome, Refusal, State};
use eport_model::{JournalIndex, RegionCode};

/// Only an operator orders it, and says why and by what authority. An order that stands already changes nothing.
pub(super) fn erase(
    state: &State,
    c: &Command,
    region: RegionCode,
    targets: &[EraseTarget],
    (reason, authority): (&str, &str),
) -> Decision {
    check::operator(c)?;
    check::placement(state, region)?;
    for (field, text) in [("reason", reason), ("authority", authority)] {
        check::bounded(field, text)?;
        if text.trim().is_empty() {
            return Err(invalid(field, "what is erased is gone for ever: say why, and by what authority"));
        }
    }
    if targets.is_empty() || targets.len() > ERASED_AT_ONCE {
        return Err(invalid("targets", format!("1 to {ERASED_AT_ONCE} bodies are needed")));
    }
    if targets.iter().any(|t| t.record == JournalIndex::ZERO) {
        return Err(invalid("targets", "records count from 1"));
    }
    let fresh = targets.iter().filter(|t| state.erasure(region, t).is_none());
    let rows: Vec<Row> = fresh
        .map(|target| {
            let (reason, authority) = (reason.to_owned(), authority.to_owned());
            Row::Erasure(Erasure { region, target: *target, reason, authority, by: c.by.clone(), at: c.at })
        })
        .collect();
    if state.erasures.len() + rows.len() > ERASURES_KEPT {
        return Err(Refusal::Rule(format!("{ERASURES_KEPT} bodies are erased already")));
    }
    Ok((Outcome::Done, rows))
}
