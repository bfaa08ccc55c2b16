//! Evidence of one document: a file that says which document a platform took, in which record of its journal, and who vouches for that.
//!
//! ```text
//! document ──opening──► commitment ─┐
//! number   ──row──────► effect ─────┴─► header of the record ──chain──► covered record ◄──signature── signed head
//!                                                 ▲
//!                                                 └──signature── the node that made the file, over record and statement
//! ```
//!
//! What always holds: nothing in a file counts because it stands there, only because a digest or a signature says so; a problem is reported
//! for every difference; whatever the bytes are, verifying ends, within the size of the file, and never panics. A core: whom to trust
//! comes in as a [`Judge`]. Basis: design §5, decision 0049.
#![forbid(unsafe_code)]

mod file;
mod report;
mod verify;

pub use file::{
    Attestation, CERTIFICATES_MAX, CertificateThen, Content, End, Evidence, FILE_LEN_MAX, FORMAT, KIND,
    LINKS_MAX, Proof, Row, Statement, header_text, to_attest,
};
pub use report::{CertificateSeen, Claim, Problem, Report, SignedBy, Vouched};
pub use verify::{Holder, Judge, Signed, verify, verify_bytes};
