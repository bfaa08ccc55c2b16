//! The verdict on a recovery: are these plans whole, is this the survivor to found on, is everybody named, who consents.

use super::{
    Endorsement, PLAN_FORMAT, PlanFile, RecoveryPlan, Refused, TailChoice, apply_statement,
    endorse_statement, plan_statement, signing_id, token_digest,
};
use crate::{OperatorRole, Revocation, SignedBy, State};
use eport_model::{Lineage, NodeId, Subject, Timestamp};
use eport_signature::{Envelope, Signatory, Statement, signatory};
use std::collections::{BTreeMap, BTreeSet};

/// Plans in one recovery; more survivors than this do not lose a quorum of five.
const PLANS_MAX: usize = 64;
/// Signatures under one plan.
const ENDORSED_MAX: usize = 16;

/// Everything a recovery is judged by.
pub struct Request<'a> {
    /// What this node's directory holds now; its time and token are not looked at.
    pub here: &'a RecoveryPlan,
    /// The survivors' plans, this node's among them.
    pub files: &'a [PlanFile],
    /// What becomes of entries not known to be committed.
    pub tail: TailChoice,
    /// The token that was shown when this node's plan was made.
    pub token: &'a str,
    /// Nodes that the operators have made sure are stopped.
    pub confirmed: &'a [NodeId],
    /// The new lineage.
    pub lineage: Lineage,
    /// The signature of the person who carries it out, if there is one.
    pub by: Option<&'a Endorsement>,
    /// The time.
    pub now: Timestamp,
}

/// A recovery that may be carried out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verdict {
    /// Nodes with a plan, in order.
    pub survivors: Vec<NodeId>,
    /// Voters without one, all confirmed to be stopped.
    pub lost: Vec<NodeId>,
    /// Last log entry that counts.
    pub log_index: u64,
    /// Revocations known to any survivor.
    pub revocations: Vec<Revocation>,
    /// Who carries it out (first, when signed) and who consents.
    pub persons: Vec<SignedBy>,
}

/// Judges a recovery. `state` is this node's registry as it was last applied.
pub fn judge(state: &State, r: &Request<'_>) -> Result<Verdict, Refused> {
    if r.files.is_empty() || r.files.len() > PLANS_MAX {
        let reason = format!("1 to {PLANS_MAX} plans are needed, {} were given", r.files.len());
        return Err(Refused::Plan { node: "recovery".into(), reason });
    }
    let mut plans = BTreeMap::new();
    for file in r.files {
        check_plan(state, r, file)?;
        if plans.insert(file.plan.node, file).is_some() {
            return Err(unusable(&file.plan, "there are two plans of this node"));
        }
    }
    let own = plans.get(&r.here.node).copied();
    let own = own.ok_or_else(|| unusable(r.here, "the plan of the node that is recovered is missing"))?;
    if !own.plan.same_directory(r.here) {
        return Err(Refused::Stale { planned: summary(&own.plan), found: summary(r.here) });
    }
    if token_digest(r.token) != own.plan.token {
        return Err(Refused::Token(own.plan.node));
    }
    let better = plans.values().map(|f| &f.plan).filter(|p| p.last > own.plan.last);
    if let Some(better) = better.max_by_key(|p| p.last) {
        return Err(Refused::NotBest {
            better: better.node,
            theirs: better.last.to_string(),
            ours: own.plan.last.to_string(),
        });
    }
    let survivors: Vec<NodeId> = plans.keys().copied().collect();
    let lost = lost(state, &own.plan, &survivors, r.confirmed)?;
    // What any survivor knows to be committed is in the log of the one whose log is newest.
    let committed = plans.values().map(|f| f.plan.committed.index.max(f.plan.applied.index)).max();
    let log_index = match r.tail {
        TailChoice::Commit => own.plan.last.index,
        TailChoice::Drop => committed.unwrap_or(0).min(own.plan.last.index),
    };
    let revocations = united(plans.values().map(|f| &f.plan));
    let persons = persons(state, r, own, &lost, &revocations)?;
    Ok(Verdict { survivors, lost, log_index, revocations, persons })
}

