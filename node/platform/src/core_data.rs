//! The platform's part of the core data set: accepted documents, states and milestones, as the journal has them, under the rules of sharing.
//!
//! What always holds: facts are given in the order of the journal, none left out; each is shared by a rule or is not given; a page ends at
//! the last record that was looked at, whether it gave a fact or not, so a reader that may see little goes on all the same.

use crate::exchange;
use crate::platform::Platform;
use crate::rows::{self, DocumentRow};
use crate::sharing::Viewer;
use crate::{Error, read};
use eport_api_types::rfc3339;
use eport_documents::Trigger;
use eport_exchange::{Dispatch, ReceiptKind};
use eport_model::{Effect, Epoch, JournalIndex, Record, RecordKind, Timestamp};
use eport_sharing::core_data::{Fact, FactKind, Place, id_of, resume};

/// Bytes of records read for one page.
const READ_BYTES: usize = 4 << 20;
/// Facts of one page at most.
const PAGE_MAX: usize = 1_000;

/// A page of facts.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct CorePage {
    /// Facts, in the order of the journal.
    pub facts: Vec<Fact>,
    /// Where to go on.
    pub at: Place,
    /// The last applied record.
    pub applied: u64,
}

impl Platform {
    /// Facts behind a place.
    pub fn core_page(&self, viewer: &Viewer, after: Place, limit: usize) -> Result<CorePage, Error> {
        let log = &*self.inner.log;
        let applied = log.applied().index;
        let epoch_of = |index: JournalIndex| -> Result<Option<Epoch>, Error> {
            Ok(if index > applied { None } else { log.header(index)?.map(|(header, _)| header.epoch) })
        };
        let (from, void) = resume(after, epoch_of)?;
        let epoch = epoch_of(from)?.unwrap_or(Epoch::NONE);
        let mut page =
            CorePage { at: Place { epoch, index: from }, applied: applied.as_u64(), facts: Vec::new() };
        if void {
            page.facts.push(self.rewound(after, from, epoch));
        }
        let limit = limit.clamp(1, PAGE_MAX);
        if from >= applied {
            return Ok(page);
        }
        for record in log.read(from.next(), READ_BYTES)? {
            if record.index() > applied || page.facts.len() >= limit {
                break;
            }
            page.at = Place { epoch: record.header.epoch, index: record.index() };
            self.facts_of(viewer, &record, &mut page.facts)?;
        }
        Ok(page)
    }

    /// What says that facts behind `from` are void. Its id names what the reader had, so a reader is told once.
    fn rewound(&self, had: Place, from: JournalIndex, epoch: Epoch) -> Fact {
        let place = Place { epoch, index: from };
        let mut fact = self.fact(place, (self.inner.clock)(), FactKind::Rewound);
        fact.id = format!("{}/rewound/{}/{}", self.region(), had.epoch.as_u64(), had.index.as_u64());
        fact.void_after = Some(from.as_u64());
        fact
    }

    fn fact(&self, place: Place, time: Timestamp, kind: FactKind) -> Fact {
        Fact {
            id: String::new(),
            platform: self.region(),
            epoch: place.epoch,
            index: place.index,
            time: rfc3339(time),
            kind,
            doc_id: None,
            doc_version: None,
            doc_type: None,
            state: None,
            milestone: None,
            subjects: Vec::new(),
            happened_at: None,
            body: serde_json::Value::Null,
            masked: Vec::new(),
            rules: Vec::new(),
            void_after: None,
        }
    }

    /// The facts of one record, numbered from 0. The number is that of the fact in the record, shared or not.
    fn facts_of(&self, viewer: &Viewer, record: &Record, out: &mut Vec<Fact>) -> Result<(), Error> {
        if record.header.kind != RecordKind::Entry {
            return Ok(());
        }
        let place = Place { epoch: record.header.epoch, index: record.index() };
        let mut n = 0;
        for effect in &record.effects {
            let Effect::Put { key, value } = effect else { continue };
            let found = if let Some(id) = rows::doc_id_of_document(key) {
                let row: DocumentRow = rows::decode(key, value)?;
                self.document_facts(viewer, record, id, &row)?
            } else if key.starts_with(b"x/r/") {
                self.receipt_facts(viewer, record, key)?
            } else {
                continue;
            };
            for fact in found {
                if let Some(fact) = fact {
                    out.push(Fact { id: id_of(self.region(), place, n), ..fact });
                }
                n += 1;
            }
        }
        Ok(())
    }

