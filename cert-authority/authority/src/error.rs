//! Why an authority could not do what was asked.

use std::io;
use std::path::PathBuf;
use time::OffsetDateTime;

/// A failure of an authority. `code` gives the number of `eport_model::codes`, which this folder may not depend on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read or written.
    #[error("{action} {path}")]
    File {
        /// What was tried.
        action: &'static str,
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
    /// A sealed key for which no passphrase is at hand.
    #[error("{path} is sealed, and no passphrase is configured")]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// A file does not hold what it should.
    #[error("{path}: {reason}")]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The request cannot be granted.
    #[error("certificate for {subject}: {reason}")]
    Refused {
        /// For whom.
        subject: String,
        /// Why not.
        reason: String,
    },
    /// The time asked for is empty, or the CA is not valid then.
    #[error("validity from {not_before} to {not_after} is empty within the CA's")]
    Validity {
        /// Begin asked for.
        not_before: OffsetDateTime,
        /// End that remains.
        not_after: OffsetDateTime,
    },
    /// A CA's key cannot be sealed, opened or divided.
    #[error("{reason}")]
    Custody {
        /// What is wrong.
        reason: String,
    },
    /// Shares do not open the root's key: too few, or damaged ones, whose holders are named.
    #[error("{reason}")]
    Shares {
        /// What is wrong, with the holders.
        reason: String,
    },
    /// A rule of certificates is broken by what was asked for.
    #[error("{}", rules.join("; "))]
    Lint {
        /// Every broken rule.
        rules: Vec<String>,
    },
    /// A record of a ceremony does not prove what it should.
    #[error("{reason}")]
    Transcript {
        /// What differs.
        reason: String,
    },
    /// A data key cannot be wrapped or unwrapped.
    #[error("{reason}")]
    Wrap {
        /// What is wrong.
        reason: &'static str,
    },
    /// The signing library failed.
    #[error("signing")]
    Signing(#[from] rcgen::Error),
}

impl Error {
    /// The number of the stable error code `EPnnnn`.
    pub const fn code(&self) -> u16 {
        match self {
            Error::File { .. } | Error::Unusable { .. } | Error::Signing(_) => 1203,
            Error::KeyExposed { .. } => 1204,
            Error::Wrap { .. } => 1208,
            Error::Locked { .. } => 4140,
            Error::Custody { .. } => 4101,
            Error::Shares { .. } => 4102,
            Error::Lint { .. } => 4103,
            Error::Transcript { .. } => 4104,
            Error::Refused { .. } | Error::Validity { .. } => 1207,
        }
    }
}
