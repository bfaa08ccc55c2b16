//! Balances computed again from entries (cross-checks §3): a difference stops the account.

use crate::{Account, Amount, Entry, EntryKind};
use eport_model::Digest;

/// What the entries of an account come to.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Audit {
    /// Σ GRANT + Σ ADJUST.
    pub granted: Amount,
    /// Σ RESERVE − Σ RELEASE − Σ COMMIT.
    pub reserved: Amount,
    /// Σ COMMIT.
    pub committed: Amount,
    /// Σ ESCROW − Σ SETTLE.
    pub escrowed: Amount,
    /// How many there are.
    pub entries: u64,
    /// Digest of the last one.
    pub last: Digest,
    /// What does not fit, for people.
    pub problems: Vec<String>,
}

/// Problems that are listed at most: whoever has so many reads the entries.
const PROBLEMS_MAX: usize = 100;

/// Adds up the entries of an account, from the first on, and compares the sums with its balances.
pub fn audit<'e>(account: &Account, entries: impl IntoIterator<Item = &'e Entry>) -> Audit {
    let mut sums = Audit::default();
    for entry in entries {
        sums.add(entry);
    }
    sums.compared(account)
}

impl Audit {
    /// These sums with what differs from the balances of the account.
    pub fn compared(mut self, account: &Account) -> Self {
        let compared = [
            ("granted", self.granted, account.granted),
            ("reserved", self.reserved, account.reserved),
            ("committed", self.committed, account.committed),
            ("escrowed", self.escrowed, account.escrowed),
        ];
        for (what, summed, kept) in compared {
            if summed != kept {
                self.found(format!("{what}: the entries come to {summed}, the account says {kept}"));
            }
        }
        if (self.entries, self.last) != (account.entries, account.last) {
            self.found(format!(
                "{} entries of {} are here, or the last differs",
                self.entries, account.entries
            ));
        }
        self
    }

    fn found(&mut self, problem: String) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(problem);
        }
    }

    /// The next entry.
    pub fn add(&mut self, entry: &Entry) {
        if entry.no != self.entries + 1 || entry.previous != self.last {
            self.found(format!("entry {} does not follow entry {}", entry.no, self.entries));
        }
        self.entries = entry.no;
        self.last = entry.digest();
        let q = entry.quantity;
        let sums = match entry.kind {
            EntryKind::Grant | EntryKind::Adjust => self.granted.plus(q).map(|s| self.granted = s),
            EntryKind::Reserve => self.reserved.plus(q).map(|s| self.reserved = s),
            EntryKind::Release => self.reserved.minus(q).map(|s| self.reserved = s),
            EntryKind::Commit => self.committed.plus(q).and_then(|c| {
                self.committed = c;
                self.reserved.minus(q).map(|s| self.reserved = s)
            }),
            EntryKind::Escrow => self.escrowed.plus(q).map(|s| self.escrowed = s),
            EntryKind::Settle => self.escrowed.minus(q).map(|s| self.escrowed = s),
            EntryKind::Extend | EntryKind::Suspend | EntryKind::Resume | EntryKind::Revoke => Some(()),
        };
        if sums.is_none() || [self.reserved, self.committed, self.escrowed].iter().any(|s| s.is_negative()) {
            self.found(format!("after entry {} a sum is impossible", entry.no));
        }
    }
}
