//! Certificates: issue, import, list, revoke.

use crate::Caller;
use crate::auth::need;
use crate::ca;
use crate::enrol_api;
use crate::extract::{Json, Query};
use crate::forward::{FORWARDED, Outline};
use crate::isolation;
use crate::journal_api::{Place, at_primary};
use crate::platforms_api::region;
use crate::problem::ApiError;
use crate::signing::{command, propose};
use crate::state::Api;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json as Answer};
use eport_access::Action;
use eport_api_types::{
    CertificateImport, CertificateItem, CertificateRequest, DistrustRequest, Page, RevocationRequest, rfc3339,
};
use eport_model::{Distrust, RegionCode, Subject, codes};
use eport_platform::{CertificateRow, CertificateState, Platform};
use eport_registry::Op;
use serde::Deserialize;

/// Further names of a node's certificate.
pub(crate) const NAMES_MAX: usize = 16;

/// An operator who may administer certificates, with a connection of its own: what was forwarded shows no proof of the key.
pub(crate) fn administrator(api: &Api, caller: &Caller) -> Result<String, ApiError> {
    need(api, caller, Action::AdministerCertificates, None)?;
    let listed = match caller.subject() {
        Some(Subject::Operator(id)) => api.registry.state().state.administers(id),
        _ => false,
    };
    if listed && caller.via.is_none() {
        return Ok(caller.name());
    }
    Err(ApiError::new(codes::OPERATOR_ROLE, format!("{} is no administrator in the registry", caller.name())))
}

/// `POST /v1/certificates`: at the primary of the CA's platform.
pub async fn issue(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Json(body): Json<CertificateRequest>,
) -> Result<Response, ApiError> {
    if let Some(token) = &body.token {
        let (csr, token) = (body.csr.clone(), token.clone());
        return enrol_api::with_token(&api, &caller, csr, &token).await;
    }
    if caller.subject().is_none() {
        let detail = "this address needs a client certificate of the federation, or a one-time token";
        return Err(ApiError::new(codes::CERT_MISSING, detail));
    }
    let own = body.subject.is_empty() || body.subject == caller.name();
    let by = match administrator(&api, &caller) {
        Ok(by) if !body.subject.is_empty() => by,
        // In one's own name anybody may ask: it waits for an administrator.
        _ if own => return enrol_api::in_own_name(&api, &caller, &body.csr).await,
        Ok(_) => return Err(ApiError::bad("subject: it is needed")),
        Err(error) => return Err(error),
    };
    if body.dns.len() > NAMES_MAX || body.addresses.len() > NAMES_MAX {
        return Err(ApiError::bad(format!("dns, addresses: at most {NAMES_MAX} are allowed")));
    }
    let (region, row, chain) = ca::issue(&api, &body, &by).await?;
    let item = CertificateItem { chain: Some(chain), ..item(&api, region, &row) };
    Ok((StatusCode::CREATED, Answer(item)).into_response())
}

/// `POST /v1/certificates:import`
pub async fn import(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Json(body): Json<CertificateImport>,
) -> Result<Answer<CertificateItem>, ApiError> {
    let by = administrator(&api, &caller)?;
    let region = region(&body.platform)?;
    let der = eport_authority::certificate_of_pem(&body.certificate).map_err(|e| ca::refused(&e))?;
    let row = ca::import(&api, region, &der, &by).await?;
    Ok(Answer(item(&api, region, &row)))
}

/// `POST /v1/certificates/{serial}/revocation`: a command of the registry.
pub async fn revoke(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(serial): Path<String>,
    Json(body): Json<RevocationRequest>,
) -> Result<Response, ApiError> {
    need(&api, &caller, Action::AdministerCertificates, None)?;
    // As verifiers compare serials: an odd or foreign spelling would be stored and never match.
    let parsed: eport_tls::Serial =
        serial.parse().map_err(|e: eport_model::ParseError| ApiError::bad(e.to_string()))?;
    if parsed.as_str() != serial || serial.starts_with("00") {
        return Err(ApiError::bad("serial: lower-case hex without leading zeros is needed"));
    }
    if !body.unknown && !known(&api, &serial)? {
        return Err(ApiError::new(codes::CERT_UNKNOWN, format!("serial {serial}")));
    }
    let op = Op::Revoke { serial: serial.clone(), reason: body.reason.clone() };
    let order = command(&api, &caller, "certificate revoke", op)?;
    let at_registry = isolation::revoke(&api, &caller, order, &serial, &body.reason).await?;
    let view = api.registry.state();
    let found = view.state.revocation(&serial);
    let at = found.map_or_else(|| api.now(), |r| r.at);
    let body = serde_json::json!({
        "serial": serial, "state": "revoked", "at": rfc3339(at),
        // Cut off from the registry: in force here, and wherever the CA's list comes to.
        "by": if at_registry { "registry" } else { "list" },
    });
    Ok(Answer(body).into_response())
}

