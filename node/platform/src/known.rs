//! Documents by the numbers they are known by, and what is compared with them: the index of numbers, comparisons at entry, and the
//! status of whatever a number names.
//!
//! What always holds: a number stands in the index only as a keyed digest; what a caller may not see is not found for it; a record
//! is compared with committed records of this platform, and what was accepted once is never refused by a later comparison.

use crate::answer::SubmitAnswer;
use crate::platform::Platform;
use crate::prepare::Prepared;
use crate::rows::{self, DocumentRow, ReferenceRow};
use crate::{Error, Scope, exchange, keys, read};
use bytes::Bytes;
use eport_api_types::{
    AgencyStatus, Compared as ComparedItem, ConsignmentDocument, ConsignmentMilestone, ConsignmentStatus,
    Failure, rfc3339,
};
use eport_documents::pack::{CheckPoint, number};
use eport_documents::{
    Comparisons, DocumentType, Other, Outcome, Packs, Records, Refusal, State, Trigger, Unread,
};
use eport_exchange::Dispatch;
use eport_model::{ReadVersion, Timestamp, codes};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Documents of one number that are looked through at most.
const FOUND_MAX: usize = 512;
/// Documents that one answer shows at most.
const SHOWN_MAX: usize = 100;
/// A document with more numbers than this names a whole ship: its other numbers lead to too much.
const LINKS_MAX: usize = 24;
/// How many milliseconds an hour has.
const HOUR_MS: i64 = 3_600_000;
/// How the read set of a record names a document that it was compared with.
pub(crate) const DOCUMENT_READ: &str = "document:";

/// The records of a platform, as comparisons find them.
struct Kept<'p>(&'p Platform);

impl Records for Kept<'_> {
    fn find(&self, types: &[String], kind: &str, wanted: &str, most: usize) -> Result<Vec<Other>, Unread> {
        self.0.others(types, kind, wanted, most).map_err(|e| Unread(e.to_string()))
    }
}

/// True while a record counts in comparisons.
fn stands(state: State) -> bool {
    !matches!(state, State::Withdrawn | State::Rejected | State::Refused | State::Discarded)
}

impl Platform {
    /// Documents that are known by a number, with the kind of number.
    fn known(&self, wanted: &str) -> Result<Vec<(String, String)>, Error> {
        let Some(wanted) = number(wanted) else { return Ok(Vec::new()) };
        let prefix = rows::numbers(&keys::blind_number(&*self.inner.config.keys.need()?, &wanted));
        let found = self.inner.log.scan(&prefix, None, FOUND_MAX)?;
        let one = |(key, value): (Bytes, Bytes)| {
            let id = key.get(prefix.len()..).and_then(|id| std::str::from_utf8(id).ok())?.to_owned();
            Some((id, String::from_utf8_lossy(&value).into_owned()))
        };
        Ok(found.into_iter().filter_map(one).collect())
    }

    /// The state of a version: of the type's own life cycle where it has one.
    fn stage(&self, doc_id: &str, row: &DocumentRow) -> Result<(String, Dispatch), Error> {
        let place = exchange::dispatch_key(doc_id, row.doc_version);
        let dispatch: Dispatch = match self.inner.log.get(&place)? {
            Some(value) => exchange::decode_row(&place, &value)?,
            None => Dispatch::default(),
        };
        Ok((dispatch.stage.clone().unwrap_or_else(|| row.state.to_string()), dispatch))
    }

    fn others(&self, types: &[String], kind: &str, wanted: &str, most: usize) -> Result<Vec<Other>, Error> {
        let mut found = Vec::new();
        for (doc_id, _) in self.known(wanted)?.into_iter().filter(|(_, k)| k == kind) {
            let Some(row) = read::newest(&*self.inner.log, &doc_id)? else { continue };
            if types.contains(&row.doc_type) && stands(row.state) {
                found.push((doc_id, row));
            }
        }
        found.sort_by(|a, b| (b.1.received_at, &b.0).cmp(&(a.1.received_at, &a.0)));
        let mut out = Vec::new();
        for (doc_id, row) in found {
            if out.len() > most {
                break;
            }
            // What was erased says nothing any more.
            let Some((_, shown)) = self.shown(&row)? else { continue };
            let (state, _) = self.stage(&doc_id, &row)?;
            out.push(Other {
                doc_type: row.doc_type,
                doc_id,
                doc_version: row.doc_version,
                lodged_by: row.lodged_by,
                state,
                received_at: rfc3339(row.received_at),
                shown,
            });
        }
        Ok(out)
    }

    /// True when a judged document is compared with others before it is accepted.
    pub(crate) fn compares(&self, prepared: &Prepared) -> bool {
        let packs = self.inner.packs.at(prepared.document.judged_at);
        packs.is_ok_and(|packs| packs.compares(&prepared.document.kind.doc_type, CheckPoint::Submit))
    }

