//! What a document grants. A new version says the whole anew.

use crate::book::{Page, TooMuch};
use crate::outcome::{Outcome, code};
use crate::{Amount, EntryKind, Terms};

impl Page<'_> {
    pub(crate) fn grant(&mut self, new: bool, quantity: Amount, terms: &Terms) -> Result<Outcome, TooMuch> {
        let request = self.request;
        if quantity.is_negative() {
            return Ok(Outcome::refused(code::QUANTITY, "a grant is not negative"));
        }
        if !new && self.account.grantor.as_ref() != Some(&request.holder) {
            let by = self.account.grantor.as_ref().map(ToString::to_string).unwrap_or_default();
            return Ok(Outcome::refused(code::STATE, format!("{by} grants this account already")));
        }
        if !new && request.step <= self.account.step {
            return Ok(Outcome::Stale);
        }
        let more = quantity.minus(self.account.grant).ok_or(TooMuch)?;
        let granted = self.account.granted.plus(more).ok_or(TooMuch)?;
        let taken = self.account.used().and_then(|used| used.plus(self.account.escrowed)).ok_or(TooMuch)?;
        if more.is_negative() && taken > granted && !self.confirmed {
            let detail = format!("{taken} is reserved, committed or given away in shares");
            return Ok(Outcome::refused(code::BELOW_USED, detail));
        }
        let extends = !new && self.account.terms.valid_to != terms.valid_to;
        self.account.granted = granted;
        self.account.grant = quantity;
        self.account.terms = terms.clone();
        self.account.grantor = Some(request.holder.clone());
        self.account.step = request.step;
        if new || !more.is_zero() {
            self.enter(EntryKind::Grant, more, 0);
        }
        if extends {
            self.enter(EntryKind::Extend, Amount::ZERO, 0);
        }
        Ok(self.done())
    }
}
