//! Consignments of a platform and their milestones, followed from the journal: derived, kept in memory, made again when the journal
//! under it was rewound.
//!
//! What always holds: only applied records count, each once, in order; a position whose digest is no longer that of the journal ends
//! the whole store, which is then made anew; nothing here is written anywhere.

use crate::platform::Platform;
use crate::rows::{self, DocumentRow};
use crate::{Error, exchange, read};
use eport_documents::{DocumentType, Passage, Trigger};
use eport_exchange::{Dispatch, ReceiptKind};
use eport_model::{Code, Coded, Effect, JournalIndex, Position, Record, RecordKind, Timestamp, codes};
use eport_timeliness::{Event, Fact, Mark, Store, document_key};
use serde_json::{Map, Value, json};
use std::sync::{Arc, MutexGuard, PoisonError};

/// Bytes of records read at a time.
const READ_BYTES: usize = 8 << 20;
/// Memory of one platform's store at most: 4 GiB, about 12 million consignments.
const BYTES_MAX: u64 = 4 << 30;
/// Local time that months are counted in, where no pack says otherwise: Asia/Shanghai.
pub const OFFSET_MINUTES: i32 = 480;

/// What was followed so far.
#[derive(Debug, Default)]
pub struct Followed {
    /// Consignments.
    pub store: Store,
    /// The last record that it holds.
    pub at: Option<Position>,
    /// Documents whose content was erased or is of a pack that is not here: they count nowhere.
    pub unread: u64,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// The journal could not be read.
    #[error(transparent)]
    Read(#[from] Error),
    /// The store would take more memory than it may.
    #[error(
        "the consignments of platform {region} take {bytes} bytes of memory; at most {BYTES_MAX} are allowed"
    )]
    Full {
        /// The platform.
        region: eport_model::RegionCode,
        /// What they take.
        bytes: u64,
    },
}

impl Coded for FollowError {
    fn code(&self) -> Code {
        match self {
            FollowError::Read(e) => e.code(),
            FollowError::Full { .. } => codes::STATISTICS_TOO_LARGE,
        }
    }
}

