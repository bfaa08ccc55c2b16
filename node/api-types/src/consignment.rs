//! Where whatever a number names stands, and how documents compare with others.

use crate::Failure;
use eport_model::RegionCode;
use serde::{Deserialize, Serialize};

/// What one platform knows of a number.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ConsignmentStatus {
    /// The platform.
    pub platform: RegionCode,
    /// The record up to which this is so.
    pub epoch: u64,
    /// See `epoch`.
    pub index: u64,
    /// Documents that are known by the number, then those that these lead to.
    pub documents: Vec<ConsignmentDocument>,
    /// Milestones that they tell of, oldest first.
    pub milestones: Vec<ConsignmentMilestone>,
    /// True when more documents are known than are shown.
    pub truncated: bool,
}

/// A document of a consignment.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ConsignmentDocument {
    /// Its number.
    pub doc_id: String,
    /// Its newest version.
    pub doc_version: u32,
    /// Its type.
    pub doc_type: String,
    /// The type's name.
    pub title_zh: String,
    /// See `title_zh`.
    pub title_en: String,
    /// The kind of number that led to it.
    pub known_by: String,
    /// True when it is known by the number itself, false when another document led to it.
    pub direct: bool,
    /// State of the document.
    pub state: String,
    /// State of its type's own life cycle.
    pub stage: String,
    /// When the newest version was accepted.
    pub received_at: String,
    /// What agencies made of it.
    pub agencies: Vec<AgencyStatus>,
}

/// What an agency made of a document.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AgencyStatus {
    /// The agency.
    pub agency: String,
    /// Its state.
    pub state: Option<String>,
    /// Code of its last receipt.
    pub last_code: Option<String>,
    /// When that happened.
    pub last_time: Option<String>,
}

/// A milestone of a consignment.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ConsignmentMilestone {
    /// Its code.
    pub code: String,
    /// When it was passed.
    pub at: String,
    /// Who says so.
    pub source: String,
    /// The document that says so.
    pub doc_id: String,
}

/// What all platforms know of a number.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ConsignmentAnswer {
    /// The number as it was asked.
    pub number: String,
    /// What each platform that answered knows; those that know nothing are left out.
    pub platforms: Vec<ConsignmentStatus>,
    /// Platforms that did not answer: what they know is missing here.
    pub unanswered: Vec<Unanswered>,
}

/// A platform that did not answer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Unanswered {
    /// The platform.
    pub platform: RegionCode,
    /// Why.
    pub detail: String,
}

/// How a comparison of a document ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Compared {
    /// Its number in the domain's list.
    pub rule: String,
    /// PASS, WARN, WAIT or FAIL.
    pub outcome: String,
    /// Until when it waits for a record that is not here.
    pub waits_until: Option<String>,
    /// The documents that were looked at.
    pub records: Vec<String>,
    /// What does not hold.
    pub failures: Vec<Failure>,
}
