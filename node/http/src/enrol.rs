//! Enrolment: from a request and a proof to a certificate, or to a place in the list of those that wait.
//!
//! Always holds: whoever asks is known by a token, by the key of a certificate of ours, or by the certificate of the connection; the
//! request gives its key alone, names come from the token or the old certificate; asking again with the same key never makes a
//! second certificate while the first is good; a decision and what it uses up are one record.

use crate::ca::{self, Order, issue_at, primary_here, refused};
use crate::problem::ApiError;
use crate::state::Api;
use eport_authority::{CertificateFacts, LeafNames, Profile, RequestFacts, certificate_pem, read_request};
use eport_enrolment::{
    Decision, EXPIRED_KNOWN_MS, Fault, RENEWAL_CONTEXT, RequestRow, RequestState, Token, TokenRow,
    TokenState, WAITING_MAX, request_id,
};
use eport_model::{CertificateMark, Digest, ENROLMENT_SINCE, RegionCode, Subject, Timestamp, codes};
use eport_platform::{CertificateRow, CertificateState, Claim, Grant, Platform};
use std::net::IpAddr;
use std::time::Instant;

/// What shows who asks.
pub(crate) enum Proof {
    /// A one-time token, from this address.
    Token(Box<Token>, Option<IpAddr>),
    /// The certificate of the connection itself, DER.
    Shown(Vec<u8>),
    /// An old certificate, DER, and the signature of its key under this very request.
    Signed(Vec<u8>, Vec<u8>),
}

/// What became of a request.
pub(crate) enum Enrolled {
    /// A certificate: its platform, its row, its chain as PEM.
    Issued(RegionCode, Box<CertificateRow>, String),
    /// It waits, or was refused.
    Listed(Box<RequestRow>),
}

/// The platform whose primary decides about a proof.
pub(crate) fn platform_of(api: &Api, proof: &Proof) -> Result<RegionCode, ApiError> {
    match proof {
        Proof::Token(token, _) => Ok(token.region),
        Proof::Shown(der) | Proof::Signed(der, _) => {
            let view = api.registry.state();
            let found = view.state.issuers().find(|i| eport_authority::issued_by(der, &i.certificate));
            let unknown = || renewal("no CA of this federation issued the certificate");
            found.and_then(|i| i.platform).ok_or_else(unknown)
        }
    }
}

fn renewal(why: impl Into<String>) -> ApiError {
    ApiError::of(&Fault::Renewal(why.into()))
}

/// Enrols or renews, at the primary.
pub(crate) async fn enrol(api: &Api, csr: &str, proof: Proof, renews: bool) -> Result<Enrolled, ApiError> {
    let platform = primary_here(api, platform_of(api, &proof)?)?;
    if platform.issuing_epoch().is_none() {
        let detail = format!("platform {} is not open", platform.region());
        return Err(ApiError::new(codes::FENCED, detail));
    }
    ca::readable(api, platform.region(), ENROLMENT_SINCE)?;
    let request = read_request(csr).map_err(|e| refused(&e))?;
    match proof {
        Proof::Token(token, from) => with_token(api, &platform, csr, &request, &token, from).await,
        Proof::Shown(der) if renews => renew(api, &platform, &request, &der).await,
        Proof::Shown(der) => file(api, &platform, csr, &request, &der).await,
        Proof::Signed(der, signature) => {
            check_signature(api, &request, &der, &signature)?;
            renew(api, &platform, &request, &der).await
        }
    }
}

async fn claimed(platform: &Platform, name: &str) -> Result<Claim, ApiError> {
    let busy = || ApiError::new(codes::OVERLOADED, "another use of the same name is under way");
    platform.claim(name).await.ok_or_else(busy)
}

