//! Shares that this platform has: asked for, drawn from while the home cannot be reached, given back.

use super::duty::{Duty, DutyKind, DutyRow, StepRow};
use super::home::{AskError, not};
use super::owner::answered;
use super::plan::Asker;
use super::rows;
use super::store::{mark, put, read};
use crate::Error;
use crate::change::Changed;
use crate::log::Log;
use crate::platform::Platform;
use crate::rows::decode_long;
use bytes::Bytes;
use eport_expression::local_date;
use eport_ledger::{AccountKey, Amount, Holder, Order, Outcome, Phase, Portion, Request};
use eport_model::codes;
use time::Date;

/// Longest name of a share.
pub const SHARE_NAME_MAX: usize = 64;
/// Shares of one platform at most, and those read at once.
pub(super) const PORTIONS_MAX: usize = 10_000;
/// Local time of shares: that of the federation's agencies.
const OFFSET_MINUTES: i32 = 480;

/// The shares that a platform has.
pub type Portions = Vec<Portion>;

impl Platform {
    /// The shares that this platform has.
    pub fn portions(&self) -> Result<Portions, Error> {
        let found = self.inner.log.scan(rows::PORTIONS, None, PORTIONS_MAX)?;
        found.iter().map(|(key, value)| decode_long(key, value)).collect()
    }

    /// Asks an account's home for a share. The name makes it one, however often it is asked for.
    pub async fn ask_share(
        &self,
        name: &str,
        account: AccountKey,
        quantity: Amount,
        valid_to: Date,
        actor: &str,
    ) -> Result<(), AskError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.is_empty()
            || name.len() > SHARE_NAME_MAX
            || !name.chars().all(plain)
            || quantity <= Amount::ZERO
        {
            let detail = "a share has a name of 1 to 64 letters, digits, -, _ and ., and a quantity above 0";
            return Err(AskError { code: codes::BAD_REQUEST, detail: detail.into() });
        }
        let holder = Holder { platform: self.region(), document: format!("share {name}") };
        let (me, actor, lock) = (holder.clone(), actor.to_owned(), rows::portion(&account));
        let decide = Box::new(move |log: &dyn Log, epoch, at| {
            let day = local_date(at, OFFSET_MINUTES);
            let asker = Asker { holder: me, version: 1, day, at, actor };
            let order = Order::Escrow { city: asker.holder.platform, epoch, quantity, valid_to };
            let request = asker.request(&account, Phase::Hold, order);
            // One share of an account at a time; its rest is given back before the next.
            let known: Option<Portion> = read(log, &rows::portion(&account))?;
            if known.is_some_and(|p| !p.closed) || log.get(&rows::document(&asker.holder.document))?.is_some()
            {
                return Ok(Vec::new());
            }
            let mut effects = lone(log, &asker.holder.document, request);
            effects.push(mark(rows::document(&asker.holder.document)));
            Ok(effects)
        });
        self.left(lock, decide).await
    }

    /// Gives the rest of a share back: it is closed here first, then told to the home.
    pub async fn return_share(&self, account: AccountKey, actor: &str) -> Result<(), AskError> {
        let holder = Holder { platform: self.region(), document: "return".into() };
        let (actor, lock) = (actor.to_owned(), rows::portion(&account));
        let decide = Box::new(move |log: &dyn Log, epoch, at| {
            let Some(portion) = read::<Portion>(log, &rows::portion(&account))? else {
                return Ok(Vec::new());
            };
            let day = local_date(at, OFFSET_MINUTES);
            let asker = Asker { holder, version: 1, day, at, actor };
            let asked = asker.request(&account, Phase::Release, Order::Release { returns_use: false });
            let Some(closed) = portion.close(epoch, &asked) else { return Ok(Vec::new()) };
            let name = format!("return {}", portion.id);
            let mut effects = lone(log, &name, closed.settle);
            effects.push(put(rows::portion(&account), &closed.portion));
            Ok(effects)
        });
        self.left(lock, decide).await
    }

    async fn left(&self, lock: Bytes, decide: crate::change::Decide) -> Result<(), AskError> {
        match self.change(lock, decide).await {
            Changed::Written(_) => {
                self.inner.duties.notify_one();
                Ok(())
            }
            Changed::Unchanged => Ok(()),
            Changed::Not(settled) => Err(not(settled)),
        }
    }

    /// Serves a document's first reserve on an account from the share that is here. True when it did; what was drawn is told to
    /// the home by a duty of its own.
    pub async fn draw(&self, duty: &Duty, n: u16, request: &Request) -> Result<bool, AskError> {
        let lock = rows::portion(&request.account);
        let known = self.inner.log.get(&lock);
        if !matches!(known, Ok(Some(_))) {
            return Ok(false);
        }
        let (duty, request) = (duty.clone(), request.clone());
        let decide = Box::new(move |log: &dyn Log, epoch, at| {
            let key = rows::portion(&request.account);
            let drawn = read::<Portion>(log, &key)?.and_then(|p| p.draw(epoch, &request).ok());
            let Some(drawn) = drawn else { return Ok(Vec::new()) };
            let outcome = Outcome::Done { entry: 0, warnings: Vec::new() };
            let mut effects = answered(log, &duty, n, false, &outcome)?;
            if effects.is_empty() {
                return Ok(effects);
            }
            let settle = Request { at, ..drawn.settle };
            effects.push(mark(rows::unsettled(&request.account, &request.holder)));
            effects.push(put(key, &drawn.portion));
            effects.extend(lone(log, &format!("settle {}", settle.cause), settle));
            Ok(effects)
        });
        match self.change(lock, decide).await {
            Changed::Not(settled) => Err(not(settled)),
            Changed::Written(_) => {
                self.inner.duties.notify_one();
                Ok(true)
            }
            Changed::Unchanged => Ok(false),
        }
    }
}

/// The effects of a duty with one step that is asked until it is answered.
fn lone(log: &dyn Log, name: &str, request: Request) -> Vec<eport_model::Effect> {
    let duty = DutyRow {
        doc_id: name.to_owned(),
        version: 1,
        reference: Bytes::new(),
        kind: DutyKind::Share,
        steps: 1,
    };
    let step = StepRow { request, undo: None, outcome: None, undone: false, first: false };
    duty.effects(log.last().index.next(), vec![step])
}
