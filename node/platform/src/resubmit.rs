//! Submitting a record of a diverged tail again: its stored request goes through today's rules, its effects are never applied.
//!
//! Always holds: a document is *clean* only when everything that its record had read is as it was at the fork: the versions of
//! the same document before it, and the table versions in force when it was accepted. Validity is judged as of that time, order
//! is that of the new record. The new record names the one it replaces, and says in the same write what became of it.

use crate::job::Settled;
use crate::keys::decrypt;
use crate::prepare::{Caller, Prepared};
use crate::rows::{self, DocumentRow, ReferenceRow, TailOutcome, TailRow};
use crate::rules::{Moment, Rules, Verdict};
use crate::{Error, Platform, SubmitAnswer};
use bytes::Bytes;
use eport_documents::{Failure, Refusal, VersionStep};
use eport_envelope::{KeyRing, Part};
use eport_model::{
    CONTENT_READ, Coded, Effect, JournalIndex, Position, ReadVersion, Record, RequestRef, Timestamp, codes,
};

/// Where a document that is submitted again comes from.
#[derive(Debug)]
pub(crate) struct Origin {
    /// The tail.
    pub(crate) tail: String,
    /// The record it replaces.
    pub(crate) replaces: Position,
    /// The number that was answered then.
    pub(crate) doc_id: String,
    pub(crate) accepted_at: Timestamp,
    /// Keyed digests of the versions that the record had found, 1 first.
    pub(crate) before: Vec<eport_model::Digest>,
    /// The other versions it had read.
    pub(crate) reads: Vec<ReadVersion>,
    /// Who has it submitted again.
    pub(crate) by: String,
}

/// Why a person has to look at a record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Conflict {
    pub(crate) code: String,
    pub(crate) detail: String,
}

impl Conflict {
    pub(crate) fn changed(detail: impl Into<String>) -> Self {
        Self { code: codes::TAIL_CHANGED.to_string(), detail: detail.into() }
    }

    fn failures(code: &dyn std::fmt::Display, detail: &str, failures: &[Failure]) -> Self {
        let listed: Vec<String> =
            failures.iter().take(8).map(|f| format!("{} {} {}", f.code, f.path, f.detail)).collect();
        let detail = if listed.is_empty() { detail.to_owned() } else { listed.join("; ") };
        Self { code: code.to_string(), detail }
    }

    pub(crate) fn of(refusal: &Refusal) -> Self {
        Self::failures(&refusal.code(), &refusal.to_string(), &refusal.failures())
    }

    fn of_answer(answer: &SubmitAnswer) -> Self {
        match answer {
            SubmitAnswer::Refused { code, failures, detail } => {
                let listed: Vec<Failure> = failures
                    .iter()
                    .map(|f| Failure { path: f.path.clone(), code: f.code.clone(), detail: f.detail.clone() })
                    .collect();
                Self::failures(code, detail, &listed)
            }
            SubmitAnswer::Unavailable { code, detail, .. } => {
                Self { code: code.to_string(), detail: detail.clone() }
            }
            _ => Self::changed("it cannot be judged"),
        }
    }

    /// Another document stands under the same key.
    pub(crate) fn different(doc_id: &str) -> Self {
        let detail = format!("E-DUP-DIFFERENT: {doc_id} has this key and other content");
        Self { code: codes::DOCUMENT_DUPLICATE.to_string(), detail }
    }
}

/// The document in a record of a tail, as far as its effects tell without a key.
#[derive(Debug)]
pub(crate) struct TailDocument<'a> {
    pub(crate) request: &'a RequestRef,
    pub(crate) doc_id: String,
    pub(crate) row: DocumentRow,
    reference: Bytes,
    /// What the record wrote about its reference: one version more than it had found.
    written: ReferenceRow,
}

