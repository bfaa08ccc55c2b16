//! Rules about operators and about commands that wait for a second person.
//!
//! Always: what is carried out after the second signature is what the first person signed, in the first person's name;
//! the second person is another person with another key; neither's certificate is revoked and both still have their roles
//! when it is carried out.

use super::{Decision, check, decide, users};
use crate::rows::Row;
use crate::signed::{approvers, check_role, check_unrevoked, signed_by};
use crate::{
    Approval, ApprovalState, Audit, AuditEvent, Command, CommandId, Op, Outcome, Refusal, SignedBy, State,
};
use eport_model::{Digest, Distrust, Subject};
use eport_signature::Signatory;

/// Commands that wait at once; more are refused until some are decided.
const WAITING_MAX: usize = 64;
/// Longest summary in an audit row, in bytes.
const WHAT_LEN_MAX: usize = 512;

/// Decides an operator's command: at once, after a second person, or as the second person.
pub(crate) fn by_operator(state: &State, c: &Command, who: Option<&Signatory>) -> Decision {
    let me = signed_by(c, who);
    match &c.op {
        Op::DecideApproval { approval, digest, approve } => {
            second(state, c, me, *approval, *digest, *approve)
        }
        op if crate::signed::needed(state, op) => first(state, c, me),
        _ => {
            let (outcome, mut rows) = decide(state, c)?;
            rows.push(Row::Audit(audit(state, c, AuditEvent::Executed, (c.id, me, None))));
            Ok((outcome, rows))
        }
    }
}

/// The first person: what could not be carried out now is refused now, everything else waits.
fn first(state: &State, c: &Command, me: SignedBy) -> Decision {
    decide(state, c)?;
    let id = operator_id(c);
    if state.operators().next().is_some() && approvers(state, id.as_deref()) == 0 {
        return Err(Refusal::SecondPersonMissing);
    }
    if state.approvals().filter(|a| a.is_open(c.at)).count() >= WAITING_MAX {
        return Err(Refusal::Rule(format!("{WAITING_MAX} commands wait for a second person already")));
    }
    let statement = c.op.statement();
    let approval = Approval {
        id: c.id,
        kind: statement.kind().to_owned(),
        version: statement.version(),
        fields: statement.fields().map(|(n, v)| (n.to_owned(), v.to_owned())).collect(),
        digest: statement.digest(),
        op: c.op.clone(),
        reason: c.reason.clone(),
        first: me.clone(),
        expires: c.at.plus_millis(state.approval_life_ms()),
        state: ApprovalState::Pending,
        second: None,
    };
    let outcome =
        Outcome::AwaitsApproval { approval: c.id, digest: approval.digest, expires: approval.expires };
    let row = audit(state, c, AuditEvent::Opened, (c.id, me, None));
    Ok((outcome, vec![Row::Approval(approval), Row::Audit(row)]))
}

/// The second person.
fn second(
    state: &State,
    c: &Command,
    me: SignedBy,
    id: CommandId,
    digest: Digest,
    approve: bool,
) -> Decision {
    let waiting = state.approval(id).ok_or_else(|| check::not_found("approval", id))?;
    if !waiting.is_open(c.at) {
        let state = match waiting.state {
            ApprovalState::Executed => "carried out",
            ApprovalState::Rejected => "rejected",
            ApprovalState::Pending => "expired",
        };
        return Err(Refusal::ApprovalOver { id, state: state.to_owned() });
    }
    if waiting.digest != digest {
        return Err(Refusal::ApprovalChanged { id });
    }
    let to = if approve { ApprovalState::Executed } else { ApprovalState::Rejected };
    let ended = Approval { state: to, second: Some(me.clone()), ..waiting.clone() };
    let asked = Command {
        id: waiting.id,
        by: waiting.first.by.clone(),
        at: c.at,
        reason: waiting.reason.clone(),
        op: refreshed(&waiting.op, c.at.as_millis() - waiting.first.at.as_millis()),
        proof: None,
    };
    let persons = (c.id, waiting.first.clone(), Some(me));
    if !approve {
        let row = audit(state, &asked, AuditEvent::Rejected, persons);
        return Ok((Outcome::Done, vec![Row::Approval(ended), Row::Audit(row)]));
    }
    check_two(state, waiting, c, persons.2.as_ref())?;
    users::not_oneself(state, &c.by, &waiting.op)?;
    let (outcome, mut rows) = decide(state, &asked)?;
    rows.push(Row::Approval(ended));
    rows.push(Row::Audit(audit(state, &asked, AuditEvent::Executed, persons)));
    Ok((outcome, rows))
}

/// Two persons, two keys, and the first one still entitled.
fn check_two(state: &State, waiting: &Approval, c: &Command, me: Option<&SignedBy>) -> Result<(), Refusal> {
    let same_key = me.is_some_and(|me| me.key.is_some() && me.key == waiting.first.key);
    if waiting.first.by == c.by || same_key {
        return Err(Refusal::SamePerson { by: c.by.clone() });
    }
    check_unrevoked(state, &waiting.first.serial, &waiting.first.issuer_serial)?;
    let key = waiting.first.key.map(|key| Distrust::Key(key).to_string());
    if key.is_some_and(|key| state.revocation(&key).is_some()) {
        return Err(Refusal::Rule(format!("the key of {} is distrusted since it signed", waiting.first.by)));
    }
    match waiting.first.by.parse() {
        Ok(Subject::Operator(id)) => check_role(state, &id, &waiting.op),
        _ => Ok(()),
    }
}

/// The time that a command gives itself runs from the approval, not from the first signature.
fn refreshed(op: &Op, waited_ms: i64) -> Op {
    let mut op = op.clone();
    if let Op::ReserveFailover { deadline: Some(deadline), .. } = &mut op {
        *deadline = deadline.plus_millis(waited_ms);
    }
    op
}

fn operator_id(c: &Command) -> Option<String> {
    match c.subject() {
        Some(Subject::Operator(id)) => Some(id),
        _ => None,
    }
}

fn audit(
    state: &State,
    c: &Command,
    event: AuditEvent,
    (decided_by_command, first, second): (CommandId, SignedBy, Option<SignedBy>),
) -> Audit {
    let statement = c.op.statement();
    let mut what = String::new();
    for (name, value) in statement.fields() {
        if what.len() + name.len() + value.len() + 2 > WHAT_LEN_MAX {
            break;
        }
        what.push_str(if what.is_empty() { "" } else { " " });
        what.push_str(name);
        what.push('=');
        what.push_str(value);
    }
    Audit {
        seq: state.audit().next_back().map_or(1, |a| a.seq.saturating_add(1)),
        event,
        id: c.id,
        decided_by_command,
        kind: statement.kind().to_owned(),
        what,
        digest: statement.digest(),
        reason: c.reason.clone(),
        first,
        second,
        at: c.at,
    }
}

/// The audit row of a command that needs no operator: an enterprise's own, with its signature where it signed.
pub(super) fn audit_of_own(state: &State, c: &Command) -> Audit {
    let me = signed_by(c, crate::signed::signatory_of(state, c).as_ref());
    audit(state, c, AuditEvent::Executed, (c.id, me, None))
}
