//! From what a document asks of accounts to the duty that its record leaves.

use super::duty::{DutyKind, DutyRow, StepRow};
use super::rows;
use super::store::{put, read};
use crate::Error;
use crate::log::Log;
use bytes::Bytes;
use eport_documents::pack::LedgerEntry;
use eport_documents::{AccountCall, DocId, Document};
use eport_expression::local_date;
use eport_ledger::{
    AccountKey, Amount, Failure, Holder, Order, Phase, Request, Standing, Step, Terms, cause,
};
use eport_model::{Effect, JournalIndex, RegionCode, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use time::Date;

/// The function code that asks for the deletion of a document (documents §2.1).
const FUNCTION_DELETE: &str = "3";

/// How far what a document asks of accounts is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Progress {
    /// Some account has not answered.
    Pending,
    /// Every account has agreed.
    Done,
    /// An account has refused; what others had agreed to is given back.
    Refused,
}

/// What one version of a document asks of one account.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Used {
    /// The account.
    pub account: AccountKey,
    /// By item.
    pub items: BTreeMap<u16, Amount>,
    /// Its unit.
    pub unit: Option<String>,
    /// It grants, under these terms; otherwise it reserves.
    pub grants: Option<Terms>,
    /// The state that commits it.
    pub commit_on: Option<String>,
    /// The states that release it.
    pub release_on: Vec<String>,
}

/// What a document asks of accounts, and what became of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DocumentAccounts {
    /// The version of the document that asked last.
    pub version: u32,
    /// How far it is.
    pub progress: Progress,
    /// What it asks.
    pub accounts: Vec<Used>,
    /// What the version before held.
    pub before: Vec<Used>,
    /// Why it was refused.
    pub failures: Vec<Failure>,
}

impl DocumentAccounts {
    /// An account has refused what this version asks.
    pub(crate) fn refuses(&self, version: u32) -> bool {
        self.version == version && self.progress == Progress::Refused
    }
}

/// Who asks, for which document and day.
pub(super) struct Asker {
    pub(super) holder: Holder,
    pub(super) version: u32,
    pub(super) day: Date,
    pub(super) at: Timestamp,
    pub(super) actor: String,
}

impl Asker {
    pub(super) fn request(&self, account: &AccountKey, phase: Phase, order: Order) -> Request {
        let step = Step { version: self.version, phase };
        Request {
            cause: cause(&self.holder, step, account, order.word()),
            account: account.clone(),
            holder: self.holder.clone(),
            step,
            order,
            day: self.day,
            at: self.at,
            actor: self.actor.clone(),
            reason: String::new(),
        }
    }
}

fn uses(calls: &[AccountCall]) -> Vec<Used> {
    let mut found: BTreeMap<(&AccountKey, bool), Used> = BTreeMap::new();
    for call in calls {
        let grants = call.entry != LedgerEntry::Reserve;
        let used = found.entry((&call.account, grants)).or_insert_with(|| Used {
            account: call.account.clone(),
            items: BTreeMap::new(),
            unit: call.unit.clone(),
            grants: grants.then(|| call.terms.clone()),
            commit_on: call.commit_on.clone(),
            release_on: call.release_on.clone(),
        });
        used.items.insert(call.item, call.quantity);
    }
    found.into_values().collect()
}

impl Used {
    /// The whole of its items; what no account could hold is asked as the largest amount there is, and refused.
    fn total(&self) -> Amount {
        Amount::sum(self.items.values().copied()).unwrap_or(Amount::LARGEST)
    }

    /// The order that makes an account hold, or grant, what this says.
    fn order(&self) -> Order {
        match &self.grants {
            Some(terms) => Order::Grant { quantity: self.total(), terms: terms.clone() },
            None => Order::Hold { items: self.items.clone(), unit: self.unit.clone() },
        }
    }

    /// The order that ends it.
    fn end(&self) -> Order {
        match &self.grants {
            Some(_) => Order::Stand { standing: Standing::Revoked },
            None => Order::Release { returns_use: false },
        }
    }
}

