//! The ledger of the platform's CAs: intents and issued certificates as records of the platform's own journal.
//!
//! What always holds: a CA signs only after the intent, with the digest of exactly what it will sign, is held as durably as
//! the platform promises; a certificate is given away only after its own record is. A crash between the two leaves an intent
//! without certificate: whatever may have been signed never left this node, and its serial counts as revoked for outsiders.

use crate::Error;
use crate::enrolments::Grant;
use crate::platform::Platform;
use crate::rows;
use bytes::Bytes;
use eport_journal::Role;
use eport_model::{Code, Coded, Digest, Draft, Effect, Epoch, RecordKind, RequestRef, Timestamp, codes};
use serde::{Deserialize, Serialize};

/// Profile of the certificates of delegates that answer OCSP for a CA: their keys live in the memory of one process.
pub const DELEGATE_PROFILE: &str = "ocsp-delegate";

/// How far a certificate has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum CertificateState {
    /// The CA may sign it from here on.
    Intent,
    /// Signed and given away.
    Issued,
    /// Issued before the ledger began.
    Imported,
}

/// A certificate of one of the platform's CAs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CertificateRow {
    /// Serial, lower-case hex.
    pub serial: String,
    /// Profile.
    pub profile: String,
    /// Path of the subject.
    pub subject: String,
    /// SHA-256 of the issuing CA's public key.
    pub issuer: Digest,
    /// First valid instant.
    pub not_before: Timestamp,
    /// Last valid instant.
    pub not_after: Timestamp,
    /// How far it has come.
    pub state: CertificateState,
    /// Epoch of the platform when the intent was written.
    pub epoch: Epoch,
    /// Digest of the bytes to sign.
    pub tbs: Digest,
    /// Who asked.
    pub requested_by: String,
    /// When.
    pub at: Timestamp,
    /// The certificate, DER; empty for an intent.
    pub certificate: Bytes,
}

/// Why the ledger could not take a record.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LedgerError {
    /// Not now, or not here.
    #[error("{detail}")]
    NotNow {
        /// Its code.
        code: Code,
        /// What is in the way.
        detail: String,
    },
    /// The serial stands in the ledger already.
    #[error("serial {0} stands in the ledger already")]
    Known(String),
    /// The rows cannot be read.
    #[error(transparent)]
    Read(#[from] Error),
}

impl Coded for LedgerError {
    fn code(&self) -> Code {
        match self {
            LedgerError::NotNow { code, .. } => *code,
            LedgerError::Known(_) => codes::ISSUE_REFUSED,
            LedgerError::Read(e) => e.code(),
        }
    }
}

impl Platform {
    /// The epoch under which a CA of this platform may issue here and now; `None` while this node is not the open primary.
    pub fn issuing_epoch(&self) -> Option<Epoch> {
        match self.status().borrow().role {
            Role::Primary { epoch } => Some(epoch),
            _ => None,
        }
    }

    /// Writes an intent, and in the same record what it settles: the token is used, or the request is approved, exactly when the
    /// intent stands. The serial must be new.
    pub async fn record_intent(&self, row: &CertificateRow, grant: &Grant) -> Result<(), LedgerError> {
        if self.certificate(&row.serial)?.is_some() {
            return Err(LedgerError::Known(row.serial.clone()));
        }
        self.record(RecordKind::CertIntent, row, grant.effects(&row.serial)).await
    }

    /// Writes what was signed, or what an import brings. An import never replaces what stands here.
    pub async fn record_issued(&self, row: &CertificateRow) -> Result<(), LedgerError> {
        match self.certificate(&row.serial)? {
            Some(known) if known.certificate == row.certificate => return Ok(()),
            Some(known) if known.state != CertificateState::Intent || known.tbs != row.tbs => {
                return Err(LedgerError::Known(row.serial.clone()));
            }
            _ => {}
        }
        self.record(RecordKind::CertIssued, row, Vec::new()).await
    }

    /// Writes many intents, each in a record of its own, made durable together. All of one epoch.
    pub async fn record_intents(&self, rows: &[(CertificateRow, Grant)]) -> Result<(), LedgerError> {
        for (row, _) in rows {
            if self.certificate(&row.serial)?.is_some() {
                return Err(LedgerError::Known(row.serial.clone()));
            }
        }
        let drafts = rows.iter().map(|(row, g)| (row, g.effects(&row.serial)));
        self.record_all(RecordKind::CertIntent, drafts.collect()).await
    }

