//! Messages of tail records that operators have given up: who got one is told that it is void. Written once for each.

use super::ExchangeError;
use super::rows::{self, Matter, OutboxRow};
use super::{Overlay, outbox::about};
use crate::platform::Platform;
use crate::resubmit::TailDocument;
use crate::rows::{self as documents, ReferenceRow};
use crate::tails::{TailError, TailSource};
use bytes::Bytes;
use eport_exchange::{Dispatch, Document, Kind, Recipient, Source};
use eport_model::{Draft, Effect, Record, RecordKind};
use eport_store::read_tail;

/// Most messages withdrawn in one record; the rest follows in the next.
const GROUP: usize = 256;

/// A version of a document that was given up, with who had been sent something.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GivenUp {
    dispatch: Dispatch,
    document: Document,
    /// The record that was lost.
    lost: Source,
    request: String,
    lane: String,
}

/// How much of a tail is given up, as a row says it.
fn extent(tail: &TailSource) -> Bytes {
    let count = (tail.discarded.len() as u64).to_be_bytes();
    Bytes::from([&count[..], &[u8::from(tail.all_discarded)]].concat())
}

impl Platform {
    /// Whether the messages of everything that is given up of this tail were withdrawn. What cannot be read is tried again later.
    pub fn is_withdrawn(&self, tail: &TailSource) -> bool {
        let row = self.inner.log.get(&rows::given_up(&tail.id));
        row.is_ok_and(|row| row == Some(extent(tail)))
    }

    /// What of a tail was given up and may have been sent to somebody. A document that was lodged again replaces its message by
    /// itself.
    pub fn messages_given_up(&self, tail: &TailSource) -> Result<Vec<GivenUp>, TailError> {
        let (mut out, mut failed) = (Vec::new(), None);
        read_tail(&tail.manifest, |record| {
            if failed.is_none() && tail.is_discarded(record.index()) {
                match self.given_up(&record) {
                    Ok(found) => out.extend(found),
                    Err(error) => failed = Some(error),
                }
            }
            Ok(())
        })?;
        failed.map_or(Ok(out), |error| Err(error.into()))
    }

    fn given_up(&self, record: &Record) -> Result<Option<GivenUp>, crate::Error> {
        let Some(document) = TailDocument::of(record)? else { return Ok(None) };
        let place = rows::dispatch(&document.doc_id, document.row.doc_version);
        let sent = record.effects.iter().find_map(|effect| match effect {
            Effect::Put { key, value } if *key == place => Some(value),
            _ => None,
        });
        let Some(value) = sent else { return Ok(None) };
        let known = self.inner.log.get(document.reference())?;
        let known: Option<ReferenceRow> =
            known.map(|value| documents::decode(document.reference(), &value)).transpose()?;
        if known.is_some_and(|row| row.contents.len() >= document.row.doc_version as usize) {
            return Ok(None);
        }
        let lane = document.row.pack_version.split(' ').next().unwrap_or_default().to_owned();
        Ok(Some(GivenUp {
            dispatch: rows::decode(&place, value)?,
            document: about(self.region(), &document.doc_id, &document.row),
            lost: Source { epoch: record.header.epoch, index: record.header.index },
            request: document.row.request(),
            lane,
        }))
    }

    /// Writes withdrawals for messages that were given up, and that it is done.
    pub async fn withdraw(&self, tail: &TailSource, parts: Vec<GivenUp>) -> Result<(), ExchangeError> {
        for group in parts.chunks(GROUP) {
            let now = self.exchange_now()?;
            let mut overlay = Overlay::new(&*self.inner.log);
            for one in group {
                let elsewhere = |p: &&eport_exchange::Part| {
                    p.sent
                        && p.version == one.document.doc_version
                        && p.at.is_some_and(|r| r != self.region())
                };
                for part in one.dispatch.parts.iter().filter(elsewhere) {
                    let mark = rows::withdrawn(&part.message, one.lost);
                    if overlay.get(&mark)?.is_some() {
                        continue;
                    }
                    overlay.put(mark, Bytes::new());
                    let row = OutboxRow {
                        id: part.message,
                        kind: Kind::Withdrawal,
                        recipient: Recipient::Agency(part.agency.clone()),
                        digest: part.digest,
                        bytes: 0,
                        request: one.request.clone(),
                        epoch: now.epoch,
                        hint: now.hint,
                        matter: Matter::Withdrawal { document: one.document.clone(), lost: one.lost },
                        resent: 0,
                    };
                    let n = self.exchange_count();
                    let key = rows::outbox(part.at, &one.lane, now.time, n, &part.message);
                    overlay.put(key, rows::encode(&row));
                }
            }
            let effects = overlay.take();
            if !effects.is_empty() {
                let draft = Draft { effects, ..Draft::bare(RecordKind::Entry, now.time) };
                self.exchange_write(vec![draft], now, None).await?;
            }
        }
        let now = self.exchange_now()?;
        let done = Effect::Put { key: rows::given_up(&tail.id), value: extent(tail) };
        let draft = Draft { effects: vec![done], ..Draft::bare(RecordKind::Entry, now.time) };
        self.exchange_write(vec![draft], now, None).await.map(drop)
    }
}
