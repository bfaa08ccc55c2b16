//! What a client was promised, and whether the platform kept it.

use anyhow::{Context, Result, ensure};
use eport_cluster::Federation;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// A valid arrival report with this reference.
pub fn document(reference: &str) -> Value {
    json!({
        "doc_type": "arrival_report", "doc_version": 1, "client_ref": reference, "function_code": "2",
        "body": {
            "customs_office": "5101", "ship_id": "UN9074729", "voyage_no": "025E", "bill_no": "COSU6112233440",
            "port": "CNCAN", "arrived_at": "2018-01-10T08:30:00+08:00", "containers": ["CSQU3054383"],
            "packages": 120, "gross_weight_kg": "18350.5",
        }
    })
}

/// Valid arrival reports `PREFIX-000001` and so on.
pub fn documents(prefix: &str, count: usize) -> Vec<Value> {
    (1..=count).map(|n| document(&format!("{prefix}-{n:06}"))).collect()
}

/// Documents as a file with one a line.
pub fn lines(documents: &[Value]) -> String {
    documents.iter().map(|d| format!("{d}\n")).collect()
}

/// Promises of one platform: reference → document number.
#[derive(Debug, Default, Clone)]
pub struct Ledger {
    promised: BTreeMap<String, String>,
}

impl Ledger {
    /// How many documents were promised to be kept.
    pub fn len(&self) -> usize {
        self.promised.len()
    }

    /// True when nothing was promised.
    pub fn is_empty(&self) -> bool {
        self.promised.is_empty()
    }

    /// Writes down one answer. A second answer for the same reference must name the same number.
    pub fn note(&mut self, reference: &str, doc_id: &str) -> Result<()> {
        let earlier = self.promised.insert(reference.to_owned(), doc_id.to_owned());
        ensure!(
            earlier.as_deref().is_none_or(|e| e == doc_id),
            "{reference} was {earlier:?} and is now {doc_id}"
        );
        Ok(())
    }

    /// Writes down the answers to a batch; returns how many lines were not accepted.
    pub fn note_batch(&mut self, sent: &[Value], items: &[Value]) -> Result<usize> {
        ensure!(sent.len() == items.len(), "{} answers for {} documents", items.len(), sent.len());
        let mut open = 0;
        for (document, item) in sent.iter().zip(items) {
            if matches!(item["status"].as_u64(), Some(200 | 201)) {
                let reference = document["client_ref"].as_str().context("client_ref")?;
                self.note(reference, item["doc_id"].as_str().context("doc_id")?)?;
            } else {
                open += 1;
            }
        }
        Ok(open)
    }

    /// Lodges documents through `eport doc submit` until all are answered, and writes the answers down.
    pub fn submit(&mut self, fed: &Federation, region: &str, sent: &[Value]) -> Result<()> {
        let file = fed.scratch().join(format!("submit-{region}-{}.ndjson", self.len()));
        std::fs::write(&file, lines(sent))?;
        let path = file.to_string_lossy();
        let ran =
            fed.eport(&["--timeout", "60s", "doc", "submit", &path, "--platform", region])?.ok_json()?;
        match sent {
            [one] => self.note(
                one["client_ref"].as_str().context("client_ref")?,
                ran["doc_id"].as_str().context("doc_id")?,
            ),
            _ => {
                let open = self.note_batch(sent, ran["items"].as_array().context("items")?)?;
                ensure!(open == 0, "{open} of {} documents were not accepted", sent.len());
                Ok(())
            }
        }
    }

    /// Every promised document is there once, under the number that was promised; with `only`, there is nothing else.
    pub fn check(&self, fed: &Federation, region: &str, only: bool) -> Result<()> {
        let list = fed.eport(&["doc", "list", "--platform", region, "--limit", "1000000"])?.ok_json()?;
        let mut held: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for item in list["items"].as_array().context("items")? {
            let text = |k: &str| item[k].as_str().unwrap_or_default().to_owned();
            held.entry(text("client_ref")).or_default().push(text("doc_id"));
        }
        let missing: Vec<&String> = self.promised.keys().filter(|r| !held.contains_key(*r)).collect();
        let changed: Vec<_> =
            self.promised.iter().filter(|(r, id)| held.get(*r).is_some_and(|h| !h.contains(id))).collect();
        let duplicated: Vec<_> = held.iter().filter(|(_, ids)| ids.len() > 1).collect();
        ensure!(
            missing.is_empty() && changed.is_empty() && duplicated.is_empty(),
            "{region}: promised {}, held {}; missing {missing:?}; under another number {changed:?}; duplicated {duplicated:?}",
            self.promised.len(),
            held.len()
        );
        let count =
            fed.eport(&["doc", "list", "--platform", region, "--count"])?.ok_json()?["count"].as_u64();
        ensure!(count == Some(held.len() as u64), "count {count:?}, but {} distinct references", held.len());
        ensure!(
            !only || held.len() == self.promised.len(),
            "held {}, promised {}",
            held.len(),
            self.promised.len()
        );
        Ok(())
    }
}
