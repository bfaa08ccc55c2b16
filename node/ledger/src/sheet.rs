//! Rows as they are read, and changes as they are collected, for requests that are decided one after the other.

use crate::{Account, AccountKey, Entry, Hold, Holder, Outcome, Share};
use eport_model::Digest;
use std::collections::BTreeMap;

/// The rows of a book.
pub trait Rows {
    /// Why a row cannot be read.
    type Error;
    /// An account.
    fn account(&self, key: &AccountKey) -> Result<Option<Account>, Self::Error>;
    /// What a document holds of an account.
    fn hold(&self, key: &AccountKey, holder: &Holder) -> Result<Option<Hold>, Self::Error>;
    /// The outcome of a request.
    fn outcome(&self, cause: &Digest) -> Result<Option<Outcome>, Self::Error>;
    /// A share that was given away.
    fn share(&self, id: &Digest) -> Result<Option<Share>, Self::Error>;
}

/// What is to be written: full values.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Changes {
    /// Accounts.
    pub accounts: BTreeMap<AccountKey, Account>,
    /// Holds.
    pub holds: BTreeMap<(AccountKey, Holder), Hold>,
    /// Outcomes.
    pub outcomes: BTreeMap<Digest, Outcome>,
    /// Shares.
    pub shares: BTreeMap<Digest, Share>,
    /// New entries, in order.
    pub entries: Vec<(AccountKey, Entry)>,
}

impl Changes {
    /// True when nothing is to be written.
    pub fn is_empty(&self) -> bool {
        self.accounts.is_empty() && self.outcomes.is_empty() && self.entries.is_empty()
    }
}

/// Rows under the changes made so far.
pub struct Sheet<'r, R> {
    rows: &'r R,
    pub(crate) changes: Changes,
}

impl<'r, R: Rows> Sheet<'r, R> {
    /// A sheet without changes.
    pub fn new(rows: &'r R) -> Self {
        Self { rows, changes: Changes::default() }
    }

    /// The changes.
    pub fn into_changes(self) -> Changes {
        self.changes
    }

    pub(crate) fn account(&self, key: &AccountKey) -> Result<Option<Account>, R::Error> {
        match self.changes.accounts.get(key) {
            Some(changed) => Ok(Some(changed.clone())),
            None => self.rows.account(key),
        }
    }

    pub(crate) fn hold(&self, key: &AccountKey, holder: &Holder) -> Result<Option<Hold>, R::Error> {
        match self.changes.holds.get(&(key.clone(), holder.clone())) {
            Some(changed) => Ok(Some(changed.clone())),
            None => self.rows.hold(key, holder),
        }
    }

    pub(crate) fn outcome(&self, cause: &Digest) -> Result<Option<Outcome>, R::Error> {
        match self.changes.outcomes.get(cause) {
            Some(changed) => Ok(Some(changed.clone())),
            None => self.rows.outcome(cause),
        }
    }

    pub(crate) fn share(&self, id: &Digest) -> Result<Option<Share>, R::Error> {
        match self.changes.shares.get(id) {
            Some(changed) => Ok(Some(changed.clone())),
            None => self.rows.share(id),
        }
    }
}
