//! Rules about users, roles, delegations, ended sessions and published heads of access logs.
//!
//! Always: nobody gains a role by a command that he gave or approved himself; while the federation separates the three
//! administrators nobody has two of their roles; whoever is the last to give rights keeps that role; an enterprise delegates
//! in its own name only.

use super::check::{self, invalid};
use super::{Decision, approvals};
use crate::rows::Row;
use crate::users::{ACCESS_LOG_DAYS_MIN, DELEGATION_LIFE_MAX_MS, DELEGATIONS_MAX, USERS_MAX};
use crate::{
    AccessHead, Command, CommandId, Delegation, Ended, Mandate, Op, Operator, OperatorRole, Outcome, Refusal,
    RoleBinding, Separation, SessionEnd, Setting, State, User,
};
use eport_model::{Digest, RegionCode, Subject};
use std::collections::BTreeSet;

pub(super) fn decide(state: &State, c: &Command) -> Decision {
    match &c.op {
        Op::PutOperator(operator) => put_operator(state, c, operator),
        Op::BindRole { operator, role, platform, bound } => {
            bind(state, c, operator, (*role, *platform), *bound)
        }
        Op::PutUser(user) => put_user(state, c, user),
        Op::AddDelegation(mandate) => add_delegation(state, c, mandate),
        Op::EndDelegation { delegation, reason } => end_delegation(state, c, *delegation, reason),
        Op::EndSessions { serial } => end_sessions(state, c, serial),
        Op::AnchorAccessLog { seq, digest } => anchor(state, c, *seq, *digest),
        _ => Err(Refusal::Rule("not a command about users".to_owned())),
    }
}

fn done(row: Row) -> Decision {
    Ok((Outcome::Done, vec![row]))
}

/// Adds or changes an operator.
fn put_operator(state: &State, c: &Command, operator: &Operator) -> Decision {
    check::operator(c)?;
    check::bounded("name", &operator.name)?;
    if format!("operator/{}", operator.id).parse::<Subject>().is_err() {
        return Err(invalid("id", "1 to 64 letters, digits, -, _ and . are needed"));
    }
    if operator.roles.is_empty() && !operator.suspended {
        return Err(invalid("roles", "at least one role is needed"));
    }
    not_the_last(state, operator)?;
    not_oneself(state, &c.by, &c.op)?;
    separated(state, &operator.id, &operator.roles)?;
    done(Row::Operator(Operator { since: c.at, ..operator.clone() }))
}

/// Gives or takes one role, for the federation or on one platform.
fn bind(
    state: &State,
    c: &Command,
    id: &str,
    (role, platform): (OperatorRole, Option<RegionCode>),
    bound: bool,
) -> Decision {
    check::operator(c)?;
    let known = state.operator(id).ok_or_else(|| check::not_found("operator", id))?;
    not_oneself(state, &c.by, &c.op)?;
    let Some(platform) = platform else {
        let mut roles = known.roles.clone();
        let changed = if bound { roles.insert(role) } else { roles.remove(&role) };
        if !changed && !bound {
            return Err(check::not_found("role of this operator", crate::statement::word_of_role(role)));
        }
        let operator = Operator { roles, since: c.at, ..known.clone() };
        separated(state, id, &operator.roles)?;
        not_the_last(state, &operator)?;
        return done(Row::Operator(operator));
    };
    if !role.is_local() {
        return Err(invalid("platform", "this role is given for the whole federation only"));
    }
    check::placement(state, platform)?;
    if !bound && !state.bindings_of(id).any(|b| (b.role, b.platform) == (role, platform)) {
        let name = format!("{} on {platform}", crate::statement::word_of_role(role));
        return Err(check::not_found("role of this operator", name));
    }
    let (operator, by) = (id.to_owned(), c.by.clone());
    done(Row::Binding(RoleBinding { operator, role, platform, bound, by, since: c.at }))
}

/// What a command would give somebody: (operator, roles that he does not have yet).
fn gains(state: &State, op: &Op) -> Option<(String, bool)> {
    match op {
        Op::PutOperator(to) => {
            let known = state.operator(&to.id);
            let has = |r: &OperatorRole| known.is_some_and(|k| !k.suspended && k.roles.contains(r));
            Some((to.id.clone(), !to.suspended && to.roles.iter().any(|r| !has(r))))
        }
        Op::BindRole { operator, bound, .. } => Some((operator.clone(), *bound)),
        _ => None,
    }
}

/// Nobody gives himself a role, not as first and not as second person. The first operator of all is listed by himself.
pub(super) fn not_oneself(state: &State, by: &str, op: &Op) -> Result<(), Refusal> {
    match gains(state, op) {
        Some((id, true)) if format!("operator/{id}") == by && state.operators().next().is_some() => {
            Err(Refusal::OwnRole { by: by.to_owned() })
        }
        _ => Ok(()),
    }
}

