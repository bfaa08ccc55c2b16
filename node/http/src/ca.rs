//! The CAs whose keys are on this node, and issuing with them through the ledger of their platform.
//!
//! Always holds: only the open primary of a CA's platform signs; the intent is in the journal, as durable as the platform
//! promises, before the CA's key is used, and the certificate's own record before anybody gets it.

use crate::problem::ApiError;
use crate::state::Api;
use bytes::Bytes;
use eport_api_types::CertificateRequest;
use eport_authority::{Authority, LeafNames, LeafRequest, Profile, RequestFacts, Tbs};
use eport_enrolment::RequestState;
use eport_model::{CaName, CertificateMark, Code, Digest, Epoch, RegionCode, Subject, Timestamp, codes};
use eport_platform::{CertificateRow, CertificateState, Grant, Platform};
use eport_registry::IssuerState;
use eport_signature::{ListEntry, Signatory, outside_signatory};
use futures::future::BoxFuture;
use std::sync::Arc;
use time::OffsetDateTime;

/// A refusal of the authority as an answer.
pub(crate) fn refused(error: &eport_authority::Error) -> ApiError {
    let mut detail = error.to_string();
    if let Some(source) = std::error::Error::source(error) {
        detail = format!("{detail}: {source}");
    }
    ApiError::new(Code(error.code()), detail)
}

/// The platform whose CA issues for a subject when the request names none.
pub(crate) fn usual_platform(api: &Api, subject: &Subject) -> Result<RegionCode, ApiError> {
    let view = api.registry.state();
    match subject {
        // A virtual city is served by the CA of its province until it has its own.
        Subject::Node { platform, .. } if api.cas.find(*platform, subject).is_some() => Ok(*platform),
        Subject::Node { platform, .. } => Ok(platform.province()),
        _ => view
            .state
            .federation()
            .map(|f| f.province)
            .ok_or_else(|| ApiError::new(codes::FENCED, "the federation is not known here yet")),
    }
}

/// What a CA is asked to issue.
pub(crate) struct Order<'a> {
    pub(crate) subject: &'a Subject,
    pub(crate) profile: &'a str,
    pub(crate) request: &'a RequestFacts,
    pub(crate) days: Option<i64>,
    pub(crate) names: LeafNames,
    /// In whose name.
    pub(crate) by: &'a str,
    /// What the intent settles.
    pub(crate) grant: Grant,
}

/// Issues what an administrator asks for. Answers the row and the chain as PEM.
pub(crate) fn issue<'a>(
    api: &'a Api,
    asked: &'a CertificateRequest,
    by: &'a str,
) -> BoxFuture<'a, Result<(RegionCode, CertificateRow, String), ApiError>> {
    Box::pin(async move {
        let bad = |e: eport_model::ParseError| ApiError::bad(e.to_string());
        let subject: Subject = asked.subject.parse().map_err(bad)?;
        let region = match &asked.platform {
            Some(text) => text.parse().map_err(bad)?,
            None => usual_platform(api, &subject)?,
        };
        let platform = primary_here(api, region)?;
        let request = eport_authority::read_request(&asked.csr).map_err(|e| refused(&e))?;
        let order = Order {
            subject: &subject,
            profile: asked.profile.as_deref().unwrap_or(Profile::usual(&subject)),
            request: &request,
            days: asked.days,
            names: LeafNames { loopback: false, addresses: asked.addresses.clone(), dns: asked.dns.clone() },
            by,
            grant: Grant { key: Some(request.key), ..Grant::default() },
        };
        let (row, chain) = issue_at(api, &platform, order).await?;
        Ok((region, row, chain))
    })
}

/// Whether the CA of a platform could issue this, before anybody holds a key.
pub(crate) fn promise(
    api: &Api,
    region: RegionCode,
    subject: &Subject,
    profile: &str,
    days: Option<i64>,
) -> Result<(), ApiError> {
    let refuse = |why: String| Err(ApiError::new(codes::ISSUE_REFUSED, why));
    let Some(rules) = Profile::named(profile).filter(|p| p.fits(subject)) else {
        return refuse(format!("profile {profile:?} is not for {subject}"));
    };
    if days.is_some_and(|d| !(1..=rules.days).contains(&d)) {
        return refuse(format!("profile {profile} lives 1 to {} days", rules.days));
    }
    match chosen(api, region, subject) {
        Some(authority) => usable(api, &authority),
        None => Err(no_key(api, region, subject)),
    }
}

