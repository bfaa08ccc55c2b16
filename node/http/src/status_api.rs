//! Revocation lists for outsiders, of the CAs whose keys are open on this node; and, from any node, the newest list that it has of any
//! CA. OCSP has a file of its own.
//!
//! Lists are views of the registry's revocations and the platform's ledger; nothing about a revocation is stored
//! in them. A number rises with the epoch and, within it, with the registry's log. What was signed is kept until a
//! revocation comes or it is old, at most a bounded number of them.

use crate::ca::{close_former, moment, refused, revocation_of};
use crate::problem::ApiError;
use crate::shelf::Signed;
use crate::state::Api;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use eport_authority::{Authority, CrlContent, CrlEntry, CrlNumber, Reason};
use eport_model::{Digest, Distrust, Epoch, Timestamp, codes};
use eport_platform::Platform;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

const CRL_MEDIA: &str = "application/pkix-crl";
/// A list is made again after an hour, and says that the next one comes within seven days.
const LIST_LIFE: Duration = Duration::from_secs(3_600);
const LIST_NEXT: time::Duration = time::Duration::days(7);
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
pub(crate) fn open(
    api: &Api,
    fits: impl Fn(&Authority) -> bool,
) -> Option<(Arc<Authority>, Platform, Epoch)> {
    close_former(api);
    let authority = api.cas.all().into_iter().map(|(a, _)| a).find(|a| fits(a))?;
    let platform = api.platform(authority.region()?)?;
    let epoch = platform.issuing_epoch()?;
    Some((authority, platform, epoch))
}

/// What was signed before and still holds.
pub(crate) fn kept(
    signed: &Signed,
    key: &[u8],
    revoked: usize,
    epoch: Epoch,
    life: Duration,
) -> Option<Bytes> {
    let signed = signed.lock().unwrap_or_else(PoisonError::into_inner);
    let (count, in_epoch, at, bytes) = signed.get(key)?;
    (*count == revoked && *in_epoch == epoch && at.elapsed() < life).then(|| bytes.clone())
}

pub(crate) fn keep(signed: &Signed, key: Vec<u8>, revoked: usize, epoch: Epoch, bytes: Bytes, max: usize) {
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
        let kept = wanted.key.parse().ok().and_then(|ca: Digest| api.lists.newest(&ca));
        if let Some(list) = kept.filter(|_| wanted.shard.is_none()) {
            return Ok(answer(list));
        }
        let listed = api.registry.state().state.issuers().any(|i| i.key_id == wanted.key);
        let elsewhere = ApiError::new(codes::CA_NOT_HERE, "the primary of the CA's platform makes its lists");
        return Err(if listed { elsewhere } else { unknown() });
    };
    let revoked = said(&api);
    if let Some(bytes) = kept(&api.cas.lists, name.as_bytes(), revoked, epoch, LIST_LIFE) {
        return Ok(answer(bytes));
    }
    // A long list reads the ledger for every entry: not on the threads that carry the heartbeats.
    let _reader =
        api.readers.acquire().await.map_err(|_| ApiError::new(codes::DRAINING, "the node stops"))?;
    let (at, asked) = (api.clone(), name.clone());
    let made =
        tokio::task::spawn_blocking(move || next_list(&at, &authority, &platform, epoch, &wanted, &asked))
            .await;
    let made = made.map_err(|e| ApiError::new(codes::INTERNAL, e.to_string()))?;
    let bytes = Bytes::from(made?);
    keep(&api.cas.lists, name.into_bytes(), revoked, epoch, bytes.clone(), LISTS_MAX);
    Ok(answer(bytes))
}

/// How much is known of revocations: what was signed before it rose is made again.
pub(crate) fn said(api: &Api) -> usize {
    api.registry.state().state.revoked_count() + api.lists.count() + api.tls.revocations().serials().len()
}

fn next_list(
    api: &Api,
    authority: &Authority,
    platform: &Platform,
    epoch: Epoch,
    wanted: &Wanted,
    name: &str,
) -> Result<Vec<u8>, ApiError> {
    let der = render(api, authority, platform, epoch, (wanted, name), None)?;
    if wanted.shard.is_none()
        && let Err(error) = api.lists.accept(authority.spki(), authority.der(), &der)
    {
        tracing::warn!(%error, "the CA's own list is not kept");
    }
    Ok(der)
}

