//! Hosted platforms: what each may take, what each has taken.

use eport_identity::{NodeId, RegionCode};
use serde::{Deserialize, Serialize};

/// `PUT /v1/platforms/{region}/quota`: the whole quota; what is absent is not bounded.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QuotaRequest {
    /// Requests a second on average; a batch counts once a document.
    pub requests_per_s: Option<u32>,
    /// Requests at once; without it two seconds' worth.
    pub burst: Option<u32>,
    /// Bytes of request bodies under way at once, on one node.
    pub bytes_in_flight: Option<u64>,
    /// Bytes on the primary's disk.
    pub disk_bytes: Option<u64>,
    /// Version of the quota that the caller looked at; 0 when there was none.
    pub expected_version: u64,
}

/// The quota of a platform. Also in `platform show`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct QuotaItem {
    /// Rises with every change; 0 when none was ever set.
    pub version: u64,
    /// Requests a second on average; `null` bounds nothing.
    pub requests_per_s: Option<u32>,
    /// Requests at once.
    pub burst: Option<u32>,
    /// Bytes of request bodies under way at once.
    pub bytes_in_flight: Option<u64>,
    /// Bytes on the primary's disk.
    pub disk_bytes: Option<u64>,
    /// Who set it.
    pub by: Option<String>,
    /// When.
    pub since: Option<String>,
}

/// What a platform took in a month. Also one line of `platform usage`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PlatformUsage {
    /// The platform.
    pub region: RegionCode,
    /// `YYYY-MM`, by the calendar of China.
    pub month: String,
    /// Requests served, a batch once a document; refused ones do not count.
    pub requests: u64,
    /// Documents accepted, each version counted.
    pub documents: u64,
    /// Bytes of their requests as stored.
    pub bytes_in: u64,
    /// Bytes on the primary's disk now.
    pub disk_bytes: u64,
    /// Bytes on the disk of everybody who keeps a copy, the primary included.
    pub copies: Vec<CopyUsage>,
    /// Last record that is counted.
    pub through: u64,
}

/// What one copy takes on its node's disk.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CopyUsage {
    /// The node.
    pub node: NodeId,
    /// Bytes.
    pub disk_bytes: u64,
}

/// `GET /v1/usage`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct UsageReport {
    /// `YYYY-MM`.
    pub month: String,
    /// One line a platform.
    pub items: Vec<PlatformUsage>,
    /// Platforms whose primary did not answer: the report is not whole.
    pub missing: Vec<UsageMissing>,
    /// Always `null`: the report is one page.
    pub next_page_token: Option<String>,
}

/// A platform that is not in a report.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct UsageMissing {
    /// The platform.
    pub region: RegionCode,
    /// Why.
    pub reason: String,
}
