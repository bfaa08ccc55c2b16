//! Names and ids of the federation.
//!
//! Every id prints the same everywhere (log, JSON, command line, certificate) and is a compact value in binary form.
//! Parsing and printing live here and nowhere else. This is a core: no I/O, no clock, no randomness.
#![forbid(unsafe_code)]

mod ca_name;
mod digest;
mod distrust;
mod epoch;
mod lineage;
mod name;
mod outside;
mod region;
mod subject;

pub use ca_name::{CaName, CaPurpose};
pub use digest::{Digest, DigestHasher};
pub use distrust::{CertificateMark, Distrust, epoch_of_serial};
pub use epoch::Epoch;
pub use lineage::Lineage;
pub use name::{NodeId, SiteId};
pub use outside::{OUTSIDE_PLATFORMS_MAX, OUTSIDE_SUBJECTS_MAX, OutsideScope, OutsideSubject};
pub use region::RegionCode;
pub use subject::{Subject, TrustDomain};

/// Why a text or byte string is not the id it claims to be. The offending input is kept, cut to 64 characters.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{input:?} is not a {what}: {reason}")]
pub struct ParseError {
    /// The kind of id that was expected.
    pub what: &'static str,
    /// The offending input, cut to 64 characters.
    pub input: String,
    /// The rule that was broken.
    pub reason: &'static str,
}

impl ParseError {
    pub(crate) fn new(what: &'static str, input: &str, reason: &'static str) -> Self {
        Self { what, input: input.chars().take(64).collect(), reason }
    }
}
