//! Duties: what is still to be asked for a document, and what is answered already.

use super::plan::{Asker, DocumentAccounts, Progress, follow};
use super::rows;
use super::store::{delete, put, read};
use crate::Error;
use crate::change::Changed;
use crate::log::Log;
use crate::platform::Platform;
use crate::rows::{self as documents, DocumentRow, decode, decode_long};
use bytes::Bytes;
use eport_documents::State;
use eport_ledger::{Failure, Holder, Order, Outcome, Request};
use eport_model::{Effect, JournalIndex, Timestamp};
use serde::{Deserialize, Serialize};
use time::Date;

/// What a duty is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) enum DutyKind {
    /// A version of a document: all accounts agree, or none.
    Document,
    /// A state of a document: each account by itself.
    State,
    /// What was drawn from a share, or a share itself: asked until it is answered.
    Share,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct DutyRow {
    pub(super) doc_id: String,
    pub(super) version: u32,
    /// The row by which the document is found; changes of its state go by it.
    pub(super) reference: Bytes,
    pub(super) kind: DutyKind,
    pub(super) steps: u16,
}

/// One account of a duty.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct StepRow {
    pub(super) request: Request,
    /// What is asked when another account refuses.
    pub(super) undo: Option<Request>,
    pub(super) outcome: Option<Outcome>,
    pub(super) undone: bool,
    /// The document had nothing on the account: a share may serve it.
    pub(super) first: bool,
}

impl DutyRow {
    /// The effects that leave this duty, in the record that most likely stands at `index`.
    pub(super) fn effects(&self, index: JournalIndex, steps: Vec<StepRow>) -> Vec<Effect> {
        let mut id = index.as_u64().to_be_bytes().to_vec();
        id.extend_from_slice(format!("{}#{}#{:?}", self.doc_id, self.version, self.kind).as_bytes());
        let mut out = Vec::with_capacity(steps.len() + 1);
        out.push(put(rows::duty(&id), self));
        out.extend((0..).zip(steps).map(|(n, step)| put(rows::step(&id, n), &step)));
        out
    }
}

/// Something that a platform still has to ask of accounts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Duty {
    pub(super) id: Bytes,
    pub(super) row: DutyRow,
}

impl Duty {
    /// The document, share or return it is for. Duties of one document are worked off in their order.
    pub fn document(&self) -> &str {
        &self.row.doc_id
    }
}

/// The next thing to do for a duty.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Move {
    /// Ask the account's home.
    Ask {
        /// Which step.
        n: u16,
        /// What.
        request: Box<Request>,
        /// A share may serve it.
        first: bool,
        /// It gives back what was agreed to, because another account refused.
        undo: bool,
    },
    /// A reserve of the same document on the account was drawn from a share and is not settled: that goes first.
    Wait,
    /// Everything is answered.
    Finish,
}

impl Platform {
    /// Duties in order, after one.
    pub fn duties(&self, after: Option<&Duty>, limit: usize) -> Result<Vec<Duty>, Error> {
        let after = after.map(|d| rows::duty(&d.id));
        let found = self.inner.log.scan(rows::DUTIES, after.as_deref(), limit)?;
        let duty = |(key, value): &(Bytes, Bytes)| {
            Ok(Duty { id: key.slice(rows::DUTIES.len()..), row: decode_long(key, value)? })
        };
        found.iter().map(duty).collect()
    }

    /// What is to be done next for a duty.
    pub fn next_move(&self, duty: &Duty) -> Result<Move, Error> {
        let log = &*self.inner.log;
        let steps = steps(log, duty)?;
        let refused = steps.iter().any(|s| matches!(s.outcome, Some(Outcome::Refused { .. })));
        let all_or_none = duty.row.kind == DutyKind::Document;
        if refused && all_or_none {
            let done = |s: &StepRow| s.outcome.as_ref().is_some_and(Outcome::is_done) && !s.undone;
            let open = (0..).zip(&steps).filter(|(_, s)| done(s));
            let back = open.filter_map(|(n, s)| s.undo.as_ref().map(|undo| (n, undo))).last();
            return match back {
                Some((n, request)) => self.ask_or_wait(n, request, false, true),
                None => Ok(Move::Finish),
            };
        }
        match (0..).zip(&steps).find(|(_, s)| s.outcome.is_none()) {
            Some((n, step)) => self.ask_or_wait(n, &step.request, step.first, false),
            None => Ok(Move::Finish),
        }
    }

    fn ask_or_wait(&self, n: u16, request: &Request, first: bool, undo: bool) -> Result<Move, Error> {
        let marker = rows::unsettled(&request.account, &request.holder);
        let settles = matches!(request.order, Order::Settle { .. } | Order::Return { .. });
        if !settles && self.inner.log.get(&marker)?.is_some() {
            return Ok(Move::Wait);
        }
        Ok(Move::Ask { n, request: Box::new(request.clone()), first, undo })
    }

