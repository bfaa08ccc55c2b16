//! The sending side: which channels have something, the heads of their lanes, an offer, what leaves the outbox; routes for what has
//! none; what is left of the outbox when an agency is attached at last.

use super::letters::{Stray, unreadable};
use super::outbox::about;
use super::rows::{self, Dead, DeadRow, Matter, OutboxRow, ReceiptRow};
use super::{ExchangeError, Outbox, Overlay, reason_in_words};
use crate::keys::decrypt;
use crate::platform::Platform;
use crate::rows::DocumentRow;
use crate::{Error, read};
use bytes::Bytes;
use eport_envelope::Part as Sealed;
use eport_exchange::{
    Dispatch, Document, Done, Head, LANE_WINDOW, Message, Offer, RECEIPT_LEN_MAX, Receipt, Recipient, Source,
};
use eport_model::{
    Draft, Effect, Epoch, EpochHistory, RecordHeader, RecordKind, RegionCode, RequestRef, Timestamp, codec,
};
use std::collections::{BTreeMap, BTreeSet};

/// Rows that get a route in one turn.
const ROUTED_MAX: usize = 64;

/// A row whose message cannot be made: it becomes a dead letter here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsendable {
    /// The row.
    pub key: Bytes,
    /// Why.
    pub reason: &'static str,
}

/// What can be offered of the rows that were picked.
#[derive(Debug)]
pub struct Offered {
    /// The offer.
    pub offer: Offer,
    /// The row of each of its messages.
    pub keys: Vec<Bytes>,
    /// Rows of which no message can be made.
    pub unsendable: Vec<Unsendable>,
}

impl Platform {
    /// Platforms that something waits for.
    pub fn channels(&self) -> Result<BTreeSet<RegionCode>, Error> {
        let (log, mut out) = (&*self.inner.log, BTreeSet::new());
        let mut after: Option<Bytes> = None;
        // One look a channel: the next begins behind every row of the one found.
        while let Some((key, _)) = log.scan(rows::OUTBOX, after.as_deref(), 1)?.pop() {
            let Some((region, _)) = rows::way_of(&key) else { break };
            out.extend(region.parse::<RegionCode>().ok());
            after = Some([rows::OUTBOX, region.as_bytes(), b"0"].concat().into());
        }
        Ok(out)
    }

    /// The lanes of a channel.
    pub(crate) fn lanes(&self, to: Option<RegionCode>) -> Result<Vec<String>, Error> {
        let (log, mut out) = (&*self.inner.log, Vec::new());
        let prefix = rows::outbox_of(to);
        let mut after: Option<Bytes> = None;
        while let Some((key, _)) = log.scan(&prefix, after.as_deref(), 1)?.pop() {
            let Some((_, lane)) = rows::way_of(&key) else { break };
            out.push(lane.to_owned());
            after = Some([&prefix[..], lane.as_bytes(), &[1]].concat().into());
        }
        Ok(out)
    }

    /// The heads of a channel's lanes: rows in order with the bytes of their bodies.
    pub fn lane_heads(&self, to: RegionCode) -> Result<BTreeMap<String, Vec<(Bytes, usize)>>, Error> {
        let mut out = BTreeMap::new();
        for lane in self.lanes(Some(to))? {
            let found = self.inner.log.scan(&rows::lane_of(Some(to), &lane), None, LANE_WINDOW)?;
            let mut heads = Vec::with_capacity(found.len());
            for (key, value) in found {
                // One that cannot be read is found out when its message is to be made.
                let bytes = rows::decode::<OutboxRow>(&key, &value).map_or(0, |row| row.bytes as usize);
                heads.push((key, bytes));
            }
            out.insert(lane, heads);
        }
        Ok(out)
    }