/// `POST /v1/certificates:distrust`: a command of the registry.
pub async fn distrust(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Json(body): Json<DistrustRequest>,
) -> Result<Response, ApiError> {
    need(&api, &caller, Action::AdministerCertificates, None)?;
    let rule: Distrust =
        body.rule.parse().map_err(|e: eport_model::ParseError| ApiError::bad(e.to_string()))?;
    let op = Op::Revoke { serial: rule.to_string(), reason: body.reason };
    propose(&api, command(&api, &caller, "certificate distrust", op)?).await?;
    let found = api.registry.state().state.revocation(&body.rule).map(|r| r.at);
    let at = rfc3339(found.unwrap_or_else(|| api.now()));
    let body = serde_json::json!({ "rule": body.rule, "state": "revoked", "at": at });
    Ok(Answer(body).into_response())
}

/// Whether a serial stands in a ledger kept here, or belongs to a CA or a node of the registry.
fn known(api: &Api, serial: &str) -> Result<bool, ApiError> {
    let view = api.registry.state();
    let of_ca = view
        .state
        .issuers()
        .any(|i| eport_authority::facts_of(&i.certificate).is_ok_and(|facts| facts.serial == serial));
    if of_ca || view.state.nodes().any(|n| n.cert_serial == serial) {
        return Ok(true);
    }
    for handle in api.agent.platforms() {
        let Some(platform) = api.platform(handle.region()) else { continue };
        if platform.certificate(serial).map_err(|e| ApiError::of(&e))?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Which certificates.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ListQuery {
    subject: Option<String>,
    limit: Option<usize>,
    page_token: Option<String>,
}

/// `GET /v1/platforms/{region}/certificates`: by serial; the token is the last serial shown.
pub async fn list(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    Query(q): Query<ListQuery>,
    request: Request,
) -> Result<Response, ApiError> {
    let region = region(&name)?;
    let platform = match ledger(&api, &caller, region, request).await? {
        Ok(platform) => platform,
        Err(answer) => return Ok(answer),
    };
    let after = q.page_token.as_deref().filter(|t| !t.is_empty());
    if after.is_some_and(|t| t.len() > 64 || !t.bytes().all(|b| b.is_ascii_hexdigit())) {
        return Err(ApiError::bad("page_token: a serial is needed"));
    }
    let found = platform.certificates(q.subject.as_deref(), after, q.limit.unwrap_or(100));
    let (rows, full) = found.map_err(|e| ApiError::of(&e))?;
    let next_page_token = rows.last().filter(|_| full).map(|r| r.serial.clone());
    let items = rows.iter().map(|row| item(&api, region, row)).collect();
    Ok(Answer(Page { items, next_page_token }).into_response())
}

/// `GET /v1/platforms/{region}/certificates/{serial}`
pub async fn show(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path((name, serial)): Path<(String, String)>,
    request: Request,
) -> Result<Response, ApiError> {
    let region = region(&name)?;
    let platform = match ledger(&api, &caller, region, request).await? {
        Ok(platform) => platform,
        Err(answer) => return Ok(answer),
    };
    let row = platform.certificate(&serial).map_err(|e| ApiError::of(&e))?;
    let row = row.ok_or_else(|| {
        let cut: String = serial.chars().take(64).collect();
        ApiError::new(codes::CERT_UNKNOWN, format!("serial {cut} at platform {region}"))
    })?;
    let chain = (!row.certificate.is_empty()).then(|| crate::enrol::chain_of(&api, &row));
    Ok(Answer(CertificateItem { chain, ..item(&api, region, &row) }).into_response())
}

/// The platform at its primary, or the primary's answer.
async fn ledger(
    api: &Api,
    caller: &Caller,
    region: RegionCode,
    request: Request,
) -> Result<Result<Platform, Response>, ApiError> {
    let (outline, forwarded) = (Outline::of(&request), request.headers().contains_key(FORWARDED));
    drop(request);
    need(api, caller, Action::Inspect, Some(region))?;
    match at_primary(api, region, caller, outline, forwarded).await? {
        Place::Here(_) => Ok(Ok(api
            .platform(region)
            .ok_or_else(|| ApiError::new(codes::FENCED, format!("platform {region} is not open")))?)),
        Place::There(answer) => Ok(Err(answer)),
    }
}

pub(crate) fn item(api: &Api, region: RegionCode, row: &CertificateRow) -> CertificateItem {
    let revoked = ca::revocation_of(api, row).is_some();
    let state = match row.state {
        _ if revoked => "revoked",
        CertificateState::Intent => "intent",
        _ if row.not_after < api.now() => "expired",
        _ => "valid",
    };
    let node = row.subject.parse::<Subject>().ok().and_then(|s| s.node()).map(|n| n.to_string());
    CertificateItem {
        serial: row.serial.clone(),
        profile: row.profile.clone(),
        subject: row.subject.clone(),
        platform: region.to_string(),
        node,
        not_before: rfc3339(row.not_before),
        not_after: rfc3339(row.not_after),
        state: state.to_owned(),
        issuer: row.issuer.to_string(),
        requested_by: row.requested_by.clone(),
        imported: row.state == CertificateState::Imported,
        chain: None,
    }
}