impl<'a> TailDocument<'a> {
    /// The document of a record; `None` for a record that carries none.
    pub(crate) fn of(record: &'a Record) -> Result<Option<Self>, Error> {
        let Some(request) = record.header.request.as_ref().filter(|r| r.body.is_some()) else {
            return Ok(None);
        };
        let puts = || {
            record.effects.iter().filter_map(|e| match e {
                Effect::Put { key, value } => Some((key, value)),
                Effect::Delete { .. } => None,
            })
        };
        let found = puts().find_map(|(k, v)| rows::doc_id_of_document(k).map(|id| (id.to_owned(), k, v)));
        let Some((doc_id, key, value)) = found else { return Ok(None) };
        let row: DocumentRow = rows::decode(key, value)?;
        let reference = rows::reference(&row.lodged_by, &row.doc_type, &row.blind);
        let Some((_, value)) = puts().find(|(k, _)| **k == reference) else { return Ok(None) };
        let written = rows::decode(&reference, value)?;
        Ok(Some(Self { request, doc_id, row, reference, written }))
    }

    pub(crate) fn reference(&self) -> &Bytes {
        &self.reference
    }

    /// The versions that the record had found.
    fn before(&self) -> &[eport_model::Digest] {
        self.written.contents.split_last().map_or(&[], |(_, before)| before)
    }

    /// What the rows now say of it, without judging its content: present, in conflict, or neither.
    pub(crate) fn compare(&self, known: Option<&ReferenceRow>) -> Result<Option<String>, Conflict> {
        let newest = known.map(|r| u32::try_from(r.contents.len()).unwrap_or(u32::MAX));
        match (VersionStep::of(newest, self.row.doc_version), known) {
            (VersionStep::Known, Some(now)) => {
                let same = now.contents.get(self.row.doc_version as usize - 1) == Some(&self.row.content);
                if same { Ok(Some(now.doc_id.clone())) } else { Err(Conflict::different(&now.doc_id)) }
            }
            (VersionStep::Next, _) => {
                unchanged(self.before(), known).map_err(Conflict::changed)?;
                Ok(None)
            }
            (VersionStep::Gap | VersionStep::Known, _) => {
                let text = newest.map_or("none".to_owned(), |n| n.to_string());
                Err(Conflict::changed(format!("version {text} is the newest of this document")))
            }
        }
    }

    /// The row of its reference once it is submitted again.
    pub(crate) fn after(&self, known: Option<&ReferenceRow>) -> ReferenceRow {
        let doc_id = known.map_or_else(|| self.doc_id.clone(), |r| r.doc_id.clone());
        ReferenceRow { doc_id, contents: self.written.contents.clone() }
    }

    /// Its request as it was lodged. An erased one is empty.
    fn plain(&self, ring: &KeyRing, record: &Record) -> Result<Vec<u8>, Conflict> {
        let body = self.request.body.and_then(|n| record.bodies.get(usize::from(n)));
        let erased = || Conflict::changed("its content was erased");
        let body = body.filter(|b| !b.is_empty()).ok_or_else(erased)?;
        decrypt(ring, &self.request.id, Part::Request, body)
            .map_err(|e| Conflict { code: e.code().to_string(), detail: e.to_string() })
    }
}

/// The versions found then are those found now.
fn unchanged(before: &[eport_model::Digest], known: Option<&ReferenceRow>) -> Result<(), &'static str> {
    let now = known.map_or(&[][..], |r| &r.contents);
    if before == now {
        Ok(())
    } else {
        Err("earlier versions of this document are not those it was based on")
    }
}

impl Platform {
    /// Judges the request of a tail's document as of when it was accepted. Whether what it rests on is unchanged is seen in
    /// journal order.
    pub(crate) fn prepare_again(
        &self,
        tail: &str,
        record: &Record,
        document: &TailDocument<'_>,
        by: &str,
    ) -> Result<Prepared, Conflict> {
        let ring = self.inner.config.keys.need();
        let ring = ring.map_err(|e| Conflict { code: e.code().to_string(), detail: e.to_string() })?;
        let plain = document.plain(&ring, record)?;
        let TailDocument { request, doc_id, row, .. } = document;
        let caller = Caller { subject: request.caller.clone(), lodged_by: row.lodged_by.clone() };
        let (packs, tables) = (&self.inner.packs, &self.inner.tables);
        let signature = request.signature.clone();
        let judged = Prepared::new(&caller, &plain, signature, &**packs, tables, request.accepted_at, &ring);
        let mut prepared = judged.map_err(|answer| Conflict::of_answer(&answer))?;
        prepared.origin = Some(Origin {
            tail: tail.to_owned(),
            replaces: record.position(),
            doc_id: doc_id.clone(),
            accepted_at: request.accepted_at,
            before: document.before().to_vec(),
            reads: record.header.reads.clone(),
            by: by.to_owned(),
        });
        read_set(&prepared, prepared.origin.as_ref().map_or(&[], |o| &o.reads))?;
        Ok(prepared)
    }
}

