//! Wrapped keys of the platform's CAs in its own journal, and the record of what persons did with a CA.
//!
//! What always holds: a wrapped key is held by every node that keeps the platform's journal, so whoever takes the platform over has
//! it; the row is bytes to this crate and opens nothing; of one CA at most [`KEPT_MAX`] are kept, and the one in force is never
//! the one that leaves.

use crate::Error;
use crate::certificates::LedgerError;
use crate::platform::Platform;
use crate::rows;
use bytes::Bytes;
use eport_model::{Digest, Draft, Effect, Position, RecordKind, RequestRef, Timestamp, codes};
use serde::{Deserialize, Serialize};

/// Wrapped keys kept of one CA.
pub const KEPT_MAX: usize = 8;

/// A CA's key, wrapped.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct WrappedRow {
    /// SHA-256 of the CA's public key (SPKI).
    pub ca: Digest,
    /// Id of the key that wraps it.
    pub kek: String,
    /// The wrapped key with the commitments of its shares, as text.
    pub wrapped: Bytes,
    /// Last record of the ledger when it was put.
    pub head: Position,
    /// Who put it.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

impl WrappedRow {
    /// What the registry names it by.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.wrapped)
    }
}

impl Platform {
    /// Last applied record: how far the ledger here reaches.
    pub fn ledger_head(&self) -> Position {
        self.inner.log.applied()
    }

    /// The wrapped keys of a CA, readable wherever the journal is kept.
    pub fn wrapped_keys(&self, ca: &Digest) -> Result<Vec<WrappedRow>, Error> {
        let found = self.inner.log.scan(&rows::wrapped(ca), None, KEPT_MAX + 1)?;
        found.iter().map(|(k, v)| rows::decode(k, v)).collect()
    }

    /// Keeps a wrapped key. `in_force` is the one that the registry names: it stays whatever else goes.
    pub async fn record_wrapped(
        &self,
        row: &WrappedRow,
        in_force: Option<&Digest>,
    ) -> Result<(), LedgerError> {
        let known = self.wrapped_keys(&row.ca)?;
        if known.iter().any(|k| k.kek == row.kek && k.wrapped == row.wrapped) {
            return Ok(());
        }
        let mut effects =
            vec![Effect::Put { key: rows::wrapped_key(&row.ca, &row.kek), value: rows::encode(row) }];
        let mut old: Vec<&WrappedRow> =
            known.iter().filter(|k| k.kek != row.kek && in_force != Some(&k.digest())).collect();
        old.sort_by_key(|k| k.at);
        let over = (known.len() + 1).saturating_sub(KEPT_MAX);
        effects
            .extend(old.iter().take(over).map(|k| Effect::Delete { key: rows::wrapped_key(&k.ca, &k.kek) }));
        self.record_act(format!("ca/{}/wrapped/{}", row.ca, row.kek), &row.by, None, effects).await
    }

    /// Writes that something was done with a CA, by whom, and with whose signature.
    pub async fn record_ca_act(
        &self,
        id: String,
        by: &str,
        signature: Option<Bytes>,
    ) -> Result<(), LedgerError> {
        self.record_act(id, by, signature, Vec::new()).await
    }

    async fn record_act(
        &self,
        id: String,
        by: &str,
        signature: Option<Bytes>,
        effects: Vec<Effect>,
    ) -> Result<(), LedgerError> {
        let not_primary = || LedgerError::NotNow {
            code: codes::FENCED,
            detail: "this node is not the open primary".to_owned(),
        };
        let generation = self.writing(|_| true).ok_or_else(not_primary)?;
        let now = (self.inner.clock)();
        let request =
            RequestRef { id, caller: by.to_owned(), body: None, signature, accepted_at: now, replaces: None };
        let draft = Draft { request: Some(request), effects, ..Draft::bare(RecordKind::CaAct, now) };
        let written =
            self.write_own(draft, generation, "the record is not confirmed by the backups yet").await;
        written.map_err(|(code, detail)| LedgerError::NotNow { code, detail })
    }
}
