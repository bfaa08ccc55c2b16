//! Enrolment over secure transport (EST, RFC 7030) for standard clients: the CAs, a first certificate, the next one.
//!
//! Requests are base64 or DER of PKCS#10 and give their key alone; answers are certs-only PKCS#7 in base64. The token is the
//! password of HTTP Basic, whatever the user's name. Errors are problems, as everywhere.

use crate::Caller;
use crate::ca::refused;
use crate::enrol::Proof;
use crate::enrol_api::{Outcome, RETRY_AFTER_S, anywhere, shown, token_proof};
use crate::extract::Raw;
use crate::problem::ApiError;
use crate::state::Api;
use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use eport_authority::{base64_bytes, base64_lines, certificates_of_pem, certs_only, request_of_body};
use eport_enrolment::{Fault, TOKEN_TEXT_MAX};
use eport_model::codes;

const CERTS_MEDIA: &str = "application/pkcs7-mime; smime-type=certs-only";
const TRANSFER_ENCODING: HeaderName = HeaderName::from_static("content-transfer-encoding");
/// `base64(old certificate, DER).base64(signature, DER)`: for who cannot show the old certificate any more.
const RENEWAL: HeaderName = HeaderName::from_static("eport-renewal");
/// Longest value of the header.
const RENEWAL_LEN_MAX: usize = 32 << 10;

/// `GET /.well-known/est/cacerts`
pub async fn cacerts(State(api): State<Api>) -> Result<Response, ApiError> {
    let certificates = certificates_of_pem(&crate::trust_api::bundle_pem(&api)).map_err(|e| refused(&e))?;
    Ok(certs(StatusCode::OK, certificates.iter().map(Vec::as_slice)))
}

fn certs<'a>(status: StatusCode, certificates: impl IntoIterator<Item = &'a [u8]>) -> Response {
    let body = base64_lines(&certs_only(certificates));
    let headers = [(header::CONTENT_TYPE, CERTS_MEDIA), (TRANSFER_ENCODING, "base64")];
    (status, headers, body).into_response()
}

/// `POST /.well-known/est/simpleenroll`
pub async fn simpleenroll(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    Raw(body): Raw,
) -> Response {
    let proof = match password(&headers) {
        Some(token) => token_proof(&caller, &token),
        None => shown(&caller),
    };
    answer(&api, &caller, &body, proof, false).await
}

/// `POST /.well-known/est/simplereenroll`
pub async fn simplereenroll(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    Raw(body): Raw,
) -> Response {
    let proof = match headers.get(RENEWAL) {
        Some(value) => signed(value),
        None => shown(&caller),
    };
    answer(&api, &caller, &body, proof, true).await
}

async fn answer(
    api: &Api,
    caller: &Caller,
    body: &[u8],
    proof: Result<Proof, ApiError>,
    renews: bool,
) -> Response {
    match enrolled(api, caller, body, proof, renews).await {
        Ok(response) => response,
        Err(error) if error.problem.status == 401 => {
            let mut response = error.into_response();
            let value = HeaderValue::from_static("Basic realm=\"enrolment token\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, value);
            response
        }
        Err(error) => error.into_response(),
    }
}

async fn enrolled(
    api: &Api,
    caller: &Caller,
    body: &[u8],
    proof: Result<Proof, ApiError>,
    renews: bool,
) -> Result<Response, ApiError> {
    let (proof, csr) = (proof?, request_of_body(body).map_err(|e| refused(&e))?);
    match anywhere(api, caller, csr, proof, renews).await? {
        Outcome::Certificate(item) => {
            let chain = item.chain.unwrap_or_default();
            let leaf = certificates_of_pem(chain.as_bytes()).map_err(|e| refused(&e))?;
            let none = || ApiError::new(codes::INTERNAL, "the certificate is missing in the answer");
            Ok(certs(StatusCode::OK, [leaf.first().ok_or_else(none)?.as_slice()]))
        }
        Outcome::Waiting(_) => {
            Ok((StatusCode::ACCEPTED, [(header::RETRY_AFTER, RETRY_AFTER_S)]).into_response())
        }
    }
}

/// The password of HTTP Basic.
fn password(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(base64_bytes(encoded, 2 * TOKEN_TEXT_MAX)?).ok()?;
    text.split_once(':').map(|(_, password)| password.to_owned())
}

fn signed(value: &HeaderValue) -> Result<Proof, ApiError> {
    let malformed =
        || ApiError::of(&Fault::Renewal("eport-renewal: CERTIFICATE.SIGNATURE in base64 is needed".into()));
    let text = value.to_str().map_err(|_| malformed())?;
    let (certificate, signature) = text.split_once('.').ok_or_else(malformed)?;
    let bytes = |text| base64_bytes(text, RENEWAL_LEN_MAX).ok_or_else(malformed);
    Ok(Proof::Signed(bytes(certificate)?, bytes(signature)?))
}
