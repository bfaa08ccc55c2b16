//! Diverged tails at the primary: counts, a look at each record, re-submission.
//!
//! Always holds: what became of a record is a row of the platform's journal, so it survives a failover and is decided once;
//! present and re-submitted are final. A re-submission may be repeated at any time: what is decided is passed over, what is
//! present is counted, and the business key lets nothing in twice, whichever tail or trader brings it.

use crate::certificates::{CertificateRow, DELEGATE_PROFILE};
use crate::job::Settled;
use crate::platform::Platform;
use crate::resubmit::{Conflict, TailDocument, alias_effect, tail_effect};
use crate::rows::{self, ReferenceRow, TailOutcome, TailRow};
use crate::{Error, SubmitAnswer};
use bytes::Bytes;
use eport_api_types::{TailCounts, TailRecord, rfc3339};
use eport_model::{Code, Coded, Draft, Effect, JournalIndex, Record, RecordKind, RequestRef, codes};
use eport_store::read_tail;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Documents that are handed to the sequencer together.
const GROUP: usize = 256;
/// Conflicts listed in one answer.
const LISTED_MAX: usize = 100;
/// Outcome rows read at once.
const ROUND: usize = 1_024;

/// A tail that lies on this node.
#[derive(Clone, Debug)]
pub struct TailSource {
    /// Its id.
    pub id: String,
    /// Its manifest.
    pub manifest: PathBuf,
    /// Records that an operator has discarded.
    pub discarded: BTreeSet<JournalIndex>,
    /// All that is not decided is discarded.
    pub all_discarded: bool,
}

impl TailSource {
    pub(crate) fn is_discarded(&self, index: JournalIndex) -> bool {
        self.all_discarded || self.discarded.contains(&index)
    }
}