async fn with_token(
    api: &Api,
    platform: &Platform,
    csr: &str,
    request: &RequestFacts,
    token: &Token,
    from: Option<IpAddr>,
) -> Result<Enrolled, ApiError> {
    if !api.cas.wrong.admits(from, instant()) {
        let detail = "too many wrong tokens came from this address; it waits for a minute".to_owned();
        return Err(ApiError::of(&Fault::Token(detail)));
    }
    let (id, secret, now) = (token.id(), token.digest(), api.now());
    let _claim = claimed(platform, &id).await?;
    let row = platform.enrolment_token(&id)?.filter(|row| row.secret == secret);
    let Some(row) = row else {
        api.cas.wrong.wrong(from, instant());
        return Err(ApiError::of(&Fault::Token("is unknown here".into())));
    };
    row.admits(&secret, &request.key, now)?;
    let used = TokenRow { state: TokenState::Used { key: request.key, at: now }, ..row.clone() };
    let by = format!("token {id}");
    let names = LeafNames { loopback: false, dns: row.dns.clone(), addresses: row.addresses.clone() };
    if row.approval {
        let filed = RequestRow {
            id: request_id(&row.subject, &request.key),
            subject: row.subject.clone(),
            profile: row.profile.clone(),
            key: request.key,
            csr: csr.to_owned(),
            days: row.days,
            dns: names.dns,
            addresses: names.addresses,
            asked_by: by.clone(),
            asked_at: now,
            state: RequestState::Waiting,
        };
        return listed(api, platform, filed, Some(&used), &by).await;
    }
    if let Some(known) = known(api, platform, &row.subject, &request.key)? {
        return Ok(known);
    }
    let order = Order {
        subject: &row.subject,
        profile: &row.profile,
        request,
        days: row.days,
        names,
        by: &by,
        grant: Grant { key: Some(request.key), token: Some(used), request: None },
    };
    let (row, chain) = issue_at(api, platform, order).await?;
    Ok(Enrolled::Issued(platform.region(), Box::new(row), chain))
}

/// The certificate that this key has already, if it is good; refused when the key is another subject's.
fn known(
    api: &Api,
    platform: &Platform,
    subject: &Subject,
    key: &Digest,
) -> Result<Option<Enrolled>, ApiError> {
    let Some(row) = platform.certificate_of_key(key)? else { return Ok(None) };
    if row.subject != subject.to_string() {
        let detail = format!("the key has a certificate of {} already; make a new one", row.subject);
        return Err(ApiError::new(codes::ISSUE_REFUSED, detail));
    }
    let good = row.state == CertificateState::Issued
        && row.not_after > api.now()
        && ca::revocation_of(api, &row).is_none();
    if !good {
        return Ok(None);
    }
    let chain = chain_of(api, &row);
    Ok(Some(Enrolled::Issued(platform.region(), Box::new(row), chain)))
}

/// A certificate with its CA, PEM.
pub(crate) fn chain_of(api: &Api, row: &CertificateRow) -> String {
    let view = api.registry.state();
    certificate_pem(&row.certificate) + &crate::trust_api::path_pem(&view.state, &row.issuer.to_string())
}

/// Files a request in the own name of whoever shows a certificate.
async fn file(
    api: &Api,
    platform: &Platform,
    csr: &str,
    request: &RequestFacts,
    shown: &[u8],
) -> Result<Enrolled, ApiError> {
    let (subject, facts) = holder(api, shown)?;
    let names = facts.further_names(&subject, &domain(api)?);
    let by = subject.to_string();
    let filed = RequestRow {
        id: request_id(&subject, &request.key),
        profile: Profile::usual(&subject).to_owned(),
        subject,
        key: request.key,
        csr: csr.to_owned(),
        days: None,
        dns: names.dns,
        addresses: names.addresses,
        asked_by: by.clone(),
        asked_at: api.now(),
        state: RequestState::Waiting,
    };
    let _claim = claimed(platform, &filed.id).await?;
    listed(api, platform, filed, None, &by).await
}

