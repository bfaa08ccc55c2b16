//! Diverged tails: what an old primary had answered beyond the point where its platform went on elsewhere.

use eport_identity::{Digest, Epoch, NodeId, RegionCode};
use serde::{Deserialize, Serialize};

/// A tail, as `eport tail list` shows it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TailItem {
    /// Its id: `tail-REGION-EPOCH-FORK-LAST-NODE`.
    pub id: String,
    /// The platform.
    pub region: RegionCode,
    /// Who wrote it, or followed its author.
    pub node: NodeId,
    /// Epoch of its last record.
    pub epoch: Epoch,
    /// Last record that both histories share.
    pub fork: u64,
    /// Last record of the tail.
    pub last: u64,
    /// How many records it has, with those that carry no document.
    pub records: u64,
    /// Digest of the export.
    pub digest: Digest,
    /// `exported` while something waits for a decision, then `resolved` or `discarded`.
    pub state: String,
    /// When it was recorded.
    pub at: String,
    /// What became of its documents; `null` when the primary does not hold the tail yet or cannot be asked.
    pub documents: Option<TailCounts>,
}

/// What became of the documents of a tail. The five last numbers add up to the first.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct TailCounts {
    /// Documents in it.
    pub total: u64,
    /// Found in the platform: their traders had sent them again, or another tail brought them.
    pub present: u64,
    /// Submitted again as new records.
    pub resubmitted: u64,
    /// Wait for a person, with the reason.
    pub conflicts: u64,
    /// Discarded by an operator.
    pub discarded: u64,
    /// Not looked at yet.
    pub pending: u64,
}

/// One record of a tail, as `eport tail show` shows it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TailRecord {
    /// Its place in the journal that was left.
    pub index: u64,
    /// Its epoch.
    pub epoch: Epoch,
    /// Its digest: what the answer of then had named.
    pub digest: Digest,
    /// What the record was for.
    pub kind: String,
    /// `present`, `clean`, `conflict`, or `none` for a record without a document. What would happen now, or has happened.
    pub class: String,
    /// `pending`, `present`, `resubmitted`, `conflict` or `discarded`: what has been decided.
    pub outcome: String,
    /// When the document was accepted.
    pub accepted_at: Option<String>,
    /// Document type.
    pub doc_type: Option<String>,
    /// The lodger.
    pub lodged_by: Option<String>,
    /// The lodger's number.
    pub client_ref: Option<String>,
    /// Version.
    pub doc_version: Option<u32>,
    /// The number that was answered then.
    pub doc_id: Option<String>,
    /// The number under which the platform has it now, where it has.
    pub stored_as: Option<String>,
    /// Why a person has to look.
    pub code: Option<String>,
    /// The same in words.
    pub detail: Option<String>,
}

/// `GET /v1/platforms/{region}/tails/{id}`: the tail and a page of its records.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TailDetail {
    /// The tail.
    #[serde(flatten)]
    pub tail: TailItem,
    /// Records of this page, in order.
    pub items: Vec<TailRecord>,
    /// Ask again with it; `null` on the last page.
    #[serde(default)]
    pub next_page_token: Option<String>,
}

/// `POST /v1/platforms/{region}/tails/{id}/resubmit`.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TailResubmit {
    /// Only these records; empty for all.
    pub records: Vec<u64>,
}

/// What a re-submission did.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TailResubmitted {
    /// The tail with the counts as they are now.
    #[serde(flatten)]
    pub tail: TailItem,
    /// New records made by this call.
    pub resubmitted_now: u64,
    /// Documents found present by this call.
    pub present_now: u64,
    /// What waits for a person, at most the first hundred.
    pub conflicts: Vec<TailRecord>,
}

/// `POST /v1/platforms/{region}/tails/{id}/discard`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TailDiscard {
    /// Why; kept in the audit.
    pub reason: String,
    /// Only these records; empty for whatever is not decided yet.
    #[serde(default)]
    pub records: Vec<u64>,
}
