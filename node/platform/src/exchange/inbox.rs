//! The inbox of an agency that is attached here: what waits, in order; acknowledgements.

use super::ExchangeError;
use super::letters::{Stray, unreadable};
use super::rows::{self, AckRow, IdRow, Origin};
use super::sending::request;
use crate::keys::decrypt;
use crate::platform::Platform;
use crate::{Error, read};
use bytes::Bytes;
use eport_api_types::{InboxItem, rfc3339};
use eport_envelope::Part as Sealed;
use eport_exchange::{Kind, Recipient, Standing};
use eport_model::{Digest, Draft, Durability, Effect, Position, RecordKind};
use futures::future::BoxFuture;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Longest wait for something new.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// Bodies of one answer together, in bytes.
const BODIES_MAX: usize = 8 << 20;

/// Rows that show nothing and are put aside at once.
const STRAY_MAX: usize = 256;

/// An acknowledged message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Acknowledged {
    /// True when it was acknowledged before.
    pub repeated: bool,
    /// The record that says so; `None` when it is repeated.
    pub position: Option<Position>,
    /// What the answer promises.
    pub durability: Durability,
}

impl Platform {
    /// What waits for an agency, oldest first, after a message or from the start; waits up to `wait` for the first. An item shows
    /// until it is acknowledged: after a failover also again, under the same id. A row that cannot be read becomes a dead letter, and
    /// the rest is shown.
    pub fn inbox<'a>(
        &'a self,
        agency: &'a str,
        after: Option<&'a Digest>,
        limit: usize,
        wait: Duration,
    ) -> BoxFuture<'a, Result<Vec<InboxItem>, ExchangeError>> {
        Box::pin(async move {
            let until = Instant::now() + wait.min(WAIT_MAX);
            let mut status = self.inner.log.status();
            loop {
                status.borrow_and_update();
                self.exchange_now()?;
                let (platform, name) = (self.clone(), agency.to_owned());
                let after = after.copied();
                let found =
                    tokio::task::spawn_blocking(move || platform.inbox_now(&name, after, limit)).await;
                let page = found.map_err(|e| ExchangeError::NotNow {
                    code: eport_model::codes::INTERNAL,
                    detail: e.to_string(),
                })??;
                let stray = !page.stray.is_empty();
                self.put_aside(page.stray).await?;
                if !page.items.is_empty() {
                    return Ok(page.items);
                }
                // What was put aside has made room for the next page.
                if stray {
                    continue;
                }
                match timeout_at(until, status.changed()).await {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) | Err(_) => return Ok(Vec::new()),
                }
            }
        })
    }

    fn inbox_now(
        &self,
        agency: &str,
        after: Option<Digest>,
        limit: usize,
    ) -> Result<InboxPage, ExchangeError> {
        let log = &*self.inner.log;
        let mut after = match after {
            Some(id) => self.id_row(&id)?.map(|row| row.place).filter(|place| !place.is_empty()),
            None => None,
        };
        let limit = limit.clamp(1, self.inner.config.page_max);
        let (mut page, mut bytes) = (InboxPage::default(), 0);
        while page.items.len() < limit && bytes < BODIES_MAX && page.stray.len() < STRAY_MAX {
            let found = log.scan(&rows::inbox_of(agency), after.as_deref(), limit)?;
            let Some((last, _)) = found.last() else { break };
            after = Some(last.clone());
            for (key, value) in found {
                match self.shown_item(&key, &value, agency) {
                    Ok(Some((item, len))) => {
                        bytes += len;
                        page.items.push(item);
                    }
                    Ok(None) => page.stray.push(Stray { key, value, reason: "" }),
                    Err(error) => match unreadable(&error) {
                        Some(reason) => page.stray.push(Stray { key, value, reason }),
                        None if matches!(error, Error::NoPack { .. }) => {}
                        None => return Err(error.into()),
                    },
                }
                if page.items.len() >= limit || bytes >= BODIES_MAX || page.stray.len() >= STRAY_MAX {
                    break;
                }
            }
        }
        Ok(page)
    }

    /// The item of an inbox row with the length of its body; `None`: the row is left of a message that stands elsewhere.
    fn shown_item(
        &self,
        key: &Bytes,
        value: &[u8],
        agency: &str,
    ) -> Result<Option<(InboxItem, usize)>, Error> {
        let Some(id) = rows::id_in(value) else { return Ok(None) };
        match self.id_row(&id)?.filter(|row| row.place == *key) {
            Some(row) => self.inbox_item(&id, row, agency).map(Some),
            None => Ok(None),
        }
    }

    pub(crate) fn id_row(&self, id: &Digest) -> Result<Option<IdRow>, Error> {
        let key = rows::id(id);
        self.inner.log.get(&key)?.map(|value| rows::decode(&key, &value)).transpose()
    }

    fn inbox_item(&self, id: &Digest, row: IdRow, agency: &str) -> Result<(InboxItem, usize), Error> {
        let log = &*self.inner.log;
        let withdrawn = row.entry.standing == Standing::Withdrawn;
        let body: Option<Vec<u8>> = match &row.origin {
            _ if withdrawn => None,
            Origin::Own => match read::version(log, &row.document.doc_id, row.document.doc_version)? {
                Some(document) => self.part_of(&document, agency)?,
                None => None,
            },
            Origin::Record { request, hint } => {
                let found = read::find(log, *hint, request)?;
                let body = match found {
                    Some((header, _)) => log.body(header.index, 0)?.filter(|b| !b.is_empty()),
                    None => None,
                };
                let ring = self.inner.config.keys.need()?;
                body.map(|b| decrypt(&ring, request, Sealed::Request, &b)).transpose()?
            }
            Origin::Empty => None,
        };
        let len = body.as_ref().map_or(0, Vec::len);
        let kind = if withdrawn { Kind::Withdrawal } else { row.kind };
        let item = InboxItem {
            msg_id: id.to_string(),
            kind: kind.word().into(),
            platform: row.document.owner.to_string(),
            at: log.region().to_string(),
            epoch: row.entry.source.epoch,
            doc_type: row.document.doc_type,
            doc_id: row.document.doc_id,
            doc_version: row.document.doc_version,
            function_code: row.document.function_code,
            lodged_by: row.document.lodged_by,
            received_at: rfc3339(row.document.received_at),
            digest: row.entry.digest.to_string(),
            replaces: row.replaces,
            read: row.entry.shown().to_string(),
            erased: body.is_none() && !withdrawn,
            body: body.and_then(|b| serde_json::from_slice(&b).ok()).unwrap_or_default(),
        };
        Ok((item, len))
    }

    /// An agency has what a message carried. `read` names what it was shown ([`InboxItem::read`]): what has taken its place since,
    /// or made it void, is not acknowledged by it. Doing it again changes nothing.
    pub fn acknowledge<'a>(
        &'a self,
        agency: &'a str,
        id: &'a Digest,
        read: &'a Digest,
        caller: &'a str,
    ) -> BoxFuture<'a, Result<Acknowledged, ExchangeError>> {
        Box::pin(async move {
            let key = rows::id(id);
            let turn = self.exchange_turn([key.clone()].into()).await?;
            let now = self.exchange_now()?;
            let unknown = || ExchangeError::Unknown(format!("no message {id} was sent to {agency} here"));
            let row = self.id_row(id)?.ok_or_else(unknown)?;
            if row.recipient != Recipient::Agency(agency.to_owned()) || row.place.is_empty() {
                return Err(unknown());
            }
            if row.entry.shown() != *read {
                return Err(ExchangeError::Changed(id.to_string()));
            }
            let name = format!("ack/{id}");
            if let Some(ack) = row.acked {
                let durability = self.promised_of(ack.hint, &name)?;
                return Ok(Acknowledged { repeated: true, position: None, durability });
            }
            let place = row.place.clone();
            let row = IdRow { acked: Some(AckRow { at: now.time, hint: now.hint }), ..row };
            let draft = Draft {
                request: Some(request(name, caller, None, now.time)),
                effects: vec![Effect::Put { key, value: rows::encode(&row) }, Effect::Delete { key: place }],
                ..Draft::bare(RecordKind::Entry, now.time)
            };
            let written = self.exchange_write(vec![draft], now, Some(turn)).await?.pop();
            let (position, durability) = written.map_or((None, Durability::Local), |(p, d)| (Some(p), d));
            Ok(Acknowledged { repeated: false, position, durability })
        })
    }
}

/// Items of an inbox, and rows of it that show none.
#[derive(Default)]
struct InboxPage {
    items: Vec<InboxItem>,
    stray: Vec<Stray>,
}
