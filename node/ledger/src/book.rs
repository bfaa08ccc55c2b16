//! Deciding a request: repeats first, then who may decide, then the rules of its kind.

use crate::outcome::{Closed, Failure, Outcome, code};
use crate::{Account, Amount, Entry, EntryKind, Hold, Order, Request, Rows, Sheet, Standing};
use eport_model::{Epoch, RegionCode, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Whom a book waits for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Recovery {
    /// Since when.
    pub since: Timestamp,
    /// Owners of documents that have not said yet what was confirmed to them.
    pub waiting: BTreeSet<RegionCode>,
}

/// The state of all accounts of one platform together.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Book {
    /// The newest epoch that has decided here.
    pub epoch: Epoch,
    /// Set while entries may be missing.
    pub recovery: Option<Recovery>,
}

impl Book {
    /// A primary of this epoch begins. `lossless`: it has every entry that an earlier epoch confirmed to anybody. Otherwise new
    /// reserves wait for all `owners`. True when the state has changed.
    pub fn enter(
        &mut self,
        epoch: Epoch,
        lossless: bool,
        owners: impl IntoIterator<Item = RegionCode>,
        now: Timestamp,
    ) -> bool {
        if epoch <= self.epoch {
            return false;
        }
        self.epoch = epoch;
        if !lossless {
            let mut waiting: BTreeSet<RegionCode> = owners.into_iter().collect();
            let since = self.recovery.as_ref().map_or(now, |r| r.since);
            waiting.extend(self.recovery.take().map(|r| r.waiting).unwrap_or_default());
            self.recovery = (!waiting.is_empty()).then_some(Recovery { since, waiting });
        }
        true
    }

    /// An owner has said everything that was confirmed to it. True when the state has changed.
    pub fn heard(&mut self, owner: RegionCode) -> bool {
        let Some(recovery) = &mut self.recovery else { return false };
        let was = recovery.waiting.remove(&owner);
        if recovery.waiting.is_empty() {
            self.recovery = None;
        }
        was
    }

    /// An operator decides that whoever is still waited for has nothing to say.
    pub fn open(&mut self) -> bool {
        self.recovery.take().is_some()
    }
}

/// What is answered to a request.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Decided, now or earlier.
    Decided(Outcome),
    /// Not decided.
    Closed(Closed),
}

/// Decides a request for a primary of the epoch `serving`. Changes, if any, are on the sheet; they count when they are written.
pub fn decide<R: Rows>(
    sheet: &mut Sheet<'_, R>,
    book: &Book,
    serving: Epoch,
    request: &Request,
) -> Result<Verdict, R::Error> {
    if serving < book.epoch {
        return Ok(Verdict::Closed(Closed::Fenced));
    }
    let free = matches!(request.order, Order::Grant { .. } | Order::Stand { .. });
    run(sheet, request, book.recovery.is_some() && !free, false)
}

/// Enters a request that was confirmed to its owner before entries were lost. Nothing is tested again, nothing is dropped: where
/// more is used than was granted, the account is suspended and a person decides.
pub fn replay<R: Rows>(
    sheet: &mut Sheet<'_, R>,
    book: &Book,
    serving: Epoch,
    request: &Request,
) -> Result<Verdict, R::Error> {
    if book.recovery.is_none() {
        return decide(sheet, book, serving, request);
    }
    if serving < book.epoch {
        return Ok(Verdict::Closed(Closed::Fenced));
    }
    run(sheet, request, false, true)
}

fn run<R: Rows>(
    sheet: &mut Sheet<'_, R>,
    request: &Request,
    waiting: bool,
    confirmed: bool,
) -> Result<Verdict, R::Error> {
    if let Some(known) = sheet.outcome(&request.cause)? {
        return Ok(Verdict::Decided(known));
    }
    if waiting {
        return Ok(Verdict::Closed(Closed::Recovering));
    }
    let account = sheet.account(&request.account)?;
    if account.is_none() && !matches!(request.order, Order::Grant { .. }) {
        return Ok(Verdict::Closed(Closed::NoAccount));
    }
    let hold = sheet.hold(&request.account, &request.holder)?;
    let share = match request.order {
        Order::Settle { share, .. } | Order::Return { share, .. } => sheet.share(&share)?,
        _ => None,
    };
    let new = account.is_none();
    let mut page = Page {
        request,
        account: account.unwrap_or_default(),
        hold,
        share,
        entries: Vec::new(),
        warnings: Vec::new(),
        confirmed,
    };
    let outcome = match page.apply(new) {
        Ok(outcome) => outcome,
        Err(TooMuch) => Outcome::refused(code::QUANTITY, "the sum exceeds what an account may hold"),
    };
    if outcome.is_done() {
        page.keep(sheet);
    }
    sheet.changes.outcomes.insert(request.cause, outcome.clone());
    Ok(Verdict::Decided(outcome))
}

