//! What can go wrong, each with its stable code.

use eport_model::{Code, Coded, codes};
use eport_registry::{Refusal, RowError};
use std::time::Duration;

/// Why the registry could not be opened or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its storage failed.
    #[error("registry storage")]
    Storage(#[from] eport_store::registry::Error),
    /// A stored state row is damaged.
    #[error("registry state")]
    Row(#[from] RowError),
    /// A stored mark or log entry does not decode.
    #[error("stored {what} does not decode")]
    Decode {
        /// What was read.
        what: &'static str,
        /// Why it does not decode.
        #[source]
        source: eport_model::codec::DecodeError,
    },
    /// openraft stopped or refused its configuration.
    #[error("the Raft engine stopped: {0}")]
    Raft(String),
    /// A command of the genesis was refused.
    #[error("a founding command was refused: {0}")]
    Refused(Refusal),
    /// No leader could be reached in time.
    #[error("no leader of the registry answered within {0:?}")]
    NoLeader(Duration),
    /// The read index was confirmed but this node did not catch up with it in time.
    #[error("this node is at index {applied} and did not reach {wanted} in time")]
    Behind {
        /// Applied here.
        applied: u64,
        /// Needed.
        wanted: u64,
    },
}

impl Coded for Error {
    fn code(&self) -> Code {
        match self {
            Self::Storage(e) => e.code(),
            Self::Row(e) => e.code(),
            Self::Decode { .. } => codes::RECORD_DAMAGED,
            Self::Raft(_) => codes::STORAGE_FAILED,
            Self::Refused(e) => e.code(),
            Self::NoLeader(_) | Self::Behind { .. } => codes::NO_LEADER,
        }
    }
}

/// What became of a proposed command that did not take effect, as far as is known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// The state machine refused it; nothing changed.
    #[error("{0}")]
    Refused(Refusal),
    /// No leader took it within the time; it was not handed to anybody.
    #[error("no leader of the registry could be reached")]
    NoLeader,
    /// It was handed on, but no answer came in time. Proposed again with the same id it takes effect once.
    #[error("no answer within {0:?}; the command may or may not have taken effect")]
    Unknown(Duration),
}

impl Coded for ProposeError {
    fn code(&self) -> Code {
        match self {
            Self::Refused(e) => e.code(),
            Self::NoLeader => codes::NO_LEADER,
            Self::Unknown(_) => codes::OUTCOME_UNKNOWN,
        }
    }
}
