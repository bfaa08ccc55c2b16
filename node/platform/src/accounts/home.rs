//! The platform as the home of accounts: deciding what is asked, and recovering what may have been lost.

use super::rows;
use super::store::{Store, book, effects, put};
use crate::change::Changed;
use crate::job::Settled;
use crate::log::Log;
use crate::platform::Platform;
use eport_journal::Outcome as Promised;
use eport_ledger::{Book, Closed, Order, Outcome, Portion, Request, Sheet, Verdict, decide, replay};
use eport_model::{Code, Durability, Effect, Epoch, RegionCode, Timestamp, codes};
use futures::future::BoxFuture;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::time::timeout;

/// What a home answers: its epoch, and its verdict.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Answer {
    /// The epoch in which it was decided, or confirmed.
    pub epoch: Epoch,
    /// The verdict.
    pub verdict: Verdict,
}

/// Why a request has no answer. It may be asked again.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{detail}")]
pub struct AskError {
    /// Stable code.
    pub code: Code,
    /// What happened.
    pub detail: String,
}

impl eport_model::Coded for AskError {
    fn code(&self) -> Code {
        self.code
    }
}

impl AskError {
    fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }
}

/// How the replay of what an owner was confirmed went.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Replayed {
    /// Requests that are entered now, or were already.
    pub entered: usize,
    /// Requests whose account is not here: the document that grants it is in a tail.
    pub without_account: usize,
}

/// A place where a decision in the sequencer leaves what it found.
pub(super) type Slot<T> = Arc<Mutex<Option<T>>>;

pub(super) fn take<T>(slot: &Slot<T>) -> Option<T> {
    slot.lock().unwrap_or_else(PoisonError::into_inner).take()
}

pub(super) fn leave<T>(slot: &Slot<T>, value: T) {
    *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
}

/// Decides by the rows as they are now; the effects, with what else belongs into the record.
pub(super) fn decided(
    log: &dyn Log,
    epoch: Epoch,
    time: Timestamp,
    request: &Request,
    confirmed: bool,
) -> Result<(Verdict, Vec<Effect>), crate::Error> {
    let book = book(log)?;
    // Until this epoch has begun its book, nobody knows whether entries are missing.
    if book.epoch != epoch {
        let closed = if epoch < book.epoch { Closed::Fenced } else { Closed::Recovering };
        return Ok((Verdict::Closed(closed), Vec::new()));
    }
    let (store, request) = (Store(log), Request { at: time, ..request.clone() });
    let mut sheet = Sheet::new(&store);
    let verdict = if confirmed {
        replay(&mut sheet, &book, epoch, &request)?
    } else {
        decide(&mut sheet, &book, epoch, &request)?
    };
    Ok((verdict, effects(sheet.into_changes())))
}

