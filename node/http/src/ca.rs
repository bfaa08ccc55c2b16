//! The CAs whose keys are on this node, and issuing with them through the ledger of their platform.
//!
//! Always holds: only the open primary of a CA's platform signs; the intent is in the journal, as durable as the platform
//! promises, before the CA's key is used, and the certificate's own record before anybody gets it.

use crate::problem::ApiError;
use crate::state::Api;
use bytes::Bytes;
use eport_api_types::CertificateRequest;
use eport_authority::{Authority, LeafNames, LeafRequest, Profile};
use eport_enrolment::RequestState;
use eport_model::{CaName, Code, Epoch, RegionCode, Subject, Timestamp, codes};
use eport_platform::{CertificateRow, CertificateState, Grant, Platform};
use eport_registry::IssuerState;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Instant;
use time::OffsetDateTime;
use tokio::sync::Semaphore;

/// Certificates issued at once; the journal groups them, more wait.
const ISSUING_MAX: usize = 256;
/// CAs in the folder.
const CAS_MAX: usize = 256;

/// Answers that were signed and can be given again.
pub(crate) type Signed = Mutex<BTreeMap<Vec<u8>, (usize, Epoch, Instant, Bytes)>>;

/// The CAs of this node.
pub struct CaShelf {
    authorities: Vec<Arc<Authority>>,
    /// Revocation lists of roots, by key: made in a ceremony, served as they are.
    pub(crate) root_lists: BTreeMap<String, Bytes>,
    issuing: Semaphore,
    pub(crate) lists: Signed,
    pub(crate) answers: Signed,
    /// Wrong tokens by address, lately.
    pub(crate) wrong: crate::lockout::Lockout,
}

impl Default for CaShelf {
    fn default() -> Self {
        Self {
            authorities: Vec::new(),
            root_lists: BTreeMap::new(),
            issuing: Semaphore::new(ISSUING_MAX),
            lists: Mutex::default(),
            answers: Mutex::default(),
            wrong: crate::lockout::Lockout::default(),
        }
    }
}

impl CaShelf {
    /// Reads every pair `NAME.crt`, `NAME.key` of a folder, and `root.crl` with `root.crt`. Answers also what is there and
    /// not used, for the log: a root's key has no place on a node.
    pub fn open(dir: &Path) -> Result<(Self, Vec<String>), (Code, String)> {
        let failed = |e: std::io::Error| (codes::KEY_UNREADABLE, format!("{}: {e}", dir.display()));
        let mut names = Vec::new();
        for entry in std::fs::read_dir(dir).map_err(failed)?.take(4 * CAS_MAX) {
            let path = entry.map_err(failed)?.path();
            let stem = path.file_stem().and_then(|s| s.to_str()).map(str::to_owned);
            if let Some(stem) = stem.filter(|_| path.extension().is_some_and(|e| e == "key")) {
                names.push(stem);
            }
        }
        names.sort();
        let (mut shelf, mut unused) = (Self::default(), Vec::new());
        for name in names {
            let authority = Authority::load(dir, &name).map_err(|e| (Code(e.code()), e.to_string()))?;
            match authority.name() {
                CaName::Root => unused.push(format!("{name}.key is a root's: take it off this node")),
                CaName::Issuing { .. } if shelf.authorities.len() < CAS_MAX => {
                    shelf.authorities.push(Arc::new(authority));
                }
                CaName::Issuing { .. } => unused.push(format!("{name}: more than {CAS_MAX} CAs")),
            }
        }
        if let Ok(list) = std::fs::read(dir.join("root.crl")) {
            match root_list(dir, &list) {
                Some(key) => drop(shelf.root_lists.insert(key, list.into())),
                None => unused.push("root.crl is not signed by root.crt".into()),
            }
        }
        Ok((shelf, unused))
    }

    /// Every CA.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Authority>> {
        self.authorities.iter()
    }

    /// The CA of a platform that may speak for a subject; one that is for this kind of subject alone comes first.
    fn find(&self, platform: RegionCode, subject: &Subject) -> Option<&Arc<Authority>> {
        let fits = |a: &&Arc<Authority>| a.region() == Some(platform) && a.name().covers(subject);
        // Names order Infra and Subject before Any.
        self.authorities.iter().filter(fits).min_by_key(|a| a.name().clone())
    }
}

/// Key of the root that signed this list.
fn root_list(dir: &Path, list: &[u8]) -> Option<String> {
    let certificates = eport_tls::TrustBundle::certificates(&dir.join("root.crt")).ok()?;
    let root = certificates.first()?;
    eport_authority::read_crl(list, root).ok()?;
    Some(eport_signature::issuer_facts(root).ok()?.key_id.to_string())
}

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
    pub(crate) csr: &'a str,
    pub(crate) days: Option<i64>,
    pub(crate) names: LeafNames,
    /// In whose name.
    pub(crate) by: &'a str,
    /// What the intent settles.
    pub(crate) grant: Grant,
}