    /// A document's row: the version that was accepted with the milestones that it tells of, or a state.
    fn document_facts(
        &self,
        viewer: &Viewer,
        record: &Record,
        id: &str,
        row: &DocumentRow,
    ) -> Result<Vec<Option<Fact>>, Error> {
        let place = Place { epoch: record.header.epoch, index: record.index() };
        let accepted = record.header.request.as_ref().is_some_and(|r| r.id == row.request());
        let kind = if accepted { FactKind::Document } else { FactKind::State };
        let Some((shown, rules)) = self.exported(viewer, id, row)? else { return Ok(vec![None]) };
        let mut fact = self.fact(place, record.header.time, kind);
        fact.doc_id = Some(id.to_owned());
        fact.doc_version = Some(row.doc_version);
        fact.doc_type = Some(row.doc_type.clone());
        fact.state = Some(row.state.to_string());
        fact.rules = rules;
        let about = Fact { kind: FactKind::Milestone, state: None, ..fact.clone() };
        if accepted {
            fact.body = shown.body;
            fact.masked = shown.masked;
        }
        let mut out = vec![Some(fact)];
        let passage = if accepted { self.passage_of(row, Trigger::Acceptance)? } else { None };
        let Some((_, passage)) = passage else { return Ok(out) };
        if let Some(u) = passage.uploaded {
            out.push(Some(milestone(&about, u.milestone, vec![u.subject], Some(u.at))));
        }
        for passed in passage.passed {
            let subjects = passed.subjects.unwrap_or_default();
            out.push(Some(milestone(&about, passed.code, subjects, passed.at)));
        }
        Ok(out)
    }

    /// A receipt that moved a document into a state that is a milestone.
    fn receipt_facts(
        &self,
        viewer: &Viewer,
        record: &Record,
        key: &[u8],
    ) -> Result<Vec<Option<Fact>>, Error> {
        let Some((agency, number)) = exchange::receipt_name(key) else { return Ok(Vec::new()) };
        let Some((row, receipt)) = self.receipt_row(&agency, &number)? else { return Ok(Vec::new()) };
        if !row.applied || receipt.kind != ReceiptKind::Business {
            return Ok(Vec::new());
        }
        let named = exchange::dispatch_key(&row.doc_id, row.doc_version);
        let stage = record.effects.iter().find_map(|e| match e {
            Effect::Put { key, value } if *key == named => exchange::decode_row::<Dispatch>(key, value).ok(),
            _ => None,
        });
        let Some(stage) = stage.and_then(|d| d.stage) else { return Ok(Vec::new()) };
        let Some(document) = read::version(&*self.inner.log, &row.doc_id, row.doc_version)? else {
            return Ok(Vec::new());
        };
        let Some((kind, passage)) = self.passage_of(&document, Trigger::State(&stage))? else {
            return Ok(Vec::new());
        };
        let cause = (receipt.agency.clone(), receipt.code.clone());
        if kind.life_cycle.as_ref().is_none_or(|c| c.receipts.get(&cause) != Some(&stage)) {
            return Ok(Vec::new());
        }
        let shared = self.exported(viewer, &row.doc_id, &document)?;
        let Some((_, rules)) = shared else { return Ok(passage.passed.iter().map(|_| None).collect()) };
        let place = Place { epoch: record.header.epoch, index: record.index() };
        let mut about = self.fact(place, record.header.time, FactKind::Milestone);
        about.doc_id = Some(row.doc_id.clone());
        about.doc_version = Some(row.doc_version);
        about.doc_type = Some(document.doc_type.clone());
        about.rules = rules;
        let at = receipt.event_time.as_millis().div_euclid(1_000);
        let fact = |passed: eport_documents::Passed| {
            let subjects = passed.subjects.unwrap_or_default();
            Some(milestone(&about, passed.code, subjects, passed.at.or(Some(at))))
        };
        Ok(passage.passed.into_iter().map(fact).collect())
    }
}

fn milestone(about: &Fact, code: String, subjects: Vec<String>, at: Option<i64>) -> Fact {
    let time = |seconds: i64| rfc3339(Timestamp::from_millis(seconds.saturating_mul(1_000)));
    Fact {
        happened_at: Some(at.map_or_else(|| about.time.clone(), time)),
        milestone: Some(code),
        subjects,
        ..about.clone()
    }
}
