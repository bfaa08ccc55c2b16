//! Why a signature does not count.

/// A refusal. `code` gives the number of `eport_model::codes`, which this folder may not depend on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The bytes were signed by another key, or they are other bytes.
    #[error("the signature does not match the command: it was changed, or signed with another key")]
    Mismatch,
    /// The header, the signature or the certificate cannot be read.
    #[error("{0}")]
    Malformed(String),
    /// No issuer of the registry has signed the certificate.
    #[error("no issuer of this federation has signed the certificate")]
    UnknownIssuer,
    /// It, or its issuer's, was not valid when the command was entered.
    #[error("the certificate of {0} was not valid when the command was entered")]
    Expired(String),
    /// The certificate may not be used for this.
    #[error("the certificate cannot sign commands: {0}")]
    Unfit(String),
}

impl Refused {
    /// The number of the stable error code `EPnnnn`.
    pub const fn code(&self) -> u16 {
        match self {
            Refused::Expired(_) => 1205,
            Refused::Mismatch => 1211,
            Refused::Malformed(_) | Refused::UnknownIssuer | Refused::Unfit(_) => 1213,
        }
    }
}
