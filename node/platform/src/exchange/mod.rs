//! The exchange of one platform: outbox, inboxes of agencies, receipts; rows of the journal's state like all others, so that they
//! ship to backups and survive a failover. What is decided is the core's (`eport-exchange`); this part reads and writes rows.
//!
//! Always: rows of a document, a message id or a receipt number are read and written in one turn; an answer comes after its record
//! is committed; queues are the journal's and bounded there.

mod inbound;
mod inbox;
mod letters;
mod outbox;
mod receipts;
mod rows;
mod sending;
mod view;
mod withdrawals;

pub use inbox::Acknowledged;
pub use letters::Resent;
pub use receipts::ReceiptGiven;
pub use sending::Offered;
pub use sending::Unsendable;
pub use view::ChannelView;
pub use withdrawals::GivenUp;

pub(crate) use rows::{decode as decode_row, dispatch as dispatch_key, receipt_name};

pub(crate) use outbox::{Outbox, PreparedPart, parts_of};

use crate::log::Log;
use crate::platform::Platform;
use crate::turns::Guard;
use crate::{Error, rows as documents};
use bytes::Bytes;
use eport_api_types::Failure;
use eport_journal::Outcome;
use eport_model::{
    Code, Coded, Draft, Durability, Effect, Epoch, JournalIndex, Position, RegionCode, Timestamp, codes,
};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// Where agencies are attached, as the registry says now.
pub trait Routes: fmt::Debug + Send + Sync {
    /// The platform at which an agency takes documents of `owner`; `None`: it is attached to none.
    fn route(&self, agency: &str, owner: RegionCode) -> Option<RegionCode>;
}

/// The node's routes.
pub type SharedRoutes = Arc<dyn Routes>;

/// No agency is attached anywhere: messages are kept until one is.
#[derive(Debug, Clone, Copy, Default)]
pub struct Nowhere;

impl Routes for Nowhere {
    fn route(&self, _: &str, _: RegionCode) -> Option<RegionCode> {
        None
    }
}

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// Rows or keys cannot be read.
    #[error(transparent)]
    Platform(#[from] Error),
    /// Nothing of this kind was sent to the agency.
    #[error("{0}")]
    Unknown(String),
    /// The message stands with other content than the one that is named, or is void.
    #[error(
        "E-XCH-CHANGED: message {0} stands otherwise than as it was read, or is void: read the inbox again"
    )]
    Changed(String),
    /// The number stands for another receipt.
    #[error("receipt {0} was sent before with other content")]
    Different(String),
    /// Fields of the receipt cannot be taken.
    #[error("the receipt has fields that cannot be taken")]
    Fields(Vec<Failure>),
    /// The receipt fits nothing here.
    #[error("{reason}: {detail}")]
    Dead {
        /// The domain's reason.
        reason: &'static str,
        /// The same in words.
        detail: String,
    },
    /// Not now: nothing is known to be written; the same request may be repeated.
    #[error("{detail}")]
    NotNow {
        /// The code.
        code: Code,
        /// What happened.
        detail: String,
    },
}

impl From<eport_store::Error> for ExchangeError {
    fn from(error: eport_store::Error) -> Self {
        ExchangeError::Platform(error.into())
    }
}

impl Coded for ExchangeError {
    fn code(&self) -> Code {
        match self {
            ExchangeError::Platform(e) => e.code(),
            ExchangeError::Unknown(_) => codes::MESSAGE_UNKNOWN,
            ExchangeError::Changed(_) => codes::MESSAGE_CHANGED,
            ExchangeError::Different(_) => codes::RECEIPT_DIFFERENT,
            ExchangeError::Fields(_) => codes::RECEIPT_REFUSED,
            ExchangeError::Dead { .. } => codes::EXCHANGE_DEAD,
            ExchangeError::NotNow { code, .. } => *code,
        }
    }
}