    /// Compares a judged document with what is here. Reads the store: not for async threads.
    pub(crate) fn compared(&self, mut prepared: Prepared) -> Result<Prepared, Box<SubmitAnswer>> {
        let at = prepared.document.judged_at;
        let Ok(packs) = self.inner.packs.at(at) else { return Ok(prepared) };
        let found = {
            let shown = prepared.shown.as_deref().unwrap_or(&prepared.plain);
            let kind = prepared.document.kind.doc_type.clone();
            let point = Some(CheckPoint::Submit);
            packs.compare(&kind, shown, point, &Kept(self), &*self.inner.tables, at)
        };
        let found =
            found.map_err(|e| Box::new(SubmitAnswer::unavailable(codes::OVERLOADED, &e.to_string())))?;
        let read: BTreeMap<String, u32> =
            found.items.iter().flat_map(|c| c.records.iter().cloned()).collect();
        let (refused, warned) = found.verdict();
        if !refused.is_empty() {
            let repeated = self.accepted_before(&prepared);
            let repeated = repeated
                .map_err(|e| Box::new(SubmitAnswer::unavailable(codes::OVERLOADED, &e.to_string())))?;
            return match repeated {
                true => Ok(prepared),
                false => Err(Box::new(SubmitAnswer::from(Refusal::Rules { failures: refused }))),
            };
        }
        let name = |(id, version): (String, u32)| ReadVersion {
            name: format!("{DOCUMENT_READ}{id}"),
            version: version.to_string(),
        };
        prepared.compared_with = read.into_iter().map(name).collect();
        prepared.document.warnings.extend(warned);
        Ok(prepared)
    }

    /// True when this version was accepted before: then its first answer stands.
    fn accepted_before(&self, prepared: &Prepared) -> Result<bool, Error> {
        let Some(value) = self.inner.log.get(&prepared.reference)? else { return Ok(false) };
        let row: ReferenceRow = rows::decode(&prepared.reference, &value)?;
        Ok(row.contents.len() >= prepared.key.doc_version as usize)
    }

    /// Every comparison of the newest version of a document, carried out now.
    pub fn comparisons(&self, doc_id: &str, now: Timestamp) -> Result<Vec<ComparedItem>, Error> {
        let Some(row) = read::newest(&*self.inner.log, doc_id)? else { return Ok(Vec::new()) };
        let Some((packs, _)) = self.packs_of(&row) else { return Ok(Vec::new()) };
        let Some((_, shown)) = self.shown(&row)? else { return Ok(Vec::new()) };
        let (kept, tables) = (Kept(self), &*self.inner.tables);
        let found = packs.compare(&row.doc_type, &shown, None, &kept, tables, row.received_at);
        let Comparisons { items, .. } = found.map_err(|e| Error::Compared(e.to_string()))?;
        let item = |c: eport_documents::Compared| {
            let until = row.received_at.as_millis().saturating_add(i64::from(c.wait_hours) * HOUR_MS);
            let over = c.outcome == Outcome::Wait && now.as_millis() > until;
            ComparedItem {
                rule: c.rule,
                outcome: if over { Outcome::Fail } else { c.outcome }.word().into(),
                waits_until: (c.outcome == Outcome::Wait).then(|| rfc3339(Timestamp::from_millis(until))),
                records: c.records.into_iter().map(|(id, _)| id).collect(),
                failures: c
                    .failures
                    .into_iter()
                    .map(|f| Failure { path: f.path, code: f.code, detail: f.detail })
                    .collect(),
            }
        };
        Ok(items.into_iter().map(item).collect())
    }

    fn packs_of(&self, row: &DocumentRow) -> Option<(Arc<Packs>, Arc<DocumentType>)> {
        let packs = self.inner.packs.at(row.received_at).ok()?;
        let kind = packs.get(&row.doc_type)?.clone();
        Some((packs, kind))
    }

