//! Examples of comparisons: a document, the records that are there already, and what the comparison says.

use crate::comparison::{Other, Records, Unread};
use crate::pack::{Packs, number};
use crate::tables::Tables;
use crate::{Document, Failure};
use eport_expression::parse_instant;
use eport_model::Timestamp;
use serde::Deserialize;
use serde_json::Value;

/// A document, what it is compared with, and what must come of it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    document: Value,
    at: Option<String>,
    /// The records that are there.
    others: Vec<Record>,
    /// Refusals and warnings, by place and code, exactly these in this order.
    #[serde(default)]
    failures: Vec<(String, String)>,
    #[serde(default)]
    warnings: Vec<(String, String)>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    document: Value,
    #[serde(default)]
    state: String,
}

/// The records of an example.
struct Kept<'p> {
    packs: &'p Packs,
    all: Vec<Other>,
}

impl Records for Kept<'_> {
    fn find(&self, types: &[String], kind: &str, wanted: &str, most: usize) -> Result<Vec<Other>, Unread> {
        let known = |o: &&Other| {
            let numbers =
                self.packs.get(&o.doc_type).and_then(|t| t.numbers(&o.shown).ok()).unwrap_or_default();
            types.contains(&o.doc_type)
                && numbers.iter().any(|(k, n)| k == kind && Some(n) == number(wanted).as_ref())
        };
        Ok(self.all.iter().filter(known).take(most + 1).cloned().collect())
    }
}

/// Runs one example. The error says how it differs from what it expects.
pub(crate) fn run(text: &[u8], packs: &Packs, tables: &dyn Tables, default: Timestamp) -> Result<(), String> {
    let case: Case = serde_json::from_slice(text).map_err(|e| e.to_string())?;
    let at = match &case.at {
        Some(text) => parse_instant(text, 480).ok_or_else(|| format!("{text:?} is no instant"))?,
        None => default,
    };
    let judged = |value: &Value| -> Result<(Document, Vec<u8>), String> {
        let raw = serde_json::to_vec(value).map_err(|e| e.to_string())?;
        let document = Document::judge(&raw, packs, tables, at).map_err(|refusal| {
            let found: Vec<String> =
                refusal.failures().iter().map(|f| format!("{} {}", f.path, f.code)).collect();
            format!("a document of it is refused: {refusal}: {}", found.join("; "))
        })?;
        let shown = document.normalised.clone().unwrap_or_else(|| document.canonical.clone());
        Ok((document, shown))
    };
    let mut all = Vec::with_capacity(case.others.len());
    for (n, other) in case.others.iter().enumerate() {
        let (document, shown) = judged(&other.document)?;
        let start = document.kind.life_cycle.as_ref().map(|c| c.start.clone()).unwrap_or_default();
        all.push(Other {
            doc_type: document.kind.doc_type.to_string(),
            doc_id: format!("record {}", n + 1),
            doc_version: document.doc_version,
            lodged_by: String::new(),
            state: if other.state.is_empty() { start } else { other.state.clone() },
            received_at: "2018-01-01T00:00:00Z".into(),
            shown,
        });
    }
    let (document, shown) = judged(&case.document)?;
    let records = Kept { packs, all };
    let found = packs
        .compare(&document.kind.doc_type, &shown, None, &records, tables, at)
        .map_err(|e| e.to_string())?;
    let (refused, warned) = found.verdict();
    let listed = |of: &[Failure]| of.iter().map(|f| (f.path.clone(), f.code.clone())).collect::<Vec<_>>();
    let (refused, warned) = (listed(&refused), listed(&warned));
    if refused != case.failures || warned != case.warnings {
        return Err(format!(
            "expected {:?} and warnings {:?}, found {refused:?} and {warned:?}",
            case.failures, case.warnings
        ));
    }
    Ok(())
}