/// Nobody has two of the three separated roles, and where the founding is over nobody stands above them.
fn separated(state: &State, id: &str, roles: &BTreeSet<OperatorRole>) -> Result<(), Refusal> {
    let refuse = |detail: String| Err(Refusal::Separation { operator: id.to_owned(), detail });
    let level = state.separation();
    if level == Separation::Off {
        return Ok(());
    }
    let above = roles.contains(&OperatorRole::Administrator);
    let three: Vec<&str> =
        roles.iter().filter(|r| r.is_separated()).map(|r| crate::statement::word_of_role(*r)).collect();
    if three.len() > 1 || (above && !three.is_empty()) {
        return refuse(format!("{} exclude each other", if above { "these roles".into() } else { three.join(" and ") }));
    }
    if above && level == Separation::On {
        return refuse("administrator joins all three roles".to_owned());
    }
    Ok(())
}

/// The last one who can give rights is never taken away: nobody could bring a second one back.
fn not_the_last(state: &State, operator: &Operator) -> Result<(), Refusal> {
    let gives = |o: &Operator| !o.suspended && o.roles.iter().any(|r| r.gives_rights());
    let lost = state.operator(&operator.id).is_some_and(gives) && !gives(operator);
    if lost && !state.operators().any(|o| o.id != operator.id && gives(o)) {
        let id = &operator.id;
        return Err(Refusal::Rule(format!("operator {id} is the last one who may give rights to others")));
    }
    Ok(())
}

fn put_user(state: &State, c: &Command, user: &User) -> Decision {
    check::operator(c)?;
    check::bounded("name", &user.name)?;
    match user.subject {
        Subject::Enterprise(_) | Subject::Agency { .. } => {}
        Subject::Operator(_) => return Err(invalid("subject", "an operator is listed with roles")),
        Subject::Node { .. } => return Err(invalid("subject", "a node is added as a node")),
    }
    if !user.platforms.is_empty() && !matches!(user.subject, Subject::Agency { .. }) {
        return Err(invalid("platforms", "only an agency is bound to platforms"));
    }
    user.platforms.iter().try_for_each(|p| check::placement(state, *p).map(drop))?;
    if state.user(&user.subject).is_none() && state.users.len() >= USERS_MAX {
        return Err(Refusal::Rule(format!("{USERS_MAX} users are listed; more are not kept")));
    }
    done(Row::User(User { by: c.by.clone(), since: c.at, ..user.clone() }))
}

/// An operator in anybody's name, an enterprise in its own.
fn may_delegate(c: &Command, enterprise: &str) -> Result<bool, Refusal> {
    match c.subject() {
        Some(Subject::Operator(_)) => Ok(false),
        Some(Subject::Enterprise(id)) if id == enterprise => Ok(true),
        _ => Err(Refusal::NotEntitled {
            by: c.by.clone(),
            needs: format!("enterprise {enterprise} itself or a security administrator"),
        }),
    }
}

fn add_delegation(state: &State, c: &Command, m: &Mandate) -> Decision {
    let own = may_delegate(c, &m.enterprise)?;
    let enterprise = Subject::Enterprise(m.enterprise.clone());
    if enterprise.to_string().parse::<Subject>().is_err() {
        return Err(invalid("enterprise", "1 to 64 letters, digits, -, _ and . are needed"));
    }
    if !matches!(m.agent, Subject::Enterprise(_)) || m.agent == enterprise {
        return Err(invalid("agent", "another enterprise is needed"));
    }
    if m.rights.is_empty() {
        return Err(invalid("rights", "lodge or read is needed"));
    }
    m.platforms.iter().try_for_each(|p| check::placement(state, *p).map(drop))?;
    if m.to <= m.from || m.to <= c.at {
        return Err(invalid("to", "it lies before the beginning or in the past"));
    }
    if m.to.as_millis().saturating_sub(m.from.as_millis()) > DELEGATION_LIFE_MAX_MS {
        return Err(invalid("to", "a delegation lasts five years at most"));
    }
    if [&enterprise, &m.agent].into_iter().any(|s| state.user(s).is_some_and(|u| u.suspended)) {
        return Err(Refusal::Rule("the enterprise or its agent is suspended".to_owned()));
    }
    let alive = |id: &CommandId| state.delegation(*id).is_some_and(|d| !d.is_over(c.at));
    let has = state.delegations_by.get(&m.enterprise).into_iter().flatten().filter(|id| alive(id)).count();
    if has >= DELEGATIONS_MAX {
        return Err(Refusal::Rule(format!("{DELEGATIONS_MAX} delegations of {} stand", m.enterprise)));
    }
    let row = Delegation { id: c.id, mandate: m.clone(), by: c.by.clone(), since: c.at, ended: None };
    with_audit(state, c, Row::Delegation(row), own)
}