/// Signs the next list of a CA with one certificate more, keeps it and puts it in force here: what a CA does that is cut off from
/// the registry. Peers fetch it, and the registry's leader enters it when it can.
pub(crate) fn revoke_here(
    api: &Api,
    authority: &Authority,
    platform: &Platform,
    epoch: Epoch,
    serial: &str,
    reason: &str,
) -> Result<(), ApiError> {
    let wanted = Wanted { key: authority.spki().to_string(), shard: None };
    let entry = CrlEntry { at: moment(api.now()), reason: Reason::of_text(reason) };
    let der = render(api, authority, platform, epoch, (&wanted, ""), Some((serial.to_owned(), entry)))?;
    let taken = api.lists.accept(authority.spki(), authority.der(), &der);
    match taken.map_err(|e| ApiError::new(codes::STORAGE_FAILED, e.to_string()))? {
        true => {
            let rule = Distrust::Listed { issuer: authority.spki(), serial: serial.to_owned() };
            api.tls.revocations().add_rule(rule);
            Ok(())
        }
        // Two at once drew one number: the other one's list is kept, and does not name this certificate.
        false => Err(ApiError::new(codes::OVERLOADED, "another list of the CA was signed at this moment")),
    }
}

fn render(
    api: &Api,
    authority: &Authority,
    platform: &Platform,
    epoch: Epoch,
    (wanted, name): (&Wanted, &str),
    more: Option<(String, CrlEntry)>,
) -> Result<Vec<u8>, ApiError> {
    let view = api.registry.state();
    let ca = authority.spki();
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
        // A rule, and what a CA's own list says, come below.
        if revocation.serial.contains('/') {
            continue;
        }
        let row = platform.certificate(&revocation.serial).map_err(|e| ApiError::of(&e))?;
        // A serial that the ledger does not know may be this CA's: a list that says too much harms nobody.
        if row.is_none_or(|r| r.issuer == authority.spki()) {
            let entry = CrlEntry { at: moment(revocation.at), reason: Reason::of_text(&revocation.reason) };
            entries.insert(revocation.serial.clone(), entry);
        }
    }
    ruled(api, &ca, platform, wanted, &mut entries)?;
    remembered(api, &ca, platform, wanted, &mut entries)?;
    entries.extend(more);
    for intent in platform.open_intents(INTENTS_MAX).map_err(|e| ApiError::of(&e))? {
        if intent.issuer == authority.spki() && wanted.holds(&intent.serial) && stale(api, &intent, epoch) {
            let entry = CrlEntry { at: moment(intent.at), reason: Reason::CessationOfOperation };
            entries.entry(intent.serial).or_insert(entry);
        }
    }
    let now = moment(api.now());
    let first = CrlNumber::first_of(epoch);
    let number = CrlNumber(first.0 | (view.index & ((1 << 40) - 1)));
    // Above every list of this CA that was ever seen here, also while the registry stands still.
    let known = CrlNumber(api.lists.number(&ca));
    let number = if wanted.shard.is_none() { number.max(known.next(epoch)) } else { number.max(known) };
    let host = view.state.node(api.agent.me()).map(|n| n.api.clone()).unwrap_or_default();
    let shard = wanted.shard.map(|_| format!("https://{host}/v1/crl/{name}"));
    let content = CrlContent { number, this_update: now, next_update: now + LIST_NEXT, entries, shard };
    authority.sign_crl(&content).map_err(|e| refused(&e))
}

