//! Rules about the trust bundle and the rotation of roots and issuing CAs.

use super::Decision;
use super::check::{self, invalid};
use crate::rows::Row;
use crate::trust::{CERTIFICATE_LEN_MAX, CERTIFICATES_MAX, LIST_LEN_MAX, drain_ms};
use crate::{
    Command, Issuer, IssuerState, Material, Op, Outcome, Refusal, Revocation, RootList, Rotation,
    RotationPhase, RotationStep, State, Trust, TrustAck,
};
use eport_model::{CaName, CaPurpose, Epoch, NodeId, RegionCode};
use eport_signature::{CaFacts, ca_facts};
use std::collections::BTreeSet;

pub(super) fn decide(state: &State, c: &Command) -> Decision {
    match &c.op {
        Op::AckTrust { version } => acknowledge(state, c, *version),
        Op::Rotate { version, step } => {
            check::operator(c)?;
            rotate(state, c, *version, step)
        }
        Op::AddIssuer { version, certificate, since_epoch } => {
            check::operator(c)?;
            add_issuer(state, c, *version, certificate, *since_epoch)
        }
        _ => Err(Refusal::Rule("not a command about trust".to_owned())),
    }
}

/// A node says by which version it verifies from now on, for itself only. What it said stays: no version comes twice.
fn acknowledge(state: &State, c: &Command, version: u64) -> Decision {
    let node = check::member_node(state, c)?;
    if version > state.trust_version() {
        return Err(invalid("version", format!("the trust bundle is at version {}", state.trust_version())));
    }
    if version <= state.trust_ack(node) {
        return Ok((Outcome::Done, vec![]));
    }
    Ok((Outcome::Done, vec![Row::TrustAck(TrustAck { node, version, at: c.at })]))
}

pub(super) fn at_version(state: &State, named: u64) -> Result<Trust, Refusal> {
    let trust = state.trust();
    if trust.changes == named {
        return Ok(trust);
    }
    Err(Refusal::VersionConflict { object: "trust bundle".into(), named, current: trust.changes })
}

fn refuse(reason: impl Into<String>) -> Refusal {
    Refusal::TrustMaterial(reason.into())
}

fn read(what: &str, der: &[u8]) -> Result<CaFacts, Refusal> {
    if der.len() > CERTIFICATE_LEN_MAX {
        return Err(refuse(format!("{what}: at most {CERTIFICATE_LEN_MAX} bytes are allowed")));
    }
    ca_facts(der).map_err(|e| refuse(format!("{what}: {e}")))
}

fn key(facts: &CaFacts) -> String {
    facts.key_id.to_string()
}

/// The platform and purpose of an issuing CA of this federation.
fn issuing(state: &State, facts: &CaFacts) -> Result<(RegionCode, CaPurpose), Refusal> {
    let domain = state.federation().map(|f| &f.domain);
    match &facts.uri {
        Some((found, CaName::Issuing { region, purpose })) if Some(found) == domain => {
            Ok((*region, *purpose))
        }
        _ => Err(refuse(format!("{} is no issuing CA of this federation", facts.name))),
    }
}

fn valid(c: &Command, what: &str, facts: &CaFacts) -> Result<(), Refusal> {
    let now = c.at.as_millis();
    if facts.from_ms <= now && now < facts.to_ms {
        return Ok(());
    }
    Err(refuse(format!("{what} {} is not valid now", facts.name)))
}

/// Serials of every certificate that a CA with this key has, in the bundle, in the rows of issuers and in a rotation.
fn serials(state: &State, trust: &Trust, key_id: &str) -> BTreeSet<String> {
    let material = trust.rotation.iter().flat_map(|r| r.material.root.iter().chain(&r.material.issuing));
    let rows = state.issuers().map(|i| i.certificate.as_slice());
    let all = trust.certificates().chain(rows).chain(material.map(Vec::as_slice));
    let facts = all.filter_map(|der| ca_facts(der).ok());
    facts.filter(|f| key(f) == key_id).map(|f| f.serial).collect()
}

/// With one certificate of a CA all of its key are revoked: the other one would still lead to a trusted root.
pub(super) fn siblings(state: &State, serial: &str) -> BTreeSet<String> {
    let trust = state.trust();
    let rows = state.issuers().map(|i| i.certificate.as_slice());
    let material = trust.rotation.iter().flat_map(|r| r.material.root.iter().chain(&r.material.issuing));
    let all = trust.certificates().chain(rows).chain(material.map(Vec::as_slice));
    let known = all.filter_map(|der| ca_facts(der).ok()).find(|f| f.serial == serial);
    known.map(|f| serials(state, &trust, &key(&f))).unwrap_or_default()
}