impl Platform {
    /// Decides a request about an account of this platform. An outcome is told only when it is as durable as its kind demands.
    pub fn ask_account(&self, request: Request) -> BoxFuture<'_, Result<Answer, AskError>> {
        Box::pin(async move {
            let slot: Slot<Answer> = Slot::default();
            let (found, reference) = (slot.clone(), rows::account(&request.account));
            let local = matches!(request.order, Order::Release { .. } | Order::Stand { .. });
            let decide = Box::new(move |log: &dyn Log, epoch, time| {
                let (verdict, effects) = decided(log, epoch, time, &request, false)?;
                leave(&found, Answer { epoch, verdict });
                Ok(effects)
            });
            let changed = self.change(reference, decide).await;
            self.told(changed, &slot, local).await
        })
    }

    /// Waits until what was found may be told.
    pub(super) async fn told<T>(&self, changed: Changed, slot: &Slot<T>, local: bool) -> Result<T, AskError> {
        let durability = match changed {
            Changed::Not(settled) => return Err(not(settled)),
            Changed::Written(durability) => durability,
            Changed::Unchanged => self.promised().await?,
        };
        if durability == Durability::Local && !local {
            let detail = "the outcome is not replicated yet; ask again";
            return Err(AskError::new(codes::DURABILITY_UNMET, detail));
        }
        take(slot).ok_or_else(|| AskError::new(codes::INTERNAL, "a decision left no answer"))
    }

    /// What can be promised of everything applied so far.
    async fn promised(&self) -> Result<Durability, AskError> {
        let unknown = || AskError::new(codes::WRITE_BLOCKED, "the backups have not confirmed in time");
        let outcome =
            self.inner.log.depend(0).map_err(|full| AskError::new(codes::OVERLOADED, full.to_string()))?;
        match timeout(self.inner.config.write_timeout, outcome).await {
            Ok(Ok(Promised::Done { durability, .. })) => Ok(durability),
            Ok(Ok(Promised::NotPrimary { .. })) => {
                Err(AskError::new(codes::NOT_PRIMARY, "another node is primary"))
            }
            _ => Err(unknown()),
        }
    }

    /// The state of the book.
    pub fn book(&self) -> Result<Book, crate::Error> {
        book(&*self.inner.log)
    }

    /// This primary begins its epoch's book. `lossless`: it holds every entry that an earlier epoch confirmed; otherwise new
    /// reserves wait for the owners. `planned`: every move since was planned, so shares of this platform go on.
    pub async fn begin_book(
        &self,
        lossless: bool,
        planned: bool,
        owners: Vec<RegionCode>,
    ) -> Result<(), AskError> {
        let decide = Box::new(move |log: &dyn Log, epoch, time| {
            let mut book = book(log)?;
            let former = book.epoch;
            if !book.enter(epoch, lossless, owners, time) {
                return Ok(Vec::new());
            }
            let mut effects = vec![put(bytes::Bytes::from_static(rows::BOOK), &book)];
            for (key, value) in log.scan(rows::PORTIONS, None, super::share::PORTIONS_MAX)? {
                let mut portion: Portion = crate::rows::decode_long(&key, &value)?;
                if portion.enter(former, epoch, planned) {
                    effects.push(put(key, &portion));
                }
            }
            Ok(effects)
        });
        self.changed_book(decide).await
    }

    /// Enters what was confirmed to an owner before entries were lost.
    pub async fn replay_confirmed(&self, requests: Vec<Request>) -> Result<Replayed, AskError> {
        let mut replayed = Replayed::default();
        for request in requests {
            let slot: Slot<Verdict> = Slot::default();
            let (found, reference) = (slot.clone(), rows::account(&request.account));
            let decide = Box::new(move |log: &dyn Log, epoch, time| {
                let (verdict, effects) = decided(log, epoch, time, &request, true)?;
                leave(&found, verdict);
                Ok(effects)
            });
            let changed = self.change(reference, decide).await;
            match self.told(changed, &slot, true).await? {
                Verdict::Decided(_) => replayed.entered += 1,
                Verdict::Closed(Closed::NoAccount) => replayed.without_account += 1,
                Verdict::Closed(_) => {
                    return Err(AskError::new(codes::FENCED, "the book is of another epoch"));
                }
            }
        }
        Ok(replayed)
    }

    /// An owner has said everything.
    pub async fn owner_heard(&self, owner: RegionCode) -> Result<(), AskError> {
        let decide = Box::new(move |log: &dyn Log, epoch, _| {
            let mut book = book(log)?;
            let heard = book.epoch == epoch && book.heard(owner);
            Ok(if heard { vec![put(bytes::Bytes::from_static(rows::BOOK), &book)] } else { Vec::new() })
        });
        self.changed_book(decide).await
    }

    /// An operator opens a book that waits, with the reason, which is kept.
    pub async fn open_book(&self, by: String, reason: String) -> Result<(), AskError> {
        let decide = Box::new(move |log: &dyn Log, epoch, at| {
            let mut book = book(log)?;
            if book.epoch != epoch || !book.open() {
                return Ok(Vec::new());
            }
            let opened = rows::OpenedRow { by, reason, at };
            Ok(vec![put(bytes::Bytes::from_static(rows::BOOK), &book), put(rows::opened(epoch), &opened)])
        });
        self.changed_book(decide).await
    }

    async fn changed_book(&self, decide: crate::change::Decide) -> Result<(), AskError> {
        match self.change(bytes::Bytes::from_static(rows::BOOK), decide).await {
            Changed::Not(settled) => Err(not(settled)),
            Changed::Written(_) | Changed::Unchanged => Ok(()),
        }
    }
}

/// The outcome of a step that no home can be asked about.
pub(super) fn no_data(account: &eport_ledger::AccountKey) -> Outcome {
    let detail = format!("no platform keeps the account {account}");
    Outcome::Refused {
        failures: vec![eport_ledger::Failure { code: eport_ledger::code::NO_DATA.into(), detail }],
    }
}

/// Why nothing was decided.
pub(super) fn not(settled: Settled) -> AskError {
    match settled {
        Settled::NotPrimary { primary, .. } => {
            AskError::new(codes::NOT_PRIMARY, format!("{primary} is primary of the platform"))
        }
        Settled::Overloaded => AskError::new(codes::OVERLOADED, "too many requests of this platform wait"),
        Settled::Held | Settled::Fenced => {
            AskError::new(codes::FENCED, "the platform is changing its primary")
        }
        Settled::Failed { detail } => AskError::new(codes::STORAGE_FAILED, detail),
        _ => AskError::new(codes::WRITE_BLOCKED, "it may or may not be decided; ask again"),
    }
}
