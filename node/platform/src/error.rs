//! What can go wrong when a platform is read.

use eport_model::{Code, Coded, codes};

/// Why a read failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The store could not be read.
    #[error("the platform's store could not be read")]
    Store(#[from] eport_store::Error),
    /// A row was written by newer software or is damaged.
    #[error("state row {key} cannot be decoded")]
    Row {
        /// The row, cut.
        key: String,
        /// What is wrong.
        #[source]
        source: eport_model::codec::DecodeError,
    },
    /// The platform's data key is not here.
    #[error("the platform's data key is not here yet")]
    NoKey,
    /// An encrypted part does not open.
    #[error("an encrypted part of {request} does not open")]
    Envelope {
        /// Request id of its record, cut.
        request: String,
        /// Why not.
        #[source]
        source: eport_envelope::OpenError,
    },
    /// A stored document cannot be read as one.
    #[error("the stored content of {request} cannot be read")]
    Content {
        /// Request id of its record, cut.
        request: String,
    },
    /// The pack of a stored document is not on this node.
    #[error("the pack of {doc_type} is not here")]
    NoPack {
        /// Its type, cut.
        doc_type: String,
    },
    /// What a document is compared with could not be read.
    #[error("{0}")]
    Compared(String),
    /// A parameter of a query is not valid.
    #[error("{parameter}: {reason}")]
    Parameter {
        /// The parameter.
        parameter: &'static str,
        /// What is expected.
        reason: &'static str,
    },
}

impl Coded for Error {
    fn code(&self) -> Code {
        match self {
            Error::Store(e) => e.code(),
            Error::NoKey => codes::DATA_KEY_MISSING,
            Error::Row { .. } | Error::Envelope { .. } | Error::Content { .. } => codes::RECORD_DAMAGED,
            Error::NoPack { .. } | Error::Compared(_) => codes::OVERLOADED,
            Error::Parameter { .. } => codes::BAD_REQUEST,
        }
    }
}