/// Why no key of a CA of a platform that may speak for a subject is open here.
fn no_key(api: &Api, region: RegionCode, subject: &Subject) -> ApiError {
    let covers = |name: &CaName| name.region() == Some(region) && name.covers(subject);
    let view = api.registry.state();
    let wrapped = view.state.custodies().filter(|c| c.region == region).any(|c| {
        let issuer = view.state.issuers().find(|i| i.key_id == c.ca.to_string());
        issuer
            .and_then(|i| eport_authority::facts_of(&i.certificate).ok())
            .is_some_and(|facts| CaName::from_uri(&facts.uri).is_ok_and(|(_, name)| covers(&name)))
    });
    if wrapped || api.cas.locked().iter().any(|l| covers(&l.name)) {
        let detail =
            format!("the key of the CA of {region} that speaks for {subject} is locked on this node");
        return ApiError::new(codes::CA_LOCKED, detail);
    }
    ApiError::new(
        codes::CA_NOT_HERE,
        format!("no key of a CA of {region} that may speak for {subject} is on this node"),
    )
}

/// Lets the keys go that shares opened while this node was primary in an epoch that is over.
pub(crate) fn close_former(api: &Api) {
    let view = api.registry.state();
    let holds = |region, epoch| {
        view.state.placement(region).is_some_and(|p| p.primary == api.agent.me() && p.epoch == epoch)
    };
    for key in api.cas.close(holds) {
        tracing::info!(%key, "a CA's key that shares had opened is wiped: this node is not its primary any more");
    }
}

/// The platform, when this node is its primary.
pub(crate) fn primary_here(api: &Api, region: RegionCode) -> Result<Platform, ApiError> {
    let primary = api.registry.state().state.placement(region).map(|p| p.primary);
    let primary = primary.ok_or_else(|| ApiError::not_found(format!("platform {region}")))?;
    let platform = api.platform(region).filter(|_| primary == api.agent.me());
    platform.ok_or_else(|| {
        ApiError::new(codes::CA_NOT_HERE, format!("{primary} is primary of platform {region}"))
    })
}

/// Issues: check and rehearse, intent with what it settles, sign, record.
pub(crate) fn issue_at<'a>(
    api: &'a Api,
    platform: &'a Platform,
    mut order: Order<'a>,
) -> BoxFuture<'a, Result<(CertificateRow, String), ApiError>> {
    Box::pin(async move {
        close_former(api);
        let authority = authority_for(api, platform.region(), order.subject)?;
        let epoch = open_epoch(api, platform)?;
        let _slot = api.cas.issuing.acquire().await;
        let _slot = _slot.map_err(|_| ApiError::new(codes::DRAINING, "the node stops"))?;
        let (tbs, mut row) = prepared(&authority, &order, epoch, api.now()).map_err(|e| refused(&e))?;
        if let Some(request) = &mut order.grant.request
            && let RequestState::Approved { serial, .. } = &mut request.state
        {
            serial.clone_from(&row.serial);
        }
        sign_through_ledger(platform, &authority, &tbs, &mut row, &order.grant).await?;
        let chain = crate::enrol::chain_of(api, &row);
        Ok((row, chain))
    })
}

/// The CA of a platform whose open key here may speak for a subject.
pub(crate) fn authority_for(
    api: &Api,
    region: RegionCode,
    subject: &Subject,
) -> Result<Arc<Authority>, ApiError> {
    let authority = chosen(api, region, subject).ok_or_else(|| {
        let missing = no_key(api, region, subject);
        let others = api.cas.all().iter().any(|(a, _)| a.region() == Some(region));
        if others && missing.problem.code != codes::CA_LOCKED.to_string() {
            let detail = format!("no CA of {region} may speak for {subject}");
            return ApiError::new(codes::ISSUE_REFUSED, detail);
        }
        missing
    })?;
    usable(api, &authority)?;
    Ok(authority)
}

