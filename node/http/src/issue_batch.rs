//! Many certificates in one request: each request is proven and tried for itself, the intents are made durable together, so are the
//! certificates.
//!
//! Always holds: what holds of one certificate (`ca`): no key signs before the intent is in the journal, nothing is given away before its
//! own record is; a request that breaks a rule is answered so and stops no other; what fails between the two records is answered as a
//! whole, and its open intents count as revoked.

use crate::Caller;
use crate::ca::{self, Order, authority_for, close_former, open_epoch, prepared, primary_here, refused};
use crate::certificates_api::administrator;
use crate::extract::Json;
use crate::platforms_api::region;
use crate::problem::ApiError;
use crate::state::Api;
use axum::extract::State;
use axum::{Extension, Json as Answer};
use eport_api_types::{
    BatchedCertificate, BatchedRequest, CERTIFICATE_BATCH_MAX, CertificateBatch, CertificateBatchAnswer,
    rfc3339,
};
use eport_authority::{Authority, LeafNames, Profile, Tbs, certificate_pem, read_request};
use eport_model::{Epoch, RegionCode, Subject, Timestamp, codes};
use eport_platform::{CertificateRow, CertificateState, Grant};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A certificate that may be signed once its intent is durable.
struct Ready {
    /// Which request it is.
    at: usize,
    authority: Arc<Authority>,
    tbs: Tbs,
}

/// What is the same for all of a batch.
struct Batch {
    region: RegionCode,
    epoch: Epoch,
    now: Timestamp,
    by: String,
}

/// `POST /v1/certificates:batch`: at the primary of the CA's platform.
pub async fn batch(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Json(body): Json<CertificateBatch>,
) -> Result<Answer<CertificateBatchAnswer>, ApiError> {
    let by = administrator(&api, &caller)?;
    if !(1..=CERTIFICATE_BATCH_MAX).contains(&body.requests.len()) {
        return Err(ApiError::bad(format!("requests: 1 to {CERTIFICATE_BATCH_MAX} are allowed")));
    }
    let region = region(&body.platform)?;
    let platform = primary_here(&api, region)?;
    close_former(&api);
    let epoch = open_epoch(&api, &platform)?;
    let _slot = api.cas.issuing.acquire().await;
    let _slot = _slot.map_err(|_| ApiError::new(codes::DRAINING, "the node stops"))?;
    let (at, given) = (api.clone(), Batch { region, epoch, now: api.now(), by });
    let tried = off(move || try_all(&at, &given, &body.requests)).await?;
    let (ready, intents, mut items) = tried;
    platform.record_intents(&intents).await.map_err(|e| ApiError::of(&e))?;
    eport_failpoint::point!("certificate.intended", region);
    let rows = off(move || sign_all(ready, intents)).await??;
    let signed: Vec<&CertificateRow> = rows.iter().map(|(_, row)| row).collect();
    platform.record_all_issued(&signed).await.map_err(|e| ApiError::of(&e))?;
    let mut chains = BTreeMap::new();
    let view = api.registry.state();
    for (at, row) in rows {
        let issuer = row.issuer.to_string();
        chains.entry(issuer).or_insert_with_key(|key| crate::trust_api::path_pem(&view.state, key));
        items[at] = item(row);
    }
    Ok(Answer(CertificateBatchAnswer { items, chains }))
}

/// Off the async threads: it takes the processor for a while.
async fn off<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, ApiError> {
    tokio::task::spawn_blocking(work).await.map_err(|e| ApiError::new(codes::INTERNAL, e.to_string()))
}

type Tried = (Vec<Ready>, Vec<(CertificateRow, Grant)>, Vec<BatchedCertificate>);

/// Every request by itself: what may go on, and an answer for each of the others.
fn try_all(api: &Api, batch: &Batch, requests: &[BatchedRequest]) -> Tried {
    let (mut ready, mut intents) = (Vec::new(), Vec::new());
    let mut items = Vec::with_capacity(requests.len());
    for (at, asked) in requests.iter().enumerate() {
        match one(api, batch, asked) {
            Ok((authority, tbs, intent)) => {
                ready.push(Ready { at, authority, tbs });
                intents.push(intent);
                items.push(answer(500));
            }
            Err(error) => items.push(BatchedCertificate {
                code: Some(error.problem.code.clone()),
                detail: error.problem.detail.clone(),
                ..answer(error.problem.status)
            }),
        }
    }
    (ready, intents, items)
}

/// With which CA, what it will sign, and the intent.
type Intended = (Arc<Authority>, Tbs, (CertificateRow, Grant));

fn one(api: &Api, batch: &Batch, asked: &BatchedRequest) -> Result<Intended, ApiError> {
    let subject: Subject =
        asked.subject.parse().map_err(|e: eport_model::ParseError| ApiError::bad(e.to_string()))?;
    let request = read_request(&asked.csr).map_err(|e| refused(&e))?;
    let authority = authority_for(api, batch.region, &subject)?;
    let order = Order {
        subject: &subject,
        profile: asked.profile.as_deref().unwrap_or(Profile::usual(&subject)),
        request: &request,
        days: asked.days,
        names: LeafNames::default(),
        by: &batch.by,
        grant: Grant::default(),
    };
    let (tbs, row) = prepared(&authority, &order, batch.epoch, batch.now).map_err(|e| refused(&e))?;
    Ok((authority, tbs, (row, Grant { key: Some(request.key), ..Grant::default() })))
}

fn sign_all(
    ready: Vec<Ready>,
    intents: Vec<(CertificateRow, Grant)>,
) -> Result<Vec<(usize, CertificateRow)>, ApiError> {
    let signed = ready.into_iter().zip(intents).map(|(ready, (mut row, _))| {
        let der = ready.authority.sign(&ready.tbs).map_err(|e| ca::refused(&e))?;
        (row.state, row.certificate) = (CertificateState::Issued, der.into());
        Ok((ready.at, row))
    });
    signed.collect()
}

fn answer(status: u16) -> BatchedCertificate {
    BatchedCertificate {
        status,
        certificate: None,
        serial: None,
        not_after: None,
        issuer: None,
        code: None,
        detail: None,
    }
}

fn item(row: CertificateRow) -> BatchedCertificate {
    BatchedCertificate {
        certificate: Some(certificate_pem(&row.certificate)),
        not_after: Some(rfc3339(row.not_after)),
        issuer: Some(row.issuer.to_string()),
        serial: Some(row.serial),
        ..answer(201)
    }
}