/// Adds what the CA's own lists have said, and what the rules take of its ledger.
fn ruled(
    api: &Api,
    ca: &Digest,
    platform: &Platform,
    wanted: &Wanted,
    entries: &mut BTreeMap<String, CrlEntry>,
) -> Result<(), ApiError> {
    let view = api.registry.state();
    for said in api.lists.entries(ca).into_iter().filter(|e| wanted.holds(&e.serial)) {
        let at = moment(Timestamp::from_millis(said.at.saturating_mul(1_000)));
        entries.entry(said.serial).or_insert(CrlEntry { at, reason: Reason::of_text(said.reason) });
    }
    let mut rules = false;
    for revocation in view.state.revocations().filter(|r| r.serial.contains('/')) {
        match revocation.serial.parse() {
            Ok(Distrust::Listed { issuer, serial }) if issuer == *ca && wanted.holds(&serial) => {
                let reason = Reason::of_text(&revocation.reason);
                entries.entry(serial).or_insert(CrlEntry { at: moment(revocation.at), reason });
            }
            Ok(Distrust::Key(_)) => rules = true,
            Ok(Distrust::Epoch { issuer, .. }) if issuer == *ca => rules = true,
            _ => {}
        }
    }
    let mut after: Option<String> = None;
    while rules {
        let page = platform.certificates(None, after.as_deref(), usize::MAX);
        let (rows, full) = page.map_err(|e| ApiError::of(&e))?;
        for row in rows.iter().filter(|r| r.issuer == *ca && wanted.holds(&r.serial)) {
            if let Some((at, reason)) = revocation_of(api, row) {
                let entry = CrlEntry { at: moment(at), reason: Reason::of_text(&reason) };
                entries.entry(row.serial.clone()).or_insert(entry);
            }
        }
        after = rows.last().map(|r| r.serial.clone());
        rules = full && after.is_some();
    }
    Ok(())
}

/// An intent that no certificate will follow any more.
pub(crate) fn stale(api: &Api, row: &eport_platform::CertificateRow, epoch: Epoch) -> bool {
    row.epoch < epoch || api.now().as_millis() - row.at.as_millis() > INTENT_LIFE_MS
}

/// Revocations of this CA's certificates that this node remembers and the registry does not know any more: it was set back.
fn remembered(
    api: &Api,
    ca: &Digest,
    platform: &Platform,
    wanted: &Wanted,
    entries: &mut BTreeMap<String, CrlEntry>,
) -> Result<(), ApiError> {
    for serial in api.tls.revocations().serials().iter().map(eport_tls::Serial::as_str) {
        if entries.contains_key(serial) || !wanted.holds(serial) {
            continue;
        }
        let row = platform.certificate(serial).map_err(|e| ApiError::of(&e))?;
        if let Some(row) = row.filter(|r| r.issuer == *ca) {
            // When it was is not known any more: from its beginning on.
            let entry = CrlEntry { at: moment(row.at), reason: Reason::Unspecified };
            entries.insert(row.serial, entry);
        }
    }
    Ok(())
}

/// Whether this node, which has the CA's key, remembers revocations of its certificates that neither the registry nor the CA's last list
/// names: then the CA says them again by its next list, which spreads and is entered like any other.
pub(crate) fn say_again(api: &Api, spoken: &mut BTreeMap<Digest, (usize, usize)>) {
    let state = (api.tls.revocations().serials().len(), api.registry.state().state.revoked_count());
    for (authority, _) in api.cas.all() {
        let ca = authority.spki();
        if spoken.get(&ca) == Some(&state) {
            continue;
        }
        let Some((authority, platform, epoch)) = open(api, |a| a.spki() == ca) else { continue };
        let view = api.registry.state();
        let forgotten = api.tls.revocations().serials().iter().any(|serial| {
            let serial = serial.as_str();
            view.state.revocation(serial).is_none()
                && api.lists.entry(&ca, serial).is_none()
                && platform.certificate(serial).is_ok_and(|row| row.is_some_and(|r| r.issuer == ca))
        });
        if forgotten {
            let wanted = Wanted { key: ca.to_string(), shard: None };
            match next_list(api, &authority, &platform, epoch, &wanted, "") {
                Ok(_) => {
                    tracing::warn!(key = %ca, "the registry was set back: the CA says again what was revoked")
                }
                Err(error) => {
                    tracing::warn!(key = %ca, detail = ?error.problem.detail, "the CA cannot say again what was revoked");
                    continue;
                }
            }
        }
        spoken.insert(ca, state);
    }
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