/// The epoch under which the platform's CAs issue here now; every holder of its journal can read what will be written.
pub(crate) fn open_epoch(api: &Api, platform: &Platform) -> Result<Epoch, ApiError> {
    let region = platform.region();
    readable(api, region, eport_model::CERTIFICATES_SINCE)?;
    let epoch = platform.issuing_epoch();
    epoch.ok_or_else(|| ApiError::new(codes::FENCED, format!("platform {region} is not open")))
}

/// What will be signed, tried against the policy, and its row as an intent.
pub(crate) fn prepared(
    authority: &Authority,
    order: &Order<'_>,
    epoch: Epoch,
    now: Timestamp,
) -> Result<(Tbs, CertificateRow), eport_authority::Error> {
    let tbs = authority.prepare(&LeafRequest {
        profile: order.profile,
        subject: order.subject,
        names: &order.names,
        request: order.request,
        epoch,
        days: order.days,
        now: moment(now),
        random: rand::random(),
    })?;
    let row = CertificateRow {
        serial: tbs.serial(),
        profile: order.profile.to_owned(),
        subject: order.subject.to_string(),
        issuer: authority.spki(),
        not_before: stamp(tbs.spec.validity.not_before),
        not_after: stamp(tbs.spec.validity.not_after),
        state: CertificateState::Intent,
        epoch,
        tbs: tbs.digest(),
        requested_by: order.by.to_owned(),
        at: now,
        certificate: Bytes::new(),
    };
    Ok((tbs, row))
}

async fn sign_through_ledger(
    platform: &Platform,
    authority: &Authority,
    tbs: &Tbs,
    row: &mut CertificateRow,
    grant: &Grant,
) -> Result<(), ApiError> {
    platform.record_intent(row, grant).await.map_err(|e| ApiError::of(&e))?;
    eport_failpoint::point!("certificate.intended", platform.region());
    let der = authority.sign(tbs).map_err(|e| refused(&e))?;
    (row.state, row.certificate) = (CertificateState::Issued, der.into());
    platform.record_issued(row).await.map_err(|e| ApiError::of(&e))
}

/// No holder of the journal may meet a record that it cannot read.
pub(crate) fn readable(api: &Api, region: RegionCode, since: u16) -> Result<(), ApiError> {
    let view = api.registry.state();
    let read = view.state.placement(region).map_or(0, |p| view.state.read_by_all(p));
    if read >= since {
        return Ok(());
    }
    let detail =
        format!("a node that keeps platform {region} is of an older version and cannot read the ledger");
    Err(ApiError::new(codes::CA_NOT_HERE, detail))
}

/// The CA that issues for a subject now. With the keys of an old and a new one here the registry decides which; without one that may,
/// any is answered, so that the refusal says why.
fn chosen(api: &Api, region: RegionCode, subject: &Subject) -> Option<Arc<Authority>> {
    let fits = |a: &Arc<Authority>| a.region() == Some(region) && a.name().covers(subject);
    let open = api.cas.all().into_iter().map(|(a, _)| a);
    let used = open.filter(fits).filter(|a| usable(api, a).is_ok());
    used.min_by_key(|a| a.name().clone()).or_else(|| api.cas.find(region, subject))
}

/// The registry must list the CA as one that issues, and its own certificate must not be revoked.
fn usable(api: &Api, authority: &Authority) -> Result<(), ApiError> {
    let (view, key) = (api.registry.state(), authority.spki().to_string());
    let epoch = authority.region().and_then(|r| view.state.placement(r)).map(|p| p.epoch);
    let issuer = view.state.issuers().find(|i| i.key_id == key && i.state == IssuerState::Active);
    let listed = issuer.is_some_and(|i| epoch.is_none_or(|e| e >= i.since_epoch));
    let why = match (listed, view.state.revoked_ca(authority.serial(), authority.spki())) {
        (true, None) => return Ok(()),
        (false, _) => "is not listed in the registry as one that issues",
        (_, Some(_)) => "is revoked",
    };
    Err(ApiError::new(codes::ISSUE_REFUSED, format!("the CA {key} {why}")))
}

