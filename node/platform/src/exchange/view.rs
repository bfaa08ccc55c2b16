//! What people see of the exchange: channels, inboxes, dead letters; where a document stands and why.

use super::rows::{self, AlertRow, DeadRow};
use crate::platform::Platform;
use crate::rows::DocumentRow;
use crate::{Error, Scope, read};
use bytes::Bytes;
use eport_api_types::{
    AgencyPart, ChannelItem, DocumentTrace, ExchangeStatus, InboxSummary, WhyItem, rfc3339,
};
use eport_exchange::{AgencyFacts, Dispatch, Facts, Passage, Source, why};
use eport_model::{Epoch, RegionCode, Timestamp};
use std::collections::BTreeSet;
use std::sync::PoisonError;

/// What the pump last saw of a channel.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ChannelView {
    /// Rows that are acknowledged and not held yet; as many as the windows of the lanes allow.
    pub waiting: BTreeSet<Bytes>,
    /// Epoch of the receiver.
    pub receiver: Option<Epoch>,
    /// The newest message that the receiver has from here.
    pub last: Option<(Epoch, u64)>,
    /// Why the last offer took nothing.
    pub trouble: Option<String>,
    /// When the receiver last answered.
    pub answered: Option<Timestamp>,
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
                acknowledged: view.waiting.len() as u64,
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

    /// Where a document is, what it waits for, who must act; each answer names the record it rests on. An agency is told by its own
    /// part and its own receipts alone.
    pub fn trace(&self, doc_id: &str, scope: &Scope) -> Result<Option<DocumentTrace>, Error> {
        let log = &*self.inner.log;
        let Some(row) = read::newest(log, doc_id)? else { return Ok(None) };
        let mut dispatch = self.dispatch_of(doc_id, row.doc_version)?.unwrap_or_default();
        let record = read::position(log, &row)?.map(|p| Source { epoch: p.epoch, index: p.index });
        let mut receipts = self.receipts(doc_id)?;
        if let Some(code) = scope.agency() {
            dispatch.parts.retain(|p| p.agency == code);
            receipts.retain(|r| r.agency == code || r.agency.starts_with("platform/"));
        }
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
        let replicated = record.is_none_or(|r| r.index <= self.replicated_index());
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
        Ok(match view.trouble {
            _ if view.waiting.contains(&part.row[..]) => Passage::Acknowledged,
            Some(trouble) => Passage::Blocked(trouble),
            None => Passage::Queued,
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
