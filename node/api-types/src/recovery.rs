//! After a loss: nodes that join again, and journals that were kept and are adopted.

use eport_identity::{Epoch, Lineage, NodeId, RegionCode, SiteId};
use eport_model::Position;
use serde::{Deserialize, Serialize};

/// `POST /v1/nodes`: a node that may join.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeRequest {
    /// Its id, never used before.
    pub node: NodeId,
    /// Its site, which must exist.
    pub site: SiteId,
    /// Its home platform.
    pub region: RegionCode,
    /// `host:port` of its QUIC listener.
    pub quic: String,
    /// `host:port` of its HTTPS listener.
    pub api: String,
}

/// A copy of a journal as its node reports it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct JournalCopy {
    /// The platform.
    pub region: RegionCode,
    /// The node.
    pub node: NodeId,
    /// `primary`, `backup`, … or `kept` for one that no placement gives the node.
    pub role: String,
    /// Its last record.
    pub last: Position,
}

/// `POST /v1/platforms/{region}/adopt`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdoptRequest {
    /// The node whose journal is adopted.
    pub node: NodeId,
    /// Placement version the operator has seen; needed unless `dry_run`.
    #[serde(default)]
    pub expected_version: Option<u64>,
    /// The fork point that the operator has seen: the journal's last record; needed unless `dry_run`.
    #[serde(default)]
    pub start: Option<Position>,
    /// Only show what would be done.
    #[serde(default)]
    pub dry_run: bool,
}

/// What adopting would do.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AdoptPlan {
    /// True: nothing was changed.
    pub dry_run: bool,
    /// The platform.
    pub region: RegionCode,
    /// The node whose journal is adopted.
    pub node: NodeId,
    /// Placement version.
    pub version: u64,
    /// The last primary.
    pub old_primary: NodeId,
    /// Epoch before.
    pub epoch_before: Epoch,
    /// The fork point: the journal's last record.
    pub start: Position,
    /// Every copy that is reported, this one included.
    pub copies: Vec<JournalCopy>,
    /// Records that another reported copy holds behind the fork point.
    pub records_elsewhere: u64,
    /// Records behind the fork point that the old primary had published; they are lost unless it returns.
    pub records_published: u64,
}

/// A break in the federation's history.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LineageItem {
    /// The lineage that began.
    pub lineage: Lineage,
    /// The one it descends from.
    pub parent: Lineage,
    /// When, RFC 3339.
    pub at: String,
    /// The survivor it was founded on.
    pub founder: NodeId,
    /// Nodes that had a plan.
    pub survivors: Vec<NodeId>,
    /// Voters that were lost.
    pub lost: Vec<NodeId>,
    /// Who carried it out and who consented.
    pub persons: Vec<String>,
}
