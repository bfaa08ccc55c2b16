//! What a platform may take of the nodes that serve it.
//!
//! A quota has a version of its own: it says nothing about who serves the platform, and a move must not make an operator's
//! change of it fail. Every node applies it as soon as it has the row.

use eport_model::{RegionCode, Timestamp};
use serde::{Deserialize, Serialize};

/// Most requests a second, and most at once, that a quota may name: beyond it a bound bounds nothing.
pub const REQUESTS_MAX: u32 = 1_000_000;
/// Least bytes of requests in flight: one document of the largest size passes.
pub const BYTES_IN_FLIGHT_MIN: u64 = 64 << 10;
/// Least bytes on disk: an empty platform takes about two million.
pub const DISK_BYTES_MIN: u64 = 16 << 20;

/// Bounds of one platform; `None` bounds nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct QuotaLimits {
    /// Requests a second on average; a batch counts once a document.
    pub requests_per_s: Option<u32>,
    /// Requests at once; without it two seconds' worth.
    pub burst: Option<u32>,
    /// Bytes of request bodies under way at once, on one node.
    pub bytes_in_flight: Option<u64>,
    /// Bytes that the platform takes on its primary's disk.
    pub disk_bytes: Option<u64>,
}

impl QuotaLimits {
    /// Requests at once, where requests are bounded.
    pub fn burst(&self) -> Option<u32> {
        self.requests_per_s.map(|rate| self.burst.unwrap_or_else(|| rate.saturating_mul(2)).max(1))
    }

    /// True when nothing is bounded.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// The quota of a platform.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Quota {
    /// The platform.
    pub region: RegionCode,
    /// Every change raises it by one; a platform without a quota is at version 0.
    pub version: u64,
    /// The bounds.
    pub limits: QuotaLimits,
    /// Who set it.
    pub by: String,
    /// When.
    pub since: Timestamp,
}
