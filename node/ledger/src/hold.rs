//! Reserve, commit, give back: cross-checks §1.5 and XC-02.

use crate::account::Item;
use crate::book::{Page, TooMuch};
use crate::outcome::{Failure, Outcome, code};
use crate::request::ITEMS_MAX;
use crate::{Account, Amount, EntryKind, Hold, Standing};
use std::collections::BTreeMap;
use time::Duration;

/// Days before the last valid one from which on it is worth a warning.
const NEAR_END_DAYS: i64 = 7;

/// What one item changes.
#[derive(Default)]
struct Change {
    reserve: Amount,
    release: Amount,
    adjust: Amount,
}

impl Change {
    /// From what is held to what is needed: open reserves are given back before committed quantities are adjusted.
    fn of(held: &Item, needed: Amount) -> Result<Self, TooMuch> {
        let net = held.net().ok_or(TooMuch)?;
        if needed >= net {
            return Ok(Self { reserve: needed.minus(net).ok_or(TooMuch)?, ..Self::default() });
        }
        let less = net.minus(needed).ok_or(TooMuch)?;
        let release = less.min(held.reserved);
        Ok(Self { release, adjust: less.minus(release).ok_or(TooMuch)?, ..Self::default() })
    }
}

impl Page<'_> {
    /// A step that is not later than the newest one of its document changes nothing.
    pub(crate) fn is_stale(&self) -> bool {
        self.hold.as_ref().is_some_and(|h| self.request.step <= h.step)
    }

    /// The document needs these quantities from now on.
    pub(crate) fn need(
        &mut self,
        items: &BTreeMap<u16, Amount>,
        unit: Option<&str>,
    ) -> Result<Outcome, TooMuch> {
        if self.is_stale() {
            return Ok(Outcome::Stale);
        }
        if items.len() > ITEMS_MAX || items.values().any(|q| q.is_negative()) {
            return Ok(Outcome::refused(
                code::QUANTITY,
                "quantities are not negative, of at most 1000 items",
            ));
        }
        let mut hold = self.hold.clone().unwrap_or_default();
        let changes = changes(&hold, items)?;
        let grows = Amount::sum(changes.iter().map(|(_, c)| c.reserve)).ok_or(TooMuch)?;
        let shrinks = changes.iter().map(|(_, c)| c.release.plus(c.adjust).ok_or(TooMuch));
        let shrinks = shrinks.collect::<Result<Vec<_>, _>>()?;
        let delta = grows.minus(Amount::sum(shrinks).ok_or(TooMuch)?).ok_or(TooMuch)?;
        if !grows.is_zero() && !self.confirmed {
            let failures = self.tests(&hold, delta, unit);
            if !failures.is_empty() {
                return Ok(Outcome::Refused { failures });
            }
        }
        // What grows is entered first: the account never looks freer than it is.
        for (n, change) in &changes {
            self.reserve(&mut hold, *n, change.reserve)?;
        }
        for (n, change) in &changes {
            self.lower(&mut hold, *n, change)?;
        }
        self.count(&mut hold, false)?;
        self.moved(hold);
        self.warn();
        Ok(self.done())
    }

    /// What was released is committed, the rest given back.
    pub(crate) fn commit(&mut self, released: Option<&BTreeMap<u16, Amount>>) -> Result<Outcome, TooMuch> {
        if self.is_stale() {
            return Ok(Outcome::Stale);
        }
        let Some(mut hold) = self.hold.clone() else {
            return Ok(Outcome::refused(code::STATE, "the document holds nothing of the account"));
        };
        let asked = |n: &u16, reserved: Amount| match released {
            Some(items) => items.get(n).copied().unwrap_or_default(),
            None => reserved,
        };
        let open: Vec<(u16, Amount)> = hold.items.iter().map(|(n, i)| (*n, i.reserved)).collect();
        let known = |n: &u16| open.iter().any(|(open, _)| open == n);
        let beyond = open.iter().find(|(n, reserved)| asked(n, *reserved) > *reserved);
        let stray = released.and_then(|items| items.keys().find(|n| !known(n)));
        if let Some(n) = beyond.map(|(n, _)| n).or(stray) {
            return Ok(Outcome::refused(code::QUANTITY, format!("item {n}: more is released than reserved")));
        }
        for (n, reserved) in open {
            let commit = asked(&n, reserved);
            if commit.is_negative() {
                return Ok(Outcome::refused(code::QUANTITY, format!("item {n}: a quantity is not negative")));
            }
            let item = hold.items.entry(n).or_default();
            item.reserved = Amount::ZERO;
            item.committed = item.committed.plus(commit).ok_or(TooMuch)?;
            self.account.reserved = self.account.reserved.minus(reserved).ok_or(TooMuch)?;
            self.account.committed = self.account.committed.plus(commit).ok_or(TooMuch)?;
            self.entered(EntryKind::Commit, commit, n);
            self.entered(EntryKind::Release, reserved.minus(commit).ok_or(TooMuch)?, n);
        }
        self.count(&mut hold, false)?;
        self.moved(hold);
        Ok(self.done())
    }

    /// The document ends without effect.
    pub(crate) fn release(&mut self, returns_use: bool) -> Result<Outcome, TooMuch> {
        if self.is_stale() {
            return Ok(Outcome::Stale);
        }
        // Also where it holds nothing: a reserve that comes late must find that its document has ended.
        let mut hold = self.hold.clone().unwrap_or_default();
        for (n, change) in changes(&hold, &BTreeMap::new())? {
            self.lower(&mut hold, n, &change)?;
        }
        self.count(&mut hold, returns_use)?;
        self.moved(hold);
        Ok(self.done())
    }

    pub(crate) fn reserve(&mut self, hold: &mut Hold, n: u16, quantity: Amount) -> Result<(), TooMuch> {
        let item = hold.items.entry(n).or_default();
        item.reserved = item.reserved.plus(quantity).ok_or(TooMuch)?;
        self.account.reserved = self.account.reserved.plus(quantity).ok_or(TooMuch)?;
        self.entered(EntryKind::Reserve, quantity, n);
        Ok(())
    }

    fn lower(&mut self, hold: &mut Hold, n: u16, change: &Change) -> Result<(), TooMuch> {
        let item = hold.items.entry(n).or_default();
        item.reserved = item.reserved.minus(change.release).ok_or(TooMuch)?;
        item.adjusted = item.adjusted.plus(change.adjust).ok_or(TooMuch)?;
        self.account.reserved = self.account.reserved.minus(change.release).ok_or(TooMuch)?;
        self.account.granted = self.account.granted.plus(change.adjust).ok_or(TooMuch)?;
        self.entered(EntryKind::Release, change.release, n);
        self.entered(EntryKind::Adjust, change.adjust, n);
        Ok(())
    }

    /// An entry, unless it would say nothing.
    fn entered(&mut self, kind: EntryKind, quantity: Amount, item: u16) {
        if !quantity.is_zero() {
            self.enter(kind, quantity, item);
        }
    }

    /// Counts the document among the account's uses, or no more. A use is given back when nothing was committed, or by `returned`.
    pub(crate) fn count(&mut self, hold: &mut Hold, returned: bool) -> Result<(), TooMuch> {
        let net = hold.net().ok_or(TooMuch)?;
        let committed = hold.committed().ok_or(TooMuch)?;
        let counts = !net.is_zero() || (!committed.is_zero() && !returned);
        match (hold.counted, counts) {
            (false, true) => self.account.uses = self.account.uses.saturating_add(1),
            (true, false) => self.account.uses = self.account.uses.saturating_sub(1),
            _ => {}
        }
        hold.counted = counts;
        Ok(())
    }

    pub(crate) fn moved(&mut self, mut hold: Hold) {
        hold.step = self.request.step;
        self.hold = Some(hold);
    }

    /// Every reason against reserving; `delta` is by how much the document's use of the account grows in all.
    fn tests(&self, hold: &Hold, delta: Amount, unit: Option<&str>) -> Vec<Failure> {
        let (account, day) = (&self.account, self.request.day);
        let terms = &account.terms;
        let mut failures = Vec::new();
        let mut fail = |code, detail: String| failures.push(Failure::new(code, detail));
        if account.standing != Standing::Active {
            fail(code::STATE, "the account takes no reserves".into());
        }
        if let Some(to) = terms.valid_to.filter(|to| day > *to) {
            fail(code::EXPIRED, format!("{to} was its last day"));
        }
        if let Some(from) = terms.valid_from.filter(|from| day < *from) {
            fail(code::NOT_YET, format!("{from} is its first day"));
        }
        if let (Some(own), Some(asked)) = (&terms.unit, unit)
            && own != asked
        {
            fail(code::UNIT, format!("its unit is {own}, {asked} was asked"));
        }
        if let Some(max) = terms.uses_max.filter(|max| !hold.counted && account.uses >= *max) {
            let code = if max == 1 { code::USED } else { code::USES };
            fail(code, format!("{} of {max} uses are taken", account.uses));
        }
        if !fits(account, delta) {
            fail(code::QUANTITY, format!("{} is left, {delta} more was asked", account.available()));
        }
        failures
    }

    fn warn(&mut self) {
        let account = &self.account;
        if let Some(to) =
            account.terms.valid_to.filter(|to| *to - self.request.day <= Duration::days(NEAR_END_DAYS))
        {
            self.warnings.push(Failure::new(code::NEAR_END, format!("{to} is its last day")));
        }
        let tenth = account.granted.units() / 10;
        if account.available().units() < tenth {
            self.warnings.push(Failure::new(code::LOW, format!("{} is left", account.available())));
        }
    }
}

/// Within what is left, or the last batch of it: tolerance applies to what remains, and nothing remains of nothing.
fn fits(account: &Account, delta: Amount) -> bool {
    let Some(rest) = account.rest() else { return false };
    if delta <= rest || delta <= Amount::ZERO {
        return true;
    }
    rest > Amount::ZERO && delta.within(rest, account.terms.tolerance)
}

fn changes(hold: &Hold, needed: &BTreeMap<u16, Amount>) -> Result<Vec<(u16, Change)>, TooMuch> {
    let mut numbers: Vec<u16> = hold.items.keys().chain(needed.keys()).copied().collect();
    numbers.sort_unstable();
    numbers.dedup();
    let of = |n: u16| {
        let held = hold.items.get(&n).copied().unwrap_or_default();
        Ok((n, Change::of(&held, needed.get(&n).copied().unwrap_or_default())?))
    };
    numbers.into_iter().map(of).collect()
}
