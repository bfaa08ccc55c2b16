//! OCSP: what outsiders ask about single certificates, for the CAs whose keys are open on this node.
//!
//! What always holds: an answer is a view of the ledger and of everything this node knows of revocations; it is given again until more is
//! known, the epoch changes or it is old, and answers are kept in bounded number. A delegate answers in the CA's place: it stands in
//! the ledger before the CA signs it, its key is in memory alone, and another epoch has another one. Until somebody asks there is none.

use crate::ca::{listed, moment, readable, revocation_of};
use crate::extract::Raw;
use crate::state::Api;
use crate::status_api::{keep, kept, open, said, stale};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use eport_authority::{Authority, OcspAsked, OcspDelegate, OcspError, OcspStatus, Reason, read_ocsp_request};
use eport_model::{Digest, Epoch, Timestamp};
use eport_platform::{CertificateRow, CertificateState, DELEGATE_PROFILE, Grant, Platform};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tracing::{info, warn};

const MEDIA: &str = "application/ocsp-response";
/// An answer is signed again after 15 minutes, and good for a day.
const ANSWER_LIFE: Duration = Duration::from_secs(900);
const ANSWER_NEXT: time::Duration = time::Duration::hours(24);
/// Signed answers kept; beyond it all are forgotten at once. About a kilobyte each.
const KEPT_MAX: usize = 8_192;
/// Answers that are signed before anybody asks: half of the room, so that questions have theirs.
const PRESIGNED_MAX: usize = KEPT_MAX / 2;
/// They are signed again no more often than this, however fast revocations come.
const PRESIGN_EVERY: Duration = Duration::from_secs(10);
/// A delegate that could not be made is not tried again for so long: each attempt may leave an intent in the ledger.
const APPOINT_EVERY: Duration = Duration::from_secs(60);
/// Certificates of the ledger read at once.
const PAGE: usize = 256;

/// A delegate of a CA in an epoch of its platform.
type Held = (Epoch, Arc<OcspDelegate>);

