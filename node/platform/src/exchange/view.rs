//! What people see of the exchange: channels, inboxes, dead letters; where a document stands and why.

use super::rows::{self, AlertRow, DeadRow, OutboxRow};
use super::{ExchangeError, Overlay};
use crate::platform::Platform;
use crate::rows::DocumentRow;
use crate::{Error, read};
use bytes::Bytes;
use eport_api_types::{
    AgencyPart, ChannelItem, DeadLetter, DocumentTrace, ExchangeStatus, InboxSummary, ReceiptAlert, WhyItem,
    rfc3339,
};
use eport_exchange::{AgencyFacts, Dispatch, Facts, Passage, Source, why};
use eport_model::{Digest, Draft, Effect, Epoch, RecordKind, RegionCode, Timestamp};
use std::sync::PoisonError;

/// Dead letters and alerts listed at once.
const LISTED_MAX: usize = 1_000;

/// What the pump last saw of a channel.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ChannelView {
    /// Acknowledged, not held yet.
    pub waiting: u64,
    /// Epoch of the receiver.
    pub receiver: Option<Epoch>,
    /// The newest message that the receiver has from here.
    pub last: Option<(Epoch, u64)>,
    /// Why the last offer took nothing.
    pub trouble: Option<String>,
    /// When the receiver last answered.
    pub answered: Option<Timestamp>,
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
    /// Says how a channel is.
    pub fn note_channel(&self, to: RegionCode, view: ChannelView) {
        self.inner.channels.lock().unwrap_or_else(PoisonError::into_inner).insert(to, view);
    }

    fn channel_view(&self, to: RegionCode) -> ChannelView {
        let channels = self.inner.channels.lock().unwrap_or_else(PoisonError::into_inner);
        channels.get(&to).cloned().unwrap_or_default()
    }

    /// The exchange of this platform as a whole.
    pub fn exchange_status(&self) -> Result<ExchangeStatus, Error> {
        let log = &*self.inner.log;
        let mut channels = Vec::new();
        let mut known = self.channels()?;
        known.extend(self.inner.channels.lock().unwrap_or_else(PoisonError::into_inner).keys());
        for to in known {
            let lanes = self.lanes(Some(to))?;
            let mut oldest: Option<Timestamp> = None;
            for lane in &lanes {
                let first = log.scan(&rows::lane_of(Some(to), lane), None, 1)?.pop();
                let time = first.and_then(|(key, _)| rows::time_of(&key));
                oldest = [oldest, time].into_iter().flatten().min();
            }
            let view = self.channel_view(to);
            channels.push(ChannelItem {
                to: to.to_string(),
                rows: log.count(&rows::outbox_of(Some(to)))?,
                lanes,
                oldest: oldest.map(rfc3339),
                acknowledged: view.waiting,
                receiver_epoch: view.receiver,
                last_received: view.last.map(|(_, index)| index),
                last_received_epoch: view.last.map(|(epoch, _)| epoch),
                trouble: view.trouble,
                answered: view.answered.map(rfc3339),
            });
        }
        let mut inboxes = Vec::new();
        let mut after: Option<Bytes> = None;
        while let Some((key, _)) = log.scan(rows::INBOXES, after.as_deref(), 1)?.pop() {
            let Some(agency) = rows::agency_of(&key) else { break };
            inboxes.push(InboxSummary {
                agency: agency.to_owned(),
                waiting: log.count(&rows::inbox_of(agency))?,
                oldest: rows::time_of(&key).map(rfc3339),
            });
            after = Some([rows::INBOXES, agency.as_bytes(), &[1]].concat().into());
        }
        Ok(ExchangeStatus {
            region: log.region().to_string(),
            channels,
            inboxes,
            unrouted: log.count(&rows::outbox_of(None))?,
            dead_letters: log.count(rows::DEAD)?,
            alerts: log.count(rows::ALERTS)?,
        })
    }

    /// Messages that cannot take effect, and answers that a person must look at.
    pub fn dead_letters(&self) -> Result<(Vec<DeadLetter>, Vec<ReceiptAlert>), Error> {
        let log = &*self.inner.log;
        let mut letters = Vec::new();
        for (key, value) in log.scan(rows::DEAD, None, LISTED_MAX)? {
            let dead: DeadRow = rows::decode(&key, &value)?;
            letters.push(letter(log.region(), dead));
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

    /// Puts a dead letter back into the outbox, behind what waits there; `None`: there is none of this id.
    pub async fn resend(&self, id: &Digest) -> Result<Option<Resent>, ExchangeError> {
        let key = rows::dead(id);
        let turn = self.exchange_turn([key.clone()].into()).await?;
        let now = self.exchange_now()?;
        let overlay = Overlay::new(&*self.inner.log);
        let Some(dead) = overlay.row::<DeadRow>(&key)? else { return Ok(None) };
        let row = OutboxRow { resent: dead.row.resent.saturating_add(1), ..dead.row };
        let to = match &row.recipient {
            eport_exchange::Recipient::Agency(agency) => self
                .inner
                .config
                .routes
                .route(agency, self.region())
                .filter(|r| *r != self.region())
                .or(dead.to),
            eport_exchange::Recipient::Platform(region) => Some(*region),
        };
        let place = rows::outbox(to, &dead.lane, now.time, self.exchange_count(), id);
        let attempts = row.resent;
        let effects = vec![Effect::Delete { key }, Effect::Put { key: place, value: rows::encode(&row) }];
        let draft = Draft { effects, ..Draft::bare(RecordKind::Entry, now.time) };
        self.exchange_write(vec![draft], now, Some(turn)).await?;
        Ok(Some(Resent { attempts, to }))
    }

    /// Who got a version of a document.
    pub(crate) fn dispatch_of(&self, doc_id: &str, version: u32) -> Result<Option<Dispatch>, Error> {
        let key = rows::dispatch(doc_id, version);
        self.inner.log.get(&key)?.map(|value| rows::decode(&key, &value)).transpose()
    }

    /// Whether a version of a document was sent to an agency.
    pub(crate) fn is_recipient(&self, doc_id: &str, version: u32, agency: &str) -> Result<bool, Error> {
        let dispatch = self.dispatch_of(doc_id, version)?;
        Ok(dispatch.is_some_and(|d| d.parts.iter().any(|p| p.sent && p.agency == agency)))
    }

    /// Where a document is, what it waits for, who must act; each answer names the record it rests on.
    pub fn trace(&self, doc_id: &str) -> Result<Option<DocumentTrace>, Error> {
        let log = &*self.inner.log;
        let Some(row) = read::newest(log, doc_id)? else { return Ok(None) };
        let dispatch = self.dispatch_of(doc_id, row.doc_version)?.unwrap_or_default();
        let record = read::position(log, &row)?.map(|p| Source { epoch: p.epoch, index: p.index });
        let receipts = self.receipts(doc_id)?;
        let mut agencies = Vec::new();
        for part in &dispatch.parts {
            let last = receipts.iter().rev().find(|r| r.agency == part.agency);
            let last = last.and_then(|r| r.position).map(|p| Source { epoch: p.epoch, index: p.index });
            let alert = log.get(&rows::alert(doc_id, &part.agency))?;
            let alert = alert.map(|v| rows::decode::<AlertRow>(b"x/a", &v)).transpose()?;
            agencies.push(AgencyFacts {
                agency: part.agency.clone(),
                role: part.role,
                state: part.state,
                at: part.at,
                passage: self.passage(part)?,
                record: last.or(record),
                unclear: alert.map(|a| a.code),
            });
        }
        let replicated = record.is_none_or(|r| r.index <= self.held_index());
        let stage = dispatch.stage.clone().filter(|_| !dispatch.parts.is_empty());
        let facts = Facts { state: row.state, owner: log.region(), stage, record, replicated, agencies };
        Ok(Some(self.traced(doc_id, &row, &facts, &dispatch, receipts)))
    }

    fn passage(&self, part: &eport_exchange::Part) -> Result<Passage, Error> {
        let log = &*self.inner.log;
        if !part.sent {
            return Ok(Passage::Later(part.after.clone().unwrap_or_default()));
        }
        let key = rows::dead(&part.message);
        if let Some(value) = log.get(&key)? {
            let dead: DeadRow = rows::decode(&key, &value)?;
            return Ok(Passage::Dead(dead.reason, dead.detail));
        }
        let Some(at) = part.at else { return Ok(Passage::Unrouted) };
        if at == log.region() {
            let row = self.id_row(&part.message)?;
            return Ok(match row.is_some_and(|r| r.acked.is_some()) {
                true => Passage::Taken,
                false => Passage::Inbox,
            });
        }
        if log.get(&part.row)?.is_none() {
            return Ok(Passage::Delivered);
        }
        let view = self.channel_view(at);
        Ok(match (view.trouble, view.waiting) {
            (Some(trouble), _) => Passage::Blocked(trouble),
            (None, 1..) => Passage::Acknowledged,
            (None, 0) => Passage::Queued,
        })
    }

    fn traced(
        &self,
        doc_id: &str,
        row: &DocumentRow,
        facts: &Facts,
        dispatch: &Dispatch,
        receipts: Vec<eport_api_types::Receipt>,
    ) -> DocumentTrace {
        let place = |s: Option<Source>| s.map(|s| (s.epoch, s.index.as_u64()));
        let reasons = why(facts).into_iter().map(|w| {
            let record = place(w.record);
            WhyItem {
                agency: w.agency,
                place_zh: w.place.zh,
                place_en: w.place.en,
                waits_zh: w.waits.zh,
                waits_en: w.waits.en,
                actor: w.actor.word().into(),
                holds: w.holds,
                record: record.map(|(_, index)| index),
                record_epoch: record.map(|(epoch, _)| epoch),
            }
        });
        let parts = dispatch.parts.iter().zip(&facts.agencies).map(|(part, facts)| AgencyPart {
            agency: part.agency.clone(),
            role: word(&part.role),
            state: shown_state(part.state, &facts.passage),
            at: part.at.map(|r| r.to_string()),
            passage: passage_word(&facts.passage).into(),
            msg_id: part.message.to_string(),
            sent_version: part.version,
        });
        DocumentTrace {
            doc_id: doc_id.to_owned(),
            doc_version: row.doc_version,
            doc_type: row.doc_type.clone(),
            state: row.state.to_string(),
            stage: facts.stage.clone(),
            record: place(facts.record).map(|(_, index)| index),
            record_epoch: place(facts.record).map(|(epoch, _)| epoch),
            replicated: facts.replicated,
            agencies: parts.collect(),
            receipts,
            why: reasons.collect(),
        }
    }
}

/// The word of a value that is written as one.
fn word<T: serde::Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}

