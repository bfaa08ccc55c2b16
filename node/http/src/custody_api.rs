//! Custody of the platform's CA keys: wrapped keys that travel with the journal, and the persons who open them.
//!
//! What always holds: shares open a key only on the open primary that the registry names at this moment, only the wrapped key that
//! the registry names, and only into memory; what comes out must belong to the certificate that the registry lists. Who opened
//! what, and for which epoch, is in the platform's journal before anything is signed with it.

use crate::Caller;
use crate::auth::need;
use crate::ca::{close_former, primary_here, refused};
use crate::certificates_api::administrator;
use crate::extract::Json;
use crate::platforms_api::region;
use crate::problem::ApiError;
use crate::shelf::OpenedBy;
use crate::signing::{command, propose};
use crate::state::Api;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json as Answer};
use bytes::Bytes;
use eport_access::Action;
use eport_api_types::{
    CaKeyItem, CustodyItem, CustodyRequest, Page, UnlockAnswer, UnlockRequest, WrappedKeyRequest, rfc3339,
};
use eport_authority::ceremony::Share;
use eport_authority::{Authority, Passphrase, WRAPPED_KEY_LEN_MAX, WrappedKey};
use eport_model::{CA_ACT_SINCE, Digest, RegionCode, Timestamp, codes};
use eport_platform::{Platform, WrappedRow};
use eport_registry::{CaCustody, Issuer, IssuerState, Op};
use std::net::IpAddr;
use std::time::Duration;
use zeroize::{Zeroize, Zeroizing};

/// Shares in one request.
const SHARES_MAX: usize = 64;
/// Longest wait for the registry's word that this node is primary now.
const WORD_TIMEOUT: Duration = Duration::from_secs(5);

