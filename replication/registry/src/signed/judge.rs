//! The verdict on a command's author.

use super::{Proof, SIGNATURE_WINDOW_MS, SignatureFault, fault};
use crate::{Command, IssuerState, Op, Permission, Refusal, SignedBy, State};
use eport_model::Subject;
use eport_signature::{Envelope, Refused, Signatory, signatory};

/// Who signed a command, or `None` for one that comes unsigned and may.
pub(crate) fn authenticate(state: &State, c: &Command) -> Result<Option<Signatory>, Refusal> {
    let operator = match c.subject() {
        Some(Subject::Operator(id)) => Some(id),
        _ => None,
    };
    let Some(proof) = &c.proof else {
        if state.signatures_required() {
            return Err(fault(SignatureFault::Missing, format!("{} did not sign the command", c.by)));
        }
        if let Some(id) = operator {
            check_role(state, &id, &c.op)?;
        }
        return Ok(None);
    };
    // The first command makes the federation that a signature could belong to.
    let Some(federation) = state.federation() else { return Err(Refusal::NotFounded) };
    if (c.at.as_millis() - proof.at_ms).abs() > SIGNATURE_WINDOW_MS {
        let detail = format!(
            "it was signed at {} ms and entered at {} ms; {} s may lie between",
            proof.at_ms,
            c.at.as_millis(),
            SIGNATURE_WINDOW_MS / 1_000
        );
        return Err(fault(SignatureFault::Stale, detail));
    }
    let issuers = state.issuers().filter(|i| i.state != IssuerState::Staged);
    let issuers = issuers.map(|i| i.certificate.as_slice());
    let who =
        signatory(&proof.certificate, issuers, &federation.domain, c.at.as_millis()).map_err(refused)?;
    if who.subject.to_string() != c.by {
        let detail = format!("the certificate is {}'s, the command speaks for {}", who.subject, c.by);
        return Err(fault(SignatureFault::Signer, detail));
    }
    check_unrevoked(state, &who.serial, &who.issuer_serial)?;
    if state.revoked(&who.mark()).is_some() {
        return Err(fault(SignatureFault::Revoked, format!("a rule distrusts certificate {}", who.serial)));
    }
    who.verify(&signed_bytes(state, c, proof), &proof.signature).map_err(refused)?;
    if let Some(id) = operator {
        check_scope(state, c, &who)?;
        check_role(state, &id, &c.op)?;
    }
    Ok(Some(who))
}

fn signed_bytes(state: &State, c: &Command, proof: &Proof) -> Vec<u8> {
    let lineage = state.federation().map(|f| f.lineage).unwrap_or_default();
    let envelope = Envelope { lineage, id: c.id.0, by: &c.by, at_ms: proof.at_ms };
    c.op.statement().bytes(&envelope)
}

fn refused(refused: Refused) -> Refusal {
    let why = match refused {
        Refused::Mismatch => SignatureFault::Mismatch,
        Refused::Expired(_) => SignatureFault::Expired,
        Refused::Malformed(_) | Refused::UnknownIssuer | Refused::Unfit(_) => SignatureFault::Signer,
    };
    fault(why, refused.to_string())
}

/// Neither a certificate nor its issuer's may stand in the set of revocations.
pub(crate) fn check_unrevoked(state: &State, serial: &str, issuer_serial: &str) -> Result<(), Refusal> {
    match [serial, issuer_serial].into_iter().find(|s| state.revocation(s).is_some()) {
        Some(revoked) => Err(fault(SignatureFault::Revoked, format!("certificate {revoked} is revoked"))),
        None => Ok(()),
    }
}

/// The issuer of the founding province speaks for everything, that of another platform for this platform alone.
fn check_scope(state: &State, c: &Command, who: &Signatory) -> Result<(), Refusal> {
    let province = state.federation().map(|f| f.province);
    if who.issuer_region.is_some()
        && (who.issuer_region == province || who.issuer_region == c.op.region(state))
    {
        return Ok(());
    }
    let place = who.issuer_region.map_or_else(|| "no platform".to_owned(), |r| r.to_string());
    Err(fault(SignatureFault::Role, format!("the issuer of {} speaks for {place} only", c.by)))
}

