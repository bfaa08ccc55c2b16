//! What a reader is shown of documents: the facts that a decision rests on, read from the rows, and bodies under the decision.
//!
//! What always holds: a reader from outside is a [`Viewer`], and a viewer sees through [`Platform::judged`] alone; rules are those of the
//! packs in force when it asks, consents those that stand in the rows then; what was shown to it is counted, for the access log.

use crate::platform::Platform;
use crate::rows::DocumentRow;
use crate::{Error, Scope, read};
use eport_api_types::{DocumentDetail, MaskedField};
use eport_documents::{DocumentType, Field, Packs};
use eport_model::Timestamp;
use eport_sharing::{
    Ask, Consent, Decision, Denied, Facts, Masked, Reader, SharingAction, Shown, Stage, Who, decide, general,
    named_fields, show, stages,
};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

/// Rules that are named for one request.
const RULES_MAX: usize = 32;

/// A reader from outside, with everything its decisions rest on.
#[derive(Clone)]
pub struct Viewer(Arc<Inner>);

struct Inner {
    reader: Reader,
    /// What it does with one document; lists search.
    action: SharingAction,
    packs: Arc<Packs>,
    consents: Vec<Consent>,
    at: Timestamp,
    tally: Mutex<Tally>,
    /// Decisions of lists that rest on the type and on whose it is alone, and the purposes.
    lists: Mutex<BTreeMap<(String, bool), Result<Decision, Denied>>>,
}

/// What a viewer was shown.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    /// Documents, each as often as it was decided about.
    pub shown: u64,
    /// Documents that were denied, whose existence is not hidden.
    pub denied: u64,
    /// Rules.
    pub rules: BTreeSet<String>,
    /// Classes of fields.
    pub classes: BTreeSet<char>,
    /// Purposes of these rules.
    pub purposes: BTreeSet<String>,
    /// Masked or withheld fields.
    pub masked: u64,
}

impl std::fmt::Debug for Viewer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "a viewer: {:?}", self.0.reader)
    }
}

impl PartialEq for Viewer {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Viewer {}

impl Viewer {
    /// Who asks, and what for.
    pub fn reader(&self) -> &Reader {
        &self.0.reader
    }

