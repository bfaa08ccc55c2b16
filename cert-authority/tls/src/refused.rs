//! Why a certificate was refused, and why key material cannot be used.

use crate::Serial;
use eport_identity::Digest;
use rustls::CertificateError;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// Why a peer's certificate was refused. `code` gives the number of `eport_model::codes`, which this folder may not
/// depend on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// No certificate came.
    #[error("no certificate was presented")]
    Missing,
    /// Not one of this federation's roots stands above it.
    #[error("the certificate belongs to another federation: no trusted issuer")]
    UnknownIssuer,
    /// Its end has passed.
    #[error("the certificate expired")]
    Expired,
    /// Its begin lies ahead; usually a clock is wrong.
    #[error("the certificate is not valid yet")]
    NotYetValid,
    /// It, or its issuing CA, stands in the set of revocations.
    #[error("certificate {0} is revoked")]
    Revoked(Serial),
    /// More certificates than any chain of ours has.
    #[error("a chain of {0} certificates is too long")]
    ChainTooLong(usize),
    /// It may not be used in this direction.
    #[error("the certificate lacks the extended key usage for {0}")]
    Usage(&'static str),
    /// Its names are not exactly one URI of our grammar and domain.
    #[error("subject name: {0}")]
    Name(String),
    /// A root signed a leaf itself.
    #[error("the certificate was signed by a root, not by an issuing CA")]
    NoIssuingCa,
    /// Its issuer may not speak for this subject.
    #[error("the issuer may not speak for {0}")]
    Issuer(String),
    /// Another subject than the one dialled.
    #[error("the certificate is {found}'s, {expected} was dialled")]
    Unexpected {
        /// Who was dialled.
        expected: String,
        /// Who answered.
        found: String,
    },
    /// Only nodes may speak here.
    #[error("{0} is not a node")]
    NotANode(String),
    /// Any other defect of the chain.
    #[error("certificate chain: {0}")]
    Chain(String),
}

impl Refused {
    /// The number of the stable error code `EPnnnn`.
    pub const fn code(&self) -> u16 {
        match self {
            Refused::Missing => 1202,
            Refused::Expired | Refused::NotYetValid => 1205,
            Refused::Revoked(_) => 1206,
            _ => 1201,
        }
    }

    /// The error rustls reports, so that the peer gets the fitting alert.
    pub(crate) fn into_rustls(self) -> rustls::Error {
        let kind = match self {
            Refused::Missing => return rustls::Error::NoCertificatesPresented,
            Refused::UnknownIssuer => CertificateError::UnknownIssuer,
            Refused::Expired => CertificateError::Expired,
            Refused::NotYetValid => CertificateError::NotValidYet,
            Refused::Revoked(_) => CertificateError::Revoked,
            Refused::Usage(_) => CertificateError::InvalidPurpose,
            other => CertificateError::Other(rustls::OtherError(Arc::new(other))),
        };
        rustls::Error::InvalidCertificate(kind)
    }

    pub(crate) fn from_webpki(error: webpki::Error, usage: &'static str) -> Self {
        use webpki::Error as E;
        match error {
            E::CertExpired { .. } => Refused::Expired,
            E::CertNotValidYet { .. } => Refused::NotYetValid,
            // A CA of the same name with another key: another federation's, or a forgery.
            E::UnknownIssuer | E::InvalidSignatureForPublicKey => Refused::UnknownIssuer,
            E::RequiredEkuNotFoundContext(_) => Refused::Usage(usage),
            other => Refused::Chain(other.to_string()),
        }
    }
}

/// Why a TLS setup cannot be built or replaced.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("reading {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A key file that others can read.
    #[error("{path} has mode {mode:03o}; only 600 is accepted for a private key")]
    KeyExposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// PEM without the expected content.
    #[error("{what}: {reason}")]
    Unusable {
        /// Which input.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The own certificate would be refused by every peer.
    #[error("the own certificate does not pass this federation's policy")]
    Own(#[source] Refused),
    /// The bundle holds no root with the fingerprint that was given out of band.
    #[error("no root with the fingerprint {0} is among those shown")]
    Root(Digest),
    /// A bundle brings in a root that no root known here has signed.
    #[error("no root known here has signed the root with the key {0}")]
    Unproven(Digest),
    /// rustls refused the combination.
    #[error("TLS configuration")]
    Config(#[from] rustls::Error),
}

impl Error {
    /// The number of the stable error code `EPnnnn`.
    pub const fn code(&self) -> u16 {
        match self {
            Error::Own(refused) => refused.code(),
            Error::KeyExposed { .. } => 1204,
            Error::Root(_) => 4111,
            Error::Unproven(_) => 4124,
            _ => 1203,
        }
    }
}
