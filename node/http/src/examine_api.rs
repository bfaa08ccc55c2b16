//! What a certificate is worth: chain, purposes, subject and revocation as of a moment, by the verifier that every listener uses.

use crate::Caller;
use crate::auth::need;
use crate::extract::Json;
use crate::problem::ApiError;
use crate::state::Api;
use axum::extract::State;
use axum::{Extension, Json as Answer};
use eport_access::Action;
use eport_api_types::{ExamineAnswer, ExamineRequest, RevokedItem, from_rfc3339, rfc3339};
use eport_authority::{certificates_of_pem, facts_of};
use eport_model::{CertificateMark, Code, Timestamp};
use eport_tls::{Usage, examine};

/// `POST /v1/certificates:verify`: never an error for a certificate that is worth nothing; the answer says why.
pub async fn verify(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Json(body): Json<ExamineRequest>,
) -> Result<Answer<ExamineAnswer>, ApiError> {
    need(&api, &caller, Action::ReadFederation, None)?;
    let chain = certificates_of_pem(body.chain.as_bytes()).map_err(|e| crate::ca::refused(&e))?;
    let leaf = chain.first().ok_or_else(|| ApiError::bad("chain: PEM of a certificate is needed"))?;
    let facts = facts_of(leaf).map_err(|e| crate::ca::refused(&e))?;
    let at = match &body.at {
        None => api.now(),
        Some(text) => from_rfc3339(text).ok_or_else(|| ApiError::bad("at: an RFC 3339 time is needed"))?,
    };
    let ms = |t: time::OffsetDateTime| Timestamp::from_millis(t.unix_timestamp().saturating_mul(1_000));
    let mut answer = ExamineAnswer {
        valid: false,
        at: rfc3339(at),
        code: None,
        reason: None,
        serial: facts.serial.clone(),
        subject: None,
        uri: facts.uri.clone(),
        purposes: Vec::new(),
        issuer: None,
        not_before: rfc3339(ms(facts.validity.not_before)),
        not_after: rfc3339(ms(facts.validity.not_after)),
        revoked: None,
    };
    let bundle = api.tls.bundle();
    let view = api.registry.state();
    for (usage, word) in [(Usage::Client, "client"), (Usage::Server, "server")] {
        match examine(&bundle, &chain, usage, at.as_millis().div_euclid(1_000)) {
            Ok(peer) => {
                answer.purposes.push(word.to_owned());
                answer.subject = Some(peer.subject.to_string());
                answer.issuer = Some(peer.issuer.to_string());
                let (key, issuer, not_before) = (peer.key, peer.issuer, peer.not_before);
                let mark = CertificateMark { serial: peer.serial.as_str(), key, issuer, not_before };
                let above = peer.issuer_serials.iter().filter_map(|s| view.state.revocation(s.as_str()));
                let revoked = view.state.revoked(&mark).into_iter().chain(above).find(|r| r.at <= at);
                answer.revoked = revoked.map(|r| RevokedItem {
                    serial: r.serial.clone(),
                    at: rfc3339(r.at),
                    reason: r.reason.clone(),
                });
            }
            Err(refused) if answer.code.is_none() => {
                answer.code = Some(Code(refused.code()).to_string());
                answer.reason = Some(refused.to_string());
            }
            Err(_) => {}
        }
    }
    if let Some(revoked) = &answer.revoked {
        answer.code = Some(eport_model::codes::CERT_REVOKED.to_string());
        answer.reason =
            Some(format!("certificate {} was revoked at {}: {}", revoked.serial, revoked.at, revoked.reason));
    } else if !answer.purposes.is_empty() {
        // Good for one purpose is good; the other one is simply not claimed.
        (answer.valid, answer.code, answer.reason) = (true, None, None);
    }
    Ok(Answer(answer))
}