fn unusable(plan: &RecoveryPlan, reason: impl Into<String>) -> Refused {
    Refused::Plan { node: plan.node.to_string(), reason: reason.into() }
}

fn summary(plan: &RecoveryPlan) -> String {
    let journals: Vec<String> = plan.journals.iter().map(|j| format!("{}@{}", j.region, j.last)).collect();
    format!("{}, applied {}, journals {}", plan.last, plan.applied.index, journals.join(" "))
}

/// A plan is of this history, and its node's signature holds.
fn check_plan(state: &State, r: &Request<'_>, file: &PlanFile) -> Result<(), Refused> {
    let plan = &file.plan;
    if plan.format != PLAN_FORMAT {
        return Err(unusable(plan, format!("format {} is not known here", plan.format)));
    }
    let parentage = state.parentage();
    if plan.lineage != r.here.lineage {
        let (node, found, ours) = (plan.node, plan.lineage, r.here.lineage);
        return Err(if parentage.ancestors.contains(&found) {
            Refused::Reused { node, found, ours }
        } else {
            Refused::Lineage { node, found, ours }
        });
    }
    if file.endorsed.len() > ENDORSED_MAX {
        return Err(unusable(plan, format!("at most {ENDORSED_MAX} signatures are read")));
    }
    let at = Timestamp::from_millis(file.by_node.at_ms);
    let who = signer(state, plan, &file.by_node, &plan_statement(plan), at)
        .map_err(|e| unusable(plan, format!("the signature of the node does not hold: {e}")))?;
    if who.subject.node() != Some(plan.node) {
        return Err(unusable(plan, format!("it is signed by {}", who.subject)));
    }
    Ok(())
}

/// Who signed a statement about a plan. The certificate must have been valid at `at`.
fn signer(
    state: &State,
    plan: &RecoveryPlan,
    signed: &Endorsement,
    statement: &Statement,
    at: Timestamp,
) -> Result<Signatory, String> {
    let federation = state.federation().ok_or("the registry here is empty")?;
    let bytes = |hex: &str, what: &str| hex::decode(hex).map_err(|_| format!("{what} is not hex"));
    let certificate = bytes(&signed.certificate, "the certificate")?;
    let issuers = state.issuers().filter(|i| i.state != crate::IssuerState::Staged);
    let issuers = issuers.map(|i| i.certificate.as_slice());
    let who =
        signatory(&certificate, issuers, &federation.domain, at.as_millis()).map_err(|e| e.to_string())?;
    let by = who.subject.to_string();
    let envelope = Envelope { lineage: plan.lineage, id: signing_id(plan), by: &by, at_ms: signed.at_ms };
    who.verify(&statement.bytes(&envelope), &bytes(&signed.signature, "the signature")?)
        .map_err(|e| e.to_string())?;
    Ok(who)
}

/// The voters that have no plan among these, in order.
pub fn voters_without_plan(plan: &RecoveryPlan, survivors: &[NodeId]) -> Vec<NodeId> {
    let voters: BTreeSet<NodeId> = plan.voters.iter().copied().collect();
    voters.into_iter().filter(|v| !survivors.contains(v)).collect()
}