fn end_delegation(state: &State, c: &Command, id: CommandId, reason: &str) -> Decision {
    check::bounded("reason", reason)?;
    let known = state.delegation(id).ok_or_else(|| check::not_found("delegation", id))?;
    // An agent may lay down what it was given.
    let own = match c.subject() {
        Some(subject) if subject == known.mandate.agent => true,
        _ => may_delegate(c, &known.mandate.enterprise)?,
    };
    if known.ended.is_some() {
        return Ok((Outcome::Done, vec![]));
    }
    let ended = Some(Ended { by: c.by.clone(), at: c.at, reason: reason.to_owned() });
    with_audit(state, c, Row::Delegation(Delegation { ended, ..known.clone() }), own)
}

/// Operators' commands are audited where they are decided; an enterprise's own is audited here.
fn with_audit(state: &State, c: &Command, row: Row, own: bool) -> Decision {
    let mut rows = vec![row];
    if own {
        rows.push(Row::Audit(approvals::audit_of_own(state, c)));
    }
    Ok((Outcome::Done, rows))
}

/// A member node passes on that somebody logged out.
fn end_sessions(state: &State, c: &Command, serial: &str) -> Decision {
    check::member_node(state, c)?;
    let good = (1..=64).contains(&serial.len())
        && serial.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if !good {
        return Err(invalid("serial", "1 to 64 lower-case hex digits are needed"));
    }
    let life = i64::try_from(crate::SESSION_LIFE_MAX_MS).unwrap_or(i64::MAX);
    let (before, forget) = (c.at, c.at.plus_millis(life));
    done(Row::SessionEnd(SessionEnd { serial: serial.to_owned(), before, forget }))
}

/// A node publishes the head of its own access log. It only rises: a log that was cut cannot be made to look whole.
fn anchor(state: &State, c: &Command, seq: u64, digest: Digest) -> Decision {
    let node = check::member_node(state, c)?;
    if let Some(known) = state.access_head(node)
        && known.seq >= seq
    {
        if (known.seq, known.digest) == (seq, digest) {
            return Ok((Outcome::Done, vec![]));
        }
        return Err(Refusal::Rule(format!("the access log of node {node} was at line {} already", known.seq)));
    }
    done(Row::AccessHead(AccessHead { node, seq, digest, at: c.at }))
}

/// Bounds of the settings that guard access.
pub(super) fn check_setting(state: &State, setting: &Setting) -> Result<(), Refusal> {
    use crate::users as u;
    let bad = |reason: String| Err(invalid(&setting.name, reason));
    let production = !state.mode().relaxed();
    let number = setting.value.parse::<u64>().ok();
    match setting.name.as_str() {
        u::ROLE_SEPARATION => match setting.value.as_str() {
            "on" => nobody_above(state),
            "off" if production => bad("in production the three administrators stay separated".into()),
            "off" => Ok(()),
            _ => bad("on or off is needed".into()),
        },
        u::SESSION_LIFE_MS | u::SESSION_IDLE_MS => match number {
            Some(ms) if (100..=u::SESSION_LIFE_MAX_MS).contains(&ms) => Ok(()),
            _ => bad(format!("100 to {} milliseconds are allowed", u::SESSION_LIFE_MAX_MS)),
        },
        u::LOCKOUT_FAILURES => match number {
            Some(1..=1_000) => Ok(()),
            _ => bad("1 to 1000 are allowed".into()),
        },
        u::ACCESS_LOG_DAYS => match number {
            Some(days) if days <= 36_500 && (days >= ACCESS_LOG_DAYS_MIN || !production) => Ok(()),
            _ => bad(format!("{ACCESS_LOG_DAYS_MIN} to 36500 days are allowed")),
        },
        u::ACCESS_LOG_ANCHOR_MS => match number {
            Some(ms) if ms >= if production { 10_000 } else { 100 } => Ok(()),
            _ => bad("at least 10000 milliseconds are needed".into()),
        },
        _ => Ok(()),
    }
}

/// Before separation begins everybody must fit it already, and somebody must be left who gives rights.
fn nobody_above(state: &State) -> Result<(), Refusal> {
    let active = || state.operators().filter(|o| !o.suspended);
    let refuse = |o: &Operator, detail: &str| {
        Err(Refusal::Separation { operator: o.id.clone(), detail: detail.to_owned() })
    };
    for o in active() {
        if o.roles.contains(&OperatorRole::Administrator) {
            return refuse(o, "administrator joins all three roles; give each role to another person first");
        }
        if o.roles.iter().filter(|r| r.is_separated()).count() > 1 {
            return refuse(o, "two of the three separated roles");
        }
    }
    for role in [OperatorRole::SystemAdministrator, OperatorRole::SecurityAdministrator, OperatorRole::Auditor] {
        if !active().any(|o| o.roles.contains(&role)) {
            let word = crate::statement::word_of_role(role);
            return Err(Refusal::Rule(format!("nobody has the role {word}; list a person with it first")));
        }
    }
    Ok(())
}