/// The steps from what the version before held to what this one asks: what grows first, so that nothing is given up for an
/// amendment that fails.
fn steps(asker: &Asker, before: &[Used], now: &[Used], deletes: bool) -> Vec<StepRow> {
    let earlier = |used: &Used| {
        before.iter().find(|b| b.account == used.account && b.grants.is_some() == used.grants.is_some())
    };
    let mut out = Vec::with_capacity(now.len());
    for used in now {
        let held = earlier(used);
        let request = match deletes {
            true => asker.request(&used.account, Phase::Release, used.end()),
            false => asker.request(&used.account, Phase::Hold, used.order()),
        };
        let back = match (held, &used.grants) {
            (Some(held), _) => asker.request(&used.account, Phase::Back, held.order()),
            (None, Some(terms)) => {
                let nothing = Order::Grant { quantity: Amount::ZERO, terms: terms.clone() };
                asker.request(&used.account, Phase::Back, nothing)
            }
            (None, None) => asker.request(&used.account, Phase::Release, used.end()),
        };
        let grows = held.is_none_or(|held| used.total() > held.total()) && !deletes;
        let step = StepRow {
            request,
            undo: (!deletes).then_some(back),
            outcome: None,
            undone: false,
            first: held.is_none(),
        };
        out.push((!grows, step));
    }
    let gone = before.iter().filter(|b| !now.iter().any(|n| n.account == b.account));
    for held in gone.filter(|_| !deletes) {
        let order = match held.grants {
            Some(_) => held.end(),
            None => Order::Hold { items: BTreeMap::new(), unit: None },
        };
        let request = asker.request(&held.account, Phase::Hold, order);
        out.push((true, StepRow { request, undo: None, outcome: None, undone: false, first: false }));
    }
    out.sort_by_key(|(shrinks, _)| *shrinks);
    out.into_iter().map(|(_, step)| step).collect()
}

/// What the record that accepts a document writes, so that its accounts are asked afterwards. Nothing for a document that asks
/// nothing and never did.
#[allow(clippy::too_many_arguments)]
pub(crate) fn planned(
    log: &dyn Log,
    region: RegionCode,
    document: &Document,
    doc_id: &DocId,
    reference: &Bytes,
    index: JournalIndex,
    (time, accepted): (Timestamp, Timestamp),
    actor: &str,
) -> Result<Vec<Effect>, Error> {
    if document.kind.ledgers.is_empty() {
        return Ok(Vec::new());
    }
    let id = doc_id.to_string();
    let prior: Option<DocumentAccounts> = match document.doc_version {
        0 | 1 => None,
        _ => read(log, &rows::document(&id))?,
    };
    let before = prior.map(|p| if p.progress == Progress::Refused { p.before } else { p.accounts });
    let before = before.unwrap_or_default();
    let deletes = document.function_code == FUNCTION_DELETE;
    let now = if deletes { before.clone() } else { uses(&document.accounts) };
    let asker = Asker {
        holder: Holder { platform: region, document: id.clone() },
        version: document.doc_version,
        day: local_date(accepted, document.kind.pack.utc_offset_minutes),
        at: time,
        actor: actor.to_owned(),
    };
    let steps = steps(&asker, &before, &now, deletes);
    if steps.is_empty() {
        return Ok(Vec::new());
    }
    let accounts = if deletes { Vec::new() } else { now };
    let kept = DocumentAccounts {
        version: document.doc_version,
        progress: Progress::Pending,
        accounts,
        before,
        failures: Vec::new(),
    };
    let duty = DutyRow {
        doc_id: id.clone(),
        version: document.doc_version,
        reference: reference.clone(),
        kind: DutyKind::Document,
        steps: u16::try_from(steps.len()).unwrap_or(u16::MAX),
    };
    let mut effects = duty.effects(index, steps);
    effects.push(put(rows::document(&id), &kept));
    Ok(effects)
}

/// Steps that a state of a document causes: commitment, or release.
pub(super) fn follow(asker: &Asker, accounts: &[Used], state: &str) -> Vec<StepRow> {
    let mut out = Vec::new();
    for used in accounts.iter().filter(|u| u.grants.is_none()) {
        let request = if used.commit_on.as_deref() == Some(state) {
            asker.request(&used.account, Phase::Commit, Order::Commit { items: None })
        } else if used.release_on.iter().any(|s| s == state) {
            asker.request(&used.account, Phase::Release, used.end())
        } else {
            continue;
        };
        out.push(StepRow { request, undo: None, outcome: None, undone: false, first: false });
    }
    out
}
