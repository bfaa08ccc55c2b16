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
            Error::Row { .. } => codes::RECORD_DAMAGED,
            Error::Parameter { .. } => codes::BAD_REQUEST,
        }
    }
}
