//! Consents of a party to let another enterprise see its documents (sharing.md §4): given, withdrawn, listed, on the platform concerned.
//!
//! Always: only the party itself consents, never its agent; the answer comes when the record is as durable as the platform promises, and
//! reads go by the same rows, so a consent and its withdrawal take effect with the answer.

use crate::Caller;
use crate::agencies_api::{Carried, carried};
use crate::auth::need;
use crate::documents_api::body;
use crate::extract::Query;
use crate::forward::Outline;
use crate::platforms_api::region;
use crate::problem::ApiError;
use crate::state::Api;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json as Answer};
use bytes::Bytes;
use eport_access::{Action, Event, Line};
use eport_api_types::{ConsentItem, ConsentRequest, Page, from_rfc3339, rfc3339};
use eport_model::{RegionCode, Timestamp, codes};
use eport_platform::Platform;
use eport_sharing::{Consent, Offer};
use serde::Deserialize;

/// Longest name of a document type.
const DOC_TYPE_LEN_MAX: usize = 64;
/// Longest id.
const ID_LEN_MAX: usize = 64;

/// Which consents.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ConsentQuery {
    /// Those that others gave to the caller.
    received: bool,
}

/// The party in whose own name the caller asks.
fn party(api: &Api, caller: &Caller, region: RegionCode) -> Result<String, ApiError> {
    need(api, caller, Action::Delegate, Some(region))?;
    if caller.behalf.is_some() {
        return Err(ApiError::new(
            codes::DELEGATION_MISSING,
            "a consent is the party's own, not its agent's",
        ));
    }
    caller.lodger().ok_or_else(|| ApiError::new(codes::CERT_MISSING, "a certificate is needed"))
}

fn item(region: RegionCode, consent: Consent, now: Timestamp) -> ConsentItem {
    ConsentItem {
        state: consent.state(now).to_owned(),
        id: consent.id,
        platform: region.to_string(),
        grantor: consent.grantor,
        grantee: consent.offer.grantee,
        classes: consent.offer.classes,
        purpose: consent.offer.purpose,
        doc_type: consent.offer.doc_type,
        from: rfc3339(consent.offer.from),
        until: rfc3339(consent.offer.until),
        granted_at: rfc3339(consent.granted_at),
        withdrawn_at: consent.withdrawn_at.map(rfc3339),
    }
}

/// What a party changed, as a line of the access log.
fn noted(api: &Api, caller: &Caller, what: &str, region: RegionCode, consent: &Consent) {
    api.desk.log.write(Line {
        subject: caller.name(),
        serial: caller.serial().unwrap_or_default(),
        by: if caller.via.is_some() { "forward" } else { "certificate" }.to_owned(),
        source: caller.source.map(|s| s.to_string()).unwrap_or_default(),
        request: format!("{what} {}", consent.id),
        permission: Action::Delegate.word().to_owned(),
        purpose: consent.offer.purpose.clone(),
        acting_for: region.to_string(),
        fields: consent.offer.classes.clone(),
        ..Line::of(Event::Allowed)
    });
}

fn offer(body: &[u8], now: Timestamp) -> Result<Offer, ApiError> {
    let given: ConsentRequest = serde_json::from_slice(body).map_err(|e| ApiError::bad(e.to_string()))?;
    let instant = |name: &str, text: &str| {
        from_rfc3339(text).ok_or_else(|| ApiError::bad(format!("{name}: an RFC 3339 instant is needed")))
    };
    let from = given.from.as_deref().map_or(Ok(now), |text| instant("from", text))?;
    let until = instant("until", &given.until)?;
    if given.doc_type.as_ref().is_some_and(|t| t.is_empty() || t.len() > DOC_TYPE_LEN_MAX) {
        return Err(ApiError::bad("doc_type: the name of a document type is needed"));
    }
    let (grantee, classes, purpose) = (given.grantee, given.classes, given.purpose);
    Ok(Offer { grantee, classes, purpose, doc_type: given.doc_type, from, until })
}

/// `GET /v1/platforms/{region}/consents`: the party's own, or with `received=true` those that others gave to it.
pub async fn list(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    Query(query): Query<ConsentQuery>,
    request: Request,
) -> Result<Response, ApiError> {
    let region = region(&name)?;
    let party = party(&api, &caller, region)?;
    let (outline, asked) = (Outline::of(&request), (request.headers(), request.uri().query()));
    let platform = match carried(&api, region, &caller, outline, asked, Bytes::new()).await? {
        Carried::Done(answer) => return Ok(answer),
        Carried::Here(platform) => platform,
    };
    let read = move |p: &Platform| match query.received {
        true => p.consents_to(&party),
        false => p.consents_of(&party),
    };
    let found = tokio::task::spawn_blocking(move || read(&platform)).await;
    let found = found.map_err(|e| ApiError::new(codes::INTERNAL, e.to_string()))??;
    let now = api.now();
    let items = found.into_iter().map(|c| item(region, c, now)).collect();
    Ok(Answer(Page::whole(items)).into_response())
}

/// `POST /v1/platforms/{region}/consents`
pub async fn grant(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let region = region(&name)?;
    let party = party(&api, &caller, region)?;
    let (outline, headers) = (Outline::of(&request), request.headers().clone());
    let query = request.uri().query().map(str::to_owned);
    let body = body(request).await?;
    let offer = offer(&body, api.now())?;
    match carried(&api, region, &caller, outline, (&headers, query.as_deref()), body).await? {
        Carried::Done(answer) => Ok(answer),
        Carried::Here(platform) => {
            let consent = platform.grant_consent(&party, offer, &caller.name()).await?;
            noted(&api, &caller, "consent", region, &consent);
            Ok((StatusCode::CREATED, Answer(item(region, consent, api.now()))).into_response())
        }
    }
}

/// `POST /v1/platforms/{region}/consents/{id}/withdrawal`
pub async fn withdraw(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path((name, id)): Path<(String, String)>,
    request: Request,
) -> Result<Response, ApiError> {
    let region = region(&name)?;
    let party = party(&api, &caller, region)?;
    let unknown = || ApiError::not_found("such consent of the party on this platform");
    if id.len() > ID_LEN_MAX || !id.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(unknown());
    }
    let (outline, asked) = (Outline::of(&request), (request.headers(), request.uri().query()));
    match carried(&api, region, &caller, outline, asked, Bytes::new()).await? {
        Carried::Done(answer) => Ok(answer),
        Carried::Here(platform) => {
            let consent =
                platform.withdraw_consent(&party, &id, &caller.name()).await?.ok_or_else(unknown)?;
            noted(&api, &caller, "withdrawn consent", region, &consent);
            Ok(Answer(item(region, consent, api.now())).into_response())
        }
    }
}
