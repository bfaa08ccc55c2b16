//! Who gets a message, what kind it is, and the id that follows from its cause.

use eport_identity::RegionCode;
use eport_model::{Digest, DigestHasher};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Who a message is for.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Recipient {
    /// An agency, by its code.
    Agency(String),
    /// A platform: receipts travel back to the one that owns the document.
    Platform(RegionCode),
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Recipient::Agency(code) => write!(f, "agency/{code}"),
            Recipient::Platform(region) => write!(f, "platform/{region}"),
        }
    }
}

/// What a message carries.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Kind {
    /// An agency's part of a document.
    Document,
    /// An agency's answer.
    Receipt,
    /// A message that was sent before is void: its record was lost and given up.
    Withdrawal,
}

impl Kind {
    /// Its name, also inside ids.
    pub const fn word(self) -> &'static str {
        match self {
            Kind::Document => "document",
            Kind::Receipt => "receipt",
            Kind::Withdrawal => "withdrawal",
        }
    }
}

/// The id of a message: SHA-256 over owner platform, cause, recipient and kind, each with its length.
///
/// `cause` of a document is the request id of its record (the business key with the client reference blinded, so that the id tells
/// no other platform the lodger's number); of a receipt (agency, number) as [`Receipt::cause`](crate::Receipt::cause) prints it.
pub fn message_id(owner: RegionCode, cause: &str, recipient: &Recipient, kind: Kind) -> Digest {
    let mut hasher = DigestHasher::new();
    for part in ["eport exchange 1", &owner.to_string(), cause, &recipient.to_string(), kind.word()] {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.finish()
}
