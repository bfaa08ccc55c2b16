//! What outsiders ask about certificates: revocation lists and OCSP, for the CAs whose keys are on this node.
//!
//! Lists and answers are views of the registry's revocations and the platform's ledger; nothing about a revocation is stored
//! in them. A number rises with the epoch and, within it, with the registry's log. What was signed is kept until a
//! revocation comes or it is old, at most a bounded number of them.

use crate::ca::{Signed, moment, refused};
use crate::extract::Raw;
use crate::problem::ApiError;
use crate::state::Api;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use eport_authority::{
    Authority, CrlContent, CrlEntry, CrlNumber, OcspAsked, OcspError, OcspStatus, Reason, read_ocsp_request,
};
use eport_model::{Epoch, codes};
use eport_platform::{CertificateState, Platform};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

const CRL_MEDIA: &str = "application/pkix-crl";
const OCSP_MEDIA: &str = "application/ocsp-response";
/// A list is made again after an hour, and says that the next one comes within seven days.
const LIST_LIFE: Duration = Duration::from_secs(3_600);
const LIST_NEXT: time::Duration = time::Duration::days(7);
/// An answer is signed again after 15 minutes, and good for a day.
const ANSWER_LIFE: Duration = Duration::from_secs(900);
const ANSWER_NEXT: time::Duration = time::Duration::hours(24);
/// Signed answers kept; beyond it all are forgotten at once.
const KEPT_MAX: usize = 8_192;
/// Lists kept: 256 shards of some CAs.
const LISTS_MAX: usize = 1_024;
/// Shards of one list at most.
const SHARDS_MAX: u32 = 256;
/// An intent older than this is of an issue that ended without a certificate.
const INTENT_LIFE_MS: i64 = 10 * 60 * 1_000;
/// Open intents looked at.
const INTENTS_MAX: usize = 10_000;

/// A list by its name: `KEY.crl`, or the part N of M, M a power of two, by the serials' last bytes: `KEY-NofM.crl`.
struct Wanted {
    key: String,
    shard: Option<(u32, u32)>,
}

impl Wanted {
    fn parse(name: &str) -> Option<Self> {
        let stem = name.strip_suffix(".crl").filter(|s| s.len() <= 80)?;
        let Some((key, part)) = stem.split_once('-') else {
            return Some(Self { key: stem.to_owned(), shard: None });
        };
        let (n, of) = part.split_once("of")?;
        let (n, of): (u32, u32) = (n.parse().ok()?, of.parse().ok()?);
        let fits = of.is_power_of_two() && (2..=SHARDS_MAX).contains(&of) && n < of;
        fits.then(|| Self { key: key.to_owned(), shard: Some((n, of)) })
    }

    fn holds(&self, serial: &str) -> bool {
        let Some((n, of)) = self.shard else { return true };
        let last = serial.len().checked_sub(2).and_then(|at| serial.get(at..));
        last.and_then(|hex| u32::from_str_radix(hex, 16).ok()).unwrap_or(0) % of == n
    }
}

/// The CA with this key, at its platform's open primary.
fn open(api: &Api, fits: impl Fn(&Authority) -> bool) -> Option<(Arc<Authority>, Platform, Epoch)> {
    let authority = api.cas.all().find(|a| fits(a))?.clone();
    let platform = api.platform(authority.region()?)?;
    let epoch = platform.issuing_epoch()?;
    Some((authority, platform, epoch))
}

/// What was signed before and still holds.
fn kept(signed: &Signed, key: &[u8], revoked: usize, epoch: Epoch, life: Duration) -> Option<Bytes> {
    let signed = signed.lock().unwrap_or_else(PoisonError::into_inner);
    let (count, in_epoch, at, bytes) = signed.get(key)?;
    (*count == revoked && *in_epoch == epoch && at.elapsed() < life).then(|| bytes.clone())
}

fn keep(signed: &Signed, key: Vec<u8>, revoked: usize, epoch: Epoch, bytes: Bytes, max: usize) {
    let mut signed = signed.lock().unwrap_or_else(PoisonError::into_inner);
    if signed.len() >= max {
        signed.clear();
    }
    signed.insert(key, (revoked, epoch, Instant::now(), bytes));
}

/// `GET /v1/crl/{name}`
pub async fn crl(State(api): State<Api>, Path(name): Path<String>) -> Result<Response, ApiError> {
    let unknown = || ApiError::not_found("revocation list of this name");
    let wanted = Wanted::parse(&name).ok_or_else(unknown)?;
    let answer = |bytes: Bytes| ([(header::CONTENT_TYPE, CRL_MEDIA)], bytes).into_response();
    if let Some(list) = api.cas.root_lists.get(&wanted.key).filter(|_| wanted.shard.is_none()) {
        return Ok(answer(list.clone()));
    }
    // Lists of roots that came with a rotation are on every node.
    let trust = api.registry.state().state.trust();
    if let Some(list) = trust.lists.iter().find(|l| l.key_id == wanted.key && wanted.shard.is_none()) {
        return Ok(answer(list.list.clone().into()));
    }
    let here = open(&api, |a| a.spki().to_string() == wanted.key);
    let Some((authority, platform, epoch)) = here else {
        let listed = api.registry.state().state.issuers().any(|i| i.key_id == wanted.key);
        let elsewhere = ApiError::new(codes::CA_NOT_HERE, "the primary of the CA's platform makes its lists");
        return Err(if listed { elsewhere } else { unknown() });
    };
    let revoked = api.registry.state().state.revoked_count();
    if let Some(bytes) = kept(&api.cas.lists, name.as_bytes(), revoked, epoch, LIST_LIFE) {
        return Ok(answer(bytes));
    }
    // A long list reads the ledger for every entry: not on the threads that carry the heartbeats.
    let _reader =
        api.readers.acquire().await.map_err(|_| ApiError::new(codes::DRAINING, "the node stops"))?;
    let (at, asked) = (api.clone(), name.clone());
    let made =
        tokio::task::spawn_blocking(move || render(&at, &authority, &platform, epoch, &wanted, &asked)).await;
    let made = made.map_err(|e| ApiError::new(codes::INTERNAL, e.to_string()))?;
    let bytes = Bytes::from(made?);
    keep(&api.cas.lists, name.into_bytes(), revoked, epoch, bytes.clone(), LISTS_MAX);
    Ok(answer(bytes))
}

