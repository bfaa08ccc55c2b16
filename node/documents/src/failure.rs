//! Failures of a document, and why a document is not taken at all.

use eport_model::{Code, Coded, codes};

/// One broken rule. `path` is a JSON pointer, `code` the domain's code as the pack or the check names it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Failure {
    /// JSON pointer to the value, for example `/body/containers/0`.
    pub path: String,
    /// Domain code, for example `E-ID-CHECK`; warnings start with `W-`.
    pub code: String,
    /// What is wrong, with what was expected.
    pub detail: String,
}

/// Why a document is refused. None of these consumes its key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Not a strict JSON object of bearable size.
    #[error("not readable: {detail}")]
    Malformed {
        /// Where and why.
        detail: String,
    },
    /// No pack defines the type.
    #[error("no pack defines document type {doc_type:?}")]
    UnknownType {
        /// The type named.
        doc_type: String,
    },
    /// Rules are broken; all of them are listed.
    #[error("{} rules are broken", failures.len())]
    Rules {
        /// Every failure, in the order of the pack's fields.
        failures: Vec<Failure>,
    },
    /// A table version in force is known but not on this node: it does not judge by another one.
    #[error("the version in force of table {table} is not on this node")]
    TableNotHere {
        /// The table.
        table: String,
    },
}

impl Refusal {
    /// The failures to show: those of `Rules`, one for an unknown type, none otherwise.
    pub fn failures(&self) -> Vec<Failure> {
        match self {
            Refusal::Rules { failures } => failures.clone(),
            Refusal::UnknownType { doc_type } => vec![Failure {
                path: "/doc_type".into(),
                code: "E-DOC-TYPE".into(),
                detail: format!("no pack defines {doc_type:?}"),
            }],
            Refusal::Malformed { .. } | Refusal::TableNotHere { .. } => Vec::new(),
        }
    }
}

impl Coded for Refusal {
    fn code(&self) -> Code {
        match self {
            Refusal::Malformed { .. } => codes::DOCUMENT_MALFORMED,
            Refusal::UnknownType { .. } => codes::DOCUMENT_TYPE_UNKNOWN,
            Refusal::Rules { .. } => codes::DOCUMENT_REFUSED,
            Refusal::TableNotHere { .. } => codes::TABLE_NOT_HERE,
        }
    }
}
