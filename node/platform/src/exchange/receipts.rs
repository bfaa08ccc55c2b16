//! Receipts: handed in by an agency that is attached here, passed on to the platform that owns the document, applied there.

use super::outbox::put_state;
use super::rows::{self, AlertRow, Matter, OutboxRow, ReceiptRow};
use super::sending::request;
use super::{ExchangeError, Now, Outbox, Overlay, reason_in_words};
use crate::keys::encrypt;
use crate::platform::Platform;
use crate::rows::{self as documents, DocumentRow};
use crate::{Error, read};
use bytes::Bytes;
use eport_api_types::{Failure, Receipt as ReceiptItem, rfc3339};
use eport_documents::State;
use eport_envelope::Part as Sealed;
use eport_exchange::{Dispatch, Kind, Receipt, ReceiptKind, Recipient, judge, message_id};
use eport_expression::local_date;
use eport_model::{Digest, Draft, Durability, Effect, Position, RecordKind, RegionCode, codes};
use futures::future::BoxFuture;
use std::collections::BTreeSet;

/// Receipts of a document that are listed.
const LISTED_MAX: usize = 1_000;

/// What became of a receipt.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReceiptGiven {
    /// True when it had been handed in before.
    pub repeated: bool,
    /// True when it is on its way to the platform that owns the document; what it does is decided there.
    pub forwarded: bool,
    /// True when it moved the document or the agency's part.
    pub applied: bool,
    /// Why not, or what a person should know.
    pub note: String,
    /// The document's state after it, where that is known here.
    pub state: Option<String>,
    /// The record that holds it; `None` when it is repeated.
    pub position: Option<Position>,
    /// What the answer promises.
    pub durability: Durability,
}

/// What applying a receipt did.
pub(crate) struct Applied {
    applied: bool,
    note: &'static str,
    state: String,
}

