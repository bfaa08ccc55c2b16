//! Revocation lists of the issuing CAs and of registered CAs outside, as this node has them: each proves itself by its CA's signature, whoever brought it.
//!
//! What always holds: of one CA the list with the highest number is kept, and what an earlier one said stays in force beside it; a
//! list is on disk before what it says is called revoked; it speaks for its own CA's certificates alone. A CA that is cut off
//! from the registry revokes by signing its next list; nodes tell each other the numbers they have with what they tell each
//! other once a second, and fetch what is newer over the connections they have. The leader enters it into the registry's
//! log when it can. Bounded: one list a CA of the registry, [`LIST_LEN_MAX`] bytes each, [`FETCHED_MAX`] fetched in one look.

use crate::Caller;
use crate::ca::close_former;
use crate::forward::{Outline, forward};
use crate::state::Api;
use axum::http::Method;
use bytes::Bytes;
use eport_model::{Digest, Distrust, Subject};
use eport_registry::{Command, CommandId, Op};
use eport_signature::{ListEntry, revocation_list};
use http_body_util::{BodyExt, Limited};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::Notify;
use tracing::{debug, info, warn};

/// Largest list that is kept and passed on.
pub const LIST_LEN_MAX: usize = 4 << 20;
/// Largest list that is entered into the registry's log.
const LOGGED_LEN_MAX: usize = 256 << 10;
/// Lists fetched in one look.
const FETCHED_MAX: usize = 4;
/// How often peers' numbers are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Longest wait for the registry to take a list.
const LOG_TIMEOUT: Duration = Duration::from_secs(5);
/// CAs whose lists are kept.
const LISTS_MAX: usize = 512;

/// A list and everything that its CA's lists have ever said here.
#[derive(Clone, Default)]
struct Held {
    number: u64,
    der: Bytes,
    entries: BTreeMap<String, ListEntry>,
}

/// The lists of this node.
pub struct Lists {
    dir: PathBuf,
    held: RwLock<BTreeMap<Digest, Held>>,
    changed: Notify,
}