/// A sum is beyond what an account may hold.
pub(crate) struct TooMuch;

/// One account while one request is decided.
pub(crate) struct Page<'q> {
    pub(crate) request: &'q Request,
    pub(crate) account: Account,
    pub(crate) hold: Option<Hold>,
    pub(crate) share: Option<crate::Share>,
    pub(crate) entries: Vec<Entry>,
    pub(crate) warnings: Vec<Failure>,
    /// It was confirmed once: it is entered, whatever the balance.
    pub(crate) confirmed: bool,
}

impl Page<'_> {
    fn apply(&mut self, new: bool) -> Result<Outcome, TooMuch> {
        match &self.request.order {
            Order::Grant { quantity, terms } => self.grant(new, *quantity, terms),
            Order::Hold { items, unit } => self.need(items, unit.as_deref()),
            Order::Commit { items } => self.commit(items.as_ref()),
            Order::Release { returns_use } => self.release(*returns_use),
            Order::Escrow { city, quantity, valid_to, .. } => self.escrow(*city, *quantity, *valid_to),
            Order::Settle { share, items } => self.settle(*share, items),
            Order::Return { share, quantity } => self.give_back(*share, *quantity),
            Order::Stand { standing } => self.stand(*standing),
        }
    }

    fn keep<R: Rows>(self, sheet: &mut Sheet<'_, R>) {
        let key = &self.request.account;
        if let Some(hold) = self.hold {
            sheet.changes.holds.insert((key.clone(), self.request.holder.clone()), hold);
        }
        if let Some(share) = self.share {
            sheet.changes.shares.insert(share.id, share);
        }
        sheet.changes.entries.extend(self.entries.into_iter().map(|e| (key.clone(), e)));
        sheet.changes.accounts.insert(key.clone(), self.account);
    }

    /// Done, with what the account's balance is worth a warning for.
    pub(crate) fn done(&mut self) -> Outcome {
        if self.confirmed {
            self.suspend_if_overdrawn();
        }
        let entry = self.entries.first().map_or(0, |e| e.no);
        Outcome::Done { entry, warnings: std::mem::take(&mut self.warnings) }
    }

    fn suspend_if_overdrawn(&mut self) {
        let account = &self.account;
        let taken = account.used().and_then(|used| used.plus(account.escrowed));
        if taken.is_some_and(|taken| taken.within(account.granted, account.terms.tolerance)) {
            return;
        }
        let detail = format!("{} is granted, more is confirmed", account.granted);
        self.warnings.push(Failure::new(code::OVERDRAWN, detail));
        if account.standing == Standing::Active {
            self.account.standing = Standing::Suspended;
            self.enter(EntryKind::Suspend, Amount::ZERO, 0);
        }
    }

    /// Appends an entry.
    pub(crate) fn enter(&mut self, kind: EntryKind, quantity: Amount, item: u16) {
        let request = self.request;
        let entry = Entry {
            no: self.account.entries + 1,
            kind,
            quantity,
            holder: request.holder.clone(),
            version: request.step.version,
            item,
            actor: request.actor.clone(),
            day: request.day,
            at: request.at,
            reason: request.reason.clone(),
            cause: request.cause,
            previous: self.account.last,
        };
        self.account.entries = entry.no;
        self.account.last = entry.digest();
        self.entries.push(entry);
    }

    fn stand(&mut self, standing: Standing) -> Result<Outcome, TooMuch> {
        if standing == Standing::Revoked && self.account.grantor.as_ref() != Some(&self.request.holder) {
            let by = self.account.grantor.as_ref().map(ToString::to_string).unwrap_or_default();
            return Ok(Outcome::refused(
                code::STATE,
                format!("{by} grants this account, and alone revokes it"),
            ));
        }
        if self.account.standing == Standing::Revoked && standing != Standing::Revoked {
            return Ok(Outcome::refused(code::STATE, "the account is revoked"));
        }
        if self.account.standing != standing {
            self.account.standing = standing;
            let kind = match standing {
                Standing::Active => EntryKind::Resume,
                Standing::Suspended => EntryKind::Suspend,
                Standing::Revoked => EntryKind::Revoke,
            };
            self.enter(kind, Amount::ZERO, 0);
        }
        Ok(self.done())
    }
}
