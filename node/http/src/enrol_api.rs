//! Routes of enrolment: tokens, requests that wait, enrolling with a token or an old key.
//!
//! Always holds: making and withdrawing tokens and deciding on requests needs an administrator on a connection of his own at the
//! primary; what enrols by a secret or a signature may come in at any node and is carried to the primary once.

use crate::Caller;
use crate::ca::{primary_here, readable, refused};
use crate::certificates_api::{NAMES_MAX, administrator, item};
use crate::enrol::{self, Enrolled, Proof, platform_of};
use crate::extract::Json;
use crate::forward::{Outline, forward};
use crate::platforms_api::region;
use crate::problem::ApiError;
use crate::state::Api;
use axum::extract::{Path, State};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json as Answer};
use eport_api_types::{
    CertificateItem, EnrolRequest, Page, Problem, RenewalProof, RequestDecision, RequestItem, TokenItem,
    TokenRequest, rfc3339,
};
use eport_authority::{Profile, certificate_pem};
use eport_enrolment::{
    Decision, Fault, HOSTS_MAX, RequestRow, RequestState, TOKEN_LIFE_MAX_MS, Token, TokenRow, TokenState,
    host_is_plain,
};
use eport_model::{Code, Digest, ENROLMENT_SINCE, RegionCode, Subject, Timestamp, codes};
use eport_platform::Platform;
use eport_registry::IssuerState;
use std::time::Instant;

/// Life of a token unless it is said: a day.
const TOKEN_LIFE_S: u32 = 86_400;
/// Largest answer of a forwarded enrolment that is read.
const ANSWER_LEN_MAX: usize = 256 << 10;

/// What became of an enrolment, here or at the primary.
pub(crate) enum Outcome {
    /// The certificate with its chain.
    Certificate(Box<CertificateItem>),
    /// It waits.
    Waiting(Box<RequestItem>),
}

impl IntoResponse for Outcome {
    fn into_response(self) -> Response {
        match self {
            Outcome::Certificate(item) => (StatusCode::CREATED, Answer(item)).into_response(),
            Outcome::Waiting(item) => {
                let headers = [(header::RETRY_AFTER, RETRY_AFTER_S)];
                (StatusCode::ACCEPTED, headers, Answer(item)).into_response()
            }
        }
    }
}

/// When it is worth asking again for what waits for a person.
pub(crate) const RETRY_AFTER_S: &str = "60";

fn outcome(api: &Api, region: RegionCode, enrolled: Enrolled) -> Result<Outcome, ApiError> {
    match enrolled {
        Enrolled::Issued(region, row, chain) => {
            let item = CertificateItem { chain: Some(chain), ..item(api, region, &row) };
            Ok(Outcome::Certificate(Box::new(item)))
        }
        Enrolled::Listed(row) => match row.answer() {
            Fault::Waiting(_) => Ok(Outcome::Waiting(Box::new(request_item(region, &row)))),
            fault => Err(ApiError::of(&fault)),
        },
    }
}

/// Enrols at the primary, wherever it is. A certificate that is merely shown proves nothing once it is forwarded, so that one is
/// told to go to the primary.
pub(crate) async fn anywhere(
    api: &Api,
    caller: &Caller,
    csr: String,
    proof: Proof,
    renews: bool,
) -> Result<Outcome, ApiError> {
    let region = platform_of(api, &proof)?;
    let view = api.registry.state();
    let primary = view.state.placement(region).map(|p| p.primary);
    let primary = primary.ok_or_else(|| ApiError::not_found(format!("platform {region}")))?;
    if primary == api.agent.me() || caller.via.is_some() {
        let enrolled = enrol::enrol(api, &csr, proof, renews).await?;
        return outcome(api, region, enrolled);
    }
    let (token, renewal, from) = match proof {
        Proof::Token(token, from) => (Some(token.to_string()), None, from),
        Proof::Signed(certificate, signature) => {
            let (certificate, signature) = (certificate_pem(&certificate), hex::encode(signature));
            (None, Some(RenewalProof { certificate, signature }), None)
        }
        Proof::Shown(_) => {
            let at = view.state.node(primary).map(|n| n.api.clone()).unwrap_or_default();
            let detail = format!("{primary} is primary of platform {region}: ask https://{at}");
            return Err(ApiError::new(codes::CA_NOT_HERE, detail));
        }
    };
    // The primary does not see where a forwarded request comes from.
    if token.is_some() && !api.cas.wrong.admits(from, Instant::now()) {
        let why = "was not looked at: too many wrong ones came from this address; it waits for a minute";
        return Err(ApiError::of(&Fault::Token(why.to_owned())));
    }
    let body = serde_json::to_vec(&EnrolRequest { csr, token, renewal }).unwrap_or_default();
    let outline = Outline {
        method: Method::POST,
        path_and_query: format!("/v1/platforms/{region}/certificates:enrol"),
        headers: vec![(header::CONTENT_TYPE.to_string(), b"application/json".to_vec())],
    };
    let answer = forward(api, primary, &Caller::default(), outline, body.into()).await?;
    let answered = read(answer).await;
    if matches!(&answered, Err(e) if e.problem.code == codes::TOKEN_REFUSED.to_string()) {
        api.cas.wrong.wrong(from, Instant::now());
    }
    answered
}