/// What a reason of the exchange says to people.
pub(crate) fn reason_in_words(reason: &str) -> &'static str {
    match reason {
        "E-XCH-CONTENT" => "the same message came with other content",
        "E-XCH-POSITION" => "the same message came from another record that cannot have replaced it",
        "E-XCH-PRESENT" => "a withdrawal of what the sender still has",
        "E-XCH-DIGEST" => "the content does not have the digest that the message names",
        "E-XCH-SIZE" => "the content is larger than a document may be",
        "E-XCH-AGENCY" => "this document was not sent to that agency",
        "E-XCH-VERSION" => "the document has no such version",
        "E-XCH-DOCUMENT" => "there is no document of that number",
        "E-XCH-RECEIPT" => "the receipt cannot be read, or its number stands for another one",
        "E-XCH-FIELDS" => "a name or a text of the message is empty, too long or not printable",
        "E-XCH-SOURCE" => "the record that it names is not in the sender's journal",
        "E-XCH-SENDER" => "the sending platform may not say this: the document or the agency is not its own",
        "E-XCH-ROW" => "its row is damaged or was written by newer software",
        "E-XCH-UNREADABLE" => "its stored content cannot be read",
        "E-XCH-ERASED" => "the content was erased by law",
        _ => "it does not fit",
    }
}

/// Rows as they are, with what the records under way will change.
pub(crate) struct Overlay<'l> {
    log: &'l dyn Log,
    changes: BTreeMap<Bytes, Option<Bytes>>,
    effects: Vec<Effect>,
    /// What the changes of the present record have taken the place of, oldest first.
    former: Vec<(Bytes, Option<Option<Bytes>>)>,
}

impl<'l> Overlay<'l> {
    pub(crate) fn new(log: &'l dyn Log) -> Self {
        Self { log, changes: BTreeMap::new(), effects: Vec::new(), former: Vec::new() }
    }

    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Bytes>, Error> {
        match self.changes.get(key) {
            Some(changed) => Ok(changed.clone()),
            None => Ok(self.log.get(key)?),
        }
    }

    pub(crate) fn row<T: serde::de::DeserializeOwned>(&self, key: &[u8]) -> Result<Option<T>, Error> {
        self.get(key)?.map(|value| rows::decode(key, &value)).transpose()
    }

    pub(crate) fn put(&mut self, key: Bytes, value: Bytes) {
        let former = self.changes.insert(key.clone(), Some(value.clone()));
        self.former.push((key.clone(), former));
        self.effects.push(Effect::Put { key, value });
    }

    pub(crate) fn delete(&mut self, key: Bytes) {
        let former = self.changes.insert(key.clone(), None);
        self.former.push((key.clone(), former));
        self.effects.push(Effect::Delete { key });
    }

    /// Forgets what was changed since the last record.
    pub(crate) fn undo(&mut self) {
        self.effects.clear();
        for (key, former) in std::mem::take(&mut self.former).into_iter().rev() {
            match former {
                Some(former) => drop(self.changes.insert(key, former)),
                None => drop(self.changes.remove(&key)),
            }
        }
    }

    /// The effects of one record.
    pub(crate) fn take(&mut self) -> Vec<Effect> {
        self.former.clear();
        std::mem::take(&mut self.effects)
    }
}

/// The state of the world for one decision of the exchange.
#[derive(Clone, Copy)]
pub(crate) struct Now {
    pub(crate) generation: u64,
    pub(crate) epoch: Epoch,
    pub(crate) time: Timestamp,
    /// Where the next record most likely stands.
    pub(crate) hint: JournalIndex,
}

impl Platform {
    /// The state of the world, while this node is the open primary.
    pub(crate) fn exchange_now(&self) -> Result<Now, ExchangeError> {
        let mut epoch = Epoch::NONE;
        let generation = self.writing(|e| {
            epoch = e;
            true
        });
        let closed = || ExchangeError::NotNow {
            code: codes::FENCED,
            detail: format!("this node is not the open primary of platform {}", self.region()),
        };
        let log = &*self.inner.log;
        Ok(Now {
            generation: generation.ok_or_else(closed)?,
            epoch,
            time: (self.inner.clock)().max(log.last_time()),
            hint: log.last().index.next(),
        })
    }

