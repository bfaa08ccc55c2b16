//! Shares at home: lowered before they exist elsewhere, and settled by what the city says it has used.

use crate::book::{Page, TooMuch};
use crate::outcome::{Failure, Outcome, code};
use crate::{Amount, EntryKind, Standing};
use eport_model::{Digest, RegionCode};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use time::Date;

/// A share as its home knows it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Share {
    /// Its name: the cause of the request that made it.
    pub id: Digest,
    /// Who has it.
    pub city: RegionCode,
    /// How much it was.
    pub quantity: Amount,
    /// How much of it is neither settled nor given back.
    pub open: Amount,
    /// Last local day on which it may be used; it ends only by what the city says, never by time.
    pub valid_to: Date,
    /// The city has given the rest back.
    pub closed: bool,
}

impl Page<'_> {
    pub(crate) fn escrow(
        &mut self,
        city: RegionCode,
        quantity: Amount,
        valid_to: Date,
    ) -> Result<Outcome, TooMuch> {
        let account = &self.account;
        let mut failures = Vec::new();
        let mut fail = |code, detail: String| failures.push(Failure::new(code, detail));
        if account.standing != Standing::Active {
            fail(code::STATE, "the account takes no reserves".into());
        }
        if account.counts_uses() {
            fail(code::USES, "an account that counts its uses has no shares".into());
        }
        if account.terms.valid_to.is_some_and(|to| valid_to > to) || valid_to < self.request.day {
            fail(code::EXPIRED, "a share ends no later than its account, and not before it begins".into());
        }
        if quantity <= Amount::ZERO || quantity > account.available() {
            fail(code::QUANTITY, format!("{} is left", account.available()));
        }
        if !failures.is_empty() && !self.confirmed {
            return Ok(Outcome::Refused { failures });
        }
        self.account.escrowed = account.escrowed.plus(quantity).ok_or(TooMuch)?;
        let id = self.request.cause;
        self.share = Some(Share { id, city, quantity, open: quantity, valid_to, closed: false });
        self.enter(EntryKind::Escrow, quantity, 0);
        Ok(self.done())
    }

    /// What a document reserved from a share. It was promised where nobody could ask, so it is entered in any case; a city that
    /// used more than it had is found out here. Where the document has gone on since, it leaves the share and is free again.
    pub(crate) fn settle(&mut self, id: Digest, items: &BTreeMap<u16, Amount>) -> Result<Outcome, TooMuch> {
        let Some(mut share) =
            self.share.clone().filter(|s| s.id == id && s.city == self.request.holder.platform)
        else {
            return Ok(Outcome::refused(code::STATE, "the city has no such share"));
        };
        let used = Amount::sum(items.values().copied()).ok_or(TooMuch)?;
        if items.values().any(|q| q.is_negative()) {
            return Ok(Outcome::refused(code::QUANTITY, "a quantity is not negative"));
        }
        let out = used.min(share.open);
        share.open = share.open.minus(out).ok_or(TooMuch)?;
        self.account.escrowed = self.account.escrowed.minus(out).ok_or(TooMuch)?;
        if !out.is_zero() {
            self.enter(EntryKind::Settle, out, 0);
        }
        if self.is_stale() {
            self.share = Some(share);
            return Ok(self.done());
        }
        let mut hold = self.hold.clone().unwrap_or_default();
        for (n, quantity) in items {
            self.reserve(&mut hold, *n, *quantity)?;
        }
        self.count(&mut hold, false)?;
        self.moved(hold);
        self.share = Some(share);
        // More than the share had left: the balance says whether the account bears it.
        self.confirmed |= out < used;
        Ok(self.done())
    }

    pub(crate) fn give_back(&mut self, id: Digest, quantity: Amount) -> Result<Outcome, TooMuch> {
        let Some(mut share) =
            self.share.clone().filter(|s| s.id == id && s.city == self.request.holder.platform)
        else {
            return Ok(Outcome::refused(code::STATE, "the city has no such share"));
        };
        if share.closed {
            return Ok(Outcome::Stale);
        }
        if quantity.is_negative() || quantity > share.open {
            let detail = format!("{} of the share is open", share.open);
            return Ok(Outcome::refused(code::QUANTITY, detail));
        }
        share.open = share.open.minus(quantity).ok_or(TooMuch)?;
        share.closed = true;
        self.account.escrowed = self.account.escrowed.minus(quantity).ok_or(TooMuch)?;
        self.share = Some(share);
        self.enter(EntryKind::Settle, quantity, 0);
        Ok(self.done())
    }
}
