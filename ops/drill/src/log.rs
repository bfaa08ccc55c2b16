//! The log of a client that lodges documents: what was tried, when, and what came back. Written by one process, judged by another.

use eport_model::RegionCode;
use serde::{Deserialize, Serialize};

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "snake_case")]
pub enum Line {
    /// The first line.
    Start(Start),
    /// An attempt to lodge a document.
    Attempt(Box<Attempt>),
    /// The last line; missing when the load was killed.
    End(Summary),
}

/// What the load was asked to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Start {
    /// The platform.
    pub platform: RegionCode,
    /// Documents a second.
    pub rate: f64,
    /// Start of every client_ref.
    pub prefix: String,
    /// When it began, milliseconds since 1970.
    pub at_ms: f64,
    /// Its process.
    pub pid: u32,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Accepted for the first time (201).
    Acknowledged,
    /// Accepted earlier: the first answer again (200).
    Repeated,
    /// Refused for good.
    Refused,
    /// Certainly not accepted; may be tried again.
    Unavailable,
    /// May or may not be accepted.
    Unknown,
}

impl Outcome {
    /// True when the document needs no further attempt.
    pub fn is_final(self) -> bool {
        matches!(self, Outcome::Acknowledged | Outcome::Repeated | Outcome::Refused)
    }

    /// True when the server has promised to keep the document.
    pub fn is_promise(self) -> bool {
        matches!(self, Outcome::Acknowledged | Outcome::Repeated)
    }
}

/// One attempt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// Number of the document, from 1.
    pub number: u64,
    /// Number of the attempt, from 1.
    pub attempt: u32,
    /// The document's key.
    pub client_ref: String,
    /// Address it was sent to.
    pub api: String,
    /// When it was sent, milliseconds since 1970, monotonic.
    pub sent_ms: f64,
    /// When the answer or the error came.
    pub done_ms: f64,
    /// How it ended.
    pub outcome: Outcome,
    /// HTTP status, if there was an answer.
    pub status: Option<u16>,
    /// Code of the error.
    pub code: Option<String>,
    /// What went wrong.
    pub detail: Option<String>,
    /// Number the platform gave.
    pub doc_id: Option<String>,
    /// What the answer promises.
    pub durability: Option<String>,
    /// Epoch of the record.
    pub epoch: Option<u64>,
    /// Index of the record.
    pub index: Option<u64>,
    /// Digest of the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

/// Totals at the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Documents started.
    pub submitted: u64,
    /// Documents the server has promised to keep.
    pub acknowledged: u64,
    /// Documents refused for good.
    pub refused: u64,
    /// Documents without an answer at the end.
    pub unanswered: u64,
}

impl Summary {
    /// Counts the last outcome of a document.
    pub fn add(&mut self, outcome: Outcome) {
        self.submitted += 1;
        match outcome {
            o if o.is_promise() => self.acknowledged += 1,
            Outcome::Refused => self.refused += 1,
            _ => self.unanswered += 1,
        }
    }
}

/// Reads a log. The last line may be cut when the load was killed while writing; every other bad line is an error.
pub fn parse(text: &str) -> Result<Vec<Line>, String> {
    let lines: Vec<&str> = text.lines().filter(|l| !l.trim().is_empty()).collect();
    let mut out = Vec::with_capacity(lines.len());
    for (n, line) in lines.iter().enumerate() {
        match serde_json::from_str(line) {
            Ok(line) => out.push(line),
            Err(_) if n + 1 == lines.len() && !text.ends_with('\n') => {}
            Err(e) => return Err(format!("line {}: {e}", n + 1)),
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_survives_its_text_and_only_its_cut_last_line_is_forgiven() {
        let end = Line::End(Summary { submitted: 3, acknowledged: 2, refused: 0, unanswered: 1 });
        let text = format!("{}\n", serde_json::to_string(&end).unwrap());
        assert_eq!(parse(&text).unwrap(), [end]);
        assert_eq!(parse(&format!("{text}{{\"line\":\"att")).unwrap().len(), 1);
        assert!(parse(&format!("garbage\n{text}")).unwrap_err().starts_with("line 1"));
    }
}
