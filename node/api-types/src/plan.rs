//! `eport plan backups --json`, `GET /v1/plan/backups`, and sites.

use crate::Warning;
use eport_identity::{NodeId, RegionCode, SiteId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A site: what is lost together.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SiteDoc {
    /// The site.
    pub site: SiteId,
    /// Region it stands in.
    pub region: RegionCode,
    /// Name for people.
    pub name: String,
    /// What it shares with other sites: `power`, `network`.
    pub labels: BTreeMap<String, String>,
    /// Copies of platforms, primaries included, that it has room for; null is no limit.
    pub copies_max: Option<u32>,
    /// Its nodes, removed ones left out.
    pub nodes: Vec<NodeId>,
    /// Copies of platforms it keeps, primaries included.
    pub copies: u32,
}

/// `PUT /v1/sites/{site}`: what is absent stays as it is.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SiteRequest {
    /// Region of a new site.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<RegionCode>,
    /// Name for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Labels to set; an empty value takes a label away.
    pub labels: BTreeMap<String, String>,
    /// Room for copies; 0 takes the limit away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub copies_max: Option<u32>,
}

/// Who should back whom, and what the loss of each site costs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BackupPlan {
    /// Registry index that it rests on.
    pub index: u64,
    /// One proposal a platform.
    pub platforms: Vec<PlatformAdvice>,
    /// Every site, every pair of sites, every group of sites that share a label. With more than 32 sites, pairs that cost no
    /// more than their two sites one by one are left out.
    pub losses: Vec<SiteLoss>,
    /// What does not hold now.
    pub warnings: Vec<Warning>,
}

/// The proposal for one platform.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PlatformAdvice {
    /// The platform.
    pub region: RegionCode,
    /// Chinese name.
    pub name_zh: String,
    /// English name.
    pub name_en: String,
    /// Its primary; a proposal never changes it.
    pub primary: NodeId,
    /// The primary's site.
    pub site: Option<SiteId>,
    /// Its backups now.
    pub current: Vec<NodeId>,
    /// The backups it should have, the most wanted first.
    pub proposed: Vec<ProposedBackup>,
    /// Backups on other sites that it should have and no site has room for.
    pub short: usize,
    /// The proposal differs from what is.
    pub changed: bool,
    /// The command that carries the proposal out; null when nothing changes.
    pub command: Option<String>,
}

/// A backup of a proposal.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ProposedBackup {
    /// The node.
    pub node: NodeId,
    /// Its site.
    pub site: SiteId,
    /// Why: `kept`, `province`, `city`, `shares:LABEL=VALUE`, `silent`.
    pub reasons: Vec<String>,
}

/// If these sites burn.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SiteLoss {
    /// The sites.
    pub sites: Vec<SiteId>,
    /// Why together: `site`, `pair`, or the label that they share.
    pub because: String,
    /// The registry loses its quorum.
    pub quorum_lost: bool,
    /// The worst of all platforms: nothing|platform_unavailable|unreplicated_tail|data_lost.
    pub worst: String,
    /// The worst once every proposal is carried out.
    pub worst_after: String,
    /// Platforms that lose or change anything.
    pub platforms: Vec<PlatformLossDoc>,
}

/// What one platform loses.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PlatformLossDoc {
    /// The platform.
    pub region: RegionCode,
    /// nothing|platform_unavailable|unreplicated_tail|data_lost.
    pub class: String,
    /// The same once every proposal is carried out.
    pub class_after: String,
    /// continues|local|fails_over|operator|blocked|no_quorum|gone.
    pub service: String,
    /// Records that may be lost; null when nobody knows.
    pub records: Option<u64>,
    /// Who still has a copy.
    pub survivors: Vec<NodeId>,
}
