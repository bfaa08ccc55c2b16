//! Standards packs: what a business system's documents look like and what becomes of them, as data.
//!
//! A pack is one TOML file. It is read once into `Pack`; every limit, code, table name, rule and agency of a document comes from
//! it, and the software holds no type per document. What always holds: an accepted pack does not contradict itself, every name in
//! it names something, every expression fits the fields it names, and judging one document takes at most `COST_MAX` steps. A
//! refused pack says where and why, all problems at once.

mod build;
mod codes;
mod compare;
mod comparisons;
mod declared;
mod describe;
mod environment;
mod fields;
mod known;
mod notation;
mod problem;
mod rules;
mod set;
mod shape;
mod sharing;
mod shelf;
mod spec;
mod states;

pub use codes::NamedCode;
pub use compare::{Difference, compare, numbered};
pub use comparisons::{CheckPoint, Comparison, CrossCheck, Test};
pub use declared::{Consignment, Ledger, LedgerEntry, Milestone, Recipient, Role, Statistic, Upload};
pub use known::{Assigned, NUMBERS_MAX, number};
pub use problem::{PROBLEMS_MAX, PackError, Problem, ProblemCode};
pub use rules::{Requirement, RuleOf, Scope};
pub use set::Packs;
pub use sharing::{Mask, Relation, Sharing, SharingAction};
pub use shelf::{CATALOGUE, Published, Shelf, overlay};
pub use states::{AgencyState, LifeCycle, StateOf, Step as ReceiptStep, overall};

use crate::checks::Parameters;
use crate::field::Field;
use eport_expression::Environment;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Version of the pack file's layout.
pub const FORMAT: u32 = eport_model::formats::PACK;

/// Largest pack file. 1 MiB.
pub const PACK_LEN_MAX: usize = 1 << 20;

/// Most steps of the expressions of one document type together.
pub const COST_MAX: u64 = 1_000_000;

include!(concat!(env!("OUT_DIR"), "/builtin.rs"));

/// A text in both languages.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Title {
    /// Chinese.
    pub zh: String,
    /// English.
    pub en: String,
}

/// Failure code of each kind of failure that no check rule names.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FailureCodes {
    /// A required field is absent.
    pub required: String,
    /// A field is not known.
    pub unknown: String,
    /// The JSON type is another one.
    pub r#type: String,
    /// Too short or too long.
    pub length: String,
    /// Characters that are not allowed.
    pub format: String,
    /// A number outside its range.
    pub range: String,
    /// No decimal of the allowed digits.
    pub decimal: String,
    /// No instant, or no date.
    pub instant: String,
    /// No key of the table in force, or none of the allowed values.
    pub table: String,
    /// A function code that is not allowed here.
    pub function_code: String,
    /// A version number that is not the next one.
    pub version: String,
}

/// Function codes a document may carry.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FunctionCodes {
    /// On version 1.
    pub first: Vec<String>,
    /// On later versions.
    pub later: Vec<String>,
}

/// One document type of a pack.
#[derive(Debug)]
pub struct DocumentType {
    /// Its name on the wire.
    pub doc_type: Arc<str>,
    /// Its name for people.
    pub title: Title,
    /// First letter of its document numbers.
    pub number_letter: char,
    /// The field whose capital is the first letter instead.
    pub number_letter_field: Option<String>,
    /// Largest document in bytes as lodged.
    pub bytes_max: usize,
    /// Highest version number.
    pub version_max: u32,
    /// Longest client reference in characters.
    pub client_ref_length_max: usize,
    /// Function codes it may carry.
    pub function_codes: FunctionCodes,
    /// True when an answer to such a document must promise `replicated`, whatever the platform's policy says: entries in
    /// accounts and whatever is consumed once.
    pub replicated: bool,
    /// Groups of fields that recipients get, one letter each.
    pub groups: BTreeMap<char, Title>,
    /// Fields of its body, in order.
    pub fields: Vec<Field>,
    /// Fields that must be there under a condition.
    pub requirements: Vec<Requirement>,
    /// Rules between fields, in order.
    pub rules: Vec<RuleOf>,
    /// Who gets it, and which part.
    pub recipients: Vec<Recipient>,
    /// Its states and what moves it from one to another, where it has any of its own.
    pub life_cycle: Option<LifeCycle>,
    /// What its states and fields say about a consignment's way.
    pub milestones: Vec<Milestone>,
    /// What of it is a consignment whose times are measured.
    pub consignment: Option<Consignment>,
    /// How an event that somebody uploads is read from it.
    pub upload: Option<Upload>,
    /// Numbers by which it is found: the kind, and the field that holds it.
    pub known_by: Vec<(String, String)>,
    /// Numbers that agencies give it.
    pub assigned: Vec<Assigned>,
    /// Comparisons with records of others.
    pub cross_checks: Vec<CrossCheck>,
    /// Entries it makes in accounts.
    pub ledgers: Vec<Ledger>,
    /// Figures made of it.
    pub statistics: Vec<Statistic>,
    /// Who may see it.
    pub sharing: Vec<Sharing>,
    /// Most steps that the expressions of one document take.
    pub cost: u64,
    /// How long a judgement of its rules holds.
    pub clock: eport_expression::Clock,
    /// What its pack says for all its documents.
    pub pack: Arc<PackHead>,
}

/// What holds for all documents of a pack.
#[derive(Debug)]
pub struct PackHead {
    /// The pack's name.
    pub name: Arc<str>,
    /// The pack's version.
    pub version: Arc<str>,
    /// Its name for people.
    pub title: Title,
    /// Rows of the list of business systems that it carries.
    pub systems: Vec<String>,
    /// Offset of local time from UTC.
    pub utc_offset_minutes: i32,
    /// Failure codes.
    pub codes: FailureCodes,
    /// Parameters of check rules.
    pub parameters: Parameters,
    /// What expressions may name beside fields.
    pub environment: Environment,
    /// Key columns of the tables that expressions ask.
    pub table_keys: BTreeMap<String, Vec<String>>,
    /// Tables that count only where a version is in force.
    pub optional_tables: Vec<String>,
}

/// A pack.
#[derive(Debug)]
pub struct Pack {
    /// What holds for all its documents.
    pub head: Arc<PackHead>,
    /// Its document types.
    pub documents: Vec<Arc<DocumentType>>,
}

impl Pack {
    /// Reads a pack file.
    pub fn parse(text: &str) -> Result<Self, PackError> {
        Self::parse_file("pack.toml", text)
    }

    /// Reads a pack file; problems carry the name.
    pub fn parse_file(file: &str, text: &str) -> Result<Self, PackError> {
        build::pack(file, text)
    }
}

/// A name of the pack's world: 1 to 64 of `a-z`, `0-9` and `_`, not beginning with a digit.
pub(crate) fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 64
        && !text.as_bytes()[0].is_ascii_digit()
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}