    /// An offer of these rows, as far as messages can be made of them. A row of which none can be made is named; behind one that
    /// waits for its pack the rest of its lane waits too.
    pub fn offer(
        &self,
        to: RegionCode,
        picked: &[Bytes],
        expects: Option<Epoch>,
        history: EpochHistory,
    ) -> Result<Offered, ExchangeError> {
        let now = self.exchange_now()?;
        let (mut messages, mut keys, mut unsendable) =
            (Vec::with_capacity(picked.len()), Vec::new(), Vec::new());
        let mut waiting: BTreeSet<&str> = BTreeSet::new();
        for key in picked {
            let lane = rows::way_of(key).map_or("", |(_, lane)| lane);
            if waiting.contains(lane) {
                continue;
            }
            let mut dead = |reason| unsendable.push(Unsendable { key: key.clone(), reason });
            match self.made(key) {
                // It left the outbox since it was picked, which only a resend does.
                Ok(None) => {}
                Ok(Some(Ok(message))) => {
                    keys.push(key.clone());
                    messages.push(message);
                }
                Ok(Some(Err(reason))) => dead(reason),
                Err(error) => match unreadable(&error) {
                    Some(reason) => dead(reason),
                    None if matches!(error, Error::NoPack { .. }) => drop(waiting.insert(lane)),
                    None => return Err(error.into()),
                },
            }
        }
        let offer = Offer { from: self.region(), to, epoch: now.epoch, expects, history, messages };
        Ok(Offered { offer, keys, unsendable })
    }