/// The open primary here and its CA for an import: what an issuer of the registry signed for this platform.
pub(crate) async fn import(
    api: &Api,
    region: RegionCode,
    certificate: &[u8],
    by: &str,
) -> Result<CertificateRow, ApiError> {
    let view = api.registry.state();
    let domain = view.state.federation().map(|f| f.domain.clone());
    let domain =
        domain.ok_or_else(|| ApiError::new(codes::FENCED, "the federation is not known here yet"))?;
    let platform = api.platform(region).filter(|p| p.issuing_epoch().is_some());
    let platform = platform
        .ok_or_else(|| ApiError::new(codes::CA_NOT_HERE, format!("platform {region} is not open here")))?;
    readable(api, region, eport_model::CERTIFICATES_SINCE)?;
    let now = api.now();
    let found = signatory_for(&view.state, region, certificate, &domain, now)?;
    let facts = eport_authority::facts_of(certificate).map_err(|e| refused(&e))?;
    let row = CertificateRow {
        serial: found.serial,
        profile: Profile::usual(&found.subject).to_owned(),
        subject: found.subject.to_string(),
        issuer: found.issuer_key_id,
        not_before: stamp(facts.validity.not_before),
        not_after: stamp(facts.validity.not_after),
        state: CertificateState::Imported,
        epoch: facts.epoch,
        tbs: facts.tbs,
        requested_by: by.to_owned(),
        at: now,
        certificate: Bytes::copy_from_slice(certificate),
    };
    platform.record_issued(&row).await.map_err(|e| ApiError::of(&e))?;
    Ok(row)
}

/// Whom a certificate speaks for under a CA of a platform, or under a CA outside that is registered for it.
fn signatory_for(
    state: &eport_registry::State,
    region: RegionCode,
    certificate: &[u8],
    domain: &eport_model::TrustDomain,
    now: Timestamp,
) -> Result<Signatory, ApiError> {
    let own = state.issuers().filter(|i| i.platform == Some(region)).map(|i| i.certificate.as_slice());
    let ours = match eport_signature::signatory(certificate, own, domain, now.as_millis()) {
        Ok(found) => return Ok(found),
        Err(e) => ApiError::new(codes::ISSUE_REFUSED, format!("no CA of {region} issued it: {e}")),
    };
    let mut outside = state.outside_cas().filter(|o| o.removed.is_none());
    let issuer = outside.find(|o| eport_authority::issued_by(certificate, &o.certificate));
    let Some(ca) = issuer else { return Err(ours) };
    if !ca.scope.counts_at(region) {
        let detail = format!("{} is not registered for platform {region}", ca.name);
        return Err(ApiError::new(codes::OUTSIDE_SCOPE, detail));
    }
    let found = outside_signatory(certificate, &ca.certificate, &ca.scope, domain, now.as_millis());
    found.map_err(|e| ApiError::new(codes::ISSUE_REFUSED, format!("under {}: {e}", ca.name)))
}

/// When and why a certificate of a ledger is revoked, in whatever form: by serial, key, epoch, or its CA's own list.
pub(crate) fn revocation_of(api: &Api, row: &CertificateRow) -> Option<(Timestamp, String)> {
    let view = api.registry.state();
    // An intent has no certificate yet, and no key that anybody could show.
    let facts = (!row.certificate.is_empty()).then(|| eport_authority::facts_of(&row.certificate).ok());
    let mark = CertificateMark {
        serial: &row.serial,
        key: facts.flatten().map_or(Digest::ZERO, |f| f.key),
        issuer: row.issuer,
        not_before: row.not_before.as_millis().div_euclid(1_000),
    };
    let found = view.state.revoked(&mark).map(|r| (r.at, r.reason.clone()));
    let found = found.or_else(|| api.lists.entry(&row.issuer, &row.serial).map(listed));
    // What this node remembers of a registry that was set back. When and why are not known any more.
    let set = api.tls.revocations();
    let known = || set.distrusts(&mark) || row.serial.parse().is_ok_and(|s| set.contains(&s));
    found.or_else(|| known().then(|| (row.at, String::new())))
}

/// When and why, by an entry of a CA's list.
pub(crate) fn listed(entry: ListEntry) -> (Timestamp, String) {
    (Timestamp::from_millis(entry.at.saturating_mul(1_000)), entry.reason.to_owned())
}

/// A record time as a civil moment.
pub(crate) fn moment(t: Timestamp) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(t.as_millis().div_euclid(1_000)).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

fn stamp(t: OffsetDateTime) -> Timestamp {
    Timestamp::from_millis(t.unix_timestamp().saturating_mul(1_000))
}