    /// Waits for a turn about these rows, as long as a write may wait for its backups.
    pub(crate) async fn exchange_turn(&self, keys: BTreeSet<Bytes>) -> Result<Guard, ExchangeError> {
        let turn = timeout(self.inner.config.write_timeout, self.inner.turns.enter(keys)).await;
        turn.map_err(|_| blocked())
    }

    /// Stores records decided in one turn; where each stands. The turn is given back when each of them is committed or gone, also
    /// when nobody waits for that any more: what is decided meanwhile would not see them.
    pub(crate) async fn exchange_write(
        &self,
        drafts: Vec<Draft>,
        now: Now,
        turn: Option<Guard>,
    ) -> Result<Vec<(Position, Durability)>, ExchangeError> {
        let full = |e: eport_agent::QueueFull| ExchangeError::NotNow {
            code: codes::OVERLOADED,
            detail: e.to_string(),
        };
        let pending = self.inner.log.propose(drafts, now.generation).map_err(full)?;
        let (done, told) = oneshot::channel();
        // As many at once as the journal's queue takes records.
        tokio::spawn(async move {
            let mut outcomes = Vec::with_capacity(pending.len());
            for p in pending {
                outcomes.push(p.outcome.await);
            }
            drop(turn);
            // Whoever asked may be gone.
            let _ = done.send(outcomes);
        });
        let told = timeout(self.inner.config.write_timeout, told).await;
        let outcomes = told.ok().and_then(Result::ok).ok_or_else(blocked)?;
        let stands = |outcome| match outcome {
            Ok(Outcome::Done { position, durability }) => Ok((position, durability)),
            Ok(Outcome::Held | Outcome::NotPrimary { .. }) => {
                let detail = "the platform is changing its primary".to_owned();
                Err(ExchangeError::NotNow { code: codes::FENCED, detail })
            }
            _ => Err(blocked()),
        };
        outcomes.into_iter().map(stands).collect()
    }

    /// Numbers rows of one millisecond in the order in which they are made.
    pub(crate) fn exchange_count(&self) -> u32 {
        self.inner.made.fetch_add(1, Ordering::Relaxed)
    }

    /// Records up to here survive the loss of this site, as far as it is known: as many in-sync backups on other sites as an
    /// answer needs have them, at least one. `ZERO` where no backup stands on another site.
    pub(crate) fn replicated_index(&self) -> JournalIndex {
        let status = self.inner.log.status();
        let status = status.borrow();
        status.elsewhere.map_or(JournalIndex::ZERO, |index| index.min(self.committed_index(&status)))
    }

    /// What a sender need not keep any longer: what is replicated. Where no backup stands on another site that is what is
    /// committed, else such a platform would never let a sender forget anything.
    pub(crate) fn held_index(&self) -> JournalIndex {
        let status = self.inner.log.status();
        let status = status.borrow();
        let committed = self.committed_index(&status);
        status.elsewhere.map_or(committed, |index| index.min(committed))
    }

    fn committed_index(&self, status: &eport_agent::PlatformStatus) -> JournalIndex {
        status.committed.min(self.inner.log.applied().index)
    }

    /// What may be promised of the record of a request that most likely stands at `hint`.
    pub(crate) fn promised_of(&self, hint: JournalIndex, request: &str) -> Result<Durability, Error> {
        let found = crate::read::find(&*self.inner.log, hint, request)?.map(|(header, _)| header.index);
        let held = found.is_some_and(|index| index <= self.replicated_index());
        Ok(if held { Durability::Replicated } else { Durability::Local })
    }

    /// The row that turns about a document are taken by.
    pub(crate) fn reference_of(&self, doc_id: &str) -> Result<Option<Bytes>, Error> {
        let log = &*self.inner.log;
        let doc_id = self.number(doc_id)?;
        let row = crate::read::newest(log, &doc_id)?;
        Ok(row.map(|row| documents::reference(&row.lodged_by, &row.doc_type, &row.blind)))
    }
}

fn blocked() -> ExchangeError {
    let detail = "the backups have not confirmed it yet".to_owned();
    ExchangeError::NotNow { code: codes::WRITE_BLOCKED, detail }
}
