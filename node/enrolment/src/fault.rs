//! Why an enrolment is refused.

use eport_model::{Code, Coded, codes};

/// A refusal.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Fault {
    /// The token is none, or not of here.
    #[error("the token {0}")]
    Token(String),
    /// The token was used for another key.
    #[error("the token was used already, for another key")]
    Used,
    /// The request waits for an operator.
    #[error("request {0} waits for an operator's approval")]
    Waiting(String),
    /// An operator refused the request.
    #[error("request {id} was refused by {by}: {reason}")]
    Denied {
        /// The request.
        id: String,
        /// Who.
        by: String,
        /// Why.
        reason: String,
    },
    /// Nothing more is kept.
    #[error("{0}")]
    Full(String),
    /// The certificate cannot be renewed this way.
    #[error("{0}")]
    Renewal(String),
    /// The request is decided already.
    #[error("request {0} is decided already")]
    Decided(String),
}

impl Coded for Fault {
    fn code(&self) -> Code {
        match self {
            Fault::Token(_) => codes::TOKEN_REFUSED,
            Fault::Used => codes::TOKEN_USED,
            Fault::Waiting(_) => codes::ENROLMENT_WAITING,
            Fault::Denied { .. } => codes::ENROLMENT_DENIED,
            Fault::Full(_) => codes::ENROLMENT_FULL,
            Fault::Renewal(_) => codes::RENEWAL_REFUSED,
            Fault::Decided(_) => codes::REQUEST_DECIDED,
        }
    }
}
