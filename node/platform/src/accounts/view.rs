//! Accounts as they are shown.

use super::plan::DocumentAccounts;
use super::rows;
use super::store::read;
use crate::Error;
use crate::platform::Platform;
use crate::rows::decode_long;
use eport_ledger::{Account, AccountKey, Audit, Entry};

/// Accounts of one number at most.
const ACCOUNTS_MAX: usize = 1_000;
/// Documents whose holds an audit adds up.
const HOLDS_READ: usize = 100_000;
/// Entries that an audit adds up at once.
const ENTRIES_READ: usize = 1_000;

impl Platform {
    /// The accounts of this platform whose name has this part, such as the number of a licence, in the order of their names.
    pub fn accounts_of(&self, number: &str) -> Result<Vec<(AccountKey, Account)>, Error> {
        let log = &*self.inner.log;
        let found = log.scan(&rows::numbers(number), None, ACCOUNTS_MAX)?;
        let mut out = Vec::with_capacity(found.len());
        for (row, _) in found {
            let key = rows::indexed(&row, number).and_then(name);
            if let Some(key) = key
                && let Some(account) = read(log, &rows::account(&key))?
            {
                out.push((key, account));
            }
        }
        Ok(out)
    }

    /// One account.
    pub fn account(&self, key: &AccountKey) -> Result<Option<Account>, Error> {
        read(&*self.inner.log, &rows::account(key))
    }

    /// Entries of an account after one of them.
    pub fn account_entries(&self, key: &AccountKey, after: u64, limit: usize) -> Result<Vec<Entry>, Error> {
        let after = (after > 0).then(|| rows::entry(key, after));
        let found = self.inner.log.scan(&rows::entries(key), after.as_deref(), limit)?;
        found.iter().map(|(key, value)| decode_long(key, value)).collect()
    }

    /// Adds up the entries of an account again and compares them with its balances and with what documents hold.
    pub fn audit_account(&self, key: &AccountKey) -> Result<Option<Audit>, Error> {
        let Some(account) = self.account(key)? else { return Ok(None) };
        let mut sums = Audit::default();
        // Page by page, and no further than the balances that were read: entries go on being made.
        let mut after = 0;
        loop {
            let page = self.account_entries(key, after, ENTRIES_READ)?;
            page.iter().filter(|e| e.no <= account.entries).for_each(|e| sums.add(e));
            match page.last().map(|e| e.no) {
                Some(last) if last > after && last < account.entries => after = last,
                _ => break,
            }
        }
        let mut sums = sums.compared(&account);
        let held = self.inner.log.scan(&rows::holds(key), None, HOLDS_READ)?;
        let mut reserved = Some(eport_ledger::Amount::ZERO);
        for (row, value) in &held {
            let hold: eport_ledger::Hold = decode_long(row, value)?;
            reserved = hold.items.values().fold(reserved, |sum, item| sum?.plus(item.reserved));
        }
        if reserved != Some(account.reserved) {
            sums.problems
                .push(format!("documents hold other than the {} that are reserved", account.reserved));
        }
        Ok(Some(sums))
    }

    /// What a document asks of accounts, and what became of it.
    pub fn document_accounts(&self, doc_id: &str) -> Result<Option<DocumentAccounts>, Error> {
        read(&*self.inner.log, &rows::document(doc_id))
    }
}

/// The account whose name stands in these bytes.
fn name(bytes: &[u8]) -> Option<AccountKey> {
    let text = std::str::from_utf8(bytes.strip_suffix(&[0])?).ok()?;
    let (book, parts) = text.split_once('\0')?;
    AccountKey::new(book, parts.split('\0').map(str::to_owned)).ok()
}