/// Operators have their roles from the registry. One it does not list may do everything while signatures are optional
/// (`dev`, `demo`, a federation that is being founded) and nothing once they are required.
pub(crate) fn check_role(state: &State, id: &str, op: &Op) -> Result<(), Refusal> {
    let role = |detail: String| Err(fault(SignatureFault::Role, detail));
    let Some(known) = state.operator(id) else {
        return if state.signatures_required() {
            role(format!("operator {id} is not listed in the registry"))
        } else {
            Ok(())
        };
    };
    if known.suspended {
        return role(format!("operator {id} is suspended"));
    }
    let wanted = wanted(op);
    if state.roles_of(id, op.region(state)).into_iter().any(|r| r.permits(wanted)) {
        return Ok(());
    }
    role(format!("operator {id} lacks a role that permits {}", wanted.word()))
}

/// What an operator's command demands. A new operation does not compile until it is said here.
fn wanted(op: &Op) -> Permission {
    match op {
        Op::DecideApproval { .. } => Permission::Approve,
        Op::PublishTable { .. } | Op::RetireTable { .. } => Permission::PublishTable,
        Op::SetSetting(setting) if super::two::guards(&setting.name) => Permission::AdministerUsers,
        Op::SetTwoPerson(_) | Op::PutOperator(_) | Op::BindRole { .. } | Op::PutUser(_) => {
            Permission::AdministerUsers
        }
        Op::AddDelegation(_) | Op::EndDelegation { .. } => Permission::Delegate,
        Op::PutIssuer(_)
        | Op::PutCustody(_)
        | Op::TakeList { .. }
        | Op::Revoke { .. }
        | Op::Rotate { .. }
        | Op::AddIssuer { .. }
        | Op::AddOutside { .. }
        | Op::RemoveOutside { .. } => Permission::AdministerCertificates,
        Op::SetPolicy { .. }
        | Op::SetStopped { .. }
        | Op::OpenSwitchover { .. }
        | Op::AbortMove { .. }
        | Op::ReserveFailover { .. }
        | Op::FailMove { .. }
        | Op::AdoptJournal { .. }
        | Op::RecordTail(_)
        | Op::SetTailState { .. }
        | Op::DiscardTail { .. }
        | Op::BeginDrill { .. }
        | Op::StopDrill { .. }
        | Op::EndDrill { .. }
        | Op::PutDrillSchedule(_)
        | Op::RemoveDrillSchedule { .. }
        | Op::Erase { .. } => Permission::AdministerPlatform,
        Op::Found(_)
        | Op::SetSetting(_)
        | Op::PutSite(_)
        | Op::AddNode(_)
        | Op::UpdateNode { .. }
        | Op::SetNodeState { .. }
        | Op::CreatePlatform { .. }
        | Op::PutHolder(_)
        | Op::SetQuota { .. } => Permission::AdministerNodes,
        // Steps of nodes; the rules refuse them to operators.
        Op::InSyncAdd { .. }
        | Op::AckTrust { .. }
        | Op::InSyncRemove { .. }
        | Op::Shrink { .. }
        | Op::Proven { .. }
        | Op::CommitSwitch { .. }
        | Op::CommitFailover { .. }
        | Op::ConfirmOldPrimary { .. }
        | Op::NoteMoveStep { .. }
        | Op::PublishHeads(_)
        | Op::StageTable { .. }
        | Op::ReserveNumbers { .. }
        | Op::PutDataKey { .. }
        | Op::AddWraps { .. }
        | Op::EndSessions { .. }
        | Op::AnchorAccessLog { .. } => Permission::AdministerNodes,
    }
}

/// Who signed a command that was judged already, for what is kept of it.
pub(crate) fn signatory_of(state: &State, c: &Command) -> Option<Signatory> {
    let (proof, federation) = (c.proof.as_ref()?, state.federation()?);
    let issuers = state.issuers().map(|i| i.certificate.as_slice());
    signatory(&proof.certificate, issuers, &federation.domain, c.at.as_millis()).ok()
}

/// What is kept of a signer.
pub(crate) fn signed_by(c: &Command, who: Option<&Signatory>) -> SignedBy {
    SignedBy {
        by: c.by.clone(),
        at: c.at,
        serial: who.map(|w| w.serial.clone()).unwrap_or_default(),
        issuer_serial: who.map(|w| w.issuer_serial.clone()).unwrap_or_default(),
        key: who.map(|w| w.key_id),
    }
}
