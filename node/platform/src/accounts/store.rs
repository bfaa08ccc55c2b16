//! A platform's rows as the account book reads them, and its changes as effects.

use super::rows;
use crate::Error;
use crate::log::Log;
use crate::rows::{decode_long, encode};
use bytes::Bytes;
use eport_ledger::{Account, AccountKey, Book, Changes, Hold, Holder, Outcome, Rows, Share};
use eport_model::{Digest, Effect};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Rows of the book.
pub(super) struct Store<'l>(pub(super) &'l dyn Log);

/// One row, if it is there.
pub(super) fn read<T: DeserializeOwned>(log: &dyn Log, key: &[u8]) -> Result<Option<T>, Error> {
    log.get(key)?.map(|value| decode_long(key, &value)).transpose()
}

pub(super) fn put(key: Bytes, value: &impl Serialize) -> Effect {
    Effect::Put { key, value: encode(value) }
}

pub(super) fn mark(key: Bytes) -> Effect {
    Effect::Put { key, value: Bytes::new() }
}

pub(super) fn delete(key: Bytes) -> Effect {
    Effect::Delete { key }
}

/// The state of the book.
pub(super) fn book(log: &dyn Log) -> Result<Book, Error> {
    Ok(read(log, rows::BOOK)?.unwrap_or_default())
}

impl Rows for Store<'_> {
    type Error = Error;
    fn account(&self, key: &AccountKey) -> Result<Option<Account>, Error> {
        read(self.0, &rows::account(key))
    }
    fn hold(&self, key: &AccountKey, holder: &Holder) -> Result<Option<Hold>, Error> {
        read(self.0, &rows::hold(key, holder))
    }
    fn outcome(&self, cause: &Digest) -> Result<Option<Outcome>, Error> {
        read(self.0, &rows::outcome(cause))
    }
    fn share(&self, id: &Digest) -> Result<Option<Share>, Error> {
        read(self.0, &rows::share(id))
    }
}

/// The effects that write these changes.
pub(super) fn effects(changes: Changes) -> Vec<Effect> {
    let mut out = Vec::with_capacity(changes.entries.len() + 4);
    for (key, account) in &changes.accounts {
        let new = changes.entries.iter().any(|(k, e)| k == key && e.no == 1);
        if new {
            out.extend(rows::index(key).map(mark));
        }
        out.push(put(rows::account(key), account));
    }
    out.extend(changes.holds.iter().map(|((key, holder), hold)| put(rows::hold(key, holder), hold)));
    out.extend(changes.shares.iter().map(|(id, share)| put(rows::share(id), share)));
    out.extend(changes.entries.iter().map(|(key, entry)| put(rows::entry(key, entry.no), entry)));
    out.extend(changes.outcomes.iter().map(|(cause, outcome)| put(rows::outcome(cause), outcome)));
    out
}