fn render(
    api: &Api,
    authority: &Authority,
    platform: &Platform,
    epoch: Epoch,
    wanted: &Wanted,
    name: &str,
) -> Result<Vec<u8>, ApiError> {
    let view = api.registry.state();
    // Certificates of CAs stand in the lists of their root.
    let of_cas: BTreeSet<String> = view
        .state
        .issuers()
        .filter_map(|i| eport_authority::facts_of(&i.certificate).ok())
        .map(|facts| facts.serial)
        .collect();
    let mut entries = BTreeMap::new();
    for revocation in
        view.state.revocations().filter(|r| wanted.holds(&r.serial) && !of_cas.contains(&r.serial))
    {
        let row = platform.certificate(&revocation.serial).map_err(|e| ApiError::of(&e))?;
        // A serial that the ledger does not know may be this CA's: a list that says too much harms nobody.
        if row.is_none_or(|r| r.issuer == authority.spki()) {
            let entry = CrlEntry { at: moment(revocation.at), reason: Reason::of_text(&revocation.reason) };
            entries.insert(revocation.serial.clone(), entry);
        }
    }
    for intent in platform.open_intents(INTENTS_MAX).map_err(|e| ApiError::of(&e))? {
        if intent.issuer == authority.spki() && wanted.holds(&intent.serial) && stale(api, &intent, epoch) {
            let entry = CrlEntry { at: moment(intent.at), reason: Reason::CessationOfOperation };
            entries.entry(intent.serial).or_insert(entry);
        }
    }
    let now = moment(api.now());
    let first = CrlNumber::first_of(epoch);
    let number = CrlNumber(first.0 | (view.index & ((1 << 40) - 1)));
    let host = view.state.node(api.agent.me()).map(|n| n.api.clone()).unwrap_or_default();
    let shard = wanted.shard.map(|_| format!("https://{host}/v1/crl/{name}"));
    let content = CrlContent { number, this_update: now, next_update: now + LIST_NEXT, entries, shard };
    authority.sign_crl(&content).map_err(|e| refused(&e))
}

/// An intent that no certificate will follow any more.
fn stale(api: &Api, row: &eport_platform::CertificateRow, epoch: Epoch) -> bool {
    row.epoch < epoch || api.now().as_millis() - row.at.as_millis() > INTENT_LIFE_MS
}

/// `POST /ocsp`
pub async fn ocsp(State(api): State<Api>, Raw(body): Raw) -> Response {
    let answer = |bytes: Bytes| (StatusCode::OK, [(header::CONTENT_TYPE, OCSP_MEDIA)], bytes).into_response();
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
    let revoked = api.registry.state().state.revoked_count();
    // By what is asked alone: nonces would fill the memory with answers that nobody asks for again.
    let key: Vec<u8> = asked.iter().flat_map(OcspAsked::id).collect();
    if let Some(bytes) = kept(&api.cas.answers, &key, revoked, epoch, ANSWER_LIFE) {
        return answer(bytes);
    }
    let mut answers = Vec::with_capacity(asked.len());
    for one in asked {
        match status(&api, &authority, &platform, epoch, &one) {
            Ok(status) => answers.push((one, status)),
            Err(_) => return refuse(OcspError::TryLater),
        }
    }
    let Ok(signed) = authority.ocsp_answer(&answers, moment(api.now()), ANSWER_NEXT) else {
        return refuse(OcspError::TryLater);
    };
    let signed = Bytes::from(signed);
    // What is unknown now may be issued in a moment.
    if answers.iter().all(|(_, status)| *status != OcspStatus::Unknown) {
        keep(&api.cas.answers, key, revoked, epoch, signed.clone(), KEPT_MAX);
    }
    answer(signed)
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
    if let Some(r) = view.state.revocation(&serial) {
        return Ok(OcspStatus::Revoked { at: moment(r.at), reason: Reason::of_text(&r.reason) });
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shards_of_a_list_hold_every_serial_once() {
        let shards: Vec<Wanted> = (0..4).filter_map(|n| Wanted::parse(&format!("ab-{n}of4.crl"))).collect();
        assert_eq!(shards.len(), 4);
        for serial in ["01", "0100000001ff", "0100000001fe", "010000000100", "0"] {
            assert_eq!(shards.iter().filter(|s| s.holds(serial)).count(), 1, "{serial}");
        }
        for bad in ["ab", "ab-4of4.crl", "ab-0of3.crl", "ab-0of512.crl", "ab-xof4.crl", "ab-0of1.crl"] {
            assert!(Wanted::parse(bad).is_none(), "{bad}");
        }
    }
}
