//! The platform as an owner of documents: taking answers of homes, and saying what they confirmed.

use super::duty::{Duty, DutyKind, StepRow};
use super::home::{Answer, AskError, Slot, decided, leave, no_data, not};
use super::rows;
use super::store::{delete, put, read};
use crate::Error;
use crate::change::Changed;
use crate::log::Log;
use crate::platform::Platform;
use crate::rows::decode_long;
use bytes::Bytes;
use eport_ledger::{AccountKey, Order, Outcome, Portion, Request, Verdict};
use eport_model::{Effect, Epoch, RegionCode, Timestamp};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Newest epochs heard of homes. Kept in memory as well: it must count from the moment a home asks, before its row is written.
#[derive(Clone, Default)]
pub(crate) struct Homes(Arc<Mutex<HashMap<RegionCode, Epoch>>>);

impl Homes {
    fn raise(&self, home: RegionCode, epoch: Epoch) -> Epoch {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.entry(home).or_default();
        *known = (*known).max(epoch);
        *known
    }

    fn of(&self, home: RegionCode) -> Epoch {
        self.raise(home, Epoch::default())
    }
}

/// How long an account that nobody keeps may still come: 72 hours (cross-checks §1.2).
const WAIT_MS: i64 = 72 * 3_600_000;
/// Confirmations said at once.
const CONFIRMED_MAX: usize = 200;

impl Platform {
    /// Carries out a step whose account is here. `None`: the account is not here, or its book waits, as the verdict says.
    pub async fn ask_own(
        &self,
        duty: &Duty,
        n: u16,
        undo: bool,
        request: Request,
    ) -> Result<Verdict, AskError> {
        let slot: Slot<Verdict> = Slot::default();
        let (found, reference) = (slot.clone(), rows::account(&request.account));
        let (duty, me) = (duty.clone(), self.region());
        let decide = Box::new(move |log: &dyn Log, epoch, time| {
            let (verdict, mut effects) = decided(log, epoch, time, &request, false)?;
            if let Verdict::Decided(outcome) = &verdict {
                effects.extend(answered(log, &duty, n, undo, outcome)?);
                effects.extend(drawn_is_settled(&duty, &request));
                effects.extend(got_share(log, &request, outcome, me)?);
            }
            leave(&found, verdict);
            Ok(effects)
        });
        let changed = self.change(reference, decide).await;
        self.told(changed, &slot, true).await
    }

    /// Keeps what a home elsewhere has answered. An answer of an older epoch than one that was heard of counts for nothing.
    /// True when it is kept.
    pub async fn answered(
        &self,
        duty: &Duty,
        n: u16,
        undo: bool,
        request: &Request,
        home: RegionCode,
        answer: &Answer,
    ) -> Result<bool, AskError> {
        let Verdict::Decided(outcome) = answer.verdict.clone() else { return Ok(false) };
        let (duty, request, epoch, homes) =
            (duty.clone(), request.clone(), answer.epoch, self.inner.homes.clone());
        let lock = duty_key(&request);
        let decide = Box::new(move |log: &dyn Log, _, _| {
            let row: Epoch = read(log, &rows::heard(home))?.unwrap_or_default();
            if epoch < row.max(homes.of(home)) {
                return Ok(Vec::new());
            }
            let mut effects = answered(log, &duty, n, undo, &outcome)?;
            if effects.is_empty() {
                return Ok(effects);
            }
            if outcome.is_done() {
                effects.push(put(rows::claim(home, &request), &request));
                effects.push(put(rows::home(&request.account), &home));
            }
            effects.extend(drawn_is_settled(&duty, &request));
            effects.extend(got_share(log, &request, &outcome, home)?);
            Ok(effects)
        });
        match self.change(lock, decide).await {
            Changed::Written(_) => Ok(true),
            Changed::Unchanged => Ok(false),
            Changed::Not(settled) => Err(not(settled)),
        }
    }