/// A revoked CA does not come back under another certificate.
fn unrevoked(state: &State, trust: &Trust, facts: &CaFacts) -> Result<(), Refusal> {
    let mut all = serials(state, trust, &key(facts));
    all.insert(facts.serial.clone());
    match all.iter().find(|s| state.revocation(s).is_some()) {
        Some(serial) => Err(refuse(format!("the CA {} is revoked (certificate {serial})", facts.name))),
        None => Ok(()),
    }
}

/// The trust row with the version of its content and of its record raised as it must be.
fn changed(mut trust: Trust, bundle: bool) -> Row {
    trust.changes = trust.changes.saturating_add(1);
    if bundle {
        trust.version = trust.version.saturating_add(1);
    }
    Row::Trust(trust)
}

fn rotate(state: &State, c: &Command, version: u64, step: &RotationStep) -> Decision {
    let mut trust = at_version(state, version)?;
    if let RotationStep::Prepare(material) = step {
        let rows = prepare(state, c, trust, material)?;
        return Ok((Outcome::Done, rows));
    }
    let rotation = trust.open_rotation().cloned();
    let rotation = rotation.ok_or_else(|| Refusal::RotationPhase {
        step: step.word().to_owned(),
        found: "no rotation is under way".to_owned(),
    })?;
    let fits = match step {
        RotationStep::Prepare(_) => false,
        RotationStep::Publish => rotation.phase == RotationPhase::Prepared,
        RotationStep::Cross => rotation.issuing.is_none() && rotation.phase == RotationPhase::Published,
        RotationStep::Activate { .. } => {
            let crossed =
                if rotation.issuing.is_none() { RotationPhase::Crossed } else { RotationPhase::Published };
            rotation.phase == crossed
        }
        RotationStep::Retire { .. } => rotation.phase == RotationPhase::Draining,
        RotationStep::Abort => rotation.phase < RotationPhase::Draining,
    };
    if !fits {
        let found = format!("the rotation is {}", rotation.phase.word());
        return Err(Refusal::RotationPhase { step: step.word().to_owned(), found });
    }
    if !matches!(step, RotationStep::Abort | RotationStep::Retire { .. }) {
        for der in rotation.material.root.iter().chain(&rotation.material.issuing) {
            unrevoked(state, &trust, &read("CA", der)?)?;
        }
    }
    let mut rows = match step {
        RotationStep::Prepare(_) => Vec::new(),
        RotationStep::Publish => publish(&mut trust, rotation)?,
        RotationStep::Cross => cross(&mut trust, rotation),
        RotationStep::Activate { without } => activate(state, c, &mut trust, rotation, without)?,
        RotationStep::Retire { force } => retire(state, c, &mut trust, rotation, force.as_deref())?,
        RotationStep::Abort => abort(state, &mut trust, rotation)?,
    };
    if trust.roots.is_empty()
        || trust.roots.len() + trust.issuing.len() + trust.crosses.len() > CERTIFICATES_MAX
    {
        return Err(Refusal::Rule(format!(
            "a bundle has a root and at most {CERTIFICATES_MAX} certificates"
        )));
    }
    rows.push(changed(trust, true));
    Ok((Outcome::Done, rows))
}

/// What the ceremony made, looked at before anybody trusts it.
fn prepare(state: &State, c: &Command, mut trust: Trust, material: &Material) -> Result<Vec<Row>, Refusal> {
    if let Some(open) = trust.open_rotation() {
        let found = format!("a rotation is {} already", open.phase.word());
        return Err(Refusal::RotationPhase { step: "prepare".to_owned(), found });
    }
    let count = material.issuing.len();
    if count > CERTIFICATES_MAX || material.list.len() > LIST_LEN_MAX {
        return Err(refuse("it is larger than any ceremony's"));
    }
    let (old_root, _) = trust.active_root().ok_or_else(|| refuse("the bundle has no root"))?;
    let (issuing, old, new) = match &material.root {
        Some(der) => prepare_root(state, c, &trust, material, &old_root, der)?,
        None => prepare_issuing(state, c, &trust, material, &old_root)?,
    };
    trust.rotation = Some(Rotation {
        issuing,
        old,
        new,
        phase: RotationPhase::Prepared,
        material: material.clone(),
        begun: c.at,
        by: c.by.clone(),
        activated: None,
        drained: None,
        without: Vec::new(),
    });
    Ok(vec![changed(trust, false)])
}

