//! The rules of one document in journal order: repetition, version, table versions at record time, number, rows to write.
//!
//! Called by the sequencer only, for documents whose reference has no record in flight: what is read here is committed.

use crate::Error;
use crate::job::{Settled, Stored};
use crate::log::Log;
use crate::numbers::Numbers;
use crate::platform::{SharedPacks, SharedTables};
use crate::prepare::Prepared;
use crate::read;
use crate::rows::{self, DocumentRow, ReferenceRow};
use bytes::Bytes;
use eport_documents::{DocId, Document, Failure, Refusal, State, VersionStep};
use eport_model::{
    CONTENT_READ, Draft, Durability, Effect, Epoch, JournalIndex, ReadVersion, RecordKind, RequestRef,
    Timestamp,
};
use std::sync::Arc;
use tracing::{debug, warn};

/// What the rules know while they look at one group.
pub(crate) struct Moment {
    pub(crate) epoch: Epoch,
    /// Role generation all this was read under.
    pub(crate) generation: u64,
    pub(crate) blocks: Vec<(u64, u64)>,
    pub(crate) time: Timestamp,
    /// Where the next record most likely stands.
    pub(crate) index: JournalIndex,
    /// The platform takes as much disk as its quota allows.
    pub(crate) disk_full: bool,
    /// What the policy says of answers.
    pub(crate) promise: Promise,
}

/// What the policy says of answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Promise {
    /// Every answer must say `replicated`.
    pub(crate) demanded: bool,
    /// No answer ever says it.
    pub(crate) never: bool,
}

/// What the rules say about one document.
pub(crate) enum Verdict {
    Propose { draft: Box<Draft>, doc_id: DocId, state: State, warnings: Vec<Failure> },
    Repeat(Stored),
    Settle(Settled),
}

/// What the rules read, and where numbers come from.
pub(crate) struct Rules {
    pub(crate) log: Arc<dyn Log>,
    pub(crate) packs: SharedPacks,
    pub(crate) tables: SharedTables,
    pub(crate) numbers: Numbers,
    /// Where agencies are attached.
    pub(crate) routes: crate::SharedRoutes,
    /// Counts rows of the exchange within a millisecond.
    pub(crate) made: u32,
}

impl Rules {
    /// Decides about one document, given the row of its reference.
    pub(crate) fn decide(
        &mut self,
        p: &Prepared,
        row: Option<Bytes>,
        moment: &Moment,
    ) -> Result<Verdict, Error> {
        let known: Option<ReferenceRow> = row.map(|v| rows::decode(&p.reference, &v)).transpose()?;
        let newest = known.as_ref().map(|r| u32::try_from(r.contents.len()).unwrap_or(u32::MAX));
        let asked = p.key.doc_version;
        match (VersionStep::of(newest, asked), known) {
            (VersionStep::Known, Some(row)) => self.known(p, &row),
            (VersionStep::Next, known) => self.next(p, known, moment),
            (VersionStep::Gap | VersionStep::Known, _) => {
                let detail = match newest {
                    Some(n) => {
                        format!("version {n} is the newest; {} would be the next", n.saturating_add(1))
                    }
                    None => "a first submission has version 1".to_owned(),
                };
                let code = p.document.kind.pack.codes.version.clone();
                let failures = vec![Failure { path: "/doc_version".into(), code, detail }];
                Ok(Verdict::Settle(Settled::Refused(Refusal::Rules { failures })))
            }
        }
    }

    fn known(&self, p: &Prepared, row: &ReferenceRow) -> Result<Verdict, Error> {
        let same = row.contents.get(p.key.doc_version as usize - 1) == Some(&p.content);
        if !same {
            return Ok(Verdict::Settle(Settled::Different { doc_id: row.doc_id.clone() }));
        }
        let lost = |what: &str| {
            Ok(Verdict::Settle(Settled::Failed {
                detail: format!("{what} of {} is not stored here", row.doc_id),
            }))
        };
        let Some(document) = read::version(&*self.log, &row.doc_id, p.key.doc_version)? else {
            return lost("a row");
        };
        let Some(position) = read::position(&*self.log, &document)? else { return lost("the record") };
        Ok(Verdict::Repeat(Stored {
            doc_id: row.doc_id.clone(),
            doc_version: document.doc_version,
            state: document.state,
            position,
            durability: Durability::Local,
            warnings: p.document.warnings.clone(),
            repeated: true,
        }))
    }