    /// No platform keeps the account. It may come later: only after the longest wait that is refused. True when it is.
    pub async fn nobody_keeps(
        &self,
        duty: &Duty,
        n: u16,
        undo: bool,
        request: &Request,
    ) -> Result<bool, AskError> {
        let (duty, outcome, since) = (duty.clone(), no_data(&request.account), request.at);
        let lock = rows::step(&duty.id, n);
        let decide = Box::new(move |log: &dyn Log, _, time: Timestamp| {
            if time < since.plus_millis(WAIT_MS) {
                return Ok(Vec::new());
            }
            answered(log, &duty, n, undo, &outcome)
        });
        match self.change(lock, decide).await {
            Changed::Not(settled) => Err(not(settled)),
            Changed::Written(_) => Ok(true),
            Changed::Unchanged => Ok(false),
        }
    }

    /// Where an account is, as far as an answer has shown.
    pub fn home_of(&self, account: &AccountKey) -> Result<Option<RegionCode>, Error> {
        read(&*self.inner.log, &rows::home(account))
    }

    /// What a home has confirmed to this platform, for a home that may have lost it, in the order to be entered; and the key
    /// after which to ask on. From now on no answer of an older epoch of the home counts.
    pub async fn confirmed(
        &self,
        home: RegionCode,
        epoch: Epoch,
        after: Option<&[u8]>,
    ) -> Result<(Vec<Request>, Option<Bytes>), AskError> {
        self.inner.homes.raise(home, epoch);
        let decide = Box::new(move |log: &dyn Log, _, _| {
            let key = rows::heard(home);
            let known: Epoch = read(log, &key)?.unwrap_or_default();
            Ok(if epoch > known { vec![put(key, &epoch)] } else { Vec::new() })
        });
        // Behind this record, or already: every answer that was taken before stands in the rows.
        if let Changed::Not(settled) = self.change(rows::heard(home), decide).await {
            return Err(not(settled));
        }
        let log = &*self.inner.log;
        let read = || -> Result<(Vec<Request>, Option<Bytes>), Error> {
            let found = log.scan(&rows::claims(home), after, CONFIRMED_MAX)?;
            let next = found.last().filter(|_| found.len() == CONFIRMED_MAX).map(|(key, _)| key.clone());
            let requests =
                found.iter().map(|(key, value)| decode_long(key, value)).collect::<Result<_, _>>()?;
            Ok((requests, next))
        };
        read().map_err(|e| AskError { code: eport_model::Coded::code(&e), detail: e.to_string() })
    }
}

/// Answers about one account of one document come one after the other.
fn duty_key(request: &Request) -> Bytes {
    rows::unsettled(&request.account, &request.holder)
}

/// The effects that keep an answer with its step; none when the step is answered already, or gone.
pub(super) fn answered(
    log: &dyn Log,
    duty: &Duty,
    n: u16,
    undo: bool,
    outcome: &Outcome,
) -> Result<Vec<Effect>, Error> {
    let key = rows::step(&duty.id, n);
    let Some(mut step) = read::<StepRow>(log, &key)? else { return Ok(Vec::new()) };
    match undo {
        true if !step.undone => step.undone = true,
        false if step.outcome.is_none() => step.outcome = Some(outcome.clone()),
        _ => return Ok(Vec::new()),
    }
    Ok(vec![put(key, &step)])
}

fn drawn_is_settled(duty: &Duty, request: &Request) -> Option<Effect> {
    let settles = duty.row.kind == DutyKind::Share && matches!(request.order, Order::Settle { .. });
    settles.then(|| delete(rows::unsettled(&request.account, &request.holder)))
}

/// The share that was asked for is here.
fn got_share(
    log: &dyn Log,
    request: &Request,
    outcome: &Outcome,
    home: RegionCode,
) -> Result<Option<Effect>, Error> {
    let Some(portion) = Portion::of(request, home, None).filter(|_| outcome.is_done()) else {
        return Ok(None);
    };
    let key = rows::portion(&request.account);
    let known: Option<Portion> = read(log, &key)?;
    // A share is put down once: what was drawn from it since must not come back.
    let new = known.is_none_or(|k| k.id != portion.id);
    Ok(new.then(|| put(key, &portion)))
}
