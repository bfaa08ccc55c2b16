//! Dead letters: messages that cannot take effect and rows that cannot be read, each with its reason, out of the way of the rest;
//! and how they are sent again.

use super::rows::{self, AlertRow, Dead, DeadRow, Matter, OutboxRow};
use super::{ExchangeError, Overlay, reason_in_words};
use crate::Error;
use crate::platform::Platform;
use bytes::Bytes;
use eport_api_types::{DeadLetter, ReceiptAlert, rfc3339};
use eport_exchange::{Dispatch, Document, Recipient};
use eport_model::{Digest, Draft, RecordKind, RegionCode};
use std::collections::BTreeSet;

/// Dead letters and alerts listed at once.
const LISTED_MAX: usize = 1_000;

/// A row of an inbox that shows no item.
pub(crate) struct Stray {
    pub(crate) key: Bytes,
    pub(crate) value: Bytes,
    /// Why it cannot be read; empty for what is left of a message that stands elsewhere.
    pub(crate) reason: &'static str,
}

/// The reason by which an error is this row's own, and no other's; `None`: it may be gone a moment later, or concerns everything.
pub(crate) fn unreadable(error: &Error) -> Option<&'static str> {
    match error {
        Error::Row { .. } => Some("E-XCH-ROW"),
        Error::Envelope { .. } | Error::Content { .. } => Some("E-XCH-UNREADABLE"),
        Error::Store(_)
        | Error::NoKey
        | Error::NoPack { .. }
        | Error::Compared(_)
        | Error::Parameter { .. } => None,
    }
}

/// A dead letter that was put back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Resent {
    /// How often it was sent again.
    pub attempts: u32,
    /// Where it goes; `None`: its agency is attached nowhere.
    pub to: Option<RegionCode>,
}

impl Platform {
    /// Takes rows of an inbox out of the way: what cannot be read becomes a dead letter.
    pub(crate) async fn put_aside(&self, stray: Vec<Stray>) -> Result<(), ExchangeError> {
        if stray.is_empty() {
            return Ok(());
        }
        let now = self.exchange_now()?;
        let mut overlay = Overlay::new(&*self.inner.log);
        for Stray { key, value, reason } in stray {
            if !reason.is_empty() {
                let id = rows::id_in(&value).unwrap_or_else(|| Digest::of(&key));
                let about = self.id_row(&id).ok().flatten().map(|row| row.document);
                let dead = DeadRow {
                    to: None,
                    lane: rows::agency_of(&key).map(|a| format!("agency/{a}")).unwrap_or_default(),
                    reason: reason.to_owned(),
                    detail: reason_in_words(reason).to_owned(),
                    at: now.time,
                    what: Dead::Unreadable { id, key: key.clone(), value, about },
                };
                overlay.put(rows::dead(&id), rows::encode(&dead));
            }
            overlay.delete(key);
        }
        let draft = Draft { effects: overlay.take(), ..Draft::bare(RecordKind::Entry, now.time) };
        self.exchange_write(vec![draft], now, None).await.map(drop)
    }

    /// Messages that cannot take effect, and answers that a person must look at.
    pub fn dead_letters(&self) -> Result<(Vec<DeadLetter>, Vec<ReceiptAlert>), Error> {
        let log = &*self.inner.log;
        let mut letters = Vec::new();
        for (key, value) in log.scan(rows::DEAD, None, LISTED_MAX)? {
            // One that cannot be read hides no other.
            match rows::decode::<DeadRow>(&key, &value) {
                Ok(dead) => letters.push(letter(log.region(), &dead)),
                Err(error) => tracing::warn!(region = %log.region(), %error, "a dead letter cannot be read"),
            }
        }
        let mut alerts = Vec::new();
        for (key, value) in log.scan(rows::ALERTS, None, LISTED_MAX)? {
            let row: AlertRow = rows::decode(&key, &value)?;
            let Some((doc_id, agency)) = rows::alert_of(&key) else { continue };
            alerts.push(ReceiptAlert {
                doc_id: doc_id.to_owned(),
                doc_version: row.doc_version,
                agency: agency.to_owned(),
                agency_receipt_no: row.number,
                code: row.code,
                note: row.note,
                owner: format!("operators of {}", log.region()),
                at: rfc3339(row.at),
            });
        }
        Ok((letters, alerts))
    }

