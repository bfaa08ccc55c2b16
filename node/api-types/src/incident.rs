//! `GET /v1/incident`: what happened in a span of time, as one node knows it.

use eport_identity::{NodeId, RegionCode};
use serde::{Deserialize, Serialize};

/// Most events of one answer.
pub const INCIDENT_EVENTS_MAX: usize = 5_000;

/// One thing that happened.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct IncidentEvent {
    /// When, by the clock of whoever wrote it down.
    pub at: String,
    /// `audit`, `approval`, `move`, `drill`, `tail` or `state`.
    pub source: String,
    /// What it is about: the id of a move, a drill, an approval; else empty. The same event has the same id at every node.
    pub id: String,
    /// Stable name, for example `move.opened` or `link.lost`.
    pub event: String,
    /// The node that saw it; absent where the registry keeps it, which is the same at every node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeId>,
    /// The platform that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<RegionCode>,
    /// Who did it, where a person did.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub by: String,
    /// One line.
    pub text: String,
}

/// The events of one node in order of time.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct IncidentEvents {
    /// The node that answers.
    pub node: NodeId,
    /// Oldest first.
    pub items: Vec<IncidentEvent>,
    /// There were more than one answer holds: the newest are left out.
    pub truncated: bool,
    /// Sources that this caller may not read.
    pub withheld: Vec<String>,
}