/// `GET /v1/platforms/{region}/ca-keys`: as this node has them.
pub async fn list(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Result<Response, ApiError> {
    let region = region(&name)?;
    need(&api, &caller, Action::Inspect, Some(region))?;
    close_former(&api);
    let view = api.registry.state();
    let platform = api.platform(region);
    let mut items = Vec::new();
    for issuer in view.state.issuers().filter(|i| i.platform == Some(region)) {
        let Ok(ca) = issuer.key_id.parse::<Digest>() else { continue };
        let kept = platform.as_ref().map(|p| p.wrapped_keys(&ca)).transpose();
        let kept = kept.map_err(|e| ApiError::of(&e))?.unwrap_or_default();
        items.push(item(&api, issuer, ca, &kept));
    }
    Ok(Answer(Page { items, next_page_token: None }).into_response())
}

fn item(api: &Api, issuer: &Issuer, ca: Digest, kept: &[WrappedRow]) -> CaKeyItem {
    let view = api.registry.state();
    let custody = view.state.custody(&ca).map(|c| CustodyItem {
        kek: c.kek.clone(),
        wrapped: c.wrapped.to_string(),
        threshold: c.threshold,
        holders: c.holders.clone(),
        by: c.by.clone(),
        at: rfc3339(c.at),
        kept_here: kept.iter().any(|k| k.digest() == c.wrapped),
    });
    let opened = api.cas.all().into_iter().find(|(a, _)| a.spki() == ca).map(|(_, by)| match by {
        OpenedBy::File => "file".to_owned(),
        OpenedBy::Shares(_) => "shares".to_owned(),
    });
    let here = api.cas.locked().iter().any(|l| l.key == ca) || !kept.is_empty();
    let state = match (&opened, here) {
        (Some(_), _) => "open",
        (None, true) => "locked",
        (None, false) => "absent",
    };
    CaKeyItem {
        ca: ca.to_string(),
        name: issuer.name.clone(),
        platform: issuer.platform.map(|r| r.to_string()).unwrap_or_default(),
        node: api.agent.me().to_string(),
        state: state.to_owned(),
        opened_by: opened,
        custody,
        wrapped: kept.iter().map(|k| k.kek.clone()).collect(),
    }
}

/// An active issuing CA of a platform, as the registry lists it.
fn issuer_of(api: &Api, region: RegionCode, ca: &Digest) -> Result<Issuer, ApiError> {
    let (view, key) = (api.registry.state(), ca.to_string());
    let found = view.state.issuers().find(|i| i.key_id == key && i.platform == Some(region)).cloned();
    let found = found.filter(|i| i.state == IssuerState::Active);
    found.ok_or_else(|| ApiError::not_found(format!("issuing CA {key} of platform {region}")))
}

/// `POST /v1/platforms/{region}/ca-keys`: at the primary. Nothing here can open it; which one counts is for the registry to say.
pub async fn keep(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    Json(body): Json<WrappedKeyRequest>,
) -> Result<Response, ApiError> {
    let region = region(&name)?;
    let by = administrator(&api, &caller)?;
    let platform = primary_here(&api, region)?;
    crate::ca::readable(&api, region, CA_ACT_SINCE)?;
    if body.wrapped.len() > WRAPPED_KEY_LEN_MAX {
        return Err(ApiError::bad(format!("wrapped: at most {WRAPPED_KEY_LEN_MAX} bytes are allowed")));
    }
    let wrapped = WrappedKey::parse(&body.wrapped).map_err(|e| refused(&e))?;
    let issuer = issuer_of(&api, region, &wrapped.ca())?;
    let row = WrappedRow {
        ca: wrapped.ca(),
        kek: wrapped.kek().to_owned(),
        wrapped: Bytes::from(body.wrapped),
        head: platform.ledger_head(),
        by,
        at: api.now(),
    };
    let in_force = api.registry.state().state.custody(&row.ca).map(|c| c.wrapped);
    platform.record_wrapped(&row, in_force.as_ref()).await.map_err(|e| ApiError::of(&e))?;
    let kept = platform.wrapped_keys(&row.ca).map_err(|e| ApiError::of(&e))?;
    Ok(Answer(item(&api, &issuer, row.ca, &kept)).into_response())
}

/// `PUT /v1/platforms/{region}/ca-keys/{ca}/custody`: a command of the registry; two persons in production.
pub async fn put(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path((name, ca)): Path<(String, String)>,
    Json(body): Json<CustodyRequest>,
) -> Result<Response, ApiError> {
    let region = region(&name)?;
    need(&api, &caller, Action::AdministerCertificates, Some(region))?;
    let bad = |e: eport_model::ParseError| ApiError::bad(e.to_string());
    let ca: Digest = ca.parse().map_err(bad)?;
    let issuer = issuer_of(&api, region, &ca)?;
    let custody = CaCustody {
        ca,
        region,
        kek: body.kek,
        wrapped: body.wrapped.parse().map_err(bad)?,
        threshold: body.threshold,
        holders: body.holders,
        by: String::new(),
        at: Timestamp::default(),
    };
    propose(&api, command(&api, &caller, "ca custody", Op::PutCustody(custody))?).await?;
    let kept = api.platform(region).map(|p| p.wrapped_keys(&ca)).transpose();
    let kept = kept.map_err(|e| ApiError::of(&e))?.unwrap_or_default();
    Ok(Answer(item(&api, &issuer, ca, &kept)).into_response())
}

/// `POST /v1/platforms/{region}/ca-keys:unlock`
pub async fn unlock(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    Json(mut body): Json<UnlockRequest>,
) -> Result<Response, ApiError> {
    let answer = unlock_with(&api, &caller, &name, &body).await;
    body.shares.zeroize();
    body.passphrase.zeroize();
    Ok(Answer(answer?).into_response())
}

async fn unlock_with(
    api: &Api,
    caller: &Caller,
    name: &str,
    body: &UnlockRequest,
) -> Result<UnlockAnswer, ApiError> {
    let region = region(name)?;
    administrator(api, caller)?;
    let mut opened = Vec::new();
    if let Some(word) = &body.passphrase {
        opened.extend(by_passphrase(api, caller, region, word).await?);
    }
    if !body.shares.is_empty() {
        opened.push(by_shares(api, caller, region, &body.shares).await?);
    }
    if body.passphrase.is_none() && body.shares.is_empty() {
        return Err(ApiError::bad("shares or a passphrase are needed"));
    }
    Ok(UnlockAnswer {
        node: api.agent.me().to_string(),
        platform: region.to_string(),
        epoch: api.platform(region).and_then(|p| p.issuing_epoch()).map(|e| e.as_u64()),
        opened: opened.iter().map(ToString::to_string).collect(),
    })
}

/// Opens the files that lie here sealed. A wrong passphrase costs its sender as a wrong token does.
async fn by_passphrase(
    api: &Api,
    caller: &Caller,
    region: RegionCode,
    word: &str,
) -> Result<Vec<Digest>, ApiError> {
    if !api.cas.locked().iter().any(|l| l.name.region() == Some(region)) {
        return Err(ApiError::not_found(format!("sealed key of a CA of {region} on this node")));
    }
    // Whoever asks is an operator: wrong words are counted for the whole node.
    let from = Some(IpAddr::from([0, 0, 0, 0]));
    if !api.cas.wrong.admits(from, std::time::Instant::now()) {
        return Err(ApiError::new(codes::OVERLOADED, "too many wrong passphrases came; wait for a minute"));
    }
    let word = Zeroizing::new(word.to_owned());
    let at = api.clone();
    // Stretching a person's passphrase takes 64 MiB and a moment: not on the threads that carry the heartbeats.
    let done = tokio::task::spawn_blocking(move || {
        let word = Passphrase::new(&word).map_err(|e| refused(&e))?;
        at.cas.unlock(region, &word).map_err(|(code, detail)| ApiError::new(code, detail))
    });
    let done = done.await.map_err(|e| ApiError::new(codes::INTERNAL, e.to_string()))?;
    let opened = done.inspect_err(|_| api.cas.wrong.wrong(from, std::time::Instant::now()))?;
    tracing::info!(by = %caller.name(), %region, keys = opened.len(), "sealed CA keys opened");
    Ok(opened)
}

/// Opens a wrapped key with shares. Both must hold: the registry says now that this node is primary, and a quorum of persons.
async fn by_shares(
    api: &Api,
    caller: &Caller,
    region: RegionCode,
    texts: &[String],
) -> Result<Digest, ApiError> {
    if texts.len() > SHARES_MAX {
        return Err(ApiError::bad(format!("shares: at most {SHARES_MAX} are allowed")));
    }
    let shares: Vec<Share> =
        texts.iter().map(|t| Share::parse(t)).collect::<Result<_, _>>().map_err(|e| refused(&e))?;
    // What this node believes of its place may be old: a stale primary must not be given a key.
    let word = api.registry.linearizable(WORD_TIMEOUT).await;
    word.map_err(|e| ApiError::new(codes::REVOCATIONS_STALE, format!("the registry does not answer: {e}")))?;
    let platform = primary_here(api, region)?;
    crate::ca::readable(api, region, CA_ACT_SINCE)?;
    let epoch = platform.issuing_epoch();
    let epoch =
        epoch.ok_or_else(|| ApiError::new(codes::FENCED, format!("platform {region} is not open here")))?;
    let wrapped = in_force(api, region, &platform, shares[0].ceremony())?;
    let issuer = issuer_of(api, region, &wrapped.ca())?;
    let key = wrapped.open(&shares).map_err(|e| refused(&e))?;
    let pem = eport_authority::certificate_pem(&issuer.certificate);
    let authority = Authority::from_parts(&pem, std::sync::Arc::new(key), None)
        .map_err(|e| ApiError::new(codes::CA_KEY_OTHER, format!("{}: {e}", issuer.name)))?;
    let ca = authority.spki();
    let holders: Vec<&str> = shares.iter().map(Share::holder).collect();
    let draw: u64 = rand::random();
    let id = format!("ca/{ca}/opened/{}/{}/{draw:016x}", epoch.as_u64(), holders.join("+"));
    platform.record_ca_act(id, &caller.name(), None).await.map_err(|e| ApiError::of(&e))?;
    api.cas.admit(authority, OpenedBy::Shares(epoch));
    // A failover in between: what was opened for the former epoch goes at once.
    close_former(api);
    tracing::info!(by = %caller.name(), %region, key = %ca, ?epoch, ?holders, "a CA's key is open by shares");
    Ok(ca)
}

/// The wrapped key of a platform that these shares belong to, when it is the one that the registry names.
fn in_force(api: &Api, region: RegionCode, platform: &Platform, kek: &str) -> Result<WrappedKey, ApiError> {
    let view = api.registry.state();
    let unknown = |detail: String| ApiError::new(codes::CA_CUSTODY_UNKNOWN, detail);
    let custody = view.state.custodies().find(|c| c.region == region && c.kek == kek);
    let custody = custody.ok_or_else(|| {
        unknown(format!("the registry names no wrapped key {kek} of a CA of platform {region}"))
    })?;
    let kept = platform.wrapped_keys(&custody.ca).map_err(|e| ApiError::of(&e))?;
    let row = kept.iter().find(|k| k.digest() == custody.wrapped);
    let row = row.ok_or_else(|| unknown(format!("the journal here lacks the wrapped key {kek}")))?;
    let text = std::str::from_utf8(&row.wrapped).map_err(|_| unknown("the wrapped key is damaged".into()))?;
    WrappedKey::parse(text).map_err(|e| refused(&e))
}
