//! Document envelope, standards packs, field checks, idempotency key.
//!
//! What always holds: a document is judged by a pack (data) and the table versions in force at one instant, and by nothing else;
//! a refusal lists every failure; the digest is that of the RFC 8785 form of what was lodged, before normalisation, so that a
//! signature of the lodger can be checked against it. A core: no I/O, no clock, no randomness.
#![forbid(unsafe_code)]

mod accounts;
pub mod checks;
mod classes;
mod compared_example;
mod comparison;
pub mod example;
mod failure;
mod field;
pub mod json;
mod key;
mod number;
pub mod pack;
mod parse;
mod passage;
mod projection;
mod relations;
mod state;
mod tables;
mod validate;

pub use accounts::AccountCall;
pub use comparison::{Compared, Comparisons, Other, Outcome, Records, Unread};
pub use failure::{Failure, Refusal};
pub use field::{Characters, Field, Kind, Normalise, Presence, TableRule, TextRules};
pub use key::{BusinessKey, VersionStep};
pub use number::{DocId, NUMBER_MAX};
pub use pack::{
    BUILTIN, DocumentType, FailureCodes, FunctionCodes, Pack, PackError, PackHead, Packs, Problem,
    ProblemCode, Title,
};
pub use passage::{Passage, Passed, Trigger, Uploaded};
pub use projection::Projection;
pub use state::State;
pub use tables::{InForce, Lookup, TableRow, TableVersion, Tables};
pub use validate::Document;

/// Largest document of any type, in bytes as lodged. 1 MiB.
pub const DOCUMENT_LEN_MAX: usize = 1 << 20;
