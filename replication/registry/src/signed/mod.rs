//! Who speaks in a command: the statement that is signed, and whether proof, certificate, role and scope hold.
//!
//! Always: an operator's command counts only in the exact form that was signed; a verdict follows from the replicated state
//! and the command alone, and time is the time of the log entry, so every node reaches the same one. While the setting
//! `operator_signatures` is not `required` an unsigned command of an operator is taken on the word of the node that brings
//! it; a signature that is there must hold in any case.

mod commands;
mod judge;
pub mod statement;
mod two;

pub(crate) use judge::{authenticate, check_role, check_unrevoked, signatory_of, signed_by};
pub use two::guards;
pub(crate) use two::{approvers, needed};

use crate::{Refusal, Setting, State};
use eport_model::{Code, Coded, codes};
use serde::{Deserialize, Serialize};

/// Name of the setting that makes signatures of operators mandatory: `required` or `optional`.
pub const OPERATOR_SIGNATURES: &str = "operator_signatures";
/// Name of the setting that lists the kinds of command for which two persons are needed, separated by commas.
pub const TWO_PERSONS: &str = "two_persons";
/// Name of the setting that says how long a command waits for its second person, in milliseconds.
pub const APPROVAL_LIFE_MS: &str = "approval_life_ms";
/// How far the time in a signature may lie from the time of the log entry, both ways, in milliseconds.
pub const SIGNATURE_WINDOW_MS: i64 = 300_000;
/// How long a command waits for its second person unless the setting says otherwise: a day.
const APPROVAL_LIFE_DEFAULT_MS: i64 = 86_400_000;

/// The proof that a command is its author's.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Proof {
    /// The author's certificate, DER.
    pub certificate: Vec<u8>,
    /// When it was signed, milliseconds since 1970.
    pub at_ms: i64,
    /// The signature over the statement, DER.
    pub signature: Vec<u8>,
}

/// Why a command is not its author's.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum SignatureFault {
    /// There is none, and one is required.
    Missing,
    /// It belongs to other bytes or another key.
    Mismatch,
    /// It was made too long ago, or in the future.
    Stale,
    /// The certificate cannot sign for this federation, or is another's.
    Signer,
    /// The certificate or its issuer's was not valid then.
    Expired,
    /// The certificate or its issuer's is revoked.
    Revoked,
    /// The operator lacks the role, or the issuer does not speak for the place.
    Role,
}

impl Coded for SignatureFault {
    fn code(&self) -> Code {
        match self {
            SignatureFault::Missing => codes::SIGNATURE_MISSING,
            SignatureFault::Mismatch => codes::SIGNATURE_MISMATCH,
            SignatureFault::Stale => codes::SIGNATURE_STALE,
            SignatureFault::Signer => codes::SIGNER_REFUSED,
            SignatureFault::Expired => codes::CERT_EXPIRED,
            SignatureFault::Revoked => codes::CERT_REVOKED,
            SignatureFault::Role => codes::OPERATOR_ROLE,
        }
    }
}

pub(crate) fn fault(why: SignatureFault, detail: impl Into<String>) -> Refusal {
    Refusal::Signature { why, detail: detail.into() }
}

/// Settings of this module take known words only.
pub(crate) fn check_setting(setting: &Setting) -> Result<(), Refusal> {
    let invalid = |reason: String| Refusal::Invalid { field: setting.name.clone(), reason };
    match setting.name.as_str() {
        OPERATOR_SIGNATURES if !["required", "optional"].contains(&setting.value.as_str()) => {
            Err(invalid("required or optional is needed".into()))
        }
        TWO_PERSONS => match two::list(&setting.value).find(|kind| !statement::KINDS.contains(kind)) {
            Some(unknown) => Err(invalid(format!("there is no kind of command {unknown:?}"))),
            None => Ok(()),
        },
        _ => Ok(()),
    }
}

impl State {
    /// True when a command must be signed: an operator's by the operator, a node's step by the node.
    pub fn signatures_required(&self) -> bool {
        self.setting(OPERATOR_SIGNATURES) == Some("required")
    }

    /// How long a command waits for its second person.
    pub fn approval_life_ms(&self) -> i64 {
        let set = self.setting(APPROVAL_LIFE_MS).and_then(|v| v.parse().ok());
        set.filter(|ms| *ms > 0).unwrap_or(APPROVAL_LIFE_DEFAULT_MS)
    }

    /// The kinds of command for which two persons are needed now; empty while the federation does not ask for them.
    pub fn two_person_kinds(&self) -> Vec<&'static str> {
        statement::KINDS.iter().copied().filter(|kind| two::listed(self, kind)).collect()
    }

    /// Judges the signature of a command as [`State::apply`] will: for an early answer where it enters the federation.
    pub fn check_signature(&self, command: &crate::Command) -> Result<(), Refusal> {
        authenticate(self, command).map(|_| ())
    }
}