/// Why a tail cannot be looked at or submitted again now.
#[derive(Debug, thiserror::Error)]
pub enum TailError {
    /// The platform's rows or keys cannot be read.
    #[error(transparent)]
    Platform(#[from] Error),
    /// The tail cannot be read.
    #[error("the exported tail cannot be read")]
    Store(#[from] eport_store::Error),
    /// This node is not, or no longer, the open primary, or the write was not confirmed; repeating the command is safe.
    #[error("{detail}")]
    NotNow {
        /// The code.
        code: Code,
        /// What happened.
        detail: String,
    },
}

impl Coded for TailError {
    fn code(&self) -> Code {
        match self {
            TailError::Platform(e) => e.code(),
            TailError::Store(e) => e.code(),
            TailError::NotNow { code, .. } => *code,
        }
    }
}

/// What would become of a record, or has.
enum Class {
    None,
    Present(String),
    Clean,
    Conflict(Conflict),
}

/// What a re-submission did.
#[derive(Debug, Default)]
pub(crate) struct Done {
    pub(crate) resubmitted: u64,
    pub(crate) present: u64,
    pub(crate) conflicts: Vec<TailRecord>,
}

impl Platform {
    /// What became of the documents of a tail. Reads its manifest and one row a decided document.
    pub fn tail_counts(&self, tail: &TailSource) -> Result<TailCounts, TailError> {
        let documents = eport_store::tail_documents(&tail.manifest)?;
        let decided = self.decided(&tail.id)?;
        let mut counts = TailCounts::default();
        for index in documents {
            counts.total += 1;
            match decided.get(&index).map(|row| row.outcome) {
                Some(TailOutcome::Present) => counts.present += 1,
                Some(TailOutcome::Resubmitted) => counts.resubmitted += 1,
                _ if tail.is_discarded(index) => counts.discarded += 1,
                Some(TailOutcome::Conflict) => counts.conflicts += 1,
                None => counts.pending += 1,
            }
        }
        Ok(counts)
    }

    fn decided(&self, tail: &str) -> Result<BTreeMap<JournalIndex, TailRow>, Error> {
        let prefix = rows::tail(tail);
        let (mut found, mut after) = (BTreeMap::new(), None::<Bytes>);
        loop {
            let page = self.inner.log.scan(&prefix, after.as_deref(), ROUND)?;
            let ended = page.len() < ROUND;
            for (key, value) in page {
                if let Some(index) = rows::index_of_tail_record(&key) {
                    found.insert(index, rows::decode(&key, &value)?);
                }
                after = Some(key);
            }
            if ended {
                return Ok(found);
            }
        }
    }

    /// Records of a tail after a place, at most `limit`, with what would become of each now; and where to go on.
    pub fn tail_records(
        &self,
        tail: &TailSource,
        after: JournalIndex,
        limit: usize,
    ) -> Result<(Vec<TailRecord>, Option<JournalIndex>), TailError> {
        let decided = self.decided(&tail.id)?;
        let mut ahead = HashMap::new();
        let (mut items, mut more) = (Vec::new(), false);
        self.each(tail, |record| {
            if record.index() > after && items.len() >= limit.max(1) {
                more = true;
                return Ok(());
            }
            let row = decided.get(&record.index());
            let class = self.class(tail, record, row, &mut ahead)?;
            if record.index() > after {
                items.push(self.item(tail, record, row, &class)?);
            }
            Ok(())
        })?;
        let next = items.last().map(|r| JournalIndex::from_u64(r.index)).filter(|_| more);
        Ok((items, next))
    }

    /// Reads the tail, letting errors of the platform through.
    fn each(
        &self,
        tail: &TailSource,
        mut look: impl FnMut(&Record) -> Result<(), Error>,
    ) -> Result<(), TailError> {
        let mut failed = None;
        read_tail(&tail.manifest, |record| {
            if failed.is_none() {
                failed = look(&record).err();
            }
            Ok(())
        })?;
        failed.map_or(Ok(()), |error| Err(error.into()))
    }

    /// Looks at one record as if the clean ones before it had been submitted again.
    fn class(
        &self,
        tail: &TailSource,
        record: &Record,
        decided: Option<&TailRow>,
        ahead: &mut HashMap<Bytes, ReferenceRow>,
    ) -> Result<Class, Error> {
        if matches!(record.header.kind, RecordKind::CertIntent | RecordKind::CertIssued) {
            return self.class_of_certificate(record);
        }
        let Some(document) = TailDocument::of(record)? else { return Ok(Class::None) };
        let known = match ahead.get(document.reference()) {
            Some(row) => Some(row.clone()),
            None => self.reference(document.reference())?,
        };
        if let Some(row) = decided
            && let (TailOutcome::Present | TailOutcome::Resubmitted, Some(doc_id)) =
                (row.outcome, &row.doc_id)
        {
            return Ok(Class::Present(doc_id.clone()));
        }
        match document.compare(known.as_ref()) {
            Ok(Some(doc_id)) => return Ok(Class::Present(doc_id)),
            Ok(None) => {}
            Err(conflict) => return Ok(Class::Conflict(conflict)),
        }
        match self.prepare_again(&tail.id, record, &document, "") {
            Ok(_) => {
                if !tail.is_discarded(record.index()) {
                    ahead.insert(document.reference().clone(), document.after(known.as_ref()));
                }
                Ok(Class::Clean)
            }
            Err(conflict) => Ok(Class::Conflict(conflict)),
        }
    }

    /// A record of a CA's ledger is never submitted again: whether its certificate lives on is for a person.
    fn class_of_certificate(&self, record: &Record) -> Result<Class, Error> {
        let id = record.header.request.as_ref().map(|r| r.id.as_str()).unwrap_or_default();
        let serial = id.split('/').nth(1).unwrap_or_default();
        // The key of a CA's delegate died with its process: nothing is left to decide.
        if id.starts_with("certificate/") && of_delegate(record)? {
            return Ok(Class::None);
        }
        let detail = match (self.certificate(serial)?, &record.header.kind) {
            (Some(row), RecordKind::CertIssued) if !row.certificate.is_empty() => return Ok(Class::None),
            (_, RecordKind::CertIntent) => return Ok(Class::None),
            _ => format!(
                "certificate {serial} was given away: tail certificates --adopt enters it, --revoke revokes it"
            ),
        };
        Ok(Class::Conflict(Conflict { code: codes::CERT_UNKNOWN.to_string(), detail }))
    }

    fn reference(&self, key: &[u8]) -> Result<Option<ReferenceRow>, Error> {
        self.inner.log.get(key)?.map(|v| rows::decode(key, &v)).transpose()
    }

    fn item(
        &self,
        tail: &TailSource,
        record: &Record,
        decided: Option<&TailRow>,
        class: &Class,
    ) -> Result<TailRecord, Error> {
        let mut item = TailRecord {
            index: record.index().as_u64(),
            epoch: record.header.epoch,
            digest: record.digest,
            kind: record.header.kind.name().to_owned(),
            class: "none".into(),
            outcome: "none".into(),
            accepted_at: None,
            doc_type: None,
            lodged_by: None,
            client_ref: None,
            doc_version: None,
            doc_id: None,
            stored_as: None,
            code: None,
            detail: None,
        };
        let Some(document) = TailDocument::of(record)? else { return Ok(item) };
        item.outcome = match decided.map(|row| row.outcome) {
            Some(TailOutcome::Present) => "present",
            Some(TailOutcome::Resubmitted) => "resubmitted",
            _ if tail.is_discarded(record.index()) => "discarded",
            Some(TailOutcome::Conflict) => "conflict",
            None => "pending",
        }
        .into();
        match class {
            Class::None => {}
            Class::Present(doc_id) => {
                item.class = "present".into();
                item.stored_as = Some(doc_id.clone());
            }
            Class::Clean => item.class = "clean".into(),
            Class::Conflict(conflict) => {
                item.class = "conflict".into();
                item.code = Some(conflict.code.clone());
                item.detail = Some(conflict.detail.clone());
            }
        }
        item.accepted_at = Some(rfc3339(document.request.accepted_at));
        // References are encrypted in the journal; they are told where the key is.
        let ring = self.inner.config.keys.get();
        item.client_ref = ring.and_then(|ring| document.row.open(&ring).ok()).map(|c| c.client_ref);
        item.doc_type = Some(document.row.doc_type);
        item.lodged_by = Some(document.row.lodged_by);
        item.doc_version = Some(document.row.doc_version);
        item.doc_id = Some(document.doc_id);
        Ok(item)
    }

    /// Submits the undecided documents of a tail again, `only` these where some are named.
    pub async fn resubmit_tail(
        &self,
        tail: &TailSource,
        only: &BTreeSet<JournalIndex>,
        by: &str,
    ) -> Result<(u64, u64, Vec<TailRecord>), TailError> {
        let _one = self.inner.resubmitting.lock().await;
        let mut done = Done::default();
        // The tail is read once, in groups, so that memory does not follow its length.
        let (tx, mut groups) = mpsc::channel(1);
        let (platform, source, only) = (self.clone(), tail.clone(), only.clone());
        let reader = tokio::task::spawn_blocking(move || platform.undecided(&source, &only, &tx));
        while let Some(group) = groups.recv().await {
            self.resubmit_group(tail, &group, by, &mut done).await?;
        }
        reader.await.map_err(|e| not_now(codes::INTERNAL, &e.to_string()))??;
        Ok((done.resubmitted, done.present, done.conflicts))
    }

    /// Sends the records of a tail that carry a document and are not decided.
    fn undecided(
        &self,
        tail: &TailSource,
        only: &BTreeSet<JournalIndex>,
        groups: &mpsc::Sender<Vec<Record>>,
    ) -> Result<(), TailError> {
        let decided = self.decided(&tail.id)?;
        let mut group = Vec::new();
        let send = |group: &mut Vec<Record>| {
            // The other end goes away only when the re-submission has failed.
            let sent = groups.blocking_send(std::mem::take(group));
            sent.map_err(|_| eport_store::Error::Stopped)
        };
        read_tail(&tail.manifest, |record| {
            let index = record.index();
            let wanted = only.is_empty() || only.contains(&index);
            let open = decided.get(&index).is_none_or(|row| row.outcome == TailOutcome::Conflict);
            let carries = record.header.request.as_ref().is_some_and(|r| r.body.is_some());
            if wanted && open && carries && !tail.is_discarded(index) {
                group.push(record);
            }
            if group.len() < GROUP { Ok(()) } else { send(&mut group) }
        })?;
        if group.is_empty() { Ok(()) } else { Ok(send(&mut group)?) }
    }

    async fn resubmit_group(
        &self,
        tail: &TailSource,
        group: &[Record],
        by: &str,
        done: &mut Done,
    ) -> Result<(), TailError> {
        let (mut prepared, mut places) = (Vec::new(), Vec::new());
        let mut outcomes: Vec<(usize, Class)> = Vec::new();
        for (n, record) in group.iter().enumerate() {
            let Some(document) = TailDocument::of(record)? else { continue };
            match self.prepare_again(&tail.id, record, &document, by) {
                Ok(p) => {
                    prepared.push(Arc::new(p));
                    places.push(n);
                }
                // What is here already needs no judgement.
                Err(conflict) => {
                    let known = self.reference(document.reference())?;
                    let class = match document.compare(known.as_ref()) {
                        Ok(Some(doc_id)) => Class::Present(doc_id),
                        Ok(None) => Class::Conflict(conflict),
                        Err(other) => Class::Conflict(other),
                    };
                    outcomes.push((n, class));
                }
            }
        }
        for (n, settled) in places.into_iter().zip(self.settle_prepared(prepared).await) {
            match settled {
                Settled::Stored(stored) if !stored.repeated => done.resubmitted += 1,
                Settled::Stored(stored) => outcomes.push((n, Class::Present(stored.doc_id))),
                Settled::Different { doc_id } => {
                    outcomes.push((n, Class::Conflict(Conflict::different(&doc_id))));
                }
                Settled::Refused(refusal) => outcomes.push((n, Class::Conflict(Conflict::of(&refusal)))),
                other => return Err(stopped(other)),
            }
        }
        outcomes.sort_by_key(|(n, _)| *n);
        self.write_outcomes(tail, group, &outcomes, by).await?;
        for (n, class) in &outcomes {
            match class {
                Class::Present(_) => done.present += 1,
                Class::Conflict(_) if done.conflicts.len() < LISTED_MAX => {
                    let row = self.outcome_row(class, by);
                    done.conflicts.push(self.item(tail, &group[*n], row.as_ref(), class)?);
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn outcome_row(&self, class: &Class, by: &str) -> Option<TailRow> {
        let at = (self.inner.clock)();
        let row = |outcome, doc_id, conflict: Option<&Conflict>| TailRow {
            outcome,
            doc_id,
            code: conflict.map(|c| c.code.clone()).unwrap_or_default(),
            detail: conflict.map(|c| c.detail.chars().take(1_024).collect()).unwrap_or_default(),
            by: by.to_owned(),
            at,
        };
        match class {
            Class::Present(doc_id) => Some(row(TailOutcome::Present, Some(doc_id.clone()), None)),
            Class::Conflict(conflict) => Some(row(TailOutcome::Conflict, None, Some(conflict))),
            Class::None | Class::Clean => None,
        }
    }

    /// One record says what was found present and what waits for a person.
    async fn write_outcomes(
        &self,
        tail: &TailSource,
        group: &[Record],
        outcomes: &[(usize, Class)],
        by: &str,
    ) -> Result<(), TailError> {
        let mut effects: Vec<Effect> = Vec::new();
        for (n, class) in outcomes {
            let record = &group[*n];
            if let (Class::Present(now), Some(document)) = (class, TailDocument::of(record)?) {
                effects.extend(alias_effect(&document.doc_id, now));
            }
            effects
                .extend(self.outcome_row(class, by).map(|row| tail_effect(&tail.id, record.index(), &row)));
        }
        let Some(first) = outcomes.first().map(|(n, _)| group[*n].index()) else { return Ok(()) };
        let now = (self.inner.clock)();
        let request = RequestRef {
            id: format!("{}/{first}", tail.id),
            caller: by.to_owned(),
            body: None,
            signature: None,
            accepted_at: now,
            replaces: None,
        };
        let draft = Draft { request: Some(request), effects, ..Draft::bare(RecordKind::Entry, now) };
        let generation = self
            .writing(|_| true)
            .ok_or_else(|| not_now(codes::FENCED, "this node is not the open primary"))?;
        let written =
            self.write_own(draft, generation, "what was found is not confirmed by the backups yet").await;
        written.map_err(|(code, detail)| TailError::NotNow { code, detail })
    }
}

/// Whether a record of a CA's ledger is about a delegate that answers OCSP.
fn of_delegate(record: &Record) -> Result<bool, Error> {
    for effect in &record.effects {
        if let Effect::Put { key, value } = effect
            && key.starts_with(b"c/")
        {
            return Ok(rows::decode::<CertificateRow>(key, value)?.profile == DELEGATE_PROFILE);
        }
    }
    Ok(false)
}

fn not_now(code: Code, detail: &str) -> TailError {
    TailError::NotNow { code, detail: detail.to_owned() }
}

/// Why a group was not settled, in the words of a submission.
fn stopped(settled: Settled) -> TailError {
    let none = eport_documents::BusinessKey {
        lodged_by: String::new(),
        doc_type: String::new(),
        client_ref: String::new(),
        doc_version: 0,
    };
    match SubmitAnswer::settled(settled, &none) {
        SubmitAnswer::Unavailable { code, detail, .. } => TailError::NotNow { code, detail },
        SubmitAnswer::Redirect { primary, .. } => {
            not_now(codes::NOT_PRIMARY, &format!("{primary} is primary now; repeat the command"))
        }
        _ => not_now(codes::INTERNAL, "an answer that no re-submission gets"),
    }
}