    fn made(&self, key: &[u8]) -> Result<Option<Result<Message, &'static str>>, Error> {
        let Some(value) = self.inner.log.get(key)? else { return Ok(None) };
        self.message(&rows::decode(key, &value)?).map(Some)
    }

    /// The message of an outbox row.
    fn message(&self, row: &OutboxRow) -> Result<Result<Message, &'static str>, Error> {
        let log = &*self.inner.log;
        let head = |source: Source| Head {
            id: row.id,
            kind: row.kind,
            recipient: row.recipient.clone(),
            source,
            digest: row.digest,
        };
        if let Matter::Withdrawal { document, lost } = &row.matter {
            let (document, body) = (document.clone(), Bytes::new());
            return Ok(Ok(Message { head: head(*lost), document, body }));
        }
        let Some((header, _)) = read::find(log, row.hint, &row.request)? else {
            return Ok(Err("E-XCH-DOCUMENT"));
        };
        let source = Source { epoch: header.epoch, index: header.index };
        let made = match &row.matter {
            Matter::Part { doc_id, doc_version } => self.part_message(row, doc_id, *doc_version)?,
            Matter::Receipt { agency, number } => self.receipt_message(agency, number)?,
            Matter::Withdrawal { .. } => Err("E-XCH-DOCUMENT"),
        };
        Ok(made.map(|(document, body)| Message { head: head(source), document, body }))
    }

    fn part_message(
        &self,
        row: &OutboxRow,
        doc_id: &str,
        version: u32,
    ) -> Result<Result<(Document, Bytes), &'static str>, Error> {
        let Recipient::Agency(agency) = &row.recipient else { return Ok(Err("E-XCH-AGENCY")) };
        let Some(document) = read::version(&*self.inner.log, doc_id, version)? else {
            return Ok(Err("E-XCH-DOCUMENT"));
        };
        let Some(part) = self.part_of(&document, agency)? else { return Ok(Err("E-XCH-ERASED")) };
        if eport_model::Digest::of(&part) != row.digest {
            return Ok(Err("E-XCH-CONTENT"));
        }
        Ok(Ok((about(self.region(), doc_id, &document), part.into())))
    }

    fn receipt_message(
        &self,
        agency: &str,
        number: &str,
    ) -> Result<Result<(Document, Bytes), &'static str>, Error> {
        let Some((row, receipt)) = self.receipt_row(agency, number)? else { return Ok(Err("E-XCH-RECEIPT")) };
        let document = Document {
            owner: receipt.owner,
            doc_type: String::new(),
            doc_id: receipt.doc_id.clone(),
            doc_version: receipt.doc_version,
            function_code: String::new(),
            lodged_by: String::new(),
            received_at: row.received_at,
        };
        Ok(Ok((document, receipt.encode().into())))
    }

    /// A receipt that is stored here.
    pub(crate) fn receipt_row(
        &self,
        agency: &str,
        number: &str,
    ) -> Result<Option<(ReceiptRow, Receipt)>, Error> {
        let key = rows::receipt(agency, number);
        let Some(value) = self.inner.log.get(&key)? else { return Ok(None) };
        let row: ReceiptRow = rows::decode(&key, &value)?;
        let request = rows::id_of_receipt(agency, number);
        let plain = decrypt(&*self.inner.config.keys.need()?, &request, Sealed::Columns, &row.sealed)?;
        let receipt = codec::decode_with_limit(&plain, RECEIPT_LEN_MAX)
            .map_err(|source| Error::Row { key: request, source })?;
        Ok(Some((row, receipt)))
    }

    /// A stored version as readers are shown it, with its record; `None` once its content was erased.
    pub(crate) fn shown(&self, row: &DocumentRow) -> Result<Option<(RecordHeader, Vec<u8>)>, Error> {
        let log = &*self.inner.log;
        let Some((header, _)) = read::record(log, row)? else { return Ok(None) };
        let body = log.body(header.index, row.body)?.filter(|b| !b.is_empty());
        let Some(body) = body else { return Ok(None) };
        let sealed = if row.body == 0 { Sealed::Request } else { Sealed::Shown };
        let shown = decrypt(&*self.inner.config.keys.need()?, &row.request(), sealed, &body)?;
        Ok(Some((header, shown)))
    }

    /// The part of a stored version that an agency gets, by the pack it was judged by; `None` once its content was erased.
    pub(crate) fn part_of(&self, row: &DocumentRow, agency: &str) -> Result<Option<Vec<u8>>, Error> {
        let request = row.request();
        let Some((header, shown)) = self.shown(row)? else { return Ok(None) };
        let at = header.request.as_ref().map_or(header.time, |r| r.accepted_at);
        let unreadable = || Error::Content { request: request.chars().take(96).collect() };
        let absent = || Error::NoPack { doc_type: row.doc_type.chars().take(64).collect() };
        let packs = self.inner.packs.at(at).map_err(|_| absent())?;
        let kind = packs.get(&row.doc_type).ok_or_else(absent)?;
        let parts = kind.projections_of(&shown, &*self.inner.tables, at).map_err(|_| unreadable())?;
        Ok(parts.into_iter().find(|p| p.agency == agency).map(|p| p.body))
    }

    /// Takes rows out of the outbox: those that the receiver holds, and those that never take effect.
    pub async fn sent(&self, to: RegionCode, done: Done<Bytes>) -> Result<(), ExchangeError> {
        let now = self.exchange_now()?;
        let mut effects = Vec::with_capacity(done.held.len() + 2 * done.dead.len());
        effects.extend(done.held.into_iter().map(|key| Effect::Delete { key }));
        for (key, reason, detail) in done.dead {
            let Some(value) = self.inner.log.get(&key)? else { continue };
            let lane = rows::way_of(&key).map_or_else(String::new, |(_, lane)| lane.to_owned());
            let what = match rows::decode::<OutboxRow>(&key, &value) {
                Ok(row) => Dead::Row(row),
                Err(_) => {
                    let id = eport_model::Digest::of(&key);
                    Dead::Unreadable { id, key: key.clone(), value, about: None }
                }
            };
            let dead = DeadRow {
                to: Some(to),
                lane,
                reason: reason.chars().take(32).collect(),
                detail: detail.chars().take(200).collect(),
                at: now.time,
                what,
            };
            effects.push(Effect::Put { key: rows::dead(&dead.what.id()), value: rows::encode(&dead) });
            effects.push(Effect::Delete { key });
        }
        if effects.is_empty() {
            return Ok(());
        }
        let draft = Draft { effects, ..Draft::bare(RecordKind::Entry, now.time) };
        self.exchange_write(vec![draft], now, None).await.map(drop)
    }

    /// Makes dead letters of rows of which no message can be made.
    pub async fn unsendable(&self, to: RegionCode, rows: Vec<Unsendable>) -> Result<(), ExchangeError> {
        let dead = rows.into_iter().filter(|u| !u.reason.is_empty());
        let dead = dead.map(|u| (u.key, u.reason.to_owned(), reason_in_words(u.reason).to_owned())).collect();
        self.sent(to, Done { held: Vec::new(), dead }).await
    }

    /// Gives a route to what had none, a bounded number of rows; true when there may be more.
    pub async fn route_waiting(&self) -> Result<bool, ExchangeError> {
        let (routes, owner) = (self.inner.config.routes.clone(), self.region());
        let (mut due, mut stray) = (Vec::new(), Vec::new());
        for waiting in self.lanes(None)? {
            let Some((agency, lane)) = waiting.split_once('|') else { continue };
            if routes.route(agency, owner).is_none() {
                continue;
            }
            for (key, value) in self.inner.log.scan(&rows::lane_of(None, &waiting), None, ROUTED_MAX)? {
                let Ok(row) = rows::decode::<OutboxRow>(&key, &value) else {
                    stray.push(Stray { key, value, reason: "E-XCH-ROW" });
                    continue;
                };
                if let Matter::Part { doc_id, doc_version } = row.matter.clone() {
                    due.push((key, row, lane.to_owned(), doc_id, doc_version));
                }
            }
            if due.len() >= ROUTED_MAX {
                break;
            }
        }
        due.truncate(ROUTED_MAX);
        self.put_aside(stray).await?;
        if due.is_empty() {
            return Ok(false);
        }
        let mut keys = BTreeSet::new();
        for (_, _, _, doc_id, _) in &due {
            keys.extend(self.reference_of(doc_id)?);
        }
        let turn = self.exchange_turn(keys).await?;
        let now = self.exchange_now()?;
        let log = &*self.inner.log;
        let mut overlay = Overlay::new(log);
        for (key, row, lane, doc_id, version) in &due {
            if log.get(key)?.is_none() {
                continue;
            }
            let Some(document) = read::version(log, doc_id, *version)? else { continue };
            let mut newest = *version;
            // What an amendment did not touch stands in the rows of later versions too.
            while let Some(mut dispatch) = overlay.row::<Dispatch>(&rows::dispatch(doc_id, newest))? {
                let Some(n) = dispatch.parts.iter().position(|p| p.message == row.id) else { break };
                if newest == *version {
                    let mut made = self.exchange_count();
                    let mut outbox = Outbox {
                        log,
                        routes: &*routes,
                        epoch: row.epoch,
                        time: now.time,
                        request: &row.request,
                        hint: row.hint,
                        made: &mut made,
                    };
                    outbox.send(&mut overlay, doc_id, &document, lane, &mut dispatch.parts[n])?;
                } else if let Some(first) = overlay.row::<Dispatch>(&rows::dispatch(doc_id, *version))?
                    && let Some(part) = first.parts.iter().find(|p| p.message == row.id)
                {
                    (dispatch.parts[n].at, dispatch.parts[n].row) = (part.at, part.row.clone());
                }
                overlay.put(rows::dispatch(doc_id, newest), rows::encode(&dispatch));
                newest += 1;
            }
            overlay.delete(key.clone());
        }
        let effects = overlay.take();
        let draft = Draft { effects, ..Draft::bare(RecordKind::Entry, now.time) };
        self.exchange_write(vec![draft], now, Some(turn)).await?;
        Ok(true)
    }
}

/// The request behind a record of the exchange.
pub(crate) fn request(id: String, caller: &str, body: Option<u16>, time: Timestamp) -> RequestRef {
    RequestRef { id, caller: caller.to_owned(), body, signature: None, accepted_at: time, replaces: None }
}