type Prepared = (Option<(RegionCode, CaPurpose)>, String, String);

fn prepare_root(
    state: &State,
    c: &Command,
    trust: &Trust,
    material: &Material,
    old: &CaFacts,
    der: &[u8],
) -> Result<Prepared, Refusal> {
    let new = read("new root", der)?;
    let domain = state.federation().map(|f| &f.domain);
    if !new.is_root() || !matches!(&new.uri, Some((d, CaName::Root)) if Some(d) == domain) {
        return Err(refuse("the new root is no root of this federation"));
    }
    if new.key_id == old.key_id || new.subject == old.subject || trust.tainted.contains(&key(&new)) {
        return Err(refuse("the new root has the key or the name of one that was there before"));
    }
    if new.path_len.is_some_and(|n| n < 2) {
        return Err(refuse("the new root's path length must be 2 or more: the old root stands below it"));
    }
    valid(c, "the new root", &new)?;
    crossed(c, &read("new root under the old", &material.new_by_old)?, &new, old)?;
    crossed(c, &read("old root under the new", &material.old_by_new)?, old, &new)?;
    if material.list.is_empty() || material.list_ends <= c.at {
        return Err(refuse("the new root's revocation list is missing or has ended"));
    }
    let mut again = BTreeSet::new();
    for der in &material.issuing {
        let facts = read("issuing CA", der)?;
        issuing(state, &facts)?;
        valid(c, "the CA", &facts)?;
        unrevoked(state, trust, &facts)?;
        let former = trust.issuing.iter().filter_map(|d| ca_facts(d).ok()).find(|f| f.key_id == facts.key_id);
        let former = former.ok_or_else(|| refuse(format!("{} is no CA of the bundle", facts.name)))?;
        if facts.issuer != new.subject || facts.subject != former.subject || facts.uri != former.uri {
            return Err(refuse(format!("{} must keep its name and stand under the new root", facts.name)));
        }
        again.insert(key(&facts));
    }
    let used = state.issuers().filter(|i| i.platform.is_some() && i.state == IssuerState::Active);
    let revoked = |i: &Issuer| serials(state, trust, &i.key_id).iter().any(|s| state.revocation(s).is_some());
    let missing: Vec<&str> =
        used.filter(|i| !again.contains(&i.key_id) && !revoked(i)).map(|i| i.name.as_str()).collect();
    if !missing.is_empty() {
        return Err(refuse(format!("not re-issued under the new root: {}", missing.join(", "))));
    }
    Ok((None, key(old), key(&new)))
}

/// One root signed by the other: the key and the name of the one, the other's name above it, room for issuing CAs below.
fn crossed(c: &Command, cross: &CaFacts, below: &CaFacts, above: &CaFacts) -> Result<(), Refusal> {
    valid(c, "the cross certificate of", cross)?;
    let fits =
        cross.key_id == below.key_id && cross.subject == below.subject && cross.issuer == above.subject;
    if fits && cross.path_len.is_none_or(|n| n >= 1) {
        return Ok(());
    }
    Err(refuse(format!("the cross certificate of {} does not connect the two roots", below.name)))
}

fn prepare_issuing(
    state: &State,
    c: &Command,
    trust: &Trust,
    material: &Material,
    root: &CaFacts,
) -> Result<Prepared, Refusal> {
    let [der] = material.issuing.as_slice() else {
        return Err(refuse("a rotation is of one root, or of one issuing CA"));
    };
    let facts = read("issuing CA", der)?;
    let place = new_issuing(state, c, trust, root, &facts)?;
    let old = current(state, place);
    let old =
        old.ok_or_else(|| refuse(format!("{} {} has no CA to replace: add this one", place.0, place.1)))?;
    Ok((Some(place), old.key_id.clone(), key(&facts)))
}