    fn next(&mut self, p: &Prepared, known: Option<ReferenceRow>, moment: &Moment) -> Result<Verdict, Error> {
        if let Some(origin) = &p.origin {
            return self.next_of_tail(p, origin, known, moment);
        }
        // What was accepted once, here or in a tail, is never turned away for space; only what is new is.
        if moment.disk_full {
            return Ok(Verdict::Settle(Settled::DiskFull));
        }
        if moment.promise.never && (moment.promise.demanded || p.document.kind.replicated) {
            return Ok(Verdict::Settle(Settled::Unpromisable));
        }
        let packs = match self.packs.at(moment.time) {
            Ok(packs) => packs,
            Err(refusal) => return Ok(Verdict::Settle(Settled::Refused(refusal))),
        };
        let kind = &p.document.kind;
        let same_pack = packs.get(&kind.doc_type).is_some_and(|now| Arc::ptr_eq(now, kind));
        // Tables, packs and the day may have changed between the judgement and this record's time.
        let again = if same_pack && p.document.holds_at(&*self.tables, moment.time) {
            None
        } else {
            debug!(key = %p.key, "judged again: a table, a pack or the day changed");
            match Document::judge(&p.plain, &packs, &*self.tables, moment.time) {
                Ok(document) => Some(document),
                Err(refusal) => return Ok(Verdict::Settle(Settled::Refused(refusal))),
            }
        };
        let document = again.as_ref().unwrap_or(&p.document);
        let doc_id = match &known {
            Some(row) => row.doc_id.parse().ok(),
            None => match self.numbers.take(&moment.blocks) {
                Some(number) => DocId::new(
                    document.number_letter,
                    moment.time,
                    document.kind.pack.utc_offset_minutes,
                    number,
                ),
                None => {
                    warn!(region = %self.log.region(), epoch = %moment.epoch, "document numbers are used up");
                    None
                }
            },
        };
        let Some(doc_id) = doc_id else { return Ok(Verdict::Settle(Settled::NoNumbers)) };
        let before = match &known {
            Some(row) => self.log.get(&rows::document(&row.doc_id))?,
            None => None,
        };
        let warnings = document.warnings.clone();
        let (draft, state) = self.draft(p, document, doc_id, known, before, moment)?;
        Ok(Verdict::Propose { draft: Box::new(draft), doc_id, state, warnings })
    }

    pub(crate) fn draft(
        &mut self,
        p: &Prepared,
        document: &Document,
        doc_id: DocId,
        known: Option<ReferenceRow>,
        before: Option<Bytes>,
        moment: &Moment,
    ) -> Result<(Draft, State), Error> {
        let id = doc_id.to_string();
        let first = known.is_none();
        let mut reference =
            known.unwrap_or_else(|| ReferenceRow { doc_id: id.clone(), contents: Vec::with_capacity(1) });
        let previous = reference.contents.last().copied();
        reference.contents.push(p.content);
        let judged_again;
        let parts = if std::ptr::eq(document, &p.document) {
            &p.parts
        } else {
            judged_again = crate::exchange::parts_of(document, &self.tables, moment.time);
            &judged_again
        };
        let mut row = DocumentRow {
            doc_version: p.key.doc_version,
            doc_type: p.key.doc_type.clone(),
            blind: p.blind,
            columns: p.columns.clone(),
            lodged_by: p.key.lodged_by.clone(),
            function_code: document.function_code.clone(),
            state: State::Checked,
            received_at: moment.time,
            hint: moment.index,
            content: p.content,
            previous,
            pack_version: format!("{} {}", document.kind.pack.name, document.kind.pack.version),
            body: u16::from(p.normalised.is_some()),
        };
        let old: Option<DocumentRow> =
            before.as_ref().map(|value| rows::decode(id.as_bytes(), value)).transpose()?;
        let sending = row.request();
        let mut outbox = crate::exchange::Outbox {
            log: &*self.log,
            routes: &*self.routes,
            epoch: moment.epoch,
            time: moment.time,
            request: &sending,
            hint: moment.index,
            made: &mut self.made,
        };
        let sent = outbox.accept(&id, &row, &document.kind, parts, old.as_ref())?;
        row.state = sent.state;
        let put = |key: Bytes, value: Bytes| Effect::Put { key, value };
        let mut effects = Vec::with_capacity(6 + sent.effects.len());
        effects.push(put(rows::document(&id), rows::encode(&row)));
        effects.push(put(p.reference.clone(), rows::encode(&reference)));
        if let (Some(value), Some(old)) = (before, old) {
            if old.state != row.state {
                effects.push(Effect::Delete { key: rows::state(&old.doc_type, old.state, &id) });
            }
            effects.push(put(rows::version(&id, old.doc_version), value));
        }
        effects.push(put(rows::state(&row.doc_type, row.state, &id), Bytes::new()));
        // Numbers of versions before stay: whoever has one of them still finds the document.
        effects
            .extend(p.numbers.iter().map(|(n, kind)| put(rows::number(n, &id), Bytes::from(kind.clone()))));
        if first {
            effects.push(put(Bytes::from_static(rows::CURSOR), self.numbers.row()));
        }
        let accepted = p.origin.as_ref().map_or(moment.time, |o| o.accepted_at);
        effects.extend(crate::accounts::planned(
            &*self.log,
            self.log.region(),
            document,
            &doc_id,
            &p.reference,
            moment.index,
            (moment.time, accepted),
            &p.caller,
        )?);
        effects.extend(sent.effects);
        let mut bodies = Vec::with_capacity(2);
        bodies.push(p.body.clone());
        bodies.extend(p.normalised.clone());
        let request = RequestRef {
            id: p.request.clone(),
            caller: p.caller.clone(),
            body: Some(0),
            signature: p.signature.clone(),
            accepted_at: moment.time,
            replaces: None,
        };
        let mut reads: Vec<ReadVersion> = document.versions().map(|v| v.read()).collect();
        reads.push(ReadVersion { name: CONTENT_READ.to_owned(), version: p.commitment.to_string() });
        reads.extend(p.compared_with.iter().cloned());
        let draft = Draft {
            kind: RecordKind::Entry,
            time: moment.time,
            request: Some(request),
            reads,
            effects,
            bodies,
        };
        Ok((draft, row.state))
    }
}
