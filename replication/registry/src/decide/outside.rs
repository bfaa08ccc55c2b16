//! Rules about CAs outside the federation.

use super::Decision;
use super::check::{self, invalid};
use crate::outside::{CHALLENGE_LIFE_MS, OUTSIDE_MAX};
use crate::rows::Row;
use crate::{Command, Op, Outcome, OutsideCa, OutsideRemoval, Refusal, Revocation, State, Trust};
use eport_model::{Digest, Distrust};
use eport_signature::{Challenge, OutsideFacts, ca_facts, possession};

/// Longest signature: DER of ECDSA on P-256.
const SIGNATURE_LEN_MAX: usize = 80;

pub(super) fn decide(state: &State, c: &Command) -> Decision {
    check::operator(c)?;
    match &c.op {
        Op::AddOutside { version, certificate, challenge, signature } => {
            add(state, c, *version, (certificate, challenge, signature))
        }
        Op::RemoveOutside { version, key, reason } => remove(state, c, *version, *key, reason),
        _ => Err(Refusal::Rule("not a command about outside CAs".to_owned())),
    }
}

fn refuse(reason: impl Into<String>) -> Refusal {
    Refusal::OutsideCa(reason.into())
}

/// The trust record with another version: every node looks at its verifiers again and says so.
fn next(mut trust: Trust) -> Row {
    trust.changes = trust.changes.saturating_add(1);
    trust.version = trust.version.saturating_add(1);
    Row::Trust(trust)
}

fn add(
    state: &State,
    c: &Command,
    version: u64,
    (certificate, text, signature): (&[u8], &str, &[u8]),
) -> Decision {
    let trust = super::trust::at_version(state, version)?;
    if certificate.len() > crate::trust::CERTIFICATE_LEN_MAX || signature.len() > SIGNATURE_LEN_MAX {
        return Err(refuse("certificate or proof is larger than any"));
    }
    let (facts, challenge) =
        possession(certificate, text, signature).map_err(|e| refuse(format!("the proof fails: {e}")))?;
    meant_for_us(state, c, &challenge)?;
    separate(state, &trust, &facts)?;
    let now = c.at.as_millis();
    if now < facts.from_ms || facts.to_ms <= now {
        return Err(refuse(format!("the certificate of {} is not valid now", facts.name)));
    }
    if state.outside.len() >= OUTSIDE_MAX {
        return Err(Refusal::Rule(format!("{OUTSIDE_MAX} outside CAs are kept already")));
    }
    let row = OutsideCa {
        key: facts.key_id,
        name: facts.name,
        certificate: certificate.to_vec(),
        scope: challenge.scope,
        challenge: text.to_owned(),
        signature: signature.to_vec(),
        since: c.at,
        by: c.by.clone(),
        removed: None,
    };
    Ok((Outcome::Done, vec![Row::Outside(row), next(trust)]))
}

/// The challenge names this federation, was made lately, and speaks of platforms that there are.
fn meant_for_us(state: &State, c: &Command, challenge: &Challenge) -> Result<(), Refusal> {
    let federation = state.federation().ok_or(Refusal::NotFounded)?;
    if challenge.domain != federation.domain || challenge.lineage != federation.lineage {
        return Err(refuse("the challenge was made for another federation"));
    }
    let age = c.at.as_millis().saturating_sub(challenge.made_ms);
    // Made on another machine: its clock may run ahead of the leader's.
    if !(-crate::SIGNATURE_WINDOW_MS..=CHALLENGE_LIFE_MS).contains(&age) {
        return Err(refuse("the challenge is older than thirty days, or of a time that has not come"));
    }
    challenge.scope.platforms().try_for_each(|region| check::placement(state, region).map(drop))
}

/// Nobody of ours: neither key nor name of a CA of the federation, and no key that was ever here or is distrusted.
fn separate(state: &State, trust: &Trust, facts: &OutsideFacts) -> Result<(), Refusal> {
    let rows = state.issuers().map(|i| i.certificate.as_slice());
    let mut ours = trust.certificates().chain(rows).filter_map(|der| ca_facts(der).ok());
    if ours.any(|f| f.key_id == facts.key_id || f.subject == facts.subject) {
        return Err(refuse("a CA of the federation has the same key or the same name"));
    }
    if state.outside.contains_key(&facts.key_id) {
        return Err(refuse("this key was registered already; a CA that comes back has another one"));
    }
    match state.revoked_ca(&facts.serial, facts.key_id) {
        Some(_) => Err(refuse(format!("the CA {} is revoked", facts.name))),
        None => Ok(()),
    }
}

/// Out of the verifiers, and its key distrusted: connections and sessions of its certificates end at once, on every node, for ever.
fn remove(state: &State, c: &Command, version: u64, key: Digest, reason: &str) -> Decision {
    let trust = super::trust::at_version(state, version)?;
    check::bounded("reason", reason)?;
    if reason.trim().is_empty() {
        return Err(invalid("reason", "say why it goes"));
    }
    let known = state.outside.get(&key).ok_or_else(|| check::not_found("outside CA", key))?;
    if known.removed.is_some() {
        return Ok((Outcome::Done, vec![]));
    }
    let removed = Some(OutsideRemoval { at: c.at, by: c.by.clone(), reason: reason.to_owned() });
    let mut rows = vec![Row::Outside(OutsideCa { removed, ..known.clone() }), next(trust)];
    let serial = Distrust::Key(key).to_string();
    if state.revocation(&serial).is_none() {
        let (reason, by) = (reason.to_owned(), c.by.clone());
        rows.push(Row::Revocation(Revocation { serial, reason, at: c.at, by }));
    }
    Ok((Outcome::Done, rows))
}