/// The primary's answer.
async fn read(answer: Response) -> Result<Outcome, ApiError> {
    let (parts, body) = answer.into_parts();
    let unusable = |e: String| ApiError::new(codes::OUTCOME_UNKNOWN, format!("the primary's answer: {e}"));
    let bytes = axum::body::to_bytes(body, ANSWER_LEN_MAX).await.map_err(|e| unusable(e.to_string()))?;
    let json = |e: serde_json::Error| unusable(e.to_string());
    match parts.status {
        StatusCode::ACCEPTED => Ok(Outcome::Waiting(serde_json::from_slice(&bytes).map_err(json)?)),
        status if status.is_success() => {
            Ok(Outcome::Certificate(serde_json::from_slice(&bytes).map_err(json)?))
        }
        _ => {
            let problem: Problem = serde_json::from_slice(&bytes).map_err(json)?;
            let code = problem.code.strip_prefix("EP").and_then(|n| n.parse().ok()).map(Code);
            let code = code.filter(|c| c.info().is_some()).unwrap_or(codes::INTERNAL);
            Err(ApiError::new(code, problem.detail.unwrap_or_default()))
        }
    }
}

/// `POST /v1/certificates` with a token.
pub(crate) async fn with_token(
    api: &Api,
    caller: &Caller,
    csr: String,
    token: &str,
) -> Result<Response, ApiError> {
    let proof = token_proof(caller, token)?;
    Ok(anywhere(api, caller, csr, proof, false).await?.into_response())
}

/// Reads the text of a token; what is none counts as a wrong one of its address only when it has the form.
pub(crate) fn token_proof(caller: &Caller, token: &str) -> Result<Proof, ApiError> {
    let token: Token = token
        .parse()
        .map_err(|e: eport_model::ParseError| ApiError::of(&Fault::Token(format!("is none: {e}"))))?;
    Ok(Proof::Token(Box::new(token), caller.source))
}

/// What a caller asks for in his own name: it waits for an administrator.
pub(crate) async fn in_own_name(api: &Api, caller: &Caller, csr: &str) -> Result<Response, ApiError> {
    let proof = shown(caller)?;
    Ok(anywhere(api, caller, csr.to_owned(), proof, false).await?.into_response())
}

/// The certificate of the connection itself.
pub(crate) fn shown(caller: &Caller) -> Result<Proof, ApiError> {
    let leaf = caller.identity.as_ref().filter(|_| caller.via.is_none()).and_then(|i| i.chain.first());
    let missing = || ApiError::new(codes::CERT_MISSING, "a client certificate of the federation is needed");
    Ok(Proof::Shown(leaf.ok_or_else(missing)?.to_vec()))
}

/// `POST /v1/platforms/{region}/certificates:enrol`
pub async fn enrol(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    Json(body): Json<EnrolRequest>,
) -> Result<Response, ApiError> {
    let region = region(&name)?;
    let proof = match (&body.token, &body.renewal) {
        (Some(token), None) => token_proof(&caller, token)?,
        (None, Some(renewal)) => signed(renewal)?,
        (None, None) if caller.subject().is_none() => {
            return Err(ApiError::new(
                codes::CERT_MISSING,
                "a one-time token or an old key's signature is needed",
            ));
        }
        _ => return Err(ApiError::bad("either token or renewal is needed")),
    };
    if platform_of(&api, &proof)? != region {
        return Err(ApiError::of(&Fault::Token(format!("or the certificate is not of platform {region}"))));
    }
    Ok(anywhere(&api, &caller, body.csr, proof, true).await?.into_response())
}