/// An issuing CA with a key that the federation does not know, under the root in use.
fn new_issuing(
    state: &State,
    c: &Command,
    trust: &Trust,
    root: &CaFacts,
    facts: &CaFacts,
) -> Result<(RegionCode, CaPurpose), Refusal> {
    let place = issuing(state, facts)?;
    check::placement(state, place.0)?;
    valid(c, "the CA", facts)?;
    unrevoked(state, trust, facts)?;
    if facts.issuer != root.subject {
        return Err(refuse(format!("{} does not stand under the root in use, {}", facts.name, root.name)));
    }
    if facts.path_len != Some(0) {
        return Err(refuse(format!("{} could make another CA: its path length must be 0", facts.name)));
    }
    let known = state.issuers().any(|i| i.key_id == key(facts) && i.state != IssuerState::Staged)
        || trust.issuing.iter().any(|d| ca_facts(d).is_ok_and(|f| f.key_id == facts.key_id));
    if known {
        return Err(refuse(format!("the key of {} is known already", facts.name)));
    }
    Ok(place)
}

/// The CA that issues for a platform and purpose now.
fn current(state: &State, place: (RegionCode, CaPurpose)) -> Option<&Issuer> {
    let purpose = |i: &Issuer| match ca_facts(&i.certificate).ok()?.uri?.1 {
        CaName::Issuing { purpose, .. } => Some(purpose),
        CaName::Root => None,
    };
    let mut used = state.issuers().filter(|i| i.platform == Some(place.0) && i.state == IssuerState::Active);
    used.find(|i| purpose(i) == Some(place.1))
}

fn issuer_row(der: &[u8], state: IssuerState) -> Result<Issuer, Refusal> {
    let facts = read("CA", der)?;
    Ok(Issuer {
        key_id: key(&facts),
        platform: facts.uri.as_ref().and_then(|(_, name)| name.region()),
        name: facts.name,
        certificate: der.to_vec(),
        state,
        since_epoch: Epoch::NONE,
    })
}

fn publish(trust: &mut Trust, mut rotation: Rotation) -> Result<Vec<Row>, Refusal> {
    let mut rows = Vec::new();
    let material = &rotation.material;
    match &material.root {
        Some(root) => {
            trust.roots.push(root.clone());
            trust.crosses.push(material.new_by_old.clone());
            let (list, ends) = (material.list.clone(), material.list_ends);
            trust.lists.push(RootList { key_id: rotation.new.clone(), list, ends });
            rows.push(Row::Issuer(issuer_row(root, IssuerState::Staged)?));
        }
        None => {
            trust.issuing.extend(material.issuing.iter().cloned());
            for der in &material.issuing {
                rows.push(Row::Issuer(issuer_row(der, IssuerState::Staged)?));
            }
        }
    }
    rotation.phase = RotationPhase::Published;
    trust.rotation = Some(rotation);
    Ok(rows)
}

fn cross(trust: &mut Trust, mut rotation: Rotation) -> Vec<Row> {
    trust.issuing.extend(rotation.material.issuing.iter().cloned());
    trust.crosses.push(rotation.material.old_by_new.clone());
    rotation.phase = RotationPhase::Crossed;
    trust.rotation = Some(rotation);
    Vec::new()
}

/// The gate: whoever would not understand the new one is named, by the registry or by the operator.
fn activate(
    state: &State,
    c: &Command,
    trust: &mut Trust,
    mut rotation: Rotation,
    without: &[NodeId],
) -> Result<Vec<Row>, Refusal> {
    for node in without {
        check::node(state, *node)?;
    }
    let behind = state.trust_behind();
    let missing: Vec<NodeId> = behind.iter().filter(|n| !without.contains(n)).copied().collect();
    if !missing.is_empty() {
        return Err(Refusal::TrustUnacknowledged { version: trust.version, nodes: missing });
    }
    if rotation.issuing.is_none() {
        let list = trust.lists.iter().find(|l| l.key_id == rotation.new);
        if list.is_none_or(|l| l.ends <= c.at) {
            return Err(refuse("the new root's revocation list is missing or has ended"));
        }
    }
    let mut rows = Vec::new();
    let mut put = |key_id: &str, to: IssuerState, certificate: Option<&Vec<u8>>| {
        if let Some(known) = state.issuers().find(|i| i.key_id == key_id) {
            let certificate = certificate.unwrap_or(&known.certificate).clone();
            rows.push(Row::Issuer(Issuer { state: to, certificate, ..known.clone() }));
        }
    };
    put(&rotation.old, IssuerState::Retired, None);
    put(&rotation.new, IssuerState::Active, None);
    if rotation.issuing.is_none() {
        for der in &rotation.material.issuing {
            let facts = read("CA", der)?;
            let known = state.issuers().find(|i| i.key_id == key(&facts));
            put(&key(&facts), known.map_or(IssuerState::Active, |i| i.state), Some(der));
        }
    }
    rotation.phase = RotationPhase::Draining;
    rotation.activated = Some(c.at);
    rotation.drained = Some(c.at.plus_millis(drain_ms(rotation.issuing)));
    rotation.without = behind;
    rotation.material = Material::default();
    trust.rotation = Some(rotation);
    Ok(rows)
}

