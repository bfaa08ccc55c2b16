//! For which commands two persons are needed.

use super::statement::{
    BODY_ERASE, CA_ADD, CA_CUSTODY, CA_OUTSIDE, CA_ROTATE, FAILOVER_WITH_LOSS, ISSUER_PUT, OPERATOR_PUT,
    PLATFORM_ADOPT, ROLE_BIND, SETTING_GUARD,
};
use super::{APPROVAL_LIFE_MS, OPERATOR_SIGNATURES, TWO_PERSONS};
use crate::{Op, State};

/// Without the setting: what design §3 names and this version can do, and erasing, which is a loss for ever (decision 0022).
const DEFAULT: &[&str] = &[FAILOVER_WITH_LOSS, PLATFORM_ADOPT, BODY_ERASE, CA_CUSTODY];
/// Whatever the setting says: who could change these alone could do everything else alone a moment later.
const ALWAYS: &[&str] = &[SETTING_GUARD, ISSUER_PUT, OPERATOR_PUT, ROLE_BIND, CA_ROTATE, CA_ADD, CA_OUTSIDE];

/// The kinds of a setting.
pub(super) fn list(value: &str) -> impl Iterator<Item = &str> {
    value.split(',').map(str::trim).filter(|kind| !kind.is_empty())
}

/// Settings that guard the others.
pub fn guards(name: &str) -> bool {
    [
        OPERATOR_SIGNATURES,
        TWO_PERSONS,
        APPROVAL_LIFE_MS,
        crate::ROLE_SEPARATION,
        crate::SESSION_LIFE_MS,
        crate::SESSION_IDLE_MS,
        crate::LOCKOUT_FAILURES,
        crate::LOCKOUT_MS,
        crate::ACCESS_LOG_DAYS,
        crate::ACCESS_LOG_ANCHOR_MS,
    ]
    .contains(&name)
}

/// Whether the federation asks for two persons for a kind of command.
pub(super) fn listed(state: &State, kind: &str) -> bool {
    let on = state.federation().is_some_and(|f| f.two_person);
    on && (ALWAYS.contains(&kind)
        || match state.setting(TWO_PERSONS) {
            Some(value) => list(value).any(|k| k == kind),
            None => DEFAULT.contains(&kind),
        })
}

/// Whether this command needs a second person.
pub(crate) fn needed(state: &State, op: &Op) -> bool {
    // The founding's last command says whether signatures are required. Until then there is one person, the founder, and what
    // waited for a second one would wait for ever: the CAs that vouch for everybody else among it.
    if state.setting(OPERATOR_SIGNATURES).is_none() {
        return false;
    }
    match op {
        // What a second person does is never itself for a third one.
        Op::DecideApproval { .. } => false,
        // Asking for more care needs one person.
        Op::SetTwoPerson(true) => false,
        // Two persons can only be asked for where two are; the second one is listed by the first alone.
        Op::PutOperator(_) | Op::BindRole { .. } if approvers(state, None) < 2 => false,
        _ => listed(state, op.statement().kind()),
    }
}

/// How many listed operators could be the second person, `but` left out.
pub(crate) fn approvers(state: &State, but: Option<&str>) -> usize {
    state.operators().filter(|o| o.approves() && but != Some(o.id.as_str())).count()
}