/// The voters without a plan, when the quorum is lost with them and each was confirmed to be stopped.
fn lost(
    state: &State,
    own: &RecoveryPlan,
    survivors: &[NodeId],
    confirmed: &[NodeId],
) -> Result<Vec<NodeId>, Refused> {
    let voters: BTreeSet<NodeId> = own.voters.iter().copied().collect();
    let have = survivors.iter().filter(|n| voters.contains(n)).count();
    let need = voters.len() / 2 + 1;
    if have >= need {
        return Err(Refused::NotLost { have, voters: voters.len(), need });
    }
    for node in confirmed {
        if survivors.contains(node) {
            return Err(Refused::Named { node: *node, reason: "its plan was given, so it has survived" });
        }
        if state.node(*node).is_none() {
            return Err(Refused::Named { node: *node, reason: "the registry knows no such node" });
        }
    }
    let lost = voters_without_plan(own, survivors);
    let unnamed: Vec<NodeId> = lost.iter().filter(|n| !confirmed.contains(n)).copied().collect();
    if unnamed.is_empty() { Ok(lost) } else { Err(Refused::Unnamed(unnamed)) }
}

/// A revocation that any survivor knows is one.
fn united<'a>(plans: impl Iterator<Item = &'a RecoveryPlan>) -> Vec<Revocation> {
    let mut all: BTreeMap<&str, &Revocation> = BTreeMap::new();
    for revocation in plans.flat_map(|p| &p.revocations) {
        all.entry(&revocation.serial).or_insert(revocation);
    }
    all.into_values().cloned().collect()
}

/// The persons behind a recovery: two with two keys where the federation asks for two, one where it asks for signatures.
/// A signature that is there must hold in any case.
fn persons(
    state: &State,
    r: &Request<'_>,
    own: &PlanFile,
    lost: &[NodeId],
    revocations: &[Revocation],
) -> Result<Vec<SignedBy>, Refused> {
    let plan = &own.plan;
    let mut found: Vec<SignedBy> = Vec::new();
    if let Some(by) = r.by {
        let statement = apply_statement(plan, r.lineage, lost, r.tail);
        found.push(person(state, (plan, r.now), by, &statement, true, revocations)?);
    }
    for endorsed in &own.endorsed {
        let who = person(state, (plan, r.now), endorsed, &endorse_statement(plan), false, revocations)?;
        if !found.iter().any(|f| f.by == who.by || f.key == who.key) {
            found.push(who);
        }
    }
    let two = state.federation().is_some_and(|f| f.two_person);
    if r.by.is_none() && (two || state.signatures_required()) {
        let reason = "the operator who carries it out must sign: give --cert and --key".to_owned();
        return Err(Refused::Persons(reason));
    }
    if two && found.len() < 2 {
        let reason =
            format!("another operator must sign the plan of {} first: quorum recover sign", plan.node);
        return Err(Refused::Persons(reason));
    }
    Ok(found)
}

fn person(
    state: &State,
    (plan, now): (&RecoveryPlan, Timestamp),
    signed: &Endorsement,
    statement: &Statement,
    carries_out: bool,
    revocations: &[Revocation],
) -> Result<SignedBy, Refused> {
    let refuse = |reason: String| Refused::Persons(reason);
    let who = signer(state, plan, signed, statement, now)
        .map_err(|e| refuse(format!("a signature of a person does not hold: {e}")))?;
    let Subject::Operator(id) = &who.subject else {
        return Err(refuse(format!("{} is no operator", who.subject)));
    };
    if let Some(serial) =
        [&who.serial, &who.issuer_serial].into_iter().find(|s| revocations.iter().any(|r| r.serial == **s))
    {
        return Err(refuse(format!("certificate {serial} of {} is revoked", who.subject)));
    }
    match state.operator(id) {
        None if state.signatures_required() => {
            return Err(refuse(format!("operator {id} is not listed in the registry")));
        }
        None => {}
        Some(o) if o.suspended => return Err(refuse(format!("operator {id} is suspended"))),
        Some(o) => {
            let entitled =
                if carries_out { o.roles.contains(&OperatorRole::Administrator) } else { o.approves() };
            if !entitled {
                return Err(refuse(format!("operator {id} lacks the role for this")));
            }
        }
    }
    Ok(SignedBy {
        by: who.subject.to_string(),
        at: now,
        serial: who.serial.clone(),
        issuer_serial: who.issuer_serial.clone(),
        key: Some(who.key_id),
    })
}
