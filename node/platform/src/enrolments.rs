//! Enrolment in the platform's journal: tokens, requests that wait, and what an intent settles.
//!
//! What always holds: a token turns used in the record that holds the intent (or the request that waits), never before and never
//! after; two uses of one token are looked at one after the other, each seeing what the former one wrote; the journal's one
//! writer and its backups make that true across failovers, as durably as the platform promises. Rows are bounded: old ones
//! leave, when there is no room, with the record that adds one.

use crate::Error;
use crate::certificates::{CertificateRow, LedgerError};
use crate::platform::Platform;
use crate::rows;
use bytes::Bytes;
use eport_enrolment::{Fault, REQUESTS_MAX, RequestRow, TOKENS_MAX, TokenRow};
use eport_model::{Coded, Digest, Draft, Effect, RecordKind, RequestRef, Timestamp, codes};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Old rows that leave with one record.
const PRUNED_MAX: usize = 64;
/// How often a claim that another holds is asked for again.
const CLAIM_EVERY: Duration = Duration::from_millis(10);

/// What an intent settles.
#[derive(Clone, Debug, Default)]
pub struct Grant {
    /// The public key of the certificate (SHA-256 of the SPKI).
    pub key: Option<Digest>,
    /// The token, as used.
    pub token: Option<TokenRow>,
    /// The request, as approved.
    pub request: Option<RequestRow>,
}

impl Grant {
    pub(crate) fn effects(&self, serial: &str) -> Vec<Effect> {
        let mut effects = Vec::new();
        let serial = Bytes::copy_from_slice(serial.as_bytes());
        effects.extend(self.key.map(|k| Effect::Put { key: rows::certified_key(&k), value: serial }));
        effects.extend(self.token.as_ref().map(put_token));
        effects.extend(self.request.as_ref().map(put_request));
        effects
    }
}

fn put_token(row: &TokenRow) -> Effect {
    Effect::Put { key: rows::token(&row.id()), value: rows::encode(row) }
}

fn put_request(row: &RequestRow) -> Effect {
    Effect::Put { key: rows::request(&row.id), value: rows::encode(row) }
}

/// Names that somebody is working on.
pub(crate) type Claims = Mutex<BTreeSet<String>>;

/// The sole right to use a token or to decide a request, on this node, until it is dropped.
#[must_use]
#[derive(Debug)]
pub struct Claim {
    name: String,
    of: Arc<Claims>,
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.of.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.name);
    }
}

impl Platform {
    /// Claims a token or a request by its id, waiting for who has it; `None` when that takes too long.
    pub async fn claim(&self, name: &str) -> Option<Claim> {
        let until = Instant::now() + self.inner.config.write_timeout;
        loop {
            let claims = self.inner.claims.clone();
            if claims.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned()) {
                return Some(Claim { name: name.to_owned(), of: claims });
            }
            if Instant::now() >= until {
                return None;
            }
            tokio::time::sleep(CLAIM_EVERY).await;
        }
    }

    /// A token by its id.
    pub fn enrolment_token(&self, id: &str) -> Result<Option<TokenRow>, Error> {
        let key = rows::token(id);
        self.inner.log.get(&key)?.map(|v| rows::decode(&key, &v)).transpose()
    }

    /// Every token.
    pub fn enrolment_tokens(&self) -> Result<Vec<TokenRow>, Error> {
        let found = self.inner.log.scan(rows::TOKENS, None, TOKENS_MAX)?;
        found.iter().map(|(k, v)| rows::decode(k, v)).collect()
    }

    /// A request by its id.
    pub fn enrolment_request(&self, id: &str) -> Result<Option<RequestRow>, Error> {
        let key = rows::request(id);
        self.inner.log.get(&key)?.map(|v| rows::decode(&key, &v)).transpose()
    }

    /// Every request.
    pub fn enrolment_requests(&self) -> Result<Vec<RequestRow>, Error> {
        let found = self.inner.log.scan(rows::REQUESTS, None, REQUESTS_MAX)?;
        found.iter().map(|(k, v)| rows::decode(k, v)).collect()
    }

    /// The newest certificate of a public key.
    pub fn certificate_of_key(&self, key: &Digest) -> Result<Option<CertificateRow>, Error> {
        let serial = self.inner.log.get(&rows::certified_key(key))?;
        let serial = serial.and_then(|s| String::from_utf8(s.to_vec()).ok());
        serial.map_or(Ok(None), |s| self.certificate(&s))
    }

    /// Stores a token: a new one, or one that was withdrawn.
    pub async fn record_token(&self, row: &TokenRow, by: &str) -> Result<(), LedgerError> {
        let now = (self.inner.clock)();
        let mut effects = vec![put_token(row)];
        if self.enrolment_token(&row.id())?.is_none() {
            self.make_room(&mut effects, rows::TOKENS, TOKENS_MAX, "tokens", || {
                let kept = self.enrolment_tokens()?;
                Ok(kept.iter().filter(|t| t.is_stale(now)).map(|t| rows::token(&t.id())).collect())
            })?;
        }
        self.record_enrolment(format!("enrolment/token/{}", row.id()), by, now, effects).await
    }

    /// Stores a request: a new one with the token that it uses, or one that was refused.
    pub async fn record_request(
        &self,
        row: &RequestRow,
        token: Option<&TokenRow>,
        by: &str,
    ) -> Result<(), LedgerError> {
        let now = (self.inner.clock)();
        let mut effects = vec![put_request(row)];
        effects.extend(token.map(put_token));
        if self.enrolment_request(&row.id)?.is_none() {
            self.make_room(&mut effects, rows::REQUESTS, REQUESTS_MAX, "requests", || {
                let kept = self.enrolment_requests()?;
                Ok(kept.iter().filter(|r| r.is_stale(now)).map(|r| rows::request(&r.id)).collect())
            })?;
        }
        self.record_enrolment(format!("enrolment/request/{}", row.id), by, now, effects).await
    }

    /// When all places are taken, lets old rows go with the record that adds one; refused when none is old.
    fn make_room(
        &self,
        effects: &mut Vec<Effect>,
        prefix: &[u8],
        max: usize,
        what: &str,
        stale: impl FnOnce() -> Result<Vec<Bytes>, Error>,
    ) -> Result<(), LedgerError> {
        if self.inner.log.count(prefix).map_err(Error::from)? < max as u64 {
            return Ok(());
        }
        let stale = stale()?;
        if stale.is_empty() {
            let full = Fault::Full(format!("{max} {what} are kept already"));
            return Err(LedgerError::NotNow { code: full.code(), detail: full.to_string() });
        }
        effects.extend(stale.into_iter().take(PRUNED_MAX).map(|key| Effect::Delete { key }));
        Ok(())
    }

    async fn record_enrolment(
        &self,
        id: String,
        by: &str,
        now: Timestamp,
        effects: Vec<Effect>,
    ) -> Result<(), LedgerError> {
        let not_primary = || LedgerError::NotNow {
            code: codes::FENCED,
            detail: "this node is not the open primary".to_owned(),
        };
        let generation = self.writing(|_| true).ok_or_else(not_primary)?;
        let (caller, body, signature, replaces) = (by.to_owned(), None, None, None);
        let request = RequestRef { id, caller, body, signature, accepted_at: now, replaces };
        let draft = Draft { request: Some(request), effects, ..Draft::bare(RecordKind::Enrolment, now) };
        let written =
            self.write_own(draft, generation, "the enrolment is not confirmed by the backups yet").await;
        written.map_err(|(code, detail)| LedgerError::NotNow { code, detail })
    }
}
