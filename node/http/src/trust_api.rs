//! The trust bundle, its rotation, and issuing CAs that come later.
//!
//! Always holds: who signed what is proven here before a command enters, and again by every node before it adopts a bundle; the
//! registry counts versions, phases and acknowledgements.

use crate::Caller;
use crate::auth::need;
use crate::ca::refused;
use crate::extract::Json;
use crate::platforms_api::COMMAND_TIMEOUT;
use crate::problem::ApiError;
use crate::signing::{command, propose};
use crate::state::Api;
use axum::extract::State;
use axum::{Extension, Json as Answer};
use eport_access::Action;
use eport_api_types::{
    IssuerRequest, LedgerHead, RootListItem, RotationItem, RotationMaterial, RotationRequest, TrustCa,
    TrustMember, TrustStatus, rfc3339,
};
use eport_authority::ceremony::Pieces;
use eport_authority::{certificate_of_pem, certificate_pem, issued_by, read_crl};
use eport_model::{CaName, Epoch, Timestamp, codes};
use eport_registry::{
    IssuerState, Material, Op, Rotation, RotationPhase, RotationStep, State as Registered, Trust,
};
use eport_signature::{CaFacts, ca_facts};

/// The bundle as PEM: as the registry has it; before it is founded, as this node has it.
pub(crate) fn bundle_pem(api: &Api) -> Vec<u8> {
    let view = api.registry.state();
    if view.state.trust_version() == eport_registry::TRUST_FIRST {
        return api.config.trust_pem.clone();
    }
    view.state.trust().certificates().map(certificate_pem).collect::<String>().into_bytes()
}

/// What is shown above a leaf of this issuing key, PEM.
pub(crate) fn path_pem(state: &Registered, issuer: &str) -> String {
    // The row of the issuer has its certificate under the root in use.
    let Some(known) = state.issuers().find(|i| i.key_id == issuer) else { return String::new() };
    state.trust().path_above(&known.certificate).iter().map(|der| certificate_pem(der)).collect()
}

/// `GET /v1/trust`
pub async fn show(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
) -> Result<Answer<TrustStatus>, ApiError> {
    need(&api, &caller, Action::ReadFederation, None)?;
    Ok(Answer(status(&api)))
}

pub(crate) fn status(api: &Api) -> TrustStatus {
    let view = api.registry.state();
    let (state, trust) = (&view.state, view.state.trust());
    let roots: Vec<CaFacts> = trust.roots.iter().filter_map(|der| ca_facts(der).ok()).collect();
    let active = trust.active_root().map(|(facts, _)| facts.key_id);
    let staged = trust.open_rotation().filter(|r| r.phase < RotationPhase::Draining).map(|r| r.new.clone());
    let root_state = |f: &CaFacts| match f.key_id {
        key if Some(key) == active => "active",
        key if staged.as_deref() == Some(key.to_string().as_str()) => "staged",
        _ => "retired",
    };
    let issuing = trust.issuing.iter().filter_map(|der| ca_facts(der).ok());
    let ledgers = state.placements().map(|p| {
        let head = state.newest_head(p.region, p.epoch);
        let (epoch, index) = (p.epoch.as_u64(), head.index.as_u64());
        LedgerHead { region: p.region, epoch, index, digest: head.digest }
    });
    TrustStatus {
        version: trust.version,
        changes: trust.changes,
        roots: roots.iter().map(|f| item(api, state, &roots, f, root_state(f))).collect(),
        issuing: issuing.map(|f| item(api, state, &roots, &f, issuer_state(state, &f))).collect(),
        members: state
            .nodes()
            .filter(|n| n.is_member())
            .map(|n| TrustMember { node: n.id, acknowledged: state.trust_ack(n.id) })
            .collect(),
        behind: state.trust_behind(),
        rotation: trust.rotation.as_ref().map(rotation),
        tainted: trust.tainted.clone(),
        outside: crate::outside_api::items(api),
        lists: trust
            .lists
            .iter()
            .map(|l| RootListItem { key: l.key_id.clone(), ends: rfc3339(l.ends) })
            .collect(),
        ledgers: ledgers.collect(),
    }
}

fn issuer_state(state: &Registered, facts: &CaFacts) -> &'static str {
    let key = facts.key_id.to_string();
    match state.issuers().find(|i| i.key_id == key).map(|i| i.state) {
        Some(IssuerState::Active) => "active",
        Some(IssuerState::Retired) => "retired",
        Some(IssuerState::Staged) | None => "staged",
    }
}