/// A request that is listed already is answered as it stands now; a new one is stored, with the token it uses.
async fn listed(
    api: &Api,
    platform: &Platform,
    filed: RequestRow,
    token: Option<&TokenRow>,
    by: &str,
) -> Result<Enrolled, ApiError> {
    let before = platform.enrolment_request(&filed.id)?.filter(|r| !r.is_stale(api.now()));
    if let Some(row) = before {
        let approved = matches!(row.state, RequestState::Approved { .. });
        if approved && let Some(known) = known(api, platform, &row.subject, &row.key)? {
            return Ok(known);
        }
        return Ok(Enrolled::Listed(Box::new(row)));
    }
    known(api, platform, &filed.subject, &filed.key)?;
    let kept = platform.enrolment_requests()?;
    let waiting = |r: &&RequestRow| r.state == RequestState::Waiting && r.asked_by == filed.asked_by;
    if kept.iter().filter(waiting).count() >= WAITING_MAX {
        let detail = format!("{WAITING_MAX} requests of {} wait already", filed.asked_by);
        return Err(ApiError::of(&Fault::Full(detail)));
    }
    platform.record_request(&filed, token, by).await?;
    Ok(Enrolled::Listed(Box::new(filed)))
}

/// An operator decides on a request.
pub(crate) async fn decide(
    api: &Api,
    platform: &Platform,
    id: &str,
    decision: Decision,
    by: &str,
) -> Result<Enrolled, ApiError> {
    let _claim = claimed(platform, id).await?;
    let row = platform.enrolment_request(id)?;
    let mut row = row.ok_or_else(|| ApiError::not_found("request of this id"))?;
    let made = match &row.state {
        RequestState::Approved { serial, .. } => {
            let made = platform.certificate(serial)?;
            made.is_some_and(|c| c.state != CertificateState::Intent)
        }
        _ => false,
    };
    row.decidable(&decision, made)?;
    let at = api.now();
    let reason = match decision {
        Decision::Deny(reason) => reason,
        Decision::Approve => {
            row.state = RequestState::Approved { by: by.to_owned(), at, serial: String::new() };
            let (subject, profile) = (row.subject.clone(), row.profile.clone());
            let request = read_request(&row.csr).map_err(|e| refused(&e))?;
            let names = LeafNames { loopback: false, dns: row.dns.clone(), addresses: row.addresses.clone() };
            let (days, key) = (row.days, Some(row.key));
            let grant = Grant { key, token: None, request: Some(row) };
            let order =
                Order { subject: &subject, profile: &profile, request: &request, days, names, by, grant };
            let (row, chain) = issue_at(api, platform, order).await?;
            return Ok(Enrolled::Issued(platform.region(), Box::new(row), chain));
        }
    };
    row.state = RequestState::Denied { by: by.to_owned(), at, reason };
    platform.record_request(&row, None, by).await?;
    Ok(Enrolled::Listed(Box::new(row)))
}

fn domain(api: &Api) -> Result<eport_model::TrustDomain, ApiError> {
    let view = api.registry.state();
    let domain = view.state.federation().map(|f| f.domain.clone());
    domain.ok_or_else(|| ApiError::new(codes::FENCED, "the federation is not known here yet"))
}

/// Whose a certificate is, and that nothing speaks against a new one. Its signature and its time are judged elsewhere.
fn holder(api: &Api, der: &[u8]) -> Result<(Subject, CertificateFacts), ApiError> {
    let facts = eport_authority::facts_of(der).map_err(|e| refused(&e))?;
    let subject = Subject::from_uri(&facts.uri, &domain(api)?).map_err(|e| renewal(e.to_string()))?;
    let view = api.registry.state();
    let issuer = view.state.issuers().find(|i| eport_authority::issued_by(der, &i.certificate));
    let issuer = issuer.and_then(|i| i.key_id.parse().ok()).unwrap_or_default();
    let not_before = facts.validity.not_before.unix_timestamp();
    let mark = CertificateMark { serial: &facts.serial, key: facts.key, issuer, not_before };
    if view.state.revoked(&mark).is_some() || api.lists.entry(&issuer, &facts.serial).is_some() {
        return Err(ApiError::new(codes::CERT_REVOKED, format!("certificate {} is revoked", facts.serial)));
    }
    match &subject {
        Subject::Node { node, .. } if !view.state.is_member(*node) => {
            Err(renewal(format!("{node} is no member of the federation")))
        }
        Subject::Operator(id) if view.state.operator(id).is_some_and(|o| o.suspended) => {
            Err(renewal(format!("operator {id} is suspended")))
        }
        _ => Ok((subject, facts)),
    }
}