/// Why a list was not taken.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// Its CA did not sign it, or it cannot be read.
    #[error(transparent)]
    Refused(#[from] eport_signature::Refused),
    /// It is larger than what is kept.
    #[error("a list of {0} bytes is longer than what is kept")]
    TooLong(usize),
    /// It cannot be written; nothing it says is in force by it.
    #[error("{path}: {source}")]
    Disk {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl Lists {
    /// Lists kept in a folder, which is made.
    pub fn open(dir: &Path) -> std::io::Result<Self> {
        std::fs::create_dir_all(dir)?;
        Ok(Self { dir: dir.to_owned(), held: RwLock::default(), changed: Notify::new() })
    }

    fn read<T>(&self, look: impl FnOnce(&BTreeMap<Digest, Held>) -> T) -> T {
        look(&self.held.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes a list of a CA in; true when it is newer than what was here. Verified first, on disk next, in force last.
    pub fn accept(&self, ca: Digest, certificate: &[u8], der: &[u8]) -> Result<bool, ListError> {
        if der.len() > LIST_LEN_MAX {
            return Err(ListError::TooLong(der.len()));
        }
        let list = revocation_list(der, certificate)?;
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        if held.len() >= LISTS_MAX && !held.contains_key(&ca) {
            return Ok(false);
        }
        if held.get(&ca).is_some_and(|h| h.number >= list.number) {
            return Ok(false);
        }
        let path = self.path(&ca);
        write(&path, der).map_err(|source| ListError::Disk { path, source })?;
        let entry = held.entry(ca).or_default();
        entry.number = list.number;
        entry.der = Bytes::copy_from_slice(der);
        for e in list.entries {
            entry.entries.entry(e.serial.clone()).or_insert(e);
        }
        drop(held);
        self.changed.notify_one();
        Ok(true)
    }

    fn path(&self, ca: &Digest) -> PathBuf {
        self.dir.join(format!("{ca}.crl"))
    }

    /// Reads a CA's list that an earlier run kept, once its certificate is known.
    fn recall(&self, ca: Digest, certificate: &[u8]) {
        if self.read(|held| held.contains_key(&ca)) {
            return;
        }
        let Ok(meta) = std::fs::metadata(self.path(&ca)) else { return };
        if meta.len() > LIST_LEN_MAX as u64 {
            return;
        }
        let read = std::fs::read(self.path(&ca)).map_err(|e| e.to_string());
        let taken = read.and_then(|der| self.accept(ca, certificate, &der).map_err(|e| e.to_string()));
        if let Err(error) = taken {
            warn!(key = %ca, %error, "a revocation list that was kept cannot be used");
        }
    }

    /// The newest list of a CA.
    pub(crate) fn newest(&self, ca: &Digest) -> Option<Bytes> {
        self.read(|held| held.get(ca).map(|h| h.der.clone()))
    }

    /// Its number; zero when there is none.
    pub(crate) fn number(&self, ca: &Digest) -> u64 {
        self.read(|held| held.get(ca).map_or(0, |h| h.number))
    }

    /// Everything that a CA's lists have ever said here.
    pub(crate) fn entries(&self, ca: &Digest) -> Vec<ListEntry> {
        self.read(|held| held.get(ca).map(|h| h.entries.values().cloned().collect()).unwrap_or_default())
    }

    /// What a CA's lists have said of a serial.
    pub(crate) fn entry(&self, ca: &Digest, serial: &str) -> Option<ListEntry> {
        self.read(|held| held.get(ca)?.entries.get(serial).cloned())
    }

    /// How much has been said: rises with every entry.
    pub(crate) fn count(&self) -> usize {
        self.read(|held| held.values().map(|h| h.entries.len()).sum())
    }

    /// What the lists say, for the verifiers.
    pub fn rules(&self) -> Vec<Distrust> {
        self.read(|held| {
            let of = |(ca, h): (&Digest, &Held)| {
                let ca = *ca;
                h.entries
                    .keys()
                    .map(move |s| Distrust::Listed { issuer: ca, serial: s.clone() })
                    .collect::<Vec<_>>()
            };
            held.iter().flat_map(of).collect()
        })
    }

    /// The numbers that peers are told.
    pub(crate) fn numbers(&self) -> Vec<(Digest, u64)> {
        self.read(|held| held.iter().map(|(ca, h)| (*ca, h.number)).collect())
    }

    /// Ends when another list was taken.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }
}

/// Whole or not at all, and on disk.
fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let new = path.with_extension("new");
    let mut file = std::fs::File::create(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&new, path)?;
    let dir = path.parent().unwrap_or(Path::new("."));
    std::fs::File::open(dir)?.sync_all()
}

/// Looks after lists and opened keys until `stop` is notified.
pub async fn follow(api: Api, stop: Arc<Notify>) {
    // Numbers of the lists that the registry knew to the end when this leader looked.
    let mut entered = BTreeMap::new();
    let mut spoken = BTreeMap::new();
    let mut every = tokio::time::interval(LOOK_EVERY);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.notified() => return,
            _ = every.tick() => {}
        }
        close_former(&api);
        api.agent.look_for_news();
        recall_all(&api);
        fetch(&api).await;
        spoken = again(&api, spoken).await;
        crate::ocsp::look_after(&api).await;
        api.agent.set_lists(api.lists.numbers());
        enter(&api, &mut entered).await;
    }
}

/// Off the async threads: it may read the ledger for every revocation.
async fn again(api: &Api, mut spoken: BTreeMap<Digest, (usize, usize)>) -> BTreeMap<Digest, (usize, usize)> {
    let at = api.clone();
    let done = tokio::task::spawn_blocking(move || {
        crate::status_api::say_again(&at, &mut spoken);
        spoken
    });
    done.await.unwrap_or_default()
}

fn recall_all(api: &Api) {
    let view = api.registry.state();
    view.state.listing_cas().for_each(|(ca, certificate)| api.lists.recall(ca, certificate));
}

/// Fetches lists of which a peer has a newer one.
async fn fetch(api: &Api) {
    let mut fetched = 0;
    for (node, (_, soft)) in api.agent.board().all() {
        if node == api.agent.me() {
            continue;
        }
        for (ca, number) in soft.lists {
            if fetched >= FETCHED_MAX || api.lists.number(&ca) >= number {
                continue;
            }
            let view = api.registry.state();
            let Some((_, certificate)) = view.state.listing_cas().find(|(key, _)| *key == ca) else {
                continue;
            };
            fetched += 1;
            match ask(api, node, &ca)
                .await
                .and_then(|der| api.lists.accept(ca, certificate, &der).map_err(|e| e.to_string()))
            {
                Ok(true) => info!(%node, key = %ca, number, "a CA's newer revocation list came from a peer"),
                Ok(false) => {}
                Err(error) => debug!(%node, key = %ca, %error, "a revocation list was not taken"),
            }
        }
    }
}

async fn ask(api: &Api, node: eport_model::NodeId, ca: &Digest) -> Result<Bytes, String> {
    let outline =
        Outline { method: Method::GET, path_and_query: format!("/v1/crl/{ca}.crl"), headers: Vec::new() };
    let answer =
        forward(api, node, &Caller::default(), outline, Bytes::new()).await.map_err(|e| e.to_string())?;
    if answer.status() != axum::http::StatusCode::OK {
        return Err(format!("status {}", answer.status()));
    }
    let body = Limited::new(answer.into_body(), LIST_LEN_MAX).collect().await.map_err(|e| e.to_string())?;
    Ok(body.to_bytes())
}

/// The leader enters what a list says and the registry does not know yet.
async fn enter(api: &Api, entered: &mut BTreeMap<Digest, u64>) {
    if !api.registry.is_leader() {
        return entered.clear();
    }
    for (ca, number) in api.lists.numbers() {
        if entered.get(&ca) == Some(&number) {
            continue;
        }
        let view = api.registry.state();
        let new = api.lists.entries(&ca).into_iter().any(|e| {
            let rule = Distrust::Listed { issuer: ca, serial: e.serial.clone() };
            view.state.revocation(&e.serial).is_none() && view.state.revocation(&rule.to_string()).is_none()
        });
        let der = api.lists.newest(&ca).filter(|der| new && der.len() <= LOGGED_LEN_MAX);
        let Some(der) = der else {
            entered.insert(ca, number);
            continue;
        };
        let by = Subject::Node { platform: api.agent.home(), node: api.agent.me() }.to_string();
        let op = Op::TakeList { issuer: ca, list: der.to_vec() };
        let reason = "a CA's own revocation list".to_owned();
        let command = Command { id: CommandId(rand::random()), by, at: api.now(), reason, op, proof: None };
        match api.registry.propose(command, LOG_TIMEOUT).await {
            Ok(_) => info!(key = %ca, "a CA's own revocations are in the registry"),
            Err(error) => debug!(key = %ca, %error, "a CA's own list is not in the registry yet"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::disallowed_methods)]
    use super::*;
    use eport_authority::{
        Authority, CaPurpose, CrlContent, CrlEntry, CrlNumber, IssuingSpec, Reason, Validity,
    };
    use eport_model::Epoch;

    fn ca(region: &str) -> Authority {
        let (domain, now) = ("gd.eport.example".parse().unwrap(), time::OffsetDateTime::now_utc());
        let root = Authority::create_root("gd", &domain, Validity::days(now, 9)).unwrap();
        let (region, purpose) = (region.parse().unwrap(), CaPurpose::Any);
        let spec = IssuingSpec { region, purpose, epoch: Epoch::INITIAL, loopback: true };
        root.create_issuing(spec, Validity::days(now, 8)).unwrap()
    }

    fn list(ca: &Authority, number: u64, serials: &[&str]) -> Vec<u8> {
        let now = time::OffsetDateTime::now_utc().replace_nanosecond(0).unwrap();
        let entry = CrlEntry { at: now, reason: Reason::KeyCompromise };
        let entries = serials.iter().map(|s| ((*s).to_owned(), entry)).collect();
        let (number, next_update) = (CrlNumber(number), now + time::Duration::days(7));
        ca.sign_crl(&CrlContent { number, this_update: now, next_update, entries, shard: None }).unwrap()
    }

    #[test]
    fn an_older_list_is_not_taken_and_what_one_list_said_outlives_the_next_and_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let ca = ca("440300");
        let lists = Lists::open(dir.path()).unwrap();
        assert!(lists.accept(ca.spki(), ca.der(), &list(&ca, 5, &["01aa", "01bb"])).unwrap());
        for old in [5, 4, 0] {
            assert!(!lists.accept(ca.spki(), ca.der(), &list(&ca, old, &["01cc"])).unwrap(), "{old}");
        }
        assert!(lists.entry(&ca.spki(), "01cc").is_none());
        assert!(lists.accept(ca.spki(), ca.der(), &list(&ca, 6, &["01dd"])).unwrap());
        assert_eq!(lists.count(), 3, "a list that says less takes nothing back");
        let again = Lists::open(dir.path()).unwrap();
        again.recall(ca.spki(), ca.der());
        assert_eq!(again.number(&ca.spki()), 6);
        assert_eq!(again.rules(), [Distrust::Listed { issuer: ca.spki(), serial: "01dd".into() }]);
    }

    #[test]
    fn a_list_that_its_ca_did_not_sign_and_a_part_of_one_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (ca, other) = (ca("440300"), ca("440100"));
        let lists = Lists::open(dir.path()).unwrap();
        assert!(lists.accept(ca.spki(), ca.der(), &list(&other, 9, &["01aa"])).is_err());
        let good = list(&ca, 9, &["01aa"]);
        for at in (0..good.len()).step_by(7) {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert!(lists.accept(ca.spki(), ca.der(), &bad).is_err(), "byte {at}");
        }
        let now = time::OffsetDateTime::now_utc().replace_nanosecond(0).unwrap();
        let content = CrlContent {
            number: CrlNumber(10),
            this_update: now,
            next_update: now + time::Duration::hours(1),
            entries: BTreeMap::new(),
            shard: Some("https://x/v1/crl/a-0of2.crl".into()),
        };
        assert!(lists.accept(ca.spki(), ca.der(), &ca.sign_crl(&content).unwrap()).is_err());
        assert_eq!(lists.count(), 0);
    }
}