/// Issues what an administrator asks for. Answers the row and the chain as PEM.
pub(crate) async fn issue(
    api: &Api,
    asked: &CertificateRequest,
    by: &str,
) -> Result<(RegionCode, CertificateRow, String), ApiError> {
    let bad = |e: eport_model::ParseError| ApiError::bad(e.to_string());
    let subject: Subject = asked.subject.parse().map_err(bad)?;
    let region = match &asked.platform {
        Some(text) => text.parse().map_err(bad)?,
        None => usual_platform(api, &subject)?,
    };
    let platform = primary_here(api, region)?;
    let key = eport_authority::read_request(&asked.csr).map_err(|e| refused(&e))?.key;
    let order = Order {
        subject: &subject,
        profile: asked.profile.as_deref().unwrap_or(Profile::usual(&subject)),
        csr: &asked.csr,
        days: asked.days,
        names: LeafNames { loopback: false, addresses: asked.addresses.clone(), dns: asked.dns.clone() },
        by,
        grant: Grant { key: Some(key), ..Grant::default() },
    };
    let (row, chain) = issue_at(api, &platform, order).await?;
    Ok((region, row, chain))
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
        None => Err(ApiError::new(
            codes::CA_NOT_HERE,
            format!("no key of a CA of {region} that may speak for {subject} is on this node"),
        )),
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
pub(crate) async fn issue_at(
    api: &Api,
    platform: &Platform,
    mut order: Order<'_>,
) -> Result<(CertificateRow, String), ApiError> {
    let (region, subject) = (platform.region(), order.subject);
    let not_here = |detail: String| ApiError::new(codes::CA_NOT_HERE, detail);
    let authority = chosen(api, region, subject);
    let authority = authority.ok_or_else(|| {
        if api.cas.all().any(|a| a.region() == Some(region)) {
            let detail = format!("no CA of {region} may speak for {subject}");
            return ApiError::new(codes::ISSUE_REFUSED, detail);
        }
        not_here(format!("no key of a CA of {region} that may speak for {subject} is on this node"))
    })?;
    usable(api, &authority)?;
    readable(api, region, eport_model::CERTIFICATES_SINCE)?;
    let epoch = platform.issuing_epoch();
    let epoch =
        epoch.ok_or_else(|| ApiError::new(codes::FENCED, format!("platform {region} is not open")))?;
    let _slot = api.cas.issuing.acquire().await.map_err(|_| not_here("the node stops".into()))?;
    let now = api.now();
    let tbs = authority
        .prepare(&LeafRequest {
            profile: order.profile,
            subject,
            names: &order.names,
            request: order.csr,
            epoch,
            days: order.days,
            now: moment(now),
            random: rand::random(),
        })
        .map_err(|e| refused(&e))?;
    let mut row = CertificateRow {
        serial: tbs.serial(),
        profile: order.profile.to_owned(),
        subject: subject.to_string(),
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
    if let Some(request) = &mut order.grant.request
        && let RequestState::Approved { serial, .. } = &mut request.state
    {
        serial.clone_from(&row.serial);
    }
    sign_through_ledger(platform, &authority, &tbs, &mut row, &order.grant).await?;
    let chain = crate::enrol::chain_of(api, &row);
    Ok((row, chain))
}

async fn sign_through_ledger(
    platform: &Platform,
    authority: &Authority,
    tbs: &eport_authority::Tbs,
    row: &mut CertificateRow,
    grant: &Grant,
) -> Result<(), ApiError> {
    platform.record_intent(row, grant).await.map_err(|e| ApiError::of(&e))?;
    eport_failpoint::point!("certificate.intended", platform.region());
    let (der, _) = authority.sign(tbs).map_err(|e| refused(&e))?;
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
    let fits = |a: &&Arc<Authority>| a.region() == Some(region) && a.name().covers(subject);
    let used = api.cas.all().filter(fits).filter(|a| usable(api, a).is_ok());
    used.min_by_key(|a| a.name().clone()).or_else(|| api.cas.find(region, subject)).cloned()
}

/// The registry must list the CA as one that issues, and its own certificate must not be revoked.
fn usable(api: &Api, authority: &Authority) -> Result<(), ApiError> {
    let (view, key) = (api.registry.state(), authority.spki().to_string());
    let epoch = authority.region().and_then(|r| view.state.placement(r)).map(|p| p.epoch);
    let issuer = view.state.issuers().find(|i| i.key_id == key && i.state == IssuerState::Active);
    let listed = issuer.is_some_and(|i| epoch.is_none_or(|e| e >= i.since_epoch));
    let why = match (listed, view.state.revocation(authority.serial())) {
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
    let own: Vec<_> = view.state.issuers().filter(|i| i.platform == Some(region)).collect();
    let now = api.now();
    let issuers = own.iter().map(|i| i.certificate.as_slice());
    let found = eport_signature::signatory(certificate, issuers, &domain, now.as_millis())
        .map_err(|e| ApiError::new(codes::ISSUE_REFUSED, format!("no CA of {region} issued it: {e}")))?;
    let facts = eport_authority::facts_of(certificate).map_err(|e| refused(&e))?;
    let issuer = own.iter().find(|i| eport_authority::issued_by(certificate, &i.certificate));
    let issuer = issuer.and_then(|i| i.key_id.parse().ok());
    let row = CertificateRow {
        serial: found.serial,
        profile: Profile::usual(&found.subject).to_owned(),
        subject: found.subject.to_string(),
        issuer: issuer
            .ok_or_else(|| ApiError::new(codes::ISSUE_REFUSED, "its issuer's key has no usable name"))?,
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

/// A record time as a civil moment.
pub(crate) fn moment(t: Timestamp) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(t.as_millis().div_euclid(1_000)).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

fn stamp(t: OffsetDateTime) -> Timestamp {
    Timestamp::from_millis(t.unix_timestamp().saturating_mul(1_000))
}