impl Platform {
    /// Takes a receipt of an agency that is attached here. The same number with the same content is the same receipt, for ever.
    pub fn give_receipt<'a>(
        &'a self,
        receipt: Receipt,
        caller: &'a str,
    ) -> BoxFuture<'a, Result<ReceiptGiven, ExchangeError>> {
        Box::pin(async move {
            let faults = receipt.faults();
            if !faults.is_empty() {
                let failure = |f: eport_exchange::ReceiptFault| Failure {
                    path: f.path.into(),
                    code: "E-RCP-FIELD".into(),
                    detail: f.detail,
                };
                return Err(ExchangeError::Fields(faults.into_iter().map(failure).collect()));
            }
            let own = receipt.owner == self.region();
            let mut keys: BTreeSet<Bytes> = [rows::receipt(&receipt.agency, &receipt.number)].into();
            if own {
                keys.extend(self.reference_of(&receipt.doc_id)?);
            }
            let turn = self.exchange_turn(keys).await?;
            let now = self.exchange_now()?;
            if let Some((row, _)) = self.receipt_row(&receipt.agency, &receipt.number)? {
                return self.repeated(&receipt, row, own).await;
            }
            let mut overlay = Overlay::new(&*self.inner.log);
            let id = rows::id_of_receipt(&receipt.agency, &receipt.number);
            let given = if own {
                let applied = self.apply_receipt(&mut overlay, &receipt, &id, None, now)?;
                let applied = applied.map_err(|reason| match reason {
                    "E-XCH-AGENCY" | "E-XCH-DOCUMENT" | "E-XCH-VERSION" => {
                        ExchangeError::Unknown(format!("{reason}: {}", reason_in_words(reason)))
                    }
                    _ => ExchangeError::Dead { reason, detail: reason_in_words(reason).into() },
                })?;
                (false, applied.applied, applied.note.to_owned(), Some(applied.state))
            } else {
                self.pass_on(&mut overlay, &receipt, &id, now)?;
                (true, false, "forwarded".to_owned(), None)
            };
            let draft = Draft {
                request: Some(request(id, caller, None, now.time)),
                effects: overlay.take(),
                ..Draft::bare(RecordKind::Entry, now.time)
            };
            let written = self.exchange_write(vec![draft], now, Some(turn)).await?.pop();
            let (position, durability) = written.map_or((None, Durability::Local), |(p, d)| (Some(p), d));
            let (forwarded, applied, note, state) = given;
            Ok(ReceiptGiven { repeated: false, forwarded, applied, note, state, position, durability })
        })
    }

    /// The first answer again, once it can be as durable as now.
    async fn repeated(
        &self,
        receipt: &Receipt,
        row: ReceiptRow,
        own: bool,
    ) -> Result<ReceiptGiven, ExchangeError> {
        if row.digest != Digest::of(&receipt.encode()) {
            return Err(ExchangeError::Different(receipt.number.clone()));
        }
        let log = &*self.inner.log;
        let durability = self.promised_of(row.hint, &row.request)?;
        let state = match own {
            true => read::newest(log, &self.number(&row.doc_id)?)?.map(|d| d.state.to_string()),
            false => None,
        };
        Ok(ReceiptGiven {
            repeated: true,
            forwarded: !own,
            applied: row.applied,
            note: row.note,
            state,
            position: None,
            durability,
        })
    }

    /// A receipt for a document of another platform: kept here and put into the outbox.
    fn pass_on(
        &self,
        overlay: &mut Overlay<'_>,
        receipt: &Receipt,
        request: &str,
        now: Now,
    ) -> Result<(), ExchangeError> {
        let sent = rows::sent(&receipt.agency, receipt.owner, &receipt.doc_id, receipt.doc_version);
        if overlay.get(&sent)?.is_none() {
            let detail = format!(
                "version {} of {} of platform {} was not sent to {} here",
                receipt.doc_version, receipt.doc_id, receipt.owner, receipt.agency
            );
            return Err(ExchangeError::Unknown(detail));
        }
        self.keep_receipt(overlay, receipt, request, (false, "forwarded"), now)?;
        let recipient = Recipient::Platform(receipt.owner);
        let body = receipt.encode();
        let id = message_id(receipt.owner, &receipt.cause(), &recipient, Kind::Receipt);
        let row = OutboxRow {
            id,
            kind: Kind::Receipt,
            recipient,
            digest: Digest::of(&body),
            bytes: u32::try_from(body.len()).unwrap_or(u32::MAX),
            request: request.to_owned(),
            epoch: now.epoch,
            hint: now.hint,
            matter: Matter::Receipt { agency: receipt.agency.clone(), number: receipt.number.clone() },
            resent: 0,
        };
        // Receipts have a lane of their own beside the packs: answers never wait behind documents.
        let key = rows::outbox(Some(receipt.owner), RECEIPTS, now.time, self.exchange_count(), &id);
        overlay.put(key, rows::encode(&row));
        Ok(())
    }

    fn keep_receipt(
        &self,
        overlay: &mut Overlay<'_>,
        receipt: &Receipt,
        request: &str,
        (applied, note): (bool, &str),
        now: Now,
    ) -> Result<(), Error> {
        let plain = receipt.encode();
        let id = rows::id_of_receipt(&receipt.agency, &receipt.number);
        let row = ReceiptRow {
            digest: Digest::of(&plain),
            sealed: encrypt(&*self.inner.config.keys.need()?, &id, Sealed::Columns, &plain)?,
            owner: receipt.owner,
            doc_id: receipt.doc_id.clone(),
            doc_version: receipt.doc_version,
            received_at: now.time,
            applied,
            note: note.to_owned(),
            request: request.to_owned(),
            hint: now.hint,
        };
        overlay.put(rows::receipt(&receipt.agency, &receipt.number), rows::encode(&row));
        Ok(())
    }

    /// Applies a receipt to a document of this platform; `request` is that of the record that writes it,
    /// `from` the platform that passes it on: the agency's part must have been sent there. `Err` names the reason for which it fits nothing; then nothing was changed.
    pub(crate) fn apply_receipt(
        &self,
        overlay: &mut Overlay<'_>,
        receipt: &Receipt,
        request: &str,
        from: Option<RegionCode>,
        now: Now,
    ) -> Result<Result<Applied, &'static str>, ExchangeError> {
        let log = &*self.inner.log;
        let key = rows::receipt(&receipt.agency, &receipt.number);
        if let Some(known) = overlay.row::<ReceiptRow>(&key)? {
            // Handed in at two platforms: one effect.
            let same = known.digest == Digest::of(&receipt.encode());
            let again = Applied { applied: false, note: "late", state: String::new() };
            return Ok(if same { Ok(again) } else { Err("E-XCH-RECEIPT") });
        }
        let doc_id = self.number(&receipt.doc_id)?;
        let Some(row) = overlay.row::<DocumentRow>(&documents::document(&doc_id))? else {
            return Ok(Err("E-XCH-DOCUMENT"));
        };
        if let Some(from) = from {
            let answered = rows::dispatch(&doc_id, receipt.doc_version);
            let answered: Dispatch = overlay.row(&answered)?.unwrap_or_default();
            let part = answered.parts.iter().find(|p| p.sent && p.agency == receipt.agency);
            if part.is_some_and(|p| p.at != Some(from)) {
                return Ok(Err("E-XCH-SENDER"));
            }
        }
        let place = rows::dispatch(&doc_id, row.doc_version);
        let dispatch: Dispatch = overlay.row(&place)?.unwrap_or_default();
        let packs = read::record(log, &row)?.and_then(|(header, _)| {
            let at = header.request.as_ref().map_or(header.time, |r| r.accepted_at);
            self.inner.packs.at(at).ok()
        });
        let kind = packs.as_ref().and_then(|p| p.get(&row.doc_type));
        let Some(kind) = kind else {
            let detail = format!("the pack of {} is not here", row.doc_type);
            return Err(ExchangeError::NotNow { code: codes::OVERLOADED, detail });
        };
        let mut verdict = match judge(&dispatch, kind.life_cycle.as_ref(), row.doc_version, receipt) {
            Ok(verdict) => verdict,
            Err(reason) => return Ok(Err(reason)),
        };
        for n in std::mem::take(&mut verdict.released) {
            let mut made = self.exchange_count();
            let mut outbox = Outbox {
                log,
                routes: &*self.inner.config.routes,
                epoch: now.epoch,
                time: now.time,
                request,
                hint: now.hint,
                made: &mut made,
            };
            outbox.send(overlay, &doc_id, &row, &kind.pack.name, &mut verdict.dispatch.parts[n])?;
        }
        let state = verdict.dispatch.state();
        if verdict.dispatch != dispatch {
            overlay.put(place, rows::encode(&verdict.dispatch));
        }
        // What an account has refused, no agency accepts.
        let refused = self.document_accounts(&doc_id)?.is_some_and(|a| a.refuses(row.doc_version));
        let state = if refused { State::Rejected } else { state };
        put_state(overlay, &doc_id, &row, state);
        if let Some(stage) =
            verdict.dispatch.stage.as_ref().filter(|_| verdict.dispatch.stage != dispatch.stage)
        {
            let day = local_date(now.time, kind.pack.utc_offset_minutes);
            for effect in self.follow_state(&doc_id, stage, now.hint, (day, now.time), &receipt.agency)? {
                if let Effect::Put { key, value } = effect {
                    overlay.put(key, value);
                }
            }
        }
        self.keep_receipt(overlay, receipt, request, (verdict.applied, verdict.note), now)?;
        overlay.put(rows::receipt_of(&doc_id, now.time, self.exchange_count()), key);
        let alert = rows::alert(&doc_id, &receipt.agency);
        if verdict.alert {
            let row = AlertRow {
                doc_version: receipt.doc_version,
                number: receipt.number.clone(),
                code: receipt.code.clone(),
                note: verdict.note.to_owned(),
                at: now.time,
            };
            overlay.put(alert, rows::encode(&row));
        } else if verdict.applied && receipt.kind == ReceiptKind::Business && overlay.get(&alert)?.is_some() {
            // A later answer that is understood ends it.
            overlay.delete(alert);
        }
        let state = state.to_string();
        Ok(Ok(Applied { applied: verdict.applied, note: verdict.note, state }))
    }

    /// Receipts that came for a document, oldest first.
    pub(crate) fn receipts_that_came(&self, doc_id: &str) -> Result<Vec<ReceiptItem>, Error> {
        let log = &*self.inner.log;
        let mut out = Vec::new();
        for (_, key) in log.scan(&rows::receipts_of(doc_id), None, LISTED_MAX)? {
            let Some(rest) = key.strip_prefix(b"x/r/") else { continue };
            let mut words = rest.splitn(2, |b| *b == 0).map(|w| String::from_utf8_lossy(w).into_owned());
            let (agency, number) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            let Some((row, receipt)) = self.receipt_row(&agency, &number)? else { continue };
            let found = read::find(log, row.hint, &row.request)?;
            out.push(ReceiptItem {
                receipt_id: format!("{agency}|{number}"),
                agency,
                doc_id: doc_id.to_owned(),
                doc_version: receipt.doc_version,
                kind: receipt.kind.word().into(),
                code: receipt.code,
                text: receipt.text,
                event_time: rfc3339(receipt.event_time),
                received_at: Some(rfc3339(row.received_at)),
                applied: Some(row.applied),
                note: row.note,
                position: found.map(|(h, digest)| Position { epoch: h.epoch, index: h.index, digest }),
            });
        }
        Ok(out)
    }
}

/// The lane of receipts.
const RECEIPTS: &str = "receipts";