/// The old key signed this very request. Its certificate is judged as of its own end: whether that was too long ago is asked
/// for afterwards.
fn check_signature(api: &Api, request: &RequestFacts, der: &[u8], signature: &[u8]) -> Result<(), ApiError> {
    let facts = eport_authority::facts_of(der).map_err(|e| refused(&e))?;
    let end = facts.validity.not_after.unix_timestamp().saturating_mul(1_000);
    let at = api.now().as_millis().min(end);
    let view = api.registry.state();
    let issuers = view.state.issuers().map(|i| i.certificate.as_slice());
    let who =
        eport_signature::signatory(der, issuers, &domain(api)?, at).map_err(|e| renewal(e.to_string()))?;
    let by_list = api.lists.entry(&who.issuer_key_id, &who.serial).is_some();
    if view.state.revoked(&who.mark()).is_some()
        || by_list
        || view.state.revocation(&who.issuer_serial).is_some()
    {
        return Err(ApiError::new(codes::CERT_REVOKED, format!("certificate {} is revoked", who.serial)));
    }
    let signed = [RENEWAL_CONTEXT, &request.der].concat();
    who.verify(&signed, signature).map_err(|e| renewal(e.to_string()))
}

/// Gives the holder of a certificate the next one: the same subject, names and profile, another key.
async fn renew(
    api: &Api,
    platform: &Platform,
    request: &RequestFacts,
    der: &[u8],
) -> Result<Enrolled, ApiError> {
    let (subject, facts) = holder(api, der)?;
    if facts.key == request.key {
        return Err(renewal("a renewal needs a new key"));
    }
    let row = platform.certificate(&facts.serial)?;
    expired_but_known(api.now(), &subject, &facts, row.as_ref())?;
    let _claim = claimed(platform, &request.key.to_string()).await?;
    if let Some(known) = known(api, platform, &subject, &request.key)? {
        return Ok(known);
    }
    let profile = row.map_or_else(|| Profile::usual(&subject).to_owned(), |r| r.profile);
    let rules = Profile::named(&profile);
    // A session is opened anew with the card; if it could renew itself it would never end.
    if rules.is_none_or(|p| p.renew_days >= p.days) {
        return Err(renewal(format!("a certificate of profile {profile} is not renewed")));
    }
    let longest = rules.map_or(1, |p| p.days);
    let order = Order {
        names: facts.further_names(&subject, &domain(api)?),
        profile: &profile,
        request,
        // A life that was made short stays short.
        days: Some(facts.days().clamp(1, longest)),
        by: &subject.to_string(),
        grant: Grant { key: Some(request.key), ..Grant::default() },
        subject: &subject,
    };
    let (row, chain) = issue_at(api, platform, order).await?;
    Ok(Enrolled::Issued(platform.region(), Box::new(row), chain))
}

/// After its end a certificate proves only that a member node asks whose certificate the ledger knows, and not for ever.
fn expired_but_known(
    now: Timestamp,
    subject: &Subject,
    facts: &CertificateFacts,
    row: Option<&CertificateRow>,
) -> Result<(), ApiError> {
    let end = facts.validity.not_after.unix_timestamp().saturating_mul(1_000);
    let over = now.as_millis().saturating_sub(end);
    if over <= 0 {
        return Ok(());
    }
    let known = row.is_some_and(|r| r.state != CertificateState::Intent && r.tbs == facts.tbs);
    match subject.node() {
        None => {
            Err(renewal(format!("the certificate of {subject} has ended; only nodes renew after the end")))
        }
        Some(_) if !known => Err(renewal("the certificate has ended and the CA's ledger does not know it")),
        Some(_) if over > EXPIRED_KNOWN_MS => {
            Err(renewal(format!("the certificate ended {} days ago", over / 86_400_000)))
        }
        Some(_) => Ok(()),
    }
}

// One home for the clock of the lockout.
#[allow(clippy::disallowed_methods)]
fn instant() -> Instant {
    Instant::now()
}