fn signed(renewal: &RenewalProof) -> Result<Proof, ApiError> {
    let certificate = eport_authority::certificate_of_pem(&renewal.certificate).map_err(|e| refused(&e))?;
    let signature = hex::decode(&renewal.signature)
        .map_err(|_| ApiError::of(&Fault::Renewal("the signature is not hex".into())))?;
    Ok(Proof::Signed(certificate, signature))
}

/// An administrator at the primary, and the platform.
fn at_own_primary(api: &Api, caller: &Caller, name: &str) -> Result<(String, Platform), ApiError> {
    let by = administrator(api, caller)?;
    let platform = primary_here(api, region(name)?)?;
    if platform.issuing_epoch().is_none() {
        return Err(ApiError::new(codes::FENCED, format!("platform {name} is not open")));
    }
    readable(api, platform.region(), ENROLMENT_SINCE)?;
    Ok((by, platform))
}

/// `POST /v1/platforms/{region}/enrolment-tokens`
pub async fn make_token(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    Json(body): Json<TokenRequest>,
) -> Result<Response, ApiError> {
    let (by, platform) = at_own_primary(&api, &caller, &name)?;
    let bad = |e: eport_model::ParseError| ApiError::bad(e.to_string());
    let subject: Subject = body.subject.parse().map_err(bad)?;
    if body.dns.len() > NAMES_MAX || body.addresses.len() > NAMES_MAX {
        return Err(ApiError::bad(format!("dns, addresses: at most {NAMES_MAX} are allowed")));
    }
    let life_ms = i64::from(body.ttl_s.unwrap_or(TOKEN_LIFE_S)) * 1_000;
    if !(1..=TOKEN_LIFE_MAX_MS).contains(&life_ms) {
        return Err(ApiError::bad(format!("ttl_s: 1 to {} are allowed", TOKEN_LIFE_MAX_MS / 1_000)));
    }
    let profile = body.profile.clone().unwrap_or_else(|| Profile::usual(&subject).to_owned());
    // What the CA would refuse later is refused now: a token that leads nowhere helps nobody.
    crate::ca::promise(&api, platform.region(), &subject, &profile, body.days)?;
    let key = body.key.as_deref().map(str::parse::<Digest>).transpose().map_err(bad)?;
    let (region, now) = (platform.region(), api.now());
    let token = Token { region, secret: rand::random(), root: root(&api)?, hosts: hosts(&api, region) };
    let row = TokenRow {
        secret: token.digest(),
        subject,
        profile,
        key,
        days: body.days,
        dns: body.dns,
        addresses: body.addresses,
        approval: body.approval,
        expires: Timestamp::from_millis(now.as_millis() + life_ms),
        made_by: by.clone(),
        made_at: now,
        state: TokenState::Open,
    };
    platform.record_token(&row, &by).await?;
    let item = TokenItem { token: Some(token.to_string()), ..token_item(region, &row, now) };
    Ok((StatusCode::CREATED, Answer(item)).into_response())
}

/// SHA-256 of the public key of the federation's root.
fn root(api: &Api) -> Result<Digest, ApiError> {
    let view = api.registry.state();
    let mut roots = view.state.issuers().filter(|i| i.platform.is_none() && i.state == IssuerState::Active);
    let root = roots.next().and_then(|i| i.key_id.parse().ok());
    root.ok_or_else(|| ApiError::new(codes::CA_NOT_HERE, "the registry lists no root"))
}

/// Where the token can be brought to: the primary first.
fn hosts(api: &Api, region: RegionCode) -> Vec<String> {
    let view = api.registry.state();
    let primary = view.state.placement(region).map(|p| p.primary);
    let mut nodes: Vec<_> = view.state.nodes().filter(|n| n.is_member()).collect();
    nodes.sort_by_key(|n| (Some(n.id) != primary, n.region != region, n.id));
    nodes.into_iter().map(|n| n.api.clone()).filter(|h| host_is_plain(h)).take(HOSTS_MAX).collect()
}