    /// Writes what was signed of these intents, made durable together. Each must stand here as it was intended.
    pub async fn record_all_issued(&self, rows: &[&CertificateRow]) -> Result<(), LedgerError> {
        for row in rows {
            let known = self.certificate(&row.serial)?;
            let intended = known.is_some_and(|k| k.state == CertificateState::Intent && k.tbs == row.tbs);
            if !intended {
                return Err(LedgerError::Known(row.serial.clone()));
            }
        }
        self.record_all(RecordKind::CertIssued, rows.iter().map(|row| (*row, Vec::new())).collect()).await
    }

    async fn record(
        &self,
        kind: RecordKind,
        row: &CertificateRow,
        more: Vec<Effect>,
    ) -> Result<(), LedgerError> {
        self.record_all(kind, vec![(row, more)]).await
    }

    async fn record_all(
        &self,
        kind: RecordKind,
        rows: Vec<(&CertificateRow, Vec<Effect>)>,
    ) -> Result<(), LedgerError> {
        if rows.is_empty() {
            return Ok(());
        }
        let not_now = |code, detail: &str| LedgerError::NotNow { code, detail: detail.to_owned() };
        // Under another epoch than the intent's another primary may have issued: this one may not go on.
        let fits =
            |epoch| rows.iter().all(|(r, _)| r.state == CertificateState::Imported || epoch == r.epoch);
        let generation = self.writing(fits).ok_or_else(|| {
            not_now(codes::FENCED, "this node is not the open primary in the epoch of the intent")
        })?;
        let now = (self.inner.clock)();
        let drafts = rows.into_iter().map(|(row, more)| draft(kind.clone(), row, more, now)).collect();
        let unconfirmed = "the ledger is not confirmed by the backups yet";
        let written = self.write_all_own(drafts, generation, unconfirmed).await;
        written.map_err(|(code, detail)| LedgerError::NotNow { code, detail })
    }

    /// Intents that no certificate has followed yet, at most `limit`.
    pub fn open_intents(&self, limit: usize) -> Result<Vec<CertificateRow>, Error> {
        let found = self.inner.log.scan(b"i/", None, limit)?;
        let serials = found.iter().filter_map(|(k, _)| std::str::from_utf8(k.strip_prefix(b"i/")?).ok());
        serials.filter_map(|serial| self.certificate(serial).transpose()).collect()
    }

    /// A certificate by serial.
    pub fn certificate(&self, serial: &str) -> Result<Option<CertificateRow>, Error> {
        let key = rows::certificate(serial);
        let row = self.inner.log.get(&key)?;
        row.map(|v| rows::decode(&key, &v)).transpose()
    }

    /// Certificates in the order of their serials after one, of one subject or of all; `more` says that the page is full.
    pub fn certificates(
        &self,
        subject: Option<&str>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<(Vec<CertificateRow>, bool), Error> {
        let limit = limit.clamp(1, self.inner.config.page_max);
        let Some(subject) = subject else {
            let after = after.map(rows::certificate);
            let found = self.inner.log.scan(b"c/", after.as_deref(), limit)?;
            let full = found.len() == limit;
            let rows = found.iter().map(|(k, v)| rows::decode(k, v)).collect::<Result<_, _>>()?;
            return Ok((rows, full));
        };
        let prefix = rows::subject(subject);
        let after = after.map(|serial| rows::subject_serial(subject, serial));
        let found = self.inner.log.scan(&prefix, after.as_deref(), limit)?;
        let full = found.len() == limit;
        let mut out = Vec::with_capacity(found.len());
        for (key, _) in &found {
            let serial = key.strip_prefix(&*prefix).and_then(|s| std::str::from_utf8(s).ok());
            if let Some(row) = serial.map(|s| self.certificate(s)).transpose()?.flatten() {
                out.push(row);
            }
        }
        Ok((out, full))
    }
}

/// The record of a certificate.
fn draft(kind: RecordKind, row: &CertificateRow, more: Vec<Effect>, now: Timestamp) -> Draft {
    let request = RequestRef {
        id: format!("certificate/{}/{}", row.serial, kind.name()),
        caller: row.requested_by.clone(),
        body: None,
        signature: None,
        accepted_at: now,
        replaces: None,
    };
    let intent = rows::intent(&row.serial);
    let mut effects = vec![
        Effect::Put { key: rows::certificate(&row.serial), value: rows::encode(row) },
        Effect::Put { key: rows::subject_serial(&row.subject, &row.serial), value: Bytes::new() },
        match row.state {
            CertificateState::Intent => Effect::Put { key: intent, value: Bytes::new() },
            CertificateState::Issued | CertificateState::Imported => Effect::Delete { key: intent },
        },
    ];
    effects.extend(more);
    Draft { request: Some(request), effects, ..Draft::bare(kind, now) }
}