    /// Puts a dead letter back into the outbox, behind what waits there, or what could not be read where it was; `None`: there is
    /// none of this id.
    pub async fn resend(&self, id: &Digest) -> Result<Option<Resent>, ExchangeError> {
        let key = rows::dead(id);
        let mut keys = BTreeSet::from([key.clone()]);
        let about = |dead: &DeadRow| match &dead.what {
            Dead::Row(OutboxRow { matter: Matter::Part { doc_id, doc_version }, .. }) => {
                Some((doc_id.clone(), *doc_version))
            }
            _ => None,
        };
        let first = Overlay::new(&*self.inner.log).row::<DeadRow>(&key)?;
        if let Some((doc_id, _)) = first.as_ref().and_then(about) {
            keys.extend(self.reference_of(&doc_id)?);
        }
        let turn = self.exchange_turn(keys).await?;
        let now = self.exchange_now()?;
        let mut overlay = Overlay::new(&*self.inner.log);
        let Some(dead) = overlay.row::<DeadRow>(&key)? else { return Ok(None) };
        overlay.delete(key);
        let part = about(&dead);
        let (attempts, to) = match dead.what {
            Dead::Unreadable { key, value, .. } => {
                overlay.put(key, value);
                (1, dead.to)
            }
            Dead::Row(row) => {
                let row = OutboxRow { resent: row.resent.saturating_add(1), ..row };
                let routes = &self.inner.config.routes;
                let to = match &row.recipient {
                    Recipient::Agency(agency) => {
                        let found = routes.route(agency, self.region());
                        found.filter(|r| *r != self.region()).or(dead.to)
                    }
                    Recipient::Platform(region) => Some(*region),
                };
                let lane = dead.lane.rsplit('|').next().unwrap_or_default();
                let lane = match (&row.recipient, to) {
                    (Recipient::Agency(agency), None) => format!("{agency}|{lane}"),
                    _ => lane.to_owned(),
                };
                let place = rows::outbox(to, &lane, now.time, self.exchange_count(), id);
                if let Some((doc_id, version)) = part {
                    put_place(&mut overlay, &doc_id, version, id, (to, &place))?;
                }
                let attempts = row.resent;
                overlay.put(place, rows::encode(&row));
                (attempts, to)
            }
        };
        let draft = Draft { effects: overlay.take(), ..Draft::bare(RecordKind::Entry, now.time) };
        self.exchange_write(vec![draft], now, Some(turn)).await?;
        Ok(Some(Resent { attempts, to }))
    }
}

/// Says in the rows of a document where its message lies now, also in those of later versions that did not touch it.
fn put_place(
    overlay: &mut Overlay<'_>,
    doc_id: &str,
    version: u32,
    id: &Digest,
    (to, place): (Option<RegionCode>, &Bytes),
) -> Result<(), Error> {
    let mut version = version;
    while let Some(mut dispatch) = overlay.row::<Dispatch>(&rows::dispatch(doc_id, version))? {
        let Some(part) = dispatch.parts.iter_mut().find(|p| p.message == *id) else { break };
        (part.at, part.row) = (to, place.to_vec());
        overlay.put(rows::dispatch(doc_id, version), rows::encode(&dispatch));
        version += 1;
    }
    Ok(())
}

fn letter(region: RegionCode, dead: &DeadRow) -> DeadLetter {
    let row = match &dead.what {
        Dead::Row(row) => row,
        Dead::Unreadable { id, about, .. } => return unreadable_letter(region, dead, id, about.as_ref()),
    };
    let (doc_id, doc_version) = match &row.matter {
        rows::Matter::Part { doc_id, doc_version } => (doc_id.clone(), *doc_version),
        rows::Matter::Withdrawal { document, .. } => (document.doc_id.clone(), document.doc_version),
        rows::Matter::Receipt { agency, number } => (format!("{agency}|{number}"), 0),
    };
    // Where the receiver has other content under the id its operators know more; everything else is the sender's to mend.
    let owner = match (dead.reason.as_str(), dead.to) {
        ("E-XCH-CONTENT" | "E-XCH-POSITION" | "E-XCH-DOCUMENT" | "E-XCH-AGENCY", Some(to)) => to,
        _ => region,
    };
    DeadLetter {
        msg_id: row.id.to_string(),
        kind: row.kind.word().into(),
        recipient: row.recipient.to_string(),
        to: dead.to.map(|r| r.to_string()),
        doc_id,
        doc_version,
        reason: dead.reason.clone(),
        detail: dead.detail.clone(),
        owner: format!("operators of {owner}"),
        attempts: row.resent,
        at: rfc3339(dead.at),
    }
}

fn unreadable_letter(
    region: RegionCode,
    dead: &DeadRow,
    id: &Digest,
    about: Option<&Document>,
) -> DeadLetter {
    DeadLetter {
        msg_id: id.to_string(),
        kind: "unreadable".into(),
        recipient: dead.lane.clone(),
        to: dead.to.map(|r| r.to_string()),
        doc_id: about.map(|d| d.doc_id.clone()).unwrap_or_default(),
        doc_version: about.map_or(0, |d| d.doc_version),
        reason: dead.reason.clone(),
        detail: dead.detail.clone(),
        owner: format!("operators of {region}"),
        attempts: 0,
        at: rfc3339(dead.at),
    }
}
