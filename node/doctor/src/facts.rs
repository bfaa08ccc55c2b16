//! What a diagnosis rests on: the answers of all nodes, and what one node says of the federation.

use eport_api_types::{
    ApprovalItem, CodedText, ExchangeStatus, FederationStatus, NodeFacts, TailItem, Warning,
};
use eport_model::NodeId;
use serde::{Deserialize, Serialize};

/// Everything that could be read.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Gathered {
    /// Every member, asked for its facts.
    pub asked: Vec<Asked>,
    /// The federation as one node sees it; absent when none could say.
    pub status: Option<FederationStatus>,
    /// What the planner says of the policies' promises.
    pub promises: Vec<Warning>,
    /// Diverged tails.
    pub tails: Vec<TailItem>,
    /// Commands that wait, or waited, for a second person.
    pub approvals: Vec<ApprovalItem>,
    /// The exchange of each platform.
    pub exchange: Vec<ExchangeStatus>,
    /// Nodes that make backups by schedule; `None` when that could not be read.
    pub backup_sets: Option<usize>,
    /// What could not be read, and why.
    pub unread: Vec<Unread>,
}

/// One node that was asked.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Asked {
    /// The node.
    pub node: NodeId,
    /// Its address.
    pub api: String,
    /// The asker's wall clock when the question left, in milliseconds since 1970.
    pub sent_ms: i64,
    /// Milliseconds until the answer was there.
    pub took_ms: i64,
    /// The answer.
    pub facts: Option<Box<NodeFacts>>,
    /// Why there is none.
    pub fault: Option<CodedText>,
}

/// Something that could not be read.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Unread {
    /// What.
    pub what: String,
    /// The code.
    pub code: String,
    /// Why.
    pub text: String,
}

impl Gathered {
    /// The facts of the nodes that answered.
    pub fn facts(&self) -> impl Iterator<Item = &NodeFacts> {
        self.asked.iter().filter_map(|a| a.facts.as_deref())
    }
}
