//! A pack as its file writes it. Unknown keys are refused; what can be wrong by itself carries its place.

use super::{FailureCodes, FunctionCodes, Title};
use crate::checks::{Parameters, Rule};
use serde::Deserialize;
use std::collections::BTreeMap;
use toml::Spanned;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PackSpec {
    /// Checked before by `FormatSpec`; named so that it is no unknown key.
    #[serde(rename = "format")]
    pub(crate) _format: u32,
    pub(crate) name: Spanned<String>,
    pub(crate) version: Spanned<String>,
    pub(crate) title: Title,
    pub(crate) systems: Vec<Spanned<String>>,
    pub(crate) utc_offset_minutes: Spanned<i32>,
    pub(crate) codes: FailureCodes,
    #[serde(default)]
    pub(crate) parameters: Parameters,
    #[serde(default)]
    pub(crate) numbers: BTreeMap<String, Spanned<String>>,
    #[serde(default)]
    pub(crate) sets: BTreeMap<String, Spanned<Vec<String>>>,
    #[serde(default)]
    pub(crate) table: Vec<Spanned<TableSpec>>,
    pub(crate) document: Vec<Spanned<DocumentSpec>>,
}

/// Only the layout, read first so that a newer pack is named as such.
#[derive(Deserialize)]
pub(crate) struct FormatSpec {
    pub(crate) format: Spanned<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TableSpec {
    pub(crate) name: String,
    pub(crate) key: Vec<String>,
    #[serde(default)]
    pub(crate) columns: Vec<String>,
    #[serde(default)]
    pub(crate) if_published: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DocumentSpec {
    pub(crate) doc_type: Spanned<String>,
    pub(crate) title: Title,
    pub(crate) number_letter: Spanned<char>,
    pub(crate) number_letter_field: Option<Spanned<String>>,
    pub(crate) bytes_max: Spanned<usize>,
    pub(crate) version_max: u32,
    pub(crate) client_ref_length_max: usize,
    pub(crate) function_codes: FunctionCodes,
    #[serde(default)]
    pub(crate) min_durability: MinDurability,
    #[serde(default)]
    pub(crate) groups: BTreeMap<String, Title>,
    pub(crate) field: Vec<Spanned<FieldSpec>>,
    #[serde(default)]
    pub(crate) rule: Vec<Spanned<RuleSpec>>,
    #[serde(default)]
    pub(crate) recipient: Vec<Spanned<RecipientSpec>>,
    #[serde(default)]
    pub(crate) state: Vec<Spanned<StateSpec>>,
    #[serde(default)]
    pub(crate) milestone: Vec<Spanned<MilestoneSpec>>,
    pub(crate) consignment: Option<Spanned<ConsignmentSpec>>,
    pub(crate) upload: Option<Spanned<UploadSpec>>,
    /// Kind of number → the fields that hold it.
    #[serde(default)]
    pub(crate) known_by: BTreeMap<String, Spanned<Vec<String>>>,
    #[serde(default)]
    pub(crate) assigned: Vec<Spanned<AssignedSpec>>,
    #[serde(default)]
    pub(crate) cross_check: Vec<Spanned<CrossCheckSpec>>,
    #[serde(default)]
    pub(crate) ledger: Vec<Spanned<LedgerSpec>>,
    #[serde(default)]
    pub(crate) statistic: Vec<Spanned<StatisticSpec>>,
    #[serde(default)]
    pub(crate) sharing: Vec<Spanned<SharingSpec>>,
}

/// The least that an answer to a document of a type promises.
#[derive(Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum MinDurability {
    /// What the platform's policy promises.
    #[default]
    Local,
    /// The loss of any one site.
    Replicated,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Step {
    HalfWidth,
    Trim,
    Upper,
}

/// A field as the pack file writes it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FieldSpec {
    #[serde(default)]
    pub(crate) name: String,
    pub(crate) zh: Option<String>,
    pub(crate) en: Option<String>,
    pub(crate) r#type: Spanned<String>,
    #[serde(default)]
    pub(crate) required: bool,
    pub(crate) required_if: Option<Spanned<String>>,
    /// Groups of recipients, one letter each; those of the field around it when it says nothing.
    pub(crate) to: Option<Spanned<String>>,
    /// Part of what recipients of key fields get.
    #[serde(default)]
    pub(crate) key: bool,
    /// Classification of the field: P, B, C, I, L or K.
    pub(crate) class: Option<Spanned<char>>,
    pub(crate) length: Option<[usize; 2]>,
    pub(crate) normalise: Option<Vec<Step>>,
    pub(crate) rule: Option<Rule>,
    pub(crate) values: Option<Vec<String>>,
    pub(crate) table: Option<String>,
    pub(crate) table_if_published: Option<String>,
    pub(crate) range: Option<[i64; 2]>,
    pub(crate) positive: Option<bool>,
    pub(crate) item: Option<Box<Spanned<FieldSpec>>>,
    pub(crate) field: Option<Vec<Spanned<FieldSpec>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RuleSpec {
    pub(crate) id: String,
    pub(crate) zh: String,
    pub(crate) en: String,
    /// The list whose items are judged, or lists in lists, joined by points.
    pub(crate) each: Option<Spanned<String>>,
    pub(crate) when: Option<Spanned<String>>,
    pub(crate) check: Spanned<String>,
    pub(crate) code: String,
    /// The field the failure names, from the record that is judged.
    pub(crate) at: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RecipientSpec {
    pub(crate) agency: String,
    pub(crate) role: super::Role,
    #[serde(default)]
    pub(crate) full: String,
    #[serde(default)]
    pub(crate) key: String,
    pub(crate) when: Option<Spanned<String>>,
    /// The state in which it gets the document; absent: when it is accepted.
    pub(crate) after: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StateSpec {
    pub(crate) name: String,
    pub(crate) zh: String,
    pub(crate) en: String,
    #[serde(default)]
    pub(crate) start: bool,
    /// Not a state by itself: its receipts are noted beside the state.
    #[serde(default)]
    pub(crate) note: bool,
    /// `AGENCY:CODE`.
    #[serde(default)]
    pub(crate) receipts: Vec<String>,
    #[serde(default)]
    pub(crate) next: Vec<String>,
    /// What the agency's own state becomes.
    pub(crate) agency: Option<super::AgencyState>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MilestoneSpec {
    pub(crate) code: String,
    /// The state whose entry it is; absent: acceptance of the document.
    pub(crate) state: Option<String>,
    /// The field that holds its time; absent: the time of what causes it.
    pub(crate) time: Option<String>,
    /// The field that names what passed it; absent: the document itself.
    pub(crate) subject: Option<String>,
    /// What kind of key the subject is; absent: the field's own name.
    pub(crate) of: Option<String>,
    /// How good a source this is; the smallest counts.
    #[serde(default = "first")]
    pub(crate) rank: u8,
    pub(crate) when: Option<Spanned<String>>,
}

fn first() -> u8 {
    1
}

fn second() -> u8 {
    2
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConsignmentSpec {
    /// Holds for an import; else it is an export.
    pub(crate) import: Spanned<String>,
    /// Kind of key → field: milestones of these keys are the consignment's.
    #[serde(default)]
    pub(crate) joins: BTreeMap<String, String>,
    /// Dimension → where its value stands.
    #[serde(default)]
    pub(crate) by: BTreeMap<String, BySpec>,
    /// The states in which duties are to be paid.
    #[serde(default)]
    pub(crate) dutiable_on: Vec<String>,
    /// The states in which it is no sample any more.
    #[serde(default)]
    pub(crate) void_on: Vec<String>,
}

/// Where the value of a dimension stands.
#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum BySpec {
    /// A field.
    Field(String),
    /// The first characters of a field.
    First { field: String, first: usize },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct UploadSpec {
    /// Fields of the event: its milestone, the kind of its key, the key, its time.
    pub(crate) milestone: String,
    pub(crate) kind: String,
    pub(crate) subject: String,
    pub(crate) time: String,
    /// The system within the source's organisation.
    pub(crate) system: String,
    pub(crate) event: String,
    pub(crate) place: Option<String>,
    pub(crate) corrects: Option<String>,
    pub(crate) retracts: Option<String>,
    #[serde(default = "second")]
    pub(crate) rank: u8,
}

/// A number that an agency gives a document, as the text of a receipt.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AssignedSpec {
    pub(crate) kind: String,
    /// `AGENCY:CODE`.
    pub(crate) receipt: String,
    /// The check rule that such a number passes.
    pub(crate) rule: Rule,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CrossCheckSpec {
    pub(crate) rule: String,
    pub(crate) with: Vec<String>,
    /// The list whose items are compared one by one; absent: the document.
    pub(crate) each: Option<Spanned<String>>,
    /// Own field → field of the other.
    pub(crate) keys: BTreeMap<String, String>,
    /// The list of the other whose matching items are looked at.
    pub(crate) part: Option<String>,
    /// Records that are looked at, at most.
    #[serde(default = "most")]
    pub(crate) most: usize,
    pub(crate) points: Vec<super::CheckPoint>,
    #[serde(default)]
    pub(crate) codes: Vec<String>,
    pub(crate) when: Option<Spanned<String>>,
    #[serde(default)]
    pub(crate) wait_hours: u32,
    /// What it says where there is no such record; absent: the tests see none.
    pub(crate) missing: Option<String>,
    #[serde(default)]
    pub(crate) test: Vec<Spanned<TestSpec>>,
}

fn most() -> usize {
    16
}

/// What must hold between a document and the records it is compared with.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TestSpec {
    pub(crate) zh: String,
    pub(crate) en: String,
    pub(crate) when: Option<Spanned<String>>,
    pub(crate) check: Spanned<String>,
    pub(crate) code: String,
    pub(crate) at: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LedgerSpec {
    pub(crate) name: String,
    pub(crate) entry: super::LedgerEntry,
    pub(crate) each: Option<Spanned<String>>,
    /// Fields that name the account.
    pub(crate) account: Vec<String>,
    pub(crate) quantity: Spanned<String>,
    pub(crate) unit: Option<String>,
    pub(crate) when: Option<Spanned<String>>,
    /// Of a grant: by how much a last batch may exceed what is left, as a fraction.
    pub(crate) tolerance: Option<Spanned<String>>,
    /// Of a grant: how many documents may use it.
    pub(crate) uses: Option<Spanned<String>>,
    /// Of a grant: the field of the enterprise it is granted to.
    pub(crate) holder: Option<String>,
    /// Of a grant: fields of its first and its last day.
    pub(crate) valid: Option<[String; 2]>,
    /// The state that commits what was reserved.
    pub(crate) commit_on: Option<String>,
    /// The states that release it.
    #[serde(default)]
    pub(crate) release_on: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StatisticSpec {
    pub(crate) name: String,
    pub(crate) zh: String,
    pub(crate) en: String,
    pub(crate) measure: Spanned<String>,
    #[serde(default)]
    pub(crate) by: Vec<String>,
    pub(crate) when: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SharingSpec {
    pub(crate) rule: String,
    pub(crate) subject: String,
    pub(crate) relation: super::Relation,
    /// The field that names a party; only with the relation `party`.
    pub(crate) named_in: Option<String>,
    /// Classes of fields, one letter each.
    pub(crate) classes: Spanned<String>,
    pub(crate) actions: Vec<super::SharingAction>,
    pub(crate) purposes: Vec<String>,
    /// Field → mask.
    #[serde(default)]
    pub(crate) masks: BTreeMap<String, super::Mask>,
    /// The state from which it holds; absent: always.
    pub(crate) after: Option<String>,
    pub(crate) basis: String,
}
