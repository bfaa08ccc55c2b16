//! Removing a node for good.

use eport_identity::NodeId;
use serde::{Deserialize, Serialize};

/// Asks for it.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NodeRemoval {
    /// Only tell what stands against it.
    pub dry_run: bool,
    /// What the node's disk held beyond a failover is lost for good: the operator says so, and the audit keeps it.
    pub tail_lost: bool,
}

/// One reason against it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NodeObstacle {
    /// What the node is.
    pub text: String,
    /// What to do about it, in Chinese.
    pub advice_zh: String,
    /// The same in English.
    pub advice_en: String,
    /// `tail_lost` answers it.
    pub may_be_declared_lost: bool,
}

/// What became of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NodeRemoved {
    /// The node.
    pub node: NodeId,
    /// It is removed: its id is never used again and its certificate is revoked.
    pub removed: bool,
    /// It still votes in the registry; the leader gives its vote to another.
    pub voter: bool,
    /// What stands against it.
    pub obstacles: Vec<NodeObstacle>,
}