/// The delegates of this node's CAs.
#[derive(Default)]
pub(crate) struct Delegates {
    held: Mutex<BTreeMap<Digest, Held>>,
    /// Held while one is made: never two at once, and nobody waits for it. When the last attempt failed.
    making: tokio::sync::Mutex<Option<Instant>>,
    /// What the answers that were signed before rest on.
    presigned: Mutex<BTreeMap<Digest, (Epoch, usize, Instant)>>,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Delegates {
    fn of(&self, ca: &Digest, epoch: Epoch) -> Option<Arc<OcspDelegate>> {
        lock(&self.held).get(ca).filter(|(of, _)| *of == epoch).map(|(_, d)| d.clone())
    }
}

/// `POST /ocsp`
pub async fn ocsp(State(api): State<Api>, Raw(body): Raw) -> Response {
    let answer = |bytes: Bytes| (StatusCode::OK, [(header::CONTENT_TYPE, MEDIA)], bytes).into_response();
    let refuse = |error: OcspError| answer(error.answer().into());
    let asked = match read_ocsp_request(&body) {
        Ok(asked) => asked,
        Err(error) => return refuse(error),
    };
    let first = &asked[0];
    let Some((authority, platform, epoch)) = open(&api, |a| first.is_of(a)) else {
        return refuse(OcspError::Unauthorized);
    };
    if !asked.iter().all(|a| a.is_of(&authority)) {
        return refuse(OcspError::Unauthorized);
    }
    let revoked = said(&api);
    // By what is asked alone: nonces would fill the memory with answers that nobody asks for again.
    let key: Vec<u8> = asked.iter().flat_map(OcspAsked::id).collect();
    if let Some(bytes) = kept(&api.cas.answers, &key, revoked, epoch, ANSWER_LIFE) {
        return answer(bytes);
    }
    if api.cas.delegates.of(&authority.spki(), epoch).is_none() {
        let (at, ca, of) = (api.clone(), authority.clone(), platform.clone());
        tokio::spawn(async move { appoint(&at, &ca, &of, epoch).await });
    }
    let mut answers = Vec::with_capacity(asked.len());
    for one in asked {
        match status(&api, &authority, &platform, epoch, &one) {
            Ok(status) => answers.push((one, status)),
            Err(_) => return refuse(OcspError::TryLater),
        }
    }
    let Some(signed) = signed(&api, &authority, epoch, &answers) else { return refuse(OcspError::TryLater) };
    // What is unknown now may be issued in a moment.
    if answers.iter().all(|(_, status)| *status != OcspStatus::Unknown) {
        keep(&api.cas.answers, key, revoked, epoch, signed.clone(), KEPT_MAX);
    }
    answer(signed)
}

/// Signed by the delegate of the epoch, or, while there is none, by the CA itself.
fn signed(
    api: &Api,
    authority: &Authority,
    epoch: Epoch,
    answers: &[(OcspAsked, OcspStatus)],
) -> Option<Bytes> {
    let now = moment(api.now());
    let delegate = api.cas.delegates.of(&authority.spki(), epoch).filter(|d| d.not_after() > now);
    let signed = match delegate {
        Some(delegate) => delegate.answer(answers, now, ANSWER_NEXT),
        None => authority.ocsp_answer(answers, now, ANSWER_NEXT),
    };
    signed.map(Bytes::from).inspect_err(|error| warn!(%error, "an OCSP answer cannot be signed")).ok()
}

/// Makes a delegate through the ledger. A failure costs the CA a signature an answer and nothing else.
async fn appoint(api: &Api, authority: &Authority, platform: &Platform, epoch: Epoch) {
    let delegates = &api.cas.delegates;
    let Ok(mut failed) = delegates.making.try_lock() else { return };
    if failed.is_some_and(|at| at.elapsed() < APPOINT_EVERY) {
        return;
    }
    *failed = None;
    let ca = authority.spki();
    if delegates.of(&ca, epoch).is_some_and(|d| !d.is_due(moment(api.now()))) {
        return;
    }
    match made(api, authority, platform, epoch).await {
        Ok(delegate) => {
            info!(key = %ca, epoch = epoch.as_u64(), ends = %delegate.not_after(), "a delegate answers OCSP for the CA");
            lock(&delegates.held).insert(ca, (epoch, Arc::new(delegate)));
        }
        Err(detail) => {
            *failed = Some(Instant::now());
            warn!(key = %ca, %detail, "no delegate: the CA answers OCSP itself");
        }
    }
}

async fn made(
    api: &Api,
    authority: &Authority,
    platform: &Platform,
    epoch: Epoch,
) -> Result<OcspDelegate, String> {
    let text = |e: eport_platform::LedgerError| e.to_string();
    readable(api, platform.region(), eport_model::CERTIFICATES_SINCE)
        .map_err(|e| e.problem.detail.unwrap_or_default())?;
    let now = api.now();
    let tbs = authority.prepare_delegate(epoch, moment(now), rand::random()).map_err(|e| e.to_string())?;
    let mut row = CertificateRow {
        serial: tbs.serial.clone(),
        profile: DELEGATE_PROFILE.to_owned(),
        subject: format!("ca/{}/ocsp", authority.spki()),
        issuer: authority.spki(),
        not_before: second(tbs.validity.not_before),
        not_after: second(tbs.validity.not_after),
        state: CertificateState::Intent,
        epoch,
        tbs: tbs.digest(),
        requested_by: format!("platform/{}/node/{}", api.agent.home(), api.agent.me()),
        at: now,
        certificate: Bytes::new(),
    };
    platform.record_intent(&row, &Grant::default()).await.map_err(text)?;
    let delegate = authority.sign_delegate(tbs).map_err(|e| e.to_string())?;
    (row.state, row.certificate) = (CertificateState::Issued, Bytes::copy_from_slice(delegate.der()));
    platform.record_issued(&row).await.map_err(text)?;
    Ok(delegate)
}

fn second(t: time::OffsetDateTime) -> Timestamp {
    Timestamp::from_millis(t.unix_timestamp().saturating_mul(1_000))
}

/// Where somebody asks about certificates: delegates are replaced in time, and answers are signed again when they are old or more is
/// known, before the next question.
pub(crate) async fn look_after(api: &Api) {
    let held: Vec<(Digest, Epoch)> =
        lock(&api.cas.delegates.held).iter().map(|(ca, (epoch, _))| (*ca, *epoch)).collect();
    for (ca, epoch) in held {
        let here = open(api, |a| a.spki() == ca).filter(|(_, _, now)| *now == epoch);
        let Some((authority, platform, epoch)) = here else {
            lock(&api.cas.delegates.held).remove(&ca);
            lock(&api.cas.delegates.presigned).remove(&ca);
            continue;
        };
        if api.cas.delegates.of(&ca, epoch).is_some_and(|d| d.is_due(moment(api.now()))) {
            appoint(api, &authority, &platform, epoch).await;
        }
        let revoked = said(api);
        let fresh = lock(&api.cas.delegates.presigned).get(&ca).is_some_and(|(of, count, at)| {
            let known = *of == epoch && *count == revoked && at.elapsed() < ANSWER_LIFE * 4 / 5;
            known || at.elapsed() < PRESIGN_EVERY
        });
        if fresh {
            continue;
        }
        lock(&api.cas.delegates.presigned).insert(ca, (epoch, revoked, Instant::now()));
        // Not on the threads that carry the heartbeats, and one reader of the disk at a time.
        let Ok(_reader) = api.readers.acquire().await else { return };
        let at = api.clone();
        let done =
            tokio::task::spawn_blocking(move || presign(&at, &authority, &platform, epoch, revoked)).await;
        if let Ok(Err(error)) = done {
            warn!(key = %ca, %error, "OCSP answers cannot be signed before they are asked for");
        }
    }
}

/// Signs the usual answer about every certificate of the ledger that lives, as many as there is room for.
fn presign(
    api: &Api,
    authority: &Authority,
    platform: &Platform,
    epoch: Epoch,
    revoked: usize,
) -> Result<usize, eport_platform::Error> {
    let (mut after, mut signed_now) = (None::<String>, 0);
    loop {
        let (rows, full) = platform.certificates(None, after.as_deref(), PAGE)?;
        for row in &rows {
            if row.issuer != authority.spki() || row.not_after < api.now() || row.profile == DELEGATE_PROFILE
            {
                continue;
            }
            let Some(asked) = OcspAsked::usual(authority, &row.serial) else { continue };
            let status = status(api, authority, platform, epoch, &asked)?;
            let key = asked.id();
            if status == OcspStatus::Unknown {
                continue;
            }
            if let Some(bytes) = signed(api, authority, epoch, &[(asked, status)]) {
                keep(&api.cas.answers, key, revoked, epoch, bytes, KEPT_MAX);
                signed_now += 1;
            }
            if signed_now >= PRESIGNED_MAX {
                return Ok(signed_now);
            }
        }
        after = rows.last().map(|r| r.serial.clone());
        if !full || after.is_none() {
            return Ok(signed_now);
        }
    }
}

fn status(
    api: &Api,
    authority: &Authority,
    platform: &Platform,
    epoch: Epoch,
    asked: &OcspAsked,
) -> Result<OcspStatus, eport_platform::Error> {
    let (serial, view) = (asked.serial(), api.registry.state());
    let row = platform.certificate(&serial)?.filter(|r| r.issuer == authority.spki());
    let ca = authority.spki();
    let revoked = match &row {
        Some(row) => revocation_of(api, row),
        // What an epoch issued behind the ledger's end is unknown to the ledger, and distrusted where a rule says so.
        None => view
            .state
            .revoked_unknown(&ca, &serial)
            .map(|r| (r.at, r.reason.clone()))
            .or_else(|| api.lists.entry(&ca, &serial).map(listed)),
    };
    if let Some((at, reason)) = revoked {
        return Ok(OcspStatus::Revoked { at: moment(at), reason: Reason::of_text(&reason) });
    }
    Ok(match row {
        None => OcspStatus::Unknown,
        Some(row) if row.state != CertificateState::Intent => OcspStatus::Good,
        Some(row) if stale(api, &row, epoch) => {
            OcspStatus::Revoked { at: moment(row.at), reason: Reason::CessationOfOperation }
        }
        Some(_) => OcspStatus::Unknown,
    })
}