/// The tables that judge it now are those that judged it then.
fn read_set(prepared: &Prepared, then: &[ReadVersion]) -> Result<(), Conflict> {
    let mut now: Vec<ReadVersion> = prepared.document.versions().map(|v| v.read()).collect();
    // The commitment to the content is no version of anything; records of older software have none.
    // What it was compared with, was compared when it was accepted.
    let counts =
        |r: &&ReadVersion| r.name != CONTENT_READ && !r.name.starts_with(crate::known::DOCUMENT_READ);
    let mut then: Vec<ReadVersion> = then.iter().filter(counts).cloned().collect();
    let by_name = |a: &ReadVersion, b: &ReadVersion| (&a.name, &a.version).cmp(&(&b.name, &b.version));
    now.sort_by(by_name);
    then.sort_by(by_name);
    let other = now.iter().find(|r| !then.contains(r)).or_else(|| then.iter().find(|r| !now.contains(r)));
    match other {
        None => Ok(()),
        Some(read) => Err(Conflict::changed(format!("{} was judged by another version", read.name))),
    }
}

impl Rules {
    /// A clean document of a tail becomes a record; anything else waits for a person.
    pub(crate) fn next_of_tail(
        &mut self,
        p: &Prepared,
        origin: &Origin,
        known: Option<ReferenceRow>,
        moment: &Moment,
    ) -> Result<Verdict, Error> {
        let refused = |detail: &str| {
            let failure = Failure {
                path: String::new(),
                code: codes::TAIL_CHANGED.to_string(),
                detail: detail.to_owned(),
            };
            Ok(Verdict::Settle(Settled::Refused(Refusal::Rules { failures: vec![failure] })))
        };
        if let Err(detail) = unchanged(&origin.before, known.as_ref()) {
            return refused(detail);
        }
        if !p.document.holds_at(&*self.tables, origin.accepted_at) {
            return refused("a table changed just now");
        }
        // A first version keeps its number. A later one belongs to whatever number its document has now.
        let number = known.as_ref().map_or(&origin.doc_id, |row| &row.doc_id).clone();
        let Ok(doc_id) = number.parse() else { return refused("its document number cannot be read") };
        let before = match &known {
            Some(row) => self.log.get(&rows::document(&row.doc_id))?,
            None => None,
        };
        let (mut draft, state) = self.draft(p, &p.document, doc_id, known, before, moment)?;
        if let Some(request) = &mut draft.request {
            request.accepted_at = origin.accepted_at;
            request.replaces = Some(origin.replaces);
        }
        let outcome = TailRow {
            outcome: TailOutcome::Resubmitted,
            doc_id: Some(number.clone()),
            code: String::new(),
            detail: String::new(),
            by: origin.by.clone(),
            at: moment.time,
        };
        draft.effects.push(tail_effect(&origin.tail, origin.replaces.index, &outcome));
        draft.effects.extend(alias_effect(&origin.doc_id, &number));
        Ok(Verdict::Propose { draft: Box::new(draft), doc_id, state, warnings: p.document.warnings.clone() })
    }
}

/// Writes what became of a record.
pub(crate) fn tail_effect(tail: &str, index: JournalIndex, row: &TailRow) -> Effect {
    Effect::Put { key: rows::tail_record(tail, index), value: rows::encode(row) }
}

/// The number that was answered then names the document for ever.
pub(crate) fn alias_effect(then: &str, now: &str) -> Option<Effect> {
    let value = Bytes::copy_from_slice(now.as_bytes());
    (then != now).then(|| Effect::Put { key: rows::alias(then), value })
}