/// The agency's state; before its first answer, how far its part has come.
fn shown_state(state: eport_documents::pack::AgencyState, passage: &Passage) -> String {
    use eport_documents::pack::AgencyState as S;
    let state = match (state, passage) {
        (S::Queued, Passage::Acknowledged | Passage::Blocked(_)) => S::Sent,
        (S::Queued, Passage::Delivered | Passage::Inbox) => S::Delivered,
        (S::Queued, Passage::Taken) => S::Received,
        (state, _) => state,
    };
    word(&state)
}

fn passage_word(passage: &Passage) -> &'static str {
    match passage {
        Passage::Later(_) => "later",
        Passage::Unrouted => "unrouted",
        Passage::Queued => "queued",
        Passage::Blocked(_) => "blocked",
        Passage::Acknowledged => "acknowledged",
        Passage::Delivered => "delivered",
        Passage::Inbox => "inbox",
        Passage::Taken => "taken",
        Passage::Dead(..) => "dead",
    }
}

fn letter(region: RegionCode, dead: DeadRow) -> DeadLetter {
    let (doc_id, doc_version) = match &dead.row.matter {
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
        msg_id: dead.row.id.to_string(),
        kind: dead.row.kind.word().into(),
        recipient: dead.row.recipient.to_string(),
        to: dead.to.map(|r| r.to_string()),
        doc_id,
        doc_version,
        reason: dead.reason,
        detail: dead.detail,
        owner: format!("operators of {owner}"),
        attempts: dead.row.resent,
        at: rfc3339(dead.at),
    }
}