    /// Where whatever a number names stands: the documents that are known by it, those that these lead to, and the milestones that
    /// they tell of. A caller is told of what it may see.
    pub fn status_of(&self, wanted: &str, scope: &Scope) -> Result<ConsignmentStatus, Error> {
        let applied = self.inner.log.applied();
        let mut out = ConsignmentStatus {
            platform: self.region(),
            epoch: applied.epoch.as_u64(),
            index: applied.index.as_u64(),
            documents: Vec::new(),
            milestones: Vec::new(),
            truncated: false,
        };
        let mut found: BTreeMap<String, (String, bool)> = BTreeMap::new();
        let own = self.number(wanted.trim())?;
        if read::newest(&*self.inner.log, &own)?.is_some() {
            found.insert(own, ("document".into(), true));
        }
        for (id, kind) in self.known(wanted)? {
            found.entry(id).or_insert((kind, true));
        }
        let mut links = BTreeSet::new();
        for id in found.keys().take(SHOWN_MAX) {
            let Some(row) = self.seen(scope, id)? else { continue };
            let numbers = self.numbers_of(&row)?;
            if numbers.len() <= LINKS_MAX {
                links.extend(numbers.into_iter().map(|(_, n)| n));
            }
        }
        for link in links.iter().take(SHOWN_MAX) {
            for (id, kind) in self.known(link)? {
                found.entry(id).or_insert((kind, false));
            }
        }
        let mut shown: Vec<(String, String, bool, DocumentRow)> = Vec::new();
        for (id, (kind, direct)) in found {
            if let Some(row) = self.seen(scope, &id)? {
                shown.push((id, kind, direct, row));
            }
        }
        shown.sort_by(|a, b| (!a.2, a.3.received_at, &a.0).cmp(&(!b.2, b.3.received_at, &b.0)));
        out.truncated = shown.len() > SHOWN_MAX;
        shown.truncate(SHOWN_MAX);
        for (id, kind, direct, row) in shown {
            self.tell(&mut out, (id, kind, direct), &row, scope)?;
        }
        out.milestones.sort_by(|a, b| (&a.at, &a.code, &a.doc_id).cmp(&(&b.at, &b.code, &b.doc_id)));
        Ok(out)
    }

    /// The newest version of a document that a caller may see.
    fn seen(&self, scope: &Scope, doc_id: &str) -> Result<Option<DocumentRow>, Error> {
        match self.visible(scope, doc_id)? {
            true => read::newest(&*self.inner.log, doc_id),
            false => Ok(None),
        }
    }

    fn numbers_of(&self, row: &DocumentRow) -> Result<Vec<(String, String)>, Error> {
        let Some((_, kind)) = self.packs_of(row) else { return Ok(Vec::new()) };
        let Some((_, shown)) = self.shown(row)? else { return Ok(Vec::new()) };
        Ok(kind.numbers(&shown).unwrap_or_default())
    }

    /// Adds a document and what it tells.
    fn tell(
        &self,
        out: &mut ConsignmentStatus,
        (doc_id, known_by, direct): (String, String, bool),
        row: &DocumentRow,
        scope: &Scope,
    ) -> Result<(), Error> {
        let (stage, dispatch) = self.stage(&doc_id, row)?;
        let receipts = self.receipts_to(scope, &doc_id)?;
        let packs = self.packs_of(row);
        let agency = |part: &eport_exchange::Part| {
            let last = receipts.iter().rev().find(|r| r.agency == part.agency);
            AgencyStatus {
                agency: part.agency.clone(),
                state: serde_json::to_value(part.state).ok().and_then(|v| v.as_str().map(str::to_owned)),
                last_code: last.map(|r| r.code.clone()),
                last_time: last.map(|r| r.event_time.clone()),
            }
        };
        let own = |part: &&eport_exchange::Part| match scope {
            Scope::Agency(code) => part.agency == *code,
            _ => true,
        };
        let title = packs.as_ref().map(|(_, kind)| kind.title.clone());
        out.documents.push(ConsignmentDocument {
            doc_id: doc_id.clone(),
            doc_version: row.doc_version,
            doc_type: row.doc_type.clone(),
            title_zh: title.as_ref().map(|t| t.zh.clone()).unwrap_or_default(),
            title_en: title.map(|t| t.en).unwrap_or_default(),
            known_by,
            direct,
            state: row.state.to_string(),
            stage,
            received_at: rfc3339(row.received_at),
            agencies: dispatch.parts.iter().filter(own).map(agency).collect(),
        });
        let (Some((_, kind)), Some((_, shown))) = (packs, self.shown(row)?) else { return Ok(()) };
        let mut told = |trigger: Trigger<'_>, cause: Timestamp, source: &str| {
            let Ok(passage) = kind.passage(&shown, trigger, &*self.inner.tables, row.received_at) else {
                return;
            };
            let stated =
                |at: Option<i64>| at.map_or(cause, |s| Timestamp::from_millis(s.saturating_mul(1_000)));
            let item = |code: String, at: Option<i64>| ConsignmentMilestone {
                code,
                at: rfc3339(stated(at)),
                source: source.to_owned(),
                doc_id: doc_id.clone(),
            };
            out.milestones.extend(passage.passed.into_iter().map(|p| item(p.code, p.at)));
            out.milestones.extend(passage.uploaded.map(|u| item(u.milestone, Some(u.at))));
        };
        told(Trigger::Acceptance, row.received_at, &row.lodged_by);
        for receipt in receipts.iter().filter(|r| r.applied == Some(true) && r.doc_version == row.doc_version)
        {
            let cause = (receipt.agency.clone(), receipt.code.clone());
            let state = kind.life_cycle.as_ref().and_then(|c| c.receipts.get(&cause));
            let when = eport_api_types::from_rfc3339(&receipt.event_time);
            if let (Some(state), Some(when)) = (state, when) {
                told(Trigger::State(state), when, &receipt.agency);
            }
        }
        Ok(())
    }
}
