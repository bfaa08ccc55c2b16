//! What a verification of evidence found.

use crate::{Evidence, Statement};
use eport_model::{JournalIndex, Position, RegionCode};
use serde::{Deserialize, Serialize};

/// Something that evidence may prove.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Claim {
    /// A node of the federation vouches for the record and for the statement.
    Attestation,
    /// The record took a document under this number and version.
    Record,
    /// The document is the one that the record took.
    Document,
    /// No record between the document's and the last one of the chain is missing or altered.
    Chain,
    /// A signed head of the journal covers the last record of the chain.
    SignedHead,
    /// Whoever handed it in had a certificate of the federation that was valid then.
    Certificate,
    /// The declarant signed the document itself. No record holds such a signature yet.
    DeclarantSignature,
}

/// A difference.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Problem {
    /// The record, where it is about one.
    pub index: Option<JournalIndex>,
    /// One word: `file`, `owner`, `attestation`, `record`, `document`, `chain`, `missing`, `time`, `signature`, `certificate`.
    pub kind: String,
    /// For people.
    pub detail: String,
}

/// A signature that holds.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SignedBy {
    /// By whom: a subject's path.
    pub by: String,
    /// When, RFC 3339.
    pub at: String,
}

/// A signed head that holds.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Vouched {
    /// What it covers.
    pub covers: Position,
    /// Who signed it, and when.
    #[serde(flatten)]
    pub signed: SignedBy,
}

/// A certificate of whoever handed the document in.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CertificateSeen {
    /// Its serial.
    pub serial: String,
    /// True when an issuer that is trusted here signed it for the record's caller, and it was valid when the document was accepted.
    pub holds: bool,
    /// Why it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Its state then, as the node that made the file states it.
    pub state: String,
    /// When it was revoked, as the node states it.
    pub revoked_at: Option<String>,
}

/// The result; serializes to the JSON of `eport journal verify --evidence`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// The platform; absent when the file cannot be read.
    pub region: Option<RegionCode>,
    /// The document's number.
    pub doc_id: Option<String>,
    /// Its version.
    pub doc_version: Option<u32>,
    /// The record that took it.
    pub record: Option<Position>,
    /// Record time, RFC 3339.
    pub time: Option<String>,
    /// When it was accepted first, RFC 3339: before the record's time where it was submitted again after a failover.
    pub accepted_at: Option<String>,
    /// Who handed it in: a subject's path.
    pub caller: Option<String>,
    /// Records of the chain behind the document's.
    pub links: u64,
    /// The node that made the file.
    pub attested: Option<SignedBy>,
    /// The signed head at the end of the chain.
    pub signed: Option<Vouched>,
    /// Certificates of whoever handed it in.
    pub certificates: Vec<CertificateSeen>,
    /// What is proven.
    pub proven: Vec<Claim>,
    /// What is not, without being wrong.
    pub not_proven: Vec<Claim>,
    /// True when nothing is wrong.
    pub ok: bool,
    /// True when nothing is wrong and a signed head of the journal covers the record.
    pub end_proven: bool,
    /// What is wrong.
    pub problems: Vec<Problem>,
}

impl Report {
    /// Nothing is proven yet.
    pub(crate) fn of(evidence: &Evidence) -> Self {
        let Statement { region, doc_id, doc_version, .. } = &evidence.statement;
        Self {
            region: Some(*region),
            doc_id: Some(doc_id.clone()),
            doc_version: Some(*doc_version),
            links: evidence.chain.len() as u64,
            ..Self::default()
        }
    }

    /// The file is no evidence.
    pub(crate) fn unreadable(detail: String) -> Self {
        let mut report = Self::default();
        report.problem(None, "file", detail);
        report.end()
    }

    /// Also: the evidence is of another platform than the one that was meant.
    pub fn expect(&mut self, region: RegionCode) {
        if let Some(other) = self.region.filter(|r| *r != region) {
            self.problem(None, "owner", format!("the evidence is of platform {other}"));
            (self.ok, self.end_proven) = (false, false);
        }
    }

    pub(crate) fn problem(&mut self, index: Option<JournalIndex>, kind: &str, detail: impl Into<String>) {
        self.problems.push(Problem { index, kind: kind.to_owned(), detail: detail.into() });
    }

    /// Notes a claim as proven, or the problem that stands against it.
    pub(crate) fn claim(&mut self, claim: Claim, index: JournalIndex, kind: &str, found: Result<(), String>) {
        match found {
            Ok(()) => self.proven.push(claim),
            Err(detail) => self.problem(Some(index), kind, detail),
        }
    }

    /// The verdict.
    pub(crate) fn end(mut self) -> Self {
        self.ok = self.problems.is_empty();
        self.end_proven = self.ok && self.proven.contains(&Claim::SignedHead);
        self
    }
}