fn retire(
    state: &State,
    c: &Command,
    trust: &mut Trust,
    mut rotation: Rotation,
    force: Option<&str>,
) -> Result<Vec<Row>, Refusal> {
    let until = rotation.drained.unwrap_or(c.at);
    match force {
        None if c.at < until => return Err(Refusal::DrainNotOver { until }),
        Some(why) if why.trim().is_empty() => {
            return Err(invalid(
                "force",
                "certificates under the old one may still live: say why it goes now",
            ));
        }
        Some(why) => check::bounded("force", why)?,
        None => {}
    }
    let mut rows = Vec::new();
    let of_key = |der: &Vec<u8>| ca_facts(der).is_ok_and(|f| key(&f) == rotation.old);
    match rotation.issuing {
        None => {
            let old = trust.roots.iter().find(|d| of_key(d)).and_then(|d| ca_facts(d).ok());
            trust.roots.retain(|d| !of_key(d));
            // What stood under it alone leads nowhere any more; what connects it with its successor is kept.
            trust
                .issuing
                .retain(|d| ca_facts(d).is_ok_and(|f| old.as_ref().is_none_or(|o| f.issuer != o.subject)));
            trust.crosses.retain(|d| !of_key(d));
            trust.lists.retain(|l| l.key_id != rotation.old);
            trust.tainted.push(rotation.old.clone());
        }
        Some(_) => {
            for serial in serials(state, trust, &rotation.old) {
                // It still stands under a trusted root: only a revocation makes it worthless.
                if state.revocation(&serial).is_none() {
                    let reason = "superseded: rotation of the issuing CA".to_owned();
                    rows.push(Row::Revocation(Revocation { serial, reason, at: c.at, by: c.by.clone() }));
                }
            }
            trust.issuing.retain(|d| !of_key(d));
        }
    }
    rotation.phase = RotationPhase::Retired;
    trust.rotation = Some(rotation);
    Ok(rows)
}

fn abort(state: &State, trust: &mut Trust, mut rotation: Rotation) -> Result<Vec<Row>, Refusal> {
    let material = std::mem::take(&mut rotation.material);
    let gone = |der: &Vec<u8>| {
        material.issuing.contains(der)
            || material.root.as_ref() == Some(der)
            || [&material.new_by_old, &material.old_by_new].contains(&der)
    };
    trust.roots.retain(|d| !gone(d));
    trust.issuing.retain(|d| !gone(d));
    trust.crosses.retain(|d| !gone(d));
    trust.lists.retain(|l| l.key_id != rotation.new);
    let staged = state.issuers().find(|i| i.key_id == rotation.new && i.state == IssuerState::Staged);
    // The row stays as one that never came into use: not trusted, and free to be prepared again.
    let rows = staged.map(|i| Row::Issuer(i.clone())).into_iter().collect();
    rotation.phase = RotationPhase::Aborted;
    trust.rotation = Some(rotation);
    Ok(rows)
}

/// An issuing CA of a platform that had none of this purpose.
fn add_issuer(state: &State, c: &Command, version: u64, der: &[u8], since_epoch: Epoch) -> Decision {
    let mut trust = at_version(state, version)?;
    let (root, _) = trust.active_root().ok_or_else(|| refuse("the bundle has no root"))?;
    let facts = read("issuing CA", der)?;
    let place = new_issuing(state, c, &trust, &root, &facts)?;
    if let Some(known) = current(state, place) {
        return Err(refuse(format!("{} {} has the CA {} already: rotate it", place.0, place.1, known.name)));
    }
    if trust.certificates().count() >= CERTIFICATES_MAX {
        return Err(Refusal::Rule(format!("a bundle has at most {CERTIFICATES_MAX} certificates")));
    }
    trust.issuing.push(der.to_vec());
    let row = Issuer { since_epoch, ..issuer_row(der, IssuerState::Active)? };
    Ok((Outcome::Done, vec![Row::Issuer(row), changed(trust, true)]))
}