    /// Ends a duty whose steps are all answered. A document of which an account refused something is rejected. `true` when it
    /// is ended, `false` when that could not be written now.
    pub async fn finish(&self, duty: &Duty) -> bool {
        let (reference, duty) = (self.lock_of(duty), duty.clone());
        let decide = Box::new(move |log: &dyn Log, _, _| finish(log, &duty));
        matches!(self.change(reference, decide).await, Changed::Written(_) | Changed::Unchanged)
    }

    fn lock_of(&self, duty: &Duty) -> Bytes {
        if duty.row.reference.is_empty() { rows::duty(&duty.id) } else { duty.row.reference.clone() }
    }

    /// A document has entered a state of its life cycle: what it reserved is committed or released where the pack says so. The
    /// effects belong into the record of the change itself, which has the document's reference.
    pub(crate) fn follow_state(
        &self,
        doc_id: &str,
        state: &str,
        index: JournalIndex,
        (day, at): (Date, Timestamp),
        actor: &str,
    ) -> Result<Vec<Effect>, Error> {
        let log = &*self.inner.log;
        let Some(kept) = read::<DocumentAccounts>(log, &rows::document(doc_id))? else {
            return Ok(Vec::new());
        };
        let holder = Holder { platform: self.region(), document: doc_id.to_owned() };
        let asker = Asker { holder, version: kept.version, day, at, actor: actor.to_owned() };
        let held = if kept.progress == Progress::Refused { &kept.before } else { &kept.accounts };
        let steps = follow(&asker, held, state);
        if steps.is_empty() {
            return Ok(Vec::new());
        }
        let duty = DutyRow {
            doc_id: doc_id.to_owned(),
            version: kept.version,
            reference: Bytes::new(),
            kind: DutyKind::State,
            steps: u16::try_from(steps.len()).unwrap_or(u16::MAX),
        };
        self.inner.duties.notify_one();
        Ok(duty.effects(index, steps))
    }

    /// Waits until a document has left a duty; returns at once when one has since the last call.
    pub async fn duty_left(&self) {
        self.inner.duties.notified().await;
    }
}

pub(super) fn steps(log: &dyn Log, duty: &Duty) -> Result<Vec<StepRow>, Error> {
    let found = log.scan(&rows::steps(&duty.id), None, usize::from(duty.row.steps))?;
    found.iter().map(|(key, value)| decode_long(key, value)).collect()
}

fn finish(log: &dyn Log, duty: &Duty) -> Result<Vec<Effect>, Error> {
    if log.get(&rows::duty(&duty.id))?.is_none() {
        return Ok(Vec::new());
    }
    let mut failures = Vec::new();
    let steps = steps(log, duty)?;
    for step in &steps {
        if let Some(Outcome::Refused { failures: found }) = &step.outcome {
            let named = |f: &Failure| Failure {
                code: f.code.clone(),
                detail: format!("{}: {}", step.request.account, f.detail),
            };
            failures.extend(found.iter().map(named));
        }
    }
    let mut effects = vec![delete(rows::duty(&duty.id))];
    effects.extend((0..).zip(&steps).map(|(n, _)| delete(rows::step(&duty.id, n))));
    if duty.row.kind != DutyKind::Document {
        return Ok(effects);
    }
    let key = rows::document(&duty.row.doc_id);
    // A later version has its own duty, which says what becomes of the whole.
    if let Some(mut kept) = read::<DocumentAccounts>(log, &key)?.filter(|k| k.version == duty.row.version) {
        let refused = !failures.is_empty();
        kept.progress = if refused { Progress::Refused } else { Progress::Done };
        kept.failures = failures;
        effects.push(put(key, &kept));
        if refused {
            effects.extend(reject(log, duty)?);
        }
    }
    Ok(effects)
}

/// The document's version is rejected.
fn reject(log: &dyn Log, duty: &Duty) -> Result<Vec<Effect>, Error> {
    let (id, key) = (&duty.row.doc_id, documents::document(&duty.row.doc_id));
    let Some(value) = log.get(&key)? else { return Ok(Vec::new()) };
    let mut row: DocumentRow = decode(&key, &value)?;
    if row.doc_version != duty.row.version || row.state == State::Rejected {
        return Ok(Vec::new());
    }
    let was = documents::state(&row.doc_type, row.state, id);
    row.state = State::Rejected;
    let index = Effect::Put { key: documents::state(&row.doc_type, row.state, id), value: Bytes::new() };
    Ok(vec![delete(was), index, Effect::Put { key, value: documents::encode(&row) }])
}