impl Platform {
    /// The store as of the last applied record. Reads the journal: not for async threads. What was followed before stays.
    pub fn consignments(&self) -> Result<MutexGuard<'_, Followed>, FollowError> {
        let log = &*self.inner.log;
        let mut kept = self.inner.followed.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |at: Position| -> Result<bool, Error> {
            Ok(log.header(at.index)?.is_some_and(|(_, digest)| digest == at.digest))
        };
        if let Some(at) = kept.at
            && !same(at)?
        {
            *kept = Followed::default();
        }
        let applied = log.applied();
        let mut from = kept.at.map_or(JournalIndex::from_u64(0), |at| at.index).next();
        while from <= applied.index {
            let records = log.read(from, READ_BYTES).map_err(Error::from)?;
            let Some(last) = records.last() else { break };
            from = last.index().next();
            for record in records.iter().take_while(|r| r.index() <= applied.index) {
                self.follow(&mut kept, record)?;
            }
            let end = records.iter().rev().map(|r| r.index()).find(|i| *i <= applied.index);
            if let Some((index, Some((header, digest)))) =
                end.map(|i| log.header(i).map(|h| (i, h))).transpose().map_err(Error::from)?
            {
                kept.at = Some(Position { epoch: header.epoch, index, digest });
            }
            let bytes = kept.store.bytes();
            if bytes > BYTES_MAX {
                return Err(FollowError::Full { region: self.region(), bytes });
            }
        }
        Ok(kept)
    }

    fn follow(&self, kept: &mut Followed, record: &Record) -> Result<(), Error> {
        if record.header.kind != RecordKind::Entry {
            return Ok(());
        }
        for effect in &record.effects {
            let Effect::Put { key, value } = effect else { continue };
            if let Some(id) = rows::doc_id_of_document(key) {
                let row: DocumentRow = rows::decode(key, value)?;
                let wrote = record.header.request.as_ref().is_some_and(|r| r.id == row.request());
                if wrote {
                    self.accepted(kept, id, &row)?;
                }
                if row.state == eport_documents::State::Withdrawn {
                    kept.store.mark(id, Mark::Void);
                }
            } else if key.starts_with(b"x/r/") {
                self.receipt_followed(kept, record, key)?;
            }
        }
        Ok(())
    }

    /// A version of a document was accepted.
    fn accepted(&self, kept: &mut Followed, id: &str, row: &DocumentRow) -> Result<(), Error> {
        let Some((kind, passage)) = self.passage_of(row, Trigger::Acceptance)? else {
            kept.unread += u64::from(self.may_tell(row));
            return Ok(());
        };
        let recorded = row.received_at.as_millis().div_euclid(1_000);
        if let Some(mut c) = passage.consignment {
            c.document = id.to_owned();
            kept.store.consign(&c);
        }
        if let Some(u) = passage.uploaded {
            let event = Event {
                id: u.event,
                source: format!("{}/{}", row.lodged_by, u.system),
                milestone: u.milestone,
                at: u.at,
                recorded,
                corrects: u.corrects,
                retracts: u.retracts,
            };
            let fact = Fact { subject: u.subject, event, rank: u.rank, place: u.place };
            kept.store.happened(&fact, kind.pack.utc_offset_minutes);
        }
        for (n, passed) in passage.passed.into_iter().enumerate() {
            // A later version was submitted later: the first submission stays.
            if passed.at.is_none() && row.doc_version > 1 {
                continue;
            }
            let event = Event {
                id: format!("{id}#{}#{n}", row.doc_version),
                source: row.lodged_by.clone(),
                milestone: passed.code,
                at: passed.at.unwrap_or(recorded),
                recorded,
                corrects: (row.doc_version > 1).then(|| format!("{id}#{}#{n}", row.doc_version - 1)),
                retracts: None,
            };
            put(&mut kept.store, (id, passed.subjects, passed.rank), &event, kind.pack.utc_offset_minutes);
        }
        Ok(())
    }

    /// A receipt came; where it moved the document into a state, that may be a milestone.
    fn receipt_followed(&self, kept: &mut Followed, record: &Record, key: &[u8]) -> Result<(), Error> {
        let Some((agency, number)) = exchange::receipt_name(key) else { return Ok(()) };
        let Some((row, receipt)) = self.receipt_row(&agency, &number)? else { return Ok(()) };
        if !row.applied || receipt.kind != ReceiptKind::Business {
            return Ok(());
        }
        let place = exchange::dispatch_key(&row.doc_id, row.doc_version);
        let stage = record.effects.iter().find_map(|e| match e {
            Effect::Put { key, value } if *key == place => exchange::decode_row::<Dispatch>(key, value).ok(),
            _ => None,
        });
        let Some(stage) = stage.and_then(|d| d.stage) else { return Ok(()) };
        let log = &*self.inner.log;
        let Some(document) = read::version(log, &row.doc_id, row.doc_version)? else { return Ok(()) };
        let Some((kind, passage)) = self.passage_of(&document, Trigger::State(&stage))? else {
            return Ok(());
        };
        let cause = (receipt.agency.clone(), receipt.code.clone());
        if kind.life_cycle.as_ref().is_none_or(|c| c.receipts.get(&cause) != Some(&stage)) {
            return Ok(());
        }
        if let Some(c) = &kind.consignment {
            if c.dutiable_on.contains(&stage) {
                kept.store.mark(&row.doc_id, Mark::Dutiable);
            }
            if c.void_on.contains(&stage) {
                kept.store.mark(&row.doc_id, Mark::Void);
            }
        }
        for passed in passage.passed {
            let event = Event {
                id: format!("{agency}|{number}#{}", passed.code),
                source: agency.clone(),
                milestone: passed.code,
                at: passed.at.unwrap_or(receipt.event_time.as_millis().div_euclid(1_000)),
                recorded: row.received_at.as_millis().div_euclid(1_000),
                corrects: None,
                retracts: None,
            };
            let about = (row.doc_id.as_str(), passed.subjects, passed.rank);
            put(&mut kept.store, about, &event, kind.pack.utc_offset_minutes);
        }
        Ok(())
    }

    pub(crate) fn kind_of(&self, row: &DocumentRow) -> Option<Arc<DocumentType>> {
        let packs = self.inner.packs.at(row.received_at).ok()?;
        packs.get(&row.doc_type).cloned()
    }

    fn may_tell(&self, row: &DocumentRow) -> bool {
        self.kind_of(row).is_none_or(|k| k.tells())
    }

    /// What a version of a document says; `None` where it says nothing, or cannot be read any more.
    pub(crate) fn passage_of(
        &self,
        row: &DocumentRow,
        trigger: Trigger<'_>,
    ) -> Result<Option<(Arc<DocumentType>, Passage)>, Error> {
        let Some(kind) = self.kind_of(row).filter(|k| k.tells()) else { return Ok(None) };
        let Some((_, shown)) = self.shown(row)? else { return Ok(None) };
        let passage = kind.passage(&shown, trigger, &*self.inner.tables, row.received_at).ok();
        Ok(passage.map(|p| (kind, p)))
    }
}

impl Platform {
    /// The document of an event that somebody uploads, as the packs in force at `at` declare it; `None` where none takes events.
    pub fn uploaded_event(&self, body: &Map<String, Value>, at: Timestamp) -> Option<Value> {
        let packs = self.inner.packs.at(at).ok()?;
        let kind = packs.types().find(|kind| kind.upload.is_some())?;
        let upload = kind.upload.as_ref()?;
        let text = |field: &String| body.get(field).and_then(Value::as_str).unwrap_or_default();
        Some(json!({
            "doc_type": &*kind.doc_type, "doc_version": 1,
            "client_ref": format!("{}:{}", text(&upload.system), text(&upload.event)),
            "function_code": kind.function_codes.first.first(), "body": body,
        }))
    }
}

fn put(store: &mut Store, about: (&str, Option<Vec<String>>, u8), event: &Event, offset_minutes: i32) {
    let (document, subjects, rank) = about;
    for subject in subjects.unwrap_or_else(|| vec![document_key(document)]) {
        store.happened(&Fact { subject, event: event.clone(), rank, place: String::new() }, offset_minutes);
    }
}