fn item(api: &Api, state: &Registered, roots: &[CaFacts], facts: &CaFacts, word: &str) -> TrustCa {
    let key = facts.key_id.to_string();
    let (platform, purpose) = match &facts.uri {
        Some((_, CaName::Issuing { region, purpose })) => (Some(*region), Some(purpose.word().to_owned())),
        _ => (None, None),
    };
    let word = if state.revoked_ca(&facts.serial, facts.key_id).is_some() { "revoked" } else { word };
    let since = state.issuers().find(|i| i.key_id == key).map_or(0, |i| i.since_epoch.as_u64());
    let above = roots.iter().find(|r| r.subject == facts.issuer && !facts.is_root());
    TrustCa {
        name: facts.name.clone(),
        platform,
        purpose,
        serial: facts.serial.clone(),
        under: above.map(|r| r.key_id.to_string()),
        not_before: rfc3339(Timestamp::from_millis(facts.from_ms)),
        not_after: rfc3339(Timestamp::from_millis(facts.to_ms)),
        state: word.to_owned(),
        since_epoch: since,
        here: api.cas.of_key(&facts.key_id).is_some(),
        key,
    }
}

fn rotation(r: &Rotation) -> RotationItem {
    RotationItem {
        of: r.issuing.map_or_else(|| "root".to_owned(), |(region, purpose)| format!("{region}/{purpose}")),
        phase: r.phase.word().to_owned(),
        old: r.old.clone(),
        new: r.new.clone(),
        begun: rfc3339(r.begun),
        by: r.by.clone(),
        activated: r.activated.map(rfc3339),
        drained: r.drained.map(rfc3339),
        without: r.without.clone(),
    }
}

fn bad_material(detail: impl Into<String>) -> ApiError {
    ApiError::new(codes::TRUST_MATERIAL, detail)
}

/// `POST /v1/trust/rotation`
pub async fn rotate(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Json(body): Json<RotationRequest>,
) -> Result<Answer<TrustStatus>, ApiError> {
    need(&api, &caller, Action::AdministerCertificates, None)?;
    let step = match body.step.as_str() {
        "prepare" => {
            let given =
                body.material.as_ref().ok_or_else(|| bad_material("prepare needs the certificates"))?;
            RotationStep::Prepare(Box::new(material(&api.registry.state().state.trust(), given)?))
        }
        "publish" => RotationStep::Publish,
        "cross" => RotationStep::Cross,
        "activate" => RotationStep::Activate { without: body.without },
        "retire" => RotationStep::Retire { force: body.force },
        "abort" => RotationStep::Abort,
        other => {
            let detail =
                format!("step {other:?} is none of prepare, publish, cross, activate, retire, abort");
            return Err(ApiError::bad(detail));
        }
    };
    let reason = format!("ca rotate {}", step.word());
    let op = Op::Rotate { version: body.version, step };
    propose(&api, command(&api, &caller, &reason, op)?).await?;
    api.registry.linearizable(COMMAND_TIMEOUT).await?;
    Ok(Answer(status(&api)))
}

/// What a request brings in, with every signature proven.
fn material(trust: &Trust, given: &RotationMaterial) -> Result<Material, ApiError> {
    let der = |pem: &String| certificate_of_pem(pem).map_err(|e| bad_material(e.to_string()));
    let (_, old) = trust.active_root().ok_or_else(|| bad_material("the bundle has no root"))?;
    let issuing = given.issuing.iter().map(der).collect::<Result<Vec<_>, _>>()?;
    let Some(root) = &given.root else {
        if !issuing.iter().all(|ca| issued_by(ca, old)) {
            return Err(bad_material("the issuing CA is not signed by the root in use"));
        }
        return Ok(Material { issuing, ..Material::default() });
    };
    let root = der(root)?;
    let list = bytes_of_hex(&given.list).ok_or_else(|| bad_material("the revocation list is not hex"))?;
    let ends = read_crl(&list, &root).map_err(|e| bad_material(e.to_string()))?.next_update;
    let pieces = Pieces {
        root,
        list,
        list_ends: ends,
        new_by_old: der(&given.new_by_old)?,
        old_by_new: der(&given.old_by_new)?,
        issuing,
    };
    pieces.prove(old).map_err(|e| bad_material(e.to_string()))?;
    Ok(Material {
        root: Some(pieces.root),
        list: pieces.list,
        list_ends: Timestamp::from_millis(ends.unix_timestamp().saturating_mul(1_000)),
        new_by_old: pieces.new_by_old,
        old_by_new: pieces.old_by_new,
        issuing: pieces.issuing,
    })
}

pub(crate) fn bytes_of_hex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok()).collect()
}

/// `POST /v1/trust/issuers`: the CA of a platform that has none of this purpose.
pub async fn add_issuer(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Json(body): Json<IssuerRequest>,
) -> Result<Answer<TrustStatus>, ApiError> {
    need(&api, &caller, Action::AdministerCertificates, None)?;
    let certificate = certificate_of_pem(&body.certificate).map_err(|e| refused(&e))?;
    let trust = api.registry.state().state.trust();
    let (_, root) = trust.active_root().ok_or_else(|| bad_material("the bundle has no root"))?;
    if !issued_by(&certificate, root) {
        return Err(bad_material("the issuing CA is not signed by the root in use"));
    }
    let since_epoch = Epoch::from_u64(body.since_epoch);
    let op = Op::AddIssuer { version: body.version, certificate, since_epoch };
    propose(&api, command(&api, &caller, "ca add", op)?).await?;
    api.registry.linearizable(COMMAND_TIMEOUT).await?;
    Ok(Answer(status(&api)))
}