/// `GET /v1/platforms/{region}/enrolment-tokens`
pub async fn tokens(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Result<Response, ApiError> {
    let (_, platform) = at_own_primary(&api, &caller, &name)?;
    let (region, now) = (platform.region(), api.now());
    let rows = platform.enrolment_tokens()?;
    Ok(Answer(Page::whole(rows.iter().map(|row| token_item(region, row, now)).collect())).into_response())
}

/// `POST /v1/platforms/{region}/enrolment-tokens/{id}/revocation`
pub async fn withdraw_token(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path((name, id)): Path<(String, String)>,
) -> Result<Answer<TokenItem>, ApiError> {
    let (by, platform) = at_own_primary(&api, &caller, &name)?;
    let busy = || ApiError::new(codes::OVERLOADED, "the token is being used");
    let _claim = platform.claim(&id).await.ok_or_else(busy)?;
    let row = platform.enrolment_token(&id)?.ok_or_else(|| ApiError::not_found("token of this id"))?;
    let now = api.now();
    let row = match row.state {
        TokenState::Open => TokenRow { state: TokenState::Revoked { by: by.clone(), at: now }, ..row },
        TokenState::Revoked { .. } => row,
        TokenState::Used { .. } => return Err(ApiError::of(&Fault::Used)),
    };
    platform.record_token(&row, &by).await?;
    Ok(Answer(token_item(platform.region(), &row, now)))
}

fn token_item(region: RegionCode, row: &TokenRow, now: Timestamp) -> TokenItem {
    let used = match &row.state {
        TokenState::Used { key, .. } => Some(*key),
        _ => row.key,
    };
    TokenItem {
        id: row.id(),
        token: None,
        platform: region.to_string(),
        subject: row.subject.to_string(),
        profile: row.profile.clone(),
        key: used.map(|k| k.to_string()),
        approval: row.approval,
        expires: rfc3339(row.expires),
        made_by: row.made_by.clone(),
        made_at: rfc3339(row.made_at),
        state: row.word(now).to_owned(),
    }
}

/// `GET /v1/platforms/{region}/enrolment-requests`
pub async fn requests(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Result<Response, ApiError> {
    let (_, platform) = at_own_primary(&api, &caller, &name)?;
    let rows = platform.enrolment_requests()?;
    let items = rows.iter().map(|row| request_item(platform.region(), row)).collect();
    Ok(Answer(Page::whole(items)).into_response())
}

/// `POST /v1/platforms/{region}/enrolment-requests/{id}`
pub async fn decide(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path((name, id)): Path<(String, String)>,
    Json(body): Json<RequestDecision>,
) -> Result<Response, ApiError> {
    let (by, platform) = at_own_primary(&api, &caller, &name)?;
    let decision = match (body.approve, body.reason) {
        (true, _) => Decision::Approve,
        (false, Some(reason)) if (1..=512).contains(&reason.len()) => Decision::Deny(reason),
        (false, _) => return Err(ApiError::bad("reason: 1 to 512 bytes are needed to refuse")),
    };
    let region = platform.region();
    // Nobody lets himself in.
    let row = platform.enrolment_request(&id)?;
    if body.approve && row.is_some_and(|r| r.asked_by == by) {
        return Err(ApiError::forbidden("nobody approves his own request"));
    }
    match enrol::decide(&api, &platform, &id, decision, &by).await? {
        Enrolled::Listed(row) => Ok(Answer(request_item(region, &row)).into_response()),
        issued => Ok(outcome(&api, region, issued)?.into_response()),
    }
}

fn request_item(region: RegionCode, row: &RequestRow) -> RequestItem {
    let (by, at, reason, serial) = match &row.state {
        RequestState::Waiting => (None, None, None, None),
        RequestState::Approved { by, at, serial } => (Some(by), Some(at), None, Some(serial)),
        RequestState::Denied { by, at, reason } => (Some(by), Some(at), Some(reason), None),
    };
    RequestItem {
        id: row.id.clone(),
        subject: row.subject.to_string(),
        profile: row.profile.clone(),
        platform: region.to_string(),
        key: row.key.to_string(),
        asked_by: row.asked_by.clone(),
        asked_at: rfc3339(row.asked_at),
        state: row.word().to_owned(),
        decided_by: by.cloned(),
        decided_at: at.map(|t| rfc3339(*t)),
        reason: reason.cloned(),
        serial: serial.cloned(),
    }
}
