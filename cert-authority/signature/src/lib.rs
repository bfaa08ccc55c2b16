//! Signatures under commands: the bytes that are signed, the header that carries a signature, and the verdict on both.
//!
//! What always holds: equal commands give equal bytes and different commands different ones; a verdict is a function of its
//! arguments, so every node that applies a command reaches the same one; nothing is read from a clock, a file or a trust
//! store. Keys that sign live in `authority`; which issuers exist, what is revoked and who has which role is the
//! registry's knowledge and comes in as an argument or is judged there.
//!
//! One algorithm: ECDSA on P-256 with SHA-256 (every issuing CA and every operator key of this federation has it). Another
//! one gets another version word in the header.
#![forbid(unsafe_code)]

mod ca;
mod certificate;
mod evidence;
mod head;
mod header;
mod list;
mod outside;
mod refused;
mod release;
mod statement;

pub use ca::{CaFacts, ca_facts};
pub use certificate::{IssuerFacts, Signatory, issuer_facts, signatory};
pub use evidence::StatedRecord;
pub use head::JournalHead;
pub use header::{HEADER, HEADER_LEN_MAX, Header};
pub use list::{LIST_LEN_MAX, ListEntry, RevocationList, revocation_list};
pub use outside::{CHALLENGE_LEN_MAX, Challenge, OutsideFacts, outside_facts, outside_signatory, possession};
pub use refused::Refused;
pub use release::{RELEASE_LEN_MAX, Release};
pub use statement::{Envelope, Statement, digest_of};
