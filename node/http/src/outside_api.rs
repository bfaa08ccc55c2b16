//! CAs outside the federation: registered with the proof that their key is held, their lists brought by anybody who administers,
//! removed for ever; and how far what they vouch for reaches.
//!
//! Always holds: the proof and the list prove themselves, here before anything enters and on every node that applies it; a certificate
//! of an outside CA counts at the platforms of the CA's scope, asks for no certificate and makes no delegation.

use crate::Caller;
use crate::auth::need;
use crate::extract::{Json, Raw};
use crate::platforms_api::COMMAND_TIMEOUT;
use crate::problem::ApiError;
use crate::signing::{command, propose};
use crate::state::Api;
use crate::trust_api::status;
use axum::extract::{Path, State};
use axum::{Extension, Json as Answer};
use eport_access::Action;
use eport_api_types::{
    OutsideItem, OutsideList, OutsideListTaken, OutsideRemovalRequest, OutsideRequest, TrustStatus, rfc3339,
};
use eport_authority::{certificate_of_pem, read_crl};
use eport_model::{Digest, RegionCode, Timestamp, codes};
use eport_registry::{Op, OutsideCa};
use eport_signature::possession;
use std::collections::BTreeSet;

fn refuse(detail: impl Into<String>) -> ApiError {
    ApiError::new(codes::OUTSIDE_CA, detail)
}

/// Where a caller's certificate counts when a CA outside vouches for it; `None`: everywhere, it is ours. Of a removed CA it counts nowhere.
pub(crate) fn places(api: &Api, caller: &Caller) -> Option<BTreeSet<RegionCode>> {
    let view = api.registry.state();
    let ca = view.state.outside_ca(&caller.issuer()?)?;
    Some(if ca.removed.is_some() { BTreeSet::new() } else { ca.scope.platforms().collect() })
}

/// `POST /v1/trust/outside`
pub async fn add(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Json(body): Json<OutsideRequest>,
) -> Result<Answer<TrustStatus>, ApiError> {
    need(&api, &caller, Action::AdministerCertificates, None)?;
    let certificate = certificate_of_pem(&body.certificate).map_err(|e| refuse(e.to_string()))?;
    let signature =
        crate::trust_api::bytes_of_hex(&body.proof).ok_or_else(|| refuse("proof: hex is needed"))?;
    let proven = possession(&certificate, &body.challenge, &signature);
    let (_, challenge) = proven.map_err(|e| refuse(format!("the proof fails: {e}")))?;
    // As every node's verifier will read it.
    eport_tls::OutsideCa::new(&certificate, challenge.scope).map_err(|e| refuse(e.to_string()))?;
    let op = Op::AddOutside { version: body.version, certificate, challenge: body.challenge, signature };
    propose(&api, command(&api, &caller, "ca add --outside", op)?).await?;
    api.registry.linearizable(COMMAND_TIMEOUT).await?;
    Ok(Answer(status(&api)))
}

/// `POST /v1/trust/outside/{key}/removal`
pub async fn remove(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(key): Path<String>,
    Json(body): Json<OutsideRemovalRequest>,
) -> Result<Answer<TrustStatus>, ApiError> {
    need(&api, &caller, Action::AdministerCertificates, None)?;
    let key = key_of(&key)?;
    let op = Op::RemoveOutside { version: body.version, key, reason: body.reason };
    propose(&api, command(&api, &caller, "ca outside remove", op)?).await?;
    api.registry.linearizable(COMMAND_TIMEOUT).await?;
    Ok(Answer(status(&api)))
}

/// `PUT /v1/trust/outside/{key}/revocations`: in force here at once, and wherever the list comes to; the leader enters it into the registry.
pub async fn revocations(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(key): Path<String>,
    Raw(list): Raw,
) -> Result<Answer<OutsideListTaken>, ApiError> {
    need(&api, &caller, Action::AdministerCertificates, None)?;
    let key = key_of(&key)?;
    let view = api.registry.state();
    let ca = view.state.outside_ca(&key).filter(|o| o.removed.is_none());
    let ca = ca.ok_or_else(|| ApiError::not_found(format!("outside CA {key}")))?;
    let (at, certificate) = (api.clone(), ca.certificate.clone());
    // It is written with an fsync: off the async threads.
    let taken = tokio::task::spawn_blocking(move || at.lists.accept(key, &certificate, &list)).await;
    let taken = taken.map_err(|e| ApiError::new(codes::INTERNAL, e.to_string()))?;
    let taken = taken.map_err(|e| match e {
        crate::lists::ListError::Disk { .. } => ApiError::new(codes::STORAGE_FAILED, e.to_string()),
        e => refuse(e.to_string()),
    })?;
    let (number, entries) = (api.lists.number(&key), api.lists.entries(&key).len());
    Ok(Answer(OutsideListTaken { key: key.to_string(), taken, number, entries: entries as u64 }))
}

fn key_of(text: &str) -> Result<Digest, ApiError> {
    text.parse().map_err(|e: eport_model::ParseError| ApiError::bad(e.to_string()))
}

/// The outside CAs, for people.
pub(crate) fn items(api: &Api) -> Vec<OutsideItem> {
    let view = api.registry.state();
    let now = api.now().as_millis();
    view.state.outside_cas().map(|ca| item(api, &view.state, ca, now)).collect()
}

fn item(api: &Api, state: &eport_registry::State, ca: &OutsideCa, now: i64) -> OutsideItem {
    let facts = eport_signature::outside_facts(&ca.certificate).ok();
    let (from, to) = facts.as_ref().map_or((0, 0), |f| (f.from_ms, f.to_ms));
    let revoked = facts.as_ref().is_some_and(|f| state.revoked_ca(&f.serial, f.key_id).is_some());
    let word = match &ca.removed {
        Some(_) => "removed",
        None if revoked => "revoked",
        None if now > to => "ended",
        None => "active",
    };
    OutsideItem {
        key: ca.key.to_string(),
        name: ca.name.clone(),
        subjects: ca.scope.subjects().map(ToString::to_string).collect(),
        profiles: ca.scope.profiles().into_iter().map(str::to_owned).collect(),
        platforms: ca.scope.platforms().collect(),
        serial: facts.map(|f| f.serial).unwrap_or_default(),
        not_before: rfc3339(Timestamp::from_millis(from)),
        not_after: rfc3339(Timestamp::from_millis(to)),
        state: word.to_owned(),
        since: rfc3339(ca.since),
        by: ca.by.clone(),
        removed: ca.removed.as_ref().map(|r| rfc3339(r.at)),
        reason: ca.removed.as_ref().map(|r| r.reason.clone()),
        list: list(api, ca, now),
    }
}

/// The CA's newest list on the node that answers.
fn list(api: &Api, ca: &OutsideCa, now: i64) -> Option<OutsideList> {
    let content = read_crl(&api.lists.newest(&ca.key)?, &ca.certificate).ok()?;
    let next = content.next_update.unix_timestamp().saturating_mul(1_000);
    Some(OutsideList {
        number: content.number.0,
        next: rfc3339(Timestamp::from_millis(next)),
        over: next < now,
        entries: content.entries.len() as u64,
    })
}