    /// What it was shown so far.
    pub fn tally(&self) -> Tally {
        self.0.tally.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, change: impl FnOnce(&mut Tally)) {
        change(&mut self.0.tally.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Counts what was kept back.
    fn note_masked(&self, fields: usize) {
        self.note(|t| t.masked = t.masked.saturating_add(fields as u64));
    }

    /// Every document of the platform is one that a list may show it: then counting needs no row.
    pub fn lists_all(&self) -> bool {
        let reader = self.reader();
        let opens = |rule: &eport_documents::pack::Sharing| {
            rule.subject == "operator"
                && rule.relation == eport_documents::pack::Relation::Any
                && rule.actions.contains(&SharingAction::Search)
                && reader.ask.allows(&rule.purposes)
        };
        reader.who == Who::Operator && general().iter().any(opens)
    }

    /// A decision that was taken before for a row like this.
    fn listed(&self, doc_type: &str, own: bool) -> Option<Result<Decision, Denied>> {
        let lists = self.0.lists.lock().unwrap_or_else(PoisonError::into_inner);
        let known = lists.get(&(doc_type.to_owned(), own)).cloned();
        drop(lists);
        if matches!(&known, Some(Ok(_))) {
            self.note(|t| t.shown = t.shown.saturating_add(1));
        }
        known
    }

    fn counted(&self, decision: &Result<Decision, Denied>) {
        self.note(|t| match decision {
            Ok(decision) => {
                t.shown = t.shown.saturating_add(1);
                t.classes.extend(&decision.classes);
                t.purposes.extend(decision.purposes.iter().cloned());
                for rule in &decision.rules {
                    if t.rules.len() < RULES_MAX {
                        t.rules.insert(rule.clone());
                    }
                }
            }
            Err(Denied::NotShared) => {}
            Err(_) => t.denied = t.denied.saturating_add(1),
        });
    }
}

impl Scope {
    /// The agency that sees its own part alone.
    pub(crate) fn agency(&self) -> Option<&str> {
        match self {
            Scope::Agency(code) => Some(code),
            Scope::Shared(viewer) if viewer.reader().who == Who::Agency => Some(&viewer.reader().name),
            _ => None,
        }
    }

    /// The viewer, where one asks.
    pub fn viewer(&self) -> Option<&Viewer> {
        match self {
            Scope::Shared(viewer) => Some(viewer),
            _ => None,
        }
    }
}

fn field_list(masked: Vec<Masked>) -> Vec<MaskedField> {
    let one = |m: Masked| MaskedField { path: m.path, class: m.class, how: m.how, reason: m.reason };
    masked.into_iter().map(one).collect()
}

/// What is delivered of a body, what of it is not as it was lodged, and the rules that send it.
type Delivered = (Value, Vec<MaskedField>, Vec<String>);

impl Platform {
    /// A viewer, under the rules and consents in force now.
    pub fn viewer(&self, reader: Reader, action: SharingAction) -> Result<Viewer, Error> {
        let at = (self.inner.clock)();
        let packs = self.inner.packs.at(at).map_err(|_| Error::NoPack { doc_type: "packs".into() })?;
        let consents = match reader.who {
            Who::Enterprise if !reader.mandate => self.consents_to(&reader.name)?,
            _ => Vec::new(),
        };
        let (tally, lists) = (Mutex::default(), Mutex::default());
        Ok(Viewer(Arc::new(Inner { reader, action, packs, consents, at, tally, lists })))
    }

    /// The decision about a version of a document: the one place where a reader from outside is let in.
    pub(crate) fn judged(
        &self,
        viewer: &Viewer,
        doc_id: &str,
        row: &DocumentRow,
        action: SharingAction,
    ) -> Result<Result<Decision, Denied>, Error> {
        let (reader, inner) = (viewer.reader(), &viewer.0);
        let own = row.lodged_by == reader.name;
        // Most rows of a list are somebody else's: nothing to decide about.
        if action == SharingAction::Search
            && reader.who == Who::Enterprise
            && !own
            && inner.consents.iter().all(|c| c.grantor != row.lodged_by)
        {
            return Ok(Err(Denied::NotShared));
        }
        let plain = action == SharingAction::Search && reader.who != Who::Agency && inner.consents.is_empty();
        if plain && let Some(known) = viewer.listed(&row.doc_type, own) {
            return Ok(known);
        }
        let Some(kind) = self.kind_for(viewer, row) else { return Ok(Err(Denied::NotShared)) };
        let mut facts = Facts {
            lodged_by: row.lodged_by.clone(),
            named: BTreeSet::new(),
            received: false,
            stage: Stage::At(None),
            at: inner.at,
        };
        match reader.who {
            Who::Agency => {
                let dispatch = self.dispatch_of(doc_id, row.doc_version)?.unwrap_or_default();
                facts.received = dispatch.parts.iter().any(|p| p.sent && p.agency == reader.name);
                if stages(&kind).next().is_some() {
                    facts.stage = Stage::At(dispatch.stage);
                }
            }
            // Lists go by who lodged a document: whom its content names finds it by its number.
            Who::Enterprise if !own && action != SharingAction::Search => {
                facts.named = self.named(&kind, row, &reader.name)?;
            }
            Who::Enterprise | Who::Operator => {}
        }
        let decision = decide(&kind, reader, action, &facts, &inner.consents);
        viewer.counted(&decision);
        if plain {
            let mut lists = inner.lists.lock().unwrap_or_else(PoisonError::into_inner);
            lists.insert((row.doc_type.clone(), own), decision.clone());
        }
        Ok(decision)
    }

    /// The type by the packs in force, else by those that judged the document: documents of a retired pack stay readable.
    fn kind_for(&self, viewer: &Viewer, row: &DocumentRow) -> Option<Arc<DocumentType>> {
        viewer.0.packs.get(&row.doc_type).cloned().or_else(|| self.kind_of(row))
    }

    /// The fields that make a party and hold a name.
    fn named(&self, kind: &DocumentType, row: &DocumentRow, name: &str) -> Result<BTreeSet<String>, Error> {
        let fields: Vec<&str> = named_fields(kind).collect();
        if fields.is_empty() {
            return Ok(BTreeSet::new());
        }
        let Some((_, shown)) = self.shown(row)? else { return Ok(BTreeSet::new()) };
        let document: Value = serde_json::from_slice(&shown).unwrap_or_default();
        let holds = |field: &&&str| {
            let pointer = format!("/body/{}", field.replace('.', "/"));
            document.pointer(&pointer).and_then(Value::as_str) == Some(name)
        };
        Ok(fields.iter().filter(holds).map(|f| (*f).to_owned()).collect())
    }

    /// Whether a caller may have one document; what is not there is nobody's.
    pub fn admitted(&self, scope: &Scope, doc_id: &str) -> Result<Result<(), Denied>, Error> {
        let Some(row) = read::newest(&*self.inner.log, doc_id)? else { return Ok(Err(Denied::NotShared)) };
        match scope {
            Scope::Shared(viewer) => Ok(self.judged(viewer, doc_id, &row, viewer.0.action)?.map(drop)),
            scope => Ok(if self.sees(scope, doc_id, &row)? { Ok(()) } else { Err(Denied::NotShared) }),
        }
    }

    /// The classes that a caller is shown of a document.
    pub fn classes_shown(
        &self,
        scope: &Scope,
        doc_id: &str,
    ) -> Result<Result<BTreeSet<char>, Denied>, Error> {
        let Some(row) = read::newest(&*self.inner.log, doc_id)? else { return Ok(Err(Denied::NotShared)) };
        match scope {
            Scope::Shared(viewer) => {
                Ok(self.judged(viewer, doc_id, &row, viewer.0.action)?.map(|d| d.classes))
            }
            scope => Ok(match self.sees(scope, doc_id, &row)? {
                true => Ok("PBCIL".chars().collect()),
                false => Err(Denied::NotShared),
            }),
        }
    }

    /// Puts what a viewer is shown in the place of what was lodged.
    pub(crate) fn veil(
        &self,
        viewer: &Viewer,
        doc_id: &str,
        row: &DocumentRow,
        detail: &mut DocumentDetail,
    ) -> Result<(), Error> {
        // Asked again beside `admitted`: whoever comes here without it is shown nothing.
        let Ok(decision) = self.judged(viewer, doc_id, row, viewer.0.action)? else {
            detail.body = Value::Null;
            return Ok(());
        };
        let agency = viewer.reader().who == Who::Agency;
        if agency {
            detail.item.client_ref = String::new();
            let part = match self.is_recipient(doc_id, row.doc_version, &viewer.reader().name)? {
                true => self.part_of(row, &viewer.reader().name)?,
                false => None,
            };
            if let Some(part) = part {
                detail.body = serde_json::from_slice(&part).unwrap_or_default();
            }
        }
        let shown = self.shown_under(viewer, row, &detail.body, &decision);
        viewer.note_masked(shown.masked.len());
        detail.body = shown.body;
        detail.masked = field_list(shown.masked);
        detail.shared_by = decision.rules;
        Ok(())
    }

    fn shown_under(&self, viewer: &Viewer, row: &DocumentRow, body: &Value, decision: &Decision) -> Shown {
        let (now, then) = (viewer.0.packs.get(&row.doc_type).cloned(), self.kind_of(row));
        let layers: Vec<&[Field]> = now.iter().chain(&then).map(|kind| kind.fields.as_slice()).collect();
        show(&layers, body, decision)
    }

    /// What of a body a viewer is shown as one of a set of facts; `None`: nothing of the document.
    pub(crate) fn exported(
        &self,
        viewer: &Viewer,
        doc_id: &str,
        row: &DocumentRow,
    ) -> Result<Option<(Shown, Vec<String>)>, Error> {
        let Ok(decision) = self.judged(viewer, doc_id, row, SharingAction::Export)? else { return Ok(None) };
        let agency = (viewer.reader().who == Who::Agency).then(|| viewer.reader().name.clone());
        let body = match &agency {
            Some(code) => self.part_of(row, code)?.map(|b| serde_json::from_slice(&b).unwrap_or_default()),
            None => self.shown(row)?.map(|(_, b)| {
                let mut document: Value = serde_json::from_slice(&b).unwrap_or_default();
                document.get_mut("body").map(Value::take).unwrap_or_default()
            }),
        };
        let shown = self.shown_under(viewer, row, &body.unwrap_or_default(), &decision);
        viewer.note_masked(shown.masked.len());
        Ok(Some((shown, decision.rules)))
    }

    /// What an agency's inbox delivers of its part, by the rules in force now. `None`: no rule sends it any more.
    pub(crate) fn delivered(
        &self,
        agency: &str,
        doc_type: &str,
        lodged_by: &str,
        received_at: Timestamp,
        body: &Value,
    ) -> Result<Option<Delivered>, Error> {
        let at = (self.inner.clock)();
        let packs = |at| self.inner.packs.at(at).ok().and_then(|p| p.get(doc_type).cloned());
        let (now, then) = (packs(at), packs(received_at));
        let Some(kind) = now.as_ref().or(then.as_ref()) else {
            return Err(Error::NoPack { doc_type: doc_type.chars().take(64).collect() });
        };
        let reader = Reader {
            who: Who::Agency,
            name: agency.to_owned(),
            mandate: false,
            in_charge: true,
            ask: Ask::Delivery,
        };
        // It lies here because its owner sent it in the state in which the agency gets it.
        let facts = Facts {
            lodged_by: lodged_by.to_owned(),
            named: BTreeSet::new(),
            received: true,
            stage: Stage::SentOn,
            at,
        };
        let Ok(decision) = decide(kind, &reader, SharingAction::ReceivePush, &facts, &[]) else {
            return Ok(None);
        };
        let layers: Vec<&[Field]> = now.iter().chain(&then).map(|k| k.fields.as_slice()).collect();
        let shown = show(&layers, body, &decision);
        Ok(Some((shown.body, field_list(shown.masked), decision.rules)))
    }

    /// Whether a caller is shown a version of a document as it was lodged.
    pub fn is_whole(&self, scope: &Scope, doc_id: &str, version: Option<u32>) -> Result<bool, Error> {
        let Scope::Shared(viewer) = scope else { return Ok(scope.agency().is_none()) };
        let log = &*self.inner.log;
        let row = match version {
            Some(version) => read::version(log, doc_id, version)?,
            None => read::newest(log, doc_id)?,
        };
        let Some(row) = row.filter(|_| scope.agency().is_none()) else { return Ok(false) };
        let Ok(decision) = self.judged(viewer, doc_id, &row, viewer.0.action)? else { return Ok(false) };
        let Some((_, shown)) = self.shown(&row)? else { return Ok(true) };
        let document: Value = serde_json::from_slice(&shown).unwrap_or_default();
        Ok(self.shown_under(viewer, &row, &document["body"], &decision).masked.is_empty())
    }
}
